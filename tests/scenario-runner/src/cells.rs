//! Values as the wire writes them, by the type of their column; a value that its column can not have is an error.

use kalam_live::{Column, DataType, Row, Value};
use serde_json::{Value as Json, json};

use crate::Failure;

/// The cells of a row.
///
/// # Errors
/// A value that its column can not have.
pub fn cells(row: &Row) -> Result<Vec<Json>, Failure> {
    let columns = row.schema().columns();
    columns.iter().zip(row.values()).map(|(column, value)| cell(column, value)).collect()
}

fn cell(column: &Column, value: &Value) -> Result<Json, Failure> {
    Ok(match (&column.data_type, value) {
        (_, Value::Null) => Json::Null,
        (DataType::Boolean, Value::Boolean(value)) => json!(value),
        (DataType::SmallInt | DataType::Int, Value::Int(value)) => json!(value),
        (DataType::BigInt, Value::Int(value)) => json!(value.to_string()),
        (DataType::Float | DataType::Double, Value::Float(value)) => json!(value),
        (DataType::Decimal { .. }, Value::Decimal(value)) => json!(value.as_str()),
        (DataType::Text, Value::Text(value)) => json!(value.as_str()),
        (DataType::Timestamp | DataType::DateTime, Value::Timestamp(value)) => json!(value),
        (DataType::Date, Value::Date(value)) => json!(value),
        (DataType::Time, Value::Time(value)) => json!(value),
        (DataType::Uuid, Value::Uuid(value)) => json!(value.to_string()),
        (DataType::Json, Value::Json(text)) => serde_json::from_str(text)?,
        (DataType::Bytes, Value::Bytes(bytes)) => json!(bytes),
        (DataType::Embedding(_), Value::Embedding(numbers)) => json!(numbers),
        (data_type, value) => {
            return Err(format!("{}: {value:?} is not what {data_type:?} gives", column.name).into());
        }
    })
}

/// A parameter of a statement.
pub(crate) fn parameter(json: &Json) -> Result<Value, Failure> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Float(number.as_f64().ok_or("a number")?),
        },
        Json::String(text) => Value::Text(text.as_str().into()),
        other => match other.get("bytes").and_then(Json::as_array) {
            Some(bytes) => {
                Value::Bytes(bytes.iter().filter_map(|b| u8::try_from(b.as_u64()?).ok()).collect())
            }
            None => return Err(format!("{other} can not be a parameter").into()),
        },
    })
}
