//! Connecting, losing, state, lifecycle events, options.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kalam_live::{
    ConnectionState, ErrorCode, EventHandlers, KalamClient, Lifecycle, Reconnect, Timeouts, TlsOptions,
};
use serde_json::json;

use super::auth::gateway;
use super::{builder, client, quick};
use crate::support::{Answer, Server, done, error};

const SQL: &str = "SELECT * FROM app.t";

async fn plain() -> Server {
    Server::websocket(|_, mut ws| async move {
        ws.serve_one(&[("a", 1, 1)]).await;
        ws.until_closed().await;
    })
    .await
}

#[tokio::test]
async fn connects_disconnects_and_connects_again() {
    let server = plain().await;
    let client = client(&server.url);
    assert_eq!(client.state(), ConnectionState::Idle);
    client.disconnect().await;
    client.network_changed();
    let mut events = client.lifecycle();
    client.connect().await.unwrap();
    client.connect().await.unwrap();
    assert_eq!(client.state(), ConnectionState::Connected);
    assert!(client.server().is_some_and(|s| s.complete));
    let mut live = client.live(SQL).await.unwrap();
    assert_eq!(live.next_rows().await.unwrap().unwrap().len(), 1);
    client.network_changed();
    client.disconnect().await;
    client.disconnect().await;
    assert_eq!(client.state(), ConnectionState::Idle);
    client.connect().await.unwrap();
    client.close().await;
    client.disconnect().await;
    client.network_changed();
    assert_eq!(client.state(), ConnectionState::Closed { error: None });
    let mut names = Vec::new();
    while let Some(event) = events.next().await {
        names.push(match event {
            Lifecycle::Connected { reconnected, .. } => format!("connected {reconnected}"),
            Lifecycle::Disconnected { retry_in: None, .. } => "disconnected".into(),
            Lifecycle::Closed => "closed".into(),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(names.first().map(String::as_str), Some("connected false"));
    assert_eq!(names[1], "disconnected");
    assert_eq!(names.last().map(String::as_str), Some("closed"));
    assert_eq!(server.sockets(), 2);
}

#[tokio::test]
async fn connect_says_why_it_failed_and_stops_trying() {
    let not_kalam = gateway(404).await;
    let busy = gateway(503).await;
    for (url, code, hint) in [
        ("http://localhost:1", ErrorCode::Disconnected, "refused"),
        ("http://no-such-host.invalid:2900", ErrorCode::Disconnected, "can not reach"),
        (not_kalam.as_str(), ErrorCode::NotFound, "URL"),
        (busy.as_str(), ErrorCode::Unavailable, "503"),
    ] {
        let client = client(url);
        let failed = client.connect().await.unwrap_err();
        assert_eq!(failed.code(), code, "{url}: {failed}");
        assert!(failed.message().contains(hint), "{url}: {failed}");
        assert!(
            matches!(client.state(), ConnectionState::Idle | ConnectionState::Closed { error: Some(_) }),
            "{url}: {:?}",
            client.state()
        );
    }
}

#[tokio::test]
async fn connect_ends_when_the_server_says_nothing() {
    let timeouts = Timeouts {
        connect: Duration::from_millis(100),
        auth: Duration::from_millis(100),
        ..Timeouts::default()
    };
    // Accepts TCP and is silent; and one that accepts the WebSocket and is silent.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute = Server::websocket(|_, mut ws| async move { ws.until_closed().await }).await;
    for url in [format!("http://{}", silent.local_addr().unwrap()), mute.url.clone()] {
        let client = builder(&url).token("t").timeouts(timeouts).build().unwrap();
        let failed = client.connect().await.unwrap_err();
        assert_eq!(failed.code(), ErrorCode::Timeout, "{url}: {failed}");
        assert!(failed.retryable());
    }
}

#[tokio::test]
async fn without_reconnect_the_first_loss_is_the_end() {
    let server = Server::websocket(|_, mut ws| async move {
        ws.serve_one(&[("a", 1, 1)]).await;
    })
    .await;
    let client = builder(&server.url).token("t").reconnect(Reconnect::off()).build().unwrap();
    let mut live = client.live(SQL).await.unwrap();
    let failed = loop {
        match live.next_rows().await.unwrap() {
            Ok(rows) => assert_eq!(rows.len(), 1),
            Err(failed) => break failed,
        }
    };
    assert_eq!(failed.code(), ErrorCode::Disconnected, "{failed}");
    assert!(live.next().await.is_none());
    assert!(matches!(client.state(), ConnectionState::Closed { error: Some(_) }));
    // A later use tries again.
    let mut live = client.live(SQL).await.unwrap();
    assert_eq!(live.next_rows().await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn gives_up_after_so_many_attempts() {
    let reconnect = quick().with_max_attempts(3);
    let client =
        KalamClient::builder().url("http://localhost:1").token("t").reconnect(reconnect).build().unwrap();
    let mut events = client.lifecycle();
    let failed = client.live(SQL).await.unwrap().next().await.unwrap().unwrap_err();
    assert_eq!(failed.code(), ErrorCode::Disconnected);
    let mut failures = 0;
    while let Some(event) = events.try_next() {
        failures += u32::from(matches!(event, Lifecycle::ConnectFailed { .. }));
    }
    assert_eq!(failures, 4, "the first and three more");
}

#[tokio::test]
async fn several_urls_are_tried_in_turn() {
    let server = Server::start(
        |_| done(3),
        |_, mut ws| async move {
            ws.serve_one(&[("a", 1, 1)]).await;
            ws.until_closed().await;
        },
    )
    .await;
    let client = KalamClient::builder()
        .urls(["http://localhost:1", &server.url])
        .token("t")
        .reconnect(quick())
        .build()
        .unwrap();
    let mut live = client.live(SQL).await.unwrap();
    assert_eq!(live.next_rows().await.unwrap().unwrap().len(), 1);
    assert_eq!(client.execute("DELETE FROM app.t", &[]).await.unwrap(), 3);
}

#[tokio::test]
async fn handlers_run_apart_and_survive_a_panic() {
    let server = Server::websocket(|number, mut ws| async move {
        ws.serve_one(&[("a", number as i64, number as i64)]).await;
        if number == 1 {
            ws.send(json!({"type": "error", "subscription_id": "protocol", "code": "UNSUPPORTED_DATA", "message": "odd"}))
                .await;
            return ws.close(1000, "Heartbeat timeout").await;
        }
        ws.until_closed().await;
    })
    .await;
    let said = Arc::new(Mutex::new(Vec::new()));
    let say = |text: &str| {
        let (said, text) = (said.clone(), text.to_owned());
        move || said.lock().unwrap().push(text.clone())
    };
    let (connected, disconnected, failed) = (say("connected"), say("disconnected"), say("error"));
    let handlers = EventHandlers::new()
        .on_event(|_| panic!("the user's code is broken"))
        .on_connect(connected)
        .on_disconnect(move |_| disconnected())
        .on_error(move |_| failed());
    let client = builder(&server.url).token("t").event_handlers(handlers).build().unwrap();
    let mut live = client.live(SQL).await.unwrap();
    loop {
        let rows = live.next_rows().await.unwrap().unwrap();
        if rows.get(0).is_some_and(|row| row["n"].as_int() == Some(2)) {
            break;
        }
    }
    while said.lock().unwrap().len() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*said.lock().unwrap(), ["connected", "error", "disconnected", "connected"]);
}

#[tokio::test]
async fn the_state_can_be_watched() {
    let server = plain().await;
    let client = client(&server.url);
    let mut watch = client.watch_state();
    assert_eq!(watch.get(), ConnectionState::Idle);
    let _live = client.live(SQL).await.unwrap();
    assert!(watch.wait_for(|state| *state == ConnectionState::Connected).await);
    client.close().await;
    assert!(watch.wait_for(|state| matches!(state, ConnectionState::Closed { error: None })).await);
}

#[test]
fn needs_a_runtime_and_says_so() {
    let client = client("http://localhost:1");
    let mut connect = Box::pin(client.connect());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(failed)) = connect.as_mut().poll(&mut cx) else { panic!() };
    assert_eq!(failed.code(), ErrorCode::Config);
    assert!(failed.message().contains("runtime"), "{failed}");
}

/// A runtime that stops under a client: its handles say so rather than wait for ever.
#[test]
fn a_stopped_runtime_ends_the_handles() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (servers, clients, outside) = (runtime(), runtime(), runtime());
    let server = servers.block_on(plain());
    let client = builder(&server.url).token("t").runtime(clients.handle().clone()).build().unwrap();
    let mut live = outside.block_on(client.live(SQL)).unwrap();
    assert_eq!(outside.block_on(live.next_rows()).unwrap().unwrap().len(), 1);
    drop(clients);
    let failed = outside.block_on(live.next()).unwrap().unwrap_err();
    assert_eq!(failed.code(), ErrorCode::Closed);
    assert!(outside.block_on(live.next()).is_none());
    assert_eq!(outside.block_on(client.live(SQL)).unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(client.state(), ConnectionState::Closed { error: None });
}

#[test]
fn options_that_are_wrong_are_named() {
    let with = KalamClient::builder;
    for (builder, name) in [
        (with(), "`url`"),
        (with().url("ftp://x"), "`url`"),
        (with().url("http://u:p@x"), "`url`"),
        (with().url("http://x").user("a"), "`password`"),
        (with().url("http://x").password("a"), "`user`"),
        (with().url("http://x").user("").password("a"), "`user`"),
        (with().url("http://x").token(""), "`token`"),
        (with().url("http://x").token("t").user("a").password("b"), "several"),
        (with().url("http://x").namespace(""), "`namespace`"),
        (with().url("http://x").proxy("socks5://y"), "`proxy`"),
        (with().url("http://x").header("a b", "c"), "`header`"),
        (with().url("http://x").header("authorization", "c"), "`header`"),
        (with().url("http://x").user_agent("a\nb"), "`user_agent`"),
        (with().url("http://x").max_message_bytes(10), "`max_message_bytes`"),
        (with().url("http://x").tls(TlsOptions::new().with_ca("x")), "`ca`"),
        (
            with().url("http://x").timeouts(Timeouts { pong: Duration::ZERO, ..Timeouts::default() }),
            "`timeouts.pong`",
        ),
        (
            with().url("http://x").reconnect(quick().with_delays(Duration::ZERO, Duration::ZERO)),
            "`reconnect`",
        ),
    ] {
        let failed = builder.build().unwrap_err();
        assert_eq!(failed.code(), ErrorCode::Config, "{failed}");
        assert!(failed.message().contains(name), "{name}: {failed}");
    }
}

#[tokio::test]
async fn extra_headers_and_user_agent_go_everywhere() {
    let server = Server::start(|_| done(0), |_, mut ws| async move { ws.welcome(true).await }).await;
    let client = builder(&server.url)
        .header("X-Tenant", "blue")
        .user_agent("board/1")
        .compression(false)
        .build()
        .unwrap();
    client.query("SELECT 1", &[]).await.unwrap();
    client.connect().await.unwrap();
    for request in server.requests() {
        assert_eq!(request.header("x-tenant"), Some("blue"), "{}", request.path);
        assert_eq!(request.header("user-agent"), Some("board/1"), "{}", request.path);
        assert_eq!(request.header("authorization"), None);
    }
    assert_eq!(server.requests()[1].path, "/v1/ws?compress=false");
}

#[tokio::test]
async fn health_is_asked_without_a_token() {
    let server = Server::http(|request| {
        assert_eq!(request.header("authorization"), None);
        Answer::Json(
            200,
            json!({"status": "healthy", "version": "0.4.3", "api_version": "v1", "build_date": "x"}),
        )
    })
    .await;
    let health = client(&server.url).health().await.unwrap();
    assert_eq!((health.status.as_str(), health.version.as_str()), ("healthy", "0.4.3"));
    let server = Server::http(|_| error(403, "FORBIDDEN", "not from there")).await;
    assert_eq!(client(&server.url).health().await.unwrap_err().code(), ErrorCode::PermissionDenied);
}

/// The connections of the network before are dead, and nothing says so: whoever waits for an answer on one waits for the
/// timeout of the request.
#[tokio::test]
async fn queries_after_a_change_of_the_network_use_no_connection_from_before() {
    let first = AtomicBool::new(true);
    let server = Server::http(move |request| match request.connection {
        1 if !first.swap(false, Ordering::SeqCst) => Answer::Silence,
        _ => done(1),
    })
    .await;
    let timeouts = Timeouts { request: Duration::from_secs(10), ..Timeouts::default() };
    let client = builder(&server.url).token("t").timeouts(timeouts).build().unwrap();
    assert_eq!(client.execute("DELETE FROM app.t", &[]).await, Ok(1));
    client.network_changed();
    assert_eq!(client.execute("DELETE FROM app.t", &[]).await, Ok(1));
    assert_eq!(server.requests().iter().map(|r| r.connection).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn connect_fails_when_no_url_can_be_reached_and_not_before() {
    let server = plain().await;
    let dead = "http://localhost:1";
    let client =
        |urls: [&str; 3]| KalamClient::builder().urls(urls).token("t").reconnect(quick()).build().unwrap();
    let reached = client([dead, dead, &server.url]);
    // Again too, whichever URL the first attempt was made at.
    for _ in 0..3 {
        reached.connect().await.expect("the third answers");
        reached.disconnect().await;
    }
    let lost = client([dead; 3]);
    let mut events = lost.lifecycle();
    for _ in 0..2 {
        assert_eq!(lost.connect().await.unwrap_err().code(), ErrorCode::Disconnected);
        let mut failures = 0;
        while let Some(event) = events.try_next() {
            failures += u32::from(matches!(event, Lifecycle::ConnectFailed { .. }));
        }
        assert_eq!(failures, 3, "each once");
        assert_eq!(lost.state(), ConnectionState::Idle, "and no more");
    }
}
