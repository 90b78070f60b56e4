//! Tensors in the CPU's memory, read and changed where they lie.

use tch::{Device, Kind, Tensor};

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
