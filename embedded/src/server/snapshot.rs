//! A snapshot that is handed out in batches.

use std::vec;

use super::server_frame::{BatchControl, BatchStatus};
use crate::engine::LiveRow;

/// A batch ends at this many bytes, even when it has fewer rows than asked for.
const BATCH_BYTES: usize = 1 << 20;

/// The rows that a subscription has not fetched yet, all from one moment.
pub(crate) struct Snapshot {
    rows: vec::IntoIter<LiveRow>,
    /// Rows a batch.
    batch_rows: usize,
    next_batch: u32,
    /// Newest `_seq` that the whole snapshot covers.
    last_seq: Option<i64>,
}

/// One batch, its rows encoded.
pub(crate) struct Batch {
    pub(crate) rows: String,
    pub(crate) control: BatchControl,
}

impl Snapshot {
    pub(crate) fn new(rows: Vec<LiveRow>, batch_rows: usize, last_seq: Option<i64>) -> Self {
        Self { rows: rows.into_iter(), batch_rows: batch_rows.max(1), next_batch: 0, last_seq }
    }

    /// Rows that are not fetched yet.
    pub(crate) fn left(&self) -> usize {
        self.rows.len()
    }

    /// The next batch. The last one carries the cursor of the whole snapshot, an earlier one that of its last
    /// row: rows come in the order of `_seq`, so a client that is cut off in between resumes from there.
    pub(crate) fn next(&mut self) -> Batch {
        let mut rows = String::new();
        let mut last_seq = None;
        for row in self.rows.by_ref().take(self.batch_rows) {
            if !rows.is_empty() {
                rows.push(',');
            }
            rows.push_str(&super::server_frame::encode(&row.fields));
            last_seq = Some(row.seq);
            if rows.len() >= BATCH_BYTES {
                break;
            }
        }
        let has_more = self.left() > 0;
        let last_seq_id = if has_more { last_seq } else { self.last_seq };
        let control = control(self.next_batch, has_more, last_seq_id);
        self.next_batch += 1;
        Batch { rows, control }
    }
}

/// A whole batch of these rows.
pub(crate) fn batch(rows: &[LiveRow], number: u32, has_more: bool, last_seq_id: Option<i64>) -> Batch {
    let rows: Vec<String> = rows.iter().map(|row| super::server_frame::encode(&row.fields)).collect();
    Batch { rows: rows.join(","), control: control(number, has_more, last_seq_id) }
}

fn control(batch_num: u32, has_more: bool, last_seq_id: Option<i64>) -> BatchControl {
    let status = match (has_more, batch_num) {
        (false, _) => BatchStatus::Ready,
        (true, 0) => BatchStatus::Loading,
        (true, _) => BatchStatus::LoadingBatch,
    };
    BatchControl { batch_num, has_more, status, last_seq_id }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::{Cell, LiveFields};

    fn rows(many: i64, text: &str) -> Vec<LiveRow> {
        let fields = |seq| {
            LiveFields(vec![
                (Arc::from("t"), Cell::Text(text.into())),
                (Arc::from("_seq"), Cell::BigInt(seq)),
            ])
        };
        (0..many).map(|seq| LiveRow { seq, fields: fields(seq) }).collect()
    }

    fn controls(snapshot: &mut Snapshot) -> Vec<(u32, usize, BatchStatus, Option<i64>)> {
        let mut controls = Vec::new();
        loop {
            let Batch { rows, control } = snapshot.next();
            let rows: Vec<serde_json::Value> = serde_json::from_str(&format!("[{rows}]")).unwrap();
            assert_eq!(control.has_more, control.status != BatchStatus::Ready);
            controls.push((control.batch_num, rows.len(), control.status, control.last_seq_id));
            if !control.has_more {
                return controls;
            }
        }
    }

    #[test]
    fn batches_are_numbered_and_say_what_follows() {
        let mut snapshot = Snapshot::new(rows(25, "x"), 10, Some(99));
        let expected = [
            (0, 10, BatchStatus::Loading, Some(9)),
            (1, 10, BatchStatus::LoadingBatch, Some(19)),
            (2, 5, BatchStatus::Ready, Some(99)),
        ];
        assert_eq!(controls(&mut snapshot), expected);
    }

    #[test]
    fn an_empty_or_exact_snapshot_is_one_batch() {
        let ready = |rows| [(0, rows, BatchStatus::Ready, Some(99))];
        assert_eq!(controls(&mut Snapshot::new(vec![], 10, Some(99))), ready(0));
        assert_eq!(controls(&mut Snapshot::new(rows(10, "x"), 10, Some(99))), ready(10));
    }

    #[test]
    fn long_rows_make_short_batches() {
        let text = "x".repeat(BATCH_BYTES / 4);
        let controls = controls(&mut Snapshot::new(rows(10, &text), 1000, Some(99)));
        assert_eq!(controls.iter().map(|control| control.1).collect::<Vec<_>>(), [4, 4, 2]);
    }
}
