//! The engine's own tables: schema version, secret, reserved `_seq`, namespaces, table definitions, accounts.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::engine::{
    EngineError, Role, TableId,
    catalog::{Catalog, DEFAULT_NAMESPACE, Namespace, Table, TableKind},
    files, time,
    topics::{self, Progress, TopicSet},
};

/// The first brings data of version 1, which [`create`] makes, to version 2, and so on: new data come the same way as old
/// ones. One that was released is never changed.
const MIGRATIONS: &[&str] = &[
    // Which program wrote the data, for whoever has to look into them.
    "INSERT OR REPLACE INTO meta VALUES ('created_by', 'kalam-embedded 0.1.0')",
    topics::store::TABLES,
    files::TABLES,
];

const SCHEMA_VERSION: i64 = 1 + MIGRATIONS.len() as i64;

/// What the data holds when it is opened.
pub(crate) struct Loaded {
    pub(crate) secret: [u8; 32],
    /// Names these data: a copy that goes on by itself has another.
    pub(crate) epoch: String,
    pub(crate) reserved_seq: i64,
    pub(crate) catalog: Catalog,
    pub(crate) topics: TopicSet,
    pub(crate) topic_progress: Progress,
    pub(crate) users: Vec<StoredUser>,
}

/// An account as stored. Dropped ones stay, so that a name's generation only grows.
#[derive(Clone)]
pub(crate) struct StoredUser {
    pub(crate) id: Arc<str>,
    pub(crate) hash: String,
    pub(crate) role: Role,
    pub(crate) email: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) generation: u64,
    pub(crate) dropped: bool,
}

/// `file` is what tells the file that holds the data from a copy of it, where there is a file that can be told.
pub(super) fn load(db: &Connection, file: Option<&str>) -> Result<Loaded, EngineError> {
    if version(db)? == 0 {
        create(db)?;
    }
    migrate(db, MIGRATIONS)?;
    let loaded = read(db)?;
    Ok(Loaded { epoch: load_epoch(db, file)?, ..loaded })
}

/// What there is, of data of the newest version. Without an epoch, which depends on the file.
pub(super) fn read(db: &Connection) -> Result<Loaded, EngineError> {
    let found = version(db)?;
    if found != SCHEMA_VERSION {
        return Err(EngineError::SchemaVersion { found, known: SCHEMA_VERSION });
    }
    let secret: Vec<u8> =
        db.query_row("SELECT value FROM meta WHERE key = 'secret'", [], |row| row.get(0))?;
    let secret =
        secret.try_into().map_err(|_| EngineError::Corrupt("the secret has a wrong length".into()))?;
    let reserved_seq =
        db.query_row("SELECT value FROM meta WHERE key = 'reserved_seq'", [], |row| row.get(0))?;
    let epoch = String::new();
    Ok(Loaded {
        secret,
        epoch,
        reserved_seq,
        catalog: load_catalog(db)?,
        topics: topics::store::load(db)?,
        topic_progress: topics::store::progress(db)?,
        users: load_users(db)?,
    })
}

fn version(db: &Connection) -> Result<i64, EngineError> {
    Ok(db.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Each migration is a transaction of its own: one that is cut off is as if it had not begun.
fn migrate(db: &Connection, migrations: &[&str]) -> Result<(), EngineError> {
    let (found, known) = (version(db)?, 1 + migrations.len() as i64);
    let done = usize::try_from(found - 1).ok().and_then(|done| migrations.get(done..));
    let left = done.ok_or(EngineError::SchemaVersion { found, known })?;
    for (version, migration) in (found + 1..).zip(left) {
        db.execute_batch("BEGIN IMMEDIATE")?;
        let migrated = db
            .execute_batch(migration)
            .and_then(|()| db.pragma_update(None, "user_version", version))
            .and_then(|()| db.execute_batch("COMMIT"));
        if let Err(error) = migrated {
            // The first error is the one to tell.
            let _ = db.execute_batch("ROLLBACK");
            return Err(error.into());
        }
        tracing::debug!(version, "the data have a newer schema version");
    }
    Ok(())
}

fn create(db: &Connection) -> Result<(), EngineError> {
    let secret = random::<32>()?;
    db.execute_batch(
        "BEGIN IMMEDIATE;
         CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT;
         CREATE TABLE namespaces (name TEXT PRIMARY KEY, created_at INTEGER NOT NULL) STRICT;
         CREATE TABLE tables (id INTEGER PRIMARY KEY AUTOINCREMENT, definition TEXT NOT NULL) STRICT;
         CREATE TABLE users (id TEXT PRIMARY KEY, hash TEXT NOT NULL, role TEXT NOT NULL, email TEXT,
                             created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
                             generation INTEGER NOT NULL, dropped INTEGER NOT NULL) STRICT;",
    )?;
    db.execute("INSERT INTO meta VALUES ('secret', ?1), ('reserved_seq', 0)", [&secret[..]])?;
    add_namespace(db, DEFAULT_NAMESPACE, time::now_micros())?;
    db.pragma_update(None, "user_version", 1)?;
    db.execute_batch("COMMIT")?;
    Ok(())
}

fn load_epoch(db: &Connection, file: Option<&str>) -> Result<String, EngineError> {
    let value = |key: &str| {
        let found =
            db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get::<_, String>(0));
        found.optional()
    };
    let (kept, kept_file) = (value("epoch")?, value("epoch_file")?);
    if let Some(kept) = kept
        && file.is_none_or(|file| kept_file.as_deref() == Some(file))
    {
        return Ok(kept);
    }
    let epoch = format!("{:020x}", u128::from_le_bytes(random()?) >> 48);
    let file = file.unwrap_or_default();
    db.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?1), ('epoch_file', ?2)", [&epoch, file])?;
    Ok(epoch)
}

