//! Records of topics: rows whose first columns are the record's own, and after them those of its row.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use kalam_live::{Column, DataType, Polling, Result, Schema, Value};

use super::{Source, boxed, locked};
use crate::packet::{Kind, Packet};
use crate::{Taken, WorkItem, WorkStream, read_row};

/// The record's own columns, named as no column of a table can be. `@row` says whether those of its row follow; `@error` is
/// there for a record that failed.
fn own_columns() -> Vec<Column> {
    [
        ("@offset", DataType::Int),
        ("@key", DataType::Text),
        ("@op", DataType::Text),
        ("@timestamp", DataType::Timestamp),
        ("@user", DataType::Text),
        ("@payload", DataType::Bytes),
        ("@problem", DataType::Text),
        ("@attempt", DataType::Int),
        ("@error", DataType::Text),
        ("@row", DataType::Boolean),
    ]
    .map(|(name, data_type)| Column::new(name, data_type))
    .into()
}

/// What waits to be put into a packet.
#[derive(Default)]
struct Coming {
    next: VecDeque<WorkItem>,
    /// The columns of the table that the last record's row is of, and those of its packet.
    columns: Option<(Option<Arc<Schema>>, Arc<Schema>)>,
}

impl Coming {
    fn encode(&mut self, packet: &mut Packet) {
        packet.begin(Kind::Records, 0);
        let mut any = false;
        while !packet.is_full()
            && let Some(item) = self.next.pop_front()
        {
            let record = &item.record;
            // What does not fit its table is shown as bytes.
            let (row, problem) = read_row(record);
            let schema = self.columns_of(row.as_ref().map(|row| row.schema()));
            if any && !packet.has_columns(&schema) {
                self.next.push_front(item);
                return;
            }
            if !any {
                packet.columns_are(&schema);
                any = true;
            }
            let text = |text: Option<&str>| text.map_or(Value::Null, Value::from);
            let mut values = vec![
                Value::Int(i64::try_from(record.offset).unwrap_or(i64::MAX)),
                text(record.key.as_deref()),
                Value::from(record.op.as_str()),
                Value::Timestamp(record.timestamp_ms.saturating_mul(1000)),
                text(record.user.as_deref()),
                Value::Bytes((&*record.payload).into()),
                text(problem.as_deref()),
                Value::Int(i64::from(item.attempt)),
                text(item.error.as_deref()),
                Value::Boolean(row.is_some()),
            ];
            if let Some(row) = &row {
                values.extend_from_slice(row.values());
            }
            packet.row(&values);
        }
    }

    fn columns_of(&mut self, row: Option<&Arc<Schema>>) -> Arc<Schema> {
        if let Some((of, columns)) = &self.columns
            && match (of, row) {
                (Some(of), Some(row)) => Arc::ptr_eq(of, row),
                (None, None) => true,
                _ => false,
            }
        {
            return columns.clone();
        }
        let mut all = own_columns();
        all.extend(row.iter().flat_map(|schema| schema.columns().iter().cloned()));
        let columns = Schema::new(all);
        self.columns = Some((row.cloned(), columns.clone()));
        columns
    }
}

struct Records {
    poll: Polling,
    /// `None` until the poll has ended.
    coming: Mutex<Option<Coming>>,
}

/// Waits for the records of one poll: packets, and then the end.
pub(crate) fn poll(poll: Result<Polling>) -> Box<dyn Source> {
    boxed(poll.map(|poll| Records { poll, coming: Mutex::default() }))
}

impl Source for Records {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if locked(&self.coming).is_some() { Poll::Ready(()) } else { self.poll.poll_ready(cx) }
    }

    fn take(&self, packet: &mut Packet, max: usize) -> Result<Taken<()>> {
        let mut coming = locked(&self.coming);
        if coming.is_none() {
            let records = self.poll.take(max)?;
            let next = records.into_iter().map(|record| WorkItem {
                record: Arc::new(record),
                attempt: 1,
                error: None,
            });
            *coming = Some(Coming { next: next.collect(), ..Coming::default() });
        }
        match &mut *coming {
            Some(coming) if !coming.next.is_empty() => {
                coming.encode(packet);
                Ok(Taken::Item(()))
            }
            _ => Ok(Taken::Ended),
        }
    }

    fn close(&self) {
        self.poll.close();
    }
}

struct Jobs {
    work: Arc<WorkStream>,
    coming: Mutex<Coming>,
}

/// Waits for what a worker loop has to do.
pub(crate) fn jobs(work: Result<Arc<WorkStream>>) -> Box<dyn Source> {
    boxed(work.map(|work| Jobs { work, coming: Mutex::default() }))
}

impl Source for Jobs {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if locked(&self.coming).next.is_empty() { self.work.poll_ready(cx) } else { Poll::Ready(()) }
    }

    fn take(&self, packet: &mut Packet, max: usize) -> Result<Taken<()>> {
        let mut coming = locked(&self.coming);
        if coming.next.is_empty() {
            match self.work.take(max)? {
                Taken::Item(items) => coming.next.extend(items),
                Taken::Nothing => return Ok(Taken::Nothing),
                Taken::Ended => return Ok(Taken::Ended),
            }
        }
        coming.encode(packet);
        Ok(Taken::Item(()))
    }

    fn close(&self) {
        self.work.stop();
    }
}
