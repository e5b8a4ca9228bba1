//! Sub-queries in expressions.

use sqlparser::ast::{Expr, Query};

use super::{
    query::Planned,
    translator::Translator,
    typed::{Sql, Typed},
};
use crate::engine::{DataType, SqlError, error::SqlResult};

impl Translator<'_> {
    fn subquery(&mut self, query: &Query) -> SqlResult<Planned> {
        if self.context.is_none() {
            return Err(SqlError::unsupported("sub-queries here"));
        }
        // Aggregates inside are the sub-query's own.
        let outer = std::mem::replace(&mut self.frame_mut().aggregates, false);
        let planned = self.query(query);
        self.frame_mut().aggregates = outer;
        planned
    }

    fn one_column(&mut self, query: &Query) -> SqlResult<Planned> {
        let planned = self.subquery(query)?;
        match planned.columns.len() {
            1 => Ok(planned),
            n => Err(SqlError::execution(format!(
                "Error during planning: a sub-query in an expression has one column, not {n}"
            ))),
        }
    }

    pub(super) fn scalar_subquery(&mut self, query: &Query) -> SqlResult<Typed> {
        let planned = self.one_column(query)?;
        let column = &planned.columns[0];
        let name = column.name.to_string();
        // SQLite would take the first of several rows.
        let text = match planned.at_most_one {
            true => format!("({})", planned.sql),
            false => format!("(SELECT k_single(c0) FROM ({}))", planned.sql),
        };
        Ok(match column.untyped {
            true => Typed::null(&name),
            false => Typed::new(text, column.data_type, name),
        })
    }

    pub(super) fn exists(&mut self, query: &Query, negated: bool) -> SqlResult<Typed> {
        let planned = self.subquery(query)?;
        let not = if negated { "NOT " } else { "" };
        Ok(Typed::new(format!("({not}EXISTS ({}))", planned.sql), DataType::Boolean, format!("{not}EXISTS")))
    }

    pub(super) fn in_subquery(&mut self, left: &Expr, query: &Query, negated: bool) -> SqlResult<Typed> {
        let left = self.expr(left)?;
        let planned = self.one_column(query)?;
        let column = &planned.columns[0];
        let right = match column.untyped {
            true => Typed::null("NULL"),
            false => Typed::new("c0".into(), column.data_type, column.name.to_string()),
        };
        let not = if negated { "NOT " } else { "" };
        let name = format!("{} {not}IN (<subquery>)", left.name);
        let common = self.unify(&[left.clone(), right.clone()])?;
        let exact = matches!(&right.sql, Sql::Text(_, data_type) if *data_type == common);
        let (left, right) = (self.coerce(left, common)?, self.coerce(right, common)?);
        let inner = match exact {
            true => planned.sql,
            false => format!("SELECT {right} FROM ({})", planned.sql),
        };
        Ok(Typed::new(format!("({left} {not}IN ({inner}))"), DataType::Boolean, name))
    }
}