fn random<const N: usize>() -> Result<[u8; N], EngineError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| EngineError::Storage(format!("the system has no random numbers: {e}")))?;
    Ok(bytes)
}

fn load_catalog(db: &Connection) -> Result<Catalog, EngineError> {
    let mut catalog = Catalog::default();
    let mut statement = db.prepare("SELECT name, created_at FROM namespaces")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let description = describes(db, &name)?;
        let namespace = Namespace { created_at: row.get(1)?, description, ..Namespace::default() };
        catalog.namespaces.insert(name.into(), namespace);
    }
    let mut statement = db.prepare("SELECT id, definition FROM tables")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, text): (i64, String) = (row.get(0)?, row.get(1)?);
        let mut table: Table = serde_json::from_str(&text).map_err(|e| {
            EngineError::Corrupt(format!("the definition of table {id} can not be read: {e}"))
        })?;
        table.id = TableId(id);
        index_tombstones(db, &table)?;
        let Some(namespace) = catalog.namespaces.get_mut(&table.namespace) else {
            return Err(EngineError::Corrupt(format!("table {id} is in a namespace that does not exist")));
        };
        namespace.tables.insert(table.name.clone(), Arc::new(table));
    }
    Ok(catalog)
}

fn load_users(db: &Connection) -> Result<Vec<StoredUser>, EngineError> {
    let mut statement =
        db.prepare("SELECT id, hash, role, email, created_at, updated_at, generation, dropped FROM users")?;
    let mut rows = statement.query([])?;
    let mut users = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, role): (String, String) = (row.get(0)?, row.get(2)?);
        let role =
            Role::parse(&role).ok_or_else(|| EngineError::Corrupt(format!("user {id} has no known role")))?;
        users.push(StoredUser {
            id: id.into(),
            hash: row.get(1)?,
            role,
            email: row.get(3)?,
            created_at: row.get(4)?,
            updated_at: row.get(5)?,
            generation: u64::try_from(row.get::<_, i64>(6)?).unwrap_or(0),
            dropped: row.get(7)?,
        });
    }
    Ok(users)
}

pub(super) fn reserve_seq(db: &Connection, ceiling: i64) -> Result<()> {
    db.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'reserved_seq'")?.execute([ceiling]).map(drop)
}

pub(crate) fn add_namespace(db: &Connection, name: &str, created_at: i64) -> Result<()> {
    db.execute("INSERT INTO namespaces VALUES (?1, ?2)", params![name, created_at]).map(drop)
}

pub(crate) fn describe_namespace(db: &Connection, name: &str, description: &str) -> Result<()> {
    db.execute("INSERT OR REPLACE INTO meta VALUES ('namespace:' || ?1, ?2)", [name, description]).map(drop)
}

fn describes(db: &Connection, namespace: &str) -> Result<Option<Arc<str>>> {
    let sql = "SELECT value FROM meta WHERE key = 'namespace:' || ?1";
    Ok(db.query_row(sql, [namespace], |row| row.get::<_, String>(0)).optional()?.map(Into::into))
}

pub(crate) fn remove_namespace(db: &Connection, name: &str) -> Result<()> {
    db.execute("DELETE FROM meta WHERE key = 'namespace:' || ?1", [name])?;
    db.execute("DELETE FROM namespaces WHERE name = ?1", [name]).map(drop)
}

/// Stores the definition, makes the row table, and gives the table its id.
pub(crate) fn add_table(db: &Connection, table: &mut Table) -> Result<()> {
    db.execute("INSERT INTO tables (definition) VALUES (?1)", [definition(table)?])?;
    table.id = TableId(db.last_insert_rowid());
    let columns: String =
        table.columns.iter().map(|c| format!("{} {}, ", c.sqlite_name(), c.sqlite_type())).collect();
    let key: Vec<String> = table.key.iter().map(|k| table.columns[*k].sqlite_name()).collect();
    let (name, key) = (table.sqlite_name(), key.join(", "));
    // Clustered by version, so that snapshots and resumes are range scans in order; the key has an index beside it.
    let (owner, cluster, unique) = if table.has_owner() {
        ("o TEXT NOT NULL, ", ", PRIMARY KEY (o, s)) STRICT, WITHOUT ROWID", format!("o, {key}"))
    } else {
        ("", ", PRIMARY KEY (s)) STRICT", key)
    };
    let (expiry, expiry_index) = match table.kind {
        TableKind::Stream => {
            (", e INTEGER NOT NULL", format!("CREATE INDEX {name}_expiry ON {name} (e) WHERE d = 0;"))
        }
        _ => ("", String::new()),
    };
    db.execute_batch(&format!(
        "CREATE TABLE {name} ({owner}{columns}s INTEGER NOT NULL, n INTEGER NOT NULL, d INTEGER NOT NULL{expiry}{cluster};
         CREATE UNIQUE INDEX {name}_key ON {name} ({unique});{expiry_index}"
    ))?;
    index_tombstones(db, table)
}

