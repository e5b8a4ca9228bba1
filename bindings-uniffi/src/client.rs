//! The client: every call gives a handle.

use kalam_bindings::Client;

use crate::consumer::{Consuming, NativeConsumer};
use crate::error::NativeError;
use crate::files::{NativeSent, Upload};
use crate::handle::NativeHandle;
use crate::inbox::NativeInbox;
use crate::options::{Connecting, Subscribing};

/// One statement of a batch, with its parameters as JSON if it has any.
#[derive(uniffi::Record)]
pub struct Statement {
    pub sql: String,
    pub params: Option<String>,
}

/// What `kalam_bindings::Client` offers.
#[derive(uniffi::Object)]
pub struct NativeClient {
    client: Client,
}

#[uniffi::export]
impl NativeClient {
    #[uniffi::constructor]
    pub fn new(options: Connecting) -> Self {
        Self { client: Client::new(options.checked()) }
    }

    pub fn open(&self) -> NativeHandle {
        NativeHandle::new(self.client.open())
    }

    pub fn inbox(&self) -> NativeInbox {
        NativeInbox::new(self.client.inbox())
    }

    pub fn query(&self, sql: String, params: Option<String>, user: Option<String>) -> NativeHandle {
        NativeHandle::new(self.client.query(sql, params.as_deref(), user))
    }

    pub fn query_all(&self, sql: String, params: Option<String>) -> NativeHandle {
        NativeHandle::new(self.client.query_all(sql, params.as_deref()))
    }

    pub fn execute(&self, sql: String, params: Option<String>, user: Option<String>) -> NativeHandle {
        NativeHandle::new(self.client.execute(sql, params.as_deref(), user))
    }

    pub fn execute_with_files(
        &self,
        sql: String,
        params: Option<String>,
        files: Vec<Upload>,
        sent: &NativeSent,
    ) -> NativeHandle {
        let files = files.into_iter().map(Into::into).collect();
        NativeHandle::new(self.client.execute_with_files(sql, params.as_deref(), files, sent.counter()))
    }

    /// `file` is what a cell holds, as JSON.
    pub fn download_file(&self, file: String, table: String, user: Option<String>) -> NativeHandle {
        NativeHandle::new(self.client.download_file(&file, table, user))
    }

    pub fn batch(&self, statements: Vec<Statement>) -> NativeHandle {
        let statements = statements.into_iter().map(|statement| (statement.sql, statement.params));
        NativeHandle::new(self.client.batch(statements.collect()))
    }

    pub fn live(
        &self,
        sql: String,
        params: Option<String>,
        table: bool,
        options: Subscribing,
    ) -> NativeHandle {
        NativeHandle::new(self.client.live(sql, params.as_deref(), table, options.checked()))
    }

    pub fn live_events(&self, sql: String, params: Option<String>, options: Subscribing) -> NativeHandle {
        NativeHandle::new(self.client.live_events(sql, params.as_deref(), options.checked()))
    }

    pub fn subscriptions(&self) -> NativeHandle {
        NativeHandle::new(self.client.subscriptions())
    }

    pub fn cancel_subscription(&self, id: String) -> NativeHandle {
        NativeHandle::new(self.client.cancel_subscription(id))
    }

    pub fn connect(&self) -> NativeHandle {
        NativeHandle::new(self.client.connect())
    }

    pub fn disconnect(&self) -> NativeHandle {
        NativeHandle::new(self.client.disconnect())
    }

    pub fn health(&self) -> NativeHandle {
        NativeHandle::new(self.client.health())
    }

    /// A member of a group that reads a topic.
    pub fn consumer(&self, options: Consuming) -> Result<NativeConsumer, NativeError> {
        NativeConsumer::start(&self.client.client()?, options)
    }

    /// Closes it: a call, not the end of the object.
    pub fn shut(&self) -> NativeHandle {
        NativeHandle::new(self.client.close())
    }

    pub fn network_changed(&self) {
        self.client.network_changed();
    }

    /// As JSON.
    pub fn counters(&self) -> String {
        self.client.counters()
    }

    pub fn state(&self) -> String {
        self.client.state().to_owned()
    }
}
