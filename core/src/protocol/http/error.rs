//! Answers that say no.

use serde::Deserialize;

use super::super::server_code;
use crate::error::{Error, ErrorCode};

/// The three shapes of an error body: `{"error":{"code","message"}}` of the SQL endpoint, `{"error":code,"message"}` of
/// the login, `{"error":message,"code"}` of topics and files (recorded in `wire/sql_surface.jsonl`, `wire/auth.jsonl`,
/// `wire/topics.jsonl`, `wire/files.jsonl`).
#[derive(Deserialize)]
struct ErrorBody {
    error: Option<ErrorField>,
    message: Option<String>,
    code: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorField {
    Object { code: String, message: String },
    Text(String),
}

/// The error of an HTTP answer whose status is not a success. Any body will do, none too.
pub fn decode_error(status: u16, body: &[u8]) -> Error {
    let parsed = serde_json::from_slice::<ErrorBody>(body).ok();
    let told = parsed.and_then(|body| match (body.error, body.code, body.message) {
        (Some(ErrorField::Object { code, message }), ..) => Some((code, message)),
        (Some(ErrorField::Text(message)), Some(code), _) => Some((code, message)),
        (Some(ErrorField::Text(code)), None, Some(message)) => Some((code, message)),
        (None, Some(code), Some(message)) => Some((code, message)),
        _ => None,
    });
    match told {
        Some((code, message)) => by_status(status, server_code::error(&code, &message)),
        None => Error::new(
            code_of(status).unwrap_or(ErrorCode::Server),
            format!("the server answered with HTTP status {status}{}", hint(status)),
        ),
    }
}

/// The status says more than a code that we do not know.
fn by_status(status: u16, error: Error) -> Error {
    match code_of(status) {
        Some(code) if error.code() == ErrorCode::Server || matches!(status, 401 | 429 | 503) => {
            let server_code = error.server_code().unwrap_or_default().to_owned();
            Error::new(code, error.message()).with_server_code(server_code)
        }
        _ => error,
    }
}

fn code_of(status: u16) -> Option<ErrorCode> {
    Some(match status {
        400 | 422 => ErrorCode::InvalidArgument,
        401 | 428 => ErrorCode::AuthFailed,
        403 => ErrorCode::PermissionDenied,
        404 => ErrorCode::NotFound,
        408 | 504 => ErrorCode::Timeout,
        413 => ErrorCode::InvalidArgument,
        429 => ErrorCode::RateLimited,
        501 => ErrorCode::NotSupported,
        502 | 503 => ErrorCode::Unavailable,
        _ => return None,
    })
}

fn hint(status: u16) -> &'static str {
    match status {
        401 => ": check the user, password or token",
        404 => ": check the url, there may be no KalamDB behind it",
        413 => ": the request is too large",
        429 => ": slow down",
        502..=504 => ": it or a proxy before it is not ready, try again",
        _ => "",
    }
}
