//! The rows of a frame, read straight into typed cells. This is where a client spends its time: no map a row, no text a
//! column name.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

use super::cell::CellSeed;
use super::frame::PartialRow;
use super::plan::{RowPlan, Target};
use crate::row::Row;
use crate::schema::SeqId;
use crate::value::Value;

/// What the rows of an array are read into, one after the other.
pub(super) trait RowSink: Default {
    type Item;

    fn start(&mut self, plan: &RowPlan);
    /// Where the cell of a column goes.
    fn slot(&mut self, at: u32) -> &mut Value;
    fn finish(&mut self, plan: &RowPlan, version: Option<SeqId>) -> Self::Item;
}

/// Every cell, NULL where the row has none.
#[derive(Default)]
pub(super) struct WholeRow(SmallVec<[Value; 16]>);

impl RowSink for WholeRow {
    type Item = Row;

    fn start(&mut self, plan: &RowPlan) {
        self.0.clear();
        self.0.resize_with(plan.schema().all_columns().len(), Default::default);
    }

    fn slot(&mut self, at: u32) -> &mut Value {
        &mut self.0[at as usize]
    }

    fn finish(&mut self, plan: &RowPlan, version: Option<SeqId>) -> Row {
        Row::new(plan.schema().clone(), self.0.drain(..), version)
    }
}

/// Only the cells that the row has.
#[derive(Default)]
pub(super) struct NamedCells(SmallVec<[(u32, Value); 8]>);

impl RowSink for NamedCells {
    type Item = PartialRow;

    fn start(&mut self, _: &RowPlan) {
        self.0.clear();
    }

    fn slot(&mut self, at: u32) -> &mut Value {
        self.0.push((at, Value::Null));
        let last = self.0.len() - 1;
        &mut self.0[last].1
    }

    fn finish(&mut self, plan: &RowPlan, version: Option<SeqId>) -> PartialRow {
        let mut cells = Vec::with_capacity(self.0.len());
        cells.extend(self.0.drain(..));
        PartialRow::new(plan.schema().clone(), cells, version)
    }
}

/// What a look at the rows' columns told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fit {
    /// A column is not in the plan.
    pub(super) unknown: bool,
    /// A row lacks a column of the plan.
    pub(super) lacking: bool,
}

/// Reads an array of rows, or `null`.
pub(super) struct RowsSeed<'a, S> {
    plan: &'a RowPlan,
    depth: usize,
    fit: &'a mut Fit,
    sink: std::marker::PhantomData<S>,
}

impl<'a, S> RowsSeed<'a, S> {
    pub(super) fn new(plan: &'a RowPlan, depth: usize, fit: &'a mut Fit) -> Self {
        Self { plan, depth, fit, sink: std::marker::PhantomData }
    }
}

impl<'de, S: RowSink> DeserializeSeed<'de> for RowsSeed<'_, S> {
    type Value = Vec<S::Item>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: RowSink> Visitor<'de> for RowsSeed<'_, S> {
    type Value = Vec<S::Item>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut sink = S::default();
        let mut next = |seq: &mut A| {
            let seed = RowSeed { plan: self.plan, depth: self.depth, fit: &mut *self.fit, sink: &mut sink };
            seq.next_element_seed(seed)
        };
        let Some(first) = next(&mut seq)? else { return Ok(Vec::new()) };
        // A change has one row, and there are many changes.
        let mut rows = Vec::with_capacity(1);
        rows.push(first);
        while let Some(row) = next(&mut seq)? {
            rows.push(row);
        }
        Ok(rows)
    }
}

struct RowSeed<'a, S> {
    plan: &'a RowPlan,
    depth: usize,
    fit: &'a mut Fit,
    sink: &'a mut S,
}

impl<'de, S: RowSink> DeserializeSeed<'de> for RowSeed<'_, S> {
    type Value = S::Item;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Item, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: RowSink> Visitor<'de> for RowSeed<'_, S> {
    type Value = S::Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row: an object of columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<S::Item, A::Error> {
        let sink = self.sink;
        sink.start(self.plan);
        let mut version = None;
        let mut seen = Seen::default();
        let mut cells = 0;
        let mut expected = 0;
        while let Some(field) = map.next_key_seed(FieldSeed { plan: self.plan, expected })? {
            let Some((number, target)) = field else {
                self.fit.unknown = true;
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if !seen.insert(number) {
                return Err(de::Error::custom(format_args!(
                    "the column {:?} is there twice",
                    self.plan.name(number)
                )));
            }
            expected = number + 1;
            match target {
                Target::Cell { at, cell } => {
                    let seed = CellSeed { cell: *cell, depth: self.depth, slot: sink.slot(*at) };
                    map.next_value_seed(seed).map_err(|e| in_column(self.plan, number, &e))?;
                    cells += 1;
                }
                Target::Version { at } => {
                    let number_of =
                        map.next_value_seed(VersionSeed).map_err(|e| in_column(self.plan, number, &e))?;
                    version = number_of.or(version);
                    if let Some(at) = at {
                        *sink.slot(*at) = number_of.map_or(Value::Null, |seq| Value::Int(seq.get()));
                        cells += 1;
                    }
                }
                Target::Ignored => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        self.fit.lacking |= cells < self.plan.schema().all_columns().len();
        Ok(sink.finish(self.plan, version))
    }
}

#[cold]
fn in_column<E: de::Error>(plan: &RowPlan, number: usize, error: &E) -> E {
    E::custom(format_args!("column {:?}: {error}", plan.name(number)))
}

/// Which fields of a row have come.
#[derive(Default)]
struct Seen {
    first: u64,
    others: Vec<u64>,
}

impl Seen {
    /// Whether `number` is new.
    fn insert(&mut self, number: usize) -> bool {
        let word = match number / 64 {
            0 => &mut self.first,
            word => {
                if self.others.len() < word {
                    self.others.resize(word, 0);
                }
                &mut self.others[word - 1]
            }
        };
        let bit = 1 << (number % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

/// Reads a column name into the field that it means. `None`: the plan has none of that name.
struct FieldSeed<'a> {
    plan: &'a RowPlan,
    expected: usize,
}

impl<'de, 'a> DeserializeSeed<'de> for FieldSeed<'a> {
    type Value = Option<(usize, &'a Target)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for FieldSeed<'a> {
    type Value = Option<(usize, &'a Target)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.plan.field(name, self.expected))
    }
}

/// Reads a version: a string of digits on the wire, or an integer, or `null`.
struct VersionSeed;

impl<'de> DeserializeSeed<'de> for VersionSeed {
    type Value = Option<SeqId>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for VersionSeed {
    type Value = Option<SeqId>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version: an integer or a string of digits")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Self::Value, E> {
        Ok(Some(n.into()))
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Self::Value, E> {
        i64::try_from(n)
            .map(|n| Some(n.into()))
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let n: i64 = text.parse().map_err(|_| E::invalid_type(de::Unexpected::Other("a text"), &self))?;
        Ok(Some(n.into()))
    }
}
