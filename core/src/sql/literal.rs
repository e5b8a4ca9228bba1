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

/// Words that may be names without quotes, but that some parsers take for a function or a type of literal.
const AMBIGUOUS: [&str; 8] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "current_user",
    "interval",
    "session_user",
    "table",
    "user",
];

/// Whether `name` means the same without quotes: lower case, and no word that the grammar uses.
fn is_plain(name: &str) -> bool {
    let bytes = name.as_bytes();
    (bytes[0].is_ascii_lowercase() || bytes[0] == b'_')
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
        && !AMBIGUOUS.contains(&name)
        && !super::parse::KEYWORDS.iter().any(|word| word.eq_ignore_ascii_case(name))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sql::token::{TokenKind, tokenize};
    use crate::value::{Decimal, Uuid};

    #[test]
    fn writes_every_type() {
        let decimal = |text| Value::Decimal(Decimal::parse(text).expect("a decimal"));
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        for (value, sql) in [
            (Value::Null, "NULL"),
            (Value::from(true), "TRUE"),
            (Value::from(-7_i64), "-7"),
            (Value::from(i64::MIN), "(-9223372036854775807 - 1)"),
            (Value::from(1.0), "1.0"),
            (Value::from(-1e300), "-1e300"),
            (decimal("+12.3400"), "12.3400"),
            (Value::from("it's \"x\" \\' -- ;"), "'it''s \"x\" \\'' -- ;'"),
            (Value::Json(r#"{"a":"'"}"#.into()), r#"'{"a":"''"}'"#),
            (Value::Timestamp(1_767_323_045_000_001), "'2026-01-02T03:04:05.000001Z'"),
            (Value::Date(20_455), "'2026-01-02'"),
            (Value::Time(11_045_000_000), "'03:04:05'"),
            (Value::Uuid(Uuid::parse(uuid).expect("a uuid")), "'550e8400-e29b-41d4-a716-446655440000'"),
            (Value::from(vec![0_u8, 255]), "X'00ff'"),
            (Value::Embedding([0.5, -2.25].into()), "'[0.5, -2.25]'"),
        ] {
            assert_eq!(literal(&value).expect(sql), sql);
        }
    }

    #[test]
    fn refuses_what_has_no_literal() {
        let file = crate::FileRef {
            id: String::new(),
            sub: String::new(),
            name: String::new(),
            size: 0,
            mime: String::new(),
            sha256: String::new(),
        };
        for value in [
            Value::from(f64::NAN),
            Value::from(f64::INFINITY),
            Value::from("a\0b"),
            Value::Embedding([f32::NAN].into()),
            Value::File(Box::new(file)),
        ] {
            assert_eq!(literal(&value).expect_err("no literal").code(), ErrorCode::InvalidArgument);
        }
    }

    #[test]
    fn names_are_quoted_when_they_must_be() {
        for (name, sql) in [
            ("id", "id"),
            ("_seq", "_seq"),
            ("a1", "a1"),
            ("Id", "\"Id\""),
            ("1a", "\"1a\""),
            ("order", "\"order\""),
            ("a b\"c", "\"a b\"\"c\""),
            ("é", "\"é\""),
        ] {
            let mut out = String::new();
            write_identifier(&mut out, name).expect(name);
            assert_eq!(out, sql);
        }
        assert!(write_identifier(&mut String::new(), "").is_err());
        assert!(write_identifier(&mut String::new(), "a\0").is_err());
    }

    proptest! {
        /// Whatever is in it, a text is one token with that content: nothing escapes from it into the statement.
        #[test]
        fn a_text_is_one_token(text in "[^\\x00]{0,40}|['\"\\\\;$ -]{0,12}") {
            let sql = literal(&Value::from(text.as_str())).expect("a literal");
            let tokens = tokenize(&sql).expect("tokens");
            prop_assert_eq!(tokens.len(), 1);
            prop_assert_eq!(tokens[0].kind, TokenKind::Text);
            prop_assert_eq!(tokens[0].content(&sql).expect("content").into_owned(), text);
        }

        #[test]
        fn a_name_is_one_token(name in "[^\\x00]{1,20}|[a-zA-Z_]{1,6}|['\".; -]{1,8}") {
            let mut sql = String::new();
            write_identifier(&mut sql, &name).expect("a name");
            let tokens = tokenize(&sql).expect("tokens");
            prop_assert_eq!(tokens.len(), 1);
            prop_assert_eq!(tokens[0].name(&sql).expect("a name").into_owned(), name);
        }

        #[test]
        fn a_number_reads_back(n in any::<i64>(), x in any::<f64>().prop_filter("finite", |x| x.is_finite())) {
            if n > i64::MIN {
                prop_assert_eq!(literal(&Value::from(n)).expect("a literal").parse::<i64>(), Ok(n));
            }
            prop_assert_eq!(literal(&Value::from(x)).expect("a literal").parse::<f64>(), Ok(x));
        }
    }
}
