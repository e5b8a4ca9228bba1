//! A small server that speaks KalamDB's HTTP and WebSocket protocol over SQLite: in a process of its own, or inside yours.
//!
//! For development, tests, notebooks and products on a single machine. Live queries are right here: nothing is
//! dropped, rows that leave a filter are deletes, a resume brings deletes too; clients are told so when they
//! authenticate.
//!
//! ```
//! use kalam_embedded::{Embedded, Options};
//!
//! let server = Embedded::start(Options::default())?; // in memory, on a free port
//! println!("{} root {}", server.url(), server.root_password().unwrap_or_default());
//! # Ok::<(), kalam_embedded::StartError>(())
//! ```
#![forbid(unsafe_code)]

pub mod engine;

mod embedded;
mod options;
mod server;

pub use self::embedded::{Embedded, StartError};
pub use self::engine::Data;
pub use self::options::{Limits, Options};
