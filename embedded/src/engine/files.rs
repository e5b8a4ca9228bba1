//! FILE columns: uploads, what a cell holds of them, and how the bytes are read again (`wire/files.jsonl`).
//!
//! The bytes lie in a table of the database, so that a file and the row it belongs to are written, backed up and removed
//! together. A file belongs to one cell: the one that `FILE("name")` was written to.

use std::{fmt::Write as _, sync::Arc};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    Caller, Cell, Inner, Role, SqlError, TableId, accounts,
    catalog::{Table, TableColumn},
    error::SqlResult,
    run::check_table,
    storage::sql_error,
};

/// The most files of one request (recorded limit of KalamDB's).
pub const MOST_FILES: usize = 20;
/// The folder that KalamDB would count on from.
const FOLDER: &str = "f0001";

/// A file that came with a request.
#[derive(Debug, Clone)]
pub struct Upload {
    /// What `FILE("placeholder")` calls it.
    pub placeholder: String,
    pub name: String,
    pub mime: String,
    pub bytes: Arc<[u8]>,
}

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    /// As the address ends.
    pub stored_name: String,
    pub mime: String,
    pub bytes: Vec<u8>,
}

impl Upload {
    /// Cleans the name of paths and control characters, and checks the type.
    ///
    /// # Errors
    /// `INVALID_MIME_TYPE`.
    pub fn new(placeholder: &str, name: &str, mime: &str, bytes: Arc<[u8]>) -> Result<Self, SqlError> {
        let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let clean: String = last.chars().filter(|c| !c.is_control() && *c != '"').take(200).collect();
        let name = match clean.trim_matches(['.', ' ']) {
            "" => "file".to_owned(),
            clean => clean.to_owned(),
        };
        let is_token = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c))
        };
        let essence = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence.len() > 127 || !essence.split_once('/').is_some_and(|(a, b)| is_token(a) && is_token(b)) {
            let shown: String = mime.chars().take(64).collect();
            return Err(SqlError::new(
                "INVALID_MIME_TYPE",
                400,
                format!("'{shown}' is not a content type such as image/png"),
            ));
        }
        Ok(Self { placeholder: placeholder.to_owned(), name, mime: essence, bytes })
    }
}

/// Where they lie: a migration.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS files (id INTEGER PRIMARY KEY, table_id INTEGER NOT NULL, owner TEXT, name TEXT NOT NULL,
                                      mime TEXT NOT NULL, data BLOB NOT NULL) STRICT;
    CREATE INDEX IF NOT EXISTS files_table ON files (table_id);";

/// Stores an upload for one cell and returns what the cell holds.
pub(super) fn store(
    connection: &Connection,
    table: &Table,
    owner: Option<&str>,
    id: i64,
    upload: &Upload,
) -> SqlResult<Cell> {
    let Upload { name, mime, bytes, .. } = upload;
    connection
        .prepare_cached("INSERT INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
        .and_then(|mut s| s.execute(params![id, table.id.0, owner, name, mime, &bytes[..]]))
        .map_err(sql_error)?;
    let digest = Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    // In the order of the recording, which a map would not keep.
    let text = format!(
        r#"{{"id":"{id}","sub":"{FOLDER}","name":{},"size":{},"mime":{},"sha256":"{digest}"}}"#,
        json!(name),
        bytes.len(),
        json!(mime)
    );
    Ok(Cell::File(text.into()))
}

/// Removes the files that a row held and no longer holds.
pub(super) fn release(
    connection: &Connection,
    table: &Table,
    old: &[Cell],
    new: Option<&[Cell]>,
) -> SqlResult<()> {
    for (position, cell) in old.iter().enumerate() {
        let Cell::File(reference) = cell else { continue };
        if new.and_then(|new| new.get(position)) == Some(cell) {
            continue;
        }
        if let Some(id) = id_of(reference) {
            connection
                .prepare_cached("DELETE FROM files WHERE id = ?1 AND table_id = ?2")
                .and_then(|mut s| s.execute([id, table.id.0]))
                .map_err(sql_error)?;
        }
    }
    Ok(())
}

pub(super) fn release_table(connection: &Connection, table: TableId) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM files WHERE table_id = ?1", [table.0]).map(drop)
}

pub(super) fn release_column(
    connection: &Connection,
    table: &Table,
    column: &TableColumn,
) -> rusqlite::Result<()> {
    let (name, column) = (table.sqlite_name(), column.sqlite_name());
    let held = format!(
        "SELECT CAST(json_extract({column}, '$.id') AS INTEGER) FROM {name} WHERE {column} IS NOT NULL"
    );
    let gone = format!("DELETE FROM files WHERE table_id = ?1 AND id IN ({held})");
    connection.execute(&gone, [table.id.0]).map(drop)
}

