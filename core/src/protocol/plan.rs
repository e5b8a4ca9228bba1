//! How the rows of one subscription are read.

use std::sync::Arc;

use super::cell::CellType;
use crate::error::{Error, ErrorCode, Result};
use crate::schema::{Column, DataType, Schema};
use crate::sql::{LiveSql, Projection};

/// Whether the old values of updates are read or skipped; skipping is cheaper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldValues {
    /// `Change.old` stays empty.
    Skip,
    /// `Change.old` is filled.
    Keep,
}

/// The row plans of a connection, by subscription id.
pub trait Plans {
    /// The plan of an id. Rows of an id without one are skipped: frames still arrive after an unsubscribe.
    fn plan(&self, subscription_id: &str) -> Option<&RowPlan>;
}

/// One plan, whatever the subscription is called.
impl Plans for RowPlan {
    fn plan(&self, _: &str) -> Option<&RowPlan> {
        Some(self)
    }
}

impl Plans for () {
    fn plan(&self, _: &str) -> Option<&RowPlan> {
        None
    }
}

impl<S: std::hash::BuildHasher> Plans for std::collections::HashMap<String, RowPlan, S> {
    fn plan(&self, subscription_id: &str) -> Option<&RowPlan> {
        self.get(subscription_id)
    }
}

/// How the rows of one subscription are read: their schema, and which field of a frame goes where.
#[derive(Clone, Debug, PartialEq)]
pub struct RowPlan {
    schema: Arc<Schema>,
    old: OldValues,
    fields: Vec<Field>,
    /// The [`head`] of each field's name, side by side for the search.
    heads: Vec<u64>,
    /// Positions in `fields`, sorted by name.
    by_name: Vec<u32>,
    /// A column outside the schema means that the table changed. Not so where the projection lacks the primary key:
    /// updates carry it nevertheless (recorded in `wire/live_filter.jsonl`).
    strict: bool,
}

/// One field that a row on the wire may have.
#[derive(Clone, Debug, PartialEq)]
struct Field {
    name: Box<str>,
    target: Target,
}

/// The first eight bytes of a name as a number; of a shorter one, all of them. Names of one length up to eight have the
/// same number only if they are the same.
fn head(name: &str) -> u64 {
    let bytes = name.as_bytes();
    if let Some(eight) = bytes.first_chunk() {
        u64::from_le_bytes(*eight)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
    } else {
        bytes.iter().fold(0, |head, byte| head << 8 | u64::from(*byte))
    }
}

/// Where a field goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    /// A cell of the row.
    Cell { at: u32, cell: CellType },
    /// The row's version; also a cell, when it was selected by name.
    Version { at: Option<u32> },
    /// A system column that nobody asked for.
    Ignored,
}

/// The row's version: up to 0.7, and from 0.8 on.
const VERSION_COLUMNS: [&str; 2] = ["_seq", "_version"];
/// Other columns of the system, which `SELECT *` brings and which are no columns of a live row.
const SYSTEM_COLUMNS: [&str; 3] = ["_deleted", "_commit_seq", "_row_id"];

