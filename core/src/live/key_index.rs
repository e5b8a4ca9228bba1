//! Rows by key.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::live::layout::Keys;
use crate::live::version::Version;
use crate::row::Row;
use crate::value::Value;

/// A row as it is held for its key.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) row: Row,
    /// Its place in the order of arrival, which is also its name among the changes.
    pub(crate) arrival: u64,
    /// The last write that touched it. The row's own version is older where that write changed nothing.
    pub(crate) version: Version,
    /// The version is not one of this subscription: it came from an HTTP answer or from an earlier connection, and is
    /// not to be compared with those of frames.
    pub(crate) foreign: bool,
}

/// A hash table that reads the key cells out of the rows themselves. Every row must have passed
/// [`Layout::check`](crate::live::layout::Layout::check), and `keys` must be the same in every call.
#[derive(Debug, Default)]
pub(crate) struct KeyIndex {
    table: HashTable<Held>,
    hasher: RandomState,
}

impl KeyIndex {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(crate) fn get(&self, keys: &Keys, row: &Row) -> Option<&Held> {
        self.table.find(hash(&self.hasher, keys, row), |held| keys.same(&held.row, row))
    }

    /// The row with these key cells, given in the order of the key columns.
    pub(crate) fn find(&self, keys: &Keys, key: &[Value]) -> Option<&Held> {
        let mut state = self.hasher.build_hasher();
        key.iter().for_each(|value| value.hash(&mut state));
        self.table.find(state.finish(), |held| keys.of(&held.row).eq(key))
    }

    pub(crate) fn entry(&mut self, keys: &Keys, row: &Row) -> Entry<'_, Held> {
        let hasher = &self.hasher;
        self.table.entry(
            hash(hasher, keys, row),
            |held| keys.same(&held.row, row),
            |held| hash(hasher, keys, &held.row),
        )
    }

    /// In no order. The key cells must stay as they are.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.table.iter_mut()
    }

    /// In no order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Held> {
        self.table.iter()
    }
}

fn hash(hasher: &RandomState, keys: &Keys, row: &Row) -> u64 {
    let mut state = hasher.build_hasher();
    keys.hash(row, &mut state);
    state.finish()
}
