//! What the live layer costs on its own, without decoding: `cargo run --release --example live_speed -p kalam-live`.
//!
//! Rows of 6 columns, about 200 bytes as a frame. The reader holds the rows that it took last. Changes hit the keys in
//! turn or at random; at random nearly each one finds its rows outside the caches. Medians, of
//! changes over what one read from a socket brings, since other programs take the processor meanwhile.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use kalam_live::live::{Begin, LiveOptions, LiveView, Rows};
use kalam_live::{Column, DataType, Row, Schema, Value};

/// Rows that are made, and then applied, at a time: what one read from a socket brings.
const DRAIN: usize = 256;
const DRAINS: usize = 1_000;
const ROUNDS: usize = 5;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> kalam_live::Result<()> {
    println!("us/change            keys in turn              random keys");
    println!("    rows    take/256  take each    take/256  take each");
    for rows in [100, 1_000, 10_000, 100_000] {
        print!("{rows:>8}");
        for keys in [Keys::InTurn, Keys::Random] {
            let cost = |every| updates(rows, every, keys, &LiveOptions::default());
            print!("  {:>10.2} {:>10.2}", cost(DRAIN)?, cost(1)?);
        }
        println!();
    }
    println!();
    for rows in [100, 10_000, 100_000] {
        let pair = delete_and_insert(rows)?;
        println!("delete + insert of a random key, {rows} rows, take each: {pair:.2} us a pair");
    }
    for (name, options) in [
        ("order_by n", LiveOptions { order_by: Some("n, at DESC".parse()?), ..LiveOptions::default() }),
        ("limit 100", LiveOptions { limit: Some(100), ..LiveOptions::default() }),
        (
            "order_by n, limit 100",
            LiveOptions { order_by: Some("n".parse()?), limit: Some(100), ..LiveOptions::default() },
        ),
    ] {
        let cost = |every| updates(100_000, every, Keys::Random, &options);
        let (conflated, each) = (cost(DRAIN)?, cost(1)?);
        println!("{name}, 100000 rows: {conflated:.2} us/change, with a take each {each:.2}");
    }
    println!(
        "rows[i] of 100,000: {:.0} ns, iterating: {:.1} ns a row",
        median(ROUNDS, get)?,
        median(ROUNDS, iterate)?
    );
    println!("load of 100,000 rows: {:.1} ms", median(ROUNDS, || Ok(load(100_000)?.0.as_secs_f64() * 1e3))?);
    println!("new snapshot over 100,000 rows, 1 % different: {:.1} ms", median(ROUNDS, reload)?);
    memory()
}

fn median(rounds: usize, mut measure: impl FnMut() -> kalam_live::Result<f64>) -> kalam_live::Result<f64> {
    let mut results = (0..rounds).map(|_| measure()).collect::<Result<Vec<_>, _>>()?;
    results.sort_by(f64::total_cmp);
    Ok(results[rounds / 2])
}

#[derive(Clone, Copy)]
enum Keys {
    InTurn,
    Random,
}

/// Changes with a take after every `every`; microseconds a change.
fn updates(rows: usize, every: usize, keys: Keys, options: &LiveOptions) -> kalam_live::Result<f64> {
    let mut seen = None;
    drains(rows, keys, options, |view, batch| {
        for (i, row) in batch.into_iter().enumerate() {
            view.update(row)?;
            if (i + 1) % every == 0
                && let Some(rows) = view.take()
            {
                seen = Some(rows?);
            }
        }
        Ok(())
    })
}

fn delete_and_insert(rows: usize) -> kalam_live::Result<f64> {
    let mut seen = None;
    drains(rows, Keys::Random, &LiveOptions::default(), |view, batch| {
        for row in batch {
            view.delete(row.clone())?;
            seen = view.take().transpose()?.or(seen.take());
            view.insert(row)?;
            seen = view.take().transpose()?.or(seen.take());
        }
        Ok(())
    })
}

/// Gives a loaded view what many reads from a socket bring; microseconds a row, in the median read.
fn drains(
    rows: usize,
    keys: Keys,
    options: &LiveOptions,
    mut apply: impl FnMut(&mut LiveView, Vec<Row>) -> kalam_live::Result<()>,
) -> kalam_live::Result<f64> {
    let mut table = Table::new();
    let mut view = table.loaded(rows, options)?;
    view.take().transpose()?;
    let mut at = 0;
    median(DRAINS, || {
        let batch = (0..DRAIN)
            .map(|_| {
                at = (at + 1) % rows;
                let id = if let Keys::InTurn = keys { at } else { table.random.below(rows) };
                table.row(id)
            })
            .collect();
        let start = Instant::now();
        apply(&mut view, batch)?;
        Ok(start.elapsed().as_secs_f64() * 1e6 / DRAIN as f64)
    })
}

