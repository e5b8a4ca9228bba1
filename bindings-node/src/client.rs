//! The client: every call gives a handle.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kalam_bindings::{ConnectOptions, Connection, Inbox, LiveOptions, Server, Start, event_bounds};
use kalam_live::{BatchStatement, Error, ErrorCode, KalamClient, Result};
use napi_derive::napi;
use serde_json::{Value as Json, json};

use crate::files::{self, Progress, Upload, reference};
use crate::handle::Handle;
use crate::options::{Connecting, Subscribing};
use crate::params::parameters;
use crate::subscriptions::subscriptions;
use crate::{call, events, inbox, query, rows};

/// A client, with the server that was started for it if there is one.
#[napi]
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
    fn client(&self) -> Result<KalamClient> {
        let open = self.open.get();
        open.map(|open| open.client.clone())
            .ok_or_else(|| Error::new(ErrorCode::Closed, "the client is not open"))
    }
}

#[napi]
impl Client {
    #[napi(constructor)]
    pub fn new(options: Connecting) -> Self {
        Self { start: Mutex::new(Some(options.checked())), open: Arc::default(), inbox: Inbox::default() }
    }

    /// Connects, once; before that nothing else works.
    #[napi]
    pub fn open(&self) -> Handle {
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (inbox, open) = (self.inbox.clone(), self.open.clone());
        call::start(async move {
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
    #[napi]
    pub fn inbox(&self) -> inbox::InboxHandle {
        inbox::InboxHandle::new(self.inbox.clone())
    }

    /// Gives rows; as `user`, where the rights of this client allow it.
    #[napi]
    pub fn query(&self, sql: String, params: Option<String>, user: Option<String>) -> Handle {
        let (client, params) = (self.client(), parameters(params.as_deref()));
        query::start(async move {
            let (client, params) = (client?, params?);
            match user {
                None => client.query(&sql, &params).await,
                Some(user) => client.as_user(user).query(&sql, &params).await,
            }
        })
    }

    /// Gives all rows, past the server's cap.
    #[napi]
    pub fn query_all(&self, sql: String, params: Option<String>) -> Handle {
        let (client, params) = (self.client(), parameters(params.as_deref()));
        query::start(async move { client?.query_all(&sql, &params?).await })
    }

    /// Gives the number of rows changed.
    #[napi]
    pub fn execute(&self, sql: String, params: Option<String>, user: Option<String>) -> Handle {
        let (client, params) = (self.client(), parameters(params.as_deref()));
        call::start(async move {
            let (client, params) = (client?, params?);
            match user {
                None => client.execute(&sql, &params).await,
                Some(user) => client.as_user(user).execute(&sql, &params).await,
            }
        })
    }

    /// Gives the number of rows changed; `progress` counts what was sent.
    #[napi]
    pub fn execute_with_files(
        &self,
        sql: String,
        params: Option<String>,
        files: Vec<Upload>,
        progress: &Progress,
    ) -> Handle {
        let (client, params) = (self.client(), parameters(params.as_deref()));
        let files: Vec<_> = files.into_iter().map(Upload::file).collect();
        let progress = progress.clone();
        call::start(async move {
            let told = move |sent| progress.tell(sent);
            client?.execute_with_files_and_progress(&sql, &params?, files, told).await
        })
    }

    /// Gives one row: the bytes and their type.
    #[napi]
    pub fn download_file(&self, file: String, table: String, user: Option<String>) -> Handle {
        let client = self.client();
        query::start(async move {
            let file = client?.download_file(&reference(&file)?, &table, user.as_deref()).await?;
            Ok(vec![files::row(file)])
        })
    }

    /// Gives the number of rows changed. Each statement is SQL, and its parameters if it has any.
    #[napi]
    pub fn batch(&self, statements: Vec<(String, Option<String>)>) -> Handle {
        let client = self.client();
        call::start(async move {
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
    #[napi]
    pub fn live(&self, sql: String, params: Option<String>, table: bool, options: Subscribing) -> Handle {
        let (client, params, options) = (self.client(), parameters(params.as_deref()), options.checked());
        rows::start(async move {
            let options: LiveOptions = options?;
            let (config, rows) = if table { options.table(&sql)? } else { options.query(sql, params?) };
            client?.live_with_config(config, rows).await
        })
    }

    /// Opens a stream of events.
    #[napi]
    pub fn live_events(&self, sql: String, params: Option<String>, options: Subscribing) -> Handle {
        let (client, params, options) = (self.client(), parameters(params.as_deref()), options.checked());
        events::start(async move {
            let (config, _) = options?.query(sql, params?);
            client?.live_events_with_bounds(config, event_bounds()).await
        })
    }

    /// Gives a list of what `subscriptions` tells.
    #[napi]
    pub fn subscriptions(&self) -> Handle {
        let client = self.client();
        call::start(async move { Ok(subscriptions(&client?.subscriptions().await)) })
    }

    /// Ends a subscription.
    #[napi]
    pub fn cancel_subscription(&self, id: String) -> Handle {
        let client = self.client();
        call::start(async move { client?.cancel_subscription(&id).await })
    }

    /// Connects again.
    #[napi]
    pub fn connect(&self) -> Handle {
        let client = self.client();
        call::start(async move { client?.connect().await })
    }

    /// Disconnects; subscriptions stay and go on with the next connection.
    #[napi]
    pub fn disconnect(&self) -> Handle {
        let client = self.client();
        call::start(async move {
            client?.disconnect().await;
            Ok(())
        })
    }

    /// Gives what the server says about its health.
    #[napi]
    pub fn health(&self) -> Handle {
        let client = self.client();
        call::start(async move {
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
    #[napi]
    pub fn close(&self) -> Handle {
        let open = self.open.clone();
        call::start(async move {
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
    #[napi]
    pub fn network_changed(&self) {
        if let Some(open) = self.open.get() {
            open.client.network_changed();
        }
    }

    /// What has been counted since the client was made, as JSON.
    #[napi]
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
    #[napi(getter)]
    pub fn state(&self) -> &'static str {
        self.open.get().map_or("idle", |open| Connection::state(&open.client.state()))
    }
}
