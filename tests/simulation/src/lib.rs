//! A machine and its live rows against a model server: virtual time, a fault plan drawn from a seed, and checks after
//! every step.
//!
//! Each run asserts that
//!
//! - rows end equal to the server's result, of live rows and of the sum of events alike, and stay so;
//! - the changes of each look lead from the list that was taken before to the new one;
//! - a snapshot is shown whole, as it was when it was taken;
//! - events are what arrived, each once, and nothing that arrived is missing;
//! - a client stays below the server's message limit, and its queues stay short;
//! - after close no timer, message or subscription is left, here or at the server.
//!
//! The model server follows the recordings, not the client's beliefs; `server::Behaviour` has a switch for everything
//! in which servers differ.

pub mod client;
pub mod consumers;
pub mod data;
pub mod filter;
pub mod holes;
pub mod keys;
pub mod network;
pub mod plan;
pub mod server;
pub mod trace;
pub mod world;

pub use world::{Outcome, run};
