//! Whether data and fits fit into memory, reckoned before anything is taken: Rust and libtorch end a process that
//! asks for too much, and Linux one that then uses it.

use std::path::Path;

use anyhow::{Result, ensure};
use tch::Device;

use crate::fit::ROWS_PER_PASS;
use crate::libtorch;
use crate::optim::{self, Rule, Update};
use crate::settings::{ModelKind, Settings};

/// Bytes of a float32.
const FLOAT: u64 = 4;
/// Bytes of a rating on the device: two int64 and a float32; and while an epoch runs once more, in its order.
const RATING: u64 = 2 * 8 + FLOAT;
/// Bytes of a row of the table that a file is read into: two ids, a rating and a time.
const ROW: u64 = 4 * 8;
/// Bytes of a row once it is indexed and split too: two indices, a rating and its place; and the indices a second
/// time while they are worked on.
const INDEXED: u64 = 2 * 8 + FLOAT + 8 + 2 * 8;

/// What a fit keeps in memory at the least, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed {
    /// Weights of the model.
    pub weights: u64,
    /// All weights, with what the optimiser remembers of each.
    pub state: u64,
    /// The optimiser's own copy of the tables and of what it remembers of them ([`Update::Lazy`]).
    pub copy: u64,
    /// The largest tensor of these.
    pub largest: u64,
    /// The larger of a training batch with its gradients and of a pass over the validation rows.
    pub activations: u64,
    /// The ratings.
    pub ratings: u64,
}

impl Needed {
    /// Reckons it for a model of so many users and movies, trained on `n_trn` and validated on `n_val` rows.
    pub fn new(settings: &Settings, (n_users, n_movies): (i64, i64), n_trn: usize, n_val: usize) -> Needed {
        let size = |n: i64| n.max(0) as u64;
        let (users, movies, trn, val) = (size(n_users), size(n_movies), n_trn as u64, n_val as u64);
        let (u, m) = (size(settings.n_factors.0), size(settings.n_factors.1));
        let tables = users * u + movies * m;
        let table = (users * u).max(movies * m);
        // Weights of tables and of layers; numbers a row, of what a forward pass makes.
        let (in_tables, in_layers, largest, row) = match settings.model {
            ModelKind::Dot => (tables, 0, table, u + m + u),
            ModelKind::Bias | ModelKind::Learner => (tables + users + movies, 0, table, u + m + u),
            ModelKind::Net => {
                let mut widths = vec![u + m];
                widths.extend(settings.hidden.iter().map(|&n| size(n)));
                widths.push(1);
                let linear: u64 = widths.windows(2).map(|w| w[0] * w[1] + w[1]).sum();
                let widest = widths.windows(2).map(|w| w[0] * w[1]).max().unwrap_or(0);
                (tables, linear, table.max(widest), widths.iter().sum::<u64>() + u + m)
            }
        };
        let weights = in_tables + in_layers;
        let buffers = match settings.rule {
            Rule::Sgd { .. } => 1,
            Rule::Adam | Rule::AdamW => 2,
        };
        let batch = size(settings.batch_size).min(trn);
        let pass = size(ROWS_PER_PASS).min(val);
        Needed {
            weights,
            state: weights * (1 + buffers) * FLOAT,
            copy: in_tables * (1 + buffers) * FLOAT,
            largest: largest * FLOAT,
            activations: (2 * batch * row).max(pass * row) * FLOAT,
            ratings: (2 * trn + val) * RATING,
        }
    }

    /// On the device, while it trains.
    pub fn training(&self) -> u64 {
        self.state + self.activations + self.ratings
    }

    /// In the computer's own memory, while the model is saved: the file, and the tensor that is added to it.
    pub fn saving(&self) -> u64 {
        self.state + self.largest
    }

    /// Compares with what the device and the computer have left; where they do not say, all fits.
    ///
    /// # Errors
    /// It does not fit.
    pub fn check(&self, device: Device) -> Result<()> {
        let copy = if optim::update() == Update::Lazy { self.copy } else { 0 };
        let own = match device {
            Device::Cpu => (self.training() + copy).max(self.state + self.saving()),
            _ => self.saving(),
        };
        let what = format!("this fit, of {} weights,", self.weights);
        let way_out = "take fewer --factors, smaller --hidden layers or a smaller --batch-size";
        compare(&what, own, Device::Cpu, way_out)?;
        match device {
            Device::Cpu => Ok(()),
            _ => compare(&what, self.training(), device, way_out),
        }
    }
}

