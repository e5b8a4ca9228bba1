//! Tokens: how they are got, what they open, when they end.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use kalam_embedded::{Limits, Options};
use serde_json::json;
use tokio_tungstenite::tungstenite::Error;

use crate::support::{Got, Server, Ws, login, options, request, table, try_login};

#[tokio::test]
async fn a_session_is_got_refreshed_and_looked_at() {
    let server = Server::start().await;
    let answer = try_login(server.port(), "root", "kalamdb123").await;
    let (access, refresh) = (answer.text("access_token"), answer.text("refresh_token"));
    let me = request(server.port(), "GET", "/v1/api/auth/me", Some(&access), None).await;
    assert_eq!((me.status, &me.body["user"]), (200, &answer.body["user"]));

    let path = "/v1/api/auth/refresh";
    let refused = request(server.port(), "POST", path, Some(&access), None).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.text("message"), "Refresh endpoint requires a refresh token");
    let refreshed = request(server.port(), "POST", path, Some(&refresh), None).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.body);
    server.sql_as(&refreshed.text("access_token"), "SELECT 1").await;
    let answer = server.try_sql(&refresh, "SELECT 1").await;
    assert_eq!(
        (answer.status, answer.error_code()),
        (401, "INVALID_CREDENTIALS"),
        "a refresh token is no access"
    );
}

#[tokio::test]
async fn the_user_may_be_called_username_and_nothing_else_is_taken() {
    let server = Server::start().await;
    let path = "/v1/api/auth/login";
    for (body, status) in [
        (json!({ "username": "root", "password": "kalamdb123" }), 200),
        (json!({ "user": "root", "password": "kalamdb123", "more": 1 }), 400),
        (json!({ "user": "root" }), 400),
        (json!({ "user": "x".repeat(129), "password": "x" }), 400),
        (json!({ "user": "x", "password": "x".repeat(257) }), 400),
        (json!({ "user": "x".repeat(10_000), "password": "x" }), 413),
        (json!([1, 2]), 400),
        (json!({ "user": "nobody", "password": "kalamdb123" }), 401),
    ] {
        let answer = request(server.port(), "POST", path, None, Some(&body)).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert!(!answer.body.to_string().contains("kalamdb123"), "{}", answer.body);
    }
}

#[tokio::test]
async fn an_expired_token_says_so_and_leaves_open_sockets_alone() {
    let lifetime = Duration::from_secs(4);
    let server = Server::with(Options { access_token_lifetime: lifetime, ..options() }).await;
    table(&server, "USER").await;
    let expires = SystemTime::now() + lifetime;
    let token = login(server.port(), "root", "kalamdb123").await;
    let mut ws = server.ws(&token).await;
    ws.snapshot("s", "SELECT * FROM app.t", json!({})).await;

    // The token expires by the clock of the wall, so that is waited for.
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left + Duration::from_secs(1)).await;
    let answer = server.try_sql(&token, "SELECT 1").await;
    assert_eq!((answer.status, answer.error_code()), (401, "TOKEN_EXPIRED"));
    let Err(Error::Http(response)) = Ws::try_open(server.port(), "/v1/ws", Some(&token)).await else {
        panic!("an expired token opened a socket");
    };
    assert_eq!(response.status(), 401);
    let body = String::from_utf8(response.body().clone().unwrap_or_default()).unwrap();
    assert!(body.contains("TOKEN_EXPIRED"), "{body}");
    let mut late = Ws::open(server.port(), "/v1/ws", None).await;
    late.authenticate(&token).await;
    assert_eq!(late.frame().await, json!({ "type": "auth_error", "message": "Token expired" }));
    assert_eq!(late.next().await, Got::Close(1008, "Authentication failed".into()));

    let fresh = login(server.port(), "root", "kalamdb123").await;
    server.sql_as(&fresh, "INSERT INTO app.t (id, v) VALUES (1, 'x')").await;
    assert_eq!(ws.change().await["rows"][0]["id"], 1);
}

