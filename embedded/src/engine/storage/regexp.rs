//! SQL functions of regular expressions: Rust's, as KalamDB's engine has them, in time linear to the text.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use rusqlite::{
    Connection, Result,
    functions::Context,
    types::{Value, ValueRef},
};

use super::functions::{MAX_TEXT, failure, scalar, text_of};

/// Bytes that one compiled pattern may take.
const MAX_PATTERN: usize = 1 << 20;

pub(super) fn register(connection: &Connection) -> Result<()> {
    for (name, flags) in [("k_match", ""), ("k_imatch", "i")] {
        scalar(connection, name, 2, move |ctx| {
            Ok(Value::Integer(i64::from(pattern(ctx, flags)?.is_match(text_of(ctx, 0)?))))
        })?;
    }
    // k_regexp_like(text, pattern, flags), where flags are the same for all rows.
    scalar(connection, "k_regexp_like", 3, |ctx| {
        let flags = text_of(ctx, 2)?.to_owned();
        Ok(Value::Integer(i64::from(pattern(ctx, &flags)?.is_match(text_of(ctx, 0)?))))
    })?;
    scalar(connection, "k_regexp_count", 2, |ctx| {
        Ok(Value::Integer(pattern(ctx, "")?.find_iter(text_of(ctx, 0)?).count() as i64))
    })?;
    // k_regexp_replace(text, pattern, replacement, flags)
    scalar(connection, "k_regexp_replace", 4, |ctx| {
        let flags = text_of(ctx, 3)?.to_owned();
        let pattern = pattern(ctx, &flags.replace('g', ""))?;
        let (text, replacement) = (text_of(ctx, 0)?, groups(text_of(ctx, 2)?));
        let matches = if flags.contains('g') { pattern.find_iter(text).count() } else { 1 };
        // Each match brings the replacement, and groups bring at most the text.
        if matches.saturating_mul(replacement.len().saturating_mul(1 + text.len())) > MAX_TEXT * 16 {
            return Err(failure("regexp_replace() would make a text that is too long"));
        }
        let limit = if flags.contains('g') { 0 } else { 1 };
        let replaced = pattern.replacen(text, limit, replacement.as_str());
        if replaced.len() > MAX_TEXT {
            return Err(failure("regexp_replace() would make a text of more than 16 MiB"));
        }
        Ok(Value::Text(replaced.into_owned()))
    })
}

/// The second argument, compiled; once a statement where it is a constant.
fn pattern(ctx: &Context<'_>, flags: &str) -> Result<Arc<Regex>> {
    ctx.get_or_create_aux(1, |value: ValueRef<'_>| {
        let text = value.as_str().map_err(|_| "text expected".to_owned())?;
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
        builder.case_insensitive(flags.contains('i')).dot_matches_new_line(flags.contains('s'));
        builder.multi_line(flags.contains('m')).ignore_whitespace(flags.contains('x'));
        builder.build().map_err(|error| format!("Regular expression did not compile: {error}"))
    })
    .map_err(|error| match error {
        rusqlite::Error::UserFunctionError(inner) => failure(inner.to_string()),
        other => other,
    })
}

/// `\1` as the library writes it.
fn groups(replacement: &str) -> String {
    let mut out = String::with_capacity(replacement.len());
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                out.push_str("${");
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    out.push(digit);
                }
                out.push('}');
            }
            _ => out.push(c),
        }
    }
    out
}
