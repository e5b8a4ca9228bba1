//! Cuts a request into statements and refuses what would cost too much to parse.

use sqlparser::{
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

use crate::engine::{EngineLimits, SqlError, error::SqlResult};

/// Terms in one chain of AND and OR. SQLite's own limit on expression depth is 1,000.
const MAX_TERMS: usize = 800;
/// Operators and parentheses inside each other, AND and OR chains aside: what recursion has to bear.
const MAX_DEPTH: usize = 120;

pub(crate) struct Piece {
    /// The statement as it was written, without surrounding space.
    pub(crate) text: String,
    pub(crate) tokens: Vec<TokenWithSpan>,
}

impl Piece {
    /// The text as errors may show it: without what follows PASSWORD.
    pub(crate) fn shown(&self) -> String {
        match self.password_at() {
            Some(at) => format!("{}PASSWORD '***' ...", &self.text[..at]),
            None => self.text.clone(),
        }
    }

    pub(crate) fn has_password(&self) -> bool {
        self.password_at().is_some()
    }

    /// The names in `FILE("name")`.
    pub(crate) fn files(&self) -> Vec<String> {
        let tokens: Vec<&Token> =
            self.tokens.iter().map(|t| &t.token).filter(|t| !matches!(t, Token::Whitespace(_))).collect();
        let name = |window: &[&Token]| match window {
            [Token::Word(file), Token::LParen, name, Token::RParen]
                if file.value.eq_ignore_ascii_case("file") =>
            {
                match name {
                    Token::Word(name) => Some(name.value.clone()),
                    Token::SingleQuotedString(name) => Some(name.clone()),
                    _ => None,
                }
            }
            _ => None,
        };
        tokens.windows(4).filter_map(name).collect()
    }

    fn password_at(&self) -> Option<usize> {
        let said = |t: &TokenWithSpan| matches!(&t.token, Token::Word(w) if w.keyword == Keyword::PASSWORD);
        // ASCII case folding keeps positions.
        self.tokens.iter().any(said).then(|| self.text.to_ascii_uppercase().find("PASSWORD")).flatten()
    }
}

/// The statements of a request, at least one. Nothing is parsed yet, but everything is known to be parsable in bounded
/// time and stack.
pub(crate) fn split(sql: &str, limits: &EngineLimits) -> SqlResult<Vec<Piece>> {
    if sql.len() > limits.sql_bytes {
        let limit = limits.sql_bytes;
        return Err(SqlError::invalid(format!(
            "the SQL is longer than {limit} bytes: send it in parts, or use parameters"
        )));
    }
    if sql.contains('\0') {
        return Err(SqlError::invalid("the SQL contains a NUL character"));
    }
    let mut pieces = Vec::new();
    for text in statements(sql) {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
            .tokenize_with_location()
            .map_err(|e| SqlError::invalid(format!("sql parser error: {e}")))?;
        if tokens.iter().all(|t| matches!(t.token, Token::Whitespace(_))) {
            continue;
        }
        check_depth(&tokens)?;
        pieces.push(Piece { text: text.to_owned(), tokens });
        if pieces.len() > limits.statements {
            return Err(SqlError::invalid(format!(
                "more than {} statements in one request",
                limits.statements
            )));
        }
    }
    if pieces.is_empty() {
        return Err(SqlError::new("EMPTY_SQL", 400, "No SQL statements provided"));
    }
    Ok(pieces)
}

/// Cuts at `;` outside quotes and comments. KalamDB parses each part by itself too: its positions start anew
/// (recorded in `wire/sql_surface.jsonl`).
fn statements(sql: &str) -> Vec<&str> {
    let bytes = sql.as_bytes();
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b';' => {
                parts.push(sql[start..at].trim());
                start = at + 1;
            }
            quote @ (b'\'' | b'"') => {
                // A doubled quote ends one string and starts the next: the same for our purpose.
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += 1;
                }
            }
            b'-' if bytes[at..].starts_with(b"--") => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
            }
            b'/' if bytes[at..].starts_with(b"/*") => at = end_of_comment(bytes, at),
            _ => {}
        }
        at += 1;
    }
    parts.push(sql[start.min(sql.len())..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Position of the last byte of the (nested) comment that starts at `at`.
fn end_of_comment(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 1;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 1;
            if depth == 0 {
                return at;
            }
        }
        at += 1;
    }
    at
}

