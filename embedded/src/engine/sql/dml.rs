//! INSERT, UPDATE and DELETE: checked against the table, with the SQLite statements that they need.

use std::sync::Arc;

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Insert, ObjectName, SelectItem, SetExpr, TableObject, TableWithJoins, UnaryOperator,
    Update, Value,
};

use super::{
    from::row_rules,
    names, query,
    relation::{self, Relation, Scope},
    select::{Context, QueryPlan, Source},
    translator::Translator,
    typed::{Bind, Literal, Sql, Typed},
};
use crate::engine::{
    Cell, Column, DataType, SqlError,
    catalog::{DELETED, DefaultValue, Table, TableColumn},
    convert::{self, CastError},
    error::SqlResult,
};
use crate::wire::Wire;

/// Where the value of one column of a new row comes from.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    Cell(Cell),
    Param(usize),
    /// A value that the engine makes.
    Made(DefaultValue),
    /// Position in the row's `computed`.
    Computed(usize),
    /// The upload of this name.
    File(Arc<str>),
    /// The column's default, or NULL.
    Default,
}

#[derive(Debug, Clone)]
pub(crate) struct InsertRow {
    /// One for each column of the table.
    pub(crate) slots: Vec<Slot>,
    pub(crate) computed: Option<Computed>,
}

/// `SELECT` of expressions over no table, or over the row to be updated.
#[derive(Debug, Clone)]
pub(crate) struct Computed {
    pub(crate) sql: String,
    pub(crate) binds: Vec<Bind>,
    pub(crate) types: Vec<DataType>,
}

/// Where new rows come from.
#[derive(Debug, Clone)]
pub(crate) enum NewRows {
    Values(Vec<InsertRow>),
    /// The columns that the query's results go to.
    Query(QueryPlan, Vec<usize>),
}

/// What RETURNING makes of a written row. The last `?n` is its `_seq`.
#[derive(Debug, Clone)]
pub(crate) struct Returning {
    pub(crate) find: Computed,
    pub(crate) columns: Arc<[Column]>,
}

#[derive(Debug, Clone)]
pub(crate) struct InsertPlan {
    pub(crate) table: Arc<Table>,
    pub(crate) rows: NewRows,
    pub(crate) returning: Option<Returning>,
    /// What sub-queries read.
    pub(crate) sources: Vec<Source>,
}

#[derive(Debug, Clone)]
pub(crate) struct UpdatePlan {
    pub(crate) table: Arc<Table>,
    pub(crate) sources: Vec<Source>,
    pub(crate) returning: Option<Returning>,
    /// The matching rows: all columns, `_seq`, created `_seq`, then the new values.
    pub(crate) find: Computed,
    /// Column that each new value goes to.
    pub(crate) targets: Vec<usize>,
    /// FILE columns that are set, and the uploads that they get; none without a name.
    pub(crate) files: Vec<(usize, Arc<str>)>,
}

#[derive(Debug, Clone)]
pub(crate) struct DeletePlan {
    pub(crate) table: Arc<Table>,
    pub(crate) sources: Vec<Source>,
    pub(crate) returning: Option<Returning>,
    /// As in [`UpdatePlan`], without new values.
    pub(crate) find: Computed,
}