/// Tombstones are found without a look at the rows. Tables of older data have no such index.
fn index_tombstones(db: &Connection, table: &Table) -> Result<()> {
    let name = table.sqlite_name();
    db.execute_batch(&format!("CREATE INDEX IF NOT EXISTS {name}_dead ON {name} (s) WHERE d = 1"))
}

/// The newest version of a tombstone of the table that is gone: what was deleted up to it can not be told any more.
pub(crate) fn forgotten(db: &Connection, table: TableId) -> Result<Option<i64>> {
    let mut statement = db.prepare_cached("SELECT value FROM meta WHERE key = 'forgotten:' || ?1")?;
    statement.query_row([table.0], |row| row.get(0)).optional()
}

/// Removes tombstones up to this version, at most so many. Returns how many they were.
pub(crate) fn forget(db: &Connection, table: &Table, up_to: i64, most: u32) -> Result<u32> {
    let name = table.sqlite_name();
    let oldest = format!(
        "SELECT max(s), count(*) FROM (SELECT s FROM {name} WHERE d = 1 AND s <= ?1 ORDER BY s LIMIT {most})"
    );
    let (last, count): (Option<i64>, u32) =
        db.prepare_cached(&oldest)?.query_row([up_to], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Some(last) = last else { return Ok(0) };
    db.prepare_cached(&format!("DELETE FROM {name} WHERE d = 1 AND s <= ?1"))?.execute([last])?;
    db.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('forgotten:' || ?1, ?2)")?
        .execute([table.id.0, last])?;
    Ok(count)
}

/// Stores an altered definition.
pub(crate) fn update_table(db: &Connection, table: &Table) -> Result<()> {
    db.execute("UPDATE tables SET definition = ?1 WHERE id = ?2", params![definition(table)?, table.id.0])
        .map(drop)
}

pub(crate) fn remove_table(db: &Connection, table: &Table) -> Result<()> {
    db.execute("DELETE FROM tables WHERE id = ?1", [table.id.0])?;
    db.execute("DELETE FROM meta WHERE key = 'forgotten:' || ?1", [table.id.0])?;
    files::release_table(db, table.id)?;
    db.execute_batch(&format!("DROP TABLE {}", table.sqlite_name()))
}

fn definition(table: &Table) -> Result<String> {
    serde_json::to_string(table).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

pub(crate) fn store_user(db: &Connection, user: &StoredUser) -> Result<()> {
    db.execute(
        "INSERT OR REPLACE INTO users VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            &*user.id,
            user.hash,
            user.role.name(),
            user.email,
            user.created_at,
            user.updated_at,
            i64::try_from(user.generation).unwrap_or(i64::MAX),
            user.dropped
        ],
    )
    .map(drop)
}

/// Whether the table has no row at all, tombstones included.
pub(crate) fn is_empty(db: &Connection, table: &Table) -> Result<bool> {
    let sql = format!("SELECT 1 FROM {} LIMIT 1", table.sqlite_name());
    Ok(db.query_row(&sql, [], |_| Ok(())).optional()?.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(db: &Connection, sql: &str) -> i64 {
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn old_data_are_brought_to_the_newest_version_step_by_step() {
        let db = Connection::open_in_memory().unwrap();
        create(&db).unwrap();
        let steps = ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (2)"];
        migrate(&db, &steps[..1]).unwrap();
        assert_eq!(version(&db).unwrap(), 2);
        migrate(&db, &steps).unwrap();
        migrate(&db, &steps).unwrap();
        assert_eq!((version(&db).unwrap(), there(&db, "SELECT sum(x) FROM a")), (4, 3));
        let newer = migrate(&db, &steps[..1]);
        assert!(matches!(newer, Err(EngineError::SchemaVersion { found: 4, known: 2 })), "{newer:?}");
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let db = Connection::open_in_memory().unwrap();
        create(&db).unwrap();
        let steps = ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1); INSERT INTO no VALUES (1)"];
        assert!(migrate(&db, &steps).is_err());
        assert_eq!((version(&db).unwrap(), there(&db, "SELECT count(*) FROM a")), (2, 0));
        migrate(&db, &[steps[0], "INSERT INTO a VALUES (5)"]).unwrap();
        assert_eq!((version(&db).unwrap(), there(&db, "SELECT sum(x) FROM a")), (3, 5));
    }
}
