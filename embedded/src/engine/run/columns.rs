//! The columns of CREATE TABLE and ADD COLUMN.

use sqlparser::ast::{ColumnDef, ColumnOption, CreateTable, Expr, TableConstraint, UnaryOperator, Value};

use super::table_options::create_error;
use crate::engine::{
    DataType, SqlError,
    catalog::{DefaultValue, RESERVED_COLUMNS, TableColumn},
    convert,
    error::SqlResult,
    sql::{names, stored, types},
};

pub(super) fn columns(create: &CreateTable) -> SqlResult<(Vec<TableColumn>, Vec<usize>)> {
    let (mut columns, mut key) = (Vec::<TableColumn>::new(), Vec::new());
    for (position, definition) in create.columns.iter().enumerate() {
        let (column, is_key) = column(definition, u32::try_from(position).unwrap_or(u32::MAX - 1) + 1)?;
        if columns.iter().any(|c| c.name == column.name) {
            return Err(create_error(format_args!("the column '{}' is there twice", column.name)));
        }
        if is_key {
            key.push(position);
        }
        columns.push(column);
    }
    if columns.is_empty() {
        return Err(create_error("a table needs columns"));
    }
    if columns.len() > 500 {
        return Err(create_error("more than 500 columns"));
    }
    if key.len() > 1 {
        return Err(create_error("several PRIMARY KEY columns are written PRIMARY KEY (a, b)"));
    }
    for constraint in &create.constraints {
        let TableConstraint::PrimaryKey(primary) = constraint else {
            return Err(SqlError::unsupported(format_args!("the constraint {constraint}")));
        };
        if !key.is_empty() {
            return Err(create_error("there are two PRIMARY KEYs"));
        }
        for part in &primary.columns {
            let Expr::Identifier(ident) = &part.column.expr else {
                return Err(create_error("a PRIMARY KEY is a list of columns"));
            };
            let name = names::ident(ident);
            let position = columns.iter().position(|c| *c.name == *name);
            let position = position
                .ok_or_else(|| create_error(format_args!("PRIMARY KEY column '{name}' does not exist")))?;
            if key.contains(&position) {
                return Err(create_error(format_args!("the column '{name}' is in the PRIMARY KEY twice")));
            }
            key.push(position);
        }
    }
    for position in &key {
        let column = &mut columns[*position];
        column.not_null = true;
        if matches!(column.data_type, DataType::Embedding(_) | DataType::File | DataType::Json) {
            return Err(create_error(format_args!(
                "a column of type {} can not be in the PRIMARY KEY",
                column.data_type
            )));
        }
    }
    Ok((columns, key))
}

pub(super) fn column(definition: &ColumnDef, id: u32) -> SqlResult<(TableColumn, bool)> {
    let name = names::ident(&definition.name);
    names::check("column", &name)?;
    if RESERVED_COLUMNS.contains(&name.as_str()) {
        return Err(create_error(format_args!("the column name '{name}' is reserved")));
    }
    let (data_type, serial) = types::column_type(&definition.data_type)?;
    let default = serial.then_some(DefaultValue::SnowflakeId);
    let mut column = TableColumn { id, name: name.into(), data_type, not_null: serial, default };
    let mut key = false;
    for option in &definition.options {
        match &option.option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => column.not_null = true,
            ColumnOption::Default(_) if data_type == DataType::File => {
                return Err(create_error("a FILE column has no DEFAULT: each file belongs to one row"));
            }
            ColumnOption::Default(value) => column.default = default_value(&column, value)?,
            ColumnOption::PrimaryKey(_) => key = true,
            ColumnOption::Comment(_) => {}
            ColumnOption::DialectSpecific(tokens)
                if tokens.iter().any(|t| {
                    let word = t.to_string().to_uppercase();
                    word == "AUTO_INCREMENT" || word == "AUTOINCREMENT"
                }) =>
            {
                if data_type != DataType::BigInt {
                    return Err(create_error(
                        "AUTO_INCREMENT needs BIGINT: its values come from SNOWFLAKE_ID()",
                    ));
                }
                column.default = Some(DefaultValue::SnowflakeId);
            }
            other => return Err(SqlError::unsupported(format_args!("the column option {other}"))),
        }
    }
    Ok((column, key))
}

fn default_value(column: &TableColumn, value: &Expr) -> SqlResult<Option<DefaultValue>> {
    let text = match value {
        Expr::Nested(inner) => return default_value(column, inner),
        Expr::Value(value) => match &value.value {
            Value::Null => return Ok(None),
            Value::SingleQuotedString(text) => text.clone(),
            Value::Number(text, _) => text.clone(),
            Value::Boolean(value) => value.to_string(),
            other => return Err(SqlError::unsupported(format_args!("DEFAULT {other}"))),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => format!("-{expr}"),
        Expr::Function(call) => {
            return match stored::made(&call.name, column) {
                Some(made) => Ok(Some(made)),
                None => Err(SqlError::unsupported(format_args!(
                    "DEFAULT {call} for a column of type {}",
                    column.data_type
                ))),
            };
        }
        other => return Err(SqlError::unsupported(format_args!("DEFAULT {other}"))),
    };
    match convert::from_text(&text, column.data_type) {
        Ok(_) => Ok(Some(DefaultValue::Literal(text))),
        Err(error) => Err(create_error(format_args!("the DEFAULT of '{}': {}", column.name, error.0))),
    }
}
