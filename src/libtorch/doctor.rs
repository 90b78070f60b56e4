//! `lecture5 doctor`: which libtorch this is, whether it computes, and CUDA or why not.

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use crate::libtorch::cuda::{self, Version};
use crate::libtorch::{self, AdamStep, device};

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
    match device::computes(Device::Cpu).and_then(|()| trains(Device::Cpu)) {
        Ok(()) => lines.push(format!("CPU           {COMPUTES}")),
        Err(error) => faults.push(format!("the CPU does not compute: {error:#}")),
    }
    if let (Some(driver @ Version(1..)), runtime) = cuda::versions() {
        let built_for = runtime.map_or(String::new(), |runtime| format!("; libtorch for CUDA {runtime}"));
        lines.push(format!("driver        for CUDA {driver}{built_for}"));
    }
    match device::why_no_cuda() {
        Some(reason) => lines.push(format!("CUDA          none: {reason}")),
        None => {
            lines.push(format!("CUDA          {} device(s)", device::count()));
            let (found, wrong) = of_cards((0..device::count()).map(of_card).collect());
            lines.extend(found);
            faults.extend(wrong);
        }
    }
    if let Some(mixed) = mixed_libraries(&loaded) {
        faults.push(mixed);
    }
    Report { lines, faults }
}

const COMPUTES: &str = "computes, differentiates and steps as by hand";

/// What a card does, or why it does not compute.
fn of_card(index: usize) -> Result<String, String> {
    if let Some(why) = device::why_not(index) {
        return Err(why);
    }
    let named = libtorch::card(index).map_or(String::new(), |card| format!(" ({card})"));
    match trains(Device::Cuda(index)) {
        Ok(()) => Ok(format!("cuda:{index}        {COMPUTES}{named}")),
        Err(error) => Err(format!("cuda:{index}{named}: {error:#}")),
    }
}

/// The lines and the faults of all cards: one that does not compute is a fault only if no other one computes.
fn of_cards(cards: Vec<Result<String, String>>) -> (Vec<String>, Vec<String>) {
    let some = cards.iter().any(Result::is_ok);
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    for card in cards {
        match card {
            Ok(line) => lines.push(line),
            Err(why) if some => lines.push(format!("CUDA          {why}")),
            Err(why) => faults.push(why),
        }
    }
    (lines, faults)
}

/// The columns of the table that [`trains`] takes, and the rows that it looks up, some of them several times.
const COLUMNS: usize = 4;
const ROWS: [i64; 9] = [0, 2, 2, 4, 2, 0, 3, 2, 4];
const LR: f64 = 0.05;
const DECAY: f64 = 0.1;
const MOMENTUM: f64 = 0.9;
const BETAS: (f64, f64) = (0.9, 0.999);
const EPS: f64 = 1e-8;

