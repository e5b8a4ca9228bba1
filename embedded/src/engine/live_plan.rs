//! Checking a live query. Codes and messages are those recorded in `wire/live_errors.jsonl`.

use std::sync::Arc;

use sqlparser::ast::{Expr, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr, TableFactor};

use super::{
    Caller, Column, EngineLimits, SqlError,
    catalog::{Catalog, DELETED, SYSTEM_NAMESPACES, Table},
    condition::Condition,
    error::SqlResult,
    live::{Filter, LiveQuery, Projected, failed, system_projection},
    live_emulated::Emulation,
    run::check_table,
    sql::{
        aggregate::is_aggregate,
        names,
        relation::{Relation, Scope},
        split,
        statement::{self, Statement},
        translator::Translator,
    },
    storage::Db,
};
use crate::holes::Holes;
use crate::wire::Wire;

/// What a live query needs of the engine.
pub(super) struct Parts<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) wire: Wire,
    pub(super) evaluator: &'a Arc<parking_lot::Mutex<Db>>,
    pub(super) limits: &'a EngineLimits,
    pub(super) holes: Holes,
}

pub(super) fn prepare(parts: &Parts<'_>, caller: &Caller, sql: &str) -> SqlResult<LiveQuery> {
    let query = parse(sql, parts.limits)?;
    let select = check_shape(&query)?;
    let table = find_table(parts.catalog, caller, select)?;
    check_table(&table, caller, false).map_err(|e| SqlError { code: "UNAUTHORIZED", ..e })?;
    let relation = Relation::of_table(&table, None, parts.wire);
    let version_column = parts.wire.version_column();
    let (schema, projection) = project(&table, &relation, version_column, &select.projection, parts.holes)?;
    let filter = select.selection.as_ref().map(|s| filter(&relation, s)).transpose()?;
    let emulation = match parts.holes == Holes::default() {
        true => None,
        false => Some(emulation(parts.holes, &relation, select, filter.as_ref())?),
    };
    Ok(LiveQuery {
        table,
        caller: caller.clone(),
        schema,
        projection,
        filter,
        emulation,
        version_column: version_column.into(),
        evaluator: Arc::clone(parts.evaluator),
        limits: parts.limits.clone(),
    })
}

fn emulation(
    holes: Holes,
    relation: &Relation,
    select: &Select,
    filter: Option<&Filter>,
) -> SqlResult<Emulation> {
    let condition = match (filter, &select.selection) {
        (Some(Filter { row: (sql, binds), .. }), _) if !holes.filters => {
            Condition::new(sql.clone(), binds.clone())
        }
        (_, Some(selection)) => Condition::of(relation, selection)?,
        (_, None) => Condition::All(Vec::new()),
    };
    let everything = matches!(select.projection[..], [SelectItem::Wildcard(_)]);
    Ok(Emulation { holes, everything, condition })
}

fn invalid(message: impl std::fmt::Display) -> SqlError {
    SqlError::invalid(format!("Invalid SQL: {message}"))
}

fn parse(sql: &str, limits: &EngineLimits) -> SqlResult<Box<Query>> {
    let parse_error = |e: SqlError| invalid(format_args!("Parse error: Failed to parse SQL: {}", e.message));
    let pieces = match split::split(sql, limits) {
        Ok(pieces) => pieces,
        Err(error) if error.code == "EMPTY_SQL" => return Err(invalid("Invalid SQL: Empty SQL statement")),
        Err(error) => return Err(parse_error(error)),
    };
    let [piece] = &pieces[..] else {
        return Err(invalid("Invalid SQL: one SELECT is expected"));
    };
    match statement::parse(piece) {
        Ok(Statement::Query(query)) => Ok(query),
        Err(error) if error.code == "INVALID_SQL" => Err(parse_error(error)),
        _ => Err(invalid("Invalid SQL: Only SELECT queries are supported for subscriptions")),
    }
}

const SHAPE: &str = "Only SELECT ... FROM ... [WHERE ...] is supported.";

fn check_shape(query: &Query) -> SqlResult<&Select> {
    let refuse = |what: &str| {
        invalid(format_args!("Invalid SQL: Subscription query does not support {what}. {SHAPE}"))
    };
    let other = || invalid("Invalid SQL: Subscription query supports only SELECT ... FROM ... [WHERE ...].");
    if query.order_by.is_some() {
        return Err(refuse("ORDER BY"));
    }
    let plain_query = query.with.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    let SetExpr::Select(select) = &*query.body else { return Err(other()) };
    let plain_group =
        matches!(&select.group_by, GroupByExpr::Expressions(list, m) if list.is_empty() && m.is_empty());
    let plain_select = plain_group
        && select.distinct.is_none()
        && select.select_modifiers.is_none()
        && select.top.is_none()
        && select.exclude.is_none()
        && select.into.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.having.is_none()
        && select.named_window.is_empty()
        && select.qualify.is_none()
        && select.value_table_mode.is_none();
    if !plain_query || !plain_select {
        return Err(other());
    }
    match &select.from[..] {
        [from] if from.joins.is_empty() => Ok(select),
        [] => Err(other()),
        _ => Err(refuse("JOIN clauses")),
    }
}