fn id_of(reference: &str) -> Option<i64> {
    let parsed: serde_json::Value = serde_json::from_str(reference).ok()?;
    parsed["id"].as_str()?.parse().ok()
}

/// Where a file is, as its address says.
#[derive(Debug, Clone, Copy)]
pub struct FileAddress<'a> {
    pub namespace: &'a str,
    pub table: &'a str,
    pub folder: &'a str,
    /// `{id}-{name}`, the name as it is or as `stored_name` makes it.
    pub stored_name: &'a str,
    /// Whose, in a USER or STREAM table; the caller's own when absent.
    pub user: Option<&'a str>,
}

pub(super) fn read(engine: &Inner, caller: &Caller, address: &FileAddress<'_>) -> SqlResult<FileContent> {
    // One answer for what is not there and what is another's: nothing is learnt by asking.
    let missing = || SqlError::new("FILE_NOT_FOUND", 404, "File not found");
    let catalog = engine.catalog();
    let table = catalog.table(address.namespace, address.table).ok_or_else(missing)?;
    check_table(table, caller, false)?;
    let owner: Option<Arc<str>> = match (table.has_owner(), address.user) {
        (false, _) => None,
        (true, None) => Some(caller.user.clone()),
        (true, Some(user)) if *user == *caller.user => Some(caller.user.clone()),
        (true, Some(user)) => {
            let target = engine.accounts.read().get(user).map(accounts::info);
            match target {
                Some(target) if target.role < caller.role => Some(target.id),
                None if caller.role > Role::User => return Err(missing()),
                _ => {
                    return Err(SqlError::permission(
                        "Permission denied: these are the files of another user",
                    ));
                }
            }
        }
    };
    let id = address.stored_name.split(['-', '.']).next().unwrap_or_default();
    let id: i64 = id.parse().map_err(|_| missing())?;
    let found = engine.storage.read(|db| {
        let mut statement = db
            .connection
            .prepare_cached(
                "SELECT name, mime, data FROM files WHERE id = ?1 AND table_id = ?2 AND owner IS ?3",
            )
            .map_err(sql_error)?;
        let row = statement.query_row(params![id, table.id.0, owner.as_deref()], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
        });
        row.optional().map_err(sql_error)
    })?;
    match found {
        Some((name, mime, bytes))
            if address.folder == FOLDER
                && (address.stored_name == stored_name(id, &name)
                    || address.stored_name == format!("{id}-{name}")) =>
        {
            Ok(FileContent { stored_name: address.stored_name.to_owned(), mime, bytes })
        }
        _ => Err(missing()),
    }
}

/// How an address ends, as KalamDB's clients make it from a reference: the id, the words of the name in lower case and
/// joined by dashes, and the extension, which is `bin` where there is none that fits.
fn stored_name(id: i64, name: &str) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, "bin"));
    let fits = extension.len() <= 10 && extension.chars().all(|c| c.is_ascii_alphanumeric());
    let extension = if fits { extension.to_ascii_lowercase() } else { "bin".to_owned() };
    let kept = |c: &char| c.is_ascii_alphanumeric() || [' ', '_', '-'].contains(c);
    let kept: String = stem.chars().filter(kept).take(50).map(|c| c.to_ascii_lowercase()).collect();
    let words: Vec<_> = kept.split([' ', '_', '-']).filter(|word| !word.is_empty()).collect();
    match words.is_empty() {
        true => format!("{id}.{extension}"),
        false => format!("{id}-{}.{extension}", words.join("-")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_end_as_clients_make_them() {
        for (name, expected) in [
            ("hello.txt", "7-hello.txt"),
            ("My  Document_2.PDF", "7-my-document-2.pdf"),
            ("-- .png", "7.png"),
            ("Ünï", "7-n.bin"),
            ("a.b.c-d", "7-ab.bin"),
        ] {
            assert_eq!(stored_name(7, name), expected, "{name}");
        }
    }

    #[test]
    fn names_are_cleaned_and_types_checked() {
        let name = |name: &str| Upload::new("p", name, "text/plain", Arc::from(&b""[..])).unwrap().name;
        assert_eq!(name("hello.txt"), "hello.txt");
        assert_eq!(name("../../etc/passwd"), "passwd");
        assert_eq!(name("C:\\x\\y\"\n.png"), "y.png");
        assert_eq!(name(".."), "file");
        assert_eq!(name(""), "file");
        assert_eq!(name(&"x".repeat(1000)).len(), 200);
        let mime = |mime: &str| Upload::new("p", "n", mime, Arc::from(&b""[..])).map(|u| u.mime);
        assert_eq!(mime("Image/PNG; q=1").unwrap(), "image/png");
        for bad in ["", "text", "text/", "/x", "text/pl ain", "text/\r\nx", "a/b/c"] {
            assert_eq!(mime(bad).unwrap_err().code, "INVALID_MIME_TYPE", "{bad}");
        }
    }
}
