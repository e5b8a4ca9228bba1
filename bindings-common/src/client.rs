//! The client of a language that takes packets: every call gives a [`Source`].

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kalam_live::{BatchStatement, Error, ErrorCode, FileUpload, KalamClient, Result};
use serde_json::{Value as Json, json};

use crate::consumer::{Consumer, ConsumerOptions};
use crate::files::{self, Sent, reference};
use crate::params::parameters;
use crate::source::{Source, call, events, query, rows};
use crate::subscriptions::subscriptions;
use crate::{ConnectOptions, Connection, Inbox, LiveOptions, Server, Start, event_bounds};

/// A client, with the server that was started for it if there is one. Parameters are JSON: see [`parameters`].
pub struct Client {
    /// Until it is opened.
    start: Mutex<Option<Result<(ConnectOptions, Start)>>>,
    open: Arc<OnceLock<Open>>,
    inbox: Inbox,
}

struct Open {
    client: KalamClient,
    server: Option<Server>,
}

impl Client {
    /// A client that is to be opened with these options; what is wrong with them is told then.
    pub fn new(options: Result<(ConnectOptions, Start)>) -> Self {
        Self { start: Mutex::new(Some(options)), open: Arc::default(), inbox: Inbox::default() }
    }

    /// The client of the core, for what is no call.
    ///
    /// # Errors
    /// `closed` before it is open.
    pub fn client(&self) -> Result<KalamClient> {
        let open = self.open.get();
        open.map(|open| open.client.clone())
            .ok_or_else(|| Error::new(ErrorCode::Closed, "the client is not open"))
    }

    /// Connects, once; before that nothing else works.
    pub fn open(&self) -> Box<dyn Source> {
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (inbox, open) = (self.inbox.clone(), self.open.clone());
        call(async move {
            let already = || Err(Error::new(ErrorCode::Closed, "the client was opened before"));
            let opened = match start.unwrap_or_else(already) {
                Ok((options, start)) => options.open(start, inbox.clone()).await,
                Err(error) => Err(error),
            };
            // What fails before there is a connection to tell about closes it here.
            let (client, server) = opened.inspect_err(|_| inbox.close())?;
            // Nobody else opens it.
            let _ = open.set(Open { client, server });
            Ok(Json::Null)
        })
    }

    /// What the user's code is wanted for.
    pub fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Gives rows; as `user`, where the rights of this client allow it.
    pub fn query(&self, sql: String, params: Option<&str>, user: Option<String>) -> Box<dyn Source> {
        let (client, params) = (self.client(), parameters(params));
        query(async move {
            let (client, params) = (client?, params?);
            match user {
                None => client.query(&sql, &params).await,
                Some(user) => client.as_user(user).query(&sql, &params).await,
            }
        })
    }

    /// Gives all rows, past the server's cap.
    pub fn query_all(&self, sql: String, params: Option<&str>) -> Box<dyn Source> {
        let (client, params) = (self.client(), parameters(params));
        query(async move { client?.query_all(&sql, &params?).await })
    }

    /// Gives the number of rows changed.
    pub fn execute(&self, sql: String, params: Option<&str>, user: Option<String>) -> Box<dyn Source> {
        let (client, params) = (self.client(), parameters(params));
        call(async move {
            let (client, params) = (client?, params?);
            match user {
                None => client.execute(&sql, &params).await,
                Some(user) => client.as_user(user).execute(&sql, &params).await,
            }
        })
    }

    /// Gives the number of rows changed; what was sent of the files is counted in `sent`.
    pub fn execute_with_files(
        &self,
        sql: String,
        params: Option<&str>,
        files: Vec<FileUpload>,
        sent: Sent,
    ) -> Box<dyn Source> {
        let (client, params) = (self.client(), parameters(params));
        call(async move {
            let told = move |progress| sent.tell(progress);
            client?.execute_with_files_and_progress(&sql, &params?, files, told).await
        })
    }

    /// Gives one row: the bytes (`content`) and their type (`mime`). `file` is what a cell holds, as JSON.
    pub fn download_file(&self, file: &str, table: String, user: Option<String>) -> Box<dyn Source> {
        let (client, file) = (self.client(), reference(file));
        query(async move {
            let file = client?.download_file(&file?, &table, user.as_deref()).await?;
            Ok(vec![files::row(file)])
        })
    }

