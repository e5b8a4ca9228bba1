//! The server's own tables: system.*, information_schema.tables; also what SHOW and DESCRIBE return.

use std::sync::Arc;

use serde_json::json;

use super::{
    Caller, Cell, Column, DataType, Flags, Inner, SqlError,
    accounts::Account,
    catalog::{Catalog, Table},
    error::SqlResult,
    run::check_table,
    sql::relation::{Relation, RelationColumn},
    topics,
};
use crate::wire::Wire;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SystemTable {
    Namespaces,
    Tables,
    Columns,
    Users,
    Topics,
    TopicOffsets,
    Live,
    Settings,
    Stats,
    Storages,
    Cluster,
    Jobs,
    InformationTables,
    InformationColumns,
    InformationSchemata,
}

/// System tables of KalamDB that have nothing to show here.
const LEFT_OUT: [&str; 8] =
    ["sessions", "manifest", "audit_logs", "policies", "routines", "triggers", "schedules", "schemas"];

type ColumnSpec = (&'static str, DataType, Flags);

const TEXT: DataType = DataType::Text;
const NN: Flags = Flags::NOT_NULL;
const NONE: Flags = Flags::NONE;

/// Recorded in `wire/tables.jsonl`.
const NAMESPACES: [ColumnSpec; 5] = [
    ("namespace_id", TEXT, Flags::KEY),
    ("name", TEXT, NN),
    ("created_at", DataType::Timestamp, NN),
    ("options", DataType::Json, NONE),
    ("table_count", DataType::Int, NN),
];

/// Recorded in `wire/tables.jsonl`.
const TABLES: [ColumnSpec; 14] = [
    ("table_id", TEXT, Flags::KEY),
    ("table_name", TEXT, NN),
    ("namespace_id", TEXT, NN),
    ("table_type", TEXT, NN),
    ("created_at", DataType::Timestamp, NN),
    ("schema_version", DataType::Int, NN),
    ("columns", DataType::Json, NN),
    ("table_comment", TEXT, NONE),
    ("updated_at", DataType::Timestamp, NN),
    ("options", DataType::Json, NONE),
    ("access_level", TEXT, NONE),
    ("is_latest", DataType::Boolean, NN),
    ("storage_id", TEXT, NONE),
    ("use_user_storage", DataType::Boolean, NONE),
];

/// `namespace_id` and `table_name`, then as DESCRIBE.
const COLUMNS: [ColumnSpec; 11] = [
    ("namespace_id", TEXT, NN),
    ("table_name", TEXT, NN),
    DESCRIBE[0],
    DESCRIBE[1],
    DESCRIBE[2],
    DESCRIBE[3],
    DESCRIBE[4],
    DESCRIBE[5],
    DESCRIBE[6],
    DESCRIBE[7],
    DESCRIBE[8],
];

/// Recorded in `wire/tables.jsonl`.
const DESCRIBE: [ColumnSpec; 9] = [
    ("column_name", TEXT, NN),
    ("ordinal_position", DataType::Int, NN),
    ("column_id", DataType::BigInt, NN),
    ("data_type", TEXT, NN),
    ("is_nullable", DataType::Boolean, NN),
    ("is_primary_key", DataType::Boolean, NN),
    ("column_default", TEXT, NONE),
    ("column_comment", TEXT, NONE),
    ("schema_version", DataType::Int, NN),
];

/// As recorded in `wire/sql_surface.jsonl`, without the password hash and what the embedded server does not track.
const USERS: [ColumnSpec; 6] = [
    ("user_id", TEXT, Flags::KEY),
    ("role", TEXT, NN),
    ("email", TEXT, NONE),
    ("auth_type", TEXT, NN),
    ("created_at", DataType::Timestamp, NN),
    ("updated_at", DataType::Timestamp, NN),
];

/// Recorded in `wire/topics.jsonl`.
const TOPICS: [ColumnSpec; 9] = [
    ("topic_id", TEXT, Flags::KEY),
    ("name", TEXT, NN),
    ("alias", TEXT, NONE),
    ("partitions", DataType::Int, NN),
    ("retention_seconds", DataType::BigInt, NONE),
    ("retention_max_bytes", DataType::BigInt, NONE),
    ("routes", DataType::Json, NN),
    ("created_at", DataType::Timestamp, NN),
    ("updated_at", DataType::Timestamp, NN),
];

/// Recorded in `wire/topics.jsonl`.
const TOPIC_OFFSETS: [ColumnSpec; 5] = [
    ("topic_id", TEXT, Flags::KEY),
    ("group_id", TEXT, Flags::KEY),
    ("partition_id", DataType::Int, Flags::KEY),
    ("last_acked_offset", DataType::BigInt, NN),
    ("updated_at", DataType::Timestamp, NN),
];

/// Recorded in `wire/tables.jsonl`.
const LIVE: [ColumnSpec; 14] = [
    ("live_id", TEXT, Flags::KEY),
    ("connection_id", TEXT, NN),
    ("subscription_id", TEXT, NN),
    ("namespace_id", TEXT, NN),
    ("table_name", TEXT, NN),
    ("user_id", TEXT, NN),
    ("query", TEXT, NN),
    ("options", DataType::Json, NONE),
    ("status", TEXT, NN),
    ("created_at", DataType::Timestamp, NN),
    ("last_update", DataType::Timestamp, NN),
    ("changes", DataType::BigInt, NN),
    ("node_id", DataType::BigInt, NN),
    ("last_ping_at", DataType::Timestamp, NN),
];

/// Recorded in `wire/sql_surface.jsonl`.
const INFORMATION_TABLES: [ColumnSpec; 4] = [
    ("table_catalog", TEXT, NONE),
    ("table_schema", TEXT, NONE),
    ("table_name", TEXT, NONE),
    ("table_type", TEXT, NONE),
];

const SETTINGS: [ColumnSpec; 3] =
    [("name", TEXT, Flags::KEY), ("value", TEXT, NN), ("description", TEXT, NN)];

const STATS: [ColumnSpec; 2] = [("metric_name", TEXT, Flags::KEY), ("metric_value", TEXT, NN)];

const STORAGES: [ColumnSpec; 4] = [
    ("storage_id", TEXT, Flags::KEY),
    ("storage_name", TEXT, NN),
    ("description", TEXT, NONE),
    ("storage_type", TEXT, NN),
];

const CLUSTER: [ColumnSpec; 4] = [
    ("node_id", DataType::BigInt, Flags::KEY),
    ("is_self", DataType::Boolean, NN),
    ("is_leader", DataType::Boolean, NN),
    ("status", TEXT, NN),
];

/// There are none: what KalamDB does in jobs needs no doing, or is done at once.
const JOBS: [ColumnSpec; 4] = [
    ("job_id", TEXT, Flags::KEY),
    ("job_type", TEXT, NN),
    ("status", TEXT, NN),
    ("created_at", DataType::Timestamp, NN),
];

const INFORMATION_COLUMNS: [ColumnSpec; 8] = [
    ("table_catalog", TEXT, NONE),
    ("table_schema", TEXT, NONE),
    ("table_name", TEXT, NONE),
    ("column_name", TEXT, NONE),
    ("ordinal_position", DataType::BigInt, NONE),
    ("column_default", TEXT, NONE),
    ("is_nullable", TEXT, NONE),
    ("data_type", TEXT, NONE),
];

const INFORMATION_SCHEMATA: [ColumnSpec; 2] = [("catalog_name", TEXT, NONE), ("schema_name", TEXT, NONE)];

impl SystemTable {
    /// Whether KalamDB has it and the embedded server has not.
    pub(crate) fn is_left_out(namespace: &str, name: &str) -> bool {
        namespace == "system" && LEFT_OUT.contains(&name)
    }

    pub(crate) fn find(namespace: &str, name: &str) -> Option<Self> {
        Some(match (namespace, name) {
            ("system", "namespaces") => Self::Namespaces,
            ("system", "tables") => Self::Tables,
            ("system", "columns") => Self::Columns,
            ("system", "users") => Self::Users,
            ("system", "topics") => Self::Topics,
            ("system", "topic_offsets") => Self::TopicOffsets,
            ("system", "live") => Self::Live,
            ("system", "settings") => Self::Settings,
            ("system", "stats") => Self::Stats,
            ("system", "storages") => Self::Storages,
            ("system", "cluster") => Self::Cluster,
            ("system", "jobs") => Self::Jobs,
            ("information_schema", "tables") => Self::InformationTables,
            ("information_schema", "columns") => Self::InformationColumns,
            ("information_schema", "schemata") => Self::InformationSchemata,
            _ => return None,
        })
    }

    pub(crate) fn qualified(self) -> String {
        let (namespace, name) = self.name();
        format!("{namespace}.{name}")
    }

    fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Namespaces => ("system", "namespaces"),
            Self::Tables => ("system", "tables"),
            Self::Columns => ("system", "columns"),
            Self::Users => ("system", "users"),
            Self::Topics => ("system", "topics"),
            Self::TopicOffsets => ("system", "topic_offsets"),
            Self::Live => ("system", "live"),
            Self::Settings => ("system", "settings"),
            Self::Stats => ("system", "stats"),
            Self::Storages => ("system", "storages"),
            Self::Cluster => ("system", "cluster"),
            Self::Jobs => ("system", "jobs"),
            Self::InformationTables => ("information_schema", "tables"),
            Self::InformationColumns => ("information_schema", "columns"),
            Self::InformationSchemata => ("information_schema", "schemata"),
        }
    }

    fn specs(self) -> &'static [ColumnSpec] {
        match self {
            Self::Namespaces => &NAMESPACES,
            Self::Tables => &TABLES,
            Self::Columns => &COLUMNS,
            Self::Users => &USERS,
            Self::Topics => &TOPICS,
            Self::TopicOffsets => &TOPIC_OFFSETS,
            Self::Live => &LIVE,
            Self::Settings => &SETTINGS,
            Self::Stats => &STATS,
            Self::Storages => &STORAGES,
            Self::Cluster => &CLUSTER,
            Self::Jobs => &JOBS,
            Self::InformationTables => &INFORMATION_TABLES,
            Self::InformationColumns => &INFORMATION_COLUMNS,
            Self::InformationSchemata => &INFORMATION_SCHEMATA,
        }
    }

    pub(crate) fn relation(self, alias: Option<String>) -> Relation {
        let (namespace, table) = self.name();
        let columns = self.specs().iter().enumerate().map(|(at, (name, data_type, flags))| {
            RelationColumn::new((*name).into(), *data_type, *flags, format!("c{at}"))
        });
        Relation { namespace: Some(namespace.into()), table: table.into(), alias, columns: columns.collect() }
    }

    pub(crate) fn columns(self) -> Arc<[Column]> {
        columns(self.specs())
    }

    /// The rows that the caller may see.
    pub(crate) fn rows(self, engine: &Inner, caller: &Caller) -> Vec<Vec<Cell>> {
        let catalog = &engine.catalog();
        let visible = || catalog.tables().filter(|table| check_table(table, caller, false).is_ok());
        match self {
            Self::Namespaces => namespaces(catalog),
            Self::Tables => catalog.tables().map(|t| table_row(t)).collect(),
            Self::Columns => catalog
                .tables()
                .flat_map(|t| {
                    let start = [text(&t.namespace), text(&t.name)];
                    describe(t, catalog.wire)
                        .into_iter()
                        .map(move |row| start.iter().cloned().chain(row).collect())
                })
                .collect(),
            Self::Users => engine.accounts.read().list().iter().map(user_row).collect(),
            Self::Topics => topics::topic_rows(&engine.topics),
            Self::TopicOffsets => topics::offset_rows(&engine.topics),
            Self::Live => engine.live().iter().map(|live| live.row(engine.node)).collect(),
            Self::Settings => settings(engine),
            Self::Stats => stats(engine),
            Self::Storages => {
                vec![vec![text("local"), text("Local"), text("SQLite"), text("filesystem")]]
            }
            Self::Cluster => vec![vec![
                Cell::BigInt(i64::from(engine.node) + 1),
                Cell::Bool(true),
                Cell::Bool(true),
                text("active"),
            ]],
            Self::Jobs => Vec::new(),
            Self::InformationColumns => {
                visible().flat_map(|table| information_columns(table, catalog.wire)).collect()
            }
            Self::InformationSchemata => {
                catalog.namespaces.keys().map(|name| vec![text("kalam"), text(name)]).collect()
            }
            Self::InformationTables => visible()
                .map(|t| vec![text("kalam"), text(&t.namespace), text(&t.name), text("BASE TABLE")])
                .collect(),
        }
    }
}

