//! The client: every call gives a handle.

use std::path::PathBuf;

use kalam_bindings::{Connection, Inbox, LiveOptions, ProcessBound, Server, Start, duration, event_bounds};
use kalam_live::{
    BatchStatement, Checkpoint, KalamClient, SeqId, SubscriptionInfo, SubscriptionStage, Verify,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::consumer::{self, PyConsumer};
use crate::error::raise;
use crate::files::{PyUpload, PyUploadProgress};
use crate::handle::Handle;
use crate::inbox::PyInbox;
use crate::operation::start;
use crate::options::Options;
use crate::result::PyQueryResult;
use crate::rows::PyRowList;
use crate::stream;
use crate::value::{PyFileRef, parameters};

/// A client, with the server that was started for it if there is one.
#[pyclass(frozen, weakref, module = "kalam_live._native")]
pub(crate) struct Client(ProcessBound<Inner>);

#[derive(Clone)]
struct Inner {
    client: KalamClient,
    server: Option<Server>,
}

/// Connects with `options` as [`Options`] has them, to `urls`, or without them to a server that is started here with
/// its data in `directory` (`None`: in memory) and `root_password`, if given, set for `root`.
///
/// The first handle gives a [`Client`]. The second gives what the user's code is wanted for, lists of
/// `(what, argument)`, from now on.
#[pyfunction]
#[pyo3(signature = (options, urls=None, directory=None, root_password=None))]
pub(crate) fn connect(
    options: Options,
    urls: Option<Vec<String>>,
    directory: Option<PathBuf>,
    root_password: Option<String>,
) -> PyResult<(Handle, Handle)> {
    let inbox = Inbox::default();
    let options = options.checked().map_err(raise)?;
    let start_at = match urls {
        Some(urls) => Start::Urls(urls),
        None => Start::Embedded { directory, root_password },
    };
    let open = options.open(start_at, inbox.clone());
    let client = start(open, |py, (client, server)| {
        Ok(Py::new(py, Client(ProcessBound::new(Inner { client, server })))?.into_any())
    })?;
    Ok((client, Handle::new(PyInbox(inbox))))
}

impl Client {
    fn inner(&self) -> PyResult<&Inner> {
        self.0.get().map_err(raise)
    }

    fn client(&self) -> PyResult<KalamClient> {
        Ok(self.inner()?.client.clone())
    }
}

#[pymethods]
impl Client {
    /// Gives a `QueryResult`; as `user`, where the rights of this client allow it.
    #[pyo3(signature = (sql, params=None, *, user=None))]
    fn query(
        &self,
        sql: String,
        params: Option<&Bound<'_, PyAny>>,
        user: Option<String>,
    ) -> PyResult<Handle> {
        let (client, params) = (self.client()?, parameters(params)?);
        let query = async move {
            match user {
                None => client.query(&sql, &params).await,
                Some(user) => client.as_user(user).query(&sql, &params).await,
            }
        };
        start(query, PyQueryResult::make)
    }

    /// Gives a `RowList` with all rows, past the server's cap.
    #[pyo3(signature = (sql, params=None))]
    fn query_all(&self, sql: String, params: Option<&Bound<'_, PyAny>>) -> PyResult<Handle> {
        let (client, params) = (self.client()?, parameters(params)?);
        start(async move { client.query_all(&sql, &params).await }, PyRowList::make)
    }

    /// Gives the number of rows changed.
    #[pyo3(signature = (sql, params=None, *, user=None))]
    fn execute(
        &self,
        sql: String,
        params: Option<&Bound<'_, PyAny>>,
        user: Option<String>,
    ) -> PyResult<Handle> {
        let (client, params) = (self.client()?, parameters(params)?);
        let execute = async move {
            match user {
                None => client.execute(&sql, &params).await,
                Some(user) => client.as_user(user).execute(&sql, &params).await,
            }
        };
        start(execute, number)
    }

    /// Gives the number of rows changed. `files` are pairs of placeholder and file; `progress` counts what was sent.
    #[pyo3(signature = (sql, params, files, progress))]
    fn execute_with_files(
        &self,
        sql: String,
        params: Option<&Bound<'_, PyAny>>,
        files: Vec<PyUpload>,
        progress: PyUploadProgress,
    ) -> PyResult<Handle> {
        let (client, params) = (self.client()?, parameters(params)?);
        let files: Vec<_> = files.into_iter().map(PyUpload::upload).collect();
        let execute = async move {
            let told = move |sent| progress.0.tell(sent);
            client.execute_with_files_and_progress(&sql, &params, files, told).await
        };
        start(execute, number)
    }

    /// Gives `(bytes, type)`; of `user`'s table, or of this client's own user.
    #[pyo3(signature = (file, table, user=None))]
    fn download_file(&self, file: &PyFileRef, table: String, user: Option<String>) -> PyResult<Handle> {
        let (client, file) = (self.client()?, file.0.clone());
        let download = async move { client.download_file(&file, &table, user.as_deref()).await };
        start(download, |py, file| {
            let content = PyBytes::new(py, &file.content);
            Ok((content, file.mime).into_pyobject(py)?.into_any().unbind())
        })
    }

    /// Gives the number of rows changed. Each statement is SQL, or SQL with its parameters.
    fn batch(&self, statements: Vec<BatchItem<'_>>) -> PyResult<Handle> {
        let client = self.client()?;
        let statements = statements.into_iter().map(BatchItem::statement).collect::<PyResult<Vec<_>>>()?;
        start(async move { client.batch(statements).await }, number)
    }

    /// A consumer of a topic, with `options` as [`consumer::Options`] has them.
    fn consumer(&self, options: consumer::Options) -> PyResult<PyConsumer> {
        PyConsumer::open(&self.client()?, options).map_err(raise)
    }

    /// Opens live rows, of a query or with `table` of the table that `sql` names: gives `Rows`. `model` is called with each row and makes what the caller sees.
    #[pyo3(signature = (
        sql, params=None, *, table=false, model=None, id=None, last_rows=None, batch_size=None, from_=None,
        limit=None, key_columns=None, order_by=None, partial=false, verify=None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "one for each keyword of Python's `live`")]
    fn live(
        &self,
        py: Python<'_>,
        sql: String,
        params: Option<&Bound<'_, PyAny>>,
        table: bool,
        model: Option<Py<PyAny>>,
        id: Option<String>,
        last_rows: Option<u32>,
        batch_size: Option<u32>,
        from_: Option<Place>,
        limit: Option<usize>,
        key_columns: Option<Vec<String>>,
        order_by: Option<String>,
        partial: bool,
        verify: Option<Verification>,
    ) -> PyResult<Handle> {
        let client = self.client()?;
        let options = LiveOptions {
            id,
            last_rows,
            batch_size,
            from: Place::checkpoint(from_)?,
            limit,
            key_columns,
            order_by,
            partial,
            verify: Verification::option(verify)?,
            ..LiveOptions::default()
        };
        let (config, rows) =
            if table { options.table(&sql).map_err(raise)? } else { options.query(sql, parameters(params)?) };
        stream::live(py, async move { client.live_with_config(config, rows).await }, model)
    }

    /// Opens a stream of events: gives lists of `Event`.
    #[pyo3(signature = (
        sql, params=None, *, id=None, last_rows=None, batch_size=None, from_=None, initial_data=true,
    ))]
    #[expect(clippy::too_many_arguments, reason = "one for each keyword of Python's `live_events`")]
    fn live_events(
        &self,
        sql: String,
        params: Option<&Bound<'_, PyAny>>,
        id: Option<String>,
        last_rows: Option<u32>,
        batch_size: Option<u32>,
        from_: Option<Place>,
        initial_data: bool,
    ) -> PyResult<Handle> {
        let client = self.client()?;
        let options = LiveOptions {
            id,
            last_rows,
            batch_size,
            from: Place::checkpoint(from_)?,
            initial_data: Some(initial_data),
            ..LiveOptions::default()
        };
        let (config, _) = options.query(sql, parameters(params)?);
        stream::events(async move { client.live_events_with_bounds(config, event_bounds()).await })
    }

    /// Gives a list of `(id, sql, stage, last_seq_id)`.
    fn subscriptions(&self) -> PyResult<Handle> {
        let client = self.client()?;
        start(async move { Ok(client.subscriptions().await) }, |py, subscriptions| {
            let list = subscriptions.iter().map(|s| Bound::new(py, PySubscription::new(s)));
            Ok(PyList::new(py, list.collect::<PyResult<Vec<_>>>()?)?.into_any().unbind())
        })
    }

    /// Ends a subscription. Gives nothing.
    fn cancel_subscription(&self, id: String) -> PyResult<Handle> {
        let client = self.client()?;
        start(async move { client.cancel_subscription(&id).await }, nothing)
    }

    /// Connects again. Gives nothing.
    fn connect(&self) -> PyResult<Handle> {
        let client = self.client()?;
        start(async move { client.connect().await }, nothing)
    }

    /// Disconnects; subscriptions stay and go on with the next connection. Gives nothing.
    fn disconnect(&self) -> PyResult<Handle> {
        let client = self.client()?;
        start(
            async move {
                client.disconnect().await;
                Ok(())
            },
            nothing,
        )
    }

    /// Gives a dict of what the server says about its health.
    fn health(&self) -> PyResult<Handle> {
        let client = self.client()?;
        start(async move { client.health().await }, |py, health| {
            let dict = PyDict::new(py);
            dict.set_item("status", health.status)?;
            dict.set_item("version", health.version)?;
            dict.set_item("api_version", health.api_version)?;
            dict.set_item("build_date", health.build_date)?;
            Ok(dict.into_any().unbind())
        })
    }

    /// Closes the client, and stops the server that was started for it. Gives nothing.
    fn close(&self) -> PyResult<Handle> {
        let inner = self.inner()?.clone();
        let close = async move {
            inner.client.close().await;
            if let Some(server) = inner.server {
                server.stop().await;
            }
            Ok(())
        };
        start(close, nothing)
    }

    /// Tells the client that the network has changed: it tries at once.
    fn network_changed(&self) -> PyResult<()> {
        self.inner()?.client.network_changed();
        Ok(())
    }

    /// What has been counted since the client was made.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = self.inner()?.client.counters();
        let dict = PyDict::new(py);
        for (name, count) in [
            ("frames", counters.connection.frames),
            ("bytes", counters.connection.bytes),
            ("sent", counters.connection.sent),
            ("connects", counters.connection.connects),
            ("unknown_frames", counters.connection.unknown_frames),
            ("late_frames", counters.connection.late_frames),
            ("lagged", counters.lagged),
        ] {
            dict.set_item(name, count)?;
        }
        Ok(dict)
    }

    /// `idle`, `connecting`, `connected`, `reconnecting` or `closed`.
    #[getter]
    fn state(&self) -> PyResult<&'static str> {
        Ok(Connection::state(&self.inner()?.client.state()))
    }
}

