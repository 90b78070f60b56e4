//! Tensors in the CPU's memory, read and changed in place.

use tch::{Device, Kind, Tensor};

/// The numbers of a tensor, to be changed in place.
///
/// # Safety
/// The tensor is contiguous, in the CPU's memory, and of the kind that T stands for. Nothing else reads or writes it
/// meanwhile.
#[allow(clippy::mut_from_ref)] // a Tensor is a handle: changing what it refers to takes no `&mut`
pub unsafe fn slice_mut<T>(tensor: &Tensor) -> &mut [T] {
    match tensor.numel() {
        // An empty tensor may have no address.
        0 => &mut [],
        // SAFETY: promised by the caller.
        n => unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), n) },
    }
}

/// The numbers of a tensor, read in place.
///
/// # Safety
/// As [`slice_mut`], but others may read it too.
pub unsafe fn slice<T>(tensor: &Tensor) -> &[T] {
    match tensor.numel() {
        0 => &[],
        // SAFETY: promised by the caller. This does not use `slice_mut`: other shared slices may exist already, which
        // a `&mut` would forbid.
        n => unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast_const().cast(), n) },
    }
}

/// Copies an int64 matrix on the CPU into `out`, column by column, whatever its strides.
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
