//! Running statements: batches, transactions, queries, writes, DDL.

mod batch;
mod ddl;
mod query;
mod values;
mod write;

pub(crate) use batch::{Batch, check_table};
pub(crate) use query::{bind_all, read_rows};
pub(crate) use values::Values;
