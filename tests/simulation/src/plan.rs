//! What a seed means: the server, the client, the network and what goes wrong.

use std::time::Duration;

use fastrand::Rng;
use kalam_live::machine::{Config, Sabotage};

use crate::server::{Behaviour, PageOrder, RateWindow, ResumeKind};

/// Everything that is drawn before a run begins.
#[derive(Debug)]
pub struct Plan {
    /// The server.
    pub behaviour: Behaviour,
    /// The machine.
    pub config: Config,
    /// Lifetime of a token.
    pub token_life: Duration,
    /// Percentage of calls for credentials that fail or are never answered.
    pub bad_credentials: u8,
    /// Delay of a message, at least.
    pub delay: Duration,
    /// Added to it, at most.
    pub jitter: Duration,
    /// How long things go wrong.
    pub trouble: Duration,
    /// Mean time between two faults.
    pub fault_every: Duration,
    /// Mean time between two statements.
    pub write_every: Duration,
    /// Rows written before the client comes.
    pub rows: usize,
    /// Different keys.
    pub keys: i64,
    /// Subscribers.
    pub slots: usize,
    /// Pages may be small.
    pub small: bool,
}

impl Plan {
    /// Draws a plan.
    pub fn draw(seed: u64, sabotage: Sabotage, rng: &mut Rng) -> Self {
        let complete = rng.u8(..100) < 55;
        let slots = rng.usize(1..=6);
        let many = rng.u8(..100) < 8;
        let slots = if many { rng.usize(20..=80) } else { slots };
        let tight = rng.u8(..100) < 15;
        let messages_per_second =
            if complete { pick(rng, &[20, 50, 1000]) } else { pick(rng, &[50, 50, 50, 15]) };
        // Many small pages would take longer than a run does.
        let small = !many && messages_per_second >= 50;
        let behaviour = Behaviour {
            announces: complete,
            resume: if complete { ResumeKind::Replay } else { ResumeKind::NewerRows },
            tells_newest: complete && rng.bool(),
            page_order: if complete { PageOrder::Version } else { PageOrder::Key },
            repeats: if rng.bool() { 0 } else { rng.usize(1..6) },
            rejects_upgrade: rng.bool(),
            sees_header: rng.u8(..100) < 80,
            ends_expired: rng.bool(),
            messages_per_second,
            rate_window: if rng.bool() { RateWindow::Fixed } else { RateWindow::Sliding },
            subscriptions: if tight { slots } else { 4 * slots + 10 },
            batch_rows: if small { pick(rng, &[1, 3, 10, 1000]) } else { 1000 },
            heartbeat: Duration::from_secs(10),
            stop_code: pick(rng, &[None, Some(1001), Some(1012), Some(1013)]),
        };
        let config = Config {
            urls: (0..rng.usize(1..=2)).map(|n| format!("ws://node{n}")).collect(),
            seed,
            header_auth: rng.u8(..100) < 80,
            batch_size: if small { pick(rng, &[2, 7, 400]) } else { 400 },
            sabotage,
            ..Config::default()
        };
        Self {
            behaviour,
            config,
            token_life: Duration::from_secs(pick(rng, &[7, 30, 100_000])),
            bad_credentials: pick(rng, &[0, 0, 10, 30]),
            delay: Duration::from_micros(rng.u64(50..20_000)),
            jitter: Duration::from_micros(pick(rng, &[100, 5_000, 300_000])),
            trouble: Duration::from_secs(rng.u64(5..120)),
            fault_every: Duration::from_millis(pick(rng, &[700, 3_000, 12_000, 60_000])),
            write_every: Duration::from_millis(pick(rng, &[20, 150, 700])),
            rows: pick(rng, &[0, 1, 20, 60]),
            keys: pick(rng, &[3, 25, 80]),
            slots,
            small,
        }
    }
}

/// One of them.
pub fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(..from.len())]
}
