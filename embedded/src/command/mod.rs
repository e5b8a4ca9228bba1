//! The command line: what is to be done, and with which settings.

mod file;
pub(crate) mod settings;

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;

use lexopt::prelude::*;

use self::settings::{SETTINGS, Setting, Settings, help as settings_help};

const HELP: &str = "\
A small KalamDB-compatible server on SQLite.

Usage:
  kalam-embedded serve [OPTIONS]          serve data
  kalam-embedded backup DIR TARGET        copy the data in DIR to the new directory TARGET, also while they are served
  kalam-embedded check DIR                verify the data in DIR, also while they are served

Each option of serve can also be given in a file (--config FILE or KALAM_CONFIG; TOML) or by the environment: --root-password
is root_password in the file and KALAM_ROOT_PASSWORD in the environment, --limits.sql-bytes is sql_bytes in [limits] and
KALAM_LIMITS_SQL_BYTES. Arguments win over the environment, which wins over the file.

Options of serve:
  --config FILE
      read settings from this file; one that does not exist is an error
";

const HELP_END: &str = "  \
  --no-ui
      the same as --ui=false
  --verbose
      the same as --log-level debug
  -h, --help
  -V, --version
";

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Version,
    Serve(Box<Settings>),
    Backup { directory: PathBuf, target: PathBuf },
    Check { directory: PathBuf },
}

pub(crate) fn help() -> String {
    format!("{HELP}{}{}", settings_help(), HELP_END.trim_start_matches("  \n"))
}

/// Reads the arguments, the environment through `variable`, and the file that either names.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, String> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut words: Vec<OsString> = Vec::new();
    let mut source = Vec::new();
    let mut config = variable("KALAM_CONFIG");
    while let Some(argument) = parser.next().map_err(message)? {
        let (setting, fixed) = match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long("config") => {
                config = Some(parser.value().map_err(message)?);
                continue;
            }
            Long("no-ui") => ("ui".to_owned(), Some("false")),
            Long("verbose") => ("log_level".to_owned(), Some("debug")),
            Long(name) => (name.replace('-', "_"), None),
            Value(value) if words.len() < 3 => {
                words.push(value);
                continue;
            }
            other => return Err(message(other.unexpected())),
        };
        let Some(setting) = Setting::named(&setting) else {
            return Err(format!("invalid option '--{}'", setting.replace('_', "-")));
        };
        let called = setting.argument();
        let value = match fixed {
            Some(value) => value.to_owned(),
            None if setting.is_switch => match parser.optional_value() {
                Some(value) => text(value, &called)?,
                None => "true".to_owned(),
            },
            None => text(parser.value().map_err(message)?, &called)?,
        };
        source.push((called, setting, value));
    }
    let words: Vec<&OsString> = words.iter().collect();
    match words[..] {
        [] => Err("which command? There are serve, backup and check".to_owned()),
        [command, ..] if command == "help" => Ok(Command::Help),
        [command] if command == "serve" => serve(source, config, variable),
        [command, directory, target] if command == "backup" => no_options(&source)
            .map(|()| Command::Backup { directory: directory.into(), target: target.into() }),
        [command, directory] if command == "check" => {
            no_options(&source).map(|()| Command::Check { directory: directory.into() })
        }
        [command, ..] if command == "backup" => {
            Err("backup takes two directories: that of the data, and a new one for the copy".to_owned())
        }
        [command, ..] if command == "check" => Err("check takes one directory, that of the data".to_owned()),
        [command, unexpected, ..] if command == "serve" => {
            Err(format!("unexpected argument '{}'", unexpected.to_string_lossy()))
        }
        [command, ..] => Err(format!("no such command: {}", command.to_string_lossy())),
    }
}

fn no_options(source: &[(String, &Setting, String)]) -> Result<(), String> {
    match source.first() {
        None => Ok(()),
        Some((called, ..)) => Err(format!("{called} is an option of serve")),
    }
}

