//! Who may read and write which table.

use crate::engine::{
    Caller, SqlError,
    catalog::{Access, Table},
    error::SqlResult,
    plans::WritePlan,
    sql::context::Source,
    system,
};

pub(super) fn check_write(write: &WritePlan, caller: &Caller) -> SqlResult<()> {
    check_table(write.table(), caller, true)?;
    if write.returning().is_some() {
        check_table(write.table(), caller, false)?;
    }
    check_reads(write.sources(), caller)
}

pub(super) fn check_reads(sources: &[Source], caller: &Caller) -> SqlResult<()> {
    sources.iter().try_for_each(|source| match source {
        Source::Table(table) => check_table(table, caller, false),
        Source::System(table) => system::check_role(*table, caller.role),
    })
}

/// USER tables are everybody's, each with rows of their own; SHARED tables go by their access level.
pub(crate) fn check_table(table: &Table, caller: &Caller, write: bool) -> SqlResult<()> {
    use crate::engine::Role;
    let least = match table.access {
        _ if table.has_owner() => Role::User,
        Access::Public if !write => Role::User,
        Access::Public | Access::Private | Access::Restricted => Role::Service,
        Access::Dba => Role::Dba,
    };
    if caller.role >= least {
        return Ok(());
    }
    let (verb, role) = (if write { "write to" } else { "read" }, caller.role);
    Err(SqlError::permission(format!(
        "Permission denied: role '{role:?}' can not {verb} the shared table '{}' (access level {})",
        table.qualified(),
        table.access.name()
    )))
}
