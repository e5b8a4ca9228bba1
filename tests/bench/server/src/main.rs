//! Measures the embedded server under load.
//!
//! ```text
//! bench-server --server PATH [--only WORD] [--quick] [--output FILE]
//! ```
//!
//! The server (`kalam-embedded`) is a process of its own, so that its memory can be told; the clients are this process,
//! on the same machine, and share its cores.

mod engine;
mod fanout;
mod http;
mod inserts;
mod server;
mod snapshot;
mod statistics;

use std::io::Write;
use std::path::PathBuf;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What was measured: what, how much, and what is wanted.
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) got: String,
    pub(crate) wanted: &'static str,
}

pub(crate) struct Options {
    pub(crate) server: PathBuf,
    only: Option<String>,
    /// A fraction of the work, to see that everything runs.
    pub(crate) quick: bool,
    output: Option<PathBuf>,
}

impl Options {
    fn parse() -> Result<Self, Failure> {
        let mut options = Self { server: PathBuf::new(), only: None, quick: false, output: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--server" => options.server = value()?.into(),
                "--only" => options.only = Some(value()?),
                "--output" => options.output = Some(value()?.into()),
                "--quick" => options.quick = true,
                _ => return Err(format!("no such option: {argument}").into()),
            }
        }
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut lines = Vec::new();
    if options.wants("engine") {
        lines.extend(engine::run(&options)?);
    }
    if options.wants("inserts") {
        lines.extend(runtime.block_on(inserts::run(&options))?);
    }
    if options.wants("fanout") {
        lines.extend(runtime.block_on(fanout::run(&options))?);
    }
    if options.wants("snapshot") {
        lines.extend(runtime.block_on(snapshot::run(&options))?);
    }
    let mut table =
        String::from("\n### The embedded server under load\n\n| what | measured | wanted |\n|---|---|---|\n");
    for Line { what, got, wanted } in lines {
        table += &format!("| {what} | {got} | {wanted} |\n");
    }
    print!("{table}");
    if let Some(path) = options.output {
        std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(table.as_bytes())?;
    }
    Ok(())
}
