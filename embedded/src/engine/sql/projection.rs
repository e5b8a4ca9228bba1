//! The columns that a SELECT or RETURNING gives.

use std::{collections::HashMap, sync::Arc};

use sqlparser::ast::{SelectItem, SelectItemQualifiedWildcardKind, WildcardAdditionalOptions};

use super::{
    names,
    query::OutputColumn,
    translator::Translator,
    typed::{Sql, Typed},
};
use crate::engine::{Column, DataType, Flags, SqlError, error::SqlResult};

/// One column of a SELECT under way.
pub(super) struct Item {
    pub(super) text: String,
    pub(super) output: OutputColumn,
}

impl Translator<'_> {
    pub(super) fn projection(
        &mut self,
        projection: &[SelectItem],
        expected: Option<&[DataType]>,
    ) -> SqlResult<Vec<Item>> {
        let mut items = Vec::new();
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let typed = self.expr(expr)?;
                    self.item(&mut items, typed, None, expected)?;
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let typed = self.expr(expr)?;
                    self.item(&mut items, typed, Some(names::ident(alias)), expected)?;
                }
                SelectItem::Wildcard(options) => self.wildcard(&mut items, None, options, expected)?,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let parts = names::parts(name)?;
                    let relation = self.frame().scope.relation_called(&parts);
                    let Some(relation) = relation.filter(|_| !parts.is_empty()) else {
                        return Err(self.frame().scope.no_field(&format!("{name}.*")));
                    };
                    self.wildcard(&mut items, Some(relation), options, expected)?;
                }
                other => return Err(SqlError::unsupported(other)),
            }
        }
        unique_names(&items)?;
        if expected.is_some_and(|e| e.len() != items.len()) {
            return Err(SqlError::execution(
                "Error during planning: both sides of UNION need the same number of columns",
            ));
        }
        Ok(items)
    }

    fn wildcard(
        &mut self,
        items: &mut Vec<Item>,
        relation: Option<usize>,
        options: &WildcardAdditionalOptions,
        expected: Option<&[DataType]>,
    ) -> SqlResult<()> {
        let WildcardAdditionalOptions {
            wildcard_token: _,
            opt_ilike,
            opt_exclude,
            opt_except,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        let plain = opt_ilike.is_none()
            && opt_exclude.is_none()
            && opt_except.is_none()
            && opt_replace.is_none()
            && opt_rename.is_none()
            && opt_alias.is_none();
        if !plain {
            return Err(SqlError::unsupported("options of *"));
        }
        let scope = &self.frame().scope;
        if scope.is_empty() {
            return Err(SqlError::execution("Error during planning: SELECT * needs a FROM clause"));
        }
        let shown = |position: &usize| scope.column(*position).is_some_and(|(_, column)| !column.hidden);
        let positions: Vec<usize> = match relation {
            None => (0..scope.width()).filter(|p| shown(p) && !scope.merged.contains(p)).collect(),
            Some(relation) => {
                let offset = scope.offset(relation);
                (offset..offset + scope.relations[relation].columns.len()).filter(shown).collect()
            }
        };
        for position in positions {
            let typed = self.own_column(position)?;
            self.item(items, typed, None, expected)?;
        }
        Ok(())
    }

    fn item(
        &mut self,
        items: &mut Vec<Item>,
        typed: Typed,
        alias: Option<String>,
        expected: Option<&[DataType]>,
    ) -> SqlResult<()> {
        let column = typed.column.and_then(|position| self.frame().scope.column(position)).map(|(_, c)| c);
        let qualified = alias.clone().unwrap_or_else(|| typed.name.clone());
        let name: Arc<str> = match (&alias, column) {
            (Some(alias), _) => alias.as_str().into(),
            (None, Some(column)) => column.name.clone(),
            (None, None) => typed.name.as_str().into(),
        };
        let flags = column.map_or(Flags::NONE, |c| c.flags);
        let untyped = typed.sql == Sql::Null;
        let (text, data_type) = match expected.and_then(|e| e.get(items.len())) {
            Some(expected) => {
                self.unify(&[typed.clone(), Typed::new(String::new(), *expected, String::new())])?;
                (self.coerce(typed, *expected)?, *expected)
            }
            None => self.finish(typed)?,
        };
        items.push(Item { text, output: OutputColumn { name, data_type, flags, untyped, qualified } });
        Ok(())
    }

    /// The items of RETURNING.
    pub(crate) fn returned(&mut self, items: &[SelectItem]) -> SqlResult<(Vec<String>, Arc<[Column]>)> {
        let items = self.projection(items, None)?;
        let (mut texts, mut columns) = (Vec::new(), Vec::new());
        for (at, Item { text, output }) in items.into_iter().enumerate() {
            texts.push(text);
            let index = u32::try_from(at).unwrap_or(u32::MAX);
            columns.push(Column {
                name: output.name,
                data_type: output.data_type,
                index,
                flags: output.flags,
            });
        }
        Ok((texts, columns.into()))
    }
}

/// Recorded in `wire/types.jsonl`.
fn unique_names(items: &[Item]) -> SqlResult<()> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (position, item) in items.iter().enumerate() {
        if let Some(first) = seen.insert(&item.output.qualified, position) {
            let name = &item.output.qualified;
            return Err(SqlError::execution(format!(
                "Execution error: Error during planning: Projections require unique expression names but the \
                 expression \"{name}\" at position {first} and \"{name}\" at position {position} have the same name. \
                 Consider aliasing (\"AS\") one of them."
            )));
        }
    }
    Ok(())
}