pub(crate) fn insert(context: &Context<'_>, insert: &Insert) -> SqlResult<InsertPlan> {
    let Insert {
        insert_token: _,
        optimizer_hints: _,
        or,
        ignore,
        into: _,
        table,
        table_alias,
        columns,
        by_name,
        overwrite,
        source,
        assignments,
        partitioned,
        after_columns,
        overriding,
        has_table_keyword: _,
        on,
        returning,
        output,
        replace_into,
        priority,
        insert_alias,
        settings,
        format_clause,
        multi_table_insert_type,
        multi_table_into_clauses,
        multi_table_when_clauses,
        multi_table_else_clause,
    } = insert;
    if on.is_some() {
        return Err(SqlError::unsupported(
            "INSERT ... ON CONFLICT, which KalamDB does not have either: UPDATE first, and INSERT when no row was updated",
        ));
    }
    let plain = or.is_none()
        && output.is_none()
        && !ignore
        && table_alias.is_none()
        && !by_name
        && !overwrite
        && assignments.is_empty()
        && partitioned.is_none()
        && after_columns.is_empty()
        && overriding.is_none()
        && !replace_into
        && priority.is_none()
        && insert_alias.is_none()
        && settings.is_none()
        && format_clause.is_none()
        && multi_table_insert_type.is_none()
        && multi_table_into_clauses.is_empty()
        && multi_table_when_clauses.is_empty()
        && multi_table_else_clause.is_none();
    let TableObject::TableName(name) = table else {
        return Err(SqlError::unsupported("INSERT into something other than a table"));
    };
    if !plain {
        return Err(SqlError::unsupported("this form of INSERT"));
    }
    let table = context.user_table(name)?;
    let targets = insert_targets(&table, columns)?;
    let returning = returning.as_deref().map(|items| self::returning(context, &table, items)).transpose()?;
    let Some(source) = source else {
        // INSERT ... DEFAULT VALUES.
        let row = InsertRow { slots: vec![Slot::Default; table.columns.len()], computed: None };
        return Ok(InsertPlan { table, rows: NewRows::Values(vec![row]), returning, sources: Vec::new() });
    };
    let plain_query = source.with.is_none()
        && source.order_by.is_none()
        && source.limit_clause.is_none()
        && source.fetch.is_none();
    let values = match &*source.body {
        SetExpr::Values(values) if plain_query => values,
        _ => {
            let plan = query::plan(&Context { holes: crate::holes::Holes::default(), ..*context }, source)?;
            check_query(&table, &targets, &plan)?;
            let sources = plan.sources.clone();
            return Ok(InsertPlan { table, rows: NewRows::Query(plan, targets), returning, sources });
        }
    };
    let (mut rows, mut sources) = (Vec::with_capacity(values.rows.len()), Vec::new());
    for (number, row) in values.rows.iter().enumerate() {
        if row.content.len() != targets.len() {
            return Err(SqlError::execution(format!(
                "Execution error: Error during planning: Inconsistent data length across values list: got {} values in \
                 row {number} but expected {}",
                row.content.len(),
                targets.len()
            )));
        }
        rows.push(insert_row(context, &table, &targets, &row.content, &mut sources)?);
    }
    Ok(InsertPlan { table, rows: NewRows::Values(rows), returning, sources })
}

/// INSERT ... SELECT: what can not be stored is said before anything runs.
fn check_query(table: &Table, targets: &[usize], plan: &QueryPlan) -> SqlResult<()> {
    if plan.columns.len() != targets.len() {
        return Err(SqlError::execution(format!(
            "Execution error: Error during planning: the query has {} columns, {} are to be inserted",
            plan.columns.len(),
            targets.len()
        )));
    }
    let stored = targets.iter().map(|target| &table.columns[*target]);
    match stored.zip(&*plan.columns).find(|(column, _)| column.data_type == DataType::File) {
        Some((column, _)) => Err(SqlError::unsupported(format_args!(
            "INSERT ... SELECT into the FILE column '{}': a file belongs to one row, upload it again",
            column.name
        ))),
        None => Ok(()),
    }
}

fn returning(context: &Context<'_>, table: &Arc<Table>, items: &[SelectItem]) -> SqlResult<Returning> {
    let mut translator = Translator::new(
        Scope::of(Relation::of_table(table, None, context.catalog.wire).named("r0")),
        context.params,
    );
    let (texts, columns) = translator.returned(items)?;
    let owner = match table.has_owner() {
        true => format!("r0.o = {} AND ", translator.bind(Bind::CurrentUser)),
        false => String::new(),
    };
    let seq = translator.binds.len() + 1;
    let sql =
        format!("SELECT {} FROM {} AS r0 WHERE {owner}r0.s = ?{seq}", texts.join(", "), table.sqlite_name());
    let types = columns.iter().map(|c| c.data_type).collect();
    Ok(Returning { find: Computed { sql, binds: translator.binds, types }, columns })
}

fn insert_targets(table: &Table, columns: &[ObjectName]) -> SqlResult<Vec<usize>> {
    if columns.is_empty() {
        return Ok((0..table.columns.len()).collect());
    }
    let mut targets = Vec::with_capacity(columns.len());
    for column in columns {
        let position = written_column(table, column)?;
        if targets.contains(&position) {
            return Err(SqlError::invalid(format!("the column {column} is named twice")));
        }
        targets.push(position);
    }
    Ok(targets)
}

