//! Who the client is: where tokens come from, and when a new one is asked for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::http::{Http, Request};
use super::secret::Secret;
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::{decode_login, encode_login};

/// The future of a [`TokenProvider`].
pub type TokenFuture = Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send>>;

/// What a [`TokenProvider`] may fail with. Its text is shown to the user: it must hold no secret.
pub type TokenError = Box<dyn std::error::Error + Send + Sync>;

/// Gives access tokens (JWT). Asked once before the first use, and again after the server has refused a token; never
/// twice at the same time.
///
/// Every `Fn() -> impl Future<Output = Result<String, E>>` is one:
///
/// ```
/// # use kalam_live::KalamClient;
/// # async fn fetch() -> Result<String, std::io::Error> { Ok("ey...".into()) }
/// let builder = KalamClient::builder().url("http://localhost:2900").token_provider(|| async { fetch().await });
/// ```
pub trait TokenProvider: Send + Sync + 'static {
    /// A token that is good now.
    fn token(&self) -> TokenFuture;
}

impl<F, Fut, E> TokenProvider for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<String, E>> + Send + 'static,
    E: Into<TokenError>,
{
    fn token(&self) -> TokenFuture {
        let future = self();
        Box::pin(async move { future.await.map_err(Into::into) })
    }
}

/// Where tokens come from.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// Nowhere: requests go without.
    None,
    /// This one, always.
    Token(Secret),
    /// A login.
    Login { user: String, password: Secret },
    /// The user's own code.
    Provider(Arc<dyn TokenProvider>),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Token(_) => "token",
            Self::Login { .. } => "user and password",
            Self::Provider(_) => "token provider",
        })
    }
}

/// A token and which one it is, so that a refusal of an old one does not throw away its successor.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    pub(crate) generation: u64,
}

/// Holds the current token. One for a client: HTTP and WebSocket share it.
pub(crate) struct Auth {
    credentials: Credentials,
    http: Arc<Http>,
    /// Locked while a token is being fetched, so that all who need one wait for the same answer.
    current: Mutex<Current>,
    /// Fetches finished, readable without the lock.
    fetches: AtomicU64,
}

#[derive(Default)]
struct Current {
    token: Option<Token>,
    refresh: Option<Secret>,
    /// How the latest fetch failed, if it did.
    failure: Option<Error>,
}

impl Auth {
    pub(crate) fn new(credentials: Credentials, http: Arc<Http>) -> Self {
        Self { credentials, http, current: Mutex::default(), fetches: AtomicU64::new(0) }
    }

    /// Which kind of credentials there are.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Whether asking again can give another token.
    pub(crate) fn can_refresh(&self) -> bool {
        matches!(self.credentials, Credentials::Login { .. } | Credentials::Provider(_))
    }

    /// The token to use, `None` when the client has no credentials. `refused` is the token that the server did not
    /// accept: unless there is a newer one already, a new one is fetched.
    ///
    /// # Errors
    /// `auth_failed` when the login or provider fails, `timeout` or `disconnected` when it can not be reached.
    pub(crate) async fn token(&self, refused: Option<u64>) -> Result<Option<Token>> {
        match &self.credentials {
            Credentials::None => return Ok(None),
            Credentials::Token(secret) => return Ok(Some(Token { secret: secret.clone(), generation: 0 })),
            Credentials::Login { .. } | Credentials::Provider(_) => {}
        }
        let seen = self.fetches.load(Ordering::Acquire);
        let mut current = self.current.lock().await;
        if let Some(token) = &current.token
            && refused.is_none_or(|generation| generation < token.generation)
        {
            return Ok(Some(token.clone()));
        }
        // Somebody else's fetch failed while this one waited for the lock: asking again at once, once for every
        // waiter, would only lock the account.
        if self.fetches.load(Ordering::Acquire) != seen
            && let Some(error) = &current.failure
        {
            return Err(error.clone());
        }
        let generation = current.token.as_ref().map_or(0, |t| t.generation) + 1;
        let fetched = self.fetch(&mut current).await;
        self.fetches.fetch_add(1, Ordering::Release);
        match fetched {
            Ok(secret) => {
                let token = Token { secret, generation };
                current.token = Some(token.clone());
                current.failure = None;
                Ok(Some(token))
            }
            Err(error) => {
                current.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    async fn fetch(&self, current: &mut Current) -> Result<Secret> {
        let wait = self.http.network().timeouts.auth;
        let fetch = async {
            match &self.credentials {
                Credentials::Login { user, password } => self.login(user, password, current).await,
                Credentials::Provider(provider) => match provider.token().await {
                    Ok(token) if token.is_empty() => {
                        Err(Error::new(ErrorCode::AuthFailed, "the token provider gave an empty token"))
                    }
                    Ok(token) => Ok(Secret::from(token)),
                    Err(error) => {
                        Err(Error::new(ErrorCode::AuthFailed, format!("the token provider failed: {error}"))
                            .with_retryable(true))
                    }
                },
                Credentials::None | Credentials::Token(_) => {
                    Err(Error::new(ErrorCode::AuthFailed, "there are no credentials to ask again"))
                }
            }
        };
        tokio::time::timeout(wait, fetch).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorCode::Timeout, format!("no token within {wait:?} (option `timeouts.auth`)")))
        })
    }

    async fn login(&self, user: &str, password: &Secret, current: &mut Current) -> Result<Secret> {
        let wait = self.http.network().timeouts.auth;
        // Cheaper for the server than a login; it may have been revoked with the password, so a refusal means nothing.
        if let Some(refresh) = current.refresh.take() {
            let request = Request::post("v1/api/auth/refresh", "{}".into(), wait).authorized(Some(&refresh));
            if let Ok(reply) = self.http.send(request).await
                && let Ok(login) = decode_login(reply.status, &reply.body)
            {
                current.refresh = login.refresh_token.map(Secret::from);
                return Ok(Secret::from(login.access_token));
            }
        }
        let body = encode_login(user, password.reveal());
        let reply = self
            .http
            .send(Request::post("v1/api/auth/login", body, wait))
            .await
            .map_err(|e| e.into_error())?;
        let login = decode_login(reply.status, &reply.body)?;
        current.refresh = login.refresh_token.map(Secret::from);
        Ok(Secret::from(login.access_token))
    }
}
