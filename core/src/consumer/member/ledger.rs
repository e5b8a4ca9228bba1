//! Where each record is that a member has got: it waits for the reader, the reader has it, or it is finished.

use std::collections::VecDeque;

use crate::consumer::offsets::Offsets;
use crate::protocol::ConsumerRecord;

/// The records of one member. Of what lies before `base` nothing is kept: the group is done with it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The first offset that the group has not committed.
    base: u64,
    /// Whether it has committed anything, as far as this member has seen.
    has_committed: bool,
    /// Fetched and not handed out, each offset once.
    waiting: VecDeque<ConsumerRecord>,
    waiting_offsets: Offsets,
    /// Handed out and not marked.
    held: Offsets,
    /// Marked and not committed.
    done: Offsets,
    /// Handed out before another moved the group back, and not marked since: the next mark of each is of then.
    outdated: Offsets,
    /// After the last record that was handed out.
    position: Option<u64>,
}

impl Ledger {
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn has_committed(&self) -> bool {
        self.has_committed
    }

    /// The offset of the next record that will be handed out, as far as is known.
    pub(super) fn position(&self) -> u64 {
        self.waiting.front().map(|record| record.offset).or(self.position).unwrap_or(self.base)
    }

    pub(super) fn has_handed_out(&self) -> bool {
        self.position.is_some()
    }

    /// How many wait for the reader.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many the reader has.
    pub(super) fn held(&self) -> u64 {
        self.held.len()
    }

    /// How many are finished and not committed.
    pub(super) fn done(&self) -> u64 {
        self.done.len()
    }

    /// After the last that is finished, whatever lies before it.
    pub(super) fn end_of_done(&self) -> Option<u64> {
        self.done.end()
    }

    /// After the last that is finished with all before it: so far a commit may go.
    pub(super) fn end_of_gapless(&self) -> Option<u64> {
        self.done.end_of_run(self.base)
    }

    /// Whether the first record that is not committed is with the reader: then no other member can finish it.
    pub(super) fn holds_first(&self) -> bool {
        self.held.contains(self.base)
    }

    /// Records that came. Delivered again, what is finished needs not be done again, and what waits here is here already;
    /// what the reader has is handed out again, since its time has run out.
    pub(super) fn enqueue(&mut self, records: Vec<ConsumerRecord>) {
        self.waiting.reserve(records.len());
        for record in records {
            let offset = record.offset;
            if offset >= self.base && !self.done.contains(offset) && self.waiting_offsets.insert(offset) {
                self.waiting.push_back(record);
            }
        }
    }

    /// The next records for the reader, at most `most`.
    pub(super) fn hand_out(&mut self, most: usize) -> Vec<ConsumerRecord> {
        let records: Vec<_> = self.waiting.drain(..self.waiting.len().min(most)).collect();
        for record in &records {
            self.waiting_offsets.remove(record.offset);
            self.held.insert(record.offset);
            self.position = Some(record.offset + 1);
        }
        records
    }

    /// A record is finished. Returns whether that is news: not when it is committed, marked already, or of before a move.
    pub(super) fn finish(&mut self, offset: u64) -> bool {
        if self.outdated.remove(offset) {
            return false;
        }
        self.held.remove(offset);
        offset >= self.base && self.done.insert(offset)
    }

    /// The group has committed everything before `base`. Returns whether that is news.
    pub(super) fn advance(&mut self, base: u64) -> bool {
        if base <= self.base {
            return false;
        }
        (self.base, self.has_committed) = (base, true);
        // Seldom: who reads ahead has long queues.
        if self.waiting_offsets.start().is_some_and(|start| start < base) {
            self.waiting.retain(|record| record.offset >= base);
        }
        for offsets in [&mut self.done, &mut self.held, &mut self.waiting_offsets] {
            offsets.remove_before(base);
        }
        true
    }

    /// The group is at `base`, wherever this member thought it to be. Only before anything was fetched.
    pub(super) fn begin_at(&mut self, base: u64) {
        self.base = base;
        self.done.remove_before(base);
    }

    /// This member has moved the group to `base`: what it had is not its any more.
    pub(super) fn move_to(&mut self, base: u64) {
        *self = Self { base, position: Some(base), ..Self::default() };
    }

    /// Another has moved the group back to `base`: everything from there on is to be handled again. Who still handles what
    /// was handed out before will mark it, and that is not to count for the record that comes again.
    pub(super) fn follow_back(&mut self, base: u64) {
        let outdated = std::mem::take(&mut self.held);
        self.move_to(base);
        self.outdated = outdated;
    }
}
