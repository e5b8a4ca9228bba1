//! HTTP requests with the client's token, and the queries that check live rows.

use std::sync::Arc;
use std::time::Duration;

use super::auth::Auth;
use super::http::{Http, Reply, Request, SendError};
use crate::error::Result;
use crate::protocol::{SqlRequest, StatementResult, decode_sql_response, encode_sql_request};

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

    /// Posts with the current token, and once more with a new one when the server refuses it: what was refused was not
    /// executed.
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
        let mut refused = None;
        loop {
            let token = self.auth.token(refused).await.map_err(SendError::NotSent)?;
            let request = Request::post(path, body.to_owned(), timeout);
            let reply = self.http.send(request.authorized(token.as_ref().map(|t| &t.secret))).await?;
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
