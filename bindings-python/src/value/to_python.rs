//! A cell as the Python value of its column type.

use kalam_live::Value;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString};

use super::PyFileRef;

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// `date(1970, 1, 1).toordinal()`.
const EPOCH_ORDINAL: i64 = 719_163;

/// The Python value of a cell. A new object each time, so that nobody can change another's JSON or array.
///
/// A timestamp, date or time that Python's types can not hold (years beyond 1 to 9999) stays the integer it is:
/// microseconds or days since the epoch, microseconds since midnight.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Boolean(b) => PyBool::new(py, *b).to_owned().into_any(),
        Value::Int(n) => PyInt::new(py, *n).into_any(),
        Value::Float(x) => PyFloat::new(py, *x).into_any(),
        Value::Text(s) => PyString::new(py, s).into_any(),
        Value::Decimal(d) => library!(py, "decimal", "Decimal").call1((d.as_str(),))?,
        Value::Timestamp(us) => or_integer(py, datetime(py, *us), *us)?,
        Value::Date(days) => {
            let ordinal = i64::from(*days) + EPOCH_ORDINAL;
            or_integer(py, library!(py, "datetime", "date").call_method1("fromordinal", (ordinal,)), *days)?
        }
        Value::Time(us) => or_integer(py, time(py, *us), *us)?,
        Value::Uuid(u) => library!(py, "uuid", "UUID").call1((py.None(), PyBytes::new(py, &u.0)))?,
        Value::Json(text) => match library!(py, "json", "loads").call1((&**text,)) {
            Ok(parsed) => parsed,
            // A column type of a newer server may hold what is no JSON.
            Err(e) if e.is_instance_of::<PyValueError>(py) => PyString::new(py, text).into_any(),
            Err(e) => return Err(e),
        },
        Value::Bytes(b) => PyBytes::new(py, b).into_any(),
        Value::Embedding(e) => {
            let bytes: Vec<u8> = e.iter().flat_map(|x| x.to_ne_bytes()).collect();
            library!(py, "array", "array").call1(("f", PyBytes::new(py, &bytes)))?
        }
        Value::File(file) => Bound::new(py, PyFileRef((**file).clone()))?.into_any(),
    })
}

/// The epoch plus a timedelta: exact, where `fromtimestamp` goes through a float.
fn datetime(py: Python<'_>, us: i64) -> PyResult<Bound<'_, PyAny>> {
    static EPOCH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let epoch = EPOCH.get_or_try_init(py, || {
        let utc = library!(py, "datetime", "timezone").getattr("utc")?;
        let epoch = library!(py, "datetime", "datetime").call1((1970, 1, 1, 0, 0, 0, 0, utc))?;
        PyResult::Ok(epoch.unbind())
    })?;
    let in_day = us.rem_euclid(MICROS_PER_DAY);
    let parts = (us.div_euclid(MICROS_PER_DAY), in_day / 1_000_000, in_day % 1_000_000);
    epoch.bind(py).add(library!(py, "datetime", "timedelta").call1(parts)?)
}

fn time(py: Python<'_>, us: i64) -> PyResult<Bound<'_, PyAny>> {
    let seconds = us.div_euclid(1_000_000);
    let parts = (seconds / 3600, seconds / 60 % 60, seconds % 60, us.rem_euclid(1_000_000));
    library!(py, "datetime", "time").call1(parts)
}

fn or_integer<'py>(
    py: Python<'py>,
    made: PyResult<Bound<'py, PyAny>>,
    integer: impl Into<i64>,
) -> PyResult<Bound<'py, PyAny>> {
    made.or_else(|e| {
        if e.is_instance_of::<PyOverflowError>(py) || e.is_instance_of::<PyValueError>(py) {
            return Ok(PyInt::new(py, integer.into()).into_any());
        }
        Err(e)
    })
}
