//! Checks that a fit's footprint fits into memory before anything is allocated: Rust and libtorch abort a process that
//! requests too much, and Linux kills one that then uses it.

use anyhow::Result;
use tch::Device;

use crate::fast::StepperKind;
use crate::libtorch;
use crate::optim::Rule;
use crate::ratings::ROWS_PER_PASS;
use crate::settings::{ModelKind, Settings};
use crate::system::memory;

/// Bytes of a float32.
const FLOAT: u64 = 4;
/// Bytes of a rating on the device: two int64 and a float32. During an epoch it is there twice, once in shuffled order.
const RATING: u64 = 2 * 8 + FLOAT;

/// What a process takes of a card besides its tensors once it computes: kernels, the workspace of cuBLAS (32 MiB on new
/// cards), and what libtorch's allocator holds in blocks of up to 20 MiB. The context is there before free memory is asked
/// for.
const OF_A_CARD: u64 = 256 << 20;

/// The least memory that a fit needs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Weights of the model.
    pub weights: u64,
    /// All weights, with their optimizer state.
    pub state: u64,
    /// A gradient for each weight: in libtorch, an embedding's gradient is as large as its table.
    pub gradients: u64,
    /// The fast stepper's own copy of the tables and of their optimizer state.
    pub copy: u64,
    /// The largest tensor of these.
    pub largest: u64,
    /// The larger of a training batch with its gradients and a pass over the validation rows.
    pub activations: u64,
    /// The ratings.
    pub ratings: u64,
}

impl Footprint {
    /// The footprint of a model of `n_users` and `n_movies`, trained on `n_trn` and validated on `n_val` rows.
    pub fn new(
        settings: &Settings,
        (n_users, n_movies): (i64, i64),
        n_trn: usize,
        n_val: usize,
    ) -> Footprint {
        let size = |n: i64| n.max(0) as u64;
        let (users, movies, trn, val) = (size(n_users), size(n_movies), n_trn as u64, n_val as u64);
        let (u, m) = (size(settings.n_factors.0), size(settings.n_factors.1));
        let tables = users * u + movies * m;
        let table = (users * u).max(movies * m);
        // Weights of the tables, of the layers, and of the largest of these; numbers per row in a forward pass.
        let (in_tables, in_layers, largest, row) = match settings.model {
            ModelKind::Dot => (tables, 0, table, u + m + u),
            ModelKind::Bias | ModelKind::Learner => (tables + users + movies, 0, table, u + m + u),
            ModelKind::Net => {
                let layers = settings.net_shape().layers(settings.n_factors);
                let layers: Vec<[u64; 2]> = layers.iter().map(|&(i, o)| [size(i), size(o)]).collect();
                let linear = layers.iter().map(|[inputs, outputs]| inputs * outputs + outputs).sum();
                let widest = layers.iter().map(|[inputs, outputs]| inputs * outputs).max().unwrap_or(0);
                let inputs: u64 = layers.iter().map(|[inputs, _]| inputs).sum();
                (tables, linear, table.max(widest), u + m + inputs + 1)
            }
        };
        let weights = in_tables + in_layers;
        let buffers = match settings.rule {
            Rule::Sgd { .. } => 1,
            Rule::Adam | Rule::AdamW => 2,
        };
        let batch = size(settings.batch_size).min(trn);
        let pass = size(ROWS_PER_PASS).min(val);
        Footprint {
            weights,
            state: weights * (1 + buffers) * FLOAT,
            gradients: weights * FLOAT,
            copy: in_tables * (1 + buffers) * FLOAT,
            largest: largest * FLOAT,
            activations: (2 * batch * row).max(pass * row) * FLOAT,
            ratings: (2 * trn + val) * RATING,
        }
    }

    /// On the device, during training.
    pub fn training(&self) -> u64 {
        self.state + self.activations + self.ratings
    }

    /// In the computer's main memory, while the model is saved: the file, and the tensor that is added to it.
    pub fn saving(&self) -> u64 {
        self.state + self.largest
    }

