//! What must hold.

use std::time::Duration;

use kalam_live::live::Phase;

use super::World;
use crate::client::Check;
use crate::data::cells_of;
use crate::server::Stored;

/// In doubt, waited for and asked about.
const MOST_DOUBTS: usize = 4_000;

impl World {
    /// The rows that a live query must have, and those that it may have.
    fn expected(&self, at: usize) -> [Vec<Vec<Option<String>>>; 2] {
        let live = &self.client.lives[at];
        let query = &self.nodes.queries[live.query];
        // A query that began with the newest rows may have those too that were the newest after a reconnect, or are by
        // the numbers of another leader.
        let may = if self.client.connects > 1 || self.leader_was_lost { i64::MIN } else { self.horizons[at] };
        [self.horizons[at], may].map(|horizon| {
            let rows = self.nodes.table.select(query.filter).into_iter().filter(|row| row.version >= horizon);
            let cells = |row: Stored| {
                let seq = query.seq.then(|| (self.plan.urls == 1).then(|| row.version.to_string()));
                query.cells(&row.record).into_iter().chain(seq).collect()
            };
            let mut rows: Vec<Vec<_>> = rows.map(cells).collect();
            if self.nodes.is_altered() && query.star {
                rows.iter_mut().for_each(|row| row.push(None));
            }
            rows.sort();
            rows
        })
    }

    /// The rows of those live queries are right, and said to be.
    pub(in crate::holes) fn check_rows(&self, when: &str, which: impl Fn(&Self, usize) -> bool) -> Check {
        self.check_content(when, &which)?;
        for (at, live) in self.client.lives.iter().enumerate().filter(|(at, _)| which(self, *at)) {
            if live.taken.phase != Some(Phase::Live) && live.keeper.view().phase() != Phase::Live {
                let phase = live.keeper.view().phase();
                // Right and not yet proven is no fault where numbers are another node's, or a check is under way.
                if !matches!(phase, Phase::Unverified) {
                    return Err(format!("{when}: query {at} is {phase:?}"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn check_content(&self, when: &str, which: impl Fn(&Self, usize) -> bool) -> Check {
        for (at, live) in self.client.lives.iter().enumerate().filter(|(at, _)| which(self, *at)) {
            let mut held: Vec<_> = live.taken.rows.iter().map(cells_of).collect();
            if self.nodes.queries[live.query].seq && self.plan.urls > 1 {
                // Each node has its own.
                held.iter_mut().filter_map(|row| row.last_mut()).for_each(|seq| *seq = None);
            }
            held.sort();
            let [must, may] = self.expected(at);
            if held != must {
                let missing: Vec<_> = must.iter().filter(|row| !held.contains(row)).collect();
                let others: Vec<_> = held.iter().filter(|row| !may.contains(row)).collect();
                if missing.is_empty() && others.is_empty() && held.is_sorted_by(|a, b| a < b) {
                    continue;
                }
                let query = &self.nodes.queries[live.query].sql;
                let first = |rows: &[&Vec<Option<String>>]| {
                    format!("{} ({:?})", rows.len(), &rows[..rows.len().min(8)])
                };
                return Err(format!(
                    "{when}: {query}: missing {}, too many {}",
                    first(&missing),
                    first(&others)
                ));
            }
        }
        Ok(())
    }

    pub(super) fn check_step(&mut self) -> Check {
        if let Some(mistake) = self.nodes.mistakes.pop() {
            return Err(format!("the client has sent {mistake}"));
        }
        if self.client.handed_out != self.arrived {
            return Err(format!("events {:?} instead of {:?}", self.client.handed_out, self.arrived));
        }
        self.client.handed_out.clear();
        self.arrived.clear();
        for live in &self.client.lives {
            // Those of an earlier connection may still be on their way.
            let recent =
                live.asked.values().filter(|sent| **sent + Duration::from_secs(1) > self.now).count();
            if recent > 12 {
                return Err(format!("{recent} questions of one live query within a second"));
            }
            let holds = live.keeper.holds();
            let keys = 10_000.min(self.plan.keys as usize);
            let rows = live.keeper.view().held_len();
            let bounded = holds.removed <= keys
                && holds.doubts <= MOST_DOUBTS.min(3 * keys + 200)
                && holds.touched <= keys
                && holds.states <= 4_096
                && holds.changes <= 1_000.max(rows)
                && holds.reports == 0
                && rows <= self.plan.keys as usize;
            if !bounded {
                return Err(format!("{rows} rows and {holds:?} for {} keys", self.plan.keys));
            }
        }
        Ok(())
    }
}
