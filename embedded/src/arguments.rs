//! The command line.

use std::ffi::OsString;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use kalam_embedded::{Data, Options};
use lexopt::prelude::*;

pub(crate) const HELP: &str = "\
A small KalamDB-compatible server on SQLite.

Usage: kalam-embedded serve [OPTIONS]

Options:
  --data DIR             keep the data in this directory (created if missing)
  --memory               keep the data in memory only (the default without --data)
  --host ADDRESS         listen on this address [default: 127.0.0.1]
  --port PORT            listen on this port, 0 for a free one [default: 2900]
  --allow-remote         allow a host that other machines can reach (there is no TLS)
  --root-password TEXT   the password of root; better given by the environment
                         variable KALAM_ROOT_PASSWORD, since other users of this
                         machine can see arguments. Without one, a password is
                         generated and printed when the data is created.
  --emulate LIST         for tests of clients, behave like KalamDB where it leaves
                         something out: kalamdb-0.4, or kalamdb-0.4,-drop,...
                         without some of its holes, or single ones
  --topic-visibility S   deliver a record of a topic again when its consumer has
                         not acknowledged it for S seconds [default: 30]
  --no-ui                serve no inspector, the page at /
  --node N               number row versions as node N, 0 to 1023 [default: 0]
  --verbose              log more
  -h, --help             print this help
  -V, --version          print the version
";

const DEFAULT_PORT: u16 = 2900;

#[derive(Debug)]
pub(crate) enum Arguments {
    Help,
    Version,
    Serve { options: Box<Options>, verbose: bool },
}

/// Reads the arguments; `password` is what the environment says.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    password: Option<OsString>,
) -> Result<Arguments, String> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut command = None;
    let mut verbose = false;
    let (mut directory, mut memory) = (None, false);
    let mut options = Options { port: DEFAULT_PORT, ..Options::default() };
    options.root_password = match password {
        Some(password) => Some(text(password, "KALAM_ROOT_PASSWORD")?),
        None => None,
    };
    while let Some(argument) = parser.next().map_err(message)? {
        match argument {
            Short('h') | Long("help") => return Ok(Arguments::Help),
            Short('V') | Long("version") => return Ok(Arguments::Version),
            Long("data") => directory = Some(parser.value().map_err(message)?),
            Long("memory") => memory = true,
            Long("host") => options.host = host(&text(parser.value().map_err(message)?, "--host")?)?,
            Long("port") => {
                let port = text(parser.value().map_err(message)?, "--port")?;
                options.port = port
                    .parse()
                    .map_err(|_| format!("--port must be a number from 0 to 65535, not '{port}'"))?;
            }
            Long("emulate") => {
                options.emulate = Some(text(parser.value().map_err(message)?, "--emulate")?.parse()?);
            }
            Long("node") => {
                let node = text(parser.value().map_err(message)?, "--node")?;
                options.node = node
                    .parse()
                    .ok()
                    .filter(|node| *node <= 1023)
                    .ok_or_else(|| format!("--node must be a number from 0 to 1023, not '{node}'"))?;
            }
            Long("topic-visibility") => {
                let seconds = text(parser.value().map_err(message)?, "--topic-visibility")?;
                options.topic_visibility = seconds
                    .parse::<f64>()
                    .ok()
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                    .filter(|wait| !wait.is_zero())
                    .ok_or_else(|| {
                        format!("--topic-visibility must be a number of seconds, not '{seconds}'")
                    })?;
            }
            Long("no-ui") => options.ui = false,
            Long("allow-remote") => options.allow_remote = true,
            Long("root-password") => {
                options.root_password = Some(text(parser.value().map_err(message)?, "--root-password")?);
            }
            Long("verbose") => verbose = true,
            Value(value) if command.is_none() => command = Some(value),
            other => return Err(message(other.unexpected())),
        }
    }
    match command {
        None => return Err("which command? There is one: serve".to_owned()),
        Some(command) if command == "serve" => {}
        Some(command) => return Err(format!("no such command: {}", command.to_string_lossy())),
    }
    if options.root_password.as_ref().is_some_and(String::is_empty) {
        return Err("the root password is empty: leave it out to have one generated".to_owned());
    }
    options.data = match (directory, memory) {
        (Some(_), true) => return Err("--data and --memory exclude each other".to_owned()),
        (Some(directory), false) => Data::Directory(directory.into()),
        (None, _) => Data::Memory,
    };
    Ok(Arguments::Serve { options: Box::new(options), verbose })
}

fn host(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().map_err(|_| format!("--host must be an IP address or localhost, not '{text}'"))
}

// The value is not quoted: it may be a password.
fn text(value: OsString, name: &str) -> Result<String, String> {
    value.into_string().map_err(|_| format!("{name} must be UTF-8"))
}

fn message(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parsed(line: &str, password: Option<&str>) -> Result<Options, String> {
        let arguments = line.split_whitespace().map(OsString::from);
        match parse(arguments, password.map(OsString::from))? {
            Arguments::Serve { options, .. } => Ok(*options),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn serve_takes_its_options() {
        let options = parsed("serve --data d --host ::1 --port 0 --root-password p", Some("e")).unwrap();
        assert_eq!(options.data, Data::Directory(Path::new("d").into()));
        assert_eq!((options.host.to_string(), options.port), ("::1".to_owned(), 0));
        assert_eq!(options.root_password.as_deref(), Some("p"));
        let options = parsed("serve --emulate kalamdb-0.4,-drop --node 7", None).unwrap();
        assert!(options.emulate.is_some_and(|holes| holes.exits && !holes.drop));
        assert_eq!(options.node, 7);
        assert!(options.ui && !parsed("serve --no-ui", None).unwrap().ui);
        let options = parsed("serve", Some("e")).unwrap();
        assert_eq!((options.data, options.port), (Data::Memory, 2900));
        assert_eq!(options.root_password.as_deref(), Some("e"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, said) in [
            ("", "which command"),
            ("run", "no such command: run"),
            ("serve serve", "unexpected argument"),
            ("serve --what", "invalid option '--what'"),
            ("serve --port 70000", "--port must be a number"),
            ("serve --host nowhere", "--host must be an IP address"),
            ("serve --data", "missing argument"),
            ("serve --data d --memory", "exclude each other"),
            ("serve --emulate mysql", "kalamdb-0.4"),
            ("serve --node 1024", "--node must be a number"),
            ("serve --root-password=", "password is empty"),
        ] {
            let error = parsed(line, None).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn passwords_are_in_no_debug_text() {
        let text = format!("{:?}", parsed("serve --root-password tops3cret", None).unwrap());
        assert!(!text.contains("tops3cret"), "{text}");
    }
}
