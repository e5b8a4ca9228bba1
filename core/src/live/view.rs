//! The view: frames in, rows out.

use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::live::layout::{Layout, protocol};
use crate::live::loading::{Loading, Stage, Target};
use crate::live::options::LiveOptions;
use crate::live::pending::Pending;
use crate::live::row_set::RowSet;
use crate::live::rows::Phase;
use crate::live::version::Source;
use crate::row::Row;
use crate::schema::{Schema, SeqId};

/// The rows of one live query, for one reader.
///
/// Fed in the order of a subscription: [`begin`](Self::begin) when it was acknowledged, [`batch`](Self::batch) for each
/// page of the snapshot and [`ready`](Self::ready) after the last, [`insert`](Self::insert), [`update`](Self::update) and
/// [`delete`](Self::delete) from `begin` on, [`interrupted`](Self::interrupted) when the connection is lost; then `begin`
/// again. [`fail`](Self::fail) or [`closed`](Self::closed) end it; what comes later is ignored.
///
/// A frame that does not fit gets a `protocol` error and changes nothing (of a batch, the rows before the bad one are
/// kept). The view stays usable: the caller decides whether to `begin` again or to `fail`. Nothing panics.
///
/// Read with [`is_ready`](Self::is_ready) and [`take`](Self::take). A reader that comes late gets the newest rows with
/// all changes since its last take, one for each row at most; see [`Rows`](super::Rows) for an example.
#[derive(Debug)]
pub struct LiveView {
    pub(super) options: LiveOptions,
    pub(super) state: State,
    pub(super) rows: Option<RowSet>,
    pub(super) pending: Pending,
    pub(super) last_seq_id: Option<SeqId>,
    /// Whose number that is.
    pub(super) origin: Option<Checkpoint>,
    /// Whether `rows` were complete once.
    pub(super) complete: bool,
    /// Whether `rows` started from a cursor instead of a snapshot.
    pub(super) partial: bool,
    pub(super) unverified: bool,
    /// The rows are those of an earlier connection, and nothing has shown yet that they still are right: with the greatest
    /// version that frames told since. It counts only when the rows do.
    pub(super) kept: Option<Option<SeqId>>,
    pub(super) counts_versions: bool,
    pub(super) taken: Option<Phase>,
}

#[derive(Debug)]
pub(super) enum State {
    Idle,
    Loading(Loading),
    Live,
    /// With the snapshot that was still arriving.
    Interrupted(Option<Loading>),
    /// With the phase that the last rows have, and the error that the reader did not take yet.
    Ended(Phase, Option<Error>),
}

/// How the server continues a subscription that it acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With a snapshot. Rows that are held are replaced by it in one step, at [`LiveView::ready`].
    Fresh,
    /// With a snapshot of the newest rows only. Rows that are held and are not among them stay, until
    /// [`LiveView::withdraw`]: they are older, or gone.
    Newest,
    /// Without a snapshot, with what was written since a position that the caller gave. It replaces what is held.
    Since,
    /// From a cursor: the rows that are held stay, and what was written since follows.
    Resumed,
    /// Without anything: the rows that are held stay, to be checked and corrected. Until
    /// [`LiveView::set_unverified`] says that they are right the phase is [`Phase::Reconnecting`], and no version counts
    /// as reached. Only where rows of a complete snapshot are held.
    Kept,
}

impl LiveView {
    /// A view that waits for its subscription.
    ///
    /// # Errors
    /// `invalid_argument` when the limit is 0.
    pub fn new(options: LiveOptions) -> Result<Self> {
        if options.limit == Some(0) {
            return Err(Error::new(crate::ErrorCode::InvalidArgument, "limit must be at least 1"));
        }
        Ok(Self {
            options,
            state: State::Idle,
            rows: None,
            pending: Pending::default(),
            last_seq_id: None,
            origin: None,
            complete: false,
            partial: false,
            unverified: false,
            kept: None,
            counts_versions: false,
            taken: None,
        })
    }

