//! The client: every call gives a handle.

use kalam_bindings::Client;
use napi_derive::napi;

use crate::consumer::{Consuming, NativeConsumer};
use crate::files::{Upload, UploadProgress};
use crate::handle::Handle;
use crate::inbox::InboxHandle;
use crate::options::{Connecting, Subscribing};

/// What `kalam_bindings::Client` offers.
#[napi(js_name = "Client")]
pub struct NativeClient {
    client: Client,
}

#[napi]
impl NativeClient {
    #[napi(constructor)]
    pub fn new(options: Connecting) -> Self {
        Self { client: Client::new(options.checked()) }
    }

    #[napi]
    pub fn open(&self) -> Handle {
        Handle::new(self.client.open())
    }

    #[napi]
    pub fn inbox(&self) -> InboxHandle {
        InboxHandle::new(self.client.inbox())
    }

    #[napi]
    pub fn query(&self, sql: String, params: Option<String>, user: Option<String>) -> Handle {
        Handle::new(self.client.query(sql, params.as_deref(), user))
    }

    #[napi]
    pub fn query_all(&self, sql: String, params: Option<String>) -> Handle {
        Handle::new(self.client.query_all(sql, params.as_deref()))
    }

    #[napi]
    pub fn execute(&self, sql: String, params: Option<String>, user: Option<String>) -> Handle {
        Handle::new(self.client.execute(sql, params.as_deref(), user))
    }

    #[napi]
    pub fn execute_with_files(
        &self,
        sql: String,
        params: Option<String>,
        files: Vec<Upload>,
        progress: &UploadProgress,
    ) -> Handle {
        let files = files.into_iter().map(Upload::file).collect();
        Handle::new(self.client.execute_with_files(sql, params.as_deref(), files, progress.sent()))
    }

    #[napi]
    pub fn download_file(&self, file: String, table: String, user: Option<String>) -> Handle {
        Handle::new(self.client.download_file(&file, table, user))
    }

    #[napi]
    pub fn batch(&self, statements: Vec<(String, Option<String>)>) -> Handle {
        Handle::new(self.client.batch(statements))
    }

    #[napi]
    pub fn consumer(&self, options: Consuming) -> NativeConsumer {
        NativeConsumer { consumer: self.client.consumer(options.checked()) }
    }

    #[napi]
    pub fn live(&self, sql: String, params: Option<String>, table: bool, options: Subscribing) -> Handle {
        Handle::new(self.client.live(sql, params.as_deref(), table, options.checked()))
    }

    #[napi]
    pub fn live_events(&self, sql: String, params: Option<String>, options: Subscribing) -> Handle {
        Handle::new(self.client.live_events(sql, params.as_deref(), options.checked()))
    }

    #[napi]
    pub fn subscriptions(&self) -> Handle {
        Handle::new(self.client.subscriptions())
    }

    #[napi]
    pub fn cancel_subscription(&self, id: String) -> Handle {
        Handle::new(self.client.cancel_subscription(id))
    }

    #[napi]
    pub fn connect(&self) -> Handle {
        Handle::new(self.client.connect())
    }

    #[napi]
    pub fn disconnect(&self) -> Handle {
        Handle::new(self.client.disconnect())
    }

    #[napi]
    pub fn health(&self) -> Handle {
        Handle::new(self.client.health())
    }

    #[napi]
    pub fn close(&self) -> Handle {
        Handle::new(self.client.close())
    }

    #[napi]
    pub fn network_changed(&self) {
        self.client.network_changed();
    }

    #[napi]
    pub fn counters(&self) -> String {
        self.client.counters()
    }

    #[napi(getter)]
    pub fn state(&self) -> &'static str {
        self.client.state()
    }
}
