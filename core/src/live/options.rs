//! What the caller of a live query may choose about its rows.

use crate::live::order_by::OrderBy;

/// How the rows of a live query are kept and shown.
///
/// ```
/// use kalam_live::live::LiveOptions;
///
/// let newest_first = LiveOptions {
///     order_by: Some("created_at DESC".parse()?),
///     limit: Some(20),
///     ..LiveOptions::default()
/// };
/// # let _ = newest_first;
/// # Ok::<(), kalam_live::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveOptions {
    /// The columns that together identify a row. Empty: the primary key, as the server tells it.
    pub key_columns: Vec<String>,
    /// Sorts the rows. Without it they stand in the order in which they arrived, and an update keeps its place.
    pub order_by: Option<OrderBy>,
    /// Shows at most so many rows: with `order_by` the first of that order, without it the most recently written. All
    /// matching rows are held, so that a removed one is replaced at once. At least 1.
    pub limit: Option<usize>,
    /// A snapshot holds the newest rows only, which come in the order in which they were written, whatever order the server
    /// sends them in (recorded in `wire/live_basic.jsonl`: descending).
    pub newest: bool,
    /// Shows the rows of the first snapshot while they arrive, with [`Phase::Loading`](crate::live::Phase::Loading).
    /// Otherwise the first rows that are shown are complete.
    pub partial: bool,
}
