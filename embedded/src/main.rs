//! The command `kalam-embedded`.

mod arguments;

use std::io::Write as _;
use std::process::ExitCode;

use kalam_embedded::{Data, Embedded, Options};
use tracing_subscriber::filter::LevelFilter;

use crate::arguments::{Arguments, HELP};

fn main() -> ExitCode {
    let arguments =
        match arguments::parse(std::env::args_os().skip(1), std::env::var_os("KALAM_ROOT_PASSWORD")) {
            Ok(arguments) => arguments,
            Err(message) => {
                eprintln!("kalam-embedded: {message}\nTry 'kalam-embedded --help'.");
                return ExitCode::from(2);
            }
        };
    match arguments {
        Arguments::Help => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Arguments::Version => {
            println!("kalam-embedded {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Arguments::Serve { options, verbose } => {
            let level = if verbose { LevelFilter::DEBUG } else { LevelFilter::INFO };
            tracing_subscriber::fmt()
                .with_writer(std::io::stderr)
                .with_ansi(false)
                .with_max_level(level)
                .init();
            match serve(*options) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("kalam-embedded: {error}");
                    ExitCode::FAILURE
                }
            }
        }
    }
}

fn serve(options: Options) -> Result<(), Box<dyn std::error::Error>> {
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
        Ok(())
    })
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