fn load(rows: usize) -> kalam_live::Result<(Duration, Rows)> {
    let mut table = Table::new();
    let batches: Vec<Vec<Row>> = (0..rows)
        .step_by(400)
        .map(|at| (at..(at + 400).min(rows)).map(|id| table.row(id)).collect())
        .collect();
    let start = Instant::now();
    let mut view = LiveView::new(LiveOptions::default())?;
    view.begin(table.schema.clone(), Begin::Fresh)?;
    for batch in batches {
        view.batch(batch)?;
    }
    view.ready()?;
    let rows = view.take().expect("complete")?;
    Ok((start.elapsed(), rows))
}

/// Milliseconds from the first page of a second snapshot to its rows.
fn reload() -> kalam_live::Result<f64> {
    let mut table = Table::new();
    let mut view = table.loaded(100_000, &LiveOptions::default())?;
    view.take().transpose()?;
    table.random = Random(7);
    let mut again: Vec<Row> = (0..100_000).map(|id| table.row(id)).collect();
    for _ in 0..1_000 {
        let id = table.random.below(100_000);
        again[id] = table.row(id);
    }
    let start = Instant::now();
    view.interrupted();
    view.begin(table.schema.clone(), Begin::Fresh)?;
    view.batch(again)?;
    view.ready()?;
    let rows = view.take().expect("changes")?;
    let time = start.elapsed();
    assert!(rows.changes().as_list().is_some_and(|list| list.len() <= 1_000));
    Ok(time.as_secs_f64() * 1e3)
}

fn get() -> kalam_live::Result<f64> {
    let (_, rows) = load(100_000)?;
    let mut random = Random(3);
    let start = Instant::now();
    for _ in 0..100_000 {
        black_box(&rows[random.below(100_000)]);
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / 100_000.0)
}

fn iterate() -> kalam_live::Result<f64> {
    let (_, rows) = load(100_000)?;
    let start = Instant::now();
    for row in &rows {
        black_box(row);
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / 100_000.0)
}

fn memory() -> kalam_live::Result<()> {
    let mut table = Table::new();
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    let before = HELD.load(Relaxed);
    let list: Vec<Row> = (0..100_000).map(|id| table.row(id)).collect();
    let rows = HELD.load(Relaxed) - before;
    let mut view = LiveView::new(LiveOptions::default())?;
    view.begin(table.schema.clone(), Begin::Fresh)?;
    view.batch(list)?;
    view.ready()?;
    let first = view.take().expect("complete")?;
    let all = HELD.load(Relaxed) - before;
    drop(first);
    for _ in 0..400_000 {
        let id = table.random.below(100_000);
        let row = table.row(id);
        view.delete(row.clone())?;
        view.insert(row)?;
        view.take().transpose()?;
    }
    let churned = HELD.load(Relaxed) - before;
    println!(
        "100,000 rows: {:.1} MB with the view, of which rows {:.1} MB; after 400,000 random deletes and inserts {:.1} MB",
        megabytes(all),
        megabytes(rows),
        megabytes(churned)
    );
    Ok(())
}

struct Table {
    schema: Arc<Schema>,
    random: Random,
    seq: i64,
}

impl Table {
    fn new() -> Self {
        let schema = Schema::new(vec![
            Column::new("id", DataType::BigInt).primary_key(),
            Column::new("room", DataType::Text),
            Column::new("sender", DataType::Text),
            Column::new("body", DataType::Text),
            Column::new("n", DataType::Int),
            Column::new("at", DataType::Timestamp),
        ]);
        Self { schema, random: Random(7), seq: 0 }
    }

    fn row(&mut self, id: usize) -> Row {
        self.seq += 1;
        let n = self.random.below(1_000_000) as i64;
        let cells: Vec<Value> = vec![
            Value::Int(id as i64),
            "general".into(),
            "somebody".into(),
            format!("message {n:06} with a text of usual length").into(),
            Value::Int(n),
            Value::Timestamp(1_750_000_000_000_000 + n),
        ];
        Row::new(self.schema.clone(), cells, Some(self.seq.into()))
    }

    fn loaded(&mut self, rows: usize, options: &LiveOptions) -> kalam_live::Result<LiveView> {
        let mut view = LiveView::new(options.clone())?;
        view.begin(self.schema.clone(), Begin::Fresh)?;
        view.batch((0..rows).map(|id| self.row(id)).collect())?;
        view.ready()?;
        Ok(view)
    }
}

/// xorshift
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}
