//! One record: what the wire says of it, and what its payload says of a row.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;

use super::RecordOp;
use super::row::decode_record_row;
use crate::error::{Error, ErrorCode, Result};
use crate::row::Row;
use crate::schema::Schema;

/// One record of a topic: what was done to a row.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ConsumerRecord {
    /// `namespace.topic`.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: u32,
    /// Its place in the partition.
    pub offset: u64,
    /// The primary key of the row, as text.
    pub key: Option<CompactString>,
    /// What was done to the row; an insert when the server does not tell.
    pub op: RecordOp,
    /// When, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Owner of the row, where it has one.
    pub user: Option<CompactString>,
    /// The bytes of the record: JSON, unless somebody else writes to the topic.
    /// Records that came together share a buffer of at most 64 KiB: who keeps few of many for long should copy this.
    pub payload: Bytes,
    /// What of the record could not be read. The rest is as good as it gets.
    pub problem: Option<Box<str>>,
    /// The columns of its table. The wire does not have them: whoever can ask for them sets them.
    pub(crate) table: Option<Arc<Schema>>,
}

impl ConsumerRecord {
    /// One of which nothing else is known.
    pub fn new(topic: Arc<str>, partition: u32, offset: u64, op: RecordOp) -> Self {
        Self {
            topic,
            partition,
            offset,
            key: None,
            op,
            timestamp_ms: 0,
            user: None,
            payload: Bytes::new(),
            problem: None,
            table: None,
        }
    }

    /// The payload as a row, each cell typed by its column. `None` when it is no row of a table that the client may read:
    /// then see [`json`](Self::json).
    ///
    /// # Errors
    /// `protocol` when the payload does not fit the table.
    pub fn row(&self) -> Result<Option<Row>> {
        self.table.as_ref().map(|schema| decode_record_row(&self.payload, schema)).transpose()
    }

    /// The payload as JSON, without types: a BIGINT is a text.
    ///
    /// # Errors
    /// `protocol` when it is no JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.payload)
            .map_err(|e| Error::new(ErrorCode::Protocol, format!("the payload is not JSON: {e}")))
    }
}

impl fmt::Debug for ConsumerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerRecord")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .field("key", &self.key)
            .field("op", &self.op)
            .field("payload", &String::from_utf8_lossy(&self.payload))
            .finish_non_exhaustive()
    }
}
