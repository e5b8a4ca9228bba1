//! Statements about the server itself: EXPLAIN, SUBSCRIBE TO, SHOW STATS, KILL, maintenance.

use serde_json::json;
use sqlparser::{
    ast::{Expr, ObjectName, Query, Statement as Ast},
    keywords::Keyword,
    parser::Parser,
    tokenizer::Token,
};

use super::{names, statement::syntax};
use crate::engine::{SqlError, error::SqlResult};

#[derive(Debug, Clone)]
pub(crate) enum Admin {
    Explain(Box<Query>),
    /// `SHOW STATS FOR TABLE t`.
    Stats(ObjectName),
    /// `ALTER NAMESPACE n SET DESCRIPTION '...'`.
    DescribeNamespace {
        namespace: String,
        description: String,
    },
    /// `SUBSCRIBE TO t [WHERE ...] [OPTIONS (...)]`.
    Subscribe {
        table: ObjectName,
        selection: Option<Box<Expr>>,
        options: serde_json::Value,
    },
    /// `KILL LIVE QUERY 'id'`.
    KillLive(String),
    /// What KalamDB's storage needs and SQLite does by itself.
    Maintain(&'static str),
}

/// `None`: not one of them, nothing consumed. `words` are the first words in upper case.
pub(super) fn parse(words: &[&str], parser: &mut Parser<'_>) -> SqlResult<Option<Admin>> {
    let skip = |parser: &mut Parser<'_>, n: usize| (0..n).for_each(|_| drop(parser.next_token()));
    Ok(Some(match words {
        ["EXPLAIN", ..] => match parser.parse_statement().map_err(syntax)? {
            Ast::Explain { analyze: false, statement, .. } => match *statement {
                Ast::Query(query) => Admin::Explain(query),
                _ => return Err(SqlError::unsupported("EXPLAIN of anything but a SELECT")),
            },
            _ => return Err(SqlError::unsupported("EXPLAIN ANALYZE and EXPLAIN of a table: use DESCRIBE")),
        },
        ["SHOW", "STATS", ..] => {
            skip(parser, 2);
            let _ = parser.parse_keyword(Keyword::FOR) && parser.parse_keyword(Keyword::TABLE);
            Admin::Stats(parser.parse_object_name(false).map_err(syntax)?)
        }
        ["ALTER", "NAMESPACE" | "SCHEMA", ..] => {
            skip(parser, 2);
            let namespace = parser.parse_identifier().map(|i| names::ident(&i)).map_err(syntax)?;
            parser.expect_keyword(Keyword::SET).map_err(syntax)?;
            expect_word(parser, "DESCRIPTION")?;
            let _ = parser.consume_token(&Token::Eq);
            Admin::DescribeNamespace { namespace, description: text(parser)? }
        }
        ["SUBSCRIBE", "TO", ..] => {
            skip(parser, 2);
            subscribe(parser)?
        }
        ["KILL", "LIVE", "QUERY", ..] => {
            skip(parser, 3);
            Admin::KillLive(text(parser)?)
        }
        ["STORAGE", "FLUSH", ..] => maintain(parser, "Storage flush"),
        ["STORAGE", "COMPACT", ..] => maintain(parser, "Storage compaction"),
        ["STORAGE", "CHECK", ..] => maintain(parser, "Storage check"),
        ["BACKUP" | "RESTORE", ..] => {
            return Err(SqlError::unsupported(
                "BACKUP and RESTORE as statements: use the command `kalam-embedded backup`",
            ));
        }
        ["EXPORT", ..] | ["SHOW", "EXPORT", ..] => {
            return Err(SqlError::unsupported(
                "EXPORT USER DATA: read the user's tables with EXECUTE AS USER",
            ));
        }
        ["CLUSTER", ..] => return Err(SqlError::unsupported("CLUSTER: this server is a single node")),
        ["KILL", "JOB", ..] => return Err(SqlError::unsupported("KILL JOB: there are no background jobs")),
        ["CREATE" | "DROP", "POLICY", ..] => {
            return Err(SqlError::unsupported(
                "row policies (KalamDB 0.6 and later): use a USER table, or ACCESS_LEVEL of a SHARED one",
            ));
        }
        ["CREATE" | "DROP", "VIEW" | "MATERIALIZED", ..] => {
            return Err(SqlError::unsupported("views: use WITH"));
        }
        _ => return Ok(None),
    }))
}

/// The rest is a table, ALL or nothing: there is nothing to choose.
fn maintain(parser: &mut Parser<'_>, what: &'static str) -> Admin {
    while !matches!(parser.peek_token().token, Token::EOF) {
        parser.next_token();
    }
    Admin::Maintain(what)
}

fn expect_word(parser: &mut Parser<'_>, expected: &str) -> SqlResult<()> {
    match parser.next_token().token {
        Token::Word(word) if word.value.eq_ignore_ascii_case(expected) => Ok(()),
        other => Err(SqlError::invalid(format!("{expected} is expected, found: {other}"))),
    }
}

fn text(parser: &mut Parser<'_>) -> SqlResult<String> {
    match parser.next_token().token {
        Token::SingleQuotedString(text) => Ok(text),
        other => Err(SqlError::invalid(format!("a text in single quotes is expected, found: {other}"))),
    }
}

fn subscribe(parser: &mut Parser<'_>) -> SqlResult<Admin> {
    let table = parser.parse_object_name(false).map_err(syntax)?;
    let selection = match parser.parse_keyword(Keyword::WHERE) {
        true => Some(Box::new(parser.parse_expr().map_err(syntax)?)),
        false => None,
    };
    let mut options = serde_json::Map::new();
    if parser.parse_keyword(Keyword::OPTIONS) {
        parser.expect_token(&Token::LParen).map_err(syntax)?;
        loop {
            let name = parser.parse_identifier().map(|i| names::ident(&i)).map_err(syntax)?;
            if !matches!(name.as_str(), "last_rows" | "batch_size" | "from") {
                return Err(SqlError::invalid(format!(
                    "unknown option '{name}': there are last_rows, batch_size and from"
                )));
            }
            parser.expect_token(&Token::Eq).map_err(syntax)?;
            let value = parser.parse_literal_uint().map_err(syntax)?;
            options.insert(name, json!(value));
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen).map_err(syntax)?;
    }
    Ok(Admin::Subscribe { table, selection, options: options.into() })
}
