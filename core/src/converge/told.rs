//! What the connection and the subscription tell.

use super::Key;
use super::keeper::{Keeper, Outcome, Server};
use crate::error::{ErrorCode, Result};
use crate::live::Begin;
use crate::machine::{Mode, SubscriptionEvent, Time};
use crate::protocol::{Change, ChangeKind};
use crate::repair::Reason;
use crate::row::Row;
use crate::schema::SeqId;

impl Keeper {
    /// A connection stands: to a server that announced itself `complete` or did not, as this user. Comes before the
    /// subscription's events on it.
    pub fn connected(&mut self, complete: bool, user: impl Into<String>) {
        self.stop();
        let user = user.into();
        if self.server.as_ref().is_some_and(|server| server.user != user) {
            // What is held may be what another user sees.
            self.check.watermark = None;
        }
        self.server = Some(Server { complete, user });
    }

    /// Whether it can find out what changed while a connection is lost, so that the subscription needs no snapshot after
    /// that ([`Machine::keep_rows`](crate::machine::Machine::keep_rows)): the rows were proven once, by a question that gave
    /// a version from where to look.
    pub fn keeps_rows(&self) -> bool {
        self.options.rules.keep_rows
            && self.check.is_able_to_catch_up()
            && self.restart_due.is_none()
            && (self.options.last_rows.is_none() || self.horizon.is_some())
            && self.checks_here()
    }

    /// An event of the subscription.
    pub fn handle_event(&mut self, now: Time, event: SubscriptionEvent) -> Outcome {
        let held = matches!(event, SubscriptionEvent::Acked { mode: Mode::Resumed | Mode::Kept, .. });
        match self.apply(now, event) {
            Ok(outcome) => outcome,
            Err(error) if held && error.code() == ErrorCode::Protocol => self.start_anew(),
            Err(error) => {
                self.stop();
                self.view.fail(error);
                Outcome::Refused
            }
        }
    }

    fn start_anew(&mut self) -> Outcome {
        self.stop();
        self.check.watermark = None;
        self.left = true;
        Outcome::StartAnew
    }

    fn apply(&mut self, now: Time, event: SubscriptionEvent) -> Result<Outcome> {
        self.left &= matches!(
            event,
            SubscriptionEvent::Batch { .. } | SubscriptionEvent::Ready | SubscriptionEvent::Change(_)
        );
        match event {
            _ if self.left => {}
            SubscriptionEvent::Acked { mode: Mode::Kept, .. } if !self.keeps_rows() => {
                return Ok(self.start_anew());
            }
            SubscriptionEvent::Acked { schema, mode, origin } => {
                self.stop();
                if mode == Mode::Kept {
                    self.check.kept = true;
                } else {
                    self.check.watermark = None;
                }
                let begin = match mode {
                    Mode::Kept => Begin::Kept,
                    Mode::Resumed => Begin::Resumed,
                    Mode::Fresh if self.keeps_older() => Begin::Newest,
                    Mode::Fresh => Begin::Fresh,
                    Mode::Since => Begin::Since,
                };
                self.since = mode == Mode::Since || (self.since && mode == Mode::Resumed);
                self.view.begin_at(schema.clone(), begin, Some(origin))?;
                self.prepare(&schema)?;
            }
            SubscriptionEvent::Batch { rows, .. } => self.view.batch(rows)?,
            SubscriptionEvent::Ready => {
                self.view.ready()?;
                self.loaded(now);
            }
            SubscriptionEvent::Change(change) => self.change(now, change)?,
            // Not asked for.
            SubscriptionEvent::Deferred(_) => {}
            // Live rows find out what is missing, or take a fresh snapshot.
            SubscriptionEvent::GapPossible { .. } => {}
            SubscriptionEvent::Interrupted => {
                // Also said when the subscription is begun anew on a connection that stands: the server stays known until
                // `connected` tells of another.
                self.stop();
                self.view.interrupted();
            }
            SubscriptionEvent::Failed(error) => {
                self.stop();
                self.view.fail(error);
                return Ok(Outcome::Over);
            }
            SubscriptionEvent::Ended => {
                self.stop();
                self.view.closed();
                return Ok(Outcome::Over);
            }
        }
        Ok(Outcome::Fine)
    }

    /// A snapshot of the newest rows says nothing about the older ones that are held since the beginning.
    fn keeps_older(&self) -> bool {
        self.options.last_rows.is_some() && self.horizon.is_some() && self.checks_here()
    }

    pub(super) fn checks_here(&self) -> bool {
        // The server's own tables have no versions.
        let own = matches!(&*self.live.table.namespace, "system" | "information_schema");
        !own && !self.since
            && self.options.verify != super::Verify::Off
            && self.server.as_ref().is_some_and(|server| !server.complete)
    }

    fn change(&mut self, now: Time, change: Change) -> Result<()> {
        if self.questions.is_none() || !self.view.is_live() {
            return change.rows.into_iter().try_for_each(|row| self.pass_on(change.kind, row));
        }
        for row in change.rows {
            let (Some(key), Some(version)) = (self.view.key_of(&row), row.version()) else {
                self.pass_on(change.kind, row)?;
                continue;
            };
            self.frames.note(now, &key);
            self.doubt.confirm(&key, version);
            let smaller = || self.view.held(&key).is_some_and(|held| held.version > Some(version));
            if !self.options.rules.arrival_order && smaller() {
                continue;
            }
            let late = self.options.rules.remember_removals
                && self.removed.version(&key).is_some_and(|removed| removed >= version);
            if late {
                // Not resolved by guessing: the number may also be one of a clock that was set back.
                if change.kind != ChangeKind::Delete {
                    self.doubt.open(key, None);
                }
                continue;
            }
            if change.kind == ChangeKind::Delete {
                self.pass_on(change.kind, row)?;
                self.remember(now, key, version);
            } else {
                let doubtful = self.options.rules.doubt_nulls
                    && self
                        .null_sensitive
                        .iter()
                        .any(|at| at.is_none_or(|at| row.all_values()[at].is_null()));
                self.pass_on(change.kind, row)?;
                self.removed.forget(&key);
                if doubtful {
                    self.doubt.open(key, Some(version));
                }
            }
            self.check_passing_state(now);
        }
        if change.unknown_columns && self.options.rules.check_schema {
            self.restart(now, Reason::Schema);
        }
        Ok(())
    }

    fn pass_on(&mut self, kind: ChangeKind, row: Row) -> Result<()> {
        match kind {
            ChangeKind::Insert => self.view.insert(row),
            ChangeKind::Update => self.view.update(row),
            ChangeKind::Delete => self.view.delete(row),
        }
    }

    pub(super) fn remember(&mut self, now: Time, key: Key, version: SeqId) {
        if self.options.rules.remember_removals && !self.removed.remember(key, version) {
            self.verify_by(now);
        }
    }
}
