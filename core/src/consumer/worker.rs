//! Which record is handled when: those of one key in order, those of different keys at the same time; failures again
//! after a pause, and what to do with what fails for good.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use compact_str::CompactString;

use crate::machine::{Backoff, Random, Time};
use crate::protocol::ConsumerRecord;

/// What a [`Worker`] is made from.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Records that are handled at the same time.
    pub concurrency: usize,
    /// How often a record is handled before it has failed.
    pub max_attempts: u32,
    /// Between the attempts.
    pub backoff: Backoff,
    /// Records that may wait here for their turn.
    pub waiting: usize,
    /// For the jitter.
    pub seed: u64,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            concurrency: 1,
            max_attempts: 3,
            backoff: Backoff {
                initial: Time::from_millis(250),
                max: Time::from_secs(5),
                ..Backoff::default()
            },
            waiting: 100,
            seed: 0,
        }
    }
}

/// A record to handle, now.
#[derive(Clone, Debug)]
pub struct Job {
    /// The record.
    pub record: Arc<ConsumerRecord>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// A record that failed as often as it may.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The record.
    pub record: Arc<ConsumerRecord>,
    /// What the last attempt failed with.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// What becomes of a record that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedAction {
    /// It stays unfinished: no commit passes it, the records of its key that follow wait, and the server delivers it
    /// again.
    Hold,
    /// It counts as finished.
    Skip,
}

#[derive(Debug)]
struct Entry {
    record: Arc<ConsumerRecord>,
    attempt: u32,
}

/// The records of one key.
#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Entry>,
    /// The first is being handled, waits for its next attempt, or for a decision.
    busy: bool,
    /// A record that failed and is held: those after it wait until it was delivered again.
    held: Option<u64>,
}

/// The name of a record's lane: its key. Without a key each record is for itself.
fn lane_of(record: &ConsumerRecord) -> CompactString {
    record.key.clone().unwrap_or_else(|| compact_str::format_compact!("\0{}", record.offset))
}

/// The schedule. See the [module](super) for how to drive it.
#[derive(Debug)]
pub struct Worker {
    config: WorkerConfig,
    random: Random,
    lanes: HashMap<CompactString, Lane>,
    /// Lanes whose first record may be handled now.
    ready: VecDeque<CompactString>,
    /// Lanes whose first record is tried again, by when.
    retries: BTreeSet<(Time, CompactString)>,
    /// Offsets that are somewhere in here.
    known: HashMap<u64, CompactString>,
    running: usize,
    undecided: VecDeque<Failed>,
    /// Handed out to be decided about.
    deciding: usize,
    stopping: bool,
}

impl Worker {
    /// A worker without records.
    pub fn new(config: WorkerConfig) -> Self {
        Self {
            random: Random::new(config.seed),
            config,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            retries: BTreeSet::new(),
            known: HashMap::new(),
            running: 0,
            undecided: VecDeque::new(),
            deciding: 0,
            stopping: false,
        }
    }

    /// How many more records it takes.
    pub fn room(&self) -> usize {
        if self.stopping {
            return 0;
        }
        (self.config.waiting + self.config.concurrency).saturating_sub(self.known.len())
    }

    /// A record that was handed out by the consumer. One that is here already is not handled twice.
    pub fn push(&mut self, record: ConsumerRecord) {
        if self.stopping || self.known.contains_key(&record.offset) {
            return;
        }
        let name = lane_of(&record);
        let lane = self.lanes.entry(name.clone()).or_default();
        let again = lane.held == Some(record.offset);
        if again {
            lane.held = None;
        } else if lane.held.is_some_and(|held| record.offset > held) {
            // Delivered again with the one it waits for.
            return;
        }
        self.known.insert(record.offset, name.clone());
        let entry = Entry { record: Arc::new(record), attempt: 1 };
        if again && !lane.busy {
            lane.queue.push_front(entry);
        } else {
            lane.queue.push_back(entry);
        }
        if !lane.busy && lane.queue.len() == 1 {
            self.ready.push_back(name);
        }
    }

