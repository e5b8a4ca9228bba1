//! Rows out of the view: what is new, and how far it can be believed.

use crate::error::Result;
use crate::live::loading::{Loading, Target};
use crate::live::pending::Deltas;
use crate::live::row_set::RowSet;
use crate::live::rows::{Changes, Phase, Rows};
use crate::live::sort::Sort;
use crate::live::view::{LiveView, State};

/// Rows whose changes are not listed yet.
#[derive(Debug)]
pub struct Lifted {
    rows: Rows,
    deltas: Deltas,
    sort: Sort,
}

impl Lifted {
    /// The rows with their changes.
    pub fn into_rows(self) -> Rows {
        let Self { mut rows, deltas, sort } = self;
        rows.changes = deltas.into_changes(&rows.shown, &sort);
        rows
    }
}

impl LiveView {
    /// Whether [`take`](Self::take) would give something, or the view [is over](Self::is_ended).
    pub fn is_ready(&self) -> bool {
        self.is_over() || self.has_news()
    }

    /// Whether everything was taken and nothing will come any more.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended(_, None)) && !self.has_news()
    }

    /// The rows, if something is new since the last take: a first complete snapshot, a change, another phase. In the end
    /// the error, once. `None` while nothing is new, and after the end.
    pub fn take(&mut self) -> Option<Result<Rows>> {
        Some(self.lift()?.map(Lifted::into_rows))
    }

    /// As [`take`](Self::take), but what takes longer is left to [`Lifted::into_rows`], which does not need the view.
    pub fn lift(&mut self) -> Option<Result<Lifted>> {
        if self.has_news()
            && let Some(rows) = &self.rows
        {
            let phase = self.phase();
            self.taken = Some(phase);
            return Some(Ok(Lifted {
                deltas: self.pending.lift(),
                sort: rows.layout.sort.clone(),
                rows: Rows {
                    changes: Changes::Reset,
                    shown: rows.shown().clone(),
                    schema: rows.layout.schema.clone(),
                    last_seq_id: self.last_seq_id,
                    origin: self.origin.clone(),
                    phase,
                },
            }));
        }
        match &mut self.state {
            State::Ended(_, error) => error.take().map(Err),
            _ => None,
        }
    }

    /// How far the rows can be believed now.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Ended(phase, _) => *phase,
            State::Idle => Phase::Loading { rows: 0, pages: 0 },
            State::Loading(loading) if !self.complete => {
                let rows = match (&loading.target, &self.rows) {
                    (Target::Aside(stage), _) => stage.index.len(),
                    (Target::InPlace, rows) => rows.as_ref().map_or(0, RowSet::len),
                };
                Phase::Loading { rows, pages: loading.pages }
            }
            State::Loading(Loading { reconnecting: true, .. }) | State::Interrupted(_) => Phase::Reconnecting,
            // Nobody asks for rows anew on a sound connection unless the ones that are held are in doubt.
            State::Loading(_) => Phase::Unverified,
            State::Live if self.unverified => Phase::Unverified,
            State::Live if self.kept.is_some() => Phase::Reconnecting,
            State::Live if self.partial => Phase::Partial,
            State::Live => Phase::Live,
        }
    }

    /// Changed rows that the reader did not take.
    pub(crate) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Ended(..))
    }

    fn has_news(&self) -> bool {
        let visible = self.complete || (self.options.partial && self.rows.is_some());
        visible && (!self.pending.is_empty() || self.taken != Some(self.phase()))
    }
}
