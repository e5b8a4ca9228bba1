//! The SQL functions that give SQLite KalamDB's meaning. Every connection has them; only the translation calls them,
//! with arguments whose types it has checked.

use std::sync::Arc;

use rusqlite::{
    Connection, Error, Result,
    functions::{Context, FunctionFlags},
    types::{ToSqlOutput, Value, ValueRef},
};

use super::{calendar, json, like, regexp, sequence};
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
    bits(connection)?;
    calendar::register(connection)?;
    json::register(connection)?;
    regexp::register(connection)?;
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
    connection.create_scalar_function("k_random", 0, FunctionFlags::SQLITE_UTF8, |_| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| failure(error.to_string()))?;
        // The 53 bits that a double below 1 has.
        Ok((u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64)
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
pub(super) fn scalar<F>(
    connection: &Connection,
    name: &'static str,
    arguments: i32,
    function: F,
) -> Result<()>
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
    // The least number has no positive counterpart of its type.
    scalar(connection, "k_iabs", 2, |ctx| {
        let (a, bits): (i64, i64) = (ctx.get(0)?, ctx.get(1)?);
        let least = i64::MIN >> (64 - bits);
        match a.checked_abs().filter(|_| a != least) {
            Some(positive) => Ok(Value::Integer(positive)),
            None => Err(failure(format!("Overflow happened on: abs({a})"))),
        }
    })?;
    // The nearest FLOAT.
    scalar(connection, "k_float", 1, |ctx| Ok(Value::Real(f64::from(ctx.get::<f64>(0)? as f32))))?;
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

pub(super) fn text_of<'a>(ctx: &'a Context<'_>, argument: usize) -> Result<&'a str> {
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
    // k_pad(text, length, fill, on the left)
    scalar(connection, "k_pad", 4, |ctx| {
        let (s, length, fill): (&str, i64, &str) = (text_of(ctx, 0)?, ctx.get(1)?, text_of(ctx, 2)?);
        let (have, want) = (s.chars().count(), usize::try_from(length).unwrap_or(0));
        if want > MAX_TEXT / 4 {
            return Err(failure("padding would make a text of more than 4 million characters"));
        }
        if want <= have || fill.is_empty() {
            return Ok(Value::Text(s.chars().take(want.min(have)).collect()));
        }
        let padding: String = fill.chars().cycle().take(want - have).collect();
        Ok(Value::Text(if ctx.get(3)? { padding + s } else { s.to_owned() + &padding }))
    })?;
    scalar(connection, "k_repeat", 2, |ctx| {
        let (s, times): (&str, i64) = (text_of(ctx, 0)?, ctx.get(1)?);
        let times = usize::try_from(times).unwrap_or(0);
        if s.len().saturating_mul(times) > MAX_TEXT {
            return Err(failure("repeat() would make a text of more than 16 MiB"));
        }
        Ok(Value::Text(s.repeat(times)))
    })?;
    // Parts count from 1, from the end when negative.
    scalar(connection, "k_split_part", 3, |ctx| {
        let (s, by, n): (&str, &str, i64) = (text_of(ctx, 0)?, text_of(ctx, 1)?, ctx.get(2)?);
        let at = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
        let part = match (n, by.is_empty()) {
            (0, _) => return Err(failure("field position must not be zero")),
            (1 | -1, true) => Some(s),
            (_, true) => None,
            (1.., false) => s.split(by).nth(at - 1),
            (_, false) => s.rsplit(by).nth(at - 1),
        };
        Ok(Value::Text(part.unwrap_or_default().to_owned()))
    })?;
    scalar(connection, "k_initcap", 1, |ctx| {
        let (mut out, mut inside) = (String::new(), false);
        for c in text_of(ctx, 0)?.chars() {
            match inside {
                true => out.extend(c.to_lowercase()),
                false => out.extend(c.to_uppercase()),
            }
            inside = c.is_alphanumeric();
        }
        Ok(Value::Text(out))
    })?;
    scalar(connection, "k_ascii", 1, |ctx| {
        Ok(Value::Integer(text_of(ctx, 0)?.chars().next().map_or(0, |c| i64::from(u32::from(c)))))
    })?;
    scalar(connection, "k_chr", 1, |ctx| {
        let code: i64 = ctx.get(0)?;
        let c = u32::try_from(code).ok().filter(|c| *c != 0).and_then(char::from_u32);
        c.map(|c| Value::Text(c.into())).ok_or_else(|| failure(format!("chr({code}) is not a character")))
    })?;
    scalar(connection, "k_translate", 3, |ctx| {
        let (s, from, to) = (text_of(ctx, 0)?, text_of(ctx, 1)?, text_of(ctx, 2)?);
        let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
        let map = |c: char| match from.iter().position(|f| *f == c) {
            None => Some(c),
            Some(at) => to.get(at).copied(),
        };
        Ok(Value::Text(s.chars().filter_map(map).collect()))
    })?;
    scalar(connection, "k_hex", 1, |ctx| Ok(Value::Text(format!("{:x}", ctx.get::<i64>(0)?))))?;
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

/// Whole numbers of 16, 32 or 64 bits (the third argument).
fn bits(connection: &Connection) -> Result<()> {
    type Operation = fn(i64, i64) -> i64;
    let plain: [(&'static str, Operation); 3] =
        [("k_and", |a, b| a & b), ("k_or", |a, b| a | b), ("k_xor", |a, b| a ^ b)];
    for (name, operation) in plain {
        scalar(connection, name, 3, move |ctx| Ok(Value::Integer(operation(ctx.get(0)?, ctx.get(1)?))))?;
    }
    for (name, left) in [("k_shl", true), ("k_shr", false)] {
        scalar(connection, name, 3, move |ctx| {
            let (a, by, bits): (i64, i64, i64) = (ctx.get(0)?, ctx.get(1)?, ctx.get(2)?);
            if !(0..bits).contains(&by) {
                return Err(failure(format!("a shift by {by} bits of a number that has {bits}")));
            }
            // The number's own width decides what is shifted out.
            let unused = 64 - bits;
            let shifted = if left { (a << by) << unused >> unused } else { a >> by };
            Ok(Value::Integer(shifted))
        })?;
    }
    Ok(())
}

/// Longest text that a function may build, in bytes.
pub(super) const MAX_TEXT: usize = 16 << 20;

fn math(connection: &Connection) -> Result<()> {
    type OfOne = fn(f64) -> f64;
    let one: [(&'static str, OfOne); 19] = [
        ("k_cbrt", f64::cbrt),
        ("k_degrees", f64::to_degrees),
        ("k_radians", f64::to_radians),
        ("k_sin", f64::sin),
        ("k_cos", f64::cos),
        ("k_tan", f64::tan),
        ("k_asin", f64::asin),
        ("k_acos", f64::acos),
        ("k_atan", f64::atan),
        ("k_tanh", f64::tanh),
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
    scalar(connection, "k_atan2", 2, |ctx| Ok(Value::Real(ctx.get::<f64>(0)?.atan2(ctx.get(1)?))))?;
    scalar(connection, "k_log", 2, |ctx| Ok(Value::Real(ctx.get::<f64>(1)?.log(ctx.get(0)?))))?;
    for (name, multiple) in [("k_gcd", false), ("k_lcm", true)] {
        scalar(connection, name, 2, move |ctx| {
            let (x, y): (i64, i64) = (ctx.get(0)?, ctx.get(1)?);
            let (mut a, mut b) = (x.unsigned_abs(), y.unsigned_abs());
            while b != 0 {
                (a, b) = (b, a % b);
            }
            let result = match multiple {
                false => Some(a),
                true if a == 0 => Some(0),
                true => (x.unsigned_abs() / a).checked_mul(y.unsigned_abs()),
            };
            let result = result.and_then(|r| i64::try_from(r).ok());
            result.map(Value::Integer).ok_or_else(|| failure("the result does not fit a BIGINT"))
        })?;
    }
    // k_dtrunc(x, digits): cuts off, where k_round rounds.
    scalar(connection, "k_trunc_digits", 2, |ctx| {
        let (x, digits): (f64, i64) = (ctx.get(0)?, ctx.get(1)?);
        let factor = 10_f64.powi(i32::try_from(digits.clamp(-300, 300)).unwrap_or(0));
        let cut = (x * factor).trunc() / factor;
        Ok(Value::Real(if cut.is_finite() { cut } else { x }))
    })?;
    scalar(connection, "k_cosine_distance", 2, |ctx| {
        let read = |at: usize| -> Result<Vec<f64>> {
            let bytes = ctx.get_raw(at).as_blob().map_err(|_| failure("an embedding is expected"))?;
            let floats = bytes.chunks_exact(4).filter_map(|c| c.try_into().ok()).map(f32::from_le_bytes);
            Ok(floats.map(f64::from).collect())
        };
        let (a, b) = (read(0)?, read(1)?);
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let lengths = (dot(&a, &a) * dot(&b, &b)).sqrt();
        // The angle of a vector without a direction is not known.
        Ok(if lengths == 0.0 { Value::Null } else { Value::Real(1.0 - dot(&a, &b) / lengths) })
    })?;
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
