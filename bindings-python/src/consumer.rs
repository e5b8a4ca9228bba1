//! Consumers of topics and their worker loops.

use std::sync::Arc;
use std::task::{Context, Poll};

use kalam_bindings::{
    ConsumerOptions, ProcessBound, SharedConsumer, Taken, WorkStream, WorkerOptions, duration, offset_reset,
};
use kalam_live::{Committed, ConsumerRecord, KalamClient, Polling, Result, TopicConsumer, Value};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::error::raise;
use crate::handle::{Handle, Source};
use crate::names::Names;
use crate::operation::start;
use crate::row::PyRow;
use crate::value::to_python;

/// What `Client.consumer` takes.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    topic: String,
    group_id: String,
    start: String,
    partition_id: u32,
    max_poll_records: usize,
    poll_timeout: f64,
    auto_commit: bool,
    auto_commit_interval: f64,
}

/// A consumer of a topic.
#[pyclass(frozen, weakref, name = "Consumer", module = "kalam_live._native")]
pub(crate) struct PyConsumer {
    consumer: ProcessBound<SharedConsumer>,
    #[pyo3(get)]
    max_poll_records: usize,
}

impl PyConsumer {
    pub(crate) fn open(client: &KalamClient, options: Options) -> Result<Self> {
        let max_poll_records = options.max_poll_records;
        let consumer = ConsumerOptions {
            topic: options.topic,
            group_id: options.group_id,
            start: Some(offset_reset(&options.start)?),
            partition_id: Some(options.partition_id),
            max_poll_records: Some(options.max_poll_records),
            poll_timeout: Some(duration("poll_timeout", options.poll_timeout)?),
            auto_commit: Some(options.auto_commit),
            auto_commit_interval: Some(duration("auto_commit_interval", options.auto_commit_interval)?),
        }
        .build(client)?;
        Ok(Self { consumer: ProcessBound::new(Arc::new(consumer)), max_poll_records })
    }

    fn consumer(&self) -> PyResult<&SharedConsumer> {
        self.consumer.get().map_err(raise)
    }
}

#[pymethods]
impl PyConsumer {
    /// Begins a poll: gives a list of records, once.
    #[pyo3(signature = (timeout=None))]
    fn poll(&self, timeout: Option<f64>) -> PyResult<Handle> {
        let timeout = timeout.map(|seconds| duration("timeout", seconds)).transpose().map_err(raise)?;
        let poll = self.consumer()?.polling(timeout).map_err(raise)?;
        Ok(Handle::new(Records(poll)))
    }

    /// The record at this offset is finished.
    fn mark(&self, offset: u64) -> PyResult<()> {
        self.consumer()?.mark_offset(offset);
        Ok(())
    }

    /// Gives the first offset that is not committed, and how many finished records are held back.
    fn commit(&self) -> PyResult<Handle> {
        let consumer = self.consumer()?.clone();
        start(async move { consumer.commit_sync().await }, |py, done: Committed| {
            Ok((done.next_offset, done.held_back).into_pyobject(py)?.into_any().unbind())
        })
    }

    fn commit_later(&self) -> PyResult<()> {
        self.consumer()?.commit_async();
        Ok(())
    }

    fn seek(&self, offset: u64) -> PyResult<Handle> {
        let consumer = self.consumer()?.clone();
        start(async move { consumer.seek(offset).await }, |py, ()| Ok(py.None()))
    }

    fn close(&self) -> PyResult<Handle> {
        let ended = self.consumer()?.finish(TopicConsumer::CLOSE_PATIENCE);
        let close = async move {
            ended.await;
            Ok(())
        };
        start(close, |py, ()| Ok(py.None()))
    }

    #[getter]
    fn is_closed(&self) -> PyResult<bool> {
        Ok(self.consumer()?.is_closed())
    }

    #[getter]
    fn position(&self) -> PyResult<u64> {
        Ok(self.consumer()?.position())
    }

