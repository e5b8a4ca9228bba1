//! Live rows against a model of KalamDB 0.4 with all its holes: a machine, keepers and watches, as the runtime drives
//! them, in virtual time.
//!
//! A run has four parts: a calm beginning; trouble (cuts, bursts, drops, late and wrong answers); changes that frames
//! show; changes that no frame shows. After each the rows must be those of the table within the promise's time. Further:
//! the changes of each look lead from the list before to the new one, `live_events` hands out every frame once and in
//! order, checks stay within their budget, and nothing is left after close.

pub mod answers;
pub mod client;
pub mod costs;
pub mod numbers;
pub mod plan;
pub mod question;
pub mod refusals;
pub mod rules;
pub mod scenarios;
pub mod server;
pub mod switches;
pub mod world;

pub use switches::Holes;
pub use world::{Outcome, run};
