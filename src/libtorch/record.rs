//! Records which libtorch operations a piece of code calls, and with which arguments.

use std::ffi::{CStr, c_char};

use anyhow::Result;
use tch::Tensor;
use torch_sys::C_tensor;

use super::{check, free, pointers};

unsafe extern "C" {
    fn lecture5_record_begin(known: *const *const C_tensor, n: usize) -> *mut c_char;
    fn lecture5_record_end() -> *mut c_char;
}

/// A call of an operation; nested calls are not recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// libtorch's name, with the overload: `aten::mul.Tensor`.
    pub name: String,
    /// Its inputs.
    pub inputs: Vec<Value>,
    /// Its outputs.
    pub outputs: Vec<Value>,
}

/// An input or an output.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A tensor.
    Tensor(TensorInfo),
    /// A list of tensors.
    Tensors(Vec<TensorInfo>),
    /// A list of integers.
    Ints(Vec<i64>),
    /// A number or a Boolean.
    Number(f64),
    /// Nothing: an optional input left out.
    Nothing,
    /// Anything else.
    Other,
}

/// A tensor in a call.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Its number: the known tensors come first, then the others in order of appearance.
    pub id: usize,
    /// `f`: float32, `g`: the same with a gradient, `i`: int64, all strided and in the CPU's memory; `u`: any
    /// other tensor.
    pub kind: char,
    /// Its size.
    pub size: Vec<i64>,
}

/// Runs `body` and returns the operations that it called on this thread. `known` lists the tensors that the caller
/// wants to recognize: they are numbered from 0.
///
/// # Errors
/// libtorch cannot record, or is recording already.
pub fn record<T>(known: &[&Tensor], body: impl FnOnce() -> T) -> Result<(T, Vec<Call>)> {
    let known = pointers(known);
    // SAFETY: live tensors, to which the record keeps its own references.
    unsafe { check(lecture5_record_begin(known.as_ptr(), known.len()))? };
    let recording = Recording;
    let out = body();
    let text = recording.end();
    Ok((out, text.lines().map(call).collect()))
}

/// Ends the record even if `body` panics.
struct Recording;

impl Recording {
    fn end(self) -> String {
        std::mem::forget(self);
        end()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        end();
    }
}

fn end() -> String {
    // SAFETY: a record was begun on this thread; the result is a string made by `strdup`.
    unsafe {
        let text = lecture5_record_end();
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        free(text.cast());
        copy
    }
}

/// Parses a line of `extra.cpp`'s record.
fn call(line: &str) -> Call {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default().to_owned();
    let mut out = Call { name, inputs: Vec::new(), outputs: Vec::new() };
    let mut answers = false;
    for word in words {
        if word == "=" {
            answers = true;
        } else {
            let values = if answers { &mut out.outputs } else { &mut out.inputs };
            values.push(value(word));
        }
    }
    out
}

fn value(word: &str) -> Value {
    let numbers = |text: &str| -> Vec<i64> { text.split(',').skip(1).flat_map(str::parse).collect() };
    let tensor = |word: &str| -> Option<TensorInfo> {
        let word = word.strip_prefix('t')?;
        let kind = word.find(|c: char| !c.is_ascii_digit())?;
        let id = word[..kind].parse().ok()?;
        Some(TensorInfo { id, kind: word[kind..].chars().next()?, size: numbers(&word[kind + 1..]) })
    };
    let read = match word.chars().next() {
        Some('t') => tensor(word).map(Value::Tensor),
        Some('+') => word.split('+').skip(1).map(tensor).collect::<Option<_>>().map(Value::Tensors),
        Some('l') => Some(Value::Ints(numbers(word))),
        Some('x') => word[1..].parse().ok().map(Value::Number),
        Some('n') => Some(Value::Nothing),
        _ => None,
    };
    read.unwrap_or(Value::Other)
}
