//! Namespaces and tables: CREATE, ALTER, DROP. Runs under the commit lock; the new catalog is published after its commit.

use std::sync::{Arc, OnceLock};

use sqlparser::ast::CreateTable;

use super::{alter::alter_table, columns::columns, table_options::Settings};
use crate::engine::{
    SqlError, TableId,
    catalog::{Catalog, DEFAULT_NAMESPACE, Namespace, SYSTEM_NAMESPACES, Table},
    error::SqlResult,
    sql::{names, statement::Statement},
    storage::{Writer, meta, sql_error},
    time,
};
/// A table that is no longer what it was.
pub(super) struct Changed {
    pub(super) table: TableId,
    pub(super) dropped: bool,
}

/// What a DDL statement did.
pub(super) struct Outcome {
    pub(super) message: String,
    /// `None`: nothing was to do.
    pub(super) catalog: Option<Catalog>,
    pub(super) changed: Vec<Changed>,
}

impl Outcome {
    fn nothing(message: String) -> Self {
        Self { message, catalog: None, changed: Vec::new() }
    }

    pub(super) fn new(message: String, mut catalog: Catalog) -> Self {
        catalog.version += 1;
        Self { message, catalog: Some(catalog), changed: Vec::new() }
    }
}

/// Applies the statement to the data and to a copy of the catalog. The caller has begun a transaction and commits it.
pub(super) fn apply(
    writer: &Writer,
    catalog: &Catalog,
    statement: &Statement,
    namespace: &str,
) -> SqlResult<Outcome> {
    match statement {
        Statement::CreateNamespace { name, if_not_exists } => {
            create_namespace(writer, catalog, name, *if_not_exists)
        }
        Statement::DropNamespace { name, if_exists } => drop_namespace(writer, catalog, name, *if_exists),
        Statement::CreateTable { prefix, table } => {
            create_table(writer, catalog, namespace, prefix.as_deref(), table)
        }
        Statement::DropTable { names, if_exists } => match &names[..] {
            [name] => {
                let (namespace, name) = names::table(name, namespace)?;
                drop_table(writer, catalog, &namespace, &name, *if_exists)
            }
            _ => Err(SqlError::unsupported("DROP TABLE of several tables")),
        },
        Statement::AlterTable { name, if_exists: false, operations } => {
            let (namespace, name) = names::table(name, namespace)?;
            alter_table(writer, catalog, &namespace, &name, operations)
        }
        _ => Err(SqlError::unsupported("this statement")),
    }
}

fn create_namespace(
    writer: &Writer,
    catalog: &Catalog,
    name: &str,
    if_not_exists: bool,
) -> SqlResult<Outcome> {
    names::check("namespace", name)?;
    if SYSTEM_NAMESPACES.contains(&name) {
        return Err(SqlError::execution(format!("Invalid operation: Namespace '{name}' is reserved")));
    }
    if catalog.namespaces.contains_key(name) {
        let message = format!("Namespace '{name}' already exists");
        return if if_not_exists {
            Ok(Outcome::nothing(message))
        } else {
            Err(SqlError::execution(format!("Already exists: {message}")))
        };
    }
    let created_at = time::now_micros();
    meta::add_namespace(&writer.db.connection, name, created_at).map_err(sql_error)?;
    let mut catalog = catalog.clone();
    catalog.namespaces.insert(name.into(), Namespace { created_at, ..Namespace::default() });
    Ok(Outcome::new(format!("Namespace '{name}' created successfully"), catalog))
}

/// Drops the namespace's tables too, with or without CASCADE (recorded in `wire/sql_surface.jsonl`).
fn drop_namespace(writer: &Writer, catalog: &Catalog, name: &str, if_exists: bool) -> SqlResult<Outcome> {
    if name == DEFAULT_NAMESPACE || SYSTEM_NAMESPACES.contains(&name) {
        return Err(SqlError::execution(format!("Invalid operation: Namespace '{name}' can not be dropped")));
    }
    let Some(namespace) = catalog.namespaces.get(name) else {
        return if if_exists {
            Ok(Outcome::nothing(format!("Namespace '{name}' does not exist (skipped)")))
        } else {
            Err(SqlError::execution(format!("Not found: Namespace '{name}' not found")))
        };
    };
    let connection = &writer.db.connection;
    let mut changed = Vec::new();
    for table in namespace.tables.values() {
        meta::remove_table(connection, table).map_err(sql_error)?;
        changed.push(Changed { table: table.id, dropped: true });
    }
    meta::remove_namespace(connection, name).map_err(sql_error)?;
    let mut catalog = catalog.clone();
    catalog.namespaces.remove(name);
    Ok(Outcome { changed, ..Outcome::new(format!("Namespace '{name}' dropped successfully"), catalog) })
}

