//! What a reader gets.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Index;
use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::live::sort::{Entry, Separator};
use crate::live::tree::{self, RankTree};
use crate::row::Row;
use crate::schema::{Schema, SeqId};

/// The rows of a live query at one moment, and how they differ from the ones taken before.
///
/// Immutable and cheap: taking and cloning cost O(1), since all that did not change is shared. Access by position
/// costs O(log n), iterating O(1) a row. A row that did not change is the same allocation in the next `Rows`
/// ([`Row::ptr_eq`]).
///
/// ```
/// use kalam_live::live::{Begin, Change, Changes, LiveOptions, LiveView};
/// use kalam_live::{Column, DataType, Row, Schema};
///
/// let schema = Schema::new(vec![Column::new("id", DataType::Int).primary_key(), Column::new("v", DataType::Text)]);
/// let row = |id: i64, v: &str, seq: i64| Row::new(schema.clone(), vec![id.into(), v.into()], Some(seq.into()));
///
/// let mut view = LiveView::new(LiveOptions::default())?;
/// view.begin(schema.clone(), Begin::Fresh)?;
/// view.batch(vec![row(1, "one", 1), row(2, "two", 2)])?;
/// view.ready()?;
/// let first = view.take().expect("a complete snapshot")?;
/// assert_eq!(first.changes(), &Changes::Reset);
///
/// view.update(row(2, "TWO", 3))?;
/// let rows = view.take().expect("something changed")?;
/// assert_eq!((rows.len(), rows[1]["v"].as_text()), (2, Some("TWO")));
/// assert!(rows[0].ptr_eq(&first[0]));
/// assert!(matches!(rows.changes().as_list(), Some([Change::Update { index: 1, .. }])));
/// # Ok::<(), kalam_live::Error>(())
/// ```
#[derive(Clone)]
pub struct Rows {
    pub(crate) shown: RankTree<Entry, Separator>,
    pub(crate) schema: Arc<Schema>,
    pub(crate) changes: Changes,
    pub(crate) last_seq_id: Option<SeqId>,
    pub(crate) origin: Option<Checkpoint>,
    pub(crate) phase: Phase,
}

impl Rows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.shown.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at a position, in O(log n).
    pub fn get(&self, index: usize) -> Option<&Row> {
        self.shown.get(index).map(|entry| &entry.row)
    }

    /// The rows in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.shown.iter())
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// How these rows differ from the ones that were taken before.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The greatest version that these rows reflect.
    pub fn last_seq_id(&self) -> Option<SeqId> {
        self.last_seq_id
    }

    /// Where to go on: keep its text, and a query from there brings what was written after these rows. `None` without a
    /// version, and while rows of the first snapshot are still arriving.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        Some(self.origin.as_ref()?.at(self.last_seq_id?))
    }

    /// How far these rows can be believed.
    pub fn phase(&self) -> Phase {
        self.phase
    }
}

/// By content and order of the rows; changes and phase do not count.
impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other)
    }
}

impl Eq for Rows {}

/// # Panics
/// When there is no row at this position; [`Rows::get`] does not.
impl Index<usize> for Rows {
    type Output = Row;

    fn index(&self, index: usize) -> &Row {
        self.get(index).unwrap_or_else(|| panic!("row {index} of {}", self.len()))
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &'a Rows {
    type Item = &'a Row;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Rows {
    type Item = Row;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        let end = self.len();
        IntoIter { rows: self, next: 0, end }
    }
}

/// The rows of a [`Rows`], borrowed.
#[derive(Clone)]
pub struct Iter<'a>(tree::Iter<'a, Entry, Separator>);

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Row;

    fn next(&mut self) -> Option<&'a Row> {
        self.0.next().map(|entry| &entry.row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<&'a Row> {
        self.0.nth(n).map(|entry| &entry.row)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|entry| &entry.row)
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

/// The rows of a [`Rows`], each shared once more. Finds each by position; [`Rows::iter`] is faster.
#[derive(Debug)]
pub struct IntoIter {
    rows: Rows,
    next: usize,
    end: usize,
}

impl Iterator for IntoIter {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let row = (self.next < self.end).then(|| self.rows.get(self.next).cloned())?;
        self.next += 1;
        row
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl DoubleEndedIterator for IntoIter {
    fn next_back(&mut self) -> Option<Row> {
        let last = self.end.checked_sub(1).filter(|last| *last >= self.next)?;
        self.end = last;
        self.rows.get(last).cloned()
    }
}

impl ExactSizeIterator for IntoIter {}
impl FusedIterator for IntoIter {}

/// How a [`Rows`] differs from the one that the same reader took before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Read all rows anew: the first ones, other columns, or more changes than rows.
    Reset,
    /// Applied one after the other to the previous rows, these give the new ones: removals from the last position to
    /// the first, then insertions from the first to the last, then updates. At most one a row; a row whose sort
    /// columns changed is removed and inserted.
    List(Arc<[Change]>),
}

impl Changes {
    /// The changes, unless all rows are to be read anew.
    pub fn as_list(&self) -> Option<&[Change]> {
        match self {
            Self::Reset => None,
            Self::List(list) => Some(list),
        }
    }
}

/// One difference between two [`Rows`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A row that came in.
    Insert {
        /// Its position.
        index: usize,
        /// The row.
        row: Row,
    },
    /// A row whose content changed and whose place did not.
    Update {
        /// Its position in the new rows.
        index: usize,
        /// The row that the reader took before.
        old: Row,
        /// The row as it is now.
        row: Row,
    },
    /// A row that is gone.
    Remove {
        /// The position that it had.
        index: usize,
        /// The row that the reader took before.
        row: Row,
    },
}

/// How far rows can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The first snapshot is arriving. Only seen with [`LiveOptions::partial`](crate::live::LiveOptions::partial).
    Loading {
        /// Rows so far.
        rows: usize,
        /// Pages so far.
        pages: usize,
    },
    /// A complete snapshot, and every change that the server told since.
    Live,
    /// The connection is lost, or it is back and what was missed is being looked for. The rows are the last ones known, with
    /// what was found so far; where they are loaded anew, the new ones take their place in one step.
    Reconnecting,
    /// There is reason to doubt the rows, and they are being checked.
    Unverified,
    /// Only rows written since a cursor: the query was resumed and no rows were held.
    Partial,
}

impl Phase {
    /// The word that every language shows: `loading`, `live`, `reconnecting`, `unverified`, `partial`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loading { .. } => "loading",
            Self::Live => "live",
            Self::Reconnecting => "reconnecting",
            Self::Unverified => "unverified",
            Self::Partial => "partial",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
