//! The object around the rows of a frame.

use std::fmt;

use compact_str::CompactString;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::cursor::{Cursor, VersionDomain};
use super::frame::{
    Ack, Announcement, AuthSuccess, Batch, BatchControl, BatchStatus, Change, ChangeKind, Compression,
    PartialRow, Serialization, ServerError, ServerFrame, WireProtocol,
};
use super::limits::Limits;
use super::plan::{OldValues, Plans};
use super::row_reader::{Fit, NamedCells, RowsSeed, WholeRow};
use crate::row::Row;
use crate::schema::Column;

/// A frame while it is read.
///
/// How a field is read depends on the type of the frame, and how rows are read on their subscription. What comes before
/// that is known is skipped, and read in another pass.
pub(super) struct Envelope<'a, P> {
    plans: &'a P,
    limits: &'a Limits,
    head: Head,
    body: Body,
    /// The fields that were read before, a bit each: another one is there twice.
    known: u32,
    skipped: bool,
    passes: u8,
}

/// What the reading of the rest depends on.
#[derive(Default)]
struct Head {
    message_type: Option<MessageType>,
    subscription: Option<CompactString>,
    change: Option<ChangeKind>,
}

#[derive(Clone, PartialEq)]
enum MessageType {
    AuthSuccess,
    AuthError,
    Ack,
    Batch,
    Change,
    Error,
    Unknown(CompactString),
}

#[derive(Default)]
struct Body {
    rows: Option<Vec<Row>>,
    old_rows: Option<Vec<Row>>,
    old: Vec<PartialRow>,
    fit: Fit,
    /// Whether `fit` means anything.
    strict: bool,
    /// Apart, so that the many changes do not carry it.
    rare: Option<Box<Rare>>,
}

/// What a change does not have.
#[derive(Default)]
struct Rare {
    user: CompactString,
    role: CompactString,
    protocol: WireProtocol,
    server: Option<Announcement>,
    code: CompactString,
    message: String,
    columns: Vec<Column>,
    control: Option<BatchControl>,
    domain: Option<VersionDomain>,
}

impl Body {
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl<'a, P: Plans> Envelope<'a, P> {
    pub(super) fn new(plans: &'a P, limits: &'a Limits) -> Self {
        Self {
            plans,
            limits,
            head: Head::default(),
            body: Body::default(),
            known: 0,
            skipped: false,
            passes: 0,
        }
    }

    /// Of what follows the type and the subscription of a change. Neither may come again: it would be another frame.
    pub(super) fn of_change(plans: &'a P, limits: &'a Limits) -> Self {
        let head = Head {
            message_type: Some(MessageType::Change),
            subscription: Some(CompactString::default()),
            change: None,
        };
        Self { head, known: Key::Type.bit() | Key::Subscription.bit(), ..Self::new(plans, limits) }
    }

    /// Whose frame it is, as far as that is known.
    pub(super) fn subscription(&self) -> Option<CompactString> {
        self.head.subscription.clone()
    }

    /// Whether something was skipped that can be read now.
    pub(super) fn needs_another_pass(&mut self) -> bool {
        // The type, the subscription and the kind of change: each pass learns at least one of them, or gives up.
        self.passes += 1;
        let again = self.skipped && self.passes <= 3 && self.head.message_type.is_some();
        if again {
            self.body = Body::default();
            self.skipped = false;
        }
        again
    }

    /// The frame.
    pub(super) fn finish(self) -> Result<ServerFrame, &'static str> {
        let Head { message_type, subscription, change } = self.head;
        let subscription = subscription.ok_or("it has no subscription_id");
        let Body { rows, old_rows, old, fit, strict, rare } = self.body;
        Ok(match message_type.ok_or("it has no type")? {
            MessageType::Change => {
                let subscription = subscription?;
                let kind = change.ok_or("it has no change_type")?;
                let lacking = kind == ChangeKind::Insert && fit.lacking;
                let rows = old_rows.or(rows).unwrap_or_default();
                let unknown_columns = strict && (fit.unknown || lacking);
                ServerFrame::Change(Change { subscription, kind, rows, old, unknown_columns })
            }
            MessageType::Batch => ServerFrame::Batch(Batch {
                subscription: subscription?,
                rows: rows.unwrap_or_default(),
                control: control(rare)?,
            }),
            MessageType::Ack => {
                let mut rare = rare.unwrap_or_default();
                let columns = std::mem::take(&mut rare.columns);
                ServerFrame::Ack(Ack { subscription: subscription?, columns, control: control(Some(rare))? })
            }
            MessageType::Error => {
                let Rare { code, message, .. } = *rare.unwrap_or_default();
                ServerFrame::Error(ServerError {
                    subscription: subscription.unwrap_or_default(),
                    code,
                    message,
                })
            }
            MessageType::AuthSuccess => {
                let Rare { user, role, protocol, server, .. } = *rare.unwrap_or_default();
                ServerFrame::AuthSuccess(AuthSuccess { user, role, protocol, server })
            }
            MessageType::AuthError => ServerFrame::AuthError { message: rare.unwrap_or_default().message },
            MessageType::Unknown(message_type) => ServerFrame::Unknown { message_type },
        })
    }

