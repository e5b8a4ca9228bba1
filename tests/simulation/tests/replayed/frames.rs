//! What a frame tells, in words that the model and a recording share.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::statements::Keys;

/// The versions of each key, in the order in which they were told.
pub(crate) type Versions = BTreeMap<i64, Vec<i64>>;

/// Cells by the model's columns, and `_seq` by which of the key's versions it is.
type Cells = BTreeMap<String, Json>;

/// A frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// `error`.
    Refused { id: String, code: Json, message: Json },
    /// The connection was closed, with this code.
    Closed(Json),
    /// `subscription_ack`.
    Ack { id: String, more: Json, status: Json, number: Json },
    /// `initial_data_batch`.
    Page { id: String, more: Json, status: Json, number: Json, last: Option<usize>, rows: Vec<(i64, Cells)> },
    /// `change`.
    Change { id: String, kind: Json, key: Option<i64>, rows: Vec<Cells>, old: Vec<Cells> },
}

/// Reads a frame. `column` gives the model's name of a column.
pub(crate) fn told(
    frame: &Json,
    column: &dyn Fn(&str) -> Option<&'static str>,
    keys: &mut Keys,
    versions: &mut Versions,
) -> Told {
    let id = frame["subscription_id"].as_str().unwrap_or_default().to_owned();
    let control = &frame["batch_control"];
    let (more, status) = (control["has_more"].clone(), control["status"].clone());
    let number = control["batch_num"].clone();
    let mut read = |row: &Json, known: Option<i64>| -> (Option<i64>, Cells) {
        let fields = row.as_object().expect("a row");
        let key = fields
            .iter()
            .find(|(name, _)| column(name) == Some("id"))
            .map(|(_, value)| keys.of(value))
            .or(known);
        let mut cells = Cells::new();
        for (name, value) in fields {
            match name.as_str() {
                "_seq" => {
                    let seq = value.as_str().and_then(|text| text.parse().ok()).expect("a version");
                    let told = versions.entry(key.unwrap_or(-1)).or_default();
                    let at = told.iter().position(|known| *known == seq).unwrap_or_else(|| {
                        told.push(seq);
                        told.len() - 1
                    });
                    cells.insert("_seq".into(), at.into());
                }
                "_deleted" => drop(cells.insert("_deleted".into(), value.clone())),
                name => {
                    let ours = column(name).unwrap_or_else(|| panic!("an unknown column {name}"));
                    let value = if ours == "id" { Json::from(keys.of(value)) } else { value.clone() };
                    cells.insert(ours.into(), value);
                }
            }
        }
        (key, cells)
    };
    match frame["type"].as_str() {
        None => Told::Closed(frame["closed"].clone()),
        Some("error") => Told::Refused { id, code: frame["code"].clone(), message: frame["message"].clone() },
        Some("subscription_ack") => Told::Ack { id, more, status, number },
        Some("initial_data_batch") => {
            let rows = frame["rows"].as_array().expect("rows");
            let last = control["last_seq_id"].as_i64().map(|last| {
                let text = last.to_string();
                let is_last = |row: &Json| row["_seq"].as_str() == Some(&*text);
                rows.iter().position(is_last).unwrap_or(usize::MAX)
            });
            let mut rows: Vec<_> = rows.iter().map(|row| read(row, None)).collect();
            rows.iter_mut().for_each(|(key, _)| *key = key.or(Some(-1)));
            let rows = rows.into_iter().map(|(key, cells)| (key.unwrap_or(-1), cells)).collect();
            Told::Page { id, more, status, number, last, rows }
        }
        Some("change") => {
            let of = |field: &str| frame[field].as_array().cloned().unwrap_or_default();
            // The older version first.
            let old: Vec<_> = of("old_values").iter().map(|row| read(row, None)).collect();
            let rows: Vec<_> = of("rows").iter().map(|row| read(row, None)).collect();
            let key = rows.iter().chain(&old).find_map(|(key, _)| *key);
            let cells = |rows: Vec<(Option<i64>, Cells)>| rows.into_iter().map(|(_, cells)| cells).collect();
            Told::Change { id, kind: frame["change_type"].clone(), key, rows: cells(rows), old: cells(old) }
        }
        _ => panic!("a frame {frame}"),
    }
}

/// By subscription, each in its order. Rows of one statement come in the server's own order, and so do those of a page.
pub(crate) fn ordered(mut frames: Vec<Told>) -> Vec<Told> {
    for frame in &mut frames {
        if let Told::Page { rows, .. } = frame {
            rows.sort_by_key(|(key, _)| *key);
        }
    }
    frames.sort_by_key(|frame| match frame {
        Told::Refused { id, .. } | Told::Ack { id, .. } => (id.clone(), 0, None),
        Told::Page { id, .. } => (id.clone(), 1, None),
        Told::Change { id, key, .. } => (id.clone(), 2, *key),
        Told::Closed(_) => (String::new(), 3, None),
    });
    frames
}
