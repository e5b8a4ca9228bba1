//! The native half of the npm package `kalam-live`. The other half, `ts`, holds everything that JavaScript says
//! better: promises, iteration, option checks, and the making of objects out of packets.
//!
//! Rules that every module keeps:
//! - a background thread never calls into JavaScript but for the one wake-up of [`wake::Wakeups`]
//! - what waits is a [`handle::Handle`]: poll, take, close
//! - data crosses as one [`packet::Packet`] at a time, never cell by cell

#![deny(unsafe_code)]

mod call;
mod client;
mod error;
mod events;
mod files;
mod handle;
mod inbox;
mod logs;
mod options;
mod packet;
mod params;
mod query;
mod rows;
mod server;
mod subscriptions;
mod wake;
