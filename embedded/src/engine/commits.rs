//! Group commit: writes that arrive while another one is being made durable share the next commit.
//!
//! Each job runs inside a savepoint of its own, in the order of arrival, and is answered after the commit; one that fails
//! is undone and leaves the others alone. Whoever finds nobody leading leads: a caller who may block does so for the one
//! group that its own job is in, the thread `kalam-commit` for all that nobody waits for.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Condvar, Mutex};

use super::{EngineError, Inner, RowChange, SqlError, error::SqlResult, storage::Writer};

/// The most jobs of one commit: what comes later waits for the next one.
const MOST_TOGETHER: usize = 512;

/// A write that waits for its turn.
pub(crate) trait Job: Send {
    /// Does it, inside an open transaction. Called again when the transaction was lost through the fault of another.
    fn run(&mut self, engine: &Inner, writer: &mut Writer) -> SqlResult<()>;

    /// What it did to rows.
    fn changes(&self) -> &[RowChange];

    /// It is durable, or it was undone. A job that is dropped instead must tell its caller so itself.
    fn done(self: Box<Self>, result: SqlResult<()>);
}

/// The queue in front of the commit lock.
pub(crate) struct Commits(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// The thread is to lead, or to end.
    called: Condvar,
    commits: AtomicU64,
    jobs: AtomicU64,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Box<dyn Job>>,
    /// Somebody takes jobs from here until none is left.
    led: bool,
    /// That somebody is the thread.
    by_thread: bool,
    ended: bool,
}

/// Jobs and what became of them, to be told when the lock is free again.
struct Finished(Vec<(Box<dyn Job>, SqlResult<()>)>);

/// What was committed so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitCounts {
    /// Transactions of one or more single statements.
    pub commits: u64,
    /// The statements in them.
    pub statements: u64,
    /// Statements that wait for the next one.
    pub waiting: usize,
}

impl Commits {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Starts the thread. It ends when `engine` is gone.
    pub(crate) fn start(&self, engine: Weak<Inner>) -> Result<(), EngineError> {
        let shared = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("kalam-commit".to_owned());
        let spawned = thread.spawn(move || shared.serve(&engine));
        spawned.map(drop).map_err(|source| EngineError::Io { what: "can not start a thread".into(), source })
    }

    /// Queues a job that somebody waits for on this thread, which may block meanwhile. When this returns, the job is done
    /// or another thread is about to do it.
    pub(crate) fn run(&self, engine: &Inner, job: Box<dyn Job>) {
        {
            let mut queue = self.0.queue.lock();
            queue.jobs.push_back(job);
            if queue.led {
                return;
            }
            queue.led = true;
        }
        self.0.lead(engine).tell();
        // What came meanwhile is led by the thread, so that nobody waits here for the writes of others.
        let mut queue = self.0.queue.lock();
        match queue.jobs.is_empty() {
            true => queue.led = false,
            false => self.0.call(&mut queue),
        }
    }

    /// Queues a job that nobody waits for on this thread.
    pub(crate) fn submit(&self, job: Box<dyn Job>) {
        let mut queue = self.0.queue.lock();
        queue.jobs.push_back(job);
        if !queue.led {
            queue.led = true;
            self.0.call(&mut queue);
        }
    }

    pub(crate) fn counts(&self) -> CommitCounts {
        CommitCounts {
            commits: self.0.commits.load(Ordering::Relaxed),
            statements: self.0.jobs.load(Ordering::Relaxed),
            waiting: self.0.queue.lock().jobs.len(),
        }
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        self.0.queue.lock().ended = true;
        self.0.called.notify_one();
    }
}

impl Shared {
    fn call(&self, queue: &mut Queue) {
        queue.by_thread = true;
        self.called.notify_one();
    }

