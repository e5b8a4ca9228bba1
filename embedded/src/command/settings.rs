//! The settings of `serve`. One table serves the file, the environment and the arguments: a setting `limits.sql_bytes` is
//! `sql_bytes` in the section `[limits]`, `KALAM_LIMITS_SQL_BYTES`, and `--limits.sql-bytes`.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use kalam_embedded::{Data, Options, TlsFiles};

const DEFAULT_PORT: u16 = 2900;

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What `serve` was told, from wherever.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) options: Options,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: tracing::level_filters::LevelFilter,
    data: Data,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
}

/// One setting.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    /// What it is, with its default.
    help: &'static str,
    /// Yes or no; as an argument it needs no value.
    pub(crate) is_switch: bool,
    set: fn(&mut Settings, &str) -> Result<(), String>,
}

type Set = fn(&mut Settings, &str) -> Result<(), String>;

const fn value(name: &'static str, help: &'static str, set: Set) -> Setting {
    Setting { name, help, is_switch: false, set }
}

const fn switch(name: &'static str, help: &'static str, set: Set) -> Setting {
    Setting { name, help, is_switch: true, set }
}

/// In the order of the help.
pub(crate) const SETTINGS: &[Setting] = &[
    value("data", "keep the data in this directory, created if missing [default: in memory]", |s, v| {
        s.data = Data::Directory(v.into());
        Ok(())
    }),
    switch("memory", "keep the data in memory only", |s, v| {
        if yes(v)? {
            s.data = Data::Memory;
        }
        Ok(())
    }),
    value("host", "listen on this address [127.0.0.1]", |s, v| put(&mut s.options.host, host(v))),
    value("port", "listen on this port, 0 for a free one [2900]", |s, v| put(&mut s.options.port, number(v))),
    switch("allow_remote", "allow a host that other machines can reach; use TLS then [no]", |s, v| {
        put(&mut s.options.allow_remote, yes(v))
    }),
    value("tls_cert", "serve TLS with this certificate chain (PEM)", |s, v| {
        s.tls_cert = Some(v.into());
        Ok(())
    }),
    value("tls_key", "and this private key (PEM)", |s, v| {
        s.tls_key = Some(v.into());
        Ok(())
    }),
    value(
        "root_password",
        "the password of root, better not an argument, which other users of this machine can see; without one, one is \
         generated and printed when the data is created",
        |s, v| match v.is_empty() {
            true => Err("is empty: leave it out to have one generated".to_owned()),
            false => {
                s.options.root_password = Some(v.to_owned());
                Ok(())
            }
        },
    ),
    value("root_password_file", "the same, in the first line of this file", |s, v| {
        let text = std::fs::read_to_string(v)
            .map_err(|error| format!("names a file that can not be read: {v}: {error}"))?;
        match text.lines().next() {
            Some(line) if !line.is_empty() => s.options.root_password = Some(line.to_owned()),
            _ => return Err(format!("names a file without a password in its first line: {v}")),
        }
        Ok(())
    }),
    switch("ui", "serve the inspector page at / [yes]", |s, v| put(&mut s.options.ui, yes(v))),
    value("log_format", "text or json [text]", |s, v| {
        s.log_format = match v {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => return Err(format!("must be text or json, not '{v}'")),
        };
        Ok(())
    }),
    value("log_level", "error, warn, info, debug or off [info]", |s, v| {
        put(
            &mut s.log_level,
            v.parse().map_err(|_| format!("must be error, warn, info, debug or off, not '{v}'")),
        )
    }),
    value("access_token_lifetime", "how long a token is valid [24h]", |s, v| {
        put(&mut s.options.access_token_lifetime, duration(v))
    }),
    value("refresh_token_lifetime", "how long it can be renewed [7d]", |s, v| {
        put(&mut s.options.refresh_token_lifetime, duration(v))
    }),
    value("auth_timeout", "how long a WebSocket may stay without authenticating [3s]", |s, v| {
        put(&mut s.options.auth_timeout, duration(v))
    }),
    value("heartbeat_timeout", "close a WebSocket that is silent for so long [10s]", |s, v| {
        put(&mut s.options.heartbeat_timeout, duration(v))
    }),
    value(
        "topic_visibility",
        "deliver a record again that was not acknowledged for so long [30s]",
        |s, v| put(&mut s.options.topic_visibility, duration(v)),
    ),
    value("shutdown_deadline", "how long a stop waits for clients [5s]", |s, v| {
        put(&mut s.options.shutdown_deadline, duration(v))
    }),
    value(
        "emulate",
        "for tests of clients, behave like KalamDB where it leaves something out: kalamdb-0.4, or kalamdb-0.4,-drop,... \
         without some of its holes, or single ones",
        |s, v| {
            s.options.emulate = Some(v.parse()?);
            Ok(())
        },
    ),
    value("wire", "protocol for clients that do not show theirs: 0.4, 0.5 or 0.8 [0.4]", |s, v| {
        put(&mut s.options.wire, v.parse())
    }),
    value("node", "number row versions as this node, 0 to 1023 [0]", |s, v| {
        let node = number(v)?;
        if node > 1023 {
            return Err(format!("must be a number from 0 to 1023, not '{v}'"));
        }
        s.options.node = node;
        Ok(())
    }),
    value(
        "tombstone_hours",
        "how long deleted rows can still be told to clients that were away, in hours [168]",
        |s, v| put(&mut s.options.tombstone_hours, number(v)),
    ),
    value("limits.messages_per_second", "messages of one WebSocket, announced to clients [1000]", |s, v| {
        put(&mut s.options.limits.messages_per_second, number(v))
    }),
    value("limits.message_bytes", "one WebSocket message, announced [1MB]", |s, v| {
        put(&mut s.options.limits.message_bytes, bytes(v))
    }),
    value("limits.batch_rows", "rows of one batch of a snapshot, announced [5000]", |s, v| {
        put(&mut s.options.limits.batch_rows, number(v))
    }),
    value("limits.subscriptions_per_connection", "announced [1000]", |s, v| {
        put(&mut s.options.limits.subscriptions_per_connection, number(v))
    }),
    value("limits.subscriptions_per_user", "announced [10000]", |s, v| {
        put(&mut s.options.limits.subscriptions_per_user, number(v))
    }),
    value("limits.http_connections", "open HTTP connections [1024]", |s, v| {
        put(&mut s.options.limits.http_connections, number(v))
    }),
    value("limits.websockets", "open WebSockets [4096]", |s, v| {
        put(&mut s.options.limits.websockets, number(v))
    }),
    value("limits.queue_bytes", "what may wait to be sent on one WebSocket [32MB]", |s, v| {
        put(&mut s.options.limits.queue_bytes, bytes(v))
    }),
    value("limits.queue_frames", "the same in frames [131072]", |s, v| {
        put(&mut s.options.limits.queue_frames, number(v))
    }),
    value(
        "limits.unfetched_rows",
        "snapshot rows that one WebSocket may leave unfetched [1000000]",
        |s, v| put(&mut s.options.limits.unfetched_rows, number(v)),
    ),
    value("limits.request_bytes", "the body of one request [10MB]", |s, v| {
        put(&mut s.options.limits.request_bytes, bytes(v))
    }),
    value("limits.upload_bytes", "the body of one request with files [64MB]", |s, v| {
        put(&mut s.options.limits.upload_bytes, bytes(v))
    }),
    value("limits.file_bytes", "one uploaded file [25MB]", |s, v| {
        put(&mut s.options.limits.file_bytes, bytes(v))
    }),
    value("limits.sql_bytes", "the SQL of one request or subscription [1MB]", |s, v| {
        put(&mut s.options.limits.sql_bytes, bytes(v))
    }),
    value("limits.sql_statements", "statements of one request [1000]", |s, v| {
        put(&mut s.options.limits.sql_statements, number(v))
    }),
    value(
        "limits.statement_time",
        "how long one statement may run, and the transaction that it is in [30s]",
        |s, v| put(&mut s.options.limits.statement_time, duration(v)),
    ),
    value("limits.result_rows", "rows of one result, or written by one statement [1000000]", |s, v| {
        put(&mut s.options.limits.result_rows, number(v))
    }),
    value("limits.result_bytes", "one result in memory [256MB]", |s, v| {
        put(&mut s.options.limits.result_bytes, bytes(v))
    }),
    value(
        "limits.heap_bytes",
        "all that SQLite holds: rows in memory, sorts [half of the memory]",
        |s, v| put(&mut s.options.limits.heap_bytes, bytes(v).map(|n| n as u64)),
    ),
    value(
        "limits.concurrent_requests",
        "statements that run at the same time, a quarter of them for one user [16]",
        |s, v| put(&mut s.options.limits.concurrent_requests, number(v)),
    ),
    value("limits.waiting_requests", "requests that wait for their turn [1024]", |s, v| {
        put(&mut s.options.limits.waiting_requests, number(v))
    }),
    value("limits.requests_per_second", "requests of one user [50000]", |s, v| {
        put(&mut s.options.limits.requests_per_second, number(v))
    }),
    value("limits.waiting_logins", "logins that wait for their password to be verified [256]", |s, v| {
        put(&mut s.options.limits.waiting_logins, number(v))
    }),
    value("limits.login_failures_per_second", "failed logins of one address [20]", |s, v| {
        put(&mut s.options.limits.login_failures_per_second, number(v))
    }),
    value("limits.login_failures", "failed logins in a row that lock a user out [10]", |s, v| {
        put(&mut s.options.limits.login_failures, number(v))
    }),
    value("limits.lockout", "for how long [60s]", |s, v| put(&mut s.options.limits.lockout, duration(v))),
];

