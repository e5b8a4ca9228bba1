//! The frames that the server sends, encoded (`wire/live_basic.jsonl`, `wire/types.jsonl`).

use std::fmt::Display;
use std::sync::Arc;

use serde::Serialize;

use super::client_frame::{Cursor, Encoding};
use super::version_domain::VersionDomain;
use crate::engine::{ChangeKind, Column, LiveChange, LiveFields, Role};
use crate::options::Limits;

/// Frames of at least so many bytes are compressed, if the client can read that (recorded).
pub(crate) const COMPRESS_FROM: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BatchStatus {
    /// The first batch, more follow.
    Loading,
    /// A later batch, more follow.
    LoadingBatch,
    /// The last batch.
    Ready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchControl {
    pub(crate) batch_num: u32,
    pub(crate) has_more: bool,
    pub(crate) status: BatchStatus,
    pub(crate) last_seq_id: Option<i64>,
}

/// The same, as it is sent: to a client that speaks 0.8 if there is a domain.
#[derive(Serialize)]
struct SentControl<'a> {
    batch_num: u32,
    has_more: bool,
    status: BatchStatus,
    last_seq_id: Option<Cursor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_domain: Option<&'a VersionDomain>,
}

impl BatchControl {
    fn sent(self, domain: Option<&VersionDomain>) -> SentControl<'_> {
        let cursor = if domain.is_some() { Cursor::Text } else { Cursor::Integer };
        SentControl {
            batch_num: self.batch_num,
            has_more: self.has_more,
            status: self.status,
            last_seq_id: self.last_seq_id.map(cursor),
            version_domain: domain,
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ServerFrame<'a> {
    AuthSuccess {
        user: &'a str,
        role: Role,
        protocol: Protocol,
        #[serde(skip_serializing_if = "Option::is_none")]
        server: Option<Announcement<'a>>,
    },
    AuthError {
        message: &'a str,
    },
    SubscriptionAck {
        subscription_id: &'a str,
        /// Always 0, as recorded.
        total_rows: u32,
        batch_control: SentControl<'a>,
        schema: &'a [Column],
    },
    Error {
        subscription_id: &'a str,
        code: &'a str,
        message: &'a str,
    },
}

#[derive(Serialize)]
struct Protocol {
    serialization: &'static str,
    compression: &'static str,
}

/// What this server promises and allows; other clients ignore it.
#[derive(Serialize)]
struct Announcement<'a> {
    name: &'static str,
    version: &'static str,
    /// Live queries miss nothing here: what a client needs no second look for.
    complete: bool,
    /// Whose numbers those of row versions are.
    epoch: &'a str,
    limits: AnnouncedLimits,
}

#[derive(Serialize)]
struct AnnouncedLimits {
    messages_per_second: u32,
    message_bytes: usize,
    batch_rows: u32,
    subscriptions_per_connection: usize,
    subscriptions_per_user: usize,
}

/// How the frames of authentication begin, which are JSON whatever was agreed (`wire/msgpack_wire.jsonl`).
pub(crate) const AUTH_START: &str = r#"{"type":"auth_"#;

/// With the epoch and the limits that are announced, if this server announces itself.
pub(crate) fn auth_success(
    user: &str,
    role: Role,
    encoding: Encoding,
    announced: Option<(&str, &Limits)>,
) -> String {
    encode(&ServerFrame::AuthSuccess {
        user,
        role,
        protocol: Protocol {
            serialization: if encoding.msgpack { "msgpack" } else { "json" },
            compression: if encoding.gzip { "gzip" } else { "none" },
        },
        server: announced.map(|(epoch, limits)| Announcement {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            complete: true,
            epoch,
            limits: AnnouncedLimits {
                messages_per_second: limits.messages_per_second,
                message_bytes: limits.message_bytes,
                batch_rows: limits.batch_rows,
                subscriptions_per_connection: limits.subscriptions_per_connection,
                subscriptions_per_user: limits.subscriptions_per_user,
            },
        }),
    })
}

