//! Conditions whose truth changes while nothing is written.

use super::token::{Token, TokenKind};
use crate::error::{Error, ErrorCode, Result};

/// Functions whose value changes without a write.
const VOLATILE: [&str; 12] = [
    "now",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "unix_timestamp",
    "today",
    "random",
    "rand",
    "uuid",
    "gen_random_uuid",
    "uuid_v7",
    "snowflake_id",
];
/// Those that are called without parentheses, or with.
const VOLATILE_WORDS: [&str; 5] =
    ["current_timestamp", "current_date", "current_time", "localtime", "localtimestamp"];

/// Refuses a condition whose truth changes while nothing is written: no server tells when.
///
/// # Errors
/// `invalid_sql`, with what to do instead.
pub(super) fn refuse_volatile(text: &str, tokens: &[Token]) -> Result<()> {
    for (i, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::Word) {
        let word = token.text(text).to_ascii_lowercase();
        let called = tokens.get(i + 1).is_some_and(|next| next.is_symbol(text, "("));
        if VOLATILE_WORDS.contains(&word.as_str()) || (called && VOLATILE.contains(&word.as_str())) {
            return Err(Error::new(
                ErrorCode::InvalidSql,
                format!(
                    "{} in the condition of a live query changes its value while nothing is written, which no server \
                     tells: compute it in the program and pass it as a parameter",
                    token.text(text)
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::live::Filter;

    #[test]
    fn refuses_what_changes_by_itself() {
        for sql in ["at > NOW()", "at < current_timestamp", "x > random()", "at > now ( ) - INTERVAL '1 day'"]
        {
            let error = Filter::new(sql.to_owned()).expect_err(sql);
            assert_eq!(error.code(), ErrorCode::InvalidSql);
            assert!(error.message().contains("parameter"), "{error}");
        }
        for sql in ["now = 1", "\"now\" = 1", "s = 'now()'", "random > 2"] {
            assert!(Filter::new(sql.to_owned()).is_ok(), "{sql}");
        }
    }
}