fn find_table(catalog: &Catalog, caller: &Caller, select: &Select) -> SqlResult<Arc<Table>> {
    let [from] = &select.from[..] else { return Err(invalid("one table is expected")) };
    let TableFactor::Table { name, args: None, sample: None, version: None, .. } = &from.relation else {
        return Err(invalid(
            "Invalid SQL: Subscription query supports only SELECT ... FROM ... [WHERE ...].",
        ));
    };
    let parts = names::parts(name)?;
    let [namespace, table] = &parts[..] else {
        return Err(invalid("Query must use namespace.table format"));
    };
    if SYSTEM_NAMESPACES.contains(&namespace.as_str()) {
        return Err(if caller.role.is_admin() {
            SqlError::new(
                "UNSUPPORTED",
                400,
                "live queries on system tables are not supported by the embedded server",
            )
        } else {
            SqlError::new(
                "UNAUTHORIZED",
                403,
                format!(
                    "Permission denied: Cannot subscribe to system table '{namespace}:{table}': insufficient privileges. \
                     Only DBA and system roles can subscribe to system tables."
                ),
            )
        });
    }
    let found = catalog.table(namespace, table).cloned();
    found.ok_or_else(|| {
        SqlError::new("NOT_FOUND", 404, format!("Not found: Table not found: {namespace}:{table}"))
    })
}

/// "No field named ..." and the like, in the words of the recording.
fn schema_error(error: SqlError) -> SqlError {
    failed(format!("Execution error: Invalid operation: {}", error.message))
}

fn project(
    table: &Table,
    relation: &Relation,
    version_column: &str,
    items: &[SelectItem],
    holes: Holes,
) -> SqlResult<(Arc<[Column]>, Vec<Projected>)> {
    let mut projection = Vec::new();
    for item in items {
        match item {
            SelectItem::Wildcard(options) if options.to_string().is_empty() => {
                projection.extend((0..table.columns.len()).map(Projected::Own));
                projection.extend([Projected::Seq, Projected::Deleted]);
            }
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                projection.push(column(relation, table, std::slice::from_ref(ident))?);
            }
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(idents)) => {
                projection.push(column(relation, table, idents)?);
            }
            // KalamDB looks for the alias among the table's columns.
            SelectItem::ExprWithAlias { alias, .. } => {
                return Err(schema_error(relation.no_field(&names::ident(alias))));
            }
            SelectItem::UnnamedExpr(expr) if holes.expressions => expression(relation, expr)?,
            other => {
                return Err(failed(format!(
                    "Execution error: a live query selects columns or *, not '{other}': compute it from the rows"
                )));
            }
        }
    }
    if projection.is_empty() && (!holes.expressions || items.is_empty()) {
        return Err(invalid("Invalid SQL: SELECT needs at least one column"));
    }
    for (at, column) in projection.iter().enumerate() {
        if projection[..at].contains(column) {
            return Err(failed("Execution error: a column is selected twice"));
        }
    }
    Ok((schema(table, &projection, version_column), projection))
}

/// KalamDB takes an expression for a column that no row has. An aggregate fails as the snapshot is planned, which selects
/// `_seq` too (`wire/live_errors.jsonl`).
fn expression(relation: &Relation, expr: &Expr) -> SqlResult<()> {
    if let Expr::Function(function) = expr
        && is_aggregate(&function.name.to_string().to_lowercase())
    {
        let call = expr.to_string().to_lowercase().replace("(*)", "(Int64(1))");
        return Err(failed(format!(
            "Execution error: Execution error: Error during planning: Column in SELECT must be in GROUP BY or an \
             aggregate function: While expanding wildcard, column \"{}._seq\" must appear in the GROUP BY clause or \
             must be part of an aggregate function, currently only \"{call}\" appears in the SELECT clause satisfies \
             this requirement",
            relation.prefix()
        )));
    }
    let mut translator = Translator::new(Scope::of(relation.clone()), &[]);
    translator.live = true;
    translator.expr(expr).map(drop).map_err(schema_error)
}

pub(super) fn schema(table: &Table, projection: &[Projected], version_column: &str) -> Arc<[Column]> {
    let columns = projection.iter().enumerate().map(|(index, from)| {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        match from {
            Projected::Own(position) => Column {
                name: table.columns[*position].name.clone(),
                data_type: table.columns[*position].data_type,
                index,
                flags: table.flags(*position),
            },
            Projected::Seq => Table::system_column(version_column, index),
            Projected::Deleted => Table::system_column(DELETED, index),
        }
    });
    columns.collect()
}

fn column(relation: &Relation, table: &Table, idents: &[Ident]) -> SqlResult<Projected> {
    let parts: Vec<String> = idents.iter().map(names::ident).collect();
    let position = relation.find(&parts).map_err(schema_error)?;
    if position < table.columns.len() {
        return Ok(Projected::Own(position));
    }
    let name = &relation.columns[position].name;
    system_projection(name).ok_or_else(|| schema_error(relation.no_field(name)))
}

fn filter(relation: &Relation, selection: &Expr) -> SqlResult<Filter> {
    let translate = |live: bool| {
        let mut translator = Translator::new(Scope::of(relation.clone()), &[]);
        translator.live = live;
        let typed = translator.expr(selection).map_err(schema_error)?;
        let text = translator.boolean(typed, "WHERE").map_err(schema_error)?;
        let read = std::mem::take(&mut translator.frame_mut().read);
        Ok::<_, SqlError>((text, translator.binds, read))
    };
    // Functions of time and chance are refused here.
    let (row, row_binds, read) = translate(true)?;
    if read.iter().any(|position| &*relation.columns[*position].name == DELETED) {
        return Err(failed(format!(
            "Execution error: {DELETED} in the filter of a live query is not supported by the embedded server: deletes \
             are sent as changes"
        )));
    }
    let (scan, scan_binds, _) = translate(false)?;
    Ok(Filter { scan: (scan, scan_binds), row: (format!("SELECT {row}"), row_binds) })
}
