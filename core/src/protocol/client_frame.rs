//! What a client says on the WebSocket: JSON text, of the shape recorded in `wire/live_basic.jsonl`.

use std::fmt;

use serde::Serialize;

use super::cursor::{Cursor, VersionDomain};
use super::frame::{Compression, Serialization, WireProtocol};

/// One client frame.
#[derive(Clone, Copy)]
pub enum ClientFrame<'a> {
    /// Who we are, for a connection that did not say so in its upgrade request.
    Authenticate {
        /// Access token.
        token: &'a str,
        /// How we wish to be answered.
        protocol: WireProtocol,
    },
    /// Open a subscription. A second one under the same id replaces the first.
    Subscribe {
        /// Subscription id, chosen by the client; not empty.
        id: &'a str,
        /// `SELECT ... FROM namespace.table [WHERE ...]`.
        sql: &'a str,
        /// What to send first. `None`: no snapshot at all, only changes.
        options: Option<&'a SnapshotOptions>,
    },
    /// Ask for the next page of a snapshot.
    NextBatch {
        /// Subscription id.
        subscription: &'a str,
        /// `last_seq` of the page before.
        last_seq: Option<&'a Cursor>,
    },
    /// End a subscription. Not answered.
    Unsubscribe {
        /// Subscription id.
        subscription: &'a str,
    },
}

/// `subscription.options`. Without any field: a snapshot of the whole result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// Rows in a page.
    pub batch_size: Option<u32>,
    /// Only this many of the newest rows. Not more than `batch_size` (`UNSUPPORTED` otherwise).
    pub last_rows: Option<u32>,
    /// Only what was written after this. Goes before `last_rows`.
    pub from: Option<Cursor>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Wire<'a> {
    Authenticate {
        method: &'static str,
        token: &'a str,
        protocol: WireProtocol,
    },
    Subscribe {
        subscription: WireSubscription<'a>,
    },
    NextBatch {
        subscription_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        last_seq_id: Option<&'a Cursor>,
    },
    Unsubscribe {
        subscription_id: &'a str,
    },
}

#[derive(Serialize)]
struct WireSubscription<'a> {
    id: &'a str,
    sql: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<WireOptions<'a>>,
}

#[derive(Serialize)]
struct WireOptions<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_rows: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a Cursor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_domain: Option<&'a VersionDomain>,
}

impl ClientFrame<'_> {
    /// The JSON text to send.
    pub fn to_json(&self) -> String {
        let wire = match *self {
            Self::Authenticate { token, protocol } => Wire::Authenticate { method: "jwt", token, protocol },
            Self::Subscribe { id, sql, options } => Wire::Subscribe {
                subscription: WireSubscription {
                    id,
                    sql,
                    options: options.map(|o| WireOptions {
                        batch_size: o.batch_size,
                        last_rows: o.last_rows,
                        from: o.from.as_ref(),
                        version_domain: o.from.as_ref().and_then(Cursor::domain),
                    }),
                },
            },
            Self::NextBatch { subscription, last_seq } => {
                Wire::NextBatch { subscription_id: subscription, last_seq_id: last_seq }
            }
            Self::Unsubscribe { subscription } => Wire::Unsubscribe { subscription_id: subscription },
        };
        // Strings, integers and JSON that was checked: there is nothing in it that can fail.
        serde_json::to_string(&wire).expect("a client frame is JSON")
    }
}

/// Without the token.
impl fmt::Debug for ClientFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authenticate { protocol, .. } => {
                f.debug_struct("Authenticate").field("protocol", protocol).finish_non_exhaustive()
            }
            Self::Subscribe { id, sql, options } => f
                .debug_struct("Subscribe")
                .field("id", id)
                .field("sql", sql)
                .field("options", options)
                .finish(),
            Self::NextBatch { subscription, last_seq } => f
                .debug_struct("NextBatch")
                .field("subscription", subscription)
                .field("last_seq", last_seq)
                .finish(),
            Self::Unsubscribe { subscription } => {
                f.debug_struct("Unsubscribe").field("subscription", subscription).finish()
            }
        }
    }
}

impl Serialize for WireProtocol {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut object = serializer.serialize_struct("protocol", 2)?;
        object.serialize_field(
            "serialization",
            match self.serialization {
                Serialization::Json => "json",
                Serialization::MessagePack => "msgpack",
            },
        )?;
        object.serialize_field(
            "compression",
            match self.compression {
                Compression::Gzip => "gzip",
                Compression::None => "none",
            },
        )?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::CursorKind;

    fn json(frame: ClientFrame<'_>) -> serde_json::Value {
        serde_json::from_str(&frame.to_json()).expect("JSON")
    }

    #[test]
    fn absent_options_mean_no_snapshot_and_empty_ones_a_snapshot() {
        let subscribe = |options| json(ClientFrame::Subscribe { id: "a", sql: "SELECT", options });
        assert_eq!(subscribe(None)["subscription"].get("options"), None);
        assert_eq!(
            subscribe(Some(&SnapshotOptions::default()))["subscription"]["options"],
            serde_json::json!({})
        );
    }

    #[test]
    fn a_resume_sends_the_domain_back() {
        let domain = VersionDomain::from_json(r#"{"table_id":7,"scope_id":"u"}"#);
        let options = SnapshotOptions {
            from: Some(Cursor::new(9.into(), CursorKind::Text, domain)),
            ..SnapshotOptions::default()
        };
        let frame = json(ClientFrame::Subscribe { id: "a", sql: "SELECT", options: Some(&options) });
        assert_eq!(
            frame["subscription"]["options"],
            serde_json::json!({"from": "9", "version_domain": {"table_id": 7, "scope_id": "u"}})
        );
    }

    #[test]
    fn debug_output_holds_no_token() {
        let frame = ClientFrame::Authenticate { token: "s3cret", protocol: WireProtocol::default() };
        assert!(!format!("{frame:?}").contains("s3cret"));
        assert!(frame.to_json().contains("s3cret"));
    }
}