impl Setting {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// Errors say what the value must be, for its name to stand before.
    fn set(&self, settings: &mut Settings, value: &str) -> Result<(), String> {
        (self.set)(settings, value)
    }

    pub(crate) fn variable(&self) -> String {
        format!("KALAM_{}", self.name.to_uppercase().replace('.', "_"))
    }

    pub(crate) fn argument(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }
}

impl Settings {
    pub(crate) fn new() -> Self {
        Self {
            options: Options { port: DEFAULT_PORT, ..Options::default() },
            log_format: LogFormat::default(),
            log_level: tracing::level_filters::LevelFilter::INFO,
            data: Data::Memory,
            tls_cert: None,
            tls_key: None,
        }
    }

    /// Sets what one source says, over what an earlier one has said. Each value comes with how the source calls it.
    pub(crate) fn apply(&mut self, source: Vec<(String, &Setting, String)>) -> Result<(), String> {
        let named = |name: &str| source.iter().any(|(_, setting, _)| setting.name == name);
        if named("data") && named("memory") {
            return Err("data and memory exclude each other".to_owned());
        }
        for (called, setting, value) in &source {
            setting.set(self, value).map_err(|error| format!("{called} {error}"))?;
        }
        Ok(())
    }

    /// What goes together is looked at last.
    pub(crate) fn finish(mut self) -> Result<Self, String> {
        self.options.data = self.data.clone();
        self.options.tls = match (self.tls_cert.take(), self.tls_key.take()) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return Err("tls_cert needs tls_key".to_owned()),
            (None, Some(_)) => return Err("tls_key needs tls_cert".to_owned()),
        };
        Ok(self)
    }
}

