//! The server's error codes, and ours.

use crate::error::{Error, ErrorCode};

/// The error for a server's `code` and `message`, from HTTP or from the WebSocket.
pub(super) fn error(code: &str, message: &str) -> Error {
    let kind = match code {
        // Of the SQL endpoint.
        "EMPTY_SQL"
        | "INVALID_SQL"
        | "BATCH_PARSE_ERROR"
        | "SQL_EXECUTION_ERROR"
        | "NOT_NULL_VIOLATION"
        | "MISSING_COLUMN" => refine(message, ErrorCode::InvalidSql),
        "INVALID_PARAMETER" | "PARAMS_WITH_BATCH" | "INVALID_INPUT" | "FILE_TOO_LARGE" | "TOO_MANY_FILES"
        | "MISSING_FILE" | "EXTRA_FILE" | "INVALID_MIME_TYPE" => ErrorCode::InvalidArgument,
        "TABLE_NOT_FOUND" | "FILE_NOT_FOUND" | "NOT_FOUND" => ErrorCode::NotFound,
        "PERMISSION_DENIED" | "FORBIDDEN" | "UNAUTHORIZED" | "INSUFFICIENT_PERMISSIONS" | "forbidden" => {
            ErrorCode::PermissionDenied
        }
        "RATE_LIMIT_EXCEEDED" | "rate_limited" => ErrorCode::RateLimited,
        "FORWARD_FAILED" | "NOT_LEADER" | "LEADER_NOT_AVAILABLE" | "CLUSTER_UNAVAILABLE" => {
            ErrorCode::Unavailable
        }
        // Of every endpoint that wants a token, and of the login.
        "MISSING_AUTHORIZATION"
        | "TOKEN_EXPIRED"
        | "INVALID_CREDENTIALS"
        | "REMOTE_ACCESS_DENIED"
        | "ACCOUNT_LOCKED"
        | "AUTHENTICATION_ERROR"
        | "AUTH_REQUIRED"
        | "unauthorized"
        | "account_locked"
        | "SETUP_REQUIRED"
        | "setup_required" => ErrorCode::AuthFailed,
        // Of the WebSocket.
        "SUBSCRIPTION_LIMIT_EXCEEDED" => ErrorCode::SubscriptionLimit,
        "SUBSCRIPTION_FAILED" | "CONVERSION_ERROR" => refine(message, ErrorCode::InvalidSql),
        "BATCH_FETCH_FAILED" => refine(message, ErrorCode::Server),
        "INVALID_SUBSCRIPTION_ID" | "MESSAGE_TOO_LARGE" => ErrorCode::InvalidArgument,
        "UNSUPPORTED" => ErrorCode::NotSupported,
        "UNSUPPORTED_DATA" | "PROTOCOL" => ErrorCode::Protocol,
        _ => ErrorCode::Server,
    };
    Error::new(kind, message).with_server_code(code)
}

/// Execution errors of all kinds share one code; only their sentence tells a missing table, a key that is taken and a
/// refused right from a wrong statement (recorded in `wire/types.jsonl`, `wire/sql_surface.jsonl`, `wire/live_basic.jsonl`).
fn refine(message: &str, otherwise: ErrorCode) -> ErrorCode {
    // An UPDATE of the primary key is called "Already exists" too, and is a wrong statement.
    if message.contains("Already exists:") && !message.contains("UPDATE cannot modify") {
        ErrorCode::AlreadyExists
    } else if message.contains("Table not found:") || message.contains("Not found:") {
        ErrorCode::NotFound
    } else if message.contains("Permission denied:") || message.contains("Access denied:") {
        ErrorCode::PermissionDenied
    } else {
        otherwise
    }
}
