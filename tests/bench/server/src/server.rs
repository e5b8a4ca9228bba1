//! The server as a process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Failure, http};

const PASSWORD: &str = "bench-password";

pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) token: String,
}

impl Server {
    /// In memory without a directory.
    pub(crate) async fn start(program: &Path, directory: Option<&Path>) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command
            .args(["serve", "--port", "0"])
            .env("KALAM_ROOT_PASSWORD", PASSWORD)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(directory) = directory {
            command.arg("--data").arg(directory);
        }
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let out = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .ok_or("the server did not start")?;
        let port = url.rsplit_once(':').ok_or("no port")?.1.parse()?;
        let mut server = Self { child, port, token: String::new() };
        let body = json!({ "user": "root", "password": PASSWORD });
        let answer =
            http::Connection::open(port).await?.post("/v1/api/auth/login", "", &body.to_string()).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        server.token = answer["access_token"].as_str().ok_or("no token")?.to_owned();
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn sql(&self, sql: &str) -> Result<Value, Failure> {
        let body = json!({ "sql": sql }).to_string();
        let answer = http::Connection::open(self.port).await?.post("/v1/api/sql", &self.token, &body).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// The processor time that it used so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no name")?.1.split_whitespace().collect();
        let ticks = fields.get(11).zip(fields.get(12)).ok_or("no times")?;
        let ticks = ticks.0.parse::<u64>()? + ticks.1.parse::<u64>()?;
        // A hundred a second on every Linux there is.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// The most memory that it had, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
        let kilobytes: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
