//! The grammar of a live query, and what to write instead of anything else.

use super::live::{Filter, LiveSql, Projection, TableName};
use super::token::{Token, TokenKind, invalid};
use crate::error::{Error, Result};

/// Words that are no names unless they are quoted.
pub(super) const KEYWORDS: &[&str] = &[
    "AND",
    "AS",
    "BETWEEN",
    "CASE",
    "CAST",
    "CROSS",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "FALSE",
    "FETCH",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NATURAL",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "RIGHT",
    "SELECT",
    "THEN",
    "TRUE",
    "UNION",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// A clause that a live query can not have, and what to do instead.
const CLAUSES: &[(&str, &str)] = &[
    ("ORDER", "a live query has no ORDER BY: use the order_by option, the client sorts"),
    ("LIMIT", "a live query has no LIMIT: use the limit option, or last_rows for what is fetched at first"),
    ("OFFSET", "a live query has no OFFSET: use the limit option, or query() for pages"),
    ("FETCH", "a live query has no FETCH: use the limit option, or last_rows for what is fetched at first"),
    ("GROUP", "a live query has no GROUP BY: use query(), or group the live rows in the program"),
    ("HAVING", "a live query has no HAVING: use query(), or filter the live rows in the program"),
    ("WINDOW", "a live query has no window functions: use query()"),
    ("UNION", "a live query reads one table: open one for each SELECT of the UNION"),
    ("INTERSECT", "a live query reads one table: INTERSECT is not possible"),
    ("EXCEPT", "a live query reads one table: EXCEPT is not possible"),
    ("FOR", "a live query has no FOR clause: leave it out"),
    ("JOIN", JOIN),
    ("INNER", JOIN),
    ("LEFT", JOIN),
    ("RIGHT", JOIN),
    ("FULL", JOIN),
    ("CROSS", JOIN),
    ("NATURAL", JOIN),
];

const JOIN: &str =
    "a live query reads one table: open one for each table of the JOIN and combine the rows in the program";
const SHAPE: &str = "write SELECT columns FROM namespace.table [WHERE condition]";
const AGGREGATES: &[&str] =
    &["count", "sum", "avg", "min", "max", "bit_xor", "array_agg", "string_agg", "stddev"];

pub(super) struct Parser<'a> {
    sql: &'a str,
    tokens: &'a [Token],
    namespace: Option<&'a str>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(sql: &'a str, tokens: &'a [Token], namespace: Option<&'a str>) -> Self {
        Self { sql, tokens, namespace }
    }

    pub(super) fn live_query(mut self) -> Result<LiveSql> {
        while self.tokens.last().is_some_and(|t| t.is_symbol(self.sql, ";")) {
            self.tokens = &self.tokens[..self.tokens.len() - 1];
        }
        if self.tokens.iter().any(|t| t.is_symbol(self.sql, ";")) {
            return Err(invalid("a live query is one statement: open one for each SELECT"));
        }
        self.select()?;
        let columns = self.columns()?;
        let table = self.table()?;
        let projection = self.projection(columns, &table)?;
        let filter = self.filter(&table)?;
        Ok(LiveSql { table, projection, filter, hidden: Vec::new() })
    }

    fn select(&mut self) -> Result<()> {
        let Some(first) = self.tokens.first() else {
            return Err(invalid(format!("the statement is empty: {SHAPE}")));
        };
        if self.is_keyword(0, "WITH") {
            return Err(invalid(format!("a live query has no WITH: {SHAPE}")));
        }
        if !self.is_keyword(0, "SELECT") {
            return Err(invalid(format!(
                "a live query starts with SELECT, not with {:?}: {SHAPE}; other statements go to query() or execute()",
                first.text(self.sql)
            )));
        }
        self.advance(1);
        if self.is_keyword(0, "DISTINCT") {
            return Err(invalid(
                "a live query has no DISTINCT: its rows are told apart by their primary key",
            ));
        }
        Ok(())
    }

    /// The items between SELECT and FROM as chains of names (`ns.table.column`), or `None` for `*`.
    fn columns(&mut self) -> Result<Option<Vec<Vec<String>>>> {
        if self.is_symbol(0, "*") {
            self.advance(1);
            return match self.tokens.first() {
                None => Err(missing_from()),
                Some(_) if self.is_keyword(0, "FROM") => Ok(None),
                Some(_) => Err(invalid("* stands alone: write SELECT * FROM, or list the columns")),
            };
        }
        let mut columns = Vec::new();
        loop {
            columns.push(self.column()?);
            if self.is_symbol(0, ",") {
                self.advance(1);
            } else {
                return Ok(Some(columns));
            }
        }
    }

    fn column(&mut self) -> Result<Vec<String>> {
        let chain = self.chain()?;
        let Some(last) = chain.last() else {
            return Err(match self.tokens.first() {
                None => missing_from(),
                Some(_) if self.is_keyword(0, "FROM") => {
                    invalid(format!("a column is missing before FROM: {SHAPE}"))
                }
                Some(_) => self.expression(),
            });
        };
        match self.tokens.first() {
            None => Err(missing_from()),
            Some(_) if self.is_keyword(0, "FROM") || self.is_symbol(0, ",") => Ok(chain),
            Some(_) if self.is_symbol(0, "(") && AGGREGATES.contains(&last.as_str()) => {
                Err(invalid(format!(
                    "a live query has no aggregates: use query() for {last}(), or compute it from the live rows"
                )))
            }
            Some(_) if self.is_keyword(0, "AS") => Err(self.column_alias(last)),
            Some(next) if self.is_name(next) => Err(self.column_alias(last)),
            Some(_) => Err(self.expression()),
        }
    }

    fn column_alias(&self, column: &str) -> Error {
        invalid(format!("a live query has no column aliases: select {column:?} under its own name"))
    }

    fn expression(&self) -> Error {
        let near = self.tokens.first().map_or("", |t| t.text(self.sql));
        invalid(format!(
            "a live query selects columns, no expressions (near {near:?}): compute it from the live rows, or use query()"
        ))
    }

    fn table(&mut self) -> Result<TableName> {
        if !self.is_keyword(0, "FROM") {
            return Err(missing_from());
        }
        self.advance(1);
        if self.is_symbol(0, "(") {
            return Err(invalid(format!("a live query has no sub-queries: {SHAPE}")));
        }
        let mut chain = self.chain()?;
        let table = match (chain.pop(), chain.pop(), chain.is_empty()) {
            (None, ..) => return Err(invalid(format!("a table is missing after FROM: {SHAPE}"))),
            (Some(name), Some(namespace), true) => TableName { namespace, name },
            (Some(name), None, _) => match self.namespace {
                Some(namespace) => TableName { namespace: namespace.to_owned(), name },
                None => {
                    return Err(invalid(format!(
                        "the table {name:?} has no namespace: write namespace.{name}, or set the namespace option of the client"
                    )));
                }
            },
            (Some(_), Some(_), false) => {
                return Err(invalid("a table is written namespace.table, without anything before it"));
            }
        };
        let Some(next) = self.tokens.first() else { return Ok(table) };
        if self.is_keyword(0, "WHERE") {
            Ok(table)
        } else if let Some(error) = self.clause(next) {
            Err(error)
        } else if self.is_symbol(0, ",") {
            Err(invalid(JOIN))
        } else if self.is_keyword(0, "AS") || self.is_name(next) {
            Err(invalid(
                "a live query has no table alias: leave it out, column names need no table before them",
            ))
        } else {
            Err(invalid(format!("{:?} does not belong behind the table: {SHAPE}", next.text(self.sql))))
        }
    }

    fn projection(&self, columns: Option<Vec<Vec<String>>>, table: &TableName) -> Result<Projection> {
        let Some(columns) = columns else { return Ok(Projection::Star) };
        let mut names: Vec<String> = Vec::with_capacity(columns.len());
        for mut chain in columns {
            let Some(name) = chain.pop() else { continue };
            belongs_to(&chain, table)?;
            if names.contains(&name) {
                return Err(invalid(format!("the column {name:?} is selected twice: select it once")));
            }
            names.push(name);
        }
        Ok(Projection::Columns(names))
    }

    /// The condition, with the table's name taken off its columns.
    fn filter(&mut self, table: &TableName) -> Result<Option<Filter>> {
        if !self.is_keyword(0, "WHERE") {
            return Ok(None);
        }
        self.advance(1);
        if self.tokens.is_empty() {
            return Err(invalid("a condition is missing after WHERE"));
        }
        let mut text = String::new();
        let mut open = 0_usize;
        let mut operand_before = false;
        while let Some(token) = self.tokens.first() {
            if !text.is_empty() && self.sql[..token.span.start].ends_with(' ') {
                text.push(' ');
            }
            if self.is_keyword(0, "SELECT") {
                return Err(invalid(
                    "a live query has no sub-queries: put the values into the condition as parameters",
                ));
            }
            if operand_before && open == 0 {
                self.clause(token).map_or(Ok(()), Err)?;
            }
            if self.is_symbol(0, "(") {
                open += 1;
            } else if self.is_symbol(0, ")") {
                open =
                    open.checked_sub(1).ok_or_else(|| invalid("a ) in the condition has no ( before it"))?;
            }
            operand_before = self.ends_operand(token);
            if self.is_name(token) && self.is_symbol(1, ".") {
                let written = self.tokens;
                let mut chain = self.chain()?;
                let taken = &written[..written.len() - self.tokens.len()];
                operand_before = true;
                if self.is_symbol(0, "(") {
                    // A function with a namespace.
                    taken.iter().for_each(|t| text.push_str(t.text(self.sql)));
                } else {
                    chain.pop();
                    belongs_to(&chain, table)?;
                    text.push_str(taken.last().map_or("", |t| t.text(self.sql)));
                }
            } else {
                text.push_str(token.text(self.sql));
                self.advance(1);
            }
        }
        if open > 0 {
            return Err(invalid("a ( in the condition has no ) behind it"));
        }
        Filter::new(text).map(Some)
    }

    /// `a`, `a.b`, `a.b.c`: as many names with points between them as there are. Empty when there is no name.
    fn chain(&mut self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        while let Some(token) = self.tokens.first()
            && self.is_name(token)
        {
            let name = token.name(self.sql).unwrap_or_default();
            if name.is_empty() || name.contains('\0') {
                return Err(invalid("a name in quotes is empty or has a NUL character"));
            }
            names.push(name.into_owned());
            self.advance(1);
            if !self.is_symbol(0, ".") {
                return Ok(names);
            }
            self.advance(1);
        }
        if names.is_empty() { Ok(names) } else { Err(invalid("a name is missing after the point")) }
    }

    /// The error for a token that starts a clause which a live query can not have.
    fn clause(&self, token: &Token) -> Option<Error> {
        CLAUSES.iter().find(|(word, _)| token.is_keyword(self.sql, word)).map(|(_, advice)| invalid(*advice))
    }

    /// Whether an operator or the end must follow `token`.
    fn ends_operand(&self, token: &Token) -> bool {
        match token.kind {
            TokenKind::QuotedIdentifier | TokenKind::Text | TokenKind::Number => true,
            TokenKind::Word => {
                self.is_name(token)
                    || ["NULL", "TRUE", "FALSE", "END"].iter().any(|w| token.is_keyword(self.sql, w))
            }
            TokenKind::Symbol => token.is_symbol(self.sql, ")") || token.is_symbol(self.sql, "]"),
            TokenKind::Parameter => true,
        }
    }

    fn is_name(&self, token: &Token) -> bool {
        match token.kind {
            TokenKind::QuotedIdentifier => true,
            TokenKind::Word => !KEYWORDS.iter().any(|word| token.is_keyword(self.sql, word)),
            _ => false,
        }
    }

    fn is_keyword(&self, ahead: usize, word: &str) -> bool {
        self.tokens.get(ahead).is_some_and(|t| t.is_keyword(self.sql, word))
    }

    fn is_symbol(&self, ahead: usize, symbol: &str) -> bool {
        self.tokens.get(ahead).is_some_and(|t| t.is_symbol(self.sql, symbol))
    }

    fn advance(&mut self, by: usize) {
        self.tokens = &self.tokens[by..];
    }
}

fn missing_from() -> Error {
    invalid(format!("FROM is missing: {SHAPE}"))
}

/// Whether `qualifier` (what stands before a column) is empty, the table, or the table with its namespace.
fn belongs_to(qualifier: &[String], table: &TableName) -> Result<()> {
    let fits = match qualifier {
        [] => true,
        [name] => *name == table.name,
        [namespace, name] => *namespace == table.namespace && *name == table.name,
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(invalid(format!(
        "{:?} is not the table of this live query: column names need no table before them",
        qualifier.join(".")
    )))
}
