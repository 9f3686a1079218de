//! BLAKE3 over blocks: each block is verified as it comes, and together they give the hash of the
//! whole file without hashing anything twice.

use std::fmt;

use blake3::{
    Hasher,
    hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};
use minicbor::{Decode, Encode};

/// A BLAKE3 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Hash(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub [u8; 32],
);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is known of a block once it is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHash {
    /// Its place in the tree: the chaining value of its subtree. This is what is sent.
    pub subtree: Hash,
    /// The hash of the file, if the block is all of it.
    alone: Hash,
    /// Its length in bytes.
    pub bytes: usize,
}

/// Hashes a block of a file, which is not empty. All blocks but the last have `block_bytes`, a
/// power of two of at least 1024.
pub fn hash_block(index: u64, block_bytes: u64, data: &[u8]) -> BlockHash {
    let mut hasher = BlockHasher::new(index, block_bytes);
    hasher.update(data);
    hasher.finish()
}

/// Hashes a block as it comes; see [`hash_block`].
#[derive(Debug)]
pub struct BlockHasher {
    hasher: Hasher,
    index: u64,
}

impl BlockHasher {
    /// Begins with the block of this number.
    pub fn new(index: u64, block_bytes: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(index * block_bytes);
        Self { hasher, index }
    }

    /// Adds bytes.
    pub fn update(&mut self, data: &[u8]) {
        self.hasher.update(data);
    }

    /// The hash of all that was added.
    pub fn finish(self) -> BlockHash {
        let bytes = usize::try_from(self.hasher.count()).unwrap_or(usize::MAX);
        let alone = if self.index == 0 { *self.hasher.finalize().as_bytes() } else { [0; 32] };
        let subtree = Hash(self.hasher.finalize_non_root());
        BlockHash { subtree, alone: Hash(alone), bytes }
    }
}

/// Puts the hash of a file together from those of its blocks (the BLAKE3 paper, section 2.1).
#[derive(Debug, Default)]
pub struct TreeHash {
    /// Subtrees that wait for their right neighbour, the largest first.
    stack: Vec<ChainingValue>,
    blocks: u64,
    alone: Option<Hash>,
}

impl TreeHash {
    /// Adds the next block.
    pub fn push(&mut self, block: &BlockHash) {
        if self.blocks == 0 {
            self.alone = Some(block.alone);
        }
        // As many subtrees stay as the count has ones; the last merge must wait, for it may
        // turn out to be the root.
        while self.stack.len() > self.blocks.count_ones() as usize {
            self.merge();
        }
        self.stack.push(block.subtree.0);
        self.blocks += 1;
    }

    fn merge(&mut self) {
        if let (Some(right), Some(left)) = (self.stack.pop(), self.stack.pop()) {
            self.stack.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
    }

    /// How many blocks there were.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The hash of the file.
    pub fn finish(mut self) -> Hash {
        match (self.blocks, self.alone) {
            (1, Some(alone)) => return alone,
            (0, _) | (_, None) => return Hash(*blake3::hash(b"").as_bytes()),
            _ => {}
        }
        while self.stack.len() > 2 {
            self.merge();
        }
        match self.stack.as_slice() {
            [left, right] => Hash(*merge_subtrees_root(left, right, Mode::Hash).as_bytes()),
            // Two blocks or more leave two subtrees or more.
            _ => Hash([0; 32]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_of_a_file_give_the_hash_of_the_whole() {
        let data: Vec<u8> = (0..70_000_u32).map(|n| (n % 251) as u8).collect();
        for length in [0, 1, 1023, 1024, 1025, 2048, 2049, 3072, 5000, 8192, 8193, 65536, 70_000] {
            let file = &data[..length];
            let mut tree = TreeHash::default();
            for (index, block) in file.chunks(1024).enumerate() {
                tree.push(&hash_block(index as u64, 1024, block));
            }
            assert_eq!(tree.finish().0, *blake3::hash(file).as_bytes(), "{length} bytes");
        }
    }

    #[test]
    fn a_block_at_another_place_has_another_hash() {
        let block = [7; 1024];
        assert_ne!(hash_block(0, 1024, &block).subtree, hash_block(1, 1024, &block).subtree);
    }
}
