//! Functions of libtorch that `tch` does not bind: generator states, fused optimizer steps, flushing of
//! subnormal numbers, the version, what is known of a card; and the choice of a run's device.
//!
//! The `unsafe` code of this project is here, in calls to `extra.cpp` and `cuda.cpp`, short C++ files that build.rs
//! compiles, in fast/, which works on tensors in place, and in the program's allocator.

pub mod cuda;
pub mod device;
pub mod doctor;
pub mod graph;
pub mod memory;
pub mod record;
pub mod smi;

use std::ffi::{CStr, c_char, c_int, c_longlong};
use std::fmt;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn lecture5_torch_version() -> *const c_char;
    fn lecture5_explain_terminations();
    fn lecture5_cuda_of_driver() -> c_int;
    fn lecture5_cuda_of_runtime() -> c_int;
    fn lecture5_cuda_start() -> c_int;
    fn lecture5_cuda_card(index: c_int, name: *mut c_char, length: c_int) -> c_int;
    fn lecture5_cuda_free(index: c_int) -> c_longlong;
    fn lecture5_cuda_peak(index: c_int) -> c_longlong;
    fn lecture5_flush_denormal(on: bool) -> bool;
    fn lecture5_rng_state(device: c_int, out: *mut *mut C_tensor) -> *mut c_char;
    fn lecture5_set_rng_state(device: c_int, state: *const C_tensor) -> *mut c_char;
    fn lecture5_forget_gradient(param: *const C_tensor);
    fn lecture5_fused_sgd(
        params: *const *const C_tensor,
        grads: *const *const C_tensor,
        momenta: *const *const C_tensor,
        n: usize,
        lr: *const C_tensor,
        momentum: f64,
        weight_decay: f64,
    ) -> *mut c_char;
    fn lecture5_fused_adam(
        params: *const *const C_tensor,
        grads: *const *const C_tensor,
        exp_avgs: *const *const C_tensor,
        exp_avg_sqs: *const *const C_tensor,
        steps: *const *const C_tensor,
        n: usize,
        lr: *const C_tensor,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
        decoupled: bool,
    ) -> *mut c_char;
}

/// libtorch's version, as its headers state it: `2.13.0`.
pub fn version() -> &'static str {
    // SAFETY: the function returns a string literal.
    unsafe { CStr::from_ptr(lecture5_torch_version()) }.to_str().unwrap_or("unknown")
}

/// From here on a C++ exception that nothing catches, as when memory runs out, gives one line on the standard error and
/// status 1.
pub extern "C" fn explain_terminations() {
    // SAFETY: sets C++'s terminate handler, which is valid for the whole process.
    unsafe { lecture5_explain_terminations() }
}

/// The CUDA that the driver supports, as in [`cuda::Version`]; 0 if it does not say, and -1 without a driver.
fn cuda_of_driver() -> i32 {
    // SAFETY: returns a number; the function that it looks up has this signature in every driver.
    unsafe { lecture5_cuda_of_driver() }
}

/// The CUDA of libtorch's own libraries; -1 without them.
fn cuda_of_runtime() -> i32 {
    // SAFETY: as above, of every CUDA runtime.
    unsafe { lecture5_cuda_of_runtime() }
}

/// The number by which the driver says why it cannot start; 0 if it can, and -1 without a driver.
fn cuda_start() -> i32 {
    // SAFETY: as above.
    unsafe { lecture5_cuda_start() }
}

/// A card, as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its name: `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Its compute capability: `9.0`.
    pub capability: String,
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}, compute capability {}", self.name, self.capability)
    }
}

/// The card of a number; `None` if the driver does not know it. Opens no context on it.
pub fn card(index: usize) -> Option<Card> {
    let mut name = [0 as c_char; 256];
    // SAFETY: the driver writes at most as many bytes as it is told, and ends the text with a zero.
    let (capability, name) = unsafe {
        let capability = lecture5_cuda_card(c_int::try_from(index).ok()?, name.as_mut_ptr(), 255);
        (capability, CStr::from_ptr(name.as_ptr()))
    };
    let known = capability >= 0;
    known.then(|| Card {
        name: name.to_string_lossy().into_owned(),
        capability: format!("{}.{}", capability / 10, capability % 10),
    })
}

/// Free bytes on a card; `None` if they cannot be queried. Opens no context on another card.
pub fn cuda_free(index: usize) -> Option<u64> {
    // SAFETY: takes and returns numbers.
    u64::try_from(unsafe { lecture5_cuda_free(index as c_int) }).ok()
}

/// The most bytes that the tensors of this process have taken on a card at one time; `None` if libtorch does not say.
pub fn cuda_peak(index: usize) -> Option<u64> {
    // SAFETY: takes and returns numbers.
    u64::try_from(unsafe { lecture5_cuda_peak(index as c_int) }).ok()
}

/// Asks the processor to treat subnormal floats as zero, on this thread and on threads that it starts later;
/// `false` if it cannot. Adam's squared gradients of unread rows decay into subnormals, on which most
/// processors compute tens of times slower.
pub fn flush_subnormals() -> bool {
    // SAFETY: sets a bit of the calling thread's floating-point control register.
    unsafe { lecture5_flush_denormal(true) }
}

