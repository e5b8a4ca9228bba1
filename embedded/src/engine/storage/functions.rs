//! The SQL functions that give SQLite KalamDB's meaning. Every connection has them; only the translation calls them,
//! with arguments whose types it has checked.

use std::sync::Arc;

use rusqlite::{
    Connection, Error, Result,
    functions::{Context, FunctionFlags},
    types::{ToSqlOutput, Value, ValueRef},
};

use super::{like, sequence};
use crate::engine::{
    convert,
    decimal::{self, Decimal},
};

/// Sources of identifiers, shared by all connections of an engine.
#[derive(Debug, Default)]
pub(crate) struct Identifiers {
    pub(crate) snowflake: sequence::Snowflake,
}

pub(super) fn register(connection: &Connection, identifiers: &Arc<Identifiers>) -> Result<()> {
    arithmetic(connection)?;
    decimals(connection)?;
    text(connection)?;
    math(connection)?;
    for (name, strict) in [("k_cast", true), ("k_try_cast", false)] {
        scalar(connection, name, 3, move |ctx| {
            let (from, to) = (ctx.get(1)?, ctx.get(2)?);
            let types = convert::type_of_code(from).zip(convert::type_of_code(to));
            let (from, to) = types.ok_or_else(|| failure("unknown type code"))?;
            let cell =
                convert::from_sqlite(ctx.get_raw(0), from).ok_or_else(|| failure("value of another type"))?;
            match convert::cast(&cell, to) {
                Ok(cell) => owned(&cell),
                Err(_) if !strict => Ok(Value::Null),
                Err(error) => Err(failure(error.0)),
            }
        })?;
    }
    let identifiers = Arc::clone(identifiers);
    connection.create_scalar_function("k_snowflake", 0, FunctionFlags::SQLITE_UTF8, move |_| {
        Ok(identifiers.snowflake.next())
    })?;
    connection.create_scalar_function("k_uuid_v7", 0, FunctionFlags::SQLITE_UTF8, |_| {
        Ok(uuid::Uuid::now_v7().to_string())
    })?;
    connection.create_scalar_function("k_ulid", 0, FunctionFlags::SQLITE_UTF8, |_| Ok(sequence::ulid()))
}

/// The message reaches the caller as the statement's error.
pub(super) fn failure(message: impl Into<String>) -> Error {
    Error::UserFunctionError(message.into().into())
}

fn owned(cell: &crate::engine::Cell) -> Result<Value> {
    Ok(match convert::to_sqlite(cell) {
        ToSqlOutput::Owned(value) => value,
        ToSqlOutput::Borrowed(value) => value.try_into().map_err(|_| failure("not valid UTF-8"))?,
        _ => return Err(failure("value without a SQLite form")),
    })
}

