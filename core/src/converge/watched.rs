//! What a watch tells: a subscription to every change of the table, beside the one of the live query.

use std::time::Duration;

use super::Key;
use super::evaluator::Followed;
use super::keeper::Keeper;
use crate::machine::Time;
use crate::protocol::ChangeKind;
use crate::row::Row;
use crate::sql::{LiveSql, Projection};

impl Keeper {
    /// What to subscribe to, without a snapshot, so that changes which this query is not told are noticed. `None` while
    /// there is nothing to notice.
    pub fn wants_watch(&self) -> Option<LiveSql> {
        let questions = self.questions.as_ref().filter(|_| self.options.rules.watch)?;
        questions.has_filter().then(|| questions.watch())
    }

    /// Grows whenever [`wants_watch`](Self::wants_watch) may give something else.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The watch on this query's table stands, or is gone.
    pub fn handle_watch_state(&mut self, now: Time, up: bool) {
        if self.watched == up {
            return;
        }
        self.watched = up;
        // What changed before it stood, or from now on, is nobody's news.
        self.verify_by(now + Duration::from_millis(20));
    }

    /// The watch told a change of these rows, which hold nothing but the key.
    pub fn handle_watch(&mut self, now: Time, kind: ChangeKind, rows: &[Row]) {
        let Some(questions) = &self.questions else { return };
        if !self.view.is_live() {
            // The snapshot that is arriving is followed by a check.
            return;
        }
        let columns = questions.watch();
        for row in rows {
            let cell = |name: &String| row.schema().index_of_any(name).map(|at| row.all_values()[at].clone());
            let Projection::Columns(names) = &columns.projection else { continue };
            let key: Option<Key> = names.iter().map(cell).collect();
            let (Some(key), Some(version)) = (key, row.version()) else { continue };
            self.frames.note(now, &key);
            let held = self.view.held(&key);
            let unknown = self.removed.version(&key).is_none_or(|removed| removed < version);
            match self.followed {
                Followed::Nothing if held.is_some() || unknown => self.doubt.open(key, Some(version)),
                Followed::Nothing => {}
                Followed::Entries | Followed::Everything => {
                    let Some(held) = held else { continue };
                    let foreign = held.foreign && self.options.rules.keep_sources_apart;
                    let confirmed = !foreign
                        && held.version.is_some_and(|held| match kind {
                            // Still held at the version of its own removal: a contradiction.
                            ChangeKind::Delete => held > version,
                            ChangeKind::Insert | ChangeKind::Update => held >= version,
                        });
                    if !confirmed {
                        self.doubt.wait(now, key, version);
                    }
                }
            }
        }
        self.advance(now);
    }
}
