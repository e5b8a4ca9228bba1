//! SELECT: one relation, or none.

use std::{collections::HashMap, sync::Arc};

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, LimitClause, OrderByExpr, OrderByKind, OrderBySort, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Value, WildcardAdditionalOptions,
};

use super::{
    expr::{Bind, Grouping, ParamKind, Sql, Translator, Typed},
    names,
    relation::{self, Relation},
};
use crate::engine::{
    Column, DataType, Flags, SqlError,
    catalog::{Catalog, DELETED, Table},
    error::SqlResult,
    system::SystemTable,
};

/// Where a query reads.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Nothing,
    Table(Arc<Table>),
    System(SystemTable),
}

/// A checked SELECT.
#[derive(Debug, Clone)]
pub(crate) struct QueryPlan {
    pub(crate) source: Source,
    pub(crate) sql: String,
    pub(crate) binds: Vec<Bind>,
    pub(crate) columns: Arc<[Column]>,
}

/// What planning needs to know.
pub(crate) struct Context<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) namespace: &'a str,
    pub(crate) params: &'a [ParamKind],
}

impl Context<'_> {
    pub(crate) fn table(&self, name: &sqlparser::ast::ObjectName) -> SqlResult<Source> {
        let (namespace, table) = names::table(name, self.namespace)?;
        let source = match SystemTable::find(&namespace, &table) {
            Some(system) => Some(Source::System(system)),
            None => self.catalog.table(&namespace, &table).cloned().map(Source::Table),
        };
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

impl Source {
    pub(crate) fn relation(&self, alias: Option<String>) -> Option<Relation> {
        match self {
            Self::Nothing => None,
            Self::Table(table) => Some(Relation::of_table(table, alias)),
            Self::System(system) => Some(system.relation(alias)),
        }
    }
}

/// One column of the result.
struct Item {
    text: String,
    column: Column,
    /// For the check of unique names.
    qualified: String,
}

pub(crate) fn plan(context: &Context<'_>, query: &Query) -> SqlResult<QueryPlan> {
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
    if with.is_some() {
        return Err(SqlError::unsupported("WITH"));
    }
    let plain = fetch.is_none()
        && locks.is_empty()
        && for_clause.is_none()
        && settings.is_none()
        && format_clause.is_none()
        && pipe_operators.is_empty();
    if !plain {
        return Err(SqlError::unsupported("FETCH, FOR and other clauses after SELECT: use LIMIT"));
    }
    let select = match &**body {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { op, .. } => return Err(SqlError::unsupported(op)),
        SetExpr::Values(_) => return Err(SqlError::unsupported("VALUES as a query")),
        _ => return Err(SqlError::unsupported("a query in parentheses")),
    };
    let parts = check_clauses(select)?;
    let (source, relation) = match relation::single(&select.from)? {
        None => (Source::Nothing, None),
        Some((name, alias)) => {
            let source = context.table(name)?;
            let relation = source.relation(alias);
            (source, relation)
        }
    };
    let mut planner = Planner {
        relation: relation.as_ref(),
        translator: Translator::new(relation.as_ref(), context.params),
    };
    let order: &[OrderByExpr] = match order_by.as_ref().map(|o| (&o.kind, &o.interpolate)) {
        None => &[],
        Some((OrderByKind::Expressions(list), None)) => list,
        Some(_) => return Err(SqlError::unsupported("ORDER BY ALL")),
    };
    let (sql, items) = planner.select(&source, select, &parts, order)?;
    let sql = sql + &planner.limit(limit_clause.as_ref())?;
    unique_names(&items)?;
    let columns = items.into_iter().map(|i| i.column).collect();
    Ok(QueryPlan { source, sql, binds: planner.translator.binds, columns })
}

/// The clauses that may be there, once all others are known to be absent.
struct Clauses<'a> {
    distinct: bool,
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
        named_window,
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
        && named_window.is_empty()
        && qualify.is_none()
        && value_table_mode.is_none();
    if !plain {
        return Err(SqlError::unsupported("this form of SELECT"));
    }
    if projection.is_empty() {
        return Err(SqlError::invalid("SELECT needs at least one column"));
    }
    let distinct = match distinct {
        None | Some(Distinct::All) => false,
        Some(Distinct::Distinct) => true,
        Some(Distinct::On(_)) => return Err(SqlError::unsupported("DISTINCT ON")),
    };
    match group_by {
        GroupByExpr::Expressions(list, modifiers) if modifiers.is_empty() => {
            Ok(Clauses { distinct, group_by: list })
        }
        _ => Err(SqlError::unsupported("this form of GROUP BY")),
    }
}

