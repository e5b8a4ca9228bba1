//! Login, token refresh and health.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::decode_error;
use crate::error::{Error, ErrorCode, Result};

/// The body of `POST /v1/api/auth/login`.
pub fn encode_login(user: &str, password: &str) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        user: &'a str,
        password: &'a str,
    }
    // Two strings are always JSON.
    serde_json::to_string(&Body { user, password }).expect("a login is JSON")
}

/// The answer to a login, and to `POST /v1/api/auth/refresh` (which wants the refresh token as bearer and `{}` as body).
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// What authorises everything else.
    pub access_token: String,
    /// What a refresh wants, where the server gave one.
    pub refresh_token: Option<String>,
    /// When the access token ends: RFC 3339, as the server wrote it.
    pub expires_at: Option<String>,
    /// User id.
    pub user: String,
    /// `user`, `service`, `dba` or `system`.
    pub role: String,
}

/// Without the tokens.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("role", &self.role)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Decodes the answer to a login or a refresh.
///
/// # Errors
/// `auth_failed` (wrong password, locked account), `rate_limited`, or `protocol` when it is no such answer.
pub fn decode_login(status: u16, body: &[u8]) -> Result<Login> {
    #[derive(Deserialize)]
    struct Body {
        access_token: String,
        refresh_token: Option<String>,
        expires_at: Option<String>,
        user: User,
    }
    #[derive(Deserialize)]
    struct User {
        id: String,
        #[serde(default)]
        role: String,
    }
    if !(200..300).contains(&status) {
        return Err(decode_error(status, body));
    }
    // Without the parser's words: they may quote a token.
    let Body { access_token, refresh_token, expires_at, user } =
        serde_json::from_slice(body).map_err(|_| {
            Error::new(
                ErrorCode::Protocol,
                "the answer to the login can not be read: is this the url of a KalamDB server?",
            )
        })?;
    Ok(Login { access_token, refresh_token, expires_at, user: user.id, role: user.role })
}

/// The answer of `GET /health` and `GET /v1/api/healthcheck`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// `healthy`, when it is.
    pub status: String,
    /// Server version.
    #[serde(default)]
    pub version: String,
    /// API version, such as `v1`.
    #[serde(default)]
    pub api_version: String,
    /// When the server was built.
    #[serde(default)]
    pub build_date: String,
    /// Whether the server says of itself that it leaves nothing out. KalamDB says nothing.
    #[serde(default)]
    pub complete: bool,
}

/// Decodes the answer to a health check.
///
/// # Errors
/// As the status says (403 when asked from another machine), or `protocol` when it is no such answer.
pub fn decode_health(status: u16, body: &[u8]) -> Result<Health> {
    if !(200..300).contains(&status) {
        return Err(decode_error(status, body));
    }
    serde_json::from_slice(body).map_err(|e| {
        Error::new(ErrorCode::Protocol, format!("the answer to the health check can not be read: {e}"))
    })
}
