//! SELECT: what is read, grouped, projected and sorted. [`super::query`] is around it, [`super::from`] below.

use std::{collections::HashMap, sync::Arc};

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, NamedWindowExpr, OrderByExpr, OrderBySort, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Value, WildcardAdditionalOptions,
};

use super::{
    from::FromClause,
    names,
    query::{OutputColumn, Planned},
    relation::Scope,
    translator::{Frame, Grouping, Translator},
    typed::{Bind, ParamKind, Sql, Typed},
};
use crate::engine::{
    Column, DataType, Flags, SqlError,
    catalog::{Catalog, DELETED, Table},
    error::SqlResult,
    system::SystemTable,
};
use crate::holes::Holes;

/// Where a statement reads.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Table(Arc<Table>),
    System(SystemTable),
}

/// A checked SELECT.
#[derive(Debug, Clone)]
pub(crate) struct QueryPlan {
    /// All tables that it reads, in sub-queries too.
    pub(crate) sources: Vec<Source>,
    pub(crate) sql: String,
    pub(crate) binds: Vec<Bind>,
    pub(crate) columns: Arc<[Column]>,
}

/// What planning needs to know.
pub(crate) struct Context<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) namespace: &'a str,
    pub(crate) params: &'a [ParamKind],
    pub(crate) holes: Holes,
}

impl Context<'_> {
    pub(crate) fn table(&self, name: &sqlparser::ast::ObjectName) -> SqlResult<Source> {
        let (namespace, table) = names::table(name, self.namespace)?;
        let source = match SystemTable::find(&namespace, &table) {
            Some(system) => Some(Source::System(system)),
            None => self.catalog.table(&namespace, &table).cloned().map(Source::Table),
        };
        if source.is_none() && SystemTable::is_left_out(&namespace, &table) {
            return Err(SqlError::unsupported(format_args!("the table {namespace}.{table}")));
        }
        // Recorded in wire/types.jsonl.
        source.ok_or_else(|| {
            SqlError::execution(format!(
                "Table not found: Error during planning: table 'kalam.{namespace}.{table}' not found"
            ))
        })
    }

    /// A table that can be written to.
    pub(crate) fn user_table(&self, name: &sqlparser::ast::ObjectName) -> SqlResult<Arc<Table>> {
        match self.table(name)? {
            Source::Table(table) => Ok(table),
            _ => Err(SqlError::execution(format!("Invalid operation: the system table {name} is read-only"))),
        }
    }
}

/// One column of a SELECT under way.
struct Item {
    text: String,
    output: OutputColumn,
}

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

    fn projection(
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

fn ordinal(expr: &Expr) -> Option<usize> {
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