    fn offsets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let offsets = self.consumer()?.offsets();
        let dict = PyDict::new(py);
        dict.set_item("position", offsets.position)?;
        dict.set_item("committed", offsets.committed)?;
        dict.set_item("held_back", offsets.held_back)?;
        dict.set_item("unfinished", offsets.unfinished)?;
        Ok(dict)
    }

    /// Begins a worker loop. The handle gives what there is to do: lists of `(record, attempt, None)` for a record to
    /// handle and of `(record, attempts, error)` for one that failed as often as it may.
    #[pyo3(signature = (*, concurrency, max_attempts, backoff, dead_letter_topic, on_failed))]
    fn run(
        &self,
        concurrency: usize,
        max_attempts: u32,
        backoff: (f64, f64),
        dead_letter_topic: Option<String>,
        on_failed: bool,
    ) -> PyResult<(PyWork, Handle)> {
        let pause = |seconds| duration("backoff", seconds).map_err(raise);
        let options = WorkerOptions {
            concurrency: Some(concurrency),
            max_attempts: Some(max_attempts),
            backoff: Some(pause(backoff.0)?),
            max_backoff: Some(pause(backoff.1)?),
            dead_letter_topic,
            on_failed,
        };
        let work = Arc::new(WorkStream::start(self.consumer()?, options).map_err(raise)?);
        let handle = Handle::new(Jobs(work.clone()));
        Ok((PyWork(ProcessBound::new(work)), handle))
    }
}

struct Records(Polling);

impl Source for Records {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(cx)
    }

    fn take(&self, py: Python<'_>, max: usize) -> PyResult<Taken<Py<PyAny>>> {
        let records = self.0.take(max).map_err(raise)?;
        let list = PyList::empty(py);
        for record in records {
            list.append(Bound::new(py, PyRecord::new(Arc::new(record)))?)?;
        }
        Ok(Taken::Item(list.into_any().unbind()))
    }

    fn close(&self) {
        self.0.close();
    }
}

struct Jobs(Arc<WorkStream>);

impl Source for Jobs {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(cx)
    }

    fn take(&self, py: Python<'_>, max: usize) -> PyResult<Taken<Py<PyAny>>> {
        let items = match self.0.take(max).map_err(raise)? {
            Taken::Item(items) => items,
            Taken::Nothing => return Ok(Taken::Nothing),
            Taken::Ended => return Ok(Taken::Ended),
        };
        let list = PyList::empty(py);
        for item in items {
            list.append((Bound::new(py, PyRecord::new(item.record))?, item.attempt, item.error))?;
        }
        Ok(Taken::Item(list.into_any().unbind()))
    }

    fn close(&self) {
        self.0.stop();
    }
}

/// A worker loop: what its handlers say.
#[pyclass(frozen, weakref, name = "Work", module = "kalam_live._native")]
pub(crate) struct PyWork(ProcessBound<Arc<WorkStream>>);

impl PyWork {
    fn work(&self) -> PyResult<&WorkStream> {
        self.0.get().map(|work| &**work).map_err(raise)
    }
}

#[pymethods]
impl PyWork {
    /// The record at `offset` was handled, or the attempt failed with `error`.
    #[pyo3(signature = (offset, error=None))]
    fn handled(&self, offset: u64, error: Option<String>) -> PyResult<()> {
        self.work()?.handled(offset, error);
        Ok(())
    }

    /// What becomes of the record at `offset`, which failed: `skip`, `hold`, or `None` for what happens without asking. Anything
    /// else holds it and ends the loop.
    #[pyo3(signature = (offset, action=None))]
    fn decide(&self, offset: u64, action: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let action = match action {
            None => None,
            Some(action) => match action.extract::<String>() {
                Ok(word) => Some(word),
                Err(_) => Some(format!("a value of type {}", action.get_type().name()?)),
            },
        };
        self.work()?.decide(offset, action.as_deref());
        Ok(())
    }

