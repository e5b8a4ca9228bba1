//! INSERT.

use sqlparser::ast::{Expr, Insert, ObjectName, SetExpr, TableObject};

use super::{
    context::{Context, QueryPlan, Source},
    dml::{Computed, InsertPlan, InsertRow, NewRows, Slot, plan_returning, written_column},
    query,
    relation::Scope,
    stored::{simple_value, stored_value},
    translator::Translator,
};
use crate::engine::{DataType, SqlError, catalog::Table, error::SqlResult};

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
    let returning = returning.as_deref().map(|items| plan_returning(context, &table, items)).transpose()?;
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
