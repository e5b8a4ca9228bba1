//! SQL functions of JSON text. Parts are taken out as they are written, so that numbers keep their digits.

use std::{borrow::Cow, collections::BTreeMap};

use rusqlite::{
    Connection, Result,
    types::{Value, ValueRef},
};
use serde_json::value::RawValue;

use super::functions::{failure, scalar, text_of};

pub(super) fn register(connection: &Connection) -> Result<()> {
    // A member by its name, or an element by its position, counted from the end when negative.
    scalar(connection, "k_json_get", 2, |ctx| {
        let json = text_of(ctx, 0)?;
        Ok(found(match ctx.get_raw(1) {
            ValueRef::Integer(position) => element(json, position),
            _ => member(json, text_of(ctx, 1)?),
        }))
    })?;
    scalar(connection, "k_json_step", 2, |ctx| {
        let (json, step) = (text_of(ctx, 0)?, text_of(ctx, 1)?);
        Ok(found(match (json.trim_start().starts_with('['), step.parse::<i64>()) {
            (true, Ok(position)) => element(json, position),
            (true, Err(_)) => None,
            (false, _) => member(json, step),
        }))
    })?;
    // `->>`: texts without their quotes, null as NULL, the rest as written.
    scalar(connection, "k_json_text", 1, |ctx| {
        let json = text_of(ctx, 0)?.trim();
        Ok(match json.as_bytes().first() {
            Some(b'"') => Value::Text(serde_json::from_str(json).map_err(|_| failure("not valid JSON"))?),
            _ if json == "null" => Value::Null,
            _ => Value::Text(json.to_owned()),
        })
    })?;
    scalar(connection, "k_json_contains", 2, |ctx| {
        let (outer, inner) = (parsed(text_of(ctx, 0)?)?, parsed(text_of(ctx, 1)?)?);
        Ok(Value::Integer(i64::from(contains(&outer, &inner, true))))
    })?;
    scalar(connection, "k_json_has", 2, |ctx| {
        let (json, key) = (parsed(text_of(ctx, 0)?)?, text_of(ctx, 1)?);
        let has = match &json {
            serde_json::Value::Object(members) => members.contains_key(key),
            serde_json::Value::Array(elements) => elements.iter().any(|e| e.as_str() == Some(key)),
            other => other.as_str() == Some(key),
        };
        Ok(Value::Integer(i64::from(has)))
    })?;
    scalar(connection, "k_json_length", 1, |ctx| match parsed(text_of(ctx, 0)?)? {
        serde_json::Value::Array(elements) => Ok(Value::Integer(elements.len() as i64)),
        _ => Err(failure("json_array_length() needs an array")),
    })?;
    scalar(connection, "k_json_type", 1, |ctx| {
        let name = match parsed(text_of(ctx, 0)?)? {
            serde_json::Value::Null => "null",
            serde_json::Value::Bool(_) => "boolean",
            serde_json::Value::Number(_) => "number",
            serde_json::Value::String(_) => "string",
            serde_json::Value::Array(_) => "array",
            serde_json::Value::Object(_) => "object",
        };
        Ok(Value::Text(name.to_owned()))
    })
}

fn found(part: Option<&str>) -> Value {
    part.map_or(Value::Null, |part| Value::Text(part.to_owned()))
}

fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let members: BTreeMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(json).ok()?;
    members.get(name).map(|raw| raw.get())
}

fn element(json: &str, position: i64) -> Option<&str> {
    let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    let at = match usize::try_from(position) {
        Ok(at) => at,
        Err(_) => elements.len().checked_sub(usize::try_from(position.unsigned_abs()).ok()?)?,
    };
    elements.get(at).map(|raw| raw.get())
}

fn parsed(json: &str) -> Result<serde_json::Value> {
    serde_json::from_str(json).map_err(|error| failure(format!("not valid JSON ({error})")))
}

/// PostgreSQL's rule: every member and element of `inner` is somewhere in `outer`; an array holds a bare value too.
fn contains(outer: &serde_json::Value, inner: &serde_json::Value, top: bool) -> bool {
    use serde_json::Value as J;
    match (outer, inner) {
        (J::Object(outer), J::Object(inner)) => {
            inner.iter().all(|(name, value)| outer.get(name).is_some_and(|o| contains(o, value, false)))
        }
        (J::Array(outer), J::Array(inner)) => {
            inner.iter().all(|i| outer.iter().any(|o| contains(o, i, false)))
        }
        (J::Array(outer), inner) if top && !inner.is_object() => {
            outer.iter().any(|o| contains(o, inner, false))
        }
        (J::Number(a), J::Number(b)) => a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64(),
        (outer, inner) => outer == inner,
    }
}
