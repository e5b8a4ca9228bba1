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
    check_used(&used)?;
    Ok(out)
}

/// Whether each of the values given is used: one that is not is a mistake, of which no server would tell.
pub(crate) fn check_used(used: &[bool]) -> Result<()> {
    match used.iter().position(|used| !used) {
        Some(unused) => Err(wrong_count(format!("the statement does not use ${}", unused + 1), used.len())),
        None => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(sql: &str, params: &[Value]) -> String {
        bind(sql, params).expect(sql)
    }

    #[test]
    fn parameters_become_literals() {
        let params = [Value::from("it's"), Value::from(-5_i64), Value::Null];
        assert_eq!(
            bound("a = $1 AND b IN ($2,$1) OR c=$3", &params),
            "a = 'it''s' AND b IN (-5,'it''s') OR c= NULL"
        );
    }

    #[test]
    fn a_literal_never_joins_its_neighbours() {
        let text = [Value::from("x")];
        let number = [Value::from(-5_i64)];
        assert_eq!(bound("a-$1", &number), "a- -5");
        assert_eq!(bound("1$1", &number), "1 -5");
        assert_eq!(bound("'a'$1'b'", &text), "'a' 'x' 'b'");
        assert_eq!(bound("$1::text", &text), "'x' ::text");
        // One word to a tokenizer, and no parameter.
        assert!(bind("AND$1", &number).is_err());
    }

    #[test]
    fn quotes_and_comments_hold_no_parameters() {
        assert_eq!(bound("a = '$1' -- $2\n AND \"$3\" = 1 /* $4 */", &[]), "a = '$1' AND \"$3\" = 1");
    }

    #[test]
    fn numbers_must_match() {
        let one = [Value::from(1_i64)];
        for (sql, params) in
            [("a = $2", &one[..]), ("a = $0", &one[..]), ("a = $1", &[]), ("a = 1", &one[..])]
        {
            assert_eq!(bind(sql, params).expect_err(sql).code(), ErrorCode::InvalidArgument);
        }
        assert!(bind("$99999999999999999999999", &one).is_err());
    }
}
