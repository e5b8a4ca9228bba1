//! What the model server leaves out: a switch for each hole of KalamDB 0.4, all with their recording.

use std::time::Duration;

/// The holes. Those with a size are closed by a size that nothing reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holes {
    /// A row that leaves a filter is not told (`wire/live_filter.jsonl`). Closed: it is told as a delete.
    pub exits: bool,
    /// The live evaluator follows few operators, and takes NULL for false (`live_filter`, `two_subs`).
    pub evaluator: bool,
    /// Of 1,000 frames to a subscription so many are dropped, each by itself.
    pub drops: u32,
    /// Frames that wait for a connection; what comes then is dropped (`wire/burst.jsonl`: 128).
    pub queue: usize,
    /// Changes that wait during a snapshot; the oldest is lost then (1,024).
    pub load_buffer: usize,
    /// A snapshot page as large as this is taken for the last one (`wire/snapshots.jsonl`: 1,000).
    pub page_cap: usize,
    /// A page holds the oldest versions behind the last row of the page before. Rows that were updated come in no order, so
    /// that pages overlap; and one of a page is left out, which they then skip (`snapshots`).
    pub loose_pages: bool,
    /// `last_rows: n` brings the n rows before the newest one, for n > 1, newest first (`wire/live_basic.jsonl`).
    pub last_rows: bool,
    /// Rows of an HTTP answer without a LIMIT (50), and with any (1,000); pages come unsorted (`order_limit`).
    pub http_caps: (usize, usize),
    /// The frames of one change come in no fixed order among the subscriptions of a connection (`two_subs`).
    pub order: bool,
    /// The other node has another clock and other numbers (`wire/cluster.jsonl`), and lags behind by up to so much.
    pub follower_lag: Duration,
    /// Subscriptions of one user, those of connections that are dead and not noticed included (`wire/limits.jsonl`: 10).
    pub slots: usize,
    /// Messages of a connection in a second; what is more is refused and lost (`limits`: 50).
    pub messages: usize,
    /// A frame of 1,000 comes once more, late.
    pub late: u32,
}

impl Holes {
    /// A server that tells everything: what remains is distance.
    pub fn closed() -> Self {
        Self {
            exits: false,
            evaluator: false,
            drops: 0,
            queue: usize::MAX,
            load_buffer: usize::MAX,
            page_cap: usize::MAX,
            loose_pages: false,
            last_rows: false,
            http_caps: (50, 1_000),
            order: false,
            follower_lag: Duration::ZERO,
            slots: usize::MAX,
            messages: usize::MAX,
            late: 0,
        }
    }

    /// As recorded.
    pub fn recorded() -> Self {
        Self {
            exits: true,
            evaluator: true,
            drops: 0,
            queue: 128,
            load_buffer: 1_024,
            page_cap: 1_000,
            loose_pages: true,
            last_rows: true,
            http_caps: (50, 1_000),
            order: true,
            follower_lag: Duration::from_millis(30),
            slots: 10,
            messages: 50,
            late: 0,
        }
    }
}
