//! SELECT: its clauses together. [`super::query`] is around it, [`super::from`], [`super::projection`] and [`super::order`]
//! below.

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, NamedWindowExpr, OrderByExpr, OrderBySort, Select, SelectItem,
};

use super::{
    from::FromClause,
    names,
    order::{direction, ordinal},
    projection::Item,
    query::{OutputColumn, Planned},
    relation::Scope,
    translator::{Frame, Grouping, Translator},
    typed::Sql,
};
use crate::engine::{SqlError, catalog::DELETED, error::SqlResult};

/// The clauses that may be there, once all others are known to be absent.
struct Clauses<'a> {
    distinct: bool,
    /// `DISTINCT ON (...)`.
    distinct_on: &'a [Expr],
    group_by: &'a [Expr],
}

fn check_clauses(select: &Select) -> SqlResult<Clauses<'_>> {
    let Select {
        select_token: _,
        optimizer_hints: _,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from: _,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window: _,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor: _,
    } = select;
    let plain = select_modifiers.is_none()
        && top.is_none()
        && exclude.is_none()
        && into.is_none()
        && lateral_views.is_empty()
        && prewhere.is_none()
        && connect_by.is_empty()
        && cluster_by.is_empty()
        && distribute_by.is_empty()
        && sort_by.is_empty()
        && qualify.is_none()
        && value_table_mode.is_none();
    if !plain {
        return Err(SqlError::unsupported("this form of SELECT"));
    }
    if projection.is_empty() {
        return Err(SqlError::invalid("SELECT needs at least one column"));
    }
    let (distinct, distinct_on) = match distinct {
        None | Some(Distinct::All) => (false, &[][..]),
        Some(Distinct::Distinct) => (true, &[][..]),
        Some(Distinct::On(list)) => (false, &list[..]),
    };
    match group_by {
        GroupByExpr::Expressions(list, modifiers) if modifiers.is_empty() => {
            Ok(Clauses { distinct, distinct_on, group_by: list })
        }
        _ => Err(SqlError::unsupported("this form of GROUP BY")),
    }
}