/// The rows of a system table as a JSON list of lists, which SQLite reads as a table.
pub(crate) fn as_json(table: SystemTable, engine: &Inner, caller: &Caller) -> String {
    let rows = table.rows(engine, caller);
    let value = |cell: &Cell| match cell {
        Cell::Null => serde_json::Value::Null,
        Cell::Bool(value) => json!(value),
        Cell::Int(value) | Cell::BigInt(value) | Cell::Timestamp(value) => json!(value),
        Cell::Double(value) => json!(value),
        other => json!(other.to_text()),
    };
    let rows: Vec<Vec<serde_json::Value>> = rows.iter().map(|row| row.iter().map(value).collect()).collect();
    serde_json::Value::from(rows).to_string()
}

fn columns(specs: &[ColumnSpec]) -> Arc<[Column]> {
    let column = |(index, (name, data_type, flags)): (usize, &ColumnSpec)| Column {
        name: (*name).into(),
        data_type: *data_type,
        index: u32::try_from(index).unwrap_or(u32::MAX),
        flags: *flags,
    };
    specs.iter().enumerate().map(column).collect()
}

pub(crate) fn describe_columns() -> Arc<[Column]> {
    columns(&DESCRIBE)
}

fn text(value: impl AsRef<str>) -> Cell {
    Cell::Text(value.as_ref().into())
}

