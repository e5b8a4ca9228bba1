//! What a seed means.

use std::time::Duration;

use fastrand::Rng;
use kalam_live::converge::{KeeperOptions, Rules, Verify};

use super::switches::Holes;
use crate::keys::KeyKind;
use crate::plan::pick;

/// Everything that is drawn before a run begins.
#[derive(Debug)]
pub struct Plan {
    /// What the client does.
    pub rules: Rules,
    /// What the server leaves out.
    pub holes: Holes,
    /// Nodes that the client knows: 1 or 2.
    pub urls: usize,
    /// Query and options of each live query.
    pub lives: Vec<(usize, KeeperOptions)>,
    /// There is a `live_events` too.
    pub events: bool,
    /// Rows in the beginning.
    pub rows: usize,
    /// The type of the key.
    pub key: KeyKind,
    /// Different keys.
    pub keys: i64,
    /// Rows in a page of a snapshot.
    pub page: Option<u32>,
    /// Of a message.
    pub delay: Duration,
    /// Added to it, at most.
    pub jitter: Duration,
    /// How long things go wrong.
    pub trouble: Duration,
    /// Mean time between two statements.
    pub write_every: Duration,
    /// Of 1,000 HTTP answers so many are errors, garbage, another user's or very late, while things go wrong.
    pub bad_answers: u32,
    /// Links are cut.
    pub cuts: bool,
    /// A column is added, and dropped again, while things go wrong.
    pub alters: bool,
    /// Clocks are set while things go wrong.
    pub clocks: bool,
    /// The table is dropped in the end.
    pub drops_table: bool,
    /// Time between two checks.
    pub verify: Duration,
}

impl Plan {
    /// One live query at a server that tells everything, and nothing goes wrong but what is asked for.
    pub fn calm(query: usize, options: KeeperOptions) -> Self {
        Self {
            rules: options.rules,
            holes: Holes::closed(),
            urls: 1,
            lives: vec![(query, options)],
            events: false,
            rows: 0,
            key: KeyKind::BigInt,
            keys: 500,
            page: None,
            delay: Duration::from_millis(1),
            jitter: Duration::ZERO,
            trouble: Duration::ZERO,
            write_every: Duration::from_secs(1),
            bad_answers: 0,
            cuts: false,
            alters: false,
            clocks: false,
            drops_table: false,
            verify: options.verify.interval(),
        }
    }

    /// Draws a plan. `queries`: how many there are, the watch among them.
    pub fn draw(rules: Rules, queries: usize, rng: &mut Rng) -> Self {
        let calm = rng.u8(..100) < 12;
        let mut holes = if calm { Holes::closed() } else { draw_holes(rng) };
        let verify = Duration::from_secs(pick(rng, &[4, 10, 60]));
        let lives = (0..pick(rng, &[1, 1, 2, 3])).map(|_| {
            let options = KeeperOptions {
                verify: if verify == Verify::INTERVAL { Verify::Auto } else { Verify::Every(verify) },
                last_rows: (rng.u8(..100) < 15).then(|| pick(rng, &[1, 3, 10])),
                seed: rng.u64(..),
                rules,
            };
            (rng.usize(..queries - 1), options)
        });
        let lives: Vec<_> = lives.collect();
        let events = rng.u8(..100) < 30;
        if !calm && rng.u8(..100) < 20 {
            // Nothing is left for a watch, or one slot.
            holes.slots = lives.len() + usize::from(events) + rng.usize(..2);
        }
        Self {
            rules,
            urls: if calm { 1 } else { pick(rng, &[1, 1, 2]) },
            lives,
            events,
            rows: pick(rng, &[0, 3, 20, 60]),
            key: pick(rng, &KeyKind::ALL),
            keys: pick(rng, &[4, 25, 80]),
            page: pick(rng, &[None, None, Some(3), Some(10)]),
            delay: Duration::from_micros(rng.u64(100..10_000)),
            jitter: Duration::from_micros(pick(rng, &[0, 500, 20_000])),
            trouble: Duration::from_secs(rng.u64(2..20)),
            write_every: Duration::from_millis(pick(rng, &[30, 150, 700])),
            bad_answers: if calm { 0 } else { pick(rng, &[0, 0, 100, 400]) },
            cuts: !calm && rng.bool(),
            alters: !calm && rng.u8(..100) < 10,
            clocks: !calm && rng.u8(..100) < 20,
            drops_table: !calm && rng.u8(..100) < 5,
            verify,
            holes,
        }
    }
}

/// Every hole is open or closed by itself; sizes are drawn small, so that they are reached.
fn draw_holes(rng: &mut Rng) -> Holes {
    let recorded = Holes::recorded();
    let closed = Holes::closed();
    Holes {
        exits: rng.u8(..100) < 80,
        evaluator: rng.u8(..100) < 80,
        drops: pick(rng, &[0, 20, 200]),
        queue: pick(rng, &[5, recorded.queue, closed.queue]),
        load_buffer: pick(rng, &[2, recorded.load_buffer, closed.load_buffer]),
        page_cap: pick(rng, &[20, recorded.page_cap, closed.page_cap]),
        loose_pages: rng.u8(..100) < 70,
        last_rows: rng.u8(..100) < 80,
        http_caps: recorded.http_caps,
        order: rng.bool(),
        follower_lag: Duration::from_millis(rng.u64(0..40)),
        slots: pick(rng, &[recorded.slots, closed.slots]),
        messages: recorded.messages,
        late: 0,
    }
}
