//! Plays `tests/scenarios/*.json` (their README fixes the format) through the public Rust client.
//!
//! ```text
//! scenario   what is to be done         matrix   scenarios that are made from a table
//! target     where: embedded, emulating KalamDB, or the server at KALAM_TEST_URL
//! oracle     what is right: read over HTTP, on connections of its own
//! player     one scenario on one target, and topics its steps about consumers
//! cells      values as the wire writes them
//! ```

#![forbid(unsafe_code)]

mod cells;
mod matrix;
mod oracle;
mod player;
mod replay;
mod scenario;
mod target;
mod topics;

pub use self::cells::cells;
pub use self::matrix::matrix;
pub use self::oracle::{Oracle, sorted};
pub use self::player::play;
pub use self::scenario::{Scenario, read_all};
pub use self::target::{Target, TargetKind};

/// What went wrong, for a person.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
