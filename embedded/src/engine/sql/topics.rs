//! Statements about topics, from tokens. Nothing in them is checked against the catalog.

use sqlparser::{ast::ObjectName, keywords::Keyword, parser::Parser, tokenizer::Token};

use super::{names, statement::syntax};
use crate::engine::{
    ChangeKind, SqlError,
    error::SqlResult,
    topics::{Payload, Position, Retention},
};

#[derive(Debug, Clone)]
pub(crate) enum TopicStatement {
    Create {
        topic: String,
        if_not_exists: bool,
        partitions: u32,
        retention: Retention,
    },
    Drop {
        topic: String,
        if_exists: bool,
    },
    /// Removes the records; offsets go on.
    Clear {
        topic: String,
    },
    AddSource {
        topic: String,
        source: Source,
    },
    /// Without an operation: all of them.
    DropSource {
        topic: String,
        table: ObjectName,
        op: Option<ChangeKind>,
    },
    SetRetention {
        topic: String,
        retention: Retention,
    },
    Consume(Consume),
    Ack {
        topic: String,
        group: String,
        partition: u32,
        upto: u64,
    },
    Reset {
        topic: String,
        group: String,
        /// `None`: all of them.
        partition: Option<u32>,
        to: Position,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) table: ObjectName,
    pub(crate) op: ChangeKind,
    /// As the parser writes it.
    pub(crate) filter: Option<String>,
    pub(crate) payload: Payload,
}

#[derive(Debug, Clone)]
pub(crate) struct Consume {
    pub(crate) topic: String,
    pub(crate) group: Option<String>,
    pub(crate) partition: u32,
    pub(crate) start: Position,
    pub(crate) limit: u32,
}

/// Records of a CONSUME without LIMIT, and of a request without one.
pub(crate) const DEFAULT_LIMIT: u32 = 100;

/// Reads the statement if its first words, in upper case, say that it is one of these; otherwise consumes nothing.
pub(super) fn read(parser: &mut Parser<'_>, words: &[&str]) -> SqlResult<Option<TopicStatement>> {
    let skip = |parser: &mut Parser<'_>, n: usize| (0..n).for_each(|_| drop(parser.next_token()));
    Ok(Some(match words {
        ["CREATE", "TOPIC", ..] => {
            skip(parser, 2);
            create(parser)?
        }
        ["DROP", "TOPIC", ..] => {
            skip(parser, 2);
            let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            TopicStatement::Drop { topic: topic(parser)?, if_exists }
        }
        ["CLEAR", "TOPIC", ..] => {
            skip(parser, 2);
            TopicStatement::Clear { topic: topic(parser)? }
        }
        ["ALTER", "TOPIC", ..] => {
            skip(parser, 2);
            alter(parser)?
        }
        ["CONSUME", "FROM", ..] => {
            skip(parser, 2);
            TopicStatement::Consume(consume(parser)?)
        }
        ["ACK", ..] => {
            skip(parser, 1);
            let topic = topic(parser)?;
            word(parser, "GROUP")?;
            let group = text(parser, "the name of a group")?;
            let partition = if is_word(parser, "PARTITION") { number(parser)? } else { 0 };
            word(parser, "UPTO")?;
            word(parser, "OFFSET")?;
            TopicStatement::Ack { topic, group, partition, upto: number(parser)? }
        }
        ["RESET", "CONSUMER", "GROUP", ..] => {
            skip(parser, 3);
            let group = text(parser, "the name of a group")?;
            word(parser, "ON")?;
            let topic = topic(parser)?;
            let partition = if is_word(parser, "PARTITION") { Some(number(parser)?) } else { None };
            word(parser, "TO")?;
            let _ = is_word(parser, "OFFSET");
            TopicStatement::Reset { topic, group, partition, to: position(parser)? }
        }
        _ => return Ok(None),
    }))
}

fn create(parser: &mut Parser<'_>) -> SqlResult<TopicStatement> {
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let topic = topic(parser)?;
    let partitions = if is_word(parser, "PARTITIONS") { number(parser)? } else { 1 };
    let mut retention = Retention::default();
    if parser.parse_keyword(Keyword::WITH) {
        read_retention(parser, &mut retention)?;
    }
    Ok(TopicStatement::Create { topic, if_not_exists, partitions, retention })
}

