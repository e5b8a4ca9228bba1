//! What a statement is, as far as the client has to know: may it be sent twice, and is its answer complete and sorted?

use crate::error::Result;
use crate::live::OrderBy;
use crate::sql::bind::check_used;
use crate::sql::token::{Token, TokenKind, tokenize};
use crate::value::Value;

/// What the text of a request tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Statement {
    /// One statement that only reads: sending it twice does nothing.
    pub(crate) read_only: bool,
    /// One SELECT.
    pub(crate) select: bool,
    pub(crate) limit: Limit,
    /// The ORDER BY of a SELECT, when it names columns.
    pub(crate) order_by: Option<OrderBy>,
}

/// The LIMIT of a SELECT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Limit {
    #[default]
    None,
    Rows(u64),
    /// There is one, of a size that is not known.
    Some,
}

/// Rows that KalamDB returns at most without a LIMIT, and with any (`default` settings; recorded in
/// `wire/order_limit.jsonl` and `wire/snapshots.jsonl`).
const CAP_WITHOUT_LIMIT: u64 = 50;
const CAP_WITH_LIMIT: u64 = 1000;

impl Statement {
    /// Reads `sql`. Text that is no SQL is nothing in particular: the server will say what is wrong with it.
    pub(crate) fn read(sql: &str, params: &[Value]) -> Self {
        let Ok(mut tokens) = tokenize(sql) else { return Self::default() };
        while tokens.last().is_some_and(|t| t.is_symbol(sql, ";")) {
            tokens.pop();
        }
        let keyword = |token: &Token, words: &[&str]| words.iter().any(|word| token.is_keyword(sql, word));
        let Some(first) = tokens.first() else { return Self::default() };
        let single = !tokens.iter().any(|t| t.is_symbol(sql, ";"));
        let reads = keyword(first, &["SELECT", "SHOW", "DESCRIBE", "DESC", "EXPLAIN"]);
        let writes = tokens.iter().any(|t| keyword(t, &["INSERT", "UPDATE", "DELETE", "INTO"]));
        let select = single && first.is_keyword(sql, "SELECT");
        let (limit, order_by) = if select { Self::tail(sql, &tokens, params) } else { (Limit::None, None) };
        Self { read_only: single && reads && !writes, select, limit, order_by }
    }

    /// LIMIT and ORDER BY of the outermost SELECT.
    fn tail(sql: &str, tokens: &[Token], params: &[Value]) -> (Limit, Option<OrderBy>) {
        let mut depth = 0usize;
        let (mut limit, mut order) = (Limit::None, None::<(usize, usize)>);
        for (i, token) in tokens.iter().enumerate() {
            if token.is_symbol(sql, "(") {
                depth += 1;
            } else if token.is_symbol(sql, ")") {
                depth = depth.saturating_sub(1);
            } else if depth > 0 {
                continue;
            } else if token.is_keyword(sql, "ORDER")
                && tokens.get(i + 1).is_some_and(|t| t.is_keyword(sql, "BY"))
            {
                order = Some((tokens[i + 1].span.end, sql.len()));
            } else if ["LIMIT", "OFFSET", "FETCH"].iter().any(|word| token.is_keyword(sql, word)) {
                if let Some((start, end)) = order {
                    order = Some((start, end.min(token.span.start)));
                }
                if token.is_keyword(sql, "LIMIT") {
                    limit = tokens.get(i + 1).map_or(Limit::Some, |t| Self::rows(sql, t, params));
                }
            }
        }
        let order =
            order.and_then(|(start, end)| sql[start..end].trim_end().trim_end_matches(';').parse().ok());
        (limit, order)
    }

    fn rows(sql: &str, token: &Token, params: &[Value]) -> Limit {
        let text = token.text(sql);
        let rows = match token.kind {
            TokenKind::Number => text.parse().ok(),
            TokenKind::Parameter => text[1..]
                .parse::<usize>()
                .ok()
                .and_then(|n| params.get(n.checked_sub(1)?)?.as_int())
                .and_then(|n| u64::try_from(n).ok()),
            _ => None,
        };
        rows.map_or(Limit::Some, Limit::Rows)
    }

    /// Whether an answer of so many rows was probably cut by the server.
    pub(crate) fn looks_truncated(&self, rows: u64) -> bool {
        self.select
            && match self.limit {
                Limit::None => rows == CAP_WITHOUT_LIMIT || rows == CAP_WITH_LIMIT,
                Limit::Rows(limit) => rows == CAP_WITH_LIMIT && limit > CAP_WITH_LIMIT,
                Limit::Some => rows == CAP_WITH_LIMIT,
            }
    }

