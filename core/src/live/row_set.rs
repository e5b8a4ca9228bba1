//! The rows that are held, and the part of them that is shown.

use hashbrown::hash_table::Entry as Slot;

use crate::live::digest::{Digest, RunningDigest};
use crate::live::key_index::{Held, KeyIndex};
use crate::live::layout::Layout;
use crate::live::pending::Pending;
use crate::live::sort::{Entry, Member, Membership, Separator, Sort};
use crate::live::tree::RankTree;
use crate::live::version::{Source, Version};
use crate::row::Row;
use crate::value::Value;

/// Rows by key and in order. What changes for a reader goes into the [`Pending`] that every change is given.
///
/// Rows passed in must have passed [`Layout::check`].
#[derive(Debug)]
pub(crate) struct RowSet {
    pub(crate) layout: Layout,
    index: KeyIndex,
    next_arrival: u64,
    digest: RunningDigest,
    shown: Shown,
    /// With a limit: every row in the order in which they are let in, of which the first are shown.
    pool: Option<Pool>,
}

/// What came of an upsert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upsert {
    Added,
    /// Other content.
    Changed,
    /// The same content under another version.
    Renumbered,
    /// The same content and version, or what is held is newer.
    Unchanged,
}

#[derive(Debug)]
struct Pool {
    limit: usize,
    members: RankTree<Member, (Version, Separator)>,
}

impl RowSet {
    pub(crate) fn new(layout: Layout, limit: Option<usize>) -> Self {
        Self::from_index(layout, limit, KeyIndex::default(), 0)
    }

    /// The set of rows whose arrival numbers, all below `next_arrival`, tell their order.
    pub(crate) fn from_index(
        layout: Layout,
        limit: Option<usize>,
        index: KeyIndex,
        next_arrival: u64,
    ) -> Self {
        let sort = &layout.sort;
        let entry = |held: &Held| sort.entry(held.arrival, held.row.clone());
        let (entries, pool) = match limit {
            None => (index.iter().map(entry).collect(), None),
            Some(limit) => {
                let order = Membership(sort);
                let member = |held: &Held| Member { version: held.version, entry: entry(held) };
                let members = sorted(index.iter().map(member).collect(), &order);
                let entries = members.iter().take(limit).map(|member| member.entry.clone()).collect();
                (entries, Some(Pool { limit, members: RankTree::from_sorted(members, &order) }))
            }
        };
        let shown = Shown(RankTree::from_sorted(sorted(entries, sort), sort));
        let mut digest = RunningDigest::default();
        index.iter().for_each(|held| digest.add(held.version));
        Self { layout, index, next_arrival, digest, shown, pool }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn next_arrival(&self) -> u64 {
        self.next_arrival
    }

    /// The connection that the versions came from is gone.
    pub(crate) fn distrust_versions(&mut self) {
        self.index.iter_mut().for_each(|held| held.foreign = true);
    }

    pub(crate) fn shown(&self) -> &RankTree<Entry, Separator> {
        &self.shown.0
    }

    pub(crate) fn get(&self, row: &Row) -> Option<&Held> {
        self.index.get(&self.layout.keys, row)
    }

    /// The row with these key cells.
    pub(crate) fn find(&self, key: &[Value]) -> Option<&Held> {
        self.index.find(&self.layout.keys, key)
    }

    /// In no order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Held> {
        self.index.iter()
    }

