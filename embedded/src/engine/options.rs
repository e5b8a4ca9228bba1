//! What an engine is opened with.

use std::{fmt, path::PathBuf, time::Duration};

use crate::holes::Holes;
use crate::wire::Wire;

/// Where the data lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// In this process only; gone with the engine.
    Memory,
    /// In this directory, created when missing (mode 700, files 600).
    Directory(PathBuf),
}

/// Options of [`Engine::open`](super::Engine::open).
#[derive(Clone)]
pub struct EngineOptions {
    pub data: Data,
    /// Password of `root`. When absent and the data is new, one is generated
    /// ([`Engine::generated_root_password`](super::Engine::generated_root_password)). When given and the data
    /// has another one, it is replaced: whoever starts the server owns the directory.
    pub root_password: Option<String>,
    pub limits: EngineLimits,
    /// What is left out, as KalamDB does; nothing by default.
    pub holes: Holes,
    /// How statements and live queries call the version of a row.
    pub wire: Wire,
    /// Stands in the numbers of row versions, 0 to 1023.
    pub node: u16,
    /// How long a consumer may hold a record of a topic before it is delivered again.
    pub topic_visibility: Duration,
    /// How many hours tombstones are kept in tables without DELETED_RETENTION_HOURS: 168, a week. A subscriber that was
    /// away for longer gets a snapshot instead of the changes.
    pub tombstone_hours: u64,
}

impl EngineOptions {
    #[must_use]
    pub fn new(data: Data) -> Self {
        Self {
            data,
            root_password: None,
            limits: EngineLimits::default(),
            holes: Holes::default(),
            wire: Wire::default(),
            node: 0,
            topic_visibility: Duration::from_secs(30),
            tombstone_hours: 168,
        }
    }
}

impl fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineOptions")
            .field("data", &self.data)
            .field("root_password", &self.root_password.as_ref().map(|_| "<hidden>"))
            .field("limits", &self.limits)
            .field("holes", &self.holes)
            .field("wire", &self.wire)
            .field("node", &self.node)
            .field("topic_visibility", &self.topic_visibility)
            .field("tombstone_hours", &self.tombstone_hours)
            .finish()
    }
}

/// Bounds on what one request may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineLimits {
    /// Wall clock for one statement.
    pub statement_time: Duration,
    /// Rows of one result, and rows that one statement may change.
    pub result_rows: usize,
    /// Bytes of one result, as held in memory.
    pub result_bytes: usize,
    /// Length of one request's SQL, in bytes.
    pub sql_bytes: usize,
    /// Statements in one request.
    pub statements: usize,
    /// Bytes that SQLite may hold in all, for every engine of this process together: what sorts and recursion of one
    /// statement can take, and the rows of an engine in memory. Can only be lowered once it was set. 0 is no limit.
    pub heap_bytes: u64,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            statement_time: Duration::from_secs(30),
            result_rows: 1_000_000,
            result_bytes: 256 << 20,
            sql_bytes: 1 << 20,
            statements: 1_000,
            heap_bytes: half_of_memory(),
        }
    }
}

/// Half of the machine's memory, as far as it tells; at least 512 MiB.
fn half_of_memory() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.map_or(2 << 30, |kb| (kb / 2).saturating_mul(1024)).max(512 << 20)
}
