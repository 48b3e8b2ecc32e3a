//! Random bytes that are handed in.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Fills buffers with random bytes.
///
/// # Contract
/// - **C1** Every call fills the whole buffer.
/// - **C2** Outside tests the bytes are unpredictable: keys and tokens are made from them.
pub trait Entropy: fmt::Debug + Send + Sync + 'static {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[deny(clippy::missing_trait_methods)]
        impl<T: Entropy + ?Sized> Entropy for $pointer {
            fn fill(&self, buffer: &mut [u8]) {
                (**self).fill(buffer);
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);

/// A repeatable source for tests and simulations. **Never for keys**: whoever knows the seed knows
/// every byte.
///
/// ```
/// use sam_core::entropy::{Entropy, SeededEntropy};
/// let (mut a, mut b) = ([0; 9], [0; 9]);
/// SeededEntropy::new(7).fill(&mut a);
/// SeededEntropy::new(7).fill(&mut b);
/// assert_eq!(a, b);
/// ```
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// Starts the sequence of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Returns the next 64 bits (`SplitMix64`).
    pub fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        // The state only ever has a constant added, so no lock is needed to share it.
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`; zero when `bound` is zero.
    pub fn below(&self, bound: u64) -> u64 {
        // The bias of a plain remainder does not matter for choosing test steps.
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}