    fn serve(&self, engine: &Weak<Inner>) {
        loop {
            {
                let mut queue = self.queue.lock();
                if queue.by_thread && queue.jobs.is_empty() {
                    (queue.by_thread, queue.led) = (false, false);
                }
                while !queue.by_thread && !queue.ended {
                    self.called.wait(&mut queue);
                }
                if queue.ended {
                    queue.jobs.clear();
                    return;
                }
            }
            // Ours is gone before anybody is told, so that the data is closed when the last one who was told has gone.
            let Some(finished) = engine.upgrade().map(|engine| self.lead(&engine)) else { return };
            finished.tell();
        }
    }

    /// Takes a group from the queue and commits it.
    fn lead(&self, engine: &Inner) -> Finished {
        let mut writer = engine.storage.write();
        // Taken under the lock: what came while it was held by another is in this group.
        let mut jobs: Vec<Box<dyn Job>> = {
            let mut queue = self.queue.lock();
            let many = queue.jobs.len().min(MOST_TOGETHER);
            queue.jobs.drain(..many).collect()
        };
        let (results, commits) = match &mut jobs[..] {
            [] => return Finished(Vec::new()),
            [job] => (vec![alone(engine, &mut writer, job)], 1),
            jobs => match together(engine, &mut writer, jobs) {
                Some(results) => (results, 1),
                None => (jobs.iter_mut().map(|job| alone(engine, &mut writer, job)).collect(), jobs.len()),
            },
        };
        self.commits.fetch_add(commits as u64, Ordering::Relaxed);
        self.jobs.fetch_add(jobs.len() as u64, Ordering::Relaxed);
        for (job, result) in jobs.iter().zip(&results) {
            // Whoever leads must come to its end, or all that wait would wait for ever.
            let told = AssertUnwindSafe(|| engine.tell(job.changes()));
            if result.is_ok() && catch_unwind(told).is_err() {
                tracing::error!("who is told of commits has panicked");
            }
        }
        Finished(jobs.into_iter().zip(results).collect())
    }
}

impl Finished {
    fn tell(self) {
        for (job, result) in self.0 {
            job.done(result);
        }
    }
}

/// One job, one transaction.
fn alone(engine: &Inner, writer: &mut Writer, job: &mut Box<dyn Job>) -> SqlResult<()> {
    writer.begin()?;
    let done = guarded(engine, writer, job).and_then(|()| writer.commit());
    if done.is_err() {
        writer.rollback();
    }
    done
}

/// All jobs in one transaction. `None` when it was lost, with all that was done in it: SQLite itself rolls back when it is
/// interrupted in a write, or when the disk is full, and whose fault it was shows when each runs alone.
fn together(engine: &Inner, writer: &mut Writer, jobs: &mut [Box<dyn Job>]) -> Option<Vec<SqlResult<()>>> {
    let mut results = Vec::with_capacity(jobs.len());
    let lost = |writer: &Writer| {
        writer.rollback();
        None
    };
    if writer.begin().is_err() {
        return lost(writer);
    }
    for job in jobs {
        if writer.savepoint().is_err() {
            return lost(writer);
        }
        let done = guarded(engine, writer, job);
        if !writer.is_open() || writer.end_savepoint(done.is_ok()).is_err() {
            return lost(writer);
        }
        results.push(done);
    }
    match writer.commit() {
        Ok(()) => Some(results),
        Err(_) => lost(writer),
    }
}