/// A file that is to be read whole.
///
/// # Errors
/// It does not fit into the computer's own memory. So with a table.
pub fn check_file(path: &Path, bytes: u64) -> Result<()> {
    compare(&format!("{}: reading it", path.display()), bytes, Device::Cpu, "take a part of it")
}

/// A table of ratings that is to be made of a file, of which `held` bytes are in memory until it is.
///
/// # Errors
/// It does not fit, or not with the indices that are made of it then.
pub fn check_table(path: &Path, rows: usize, held: usize) -> Result<()> {
    let bytes = |each: u64| (rows as u64).saturating_mul(each);
    let needed = bytes(ROW).max(bytes(ROW + INDEXED).saturating_sub(held as u64));
    compare(&format!("{}: a table of {rows} rows", path.display()), needed, Device::Cpu, "take a part of it")
}

/// Ratings as tensors on a device, `n_trn` of them to train on.
///
/// # Errors
/// They do not fit.
pub fn check_ratings(n_trn: usize, n_val: usize, device: Device) -> Result<()> {
    let needed = (2 * n_trn + n_val) as u64 * RATING;
    compare(&format!("training on {n_trn} ratings"), needed, device, "take a part of them")
}

/// Compares with what the device has left; where it does not say, all fits.
fn compare(what: &str, needed: u64, device: Device, way_out: &str) -> Result<()> {
    let (whose, free) = match device {
        Device::Cuda(index) => ("memory of the CUDA device", libtorch::cuda_free(index)),
        _ => ("memory", available(Path::new("/"))),
    };
    let Some(free) = free else { return Ok(()) };
    let (takes, left) = (gib(needed), gib(free));
    ensure!(needed <= free, "{what} takes {takes} at the least, and {left} of {whose} is free: {way_out}");
    Ok(())
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Bytes that this process can still take, by the least of what the machine has (swap included), what its
/// control groups allow and what `ulimit -v` leaves; `None` where nothing says (not Linux). `root` is `/`.
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
    fn more_rows_than_memory_holds_are_refused_and_what_is_freed_meanwhile_counts() {
        let path = Path::new("a.csv");
        let refused = |rows, held| check_table(path, rows, held).is_err();
        assert!(!refused(1000, 0) && refused(usize::MAX, 0));
        let free = available(Path::new("/")).unwrap_or(u64::MAX) as usize;
        if free < usize::MAX {
            let rows = free / 60; // 32 bytes each are there, 76 are not
            assert!(refused(rows, 0) && !refused(rows, free / 2));
        }
        assert!(check_ratings(1000, 1000, Device::Cpu).is_ok());
        assert!(check_ratings(1 << 40, 1, Device::Cpu).is_err());
    }

    #[test]
    fn what_a_fit_needs_counts_weights_optimiser_and_activations() {
        // By hand: (3 + 5)·4 weights and as many momenta; in one pass 7 rows of u, m and u·m.
        let dot = Settings { n_factors: (4, 4), ..Settings::lecture(ModelKind::Dot) };
        let needed = Needed::new(&dot, (3, 5), 2, 7);
        let wanted = Needed {
            weights: 32,
            state: 32 * 2 * 4,
            copy: 32 * 2 * 4,
            largest: 20 * 4,
            activations: 7 * 12 * 4,
            ratings: 11 * 20,
        };
        assert_eq!(needed, wanted);
        // lin1 (10, 8) and its bias, lin2 (1, 10) and its; both averages of Adam; two rows and their gradients.
        let net = Settings { n_factors: (4, 4), rule: Rule::Adam, ..Settings::lecture(ModelKind::Net) };
        let needed = Needed::new(&net, (3, 5), 2, 1);
        assert_eq!(needed.weights, 32 + 80 + 10 + 10 + 1);
        assert_eq!(needed.state, 133 * 3 * 4);
        assert_eq!(needed.copy, 32 * 3 * 4);
        assert_eq!(needed.activations, 2 * 2 * (8 + 8 + 10 + 1) * 4);
        // The largest of all settings is a number, not an overflow.
        let most = Settings { n_factors: (100_000, 100_000), hidden: vec![100_000; 1000], ..net };
        assert!(Needed::new(&most, (1 << 31, 1 << 31), 1 << 40, 1 << 40).check(Device::Cpu).is_err());
    }
}