impl Translator<'_> {
    /// A SELECT with its ORDER BY. `keys`: the keys of the only table are read behind the items, to sort by them in the
    /// end (see [`Holes::unsorted`]).
    pub(super) fn select(
        &mut self,
        select: &Select,
        order: &[OrderByExpr],
        keys: bool,
    ) -> SqlResult<Planned> {
        self.frames.push(Frame::default());
        let planned = self.select_in_frame(select, order, keys);
        self.frames.pop();
        planned
    }

    fn select_in_frame(&mut self, select: &Select, order: &[OrderByExpr], keys: bool) -> SqlResult<Planned> {
        let clauses = check_clauses(select)?;
        let expected = self.expected.take();
        let from = self.from(&select.from)?;
        for definition in &select.named_window {
            let NamedWindowExpr::WindowSpec(spec) = &definition.1 else {
                return Err(SqlError::unsupported("a window that is another window"));
            };
            self.frame_mut().named_windows.push((names::ident(&definition.0), spec.clone()));
        }
        let (from, filter) = self.where_clause(&from, select.selection.as_ref())?;
        let (grouping, group_texts) = self.group_by(clauses.group_by, &select.projection)?;
        let before = self.binds.clone();
        let frame = self.frame_mut();
        (frame.aggregates, frame.windows, frame.grouping) = (true, true, grouping);
        let mut items = self.projection(&select.projection, expected.as_deref())?;
        let frame = self.frame();
        if frame.grouping.is_none() && (frame.saw_aggregate || select.having.is_some()) {
            // Once more, with the rule that bare columns are not allowed beside aggregates.
            self.binds = before;
            self.frame_mut().grouping = Some(Grouping::default());
            items = self.projection(&select.projection, expected.as_deref())?;
        }
        self.frame_mut().windows = false;
        if select.having.is_some() && group_texts.is_empty() && !self.frame().saw_aggregate {
            // SQLite would not see one group in it.
            return Err(SqlError::unsupported(
                "HAVING without GROUP BY where SELECT has no aggregate: select count(*) too",
            ));
        }
        let having = match &select.having {
            None => String::new(),
            Some(having) => {
                let typed = self.expr(having)?;
                format!(" HAVING {}", self.boolean(typed, "HAVING")?)
            }
        };
        let grouped = self.frame().grouping.is_some();
        // An aggregate in ORDER BY alone would make a query of rows one of groups.
        let frame = self.frame_mut();
        (frame.aggregates, frame.windows) = (grouped, true);
        if !clauses.distinct_on.is_empty() {
            if grouped {
                return Err(SqlError::unsupported("DISTINCT ON beside aggregates: use a sub-query"));
            }
            let tail = format!("{from}{filter}");
            return self.distinct_on(clauses.distinct_on, items, order, &tail);
        }
        let outputs: Vec<&OutputColumn> = items.iter().map(|i| &i.output).collect();
        let order = self.order_by(order, &outputs, clauses.distinct, false)?;
        let hidden = match keys && !grouped && !clauses.distinct {
            true => self.key_columns(),
            false => Vec::new(),
        };
        let list: Vec<String> = items
            .iter()
            .enumerate()
            .map(|(at, item)| format!("{} AS c{at}", item.text))
            .chain(hidden.iter().enumerate().map(|(at, key)| format!("{key} AS k{at}")))
            .collect();
        let distinct = if clauses.distinct { "DISTINCT " } else { "" };
        let group = if group_texts.is_empty() {
            String::new()
        } else {
            format!(" GROUP BY {}", group_texts.join(", "))
        };
        let sql = format!("SELECT {distinct}{}{from}{filter}{group}{having}{order}", list.join(", "));
        Ok(Planned {
            sql,
            columns: items.into_iter().map(|i| i.output).collect(),
            at_most_one: grouped && group_texts.is_empty(),
            bare: order.is_empty(),
            hidden: hidden.len(),
        })
    }

    /// The first row, by `order`, of each group of rows that agree in `on`.
    fn distinct_on(
        &mut self,
        on: &[Expr],
        items: Vec<Item>,
        order: &[OrderByExpr],
        tail: &str,
    ) -> SqlResult<Planned> {
        let leads = order.len() < on.len() || order.iter().zip(on).all(|(by, on)| by.expr == *on);
        if !leads || (!order.is_empty() && order.len() < on.len()) {
            return Err(SqlError::execution(
                "Error during planning: SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
            ));
        }
        let mut groups = Vec::new();
        for expr in on {
            let typed = self.expr(expr)?;
            groups.push(self.finish(typed)?.0);
        }
        let (mut sorted, mut outer) = (Vec::new(), Vec::new());
        for (at, by) in order.iter().enumerate() {
            let typed = self.expr(&by.expr)?;
            sorted.push(format!("{} AS o{at}", self.finish(typed)?.0));
            let descending = matches!(by.options.sort, Some(OrderBySort::Desc));
            outer.push(format!("o{at}{}", direction(descending, by.options.nulls_first)));
        }
        let window = self.order_by(order, &[], false, false)?;
        let list: Vec<String> =
            items.iter().enumerate().map(|(at, item)| format!("{} AS c{at}", item.text)).collect();
        let first = format!("row_number() OVER (PARTITION BY {}{window}) AS f", groups.join(", "));
        let inner: Vec<String> = list.into_iter().chain(sorted).chain([first]).collect();
        let outer = if outer.is_empty() { String::new() } else { format!(" ORDER BY {}", outer.join(", ")) };
        Ok(Planned {
            sql: format!(
                "SELECT {} FROM (SELECT {}{tail}) WHERE f = 1{outer}",
                super::query::numbered('c', items.len()),
                inner.join(", ")
            ),
            bare: outer.is_empty(),
            columns: items.into_iter().map(|i| i.output).collect(),
            at_most_one: false,
            hidden: 0,
        })
    }

    /// ` FROM ...` and ` WHERE ...` with what every read has: the caller's own rows, and no tombstones unless the filter
    /// asks about them (recorded in `wire/resume.jsonl`).
    fn where_clause(&mut self, from: &FromClause, selection: Option<&Expr>) -> SqlResult<(String, String)> {
        let filter = match selection {
            None => None,
            Some(selection) => {
                let typed = self.expr(selection)?;
                Some(self.boolean(typed, "WHERE")?)
            }
        };
        let (from, mut terms) = from.write(self);
        terms.extend(filter);
        let filter = if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) };
        Ok((from, filter))
    }

    /// Whether what was translated so far asks about the tombstones of a relation.
    pub(super) fn asks_deleted(&self, relation: usize) -> bool {
        let scope = &self.frame().scope;
        let offset = scope.offset(relation);
        let columns = &scope.relations[relation].columns;
        self.frame().read.iter().any(|position| {
            position.checked_sub(offset).and_then(|at| columns.get(at)).is_some_and(|c| *c.name == *DELETED)
        })
    }

    /// The key of the only table, as SQLite names it.
    fn key_columns(&self) -> Vec<String> {
        match &self.frame().scope.relations[..] {
            [relation] if relation.namespace.is_some() => {
                relation.columns.iter().filter(|c| c.flags.primary_key).map(|c| c.sqlite.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn group_by(
        &mut self,
        list: &[Expr],
        projection: &[SelectItem],
    ) -> SqlResult<(Option<Grouping>, Vec<String>)> {
        if list.is_empty() {
            return Ok((None, Vec::new()));
        }
        let (mut grouping, mut texts) = (Grouping::default(), Vec::new());
        for expr in list {
            let expr = group_target(expr, projection, &self.frame().scope)?;
            let typed = self.expr(expr)?;
            match typed.column {
                Some(position) => grouping.columns.push(position),
                None => grouping.texts.push(expr.to_string()),
            }
            if typed.sql == Sql::Null {
                return Err(SqlError::unsupported("GROUP BY NULL"));
            }
            // A bare `?1` would be taken for a constant, which is what it is; a number would be an ordinal, which is not.
            let (text, _) = self.finish(typed)?;
            texts.push(text);
        }
        Ok((Some(grouping), texts))
    }
}

/// GROUP BY may name a column of the result by its alias or its number.
fn group_target<'a>(expr: &'a Expr, projection: &'a [SelectItem], scope: &Scope) -> SqlResult<&'a Expr> {
    let ordinal = ordinal(expr);
    if let Some(ordinal) = ordinal {
        return match projection.get(ordinal.wrapping_sub(1)) {
            Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => Ok(expr),
            _ => Err(SqlError::execution(format!(
                "Error during planning: GROUP BY has no column {ordinal} to group by"
            ))),
        };
    }
    if let Expr::Identifier(ident) = expr {
        let name = names::ident(ident);
        if scope.relations.iter().flat_map(|r| &r.columns).all(|c| *c.name != *name) {
            let aliased = projection.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if names::ident(alias) == name => Some(expr),
                _ => None,
            });
            return Ok(aliased.unwrap_or(expr));
        }
    }
    Ok(expr)
}