fn nothing(py: Python<'_>, (): ()) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}

fn number(py: Python<'_>, number: u64) -> PyResult<Py<PyAny>> {
    Ok(number.into_pyobject(py)?.into_any().unbind())
}

/// SQL, or a pair of SQL and parameters.
#[derive(FromPyObject)]
enum BatchItem<'py> {
    Sql(String),
    WithParams(String, Bound<'py, PyAny>),
}

impl BatchItem<'_> {
    fn statement(self) -> PyResult<BatchStatement> {
        Ok(match self {
            Self::Sql(sql) => sql.into(),
            Self::WithParams(sql, params) => (sql, parameters(Some(&params))?).into(),
        })
    }
}

/// Whether rows are checked against the server, or how often, in seconds.
#[derive(FromPyObject)]
enum Verification {
    Whether(bool),
    Every(f64),
}

impl Verification {
    fn option(given: Option<Self>) -> PyResult<Verify> {
        Ok(match given {
            None | Some(Self::Whether(true)) => Verify::Auto,
            Some(Self::Whether(false)) => Verify::Off,
            Some(Self::Every(interval)) => Verify::Every(duration("verify", interval).map_err(raise)?),
        })
    }
}

/// Where to go on: the text of a checkpoint, or a bare `last_seq_id`.
#[derive(FromPyObject)]
enum Place {
    Number(i64),
    Text(String),
}

