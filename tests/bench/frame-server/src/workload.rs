//! A workload, encoded once: everything of each frame but the subscription id, which the client chooses.
//!
//! Shapes as recorded in `wire/live_basic.jsonl`: one frame a row, fields in no fixed order, BIGINT and `_seq` as
//! strings, TIMESTAMP as microseconds, `old_values` of an update holding the key, the old `_seq` and what changed.

use std::io::Write;
use std::ops::Range;

use crate::random::Random;
use crate::spec::{FIRST_SEQ, Kind, MARKER_ID, Spec};

/// The schema that the acknowledgement of a subscription announces.
pub(crate) const SCHEMA: &str = concat!(
    r#"[{"name":"id","data_type":"BigInt","index":0,"flags":["pk","nn","uq"]},"#,
    r#"{"name":"room","data_type":"Text","index":1},{"name":"sender","data_type":"Text","index":2},"#,
    r#"{"name":"body","data_type":"Text","index":3},{"name":"n","data_type":"Int","index":4},"#,
    r#"{"name":"at","data_type":"Timestamp","index":5}]"#
);

/// The only projection that the workloads have.
pub(crate) const COLUMNS: [&str; 6] = ["id", "room", "sender", "body", "n", "at"];

/// Microseconds since the epoch of the rows' `at`; sixteen digits, and so are all that replace it.
const FIRST_AT: i64 = 1_764_000_000_000_000;
const AT_DIGITS: usize = 16;

const WORDS: [&str; 16] = [
    "ship",
    "the",
    "report",
    "before",
    "lunch",
    "ask",
    "Zoë",
    "again",
    "gate",
    "late",
    "board",
    "say \\\"yes\\\"",
    "north",
    "done",
    "crew",
    "soon",
];

/// Texts laid end to end.
#[derive(Default)]
struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pieces {
    fn end_piece(&mut self) {
        self.ends.push(self.bytes.len());
    }

    fn start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.ends[index - 1] }
    }

    fn get(&self, range: Range<usize>) -> &[u8] {
        if range.is_empty() { &[] } else { &self.bytes[self.start(range.start)..self.ends[range.end - 1]] }
    }
}

pub(crate) struct Workload {
    pub(crate) spec: Spec,
    rows: Pieces,
    changes: Pieces,
    /// Where in a change the digits of its row's `at` begin; empty unless the workload is paced.
    stamps: Vec<u16>,
}

/// One version of a row. Its texts follow from the key, so that a delete can repeat them.
#[derive(Clone, Copy)]
struct Version {
    id: i64,
    seq: i64,
    n: u32,
    at: i64,
}

impl Workload {
    pub(crate) fn encode(spec: Spec) -> Self {
        let mut random =
            Random::new(0x6b61_6c61_6d00 ^ u64::from(spec.rows) ^ (u64::from(spec.changes) << 32));
        let mut held = Vec::with_capacity(spec.rows as usize);
        let mut rows = Pieces::default();
        for index in 0..i64::from(spec.rows) {
            let version = Version { id: index + 1, seq: FIRST_SEQ + index, n: 0, at: FIRST_AT + index };
            write_row(&mut rows.bytes, version, &mut random);
            rows.bytes.push(b',');
            rows.end_piece();
            held.push(version);
        }
        let mut workload = Workload { spec, rows, changes: Pieces::default(), stamps: Vec::new() };
        workload.encode_changes(held, &mut random);
        workload
    }

    fn encode_changes(&mut self, mut held: Vec<Version>, random: &mut Random) {
        let spec = self.spec;
        let mut next_id = i64::from(spec.rows) + 1;
        let mut slot = 0;
        let last = spec.changes as usize - 1;
        for index in 0..=last {
            let seq = spec.change_seq(index);
            let at = FIRST_AT + i64::from(spec.rows) + index as i64;
            let new = Version { id: if index == last { MARKER_ID } else { next_id }, seq, n: 0, at };
            match spec.kind {
                Kind::Update if index < last => {
                    let slot = index % held.len();
                    let old = held[slot];
                    held[slot] = Version {
                        seq,
                        n: old.n + 1,
                        at: if spec.rate.is_some() { at } else { old.at },
                        ..old
                    };
                    self.push_update(old, held[slot], random);
                }
                Kind::Churn if index % 2 == 0 => {
                    slot = random.below(held.len());
                    self.push_delete(Version { seq, ..held[slot] }, random);
                }
                Kind::Churn => {
                    held[slot] = new;
                    next_id += 1;
                    self.push_insert(new, random);
                }
                Kind::Insert | Kind::Update => {
                    next_id += 1;
                    self.push_insert(new, random);
                }
            }
        }
    }

