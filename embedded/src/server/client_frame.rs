//! The frames that clients send (`wire/live_basic.jsonl`, `wire/live_errors.jsonl`).

use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::Wire;

/// One message of a client. What does not parse closes the socket with 1011 and serde's message, as recorded.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ClientFrame {
    Authenticate {
        #[serde(default)]
        method: Option<String>,
        #[serde(default)]
        token: Option<String>,
        #[serde(default)]
        protocol: Option<WishedProtocol>,
    },
    Subscribe {
        subscription: SubscribeRequest,
    },
    NextBatch {
        subscription_id: String,
        /// The cursor of the batch before. Only needed where the snapshot is not kept while it is fetched.
        #[serde(default)]
        last_seq_id: Option<Cursor>,
    },
    Unsubscribe {
        subscription_id: String,
    },
    Ping,
}

/// What the client would like to receive.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct WishedProtocol {
    #[serde(default)]
    compression: Option<String>,
    #[serde(default)]
    serialization: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SubscribeRequest {
    pub(crate) id: String,
    pub(crate) sql: String,
    /// Absent or null: no snapshot (recorded).
    #[serde(default)]
    pub(crate) options: Option<SubscribeOptions>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct SubscribeOptions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) batch_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_rows: Option<u32>,
    #[serde(default, alias = "from_seq_id", skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Cursor>,
    /// From 0.8 on: the history that `from` is of, as it was told. Whoever sends it speaks 0.8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version_domain: Option<serde_json::Value>,
}

/// A cursor, in the spelling of the client: a JSON integer up to 0.7, a decimal string from 0.8 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    Integer(i64),
    Text(i64),
}

impl Cursor {
    /// The number, if it is spelled as in this protocol; serde's message for the other one, as recorded for 0.4.
    pub(crate) fn of(self, wire: Wire) -> Result<i64, String> {
        match (self, wire) {
            (Self::Integer(seq), Wire::V0_4) | (Self::Text(seq), Wire::V0_8) => Ok(seq),
            (Self::Text(seq), Wire::V0_4) => Err(format!("invalid type: string \"{seq}\", expected i64")),
            (Self::Integer(seq), Wire::V0_8) => {
                Err(format!("invalid type: integer `{seq}`, expected a version as a decimal string"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Cursor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("i64")
            }

            fn visit_i64<E: serde::de::Error>(self, seq: i64) -> Result<Cursor, E> {
                Ok(Cursor::Integer(seq))
            }

            fn visit_u64<E: serde::de::Error>(self, seq: u64) -> Result<Cursor, E> {
                let seq = seq.try_into().map_err(|_| E::invalid_value(Unexpected::Unsigned(seq), &self));
                seq.map(Cursor::Integer)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Cursor, E> {
                text.parse().map(Cursor::Text).map_err(|_| E::invalid_type(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(seq) => serializer.serialize_i64(*seq),
            Self::Text(seq) => serializer.collect_str(seq),
        }
    }
}

/// How frames go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) gzip: bool,
    pub(crate) msgpack: bool,
}

impl WishedProtocol {
    /// JSON and gzip are the default, and what is not known is left alone.
    pub(crate) fn encoding(&self) -> Encoding {
        Encoding {
            gzip: self.compression.as_deref().is_none_or(|compression| compression == "gzip"),
            msgpack: self.serialization.as_deref() == Some("msgpack"),
        }
    }
}

impl Encoding {
    /// What of it this protocol has: 0.8 has no MessagePack.
    pub(crate) fn on(self, wire: Wire) -> Self {
        Self { msgpack: self.msgpack && wire == Wire::V0_4, ..self }
    }

    /// The same wish as query parameters of the upgrade: `compress=false`, `compression=none`, `serialization=msgpack`.
    pub(crate) fn of_query(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let start = Self { gzip: true, msgpack: false };
        pairs.fold(start, |wish, (name, value)| match name {
            "compress" => Self { gzip: wish.gzip && !matches!(value, "false" | "0"), ..wish },
            "compression" => Self { gzip: wish.gzip && value == "gzip", ..wish },
            "serialization" => Self { msgpack: value == "msgpack", ..wish },
            _ => wish,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        serde_json::from_str::<ClientFrame>(text).unwrap_err().to_string()
    }

    #[test]
    fn errors_read_as_recorded() {
        assert_eq!(error("{nope"), "key must be a string at line 1 column 2");
        let bogus = "unknown variant `bogus`, expected one of `authenticate`, `subscribe`, `next_batch`, \
                     `unsubscribe`, `ping` at line 1 column 15";
        assert_eq!(error(r#"{"type":"bogus"}"#), bogus);
        let text = r#"{"type":"subscribe","subscription":{"id":"a","sql":"b","options":{"from":"3837"}}}"#;
        let ClientFrame::Subscribe { subscription } = serde_json::from_str(text).unwrap() else {
            panic!("{text}")
        };
        let from = subscription.options.unwrap().from.unwrap();
        assert_eq!(from.of(Wire::V0_4).unwrap_err(), "invalid type: string \"3837\", expected i64");
    }

    #[test]
    fn a_cursor_has_the_spelling_of_its_protocol() {
        let cursor = |text: &str| serde_json::from_str::<Cursor>(text);
        assert_eq!(cursor("7").unwrap().of(Wire::V0_4), Ok(7));
        assert_eq!(cursor("\"7\"").unwrap().of(Wire::V0_8), Ok(7));
        assert!(cursor("7").unwrap().of(Wire::V0_8).unwrap_err().contains("decimal string"));
        for text in ["7.5", "true", "\"x\"", "\"\"", "18446744073709551615", "{}"] {
            assert!(cursor(text).unwrap_err().to_string().contains("expected i64"), "{text}");
        }
    }

    #[test]
    fn options_may_be_absent_null_or_empty() {
        for (text, there) in [("", false), (r#","options":null"#, false), (r#","options":{}"#, true)] {
            let text = format!(r#"{{"type":"subscribe","subscription":{{"id":"a","sql":"b"{text}}}}}"#);
            let ClientFrame::Subscribe { subscription } = serde_json::from_str(&text).unwrap() else {
                panic!("not a subscribe: {text}");
            };
            assert_eq!(subscription.options.is_some(), there, "{text}");
        }
    }

    #[test]
    fn compression_is_a_wish() {
        for (text, gzip) in [
            (r#"{}"#, true),
            (r#"{"serialization":"json","compression":"gzip"}"#, true),
            (r#"{"compression":"none"}"#, false),
            (r#"{"compression":"zstd"}"#, false),
        ] {
            let wish: WishedProtocol = serde_json::from_str(text).unwrap();
            assert_eq!(wish.encoding(), Encoding { gzip, msgpack: false }, "{text}");
        }
        for (query, gzip) in [
            (None, true),
            (Some(""), true),
            (Some("serialization=json"), true),
            (Some("compress=false"), false),
            (Some("x=y&compression=none"), false),
            (Some("compression=gzip"), true),
        ] {
            assert_eq!(Encoding::of_query(query), Encoding { gzip, msgpack: false }, "{query:?}");
        }
        assert!(Encoding::of_query(Some("serialization=msgpack&x=y")).msgpack);
        let wish: WishedProtocol = serde_json::from_str(r#"{"serialization":"msgpack"}"#).unwrap();
        assert!(wish.encoding().msgpack);
    }

    #[test]
    fn deep_nesting_is_an_error_not_an_overflow() {
        let text = format!(r#"{{"type":"ping","x":{}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
        assert!(error(&text).contains("recursion limit"), "{}", error(&text));
    }
}
