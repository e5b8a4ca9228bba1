//! SQL text cut into tokens.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::{Error, ErrorCode, Result};

/// A piece of SQL text. Comments and white space are between tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it stands in the text, in bytes.
    pub span: Range<usize>,
}

/// The kinds of [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword, or an identifier without quotes.
    Word,
    /// `"identifier"`; a quote inside is doubled.
    QuotedIdentifier,
    /// `'text'`; a quote inside is doubled, a backslash is nothing special.
    Text,
    /// `12`, `1.5`, `.5e-3`.
    Number,
    /// `$1`.
    Parameter,
    /// An operator or punctuation, one or more characters: `<=`, `::`, `(`.
    Symbol,
}

impl Token {
    /// The token as written.
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        &sql[self.span.clone()]
    }

    /// Whether this is the keyword `word` (given in capitals), which a quoted identifier never is.
    pub fn is_keyword(&self, sql: &str, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text(sql).eq_ignore_ascii_case(word)
    }

    /// Whether this is the symbol `symbol`.
    pub fn is_symbol(&self, sql: &str, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text(sql) == symbol
    }

    /// The name that a word or a quoted identifier stands for: words fold to lower case, quoted ones are kept as they
    /// are. `None` for other tokens.
    pub fn name<'a>(&self, sql: &'a str) -> Option<Cow<'a, str>> {
        let text = self.text(sql);
        match self.kind {
            TokenKind::Word if text.bytes().any(|b| b.is_ascii_uppercase()) => {
                Some(Cow::Owned(text.to_ascii_lowercase()))
            }
            TokenKind::Word => Some(Cow::Borrowed(text)),
            TokenKind::QuotedIdentifier => Some(undouble(&text[1..text.len() - 1], "\"")),
            _ => None,
        }
    }

    /// The content of a text literal. `None` for other tokens.
    pub fn content<'a>(&self, sql: &'a str) -> Option<Cow<'a, str>> {
        let text = self.text(sql);
        (self.kind == TokenKind::Text).then(|| undouble(&text[1..text.len() - 1], "'"))
    }
}

fn undouble<'a>(inside: &'a str, quote: &str) -> Cow<'a, str> {
    if inside.contains(quote) {
        Cow::Owned(inside.replace(&quote.repeat(2), quote))
    } else {
        Cow::Borrowed(inside)
    }
}

/// Cuts `sql` into tokens.
///
/// # Errors
/// `invalid_sql` for an unfinished quote or comment, and for characters that no SQL token starts with.
pub(crate) fn tokenize(sql: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = sql[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
        } else if sql[at..].starts_with("--") {
            at = sql[at..].find('\n').map_or(sql.len(), |newline| at + newline);
        } else if sql[at..].starts_with("/*") {
            at = comment_end(sql, at)?;
        } else {
            let (kind, end) = token_at(sql, at, first)?;
            tokens.push(Token { kind, span: at..end });
            at = end;
        }
    }
    Ok(tokens)
}

/// The kind and the end of the token that starts at `at`, with the character `first`.
fn token_at(sql: &str, at: usize, first: char) -> Result<(TokenKind, usize)> {
    let rest = &sql[at..];
    let while_from = |start: usize, keep: fn(char) -> bool| {
        rest[start..].find(|c| !keep(c)).map_or(sql.len(), |n| at + start + n)
    };
    match first {
        '\'' => Ok((TokenKind::Text, quote_end(sql, at, '\'')?)),
        '"' => Ok((TokenKind::QuotedIdentifier, quote_end(sql, at, '"')?)),
        '$' => {
            let end = while_from(1, |c| c.is_ascii_digit());
            if end == at + 1 {
                return Err(invalid("a parameter is written $1, $2 and so on"));
            }
            Ok((TokenKind::Parameter, end))
        }
        '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => Ok((TokenKind::Symbol, at + 1)),
        '0'..='9' | '.' => Ok((TokenKind::Number, at + number_len(rest))),
        c if is_word_start(c) => Ok((TokenKind::Word, while_from(0, is_word_part))),
        _ => match SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            Some(symbol) => Ok((TokenKind::Symbol, at + symbol.len())),
            None => Err(invalid(format!("{first:?} at byte {at} does not belong into SQL"))),
        },
    }
}