/// One pair of parentheses.
#[derive(Default)]
struct Level {
    /// AND and OR since the last comma.
    terms: usize,
    /// Other operators since the last AND, OR or comma.
    operators: usize,
    /// Deepest of what the current term has in parentheses.
    inner: usize,
    deepest: usize,
}

impl Level {
    fn end_of_term(&mut self) {
        self.deepest = self.deepest.max(self.operators + self.inner);
        (self.operators, self.inner) = (0, 0);
    }
}

/// A parser builds `a + b + c ...` as a tree that is deep on the left, and whatever walks (or frees) such a tree
/// recurses. So the depth is bounded before the tree exists.
fn check_depth(tokens: &[TokenWithSpan]) -> SqlResult<()> {
    let mut levels = vec![Level::default()];
    for token in tokens {
        let Some(level) = levels.last_mut() else { break };
        match &token.token {
            Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::Period => {}
            Token::Placeholder(_) => {}
            Token::LParen | Token::LBracket | Token::LBrace => {
                levels.push(Level::default());
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                level.end_of_term();
                let depth = level.deepest + 1;
                if levels.len() > 1 {
                    levels.pop();
                }
                if let Some(outer) = levels.last_mut() {
                    outer.inner = outer.inner.max(depth);
                    // `a[1][1]...` nests without an operator.
                    outer.operators += usize::from(token.token == Token::RBracket);
                }
            }
            Token::Comma => {
                level.end_of_term();
                level.terms = 0;
            }
            Token::Word(word) => match word.keyword {
                Keyword::AND | Keyword::OR => {
                    level.end_of_term();
                    level.terms += 1;
                }
                Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::BETWEEN
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::CASE
                | Keyword::SIMILAR
                | Keyword::XOR
                | Keyword::DIV
                | Keyword::OVERLAPS
                | Keyword::RLIKE
                | Keyword::REGEXP => level.operators += 1,
                _ => {}
            },
            _ => level.operators += 1,
        }
        let Some(level) = levels.last() else { break };
        if level.terms > MAX_TERMS {
            return Err(SqlError::invalid(format!(
                "more than {MAX_TERMS} terms in one chain of AND and OR: use IN"
            )));
        }
        if level.operators + level.inner > MAX_DEPTH || levels.len() > MAX_DEPTH {
            return Err(SqlError::invalid(format!("the expression is nested more than {MAX_DEPTH} deep")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<String> {
        split(sql, &EngineLimits::default()).unwrap().into_iter().map(|p| p.text).collect()
    }

    #[test]
    fn cuts_at_semicolons_outside_quotes_and_comments() {
        assert_eq!(texts("SELECT 1; SELECT 2;"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(texts("SELECT ';', 'it''s;' AS \"a;b\""), ["SELECT ';', 'it''s;' AS \"a;b\""]);
        assert_eq!(
            texts("SELECT 1 -- a;b\n;SELECT /* ; /* ; */ ; */ 2"),
            ["SELECT 1 -- a;b", "SELECT /* ; /* ; */ ; */ 2"]
        );
    }

    #[test]
    fn refuses_what_is_empty_long_or_deep() {
        let code = |sql: &str| split(sql, &EngineLimits::default()).err().map(|e| e.code);
        assert_eq!(code(""), Some("EMPTY_SQL"));
        assert_eq!(code(" ; -- nothing\n ;"), Some("EMPTY_SQL"));
        assert_eq!(code("SELECT '\0'"), Some("INVALID_SQL"));
        assert_eq!(code(&"x".repeat(2 << 20)), Some("INVALID_SQL"));
        assert_eq!(code(&format!("SELECT {}1", "1+".repeat(500))), Some("INVALID_SQL"));
        assert_eq!(code(&format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500))), Some("INVALID_SQL"));
        assert_eq!(code(&format!("SELECT 1{}", "::INT".repeat(500))), Some("INVALID_SQL"));
        assert_eq!(code(&format!("SELECT a{}", "[1]".repeat(500))), Some("INVALID_SQL"));
        assert_eq!(code(&format!("SELECT 1 WHERE {}a=1", "a=1 OR ".repeat(1000))), Some("INVALID_SQL"));
        assert_eq!(code(&format!("SELECT 1 WHERE {}a=1", "(a = 1 OR b < -2) AND ".repeat(300))), None);
        assert_eq!(code(&format!("INSERT INTO t VALUES {}(-1)", "(-1, -2 + 3), ".repeat(5000))), None);
        assert_eq!(code("'unterminated"), Some("INVALID_SQL"));
        assert_eq!(code("SELECT )))))"), None);
    }
}
