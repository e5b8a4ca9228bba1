//! Tests of the HTTP bodies; `tests/recordings.rs` has what a real server answers.

use super::*;
use crate::error::ErrorCode;
use crate::value::{Decimal, Uuid, Value};

fn request<'a>(sql: &'a str, params: &'a [Value]) -> SqlRequest<'a> {
    SqlRequest { sql, params, namespace: None }
}

#[test]
fn parameters_keep_their_digits() {
    let params = [
        Value::Null,
        Value::from(true),
        Value::from(i64::MAX),
        Value::from(1.5),
        Value::from("é\"\n"),
        Value::Decimal(Decimal::parse("12.3400").expect("a decimal")),
        Value::Timestamp(1_767_323_045_000_000),
        Value::Date(20_455),
        Value::Time(11_045_000_000),
        Value::Uuid(Uuid([0x55; 16])),
        Value::Json(r#"{"a":1}"#.into()),
        Value::Embedding([0.5, 1.0].into()),
    ];
    let body = encode_sql_request(&SqlRequest { namespace: Some("app"), ..request("SELECT $1", &params) })
        .expect("JSON");
    assert_eq!(
        body,
        r#"{"sql":"SELECT $1","params":[null,true,9223372036854775807,1.5,"é\"\n","12.3400","2026-01-02T03:04:05Z","2026-01-02","03:04:05","55555555-5555-5555-5555-555555555555","{\"a\":1}","[0.5, 1.0]"],"namespace_id":"app"}"#
    );
    assert_eq!(encode_sql_request(&request("SELECT 1", &[])).expect("JSON"), r#"{"sql":"SELECT 1"}"#);
}

#[test]
fn parameters_that_can_not_be_sent_are_refused() {
    for value in [Value::from(f64::NAN), Value::from(vec![1_u8]), Value::Embedding([f32::INFINITY].into())] {
        let error =
            encode_sql_request(&request("SELECT $1, $2", &[Value::Null, value])).expect_err("refused");
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains("$2"), "{error}");
    }
    let many = vec![Value::Null; 10_001];
    assert!(encode_sql_request(&request("SELECT 1", &many)).is_err());
    let long = [Value::from("x".repeat(10_000_001))];
    assert!(
        encode_sql_request(&request("SELECT $1", &long))
            .expect_err("refused")
            .message()
            .contains("too large")
    );
}

#[test]
fn errors_follow_code_and_status() {
    for (status, body, code, server_code, retryable) in [
        (
            503,
            r#"{"status":"error","results":[],"error":{"code":"FORWARD_FAILED","message":"m"}}"#,
            ErrorCode::Unavailable,
            Some("FORWARD_FAILED"),
            true,
        ),
        (
            401,
            r#"{"status":"error","error":{"code":"TOKEN_EXPIRED","message":"m"}}"#,
            ErrorCode::AuthFailed,
            Some("TOKEN_EXPIRED"),
            false,
        ),
        (
            403,
            r#"{"error":{"code":"NEW_IN_1_0","message":"m"}}"#,
            ErrorCode::PermissionDenied,
            Some("NEW_IN_1_0"),
            false,
        ),
        (
            404,
            r#"{"error":"Topic 'x' does not exist","code":"NOT_FOUND"}"#,
            ErrorCode::NotFound,
            Some("NOT_FOUND"),
            false,
        ),
        (
            429,
            r#"{"error":"rate_limited","message":"m"}"#,
            ErrorCode::RateLimited,
            Some("rate_limited"),
            true,
        ),
        (429, "slow down", ErrorCode::RateLimited, None, true),
        (502, "<html>Bad Gateway</html>", ErrorCode::Unavailable, None, true),
        (503, "", ErrorCode::Unavailable, None, true),
        (504, "", ErrorCode::Timeout, None, true),
        (
            500,
            r#"{"error":{"code":"INTERNAL_ERROR","message":"m"}}"#,
            ErrorCode::Server,
            Some("INTERNAL_ERROR"),
            false,
        ),
        (500, "[]", ErrorCode::Server, None, false),
        (
            400,
            r#"{"error":{"code":"SQL_EXECUTION_ERROR","message":"Statement 1 failed: Table not found: x"}}"#,
            ErrorCode::NotFound,
            Some("SQL_EXECUTION_ERROR"),
            false,
        ),
        (
            400,
            r#"{"error":{"code":"SQL_EXECUTION_ERROR","message":"Statement 1 failed: Execution error"}}"#,
            ErrorCode::InvalidSql,
            Some("SQL_EXECUTION_ERROR"),
            false,
        ),
        (
            400,
            r#"{"error":{"code":"SQL_EXECUTION_ERROR","message":"Statement 1 failed: Already exists: Table a.b already exists"}}"#,
            ErrorCode::AlreadyExists,
            Some("SQL_EXECUTION_ERROR"),
            false,
        ),
        (
            400,
            r#"{"error":{"code":"SQL_EXECUTION_ERROR","message":"Statement 1 failed: Already exists: UPDATE operation on table 'a.b'\ncaused by\nError during planning: UPDATE cannot modify primary key column 'id'"}}"#,
            ErrorCode::InvalidSql,
            Some("SQL_EXECUTION_ERROR"),
            false,
        ),
        (418, "", ErrorCode::Server, None, false),
    ] {
        let error = decode_sql_response(status, body.as_bytes(), &request("SELECT 1", &[])).expect_err(body);
        assert_eq!(
            (error.code(), error.server_code(), error.retryable()),
            (code, server_code, retryable),
            "{status} {body}"
        );
        assert!(!error.message().is_empty());
    }
}

#[test]
fn an_error_under_a_status_of_success_is_an_error() {
    let body = r#"{"status":"error","results":[],"took":1.0,"error":{"code":"INVALID_SQL","message":"m"}}"#;
    let error = decode_sql_response(200, body.as_bytes(), &request("SELECT 1", &[])).expect_err("an error");
    assert_eq!(error.code(), ErrorCode::InvalidSql);
}

#[test]
fn answers_that_are_none_are_refused() {
    let schema = r#"[{"name":"a","data_type":"Int"}]"#;
    for body in [
        "<html></html>".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"status":"success"}"#.to_owned(),
        r#"{"status":"success","results":{}}"#.to_owned(),
        r#"{"status":"success","results":[],"results":[]}"#.to_owned(),
        format!(r#"{{"status":"success","results":[{{"rows":[[1]],"schema":{schema}}}]}}"#),
        format!(r#"{{"status":"success","results":[{{"schema":{schema},"rows":[[]]}}]}}"#),
        format!(r#"{{"status":"success","results":[{{"schema":{schema},"rows":[[1,2]]}}]}}"#),
        format!(r#"{{"status":"success","results":[{{"schema":{schema},"rows":[["x"]]}}]}}"#),
        format!(r#"{{"status":"success","results":[{{"schema":{schema},"rows":[{{"a":1}}]}}]}}"#),
        r#"{"status":"success","results":[]} x"#.to_owned(),
    ] {
        let error = decode_sql_response(200, body.as_bytes(), &request("SELECT 1", &[])).expect_err(&body);
        assert_eq!(error.code(), ErrorCode::Protocol, "{body}: {error}");
    }
}

#[test]
fn timestamps_of_system_tables_are_converted() {
    let body = r#"{"status":"success","results":[{"schema":[{"name":"at","data_type":"Timestamp"}],"rows":[[1795558440057]]}]}"#;
    let at = |sql: &str| {
        let results = decode_sql_response(200, body.as_bytes(), &request(sql, &[])).expect("results");
        results[0].rows[0]["at"].as_timestamp()
    };
    assert_eq!(at("SELECT at FROM system.jobs"), Some(1_795_558_440_057_000));
    assert_eq!(at("SELECT at FROM app.jobs"), Some(1_795_558_440_057));
}

#[test]
fn no_token_shows() {
    let body = r#"{"access_token":"s3cret","refresh_token":"s3cret","user":{"id":"u","role":"user"}}"#;
    let login = decode_login(200, body.as_bytes()).expect("a login");
    assert_eq!(login.access_token, "s3cret");
    assert!(!format!("{login:?}").contains("s3cret"));
    for broken in
        [r#"{"access_token":["s3cret"],"user":{"id":"u"}}"#, r#"{"access_token":"s3cret","user":"s3cret"}"#]
    {
        let error = decode_login(200, broken.as_bytes()).expect_err(broken);
        assert_eq!(error.code(), ErrorCode::Protocol);
        assert!(!format!("{error:?}").contains("s3cret"));
    }
}
