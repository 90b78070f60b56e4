//! Functions that are compiled twice: for any processor, and for those with AVX2.

/// Defines a function whose loops take twice as many numbers at a time on processors with AVX2, with the same result as on
/// others: nothing is reordered, and no product and sum are fused.
macro_rules! wide {
    (
        $(#[$about:meta])*
        $see:vis fn $name:ident $(<const $size:ident: usize>)? ($($arg:ident: $kind:ty),* $(,)?) $(-> $out:ty)? $body:block
    ) => {
        $(#[$about])*
        $see fn $name $(<const $size: usize>)? ($($arg: $kind),*) $(-> $out)? {
            #[inline(always)]
            fn narrow $(<const $size: usize>)? ($($arg: $kind),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                #[target_feature(enable = "avx2")]
                fn wide $(<const $size: usize>)? ($($arg: $kind),*) $(-> $out)? {
                    narrow $(::<$size>)? ($($arg),*)
                }
                // SAFETY: the processor has AVX2.
                return unsafe { wide $(::<$size>)? ($($arg),*) };
            }
            narrow $(::<$size>)? ($($arg),*)
        }
    };
}
pub(crate) use wide;
