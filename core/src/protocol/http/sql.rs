//! `POST /v1/api/sql`.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::super::cell::{CellSeed, CellType};
use super::super::decode::shortened;
use super::super::limits::Limits;
use super::error::decode_error;
use crate::error::{Error, ErrorCode, Result};
use crate::row::Row;
use crate::schema::{Column, Schema};
use crate::sql::names_system_table;
use crate::value::Value;

/// A statement, or several with `;` between them.
#[derive(Clone, Copy, Debug)]
pub struct SqlRequest<'a> {
    /// The SQL text.
    pub sql: &'a str,
    /// Values of `$1`, `$2`, ... Only a single statement may have them (`PARAMS_WITH_BATCH`).
    pub params: &'a [Value],
    /// What tables without a namespace belong to.
    pub namespace: Option<&'a str>,
}

/// What one statement gave.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementResult {
    /// The columns; none for a statement that returns no rows.
    pub schema: Arc<Schema>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Rows returned or affected, as the server counted.
    pub row_count: u64,
    /// The server's sentence, such as `Inserted 1 row(s)`.
    pub message: Option<String>,
    /// Whose rights it ran with.
    pub as_user: Option<String>,
}

/// The most parameters that a request may have, and their size.
const MAX_PARAMS: usize = 10_000;
/// KalamDB refuses bodies above 10 MB.
const MAX_BODY: usize = 10_000_000;

/// The body of a request.
///
/// # Errors
/// `invalid_argument` for a parameter that the server can not take (a file, a float that is not finite), for too many, and
/// for a body that is too large.
pub fn encode_sql_request(request: &SqlRequest<'_>) -> Result<String> {
    #[derive(Serialize)]
    struct Body<'a> {
        sql: &'a str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        params: &'a [Parameter<'a>],
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace_id: Option<&'a str>,
    }
    let too_much = |what: String| Err(Error::new(ErrorCode::InvalidArgument, what));
    if request.params.len() > MAX_PARAMS {
        return too_much(format!("{} parameters are too many: at most {MAX_PARAMS}", request.params.len()));
    }
    let params = parameters(request.params)?;
    let body = Body { sql: request.sql, params: &params, namespace_id: request.namespace };
    let json =
        serde_json::to_string(&body).map_err(|e| Error::new(ErrorCode::InvalidArgument, e.to_string()))?;
    if json.len() > MAX_BODY {
        return too_much(format!("a request of {} bytes is too large: at most {MAX_BODY}", json.len()));
    }
    Ok(json)
}

/// Parameters alone, as JSON text, for a form.
///
/// # Errors
/// `invalid_argument` as [`encode_sql_request`].
pub fn encode_params(params: &[Value]) -> Result<String> {
    serde_json::to_string(&parameters(params)?)
        .map_err(|e| Error::new(ErrorCode::InvalidArgument, e.to_string()))
}

fn parameters(params: &[Value]) -> Result<Vec<Parameter<'_>>> {
    params.iter().enumerate().map(|(i, v)| parameter(i, v)).collect()
}

/// A parameter as JSON: the server takes null, booleans, numbers and texts, and reads the text of a DECIMAL, TIMESTAMP,
/// DATE, TIME, UUID or JSON by the type of its column. It refuses objects (`INVALID_PARAMETER`, recorded in
/// `wire/sql_surface.jsonl`).
#[derive(Serialize)]
#[serde(untagged)]
enum Parameter<'a> {
    Null,
    Boolean(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Written(String),
}

fn parameter(index: usize, value: &Value) -> Result<Parameter<'_>> {
    let refuse = |what: &str| {
        let text = format!("parameter ${} is {what}", index + 1);
        Err(Error::new(ErrorCode::InvalidArgument, text))
    };
    Ok(match value {
        Value::Null => Parameter::Null,
        Value::Boolean(b) => Parameter::Boolean(*b),
        Value::Int(n) => Parameter::Int(*n),
        Value::Float(x) if x.is_finite() => Parameter::Float(*x),
        Value::Float(_) => return refuse("not a finite number"),
        Value::Text(s) => Parameter::Text(s),
        Value::Json(s) => Parameter::Text(s),
        Value::Decimal(d) => Parameter::Text(d.as_str()),
        Value::Timestamp(_) | Value::Date(_) | Value::Time(_) | Value::Uuid(_) => {
            Parameter::Written(value.to_string())
        }
        Value::Bytes(_) => {
            return refuse("of type BYTES, which JSON does not have: write it into the statement");
        }
        Value::Embedding(numbers) if numbers.iter().all(|x| x.is_finite()) => {
            Parameter::Written(value.to_string())
        }
        Value::Embedding(_) => return refuse("an embedding with a number that is not finite"),
        Value::File(_) => return refuse("a file: upload it instead"),
    })
}

