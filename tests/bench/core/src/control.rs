//! What every measured client needs beside the client itself: the frame server's controls and the process' own use of
//! time. Shared with `peer-kalam-client`, which is a workspace of its own.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// One workload at the frame server.
pub(crate) struct Workload {
    pub(crate) url: String,
    table: String,
    /// Rows of the snapshot.
    pub(crate) rows: usize,
    /// Changes after it.
    pub(crate) changes: usize,
    /// `_seq` of the last change.
    pub(crate) final_seq: i64,
}

impl Workload {
    /// Has the server encode the workload, so that no measurement includes it.
    pub(crate) fn prepare(url: &str, table: &str) -> Result<Self, Failure> {
        let answer = post(url, &format!("/bench/prepare?table={table}"))?;
        let number =
            |name: &str| answer[name].as_i64().ok_or_else(|| format!("the frame server sent no {name}"));
        Ok(Workload {
            url: url.to_owned(),
            table: table.to_owned(),
            rows: number("rows")? as usize,
            changes: number("changes")? as usize,
            final_seq: number("final_seq")?,
        })
    }

    pub(crate) fn sql(&self) -> String {
        format!("SELECT id, room, sender, body, n, at FROM bench.{}", self.table)
    }

    /// Lets the changes flow; the stopwatch starts just before.
    pub(crate) fn go(&self) -> Result<Stopwatch, Failure> {
        let stopwatch = Stopwatch::start()?;
        post(&self.url, &format!("/bench/go?table={}", self.table))?;
        Ok(stopwatch)
    }
}

pub(crate) fn post(url: &str, path: &str) -> Result<Value, Failure> {
    let authority = url.strip_prefix("http://").ok_or("the frame server's URL begins with http://")?;
    let mut stream = TcpStream::connect(authority)?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the frame server closed without an answer")?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(format!("the frame server refused {path}: {body}").into());
    }
    Ok(serde_json::from_str(body)?)
}

/// Wall time and CPU time of this process.
pub(crate) struct Stopwatch {
    wall: Instant,
    cpu_ns: u64,
}

impl Stopwatch {
    pub(crate) fn start() -> Result<Self, Failure> {
        Ok(Stopwatch { cpu_ns: cpu_ns()?, wall: Instant::now() })
    }

    pub(crate) fn stop(&self) -> Result<Value, Failure> {
        let seconds = self.wall.elapsed().as_secs_f64();
        Ok(json!({"seconds": seconds, "cpu_seconds": (cpu_ns()? - self.cpu_ns) as f64 / 1e9}))
    }
}

/// CPU time that the threads of this process have had, in nanoseconds (threads that ended are not counted).
fn cpu_ns() -> Result<u64, Failure> {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        if let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) {
            sum += text.split(' ').next().unwrap_or("0").parse::<u64>()?;
        }
    }
    Ok(sum)
}

/// The fields of several objects in one.
pub(crate) fn merged(parts: impl IntoIterator<Item = Value>) -> Value {
    let fields = parts.into_iter().filter_map(|part| match part {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    Value::Object(fields.flatten().collect())
}
