//! ORDER BY.

use sqlparser::ast::{Expr, OrderByExpr, OrderBySort, Value};

use super::{names, query::OutputColumn, translator::Translator, typed::Sql};
use crate::engine::{SqlError, error::SqlResult};

impl Translator<'_> {
    /// ` ORDER BY ...`; of a set operation (`outputs_only`) or with DISTINCT by the result's columns only.
    pub(super) fn order_by(
        &mut self,
        list: &[OrderByExpr],
        items: &[&OutputColumn],
        distinct: bool,
        outputs_only: bool,
    ) -> SqlResult<String> {
        let mut texts = Vec::new();
        for OrderByExpr { expr, options, with_fill } in list {
            if with_fill.is_some() {
                return Err(SqlError::unsupported("WITH FILL"));
            }
            let descending = match options.sort {
                None | Some(OrderBySort::Asc) => false,
                Some(OrderBySort::Desc) => true,
                Some(_) => return Err(SqlError::unsupported("ORDER BY ... USING")),
            };
            let text = match output_position(expr, items)? {
                Some(position) => (position + 1).to_string(),
                None if outputs_only => {
                    return Err(SqlError::execution(
                        "Error during planning: ORDER BY of a UNION, INTERSECT or EXCEPT sorts by columns of the result",
                    ));
                }
                None if distinct => {
                    return Err(SqlError::execution(
                        "Error during planning: For SELECT DISTINCT, ORDER BY expressions must appear in select list",
                    ));
                }
                None => {
                    let typed = self.expr(expr)?;
                    match typed.sql {
                        Sql::Text(text, _) => text,
                        // A constant orders nothing, and its number would be taken for a position.
                        _ => continue,
                    }
                }
            };
            texts.push(format!("{text}{}", direction(descending, options.nulls_first)));
        }
        Ok(if texts.is_empty() { String::new() } else { format!(" ORDER BY {}", texts.join(", ")) })
    }
}

/// KalamDB's default: NULL is the greatest.
pub(super) fn direction(descending: bool, nulls_first: Option<bool>) -> &'static str {
    match (descending, nulls_first.unwrap_or(descending)) {
        (false, false) => " ASC NULLS LAST",
        (false, true) => " ASC NULLS FIRST",
        (true, false) => " DESC NULLS LAST",
        (true, true) => " DESC NULLS FIRST",
    }
}

pub(super) fn ordinal(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, false) => text.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Position of the result column that ORDER BY names: by number, or by name.
fn output_position(expr: &Expr, items: &[&OutputColumn]) -> SqlResult<Option<usize>> {
    if let Some(ordinal) = ordinal(expr) {
        if (1..=items.len()).contains(&ordinal) {
            return Ok(Some(ordinal - 1));
        }
        return Err(SqlError::execution(format!(
            "Error during planning: ORDER BY has no column {ordinal} to sort by"
        )));
    }
    let Expr::Identifier(ident) = expr else { return Ok(None) };
    let name = names::ident(ident);
    Ok(items.iter().position(|item| *item.name == *name))
}
