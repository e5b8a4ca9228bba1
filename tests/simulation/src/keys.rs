//! Keys of every type that a table may have: numbers at the ends of their range, text with quotes, UUIDs.

use std::borrow::Cow;

use kalam_live::Value;

/// The type of the key column. A record names its key by a small number, of which each type makes something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyKind {
    /// The small number.
    #[default]
    Int,
    /// All of 64 bits, negative ones too; a string on the wire.
    BigInt,
    /// Quotes, semicolons, comments and what lies beyond ASCII.
    Text,
    /// A UUID.
    Uuid,
}

const BEGINNINGS: [&str; 8] = ["it's ", "", "ключ ", "a; SELECT '--", "\"quoted\" ", "🦀", "''", "O'Brien\\"];

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Int, Self::BigInt, Self::Text, Self::Uuid];

    /// The column's type, as in a schema.
    pub fn data_type(self) -> &'static str {
        match self {
            Self::Int => "Int",
            Self::BigInt => "BigInt",
            Self::Text => "Text",
            Self::Uuid => "Uuid",
        }
    }

    /// The key as the server orders it.
    pub fn key(self, id: i64) -> Key {
        match self {
            Self::Int => Key::Number(id),
            Self::BigInt => Key::Number(match id {
                0 => i64::MIN,
                1 => i64::MAX,
                id => id.wrapping_mul(0x1E37_79B9_7F4A_7C15),
            }),
            Self::Text => Key::Text(format!("{}{id}", BEGINNINGS[id.rem_euclid(8) as usize])),
            Self::Uuid => {
                let bits = (id as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                Key::Text(format!("{:08x}-{:04x}-4a00-8000-{id:012x}", bits >> 32, bits >> 16 & 0xFFFF))
            }
        }
    }

    /// The key as JSON, in a frame and in an answer alike.
    pub fn json(self, id: i64) -> String {
        match (self, self.key(id)) {
            (Self::Int, Key::Number(n)) => n.to_string(),
            (_, Key::Number(n)) => format!("\"{n}\""),
            (_, Key::Text(text)) => serde_json::Value::from(text).to_string(),
        }
    }
}

/// The key of a row, in the server's order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Of a numeric column.
    Number(i64),
    /// Of any other: by bytes.
    Text(String),
}

impl Key {
    /// The literal at the beginning of `sql`, and what follows it.
    pub fn read(sql: &str) -> Option<(Self, &str)> {
        if let Some(rest) = sql.strip_prefix("(-9223372036854775807 - 1)") {
            return Some((Self::Number(i64::MIN), rest));
        }
        if let Some(text) = sql.strip_prefix('\'') {
            let mut at = 0;
            loop {
                at += text[at..].find('\'')?;
                if !text[at + 1..].starts_with('\'') {
                    return Some((Self::Text(text[..at].replace("''", "'")), &text[at + 1..]));
                }
                at += 2;
            }
        }
        let end = sql.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(sql.len());
        Some((Self::Number(sql[..end].parse().ok()?), &sql[end..]))
    }

    /// For comparing with what a client holds.
    pub fn into_text(self) -> String {
        match self {
            Self::Number(n) => n.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// A cell of the client in the form of [`Key::into_text`]. `None`: NULL.
pub fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    Some(match value {
        Value::Null => return None,
        Value::Uuid(uuid) => uuid.to_string().into(),
        other => match (other.as_int(), other.as_text()) {
            (Some(n), _) => n.to_string().into(),
            (None, Some(text)) => text.into(),
            (None, None) => format!("{other:?}").into(),
        },
    })
}

#[cfg(test)]
mod tests {
    use kalam_live::sql::literal::literal;

    use super::*;

    #[test]
    fn a_literal_of_the_client_is_read_back() {
        for kind in KeyKind::ALL {
            for id in 0..200 {
                let key = kind.key(id);
                let value = match &key {
                    Key::Number(n) => Value::from(*n),
                    Key::Text(text) => Value::from(text.as_str()),
                };
                let sql = format!("{}, 5", literal(&value).expect("a literal"));
                assert_eq!(Key::read(&sql), Some((key, ", 5")));
            }
        }
        assert_eq!(Key::read("'open"), None);
        assert_eq!(Key::read("x"), None);
    }
}
