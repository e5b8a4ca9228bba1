//! The command `kalam-embedded`.

mod command;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use kalam_embedded::{Data, Embedded, engine};

use crate::command::settings::{LogFormat, Settings};
use crate::command::{Command, help};

fn main() -> ExitCode {
    let command = match command::parse(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Ok(command) => command,
        Err(message) => {
            eprintln!("kalam-embedded: {message}\nTry 'kalam-embedded --help'.");
            return ExitCode::from(2);
        }
    };
    let done = match command {
        Command::Help => {
            print!("{}", help());
            return ExitCode::SUCCESS;
        }
        Command::Version => {
            println!("kalam-embedded {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Command::Serve(settings) => {
            start_log(&settings);
            raise_open_files();
            serve(*settings)
        }
        Command::Backup { directory, target } => backup(&directory, &target),
        Command::Check { directory } => check(&directory),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kalam-embedded: {error}");
            ExitCode::FAILURE
        }
    }
}

type Done = Result<ExitCode, Box<dyn std::error::Error>>;

fn start_log(settings: &Settings) {
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(settings.log_level);
    match settings.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).init(),
    }
}

/// Each connection is an open file, and the usual limit is 1,024.
#[cfg(unix)]
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, ?current, "the limit on open files could not be raised");
    }
}

#[cfg(not(unix))]
fn raise_open_files() {}

fn serve(settings: Settings) -> Done {
    let options = settings.options;
    let password_is_given = options.root_password.is_some();
    let place = match &options.data {
        Data::Memory => "in memory".to_owned(),
        Data::Directory(path) => path.display().to_string(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Asked for before anybody can know the address: no signal is lost.
        let stop = stop_signal()?;
        let server = Embedded::start(options)?;
        tracing::info!(url = %server.url(), data = %place, "listening");
        // Who started us may have closed our output, which is no reason not to serve.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "listening on {} ({place})", server.url());
        if let Some(password) = server.root_password().filter(|_| !password_is_given) {
            let _ = writeln!(out, "root password: {password}   (shown this once)");
        }
        let _ = out.flush();
        drop(out);
        stop.await;
        server.shutdown().await;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

fn backup(directory: &Path, target: &Path) -> Done {
    engine::backup(directory, target)?;
    println!("copied {} to {}", directory.display(), target.display());
    Ok(ExitCode::SUCCESS)
}

fn check(directory: &Path) -> Done {
    let report = engine::check(directory)?;
    for problem in &report.problems {
        println!("problem: {problem}");
    }
    let (tables, rows, users) = (report.tables, report.rows, report.users);
    println!("{}: {tables} tables, {rows} rows, {users} users", directory.display());
    match report.problems.len() {
        0 => {
            println!("no problems found");
            Ok(ExitCode::SUCCESS)
        }
        many => {
            println!("{many} problems: restore a backup, or use what is still there");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Completes on Ctrl-C or SIGTERM. The signals are caught from the call on, not from the first poll.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Completes on Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}
