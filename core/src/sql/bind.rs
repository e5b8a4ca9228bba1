//! `$1` parameters put into SQL text.

use super::literal::write_literal;
use super::token::{TokenKind, tokenize};
use crate::error::{Error, ErrorCode, Result};
use crate::value::Value;

/// `sql` with its parameters as literals, without comments, and with single spaces where there was white space.
pub(crate) fn bind(sql: &str, params: &[Value]) -> Result<String> {
    let mut out = String::with_capacity(sql.len());
    let mut used = vec![false; params.len()];
    let mut gap_from = 0;
    for token in tokenize(sql)? {
        if token.span.start > gap_from && !out.is_empty() {
            out.push(' ');
        }
        gap_from = token.span.end;
        if token.kind == TokenKind::Parameter {
            let number: usize = token.text(sql)[1..].parse().unwrap_or(0);
            let Some(value) = number.checked_sub(1).and_then(|i| params.get(i)) else {
                return Err(wrong_count(format!("{} has no value", token.text(sql)), params.len()));
            };
            used[number - 1] = true;
            // Never joined with its neighbours into another token: 1$1, x-$1, 'a'$1.
            separate(&mut out);
            write_literal(&mut out, value)?;
            if sql[gap_from..].starts_with(|c: char| !c.is_whitespace() && !"),;".contains(c)) {
                out.push(' ');
            }
        } else {
            out.push_str(token.text(sql));
        }
    }
    match used.iter().position(|used| !used) {
        Some(unused) => Err(wrong_count(format!("the statement does not use ${}", unused + 1), params.len())),
        None => Ok(out),
    }
}

fn separate(out: &mut String) {
    if !out.is_empty() && !out.ends_with([' ', '(', ',']) {
        out.push(' ');
    }
}

fn wrong_count(what: String, given: usize) -> Error {
    let values = if given == 1 { "value was" } else { "values were" };
    Error::new(ErrorCode::InvalidArgument, format!("{what}: {given} parameter {values} given"))
}
