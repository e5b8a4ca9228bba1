//! Scenarios as data.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Failure;

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
pub struct Scenario {
    pub name: String,
    /// What it shows.
    pub about: String,
    /// Seconds that a consumer may hold a record, at a server of its own.
    pub topic_visibility: Option<f64>,
    pub steps: Vec<Step>,
}

/// One step; the key that comes first in the file says what it does.
#[derive(Clone, Debug)]
pub struct Step {
    pub what: String,
    pub fields: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A map of `serde_json` may sort its keys, and the first one matters.
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Step;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a step")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
                let (mut what, mut fields) = (None, Map::new());
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    what.get_or_insert_with(|| name.clone());
                    fields.insert(name, value);
                }
                let what = what.ok_or_else(|| serde::de::Error::custom("a step does something"))?;
                Ok(Step { what, fields })
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl Step {
    /// A step from `(name, value)` pairs, the first being what it does.
    pub(crate) fn new(fields: &[(&str, Value)]) -> Self {
        let what = fields[0].0.to_owned();
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Self { what, fields }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// A field that must be there, as text.
    pub(crate) fn text(&self, name: &str) -> Result<&str, Failure> {
        self.get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("{name} of {self} must be a text").into())
    }

    pub(crate) fn list(&self, name: &str) -> Result<&[Value], Failure> {
        let list = self.get(name).and_then(Value::as_array).map(Vec::as_slice);
        list.ok_or_else(|| format!("{name} of {self} must be a list").into())
    }

    pub(crate) fn number(&self, name: &str) -> Result<i64, Failure> {
        self.get(name)
            .and_then(Value::as_i64)
            .ok_or_else(|| format!("{name} of {self} must be a number").into())
    }

    /// With `{ns}` put in.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Self {
        Self { what: self.what.clone(), fields: fill(&self.fields, namespace) }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", Value::Object(self.fields.clone()))
    }
}

fn fill(fields: &Map<String, Value>, namespace: &str) -> Map<String, Value> {
    fields.iter().map(|(name, value)| (name.clone(), filled(value, namespace))).collect()
}

fn filled(value: &Value, namespace: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("{ns}", namespace)),
        Value::Array(list) => list.iter().map(|item| filled(item, namespace)).collect(),
        Value::Object(fields) => Value::Object(fill(fields, namespace)),
        other => other.clone(),
    }
}

/// The scenarios of a directory, by name.
///
/// # Errors
/// A file that can not be read or is no scenario.
pub fn read_all(directory: &Path) -> Result<Vec<Scenario>, Failure> {
    let mut scenarios = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path)?;
            let scenario =
                serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            scenarios.push(scenario);
        }
    }
    scenarios.sort_by(|a: &Scenario, b| a.name.cmp(&b.name));
    Ok(scenarios)
}
