//! The engine without its front: SQL, live queries, topics, storage. One test crate, since each links SQLite and the parser.

mod authorisation;
mod commits;
mod common;
mod compatibility;
mod expiry;
mod fuzz;
mod hostile;
mod live;
mod property;
mod replay;
mod scripts;
mod semantics;
mod storage;
mod tables;
mod topics;
mod users;
