//! What a checker of the rows sees and corrects.

use std::sync::Arc;

use crate::error::Result;
use crate::live::digest::Digest;
use crate::live::row_set::{RowSet, Upsert};
use crate::live::version::Source;
use crate::live::view::LiveView;
use crate::row::Row;
use crate::schema::{Schema, SeqId};
use crate::value::Value;

/// A row as it is held, whether it is shown or not.
#[derive(Clone, Copy, Debug)]
pub struct HeldRow<'a> {
    /// The row.
    pub row: &'a Row,
    /// The last write that touched it, as far as is known. Newer than [`Row::version`] where that write changed nothing
    /// that is selected.
    pub version: Option<SeqId>,
    /// The version came over HTTP or from an earlier connection: it is not to be compared with those of frames.
    pub foreign: bool,
}

/// What came of a correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// The row was missing.
    Added,
    /// It had other content.
    Changed,
    /// It had the same content under another version, which no reader notices.
    Renumbered,
    /// Nothing was wrong.
    Right,
}

/// Checking and correcting a view by answers from elsewhere. Only while it [is live](Self::is_live); at other times there
/// is nothing to check, and corrections do nothing.
impl LiveView {
    /// The columns of the rows that are held.
    pub fn schema(&self) -> Option<&Arc<Schema>> {
        self.rows.as_ref().map(|rows| &rows.layout.schema)
    }

    /// Positions of the key columns among [`Schema::all_columns`]. Empty while no columns are known.
    pub fn key_positions(&self) -> &[usize] {
        self.rows.as_ref().map_or(&[], |rows| rows.layout.keys.positions())
    }

    /// The key of a row of this view.
    pub fn key_of(&self, row: &Row) -> Option<Box<[Value]>> {
        let rows = self.rows.as_ref()?;
        rows.layout.check(row).ok()?;
        Some(rows.layout.keys.of(row).cloned().collect())
    }

    /// What is held for a key, given in the order of the key columns.
    pub fn held(&self, key: &[Value]) -> Option<HeldRow<'_>> {
        let held = self.rows.as_ref()?.find(key)?;
        let version = held.version.number().map(SeqId::from);
        Some(HeldRow { row: &held.row, version, foreign: held.foreign })
    }

    /// The keys of all rows that are held, in no order.
    pub fn held_keys(&self) -> impl Iterator<Item = Box<[Value]>> {
        self.rows
            .iter()
            .flat_map(|rows| rows.iter().map(|held| rows.layout.keys.of(&held.row).cloned().collect()))
    }

    /// How many rows are held; with a limit, more than are shown.
    pub fn held_len(&self) -> usize {
        self.rows.as_ref().map_or(0, RowSet::len)
    }

    /// The digest of the versions of all rows that are held. `None` while it can not be told: rows are still loading, or
    /// one has no version.
    pub fn digest(&self) -> Option<Digest> {
        self.rows.as_ref().filter(|_| self.is_live())?.digest()
    }

    /// The row as it is at the server, by an answer that no frame has overtaken.
    ///
    /// # Errors
    /// `protocol` for a row with other columns or with NULL as its key.
    pub fn correct(&mut self, row: Row) -> Result<Correction> {
        if !self.is_live() {
            return Ok(Correction::Right);
        }
        let Some(rows) = &mut self.rows else { return Ok(Correction::Right) };
        rows.layout.check(&row)?;
        let correction = match rows.upsert(row, Source::Finding, &mut self.pending) {
            Upsert::Added => Correction::Added,
            Upsert::Changed => Correction::Changed,
            Upsert::Renumbered => Correction::Renumbered,
            Upsert::Unchanged => Correction::Right,
        };
        self.bound();
        Ok(correction)
    }

    /// The server has no row of this key, by an answer that no frame has overtaken. Returns whether one was held.
    pub fn withdraw(&mut self, key: &[Value]) -> bool {
        if !self.is_live() {
            return false;
        }
        let Some(rows) = &mut self.rows else { return false };
        let Some(row) = rows.find(key).map(|held| held.row.clone()) else { return false };
        rows.remove(&row, Source::Finding, &mut self.pending);
        self.bound();
        true
    }
}
