//! Logging in and what follows from it (`wire/auth.jsonl`).

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::app::{App, NotDone};
use super::attempts::Refused;
use super::http::{failure, internal_error, read, success};
use super::identity::{Unauthorized, bearer};
use super::listen::Peer;
use super::metrics::Limit;
use super::token::TokenKind;
use crate::engine::{CredentialError, Role, UserInfo};

/// A login body is two short strings.
const LOGIN_BYTES: usize = 4096;
const MOST_USER_BYTES: usize = 128;
const MOST_PASSWORD_BYTES: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    #[serde(alias = "username")]
    user: String,
    password: String,
}

#[derive(Serialize)]
struct Account<'a> {
    id: &'a str,
    role: Role,
    email: Option<&'a str>,
    created_at: &'a str,
    updated_at: &'a str,
}

#[derive(Serialize)]
struct Session<'a> {
    user: Account<'a>,
    admin_ui_access: bool,
    expires_at: String,
    access_token: String,
    refresh_token: String,
    refresh_expires_at: String,
}

#[derive(Serialize)]
struct Me<'a> {
    user: Account<'a>,
    admin_ui_access: bool,
}

pub(crate) async fn login(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    body: Body,
) -> Response {
    let bytes = match read(body, LOGIN_BYTES).await {
        Ok(bytes) => bytes,
        Err(error) => return failure(error.status(), "bad_request", &error.message(LOGIN_BYTES)),
    };
    // Serde's message could quote the password.
    let Ok(Login { user, password }) = serde_json::from_slice(&bytes) else {
        let message = r#"The body must be JSON: {"user": "...", "password": "..."}"#;
        return failure(StatusCode::BAD_REQUEST, "bad_request", message);
    };
    if user.len() > MOST_USER_BYTES || password.len() > MOST_PASSWORD_BYTES {
        let message =
            format!("A user has at most {MOST_USER_BYTES} bytes, a password at most {MOST_PASSWORD_BYTES}");
        return failure(StatusCode::BAD_REQUEST, "bad_request", &message);
    }
    let address = peer.ip();
    let verify = {
        let (app, user) = (app.clone(), user.clone());
        move || {
            app.attempts.lock().check(&user, address, Instant::now())?;
            let verified = app.engine.verify_password(&user, &password);
            match &verified {
                Ok(_) => app.attempts.lock().succeeded(&user),
                Err(CredentialError::Invalid) => app.attempts.lock().failed(&user, address, Instant::now()),
                Err(CredentialError::Internal(_)) => {}
            }
            Ok(verified)
        }
    };
    match app.logins.run(verify).await {
        Ok(Ok(Ok(user))) => {
            app.metrics.login(true);
            tracing::info!(user = %user.id, "login");
            session(&app, &user)
        }
        Ok(Ok(Err(CredentialError::Invalid))) => {
            app.metrics.login(false);
            tracing::info!(%address, "login refused");
            failure(StatusCode::UNAUTHORIZED, "unauthorized", "Invalid credentials")
        }
        Ok(Ok(Err(CredentialError::Internal(error)))) => {
            tracing::error!(%error, "a password could not be verified");
            internal_error()
        }
        Ok(Err(Refused::Locked { seconds })) => {
            app.metrics.rejected(Limit::Lockout);
            let message = format!("Too many failed logins: try again in {seconds} seconds");
            failure(StatusCode::UNAUTHORIZED, "account_locked", &message)
        }
        Ok(Err(Refused::TooMany)) | Err(NotDone::Busy) => {
            app.metrics.rejected(Limit::Logins);
            let message = "Too many login attempts: try again in a few seconds";
            failure(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
        }
        Err(NotDone::Broken) => internal_error(),
    }
}

pub(crate) async fn refresh(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let identity = bearer(&headers).and_then(|token| app.identity_of(token, TokenKind::Refresh));
    match identity.map(|identity| app.engine.user(&identity.user)) {
        Ok(Some(user)) => session(&app, &user),
        Err(Unauthorized::Expired) => unauthorized(Unauthorized::Expired.message()),
        Ok(None) | Err(_) => unauthorized("Refresh endpoint requires a refresh token"),
    }
}

pub(crate) async fn me(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match app.identity(&headers).map(|identity| app.engine.user(&identity.user)) {
        Ok(Some(user)) => success(&Me { user: account(&user), admin_ui_access: is_admin(&user) }),
        Ok(None) => unauthorized(Unauthorized::Invalid.message()),
        Err(error) => unauthorized(error.message()),
    }
}

/// Tokens are not kept here, so there is nothing to forget: the client drops its own.
pub(crate) async fn logout() -> Response {
    success(&json!({ "message": "Logged out" }))
}

pub(crate) async fn status() -> Response {
    success(&json!({ "needs_setup": false, "message": "The server is set up" }))
}

pub(crate) async fn setup() -> Response {
    failure(StatusCode::CONFLICT, "already_configured", "The server is set up: root has a password")
}

fn session(app: &App, user: &UserInfo) -> Response {
    let now = SystemTime::now();
    let (access_token, expires_at) = app.issue(user, TokenKind::Access, now);
    let (refresh_token, refresh_expires_at) = app.issue(user, TokenKind::Refresh, now);
    success(&Session {
        user: account(user),
        admin_ui_access: is_admin(user),
        expires_at: rfc3339(expires_at),
        access_token,
        refresh_token,
        refresh_expires_at: rfc3339(refresh_expires_at),
    })
}

fn account(user: &UserInfo) -> Account<'_> {
    Account {
        id: &user.id,
        role: user.role,
        email: user.email.as_deref(),
        created_at: &user.created_at,
        updated_at: &user.updated_at,
    }
}

fn is_admin(user: &UserInfo) -> bool {
    user.role >= Role::Dba
}

fn unauthorized(message: &str) -> Response {
    failure(StatusCode::UNAUTHORIZED, "unauthorized", message)
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Nanos, false)
}