    /// The next record to handle now.
    pub fn next_job(&mut self, now: Time) -> Option<Job> {
        if self.stopping || self.running >= self.config.concurrency {
            return None;
        }
        let due = self.retries.first().is_some_and(|(at, _)| *at <= now);
        let name = match if due { self.retries.pop_first() } else { None } {
            Some((_, name)) => name,
            None => self.ready.pop_front()?,
        };
        let lane = self.lanes.get_mut(&name)?;
        let first = lane.queue.front()?;
        lane.busy = true;
        self.running += 1;
        Some(Job { record: first.record.clone(), attempt: first.attempt })
    }

    /// When [`next_job`](Self::next_job) will have one by itself.
    pub fn next_timeout(&self) -> Option<Time> {
        if self.stopping || self.running >= self.config.concurrency {
            return None;
        }
        self.retries.first().map(|(at, _)| *at)
    }

    /// A record was handled. Returns whether it is finished; if not it is tried again, or has failed.
    pub fn handled(&mut self, now: Time, offset: u64, result: Result<(), String>) -> bool {
        let Some(name) = self.known.get(&offset).cloned() else { return false };
        self.running = self.running.saturating_sub(1);
        let Some(lane) = self.lanes.get_mut(&name) else { return false };
        let Some(first) = lane.queue.front_mut().filter(|first| first.record.offset == offset) else {
            return false;
        };
        match result {
            Ok(()) => {
                self.leave(&name, offset);
                true
            }
            Err(_) if first.attempt < self.config.max_attempts => {
                let delay = self.config.backoff.delay(first.attempt, false, &mut self.random);
                first.attempt += 1;
                self.retries.insert((now + delay, name));
                false
            }
            Err(error) => {
                let (record, attempts) = (first.record.clone(), first.attempt);
                self.undecided.push_back(Failed { record, error, attempts });
                false
            }
        }
    }

    /// A job that was not begun after all, since the worker is stopping. Its record stays unfinished.
    pub fn give_back(&mut self, offset: u64) {
        if let Some(name) = self.known.get(&offset).cloned() {
            self.running = self.running.saturating_sub(1);
            self.leave(&name, offset);
        }
    }

    /// The next record that failed, to be decided about by [`decide`](Self::decide).
    pub fn next_failed(&mut self) -> Option<Failed> {
        let failed = self.undecided.pop_front();
        self.deciding += usize::from(failed.is_some());
        failed
    }

    /// What becomes of a record that failed. Returns whether it counts as finished.
    pub fn decide(&mut self, offset: u64, action: FailedAction) -> bool {
        self.deciding = self.deciding.saturating_sub(1);
        let Some(name) = self.known.get(&offset).cloned() else { return false };
        match action {
            FailedAction::Skip => {
                self.leave(&name, offset);
                true
            }
            FailedAction::Hold => {
                self.known.remove(&offset);
                if let Some(lane) = self.lanes.get_mut(&name) {
                    lane.busy = false;
                    lane.held = Some(offset);
                    for entry in lane.queue.drain(..) {
                        self.known.remove(&entry.record.offset);
                    }
                }
                false
            }
        }
    }

    fn leave(&mut self, name: &CompactString, offset: u64) {
        self.known.remove(&offset);
        let Some(lane) = self.lanes.get_mut(name) else { return };
        lane.queue.pop_front();
        lane.busy = false;
        if !lane.queue.is_empty() {
            self.ready.push_back(name.clone());
        } else if lane.held.is_none() {
            self.lanes.remove(name);
        }
    }

