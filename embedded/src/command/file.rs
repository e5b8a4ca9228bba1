//! The configuration file: TOML, each key a setting.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::Setting;

/// What the text sets. Errors name the line.
pub(crate) fn read(text: &str) -> Result<Vec<(String, &'static Setting, String)>, String> {
    let table = DeTable::parse(text).map_err(|error| match error.span() {
        Some(span) => format!("line {}: {}", line(text, span.start), error.message()),
        None => error.message().to_owned(),
    })?;
    let mut source = Vec::new();
    section("", table.get_ref(), text, &mut source)?;
    Ok(source)
}

fn section(
    prefix: &str,
    table: &DeTable<'_>,
    text: &str,
    source: &mut Vec<(String, &'static Setting, String)>,
) -> Result<(), String> {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        let line = line(text, key.span().start);
        if let DeValue::Table(inner) = value.get_ref() {
            section(&format!("{name}."), inner, text, source)?;
            continue;
        }
        let setting =
            Setting::named(&name).ok_or_else(|| format!("line {line}: there is no setting '{name}'"))?;
        let value = scalar(value)
            .ok_or_else(|| format!("line {line}: {name} must be a text, a number, true or false"))?;
        source.push((format!("line {line}: {name}"), setting, value));
    }
    Ok(())
}

fn scalar(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    }
}

fn line(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::command::settings::Settings;

    fn settings(text: &str) -> Result<Settings, String> {
        let mut settings = Settings::new();
        settings.apply(read(text)?)?;
        settings.finish()
    }

    #[test]
    fn keys_are_settings() {
        let text = "# a comment\nport = 2_901\nhost = 'localhost'\nallow_remote = true\nauth_timeout = '5s'\n\n[limits]\n\
                    sql_bytes = '2MB'\nwebsockets = 7\n";
        let options = settings(text).unwrap().options;
        assert_eq!((options.port, options.allow_remote), (2901, true));
        assert_eq!(options.auth_timeout, Duration::from_secs(5));
        assert_eq!((options.limits.sql_bytes, options.limits.websockets), (2 << 20, 7));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, said) in [
            ("port = 1\nprot = 2\n", "line 2: there is no setting 'prot'"),
            ("port = 1\n\n[limits]\nsql = 2\n", "line 4: there is no setting 'limits.sql'"),
            ("\nport = 70000\n", "line 2: port must be a number from 0 to 65535, not '70000'"),
            ("port = [1]\n", "line 1: port must be a text, a number, true or false"),
            ("port = 1\nport = 2\n", "line 2: "),
            ("port 1\n", "line 1: "),
        ] {
            let error = settings(text).unwrap_err();
            assert!(error.starts_with(said), "{text}: {error}");
        }
        assert_eq!(settings("tls_cert = 'x'").unwrap_err(), "tls_cert needs tls_key");
    }
}
