//! Logins, tokens, providers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kalam_live::{ConnectionState, ErrorCode, KalamClient};
use serde_json::json;

use super::builder;
use crate::support::{Answer, Request, Server, done, error, login};

fn refused() -> Answer {
    Answer::Json(401, json!({"error": "unauthorized", "message": "Invalid credentials"}))
}

/// Answers SQL only to the token `good`.
fn guard(request: &Request, good: &str) -> Answer {
    match request.header("authorization") {
        Some(value) if value == format!("Bearer {good}") => done(1),
        Some(_) => error(401, "TOKEN_EXPIRED", "Token expired"),
        None => error(401, "MISSING_AUTHORIZATION", "Authentication required"),
    }
}

fn logins(server: &Server) -> usize {
    server.requests().iter().filter(|r| r.path.ends_with("/login")).count()
}

#[tokio::test]
async fn logs_in_once_for_everything() {
    let server = Server::start(
        |request| match request.path.as_str() {
            "/v1/api/auth/login" => {
                assert_eq!(request.body, r#"{"user":"alice","password":"Secret123!"}"#);
                login("jwt-1")
            }
            _ => guard(&request, "jwt-1"),
        },
        |_, mut ws| async move {
            ws.serve_one(&[]).await;
            ws.until_closed().await;
        },
    )
    .await;
    let client = builder(&server.url).user("alice").password("Secret123!").build().unwrap();
    let queries = (0..10).map(|_| client.execute("UPDATE app.t SET n = 1", &[]));
    for result in futures_util::future::join_all(queries).await {
        assert_eq!(result.unwrap(), 1);
    }
    client.connect().await.unwrap();
    assert_eq!(logins(&server), 1);
    let upgrade = server.requests().into_iter().find(|r| r.path == "/v1/ws").unwrap();
    assert_eq!(upgrade.header("authorization"), Some("Bearer jwt-1"));
}

#[tokio::test]
async fn a_wrong_password_is_told_everywhere_and_asked_once() {
    let server = Server::http(|_| refused()).await;
    let client = builder(&server.url).user("alice").password("hunter2").build().unwrap();
    let failed = client.connect().await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::AuthFailed, "{failed}");
    assert!(!failed.retryable());
    assert!(matches!(client.state(), ConnectionState::Closed { error: Some(_) } | ConnectionState::Idle));
    assert_eq!(logins(&server), 1);
    assert_eq!(client.query("SELECT 1", &[]).await.unwrap_err().code(), ErrorCode::AuthFailed);
    let ended = client.live("SELECT * FROM app.t").await.unwrap().next().await.unwrap().unwrap_err();
    assert_eq!(ended.code(), ErrorCode::AuthFailed);
    assert_eq!(server.sockets(), 0, "nothing is opened without a token");
    // Ten at once wait for one login, rather than lock the account.
    let before = logins(&server);
    let queries = (0..10).map(|_| client.query("SELECT 1", &[]));
    for result in futures_util::future::join_all(queries).await {
        assert_eq!(result.unwrap_err().code(), ErrorCode::AuthFailed);
    }
    assert_eq!(logins(&server), before + 1);
}

#[tokio::test]
async fn an_expired_token_is_replaced_once() {
    let valid = Arc::new(AtomicUsize::new(1));
    let server = Server::http({
        let valid = valid.clone();
        move |request| match request.path.as_str() {
            "/v1/api/auth/login" => login("jwt-1"),
            "/v1/api/auth/refresh" => match request.header("authorization") {
                Some("Bearer refresh-jwt-1") => login("jwt-2"),
                _ => refused(),
            },
            _ => guard(&request, &format!("jwt-{}", valid.load(Ordering::SeqCst))),
        }
    })
    .await;
    let client = builder(&server.url).user("alice").password("pw").build().unwrap();
    assert_eq!(client.execute("DELETE FROM app.t", &[]).await.unwrap(), 1);
    valid.store(2, Ordering::SeqCst);
    let queries = (0..5).map(|_| client.execute("DELETE FROM app.t", &[]));
    for result in futures_util::future::join_all(queries).await {
        assert_eq!(result.unwrap(), 1);
    }
    let refreshes = server.requests().iter().filter(|r| r.path.ends_with("/refresh")).count();
    assert_eq!((logins(&server), refreshes), (1, 1));
    // The refresh token of jwt-2 is refused: a login instead, whose token is no better. One try, then the error.
    valid.store(3, Ordering::SeqCst);
    let failed = client.execute("DELETE FROM app.t", &[]).await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::AuthFailed);
    assert_eq!(failed.server_code(), Some("TOKEN_EXPIRED"));
    assert_eq!(logins(&server), 2);
}

