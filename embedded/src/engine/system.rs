//! The server's own tables: system.*, information_schema.tables; also what SHOW and DESCRIBE return.

use std::sync::Arc;

use serde_json::json;

use super::{
    Cell, Column, DataType, Flags, Inner, SqlError,
    accounts::Account,
    catalog::{Catalog, Table},
    error::SqlResult,
    sql::relation::{Relation, RelationColumn},
    topics,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SystemTable {
    Namespaces,
    Tables,
    Columns,
    Users,
    Topics,
    TopicOffsets,
    Live,
    InformationTables,
}

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

impl SystemTable {
    pub(crate) fn find(namespace: &str, name: &str) -> Option<Self> {
        Some(match (namespace, name) {
            ("system", "namespaces") => Self::Namespaces,
            ("system", "tables") => Self::Tables,
            ("system", "columns") => Self::Columns,
            ("system", "users") => Self::Users,
            ("system", "topics") => Self::Topics,
            ("system", "topic_offsets") => Self::TopicOffsets,
            ("system", "live") => Self::Live,
            ("information_schema", "tables") => Self::InformationTables,
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
            Self::InformationTables => ("information_schema", "tables"),
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
            Self::InformationTables => &INFORMATION_TABLES,
        }
    }

    pub(crate) fn relation(self, alias: Option<String>) -> Relation {
        let (namespace, table) = self.name();
        let columns = self.specs().iter().enumerate().map(|(at, (name, data_type, flags))| RelationColumn {
            name: (*name).into(),
            data_type: *data_type,
            flags: *flags,
            sqlite: format!("c{at}"),
            untyped: false,
        });
        Relation { namespace: Some(namespace.into()), table: table.into(), alias, columns: columns.collect() }
    }

    pub(crate) fn columns(self) -> Arc<[Column]> {
        columns(self.specs())
    }

    pub(crate) fn rows(self, engine: &Inner) -> Vec<Vec<Cell>> {
        let catalog = &engine.catalog();
        match self {
            Self::Namespaces => namespaces(catalog),
            Self::Tables => catalog.tables().map(|t| table_row(t)).collect(),
            Self::Columns => catalog
                .tables()
                .flat_map(|t| {
                    let start = [text(&t.namespace), text(&t.name)];
                    describe(t).into_iter().map(move |row| start.iter().cloned().chain(row).collect())
                })
                .collect(),
            Self::Users => engine.accounts.read().list().iter().map(user_row).collect(),
            Self::Topics => topics::topic_rows(&engine.topics),
            Self::TopicOffsets => topics::offset_rows(&engine.topics),
            Self::Live => engine.live().iter().map(|live| live.row(engine.node)).collect(),
            Self::InformationTables => catalog
                .tables()
                .map(|t| vec![text("kalam"), text(&t.namespace), text(&t.name), text("BASE TABLE")])
                .collect(),
        }
    }
}

/// The rows of a system table as a JSON list of lists, which SQLite reads as a table.
pub(crate) fn as_json(table: SystemTable, engine: &Inner) -> String {
    let rows = table.rows(engine);
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
            Cell::Json("{}".into()),
            int(namespace.tables.len()),
        ]
    };
    catalog.namespaces.iter().map(row).collect()
}

/// One row for each column, the system columns last.
pub(crate) fn describe(table: &Table) -> Vec<Vec<Cell>> {
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
        ("_seq", next, DataType::BigInt, Cell::Null, "Version ID (MVCC) with embedded timestamp"),
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
    if role.is_admin() {
        return Ok(());
    }
    Err(SqlError::permission(format!(
        "Permission denied: Error during planning: Access denied: Role '{role:?}' cannot access table '{}'. System \
         tables require 'dba' or 'system' role.",
        table.qualified()
    )))
}
