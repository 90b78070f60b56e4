//! Checks that data and fits fit into memory before anything is allocated: Rust and libtorch abort a process that
//! requests too much, and Linux kills one that then uses it.

use std::ops::Deref;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use anyhow::{Result, ensure};

/// Bytes of a row of the table that a file is read into: two ids, a rating and a time.
const ROW: u64 = 4 * 8;
/// Bytes of a row once it is indexed and split too: two indices, a rating and its place; and the indices a second time
/// while they are being computed.
const INDEXED: u64 = 2 * 8 + 4 + 8 + 2 * 8;

/// Checks the memory for a file that is read as a whole.
///
/// # Errors
/// It does not fit into the computer's main memory.
pub fn check_file(path: &Path, bytes: u64) -> Result<()> {
    check(&format!("{}: reading it", path.display()), bytes, "take a part of it")
}

/// Checks the memory for a table of ratings built from a file; until then, `held` bytes of the file are in memory.
///
/// # Errors
/// The table does not fit into main memory, alone or with the indices that are later built from it.
pub fn check_table(path: &Path, rows: usize, held: usize) -> Result<()> {
    let bytes = |each: u64| (rows as u64).saturating_mul(each);
    let needed = bytes(ROW).max(bytes(ROW + INDEXED).saturating_sub(held as u64));
    check(&format!("{}: a table of {rows} rows", path.display()), needed, "take a part of it")
}

/// Checks the memory for something that takes `needed` bytes of the computer's main memory.
///
/// # Errors
/// Less is free: the message says what to do about it, `way_out`.
pub fn check(what: &str, needed: u64, way_out: &str) -> Result<()> {
    compare(what, needed, "memory", available(Path::new("/")), way_out)
}

/// What is being read, and how many bytes more it may request.
static BEING_READ: Mutex<Option<String>> = Mutex::new(None);
static READING: AtomicBool = AtomicBool::new(false);
static LEFT: AtomicI64 = AtomicI64::new(0);

/// Runs a library's code that reads a file, which may be damaged or made to do harm: the library trusts the lengths in it,
/// and they can be any number. A program with `system::allocator::OneLine` ends with one line if together they request more
/// than `most` bytes. `read` catches its panics.
pub fn while_reading<T>(path: &Path, most: u64, read: impl FnOnce() -> T) -> T {
    let set = |what| *BEING_READ.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = what;
    set(Some(path.display().to_string()));
    LEFT.store(i64::try_from(most).unwrap_or(i64::MAX), Relaxed);
    READING.store(true, Relaxed);
    let outcome = read();
    READING.store(false, Relaxed);
    set(None);
    outcome
}

/// Notes that so many bytes are requested (negative: given back), and says whether they are within bounds.
#[inline]
pub fn within_bounds(bytes: i64) -> bool {
    !READING.load(Relaxed) || LEFT.fetch_sub(bytes, Relaxed) >= bytes
}

/// The name of the file that is being read, unless another thread is about to change it.
pub fn being_read() -> Option<impl Deref<Target = Option<String>>> {
    BEING_READ.try_lock().ok()
}

/// Compares the needed bytes with the free ones of `whose` memory; if those are unknown, everything fits.
///
/// # Errors
/// It does not fit.
pub fn compare(what: &str, needed: u64, whose: &str, free: Option<u64>, way_out: &str) -> Result<()> {
    let Some(free) = free else { return Ok(()) };
    let (takes, left) = (gib(needed), gib(free));
    ensure!(needed <= free, "{what} takes at least {takes}, and {left} of {whose} is free: {way_out}");
    Ok(())
}

/// How many of `wanted` processes of `bytes` bytes each fit into memory together; at least one.
pub fn at_a_time(wanted: usize, bytes: u64) -> usize {
    let fit = available(Path::new("/")).map_or(u64::MAX, |free| free / bytes.max(1));
    usize::try_from(fit).unwrap_or(usize::MAX).clamp(1, wanted.max(1))
}

