//! Live rows kept right on a server that does not tell everything.
//!
//! A [`Keeper`] owns the [`LiveView`](crate::live::LiveView) of one live query. It passes on what the subscription tells,
//! listens to what other subscriptions tell of the same table ([`Watches`]), and asks for what nobody told: it compares a
//! digest of the versions, looks keys up, and sweeps through the rows page by page. It is policy without I/O: time,
//! answers and randomness are arguments, and what it wants done comes out of [`Keeper::poll_ask`].
//!
//! What a frame tells is never undone by an answer that may be older: a finding is applied only to keys that no frame
//! touched since the query was sent, and others are asked for again. At a server that announced itself complete it asks
//! for nothing.

mod answer;
mod begin;
mod check;
mod counters;
mod doubt;
mod evaluator;
mod frames;
mod keeper;
mod missed;
mod newest;
mod options;
mod paces;
mod questions;
mod resolve;
mod restart;
mod sweep;
mod told;
mod verdict;
mod watched;
mod watches;
mod watermark;

use crate::value::Value;

pub use counters::VerifyCounters;
pub use keeper::{Keeper, Outcome};
pub use missed::{Found, Missed};
pub use options::{KeeperOptions, Rules, Verify};
pub use paces::Paces;
pub use watches::{WatchAction, Watches};

/// The cells of a row's key, in the order of the key columns.
pub type Key = Box<[Value]>;

/// A question of a [`Keeper`], to be named in the answer. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(u64);

impl AskId {
    /// The one with this number, for whoever numbers their questions.
    pub fn numbered(number: u64) -> Self {
        Self(number)
    }
}

/// What a [`Keeper`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Run this SQL, which only reads, over HTTP and answer with [`Keeper::handle_answer`].
    Query {
        /// To be given back with the answer.
        id: AskId,
        /// One or two statements.
        sql: String,
    },
    /// Begin the subscription anew, with a fresh snapshot.
    Restart,
    /// The view has ended: end the subscription.
    End,
}

/// How much a [`Keeper`] holds besides the rows, in entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holds {
    /// Removed keys that are remembered: at most 10,000.
    pub removed: usize,
    /// Keys that are waited for or to be looked up: some thousands at most, beyond which everything is compared.
    pub doubts: usize,
    /// Keys that frames told while an answer is outstanding: at most 50,000.
    pub touched: usize,
    /// States that a digest may be of: at most 4,096.
    pub states: usize,
    /// Changed rows that the reader did not take: at most as many as are shown, or 1,000.
    pub changes: usize,
    /// Repairs that nobody asked for: at most 100.
    pub reports: usize,
}

#[cfg(test)]
mod tests;
