//! The `order_by` option.

use std::fmt;
use std::iter::Peekable;
use std::str::{CharIndices, FromStr};

use crate::error::{Error, ErrorCode, Result};
use crate::live::sort::Sort;
use crate::row::Row;
use crate::schema::Schema;

/// How rows are sorted on the client, since the server sorts no live query: the text of an ORDER BY clause.
///
/// Columns by name, each with `ASC` (the default) or `DESC`, and `NULLS FIRST` or `NULLS LAST` (by default NULL is the
/// greatest, as on the server: last in ascending, first in descending order). A name without quotes is read in lower
/// case, `"Quoted"` as it stands.
///
/// ```
/// use kalam_live::live::OrderBy;
///
/// let order: OrderBy = r#"priority DESC NULLS LAST, "createdAt""#.parse()?;
/// assert_eq!(order.columns().collect::<Vec<_>>(), ["priority", "createdAt"]);
/// assert!("lower(name)".parse::<OrderBy>().is_err());
/// # Ok::<(), kalam_live::Error>(())
/// ```
///
/// Rows that are equal in all these columns keep their order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBy(Box<[Term]>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) column: Box<str>,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

impl OrderBy {
    /// The columns it sorts by. A live query that does not project them needs them hidden.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|term| &*term.column)
    }

    /// Sorts `rows`, which are all of `schema`; stable.
    ///
    /// # Errors
    /// `invalid_argument` when the schema lacks a column, hidden ones included.
    pub fn sort_rows(&self, schema: &Schema, rows: &mut [Row]) -> Result<()> {
        let sort = Sort::new(Some(self), schema)?;
        rows.sort_by(|a, b| sort.compare_rows(a, b));
        Ok(())
    }

    pub(crate) fn terms(&self) -> &[Term] {
        &self.0
    }
}

/// # Errors
/// `invalid_argument` when the text is no list of columns.
impl FromStr for OrderBy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = Words { text, chars: text.char_indices().peekable() };
        let mut terms = Vec::new();
        loop {
            let (term, more) = words.term()?;
            terms.push(term);
            if !more {
                return Ok(Self(terms.into()));
            }
        }
    }
}

/// The text in one spelling that parses to the same order.
impl fmt::Display for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            write!(f, "\"{}\"", term.column.replace('"', "\"\""))?;
            f.write_str(if term.descending { " DESC" } else { " ASC" })?;
            f.write_str(if term.nulls_first { " NULLS FIRST" } else { " NULLS LAST" })?;
        }
        Ok(())
    }
}

#[derive(PartialEq)]
enum Word<'a> {
    Plain(&'a str),
    Quoted(String),
    Comma,
    End,
}

impl Word<'_> {
    fn is(&self, keyword: &str) -> bool {
        matches!(self, Word::Plain(word) if word.eq_ignore_ascii_case(keyword))
    }
}

struct Words<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl<'a> Words<'a> {
    /// A column with what follows it, and whether a comma promises another.
    fn term(&mut self) -> Result<(Term, bool)> {
        let column = match self.word()? {
            Word::Plain(name) => name.to_ascii_lowercase().into(),
            Word::Quoted(name) => name.into(),
            Word::Comma | Word::End => return Err(self.error("a column name is missing")),
        };
        let mut word = self.word()?;
        let descending = word.is("desc");
        if descending || word.is("asc") {
            word = self.word()?;
        }
        let mut nulls_first = descending;
        if word.is("nulls") {
            word = self.word()?;
            nulls_first = word.is("first");
            if !nulls_first && !word.is("last") {
                return Err(self.error("NULLS is followed by FIRST or LAST"));
            }
            word = self.word()?;
        }
        match word {
            Word::Comma => Ok((Term { column, descending, nulls_first }, true)),
            Word::End => Ok((Term { column, descending, nulls_first }, false)),
            _ => Err(self.error("a column may be followed by ASC or DESC, then NULLS FIRST or NULLS LAST")),
        }
    }

