//! The rows of the system tables.

use std::sync::Arc;

use serde_json::json;

use super::{
    SystemTable,
    describe::{describe, information_columns},
};
use crate::engine::{
    Caller, Cell, Inner,
    accounts::Account,
    catalog::{Catalog, Namespace, Table},
    run::check_table,
    topics,
};

impl SystemTable {
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

fn namespaces(catalog: &Catalog) -> Vec<Vec<Cell>> {
    let row = |(name, namespace): (&Arc<str>, &Namespace)| {
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

pub(super) fn text(value: impl AsRef<str>) -> Cell {
    Cell::Text(value.as_ref().into())
}

pub(super) fn int(value: usize) -> Cell {
    Cell::Int(i64::try_from(value).unwrap_or(i64::MAX))
}