fn serve(
    arguments: Vec<(String, &Setting, String)>,
    config: Option<OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, String> {
    let mut settings = Settings::new();
    if let Some(path) = config {
        let path = PathBuf::from(path);
        let file = std::fs::read_to_string(&path)
            .map_err(|error| format!("can not read {}: {error}", path.display()))
            .and_then(|text| {
                file::read(&text)
                    .and_then(|source| settings.apply(source))
                    .map_err(|error| format!("{}: {error}", path.display()))
            });
        file?;
    }
    let mut environment = Vec::new();
    for setting in SETTINGS {
        let name = setting.variable();
        if let Some(value) = variable(&name) {
            environment.push((name.clone(), setting, text(value, &name)?));
        }
    }
    settings.apply(environment)?;
    settings.apply(arguments)?;
    Ok(Command::Serve(Box::new(settings.finish()?)))
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
    use std::time::Duration;

    use kalam_embedded::{Data, Options};

    use super::*;

    fn parsed(line: &str, variables: &[(&str, &str)]) -> Result<Options, String> {
        let arguments = line.split_whitespace().map(OsString::from);
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        match parse(arguments, variable)? {
            Command::Serve(settings) => Ok(settings.options),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn serve_takes_its_options() {
        let password = [("KALAM_ROOT_PASSWORD", "e")];
        let options = parsed("serve --data d --host ::1 --port 0 --root-password p", &password).unwrap();
        assert_eq!(options.data, Data::Directory(Path::new("d").into()));
        assert_eq!((options.host.to_string(), options.port), ("::1".to_owned(), 0));
        assert_eq!(options.root_password.as_deref(), Some("p"));
        let options =
            parsed("serve --emulate kalamdb-0.4,-drop --node 7 --no-ui --allow-remote", &[]).unwrap();
        assert!(options.emulate.is_some_and(|holes| holes.exits && !holes.drop));
        assert_eq!((options.node, options.ui, options.allow_remote), (7, false, true));
        let options = parsed("serve --limits.sql-bytes 2MB --auth-timeout=500ms", &password).unwrap();
        assert_eq!((options.data, options.port, options.ui), (Data::Memory, 2900, true));
        assert_eq!(options.root_password.as_deref(), Some("e"));
        assert_eq!((options.limits.sql_bytes, options.auth_timeout), (2 << 20, Duration::from_millis(500)));
    }

    #[test]
    fn arguments_win_over_the_environment_and_that_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kalam.toml");
        std::fs::write(&path, "data = 'file'\nport = 1\nnode = 1\n[limits]\nwebsockets = 1\n").unwrap();
        let path = path.to_str().unwrap();
        let environment = [("KALAM_PORT", "2"), ("KALAM_NODE", "2"), ("KALAM_CONFIG", path)];
        let options = parsed("serve --port 3 --memory", &environment).unwrap();
        assert_eq!((options.port, options.node, options.limits.websockets), (3, 2, 1));
        assert_eq!(options.data, Data::Memory);
        let options = parsed(&format!("serve --config {path}"), &[]).unwrap();
        assert_eq!((options.port, options.data), (1, Data::Directory("file".into())));
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
            ("serve --root-password=", "--root-password is empty"),
            ("serve --node 1024", "--node must be a number from 0 to 1023"),
            (
                "serve --emulate kalamdb-9",
                "--emulate must be kalamdb-0.4, or some of its holes, not 'kalamdb-9'",
            ),
            ("serve --wire 9", "--wire must be 0.4, 0.5 or 0.8, not '9'"),
            ("serve --root-password-file /nowhere", "--root-password-file names a file that can not be read"),
            ("serve --config /nowhere/kalam.toml", "can not read /nowhere/kalam.toml"),
            ("serve --tls-cert x", "tls_cert needs tls_key"),
            ("serve --limits.sql-bytes many", "--limits.sql-bytes must be a size"),
            ("help", "Help"),
            ("backup d", "backup takes two"),
            ("check", "check takes one"),
            ("check d e", "check takes one"),
            ("check d --port 1", "--port is an option of serve"),
        ] {
            let error = parsed(line, &[]).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
        let error = parsed("serve", &[("KALAM_LIMITS_LOCKOUT", "soon")]).unwrap_err();
        assert!(error.starts_with("KALAM_LIMITS_LOCKOUT must be a time"), "{error}");
    }

    #[test]
    fn passwords_are_in_no_debug_text() {
        let text = format!("{:?}", parsed("serve --root-password tops3cret", &[]).unwrap());
        assert!(!text.contains("tops3cret"), "{text}");
    }

    #[test]
    fn the_help_names_every_setting() {
        let help = help();
        for setting in SETTINGS {
            assert!(help.contains(&setting.argument()), "{}", setting.name);
        }
        assert!(help.lines().all(|line| line.len() <= 128));
    }
}
