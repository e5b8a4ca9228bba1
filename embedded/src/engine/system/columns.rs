//! The columns of the system tables.

use super::SystemTable;
use crate::engine::{DataType, Flags};

pub(super) type ColumnSpec = (&'static str, DataType, Flags);

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
pub(super) const DESCRIBE: [ColumnSpec; 9] = [
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
    pub(super) fn specs(self) -> &'static [ColumnSpec] {
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
}
