//! A model with its optimizer and random generators as one safetensors file. Its model card describes the model,
//! the ids of its rows and the data that it was trained on.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, TensorView, View};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::fast::StepperKind;
use crate::libtorch::{rng_state, set_rng_state};
use crate::movielens::file;
use crate::movielens::{CollabFilterDataset, Ids, Source, Split};
use crate::optim::Optimizer;
use crate::saved::seal;
use crate::settings::Settings;
use crate::system::files::{self, write_durably};
use crate::system::memory;

/// The model card: JSON under the key `lecture5` of the file's metadata. With it, predictions need only the file:
/// see [`crate::saved::trained`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// The settings of the fit.
    pub settings: Settings,
    /// Lowest and highest rating, in stars: the range of the sigmoid (for the net half a star wider at both
    /// ends; the dot product has no sigmoid).
    pub range: (f64, f64),
    /// The users' ids as text, in the order of the rows of `u.weight` and `ub.weight`.
    pub users: Vec<String>,
    /// The movies' ids as text, in the order of the rows of `m.weight` and `mb.weight`.
    pub movies: Vec<String>,
    /// Number of training rows of each user, row by row.
    pub user_ratings: Vec<u32>,
    /// Number of training rows of each movie, row by row.
    pub movie_ratings: Vec<u32>,
    /// SHA-256 of the ratings file.
    pub data: String,
    /// Location of that file, as given to the fit.
    #[serde(default)]
    pub source: Option<Source>,
    /// The stepper that computed the batches, if the file names it.
    #[serde(default)]
    pub stepper: Option<StepperKind>,
}

impl ModelCard {
    /// The card of a model with `settings` that is trained on the training rows of `split`.
    pub fn new(cf: &CollabFilterDataset, split: &Split, settings: &Settings, sha256: &str) -> ModelCard {
        let names = |ids: &Ids| (0..ids.len()).map(|index| ids.name(index)).collect();
        let mut ratings = [vec![0; cf.users.len() as usize], vec![0; cf.items.len() as usize]];
        for &row in &split.trn {
            for (counts, index) in ratings.iter_mut().zip(cf.cats(row)) {
                counts[index as usize] += 1;
            }
        }
        let [user_ratings, movie_ratings] = ratings;
        ModelCard {
            settings: settings.clone(),
            range: cf.range(),
            users: names(&cf.users),
            movies: names(&cf.items),
            user_ratings,
            movie_ratings,
            data: sha256.to_owned(),
            source: None,
            stepper: None,
        }
    }
}

/// The key of the [`ModelCard`] in a file's metadata.
const CARD: &str = "lecture5";

/// Saves the weights under their names (`u.weight`), the optimizer's state (`optimizer.u.weight.momentum`,
/// its learning rate included) and the generators' states (`rng.cpu`), so that the next `fit` call continues
/// from the file exactly as it would without saving. The running mean and the clock of the schedule belong to
/// one `fit` call and restart with the next one in either case.
pub fn save(path: &Path, card: &ModelCard, opt: &Optimizer) -> Result<()> {
    save_with(path, card, opt, Vec::new())
}

/// The same with additional named tensors, and with a `card` that may hold additional fields.
pub fn save_with(
    path: &Path,
    card: &impl Serialize,
    opt: &Optimizer,
    more: Vec<(String, Tensor)>,
) -> Result<()> {
    let mut tensors = opt.parameters();
    tensors.extend(more);
    tensors.extend(opt.state().into_iter().map(|(name, t)| (format!("optimizer.{name}"), t)));
    for (name, device) in generators(opt.device()) {
        tensors.push((name, rng_state(device)?));
    }
    let views = tensors.iter().map(|(name, t)| Ok((name, Saved::new(t)?)));
    // Only one key: the order of several keys would vary from run to run.
    let metadata = HashMap::from([(CARD.to_owned(), seal::open_card(card)?)]);
    let mut bytes = safetensors::serialize(views.collect::<Result<Vec<_>>>()?, Some(metadata))?;
    seal::close(&mut bytes)?;
    write_durably(path, &bytes)
}

/// The most bytes that safetensors allows before the tensors.
const MOST_HEADER: u64 = 100_000_000;

