//! From tokens to a statement: KalamDB's own statements by hand, the rest by sqlparser.

use sqlparser::{
    ast::{AlterTableOperation, CreateTable, Delete, Insert, ObjectName, Query, Statement as Ast, Update},
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan},
};

use super::{
    admin::{self, Admin},
    names,
    split::Piece,
    topics::{self, TopicStatement},
};
use crate::engine::{Role, SqlError, error::SqlResult};

/// A parsed statement. Nothing in it is checked against the catalog.
#[derive(Debug, Clone)]
pub(crate) enum Statement {
    Query(Box<Query>),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Begin,
    Commit,
    Rollback,
    /// `prefix` is the table type of the older `CREATE USER TABLE ...`.
    CreateTable {
        prefix: Option<String>,
        table: Box<CreateTable>,
    },
    AlterTable {
        name: ObjectName,
        if_exists: bool,
        operations: Vec<AlterTableOperation>,
    },
    DropTable {
        names: Vec<ObjectName>,
        if_exists: bool,
    },
    CreateNamespace {
        name: String,
        if_not_exists: bool,
    },
    DropNamespace {
        name: String,
        if_exists: bool,
    },
    Use {
        namespace: String,
    },
    ShowTables {
        namespace: Option<String>,
    },
    ShowNamespaces,
    Describe {
        name: ObjectName,
    },
    CreateUser {
        user: String,
        password: String,
        role: Role,
        email: Option<String>,
    },
    AlterUser {
        user: String,
        change: UserChange,
    },
    DropUser {
        user: String,
        if_exists: bool,
    },
    /// About the server itself.
    Admin(Admin),
    Topic(TopicStatement),
    /// `EXECUTE AS USER 'id' (statement)`.
    ExecuteAs {
        user: String,
        statement: Box<Statement>,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum UserChange {
    Password(String),
    Role(Role),
    Email(Option<String>),
}

pub(crate) fn parse(piece: &Piece) -> SqlResult<Statement> {
    parse_tokens(piece).map_err(|error| match error.code {
        // The parser quotes what it stumbles over.
        "INVALID_SQL" if piece.has_password() => SqlError::invalid(
            "the statement about a user can not be read: write CREATE USER 'name' WITH PASSWORD '...' ROLE ... [EMAIL '...'] \
             or ALTER USER 'name' SET PASSWORD '...'",
        ),
        _ => error,
    })
}

fn parse_tokens(piece: &Piece) -> SqlResult<Statement> {
    let mut tokens = piece.tokens.clone();
    let prefix = take_table_prefix(&mut tokens);
    rename_current_user(&mut tokens);
    let mut parser = Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(tokens);
    let mut statement = statement(&mut parser)?;
    parser.expect_token(&Token::EOF).map_err(syntax)?;
    if let Statement::CreateTable { prefix: kind, .. } = &mut statement {
        *kind = prefix;
    }
    Ok(statement)
}

/// `CURRENT_USER()`: the parser knows the name without parentheses only. The new name is the recorded one
/// (`wire/tables.jsonl`).
fn rename_current_user(tokens: &mut [TokenWithSpan]) {
    for at in 1..tokens.len() {
        let (before, rest) = tokens.split_at_mut(at);
        if let (Some(TokenWithSpan { token: Token::Word(word), .. }), Token::LParen) =
            (before.last_mut(), &rest[0].token)
            && word.keyword == Keyword::CURRENT_USER
            && word.quote_style.is_none()
        {
            word.value = "kdb_current_user".into();
            word.keyword = Keyword::NoKeyword;
        }
    }
}

/// Takes the table type out of `CREATE USER|SHARED|STREAM TABLE`, which leaves a statement that sqlparser knows.
fn take_table_prefix(tokens: &mut Vec<TokenWithSpan>) -> Option<String> {
    let words: Vec<(usize, String)> = tokens
        .iter()
        .enumerate()
        .filter(|(_, t)| !matches!(t.token, Token::Whitespace(_)))
        .take(3)
        .map(|(at, t)| {
            (at, if let Token::Word(w) = &t.token { w.value.to_uppercase() } else { String::new() })
        })
        .collect();
    let [(_, create), (at, kind), (_, table)] = &words[..] else { return None };
    let prefixed =
        create == "CREATE" && table == "TABLE" && matches!(kind.as_str(), "USER" | "SHARED" | "STREAM");
    prefixed.then(|| {
        tokens.remove(*at);
        kind.clone()
    })
}

pub(crate) fn syntax(error: ParserError) -> SqlError {
    SqlError::invalid(error.to_string())
}

fn statement(parser: &mut Parser<'_>) -> SqlResult<Statement> {
    if let Some(statement) = own(parser)? {
        return Ok(statement);
    }
    standard(parser.parse_statement().map_err(syntax)?)
}

fn standard(ast: Ast) -> SqlResult<Statement> {
    Ok(match ast {
        Ast::Query(query) => Statement::Query(query),
        Ast::Insert(insert) => Statement::Insert(Box::new(insert)),
        Ast::Update(update) => Statement::Update(Box::new(update)),
        Ast::Delete(delete) => Statement::Delete(Box::new(delete)),
        Ast::StartTransaction { modes, modifier: None, statements, .. }
            if modes.is_empty() && statements.is_empty() =>
        {
            Statement::Begin
        }
        Ast::Commit { chain: false, .. } => Statement::Commit,
        Ast::Rollback { chain: false, savepoint: None } => Statement::Rollback,
        Ast::CreateTable(table) => Statement::CreateTable { prefix: None, table: Box::new(table) },
        Ast::AlterTable(alter) => Statement::AlterTable {
            name: alter.name,
            if_exists: alter.if_exists,
            operations: alter.operations,
        },
        Ast::Drop { object_type: sqlparser::ast::ObjectType::Table, if_exists, names, .. } => {
            Statement::DropTable { names, if_exists }
        }
        other => {
            let text = other.to_string();
            let start: Vec<&str> = text.split_whitespace().take(3).collect();
            return Err(SqlError::unsupported(format_args!("the statement {} ...", start.join(" "))));
        }
    })
}

/// Statements that are KalamDB's own. `None`: not one of them, nothing consumed.
fn own(parser: &mut Parser<'_>) -> SqlResult<Option<Statement>> {
    let words: Vec<String> = (0..4)
        .map(|n| match parser.peek_nth_token(n).token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
            _ => String::new(),
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let Some(admin) = admin::parse(&words, parser)? {
        return Ok(Some(Statement::Admin(admin)));
    }
    let skip = |parser: &mut Parser<'_>, n: usize| (0..n).for_each(|_| drop(parser.next_token()));
    Ok(Some(match words[..] {
        ["CREATE", "NAMESPACE" | "SCHEMA", ..] => {
            skip(parser, 2);
            let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
            Statement::CreateNamespace { name: name(parser)?, if_not_exists }
        }
        ["DROP", "NAMESPACE" | "SCHEMA", ..] => {
            skip(parser, 2);
            let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            let name = name(parser)?;
            // The tables go with their namespace, whether it is said or not (recorded in wire/sql_surface.jsonl).
            let _ = parser.parse_keyword(Keyword::CASCADE);
            Statement::DropNamespace { name, if_exists }
        }
        ["USE" | "SET", "NAMESPACE", ..] => {
            skip(parser, 2);
            Statement::Use { namespace: name(parser)? }
        }
        ["USE", ..] => {
            skip(parser, 1);
            Statement::Use { namespace: name(parser)? }
        }
        ["SHOW", "TABLES", ..] => {
            skip(parser, 2);
            let scoped = parser.parse_one_of_keywords(&[Keyword::IN, Keyword::FROM]).is_some();
            Statement::ShowTables { namespace: if scoped { Some(name(parser)?) } else { None } }
        }
        ["SHOW", "NAMESPACES" | "SCHEMAS", ..] => {
            skip(parser, 2);
            Statement::ShowNamespaces
        }
        ["DESCRIBE" | "DESC", ..] => {
            skip(parser, 1);
            let _ = parser.parse_keyword(Keyword::TABLE);
            Statement::Describe { name: parser.parse_object_name(false).map_err(syntax)? }
        }
        ["CREATE", "USER", ..] => {
            skip(parser, 2);
            create_user(parser)?
        }
        ["ALTER", "USER", ..] => {
            skip(parser, 2);
            alter_user(parser)?
        }
        ["DROP", "USER", ..] => {
            skip(parser, 2);
            let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            Statement::DropUser { user: user_name(parser)?, if_exists }
        }
        ["EXECUTE", "AS", ..] => {
            skip(parser, 2);
            let _ = parser.parse_keyword(Keyword::USER);
            let user = user_name(parser)?;
            parser.expect_token(&Token::LParen).map_err(syntax)?;
            let inner = statement(parser)?;
            parser.expect_token(&Token::RParen).map_err(syntax)?;
            match inner {
                Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => {
                    Statement::ExecuteAs { user, statement: Box::new(inner) }
                }
                _ => return Err(SqlError::invalid("EXECUTE AS takes one SELECT, INSERT, UPDATE or DELETE")),
            }
        }
        _ => return Ok(topics::read(parser, &words)?.map(Statement::Topic)),
    }))
}

fn name(parser: &mut Parser<'_>) -> SqlResult<String> {
    parser.parse_identifier().map(|i| names::ident(&i)).map_err(syntax)
}

/// `'alice'` as documented, or a bare identifier.
fn user_name(parser: &mut Parser<'_>) -> SqlResult<String> {
    let token = parser.next_token();
    match token.token {
        Token::SingleQuotedString(user) => Ok(user),
        Token::Word(word) => Ok(word.value),
        other => Err(SqlError::invalid(format!("a user name in quotes is expected, found: {other}"))),
    }
}

fn string(parser: &mut Parser<'_>, what: &str) -> SqlResult<String> {
    match parser.next_token().token {
        Token::SingleQuotedString(text) => Ok(text),
        // The token is not shown: it may be a password.
        _ => Err(SqlError::invalid(format!("{what} in single quotes is expected"))),
    }
}

fn role(parser: &mut Parser<'_>) -> SqlResult<Role> {
    let token = parser.next_token().token;
    let (Token::Word(sqlparser::tokenizer::Word { value: name, .. }) | Token::SingleQuotedString(name)) =
        &token
    else {
        return Err(SqlError::invalid("a role is expected: user, service, dba or system"));
    };
    Role::parse(name)
        .ok_or_else(|| SqlError::invalid(format!("unknown role '{name}': use user, service, dba or system")))
}

fn create_user(parser: &mut Parser<'_>) -> SqlResult<Statement> {
    let user = user_name(parser)?;
    let (mut password, mut user_role, mut email) = (None, None, None);
    let _ = parser.parse_keyword(Keyword::WITH);
    loop {
        match word(parser).as_str() {
            "PASSWORD" => password = Some(string(parser, "a password")?),
            "ROLE" => user_role = Some(role(parser)?),
            "EMAIL" => email = Some(string(parser, "an e-mail address")?),
            "" => break,
            "OAUTH" | "OIDC" | "INTERNAL" => {
                return Err(SqlError::unsupported("CREATE USER without a password"));
            }
            _ => return Err(SqlError::invalid("PASSWORD, ROLE or EMAIL is expected")),
        }
    }
    let password = password.ok_or_else(|| SqlError::invalid("CREATE USER needs WITH PASSWORD '...'"))?;
    Ok(Statement::CreateUser { user, password, role: user_role.unwrap_or(Role::User), email })
}

fn alter_user(parser: &mut Parser<'_>) -> SqlResult<Statement> {
    let user = user_name(parser)?;
    parser.expect_keyword(Keyword::SET).map_err(syntax)?;
    let change = match word(parser).as_str() {
        "PASSWORD" => UserChange::Password(string(parser, "a password")?),
        "ROLE" => UserChange::Role(role(parser)?),
        "EMAIL" if parser.parse_keyword(Keyword::NULL) => UserChange::Email(None),
        "EMAIL" => UserChange::Email(Some(string(parser, "an e-mail address")?)),
        _ => {
            return Err(SqlError::invalid(
                "ALTER USER ... SET takes PASSWORD '...', ROLE ... or EMAIL '...'",
            ));
        }
    };
    Ok(Statement::AlterUser { user, change })
}

/// The next word in upper case, consumed; empty when something else follows.
fn word(parser: &mut Parser<'_>) -> String {
    match parser.peek_token().token {
        Token::Word(word) => {
            parser.next_token();
            word.value.to_uppercase()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineLimits, sql::split};

    fn one(sql: &str) -> SqlResult<Statement> {
        parse(&split::split(sql, &EngineLimits::default())?[0])
    }

    #[test]
    fn own_statements() {
        assert!(matches!(one("create namespace if not exists Chat").unwrap(),
            Statement::CreateNamespace { name, if_not_exists: true } if name == "chat"));
        assert!(matches!(
            one("DROP NAMESPACE x CASCADE").unwrap(),
            Statement::DropNamespace { if_exists: false, .. }
        ));
        assert!(matches!(one("CREATE USER TABLE a.b (id INT PRIMARY KEY)").unwrap(),
            Statement::CreateTable { prefix: Some(p), .. } if p == "USER"));
        assert!(matches!(
            one("CREATE USER 'al' WITH PASSWORD 'x' ROLE dba EMAIL 'a@b'").unwrap(),
            Statement::CreateUser { role: Role::Dba, email: Some(_), .. }
        ));
        assert!(matches!(
            one("ALTER USER 'al' SET EMAIL NULL").unwrap(),
            Statement::AlterUser { change: UserChange::Email(None), .. }
        ));
        assert!(matches!(one("DESCRIBE TABLE a.b").unwrap(), Statement::Describe { .. }));
        assert!(matches!(one("EXECUTE AS USER 'a' (SELECT 1)").unwrap(), Statement::ExecuteAs { .. }));
        assert!(matches!(one("BEGIN").unwrap(), Statement::Begin));
        assert!(matches!(one("USE default").unwrap(), Statement::Use { .. }));
    }

    #[test]
    fn errors_name_the_place_but_never_a_password() {
        // Recorded in wire/sql_surface.jsonl.
        assert_eq!(
            one("SELEC 1").unwrap_err().message,
            "sql parser error: Expected: an SQL statement, found: SELEC at Line: 1, Column: 1"
        );
        let error = one("CREATE USER 'a' WITH PASSWORD secret").unwrap_err();
        assert!(!error.message.contains("secret"), "{error}");
        for sql in [
            "PRAGMA user_version",
            "ATTACH DATABASE 'x' AS y",
            "VACUUM",
            "SELECT 1 SELECT 2",
            "EXECUTE AS USER 'a' (DROP TABLE x)",
        ] {
            assert!(one(sql).is_err(), "{sql}");
        }
    }
}