/// Compares with plain arithmetic, to a millionth: the gradient of a table whose rows are looked up several times, and
/// two steps of each rule.
fn trains(device: Device) -> Result<()> {
    let (n, numbers) = (5 * COLUMNS, ROWS.len() * COLUMNS);
    let start: Vec<f32> = (0..n).map(|i| 0.07 * i as f32 - 0.6).collect();
    let weights: Vec<f32> = (0..numbers).map(|i| 0.1 + (i * 7 % 11) as f32 / 10.0).collect();
    let mut gradient = vec![0.0; n];
    for (row, weights) in ROWS.iter().zip(weights.chunks(COLUMNS)) {
        let sums = gradient[*row as usize * COLUMNS..].iter_mut();
        sums.zip(weights).for_each(|(sum, weight)| *sum += f64::from(*weight));
    }
    let matrix = |numbers: &[f32]| -> Result<Tensor> {
        Ok(Tensor::f_from_slice(numbers)?.f_view([-1, COLUMNS as i64])?.f_to_device(device)?)
    };
    let near = |what: &str, tensor: &Tensor, by_hand: &[f64]| -> Result<()> {
        let numbers: Vec<f32> = Vec::try_from(tensor.f_detach()?.f_reshape([-1])?)?;
        let apart = numbers.iter().zip(by_hand).map(|(x, hand)| (f64::from(*x) - hand).abs());
        let apart = apart.fold(0.0, f64::max);
        ensure!(apart <= 1e-6, "{what} is {apart:.1e} from what it is by hand");
        Ok(())
    };
    let rows = Tensor::f_from_slice(&ROWS)?.f_to_device(device)?;
    for rule in ["SGD", "Adam", "AdamW"] {
        let table = matrix(&start)?.set_requires_grad(true);
        let looked_up = Tensor::f_embedding(&table, &rows, -1, false, false)?;
        looked_up.f_mul(&matrix(&weights)?)?.f_sum(Kind::Float)?.f_backward()?;
        let grad = table.f_grad()?;
        near("the gradient of repeated rows", &grad, &gradient)?;

        let (m, v) = (grad.f_zeros_like()?, grad.f_zeros_like()?);
        let steps = Tensor::f_zeros([], (Kind::Float, device))?;
        let with = AdamStep {
            beta1: BETAS.0,
            beta2: BETAS.1,
            eps: EPS,
            weight_decay: DECAY,
            decoupled: rule == "AdamW",
        };
        let rate = Tensor::from(LR);
        for _ in 0..2 {
            match rule {
                "SGD" => libtorch::fused_sgd(&[&table], &[&grad], &[&m], &rate, MOMENTUM, DECAY)?,
                _ => libtorch::fused_adam(&[&table], &[&grad], &[&m], &[&v], &[&steps], &rate, with)?,
            }
        }
        let by_hand = start.iter().zip(&gradient).map(|(p, g)| stepped(rule, f64::from(*p), *g));
        near(&format!("a weight after two steps of {rule}"), &table, &by_hand.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// A weight after two steps with the same gradient.
fn stepped(rule: &str, mut p: f64, gradient: f64) -> f64 {
    let (mut m, mut v) = (0.0, 0.0);
    for t in 1..=2 {
        let g = if rule == "AdamW" { gradient } else { gradient + DECAY * p };
        if rule == "SGD" {
            v = MOMENTUM * v + g;
            p -= LR * v;
            continue;
        }
        if rule == "AdamW" {
            p -= LR * DECAY * p;
        }
        m = BETAS.0 * m + (1.0 - BETAS.0) * g;
        v = BETAS.1 * v + (1.0 - BETAS.1) * g * g;
        let (m, v) = (m / (1.0 - BETAS.0.powi(t)), v / (1.0 - BETAS.1.powi(t)));
        p -= LR * m / (v.sqrt() + EPS);
    }
    p
}

/// Two copies of one library in a process are two libtorches mixed by LD_LIBRARY_PATH.
fn mixed_libraries(loaded: &[String]) -> Option<String> {
    let cpu: Vec<&String> = loaded.iter().filter(|path| path.contains("libtorch_cpu")).collect();
    (cpu.len() > 1).then(|| {
        let paths = cpu.iter().map(|p| p.as_str()).collect::<Vec<_>>().join(" and ");
        format!("two libtorches are loaded at once, {paths}: unset LD_LIBRARY_PATH, or make it name one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_that_does_not_compute_is_a_fault_only_where_no_other_computes() {
        let (fine, old) = (Ok("cuda:1        computes".to_owned()), Err("cuda:0 is too old".to_owned()));
        assert_eq!(of_cards(vec![old.clone(), fine.clone()]).1, Vec::<String>::new());
        assert_eq!(of_cards(vec![old.clone(), fine]).0.len(), 2);
        assert_eq!(of_cards(vec![old]).1, ["cuda:0 is too old"]);
    }

    #[test]
    fn gradients_of_repeated_rows_and_two_steps_of_each_rule_are_as_by_hand() {
        trains(Device::Cpu).unwrap();
    }
}
