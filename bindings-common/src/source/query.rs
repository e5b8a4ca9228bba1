//! The rows of a query.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::vec::IntoIter;

use kalam_live::{QueryResult, Result, Row, Schema};

use super::{Source, boxed, locked};
use crate::packet::{Kind, Packet};
use crate::{Operation, Taken};

/// What a query has returned.
pub(crate) struct Answer {
    schema: Arc<Schema>,
    rows: Vec<Row>,
    row_count: u64,
    message: Option<String>,
    truncated: bool,
}

impl From<QueryResult> for Answer {
    fn from(result: QueryResult) -> Self {
        Self {
            schema: result.schema().clone(),
            row_count: result.row_count(),
            message: result.message().map(str::to_owned),
            truncated: result.is_truncated(),
            rows: result.into_rows(),
        }
    }
}

impl From<Vec<Row>> for Answer {
    fn from(rows: Vec<Row>) -> Self {
        let schema = rows.first().map_or_else(|| Schema::new(Vec::new()), |row| row.schema().clone());
        Self { schema, row_count: rows.len() as u64, message: None, truncated: false, rows }
    }
}

struct Query {
    operation: Operation<Answer>,
    /// Those that were not sent yet.
    rows: Mutex<IntoIter<Row>>,
}

/// Starts a query.
pub(crate) fn start<A: Into<Answer>>(
    future: impl Future<Output = Result<A>> + Send + 'static,
) -> Box<dyn Source> {
    let operation = Operation::start(async move { future.await.map(Into::into) });
    boxed(operation.map(|operation| Query { operation, rows: Mutex::default() }))
}

impl Source for Query {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.operation.poll_ready(cx)
    }

    fn take(&self, packet: &mut Packet, _max: usize) -> Result<Taken<()>> {
        Ok(match self.operation.take()? {
            Taken::Item(answer) => {
                packet.begin(Kind::Query, answer.rows.len());
                packet.two_words((answer.row_count as f64).to_ne_bytes());
                packet.note(answer.message.as_deref());
                packet.word(u32::from(answer.truncated));
                packet.columns_are(&answer.schema);
                *locked(&self.rows) = answer.rows.into_iter();
                self.more(packet);
                Taken::Item(())
            }
            Taken::Nothing => Taken::Nothing,
            Taken::Ended => Taken::Ended,
        })
    }

    fn more(&self, packet: &mut Packet) {
        let mut rows = locked(&self.rows);
        while !packet.is_full()
            && let Some(row) = rows.next()
        {
            packet.row(row.values());
        }
    }

    fn close(&self) {
        self.operation.close();
    }
}
