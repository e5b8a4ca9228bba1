//! The parts of a run.

use std::time::Duration;

use kalam_live::converge::KeeperOptions;
use kalam_live::{Error, ErrorCode};

use super::{Answers, Happening, World};
use crate::client::Check;
use crate::data::Filter;
use crate::holes::Holes;
use crate::plan::pick;

/// After the last frame, where frames showed what happened.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);
/// A check from its first question to its last, with repairs in between; the live queries on a table take turns.
const CHECK_TAKES: Duration = Duration::from_secs(12);
/// Backoff of connections and of checks that failed.
const RECOVERS_WITHIN: Duration = Duration::from_secs(700);
/// A connection through which nothing passes.
const NOTICED_WITHIN: Duration = Duration::from_secs(25);
/// Rule 9: where numbers are another node's, checks become rarer, up to so much.
const RARER: u32 = 17;

impl World {
    fn check_takes(&self) -> Duration {
        CHECK_TAKES * self.plan.lives.len() as u32
    }

    /// Rows are written, and the client opens its queries and its connection.
    pub(in crate::holes) fn open(&mut self) -> Check {
        for _ in 0..self.plan.rows {
            self.now += Duration::from_millis(1);
            self.write_one();
        }
        for (at, options) in self.plan.lives.clone() {
            self.begin_live(at, options);
        }
        if self.plan.events {
            self.client.events(self.now, &self.nodes.queries[0]);
        }
        self.client.machine.connect(self.now).map_err(|e| e.to_string())
    }

    fn begin_live(&mut self, at: usize, options: KeeperOptions) {
        self.client.live(self.now, at, &self.nodes.queries[at], options, self.plan.page);
        let mut rows = self.nodes.table.select(self.nodes.queries[at].filter);
        rows.sort_by_key(|row| -row.version);
        let n = options.last_rows.map_or(usize::MAX, |n| n as usize);
        self.horizons.push(rows.get(n - 1).map_or(0, |row| row.version));
    }

    /// One more live query, the same as the first.
    pub(in crate::holes) fn live_too(&mut self, options: KeeperOptions) -> Check {
        let (at, _) = *self.plan.lives.first().ok_or("no live query")?;
        self.plan.lives.push((at, options));
        self.begin_live(at, options);
        Ok(())
    }

    /// A calm beginning, with whatever a snapshot leaves out.
    pub(in crate::holes) fn begin(&mut self) -> Check {
        self.open()?;
        // A mismatch is repaired, then proven, which keeps its distance.
        self.run_for(
            Duration::from_secs(1) + 8 * (self.plan.delay + self.plan.jitter) + self.paging_takes(),
        )?;
        self.check_rows("after the snapshot", |_, _| true)
    }

    /// Pages overlap, and each is asked for by a message, of which a client sends so many a second.
    fn paging_takes(&self) -> Duration {
        let pages = self.plan.page.map_or(0, |page| 3 * self.plan.rows as u32 / page);
        Duration::from_millis(25) * pages * self.plan.lives.len() as u32
    }

    pub(super) fn trouble(&mut self) -> Check {
        self.trace.line(self.now, format_args!("trouble"));
        (self.writing, self.trouble) = (true, true);
        self.answers = Answers::SometimesBad;
        self.plan_in(Duration::from_millis(1), Happening::Write);
        self.plan_in(Duration::from_millis(1), Happening::Fault);
        self.run_for(self.plan.trouble)?;
        self.trace.line(self.now, format_args!("heal"));
        (self.writing, self.trouble) = (false, false);
        self.answers = Answers::Good;
        self.nodes.busy_until = self.now;
        self.close_chances();
        if self.plan.cuts {
            // A connection whose end nobody told is given up when nothing is heard for too long.
            self.run_for(NOTICED_WITHIN)?;
        }
        let rarer = if self.plan.urls > 1 { RARER } else { 1 };
        if self.plan.alters {
            // Where no row is left, only a check shows that the columns are others.
            self.run_for(self.plan.verify * rarer + self.check_takes())?;
        }
        let failed = self.plan.bad_answers > 0 || self.plan.cuts || self.plan.alters;
        let deadline = self.now
            + if failed { RECOVERS_WITHIN } else { Duration::ZERO }
            + self.plan.verify * rarer
            + self.check_takes();
        while self.check_rows("", |_, _| true).is_err() && self.now < deadline {
            self.run_for(Duration::from_secs(1))?;
        }
        self.check_rows("after trouble", |_, _| true)?;
        self.run_for(self.check_takes())?;
        self.check_rows("a while after trouble", |_, _| true)
    }

    /// Single frames are not lost any more, as long as there is no burst.
    fn close_chances(&mut self) {
        self.nodes.holes.drops = 0;
        self.nodes.holes.queue = self.nodes.holes.queue.max(128);
    }

