//! KalamDB's own Rust client, unchanged, at the embedded server: what a user of theirs does works here too.
//!
//! `KALAM_EMBEDDED` names the command; `make test-makers-client` builds it.

mod files;
mod live;
mod queries;
mod server;
mod topics;
