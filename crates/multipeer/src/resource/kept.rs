//! Blocks that are kept for a while: for receivers that are a little behind, and for a link that is
//! lost.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// Blocks that are kept, whatever their length.
const MAX_BLOCKS: usize = 2048;

/// An entry's number, and a block's within it.
pub(super) type Place = (usize, u64);

/// The blocks that were read last.
#[derive(Debug)]
pub(super) struct Kept {
    blocks: HashMap<Place, Bytes>,
    order: VecDeque<Place>,
    bytes: usize,
    max_bytes: usize,
}

impl Kept {
    /// Keeps so many bytes at most.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { blocks: HashMap::new(), order: VecDeque::new(), bytes: 0, max_bytes }
    }

    pub(super) fn get(&self, place: Place) -> Option<Bytes> {
        self.blocks.get(&place).cloned()
    }

    /// Keeps a block, and gives up the oldest ones for it.
    pub(super) fn insert(&mut self, place: Place, data: Bytes) {
        self.bytes += data.len();
        match self.blocks.insert(place, data) {
            Some(before) => self.bytes -= before.len(),
            None => self.order.push_back(place),
        }
        while (self.bytes > self.max_bytes || self.order.len() > MAX_BLOCKS)
            && self.order.len() > 1
            && let Some(oldest) = self.order.pop_front()
        {
            let removed = self.blocks.remove(&oldest);
            self.bytes -= removed.map_or(0, |data| data.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_blocks_make_room_for_new_ones() {
        let mut kept = Kept::new(100);
        for index in 0..5 {
            kept.insert((0, index), Bytes::from(vec![0; 40]));
        }
        let there: Vec<u64> = (0..5).filter(|&index| kept.get((0, index)).is_some()).collect();
        assert_eq!(there, [3, 4]);
        assert_eq!(kept.bytes, 80);
        kept.insert((0, 4), Bytes::from(vec![0; 60]));
        assert_eq!((kept.bytes, kept.order.len()), (100, 2));
        // The last one is kept however long it is.
        kept.insert((1, 0), Bytes::from(vec![0; 1000]));
        assert_eq!(kept.get((1, 0)).map(|data| data.len()), Some(1000));
        assert_eq!(kept.bytes, 1000);
    }

    #[test]
    fn many_short_blocks_are_limited_by_their_number() {
        let mut kept = Kept::new(usize::MAX);
        for index in 0..3000 {
            kept.insert((index, 0), Bytes::from_static(b"x"));
        }
        assert_eq!((kept.order.len(), kept.blocks.len(), kept.bytes), (2048, 2048, 2048));
    }
}
