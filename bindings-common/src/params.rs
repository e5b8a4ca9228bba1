//! The parameters `$1`, `$2`, ... of a statement. A binding has checked them and written them as JSON.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kalam_live::{Error, ErrorCode, Result, Value};
use serde::Deserialize;

/// One parameter: NULL, a boolean and a text as they are, everything else with its type.
#[derive(Deserialize)]
#[serde(untagged)]
enum Param {
    Null,
    Boolean(bool),
    Text(String),
    Typed(Typed),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Typed {
    /// In digits: not every 64-bit integer is a number of JSON.
    Int(String),
    Float(f64),
    /// Microseconds, in digits.
    Timestamp(String),
    Json(String),
    /// Base64.
    Bytes(String),
    Embedding(Vec<f32>),
}

/// # Errors
/// `invalid_argument` for what a binding does not write.
pub(crate) fn parameters(json: Option<&str>) -> Result<Vec<Value>> {
    let Some(json) = json else { return Ok(Vec::new()) };
    let params: Vec<Param> = serde_json::from_str(json).map_err(|_| wrong())?;
    params.into_iter().map(value).collect()
}

fn value(param: Param) -> Result<Value> {
    let typed = match param {
        Param::Null => return Ok(Value::Null),
        Param::Boolean(b) => return Ok(Value::Boolean(b)),
        Param::Text(text) => return Ok(Value::from(text)),
        Param::Typed(typed) => typed,
    };
    Ok(match typed {
        Typed::Int(digits) => Value::Int(digits.parse().map_err(|_| wrong())?),
        Typed::Float(x) => Value::Float(x),
        Typed::Timestamp(digits) => Value::Timestamp(digits.parse().map_err(|_| wrong())?),
        Typed::Json(text) => Value::Json(text.into()),
        Typed::Bytes(text) => Value::from(BASE64_STANDARD.decode(text).map_err(|_| wrong())?),
        Typed::Embedding(numbers) => Value::Embedding(numbers.into()),
    })
}

fn wrong() -> Error {
    Error::new(ErrorCode::InvalidArgument, "the parameters can not be read")
}
