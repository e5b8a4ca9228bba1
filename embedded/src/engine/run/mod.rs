//! Running statements: batches, transactions, queries, writes, DDL.

mod admin;
mod alter;
mod batch;
mod columns;
mod ddl;
mod live_sql;
mod permission;
mod query;
mod single;
mod table_options;
mod transaction;
mod users;
mod values;
mod write;
mod written;

pub(crate) use batch::Batch;
pub use batch::Submitted;
pub(crate) use permission::check_table;
pub(crate) use query::{bind_all, read_rows};
pub(crate) use values::Values;
pub(super) use write::expire;
