//! The processes that a benchmark starts, none of which may outlive it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::control::Failure;

/// No single measurement takes longer than this.
const DEADLINE: Duration = Duration::from_secs(180);

/// A running frame server. It ends with its standard input, so also when the driver is killed.
pub(crate) struct FrameServer {
    child: Child,
    input: Option<ChildStdin>,
    /// Announces nothing, like KalamDB 0.4.
    pub(crate) plain: String,
    /// Announces itself as the embedded server does.
    pub(crate) complete: String,
}

impl FrameServer {
    pub(crate) fn start(program: &Path) -> Result<Self, Failure> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("can not start {}: {error}", program.display()))?;
        let input = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output of the frame server")?).read_line(&mut line)?;
        let ports: Value = serde_json::from_str(&line)?;
        let url =
            |name: &str| ports[name].as_str().map(str::to_owned).ok_or("the frame server named no port");
        Ok(FrameServer { child, input, plain: url("plain")?, complete: url("complete")? })
    }
}

impl Drop for FrameServer {
    fn drop(&mut self) {
        drop(self.input.take());
        // It has nothing to lose; a failure to wait leaves nothing to do either.
        let _ = self.child.wait();
    }
}

/// Runs one measurement and returns the object that it prints.
pub(crate) fn measure(program: &Path, arguments: &[String]) -> Result<Value, Failure> {
    let describe = || format!("{} {}", program.display(), arguments.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("can not start {}: {error}", program.display()))?;
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begin.elapsed() > DEADLINE {
            child.kill()?;
            child.wait()?;
            return Err(format!("no result within {DEADLINE:?}: {}", describe()).into());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut text = String::new();
    child.stdout.take().ok_or("no output")?.read_to_string(&mut text)?;
    if !status.success() {
        return Err(format!("{status}: {}", describe()).into());
    }
    serde_json::from_str(&text)
        .map_err(|error| format!("{error} in the output of {}: {text}", describe()).into())
}
