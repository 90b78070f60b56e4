//! Why no card computes, and the way out: what the machine shows of a card, and what follows from it.

use std::fmt;
use std::path::Path;

use super::smi::{self, Smi};
use super::{card, cuda_of_driver, cuda_of_runtime, cuda_start, loaded_libraries};

/// A version of CUDA, as its libraries state it: 1000 times the major one plus 10 times the minor one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub i32);

impl Version {
    fn major(self) -> i32 {
        self.0 / 1000
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.0 % 1000 / 10)
    }
}

/// The CUDA that the driver supports, and that of libtorch; `None` where there is no such library.
pub fn versions() -> (Option<Version>, Option<Version>) {
    let version = |number: i32| (number >= 0).then_some(Version(number));
    (version(cuda_of_driver()), version(cuda_of_runtime()))
}

/// Whether a driver that supports one version is too old for libraries of another: those of a major version run on every
/// driver of that major version.
pub fn too_old(driver: Version, runtime: Version) -> bool {
    driver.0 > 0 && driver.major() < runtime.major()
}

/// Signs of a container, by the way in which such a container gets a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// Docker, Podman and the like.
    Docker,
    /// A pod of Kubernetes.
    Kubernetes,
    /// Apptainer, formerly Singularity.
    Apptainer,
}

/// What this process can find out about cards and drivers without using one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Whether libtorch's CUDA part is loaded.
    pub has_cuda: bool,
    /// How many cards libtorch counts.
    pub count: usize,
    /// The CUDA that libtorch was built for.
    pub runtime: Option<Version>,
    /// The CUDA that the driver supports; `None` without libcuda.so.1.
    pub driver: Option<Version>,
    /// The number by which the driver says that it cannot start; 0 if it can.
    pub start: i32,
    /// Whether the kernel has NVIDIA's module.
    pub module: bool,
    /// The cards' files in /dev: `nvidia0`, …
    pub nodes: Vec<String>,
    /// Whether this is Linux within Windows, which shows the card by /dev/dxg.
    pub wsl: bool,
    /// What nvidia-smi answers.
    pub smi: Smi,
    /// CUDA_VISIBLE_DEVICES, if it is set.
    pub visible: Option<String>,
    /// The kind of container, if this is one.
    pub container: Option<Container>,
    /// Why a small computation failed on a card that libtorch counts: the card, with its compute capability if that is
    /// known, and libtorch's message.
    pub failure: Option<(String, String)>,
}