    /// The digest of the versions of all rows that are held, shown or not.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.digest.get()
    }

    /// Inserts a row at the end, or replaces the one with its key where that one stands.
    pub(crate) fn upsert(&mut self, row: Row, source: Source, pending: &mut Pending) -> Upsert {
        let version = row.version().into();
        let foreign = source == Source::Finding;
        match self.index.entry(&self.layout.keys, &row) {
            Slot::Vacant(slot) => {
                let arrival = self.next_arrival;
                self.next_arrival += 1;
                slot.insert(Held { row: row.clone(), arrival, version, foreign });
                self.digest.add(version);
                let entry = self.layout.sort.entry(arrival, row);
                self.admit(Member { version, entry }, pending);
                Upsert::Added
            }
            Slot::Occupied(mut slot) => {
                let held = slot.get_mut();
                if !source.wins(version, held.version) {
                    return Upsert::Unchanged;
                }
                let arrival = held.arrival;
                let same = self.layout.same_for_readers(&held.row, &row);
                let row = match same {
                    true => held.row.clone(),
                    false if self.layout.counts_versions => row,
                    false => pending.original(arrival, &row).unwrap_or(row),
                };
                // The number of a frame that an answer agrees with is still the number of a frame.
                let foreign = foreign && (held.foreign || held.version != version);
                let old = std::mem::replace(held, Held { row: row.clone(), arrival, version, foreign });
                self.digest.remove(old.version);
                self.digest.add(version);
                let effect = match (same, old.version == version) {
                    (false, _) => Upsert::Changed,
                    (true, false) => Upsert::Renumbered,
                    (true, true) => Upsert::Unchanged,
                };
                let entry = self.layout.sort.entry(arrival, row);
                self.change(old, Member { version, entry }, pending);
                effect
            }
        }
    }

    /// Removes the row with the key of `row`, if there is one.
    pub(crate) fn remove(&mut self, row: &Row, source: Source, pending: &mut Pending) {
        let Slot::Occupied(slot) = self.index.entry(&self.layout.keys, row) else { return };
        if !source.wins(row.version().into(), slot.get().version) {
            return;
        }
        let (Held { row, arrival, version, .. }, _) = slot.remove();
        self.digest.remove(version);
        let sort = &self.layout.sort;
        let entry = sort.entry(arrival, row);
        let Some(Pool { limit, members }) = &mut self.pool else {
            return self.shown.hide(&entry, sort, pending);
        };
        let member = Member { version, entry };
        if members.remove(&member, &Membership(sort)).is_some_and(|(rank, _)| rank < *limit) {
            self.shown.hide(&member.entry, sort, pending);
            if let Some(next) = members.get(*limit - 1) {
                self.shown.show(next.entry.clone(), sort, pending);
            }
        }
    }

    fn admit(&mut self, member: Member, pending: &mut Pending) {
        let sort = &self.layout.sort;
        let Some(Pool { limit, members }) = &mut self.pool else {
            return self.shown.show(member.entry, sort, pending);
        };
        if members.insert(member.clone(), &Membership(sort)) < *limit {
            if let Some(last) = members.get(*limit) {
                self.shown.hide(&last.entry, sort, pending);
            }
            self.shown.show(member.entry, sort, pending);
        }
    }

    fn change(&mut self, old: Held, new: Member, pending: &mut Pending) {
        let sort = &self.layout.sort;
        let Some(Pool { limit, members }) = &mut self.pool else {
            return self.shown.change(&old.row, new.entry, sort, pending);
        };
        let order = Membership(sort);
        let old = Member { version: old.version, entry: sort.entry(old.arrival, old.row) };
        let Some((was, _)) = members.remove(&old, &order) else { return };
        let is = members.insert(new.clone(), &order);
        match (was < *limit, is < *limit) {
            (true, true) => self.shown.change(&old.entry.row, new.entry, sort, pending),
            (true, false) => {
                self.shown.hide(&old.entry, sort, pending);
                if let Some(next) = members.get(*limit - 1) {
                    self.shown.show(next.entry.clone(), sort, pending);
                }
            }
            (false, true) => {
                if let Some(last) = members.get(*limit) {
                    self.shown.hide(&last.entry, sort, pending);
                }
                self.shown.show(new.entry, sort, pending);
            }
            (false, false) => {}
        }
    }
}

#[derive(Debug)]
struct Shown(RankTree<Entry, Separator>);

impl Shown {
    fn show(&mut self, entry: Entry, sort: &Sort, pending: &mut Pending) {
        pending.record(entry.arrival, None, Some(entry.row.clone()));
        self.0.insert(entry, sort);
    }

    fn hide(&mut self, entry: &Entry, sort: &Sort, pending: &mut Pending) {
        if let Some((_, Entry { arrival, row, .. })) = self.0.remove(entry, sort) {
            pending.record(arrival, Some(row), None);
        }
    }

    fn change(&mut self, old: &Row, new: Entry, sort: &Sort, pending: &mut Pending) {
        if old.ptr_eq(&new.row) {
            return;
        }
        let Entry { arrival, row, .. } = new.clone();
        let replaced = if sort.compare_rows(old, &row).is_eq() {
            self.0.replace(new, sort)
        } else {
            let removed = self.0.remove(&sort.entry(arrival, old.clone()), sort);
            self.0.insert(new, sort);
            removed.map(|(_, entry)| entry)
        };
        pending.record(arrival, replaced.map(|entry| entry.row), Some(row));
    }
}

fn sorted<T>(mut items: Vec<T>, order: &impl crate::live::tree::Order<T>) -> Vec<T> {
    items.sort_unstable_by(|a, b| order.compare(a, b));
    items
}