impl RowPlan {
    /// The plan for the columns of a `subscription_ack`.
    ///
    /// `SELECT *` leaves the system's columns (`_seq`, `_deleted`, ...) out; selected by name they are cells. Hidden
    /// columns stand at the end. The version is kept beside the cells in any case.
    ///
    /// # Errors
    /// `protocol` when the ack lacks a column that was selected, or names one twice.
    pub fn new(ack_columns: &[Column], sql: &LiveSql, old: OldValues) -> Result<Self> {
        let (columns, visible) = match &sql.projection {
            Projection::Star => {
                let columns: Vec<Column> =
                    ack_columns.iter().filter(|c| !is_system(&c.name)).cloned().collect();
                let visible = columns.len();
                (columns, visible)
            }
            Projection::Columns(names) => {
                let all = names.iter().chain(&sql.hidden);
                (all.map(|name| ack_column(ack_columns, name)).collect::<Result<_>>()?, names.len())
            }
        };
        // The live evaluator tells a system table's rows as SQL does, in mixed units.
        let any_unit = matches!(&*sql.table.namespace, "system" | "information_schema");
        let mut fields: Vec<Field> = Vec::with_capacity(columns.len() + 5);
        for (at, column) in columns.iter().enumerate() {
            let at = at as u32;
            let target = if VERSION_COLUMNS.contains(&&*column.name) {
                Target::Version { at: Some(at) }
            } else {
                Target::Cell { at, cell: CellType::new(&column.data_type, any_unit) }
            };
            fields.push(Field { name: column.name.as_ref().into(), target });
        }
        for name in VERSION_COLUMNS.iter().chain(&SYSTEM_COLUMNS) {
            if !columns.iter().any(|c| &*c.name == *name) {
                let target = if VERSION_COLUMNS.contains(name) {
                    Target::Version { at: None }
                } else {
                    Target::Ignored
                };
                fields.push(Field { name: (*name).into(), target });
            }
        }
        let name = |i: &u32| &*fields[*i as usize].name;
        let mut by_name: Vec<u32> = (0..fields.len() as u32).collect();
        by_name.sort_unstable_by_key(name);
        if by_name.windows(2).any(|pair| name(&pair[0]) == name(&pair[1])) {
            return Err(Error::new(
                ErrorCode::Protocol,
                "the server named a column of the subscription twice",
            ));
        }
        let strict = sql.projection == Projection::Star || columns.iter().any(|c| c.flags.primary_key);
        let heads = fields.iter().map(|field| head(&field.name)).collect();
        Ok(Self { schema: Schema::with_hidden(columns, visible), old, fields, heads, by_name, strict })
    }

    /// The schema of the rows.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Whether old values are kept.
    pub fn old_values(&self) -> OldValues {
        self.old
    }

    /// Whether no cell is an array or an object on the wire.
    pub(crate) fn is_flat(&self) -> bool {
        self.fields.iter().all(|field| match &field.target {
            Target::Cell { cell, .. } => cell.is_flat(),
            Target::Version { .. } | Target::Ignored => true,
        })
    }

    /// Whether a column outside the plan tells that the table changed.
    pub(super) fn is_strict(&self) -> bool {
        self.strict
    }

    /// The field called `name` and its number; `expected` is the number that it has if the server keeps to our order.
    pub(super) fn field(&self, name: &str, expected: usize) -> Option<(usize, &Target)> {
        let head = head(name);
        let at = match self.heads.get(expected) {
            Some(known) if *known == head && self.is_called(expected, name) => expected,
            _ => self.search(name, head)?,
        };
        Some((at, &self.fields[at].target))
    }

    /// Whether the field has that name. The heads are the same: most names end there, and no memory is compared.
    fn is_called(&self, field: usize, name: &str) -> bool {
        let own = &*self.fields[field].name;
        own.len() == name.len() && (name.len() <= 8 || own == name)
    }

    /// KalamDB keeps to no order at all, so this is the usual way.
    fn search(&self, name: &str, head: u64) -> Option<usize> {
        const SCAN: usize = 32; // A scan of a few numbers beats a search.
        if self.fields.len() <= SCAN {
            let mut heads = self.heads.iter().enumerate();
            heads.find_map(|(at, known)| (*known == head && self.is_called(at, name)).then_some(at))
        } else {
            let found = self.by_name.binary_search_by(|i| (*self.fields[*i as usize].name).cmp(name));
            found.ok().map(|at| self.by_name[at] as usize)
        }
    }

    /// The name of a field.
    pub(super) fn name(&self, field: usize) -> &str {
        &self.fields[field].name
    }
}

fn is_system(name: &str) -> bool {
    VERSION_COLUMNS.contains(&name) || SYSTEM_COLUMNS.contains(&name)
}

fn ack_column(ack_columns: &[Column], name: &str) -> Result<Column> {
    if let Some(column) = ack_columns.iter().find(|c| &*c.name == name) {
        return Ok(column.clone());
    }
    // Servers send these with every row and do not list them in every ack.
    match name {
        "_deleted" => Ok(Column::new(name, DataType::Boolean)),
        _ if VERSION_COLUMNS.contains(&name) => Ok(Column::new(name, DataType::BigInt)),
        _ => Err(Error::new(
            ErrorCode::Protocol,
            format!("the server's answer lacks the column {name:?} of the subscription"),
        )),
    }
}
