//! How long one frame takes to decode, against a reader that only skips over its JSON.
//!
//! `cargo run --release --example decode_speed -p kalam-live`
//!
//! Rounds are short and interleaved, and the fastest of each counts: a round in which the machine did something else is
//! slower, never faster. The spread of the ratio within rounds stands beside.

use std::hint::black_box;
use std::time::Instant;

use kalam_live::protocol::{Limits, OldValues, RawFrame, RowPlan, ServerFrame, decode};
use kalam_live::sql::LiveSql;
use kalam_live::{Column, DataType};
use serde::de::IgnoredAny;

type Subscriptions = std::collections::HashMap<String, RowPlan, foldhash::fast::RandomState>;

const FRAMES: usize = 512;
const ROUNDS: usize = 501;

fn main() {
    let columns = [
        Column::new("id", DataType::BigInt).primary_key(),
        Column::new("room", DataType::Text),
        Column::new("body", DataType::Text),
        Column::new("score", DataType::Double),
        Column::new("count", DataType::Int),
        Column::new("created_at", DataType::Timestamp),
    ];
    let sql = LiveSql::table("app", "messages");
    let plan = |old| RowPlan::new(&columns, &sql, old).expect("a plan");
    let skip = Subscriptions::from_iter([("sub-1".to_owned(), plan(OldValues::Skip))]);
    let keep = Subscriptions::from_iter([("sub-1".to_owned(), plan(OldValues::Keep))]);
    let mut shuffle = Shuffle(0x9e37_79b9_7f4a_7c15);
    let inserts: Vec<String> = (0..FRAMES).map(|i| insert(i, &mut shuffle)).collect();
    let updates: Vec<String> = (0..FRAMES).map(|i| update(i, &mut shuffle)).collect();
    println!("frame                     bytes   floor ns  decode ns   ratio [quartiles]");
    for (name, frames, plans) in [
        ("insert", &inserts, &skip),
        ("update, old skipped", &updates, &skip),
        ("update, old kept", &updates, &keep),
    ] {
        measure(name, frames, plans);
    }
}

fn measure(name: &str, frames: &[String], plans: &Subscriptions) {
    let bytes = frames.iter().map(String::len).sum::<usize>() / frames.len();
    let (mut floors, mut decodes, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let floor = nanos_per_frame(frames, |frame| {
            black_box(serde_json::from_str::<IgnoredAny>(frame).expect("JSON"));
        });
        let decode = nanos_per_frame(frames, |frame| {
            let decoded = decode(RawFrame::Text(frame), plans, &Limits::default()).expect("a frame");
            assert!(matches!(&decoded, ServerFrame::Change(change) if change.rows.len() == 1));
            black_box(decoded);
        });
        floors.push(floor);
        decodes.push(decode);
        ratios.push(decode / floor);
    }
    let least = |numbers: &[f64]| numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let (floor, decode) = (least(&floors), least(&decodes));
    ratios.sort_unstable_by(f64::total_cmp);
    let (low, high) = (ratios[ROUNDS / 4], ratios[ROUNDS * 3 / 4]);
    println!(
        "{name:<24} {bytes:>6} {floor:>10.0} {decode:>10.0} {:>7.2} [{low:.2}..{high:.2}]",
        decode / floor
    );
}

fn nanos_per_frame(frames: &[String], mut read: impl FnMut(&str)) -> f64 {
    let start = Instant::now();
    frames.iter().for_each(|frame| read(frame));
    start.elapsed().as_secs_f64() * 1e9 / frames.len() as f64
}

/// KalamDB keeps the fields of a row in a hash map: every frame has another order.
struct Shuffle(u64);

impl Shuffle {
    fn join(&mut self, mut fields: Vec<String>) -> String {
        for i in (1..fields.len()).rev() {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            fields.swap(i, (self.0 >> 33) as usize % (i + 1));
        }
        fields.join(",")
    }
}

fn row(i: usize, body: &str) -> Vec<String> {
    vec![
        format!(r#""id":"{}""#, 383_749_746_295_934_976 + i),
        format!(r#""room":"room-{}""#, i % 100),
        format!(r#""body":"{body} number {i} of many""#),
        format!(r#""score":{}.25"#, i % 1000),
        format!(r#""count":{}"#, i % 10_000),
        format!(r#""created_at":{}"#, 1_795_560_265_432_000_usize + i),
        format!(r#""_seq":"{}""#, 383_749_746_395_934_976 + i),
    ]
}

fn insert(i: usize, shuffle: &mut Shuffle) -> String {
    let mut fields = row(i, "hello");
    fields.push(r#""_deleted":false"#.to_owned());
    let row = shuffle.join(fields);
    format!(r#"{{"type":"change","subscription_id":"sub-1","change_type":"insert","rows":[{{{row}}}]}}"#)
}

fn update(i: usize, shuffle: &mut Shuffle) -> String {
    let new = shuffle.join(row(i, "hello"));
    let old = shuffle.join(
        row(i, "").into_iter().filter(|f| f.starts_with(r#""id"#) || f.starts_with(r#""_seq"#)).collect(),
    );
    format!(
        r#"{{"type":"change","subscription_id":"sub-1","change_type":"update","rows":[{{{new}}}],"old_values":[{{{old}}}]}}"#
    )
}
