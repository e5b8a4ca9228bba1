//! HTTP requests: sent to the first server that can be reached, answers read up to a limit.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};

use super::network::{Network, bearer, root_cause, unreachable};
use super::secret::Secret;
use super::upload::Upload;
use crate::error::{Error, ErrorCode, Result};

/// The HTTP side of a client.
pub(crate) struct Http {
    /// With the connections that it keeps open for the next requests.
    client: Mutex<reqwest::Client>,
    network: Network,
    /// Which endpoint answered last.
    preferred: AtomicUsize,
}

/// What to send.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Below the server's address, without leading slash.
    pub(crate) path: &'a str,
    pub(crate) content: Content<'a>,
    pub(crate) token: Option<&'a Secret>,
    pub(crate) timeout: Duration,
    /// Bytes of an answer that may be larger than others.
    pub(crate) max_bytes: Option<usize>,
}

/// Room that is made for an answer before it is there.
const MOST_ANNOUNCED: usize = 1 << 20;

/// The body of a request.
pub(crate) enum Content<'a> {
    Nothing,
    Json(String),
    Form(&'a Upload),
}

impl<'a> Request<'a> {
    /// A GET without a token.
    pub(crate) fn get(path: &'a str, timeout: Duration) -> Self {
        Self { method: Method::GET, path, content: Content::Nothing, token: None, timeout, max_bytes: None }
    }

    /// A POST of JSON without a token.
    pub(crate) fn post(path: &'a str, body: String, timeout: Duration) -> Self {
        Self { method: Method::POST, content: Content::Json(body), ..Self::get(path, timeout) }
    }

    /// A POST of a form without a token.
    pub(crate) fn form(path: &'a str, form: &'a Upload, timeout: Duration) -> Self {
        Self { method: Method::POST, content: Content::Form(form), ..Self::get(path, timeout) }
    }

    /// The same with a token.
    pub(crate) fn authorized(self, token: Option<&'a Secret>) -> Self {
        Self { token, ..self }
    }
}

/// A complete answer, whatever its status.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Nothing reached a server: sending again can not do anything twice.
    NotSent(Error),
    /// The request may have been carried out.
    NoAnswer(Error),
}

impl SendError {
    /// The error for a request that changes nothing.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::NotSent(error) | Self::NoAnswer(error) => error,
        }
    }
}

/// A node without a leader, or one that is about to stop.
const SERVICE_UNAVAILABLE: u16 = 503;

impl Http {
    /// # Errors
    /// `config` when the options do not make an HTTP client.
    pub(crate) fn new(network: Network) -> Result<Self> {
        let client = Mutex::new(Self::client(&network)?);
        Ok(Self { client, network, preferred: AtomicUsize::new(0) })
    }