fn alter(parser: &mut Parser<'_>) -> SqlResult<TopicStatement> {
    let topic = topic(parser)?;
    if is_word(parser, "ADD") {
        word(parser, "SOURCE")?;
        return Ok(TopicStatement::AddSource { topic, source: source(parser)? });
    }
    if is_word(parser, "DROP") {
        word(parser, "SOURCE")?;
        let table = parser.parse_object_name(false).map_err(syntax)?;
        let op = if is_word(parser, "ON") { Some(operation(parser)?) } else { None };
        return Ok(TopicStatement::DropSource { topic, table, op });
    }
    if is_word(parser, "SET") {
        word(parser, "RETENTION")?;
        word(parser, "WITH")?;
        let mut retention = Retention::default();
        read_retention(parser, &mut retention)?;
        return Ok(TopicStatement::SetRetention { topic, retention });
    }
    if is_word(parser, "CLEAR") {
        word(parser, "RETENTION")?;
        return Ok(TopicStatement::SetRetention { topic, retention: Retention::NONE });
    }
    Err(SqlError::invalid(
        "ALTER TOPIC takes ADD SOURCE table ON INSERT|UPDATE|DELETE, DROP SOURCE table, SET RETENTION WITH (...) or \
         CLEAR RETENTION",
    ))
}

fn source(parser: &mut Parser<'_>) -> SqlResult<Source> {
    let table = parser.parse_object_name(false).map_err(syntax)?;
    word(parser, "ON")?;
    let op = operation(parser)?;
    let filter = match parser.parse_keyword(Keyword::WHERE) {
        true => Some(parser.parse_expr().map_err(syntax)?.to_string()),
        false => None,
    };
    let mut payload = Payload::Full;
    if parser.parse_keyword(Keyword::WITH) {
        options(parser, |name, value| {
            let known = if name == "PAYLOAD" { Payload::parse(value) } else { None };
            payload = known.ok_or_else(|| {
                SqlError::invalid("ADD SOURCE takes WITH (payload = 'key'), 'full' or 'diff'")
            })?;
            Ok(())
        })?;
    }
    Ok(Source { table, op, filter, payload })
}

fn consume(parser: &mut Parser<'_>) -> SqlResult<Consume> {
    let topic = topic(parser)?;
    let (mut group, mut partition, mut start, mut limit) = (None, 0, Position::Latest, DEFAULT_LIMIT);
    loop {
        if is_word(parser, "GROUP") {
            group = Some(text(parser, "the name of a group")?);
        } else if is_word(parser, "PARTITION") {
            partition = number(parser)?;
        } else if is_word(parser, "FROM") || is_word(parser, "START") {
            start = position(parser)?;
        } else if is_word(parser, "LIMIT") {
            limit = number(parser)?;
        } else {
            return Ok(Consume { topic, group, partition, start, limit });
        }
    }
}

fn operation(parser: &mut Parser<'_>) -> SqlResult<ChangeKind> {
    for (name, op) in
        [("INSERT", ChangeKind::Insert), ("UPDATE", ChangeKind::Update), ("DELETE", ChangeKind::Delete)]
    {
        if is_word(parser, name) {
            return Ok(op);
        }
    }
    Err(SqlError::invalid("ON INSERT, UPDATE or DELETE is expected"))
}

fn position(parser: &mut Parser<'_>) -> SqlResult<Position> {
    if is_word(parser, "LATEST") {
        return Ok(Position::Latest);
    }
    if is_word(parser, "EARLIEST") {
        return Ok(Position::Earliest);
    }
    number(parser).map(Position::Offset)
}

fn read_retention(parser: &mut Parser<'_>, retention: &mut Retention) -> SqlResult<()> {
    options(parser, |name, value| {
        let value = value.parse::<i64>().ok().filter(|n| *n > 0);
        let value =
            value.ok_or_else(|| SqlError::invalid("retention is a number of seconds or bytes above 0"))?;
        match name {
            "RETENTION_SECONDS" | "SECONDS" => retention.seconds = Some(value),
            "RETENTION_MAX_BYTES" | "MAX_BYTES" => retention.max_bytes = Some(value),
            _ => {
                return Err(SqlError::invalid(
                    "retention takes WITH (retention_seconds = ..., retention_max_bytes = ...)",
                ));
            }
        }
        Ok(())
    })
}

/// `(name = 'value', ...)`: names in upper case, values without quotes.
fn options(parser: &mut Parser<'_>, mut each: impl FnMut(&str, &str) -> SqlResult<()>) -> SqlResult<()> {
    parser.expect_token(&Token::LParen).map_err(syntax)?;
    loop {
        let name = parser.parse_identifier().map_err(syntax)?.value.to_uppercase();
        parser.expect_token(&Token::Eq).map_err(syntax)?;
        match parser.next_token().token {
            Token::SingleQuotedString(value) | Token::Number(value, _) => each(&name, &value)?,
            Token::Word(value) => each(&name, &value.value)?,
            other => {
                return Err(SqlError::invalid(format!("a value for {name} is expected, found: {other}")));
            }
        }
        if !parser.consume_token(&Token::Comma) {
            return parser.expect_token(&Token::RParen).map(drop).map_err(syntax);
        }
    }
}