pub(crate) fn auth_error(message: &str) -> String {
    encode(&ServerFrame::AuthError { message })
}

pub(crate) fn subscription_ack(
    id: &str,
    schema: &[Column],
    control: BatchControl,
    domain: Option<&VersionDomain>,
) -> String {
    let batch_control = control.sent(domain);
    encode(&ServerFrame::SubscriptionAck { subscription_id: id, total_rows: 0, batch_control, schema })
}

/// An error of one subscription, or of the connection under one of the ids that KalamDB uses for it
/// (`protocol`, `rate_limit`, `subscribe`, `invalid_subscription`).
pub(crate) fn error(id: &str, code: &str, message: impl Display) -> String {
    encode(&ServerFrame::Error { subscription_id: id, code, message: &message.to_string() })
}

/// A batch; `rows` are encoded and joined already.
pub(crate) fn initial_data_batch(
    id: &str,
    rows: &str,
    control: BatchControl,
    domain: Option<&VersionDomain>,
) -> String {
    let (id, control) = (encode(&id), encode(&control.sent(domain)));
    format!(
        r#"{{"type":"initial_data_batch","subscription_id":{id},"rows":[{rows}],"batch_control":{control}}}"#
    )
}

/// The beginning of a change frame, the same for all changes of a subscription.
pub(crate) fn change_head(id: &str) -> Arc<str> {
    format!(r#"{{"type":"change","subscription_id":{},"#, encode(&id)).into()
}

/// The rest of a change frame, the same for all subscriptions of a query.
pub(crate) fn change_tail(change: &LiveChange) -> Arc<str> {
    #[derive(Serialize)]
    struct Tail<'a> {
        change_type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        rows: Option<[&'a LiveFields; 1]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        old_values: Option<[&'a LiveFields; 1]>,
    }
    let tail = Tail {
        change_type: match change.kind {
            ChangeKind::Insert => "insert",
            ChangeKind::Update => "update",
            ChangeKind::Delete => "delete",
        },
        rows: change.row.as_ref().map(|row| [row]),
        old_values: change.old_values.as_ref().map(|row| [row]),
    };
    encode(&tail)[1..].into()
}

pub(crate) fn encode(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("frames hold nothing that JSON can not")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Cell;

    #[test]
    fn the_announcement_is_as_agreed() {
        assert_eq!(
            auth_success(
                "root",
                Role::System,
                Encoding { gzip: true, msgpack: false },
                Some(("e1", &Limits::default()))
            ),
            concat!(
                r#"{"type":"auth_success","user":"root","role":"system","#,
                r#""protocol":{"serialization":"json","compression":"gzip"},"#,
                r#""server":{"name":"kalam-embedded","version":"0.1.0","complete":true,"epoch":"e1","limits":{"#,
                r#""messages_per_second":1000,"message_bytes":1048576,"batch_rows":5000,"#,
                r#""subscriptions_per_connection":1000,"subscriptions_per_user":10000}}}"#,
            )
        );
    }

    #[test]
    fn head_and_tail_make_one_frame() {
        let field = |name: &str, cell| (Arc::from(name), cell);
        let change = LiveChange {
            kind: ChangeKind::Update,
            seq: 9,
            row: Some(LiveFields(vec![field("n", Cell::Int(1)), field("_seq", Cell::BigInt(9))])),
            old_values: Some(LiveFields(vec![field("_seq", Cell::BigInt(8))])),
        };
        let frame = format!("{}{}", change_head("a\"b"), change_tail(&change));
        let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
        let expected = serde_json::json!({
            "type": "change", "subscription_id": "a\"b", "change_type": "update",
            "rows": [{"n": 1, "_seq": "9"}], "old_values": [{"_seq": "8"}],
        });
        assert_eq!(frame, expected);
    }
}