    fn push_insert(&mut self, new: Version, random: &mut Random) {
        let out = &mut self.changes.bytes;
        let begin = out.len();
        out.extend_from_slice(br#","change_type":"insert","rows":["#);
        let stamp = write_row(out, new, random);
        out.extend_from_slice(b"]}");
        self.end_change(stamp - begin);
    }

    fn push_update(&mut self, old: Version, new: Version, random: &mut Random) {
        let out = &mut self.changes.bytes;
        let begin = out.len();
        out.extend_from_slice(br#","change_type":"update","rows":["#);
        let stamp = write_row(out, new, random);
        let _ = write!(out, r#"],"old_values":[{{"n":{},"id":"{}","_seq":"{}""#, old.n, old.id, old.seq);
        if old.at != new.at {
            let _ = write!(out, r#","at":{}"#, old.at);
        }
        out.extend_from_slice(b"}]}");
        self.end_change(stamp - begin);
    }

    fn push_delete(&mut self, tombstone: Version, random: &mut Random) {
        let out = &mut self.changes.bytes;
        let begin = out.len();
        out.extend_from_slice(br#","change_type":"delete","old_values":["#);
        let stamp = write_row(out, tombstone, random);
        out.extend_from_slice(b"]}");
        self.end_change(stamp - begin);
    }

    fn end_change(&mut self, stamp: usize) {
        if self.spec.rate.is_some() {
            self.stamps.push(stamp as u16);
        }
        self.changes.end_piece();
    }

    /// What follows the subscription id in the frame of this change, as far as the end of the frame.
    pub(crate) fn change(&self, index: usize) -> &[u8] {
        self.changes.get(index..index + 1)
    }

    /// Where in [`Workload::change`] the digits of `at` are, if the workload is paced.
    pub(crate) fn stamp(&self, index: usize) -> Option<Range<usize>> {
        self.stamps.get(index).map(|&begin| begin as usize..begin as usize + AT_DIGITS)
    }

    /// Snapshot rows as the inside of a JSON array.
    pub(crate) fn snapshot(&self, range: Range<usize>) -> &[u8] {
        let text = self.rows.get(range);
        text.strip_suffix(b",").unwrap_or(text)
    }
}

/// Writes a row as an object with its fields shuffled; returns where the digits of `at` begin.
fn write_row(out: &mut Vec<u8>, row: Version, random: &mut Random) -> usize {
    let mut order = [0, 1, 2, 3, 4, 5, 6];
    random.shuffle(&mut order);
    let mut stamp = 0;
    for (place, field) in order.into_iter().enumerate() {
        out.push(if place == 0 { b'{' } else { b',' });
        // Writing into a Vec can not fail.
        let _ = match field {
            0 => write!(out, r#""id":"{}""#, row.id),
            1 => write!(out, r#""room":"room-{:02}""#, row.id % 40),
            2 => write!(out, r#""sender":"user-{:03}""#, row.id % 500),
            3 => write_body(out, row.id),
            4 => write!(out, r#""n":{}"#, row.n),
            5 => {
                stamp = out.len() + r#""at":"#.len();
                write!(out, r#""at":{}"#, row.at)
            }
            _ => write!(out, r#""_seq":"{}""#, row.seq),
        };
    }
    out.push(b'}');
    stamp
}

/// About 50 characters of text; one word in sixteen each is not ASCII or holds an escape, as people write.
fn write_body(out: &mut Vec<u8>, id: i64) -> std::io::Result<()> {
    let mut words = Random::new(id as u64);
    out.extend_from_slice(br#""body":""#);
    for place in 0..8 {
        let word = WORDS[words.below(WORDS.len())];
        out.extend_from_slice(if place == 0 { b"" } else { b" " });
        out.extend_from_slice(word.as_bytes());
    }
    write!(out, " {}\"", id % 1000)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::{Value, json};

    use super::*;

    fn frames(name: &str) -> (Workload, Vec<Value>) {
        let workload = Workload::encode(name.parse().unwrap());
        let frames = (0..workload.spec.changes as usize)
            .map(|index| {
                let text = format!(
                    r#"{{"type":"change","subscription_id":"s"{}"#,
                    String::from_utf8_lossy(workload.change(index))
                );
                serde_json::from_str(&text).unwrap()
            })
            .collect();
        (workload, frames)
    }

    fn snapshot(workload: &Workload) -> Vec<Value> {
        let rows = workload.snapshot(0..workload.spec.rows as usize);
        serde_json::from_str(&format!("[{}]", String::from_utf8_lossy(rows))).unwrap()
    }

    #[test]
    fn snapshot_rows_have_every_column_and_a_version() {
        let (workload, _) = frames("update_30_1");
        let rows = snapshot(&workload);
        assert_eq!(rows.len(), 30);
        for (index, row) in rows.iter().enumerate() {
            assert_eq!(row["id"], json!((index + 1).to_string()));
            assert_eq!(row["_seq"], json!((FIRST_SEQ + index as i64).to_string()));
            assert!(COLUMNS.iter().all(|column| !row[*column].is_null()));
            assert!(row["at"].is_i64() && row["n"].is_i64());
        }
        assert_eq!(workload.snapshot(3..3), b"");
    }

    #[test]
    fn updates_go_round_and_name_the_version_before() {
        let (workload, frames) = frames("update_3_8");
        let mut versions: HashMap<String, Value> =
            snapshot(&workload).iter().map(|row| (row["id"].to_string(), row["_seq"].clone())).collect();
        for (index, frame) in frames[..7].iter().enumerate() {
            assert_eq!(frame["change_type"], "update");
            let (new, old) = (&frame["rows"][0], &frame["old_values"][0]);
            assert_eq!(new["id"], json!((index % 3 + 1).to_string()));
            assert_eq!(new["id"], old["id"]);
            assert_eq!(versions.insert(new["id"].to_string(), new["_seq"].clone()).unwrap(), old["_seq"]);
            assert_eq!(new["n"].as_i64().unwrap(), old["n"].as_i64().unwrap() + 1);
        }
        assert_eq!(frames[7]["change_type"], "insert");
        assert_eq!(frames[7]["rows"][0]["id"], json!(MARKER_ID.to_string()));
        assert_eq!(frames[7]["rows"][0]["_seq"], json!(workload.spec.final_seq().to_string()));
    }

    #[test]
    fn churn_deletes_what_is_there_and_inserts_what_is_new() {
        let (workload, frames) = frames("churn_50_400");
        let mut held: HashMap<String, Value> =
            snapshot(&workload).into_iter().map(|row| (row["id"].to_string(), row)).collect();
        for pair in frames.chunks(2) {
            let gone = &pair[0]["old_values"][0];
            let before = held.remove(&gone["id"].to_string()).expect("deletes a held row");
            assert_eq!(before["body"], gone["body"]);
            let new = &pair[1]["rows"][0];
            assert!(held.insert(new["id"].to_string(), new.clone()).is_none());
        }
        assert_eq!(held.len(), 50);
        assert!(held.contains_key(&json!(MARKER_ID.to_string()).to_string()));
    }

    #[test]
    fn frames_are_shuffled_alike_each_time_and_of_the_promised_size() {
        let first = Workload::encode("insert_0_2000".parse().unwrap());
        let second = Workload::encode("insert_0_2000".parse().unwrap());
        assert!((0..2000).all(|index| first.change(index) == second.change(index)));
        let starts: std::collections::HashSet<_> =
            (0..100).map(|index| first.change(index)[32..40].to_vec()).collect();
        assert!(starts.len() > 4, "field order varies");
        let prefix = r#"{"type":"change","subscription_id":"bench-1""#.len();
        let average =
            |workload: &Workload| prefix + workload.changes.bytes.len() / workload.spec.changes as usize;
        assert!((230..260).contains(&average(&first)), "{}", average(&first));
        let update = Workload::encode("update_1000_2000".parse().unwrap());
        assert!((285..315).contains(&average(&update)), "{}", average(&update));
    }

    #[test]
    fn only_paced_changes_can_be_stamped() {
        let (paced, frames) = frames("update_5_20_r1000");
        for (index, frame) in frames.iter().enumerate() {
            let digits = &paced.change(index)[paced.stamp(index).unwrap()];
            assert_eq!(String::from_utf8_lossy(digits), frame["rows"][0]["at"].to_string());
        }
        assert!(Workload::encode("update_5_20".parse().unwrap()).stamp(3).is_none());
    }
}
