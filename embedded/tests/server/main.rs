//! The server as clients see it: over its sockets.

mod auth;
mod authorisation;
mod command;
mod compatibility;
mod connections;
mod emulate;
mod files;
mod fuzz;
mod hostile;
mod isolation;
mod limits;
mod live;
mod msgpack;
mod operation;
mod replay;
mod resume;
mod shutdown;
mod statements;
mod support;
mod topics;
mod wire_0_8;
