//! The orders that a view keeps: what a reader sees, and which rows a `limit` lets in.

use std::cmp::Ordering;

use crate::error::{Error, ErrorCode, Result};
use crate::live::compare::{compare_values, value_prefix};
use crate::live::order_by::{OrderBy, Term};
use crate::live::tree::Order;
use crate::live::version::Version;
use crate::row::Row;
use crate::schema::Schema;
use crate::value::Value;

/// A row with its place in the order of arrival; made by [`Sort::entry`].
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) arrival: u64,
    /// Decides most comparisons without a look at the row, which is likely to be far away in memory.
    prefix: u64,
    pub(crate) row: Row,
}

/// The order of a reader's rows: by cells, then by arrival. Without columns, by arrival alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sort(Box<[SortColumn]>);

#[derive(Clone, Debug)]
struct SortColumn {
    index: usize,
    descending: bool,
    nulls_first: bool,
}

impl Sort {
    pub(crate) fn new(order_by: Option<&OrderBy>, schema: &Schema) -> Result<Self> {
        let Some(order_by) = order_by else { return Ok(Self::default()) };
        let column = |term: &Term| {
            let index = schema.index_of_any(&term.column).ok_or_else(|| {
                Error::new(
                    ErrorCode::InvalidArgument,
                    format!("order_by: there is no column {:?} in the query", term.column),
                )
            })?;
            Ok(SortColumn { index, descending: term.descending, nulls_first: term.nulls_first })
        };
        order_by.terms().iter().map(column).collect::<Result<_>>().map(Self)
    }

    /// Whether there are no columns.
    pub(crate) fn is_arrival(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn entry(&self, arrival: u64, row: Row) -> Entry {
        let prefix = self.0.first().map_or(0, |column| column.prefix(row.all_values()));
        Entry { arrival, prefix, row }
    }

    /// Compares the cells alone.
    pub(crate) fn compare_rows(&self, a: &Row, b: &Row) -> Ordering {
        let (a, b) = (a.all_values(), b.all_values());
        self.0.iter().map(|column| column.compare(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl SortColumn {
    fn compare(&self, a: &[Value], b: &[Value]) -> Ordering {
        let (Some(a), Some(b)) = (a.get(self.index), b.get(self.index)) else { return Ordering::Equal };
        match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (false, false) if self.descending => compare_values(b, a),
            (false, false) => compare_values(a, b),
            (true, false) if self.nulls_first => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, true) if self.nulls_first => Ordering::Greater,
            (false, true) => Ordering::Less,
        }
    }

    fn prefix(&self, cells: &[Value]) -> u64 {
        match cells.get(self.index) {
            None | Some(Value::Null) if self.nulls_first => 0,
            None | Some(Value::Null) => u64::MAX,
            Some(value) if self.descending => !value_prefix(value),
            Some(value) => value_prefix(value),
        }
    }
}

/// The place of an [`Entry`]. It holds no row where arrival alone sorts, so that copying a node touches none.
#[derive(Clone, Debug)]
pub(crate) enum Separator {
    Arrival(u64),
    Entry(Entry),
}

impl Order<Entry> for Sort {
    type Separator = Separator;

    fn compare(&self, a: &Entry, b: &Entry) -> Ordering {
        (a.prefix.cmp(&b.prefix))
            .then_with(|| self.compare_rows(&a.row, &b.row))
            .then_with(|| a.arrival.cmp(&b.arrival))
    }

    fn compare_separator(&self, item: &Entry, separator: &Separator) -> Ordering {
        match separator {
            Separator::Arrival(arrival) => item.arrival.cmp(arrival),
            Separator::Entry(entry) => self.compare(item, entry),
        }
    }

    fn separator(&self, item: &Entry) -> Separator {
        if self.is_arrival() { Separator::Arrival(item.arrival) } else { Separator::Entry(item.clone()) }
    }
}

/// A row that a `limit` may let in.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) version: Version,
    pub(crate) entry: Entry,
}

/// Who comes first when only so many are let in: the first in the order of the columns; without columns, the most
/// recently written.
pub(crate) struct Membership<'a>(pub(crate) &'a Sort);

impl Membership<'_> {
    fn by_version(&self) -> bool {
        self.0.is_arrival()
    }
}

impl Order<Member> for Membership<'_> {
    type Separator = (Version, Separator);

    fn compare(&self, a: &Member, b: &Member) -> Ordering {
        if self.by_version() {
            b.version.cmp(&a.version).then_with(|| b.entry.arrival.cmp(&a.entry.arrival))
        } else {
            self.0.compare(&a.entry, &b.entry)
        }
    }

    fn compare_separator(&self, item: &Member, (version, separator): &Self::Separator) -> Ordering {
        let place = self.0.compare_separator(&item.entry, separator);
        if self.by_version() { version.cmp(&item.version).then(place.reverse()) } else { place }
    }

    fn separator(&self, item: &Member) -> Self::Separator {
        (item.version, self.0.separator(&item.entry))
    }
}
