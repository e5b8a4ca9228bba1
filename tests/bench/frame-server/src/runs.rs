//! The workloads that were asked for, and when each was told to go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use crate::spec::Spec;
use crate::workload::Workload;

/// Every workload is encoded once and kept: rounds repeat.
pub(crate) struct Runs {
    runs: Mutex<HashMap<Spec, Arc<Run>>>,
    /// Counts the starts of all workloads; connections wait on it.
    starts: watch::Sender<u64>,
}

pub(crate) struct Run {
    pub(crate) workload: Workload,
    started: Mutex<Option<Start>>,
}

/// The latest start of a workload.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// 1 for the first start.
    pub(crate) generation: u64,
    instant: Instant,
    /// Microseconds since the epoch.
    epoch_us: i64,
}

impl Default for Runs {
    fn default() -> Self {
        Runs { runs: Mutex::default(), starts: watch::Sender::new(0) }
    }
}

impl Runs {
    /// Encodes the workload unless it is there. Takes about a second for a million frames: ask with `prepare` first.
    pub(crate) fn prepare(&self, spec: Spec) -> Arc<Run> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let encode = || Arc::new(Run { workload: Workload::encode(spec), started: Mutex::default() });
        runs.entry(spec).or_insert_with(encode).clone()
    }

    /// Lets the changes of a workload flow to every subscription that waits for them.
    pub(crate) fn go(&self, spec: Spec) -> Start {
        let start = self.prepare(spec).start();
        self.starts.send_modify(|count| *count += 1);
        start
    }

    pub(crate) fn watch_starts(&self) -> watch::Receiver<u64> {
        self.starts.subscribe()
    }
}

impl Run {
    fn start(&self) -> Start {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = started.map_or(0, |start| start.generation) + 1;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = Start { generation, instant: Instant::now(), epoch_us: since_epoch.as_micros() as i64 };
        *started = Some(start);
        start
    }

    pub(crate) fn latest_start(&self) -> Option<Start> {
        *self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many changes may have been sent by `now`.
    pub(crate) fn released(&self, start: Start, now: Instant) -> usize {
        let all = self.workload.spec.changes as usize;
        let Some(rate) = self.workload.spec.rate else { return all };
        let elapsed = now.saturating_duration_since(start.instant);
        all.min((elapsed.as_micros() * u128::from(rate) / 1_000_000) as usize)
    }

    /// When a change is due, in microseconds since the epoch: what a paced frame carries as `at`. It is the time that
    /// was planned, not the time of writing, so that a client which stops reading does not hide its own delay.
    pub(crate) fn due_us(&self, start: Start, index: usize) -> i64 {
        let rate = u64::from(self.workload.spec.rate.unwrap_or(1));
        start.epoch_us + (index as u64 * 1_000_000 / rate) as i64
    }
}

/// How often paced changes are handed out. Shorter than any latency worth telling apart here.
pub(crate) const PACE: Duration = Duration::from_millis(1);