fn written_column(table: &Table, name: &ObjectName) -> SqlResult<usize> {
    let name = names::parts(name)?.join(".");
    if name == DELETED || Wire::calls_version(&name) {
        return Err(SqlError::execution(format!(
            "Invalid operation: the system column '{name}' can not be written"
        )));
    }
    // Recorded in wire/sql_surface.jsonl.
    let missing = || SqlError::execution(format!("Invalid operation: Column '{name}' does not exist"));
    table.column(&name).ok_or_else(missing)
}

fn insert_row(
    context: &Context<'_>,
    table: &Table,
    targets: &[usize],
    values: &[Expr],
    sources: &mut Vec<Source>,
) -> SqlResult<InsertRow> {
    let mut slots = vec![Slot::Default; table.columns.len()];
    let mut translator = Translator::within(context, Scope::default());
    let (mut texts, mut types) = (Vec::new(), Vec::new());
    for (position, value) in targets.iter().zip(values) {
        let column = &table.columns[*position];
        slots[*position] = match simple_value(context, column, value)? {
            Some(slot) => slot,
            None => {
                let typed = translator.expr(value)?;
                let (text, data_type) = stored_value(&mut translator, column, typed)?;
                texts.push(text);
                types.push(data_type);
                Slot::Computed(texts.len() - 1)
            }
        };
    }
    sources.append(&mut translator.sources);
    let computed = (!texts.is_empty()).then(|| Computed {
        sql: format!("SELECT {}", texts.join(", ")),
        binds: translator.binds,
        types,
    });
    Ok(InsertRow { slots, computed })
}