/// A list of all settings as arguments.
pub(crate) fn help() -> String {
    let mut text = String::new();
    for setting in SETTINGS {
        let what = if setting.is_switch { "" } else { " VALUE" };
        let _ = writeln!(text, "  {}{what}", setting.argument());
        let mut line = String::from("     ");
        for word in setting.help.split_whitespace() {
            if line.len() + word.len() > 78 {
                let _ = writeln!(text, "{line}");
                line = String::from("     ");
            }
            let _ = write!(line, " {word}");
        }
        let _ = writeln!(text, "{line}");
    }
    text
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

fn yes(text: &str) -> Result<bool, String> {
    match text {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(format!("must be true or false, not '{text}'")),
    }
}

fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let number = text.parse::<u64>().ok().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| {
        let most = u64::MAX >> (64 - 8 * size_of::<T>().min(8) as u32);
        format!("must be a number from 0 to {most}, not '{text}'")
    })
}

fn host(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().map_err(|_| format!("must be an IP address or localhost, not '{text}'"))
}

/// `10`, `10s`, `500ms`, `5m`, `24h`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let millis = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let time =
        digits.parse::<u64>().ok().filter(|_| millis > 0).and_then(|number| number.checked_mul(millis));
    time.map(Duration::from_millis)
        .ok_or_else(|| format!("must be a time such as 500ms, 10s, 5m, 24h or 7d, not '{text}'"))
}

