//! The server as clients see it: over its sockets.

mod auth;
mod command;
mod connections;
mod emulate;
mod files;
mod hostile;
mod isolation;
mod limits;
mod live;
mod replay;
mod resume;
mod shutdown;
mod support;
mod topics;
