//! Values on their way into a column.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, UnaryOperator, Value,
};

use super::{
    context::Context,
    dml::Slot,
    names,
    translator::Translator,
    typed::{Bind, Literal, Sql, Typed},
};
use crate::engine::{
    Cell, DataType, SqlError,
    catalog::{DefaultValue, TableColumn},
    convert::{self, CastError},
    error::SqlResult,
};

/// Values that need no evaluation: literals, parameters, NOW() and the like. The fast path of most inserts.
pub(super) fn simple_value(
    context: &Context<'_>,
    column: &TableColumn,
    value: &Expr,
) -> SqlResult<Option<Slot>> {
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
pub(super) fn file_value(column: &TableColumn, value: &Expr) -> SqlResult<Slot> {
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
pub(super) fn stored_value(
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