struct Planner<'a> {
    relation: Option<&'a Relation>,
    translator: Translator<'a>,
}

impl Planner<'_> {
    fn select(
        &mut self,
        source: &Source,
        select: &Select,
        clauses: &Clauses<'_>,
        order: &[OrderByExpr],
    ) -> SqlResult<(String, Vec<Item>)> {
        let filter = where_clause(&mut self.translator, source, select.selection.as_ref())?;
        let (grouping, group_texts) = self.group_by(clauses.group_by, &select.projection)?;
        let before = self.translator.binds.clone();
        self.translator.aggregates = true;
        self.translator.grouping = grouping;
        let mut items = self.projection(&select.projection)?;
        if self.translator.grouping.is_none() && (self.translator.saw_aggregate || select.having.is_some()) {
            // Once more, with the rule that bare columns are not allowed beside aggregates.
            self.translator.binds = before;
            self.translator.grouping = Some(Grouping::default());
            items = self.projection(&select.projection)?;
        }
        let having = match &select.having {
            None => String::new(),
            Some(having) => {
                let typed = self.translator.expr(having)?;
                format!(" HAVING {}", self.translator.boolean(typed, "HAVING")?)
            }
        };
        // An aggregate in ORDER BY alone would make a query of rows one of groups.
        self.translator.aggregates = self.translator.grouping.is_some();
        let order = self.order_by(order, &items, clauses.distinct)?;
        let list: Vec<&str> = items.iter().map(|i| i.text.as_str()).collect();
        let distinct = if clauses.distinct { "DISTINCT " } else { "" };
        let from = match source {
            Source::Nothing => String::new(),
            Source::Table(table) => format!(" FROM {}", table.sqlite_name()),
            Source::System(_) => " FROM system_rows".into(),
        };
        let group = if group_texts.is_empty() {
            String::new()
        } else {
            format!(" GROUP BY {}", group_texts.join(", "))
        };
        Ok((format!("SELECT {distinct}{}{from}{filter}{group}{having}{order}", list.join(", ")), items))
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
            let expr = group_target(expr, projection, self.relation)?;
            let typed = self.translator.expr(expr)?;
            match typed.column {
                Some(position) => grouping.columns.push(position),
                None => grouping.texts.push(expr.to_string()),
            }
            if typed.sql == Sql::Null {
                return Err(SqlError::unsupported("GROUP BY NULL"));
            }
            // A bare `?1` would be taken for a constant, which is what it is; a number would be an ordinal, which is not.
            let (text, _) = self.translator.finish(typed)?;
            texts.push(text);
        }
        Ok((Some(grouping), texts))
    }

    fn projection(&mut self, projection: &[SelectItem]) -> SqlResult<Vec<Item>> {
        let mut items = Vec::new();
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let typed = self.translator.expr(expr)?;
                    self.item(&mut items, typed, None)?;
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let typed = self.translator.expr(expr)?;
                    self.item(&mut items, typed, Some(names::ident(alias)))?;
                }
                SelectItem::Wildcard(options) => self.wildcard(&mut items, options)?,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let mut parts = names::parts(name)?;
                    // Any column shows whether the name stands for the relation.
                    parts.push(self.relation.map_or_else(String::new, |r| r.columns[0].name.to_string()));
                    if let Some(relation) = self.relation {
                        relation.find(&parts)?;
                    }
                    self.wildcard(&mut items, options)?;
                }
                other => return Err(SqlError::unsupported(other)),
            }
        }
        Ok(items)
    }

    fn wildcard(&mut self, items: &mut Vec<Item>, options: &WildcardAdditionalOptions) -> SqlResult<()> {
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
        let Some(relation) = self.relation else {
            return Err(SqlError::execution("Error during planning: SELECT * needs a FROM clause"));
        };
        for column in &relation.columns {
            let name = sqlparser::ast::Ident::with_quote('"', &*column.name);
            let typed = self.translator.expr(&Expr::Identifier(name))?;
            self.item(items, typed, None)?;
        }
        Ok(())
    }

    fn item(&mut self, items: &mut Vec<Item>, typed: Typed, alias: Option<String>) -> SqlResult<()> {
        let column = typed.column.and_then(|position| self.relation.map(|r| &r.columns[position]));
        let qualified = alias.clone().unwrap_or_else(|| typed.name.clone());
        let name: Arc<str> = match (&alias, column) {
            (Some(alias), _) => alias.as_str().into(),
            (None, Some(column)) => column.name.clone(),
            (None, None) => typed.name.as_str().into(),
        };
        let flags = column.map_or(Flags::NONE, |c| c.flags);
        let (text, data_type) = self.translator.finish(typed)?;
        let index = u32::try_from(items.len()).unwrap_or(u32::MAX);
        items.push(Item { text, column: Column { name, data_type, index, flags }, qualified });
        Ok(())
    }

    fn order_by(&mut self, list: &[OrderByExpr], items: &[Item], distinct: bool) -> SqlResult<String> {
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
                None if distinct => {
                    return Err(SqlError::execution(
                        "Error during planning: For SELECT DISTINCT, ORDER BY expressions must appear in select list",
                    ));
                }
                None => {
                    let typed = self.translator.expr(expr)?;
                    match typed.sql {
                        Sql::Text(text, _) => text,
                        // A constant orders nothing, and its number would be taken for a position.
                        Sql::Null | Sql::Literal(_) => continue,
                    }
                }
            };
            // KalamDB's default: NULL is the greatest.
            let nulls = if options.nulls_first.unwrap_or(descending) { "FIRST" } else { "LAST" };
            texts.push(format!("{text} {} NULLS {nulls}", if descending { "DESC" } else { "ASC" }));
        }
        Ok(if texts.is_empty() { String::new() } else { format!(" ORDER BY {}", texts.join(", ")) })
    }

    fn limit(&mut self, clause: Option<&LimitClause>) -> SqlResult<String> {
        let (limit, offset) = match clause {
            None => (None, None),
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|o| &o.value))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
            Some(_) => return Err(SqlError::unsupported("LIMIT BY")),
        };
        if limit.is_none() && offset.is_none() {
            return Ok(String::new());
        }
        let limit = limit.map_or(Ok("-1".to_owned()), |l| self.count(l, "LIMIT"))?;
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
        let typed = self.translator.expr(expr)?;
        if typed.data_type() != Some(DataType::BigInt) {
            return Err(negative);
        }
        let bound = self.translator.coerce(typed, DataType::BigInt)?;
        // A negative LIMIT would mean "no limit" to SQLite; the value of a parameter is known only when it runs.
        Ok(format!("max({bound}, 0)"))
    }
}