fn gib(bytes: u64) -> String {
    match bytes < 1 << 30 {
        true => format!("{} MiB", bytes >> 20),
        false => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

/// Bytes that this process can still allocate: the least of what the machine has (swap included), what its control
/// groups allow and what `ulimit -v` leaves; `None` if unknown (not Linux). `root` is `/`.
pub fn available(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let meminfo = read("proc/meminfo");
    let machine = kib(&meminfo, "MemAvailable:").map(|ram| ram + kib(&meminfo, "SwapFree:").unwrap_or(0));
    let limits = read("proc/self/limits");
    let address_space = limits.lines().find_map(|line| {
        let soft = line.strip_prefix("Max address space")?.split_whitespace().next()?.parse::<u64>().ok()?;
        Some(soft.saturating_sub(kib(&read("proc/self/status"), "VmSize:")?))
    });
    let groups = read("proc/self/cgroup");
    let groups = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        match controllers {
            "" => group_leaves(&root.join("sys/fs/cgroup"), path, ["memory.max", "memory.current"]),
            "memory" => {
                let files = ["memory.limit_in_bytes", "memory.usage_in_bytes"];
                group_leaves(&root.join("sys/fs/cgroup/memory"), path, files)
            }
            _ => None,
        }
    });
    groups.chain(machine).chain(address_space).min()
}

/// A number of /proc in KiB, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|n| n * 1024)
}

/// What a control group and those above it leave. Files that are only cached count as free.
fn group_leaves(mounted: &Path, path: &str, [limit, usage]: [&str; 2]) -> Option<u64> {
    let group = mounted.join(path.trim_start_matches('/'));
    let groups = group.ancestors().take_while(|group| group.starts_with(mounted));
    let number = |file: &Path| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let left = groups.filter_map(|group| {
        let (limit, usage) = (number(&group.join(limit))?, number(&group.join(usage))?);
        let stat = std::fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().filter_map(|line| match line.split_once(' ')? {
            ("inactive_file" | "active_file", bytes) => bytes.parse::<u64>().ok(),
            _ => None,
        });
        Some(limit.saturating_sub(usage.saturating_sub(cached.sum())))
    });
    left.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_least_of_machine_control_groups_and_ulimit_is_what_is_left() {
        let meminfo =
            ("proc/meminfo", "MemTotal: 99999999 kB\nMemAvailable: 8388608 kB\nSwapFree: 1048576 kB\n");
        assert_eq!(available(machine(&[meminfo]).path()), Some(9 * GIB));
        let v2 = [
            meminfo,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.current", "5\n"),
            ("sys/fs/cgroup/a/memory.max", "4294967296\n"),
            ("sys/fs/cgroup/a/memory.current", "2147483648\n"),
            ("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 536870912\nactive_file 536870912\n"),
        ];
        assert_eq!(available(machine(&v2).path()), Some(3 * GIB));
        let v1 = [
            meminfo,
            ("proc/self/cgroup", "5:cpu:/x\n4:memory:/gone\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n"),
        ];
        assert_eq!(available(machine(&v1).path()), Some(GIB));
        let ulimit = [
            meminfo,
            (
                "proc/self/limits",
                "Max address space         3221225472           unlimited            bytes\n",
            ),
            ("proc/self/status", "VmPeak: 9 kB\nVmSize: 1048576 kB\n"),
        ];
        assert_eq!(available(machine(&ulimit).path()), Some(2 * GIB));
        assert_eq!(available(machine(&[]).path()), None);
    }

    #[test]
    fn no_more_processes_run_at_a_time_than_memory_holds() {
        assert_eq!(at_a_time(3, 1), 3);
        if let Some(free) = available(Path::new("/")) {
            assert!(at_a_time(1000, free / 2) <= 3);
            assert_eq!(at_a_time(1000, free.saturating_mul(2)), 1);
        }
    }

    #[test]
    fn more_rows_than_memory_holds_are_refused_and_what_is_freed_meanwhile_counts() {
        let path = Path::new("a.csv");
        let refused = |rows, held| check_table(path, rows, held).is_err();
        assert!(!refused(1000, 0) && refused(usize::MAX, 0));
        let free = available(Path::new("/")).unwrap_or(u64::MAX) as usize;
        if free < usize::MAX {
            let rows = free / 60; // 32 bytes each are there, 76 are not
            assert!(refused(rows, 0) && !refused(rows, free / 2));
        }
    }
}
