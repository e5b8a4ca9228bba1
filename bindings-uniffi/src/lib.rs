//! The native half of Kalam Live for Kotlin and Swift. The other half is written by hand in each language: `Flow` and
//! `AsyncSequence`, options, and the making of rows out of packets.
//!
//! Rules that every module keeps:
//! - what waits is an object with `ready`, `take` and `end`; nothing is pushed, and no code of the user is called from here
//! - data crosses as one packet at a time, never cell by cell
//! - everything runs on the core's own runtime; `ready` is the only async function, and only waits

#![allow(unreachable_pub, reason = "what is exported is called from Kotlin and Swift only")]

uniffi::setup_scaffolding!("kalam_live_native");

mod client;
mod consumer;
mod ending;
mod error;
mod files;
mod handle;
mod inbox;
mod logs;
mod options;
mod run;
mod server;

/// Stops everything that runs in the background, within about a second. What is used afterwards starts it again.
#[uniffi::export]
pub fn shutdown() {
    kalam_bindings::shutdown();
}
