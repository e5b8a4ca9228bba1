//! SQLite underneath: one writer, readers beside it, and the commit lock.
//!
//! In a directory: WAL, `synchronous=FULL` (a commit is on the disk before it is answered), one writer connection and
//! a few read-only ones that never wait for it. In memory: a single private connection for both. SQLite's shared
//! in-memory databases have no WAL, so readers on connections of their own would block the writer all the same; one
//! connection behind the commit lock is simpler and faster.

mod aggregates;
mod calendar;
mod connection;
mod directory;
mod functions;
mod json;
mod like;
mod maintenance;
pub(crate) mod meta;
mod regexp;
mod sequence;

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::Connection;

pub(crate) use connection::{Db, sql_error};
pub(crate) use functions::Identifiers;
pub use maintenance::{CheckReport, backup, check};
pub(crate) use meta::{Loaded, StoredUser};
pub(crate) use sequence::{Sequence, first_at, ulid};

use super::{Data, EngineError, error::SqlResult};

/// More than one user has statements running at the same time.
const MAX_READERS: usize = 6;

pub(crate) struct Storage {
    writer: Mutex<Writer>,
    /// Absent in memory.
    readers: Option<Readers>,
    pub(crate) identifiers: Arc<Identifiers>,
    /// Held as long as the directory is ours.
    _lock: Option<directory::Lock>,
}

pub(crate) struct Writer {
    pub(crate) db: Db,
    pub(crate) sequence: Sequence,
    pub(crate) identifiers: Arc<Identifiers>,
}

struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Db>,
    open: usize,
}

impl Storage {
    pub(crate) fn open(data: &Data, node: u16) -> Result<(Self, Loaded), EngineError> {
        let identifiers = Arc::new(Identifiers::default());
        let (db, lock, readers, identity) = match data {
            Data::Memory => (Db::memory(&identifiers)?, None, None, None),
            Data::Directory(path) => {
                let lock = directory::open(path)?;
                let file = lock.database();
                let db = Db::file(&file, false, &identifiers)?;
                db.connection.busy_timeout(Duration::from_secs(5))?;
                db.connection.pragma_update(None, "journal_mode", "WAL")?;
                db.connection.pragma_update(None, "synchronous", "FULL")?;
                let identity = directory::identity(&file);
                let readers = Readers { path: file, pool: Mutex::default(), returned: Condvar::new() };
                (db, Some(lock), Some(readers), identity)
            }
        };
        let loaded = meta::load(&db.connection, identity.as_deref())?;
        identifiers.snowflake.begin_after(loaded.reserved_seq);
        let sequence = Sequence::new(loaded.reserved_seq, node);
        let writer = Mutex::new(Writer { db, sequence, identifiers: Arc::clone(&identifiers) });
        Ok((Self { writer, readers, identifiers, _lock: lock }, loaded))
    }

    /// Takes the commit lock.
    pub(crate) fn write(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock()
    }

    /// Reads committed data, beside the writer where there is a directory.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Db) -> SqlResult<T>) -> SqlResult<T> {
        match &self.readers {
            None => work(&self.writer.lock().db),
            Some(_) => work(self.reader()?.db()),
        }
    }

    /// A reader of its own, to be pinned to a snapshot; `None` in memory, where the writer is the only connection.
    pub(crate) fn pinned_reader(&self) -> SqlResult<Option<Reader<'_>>> {
        self.readers.is_some().then(|| self.reader()).transpose()
    }

    fn reader(&self) -> SqlResult<Reader<'_>> {
        let Some(readers) = &self.readers else {
            return Err(super::SqlError::internal("no readers in memory"));
        };
        let mut pool = readers.pool.lock();
        loop {
            if let Some(db) = pool.idle.pop() {
                return Ok(Reader { readers, db: Some(db) });
            }
            if pool.open < MAX_READERS {
                pool.open += 1;
                break;
            }
            readers.returned.wait(&mut pool);
        }
        drop(pool);
        match Db::file(&readers.path, true, &self.identifiers) {
            Ok(db) => Ok(Reader { readers, db: Some(db) }),
            Err(error) => {
                readers.pool.lock().open -= 1;
                readers.returned.notify_one();
                Err(sql_error(error))
            }
        }
    }
}

/// A read-only connection, given back when dropped.
pub(crate) struct Reader<'a> {
    readers: &'a Readers,
    /// Taken in `drop` only.
    db: Option<Db>,
}

impl Reader<'_> {
    pub(crate) fn db(&self) -> &Db {
        self.db.as_ref().expect("a reader holds its connection until it is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let Some(db) = self.db.take() else { return };
        let mut pool = self.readers.pool.lock();
        // A transaction left open would hold an old snapshot, and the WAL, for ever.
        if db.connection.is_autocommit() || db.connection.execute_batch("ROLLBACK").is_ok() {
            pool.idle.push(db);
        } else {
            pool.open -= 1;
        }
        drop(pool);
        self.readers.returned.notify_one();
    }
}

impl Writer {
    pub(crate) fn begin(&self) -> SqlResult<()> {
        // Nothing is open here, unless a panic unwound through a write.
        self.rollback();
        run(&self.db.connection, "BEGIN IMMEDIATE")
    }

    /// Makes everything since [`Writer::begin`] durable, or none of it.
    pub(crate) fn commit(&mut self) -> SqlResult<()> {
        let reserve = self.sequence.to_reserve();
        let written = match reserve {
            Some(ceiling) => meta::reserve_seq(&self.db.connection, ceiling).map_err(sql_error),
            None => Ok(()),
        };
        let committed = written.and_then(|()| run(&self.db.connection, "COMMIT"));
        match committed {
            Ok(()) => {
                if let Some(ceiling) = reserve {
                    self.sequence.reserved(ceiling);
                }
                Ok(())
            }
            Err(error) => {
                self.rollback();
                Err(error)
            }
        }
    }

    /// Whether a transaction is open. SQLite may have rolled it back by itself.
    pub(crate) fn is_open(&self) -> bool {
        !self.db.connection.is_autocommit()
    }

    /// Begins a part of the transaction that can be undone by itself.
    pub(crate) fn savepoint(&self) -> SqlResult<()> {
        run(&self.db.connection, "SAVEPOINT job")
    }

    /// Keeps or undoes what was written since [`Writer::savepoint`].
    pub(crate) fn end_savepoint(&self, keep: bool) -> SqlResult<()> {
        if !keep {
            run(&self.db.connection, "ROLLBACK TO job")?;
        }
        run(&self.db.connection, "RELEASE job")
    }

    pub(crate) fn rollback(&self) {
        // SQLite may have rolled back by itself (disk full); then there is nothing left to do.
        if self.is_open() {
            let _ = run(&self.db.connection, "ROLLBACK");
        }
    }
}

fn run(connection: &Connection, sql: &str) -> SqlResult<()> {
    connection.prepare_cached(sql).and_then(|mut s| s.execute([])).map(drop).map_err(sql_error)
}
