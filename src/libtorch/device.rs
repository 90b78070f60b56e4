//! The choice of a run's device. A card is taken only after a small computation on it has succeeded.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tch::{Cuda, Device, Kind, Tensor};

use super::cuda::{self, Facts, explain};

/// The names that [`is_device`] takes.
pub const DEVICES: &str = "it is auto, cpu, cuda or cuda:N, as in cuda:0";

/// Whether this is a valid device name, whether or not the machine has that device.
pub fn is_device(name: &str) -> bool {
    matches!(name, "auto" | "cpu") || cuda_index(name).is_some()
}

fn cuda_index(name: &str) -> Option<usize> {
    if name == "cuda" { Some(0) } else { name.strip_prefix("cuda:")?.parse().ok() }
}

/// A run's device.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The device.
    pub device: Device,
    /// Why `auto` did not take a card that shows.
    pub reason: Option<String>,
}

/// The device that `--device` names: `auto` (the first card that computes, else the CPU), `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// CUDA was requested and does not compute, with the reason; or the name is not one of these.
pub fn choose(name: &str) -> Result<Choice> {
    let wanted = match name {
        "cpu" => return Ok(Choice { device: Device::Cpu, reason: None }),
        "auto" => return Ok(automatic(count(), |card| computes(Device::Cuda(card)), facts)),
        _ => cuda_index(name).with_context(|| format!("--device '{name}': {DEVICES}"))?,
    };
    let count = count();
    if count == 0 {
        bail!("--device {name}: {}", explain(&facts(0, None)));
    }
    if wanted >= count {
        bail!("--device {name}: this machine has {count} CUDA device(s), numbered from 0");
    }
    let device = Device::Cuda(wanted);
    computes(device)
        .or_else(|why| bail!("--device {name}: {}", explain(&facts(count, failure(wanted, &why)))))?;
    Ok(Choice { device, reason: None })
}

/// How many cards libtorch counts. It is not asked where the driver is too old for it: it would print a warning of its own.
pub fn count() -> usize {
    match cuda::versions() {
        (Some(driver), Some(runtime)) if cuda::too_old(driver, runtime) => 0,
        _ => usize::try_from(Cuda::device_count()).unwrap_or(0),
    }
}

/// The first card that computes; or the CPU, with the reason if there is any sign of a card.
fn automatic(
    count: usize,
    computes: impl Fn(usize) -> Result<()>,
    facts: impl Fn(usize, Option<(usize, String)>) -> Facts,
) -> Choice {
    let mut first = None;
    for card in 0..count {
        match computes(card) {
            Ok(()) => {
                let reason = first.map(|failed| explain(&facts(count, Some(failed))));
                return Choice { device: Device::Cuda(card), reason };
            }
            Err(why) => first = first.or_else(|| failure(card, &why)),
        }
    }
    let facts = facts(count, first);
    Choice { device: Device::Cpu, reason: facts.show_a_card().then(|| explain(&facts)) }
}

fn facts(count: usize, failure: Option<(usize, String)>) -> Facts {
    Facts::gather(Path::new("/"), count, failure)
}

fn failure(card: usize, why: &anyhow::Error) -> Option<(usize, String)> {
    let text = format!("{why:#}");
    // libtorch's message goes on with advice and C++ frames.
    Some((
        card,
        text.lines().next().unwrap_or_default().trim_start_matches("Internal torch error: ").to_owned(),
    ))
}

/// Why no card can be used, and the way out; `None` if libtorch counts one.
pub fn why_no_cuda() -> Option<String> {
    (count() == 0).then(|| explain(&facts(0, None)))
}

/// Why that card does not compute, and the way out; `None` if it computes.
pub fn why_not(card: usize) -> Option<String> {
    computes(Device::Cuda(card)).err().map(|why| explain(&facts(count(), failure(card, &why))))
}

/// d(x²)/dx at 3 is 6, on the device.
pub fn computes(device: Device) -> Result<()> {
    let x = Tensor::f_from_slice(&[3f32])?.f_to_device(device)?.set_requires_grad(true);
    (&x * &x).f_sum(Kind::Float)?.f_backward()?;
    let slope = f64::try_from(x.f_grad()?.f_sum(Kind::Float)?)?;
    ensure!(slope == 6.0, "the slope of x² at 3 came out as {slope}");
    Ok(())
}

/// A device's name as in `--device`.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        Device::Cpu => "cpu".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    const OLD: &str = "CUDA error: no kernel image is available for execution on the device\nCompile with …";

    /// What `auto` makes of cards of which these compute.
    fn of(cards: &[bool], bare: bool) -> Choice {
        let computes = |card: usize| if cards[card] { Ok(()) } else { Err(anyhow!(OLD)) };
        let facts = |count, failure: Option<(usize, String)>| Facts {
            count,
            has_cuda: !bare,
            failure: failure.map(|(card, why)| (format!("cuda:{card}"), why)),
            ..Facts::default()
        };
        automatic(cards.len(), computes, facts)
    }

    #[test]
    fn auto_takes_the_first_card_that_computes_and_says_why_it_takes_no_other() {
        assert_eq!(of(&[true, true], false), Choice { device: Device::Cuda(0), reason: None });
        let second = of(&[false, true], false);
        assert_eq!(second.device, Device::Cuda(1));
        assert!(second.reason.unwrap().starts_with("cuda:0 is too old or too new"));
        let none = of(&[false], false);
        assert_eq!(none.device, Device::Cpu);
        assert!(none.reason.unwrap().starts_with("cuda:0 is too old or too new"));
    }

    #[test]
    fn auto_needs_no_reason_where_nothing_speaks_of_a_card() {
        assert_eq!(of(&[], true), Choice { device: Device::Cpu, reason: None });
    }

    #[test]
    fn a_failure_is_told_in_one_line() {
        let (card, why) = failure(1, &anyhow!("Internal torch error: {OLD}")).unwrap();
        assert_eq!((card, why.as_str()), (1, OLD.lines().next().unwrap()));
    }
}
