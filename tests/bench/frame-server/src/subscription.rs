//! One subscription: its place in the snapshot, then its place among the changes.

use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use crate::messages::SubscriptionRequest;
use crate::runs::Run;
use crate::spec::FIRST_SEQ;
use crate::websocket::push_text;
use crate::workload::SCHEMA;

const DEFAULT_BATCH: usize = 1000;

pub(crate) struct Subscription {
    pub(crate) id: String,
    /// What every change frame begins with, the id included.
    prefix: Vec<u8>,
    run: Arc<Run>,
    batch_size: usize,
    batches: u32,
    /// Snapshot rows not sent yet.
    rows_left: Range<usize>,
    next_change: usize,
    /// The start of the workload from which on changes are sent.
    generation: u64,
}

/// A batch of the snapshot.
pub(crate) struct Batch {
    number: u32,
    rows: Range<usize>,
    has_more: bool,
}

impl Subscription {
    /// Also says whether the client wants a snapshot at all (without `options` it does not).
    ///
    /// A subscription waits for the next start of its workload; one that resumes from the `_seq` of a change joins the
    /// latest.
    pub(crate) fn new(request: SubscriptionRequest, run: Arc<Run>, batch_rows: usize) -> (Self, bool) {
        let spec = run.workload.spec;
        let generation = run.latest_start().map_or(0, |start| start.generation);
        let rows = spec.rows as usize;
        let options = request.options.as_ref();
        let next_change =
            options.and_then(|options| options.from).map_or(0, |seq| spec.first_change_after(seq));
        let rows_left = match options {
            None => rows..rows,
            Some(options) => match (options.from, options.last_rows) {
                (Some(seq), _) => {
                    rows.min((seq.saturating_sub(FIRST_SEQ).saturating_add(1)).max(0) as usize)..rows
                }
                (None, Some(newest)) => rows.saturating_sub(newest)..rows,
                (None, None) => 0..rows,
            },
        };
        let wants_snapshot = options.is_some();
        let batch_size =
            options.and_then(|options| options.batch_size).unwrap_or(DEFAULT_BATCH).clamp(1, batch_rows);
        let id = serde_json::Value::from(request.id.as_str());
        let subscription = Subscription {
            prefix: format!(r#"{{"type":"change","subscription_id":{id}"#).into_bytes(),
            id: request.id,
            run,
            batch_size,
            batches: 0,
            rows_left,
            next_change,
            generation: if next_change > 0 { generation } else { generation + 1 },
        };
        (subscription, wants_snapshot)
    }

    pub(crate) fn first_batch(&mut self) -> Batch {
        let end = self.rows_left.end.min(self.rows_left.start + self.batch_size);
        let batch = Batch {
            number: self.batches,
            rows: self.rows_left.start..end,
            has_more: end < self.rows_left.end,
        };
        self.batches += 1;
        self.rows_left.start = end;
        batch
    }

    /// The batch after the row with this `_seq`, or after the last one sent.
    pub(crate) fn next_batch(&mut self, last_seq: Option<i64>) -> Batch {
        if let Some(seq) = last_seq {
            let next = seq.saturating_sub(FIRST_SEQ).saturating_add(1).max(0) as usize;
            self.rows_left.start = next.min(self.rows_left.end);
        }
        self.first_batch()
    }

    fn batch_control(&self, batch: &Batch) -> String {
        let status = match (batch.has_more, batch.number) {
            (false, _) => "ready",
            (true, 0) => "loading",
            (true, _) => "loading_batch",
        };
        let last_seq = match (self.next_change, batch.rows.end) {
            (0, 0) => "null".to_owned(),
            (0, rows) => (FIRST_SEQ + rows as i64 - 1).to_string(),
            (resumed, _) => self.run.workload.spec.change_seq(resumed - 1).to_string(),
        };
        format!(
            r#"{{"batch_num":{},"has_more":{},"status":"{status}","last_seq_id":{last_seq}}}"#,
            batch.number, batch.has_more
        )
    }

    pub(crate) fn acknowledgement(&self, batch: &Batch) -> String {
        let id = serde_json::Value::from(self.id.as_str());
        let control = self.batch_control(batch);
        format!(
            r#"{{"type":"subscription_ack","subscription_id":{id},"total_rows":0,"batch_control":{control},"schema":{SCHEMA}}}"#
        )
    }

    /// What stands before and after the rows in the frame of a batch.
    pub(crate) fn batch_frame(&self, batch: &Batch) -> (String, String) {
        let id = serde_json::Value::from(self.id.as_str());
        let before = format!(r#"{{"type":"initial_data_batch","subscription_id":{id},"rows":["#);
        (before, format!(r#"],"batch_control":{}}}"#, self.batch_control(batch)))
    }

    pub(crate) fn rows(&self, batch: &Batch) -> &[u8] {
        self.run.workload.snapshot(batch.rows.clone())
    }

    pub(crate) fn compresses(&self) -> bool {
        self.run.workload.spec.gzip
    }

    /// Appends changes that are due, about `share` bytes of them; true if more will be due at a later time.
    pub(crate) fn append_changes(&mut self, out: &mut Vec<u8>, share: usize, now: Instant) -> bool {
        let workload = &self.run.workload;
        let Some(start) = self.run.latest_start() else { return false };
        if !self.rows_left.is_empty() || start.generation < self.generation {
            return false;
        }
        let released = self.run.released(start, now);
        let limit = out.len() + share;
        while self.next_change < released && out.len() < limit {
            push_text(out, &[&self.prefix, workload.change(self.next_change)]);
            if let Some(digits) = workload.stamp(self.next_change) {
                let begin = out.len() - workload.change(self.next_change).len();
                let due = self.run.due_us(start, self.next_change).to_string();
                out[begin + digits.start..begin + digits.end].copy_from_slice(due.as_bytes());
            }
            self.next_change += 1;
        }
        released < workload.spec.changes as usize
    }
}