/// `1000`, `64KB`, `10MB`, `1GB`, in units of 1,024.
fn bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let size = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => Some(1),
        "KB" => Some(1 << 10),
        "MB" => Some(1 << 20),
        "GB" => Some(1 << 30),
        _ => None,
    };
    let number = digits.parse::<usize>().ok().zip(size).and_then(|(number, size)| number.checked_mul(size));
    number.ok_or_else(|| format!("must be a size such as 1000, 64KB or 10MB, not '{text}'"))
}

#[cfg(test)]
mod tests {
    use kalam_embedded::Limits;

    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        for (text, millis) in
            [("10", 10_000), ("500ms", 500), ("5m", 300_000), ("24h", 86_400_000), ("7d", 604_800_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1y", "1.5s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(text).unwrap_err().contains("such as"), "{text}");
        }
        assert_eq!((bytes("1000"), bytes("64KB"), bytes("10mb")), (Ok(1000), Ok(65_536), Ok(10 << 20)));
        for text in ["", "MB", "1XB", "18446744073709551615GB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(number::<u16>("65535"), Ok(65_535));
        assert_eq!(number::<u16>("65536"), Err("must be a number from 0 to 65535, not '65536'".to_owned()));
    }

    #[test]
    fn all_settings_are_documented() {
        let page = include_str!("../../../docs/embedded-server.md");
        for setting in SETTINGS {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", setting.name)));
            let row = row.unwrap_or_else(|| panic!("{} is not documented", setting.name));
            let default = setting.help.rsplit_once('[').map(|(_, rest)| rest.trim_end_matches(']'));
            let default = default.map_or("", |default| default.trim_start_matches("default: "));
            assert!(row.ends_with(&format!("| {default} |")), "{row}");
        }
    }

    /// A value that every setting takes, and another than its default.
    fn some(name: &str) -> &'static str {
        match name {
            "host" => "::1",
            "emulate" => "kalamdb-0.4",
            "wire" => "0.8",
            "log_format" => "json",
            "log_level" => "warn",
            "root_password_file" => "/dev/null",
            name if Setting::named(name).unwrap().is_switch => "true",
            _ => "17",
        }
    }

    #[test]
    fn every_setting_sets_something_of_its_own() {
        let shown = |settings: &Settings| format!("{settings:?} {:?}", settings.options.root_password);
        // The one whose default is to be set again.
        let start = || Settings { data: Data::Directory("x".into()), ..Settings::new() };
        let mut seen = vec![shown(&start())];
        for setting in SETTINGS {
            let mut settings = start();
            let value = if setting.name == "ui" { "false" } else { some(setting.name) };
            match setting.set(&mut settings, value) {
                Ok(()) => {}
                Err(error) => assert!(error.contains("without a password"), "{error}"),
            }
            if setting.name != "root_password_file" {
                assert!(
                    !seen.contains(&shown(&settings)),
                    "{} sets nothing, or what another sets",
                    setting.name
                );
                seen.push(shown(&settings));
            }
        }
    }

    #[test]
    fn all_options_can_be_set() {
        let options = Options { limits: Limits::default(), ..Options::default() };
        let fields = |text: &str| {
            let inside = text.split_once('{').expect("fields").1.to_owned();
            inside
                .split(", ")
                .filter_map(|part| Some(part.split_once(": ")?.0.trim().to_owned()))
                .collect::<Vec<_>>()
        };
        let limits = format!("{:?}", options.limits);
        let all = format!("{options:?}").replace(&limits, "");
        for field in fields(&all).iter().filter(|field| !matches!(&***field, "limits" | "tls")) {
            assert!(Setting::named(field).is_some(), "{field} can not be set");
        }
        for field in fields(&limits) {
            assert!(Setting::named(&format!("limits.{field}")).is_some(), "limits.{field} can not be set");
        }
    }
}