    /// The order to restore: KalamDB returns the right rows of ORDER BY with LIMIT, unsorted (recorded in
    /// `wire/order_limit.jsonl`).
    pub(crate) fn order_to_restore(&self) -> Option<&OrderBy> {
        if self.limit == Limit::None { None } else { self.order_by.as_ref() }
    }
}

/// Whether the parameters that the server binds are all used. Text that is no SQL is left to it.
///
/// # Errors
/// `invalid_argument`, with the first that is not.
pub(super) fn check_parameters(sql: &str, given: usize) -> Result<()> {
    if given == 0 {
        return Ok(());
    }
    let Ok(tokens) = tokenize(sql) else { return Ok(()) };
    let mut used = vec![false; given];
    for token in tokens {
        if token.kind == TokenKind::Parameter {
            let number: usize = token.text(sql)[1..].parse().unwrap_or(0);
            if let Some(used) = number.checked_sub(1).and_then(|i| used.get_mut(i)) {
                *used = true;
            }
        }
    }
    check_used(&used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn read(sql: &str) -> Statement {
        Statement::read(sql, &[Value::from(7_i64)])
    }

    #[test]
    fn knows_what_may_be_sent_twice() {
        for sql in
            ["SELECT 1", "select 'INSERT';", "-- x\nSELECT 1 /* ; */ ;;", "SHOW TABLES", "DESCRIBE TABLE a.b"]
        {
            assert!(read(sql).read_only, "{sql}");
        }
        for sql in [
            "SELECT 1; DELETE FROM a.b",
            "DELETE FROM a.b",
            "WITH x AS (SELECT 1) INSERT INTO a.b SELECT * FROM x",
            "EXPLAIN DELETE FROM a.b",
            "SELECT 'unfinished",
            "",
            ";",
        ] {
            assert!(!read(sql).read_only, "{sql}");
        }
    }

    #[test]
    fn finds_limit_and_order() {
        let statement =
            read("SELECT a, (SELECT b FROM t ORDER BY c LIMIT 3) FROM t ORDER BY a DESC, b LIMIT 20;");
        assert_eq!(statement.limit, Limit::Rows(20));
        assert_eq!(statement.order_to_restore().unwrap().columns().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(read("SELECT a FROM t LIMIT $1").limit, Limit::Rows(7));
        assert_eq!(read("SELECT a FROM t LIMIT $2").limit, Limit::Some);
        assert_eq!(read("SELECT a FROM t ORDER BY lower(a) LIMIT 2").order_by, None);
        let unlimited = read("SELECT a FROM t ORDER BY a ;");
        assert!(unlimited.order_by.is_some() && unlimited.order_to_restore().is_none());
        assert_eq!(read("SELECT a FROM (SELECT a FROM t LIMIT 5) x").limit, Limit::None);
        assert_eq!(read("SELECT a FROM t WHERE \"limit\" = 'LIMIT 3'").limit, Limit::None);
    }

    #[test]
    fn suspects_the_servers_caps_only() {
        for (sql, rows, truncated) in [
            ("SELECT a FROM t", 50, true),
            ("SELECT a FROM t", 49, false),
            ("SELECT a FROM t", 1000, true),
            ("SELECT a FROM t LIMIT 50", 50, false),
            ("SELECT a FROM t LIMIT 1000", 1000, false),
            ("SELECT a FROM t LIMIT 5000", 1000, true),
            ("SELECT a FROM t LIMIT 5000", 50, false),
            ("INSERT INTO t VALUES (1)", 50, false),
        ] {
            assert_eq!(read(sql).looks_truncated(rows), truncated, "{sql} {rows}");
        }
    }

    #[test]
    fn parameters_that_the_server_binds_are_all_used() {
        for (sql, given) in
            [("SELECT 1", 0), ("SELECT $2, $1; SELECT $1", 2), ("SELECT $3", 0), ("SELECT 'x", 1)]
        {
            check_parameters(sql, given).expect(sql);
        }
        for (sql, given, unused) in [("SELECT 1", 1, "$1"), ("SELECT $2", 2, "$1"), ("SELECT '$1'", 1, "$1")]
        {
            let error = check_parameters(sql, given).expect_err(sql);
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
            assert!(
                error.message().contains(&format!("does not use {unused}: {given} parameter")),
                "{error}"
            );
        }
    }
}
