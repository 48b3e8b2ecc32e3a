//! The bytes a terminal printed, counted from its first one, of which the newest are kept.
//!
//! Invariants: `end - floor` is the number of bytes kept and never above the limit; an offset
//! names the same byte for ever.

use std::collections::VecDeque;

/// Keeps the newest bytes of a stream and knows the offset of each.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    floor: u64,
    limit: usize,
}

impl Ring {
    /// Makes an empty ring that keeps up to `limit` bytes. Memory is taken as bytes come.
    pub(super) const fn new(limit: usize) -> Self {
        Self { bytes: VecDeque::new(), floor: 0, limit }
    }

    /// Returns the offset of the oldest byte kept.
    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    /// Returns the offset the next byte will have.
    pub(super) fn end(&self) -> u64 {
        self.floor.saturating_add(length(self.bytes.len()))
    }

    /// Appends bytes and forgets the oldest ones above the limit.
    pub(super) fn push(&mut self, new: &[u8]) {
        let excess = (self.bytes.len() + new.len()).saturating_sub(self.limit);
        let old = excess.min(self.bytes.len());
        self.bytes.drain(..old);
        let (skipped, kept) = new.split_at(excess - old);
        self.floor = self.floor.saturating_add(length(old + skipped.len()));
        let needed = self.bytes.len() + kept.len();
        if needed > self.bytes.capacity() {
            // Doubling by hand, so that the last step ends at the limit and not above it.
            let target = needed.max(self.bytes.capacity().saturating_mul(2).min(self.limit));
            self.bytes.reserve_exact(target - self.bytes.len());
        }
        self.bytes.extend(kept);
    }

    /// Appends up to `most` bytes from `offset` on to `out`; nothing when they are not kept.
    pub(super) fn copy(&self, offset: u64, most: usize, out: &mut Vec<u8>) {
        let Some(start) = offset.checked_sub(self.floor).and_then(|at| usize::try_from(at).ok())
        else {
            return;
        };
        let end = start.saturating_add(most).min(self.bytes.len());
        if start >= end {
            return;
        }
        let (front, back) = self.bytes.as_slices();
        let split = front.len();
        out.extend_from_slice(&front[start.min(split)..end.min(split)]);
        out.extend_from_slice(&back[start.saturating_sub(split)..end.saturating_sub(split)]);
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn copied(ring: &Ring, offset: u64, most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        ring.copy(offset, most, &mut out);
        out
    }

    #[test]
    fn a_push_larger_than_the_ring_keeps_its_end() {
        let mut ring = Ring::new(4);
        ring.push(b"ab");
        ring.push(b"cdefghij");
        assert_eq!((ring.floor(), ring.end()), (6, 10));
        assert_eq!(copied(&ring, 6, 9), b"ghij");
        assert_eq!(copied(&ring, 5, 9), b"");
        assert_eq!(copied(&ring, 10, 9), b"");
        assert_eq!(copied(&ring, 11, 9), b"");
    }

    #[test]
    fn memory_grows_with_the_bytes_and_ends_at_the_limit() {
        let mut ring = Ring::new(100_000);
        ring.push(&[1; 10]);
        assert!(ring.bytes.capacity() < 1_000);
        for _ in 0..100 {
            ring.push(&[2; 7_777]);
        }
        assert!(ring.bytes.capacity() <= 100_000);
    }

    proptest! {
        #[test]
        fn the_ring_agrees_with_a_model_that_keeps_everything(
            limit in 1_usize..50,
            pushes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..30),
            reads in prop::collection::vec((0_usize..2_500, 0_usize..70), 0..20),
        ) {
            let mut ring = Ring::new(limit);
            let mut model: Vec<u8> = Vec::new();
            for push in pushes {
                ring.push(&push);
                model.extend(&push);
                let floor = model.len().saturating_sub(limit);
                prop_assert_eq!(ring.floor(), floor as u64);
                prop_assert_eq!(ring.end(), model.len() as u64);
                for &(offset, most) in &reads {
                    let expected = if offset < floor || offset > model.len() {
                        &[][..]
                    } else {
                        &model[offset..(offset + most).min(model.len())]
                    };
                    prop_assert_eq!(copied(&ring, offset as u64, most), expected);
                }
            }
        }
    }
}
