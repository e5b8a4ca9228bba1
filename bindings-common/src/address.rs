//! Maps from a row to what a language has made of it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by [`kalam_live::Row::address`].
pub type AddressMap<V> = HashMap<usize, V, BuildHasherDefault<AddressHasher>>;

/// Addresses are distinct already; they only need spreading.
#[derive(Default)]
pub struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte) ^ self.0 as usize);
        }
    }

    fn write_usize(&mut self, address: usize) {
        let spread = (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15); // 2^64 / golden ratio
        self.0 = spread ^ (spread >> 32);
    }
}