/// Checks that a file can hold a card with these ids; this must be known before hours of training.
///
/// # Errors
/// The ids are too long, or too many.
pub fn check_card(card: &ModelCard) -> Result<()> {
    // As JSON in JSON, with some room for the names of the tensors.
    let header = serde_json::to_string(&serde_json::to_string(card)?)?.len() as u64 + 100_000;
    ensure!(
        header <= MOST_HEADER,
        "the ids of {} users and {} movies take {} MB, but the header of a model file holds {} MB: use shorter ids, \
         such as numbers",
        card.users.len(),
        card.movies.len(),
        header / 1_000_000,
        MOST_HEADER / 1_000_000
    );
    Ok(())
}

/// The metadata and the tensors of a safetensors file from any program.
///
/// # Errors
/// The file cannot be read, does not fit into memory, is not a complete safetensors file, has changed since it was
/// sealed, or has a tensor of a type that this program does not save.
pub fn read(path: &Path) -> Result<(HashMap<String, String>, HashMap<String, Tensor>)> {
    let bytes = read_bytes(path)?;
    // A file of this program begins with an arbitrary number and a brace.
    if bytes.get(8) != Some(&b'{') {
        bail!("{}: {}", path.display(), what_else(&bytes));
    }
    let parse = || -> Result<_> {
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let tensors = SafeTensors::deserialize(&bytes)?.tensors();
        Ok((header.metadata().clone().unwrap_or_default(), tensors))
    };
    let (metadata, views) =
        parse().with_context(|| format!("{}: not a complete safetensors file", path.display()))?;
    seal::check(&bytes).with_context(|| path.display().to_string())?;
    let tensors = views.into_iter().map(|(name, view)| Ok((name, tensor(&view)?)));
    let tensors = tensors.collect::<Result<_>>().with_context(|| format!("{}", path.display()))?;
    Ok((metadata, tensors))
}

/// What a file is that is not a model.
fn what_else(bytes: &[u8]) -> String {
    let what = match bytes {
        [] => "an empty file",
        [b'P', b'K', 3, 4, ..] => "a PyTorch archive (torch.save) or another ZIP file",
        [0x80, ..] => "a Python pickle, as old versions of torch.save write",
        [0x1f, 0x8b, ..] => "compressed by gzip",
        _ if bytes.starts_with(b"version https://git-lfs") => {
            return "a pointer of Git LFS and not the model; git lfs pull fetches it".to_owned();
        }
        _ => {
            let text = String::from_utf8_lossy(bytes);
            let known = file::recognize(bytes).or_else(|| file::other_text(&text));
            match known.and_then(|what| what.split(';').next()) {
                Some(what) => what,
                None if bytes.iter().all(|byte| (b'\t'..=b'~').contains(byte)) => "text",
                None => "not a safetensors file",
            }
        }
    };
    format!("{what}; only models that this program has saved are opened (`lecture5 fit` saves one)")
}

/// The bytes of a file whose length is the one that its header states; of any other file, only the first few.
fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let unread = || format!("{}: cannot be read", path.display());
    let (mut file, length) = files::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(8).read_to_end(&mut bytes).with_context(unread)?;
    let header = bytes.first_chunk().map_or(0, |n| u64::from_le_bytes(*n));
    if bytes.len() < 8 || header > MOST_HEADER.min(length) {
        file.take(64).read_to_end(&mut bytes).with_context(unread)?;
        return Ok(bytes);
    }
    memory::check_file(path, header)?;
    file.by_ref().take(header).read_to_end(&mut bytes).with_context(unread)?;
    let tensors = serde_json::from_slice::<Metadata>(&bytes[8..]);
    let data = tensors.ok().and_then(|of| (of.data_len() as u64).checked_add(8 + header));
    if data == Some(length) {
        // Once as bytes, and once as tensors.
        memory::check_file(path, length.saturating_mul(2))?;
        file.take(length - bytes.len() as u64).read_to_end(&mut bytes).with_context(unread)?;
    }
    Ok(bytes)
}

/// The model card in a file's metadata.
///
/// # Errors
/// There is no model card, or this version does not understand it.
pub fn card(metadata: &HashMap<String, String>) -> Result<ModelCard> {
    serde_json::from_str(card_text(metadata)?).context("its model card cannot be parsed")
}

