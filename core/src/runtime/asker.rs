//! HTTP requests with the client's token, and the queries that check live rows.

use std::sync::Arc;
use std::time::Duration;

use super::auth::Auth;
use super::http::{Http, Reply, Request, SendError};
use super::upload::Upload;
use crate::error::Result;
use crate::protocol::{SqlRequest, StatementResult, decode_sql_response, encode_sql_request};

/// 100 KB a second.
const SLOW_BYTES_PER_MILLISECOND: u64 = 100;

/// The client's way to the SQL endpoint.
#[derive(Clone)]
pub(crate) struct Asker {
    http: Arc<Http>,
    auth: Arc<Auth>,
}

impl Asker {
    pub(crate) fn new(http: Arc<Http>, auth: Arc<Auth>) -> Self {
        Self { http, auth }
    }

    /// See [`Http::forget_connections`].
    pub(crate) fn forget_connections(&self) {
        self.http.forget_connections();
    }

    /// Posts JSON with the current token.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Result<Reply, SendError> {
        self.post_within(path, body, self.patience()).await
    }

    /// How long the answer to a request is waited for.
    pub(crate) fn patience(&self) -> Duration {
        self.http.network().timeouts.request
    }

    /// The same with another time for the answer.
    pub(crate) async fn post_within(
        &self,
        path: &str,
        body: &str,
        timeout: Duration,
    ) -> Result<Reply, SendError> {
        self.send(|| Request::post(path, body.to_owned(), timeout)).await
    }

    /// Posts files.
    pub(crate) async fn upload(&self, path: &str, form: &Upload) -> Result<Reply, SendError> {
        let timeout = self.time_for(form.bytes());
        self.send(|| Request::form(path, form, timeout)).await
    }

    /// Gets a file of at most so many bytes.
    pub(crate) async fn download(&self, path: &str, bytes: u64) -> Result<Reply, SendError> {
        let timeout = self.time_for(bytes);
        // An error is an answer, too.
        let max_bytes = usize::try_from(bytes).unwrap_or(usize::MAX).max(self.http.network().max_bytes);
        self.send(|| Request { max_bytes: Some(max_bytes), ..Request::get(path, timeout) }).await
    }

    /// The time for a request with so many bytes: a slow network carries a file, too.
    fn time_for(&self, bytes: u64) -> Duration {
        self.patience() + Duration::from_millis(bytes / SLOW_BYTES_PER_MILLISECOND)
    }

    /// Sends with the current token, and once more with a new one when the server refuses it: what was refused was not
    /// executed.
    async fn send<'a>(&self, request: impl Fn() -> Request<'a>) -> Result<Reply, SendError> {
        let mut refused = None;
        loop {
            let token = self.auth.token(refused).await.map_err(SendError::NotSent)?;
            let secret = token.as_ref().map(|t| &t.secret);
            let reply = self.http.send(request().authorized(secret)).await?;
            match token {
                Some(token) if reply.status == 401 && refused.is_none() && self.auth.can_refresh() => {
                    refused = Some(token.generation);
                }
                _ => return Ok(reply),
            }
        }
    }

    /// Runs SQL that only reads, once: who asks decides whether to ask again. Also gives the bytes of the answer.
    pub(crate) async fn read(&self, sql: &str) -> (u64, Result<Vec<StatementResult>>) {
        let request = SqlRequest { sql, params: &[], namespace: None };
        let body = match encode_sql_request(&request) {
            Ok(body) => body,
            Err(error) => return (0, Err(error)),
        };
        match self.post("v1/api/sql", &body).await {
            Ok(reply) => (reply.body.len() as u64, decode_sql_response(reply.status, &reply.body, &request)),
            Err(error) => (0, Err(error.into_error())),
        }
    }
}
