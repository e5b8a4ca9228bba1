//! The filter of a live query, as far as KalamDB 0.4 evaluates it on changes (`wire/live_filter.jsonl`,
//! `wire/two_subs.jsonl`).
//!
//! It knows AND, OR, NOT, LIKE, ILIKE, `=` and `<>`, and `<`, `<=`, `>`, `>=` of numbers, each between a column and a
//! literal. With anything else in the filter no change ever matches. A comparison with NULL is false, not unknown: NOT
//! of it holds.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use super::{
    DataType, StoredRow,
    catalog::Table,
    error::SqlResult,
    live::{LiveQuery, failed},
    sql::{
        names,
        relation::{Relation, Scope},
        translator::Translator,
        typed::Bind,
    },
};

pub(super) enum Condition {
    /// A comparison, as a `SELECT` of its value.
    Test {
        sql: String,
        binds: Vec<Bind>,
    },
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// What can not be evaluated.
    Unknown,
}

impl Condition {
    pub(super) fn new(sql: String, binds: Vec<Bind>) -> Self {
        Self::Test { sql, binds }
    }

    pub(super) fn of(relation: &Relation, filter: &Expr) -> SqlResult<Self> {
        let condition = read(relation, filter)?;
        Ok(if condition.is_known() { condition } else { Self::Unknown })
    }

    fn is_known(&self) -> bool {
        match self {
            Self::Test { .. } => true,
            Self::All(parts) | Self::Any(parts) => parts.iter().all(Self::is_known),
            Self::Not(part) => part.is_known(),
            Self::Unknown => false,
        }
    }

    pub(super) fn matches(&self, query: &LiveQuery, row: &StoredRow) -> SqlResult<bool> {
        Ok(match self {
            Self::Test { sql, binds } => query.holds(sql, binds, row)?,
            Self::All(parts) => {
                for part in parts {
                    if !part.matches(query, row)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Any(parts) => {
                for part in parts {
                    if part.matches(query, row)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Not(part) => !part.matches(query, row)?,
            Self::Unknown => false,
        })
    }

    /// The same over the columns of another table, by name; a column that is not there is NULL.
    pub(super) fn moved(&self, from: &Table, to: &Table) -> Self {
        let all = |parts: &[Self]| parts.iter().map(|part| part.moved(from, to)).collect();
        match self {
            Self::Test { sql, binds } => {
                let bind = |bind: &Bind| match bind {
                    Bind::Column(position) => match from.columns.get(*position) {
                        Some(column) => match to.column(&column.name) {
                            Some(position) => Bind::Column(position),
                            None => Bind::Cell(super::Cell::Null),
                        },
                        None => Bind::Column(position - from.columns.len() + to.columns.len()),
                    },
                    bind => bind.clone(),
                };
                Self::Test { sql: sql.clone(), binds: binds.iter().map(bind).collect() }
            }
            Self::All(parts) => Self::All(all(parts)),
            Self::Any(parts) => Self::Any(all(parts)),
            Self::Not(part) => Self::Not(Box::new(part.moved(from, to))),
            Self::Unknown => Self::Unknown,
        }
    }
}

fn read(relation: &Relation, expr: &Expr) -> SqlResult<Condition> {
    Ok(match expr {
        Expr::Nested(inner) => read(relation, inner)?,
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => Condition::Not(Box::new(read(relation, expr)?)),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            Condition::All(vec![read(relation, left)?, read(relation, right)?])
        }
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
            Condition::Any(vec![read(relation, left)?, read(relation, right)?])
        }
        Expr::BinaryOp { left, op, right } if compares(relation, left, op, right) => test(relation, expr)?,
        Expr::Like { any: false, expr: tested, pattern, .. }
        | Expr::ILike { any: false, expr: tested, pattern, .. }
            if column_type(relation, tested) == Some(DataType::Text) && is_literal(pattern) =>
        {
            test(relation, expr)?
        }
        _ => Condition::Unknown,
    })
}

fn compares(relation: &Relation, left: &Expr, op: &BinaryOperator, right: &Expr) -> bool {
    let column = match (column_type(relation, left), column_type(relation, right)) {
        (Some(column), None) if is_literal(right) => column,
        (None, Some(column)) if is_literal(left) => column,
        _ => return false,
    };
    match op {
        BinaryOperator::Eq | BinaryOperator::NotEq => {
            !column.is_decimal() && !matches!(column, DataType::Timestamp | DataType::DateTime)
        }
        BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => {
            column.is_integer() || column.is_float()
        }
        _ => false,
    }
}

fn column_type(relation: &Relation, expr: &Expr) -> Option<DataType> {
    let parts: Vec<String> = match expr {
        Expr::Identifier(ident) => vec![names::ident(ident)],
        Expr::CompoundIdentifier(idents) => idents.iter().map(names::ident).collect(),
        Expr::Nested(inner) => return column_type(relation, inner),
        _ => return None,
    };
    relation.find(&parts).ok().map(|position| relation.columns[position].data_type)
}

fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => !matches!(value.value, Value::Null | Value::Placeholder(_)),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => is_literal(expr),
        Expr::Nested(inner) => is_literal(inner),
        _ => false,
    }
}

fn test(relation: &Relation, expr: &Expr) -> SqlResult<Condition> {
    let mut translator = Translator::new(Scope::of(relation.clone()), &[]);
    translator.live = true;
    let failed_here = |e: super::SqlError| failed(e.message);
    let typed = translator.expr(expr).map_err(failed_here)?;
    let text = translator.boolean(typed, "WHERE").map_err(failed_here)?;
    Ok(Condition::new(format!("SELECT {text}"), translator.binds))
}
