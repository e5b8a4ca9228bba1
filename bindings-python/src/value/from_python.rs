//! Python values as the parameters `$1`, `$2`, ... of a statement.

use kalam_live::{Decimal, Uuid, Value};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple,
};

use super::PyFileRef;

/// The parameters of a statement: a list or a tuple of values, or nothing.
///
/// | Python | parameter |
/// |---|---|
/// | `None`, `bool`, `int` of 64 bits, `float`, `str` | NULL, BOOLEAN, BIGINT, DOUBLE, TEXT |
/// | `Decimal`, `UUID`, `bytes`, `date`, `time` | DECIMAL, UUID, BYTES, DATE, TIME |
/// | `datetime` with a time zone | TIMESTAMP |
/// | `dict`, `list` | JSON |
/// | `array('f')` | EMBEDDING |
///
/// # Errors
/// `TypeError` for anything else, `ValueError` or `OverflowError` for a value that the type can not hold. The message
/// names the parameter.
pub(crate) fn parameters(params: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<Value>> {
    let Some(params) = params else { return Ok(Vec::new()) };
    if !params.is_instance_of::<PyList>() && !params.is_instance_of::<PyTuple>() {
        return Err(PyTypeError::new_err(format!(
            "params must be a list or a tuple with a value for each of $1, $2, ..., not {}",
            type_name(params)
        )));
    }
    params.try_iter()?.enumerate().map(|(i, value)| parameter(&value?, i + 1)).collect()
}

fn parameter(value: &Bound<'_, PyAny>, number: usize) -> PyResult<Value> {
    let py = value.py();
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(b) = value.cast::<PyBool>() {
        return Ok(Value::Boolean(b.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        return value.extract().map(Value::Int).map_err(|_| {
            PyOverflowError::new_err(format!("params: ${number} does not fit into 64 bits, pass a Decimal"))
        });
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(value.extract()?));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::from(text.to_str().map_err(|_| {
            PyValueError::new_err(format!("params: ${number} has half of a surrogate pair, which is no text"))
        })?));
    }
    if value.is_instance_of::<PyBytes>() || value.is_instance_of::<PyByteArray>() {
        return Ok(Value::Bytes(value.extract::<PyBackedBytes>()?.as_ref().into()));
    }
    if value.is_instance_of::<PyMemoryView>() {
        return Ok(Value::Bytes(value.call_method0("tobytes")?.extract::<PyBackedBytes>()?.as_ref().into()));
    }
    if value.is_instance_of::<PyDict>()
        || value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
    {
        return json(value, number);
    }
    if let Ok(file) = value.cast::<PyFileRef>() {
        return Ok(Value::File(Box::new(file.get().0.clone())));
    }
    let is = |class: &Bound<'_, PyAny>| value.is_instance(class);
    if is(library!(py, "datetime", "datetime"))? {
        return timestamp(value, number);
    }
    if is(library!(py, "datetime", "date"))? {
        let ordinal: i32 = value.call_method0("toordinal")?.extract()?;
        return Ok(Value::Date(ordinal - 719_163)); // date(1970, 1, 1).toordinal()
    }
    if is(library!(py, "datetime", "time"))? {
        return time(value, number);
    }
    if is(library!(py, "decimal", "Decimal"))? {
        let digits: String = value.call_method1("__format__", ("f",))?.extract()?;
        return Decimal::parse(&digits).map(Value::Decimal).ok_or_else(|| {
            PyValueError::new_err(format!("params: ${number} is {digits}, which is no number"))
        });
    }
    if is(library!(py, "uuid", "UUID"))? {
        return Ok(Value::Uuid(Uuid(value.getattr("bytes")?.extract()?)));
    }
    if is(library!(py, "array", "array"))? && value.getattr("typecode")?.eq("f")? {
        return Ok(Value::Embedding(value.extract::<Vec<f32>>()?.into()));
    }
    Err(PyTypeError::new_err(format!(
        "params: ${number} is {}, which no column type holds",
        type_name(value)
    )))
}

fn json(value: &Bound<'_, PyAny>, number: usize) -> PyResult<Value> {
    let py = value.py();
    // JSON has no NaN: the server would refuse it, with a worse message.
    let options = PyDict::new(py);
    options.set_item("allow_nan", false)?;
    let text: String = library!(py, "json", "dumps")
        .call((value,), Some(&options))
        .and_then(|text| text.extract())
        .map_err(|e| {
            let error = PyTypeError::new_err(format!("params: ${number} can not be written as JSON"));
            error.set_cause(py, Some(e));
            error
        })?;
    Ok(Value::Json(text.into()))
}

fn timestamp(value: &Bound<'_, PyAny>, number: usize) -> PyResult<Value> {
    let py = value.py();
    if value.call_method0("utcoffset")?.is_none() {
        return Err(PyValueError::new_err(format!(
            "params: ${number} is a datetime without a time zone; give it one, such as tzinfo=timezone.utc"
        )));
    }
    let utc = library!(py, "datetime", "timezone").getattr("utc")?;
    let epoch = library!(py, "datetime", "datetime").call1((1970, 1, 1, 0, 0, 0, 0, utc))?;
    let since = value.sub(epoch)?;
    let part = |name: &str| since.getattr(name)?.extract::<i64>();
    Ok(Value::Timestamp((part("days")? * 86_400 + part("seconds")?) * 1_000_000 + part("microseconds")?))
}

fn time(value: &Bound<'_, PyAny>, number: usize) -> PyResult<Value> {
    if !value.getattr("tzinfo")?.is_none() {
        return Err(PyValueError::new_err(format!(
            "params: ${number} is a time with a zone, which TIME has not"
        )));
    }
    let part = |name: &str| value.getattr(name)?.extract::<i64>();
    let seconds = part("hour")? * 3600 + part("minute")? * 60 + part("second")?;
    Ok(Value::Time(seconds * 1_000_000 + part("microsecond")?))
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "an unknown type".to_owned(), |name| name.to_string())
}
