//! The one place that writes a value or a name into SQL.

use std::fmt::Write;

use crate::error::{Error, ErrorCode, Result};
use crate::time;
use crate::value::Value;

/// `value` as an SQL literal that evaluates to it.
///
/// ```
/// # use kalam_live::{sql::literal, Value};
/// assert_eq!(literal::literal(&Value::from("it's"))?, "'it''s'");
/// assert_eq!(literal::literal(&Value::from(-5_i64))?, "-5");
/// # Ok::<(), kalam_live::Error>(())
/// ```
///
/// # Errors
/// `invalid_argument` for what has no literal: a float that is not finite, a text with a NUL character, a file.
pub fn literal(value: &Value) -> Result<String> {
    let mut sql = String::new();
    write_literal(&mut sql, value)?;
    Ok(sql)
}

/// Appends [`literal`] to `sql`.
///
/// # Errors
/// As [`literal`]; `sql` is then as it was.
pub fn write_literal(sql: &mut String, value: &Value) -> Result<()> {
    match value {
        Value::Null => sql.push_str("NULL"),
        Value::Boolean(b) => sql.push_str(if *b { "TRUE" } else { "FALSE" }),
        // The parser reads a minus and then 9223372036854775808, which no BIGINT holds.
        Value::Int(i64::MIN) => sql.push_str("(-9223372036854775807 - 1)"),
        Value::Int(n) => push(sql, format_args!("{n}")),
        // Debug always writes a point or an exponent, so that 1.0 stays a double, and round-trips.
        Value::Float(x) if x.is_finite() => push(sql, format_args!("{x:?}")),
        Value::Float(_) => return Err(no_literal("a float that is not a finite number")),
        Value::Decimal(d) => sql.push_str(d.as_str().strip_prefix('+').unwrap_or(d.as_str())),
        Value::Text(s) => return write_text(sql, s),
        Value::Json(s) => return write_text(sql, s),
        Value::Timestamp(us) => push(sql, format_args!("'{}'", time::Timestamp(*us))),
        Value::Date(days) => push(sql, format_args!("'{}'", time::Date(*days))),
        Value::Time(us) => push(sql, format_args!("'{}'", time::TimeOfDay(*us))),
        Value::Uuid(u) => push(sql, format_args!("'{u}'")),
        Value::Bytes(bytes) => {
            sql.push_str("X'");
            bytes.iter().for_each(|b| push(sql, format_args!("{b:02x}")));
            sql.push('\'');
        }
        Value::Embedding(numbers) if numbers.iter().all(|x| x.is_finite()) => {
            push(sql, format_args!("'{numbers:?}'"));
        }
        Value::Embedding(_) => return Err(no_literal("an embedding with a number that is not finite")),
        Value::File(_) => return Err(no_literal("a file: compare another column")),
    }
    Ok(())
}

/// Appends `name` as an identifier: as it is when that is safe, quoted otherwise.
///
/// # Errors
/// `invalid_argument` for an empty name and for one with a NUL character.
pub fn write_identifier(sql: &mut String, name: &str) -> Result<()> {
    if name.is_empty() || name.contains('\0') {
        return Err(Error::new(ErrorCode::InvalidArgument, "a name is not empty and has no NUL character"));
    }
    if is_plain(name) {
        sql.push_str(name);
    } else {
        push_quoted(sql, name, '"');
    }
    Ok(())
}

/// Whether `name` means the same without quotes: lower case, and no word that the grammar uses.
fn is_plain(name: &str) -> bool {
    let bytes = name.as_bytes();
    (bytes[0].is_ascii_lowercase() || bytes[0] == b'_')
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
        && !super::parse::RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name))
}

fn write_text(sql: &mut String, text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(no_literal("a text with a NUL character"));
    }
    push_quoted(sql, text, '\'');
    Ok(())
}

fn push_quoted(sql: &mut String, text: &str, quote: char) {
    sql.push(quote);
    for c in text.chars() {
        if c == quote {
            sql.push(quote);
        }
        sql.push(c);
    }
    sql.push(quote);
}

fn push(sql: &mut String, text: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = sql.write_fmt(text);
}

fn no_literal(what: &str) -> Error {
    Error::new(ErrorCode::InvalidArgument, format!("SQL has no literal for {what}"))
}
