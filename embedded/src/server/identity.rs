//! Who sends a request: from a bearer token to a user.

use std::sync::Arc;
use std::time::SystemTime;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::token::{TokenError, TokenKey, TokenKind};
use crate::engine::{Caller, Engine, Role};

/// A user, and the generation of their account that was authenticated.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) user: Arc<str>,
    pub(crate) role: Role,
    generation: u64,
}

/// Why a request is refused with 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unauthorized {
    Missing,
    Invalid,
    Expired,
}

impl Unauthorized {
    /// What clients act on: they fetch a new token after `TOKEN_EXPIRED`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Missing => "MISSING_AUTHORIZATION",
            Self::Invalid => "INVALID_CREDENTIALS",
            Self::Expired => "TOKEN_EXPIRED",
        }
    }

    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Missing => "Authentication required",
            Self::Invalid => "Invalid credentials",
            Self::Expired => "Token expired",
        }
    }
}

impl From<TokenError> for Unauthorized {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid => Self::Invalid,
            TokenError::Expired => Self::Expired,
        }
    }
}

impl Identity {
    /// The user that the request's `Authorization: Bearer` names.
    pub(crate) fn of_request(
        engine: &Engine,
        key: &TokenKey,
        headers: &HeaderMap,
    ) -> Result<Self, Unauthorized> {
        Self::of_token(engine, key, bearer(headers)?, TokenKind::Access)
    }

    /// The user that a token names, unless their account was changed since.
    pub(crate) fn of_token(
        engine: &Engine,
        key: &TokenKey,
        token: &str,
        kind: TokenKind,
    ) -> Result<Self, Unauthorized> {
        let claims = key.verify(token, kind, SystemTime::now())?;
        let user = engine.user(&claims.sub).ok_or(Unauthorized::Invalid)?;
        if user.generation != claims.generation {
            return Err(Unauthorized::Invalid);
        }
        Ok(Self { user: user.id, role: user.role, generation: user.generation })
    }

    /// Whether the account is still the one that was authenticated.
    pub(crate) fn is_valid(&self, engine: &Engine) -> bool {
        engine.user(&self.user).is_some_and(|user| user.generation == self.generation)
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller { user: self.user.clone(), role: self.role }
    }
}

/// The token of `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Unauthorized> {
    let value = headers.get(AUTHORIZATION).ok_or(Unauthorized::Missing)?;
    let value = value.to_str().map_err(|_| Unauthorized::Invalid)?;
    let (scheme, token) = value.trim().split_once(' ').ok_or(Unauthorized::Invalid)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(Unauthorized::Invalid) }
}