    /// Begins nothing more.
    fn stop(&self) -> PyResult<()> {
        self.work()?.stop();
        Ok(())
    }

    /// Ends at once, waiting for nobody.
    fn abort(&self) -> PyResult<()> {
        self.work()?.abort();
        Ok(())
    }

    /// How many records were handled and how many failed.
    fn summary(&self) -> PyResult<(u64, u64)> {
        let summary = self.work()?.summary();
        Ok((summary.handled, summary.failed))
    }
}

/// One record of a topic.
#[pyclass(frozen, weakref, name = "Record", module = "kalam_live")]
pub(crate) struct PyRecord {
    record: Arc<ConsumerRecord>,
    /// Read when it is first asked for.
    content: PyOnceLock<Content>,
}

/// What the payload of a record is.
struct Content {
    row: Result<Option<Py<PyRow>>>,
    problem: Option<Py<PyString>>,
}

impl PyRecord {
    fn new(record: Arc<ConsumerRecord>) -> Self {
        Self { record, content: PyOnceLock::new() }
    }

    fn content(&self, py: Python<'_>) -> PyResult<&Content> {
        self.content.get_or_try_init(py, || {
            let row = self.record.row();
            let unfit = row.as_ref().err().map(|error| error.message());
            let problem = self.record.problem.as_deref().or(unfit);
            let problem = problem.map(|text| PyString::new(py, text).unbind());
            let row = match row {
                Ok(Some(row)) => {
                    let names = Names::new(py, row.schema())?;
                    Ok(Some(Py::new(py, PyRow::new(row, names))?))
                }
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            Ok(Content { row, problem })
        })
    }
}

#[pymethods]
impl PyRecord {
    /// The topic, with its namespace.
    #[getter]
    fn topic(&self) -> &str {
        &self.record.topic
    }

    /// The partition, from 0.
    #[getter]
    fn partition(&self) -> u32 {
        self.record.partition
    }

    /// Its place in the partition.
    #[getter]
    fn offset(&self) -> u64 {
        self.record.offset
    }

    /// The primary key of the row, as text.
    #[getter]
    fn key(&self) -> Option<&str> {
        self.record.key.as_deref()
    }

    /// What was done to the row: `insert`, `update` or `delete`.
    #[getter]
    fn op(&self) -> &'static str {
        self.record.op.as_str()
    }

    /// When, in UTC.
    #[getter]
    fn timestamp<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &Value::Timestamp(self.record.timestamp_ms.saturating_mul(1000)))
    }

    /// Owner of the row, where it has one.
    #[getter]
    fn user(&self) -> Option<&str> {
        self.record.user.as_deref()
    }

    /// The bytes of the record.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.record.payload)
    }

    /// What of the record could not be read; the rest is as good as it gets.
    #[getter]
    fn problem(&self, py: Python<'_>) -> PyResult<Option<Py<PyString>>> {
        Ok(self.content(py)?.problem.as_ref().map(|problem| problem.clone_ref(py)))
    }

    /// The payload as a row, each cell typed by its column; `None` when it is no row of a table that may be read.
    #[getter]
    fn row(&self, py: Python<'_>) -> PyResult<Option<Py<PyRow>>> {
        match &self.content(py)?.row {
            Ok(row) => Ok(row.as_ref().map(|row| row.clone_ref(py))),
            Err(error) => Err(raise(error.clone())),
        }
    }

    /// The payload as JSON, without types: a BIGINT is a text.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        LOADS.import(py, "json", "loads")?.call1((self.payload(py),))
    }

    fn __repr__(&self) -> String {
        format!(
            "Record(topic={:?}, partition={}, offset={}, key={:?}, op={:?})",
            &*self.record.topic,
            self.record.partition,
            self.record.offset,
            self.record.key.as_deref().unwrap_or_default(),
            self.record.op.as_str()
        )
    }
}