/// The same as JSON text.
pub fn card_text(metadata: &HashMap<String, String>) -> Result<&str> {
    let text = metadata.get(CARD);
    text.map(String::as_str).context("it has no model card: another program wrote it")
}

/// Restores a state from [`save`] into a model and an optimizer made with the same settings.
///
/// # Errors
/// The file is not a safetensors file, or belongs to another model or optimizer. Model and optimizer may then
/// be partly overwritten: drop them.
pub fn load(path: &Path, opt: &mut Optimizer) -> Result<()> {
    let (_, saved) = read(path)?;
    put_back(&saved, opt, false).with_context(|| format!("{}: does not fit", path.display()))
}

/// How a fit moves between a card and the CPU, if it continues on `device`, in words.
pub fn crossing(saved: &HashMap<String, Tensor>, device: Device) -> Option<&'static str> {
    match (saved.contains_key("rng.cuda"), device.is_cuda()) {
        (true, false) => Some("it was trained on CUDA, and continues on the CPU"),
        (false, true) => Some("it was trained on the CPU, and continues on CUDA"),
        _ => None,
    }
}

/// Restores the tensors of a file. If the fit `may_cross` between a card and the CPU, only the CPU's generator is restored;
/// a card's is then as a new fit has it.
///
/// # Errors
/// As for [`load`].
pub fn put_back(saved: &HashMap<String, Tensor>, opt: &mut Optimizer, may_cross: bool) -> Result<()> {
    // Before anything is overwritten.
    let crosses = crossing(saved, opt.device());
    if !may_cross && crosses.is_some() {
        match opt.device().is_cuda() {
            true => bail!(
                "it was trained on the CPU: resume with --device cpu, or with --device cuda to cross over"
            ),
            false => {
                bail!("it was trained on CUDA: resume with --device cuda, or with --device cpu to cross over")
            }
        }
    }
    for (name, mut mine) in opt.parameters() {
        let theirs = saved.get(&name).with_context(|| format!("it has no '{name}': another model"))?;
        let (size, wanted) = (theirs.size(), mine.size());
        ensure!(size == wanted, "its '{name}' has shape {size:?}, this model's {wanted:?}");
        let (kind, wanted) = (theirs.kind(), mine.kind());
        ensure!(kind == wanted, "its '{name}' is of type {kind:?}, this model's {wanted:?}");
        ensure!(is_finite(theirs), "its '{name}' has values that are not finite");
        tch::no_grad(|| mine.copy_(theirs));
    }
    let state: Vec<(String, Tensor)> = saved
        .iter()
        .filter_map(|(name, t)| Some((name.strip_prefix("optimizer.")?.to_owned(), t.shallow_clone())))
        .collect();
    if let Some((name, _)) = state.iter().find(|(_, t)| !is_finite(t)) {
        bail!("the optimizer's '{name}' has values that are not finite");
    }
    opt.load_state(&state)?;
    let generators = generators(opt.device()).into_iter();
    for (name, device) in generators.filter(|(_, device)| crosses.is_none() || *device == Device::Cpu) {
        let state = saved.get(&name).with_context(|| format!("it has no '{name}'"))?;
        set_rng_state(device, state).with_context(|| format!("its '{name}'"))?;
    }
    Ok(())
}

/// Whether all values of a tensor are finite.
pub(super) fn is_finite(t: &Tensor) -> bool {
    t.isfinite().all().int64_value(&[]) == 1
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

/// A tensor whose bytes are copied only when they are written, so that a large model's file is in memory only once.
struct Saved<'a> {
    tensor: &'a Tensor,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl Saved<'_> {
    fn new(tensor: &Tensor) -> Result<Saved<'_>> {
        let shape = tensor.size().iter().map(|&n| n as usize).collect();
        Ok(Saved { tensor, dtype: dtype(tensor)?, shape })
    }
}

impl View for Saved<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let t = self.tensor.detach().to_device(Device::Cpu).contiguous();
        let mut bytes = vec![0; self.data_len()];
        t.copy_data_u8(&mut bytes, t.numel());
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
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
