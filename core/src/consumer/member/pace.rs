//! How many records are asked for, and whether before the reader asks.

use crate::machine::Time;

/// Records that are asked for ahead of the reader should be handled within this time, at the reader's pace.
const AHEAD: Time = Time::from_millis(250);
/// The most records of one request.
const MOST_RECORDS: usize = 1_000;

/// The reader's pace, from how long it takes from one poll to the next.
#[derive(Debug)]
pub(super) struct Pace {
    max_poll_records: usize,
    /// How long the reader takes for a record, in nanoseconds.
    each: Option<u64>,
    /// When records were handed out last, and how many.
    handed: Option<(Time, usize)>,
    /// How many to ask for.
    limit: usize,
    /// Whether the last answer was full.
    more: bool,
}

impl Pace {
    pub(super) fn new(max_poll_records: usize) -> Self {
        let limit = max_poll_records.min(MOST_RECORDS);
        Self { max_poll_records, each: None, handed: None, limit, more: false }
    }

    /// How many records to ask for.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn handed_out(&mut self, now: Time, count: usize) {
        self.handed = Some((now, count));
    }

    /// The reader wants the next records: it is done with those that it got last.
    pub(super) fn polled(&mut self, now: Time) {
        let Some((since, count)) = self.handed.take() else { return };
        let spent = now.saturating_sub(since).as_nanos();
        let each = u64::try_from(spent).unwrap_or(u64::MAX) / count.max(1) as u64;
        // The slower of what is and what was, so that one quick batch does not fetch too much.
        let each = self.each.map_or(each, |before| each.max(before / 2 + each / 2));
        self.each = Some(each);
        let most = (AHEAD.as_nanos() as u64 / each.max(1)) as usize;
        let most = most.clamp(self.max_poll_records, MOST_RECORDS.max(self.max_poll_records));
        // Up step by step, down at once.
        self.limit = most.min(self.limit.saturating_mul(2));
    }

    /// So many came where `limit` were asked for.
    pub(super) fn received(&mut self, count: usize, limit: u32) {
        self.more = count >= limit as usize;
    }

    /// The group was moved: the time that passes says nothing about the reader.
    pub(super) fn forget(&mut self) {
        self.handed = None;
    }

    /// Whether to ask for records while the reader handles those that it has and `waiting` more wait: when there are more
    /// and it is quick.
    pub(super) fn wants_ahead(&self, waiting: usize) -> bool {
        let Some(each) = self.each else { return false };
        let time = u128::from(each) * (waiting + self.max_poll_records) as u128;
        self.more && waiting < self.limit / 2 && time <= AHEAD.as_nanos()
    }
}
