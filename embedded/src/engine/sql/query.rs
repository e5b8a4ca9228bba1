//! Queries: WITH, set operations, VALUES, ORDER BY and LIMIT around SELECTs.

use std::sync::Arc;

use sqlparser::ast::{
    Cte as WithTable, Expr, Fetch, LimitClause, OrderByExpr, OrderByKind, Query, SetExpr, SetOperator,
    SetQuantifier, TableAlias, Value, Values, With,
};

use super::{
    context::{Context, QueryPlan, Source},
    names,
    relation::{RelationColumn, Scope},
    translator::{Cte, Translator},
    typed::{Sql, Typed},
    types,
};
use crate::engine::{Column, DataType, Flags, SqlError, error::SqlResult};
use crate::holes::Holes;

/// One column of what a query returns.
#[derive(Debug, Clone)]
pub(super) struct OutputColumn {
    pub(super) name: Arc<str>,
    pub(super) data_type: DataType,
    pub(super) flags: Flags,
    /// NULL in all rows, so of any type.
    pub(super) untyped: bool,
    /// For the check of unique names.
    pub(super) qualified: String,
}

/// A query written for SQLite; its columns are called `c0`, `c1`, ...
pub(super) struct Planned {
    pub(super) sql: String,
    pub(super) columns: Vec<OutputColumn>,
    /// An aggregate of everything: one row.
    pub(super) at_most_one: bool,
    /// Without WITH, ORDER BY and LIMIT: may be a side of a set operation.
    pub(super) bare: bool,
    /// Columns `k0`, `k1`, ... that are read besides, to sort by them.
    pub(super) hidden: usize,
}

impl Planned {
    /// As the columns of a relation that is called `sqlite` there.
    pub(super) fn relation_columns(&self, sqlite: &str) -> Vec<RelationColumn> {
        let column = |(at, c): (usize, &OutputColumn)| RelationColumn {
            untyped: c.untyped,
            ..RelationColumn::new(c.name.clone(), c.data_type, c.flags, prefixed(sqlite, at))
        };
        self.columns.iter().enumerate().map(column).collect()
    }
}

fn prefixed(sqlite: &str, at: usize) -> String {
    if sqlite.is_empty() { format!("c{at}") } else { format!("{sqlite}.c{at}") }
}

pub(super) fn numbered(letter: char, count: usize) -> String {
    (0..count).map(|n| format!("{letter}{n}")).collect::<Vec<_>>().join(", ")
}

/// Checks a query and writes it for SQLite.
pub(crate) fn plan(context: &Context<'_>, query: &Query) -> SqlResult<QueryPlan> {
    let mut translator = Translator::within(context, Scope::default());
    let planned = translator.query_with(query, context.holes)?;
    let column = |(at, c): (usize, OutputColumn)| Column {
        name: c.name,
        data_type: c.data_type,
        index: u32::try_from(at).unwrap_or(u32::MAX),
        flags: c.flags,
    };
    let items = planned.columns.len();
    let sql = match planned.hidden {
        0 => planned.sql,
        keys => {
            let (items, keys) = (numbered('c', items), numbered('k', keys));
            format!("SELECT {items} FROM ({}) ORDER BY {keys}", planned.sql)
        }
    };
    Ok(QueryPlan {
        sql,
        sources: translator.sources,
        binds: translator.binds,
        columns: planned.columns.into_iter().enumerate().map(column).collect(),
    })
}

