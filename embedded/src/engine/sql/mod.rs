//! The dialect: from SQL text to checked plans.
//!
//! `split` cuts, `statement` parses, the rest checks against the catalog and writes the SQLite statement anew. The text
//! that reaches SQLite holds only names that we made (`t7`, `c3`), our functions and `?n`: every literal and every
//! parameter is bound. What is not on the allow-list is refused, never passed on.

pub(crate) mod admin;
pub(crate) mod aggregate;
pub(crate) mod calls;
pub(crate) mod context;
mod conversion;
pub(crate) mod dml;
pub(crate) mod expr;
mod from;
pub(crate) mod insert;
mod json;
pub(crate) mod names;
mod numbers;
pub(crate) mod operators;
mod order;
mod projection;
pub(crate) mod query;
pub(crate) mod relation;
pub(crate) mod select;
pub(crate) mod split;
pub(crate) mod statement;
pub(crate) mod stored;
mod subquery;
mod temporal;
mod text;
pub(crate) mod topics;
pub(crate) mod translator;
pub(crate) mod typed;
pub(crate) mod types;
mod window;