    /// Changes that a frame of a query or of its watch shows.
    pub(super) fn shown_changes(&mut self) -> Check {
        self.trace.line(self.now, format_args!("changes that are shown"));
        // A watch that comes to stand later shows nothing of what was before.
        let watched: Vec<_> = (0..self.client.lives.len()).map(|at| self.client.is_watched(at)).collect();
        let ids = [0; 3].map(|_| self.rng.i64(0..self.plan.keys));
        for _ in 0..self.rng.usize(1..12) {
            let id = pick(&mut self.rng, &ids);
            self.write_to(id);
            let wait = Duration::from_millis(self.rng.u64(0..90));
            self.run_for(wait)?;
        }
        // What is under way arrives first.
        self.run_for(Duration::from_millis(100))?;
        let answers = 8 * (self.plan.delay + self.plan.jitter);
        while self.now < self.last_frame + SHOWN_WITHIN + answers {
            self.run_for(self.last_frame + SHOWN_WITHIN + answers - self.now)?;
        }
        let shown = |world: &Self, at: usize| {
            let query = &world.nodes.queries[world.client.lives[at].query];
            query.filter == Filter::All || (watched[at] && world.client.is_watched(at))
        };
        self.check_rows("a second after the last frame", shown)?;
        // The deadline of what is not watched.
        self.run_for(Duration::from_secs(11) + self.check_takes())?;
        self.check_rows("after changes that were shown", |_, _| true)
    }

    /// Nothing changes, and every answer is made with another user's rights: to nobody's harm.
    pub(super) fn another_users_answers(&mut self) -> Check {
        if self.plan.verify > Duration::from_secs(20) {
            return Ok(());
        }
        self.answers = Answers::AnotherUsers;
        self.run_for(self.plan.verify * 2)?;
        let result = self.check_content("while answers are another user's", |_, _| true);
        self.answers = Answers::Good;
        self.run_for(Duration::from_secs(150) + self.plan.verify)?;
        result?;
        self.check_rows("after answers were another user's", |_, _| true)
    }

    /// Changes that nothing shows: expiry, a table made anew, dropped frames.
    pub(super) fn hidden_changes(&mut self) -> Check {
        self.trace.line(self.now, format_args!("changes that are hidden"));
        let burst = self.rng.u8(..100) < 30;
        if !self.is_calm() {
            self.nodes.holes.drops = 1_000;
            match self.rng.u8(..8) {
                0 => self.nodes.table.recreate(),
                1..5 => {
                    let ids = self.nodes.table.ids();
                    for id in ids {
                        if self.rng.u8(..100) < 20 {
                            self.nodes.table.vanish(id);
                        }
                    }
                }
                _ => {}
            }
        }
        for _ in 0..if burst { 200 } else { self.rng.usize(1..8) } {
            self.write_one();
        }
        self.nodes.holes.drops = 0;
        let rarer = if self.plan.urls > 1 { RARER } else { 1 };
        self.run_for(self.plan.verify * rarer + self.check_takes())?;
        self.check_rows("a check after changes that nothing showed", |_, _| true)
    }

    pub(super) fn is_calm(&self) -> bool {
        self.plan.holes == Holes::closed()
    }

    /// Nothing happens, and it costs next to nothing.
    pub(super) fn idle(&mut self) -> Check {
        // Until what was wrong before is proven.
        self.run_for(Duration::from_secs(60))?;
        let spent =
            |world: &Self| world.client.lives.iter().map(|live| live.spent.queries).collect::<Vec<_>>();
        let before = spent(self);
        let checks = 8;
        self.run_for(self.plan.verify * checks)?;
        for (at, (before, after)) in before.into_iter().zip(spent(self)).enumerate() {
            let live = &self.client.lives[at];
            let unwatched = live.keeper.wants_watch().is_some() && !self.client.is_watched(at);
            let every =
                if unwatched { self.plan.verify.min(Duration::from_secs(10)) } else { self.plan.verify };
            let due = (self.plan.verify * checks).as_secs_f64() / every.as_secs_f64() * 1.12 + 1.0;
            // A node with its own numbers needs pages and a second digest for each.
            let each = if live.spent.foreign_numbering > 0 { 6.0 } else { 1.0 };
            if (after - before) as f64 > due * each {
                return Err(format!("{} queries in the time of {checks} checks, idle", after - before));
            }
        }
        if self.is_calm() && self.client.lives.iter().any(|l| l.spent.mismatches > 0) {
            return Err("a mismatch at a server that left nothing out".into());
        }
        self.check_rows("after an idle time", |_, _| true)
    }

    pub(super) fn drop_table(&mut self) -> Check {
        self.nodes.dropped = true;
        let rarer = if self.plan.urls > 1 { RARER } else { 1 };
        self.run_for(self.plan.verify * rarer + self.check_takes())?;
        let told = |error: &Option<Error>| error.as_ref().is_some_and(|e| e.code() == ErrorCode::NotFound);
        match self.client.lives.iter().all(|live| told(&live.error)) {
            true => Ok(()),
            false => Err("a live query on a table that is gone goes on".into()),
        }
    }
}
