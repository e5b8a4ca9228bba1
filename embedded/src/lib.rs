//! A small server that speaks KalamDB's HTTP and WebSocket protocol over SQLite: as a command, or inside a program.
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
//!
//! # Where it differs from KalamDB
//!
//! Shapes, codes and sentences are those recorded from KalamDB 0.4.3 (`tests/data/wire/*.jsonl`), and the tests play the
//! recordings against this server. On purpose it differs in these points:
//!
//! - `auth_success` has a field `server` more: name, version, `complete: true`, the `epoch` that row versions belong to, and the limits in force.
//! - A row that leaves the filter of a live query is a delete; filters are evaluated completely; snapshots are complete
//!   and in the order of `_seq`; `last_rows` are the newest, ascending.
//! - A resume (`from`) is an empty batch and then changes, one for each key written since, deletes included. Its batch
//!   repeats the cursor that it was asked for, since nothing was handed out yet.
//! - A subscription without a snapshot is told the newest `_seq`, so that it can resume too.
//! - A connection that can not keep up is closed with 1013; nothing is dropped from it silently.
//! - A dropped table ends its subscriptions with `NOT_FOUND`; an altered one those whose columns are no longer the same,
//!   with `SCHEMA_CHANGED`.
//! - Changing or dropping a user ends their tokens, and closes their WebSockets with 1008.
//! - Logins set no cookies: a token goes into the `Authorization` header.
//! - With [`Options::wire`] it speaks as KalamDB 0.8 is documented to: `_version`, string cursors, version domains.
//!
//! # Emulating KalamDB
//!
//! With [`Options::emulate`] (`--emulate kalamdb-0.4`) the server does what KalamDB 0.4 does where that leaves something
//! out, so that a client's tests meet it: [`Holes`] lists how, each with the recording that shows it. Such a server does
//! not announce itself. What stays different then: values of dropped columns are gone, and an UPDATE also writes the rows
//! whose values stay as they were.
#![forbid(unsafe_code)]

pub mod engine;

mod embedded;
mod holes;
mod options;
mod server;
mod wire;

pub use self::embedded::{Embedded, StartError};
pub use self::engine::Data;
pub use self::holes::Holes;
pub use self::options::{Limits, Options, TlsFiles};
pub use self::wire::Wire;
