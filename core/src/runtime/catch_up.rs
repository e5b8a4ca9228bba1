//! A stream of events after its connection was lost, at a server that does not tell what was removed meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::checkpoint::Checkpoint;
use crate::converge::{AskId, Found, Missed};
use crate::error::Result;
use crate::machine::Mode;
use crate::protocol::{Change, ChangeKind, StatementResult};
use crate::row::Row;
use crate::schema::{Schema, SeqId};
use crate::sql::LiveSql;

/// Versions count milliseconds above so many bits, from the beginning of 2024 on (recorded in `wire/resume.jsonl`).
const VERSION_MILLIS: u32 = 22;
const VERSION_EPOCH: Duration = Duration::from_secs(1_704_067_200);

/// Versions told lately, of which one may still be found at the server.
const RECENT: usize = 16;

/// Follows one subscription, and looks for what it was not told.
///
/// Until that is over the pages of a resumed subscription say that more follows, and an empty one ends them: so there is no
/// place to go on from in between, after which what was missed would be missed for good.
pub(super) struct CatchUp {
    live: LiveSql,
    user: String,
    resumed: Option<(Arc<Schema>, SeqId)>,
    missed: Option<Missed>,
    /// Where an attempt began that was not finished.
    unfinished: Option<SeqId>,
    recent: [SeqId; RECENT],
    told: usize,
    asks: u64,
    /// When the connection was lost on which everything was told.
    lost: Option<Instant>,
    /// Deletes that were found, and that the server may tell by itself after all.
    found: BTreeSet<SeqId>,
}

/// How it ended.
pub(super) enum CaughtUp {
    /// These rows are gone; and perhaps others, which the server has purged.
    Deleted(Vec<Row>, bool),
    /// That is not known.
    Unknown,
}

impl CatchUp {
    pub(super) fn new(live: LiveSql) -> Self {
        Self {
            live,
            user: String::new(),
            resumed: None,
            missed: None,
            unfinished: None,
            recent: [SeqId::from(0); RECENT],
            told: 0,
            asks: 0,
            lost: None,
            found: BTreeSet::new(),
        }
    }

    pub(super) fn acked(&mut self, schema: &Arc<Schema>, mode: Mode, origin: &Checkpoint) {
        self.missed = None;
        self.resumed = match mode {
            Mode::Fresh => {
                self.unfinished = None;
                self.lost = None;
                self.found.clear();
                None
            }
            Mode::Since | Mode::Resumed | Mode::Kept => Some((schema.clone(), origin.seq())),
        };
    }

    /// The server does not tell what was removed.
    pub(super) fn tells_no_deletes(&mut self) {
        let Some((schema, reached)) = self.resumed.take() else { return };
        let from = self.unfinished.map_or(reached, |unfinished| unfinished.min(reached));
        self.unfinished = Some(from);
        let mut missed = Missed::new(self.live.clone(), schema, from, &self.user);
        missed.after(self.lost.map_or_else(|| age_of(from), |lost| lost.elapsed()));
        for &version in self.recent.iter().take(self.told) {
            missed.proof(version);
        }
        self.missed = Some(missed);
    }

    /// The connection is lost. What was missed since an earlier loss may not be known yet.
    pub(super) fn interrupted(&mut self) {
        if self.unfinished.is_none() {
            self.lost = Some(Instant::now());
        }
    }

    pub(super) fn set_user(&mut self, user: &str) {
        if self.user != user {
            user.clone_into(&mut self.user);
        }
    }

    /// A page; whether its reader is to be told that another follows.
    pub(super) fn batch(&mut self, rows: &[Row], has_more: bool) -> bool {
        self.remember(rows);
        let Some(missed) = &mut self.missed else { return has_more };
        missed.told(rows);
        rows.iter().filter_map(Row::version).for_each(|version| missed.proof(version));
        true
    }

    /// The pages are over.
    pub(super) fn ready(&mut self) {
        if let Some(missed) = &mut self.missed {
            missed.begin();
        }
    }

    /// Whether it matters what is in a change.
    pub(super) fn looks_at_changes(&self) -> bool {
        self.missed.is_some() || !self.found.is_empty()
    }

    /// A change passed that does not matter.
    pub(super) fn passed(&mut self, version: SeqId) {
        self.recent[self.told % RECENT] = version;
        self.told += 1;
    }

    /// Whether a change is news.
    pub(super) fn change(&mut self, change: &Change) -> bool {
        self.remember(&change.rows);
        if let Some(missed) = &mut self.missed {
            missed.told(&change.rows);
        }
        let known = |row: &Row| row.version().is_some_and(|version| self.found.contains(&version));
        self.found.is_empty() || change.kind != ChangeKind::Delete || !change.rows.iter().all(known)
    }

    /// The reader goes on from somewhere else.
    pub(super) fn begin_anew(&mut self) {
        (self.missed, self.resumed) = (None, None);
    }

    pub(super) fn is_curious(&self) -> bool {
        self.missed.is_some()
    }

    /// What is to be asked over HTTP, after waiting so long.
    pub(super) fn question(&mut self) -> Option<(AskId, String, Duration)> {
        let missed = self.missed.as_mut()?;
        let wait = missed.wait();
        let id = AskId::numbered(self.asks);
        match missed.question(id) {
            Ok(sql) => {
                self.asks += u64::from(sql.is_some());
                sql.map(|sql| (id, sql, wait))
            }
            // What was selected can be written.
            Err(_) => None,
        }
    }

    pub(super) fn answer(&mut self, id: AskId, result: Result<Vec<StatementResult>>) -> Option<CaughtUp> {
        let found = self.missed.as_mut()?.answer(id, result)?;
        let caught_up = match found {
            Found::More => return None,
            Found::Rows { mut gone, purged } => {
                gone.retain(|row| row.version().is_some_and(|version| self.found.insert(version)));
                CaughtUp::Deleted(gone, purged)
            }
            Found::Unknown => CaughtUp::Unknown,
        };
        self.missed = None;
        self.unfinished = None;
        Some(caught_up)
    }

    fn remember(&mut self, rows: &[Row]) {
        rows.iter().filter_map(Row::version).for_each(|version| self.passed(version));
    }
}

/// How long ago a version was given, by the clock of this machine.
fn age_of(version: SeqId) -> Duration {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let given = u64::try_from(version.get() >> VERSION_MILLIS).unwrap_or(0);
    since_epoch.saturating_sub(VERSION_EPOCH + Duration::from_millis(given))
}
