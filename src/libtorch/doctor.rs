//! `lecture5 doctor`: which libtorch this is, whether it computes, and CUDA or why not.

use anyhow::{Result, ensure};
use tch::{Cuda, Device, Kind, Tensor};

use crate::libtorch;

/// The doctor's findings, as readable lines, and the checks that failed.
pub struct Report {
    /// One finding per line.
    pub lines: Vec<String>,
    /// What is broken, if anything.
    pub faults: Vec<String>,
}

/// Examines the libtorch of this process.
pub fn examine() -> Report {
    let loaded = libtorch::loaded_libraries();
    let mut lines = vec![
        format!("lecture5      {}", env!("CARGO_PKG_VERSION")),
        format!("libtorch      {} (the headers it was built with)", libtorch::version()),
    ];
    for (at, path) in loaded.iter().enumerate() {
        lines.push(format!("{:13} {path}", if at == 0 { "loaded" } else { "" }));
    }
    if loaded.is_empty() {
        lines.push("loaded        not known: this system has no /proc".to_owned());
    }
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    lines.push(format!(
        "threads       1 within an operation, unless --threads says more, of {processors} processors"
    ));
    let mut faults = Vec::new();
    match computes(Device::Cpu) {
        Ok(()) => lines.push("CPU           computes and differentiates".to_owned()),
        Err(error) => faults.push(format!("the CPU does not compute: {error:#}")),
    }
    match libtorch::why_no_cuda() {
        Some(reason) => lines.push(format!("CUDA          none: {reason}")),
        None => {
            lines.push(format!("CUDA          {} device(s)", Cuda::device_count()));
            for index in 0..Cuda::device_count() as usize {
                match computes(Device::Cuda(index)) {
                    Ok(()) => lines.push(format!("cuda:{index}        computes and differentiates")),
                    Err(error) => faults.push(format!("cuda:{index} does not compute: {error:#}")),
                }
            }
        }
    }
    if let Some(mixed) = mixed_libraries(&loaded) {
        faults.push(mixed);
    }
    Report { lines, faults }
}

/// d(x²)/dx at 3 is 6, on the device.
fn computes(device: Device) -> Result<()> {
    let x = Tensor::f_from_slice(&[3f32])?.f_to_device(device)?.set_requires_grad(true);
    (&x * &x).f_sum(Kind::Float)?.f_backward()?;
    let slope = f64::try_from(x.f_grad()?.f_sum(Kind::Float)?)?;
    ensure!(slope == 6.0, "the slope of x² at 3 came out as {slope}");
    Ok(())
}

/// Two copies of one library in a process are two libtorches mixed by LD_LIBRARY_PATH.
fn mixed_libraries(loaded: &[String]) -> Option<String> {
    let cpu: Vec<&String> = loaded.iter().filter(|path| path.contains("libtorch_cpu")).collect();
    (cpu.len() > 1).then(|| {
        let paths = cpu.iter().map(|p| p.as_str()).collect::<Vec<_>>().join(" and ");
        format!("two libtorches are loaded at once, {paths}: unset LD_LIBRARY_PATH, or make it name one")
    })
}