    /// Takes rows of different versions for different rows, which is wrong: to show that tests notice.
    pub(crate) fn count_versions(&mut self, count: bool) {
        self.counts_versions = count;
    }

    /// The subscription was acknowledged with these columns.
    ///
    /// # Errors
    /// `invalid_argument` when there is no key or a column that the options name is missing; `protocol` when the rows that
    /// are held are to stay and have other columns: only a fresh snapshot helps then.
    pub fn begin(&mut self, schema: Arc<Schema>, mode: Begin) -> Result<()> {
        self.begin_at(schema, mode, None)
    }

    /// [`begin`](Self::begin), with a checkpoint of the server whose versions follow: what
    /// [`Rows::checkpoint`](super::Rows::checkpoint) is made from.
    ///
    /// # Errors
    /// As there.
    pub fn begin_at(&mut self, schema: Arc<Schema>, mode: Begin, origin: Option<Checkpoint>) -> Result<()> {
        if self.is_over() {
            return Ok(());
        }
        let mut layout = Layout::new(schema, &self.options)?;
        layout.counts_versions = self.counts_versions;
        match mode {
            Begin::Fresh | Begin::Newest | Begin::Since => self.begin_fresh(layout, mode),
            Begin::Resumed => self.begin_resumed(layout)?,
            Begin::Kept => self.begin_kept(layout, origin.as_ref())?,
        }
        if let State::Loading(loading) = &mut self.state {
            loading.origin = origin;
        }
        Ok(())
    }

    fn begin_kept(&mut self, layout: Layout, origin: Option<&Checkpoint>) -> Result<()> {
        let held = self.rows.as_mut().filter(|rows| self.complete && rows.layout.schema == layout.schema);
        let Some(held) = held else { return Err(other_columns()) };
        held.layout = layout;
        held.distrust_versions();
        if self.origin.as_ref().map(Checkpoint::epoch) != origin.map(Checkpoint::epoch) {
            // A number of elsewhere is no place to go on from here.
            self.last_seq_id = None;
        }
        self.kept = Some(None);
        self.state = State::Loading(Loading::new(Target::InPlace, true));
        Ok(())
    }

    fn begin_fresh(&mut self, layout: Layout, mode: Begin) {
        let reconnecting = matches!(self.state, State::Interrupted(_));
        let target = match &self.rows {
            None if self.options.partial => {
                self.rows = Some(RowSet::new(layout, self.options.limit));
                Target::InPlace
            }
            held => Target::Aside(Stage::new(layout, held.as_ref().map_or(0, RowSet::next_arrival))),
        };
        self.state = State::Loading(Loading {
            keep_held: mode == Begin::Newest,
            since: mode == Begin::Since,
            ..Loading::new(target, reconnecting)
        });
    }

    fn begin_resumed(&mut self, layout: Layout) -> Result<()> {
        let interrupted = matches!(self.state, State::Interrupted(_));
        let loading = match &mut self.state {
            State::Loading(loading) | State::Interrupted(Some(loading)) => Some(loading),
            _ => None,
        };
        // The rows that the cursor speaks of: of the snapshot that was arriving, if there was one.
        let held = match loading {
            Some(Loading { target: Target::Aside(stage), .. }) => Some(&mut stage.layout),
            _ => self.rows.as_mut().map(|rows| &mut rows.layout),
        };
        match held {
            Some(held) if held.schema != layout.schema => return Err(other_columns()),
            Some(held) => *held = layout,
            None => {
                self.rows = Some(RowSet::new(layout, self.options.limit));
                self.partial = true;
            }
        }
        let loading = match std::mem::replace(&mut self.state, State::Live) {
            State::Loading(loading) | State::Interrupted(Some(loading)) => loading,
            _ => Loading::new(Target::InPlace, interrupted),
        };
        self.state = State::Loading(loading);
        Ok(())
    }

