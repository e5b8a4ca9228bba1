//! Consumers of topics as state machines: no sockets, no clock, no random source.
//!
//! [`Consumer`] keeps one member of a group: what it holds, what is finished, when to ask for records and when to say
//! that they are done. [`Worker`] decides, on top of it, which record is handled when. Both are driven as the
//! [`machine`](crate::machine) is: commands say what is wanted, `handle_*` what happened, `poll_action` what to do,
//! `next_timeout` when to come back.
//!
//! An acknowledgement is group-wide and "up to" (recorded in `wire/topics.jsonl`): it would also cover what other members
//! of the group hold. So only a prefix is committed that is finished without a gap, counted from the offset that the
//! group has committed; a request with `limit: 0` tells that one without taking records. What is finished beyond a gap
//! is held back until the gap is closed, by this member or another.

mod config;
mod member;
mod offsets;
mod worker;

pub use config::{AutoOffsetReset, ConsumerConfig};
#[cfg(feature = "sabotage")]
pub use member::Sabotage;
pub use member::{Action, Committed, Consumer};
pub use worker::{Failed, FailedAction, Job, Worker, WorkerConfig};

pub use crate::protocol::ConsumerRecord;