fn int(value: usize) -> Cell {
    Cell::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn namespaces(catalog: &Catalog) -> Vec<Vec<Cell>> {
    let row = |(name, namespace): (&Arc<str>, &super::catalog::Namespace)| {
        vec![
            text(name),
            text(name),
            Cell::Timestamp(namespace.created_at),
            Cell::Json(match &namespace.description {
                Some(description) => json!({ "description": &**description }).to_string().into(),
                None => "{}".into(),
            }),
            int(namespace.tables.len()),
        ]
    };
    catalog.namespaces.iter().map(row).collect()
}

/// One row for each column, the system columns last.
pub(crate) fn describe(table: &Table, wire: Wire) -> Vec<Vec<Cell>> {
    let version = Cell::Int(i64::from(table.version));
    let own = table.columns.iter().enumerate().map(|(at, column)| {
        let key = table.key.contains(&at);
        let default = column.default.as_ref().map_or(Cell::Null, |d| text(d.show(column.data_type)));
        (
            column.name.to_string(),
            i64::from(column.id),
            column.data_type,
            !column.not_null && !key,
            key,
            default,
            Cell::Null,
        )
    });
    let next = i64::from(table.next_column_id);
    let system = [
        (
            wire.version_column(),
            next,
            DataType::BigInt,
            Cell::Null,
            "Version ID (MVCC) with embedded timestamp",
        ),
        ("_deleted", next + 1, DataType::Boolean, text("FALSE"), "Soft delete flag"),
    ];
    let system = system.map(|(name, id, data_type, default, comment)| {
        (name.to_owned(), id, data_type, false, false, default, text(comment))
    });
    own.chain(system)
        .enumerate()
        .map(|(at, (name, id, data_type, nullable, key, default, comment))| {
            vec![
                text(name),
                int(at + 1),
                Cell::BigInt(id),
                text(data_type.to_string()),
                Cell::Bool(nullable),
                Cell::Bool(key),
                default,
                comment,
                version.clone(),
            ]
        })
        .collect()
}

/// As [`describe`], of a system table.
pub(crate) fn describe_system(table: SystemTable) -> Vec<Vec<Cell>> {
    let row = |(at, (name, data_type, flags)): (usize, &ColumnSpec)| {
        vec![
            text(name),
            int(at + 1),
            Cell::BigInt(i64::try_from(at + 1).unwrap_or(i64::MAX)),
            text(data_type.to_string()),
            Cell::Bool(!flags.not_null),
            Cell::Bool(flags.primary_key),
            Cell::Null,
            Cell::Null,
            Cell::Int(1),
        ]
    };
    table.specs().iter().enumerate().map(row).collect()
}

fn information_columns(table: &Table, wire: Wire) -> Vec<Vec<Cell>> {
    let row = |row: Vec<Cell>| {
        let [name, position, _, data_type, nullable, _, default, ..] = &row[..] else { return Vec::new() };
        let position = match position {
            Cell::Int(position) => Cell::BigInt(*position),
            other => other.clone(),
        };
        let nullable = text(if *nullable == Cell::Bool(true) { "YES" } else { "NO" });
        let place = [text("kalam"), text(&table.namespace), text(&table.name)];
        let column = [name.clone(), position, default.clone(), nullable, data_type.clone()];
        place.into_iter().chain(column).collect()
    };
    describe(table, wire).into_iter().map(row).collect()
}

fn settings(engine: &Inner) -> Vec<Vec<Cell>> {
    let limits = &engine.limits;
    let row = |name: &str, value: String, description: &str| vec![text(name), text(value), text(description)];
    vec![
        row("server", "kalam-embedded".into(), "What answers here"),
        row("version", env!("CARGO_PKG_VERSION").into(), "Its version"),
        row(
            "statement_time_ms",
            limits.statement_time.as_millis().to_string(),
            "Wall clock for one statement",
        ),
        row("result_rows", limits.result_rows.to_string(), "Rows of one result"),
        row("result_bytes", limits.result_bytes.to_string(), "Bytes of one result"),
        row("sql_bytes", limits.sql_bytes.to_string(), "Length of the SQL of one request"),
        row("statements", limits.statements.to_string(), "Statements in one request"),
        row("tombstone_hours", engine.tombstone_hours.to_string(), "How long deleted rows are remembered"),
    ]
}

fn stats(engine: &Inner) -> Vec<Vec<Cell>> {
    let (catalog, commits) = (engine.catalog(), engine.commits.counts());
    let row = |name: &str, value: String| vec![text(name), text(value)];
    vec![
        row("namespaces", catalog.namespaces.len().to_string()),
        row("tables", catalog.tables().count().to_string()),
        row("users", engine.accounts.read().list().len().to_string()),
        row("live_queries", engine.live().len().to_string()),
        row("commits", commits.commits.to_string()),
        row("committed_statements", commits.statements.to_string()),
    ]
}

fn table_row(table: &Table) -> Vec<Cell> {
    let columns: Vec<serde_json::Value> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, c)| {
            let key = table.key.contains(&at);
            json!({"column_id": c.id, "column_name": c.name, "column_comment": null, "data_type": c.data_type,
                   "default_value": c.default.as_ref().map(|d| d.show(c.data_type)), "ordinal_position": at + 1,
                   "is_nullable": !c.not_null && !key, "is_primary_key": key, "is_partition_key": false})
        })
        .collect();
    let mut options = json!({"table_type": table.kind.name().to_uppercase()});
    if let Some(seconds) = table.ttl_seconds {
        options["ttl_seconds"] = json!(seconds);
    }
    if let Some(hours) = table.retention_hours {
        options["deleted_retention_hours"] = json!(hours);
    }
    for (name, value) in &table.options {
        options[name.to_lowercase()] = json!(value);
    }
    let access = if table.has_owner() { Cell::Null } else { text(table.access.name()) };
    vec![
        text(format!("{}:{}", table.namespace, table.name)),
        text(&table.name),
        text(&table.namespace),
        text(table.kind.name()),
        Cell::Timestamp(table.created_at),
        Cell::Int(i64::from(table.version)),
        Cell::Json(serde_json::Value::from(columns).to_string().into()),
        Cell::Null,
        Cell::Timestamp(table.updated_at),
        Cell::Json(options.to_string().into()),
        access,
        Cell::Bool(true),
        text("local"),
        Cell::Bool(false),
    ]
}

fn user_row(account: &Account) -> Vec<Cell> {
    vec![
        text(&account.id),
        text(account.role.name()),
        account.email.as_ref().map_or(Cell::Null, text),
        text("Password"),
        Cell::Timestamp(account.created_at),
        Cell::Timestamp(account.updated_at),
    ]
}

/// Refuses system tables to users and services, as recorded (`wire/sql_surface.jsonl`).
pub(crate) fn check_role(table: SystemTable, role: super::Role) -> SqlResult<()> {
    // What information_schema shows is what the caller may use.
    if role.is_admin() || table.name().0 == "information_schema" {
        return Ok(());
    }
    Err(SqlError::permission(format!(
        "Permission denied: Error during planning: Access denied: Role '{role:?}' cannot access table '{}'. System \
         tables require 'dba' or 'system' role.",
        table.qualified()
    )))
}