fn create_table(
    writer: &Writer,
    catalog: &Catalog,
    default_namespace: &str,
    prefix: Option<&str>,
    create: &CreateTable,
) -> SqlResult<Outcome> {
    let (namespace, name) = names::table(&create.name, default_namespace)?;
    check_create(create)?;
    names::check("table", &name)?;
    let mut settings = Settings::read(prefix, &create.table_options)?;
    let (columns, key) = columns(create)?;
    if key.is_empty() {
        let kind = settings.kind.name();
        let kind = format!("{}{}", kind[..1].to_uppercase(), &kind[1..]);
        return Err(SqlError::execution(format!(
            "Invalid operation: {kind} tables require a PRIMARY KEY column"
        )));
    }
    let Some(existing) = catalog.namespaces.get(&*namespace) else {
        return Err(SqlError::execution(format!("Not found: Namespace '{namespace}' not found")));
    };
    let kind = settings.kind.name();
    let created = format!("{kind} table {namespace}.{name} created successfully");
    if existing.tables.contains_key(&*name) {
        return if create.if_not_exists {
            Ok(Outcome::nothing(format!("Table {namespace}.{name} already exists (skipped)")))
        } else {
            Err(SqlError::execution(format!("Already exists: Table {namespace}.{name} already exists")))
        };
    }
    let now = time::now_micros();
    let mut table = Table {
        id: TableId(0),
        namespace: namespace.as_str().into(),
        name: name.as_str().into(),
        kind: settings.kind,
        access: settings.access,
        next_column_id: u32::try_from(columns.len()).unwrap_or(u32::MAX - 1) + 1,
        columns,
        key,
        version: 1,
        ttl_seconds: settings.ttl_seconds,
        retention_hours: settings.retention_hours,
        options: std::mem::take(&mut settings.shown),
        created_at: now,
        updated_at: now,
        row_sql: OnceLock::new(),
    };
    meta::add_table(&writer.db.connection, &mut table).map_err(sql_error)?;
    let mut catalog = catalog.clone();
    if let Some(namespace) = catalog.namespaces.get_mut(&*namespace) {
        namespace.tables.insert(table.name.clone(), Arc::new(table));
    }
    Ok(Outcome::new(format!("CREATE TABLE: {created}"), catalog))
}

fn check_create(create: &CreateTable) -> SqlResult<()> {
    let plain = !create.or_replace
        && !create.temporary
        && !create.unlogged
        && !create.external
        && create.query.is_none()
        && create.like.is_none()
        && create.clone.is_none()
        && create.inherits.is_none()
        && create.partition_by.is_none()
        && create.partition_of.is_none()
        && create.primary_key.is_none()
        && create.order_by.is_none()
        && create.cluster_by.is_none()
        && create.on_commit.is_none();
    if plain { Ok(()) } else { Err(SqlError::unsupported("this form of CREATE TABLE")) }
}

fn drop_table(
    writer: &Writer,
    catalog: &Catalog,
    namespace: &str,
    name: &str,
    if_exists: bool,
) -> SqlResult<Outcome> {
    let Some(table) = catalog.table(namespace, name) else {
        // Recorded in wire/sql_surface.jsonl.
        return if if_exists {
            Ok(Outcome::nothing(format!("Table {namespace}.{name} does not exist (skipped)")))
        } else {
            Err(not_found(namespace, name))
        };
    };
    meta::remove_table(&writer.db.connection, table).map_err(sql_error)?;
    let changed = vec![Changed { table: table.id, dropped: true }];
    let mut catalog = catalog.clone();
    if let Some(namespace) = catalog.namespaces.get_mut(namespace) {
        namespace.tables.remove(name);
    }
    let message = format!("Table {namespace}.{name} dropped successfully");
    Ok(Outcome { changed, ..Outcome::new(message, catalog) })
}

pub(super) fn not_found(namespace: &str, name: &str) -> SqlError {
    SqlError::execution(format!("Not found: Table '{name}' not found in namespace '{namespace}'"))
}