fn guarded(engine: &Inner, writer: &mut Writer, job: &mut Box<dyn Job>) -> SqlResult<()> {
    // The panic was printed. Its writes are undone like those of any job that fails.
    catch_unwind(AssertUnwindSafe(|| job.run(engine, writer))).unwrap_or_else(|_| Err(SqlError::broken()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::engine::{Data, Engine, EngineOptions};

    /// Gets how often it was called before.
    type Work = Box<dyn FnMut(&Writer, usize) -> SqlResult<()> + Send>;

    struct Fake {
        work: Work,
        calls: usize,
        name: &'static str,
        told: mpsc::Sender<(&'static str, SqlResult<()>)>,
    }

    impl Job for Fake {
        fn run(&mut self, _: &Inner, writer: &mut Writer) -> SqlResult<()> {
            self.calls += 1;
            (self.work)(writer, self.calls - 1)
        }

        fn changes(&self) -> &[RowChange] {
            &[]
        }

        fn done(self: Box<Self>, result: SqlResult<()>) {
            self.told.send((self.name, result)).unwrap();
        }
    }

    fn sql(writer: &Writer, text: &str) -> SqlResult<()> {
        writer.db.connection.execute_batch(text).map_err(|error| SqlError::execution(error.to_string()))
    }

    /// Commits jobs as one group. What each was told, and the values that are there.
    fn committed(jobs: Vec<(&'static str, Work)>) -> (Vec<(&'static str, bool)>, Vec<i64>) {
        let engine = Engine::open(EngineOptions::new(Data::Memory)).unwrap();
        let (told, heard) = mpsc::channel();
        let writer = engine.inner.storage.write();
        sql(&writer, "CREATE TABLE x (v INTEGER PRIMARY KEY)").unwrap();
        for (name, work) in jobs {
            engine.inner.commits.submit(Box::new(Fake { work, calls: 0, name, told: told.clone() }));
        }
        // All wait for the lock.
        drop((writer, told));
        let mut results: Vec<_> = heard.iter().map(|(name, result)| (name, result.is_ok())).collect();
        results.sort_unstable();
        let writer = engine.inner.storage.write();
        let mut statement = writer.db.connection.prepare("SELECT v FROM x ORDER BY v").unwrap();
        let values = statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>();
        (results, values.unwrap())
    }

    fn insert(value: i64) -> Work {
        Box::new(move |writer, _| sql(writer, &format!("INSERT INTO x VALUES ({value})")))
    }

    #[test]
    fn a_job_that_fails_is_undone_alone() {
        let half: Work =
            Box::new(|writer, _| sql(writer, "INSERT INTO x VALUES (7); INSERT INTO x VALUES (1)"));
        let panics: Work = Box::new(|writer, _| {
            sql(writer, "INSERT INTO x VALUES (8)")?;
            panic!("on purpose")
        });
        let jobs = vec![("a", insert(1)), ("half", half), ("panics", panics), ("z", insert(2))];
        let (told, values) = committed(jobs);
        assert_eq!(told, [("a", true), ("half", false), ("panics", false), ("z", true)]);
        assert_eq!(values, [1, 2]);
    }

    #[test]
    fn a_lost_transaction_costs_only_the_job_that_lost_it() {
        // What SQLite does by itself when it is interrupted in a write, or when the disk is full.
        let loses: Work = Box::new(|writer, _| {
            sql(writer, "ROLLBACK")?;
            Err(SqlError::execution("interrupted"))
        });
        let (told, values) = committed(vec![("a", insert(1)), ("loses", loses), ("z", insert(2))]);
        assert_eq!(told, [("a", true), ("loses", false), ("z", true)]);
        assert_eq!(values, [1, 2]);
    }

    #[test]
    fn what_waits_shares_one_commit() {
        let engine = Engine::open(EngineOptions::new(Data::Memory)).unwrap();
        let (told, heard) = mpsc::channel();
        let writer = engine.inner.storage.write();
        sql(&writer, "CREATE TABLE x (v INTEGER PRIMARY KEY)").unwrap();
        for value in 0..100 {
            let work = insert(value);
            engine.inner.commits.submit(Box::new(Fake { work, calls: 0, name: "", told: told.clone() }));
        }
        drop((writer, told));
        assert_eq!(heard.iter().filter(|(_, result)| result.is_ok()).count(), 100);
        let counts = engine.commit_counts();
        assert_eq!((counts.commits, counts.statements, counts.waiting), (1, 100, 0));
    }

    #[test]
    fn jobs_that_nobody_runs_any_more_are_dropped() {
        let (told, heard) = mpsc::channel::<(&'static str, SqlResult<()>)>();
        let commits = Commits::new();
        commits.start(Weak::new()).unwrap();
        commits.submit(Box::new(Fake { work: insert(1), calls: 0, name: "", told }));
        drop(commits);
        assert!(heard.recv().is_err(), "the job is gone, and with it whoever waits for it is told");
    }
}