/// ` WHERE ...` with what every read has: the caller's own rows, and no tombstones unless the filter asks about them
/// (recorded in `wire/resume.jsonl`).
pub(crate) fn where_clause(
    translator: &mut Translator<'_>,
    source: &Source,
    selection: Option<&Expr>,
) -> SqlResult<String> {
    let filter = match selection {
        None => None,
        Some(selection) => {
            let typed = translator.expr(selection)?;
            Some(translator.boolean(typed, "WHERE")?)
        }
    };
    let asks_deleted = translator.relation.is_some_and(|relation| {
        translator.read.iter().any(|position| &*relation.columns[*position].name == DELETED)
    });
    let mut terms = Vec::new();
    if let Source::Table(table) = source {
        if table.has_owner() {
            terms.push(format!("o = {}", translator.bind(Bind::CurrentUser)));
        }
        if !asks_deleted {
            terms.push("d = 0".into());
        }
    }
    terms.extend(filter);
    Ok(if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) })
}

/// GROUP BY may name a column of the result by its alias or its number.
fn group_target<'a>(
    expr: &'a Expr,
    projection: &'a [SelectItem],
    relation: Option<&Relation>,
) -> SqlResult<&'a Expr> {
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
        if relation.is_none_or(|r| r.columns.iter().all(|c| *c.name != *name)) {
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
fn output_position(expr: &Expr, items: &[Item]) -> SqlResult<Option<usize>> {
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
    Ok(items.iter().position(|item| *item.column.name == *name))
}

/// Recorded in `wire/types.jsonl`.
fn unique_names(items: &[Item]) -> SqlResult<()> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (position, item) in items.iter().enumerate() {
        if let Some(first) = seen.insert(&item.qualified, position) {
            let name = &item.qualified;
            return Err(SqlError::execution(format!(
                "Execution error: Error during planning: Projections require unique expression names but the \
                 expression \"{name}\" at position {first} and \"{name}\" at position {position} have the same name. \
                 Consider aliasing (\"AS\") one of them."
            )));
        }
    }
    Ok(())
}
