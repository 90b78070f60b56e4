//! Tensors in the CPU's memory, read and changed where they lie.

use std::ffi::c_char;

use anyhow::Result;
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use super::check;

unsafe extern "C" {
    fn lecture5_forget_gradient(param: *const C_tensor);
    fn lecture5_gradient(param: *const C_tensor, out: *mut RawGradient) -> *mut c_char;
}

/// `zero_grad(set_to_none=True)`: the next backward pass hands its gradients over instead of adding them.
pub fn forget_gradients<'a>(params: impl Iterator<Item = &'a Tensor>) {
    for param in params {
        // SAFETY: a live tensor, whose gradient is dropped.
        unsafe { lecture5_forget_gradient(param.as_ptr()) };
    }
}

/// As in `extra.cpp`.
#[repr(C)]
struct RawGradient {
    ids: *const i64,
    values: *const f32,
    n_ids: usize,
    n_values: usize,
}

/// What `backward` left for a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gradient<'a> {
    /// A number for each number of the parameter.
    Dense(&'a [f32]),
    /// For a table that was looked up: `ids` (n,), which may repeat, and for each a row of `values` (n, width).
    Rows {
        /// The rows looked up.
        ids: &'a [i64],
        /// Their gradients.
        values: &'a [f32],
    },
}

/// The gradient of a float32 parameter on the CPU, read where it lies; `None` where `backward` left none.
///
/// # Errors
/// It is not of that kind.
///
/// # Safety
/// Until the answer is dropped, no gradient is forgotten and no `backward` is run.
pub unsafe fn gradient(param: &Tensor) -> Result<Option<Gradient<'_>>> {
    let mut raw = RawGradient { ids: std::ptr::null(), values: std::ptr::null(), n_ids: 0, n_values: 0 };
    // SAFETY: a live parameter; what is answered lies in its gradient, which stays, as promised by the caller.
    unsafe {
        check(lecture5_gradient(param.as_ptr(), &mut raw))?;
        if raw.values.is_null() {
            return Ok(None);
        }
        let values = std::slice::from_raw_parts(raw.values, raw.n_values);
        Ok(Some(match raw.ids.is_null() {
            true => Gradient::Dense(values),
            false => Gradient::Rows { ids: std::slice::from_raw_parts(raw.ids, raw.n_ids), values },
        }))
    }
}

/// The numbers of a tensor, to be changed where they lie.
///
/// # Safety
/// It is contiguous, in the CPU's memory, of the kind that T says, and nobody else reads or writes it meanwhile.
#[allow(clippy::mut_from_ref)] // a Tensor is a handle: changing what it refers to takes no `&mut`
pub unsafe fn slice_mut<T>(tensor: &Tensor) -> &mut [T] {
    match tensor.numel() {
        // It may have no address.
        0 => &mut [],
        // SAFETY: promised by the caller.
        n => unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), n) },
    }
}

/// The numbers of a tensor, read where they lie.
///
/// # Safety
/// As [`slice_mut`], but others may read it too.
pub unsafe fn slice<T>(tensor: &Tensor) -> &[T] {
    match tensor.numel() {
        0 => &[],
        // SAFETY: promised by the caller. Not by way of `slice_mut`: others may hold such a slice already, and beside
        // a `&mut` they must not.
        n => unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast_const().cast(), n) },
    }
}

/// Puts the numbers of a matrix of int64 on the CPU into `out`, column by column, however it is stored.
pub fn indices(x: &Tensor, out: &mut Vec<i64>) {
    assert!(x.device() == Device::Cpu && x.kind() == Kind::Int64, "not indices on the CPU");
    let (size, stride, start) = (x.size(), x.stride(), x.data_ptr().cast::<i64>());
    let [rows, columns] = size[..] else { panic!("indices of shape {size:?}: they come as (bs, columns)") };
    out.clear();
    for column in 0..columns {
        let at = |row| (row * stride[0] + column * stride[1]) as isize;
        // SAFETY: rows and columns within the size, by the tensor's own strides, are within its memory.
        out.extend((0..rows).map(|row| unsafe { *start.offset(at(row)) }));
    }
}