    /// Compares the footprint with the free memory of the device and the computer; if unknown, every fit passes.
    ///
    /// # Errors
    /// It does not fit.
    pub fn check(&self, device: Device, stepper: StepperKind) -> Result<()> {
        let (own, on_device) = self.by_memory(device, stepper);
        let what = format!("this fit, of {} weights,", self.weights);
        let way_out = "take fewer --factors, smaller --hidden layers or a smaller --batch-size";
        memory::check(&what, own, way_out)?;
        check_on(device, &what, on_device, way_out)
    }

    /// What it takes of the computer's main memory, and of the device's own.
    fn by_memory(&self, device: Device, stepper: StepperKind) -> (u64, u64) {
        let training = match (stepper, device) {
            (StepperKind::Libtorch, _) => self.training() + self.gradients,
            (StepperKind::Fast, Device::Cpu) => self.training() + self.copy,
            // A recorded step keeps memory of its own for its gradients and activations.
            (StepperKind::Fast, _) => self.training() + 2 * self.gradients + self.activations,
        };
        match device {
            Device::Cpu => (training.max(self.state + self.saving()), 0),
            _ => (self.saving(), training + OF_A_CARD),
        }
    }
}

/// Checks the memory of ratings as tensors on a device, `n_trn` of them for training.
///
/// # Errors
/// They do not fit.
pub fn check_ratings(n_trn: usize, n_val: usize, device: Device) -> Result<()> {
    let needed = (2 * n_trn + n_val) as u64 * RATING;
    check_on(device, &format!("training on {n_trn} ratings"), needed, "take a part of them")
}

fn check_on(device: Device, what: &str, needed: u64, way_out: &str) -> Result<()> {
    match device {
        Device::Cuda(index) => {
            let free = libtorch::cuda_free(index);
            memory::compare(what, needed, "memory of the CUDA device", free, way_out)
        }
        _ => memory::check(what, needed, way_out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_ratings_than_memory_holds_are_refused() {
        assert!(check_ratings(1000, 1000, Device::Cpu).is_ok());
        assert!(check_ratings(1 << 40, 1, Device::Cpu).is_err());
    }

    #[test]
    fn what_a_fit_needs_counts_weights_optimizer_and_activations() {
        // By hand: (3 + 5)·4 weights and as many momentum buffers; in one pass 7 rows of u, m and u·m.
        let dot = Settings { n_factors: (4, 4), ..Settings::lecture(ModelKind::Dot) };
        let needed = Footprint::new(&dot, (3, 5), 2, 7);
        let wanted = Footprint {
            weights: 32,
            state: 32 * 2 * 4,
            gradients: 32 * 4,
            copy: 32 * 2 * 4,
            largest: 20 * 4,
            activations: 7 * 12 * 4,
            ratings: 11 * 20,
        };
        assert_eq!(needed, wanted);
        // On a card: weights, momentum and dense gradients, three numbers for each weight, and what is no tensor.
        let on_card = wanted.activations + wanted.ratings + 32 * 3 * 4 + OF_A_CARD;
        assert_eq!(needed.by_memory(Device::Cuda(0), StepperKind::Libtorch), (32 * 2 * 4 + 20 * 4, on_card));
        // lin1 (10, 8) and its bias, lin2 (1, 10) and its bias; both averages of Adam; two rows and their gradients.
        let net = Settings { n_factors: (4, 4), rule: Rule::Adam, ..Settings::lecture(ModelKind::Net) };
        let needed = Footprint::new(&net, (3, 5), 2, 1);
        assert_eq!(needed.weights, 32 + 80 + 10 + 10 + 1);
        assert_eq!(needed.state, 133 * 3 * 4);
        assert_eq!(needed.copy, 32 * 3 * 4);
        assert_eq!(needed.activations, 2 * 2 * (8 + 8 + 10 + 1) * 4);
        // The largest settings give a number, not an overflow.
        let most = Settings { n_factors: (100_000, 100_000), hidden: vec![100_000; 1000], ..net };
        assert!(
            Footprint::new(&most, (1 << 31, 1 << 31), 1 << 40, 1 << 40)
                .check(Device::Cpu, StepperKind::Libtorch)
                .is_err()
        );
    }
}