    /// Begins nothing more.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether nothing is being handled or decided.
    pub fn is_idle(&self) -> bool {
        self.running == 0 && self.undecided.is_empty() && self.deciding == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RecordOp;

    const S: Time = Time::from_secs(1);

    fn record(offset: u64, key: &str) -> ConsumerRecord {
        ConsumerRecord {
            key: Some(key.into()),
            ..ConsumerRecord::new("app.t".into(), 0, offset, RecordOp::Insert)
        }
    }

    fn started(worker: &mut Worker, now: Time) -> Vec<(u64, u32)> {
        std::iter::from_fn(|| worker.next_job(now)).map(|job| (job.record.offset, job.attempt)).collect()
    }

    fn worker(concurrency: usize) -> Worker {
        Worker::new(WorkerConfig { concurrency, max_attempts: 2, ..WorkerConfig::default() })
    }

    #[test]
    fn records_of_a_key_are_handled_in_order_and_keys_at_the_same_time() {
        let mut worker = worker(3);
        for (offset, key) in [(0, "a"), (1, "a"), (2, "b"), (3, "a"), (4, "c"), (5, "d")] {
            worker.push(record(offset, key));
        }
        assert_eq!(started(&mut worker, S), [(0, 1), (2, 1), (4, 1)]);
        assert!(worker.handled(S, 2, Ok(())));
        assert_eq!(started(&mut worker, S), [(5, 1)]);
        assert!(worker.handled(S, 0, Ok(())));
        assert_eq!(started(&mut worker, S), [(1, 1)]);
        // Delivered again while it runs.
        worker.push(record(1, "a"));
        assert!(worker.handled(S, 1, Ok(())));
        assert_eq!(started(&mut worker, S), [(3, 1)]);
    }

    #[test]
    fn a_failure_is_tried_again_and_then_decided_about() {
        let mut worker = worker(2);
        worker.push(record(0, "a"));
        worker.push(record(1, "a"));
        worker.push(record(2, "b"));
        assert_eq!(started(&mut worker, S), [(0, 1), (2, 1)]);
        assert!(!worker.handled(S, 0, Err("first".into())));
        worker.handled(S, 2, Ok(()));
        assert_eq!(started(&mut worker, S), [], "the next of the key waits too");
        let again = worker.next_timeout().unwrap();
        assert_eq!(started(&mut worker, again), [(0, 2)]);
        assert!(!worker.handled(again, 0, Err("second".into())));
        let failed = worker.next_failed().unwrap();
        assert_eq!((failed.record.offset, failed.attempts, failed.error.as_str()), (0, 2, "second"));
        assert!(worker.decide(0, FailedAction::Skip));
        assert_eq!(started(&mut worker, again), [(1, 1)]);
    }

    #[test]
    fn what_is_held_holds_its_key_until_it_is_delivered_again() {
        let mut worker = worker(4);
        for (offset, key) in [(0, "a"), (1, "a"), (2, "b")] {
            worker.push(record(offset, key));
        }
        started(&mut worker, S);
        for now in [S, S * 60] {
            worker.handled(now, 0, Err("no".into()));
            started(&mut worker, S * 60);
        }
        worker.next_failed().unwrap();
        assert!(!worker.decide(0, FailedAction::Hold));
        worker.handled(S * 60, 2, Ok(()));
        worker.push(record(3, "a"));
        assert_eq!(started(&mut worker, S * 60), [], "it would be before its time");
        worker.push(record(0, "a"));
        worker.push(record(1, "a"));
        assert_eq!(started(&mut worker, S * 60), [(0, 1)]);
        worker.handled(S * 60, 0, Ok(()));
        assert_eq!(started(&mut worker, S * 60), [(1, 1)]);
    }

    #[test]
    fn a_stopping_worker_begins_nothing() {
        let mut worker = worker(1);
        worker.push(record(0, "a"));
        worker.push(record(1, "b"));
        started(&mut worker, S);
        worker.stop();
        assert!(!worker.is_idle());
        assert!(worker.handled(S, 0, Ok(())));
        assert_eq!((started(&mut worker, S), worker.room(), worker.is_idle()), (vec![], 0, true));
    }
}