    fn client(network: &Network) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured((*network.tls).clone())
            .connect_timeout(network.timeouts.connect)
            // A redirected POST would become a GET, and carry the token to who knows where.
            .redirect(Policy::none())
            .referer(false)
            .default_headers(network.headers.0.clone())
            .user_agent(network.user_agent.clone())
            .no_proxy();
        if let Some(proxy) = &network.proxy {
            builder = builder.proxy(proxy.to_reqwest()?);
        }
        builder
            .build()
            .map_err(|e| Error::new(ErrorCode::Config, format!("can not set up HTTP: {}", root_cause(&e))))
    }

    /// Uses no open connection again: the network that they were made in may be gone, which a request on one of them would
    /// notice only by its timeout. Requests that are under way go on.
    pub(crate) fn forget_connections(&self) {
        // The same options made one before.
        if let Ok(client) = Self::client(&self.network) {
            *self.lock() = client;
        }
    }

    fn lock(&self) -> MutexGuard<'_, reqwest::Client> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The options this was made from.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Sends to the endpoint that answered last; when it can not be reached, to the others in turn. After one that is not
    /// well the next request begins at another, so that a repetition goes there: whether to repeat is the caller's choice.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Reply, SendError> {
        let endpoints = &self.network.endpoints;
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failure = None;
        for turn in 0..endpoints.len() {
            let index = (first + turn) % endpoints.len();
            match self.send_to(index, &request).await {
                Ok(reply) => {
                    let is_well = reply.status != SERVICE_UNAVAILABLE;
                    self.preferred.store(if is_well { index } else { index + 1 }, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(SendError::NotSent(error)) => failure = failure.or(Some(error)),
                Err(error) => {
                    self.preferred.store(index + 1, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        let none = || Error::new(ErrorCode::Config, "option `url`: there is none");
        Err(SendError::NotSent(failure.unwrap_or_else(none)))
    }

    async fn send_to(&self, index: usize, request: &Request<'_>) -> Result<Reply, SendError> {
        let endpoint = &self.network.endpoints[index];
        let builder = self.build(&endpoint.http(request.path), request).map_err(SendError::NotSent)?;
        let response = builder.send().await.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                let error = if error.is_timeout() {
                    let wait = self.network.timeouts.connect;
                    Error::new(
                        ErrorCode::Timeout,
                        format!("no connection to {endpoint} within {wait:?} (option `timeouts.connect`)"),
                    )
                } else {
                    unreachable(endpoint, &error)
                };
                SendError::NotSent(error)
            } else {
                SendError::NoAnswer(self.no_answer(index, request, &error))
            }
        })?;
        if response.status().is_redirection() {
            let target = response.headers().get(LOCATION).and_then(|l| l.to_str().ok()).unwrap_or("nowhere");
            return Err(SendError::NotSent(Error::new(
                ErrorCode::Config,
                format!(
                    "option `url`: {endpoint} redirects to {target}; use the address of the server itself"
                ),
            )));
        }
        self.read(index, request, response).await.map_err(SendError::NoAnswer)
    }

    fn build(&self, url: &str, request: &Request<'_>) -> Result<RequestBuilder> {
        let mut builder = self.lock().request(request.method.clone(), url).timeout(request.timeout);
        if let Some(token) = request.token {
            builder = builder.header(AUTHORIZATION, bearer(token)?);
        }
        Ok(match &request.content {
            Content::Nothing => builder,
            Content::Json(body) => builder.header(CONTENT_TYPE, "application/json").body(body.clone()),
            Content::Form(upload) => builder.multipart(upload.form()),
        })
    }

    async fn read(
        &self,
        index: usize,
        request: &Request<'_>,
        mut response: reqwest::Response,
    ) -> Result<Reply> {
        let limit = request.max_bytes.unwrap_or(self.network.max_bytes);
        let too_large = || {
            Error::new(
                ErrorCode::Protocol,
                format!(
                    "the answer is larger than {limit} bytes: ask for fewer rows, or raise `max_message_bytes`"
                ),
            )
        };
        if response.content_length().is_some_and(|n| n > limit as u64) {
            return Err(too_large());
        }
        let status = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        // What a server announces is believed up to a point.
        let announced = response.content_length().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.no_answer(index, request, &e))? {
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            if body.is_empty() && !chunk.is_empty() && chunk.len() == announced {
                return Ok(Reply { status, content_type, body: chunk });
            }
            body.reserve(announced.min(MOST_ANNOUNCED).saturating_sub(body.len()));
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, content_type, body: body.into() })
    }

    fn no_answer(&self, index: usize, request: &Request<'_>, error: &reqwest::Error) -> Error {
        let endpoint = &self.network.endpoints[index];
        if error.is_timeout() {
            let wait = request.timeout;
            Error::new(ErrorCode::Timeout, format!("no answer from {endpoint} within {wait:?}"))
        } else {
            Error::new(
                ErrorCode::Disconnected,
                format!(
                    "the connection to {endpoint} was lost before its answer was complete: {}",
                    root_cause(error)
                ),
            )
        }
    }
}
