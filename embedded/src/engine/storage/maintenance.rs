//! A data directory from outside: copied and verified, also while a server uses it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, backup::Backup};

use super::{
    connection::Db,
    directory::{self, DATABASE},
    functions::Identifiers,
    meta,
};
use crate::engine::{EngineError, catalog::Table};

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// In words; none if all is well.
    pub problems: Vec<String>,
    pub tables: usize,
    /// Rows of all tables, without those that are deleted.
    pub rows: u64,
    pub users: usize,
}

/// Copies the data of one moment, files included, from `source` into the new directory `target`. A server may use `source` meanwhile: it is
/// not held up, and what it writes from then on is not in the copy.
///
/// Served from there, the copy is another database to clients, whose checkpoints do not hold for it.
///
/// # Errors
/// `source` is no data directory, `target` exists already, or copying fails; then `target` is removed again.
pub fn backup(source: &Path, target: &Path) -> Result<(), EngineError> {
    let reader = open(source)?;
    let failed = |path: &Path| {
        let what = format!("can not create {}", path.display());
        move |source| EngineError::Io { what, source }
    };
    if target.exists() {
        let exists = io::Error::new(io::ErrorKind::AlreadyExists, "it exists already: name a new directory");
        return Err(failed(target)(exists));
    }
    directory::create_directory(target).map_err(failed(target))?;
    let copied = copy(&reader, target);
    if copied.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_dir_all(target);
    }
    copied
}

fn copy(reader: &Db, target: &Path) -> Result<(), EngineError> {
    let failed = |path: &Path| {
        let what = format!("can not copy to {}", path.display());
        move |source| EngineError::Io { what, source }
    };
    let path = target.join(DATABASE);
    drop(directory::private_file(&path).map_err(failed(&path))?);
    {
        let mut written = Connection::open(&path)?;
        // All pages in one step, which is one read transaction: writers go on in the WAL, and nothing begins anew.
        Backup::new(&reader.connection, &mut written)?.run_to_completion(i32::MAX, Duration::ZERO, None)?;
        written.pragma_update(None, "journal_mode", "DELETE")?;
    }
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).map_err(failed(&path))?;
    file.sync_all().map_err(failed(&path))
}

/// Verifies a data directory: SQLite's own check of every page and index, and that the catalog fits the tables.
///
/// # Errors
/// It is no data directory, or can not be read at all. What is wrong with it is in the report.
pub fn check(directory: &Path) -> Result<CheckReport, EngineError> {
    let db = open(directory)?;
    let mut report = CheckReport::default();
    // One moment for all questions.
    db.connection.execute_batch("BEGIN")?;
    let damage: Vec<String> = {
        let mut statement = db.connection.prepare("PRAGMA integrity_check(100)")?;
        let lines = statement.query_map([], |row| row.get(0)).and_then(Iterator::collect);
        // A file that is damaged enough can not be asked.
        lines.unwrap_or_else(|error| vec![error.to_string()])
    };
    report.problems.extend(damage.into_iter().filter(|line| line != "ok"));
    match check_catalog(&db.connection, &mut report) {
        // Not damaged, but not to be judged here.
        Err(error @ EngineError::SchemaVersion { .. }) if report.problems.is_empty() => return Err(error),
        Err(error) => report.problems.push(error.to_string()),
        Ok(()) => {}
    }
    Ok(report)
}

fn check_catalog(db: &Connection, report: &mut CheckReport) -> Result<(), EngineError> {
    let loaded = meta::read(db)?;
    report.users = loaded.users.iter().filter(|user| !user.dropped).count();
    let tables: Vec<&Arc<Table>> = loaded.catalog.tables().collect();
    report.tables = tables.len();
    for table in &tables {
        let (name, rows) = (table.qualified(), table.sqlite_name());
        let missing = missing_columns(db, table)?;
        if !missing.is_empty() {
            report
                .problems
                .push(format!("the table {name} has no rows with the columns {}", missing.join(", ")));
            continue;
        }
        let (live, newest): (i64, Option<i64>) =
            db.query_row(&format!("SELECT count(*) FILTER (WHERE d = 0), max(s) FROM {rows}"), [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        report.rows += live.unsigned_abs();
        if newest.is_some_and(|newest| newest > loaded.reserved_seq) {
            report.problems.push(format!("the table {name} has a version that was never reserved"));
        }
        let index = format!("{rows}_key");
        let has_key = db.query_row("SELECT 1 FROM sqlite_master WHERE name = ?1", [&index], |_| Ok(()));
        if has_key.optional()?.is_none() {
            report.problems.push(format!("the index on the key of the table {name} is missing"));
        }
    }
    let ids: Vec<String> = tables.iter().map(|table| table.id.0.to_string()).collect();
    let lost = format!("SELECT count(*) FROM files WHERE table_id NOT IN ({})", ids.join(", "));
    let lost: i64 = db.query_row(&lost, [], |row| row.get(0))?;
    if lost > 0 {
        report.problems.push(format!("{lost} files are of a table that is not in the catalog"));
    }
    let mut statement =
        db.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 't[0-9]*'")?;
    let names: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for name in names {
        if tables.iter().all(|table| table.sqlite_name() != name) {
            report.problems.push(format!("there are rows ({name}) of a table that is not in the catalog"));
        }
    }
    Ok(())
}

fn missing_columns(db: &Connection, table: &Table) -> Result<Vec<String>, EngineError> {
    let mut statement = db.prepare("SELECT name, type FROM pragma_table_info(?1)")?;
    let stored: Vec<(String, String)> = statement
        .query_map([table.sqlite_name()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let own = table.columns.iter().map(|column| (column.sqlite_name(), column.sqlite_type(), &*column.name));
    let owner = table.has_owner().then(|| ("o".to_owned(), "TEXT", "owner"));
    let system = [("s", "_seq"), ("n", "created"), ("d", "_deleted")];
    let system = system.map(|(name, shown)| (name.to_owned(), "INTEGER", shown));
    let wanted = own.chain(owner).chain(system);
    Ok(wanted
        .filter(|(name, kind, _)| !stored.iter().any(|(stored, of)| stored == name && of == kind))
        .map(|(_, _, shown)| shown.to_owned())
        .collect())
}

fn open(directory: &Path) -> Result<Db, EngineError> {
    let path: PathBuf = directory.join(DATABASE);
    // SQLite would not say why it can not be opened.
    fs::File::open(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => EngineError::Io {
            what: format!("{} is no data directory", directory.display()),
            source: io::Error::new(io::ErrorKind::NotFound, format!("it has no {DATABASE}")),
        },
        _ => EngineError::Io { what: format!("can not open {}", path.display()), source },
    })?;
    let db = Db::file(&path, true, &Arc::new(Identifiers::default()))?;
    db.connection.busy_timeout(Duration::from_secs(5))?;
    Ok(db)
}