/// A deterministic function that is NULL when an argument is.
fn scalar<F>(connection: &Connection, name: &'static str, arguments: i32, function: F) -> Result<()>
where
    F: Fn(&Context<'_>) -> Result<Value> + Send + 'static,
{
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function(name, arguments, flags, move |ctx| {
        if (0..ctx.len()).any(|i| ctx.get_raw(i) == ValueRef::Null) {
            return Ok(Value::Null);
        }
        function(ctx)
    })
}

/// Integers: exact, an error where the result does not fit `bits` (KalamDB's integer types) or the divisor is zero.
fn arithmetic(connection: &Connection) -> Result<()> {
    type Checked = fn(i64, i64) -> Option<i64>;
    let operations: [(&'static str, &'static str, Checked); 5] = [
        ("k_iadd", "+", i64::checked_add),
        ("k_isub", "-", i64::checked_sub),
        ("k_imul", "*", i64::checked_mul),
        ("k_idiv", "/", i64::checked_div),
        ("k_imod", "%", |a, b| if b == -1 { Some(0) } else { a.checked_rem(b) }),
    ];
    for (name, symbol, operation) in operations {
        scalar(connection, name, 3, move |ctx| {
            let (a, b, bits): (i64, i64, i64) = (ctx.get(0)?, ctx.get(1)?, ctx.get(2)?);
            if b == 0 && matches!(symbol, "/" | "%") {
                return Err(failure("Divide by zero error"));
            }
            let fits = |v: &i64| bits >= 64 || *v >= -(1 << (bits - 1)) && *v < 1 << (bits - 1);
            let result = operation(a, b).filter(fits);
            result
                .map(Value::Integer)
                .ok_or_else(|| failure(format!("Overflow happened on: {a} {symbol} {b}")))
        })?;
    }
    // SQLite gives NULL for a zero divisor; doubles give an infinity.
    scalar(connection, "k_fdiv", 2, |ctx| Ok(Value::Real(ctx.get::<f64>(0)? / ctx.get::<f64>(1)?)))?;
    scalar(connection, "k_fmod", 2, |ctx| Ok(Value::Real(ctx.get::<f64>(0)? % ctx.get::<f64>(1)?)))
}

/// Reads a stored decimal's integer; the scale is the translation's business.
pub(super) fn unscaled(value: ValueRef<'_>) -> Result<i128> {
    let bytes = value.as_blob().map_err(|_| failure("not a decimal"))?;
    Decimal::from_bytes(bytes, 0).map(|d| d.unscaled).ok_or_else(|| failure("not a decimal"))
}

pub(super) fn stored_decimal(unscaled: Option<i128>, precision: u8) -> Result<Value> {
    let value = unscaled.map(|u| Decimal::new(u, 0)).filter(|d| d.fits(precision));
    let value = value.ok_or_else(|| failure(format!("decimal overflow: more than {precision} digits")))?;
    Ok(Value::Blob(value.to_bytes().to_vec()))
}

fn decimals(connection: &Connection) -> Result<()> {
    type Checked = fn(i128, i128) -> Option<i128>;
    let operations: [(&'static str, Checked); 4] = [
        ("k_dadd", i128::checked_add),
        ("k_dsub", i128::checked_sub),
        ("k_dmul", i128::checked_mul),
        ("k_dmod", i128::checked_rem),
    ];
    for (name, operation) in operations {
        scalar(connection, name, 3, move |ctx| {
            let (a, b) = (unscaled(ctx.get_raw(0))?, unscaled(ctx.get_raw(1))?);
            if b == 0 && name == "k_dmod" {
                return Err(failure("Divide by zero error"));
            }
            stored_decimal(operation(a, b), ctx.get(2)?)
        })?;
    }
    // k_ddiv(a, b, digits to append to a, precision)
    scalar(connection, "k_ddiv", 4, |ctx| {
        let (a, b) = (unscaled(ctx.get_raw(0))?, unscaled(ctx.get_raw(1))?);
        if b == 0 {
            return Err(failure("Divide by zero error"));
        }
        let shifted = decimal::power(ctx.get(2)?).and_then(|p| a.checked_mul(p));
        stored_decimal(shifted.and_then(|a| a.checked_div(b)), ctx.get(3)?)
    })?;
    // k_dround(a, digits to drop): rounds without changing the scale.
    scalar(connection, "k_dround", 2, |ctx| {
        let a = unscaled(ctx.get_raw(0))?;
        let drop: i64 = ctx.get(1)?;
        let rounded = match u8::try_from(drop.max(0)).ok().and_then(decimal::power) {
            Some(unit) => decimal::div_round(a, unit).checked_mul(unit),
            None => Some(0),
        };
        stored_decimal(rounded, decimal::MAX_PRECISION)
    })?;
    scalar(connection, "k_dabs", 1, |ctx| {
        stored_decimal(unscaled(ctx.get_raw(0))?.checked_abs(), decimal::MAX_PRECISION)
    })
}

fn text_of<'a>(ctx: &'a Context<'_>, argument: usize) -> Result<&'a str> {
    ctx.get_raw(argument).as_str().map_err(|_| failure("text expected"))
}

fn text(connection: &Connection) -> Result<()> {
    // k_like(text, pattern, escape or '', ignore case)
    scalar(connection, "k_like", 4, |ctx| {
        let escape = text_of(ctx, 2)?.chars().next();
        let matched = like::matches(text_of(ctx, 0)?, text_of(ctx, 1)?, escape, ctx.get(3)?);
        matched.map(|m| Value::Integer(i64::from(m))).map_err(failure)
    })?;
    type OfOne = fn(&str) -> Value;
    type OfTwo = fn(&str, &str) -> Value;
    let one: [(&'static str, OfOne); 5] = [
        ("k_lower", |s| Value::Text(s.to_lowercase())),
        ("k_upper", |s| Value::Text(s.to_uppercase())),
        ("k_length", |s| Value::Integer(s.chars().count() as i64)),
        ("k_octets", |s| Value::Integer(s.len() as i64)),
        ("k_reverse", |s| Value::Text(s.chars().rev().collect())),
    ];
    for (name, function) in one {
        scalar(connection, name, 1, move |ctx| Ok(function(text_of(ctx, 0)?)))?;
    }
    let two: [(&'static str, OfTwo); 7] = [
        ("k_trim", |s, chars| Value::Text(s.trim_matches(|c| chars.contains(c)).into())),
        ("k_ltrim", |s, chars| Value::Text(s.trim_start_matches(|c| chars.contains(c)).into())),
        ("k_rtrim", |s, chars| Value::Text(s.trim_end_matches(|c| chars.contains(c)).into())),
        ("k_starts", |s, part| Value::Integer(i64::from(s.starts_with(part)))),
        ("k_ends", |s, part| Value::Integer(i64::from(s.ends_with(part)))),
        ("k_contains", |s, part| Value::Integer(i64::from(s.contains(part)))),
        ("k_strpos", |s, part| {
            Value::Integer(s.find(part).map_or(0, |at| s[..at].chars().count() as i64 + 1))
        }),
    ];
    for (name, function) in two {
        scalar(connection, name, 2, move |ctx| Ok(function(text_of(ctx, 0)?, text_of(ctx, 1)?)))?;
    }
    scalar(connection, "k_replace", 3, |ctx| {
        let (s, from, to) = (text_of(ctx, 0)?, text_of(ctx, 1)?, text_of(ctx, 2)?);
        let grown = if from.is_empty() { 0 } else { s.matches(from).count() * to.len() };
        if grown > MAX_TEXT {
            return Err(failure("replace() would make a text of more than 16 MiB"));
        }
        Ok(Value::Text(if from.is_empty() { s.to_owned() } else { s.replace(from, to) }))
    })?;
    // Positions count from 1, as in PostgreSQL: what lies before the text only uses up the length.
    scalar(connection, "k_substr", 3, |ctx| {
        let (start, length): (i64, i64) = (ctx.get(1)?, ctx.get(2)?);
        if length < 0 {
            return Err(failure("negative substring length not allowed"));
        }
        let end = start.saturating_add(length).max(1);
        let skip = usize::try_from(start.max(1) - 1).unwrap_or(usize::MAX);
        let take = usize::try_from(end.saturating_sub(start.max(1))).unwrap_or(0);
        Ok(Value::Text(text_of(ctx, 0)?.chars().skip(skip).take(take).collect()))
    })?;
    for (name, from_left) in [("k_left", true), ("k_right", false)] {
        scalar(connection, name, 2, move |ctx| {
            let (s, n): (&str, i64) = (text_of(ctx, 0)?, ctx.get(1)?);
            let length = s.chars().count() as i64;
            // A negative count leaves that many characters out at the other end.
            let kept = if n >= 0 { n.min(length) } else { length.saturating_add(n).max(0) };
            let (skip, take) = if from_left { (0, kept) } else { (length - kept, kept) };
            Ok(Value::Text(s.chars().skip(skip as usize).take(take as usize).collect()))
        })?;
    }
    Ok(())
}

/// Longest text that a function may build, in bytes.
const MAX_TEXT: usize = 16 << 20;

fn math(connection: &Connection) -> Result<()> {
    type OfOne = fn(f64) -> f64;
    let one: [(&'static str, OfOne); 9] = [
        ("k_ceil", f64::ceil),
        ("k_floor", f64::floor),
        ("k_trunc", f64::trunc),
        ("k_sqrt", f64::sqrt),
        ("k_exp", f64::exp),
        ("k_ln", f64::ln),
        ("k_log10", f64::log10),
        ("k_log2", f64::log2),
        ("k_sign", |x| if x == 0.0 { 0.0 } else { x.signum() }),
    ];
    for (name, function) in one {
        scalar(connection, name, 1, move |ctx| Ok(Value::Real(function(ctx.get(0)?))))?;
    }
    scalar(connection, "k_power", 2, |ctx| Ok(Value::Real(ctx.get::<f64>(0)?.powf(ctx.get(1)?))))?;
    scalar(connection, "k_round", 2, |ctx| {
        let (x, digits): (f64, i64) = (ctx.get(0)?, ctx.get(1)?);
        let factor = 10_f64.powi(i32::try_from(digits.clamp(-400, 400)).unwrap_or(0));
        let rounded = (x * factor).round() / factor;
        // Too many digits asked for, or none left: the number itself, or nothing of it.
        Ok(Value::Real(if rounded.is_finite() {
            rounded
        } else if digits > 0 {
            x
        } else {
            0.0
        }))
    })
}