/// Values that need no evaluation: literals, parameters, NOW() and the like. The fast path of most inserts.
fn simple_value(context: &Context<'_>, column: &TableColumn, value: &Expr) -> SqlResult<Option<Slot>> {
    let failed = |from: &str, error: &CastError| coercion_error(column, from, error);
    if column.data_type == DataType::File {
        return file_value(column, value).map(Some);
    }
    Ok(Some(match value {
        Expr::Value(value) => match &value.value {
            Value::Null => Slot::Cell(Cell::Null),
            Value::Boolean(value) => Slot::Cell(
                convert::assign(&Cell::Bool(*value), column.data_type).map_err(|e| failed("Boolean", &e))?,
            ),
            Value::SingleQuotedString(text) if !text.contains('\0') => {
                Slot::Cell(convert::from_text(text, column.data_type).map_err(|e| failed("Utf8", &e))?)
            }
            Value::Number(text, false) => {
                Slot::Cell(convert::from_number(text, column.data_type).map_err(|e| failed("Number", &e))?)
            }
            Value::Placeholder(text) => {
                let index = text.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
                match index.filter(|i| (1..=context.params.len()).contains(i)) {
                    Some(index) => Slot::Param(index),
                    None => return Ok(None),
                }
            }
            _ => return Ok(None),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match &**expr {
            Expr::Value(value) => match &value.value {
                Value::Number(text, false) => {
                    let negated = convert::from_number(&format!("-{text}"), column.data_type);
                    Slot::Cell(negated.map_err(|e| failed("Number", &e))?)
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        },
        Expr::Array(array) if array.named => Slot::Cell(Translator::array(&array.elem, column.data_type)?),
        Expr::Function(call) if is_plain_call(&call.args) => match made(&call.name, column) {
            Some(default) => Slot::Made(default),
            None => return Ok(None),
        },
        Expr::Identifier(ident)
            if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default") =>
        {
            Slot::Default
        }
        _ => return Ok(None),
    }))
}

/// What a FILE column takes: NULL, its default, or an upload.
fn file_value(column: &TableColumn, value: &Expr) -> SqlResult<Slot> {
    match value {
        Expr::Value(value) if value.value == Value::Null => Ok(Slot::Cell(Cell::Null)),
        Expr::Identifier(i) if i.quote_style.is_none() && i.value.eq_ignore_ascii_case("default") => {
            Ok(Slot::Default)
        }
        Expr::Function(call) => match file_name(call) {
            Some(name) => Ok(Slot::File(name.into())),
            None => Err(no_file(column)),
        },
        _ => Err(no_file(column)),
    }
}

fn no_file(column: &TableColumn) -> SqlError {
    SqlError::execution(format!(
        "Invalid operation: the FILE column '{}' takes FILE(\"name\") of an upload in the same request, or NULL",
        column.name
    ))
}

/// The name in `FILE("name")`.
fn file_name(call: &Function) -> Option<String> {
    let FunctionArguments::List(list) = &call.args else { return None };
    let is_file = names::parts(&call.name).is_ok_and(|parts| parts == ["file"]);
    match &list.args[..] {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(ident)))] if is_file => {
            Some(ident.value.clone())
        }
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] if is_file => match &value.value {
            Value::SingleQuotedString(name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn is_plain_call(args: &FunctionArguments) -> bool {
    match args {
        FunctionArguments::None => true,
        FunctionArguments::List(list) => list.args.is_empty() && list.clauses.is_empty(),
        FunctionArguments::Subquery(_) => false,
    }
}

/// The engine's own value that a call stands for, where its type fits the column.
pub(crate) fn made(name: &ObjectName, column: &TableColumn) -> Option<DefaultValue> {
    use DataType as T;
    let name = names::parts(name).ok()?.join(".");
    let (value, fits) = match name.as_str() {
        "now" | "current_timestamp" => {
            (DefaultValue::Now, column.data_type.is_timestamp() || column.data_type == T::Date)
        }
        "current_user" | "kdb_current_user" => (DefaultValue::CurrentUser, column.data_type == T::Text),
        "snowflake_id" => (DefaultValue::SnowflakeId, matches!(column.data_type, T::BigInt | T::Text)),
        "uuid_v7" => (DefaultValue::UuidV7, matches!(column.data_type, T::Uuid | T::Text)),
        "ulid" => (DefaultValue::Ulid, column.data_type == T::Text),
        _ => return None,
    };
    fits.then_some(value)
}

/// A computed value on its way into a column: literals are converted now, the rest when it is there.
fn stored_value(
    translator: &mut Translator<'_>,
    column: &TableColumn,
    typed: Typed,
) -> SqlResult<(String, DataType)> {
    if let Sql::Literal(literal) = &typed.sql {
        let bound = match literal {
            Literal::Text(text) => Bind::Cell(
                convert::from_text(text, column.data_type).map_err(|e| coercion_error(column, "Utf8", &e))?,
            ),
            Literal::Number(text) => Bind::Cell(
                convert::from_number(text, column.data_type)
                    .map_err(|e| coercion_error(column, "Number", &e))?,
            ),
            Literal::Param { index, .. } => Bind::Param { index: *index, data_type: column.data_type },
        };
        return Ok((translator.bind(bound), column.data_type));
    }
    if typed.sql == Sql::Null {
        return Ok(("NULL".into(), column.data_type));
    }
    translator.finish(typed)
}

/// Recorded in `wire/sql_surface.jsonl`.
pub(crate) fn coercion_error(column: &TableColumn, from: &str, error: &CastError) -> SqlError {
    let (name, to) = (&column.name, convert::arrow_name(column.data_type));
    SqlError::execution(format!(
        "Invalid operation: Schema coercion failed: Unable to cast value {from} to {to} for column '{name}': Arrow \
         error: Cast error: {}",
        error.0
    ))
}

pub(crate) fn update(context: &Context<'_>, update: &Update) -> SqlResult<UpdatePlan> {
    let Update {
        update_token: _,
        optimizer_hints: _,
        table,
        on_cluster,
        assignments,
        from,
        selection,
        returning,
        output,
        or,
        order_by,
        limit,
        settings,
    } = update;
    let plain = on_cluster.is_none()
        && from.is_none()
        && output.is_none()
        && or.is_none()
        && order_by.is_empty()
        && limit.is_none()
        && settings.is_none();
    if !plain {
        return Err(SqlError::unsupported("UPDATE with anything but SET and WHERE"));
    }
    let (table, alias) = one_table(context, std::slice::from_ref(table))?;
    let relation = Relation::of_table(&table, alias, context.catalog.wire).named("r0");
    let mut translator = Translator::within(context, Scope::of(relation));
    let (mut targets, mut texts, mut types) = (Vec::new(), Vec::new(), Vec::new());
    let mut files = Vec::new();
    for Assignment { target, value } in assignments {
        let AssignmentTarget::ColumnName(name) = target else {
            return Err(SqlError::unsupported("UPDATE ... SET (a, b) = ..."));
        };
        let position = written_column(&table, name)?;
        let column = &table.columns[position];
        if table.key.contains(&position) {
            // Recorded in wire/sql_surface.jsonl.
            return Err(SqlError::execution(format!(
                "Already exists: UPDATE operation on table '{}'\ncaused by\nError during planning: UPDATE cannot modify \
                 primary key column '{}'",
                table.qualified(),
                column.name
            )));
        }
        if targets.contains(&position) || files.iter().any(|(set, _)| *set == position) {
            return Err(SqlError::invalid(format!("the column {name} is set twice")));
        }
        if column.data_type == DataType::File {
            match file_value(column, value)? {
                Slot::File(name) => files.push((position, name)),
                _ => files.push((position, "".into())),
            }
            continue;
        }
        let (text, data_type) = match value {
            Expr::Array(array) if array.named => {
                let cell = Translator::array(&array.elem, column.data_type)?;
                (translator.bind(Bind::Cell(cell)), column.data_type)
            }
            _ => {
                let typed = translator.expr(value)?;
                stored_value(&mut translator, column, typed)?
            }
        };
        targets.push(position);
        texts.push(text);
        types.push(data_type);
    }
    let sources = std::mem::take(&mut translator.sources);
    let (find, more) = find(&table, translator, &texts, types, selection.as_ref())?;
    let sources = sources.into_iter().chain(more).collect();
    let returning = returning.as_deref().map(|items| self::returning(context, &table, items)).transpose()?;
    Ok(UpdatePlan { find, table, targets, files, sources, returning })
}

pub(crate) fn delete(context: &Context<'_>, delete: &Delete) -> SqlResult<DeletePlan> {
    let Delete {
        delete_token: _,
        optimizer_hints: _,
        tables,
        from,
        on_cluster,
        using,
        selection,
        returning,
        output,
        order_by,
        limit,
        settings,
    } = delete;
    let plain = tables.is_empty()
        && on_cluster.is_none()
        && using.is_none()
        && output.is_none()
        && order_by.is_empty()
        && limit.is_none()
        && settings.is_none();
    if !plain {
        return Err(SqlError::unsupported("DELETE with anything but WHERE"));
    }
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = from;
    let (table, alias) = one_table(context, from)?;
    let relation = Relation::of_table(&table, alias, context.catalog.wire).named("r0");
    let translator = Translator::within(context, Scope::of(relation));
    let (find, sources) = find(&table, translator, &[], Vec::new(), selection.as_ref())?;
    let returning = returning.as_deref().map(|items| self::returning(context, &table, items)).transpose()?;
    Ok(DeletePlan { find, table, sources, returning })
}

fn one_table(context: &Context<'_>, from: &[TableWithJoins]) -> SqlResult<(Arc<Table>, Option<String>)> {
    let (name, alias) = relation::single(from)?.ok_or_else(|| SqlError::invalid("a table is expected"))?;
    Ok((context.user_table(name)?, alias))
}

/// The statement that finds the rows to write, and what it reads besides. A tombstone is never written to, whatever the
/// filter says.
fn find(
    table: &Table,
    mut translator: Translator<'_>,
    texts: &[String],
    types: Vec<DataType>,
    selection: Option<&Expr>,
) -> SqlResult<(Computed, Vec<Source>)> {
    let filter = match selection {
        None => None,
        Some(selection) => {
            let typed = translator.expr(selection)?;
            Some(translator.boolean(typed, "WHERE")?)
        }
    };
    let own: String = table.columns.iter().map(|c| format!("r0.{}, ", c.sqlite_name())).collect();
    let values: String = texts.iter().map(|t| format!(", {t}")).collect();
    let mut terms = row_rules(table, &mut translator, "r0.", false);
    terms.extend(filter);
    let sql = format!(
        "SELECT {own}r0.s, r0.n{values} FROM {} AS r0 WHERE {} ORDER BY r0.s",
        table.sqlite_name(),
        terms.join(" AND ")
    );
    Ok((Computed { sql, binds: translator.binds, types }, translator.sources))
}
