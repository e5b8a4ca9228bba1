//! The SQL that live queries are written in.
//!
//! [`check_live`] reads the narrow shape that a server can follow, says what to write instead of anything else, and
//! binds `$1` parameters, which the server does not do for live queries. [`literal`] is the one place that writes a
//! value into SQL.

pub(crate) mod bind;
mod condition;
pub mod literal;
mod live;
mod parse;
mod select;
pub(crate) mod token;
mod volatile;

pub use condition::Condition;
pub use live::{Filter, LiveSql, Projection, TableName, check_live};
pub use select::{Select, write_key_predicate};
pub use token::{Token, TokenKind};

/// Whether `sql` reads the server's own tables. Text that is no SQL does not.
pub(crate) fn names_system_table(sql: &str) -> bool {
    token::tokenize(sql).is_ok_and(|tokens| {
        tokens.windows(2).any(|pair| {
            pair[1].is_symbol(sql, ".")
                && pair[0].name(sql).is_some_and(|name| matches!(&*name, "system" | "information_schema"))
        })
    })
}

#[cfg(test)]
mod live_tests;