    fn word(&mut self) -> Result<Word<'a>> {
        while self.chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some((start, first)) = self.chars.next() else { return Ok(Word::End) };
        match first {
            ',' => Ok(Word::Comma),
            '"' => self.quoted(),
            c if c.is_alphabetic() || c == '_' => {
                let mut end = start + c.len_utf8();
                while let Some((at, c)) = self.chars.next_if(|(_, c)| c.is_alphanumeric() || *c == '_') {
                    end = at + c.len_utf8();
                }
                Ok(Word::Plain(&self.text[start..end]))
            }
            _ => Err(self.error("only columns can be sorted by, not positions or expressions")),
        }
    }

    fn quoted(&mut self) -> Result<Word<'a>> {
        let mut name = String::new();
        loop {
            match self.chars.next() {
                Some((_, '"')) if self.chars.next_if(|(_, c)| *c == '"').is_some() => name.push('"'),
                Some((_, '"')) if name.is_empty() => return Err(self.error("a column name is empty")),
                Some((_, '"')) => return Ok(Word::Quoted(name)),
                Some((_, c)) => name.push(c),
                None => return Err(self.error("a quoted column name does not end")),
            }
        }
    }

    fn error(&self, what: &str) -> Error {
        Error::new(ErrorCode::InvalidArgument, format!("order_by {:?}: {what}", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, DataType};
    use crate::value::Value;

    fn parse(text: &str) -> Result<OrderBy> {
        text.parse()
    }

    #[test]
    fn reads_what_sql_allows() {
        let order =
            parse(" Pri desc ,\"createdAt\",\n _seq ASC NULLS first, \"a\"\"b\" DESC Nulls Last").unwrap();
        assert_eq!(
            order.to_string(),
            r#""pri" DESC NULLS FIRST, "createdAt" ASC NULLS LAST, "_seq" ASC NULLS FIRST, "a""b" DESC NULLS LAST"#
        );
        assert_eq!(parse(&order.to_string()).unwrap(), order);
        assert_eq!(parse("desc").unwrap().columns().collect::<Vec<_>>(), ["desc"]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("", "missing"),
            ("a,", "missing"),
            (",a", "missing"),
            ("a b", "followed by"),
            ("a DESC ASC", "followed by"),
            ("a NULLS", "FIRST or LAST"),
            ("a NULLS FIRST DESC", "followed by"),
            ("a \"NULLS\" FIRST", "followed by"),
            ("1", "expressions"),
            ("lower(a)", "expressions"),
            ("-a", "expressions"),
            ("\"a", "does not end"),
            ("\"\"", "empty"),
            ("a; DROP", "expressions"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
            assert!(error.message().contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn sorts_rows_with_nulls_where_the_server_puts_them() {
        let schema = Schema::new(vec![Column::new("a", DataType::Int), Column::new("b", DataType::Text)]);
        let row = |a: Option<i64>, b: &str| Row::new(schema.clone(), vec![a.into(), b.into()], None);
        let rows = [row(Some(1), "x"), row(None, "y"), row(Some(2), "z"), row(Some(1), "w")];
        for (order, expected) in [
            ("a", "xwzy"),
            ("a DESC", "yzxw"),
            ("a NULLS FIRST", "yxwz"),
            ("a DESC NULLS LAST", "zxwy"),
            ("a, b", "wxzy"),
            ("b DESC", "zyxw"),
        ] {
            let mut rows = rows.clone();
            parse(order).unwrap().sort_rows(&schema, &mut rows).unwrap();
            let seen: String = rows.iter().filter_map(|r| r["b"].as_text()).collect();
            assert_eq!(seen, expected, "{order}");
        }
        let error = parse("c").unwrap().sort_rows(&schema, &mut []).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains("\"c\""), "{error}");
        assert_eq!(Value::Null, rows[1]["a"]);
    }
}