/// Longer ones first. All that the dialect's expressions are made of.
const SYMBOLS: &[&str] = &[
    "->>", "#>>", "!~~*", "!~*", "!~~", "~~*", "->", "#>", "<=", ">=", "<>", "!=", "==", "||", "::", "!~",
    "~*", "~~", "@>", "<@", "&&", "<<", ">>", "<", ">", "=", "(", ")", ",", ";", "*", "/", "%", "+", "-",
    "[", "]", "{", "}", ":", "~", "&", "|", "^", "#", "!", "?", "@",
];

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn number_len(text: &str) -> usize {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut len = digits(0);
    if text[len..].starts_with('.') {
        len += 1 + digits(len + 1);
    }
    if text[len..].starts_with(['e', 'E']) {
        let sign = usize::from(text[len + 1..].starts_with(['+', '-']));
        let exponent = digits(len + 1 + sign);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    len
}

fn quote_end(sql: &str, at: usize, quote: char) -> Result<usize> {
    let mut from = at + 1;
    loop {
        let Some(found) = sql[from..].find(quote) else {
            let what = if quote == '"' { "identifier" } else { "text" };
            return Err(invalid(format!(
                "the quoted {what} that starts at byte {at} has no closing {quote}"
            )));
        };
        from += found + 1;
        if !sql[from..].starts_with(quote) {
            return Ok(from);
        }
        from += 1;
    }
}

/// Block comments nest, as in PostgreSQL.
fn comment_end(sql: &str, at: usize) -> Result<usize> {
    let mut depth = 0_usize;
    let mut from = at;
    loop {
        let Some(found) = sql[from..].find("/*").into_iter().chain(sql[from..].find("*/")).min() else {
            return Err(invalid(format!("the comment that starts at byte {at} has no closing */")));
        };
        depth = if sql[from + found..].starts_with("/*") { depth + 1 } else { depth - 1 };
        from += found + 2;
        if depth == 0 {
            return Ok(from);
        }
    }
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidSql, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        tokenize(sql).expect(sql).iter().map(|t| t.text(sql)).collect()
    }

    #[test]
    fn cuts_what_people_write() {
        assert_eq!(
            texts(
                "SELECT id,\"a\"\"b\" FROM x.y -- c'\nWHERE t='it''s' AND n>=-1.5e-3 /* /* */ ' */ AND u=$12;"
            ),
            [
                "SELECT",
                "id",
                ",",
                "\"a\"\"b\"",
                "FROM",
                "x",
                ".",
                "y",
                "WHERE",
                "t",
                "=",
                "'it''s'",
                "AND",
                "n",
                ">=",
                "-",
                "1.5e-3",
                "AND",
                "u",
                "=",
                "$12",
                ";"
            ]
        );
        assert_eq!(
            texts("1e 1.e5 .5 1..2 a.1 é$_1"),
            ["1", "e", "1.e5", ".5", "1.", ".2", "a", ".1", "é$_1"]
        );
        assert_eq!(texts("a<>b||c::d"), ["a", "<>", "b", "||", "c", "::", "d"]);
        assert!(texts("  /* nothing */ -- at all").is_empty());
    }

    #[test]
    fn names_fold_and_quotes_open() {
        let sql = "Ab \"A\"\"b\" 'x''y'";
        let tokens = tokenize(sql).expect("tokens");
        assert_eq!(tokens[0].name(sql).as_deref(), Some("ab"));
        assert_eq!(tokens[1].name(sql).as_deref(), Some("A\"b"));
        assert_eq!(tokens[2].name(sql), None);
        assert_eq!(tokens[2].content(sql).as_deref(), Some("x'y"));
    }

    #[test]
    fn unfinished_text_is_an_error() {
        for bad in ["'abc", "'abc''", "\"abc", "/* abc", "/* /* */", "$", "$x", "a ` b", "\\", "a \0 b"] {
            let error = tokenize(bad).expect_err(bad);
            assert_eq!(error.code(), ErrorCode::InvalidSql, "{bad}");
        }
    }
}