/// Topics are named with their namespace, joined by a dot (recorded in `wire/topics.jsonl`).
fn topic(parser: &mut Parser<'_>) -> SqlResult<String> {
    let name = parser.parse_object_name(false).map_err(syntax)?;
    Ok(names::parts(&name)?.join("."))
}

fn is_word(parser: &mut Parser<'_>, expected: &str) -> bool {
    let is = matches!(&parser.peek_token().token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected));
    if is {
        parser.next_token();
    }
    is
}

fn word(parser: &mut Parser<'_>, expected: &str) -> SqlResult<()> {
    if is_word(parser, expected) {
        return Ok(());
    }
    let found = parser.peek_token();
    Err(SqlError::invalid(format!(
        "sql parser error: Expected: {expected}, found: {}{}",
        found.token, found.span.start
    )))
}

fn text(parser: &mut Parser<'_>, what: &str) -> SqlResult<String> {
    match parser.next_token().token {
        Token::SingleQuotedString(text) => Ok(text),
        other => Err(SqlError::invalid(format!("{what} in single quotes is expected, found: {other}"))),
    }
}

fn number<N: std::str::FromStr>(parser: &mut Parser<'_>) -> SqlResult<N> {
    let token = parser.next_token().token;
    let read = match &token {
        Token::Number(digits, _) => digits.parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| SqlError::invalid(format!("a whole number is expected, found: {token}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{
        EngineLimits,
        sql::{split, statement},
    };

    fn one(sql: &str) -> SqlResult<TopicStatement> {
        match statement::parse(&split::split(sql, &EngineLimits::default())?[0])? {
            statement::Statement::Topic(statement) => Ok(statement),
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn all_forms() {
        assert!(matches!(one("create topic if not exists App.Orders partitions 4").unwrap(),
            TopicStatement::Create { topic, if_not_exists: true, partitions: 4, .. } if topic == "app.orders"));
        assert!(matches!(
            one("CREATE TOPIC a.b WITH (retention_seconds = 60, retention_max_bytes='1000')").unwrap(),
            TopicStatement::Create { retention: Retention { seconds: Some(60), max_bytes: Some(1000) }, .. }
        ));
        let added = one(
            "ALTER TOPIC a.b ADD SOURCE a.t ON UPDATE WHERE qty > 3 AND item IN ('x', 'y') WITH (payload = 'diff')",
        );
        assert!(matches!(added.unwrap(), TopicStatement::AddSource { source: Source {
            op: ChangeKind::Update, payload: Payload::Diff, filter: Some(filter), .. }, .. }
            if filter == "qty > 3 AND item IN ('x', 'y')"));
        assert!(matches!(
            one("ALTER TOPIC a.b DROP SOURCE a.t ON DELETE").unwrap(),
            TopicStatement::DropSource { op: Some(ChangeKind::Delete), .. }
        ));
        assert!(matches!(
            one("ALTER TOPIC a.b CLEAR RETENTION").unwrap(),
            TopicStatement::SetRetention { retention: Retention::NONE, .. }
        ));
        assert!(matches!(
            one("CONSUME FROM a.b GROUP 'g' FROM EARLIEST LIMIT 2").unwrap(),
            TopicStatement::Consume(Consume { group: Some(_), start: Position::Earliest, limit: 2, .. })
        ));
        assert!(matches!(
            one("CONSUME FROM a.b FROM 7").unwrap(),
            TopicStatement::Consume(Consume { group: None, start: Position::Offset(7), limit: 100, .. })
        ));
        assert!(matches!(
            one("ACK a.b GROUP 'g' PARTITION 1 UPTO OFFSET 9").unwrap(),
            TopicStatement::Ack { partition: 1, upto: 9, .. }
        ));
        assert!(matches!(
            one("RESET CONSUMER GROUP 'g' ON a.b TO 3").unwrap(),
            TopicStatement::Reset { partition: None, to: Position::Offset(3), .. }
        ));
        for sql in [
            "CREATE TOPIC a.b PARTITIONS many",
            "ALTER TOPIC a.b ADD SOURCE a.t ON TRUNCATE",
            "ALTER TOPIC a.b ADD SOURCE a.t ON INSERT WITH (payload = 'all')",
            "ALTER TOPIC a.b RENAME TO c",
            "ALTER TOPIC a.b SET RETENTION WITH (seconds = -1)",
            "ACK a.b GROUP 'g' UPTO OFFSET -1",
            "CONSUME FROM a.b LIMIT 2 extra",
        ] {
            assert!(one(sql).is_err(), "{sql}");
        }
    }
}
