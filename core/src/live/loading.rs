//! A snapshot that is still arriving.

use hashbrown::hash_table::Entry as Slot;

use crate::checkpoint::Checkpoint;
use crate::live::key_index::{Held, KeyIndex};
use crate::live::layout::{Keys, Layout};
use crate::live::row_set::RowSet;
use crate::live::version::{Source, Version};
use crate::row::Row;
use crate::schema::SeqId;

/// So many removed keys are remembered while a snapshot loads, or as many as there are rows when those are more.
const REMEMBERED: usize = 10_000;

/// What is known only until the snapshot is complete.
#[derive(Debug)]
pub(crate) struct Loading {
    pub(crate) target: Target,
    pub(crate) pages: usize,
    /// Whether the connection was lost before.
    pub(crate) reconnecting: bool,
    pub(crate) removed: Removed,
    /// The snapshot leaves older rows out: what is held stays, until it is found to be gone.
    pub(crate) keep_held: bool,
    /// There is no snapshot: only what was written since a position.
    pub(crate) since: bool,
    /// Whose versions the rows have.
    pub(crate) origin: Option<Checkpoint>,
}

/// Where the rows go.
#[derive(Debug)]
pub(crate) enum Target {
    /// Beside what readers see, to take its place in one step.
    Aside(Stage),
    /// Into what readers see.
    InPlace,
}

impl Loading {
    pub(crate) fn new(target: Target, reconnecting: bool) -> Self {
        Self {
            target,
            pages: 0,
            reconnecting,
            removed: Removed::default(),
            keep_held: false,
            since: false,
            origin: None,
        }
    }
}

/// Rows by key whose order is not needed yet.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) layout: Layout,
    pub(crate) index: KeyIndex,
    pub(crate) next_arrival: u64,
    pub(crate) last_seq_id: Option<SeqId>,
}

impl Stage {
    /// Arrival numbers start at `next_arrival`, behind those of the rows that are held already.
    pub(crate) fn new(layout: Layout, next_arrival: u64) -> Self {
        Self { layout, index: KeyIndex::default(), next_arrival, last_seq_id: None }
    }

    pub(crate) fn upsert(&mut self, row: Row, source: Source) {
        let version = row.version().into();
        match self.index.entry(&self.layout.keys, &row) {
            Slot::Vacant(slot) => {
                slot.insert(Held { row, arrival: self.next_arrival, version, foreign: false });
                self.next_arrival += 1;
            }
            Slot::Occupied(mut slot) => {
                let held = slot.get_mut();
                if source.wins(version, held.version) {
                    *held = Held { row, arrival: held.arrival, version, foreign: false };
                }
            }
        }
    }

    /// Adds what is held and not in this snapshot, but for what was removed while it arrived. The versions are those of
    /// an earlier connection.
    pub(crate) fn keep(&mut self, held: &RowSet, removed: &Removed) {
        if held.layout.schema != self.layout.schema {
            return;
        }
        for old in held.iter().filter(|old| !removed.knows(&self.layout.keys, &old.row)) {
            if let Slot::Vacant(slot) = self.index.entry(&self.layout.keys, &old.row) {
                let Held { row, arrival, version, .. } = old;
                slot.insert(Held { row: row.clone(), arrival: *arrival, version: *version, foreign: true });
            }
        }
    }

    /// Puts the rows into the order of their versions.
    pub(crate) fn sort_by_version(&mut self) {
        let mut held: Vec<&mut Held> = self.index.iter_mut().collect();
        held.sort_unstable_by_key(|held| (held.row.version(), held.arrival));
        let mut arrivals: Vec<u64> = held.iter().map(|held| held.arrival).collect();
        arrivals.sort_unstable();
        for (held, arrival) in held.into_iter().zip(arrivals) {
            held.arrival = arrival;
        }
    }

    pub(crate) fn remove(&mut self, row: &Row, source: Source) {
        if let Slot::Occupied(slot) = self.index.entry(&self.layout.keys, row)
            && source.wins(row.version().into(), slot.get().version)
        {
            slot.remove();
        }
    }
}

/// Keys that were removed while pages were still to come, so that a page that was read earlier can not bring them back.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    index: KeyIndex,
    /// A key had to be forgotten: the snapshot may hold a row too many.
    pub(crate) overflowed: bool,
}

impl Removed {
    /// Whether `row` is older than the removal of its key.
    pub(crate) fn blocks(&self, keys: &Keys, row: &Row, source: Source) -> bool {
        !self.index.is_empty()
            && self.index.get(keys, row).is_some_and(|r| !source.wins(row.version().into(), r.version))
    }

    /// Whether the key of `row` was removed.
    pub(crate) fn knows(&self, keys: &Keys, row: &Row) -> bool {
        self.index.get(keys, row).is_some()
    }

    /// Remembers that the key of `row` was removed at its version.
    pub(crate) fn remember(&mut self, keys: &Keys, row: &Row, held: usize) {
        let version: Version = row.version().into();
        let full = self.index.len() >= REMEMBERED.max(held);
        match self.index.entry(keys, row) {
            Slot::Occupied(mut slot) => {
                let removed = slot.get_mut();
                removed.version = removed.version.max(version);
            }
            Slot::Vacant(_) if full => self.overflowed = true,
            Slot::Vacant(slot) => {
                slot.insert(Held { row: row.clone(), arrival: 0, version, foreign: false });
            }
        }
    }
}
