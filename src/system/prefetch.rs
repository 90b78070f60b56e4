//! Memory that is needed soon.

/// Asks the processor to fetch what is at an address, without waiting for it: a hint, valid for any address.
#[inline(always)]
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: nothing is read or written.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
}