    /// A page of the snapshot. It never replaces what a newer change brought.
    ///
    /// # Errors
    /// `protocol` before `begin` and after `ready`, and for a row with other columns or with NULL as its key.
    pub fn batch(&mut self, rows: Vec<Row>) -> Result<()> {
        match &mut self.state {
            State::Ended(..) => return Ok(()),
            State::Loading(loading) => loading.pages += 1,
            _ => return Err(protocol("a page of a snapshot came while none was loading")),
        }
        rows.into_iter().try_for_each(|row| self.upsert(row, Source::Page))
    }

    /// The snapshot is complete, or the server has resumed.
    ///
    /// # Errors
    /// `protocol` when nothing was loading.
    pub fn ready(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.state, State::Live) {
            State::Loading(loading) => {
                match loading.target {
                    Target::Aside(mut stage) => {
                        if self.options.newest {
                            stage.sort_by_version();
                        }
                        if loading.keep_held
                            && let Some(held) = &self.rows
                        {
                            stage.keep(held, &loading.removed);
                        }
                        self.install(stage);
                        self.unverified = loading.removed.overflowed;
                    }
                    Target::InPlace => self.unverified |= loading.removed.overflowed,
                }
                self.partial |= loading.since;
                self.origin = loading.origin;
                self.complete = true;
                Ok(())
            }
            state @ State::Ended(..) => {
                self.state = state;
                Ok(())
            }
            state => {
                self.state = state;
                Err(protocol("the end of a snapshot came while none was loading"))
            }
        }
    }

    /// A row was inserted. A key that is held already is updated.
    ///
    /// # Errors
    /// `protocol` as [`update`](Self::update).
    pub fn insert(&mut self, row: Row) -> Result<()> {
        self.change(row)
    }

    /// A row has new content, all of it. It keeps its place; a key that is not held is a row that just matched.
    ///
    /// # Errors
    /// `protocol` before `begin` and while the connection is lost, and for a row with other columns or with NULL as its
    /// key.
    pub fn update(&mut self, row: Row) -> Result<()> {
        self.change(row)
    }

    /// The row with the key of `row` is gone, at the version of `row`. A key that is not held is nothing.
    ///
    /// # Errors
    /// `protocol` as [`update`](Self::update).
    pub fn delete(&mut self, row: Row) -> Result<()> {
        match &mut self.state {
            State::Live => {
                let Some(rows) = &mut self.rows else { return Err(no_subscription()) };
                rows.layout.check(&row)?;
                reach(&mut self.last_seq_id, &mut self.kept, row.version());
                rows.remove(&row, Source::Change, &mut self.pending);
            }
            State::Loading(Loading { target: Target::Aside(stage), removed, .. }) => {
                stage.layout.check(&row)?;
                stage.last_seq_id = stage.last_seq_id.max(row.version());
                stage.remove(&row, Source::EarlyChange);
                removed.remember(&stage.layout.keys, &row, stage.index.len());
            }
            State::Loading(Loading { target: Target::InPlace, removed, .. }) => {
                let Some(rows) = &mut self.rows else { return Err(no_subscription()) };
                rows.layout.check(&row)?;
                reach(&mut self.last_seq_id, &mut self.kept, row.version());
                rows.remove(&row, Source::EarlyChange, &mut self.pending);
                removed.remember(&rows.layout.keys, &row, rows.len());
            }
            State::Ended(..) => return Ok(()),
            State::Idle | State::Interrupted(_) => return Err(no_subscription()),
        }
        self.bound();
        Ok(())
    }

    /// The connection is lost. The rows stay; the next `begin` tells how they are brought up to date.
    pub fn interrupted(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Idle) {
            State::Loading(mut loading) => {
                loading.reconnecting = true;
                State::Interrupted(Some(loading))
            }
            State::Live => State::Interrupted(None),
            state => state,
        };
    }

    /// The subscription failed for good. The reader gets the last rows if it does not have them, then the error.
    pub fn fail(&mut self, error: Error) {
        self.end(Some(error));
    }

    /// The subscription ended as it was asked to.
    pub fn closed(&mut self) {
        self.end(None);
    }

    fn end(&mut self, error: Option<Error>) {
        if !self.is_over() {
            self.state = State::Ended(self.phase(), error);
        }
    }

    fn change(&mut self, row: Row) -> Result<()> {
        match &self.state {
            State::Live => self.upsert(row, Source::Change),
            State::Loading(_) => self.upsert(row, Source::EarlyChange),
            State::Ended(..) => Ok(()),
            State::Idle | State::Interrupted(_) => Err(no_subscription()),
        }
    }

    fn upsert(&mut self, row: Row, source: Source) -> Result<()> {
        let removed = match &mut self.state {
            State::Loading(Loading { target: Target::Aside(stage), removed, .. }) => {
                stage.layout.check(&row)?;
                stage.last_seq_id = stage.last_seq_id.max(row.version());
                if !removed.blocks(&stage.layout.keys, &row, source) {
                    stage.upsert(row, source);
                }
                return Ok(());
            }
            State::Loading(Loading { target: Target::InPlace, removed, .. }) => Some(removed),
            _ => None,
        };
        let Some(rows) = &mut self.rows else { return Err(no_subscription()) };
        rows.layout.check(&row)?;
        reach(&mut self.last_seq_id, &mut self.kept, row.version());
        if removed.is_none_or(|removed| !removed.blocks(&rows.layout.keys, &row, source)) {
            rows.upsert(row, source, &mut self.pending);
            self.bound();
        }
        Ok(())
    }

    /// Puts a complete snapshot in the place of the rows that are held. What is the same in both keeps its allocation,
    /// and what has the same key its place.
    fn install(&mut self, stage: Stage) {
        let Stage { layout, mut index, next_arrival, last_seq_id } = stage;
        let limit = self.options.limit;
        let before = self.rows.take().filter(|held| held.layout.schema == layout.schema);
        if let Some(before) = &before {
            for new in index.iter_mut() {
                let Some(old) = before.get(&new.row) else { continue };
                new.arrival = old.arrival;
                if old.row.same_content(&new.row) {
                    new.row = old.row.clone();
                } else if let Some(original) = self.pending.original(old.arrival, &new.row) {
                    new.row = original;
                }
            }
        }
        let after = RowSet::from_index(layout, limit, index, next_arrival);
        match before {
            Some(before) => self.pending.record_difference(before.shown(), after.shown()),
            None => self.pending.reset(),
        }
        self.rows = Some(after);
        self.last_seq_id = last_seq_id;
        self.kept = None;
        self.partial = false;
        self.bound();
    }

    /// Whether changes are applied as they come: nothing is loading, and the connection stands.
    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Live)
    }

    /// Says whether there is doubt about the rows: [`Phase::Unverified`]. Where there is none, rows of an earlier connection
    /// have been found to be right.
    pub fn set_unverified(&mut self, unverified: bool) {
        self.unverified = unverified;
        if !unverified && let Some(reached) = self.kept.take() {
            self.last_seq_id = self.last_seq_id.max(reached);
        }
    }

    /// Positions of the key columns among the columns of the rows that are arriving, or else of those that are held.
    pub(crate) fn arriving_key_positions(&self) -> Vec<usize> {
        match &self.state {
            State::Loading(Loading { target: Target::Aside(stage), .. }) => {
                stage.layout.keys.positions().to_vec()
            }
            _ => self.key_positions().to_vec(),
        }
    }

    pub(super) fn bound(&mut self) {
        self.pending.bound(self.rows.as_ref().map_or(0, |rows| rows.shown().len()));
    }
}

/// A frame told this version.
fn reach(last: &mut Option<SeqId>, kept: &mut Option<Option<SeqId>>, version: Option<SeqId>) {
    let reached = kept.as_mut().unwrap_or(last);
    *reached = (*reached).max(version);
}

fn other_columns() -> Error {
    protocol("the columns changed while the connection was lost; load the rows anew")
}

fn no_subscription() -> Error {
    protocol("a change came while no subscription was open")
}