    fn read_field<'de, A: MapAccess<'de>>(&mut self, key: Key, map: &mut A) -> Result<(), A::Error> {
        use MessageType as M;
        let Some(message_type) = &self.head.message_type else {
            self.skipped = true;
            return skip(map);
        };
        match (key, message_type) {
            (Key::Subscription, M::Ack | M::Batch | M::Change | M::Error) => {
                let id: Option<CompactString> = map.next_value()?;
                self.head.subscription = id.or(self.head.subscription.take());
            }
            (Key::ChangeType, M::Change) => self.head.change = Some(map.next_value()?),
            (Key::Control, M::Ack | M::Batch) => self.body.rare().control = map.next_value::<Option<_>>()?,
            (Key::Domain, M::Ack | M::Batch) => self.body.rare().domain = map.next_value::<Option<_>>()?,
            (Key::Schema, M::Ack) => self.body.rare().columns = map.next_value()?,
            (Key::Rows, M::Batch | M::Change) => return self.read_rows(map),
            (Key::OldValues, M::Change) => return self.read_old_values(map),
            (Key::Code, M::Error) => self.body.rare().code = text(map)?,
            (Key::Message, M::Error | M::AuthError) => self.body.rare().message = text(map)?.into(),
            (Key::User, M::AuthSuccess) => self.body.rare().user = text(map)?,
            (Key::Role, M::AuthSuccess) => self.body.rare().role = text(map)?,
            (Key::Protocol, M::AuthSuccess) => self.body.rare().protocol = wire_protocol(&map.next_value()?),
            (Key::Server, M::AuthSuccess) => self.body.rare().server = announcement(map.next_value()?),
            _ => return skip(map),
        }
        Ok(())
    }

    fn read_rows<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let Some(id) = &self.head.subscription else {
            self.skipped = true;
            return skip(map);
        };
        let Some(plan) = self.plans.plan(id) else { return skip(map) };
        self.body.strict = plan.is_strict();
        let seed = RowsSeed::<WholeRow>::new(plan, self.limits.depth, &mut self.body.fit);
        self.body.rows = Some(map.next_value_seed(seed)?);
        Ok(())
    }

    fn read_old_values<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let (Some(id), Some(change)) = (&self.head.subscription, self.head.change) else {
            self.skipped = true;
            return skip(map);
        };
        let Some(plan) = self.plans.plan(id) else { return skip(map) };
        let depth = self.limits.depth;
        match change {
            ChangeKind::Delete => {
                self.body.strict = plan.is_strict();
                let seed = RowsSeed::<WholeRow>::new(plan, depth, &mut self.body.fit);
                self.body.old_rows = Some(map.next_value_seed(seed)?);
            }
            ChangeKind::Update if plan.old_values() == OldValues::Keep => {
                // Columns that are unknown here were known before: they tell nothing.
                let mut fit = Fit::default();
                let seed = RowsSeed::<NamedCells>::new(plan, depth, &mut fit);
                self.body.old = map.next_value_seed(seed)?;
            }
            ChangeKind::Update | ChangeKind::Insert => return skip(map),
        }
        Ok(())
    }
}

fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

/// A text, or `null` for none.
fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<CompactString, A::Error> {
    Ok(map.next_value::<Option<CompactString>>()?.unwrap_or_default())
}

fn control(rare: Option<Box<Rare>>) -> Result<BatchControl, &'static str> {
    let Rare { control, domain, .. } = *rare.unwrap_or_default();
    let mut control = control.ok_or("it has no batch_control")?;
    control.domain = control.domain.or(domain);
    if let Some(last) = control.last_seq.take() {
        control.last_seq = Some(Cursor::new(last.seq(), last.kind(), control.domain.clone()));
    }
    Ok(control)
}

fn wire_protocol(protocol: &serde_json::Value) -> WireProtocol {
    WireProtocol {
        serialization: match protocol["serialization"].as_str() {
            Some("msgpack") => Serialization::MessagePack,
            _ => Serialization::Json,
        },
        compression: match protocol["compression"].as_str() {
            Some("none") => Compression::None,
            _ => Compression::Gzip,
        },
    }
}

/// Nobody has promised the shape of this field: what does not fit is no announcement.
fn announcement(server: serde_json::Value) -> Option<Announcement> {
    serde_json::from_value(server).ok()
}

impl<'de, P: Plans> DeserializeSeed<'de> for &mut Envelope<'_, P> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, P: Plans> Visitor<'de> for &mut Envelope<'_, P> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = self.known;
        while let Some(key) = map.next_key::<Key>()? {
            if seen & key.bit() != 0 && key != Key::Other {
                return Err(de::Error::custom(format_args!("the field {key:?} is there twice")));
            }
            seen |= key.bit();
            if key == Key::Type {
                self.head.message_type = Some(map.next_value()?);
            } else {
                self.read_field(key, &mut map)?;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Type,
    Subscription,
    ChangeType,
    Rows,
    OldValues,
    Control,
    Domain,
    Schema,
    Code,
    Message,
    User,
    Role,
    Protocol,
    Server,
    Other,
}

impl Key {
    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Reads a short text into one of a few words.
macro_rules! deserialize_word {
    ($type:ty, $expecting:literal, $from:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Word;
                impl Visitor<'_> for Word {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, word: &str) -> Result<$type, E> {
                        let from: fn(&str) -> Option<$type> = $from;
                        from(word).ok_or_else(|| E::invalid_value(de::Unexpected::Str(word), &self))
                    }
                }
                deserializer.deserialize_str(Word)
            }
        }
    };
}

deserialize_word!(Key, "a field name", |word| Some(match word {
    "type" => Key::Type,
    "subscription_id" => Key::Subscription,
    "change_type" => Key::ChangeType,
    "rows" => Key::Rows,
    "old_values" => Key::OldValues,
    "batch_control" => Key::Control,
    "version_domain" => Key::Domain,
    "schema" => Key::Schema,
    "code" => Key::Code,
    "message" => Key::Message,
    "user" => Key::User,
    "role" => Key::Role,
    "protocol" => Key::Protocol,
    "server" => Key::Server,
    _ => Key::Other,
}));

deserialize_word!(MessageType, "a message type", |word| Some(match word {
    "change" => MessageType::Change,
    "initial_data_batch" => MessageType::Batch,
    "subscription_ack" => MessageType::Ack,
    "error" => MessageType::Error,
    "auth_success" => MessageType::AuthSuccess,
    "auth_error" => MessageType::AuthError,
    other => MessageType::Unknown(other.into()),
}));

deserialize_word!(ChangeKind, "insert, update or delete", |word| match word {
    "insert" => Some(ChangeKind::Insert),
    "update" => Some(ChangeKind::Update),
    "delete" => Some(ChangeKind::Delete),
    _ => None,
});

deserialize_word!(BatchStatus, "loading, loading_batch or ready", |word| match word {
    "loading" => Some(BatchStatus::Loading),
    "loading_batch" => Some(BatchStatus::LoadingBatch),
    "ready" => Some(BatchStatus::Ready),
    _ => None,
});

impl<'de> Deserialize<'de> for VersionDomain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_value(&serde_json::Value::deserialize(deserializer)?))
    }
}
