//! A model with its optimiser and random generators as one safetensors file.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::files::write_whole;
use crate::libtorch::{rng_state, set_rng_state};
use crate::models::named_parameters;
use crate::optim::Optimizer;

/// Saves the weights under their names (`u.weight`), the optimiser's state (`optimizer.u.weight.momentum`,
/// its learning rate included) and the generators' states (`rng.cpu`), so that the next `fit` call goes on
/// from the file exactly as it would have gone on without it. What belongs to a `fit` call, its running mean
/// and the clock of its schedule, starts anew with the next one in either case.
pub fn save(path: &Path, vs: &VarStore, opt: &Optimizer) -> Result<()> {
    let mut tensors = named_parameters(vs);
    tensors.extend(opt.state().into_iter().map(|(name, t)| (format!("optimizer.{name}"), t)));
    for (name, device) in generators(vs.device()) {
        tensors.push((name, rng_state(device)?));
    }
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, t)| bytes(t)).collect::<Result<_>>()?;
    let views = tensors.iter().zip(&data).map(|((name, t), bytes)| {
        let shape = t.size().iter().map(|&n| n as usize).collect();
        Ok((name, TensorView::new(dtype(t)?, shape, bytes)?))
    });
    write_whole(path, &safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?)
}

/// Puts a state of [`save`] back into a model and an optimiser made with the same settings.
///
/// # Errors
/// The file is no safetensors file, or belongs to another model or optimiser. Model and optimiser may then
/// hold part of it: drop them.
pub fn load(path: &Path, vs: &VarStore, opt: &mut Optimizer) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let file = SafeTensors::deserialize(&bytes)
        .with_context(|| format!("{}: not a whole safetensors file", path.display()))?;
    let saved: HashMap<String, Tensor> =
        file.tensors().into_iter().map(|(name, view)| Ok((name, tensor(&view)?))).collect::<Result<_>>()?;
    let mut put = || -> Result<()> {
        for (name, mut mine) in named_parameters(vs) {
            let theirs = saved.get(&name).with_context(|| format!("it has no '{name}': another model"))?;
            let (size, wanted) = (theirs.size(), mine.size());
            ensure!(size == wanted, "its '{name}' has shape {size:?}, this model's {wanted:?}");
            tch::no_grad(|| mine.copy_(theirs));
        }
        let state: Vec<(String, Tensor)> = saved
            .iter()
            .filter_map(|(name, t)| Some((name.strip_prefix("optimizer.")?.to_owned(), t.shallow_clone())))
            .collect();
        opt.load_state(&state)?;
        for (name, device) in generators(vs.device()) {
            let state = saved.get(&name).with_context(|| format!("it has no '{name}'"))?;
            set_rng_state(device, state)?;
        }
        Ok(())
    };
    put().with_context(|| format!("{}: does not fit", path.display()))
}

/// The generators that training draws from: the CPU's, and on CUDA the device's (for dropout).
fn generators(device: Device) -> Vec<(String, Device)> {
    let mut generators = vec![("rng.cpu".to_owned(), Device::Cpu)];
    if let Device::Cuda(_) = device {
        generators.push(("rng.cuda".to_owned(), device));
    }
    generators
}

fn dtype(t: &Tensor) -> Result<Dtype> {
    match t.kind() {
        Kind::Float => Ok(Dtype::F32),
        Kind::Double => Ok(Dtype::F64),
        Kind::Uint8 => Ok(Dtype::U8),
        kind => bail!("no {kind:?} tensor is saved"),
    }
}

fn bytes(t: &Tensor) -> Result<Vec<u8>> {
    let t = t.detach().to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; t.numel() * t.kind().elt_size_in_bytes()];
    t.f_copy_data_u8(&mut bytes, t.numel())?;
    Ok(bytes)
}

fn tensor(view: &TensorView) -> Result<Tensor> {
    let kind = match view.dtype() {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::U8 => Kind::Uint8,
        other => bail!("a tensor of type {other:?}, which this program does not save"),
    };
    let size: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
    Ok(Tensor::f_from_data_size(view.data(), &size, kind)?)
}
