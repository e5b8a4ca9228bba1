//! The command itself, as a process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Got, Ws, insert, login, request, send};

struct Running {
    child: Child,
    port: u16,
    out: BufReader<ChildStdout>,
    err: ChildStderr,
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kalam-embedded"));
    command.env_remove("KALAM_ROOT_PASSWORD").stdin(Stdio::null());
    command
}

impl Running {
    fn start(data: &Path, password: Option<&str>) -> Self {
        let mut command = command();
        command.args(["serve", "--port", "0", "--data"]).arg(data);
        if let Some(password) = password {
            command.env("KALAM_ROOT_PASSWORD", password);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let mut running = Self { child, port: 0, out: BufReader::new(out), err };
        let line = running.line();
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("a URL");
        running.port = url.rsplit_once(':').unwrap().1.parse().unwrap();
        running
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn wait(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let mut log = String::new();
        self.err.read_to_string(&mut log).unwrap();
        (status.code(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn sql(port: u16, token: &str, sql: &str) -> Value {
    let body = json!({ "sql": sql });
    let answer = request(port, "POST", "/v1/api/sql", Some(token), Some(&body)).await;
    assert_eq!(answer.status, 200, "{sql}: {}", answer.body);
    answer.body["results"][0]["rows"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_write_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..3i64 {
        let mut server = Running::start(directory.path(), Some("kalamdb123"));
        let port = server.port;
        let token = login(port, "root", "kalamdb123").await;
        sql(port, &token, "CREATE NAMESPACE IF NOT EXISTS app").await;
        sql(
            port,
            &token,
            "CREATE TABLE IF NOT EXISTS app.t (id INT PRIMARY KEY, v TEXT) WITH (TYPE='SHARED')",
        )
        .await;
        let (seen, mut count) = tokio::sync::mpsc::unbounded_channel();
        let writers: Vec<_> = (0..4i64)
            .map(|writer| {
                let (token, seen) = (token.clone(), seen.clone());
                tokio::spawn(async move {
                    let mut written = Vec::new();
                    for n in 0.. {
                        let id = (round * 4 + writer) * 1_000_000 + n;
                        let body = json!({ "sql": insert(id..id + 1, "x") }).to_string().into();
                        let path = "/v1/api/sql";
                        let sent = send(port, "POST", path, Some(&token), "application/json", body).await;
                        match sent {
                            Ok(answer) if answer.status == 200 => written.push(id),
                            Ok(answer) => panic!("{}", answer.body),
                            Err(_) => break,
                        }
                        let _ = seen.send(());
                    }
                    written
                })
            })
            .collect();
        for _ in 0..200 {
            count.recv().await.unwrap();
        }
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
    }
    let server = Running::start(directory.path(), Some("kalamdb123"));
    let token = login(server.port, "root", "kalamdb123").await;
    let rows = sql(server.port, &token, "SELECT id FROM app.t LIMIT 1000000").await;
    let there: std::collections::HashSet<i64> =
        rows.as_array().unwrap().iter().map(|row| row[0].as_i64().unwrap()).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !there.contains(id)).collect();
    assert!(acknowledged.len() >= 600);
    assert_eq!(
        lost.len(),
        0,
        "of {} writes these are lost: {:?} ...",
        acknowledged.len(),
        lost.iter().take(9)
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_and_ctrl_c_stop_it_cleanly() {
    for signal in ["-TERM", "-INT"] {
        let directory = tempfile::tempdir().unwrap();
        let server = Running::start(directory.path(), Some("kalamdb123"));
        let token = login(server.port, "root", "kalamdb123").await;
        let mut ws = Ws::open(server.port, "/v1/ws", Some(&token)).await;
        ws.frame().await;
        server.signal(signal);
        assert!(matches!(ws.next().await, Got::Close(1001, _)));
        drop(ws);
        let (code, log) = server.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("kalamdb123") && !log.contains(&token), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_password_is_printed_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Running::start(directory.path(), None);
    let line = server.line();
    let password =
        line.strip_prefix("root password: ").expect("the password").split_whitespace().next().unwrap();
    login(server.port, "root", password).await;
    let password = password.to_owned();
    server.child.kill().unwrap();
    let (_, log) = server.wait();
    assert!(!log.contains(&password), "{log}");

    let mut server = Running::start(directory.path(), None);
    login(server.port, "root", &password).await;
    server.child.kill().unwrap();
    assert_eq!(server.line(), "", "not printed again");
}

#[test]
fn what_is_wrong_is_said_and_ends_it() {
    let run = |arguments: &[&str]| -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = command().args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    };
    let (code, out, _) = run(&["--help"]);
    assert!(code == Some(0) && out.contains("--allow-remote"));
    assert_eq!(run(&["--version"]).1.trim(), format!("kalam-embedded {}", env!("CARGO_PKG_VERSION")));
    let (code, _, err) = run(&["serve", "--nonsense"]);
    assert!(code == Some(2) && err.contains("--nonsense"), "{err}");
    let (code, _, err) = run(&["serve", "--host", "0.0.0.0", "--port", "0"]);
    assert!(code == Some(1) && err.contains("--allow-remote"), "{err}");
}
