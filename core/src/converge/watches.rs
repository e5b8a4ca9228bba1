//! Which tables are watched, within the few subscriptions that a user has.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Rules;
use crate::machine::Time;
use crate::sql::LiveSql;

/// With more live queries than this, slots are left to them.
const MOST_QUERIES: usize = 4;
/// Watch frames in a second that cost more than sweeps.
const MOST_FRAMES: u32 = 200;
/// After a watch was given up it is not tried again for so long.
const PAUSE: Duration = Duration::from_secs(60);

/// One per client: the watches that its keepers share, one a table.
#[derive(Debug, Default)]
pub struct Watches {
    /// By the SQL of the watch.
    tables: BTreeMap<String, Watch>,
    /// No watch is opened before.
    blocked_until: Time,
    /// They give way to nothing.
    stubborn: bool,
}

#[derive(Debug)]
struct Watch {
    open: bool,
    window: (Time, u32),
    paused_until: Time,
}

/// What to do about the watch with this SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchAction {
    /// Subscribe without a snapshot.
    Open(String, LiveSql),
    /// End the subscription.
    Close(String),
}

impl Watches {
    /// Those of a client that has none open, under these rules.
    pub fn new(rules: Rules) -> Self {
        Self { stubborn: !rules.watches_yield, ..Self::default() }
    }

    /// Compares what is wanted, one entry a live query of this client, with what is open. `queries`: how many live
    /// queries the client has.
    pub fn plan(&mut self, now: Time, wanted: &[LiveSql], queries: usize) -> Vec<WatchAction> {
        let mut by_sql = BTreeMap::new();
        if self.stubborn || (queries <= MOST_QUERIES && now >= self.blocked_until) {
            for live in wanted {
                if let Ok(sql) = live.to_sql() {
                    by_sql.insert(sql, live);
                }
            }
        }
        let mut actions = Vec::new();
        for (sql, watch) in &mut self.tables {
            if watch.open && !by_sql.contains_key(sql) {
                watch.open = false;
                actions.push(WatchAction::Close(sql.clone()));
            }
        }
        self.tables.retain(|sql, watch| watch.open || now < watch.paused_until || by_sql.contains_key(sql));
        for (sql, live) in by_sql {
            let watch = self.tables.entry(sql.clone()).or_insert_with(|| Watch {
                open: false,
                window: (now, 0),
                paused_until: Time::ZERO,
            });
            if !watch.open && now >= watch.paused_until {
                watch.open = true;
                actions.push(WatchAction::Open(sql, live.clone()));
            }
        }
        actions
    }

    /// A watch told a change. Returns whether it tells too many: it is to be ended.
    pub fn frame(&mut self, now: Time, sql: &str) -> bool {
        let Some(watch) = self.tables.get_mut(sql) else { return false };
        if now.saturating_sub(watch.window.0) > Duration::from_secs(1) {
            watch.window = (now, 0);
        }
        watch.window.1 += 1;
        let too_many = watch.open && watch.window.1 > MOST_FRAMES && !self.stubborn;
        if too_many {
            watch.open = false;
            watch.paused_until = now + PAUSE;
        }
        too_many
    }

    /// A watch has ended by itself, or could not be opened.
    pub fn ended(&mut self, now: Time, sql: &str) {
        if let Some(watch) = self.tables.get_mut(sql) {
            watch.open = false;
            watch.paused_until = now + PAUSE;
        }
    }

    /// The server had no slot for a subscription of this client: watches go first.
    pub fn slots_are_full(&mut self, now: Time) {
        self.blocked_until = now + PAUSE;
    }

    /// When a watch may be opened again.
    pub fn next_timeout(&self, now: Time) -> Option<Time> {
        let paused = self.tables.values().filter(|watch| !watch.open).map(|watch| watch.paused_until);
        paused.chain([self.blocked_until]).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> LiveSql {
        LiveSql::table("app", name)
    }

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    #[test]
    fn queries_of_a_table_share_a_watch() {
        let mut watches = Watches::default();
        let actions = watches.plan(at(0), &[table("a"), table("a"), table("b")], 3);
        assert!(matches!(&actions[..], [WatchAction::Open(a, _), WatchAction::Open(b, _)] if a != b));
        assert!(watches.plan(at(1), &[table("b"), table("a")], 2).is_empty());
        let actions = watches.plan(at(2), &[table("b")], 1);
        assert_eq!(actions, [WatchAction::Close("SELECT * FROM app.a".into())]);
        assert!(watches.plan(at(3), &[table("b")], 1).is_empty());
    }

    #[test]
    fn live_queries_come_first() {
        let mut watches = Watches::default();
        assert_eq!(watches.plan(at(0), &[table("a")], 4).len(), 1);
        assert!(matches!(&watches.plan(at(1), &[table("a")], 5)[..], [WatchAction::Close(_)]));
        assert_eq!(watches.plan(at(2), &[table("a")], 4).len(), 1);
        watches.slots_are_full(at(3));
        assert!(matches!(&watches.plan(at(3), &[table("a")], 1)[..], [WatchAction::Close(_)]));
        let again = watches.next_timeout(at(3)).unwrap();
        assert!(watches.plan(again - Duration::from_millis(1), &[table("a")], 1).is_empty());
        assert_eq!(watches.plan(again, &[table("a")], 1).len(), 1);
        assert_eq!(watches.next_timeout(again), None);
    }

    #[test]
    fn a_watch_that_tells_too_much_pauses() {
        let mut watches = Watches::default();
        watches.plan(at(0), &[table("a")], 1);
        let sql = "SELECT * FROM app.a";
        for frame in 0..1_000 {
            assert!(!watches.frame(Duration::from_millis(frame * 10), sql), "100 a second");
        }
        let flood = (0..1_000).find(|_| watches.frame(at(20), sql)).unwrap();
        assert_eq!(flood, u64::from(MOST_FRAMES));
        assert!(watches.plan(at(21), &[table("a")], 1).is_empty());
        let again = watches.next_timeout(at(21)).unwrap();
        assert_eq!(watches.plan(again, &[table("a")], 1).len(), 1);
        watches.ended(at(100), sql);
        assert!(watches.plan(at(101), &[table("a")], 1).is_empty());
    }
}
