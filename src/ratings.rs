//! Ratings as tensors on a device, and the batches of an epoch.
//!
//! Lecture: "Pull from a dataframe, with x, y, note that we bind the categorical variables together".

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use crate::movielens::{CollabFilterDataset, Split};

/// Rows that a model predicts in one pass: enough that the fixed cost of a pass does not matter.
pub const ROWS_PER_PASS: i64 = 1 << 16;

/// A part of the ratings on a device.
#[derive(Debug)]
pub struct Columns {
    /// User and movie index of each rating: (n, 2), int64.
    pub cats: Tensor,
    /// The ratings in stars: (n,), float32.
    pub y: Tensor,
}

impl Columns {
    fn new(data: &CollabFilterDataset, rows: &[usize], device: Device) -> Columns {
        let cats: Vec<i64> = rows.iter().flat_map(|&row| data.cats(row)).collect();
        let y: Vec<f32> = rows.iter().map(|&row| data.y[row]).collect();
        Columns {
            cats: Tensor::from_slice(&cats).view([-1, 2]).to_device(device), // (n, 2)
            y: Tensor::from_slice(&y).to_device(device),                     // (n,)
        }
    }

    /// Number of rows.
    pub fn len(&self) -> i64 {
        self.y.size()[0]
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same rows in a fresh order. One `randperm` on the CPU, whatever the device, so that a CPU and a CUDA run see the
    /// same batches, unless dropout draws from the same generator in between, as it does on the CPU only. Gathered once, so
    /// that a batch is a view.
    pub fn shuffled(&self) -> Columns {
        let order = Tensor::randperm(self.len(), (Kind::Int64, Device::Cpu)).to_device(self.y.device());
        Columns { cats: self.cats.index_select(0, &order), y: self.y.index_select(0, &order) }
    }

    /// Batches of `bs` rows in order; the last one may be shorter.
    pub fn batches(&self, bs: i64) -> impl Iterator<Item = (Tensor, Tensor)> + '_ {
        let starts = (0..self.len()).step_by(bs as usize);
        starts.map(move |start| {
            let rows = bs.min(self.len() - start);
            (self.cats.narrow(0, start, rows), self.y.narrow(0, start, rows)) // (bs, 2), (bs,)
        })
    }
}

/// fastai's `ColumnarModelData`: what `fit` trains on, what it validates on, and the batch size.
#[derive(Debug)]
pub struct ColumnarModelData {
    /// Training rows, in file order.
    pub trn: Columns,
    /// Validation rows, in file order.
    pub val: Columns,
    /// Training rows in a batch.
    pub bs: i64,
}

impl ColumnarModelData {
    /// The lecture's `ColumnarModelData.from_data_frame(path, val_idxs, x, y, ['userId', 'movieId'], 64)`,
    /// moved to `device`.
    ///
    /// # Errors
    /// A part of the split has no rows.
    pub fn new(data: &CollabFilterDataset, split: &Split, bs: i64, device: Device) -> Result<Self> {
        ensure!(bs > 0, "a batch of {bs} rows: it takes at least 1");
        for (rows, part) in [(&split.trn, "to train on"), (&split.val, "to validate on")] {
            ensure!(!rows.is_empty(), "no ratings {part}: {} ratings are too few to split", data.len());
        }
        Ok(ColumnarModelData {
            trn: Columns::new(data, &split.trn, device),
            val: Columns::new(data, &split.val, device),
            bs,
        })
    }

    /// Batches in an epoch.
    pub fn n_batches(&self) -> usize {
        (self.trn.len() as usize).div_ceil(self.bs as usize)
    }
}
