//! Running statements: batches, transactions, queries, writes, DDL.

mod admin;
mod alter;
mod batch;
mod columns;
mod ddl;
mod live_sql;
mod query;
mod single;
mod table_options;
mod values;
mod write;

pub use batch::Submitted;
pub(crate) use batch::{Batch, check_table};
pub(crate) use query::{bind_all, read_rows};
pub(crate) use values::Values;
pub(super) use write::expire;
