//! Plans of writes; UPDATE and DELETE, checked against the table, with the SQLite statements that they need.
//! [`super::insert`] has INSERT.

use std::sync::Arc;

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, ObjectName, SelectItem, TableWithJoins, Update,
};

use super::{
    context::{Context, QueryPlan, Source},
    from::row_rules,
    names,
    relation::{self, Relation, Scope},
    stored::{file_value, stored_value},
    translator::Translator,
    typed::Bind,
};
use crate::engine::{
    Cell, Column, DataType, SqlError,
    catalog::{DELETED, DefaultValue, Table},
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

pub(super) fn written_column(table: &Table, name: &ObjectName) -> SqlResult<usize> {
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
    let returning = returning.as_deref().map(|items| plan_returning(context, &table, items)).transpose()?;
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
    let returning = returning.as_deref().map(|items| plan_returning(context, &table, items)).transpose()?;
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

pub(super) fn plan_returning(
    context: &Context<'_>,
    table: &Arc<Table>,
    items: &[SelectItem],
) -> SqlResult<Returning> {
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
