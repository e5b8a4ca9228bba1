//! Starting and stopping.

use kalam_embedded::{Data, Embedded, Options};
use serde_json::json;

use crate::support::{Got, Server, Ws, insert, options, table, try_login};

#[tokio::test]
async fn a_stop_closes_sockets_with_1001_after_what_is_queued() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    let mut ws = server.root_ws().await;
    let mut unauthenticated = Ws::open(server.port(), "/v1/ws", None).await;
    ws.snapshot("s", "SELECT * FROM app.t", json!({})).await;
    server.sql(&insert(0..100, "x")).await;
    for id in 0..100 {
        assert_eq!(ws.change().await["rows"][0]["id"], id);
    }
    let port = server.port();
    let (_, one, other) = tokio::join!(server.embedded.shutdown(), ws.next(), unauthenticated.next());
    let stopping = Got::Close(1001, "The server is stopping".into());
    assert_eq!((&one, &other), (&stopping, &stopping));
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_client_that_does_not_answer() {
    let shutdown_deadline = std::time::Duration::from_millis(200);
    let server = Server::with(Options { shutdown_deadline, ..options() }).await;
    let silent = server.root_ws().await;
    let request = tokio::net::TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    server.embedded.shutdown().await;
    drop((silent, request));
}

#[test]
fn it_starts_and_stops_outside_of_a_runtime() {
    for _ in 0..3 {
        let server = Embedded::start(options()).unwrap();
        assert!(server.url().ends_with(&server.port().to_string()));
        drop(server);
    }
}

#[tokio::test]
async fn a_directory_keeps_rows_users_and_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { data: Data::Directory(directory.path().join("data")), ..options() };
    let server = Server::with(options.clone()).await;
    table(&server, "SHARED").await;
    server.sql(&insert(0..3, "x")).await;
    let token = server.root.clone();
    server.embedded.shutdown().await;

    let again = Embedded::start(Options { root_password: None, ..options }).unwrap();
    assert_eq!(again.root_password(), None, "known from the first start only");
    let server = Server { embedded: again, root: token };
    assert_eq!(server.rows(&server.root, "SELECT id FROM app.t").await.len(), 3);
    assert_eq!(try_login(server.port(), "root", "kalamdb123").await.status, 200);
}

#[tokio::test]
async fn a_generated_password_is_told_and_works() {
    let server = Embedded::start(Options::default()).unwrap();
    let password = server.root_password().expect("a generated password").to_owned();
    assert_eq!(try_login(server.port(), "root", &password).await.status, 200);
    assert!(!format!("{server:?}").contains(&password));
}

#[test]
fn what_can_not_start_says_why() {
    let remote = Options { host: "0.0.0.0".parse().unwrap(), ..options() };
    let error = Embedded::start(remote.clone()).unwrap_err();
    assert_eq!(error.code(), "config");
    assert!(error.to_string().contains("allow_remote"), "{error}");
    drop(Embedded::start(Options { allow_remote: true, ..remote }).unwrap());

    let first = Embedded::start(options()).unwrap();
    let error = Embedded::start(Options { port: first.port(), ..options() }).unwrap_err();
    assert_eq!(error.code(), "address_unavailable");

    let directory = tempfile::tempdir().unwrap();
    let data = Data::Directory(directory.path().to_owned());
    let _first = Embedded::start(Options { data: data.clone(), ..options() }).unwrap();
    let error = Embedded::start(Options { data, ..options() }).unwrap_err();
    assert_eq!(error.code(), "data_unavailable");
    assert!(error.to_string().contains("another server"), "{error}");
}
