//! What there is: namespaces, tables, columns. Immutable snapshots; a DDL statement makes the next one.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};

use super::{Cell, Column, DataType, Flags, TableId, convert};
use crate::wire::Wire;

/// The namespace of unqualified names.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";
/// The namespaces of the server's own, read-only tables.
pub(crate) const SYSTEM_NAMESPACES: [&str; 2] = ["system", "information_schema"];
/// The column that marks tombstones.
pub(crate) const DELETED: &str = "_deleted";
/// Names that a user's column can not have, in any version of KalamDB.
pub(crate) const RESERVED_COLUMNS: [&str; 6] =
    ["_seq", DELETED, "_version", "_commit_seq", "_row_id", "_timestamp"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TableKind {
    /// Each user has rows of their own.
    User,
    Shared,
    /// As USER, and each row goes when its time is over.
    Stream,
}

impl TableKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Shared => "shared",
            Self::Stream => "stream",
        }
    }
}

/// Who may use a SHARED table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Access {
    /// All read; service, dba and system write.
    Public,
    /// Service, dba and system.
    Private,
    /// As private; KalamDB tells them apart by owner, which the embedded server does not have.
    Restricted,
    /// Dba and system.
    Dba,
}

impl Access {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Restricted => "restricted",
            Self::Dba => "dba",
        }
    }

    /// The level that `ACCESS_LEVEL` names.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Public, Self::Private, Self::Restricted, Self::Dba]
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(name))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DefaultValue {
    Now,
    CurrentUser,
    SnowflakeId,
    UuidV7,
    Ulid,
    /// Text that reads as the column's type.
    Literal(String),
}