/// The state of the device's default random generator, as a byte tensor on the CPU.
pub fn rng_state(device: Device) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: on success `out` is a new tensor, which this function then owns.
    unsafe {
        check(lecture5_rng_state(generator(device), &mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// Restores a state from [`rng_state`].
///
/// # Errors
/// The state does not belong to this kind of generator.
pub fn set_rng_state(device: Device, state: &Tensor) -> Result<()> {
    // SAFETY: the state is only read; libtorch checks its type and length.
    unsafe { check(lecture5_set_rng_state(generator(device), state.as_ptr())) }
}

/// `zero_grad(set_to_none=True)`: the next backward pass sets the gradients instead of adding to them.
pub fn forget_gradients<'a>(params: impl Iterator<Item = &'a Tensor>) {
    for param in params {
        // SAFETY: a live tensor, whose gradient is dropped.
        unsafe { lecture5_forget_gradient(param.as_ptr()) };
    }
}

/// One step of SGD over all parameters in one pass: `torch.optim.SGD(fused=True)`.
///
/// With the gradient g and the momentum buffer v, which is zero before the first step:
/// `g ← g + weight_decay·p;  v ← momentum·v + g;  p ← p − lr·v`.
pub fn fused_sgd(
    params: &[&Tensor],
    grads: &[&Tensor],
    momenta: &[&Tensor],
    lr: &Tensor,
    momentum: f64,
    weight_decay: f64,
) -> Result<()> {
    assert!(same_sizes(&[params, grads, momenta]));
    let (p, g, v) = (pointers(params), pointers(grads), pointers(momenta));
    // SAFETY: three arrays of n live tensors each, of equal sizes.
    unsafe {
        check(lecture5_fused_sgd(
            p.as_ptr(),
            g.as_ptr(),
            v.as_ptr(),
            p.len(),
            lr.as_ptr(),
            momentum,
            weight_decay,
        ))
    }
}

/// Adam's constants. `decoupled` selects AdamW: the weight decay acts on the weight, outside the moving averages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Decay of the average of the gradients.
    pub beta1: f64,
    /// Decay of the average of their squares.
    pub beta2: f64,
    /// Avoids division by zero.
    pub eps: f64,
    /// Strength of the weight decay.
    pub weight_decay: f64,
    /// AdamW instead of L2.
    pub decoupled: bool,
}

/// One step of Adam or AdamW over all parameters in one pass: `torch.optim.Adam(fused=True)`.
/// Adds 1 to each of `steps` first.
pub fn fused_adam(
    params: &[&Tensor],
    grads: &[&Tensor],
    exp_avgs: &[&Tensor],
    exp_avg_sqs: &[&Tensor],
    steps: &[&Tensor],
    lr: &Tensor,
    with: AdamStep,
) -> Result<()> {
    let n = params.len();
    assert!(same_sizes(&[params, grads, exp_avgs, exp_avg_sqs]) && steps.len() == n);
    let (p, g, t) = (pointers(params), pointers(grads), pointers(steps));
    let (m, v) = (pointers(exp_avgs), pointers(exp_avg_sqs));
    // SAFETY: five arrays of n live tensors each, of equal sizes except for the steps.
    unsafe {
        check(lecture5_fused_adam(
            p.as_ptr(),
            g.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            t.as_ptr(),
            n,
            lr.as_ptr(),
            with.beta1,
            with.beta2,
            with.eps,
            with.weight_decay,
            with.decoupled,
        ))
    }
}

/// Whether the lists have the same length and their tensors the same sizes, position by position. libtorch's fused
/// kernels do not check this and would read past the end.
fn same_sizes(lists: &[&[&Tensor]]) -> bool {
    lists.iter().all(|list| {
        list.len() == lists[0].len() && list.iter().zip(lists[0]).all(|(a, b)| a.numel() == b.numel())
    })
}

fn pointers(tensors: &[&Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(|t| t.as_ptr()).collect()
}

/// The device number for `extra.cpp`: -1 is the CPU.
fn generator(device: Device) -> c_int {
    match device {
        Device::Cuda(index) => index as c_int,
        _ => -1,
    }
}

/// Turns a message from `extra.cpp`, if any, into an error.
///
/// # Safety
/// `message` is null or a string made by `strdup`.
unsafe fn check(message: *mut c_char) -> Result<()> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: promised by the caller; the text is copied before the string is freed.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        free(message.cast());
        text
    };
    Err(anyhow!("libtorch: {}", text.lines().next().unwrap_or("unknown error")))
}

unsafe extern "C" {
    fn free(pointer: *mut std::ffi::c_void);
}

/// The paths of libtorch's shared libraries that this process has loaded, sorted. Empty on a system without
/// /proc.
pub fn loaded_libraries() -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut found: Vec<String> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| line[at..].to_owned()))
        .filter(|path| {
            let name = path.rsplit('/').next().unwrap_or_default();
            ["libtorch", "libc10", "libcudart", "libgomp", "libiomp", "libcupti"]
                .iter()
                .any(|l| name.starts_with(l))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}