impl Translator<'_> {
    /// A query inside another.
    pub(super) fn query(&mut self, query: &Query) -> SqlResult<Planned> {
        self.query_with(query, Holes::default())
    }

    fn query_with(&mut self, query: &Query, holes: Holes) -> SqlResult<Planned> {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        let plain = locks.is_empty()
            && for_clause.is_none()
            && settings.is_none()
            && format_clause.is_none()
            && pipe_operators.is_empty();
        if !plain {
            return Err(SqlError::unsupported("FOR and other clauses after SELECT"));
        }
        let order: &[OrderByExpr] = match order_by.as_ref().map(|o| (&o.kind, &o.interpolate)) {
            None => &[],
            Some((OrderByKind::Expressions(list), None)) => list,
            Some(_) => return Err(SqlError::unsupported("ORDER BY ALL")),
        };
        let known = self.ctes.len();
        let with = with.as_ref().map(|with| self.with(with)).transpose()?.unwrap_or_default();
        let limited = limit_clause.is_some() || fetch.is_some();
        let mut planned = match &**body {
            SetExpr::Select(select) => self.select(select, order, holes.unsorted && limited)?,
            body => {
                let planned = self.body(body)?;
                let columns: Vec<&OutputColumn> = planned.columns.iter().collect();
                let order = self.order_by(order, &columns, false, true)?;
                let bare = planned.bare && order.is_empty();
                let sql = match order.is_empty() || planned.bare {
                    true => planned.sql + &order,
                    false => format!("SELECT * FROM ({}){order}", planned.sql),
                };
                Planned { sql, bare, ..planned }
            }
        };
        let caps = match self.sources.iter().any(|s| matches!(s, Source::Table(_))) {
            true => holes,
            false => Holes::default(),
        };
        let limit = self.limit(limit_clause.as_ref(), fetch.as_ref(), caps)?;
        self.ctes.truncate(known);
        planned.at_most_one |= is_one(limit_clause.as_ref());
        planned.bare &= with.is_empty() && limit.is_empty();
        planned.sql = format!("{with}{}{limit}", planned.sql);
        Ok(planned)
    }

    // WITH

    fn with(&mut self, with: &With) -> SqlResult<String> {
        let mut tables = Vec::new();
        let first = self.ctes.len();
        for table in &with.cte_tables {
            let name = names::ident(&table.alias.name);
            if self.ctes[first..].iter().any(|c| c.name == name) {
                return Err(SqlError::invalid(format!("WITH query name '{name}' specified more than once")));
            }
            let text = self.outside(|this| this.with_table(table, with.recursive))?;
            tables.push(text);
        }
        Ok(format!("WITH RECURSIVE {} ", tables.join(", ")))
    }

    /// Runs `work` where columns of the SELECTs around can not be seen.
    pub(super) fn outside<T>(&mut self, work: impl FnOnce(&mut Self) -> SqlResult<T>) -> SqlResult<T> {
        let seen_from = std::mem::replace(&mut self.seen_from, self.frames.len());
        // ORDER BY of a set operation looks at a frame, if only at an empty one.
        self.frames.push(super::translator::Frame::default());
        let done = work(self);
        self.frames.pop();
        self.seen_from = seen_from;
        done
    }

    fn with_table(&mut self, table: &WithTable, recursive: bool) -> SqlResult<String> {
        let WithTable { alias, query, from: None, materialized: _, closing_paren_token: _ } = table else {
            return Err(SqlError::unsupported("this form of WITH"));
        };
        let (name, sqlite) = (names::ident(&alias.name), self.fresh('w'));
        if recursive
            && let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right } =
                &*query.body
            && query.with.is_none()
            && reads(right, &name)
        {
            if query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
                return Err(SqlError::unsupported("ORDER BY or LIMIT in a recursive query"));
            }
            let first = self.body(left)?;
            let columns = alias_columns(first.relation_columns(""), alias)?;
            let expected = first.columns.iter().map(|c| c.data_type).collect();
            self.ctes.push(Cte { name, sqlite: sqlite.clone(), columns });
            let SetExpr::Select(right) = &**right else {
                return Err(SqlError::unsupported("a recursive part that is not a plain SELECT"));
            };
            self.expected = Some(expected);
            let next = self.select(right, &[], false)?;
            if next.at_most_one {
                return Err(SqlError::unsupported("aggregates in the recursive part of a query"));
            }
            let all = if is_all(*set_quantifier)? { " ALL" } else { "" };
            return Ok(format!("{sqlite} AS ({} UNION{all} {})", first.wrapped(), next.sql));
        }
        let planned = self.query(query)?;
        let columns = alias_columns(planned.relation_columns(""), alias)?;
        self.ctes.push(Cte { name, sqlite: sqlite.clone(), columns });
        Ok(format!("{sqlite} AS ({})", planned.sql))
    }

    // What stands where a SELECT could

    fn body(&mut self, body: &SetExpr) -> SqlResult<Planned> {
        match body {
            SetExpr::Select(select) => self.select(select, &[], false),
            SetExpr::Query(query) => {
                let planned = self.query(query)?;
                Ok(Planned { sql: planned.wrapped(), bare: true, ..planned })
            }
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                let all = is_all(*set_quantifier)?;
                let word = match (op, all) {
                    (SetOperator::Union, true) => "UNION ALL",
                    (SetOperator::Union, false) => "UNION",
                    (SetOperator::Intersect, false) => "INTERSECT",
                    (SetOperator::Except, false) => "EXCEPT",
                    _ => return Err(SqlError::unsupported(format_args!("{op} ALL"))),
                };
                let (left, right) = (self.body(left)?, self.body(right)?);
                self.set_operation(left, word, right)
            }
            SetExpr::Values(values) => self.values(values),
            other => Err(SqlError::unsupported(format_args!(
                "{} as a query",
                super::expr::shorten(&other.to_string())
            ))),
        }
    }

    fn set_operation(&mut self, left: Planned, word: &str, right: Planned) -> SqlResult<Planned> {
        if left.columns.len() != right.columns.len() {
            return Err(SqlError::execution(format!(
                "Error during planning: {word} needs the same number of columns on both sides, not {} and {}",
                left.columns.len(),
                right.columns.len()
            )));
        }
        let mut columns = Vec::new();
        for (a, b) in left.columns.iter().zip(&right.columns) {
            let data_type = match (a.untyped, b.untyped) {
                (true, _) => b.data_type,
                (_, true) => a.data_type,
                _ => types::merge(a.data_type, b.data_type).ok_or_else(|| {
                    SqlError::execution(format!(
                        "Error during planning: {word} of {} and {} in column '{}': write a CAST",
                        a.data_type, b.data_type, a.name
                    ))
                })?,
            };
            columns.push(OutputColumn {
                name: a.name.clone(),
                data_type,
                flags: Flags { not_null: a.flags.not_null && b.flags.not_null, ..Flags::NONE },
                untyped: a.untyped && b.untyped,
                qualified: a.qualified.clone(),
            });
        }
        let wanted: Vec<DataType> = columns.iter().map(|c| c.data_type).collect();
        let left = self.converted(left, &wanted)?;
        // SQLite evaluates from left to right: what is compound on the right needs its own query.
        let right = self.converted(Planned { bare: false, ..right }, &wanted)?;
        let sql = format!("{left} {word} {right}");
        Ok(Planned { sql, columns, at_most_one: false, bare: true, hidden: 0 })
    }

    /// The query's text with columns of these types.
    fn converted(&mut self, planned: Planned, wanted: &[DataType]) -> SqlResult<String> {
        let same = planned.columns.iter().zip(wanted).all(|(c, w)| c.untyped || c.data_type == *w);
        if same {
            return Ok(planned.wrapped());
        }
        let mut list = Vec::new();
        for (at, (column, wanted)) in planned.columns.iter().zip(wanted).enumerate() {
            let typed = match column.untyped {
                true => Typed::null("NULL"),
                false => Typed::new(format!("c{at}"), column.data_type, String::new()),
            };
            list.push(format!("{} AS c{at}", self.coerce(typed, *wanted)?));
        }
        Ok(format!("SELECT {} FROM ({})", list.join(", "), planned.sql))
    }

    fn values(&mut self, values: &Values) -> SqlResult<Planned> {
        let width = values.rows.first().map_or(0, |r| r.content.len());
        let mut rows = Vec::new();
        for row in &values.rows {
            if row.content.len() != width || width == 0 {
                return Err(SqlError::execution(format!(
                    "Execution error: Error during planning: Inconsistent data length across values list: got {} values \
                     in row {} but expected {width}",
                    row.content.len(),
                    rows.len()
                )));
            }
            rows.push(row.content.iter().map(|e| self.expr(e)).collect::<SqlResult<Vec<_>>>()?);
        }
        let mut columns = Vec::new();
        for at in 0..width {
            let column: Vec<Typed> = rows.iter().map(|row| row[at].clone()).collect();
            let name = format!("column{}", at + 1);
            columns.push(OutputColumn {
                name: name.as_str().into(),
                data_type: self.unify(&column)?,
                flags: Flags::NONE,
                untyped: column.iter().all(|t| t.sql == Sql::Null),
                qualified: name,
            });
        }
        let mut texts = Vec::new();
        for row in rows {
            let cells = row.into_iter().zip(&columns).map(|(t, c)| self.coerce(t, c.data_type));
            texts.push(format!("({})", cells.collect::<SqlResult<Vec<_>>>()?.join(", ")));
        }
        let list: Vec<String> = (0..width).map(|at| format!("column{} AS c{at}", at + 1)).collect();
        let sql = format!("SELECT {} FROM (VALUES {})", list.join(", "), texts.join(", "));
        Ok(Planned { sql, columns, at_most_one: texts.len() == 1, bare: true, hidden: 0 })
    }

    // LIMIT

    fn limit(
        &mut self,
        clause: Option<&LimitClause>,
        fetch: Option<&Fetch>,
        caps: Holes,
    ) -> SqlResult<String> {
        let (limit, offset) = match clause {
            None => (None, None),
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|o| &o.value))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
            Some(_) => return Err(SqlError::unsupported("LIMIT BY")),
        };
        let limit = match (limit, fetch) {
            (limit, None) => limit,
            (None, Some(Fetch { with_ties: false, percent: false, quantity: Some(quantity) })) => {
                Some(quantity)
            }
            _ => return Err(SqlError::unsupported("this form of FETCH: use LIMIT")),
        };
        let most = caps.most_rows(limit.is_some());
        if limit.is_none() && offset.is_none() && most.is_none() {
            return Ok(String::new());
        }
        let limit = match (limit, most) {
            (Some(limit), None) => self.count(limit, "LIMIT")?,
            (Some(limit), Some(most)) => format!("min({}, {most})", self.count(limit, "LIMIT")?),
            (None, most) => most.map_or_else(|| "-1".to_owned(), |most| most.to_string()),
        };
        let offset = offset.map_or(Ok("0".to_owned()), |o| self.count(o, "OFFSET"))?;
        Ok(format!(" LIMIT {limit} OFFSET {offset}"))
    }

    fn count(&mut self, expr: &Expr, what: &str) -> SqlResult<String> {
        let negative =
            SqlError::execution(format!("Error during planning: {what} must be a whole number, 0 or more"));
        let constant = match expr {
            Expr::Value(value) => match &value.value {
                Value::Number(text, _) => text.parse::<i64>().is_ok(),
                Value::Placeholder(_) => true,
                _ => false,
            },
            _ => false,
        };
        if !constant {
            return Err(negative);
        }
        let typed = self.expr(expr)?;
        if typed.data_type() != Some(DataType::BigInt) {
            return Err(negative);
        }
        let bound = self.coerce(typed, DataType::BigInt)?;
        // A negative LIMIT would mean "no limit" to SQLite; the value of a parameter is known only when it runs.
        Ok(format!("max({bound}, 0)"))
    }
}

