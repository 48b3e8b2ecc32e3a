//! Random bytes of the kernel's generator.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use sam_core::entropy::Entropy;

/// The kernel's random numbers; fit for keys. Waits until the kernel has gathered enough of them
/// after a boot.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct OsEntropy;

impl OsEntropy {
    /// Makes a source.
    pub const fn new() -> Self {
        Self
    }
}

impl Entropy for OsEntropy {
    #[expect(clippy::panic, reason = "without random bytes any key made next would be guessable")]
    fn fill(&self, buffer: &mut [u8]) {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            // The kernel may give fewer bytes than asked for, and a signal may interrupt it.
            match getrandom(rest, GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(error) => panic!("the kernel gives no random bytes: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_buffer_is_filled_whatever_its_length() {
        for length in [0, 1, 31, 257, 70_000] {
            let mut buffer = vec![0_u8; length];
            OsEntropy::new().fill(&mut buffer);
            // 64 zero bytes in a row come once in 2^512 fills.
            assert!(!buffer.chunks_exact(64).any(|chunk| chunk.iter().all(|&byte| byte == 0)));
        }
        let (mut one, mut two) = ([0; 32], [0; 32]);
        OsEntropy::new().fill(&mut one);
        OsEntropy::new().fill(&mut two);
        assert_ne!(one, two);
    }
}