/// The results of the statements of `request`, in the order of the server.
///
/// Timestamps are microseconds. Those of system tables, which the server gives in several units, are converted by their
/// magnitude when the statement names `system` or `information_schema`.
///
/// # Errors
/// The server's error by its code (`invalid_sql`, `not_found`, `permission_denied`, `auth_failed`, `rate_limited`,
/// `unavailable`, ...); `protocol` for a body that is none of its answers; `disconnected` for one that ends too early.
pub fn decode_sql_response(
    status: u16,
    body: &[u8],
    request: &SqlRequest<'_>,
) -> Result<Vec<StatementResult>> {
    if !(200..300).contains(&status) {
        return Err(decode_error(status, body));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = AnswerSeed { any_unit: names_system_table(request.sql), depth: Limits::default().depth }
        .deserialize(&mut json)
        .and_then(|answer| json.end().map(|()| answer));
    match read {
        Ok(Some(results)) => Ok(results),
        // A status of success around an error.
        Ok(None) => Err(decode_error(status, body)),
        Err(_) if is_cut(body) => Err(Error::new(
            ErrorCode::Disconnected,
            "the answer ends too early: the connection was cut, and whether the statement was executed is not known",
        )
        .with_retryable(false)),
        Err(e) => Err(Error::new(
            ErrorCode::Protocol,
            format!("the answer to the statement can not be read: {}", shortened(e)),
        )),
    }
}

/// Whether nothing is wrong with the JSON but that it ends.
fn is_cut(body: &[u8]) -> bool {
    // To the parser, a number that lost its last digits ("1.") is wrong and not at its end.
    let in_number = matches!(body.last(), Some(b'.' | b'-' | b'+' | b'e' | b'E'));
    serde_json::from_slice::<IgnoredAny>(body).is_err_and(|e| e.is_eof() || in_number)
}

/// Reads the answer; `None` when it says that it is an error.
#[derive(Clone, Copy)]
struct AnswerSeed {
    any_unit: bool,
    depth: usize,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum AnswerKey {
    Status,
    Results,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for AnswerSeed {
    type Value = Option<Vec<StatementResult>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for AnswerSeed {
    type Value = Option<Vec<StatementResult>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with status and results")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut success = true;
        let mut results = None;
        while let Some(key) = map.next_key()? {
            match key {
                AnswerKey::Status => success = map.next_value::<&str>()? == "success",
                AnswerKey::Results => {
                    if results.replace(map.next_value_seed(ResultsSeed(self))?).is_some() {
                        return Err(de::Error::duplicate_field("results"));
                    }
                }
                AnswerKey::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match (success, results) {
            (true, Some(results)) => Ok(Some(results)),
            (true, None) => Err(de::Error::missing_field("results")),
            (false, _) => Ok(None),
        }
    }
}

struct ResultsSeed(AnswerSeed);

impl<'de> DeserializeSeed<'de> for ResultsSeed {
    type Value = Vec<StatementResult>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ResultsSeed {
    type Value = Vec<StatementResult>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of results")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut results = Vec::new();
        while let Some(result) = seq.next_element_seed(ResultSeed(self.0))? {
            results.push(result);
        }
        Ok(results)
    }
}

struct ResultSeed(AnswerSeed);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum ResultKey {
    Schema,
    Rows,
    RowCount,
    Message,
    AsUser,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for ResultSeed {
    type Value = StatementResult;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ResultSeed {
    type Value = StatementResult;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the result of a statement")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StatementResult, A::Error> {
        let mut columns: Option<(Arc<Schema>, Vec<CellType>)> = None;
        let mut rows: Option<Vec<Row>> = None;
        let (mut row_count, mut message, mut as_user) = (None, None, None);
        while let Some(key) = map.next_key()? {
            match key {
                ResultKey::Schema => {
                    let schema = map.next_value::<Option<Vec<Column>>>()?.unwrap_or_default();
                    let cells = schema.iter().map(|c| CellType::new(&c.data_type, self.0.any_unit)).collect();
                    if columns.replace((Schema::new(schema), cells)).is_some() {
                        return Err(de::Error::duplicate_field("schema"));
                    }
                }
                ResultKey::Rows => {
                    // The schema stands before the rows in every recording; rows alone have no types.
                    let (schema, cells) =
                        columns.as_ref().ok_or_else(|| de::Error::custom("rows before their schema"))?;
                    let read = map.next_value_seed(RowsSeed { schema, cells, depth: self.0.depth })?;
                    if rows.replace(read).is_some() {
                        return Err(de::Error::duplicate_field("rows"));
                    }
                }
                ResultKey::RowCount => row_count = map.next_value()?,
                ResultKey::Message => message = map.next_value()?,
                ResultKey::AsUser => as_user = map.next_value()?,
                ResultKey::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let rows = rows.unwrap_or_default();
        Ok(StatementResult {
            schema: columns.map_or_else(|| Schema::new(Vec::new()), |(schema, _)| schema),
            row_count: row_count.unwrap_or(rows.len() as u64),
            rows,
            message,
            as_user,
        })
    }
}

/// Rows are arrays in the order of the schema.
#[derive(Clone, Copy)]
struct RowsSeed<'a> {
    schema: &'a Arc<Schema>,
    cells: &'a [CellType],
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for RowsSeed<'_> {
    type Value = Vec<Row>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_> {
    type Value = Vec<Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(values) = seq.next_element_seed(CellsSeed(self))? {
            rows.push(Row::new(self.schema.clone(), values, None));
        }
        Ok(rows)
    }
}

struct CellsSeed<'a>(RowsSeed<'a>);

impl<'de> DeserializeSeed<'de> for CellsSeed<'_> {
    type Value = Vec<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for CellsSeed<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row of {} cells", self.0.cells.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let RowsSeed { schema, cells, depth } = self.0;
        let mut values = Vec::with_capacity(cells.len());
        for (cell, column) in cells.iter().zip(schema.all_columns()) {
            let mut value = Value::Null;
            seq.next_element_seed(CellSeed { cell: *cell, depth, slot: &mut value })
                .map_err(|e| de::Error::custom(format_args!("column {:?}: {e}", column.name)))?
                .ok_or_else(|| de::Error::invalid_length(values.len(), &self))?;
            values.push(value);
        }
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(de::Error::invalid_length(values.len() + 1, &self));
        }
        Ok(values)
    }
}