    /// Gives the number of rows changed. Each statement is SQL, and its parameters if it has any.
    pub fn batch(&self, statements: Vec<(String, Option<String>)>) -> Box<dyn Source> {
        let client = self.client();
        call(async move {
            let statements = statements.into_iter().map(|(sql, params)| {
                Ok(match params {
                    None => sql.into(),
                    Some(params) => (sql, parameters(Some(&params))?).into(),
                })
            });
            client?.batch(statements.collect::<Result<Vec<BatchStatement>>>()?).await
        })
    }

    /// Opens live rows, of a query or with `table` of the table that `sql` names.
    pub fn live(
        &self,
        sql: String,
        params: Option<&str>,
        table: bool,
        options: Result<LiveOptions>,
    ) -> Box<dyn Source> {
        let (client, params) = (self.client(), parameters(params));
        rows(async move {
            let options = options?;
            let (config, rows) = if table { options.table(&sql)? } else { options.query(sql, params?) };
            client?.live_with_config(config, rows).await
        })
    }

    /// Opens a stream of events.
    pub fn live_events(
        &self,
        sql: String,
        params: Option<&str>,
        options: Result<LiveOptions>,
    ) -> Box<dyn Source> {
        let (client, params) = (self.client(), parameters(params));
        events(async move {
            let (config, _) = options?.query(sql, params?);
            client?.live_events_with_bounds(config, event_bounds()).await
        })
    }

    /// A consumer of a topic. What is wrong with its options is told by [`Consumer::failure`].
    pub fn consumer(&self, options: Result<ConsumerOptions>) -> Consumer {
        Consumer::new(self.client().and_then(|client| options?.build(&client)))
    }

    /// Gives the open subscriptions, oldest first.
    pub fn subscriptions(&self) -> Box<dyn Source> {
        let client = self.client();
        call(async move { Ok(subscriptions(&client?.subscriptions().await)) })
    }

    /// Ends a subscription.
    pub fn cancel_subscription(&self, id: String) -> Box<dyn Source> {
        let client = self.client();
        call(async move { client?.cancel_subscription(&id).await })
    }

    /// Connects again.
    pub fn connect(&self) -> Box<dyn Source> {
        let client = self.client();
        call(async move { client?.connect().await })
    }

    /// Disconnects; subscriptions stay and go on with the next connection.
    pub fn disconnect(&self) -> Box<dyn Source> {
        let client = self.client();
        call(async move {
            client?.disconnect().await;
            Ok(())
        })
    }

    /// Gives what the server says about its health.
    pub fn health(&self) -> Box<dyn Source> {
        let client = self.client();
        call(async move {
            let health = client?.health().await?;
            Ok(json!({
                "status": health.status,
                "version": health.version,
                "apiVersion": health.api_version,
                "buildDate": health.build_date,
            }))
        })
    }

    /// Closes the client, and stops the server that was started for it.
    pub fn close(&self) -> Box<dyn Source> {
        let open = self.open.clone();
        call(async move {
            if let Some(open) = open.get() {
                open.client.close().await;
                if let Some(server) = &open.server {
                    server.stop().await;
                }
            }
            Ok(())
        })
    }

    /// Tells the client that the network has changed: it tries at once.
    pub fn network_changed(&self) {
        if let Some(open) = self.open.get() {
            open.client.network_changed();
        }
    }

    /// What has been counted since the client was made, as JSON.
    pub fn counters(&self) -> String {
        let counters = self.open.get().map(|open| open.client.counters()).unwrap_or_default();
        let (connection, verify) = (counters.connection, counters.verify);
        json!({
            "frames": connection.frames,
            "bytes": connection.bytes,
            "sent": connection.sent,
            "connects": connection.connects,
            "unknownFrames": connection.unknown_frames,
            "lateFrames": connection.late_frames,
            "lagged": counters.lagged,
            "verifyQueries": verify.queries,
            "verifyRepairs": verify.repairs,
        })
        .to_string()
    }

    /// `idle`, `connecting`, `connected`, `reconnecting` or `closed`.
    pub fn state(&self) -> &'static str {
        self.open.get().map_or("idle", |open| Connection::state(&open.client.state()))
    }
}