#[tokio::test]
async fn a_changed_or_dropped_user_loses_tokens_and_sockets() {
    let server = Server::start().await;
    for change in
        ["ALTER USER 'ann' SET PASSWORD 'another'", "ALTER USER 'ann' SET ROLE service", "DROP USER 'ann'"]
    {
        let token = server.user("ann", "user").await;
        let bystander = server.user("bob", "user").await;
        let (mut ws, mut other) = (server.ws(&token).await, server.ws(&bystander).await);
        server.sql(change).await;
        let Got::Close(1008, reason) = ws.end().await else { panic!("{change}: not closed with 1008") };
        assert!(reason.contains("authenticate again"), "{reason}");
        let answer = server.try_sql(&token, "SELECT 1").await;
        assert_eq!((answer.status, answer.error_code()), (401, "INVALID_CREDENTIALS"), "{change}");
        other.authenticate(&bystander).await;
        assert_eq!(other.frame().await["type"], "auth_success", "a bystander stays");
        server.sql("DROP USER IF EXISTS 'ann'").await;
        server.sql("DROP USER 'bob'").await;
    }
}

#[tokio::test]
async fn a_user_made_again_does_not_revive_old_tokens() {
    let server = Server::start().await;
    let old = server.user("ann", "user").await;
    server.sql("DROP USER 'ann'").await;
    let new = server.user("ann", "user").await;
    assert_eq!(server.try_sql(&old, "SELECT 1").await.status, 401);
    server.sql_as(&new, "SELECT 1").await;
}

#[tokio::test]
async fn failed_logins_lock_the_user_out_for_a_while() {
    let limits = Limits { login_failures: 3, lockout: Duration::from_secs(3600), ..Limits::default() };
    let server = Server::with(Options { limits, ..options() }).await;
    server.sql("CREATE USER 'ann' WITH PASSWORD 'right' ROLE user").await;
    for _ in 0..3 {
        let answer = try_login(server.port(), "ann", "wrong").await;
        assert_eq!((answer.status, answer.text("error")), (401, "unauthorized".into()));
        assert_eq!(answer.text("message"), "Invalid credentials");
    }
    let answer = try_login(server.port(), "ann", "right").await;
    assert_eq!((answer.status, answer.text("error")), (401, "account_locked".into()));
    login(server.port(), "root", "kalamdb123").await;
}

#[tokio::test]
async fn many_failed_logins_from_one_address_are_rate_limited() {
    let limits = Limits { login_failures_per_second: 1, ..Limits::default() };
    let server = Server::with(Options { limits, ..options() }).await;
    let names: Vec<String> = (0..30).map(|n| format!("nobody{n}")).collect();
    let answers = join_all(names.iter().map(|name| try_login(server.port(), name, "wrong"))).await;
    for answer in &answers {
        let code = if answer.status == 429 { "rate_limited" } else { "unauthorized" };
        assert_eq!(answer.text("error"), code, "{}", answer.body);
    }
    assert!(answers.iter().any(|answer| answer.status == 401));
    assert!(answers.iter().any(|answer| answer.status == 429), "thirty names were tried at once");
}

#[tokio::test]
async fn a_socket_may_authenticate_late_and_again() {
    let server = Server::start().await;
    let mut ws = Ws::open(server.port(), "/ws", None).await;
    ws.send(&json!({ "type": "next_batch", "subscription_id": "x" })).await;
    assert_eq!(ws.frame().await["code"], "AUTH_REQUIRED");
    ws.send(&json!({ "type": "ping" })).await;
    ws.authenticate(&server.root).await;
    let first = ws.frame().await;
    assert_eq!((&first["type"], &first["user"]), (&json!("auth_success"), &json!("root")));
    assert_eq!(first["server"]["complete"], true);
    ws.authenticate("not even a token").await;
    assert_eq!(ws.frame().await, first, "a late authenticate repeats the answer");
}