#[tokio::test]
async fn a_static_token_that_is_refused_is_an_error() {
    let server = Server::start(
        |request| guard(&request, "good"),
        |_, mut ws| async move {
            ws.send(json!({"type": "auth_error", "message": "Invalid credentials"})).await;
            ws.close(1008, "Authentication failed").await;
        },
    )
    .await;
    let client = builder(&server.url).token("old").build().unwrap();
    assert_eq!(client.query("SELECT 1", &[]).await.unwrap_err().code(), ErrorCode::AuthFailed);
    assert_eq!(server.requests().len(), 1, "there is no other token to try");
    assert_eq!(client.connect().await.unwrap_err().code(), ErrorCode::AuthFailed);
    let ended = client.live("SELECT * FROM app.t").await.unwrap().next().await.unwrap().unwrap_err();
    assert_eq!(ended.code(), ErrorCode::AuthFailed);
}

#[tokio::test]
async fn the_provider_is_asked_again_when_the_connection_is_refused() {
    let server = Server::start(
        |_| done(0),
        |number, mut ws| async move {
            if number == 1 {
                ws.send(json!({"type": "auth_error", "message": "Token expired"})).await;
                return ws.close(1008, "Authentication failed").await;
            }
            ws.serve_one(&[("a", 1, 1)]).await;
            ws.until_closed().await;
        },
    )
    .await;
    let asked = Arc::new(AtomicUsize::new(0));
    let provider = {
        let asked = asked.clone();
        move || {
            let n = asked.fetch_add(1, Ordering::SeqCst) + 1;
            async move { Ok::<_, std::io::Error>(format!("token-{n}")) }
        }
    };
    let client = builder(&server.url).token_provider(provider).build().unwrap();
    let mut live = client.live("SELECT * FROM app.t").await.unwrap();
    assert_eq!(live.next_rows().await.unwrap().unwrap().len(), 1);
    let tokens: Vec<_> =
        server.requests().iter().filter_map(|r| r.header("authorization").map(str::to_owned)).collect();
    assert_eq!(tokens, ["Bearer token-1", "Bearer token-2"]);
    client.query("SELECT 1", &[]).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2, "HTTP uses the same token");
}

#[tokio::test]
async fn a_provider_that_fails_panics_or_lies_is_told() {
    let server = Server::http(|_| done(0)).await;
    type Provider = Box<dyn Fn() -> kalam_live::TokenFuture + Send + Sync>;
    let fails: Provider = Box::new(|| Box::pin(async { Err("the vault is sealed".into()) }));
    let empty: Provider = Box::new(|| Box::pin(async { Ok(String::new()) }));
    let broken: Provider = Box::new(|| Box::pin(async { Ok("a\nb".into()) }));
    for (provider, hint) in [(fails, "the vault is sealed"), (empty, "empty token"), (broken, "character")] {
        let client = builder(&server.url).token_provider(provider).build().unwrap();
        let failed = client.query("SELECT 1", &[]).await.unwrap_err();
        assert!(failed.message().contains(hint), "{failed}");
        assert!(!failed.to_string().contains("a\nb"));
        let failed = client.connect().await.unwrap_err();
        assert!(failed.message().contains(hint), "{failed}");
    }
    let panics: Provider = Box::new(|| Box::pin(async { panic!("oh no") }));
    let client = builder(&server.url).token_provider(panics).build().unwrap();
    let failed = client.connect().await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::AuthFailed, "{failed}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_upgrade_that_is_refused_is_terminal() {
    // A gateway in front that answers the upgrade itself.
    for (status, code) in [(401, ErrorCode::AuthFailed), (403, ErrorCode::AuthFailed)] {
        let gateway = gateway(status).await;
        let client = builder(&gateway).token("t").build().unwrap();
        let failed = client.connect().await.unwrap_err();
        assert_eq!(failed.code(), code, "{status}: {failed}");
    }
}

/// Answers everything with a status.
pub(crate) async fn gateway(status: u16) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match tcp.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let answer =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<ht/>");
                let _ = tcp.write_all(answer.as_bytes()).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn secrets_are_nowhere() {
    let server = Server::http(|_| refused()).await;
    let secrets = ["hunter2-password", "hunter2-header", "hunter2-proxy"];
    let by_password = KalamClient::builder()
        .url(&server.url)
        .user("alice")
        .password(secrets[0])
        .header("x-gateway-key", secrets[1]);
    let by_token = KalamClient::builder().url(&server.url).token("hunter2-token");
    let proxied = by_token.clone().proxy(format!("http://u:{}@localhost:1", secrets[2]));
    for builder in [by_password, by_token, proxied] {
        let mut said = format!("{builder:?}");
        let client = builder.build().unwrap();
        said += &format!("{client:?}");
        for failed in [client.connect().await.unwrap_err(), client.query("SELECT 1", &[]).await.unwrap_err()]
        {
            said += &format!("{failed} {failed:?}");
        }
        let mut events = client.lifecycle();
        let _ = client.connect().await;
        while let Some(event) = events.try_next() {
            said += &format!("{event:?}");
        }
        said += &format!("{:?} {:?}", client.state(), client.counters());
        assert!(!said.contains("hunter2"), "{said}");
    }
}
