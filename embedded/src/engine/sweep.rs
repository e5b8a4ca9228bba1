//! What goes by itself: rows of STREAM tables whose time is over, and tombstones that were kept long enough.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    EngineError, Inner, RowChange,
    catalog::{Table, TableKind},
    commits::Job,
    error::SqlResult,
    run::expire,
    storage::{Writer, first_at, meta, sql_error},
    time,
};

/// Rows that are taken out in one transaction.
pub(super) const MOST_AT_ONCE: u32 = 1000;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Looks for old tombstones are so many looks apart: they are in no hurry.
const PATIENCE: u64 = 300;

/// Sweeps from time to time. Dropped before the engine, and waited for: nobody else may hold the data then.
pub(super) struct Sweeper {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    pub(super) fn start(engine: Weak<Inner>) -> Result<Self, EngineError> {
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("kalam-sweep".to_owned());
        let spawned = thread.spawn({
            let ended = Arc::clone(&ended);
            move || {
                let mut looks: u64 = 0;
                while !ended.load(Ordering::Acquire) {
                    std::thread::park_timeout(PAUSE);
                    let Some(engine) = engine.upgrade() else { return };
                    sweep(&engine, time::now_micros(), looks.is_multiple_of(PATIENCE), &ended);
                    looks += 1;
                }
            }
        });
        let thread =
            spawned.map_err(|source| EngineError::Io { what: "can not start a thread".into(), source })?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic in it was printed.
            let _ = thread.join();
        }
    }
}

/// Takes out what is over at `now`. Returns when nothing is left, or when it is told to end.
pub(super) fn sweep(engine: &Inner, now: i64, tombstones: bool, ended: &AtomicBool) {
    for table in engine.catalog().tables() {
        if table.kind == TableKind::Stream {
            run(engine, table, Task::Expire, now, ended);
        }
        if tombstones {
            run(engine, table, Task::Forget, now, ended);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Task {
    Expire,
    Forget,
}

fn run(engine: &Inner, table: &Arc<Table>, task: Task, now: i64, ended: &AtomicBool) {
    while !ended.load(Ordering::Acquire) {
        // Most looks find nothing, and need no transaction.
        match engine.storage.read(|db| is_due(&db.connection, engine, table, task, now).map_err(sql_error)) {
            Ok(true) => {}
            Ok(false) | Err(_) => return,
        }
        let (tell, told) = mpsc::sync_channel(1);
        let sweep =
            Sweep { table: Arc::clone(table), task, now, changes: Vec::new(), more: false, done: tell };
        engine.commits.run(engine, Box::new(sweep));
        if told.recv() != Ok(true) {
            return;
        }
    }
}

/// Tombstones up to here are old enough to go.
fn horizon(engine: &Inner, table: &Table, now: i64) -> i64 {
    let hours = table.retention_hours.unwrap_or(engine.tombstone_hours);
    let micros = i64::try_from(hours).ok().and_then(|h| h.checked_mul(3_600_000_000)).unwrap_or(i64::MAX);
    first_at(now.saturating_sub(micros)) - 1
}

fn is_due(
    connection: &rusqlite::Connection,
    engine: &Inner,
    table: &Table,
    task: Task,
    now: i64,
) -> rusqlite::Result<bool> {
    let (condition, bound) = match task {
        Task::Expire => ("d = 0 AND e <= ?1", now),
        Task::Forget => ("d = 1 AND s <= ?1", horizon(engine, table, now)),
    };
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {condition})", table.sqlite_name());
    connection.prepare_cached(&sql)?.query_row([bound], |row| row.get(0))
}

/// One step, in the group commit like any other write.
struct Sweep {
    table: Arc<Table>,
    task: Task,
    now: i64,
    changes: Vec<RowChange>,
    more: bool,
    done: mpsc::SyncSender<bool>,
}

impl Job for Sweep {
    fn run(&mut self, engine: &Inner, writer: &mut Writer) -> SqlResult<()> {
        self.changes.clear();
        let Self { table, now, .. } = self;
        let catalog = engine.catalog();
        let current = catalog.table(&table.namespace, &table.name);
        if !current.is_some_and(|current| Arc::ptr_eq(current, table)) {
            return Ok(());
        }
        match self.task {
            Task::Expire => {
                let mut changes = Vec::new();
                self.more = expire(writer, table, *now, MOST_AT_ONCE, &engine.limits, &mut changes)?;
                if !engine.holes.expiry {
                    self.changes = changes;
                }
            }
            Task::Forget => {
                let up_to = horizon(engine, table, *now);
                let gone = meta::forget(&writer.db.connection, table, up_to, MOST_AT_ONCE);
                self.more = gone.map_err(sql_error)? == MOST_AT_ONCE;
            }
        }
        Ok(())
    }

    fn changes(&self) -> &[RowChange] {
        &self.changes
    }

    fn done(self: Box<Self>, result: SqlResult<()>) {
        // Nobody listens any more when the engine is gone.
        let _ = self.done.try_send(result.is_ok() && self.more);
    }
}