impl Planned {
    /// A text that may stand on the left of a set operation.
    fn wrapped(&self) -> String {
        match self.bare {
            true => self.sql.clone(),
            false => format!("SELECT {} FROM ({})", numbered('c', self.columns.len()), self.sql),
        }
    }
}

/// `AS name (a, b)`.
pub(super) fn alias_columns(
    mut columns: Vec<RelationColumn>,
    alias: &TableAlias,
) -> SqlResult<Vec<RelationColumn>> {
    if alias.at.is_some() || alias.columns.len() > columns.len() {
        return Err(SqlError::execution(format!(
            "Error during planning: the alias '{}' names {} columns, there are {}",
            alias.name,
            alias.columns.len(),
            columns.len()
        )));
    }
    for (column, named) in columns.iter_mut().zip(&alias.columns) {
        column.name = names::ident(&named.name).into();
    }
    Ok(columns)
}

fn is_all(quantifier: SetQuantifier) -> SqlResult<bool> {
    match quantifier {
        SetQuantifier::All => Ok(true),
        SetQuantifier::None | SetQuantifier::Distinct => Ok(false),
        other => Err(SqlError::unsupported(format_args!("UNION {other}"))),
    }
}

/// Whether a FROM clause of the query names the table, which makes a CTE of that name recursive.
fn reads(body: &SetExpr, name: &str) -> bool {
    let SetExpr::Select(select) = body else { return false };
    let called = |factor: &sqlparser::ast::TableFactor| {
        matches!(factor, sqlparser::ast::TableFactor::Table { name: table, .. }
            if names::parts(table).is_ok_and(|parts| parts == [name]))
    };
    select.from.iter().any(|f| called(&f.relation) || f.joins.iter().any(|j| called(&j.relation)))
}

fn is_one(clause: Option<&LimitClause>) -> bool {
    match clause {
        Some(LimitClause::LimitOffset { limit: Some(Expr::Value(value)), .. }) => {
            matches!(&value.value, Value::Number(text, _) if text == "1" || text == "0")
        }
        _ => false,
    }
}
