//! The native half of the npm package `kalam-live`. The other half, `ts`, holds everything that JavaScript says
//! better: promises, iteration, option checks, and the making of objects out of packets.
//!
//! Rules that every module keeps:
//! - a background thread never calls into JavaScript but for the one wake-up of [`wake::Wakeups`]
//! - what waits is a [`handle::Handle`]: poll, take, close
//! - data crosses as one [`kalam_bindings::Packet`] at a time, never cell by cell

#![deny(unsafe_code)]

mod client;
mod consumer;
mod error;
mod files;
mod handle;
mod inbox;
mod logs;
mod options;
mod server;
mod wake;
