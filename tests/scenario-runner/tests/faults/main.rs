//! Live rows through a network that breaks, on the embedded server as it is and with KalamDB's holes.
//!
//! Each test makes its fault happen, waits until it has, and then demands the rows of the same SELECT over a connection
//! of its own.

mod cluster;
mod events;
mod limits;
mod liveness;
mod outages;
mod server;
mod snapshot;
mod token;
mod world;
