//! What whoever runs a server does with it: settings, TLS, logs, metrics, backups, checks.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use kalam_embedded::engine::{self, Data, Engine, EngineError, EngineOptions};
use kalam_embedded::{Embedded, Options, TlsFiles};
use rusqlite::Connection;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    ROOT_PASSWORD, Server, Ws, insert, login, options, request, send_text, table, try_login,
};

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kalam-embedded"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Running(Child, u16);

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("a URL");
        let port = url.rsplit_once(':').unwrap().1.parse().unwrap();
        Self(child, port)
    }

    /// Its log.
    fn stop(mut self) -> String {
        self.0.kill().unwrap();
        let mut log = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_and_the_environment_set_what_arguments_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kalam.toml");
    let data = directory.path().join("data");
    let text = format!(
        "data = '{}'\nport = 1\nroot_password = 'from-file'\n\n[limits]\nmessages_per_second = 7\nbatch_rows = 11\n",
        data.display()
    );
    std::fs::write(&path, text).unwrap();
    let server = Running::start(
        command()
            .args(["serve", "--port", "0", "--config"])
            .arg(&path)
            .env("KALAM_ROOT_PASSWORD", "from-environment")
            .env("KALAM_LIMITS_BATCH_ROWS", "12"),
    );
    let token = login(server.1, "root", "from-environment").await;
    let mut ws = Ws::open(server.1, "/v1/ws", Some(&token)).await;
    let limits = ws.frame().await["server"]["limits"].clone();
    assert_eq!((&limits["messages_per_second"], &limits["batch_rows"]), (&json!(7), &json!(12)));
    assert!(data.join("kalam.db").exists());

    std::fs::write(&path, "port = 0\n[limits]\nbatchrows = 3\n").unwrap();
    let Output { status, stderr, .. } = command().arg("serve").env("KALAM_CONFIG", &path).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2));
    assert!(stderr.contains("kalam.toml: line 3: there is no setting 'limits.batchrows'"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_json_and_hold_no_secret() {
    let server = Running::start(
        command()
            .args(["serve", "--port", "0", "--log-format", "json", "--log-level", "trace"])
            .env("KALAM_ROOT_PASSWORD", "sesame-of-root"),
    );
    let port = server.1;
    let token = login(port, "root", "sesame-of-root").await;
    assert_eq!(try_login(port, "root", "sesame-guessed").await.status, 401);
    let sql = |sql: &str| json!({ "sql": sql, "params": [] });
    for text in [
        "CREATE USER 'ann' WITH PASSWORD 'sesame-of-ann' ROLE user",
        "ALTER USER 'ann' SET PASSWORD 'sesame-anew'",
        "CREATE USER 'bob' WITH PASSWORD 'sesame-of-bob' ROLE nonsense",
        "SELECT 'sesame-in-a-row' AS v",
    ] {
        request(port, "POST", "/v1/api/sql", Some(&token), Some(&sql(text))).await;
    }
    let refresh = try_login(port, "ann", "sesame-anew").await.text("refresh_token");
    request(port, "POST", "/v1/api/auth/refresh", Some(&refresh), None).await;
    let mut ws = Ws::open(port, "/v1/ws", None).await;
    ws.authenticate(&token).await;
    ws.frame().await;
    ws.subscribe("s", "SELECT 'sesame-in-a-query'", json!({})).await;
    ws.frame().await;
    ws.send_raw(Message::text(format!(r#"{{"type":"{token}"}}"#))).await;
    ws.end().await;

    let log = server.stop();
    let mut levels = Vec::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        levels.push(line["level"].as_str().unwrap().to_owned());
        assert!(line["message"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    assert!(levels.iter().any(|level| level == "DEBUG") && levels.iter().any(|level| level == "INFO"));
    assert!(log.contains("login refused"));
    let signature = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    for secret in ["sesame", &signature(&token), &signature(&refresh)] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}

/// A certificate for `localhost`, in files.
fn certificate(directory: &Path) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: directory.join("cert.pem"), key: directory.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

#[tokio::test]
async fn tls_serves_http_and_websockets() {
    let directory = tempfile::tempdir().unwrap();
    let files = certificate(directory.path());
    let server = Embedded::start(Options { tls: Some(files.clone()), ..options() }).unwrap();
    assert!(server.url().starts_with("https://"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.certificate).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let connect = async || {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
        connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    };
    let mut stream = connect().await;
    let body = json!({ "user": "root", "password": ROOT_PASSWORD }).to_string();
    let head = format!(
        "POST /v1/api/auth/login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();

    let token = answer["access_token"].as_str().unwrap();
    let (mut ws, _) =
        tokio_tungstenite::client_async("wss://localhost/v1/ws", connect().await).await.unwrap();
    let authenticate = json!({ "type": "authenticate", "method": "jwt", "token": token });
    ws.send(Message::text(authenticate.to_string())).await.unwrap();
    let frame = ws.next().await.unwrap().unwrap();
    assert!(frame.to_text().unwrap().contains("auth_success"));

    // Plain text is not served beside it, and holds up nobody.
    let mut plain = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    server.shutdown().await;
}

#[test]
fn a_certificate_that_can_not_be_used_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let good = certificate(directory.path());
    let other = directory.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let foreign = certificate(&other);
    std::fs::write(directory.path().join("empty.pem"), "").unwrap();
    for (files, said) in [
        (TlsFiles { certificate: "/nowhere.pem".into(), ..good.clone() }, "/nowhere.pem"),
        (TlsFiles { certificate: directory.path().join("empty.pem"), ..good.clone() }, "there is none in it"),
        (TlsFiles { key: good.certificate.clone(), ..good.clone() }, "the key"),
        (TlsFiles { key: foreign.key, ..good }, "the certificate and the key"),
    ] {
        let error = Embedded::start(Options { tls: Some(files), ..options() }).unwrap_err();
        assert_eq!(error.code(), "config");
        assert!(error.to_string().contains(said), "{error}");
    }
}

/// The value of a line of the metrics.
fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[tokio::test]
async fn metrics_count_what_happens() {
    let limits = kalam_embedded::Limits { subscriptions_per_connection: 1, ..Default::default() };
    let server = Server::with(Options { limits, ..options() }).await;
    table(&server, "SHARED").await;
    server.sql(&insert(0..3, "x")).await;
    server.try_sql(&server.root, &insert(0..1, "x")).await;
    server.try_sql(&server.root, "SELECT nothing FROM app.t").await;
    try_login(server.port(), "root", "wrong").await;
    let mut ws = server.root_ws().await;
    ws.snapshot("a", "SELECT * FROM app.t", json!({})).await;
    ws.subscribe("b", "SELECT * FROM app.t", json!({})).await;
    ws.frame().await;
    let scrape =
        async |token: Option<&str>, headers: &str| send_text(server.port(), "/metrics", token, headers).await;
    let (status, text) = scrape(None, "").await;
    assert_eq!(status, 200);
    for (name, value) in [
        ("kalam_requests_total{kind=\"insert\",outcome=\"ok\"}", 1.0),
        ("kalam_requests_total{kind=\"insert\",outcome=\"refused\"}", 1.0),
        ("kalam_requests_total{kind=\"select\",outcome=\"refused\"}", 1.0),
        ("kalam_requests_total{kind=\"ddl\",outcome=\"ok\"}", 2.0),
        ("kalam_logins_total{outcome=\"ok\"}", 1.0),
        ("kalam_logins_total{outcome=\"refused\"}", 1.0),
        ("kalam_rejected_total{limit=\"subscriptions\"}", 1.0),
        ("kalam_websockets", 1.0),
        ("kalam_subscriptions", 1.0),
        ("kalam_request_seconds_count", 5.0),
        ("kalam_request_seconds_bucket{le=\"+Inf\"}", 5.0),
        ("kalam_committed_writes_total", 2.0),
    ] {
        assert_eq!(metric(&text, name), value, "{name}");
    }
    assert!(metric(&text, "kalam_request_seconds_sum") > 0.0);
    // Whoever comes through a proxy has to be an administrator.
    let ann = server.user("ann", "user").await;
    let forwarded = "X-Forwarded-For: 192.0.2.1\r\n";
    for header in
        [forwarded, "X-Real-IP: 192.0.2.1\r\n", "Forwarded: for=192.0.2.1\r\n", "Via: 1.1 proxy\r\n"]
    {
        assert_eq!(scrape(None, header).await.0, 403, "{header}");
    }
    assert_eq!(scrape(Some(&ann), forwarded).await.0, 403);
    assert_eq!(scrape(Some(&server.root), forwarded).await.0, 200);
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command().args(arguments).output().unwrap();
    (status.code(), format!("{}{}", String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_what_is_served_is_of_one_moment() {
    let directory = tempfile::tempdir().unwrap();
    let (data, copy) = (directory.path().join("data"), directory.path().join("copy"));
    let server = Server::with(Options { data: Data::Directory(data.clone()), ..options() }).await;
    table(&server, "SHARED").await;
    server.sql(&insert(0..2000, &"x".repeat(200))).await;
    let (data, copied) = (data.to_str().unwrap(), copy.to_str().unwrap());
    // Pairs in one transaction, while the copy is made.
    let writing = async {
        let mut id = 10_000;
        loop {
            let sql = format!("BEGIN; {}; {}; COMMIT", insert(id..id + 1, "x"), insert(-id..1 - id, "x"));
            server.sql(&sql).await;
            id += 1;
        }
    };
    let (arguments, checked) = (["backup", data, copied], ["check", copied]);
    let (backup, check, again, damaged) = tokio::select! {
        () = writing => unreachable!(),
        done = tokio::task::spawn_blocking({
            let arguments = arguments.map(str::to_owned);
            let checked = checked.map(str::to_owned);
            let served = data.to_owned();
            move || {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let checked: Vec<&str> = checked.iter().map(String::as_str).collect();
                (run(&arguments), run(&checked), run(&arguments), run(&["check", &served]))
            }
        }) => done.unwrap(),
    };
    assert_eq!(backup.0, Some(0), "{}", backup.1);
    assert_eq!(check.0, Some(0), "{}", check.1);
    assert!(again.0 == Some(1) && again.1.contains("it exists already"), "{}", again.1);
    assert_eq!(damaged.0, Some(0), "what is served is checked beside it: {}", damaged.1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(copy.join("kalam.db").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    let restored = Server::with(Options { data: Data::Directory(copy.clone()), ..options() }).await;
    let rows = restored.rows(&restored.root, "SELECT id FROM app.t LIMIT 1000000").await;
    let ids: std::collections::BTreeSet<i64> = rows.iter().map(|row| row[0].as_i64().unwrap()).collect();
    assert!(ids.len() >= 2000 && (0..2000).all(|id| ids.contains(&id)));
    assert!(ids.iter().filter(|id| **id >= 10_000).all(|id| ids.contains(&-id)), "a transaction is torn");
    restored.sql(&insert(5000..5001, "x")).await;
}

fn filled(path: &Path) {
    let engine = Engine::open(EngineOptions::new(Data::Directory(path.into()))).unwrap();
    let root = engine::Caller { user: "root".into(), role: engine::Role::System };
    for sql in [
        "CREATE NAMESPACE app; CREATE TABLE app.t (id INT PRIMARY KEY, v TEXT); CREATE TABLE app.u (id INT PRIMARY KEY)",
        &insert(0..3000, &"x".repeat(100)),
        "DELETE FROM app.t WHERE id < 10",
    ] {
        engine.execute(&root, &engine::SqlRequest { sql: sql.into(), ..Default::default() }).unwrap();
    }
}

type Damage = fn(&Path);

#[test]
fn a_check_finds_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let sql =
        |path: &Path, sql: &str| Connection::open(path.join("kalam.db")).unwrap().execute_batch(sql).unwrap();
    let good = directory.path().join("good");
    filled(&good);
    let report = engine::check(&good).unwrap();
    assert_eq!((report.problems.len(), report.tables, report.rows, report.users), (0, 2, 2990, 1));
    let damages: [(Damage, &str); 6] = [
        (
            |path| {
                // Of a page in the middle.
                let path = path.join("kalam.db");
                let mut bytes = std::fs::read(&path).unwrap();
                let middle = bytes.len() / 2 / 4096 * 4096;
                bytes[middle..middle + 2000].fill(0x5a);
                std::fs::write(path, bytes).unwrap();
            },
            "",
        ),
        (|_| {}, "DROP INDEX t1_key"),
        (|_| {}, "DROP TABLE t2"),
        (|_| {}, "UPDATE meta SET value = 5 WHERE key = 'reserved_seq'"),
        (|_| {}, "CREATE TABLE t99 (x)"),
        (|_| {}, "INSERT INTO files VALUES (1, 99, NULL, 'a', 'text/plain', x'00')"),
    ];
    for (at, (damage, statement)) in damages.iter().enumerate() {
        let path = directory.path().join(format!("damaged{at}"));
        engine::backup(&good, &path).unwrap();
        damage(&path);
        sql(&path, statement);
        let report = engine::check(&path).unwrap();
        assert!(!report.problems.is_empty(), "damage {at} is not found");
        let (code, said) = run(&["check", path.to_str().unwrap()]);
        assert!(code == Some(1) && said.contains("problem: "), "{said}");
    }
    let (code, said) = run(&["check", directory.path().to_str().unwrap()]);
    assert!(code == Some(1) && said.contains("is no data directory"), "{said}");
}

#[test]
fn data_of_other_versions_are_migrated_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    filled(&path);
    let sql = |text: &str| Connection::open(path.join("kalam.db")).unwrap().execute_batch(text).unwrap();
    // As version 1 was: without all that came later.
    let later: Vec<String> = {
        let db = Connection::open(path.join("kalam.db")).unwrap();
        let mut statement = db
            .prepare(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND NOT name GLOB 't[0-9]*' AND NOT name GLOB 'sqlite_*' \
                 AND name NOT IN ('meta', 'namespaces', 'tables', 'users')",
            )
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert!(later.len() > 3, "{later:?}");
    for table in &later {
        sql(&format!("DROP TABLE {table}"));
    }
    sql("DELETE FROM meta WHERE key = 'created_by'; PRAGMA user_version = 1");
    assert!(matches!(engine::check(&path), Err(EngineError::SchemaVersion { found: 1, .. })));
    drop(Engine::open(EngineOptions::new(Data::Directory(path.clone()))).unwrap());
    assert_eq!(engine::check(&path).unwrap().rows, 2990);
    sql("PRAGMA user_version = 999");
    let newer = Engine::open(EngineOptions::new(Data::Directory(path.clone())));
    let error = newer.err().expect("it is refused");
    assert!(error.to_string().contains("written by a newer one"), "{error}");
}
