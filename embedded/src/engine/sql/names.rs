//! Identifiers: unquoted ones are lower case; what a table is called.

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use crate::engine::{SqlError, error::SqlResult};

const MAX_NAME: usize = 128;

/// The name that an identifier stands for.
pub(crate) fn ident(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The parts of a dotted name.
pub(crate) fn parts(name: &ObjectName) -> SqlResult<Vec<String>> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(i) => Ok(ident(i)),
            ObjectNamePart::Function(_) => Err(SqlError::unsupported(format_args!("the name {name}"))),
        })
        .collect()
}

/// Namespace (as given, or `default_namespace`) and name of a table.
pub(crate) fn table(name: &ObjectName, default_namespace: &str) -> SqlResult<(String, String)> {
    let mut parts = parts(name)?;
    match parts.len() {
        1 => Ok((default_namespace.to_owned(), parts.remove(0))),
        2 => Ok((parts.remove(0), parts.remove(0))),
        // KalamDB's catalog is called so in its messages.
        3 if parts[0] == "kalam" => Ok((parts.remove(1), parts.remove(1))),
        _ => Err(SqlError::invalid(format!("'{name}' is not the name of a table: write namespace.table"))),
    }
}

/// Checks a new name of a `what` (namespace, table, column).
pub(crate) fn check(what: &str, name: &str) -> SqlResult<()> {
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    if starts && chars.all(|c| c.is_alphanumeric() || c == '_') && name.len() <= MAX_NAME {
        return Ok(());
    }
    Err(SqlError::execution(format!(
        "Invalid operation: '{}' is not a valid {what} name: use letters, digits and '_', at most {MAX_NAME} bytes",
        name.chars().take(64).collect::<String>()
    )))
}