impl Facts {
    /// Looks around: `root` is `/`.
    pub fn gather(root: &Path, count: usize, failure: Option<(usize, String)>) -> Facts {
        let there = |path: &str| root.join(path).exists();
        let (driver, runtime) = versions();
        let is_card = |name: &str| {
            name.strip_prefix("nvidia")
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        let nodes = std::fs::read_dir(root.join("dev")).into_iter().flatten().flatten();
        let nodes = nodes.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut nodes: Vec<String> = nodes.filter(|name| is_card(name)).collect();
        nodes.sort();
        Facts {
            // libtorch itself is asked last: it would print a warning of its own about an old driver.
            has_cuda: loaded_libraries().iter().any(|l| l.contains("libtorch_cuda"))
                || tch::utils::has_cuda(),
            count,
            runtime,
            driver,
            start: cuda_start(),
            module: there("proc/driver/nvidia/version"),
            nodes,
            wsl: there("dev/dxg"),
            smi: smi::ask(),
            visible: std::env::var("CUDA_VISIBLE_DEVICES").ok(),
            container: container(root),
            failure: failure.map(|(index, why)| {
                let named = card(index).map_or(String::new(), |card| format!(" ({card})"));
                (format!("cuda:{index}{named}"), why)
            }),
        }
    }

    /// Whether there is any sign of a card here, so that computing on the CPU needs a reason.
    pub fn show_a_card(&self) -> bool {
        self.count > 0
            || self.smi != Smi::Absent
            || !self.nodes.is_empty()
            || self.wsl
            || self.driver.is_some()
    }
}

/// What makes this look like a container.
fn container(root: &Path) -> Option<Container> {
    let set = |name: &str| std::env::var_os(name).is_some();
    let groups = std::fs::read_to_string(root.join("proc/1/cgroup")).unwrap_or_default();
    let of = |words: &[&str]| words.iter().any(|word| groups.contains(word));
    match () {
        _ if set("APPTAINER_CONTAINER") || set("SINGULARITY_CONTAINER") => Some(Container::Apptainer),
        _ if set("KUBERNETES_SERVICE_HOST") || of(&["kubepods"]) => Some(Container::Kubernetes),
        _ if root.join(".dockerenv").exists() || root.join("run/.containerenv").exists() => {
            Some(Container::Docker)
        }
        _ => of(&["docker", "containerd", "libpod"]).then_some(Container::Docker),
    }
}

/// Why no card computes, and the way out, in one sentence or a few, without a full stop at the end.
pub fn explain(facts: &Facts) -> String {
    if let Some((card, why)) = &facts.failure {
        return of_a_failure(card, why, facts.runtime);
    }
    if !facts.has_cuda {
        return without_cuda(facts);
    }
    if let Some(why) = hidden(facts) {
        return why;
    }
    let versions = both_versions(facts);
    let Some(driver) = facts.driver else { return without_a_driver(facts) };
    if facts.runtime.is_some_and(|runtime| too_old(driver, runtime)) {
        return format!(
            "the driver is too old: {versions}; install a newer driver, or take a libtorch for an older CUDA: \
             `scripts/setup-libtorch.sh cuda --index URL`, then build again (libtorch-setup.md names the addresses)"
        );
    }
    if facts.nodes.is_empty() && !facts.wsl {
        return match facts.container {
            Some(container) => {
                format!("this container was started without the card: {}", get_card(container))
            }
            None => format!(
                "the driver is installed ({versions}), but /dev has no nvidia0: its kernel module is not loaded \
                 (`sudo modprobe nvidia`, or restart the machine), or this machine has no card"
            ),
        };
    }
    match (facts.start, &facts.smi) {
        (802, _) => format!(
            "the cards of this machine are not ready ({versions}): its fabric manager is not running \
             (`sudo systemctl start nvidia-fabricmanager`)"
        ),
        (803, _) => format!(
            "the driver's library and its kernel module are of different versions ({versions}): restart the machine, or \
             reload the module"
        ),
        (804, _) => format!(
            "a compatibility package for a newer CUDA is in use ({versions}), and this kind of card does not support it: \
             take it out of LD_LIBRARY_PATH"
        ),
        (999, _) => format!(
            "the driver cannot start ({versions}, error 999): most often /dev/nvidia-uvm is missing \
             (`sudo modprobe nvidia_uvm`, or restart the machine)"
        ),
        (_, Smi::Fails(why)) => {
            format!(
                "the driver does not answer ({versions}); nvidia-smi says: {why}; restart the machine, or install the \
                     driver again"
            )
        }
        (start, _) => {
            let error = if start > 0 { format!(", error {start}") } else { String::new() };
            format!(
                "libtorch has CUDA and there is a driver, but no card answers ({versions}{error}): `nvidia-smi` in the \
                     same shell should list the card"
            )
        }
    }
}

fn both_versions(facts: &Facts) -> String {
    let name = |version: Option<Version>| match version {
        Some(Version(0)) | None => "an unknown CUDA".to_owned(),
        Some(version) => format!("CUDA {version}"),
    };
    format!("it is for {}, and libtorch for {}", name(facts.driver), name(facts.runtime))
}

/// The start of a sentence: the cards that show.
fn shown(facts: &Facts) -> String {
    match &facts.smi {
        Smi::Lists(cards) if !cards.is_empty() => format!("there is a card here ({})", cards.join(", ")),
        _ if !facts.nodes.is_empty() => {
            format!("there is a card here (/dev/{})", facts.nodes.join(", /dev/"))
        }
        _ if facts.driver.is_some() || facts.module => "there is a driver here".to_owned(),
        Smi::Fails(why) => format!("nvidia-smi is here, but fails ({why})"),
        Smi::Lists(_) => "nvidia-smi is here, but lists no card".to_owned(),
        Smi::Absent => "there are signs of a card here".to_owned(),
    }
}

fn without_cuda(facts: &Facts) -> String {
    const FULL: &str =
        "`scripts/setup-libtorch.sh cuda` fetches the full one, then build again (see libtorch-setup.md)";
    if !facts.show_a_card() {
        return format!(
            "this program runs on a libtorch without CUDA; on a machine with an NVIDIA card, {FULL}"
        );
    }
    let answers = matches!(&facts.smi, Smi::Lists(cards) if !cards.is_empty());
    if !answers && facts.nodes.is_empty() && facts.driver.is_none() && !facts.wsl {
        return format!(
            "{}; and this program runs on a libtorch without CUDA. Once nvidia-smi lists a card, {FULL}",
            shown(facts)
        );
    }
    let fails = match &facts.smi {
        Smi::Fails(why) => format!("; but nvidia-smi fails ({why}), which needs to be mended first"),
        _ => String::new(),
    };
    let old = match (facts.driver, facts.runtime) {
        (Some(driver), Some(runtime)) if too_old(driver, runtime) => format!(
            "; that is for CUDA {runtime}, though, and the driver for CUDA {driver}: take a newer driver, or a libtorch for \
             an older CUDA (--index URL)"
        ),
        _ => String::new(),
    };
    format!(
        "{}, but this program runs on a libtorch without CUDA: it was set up where no card shows, such as a login node; \
         {FULL}{old}{fails}",
        shown(facts)
    )
}

/// CUDA_VISIBLE_DEVICES, if it hides every card.
fn hidden(facts: &Facts) -> Option<String> {
    let visible = facts.visible.as_deref()?;
    let first = visible.split(',').next().unwrap_or_default().trim();
    let beyond = match (&facts.smi, first.parse::<usize>()) {
        (Smi::Lists(cards), Ok(first)) => first >= cards.len(),
        _ => false,
    };
    let hides = first.is_empty() || first.starts_with('-') || first == "NoDevFiles" || beyond;
    hides.then(|| {
        format!(
            "CUDA_VISIBLE_DEVICES='{visible}' hides every card: unset it, or name one that nvidia-smi lists (CUDA_VISIBLE_DEVICES=0); \
             a batch system sets it so for a job that requested no card"
        )
    })
}

fn without_a_driver(facts: &Facts) -> String {
    if facts.wsl {
        return "Linux runs within Windows here (/dev/dxg), and libcuda.so.1 is missing: install NVIDIA's driver in Windows, \
                and none in Linux; /usr/lib/wsl/lib must hold libcuda.so.1"
            .to_owned();
    }
    match facts.container {
        Some(container) if facts.nodes.is_empty() => {
            format!("this container was started without the card: {}", get_card(container))
        }
        Some(_) => format!(
            "{}, but the container has no libcuda.so.1: start it with NVIDIA_DRIVER_CAPABILITIES=compute,utility",
            shown(facts)
        ),
        None if facts.module || !facts.nodes.is_empty() => format!(
            "{}, but libcuda.so.1 is not found: install the driver's libraries (Debian: libcuda1; Ubuntu: \
             libnvidia-compute-…), or unset LD_LIBRARY_PATH",
            shown(facts)
        ),
        None => "libtorch has CUDA, but there is no NVIDIA driver here: install it (`nvidia-smi` should then list the card)"
            .to_owned(),
    }
}

fn get_card(container: Container) -> &'static str {
    match container {
        Container::Docker => "`docker run --gpus all …` (with NVIDIA's container toolkit on the host)",
        Container::Kubernetes => "the pod must request it (resources, limits, nvidia.com/gpu: 1)",
        Container::Apptainer => "`apptainer exec --nv …`",
    }
}

/// A card that libtorch counts and that does not compute.
fn of_a_failure(card: &str, why: &str, runtime: Option<Version>) -> String {
    let says = |words: &[&str]| words.iter().any(|words| why.contains(words));
    let built = runtime.map_or(String::new(), |runtime| format!(", built for CUDA {runtime},"));
    match () {
        _ if says(&[
            "no kernel image",
            "not compatible",
            "invalid device function",
            "unsupported toolchain",
        ]) =>
        {
            format!(
                "{card} is too old or too new for this libtorch{built} which has no code for it: take a libtorch that was built \
             for such cards (`scripts/setup-libtorch.sh cuda --index URL`; libtorch-setup.md says more), or --device cpu"
            )
        }
        _ if says(&["out of memory"]) => format!(
            "the memory of {card} is taken by other programs, which nvidia-smi lists: end them, wait for them, or take \
             another card (--device cuda:1)"
        ),
        _ if says(&["busy or unavailable"]) => format!(
            "{card} is in use by another program that shares it with none (compute mode 'Exclusive'): wait for it, or take \
             another card (--device cuda:1)"
        ),
        _ => format!("{card} does not compute: {why}"),
    }
}

#[cfg(test)]
#[path = "cuda_tests.rs"]
mod tests;
