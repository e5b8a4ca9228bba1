//! What a statement reads from: columns under the names that the statement may use.

use std::sync::Arc;

use sqlparser::ast::{ObjectName, TableFactor, TableWithJoins};

use super::names;
use crate::{
    engine::{
        DataType, Flags, SqlError,
        catalog::{DELETED, Table},
        error::SqlResult,
    },
    wire::Wire,
};

#[derive(Debug, Clone)]
pub(crate) struct RelationColumn {
    pub(crate) name: Arc<str>,
    pub(crate) data_type: DataType,
    pub(crate) flags: Flags,
    /// The name inside SQLite.
    pub(crate) sqlite: String,
    /// All its values are a NULL without a type.
    pub(crate) untyped: bool,
    /// Not in `SELECT *`, and not among the names that an error lists.
    pub(crate) hidden: bool,
}

impl RelationColumn {
    pub(crate) fn new(name: Arc<str>, data_type: DataType, flags: Flags, sqlite: String) -> Self {
        Self { name, data_type, flags, sqlite, untyped: false, hidden: false }
    }
}

/// The columns of a table, a sub-query or a CTE in the order of `SELECT *`.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    /// Tables only.
    pub(crate) namespace: Option<Arc<str>>,
    pub(crate) table: Arc<str>,
    pub(crate) alias: Option<String>,
    pub(crate) columns: Vec<RelationColumn>,
}

impl Relation {
    /// A user's table: its own columns, then the version and `_deleted`. Under the other name that newer clients use the
    /// version is there too, but not in `SELECT *`.
    pub(crate) fn of_table(table: &Table, alias: Option<String>, wire: Wire) -> Self {
        let own = table.columns.iter().enumerate().map(|(position, column)| {
            RelationColumn::new(
                column.name.clone(),
                column.data_type,
                table.flags(position),
                column.sqlite_name(),
            )
        });
        let newer = Wire::V0_8.version_column();
        let hidden = (wire != Wire::V0_8).then_some((newer, "s", true));
        let system = [(wire.version_column(), "s", false), (DELETED, "d", false)].into_iter().chain(hidden);
        let system = system.map(|(name, sqlite, hidden)| {
            let column = Table::system_column(name, 0);
            let flags = column.flags;
            RelationColumn {
                hidden,
                ..RelationColumn::new(column.name, column.data_type, flags, sqlite.to_owned())
            }
        });
        Self {
            namespace: Some(table.namespace.clone()),
            table: table.name.clone(),
            alias,
            columns: own.chain(system).collect(),
        }
    }

    /// The same with every column named `{sqlite_alias}.{name}` inside SQLite, so that no inner query can catch it.
    #[must_use]
    pub(crate) fn named(mut self, sqlite_alias: &str) -> Self {
        for column in &mut self.columns {
            column.sqlite = format!("{sqlite_alias}.{}", column.sqlite);
        }
        self
    }

    /// Whether the parts before a column's name stand for this relation.
    fn is_called(&self, qualifier: &[String]) -> bool {
        match qualifier {
            [] => true,
            [table] => match &self.alias {
                Some(alias) => alias == table,
                None => **table == *self.table,
            },
            [namespace, table] => {
                self.alias.is_none() && self.namespace.as_deref() == Some(namespace) && **table == *self.table
            }
            _ => false,
        }
    }

    /// Position of a column named by the parts of an identifier, the last being the column.
    pub(crate) fn find(&self, parts: &[String]) -> SqlResult<usize> {
        let (name, qualifier) = parts.split_last().map_or(("", parts), |(name, rest)| (name.as_str(), rest));
        let found = self.columns.iter().position(|c| &*c.name == name).filter(|_| self.is_called(qualifier));
        found.ok_or_else(|| self.no_field(&parts.join(".")))
    }

    pub(crate) fn no_field(&self, name: &str) -> SqlError {
        no_field(std::slice::from_ref(self), name)
    }

    /// What stands before a column in names that KalamDB makes up.
    pub(crate) fn prefix(&self) -> String {
        match (&self.alias, &self.namespace) {
            (Some(alias), _) => alias.clone(),
            (None, Some(namespace)) => format!("{namespace}.{}", self.table),
            (None, None) => self.table.to_string(),
        }
    }
}