impl DefaultValue {
    /// As DESCRIBE shows it.
    pub(crate) fn show(&self, data_type: DataType) -> String {
        match self {
            Self::Now => "NOW()".into(),
            Self::CurrentUser => "CURRENT_USER()".into(),
            Self::SnowflakeId => "SNOWFLAKE_ID()".into(),
            Self::UuidV7 => "UUID_V7()".into(),
            Self::Ulid => "ULID()".into(),
            Self::Literal(text) if data_type.is_number() || data_type == DataType::Boolean => {
                text.to_uppercase()
            }
            Self::Literal(text) => format!("'{}'", text.replace('\'', "''")),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TableColumn {
    /// Never used again within the table, so that an old reader can not take a new column for a dropped one.
    pub(crate) id: u32,
    pub(crate) name: Arc<str>,
    pub(crate) data_type: DataType,
    pub(crate) not_null: bool,
    pub(crate) default: Option<DefaultValue>,
}

impl TableColumn {
    /// The name inside SQLite. No name that a user chose ever gets there.
    pub(crate) fn sqlite_name(&self) -> String {
        format!("c{}", self.id)
    }

    /// The storage class that SQLite enforces (STRICT tables).
    pub(crate) fn sqlite_type(&self) -> &'static str {
        match self.data_type {
            DataType::Float | DataType::Double => "REAL",
            DataType::Decimal { .. } | DataType::Bytes | DataType::Embedding(_) => "BLOB",
            DataType::Text | DataType::Json | DataType::Uuid | DataType::File => "TEXT",
            _ => "INTEGER",
        }
    }

    /// The value of a literal default.
    pub(crate) fn literal_default(&self) -> Option<Cell> {
        match &self.default {
            Some(DefaultValue::Literal(text)) => convert::from_text(text, self.data_type).ok(),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Table {
    #[serde(skip, default = "no_id")]
    pub(crate) id: TableId,
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) kind: TableKind,
    pub(crate) access: Access,
    pub(crate) columns: Vec<TableColumn>,
    /// Positions of the primary key's columns.
    pub(crate) key: Vec<usize>,
    /// Counts ALTER TABLE, from 1.
    pub(crate) version: u32,
    pub(crate) next_column_id: u32,
    /// How long rows of a STREAM table live.
    #[serde(default)]
    pub(crate) ttl_seconds: Option<u64>,
    /// How long tombstones are kept, where the table says so.
    #[serde(default)]
    pub(crate) retention_hours: Option<u64>,
    /// Options of CREATE TABLE that change nothing here (FLUSH_POLICY, STORAGE_ID, ...), kept to be shown.
    pub(crate) options: BTreeMap<String, String>,
    /// Microseconds since the epoch.
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    #[serde(skip)]
    pub(crate) row_sql: OnceLock<RowSql>,
}

/// The SQLite statements that write one row; the same for all rows, so that they are prepared once.
#[derive(Debug, Clone)]
pub(crate) struct RowSql {
    /// Owner (USER and STREAM tables), columns, `_seq`, when it expires (STREAM tables). Writes over a tombstone of the same key; writes nothing when the key
    /// has a row.
    pub(crate) insert: String,
    /// Columns, new `_seq`, old `_seq`, owner (USER tables).
    pub(crate) update: String,
    /// New `_seq`, old `_seq`, owner (USER tables).
    pub(crate) delete: String,
}

fn no_id() -> TableId {
    TableId(0)
}

impl Table {
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| &*c.name == name)
    }

    pub(crate) fn qualified(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }

    pub(crate) fn sqlite_name(&self) -> String {
        format!("t{}", self.id.0)
    }

    pub(crate) fn row_sql(&self) -> &RowSql {
        self.row_sql.get_or_init(|| RowSql::of(self))
    }

    pub(crate) fn has_owner(&self) -> bool {
        self.kind != TableKind::Shared
    }

    /// Microseconds that a row lives.
    pub(crate) fn ttl_micros(&self) -> Option<i64> {
        let ttl = self.ttl_seconds?.checked_mul(1_000_000)?;
        i64::try_from(ttl).ok()
    }

    pub(crate) fn flags(&self, position: usize) -> Flags {
        if self.key.contains(&position) {
            // A column that is only a part of the key is not unique by itself.
            Flags { unique: self.key.len() == 1, ..Flags::KEY }
        } else if self.columns[position].not_null {
            Flags::NOT_NULL
        } else {
            Flags::NONE
        }
    }

    /// The version or `_deleted`, at `index` of a result.
    pub(crate) fn system_column(name: &str, index: u32) -> Column {
        let data_type = if name == DELETED { DataType::Boolean } else { DataType::BigInt };
        Column { name: name.into(), data_type, index, flags: Flags::NOT_NULL }
    }
}

impl RowSql {
    fn of(table: &Table) -> Self {
        let name = table.sqlite_name();
        let columns: Vec<String> = table.columns.iter().map(TableColumn::sqlite_name).collect();
        let key = table.key.iter().map(|k| columns[*k].clone());
        let owner = table.has_owner().then(|| "o".to_owned());
        let target: Vec<String> = owner.iter().cloned().chain(key).collect();
        let all: Vec<String> = owner.iter().chain(&columns).cloned().collect();
        let marks =
            |from: usize, count: usize| (from..from + count).map(|n| format!("?{n}")).collect::<Vec<_>>();
        let (width, count) = (all.len(), columns.len());
        let excluded: String = columns.iter().map(|c| format!("{c} = excluded.{c}, ")).collect();
        let set: String =
            columns.iter().zip(marks(1, count)).map(|(c, mark)| format!("{c} = {mark}, ")).collect();
        let own = |n: usize| if table.has_owner() { format!(" AND o = ?{n}") } else { String::new() };
        let (expiry, expiry_mark, expiry_set) = match table.kind {
            TableKind::Stream => (", e", format!(", ?{}", width + 2), ", e = excluded.e"),
            _ => ("", String::new(), ""),
        };
        Self {
            insert: format!(
                "INSERT INTO {name} ({}, s, n, d{expiry}) VALUES ({}, ?{}, ?{}, 0{expiry_mark}) ON CONFLICT ({}) DO \
                 UPDATE SET {excluded}s = excluded.s, n = excluded.n, d = 0{expiry_set} WHERE d = 1",
                all.join(", "),
                marks(1, width).join(", "),
                width + 1,
                width + 1,
                target.join(", ")
            ),
            update: format!(
                "UPDATE {name} SET {set}s = ?{} WHERE s = ?{}{}",
                count + 1,
                count + 2,
                own(count + 3)
            ),
            delete: format!("UPDATE {name} SET d = 1, s = ?1 WHERE s = ?2{}", own(3)),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Namespace {
    /// Microseconds since the epoch.
    pub(crate) created_at: i64,
    pub(crate) description: Option<Arc<str>>,
    pub(crate) tables: BTreeMap<Arc<str>, Arc<Table>>,
}

/// All definitions at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    /// Grows with every DDL statement: a plan made under another version is void.
    pub(crate) version: u64,
    pub(crate) namespaces: BTreeMap<Arc<str>, Namespace>,
    /// How the version of a row is called.
    pub(crate) wire: Wire,
}

impl Catalog {
    pub(crate) fn table(&self, namespace: &str, name: &str) -> Option<&Arc<Table>> {
        self.namespaces.get(namespace)?.tables.get(name)
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.namespaces.values().flat_map(|n| n.tables.values())
    }
}
