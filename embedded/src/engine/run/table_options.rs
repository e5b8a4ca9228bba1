//! What WITH (...) of CREATE TABLE says.

use std::collections::BTreeMap;

use sqlparser::ast::{CreateTableOptions, Expr, SqlOption, Value};

use crate::engine::{
    SqlError,
    catalog::{Access, TableKind},
    error::SqlResult,
};

pub(super) fn create_error(message: impl std::fmt::Display) -> SqlError {
    SqlError::invalid(format!("Invalid CREATE TABLE statement: {message}"))
}

/// What WITH (...) says.
pub(super) struct Settings {
    pub(super) kind: TableKind,
    pub(super) access: Access,
    pub(super) ttl_seconds: Option<u64>,
    pub(super) retention_hours: Option<u64>,
    pub(super) shown: BTreeMap<String, String>,
}

impl Settings {
    pub(super) fn read(prefix: Option<&str>, options: &CreateTableOptions) -> SqlResult<Self> {
        let list = match options {
            CreateTableOptions::None => &[][..],
            CreateTableOptions::With(list) => list,
            _ => return Err(create_error("options are written WITH (NAME = 'value', ...)")),
        };
        let (mut kind, mut access) = (prefix.map(str::to_owned), None);
        let mut shown = BTreeMap::new();
        let (mut ttl_seconds, mut retention_hours) = (None, None);
        for option in list {
            let SqlOption::KeyValue { key, value } = option else {
                return Err(create_error(format_args!("{option} is not an option")));
            };
            let (key, value) = (key.to_string().to_uppercase(), option_value(value)?);
            match key.as_str() {
                "TYPE" => kind = Some(value.to_uppercase()),
                "ACCESS_LEVEL" => {
                    access =
                        Some(Access::parse(&value).ok_or_else(|| {
                            create_error("ACCESS_LEVEL is PUBLIC, PRIVATE, RESTRICTED or DBA")
                        })?);
                }
                "TTL_SECONDS" => ttl_seconds = Some(whole(&key, &value, 1)?),
                "DELETED_RETENTION_HOURS" => retention_hours = Some(whole(&key, &value, 0)?),
                _ => {
                    check_option(&key, &value)?;
                    shown.insert(key, value);
                }
            }
        }
        let kind = match kind.as_deref() {
            None | Some("SHARED") => TableKind::Shared,
            Some("USER") => TableKind::User,
            // Recorded in wire/sql_surface.jsonl.
            Some("STREAM") if ttl_seconds.is_none() => {
                return Err(create_error("STREAM tables must specify 'TTL_SECONDS'"));
            }
            Some("STREAM") => TableKind::Stream,
            Some(other) => {
                return Err(create_error(format_args!("unknown TYPE '{other}': use USER, SHARED or STREAM")));
            }
        };
        let only = |key: &str, kinds: &[TableKind]| match kinds.contains(&kind) {
            true => Ok(()),
            false => {
                let names: Vec<String> = kinds.iter().map(|k| k.name().to_uppercase()).collect();
                Err(create_error(format_args!("{key} is an option of {} tables only", names.join(" and "))))
            }
        };
        if ttl_seconds.is_some() {
            only("TTL_SECONDS", &[TableKind::Stream])?;
        }
        if access.is_some() {
            only("ACCESS_LEVEL", &[TableKind::Shared])?;
        }
        for key in shown.keys() {
            match key.as_str() {
                "USE_USER_STORAGE" => only(key, &[TableKind::User])?,
                "FLUSH_POLICY" | "COMPRESSION" => only(key, &[TableKind::User, TableKind::Shared])?,
                "EVICTION_STRATEGY" | "MAX_STREAM_SIZE_BYTES" => only(key, &[TableKind::Stream])?,
                _ => {}
            }
        }
        Ok(Self { kind, access: access.unwrap_or(Access::Private), ttl_seconds, retention_hours, shown })
    }
}

/// A whole number that is at least so great.
pub(super) fn whole(key: &str, value: &str, least: u64) -> SqlResult<u64> {
    let number = value.parse().ok().filter(|n| (least..=100_000_000_000).contains(n));
    number.ok_or_else(|| create_error(format_args!("{key} is a whole number from {least}, not '{value}'")))
}

/// Options that are kept to be shown: the embedded server has one way to store.
pub(super) fn check_option(key: &str, value: &str) -> SqlResult<()> {
    let valid = match key {
        "STORAGE_ID" => {
            !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        }
        "USE_USER_STORAGE" => matches!(value.to_ascii_lowercase().as_str(), "true" | "false"),
        "FLUSH_POLICY" => value.split(',').all(|part| {
            part.trim().split_once(':').is_some_and(|(what, n)| {
                matches!(what, "rows" | "interval") && n.parse::<u64>().is_ok_and(|n| n > 0)
            })
        }),
        "COMPRESSION" => matches!(value.to_ascii_lowercase().as_str(), "none" | "snappy" | "zstd"),
        "EVICTION_STRATEGY" => {
            matches!(value.to_ascii_lowercase().as_str(), "time_based" | "size_based" | "hybrid")
        }
        "MAX_STREAM_SIZE_BYTES" => value.parse::<u64>().is_ok(),
        // Recorded in wire/sql_surface.jsonl.
        _ => return Err(create_error(format_args!("Unknown table option '{key}'"))),
    };
    match valid {
        true => Ok(()),
        false => Err(create_error(format_args!("'{value}' is not a value of {key}"))),
    }
}

pub(super) fn option_value(value: &Expr) -> SqlResult<String> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Ok(text.clone()),
            Value::Number(text, _) => Ok(text.clone()),
            Value::Boolean(value) => Ok(value.to_string()),
            other => Err(create_error(format_args!("{other} is not the value of an option"))),
        },
        Expr::Identifier(ident) => Ok(ident.value.clone()),
        other => Err(create_error(format_args!("{other} is not the value of an option"))),
    }
}