/// The recorded wording (`wire/live_errors.jsonl`).
fn no_field(relations: &[Relation], name: &str) -> SqlError {
    let fields: Vec<String> = relations
        .iter()
        .flat_map(|r| {
            let prefix = r.prefix();
            r.columns.iter().filter(|c| !c.hidden).map(move |c| format!("{prefix}.{}", c.name))
        })
        .collect();
    let valid = match fields.is_empty() {
        true => String::new(),
        false => format!(" Valid fields are {}.", fields.join(", ")),
    };
    SqlError::execution(format!("Schema error: No field named {name}.{valid}"))
}

/// The relations of one FROM clause. A column's position counts through all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    pub(crate) relations: Vec<Relation>,
    /// Columns that USING made one with another of the same name: found only with their relation's name.
    pub(crate) merged: Vec<usize>,
}

impl Scope {
    pub(crate) fn of(relation: Relation) -> Self {
        Self { relations: vec![relation], merged: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.relations.is_empty()
    }

    /// Position of the first column of a relation.
    pub(crate) fn offset(&self, relation: usize) -> usize {
        self.relations[..relation].iter().map(|r| r.columns.len()).sum()
    }

    pub(crate) fn width(&self) -> usize {
        self.offset(self.relations.len())
    }

    pub(crate) fn column(&self, position: usize) -> Option<(&Relation, &RelationColumn)> {
        let mut left = position;
        for relation in &self.relations {
            match relation.columns.get(left) {
                Some(column) => return Some((relation, column)),
                None => left -= relation.columns.len(),
            }
        }
        None
    }

    /// Position of a column by its name; `None` when there is none.
    pub(crate) fn find(&self, parts: &[String]) -> SqlResult<Option<usize>> {
        let Some((name, qualifier)) = parts.split_last() else { return Ok(None) };
        let (mut found, mut offset) = (None, 0);
        for relation in &self.relations {
            if relation.is_called(qualifier) {
                for (at, column) in relation.columns.iter().enumerate().filter(|(_, c)| *c.name == **name) {
                    let position = offset + at;
                    if qualifier.is_empty() && self.merged.contains(&position) {
                        continue;
                    }
                    if found.is_some() {
                        return Err(SqlError::execution(format!(
                            "Schema error: Ambiguous reference to unqualified field {}: write it with its table, as \
                             {}.{}",
                            parts.join("."),
                            relation.prefix(),
                            column.name
                        )));
                    }
                    found = Some(position);
                }
            }
            offset += relation.columns.len();
        }
        Ok(found)
    }

    /// The relation that stands before `.*`.
    pub(crate) fn relation_called(&self, qualifier: &[String]) -> Option<usize> {
        self.relations.iter().position(|r| r.is_called(qualifier))
    }

    pub(crate) fn no_field(&self, name: &str) -> SqlError {
        no_field(&self.relations, name)
    }
}

/// The one table of an UPDATE or DELETE and its alias.
pub(crate) fn single(from: &[TableWithJoins]) -> SqlResult<Option<(&ObjectName, Option<String>)>> {
    match from {
        [] => Ok(None),
        [TableWithJoins { relation, joins }] if joins.is_empty() => match plain_table(relation)? {
            Some((name, alias)) => Ok(Some((name, alias))),
            None => Err(SqlError::unsupported("writing to anything but a table")),
        },
        _ => Err(SqlError::unsupported("UPDATE or DELETE of several tables: use a sub-query in WHERE")),
    }
}

/// Name and alias of a table; `None` when it is something else, such as a sub-query.
pub(crate) fn plain_table(factor: &TableFactor) -> SqlResult<Option<(&ObjectName, Option<String>)>> {
    match factor {
        TableFactor::Table {
            name,
            alias,
            args: None,
            with_hints,
            version: None,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_directives,
            inheritance: None,
        } if with_hints.is_empty() && partitions.is_empty() && index_directives.is_empty() => {
            let alias = match alias {
                None => None,
                Some(alias) if alias.columns.is_empty() && alias.at.is_none() => {
                    Some(names::ident(&alias.name))
                }
                Some(_) => return Err(SqlError::unsupported("column names in the alias of a table")),
            };
            Ok(Some((name, alias)))
        }
        TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => Ok(None),
        other => Err(SqlError::unsupported(format_args!("FROM {other}"))),
    }
}