impl Place {
    fn checkpoint(given: Option<Self>) -> PyResult<Option<Checkpoint>> {
        Ok(match given {
            None => None,
            Some(Self::Number(seq)) => Some(SeqId::from(seq).into()),
            Some(Self::Text(text)) => Some(text.parse().map_err(raise)?),
        })
    }
}

/// An open subscription.
#[pyclass(frozen, get_all, name = "Subscription", module = "kalam_live")]
pub(crate) struct PySubscription {
    id: String,
    /// The SQL as the server gets it: parameters bound, key columns added.
    query: String,
    /// `waiting`, `subscribing`, `loading` or `ready`.
    stage: &'static str,
    /// The newest write received.
    last_seq_id: Option<i64>,
}

impl PySubscription {
    fn new(info: &SubscriptionInfo) -> Self {
        Self {
            id: info.id.to_string(),
            query: info.query.clone(),
            stage: match info.stage {
                SubscriptionStage::Waiting => "waiting",
                SubscriptionStage::Subscribing => "subscribing",
                SubscriptionStage::Loading => "loading",
                SubscriptionStage::Ready => "ready",
            },
            last_seq_id: info.last_seq_id.map(|seq| seq.get()),
        }
    }
}

#[pymethods]
impl PySubscription {
    fn __repr__(&self) -> String {
        format!("Subscription(id={:?}, query={:?}, stage={:?})", self.id, self.query, self.stage)
    }
}
