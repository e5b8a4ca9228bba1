//! Server frames, decoded.

use std::fmt;
use std::io::Read;

use compact_str::CompactString;
use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny};

use super::envelope::Envelope;
use super::frame::{Change, RawFrame, ServerFrame};
use super::limits::Limits;
use super::plan::{Plans, RowPlan};
use crate::error::{Error, ErrorCode};

/// A frame that can not be understood, and whose it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The subscription that the frame belongs to, as far as it was readable. The others are not concerned.
    pub subscription: Option<CompactString>,
    /// What is wrong: code `protocol`.
    pub error: Error,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for DecodeError {}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        error.error
    }
}

/// Decodes a server frame, its rows by the plan of their subscription.
///
/// Fields may come in any order; in the order that servers use (`type`, `subscription_id`, ..., `rows`) one pass over the
/// frame is enough. Unknown fields are skipped, and a message of an unknown type is [`ServerFrame::Unknown`], whatever is
/// in it.
///
/// # Errors
/// `protocol`: no JSON (or gzip, or MessagePack), a value that does not fit the type of its column, a field twice or
/// missing, or more than `limits` allow.
pub fn decode(frame: RawFrame<'_>, plans: &impl Plans, limits: &Limits) -> Result<ServerFrame, DecodeError> {
    if frame.len() > limits.frame_bytes {
        return Err(malformed(None, format_args!("{} bytes are more than is allowed", frame.len())));
    }
    match frame {
        RawFrame::Text(text) => decode_json(text, plans, limits),
        RawFrame::Binary(bytes) if bytes.starts_with(&GZIP_MAGIC) => {
            let bytes = gunzip(bytes, limits).map_err(|e| malformed(None, e))?;
            decode_bytes(&bytes, plans, limits)
        }
        RawFrame::Binary(bytes) => decode_bytes(bytes, plans, limits),
    }
}

/// Decodes a change that a machine [left to its reader](crate::machine::SubscriptionEvent::Deferred): the text is
/// [`CHANGE_HEAD`](super::CHANGE_HEAD) and the rest of the frame from the change's kind on. The subscription's name stays
/// empty.
///
/// # Errors
/// As [`decode`].
pub fn decode_change(text: &str, plan: &RowPlan, limits: &Limits) -> Result<Change, DecodeError> {
    let frame = in_passes(Envelope::of_change(plan, limits), |envelope| read_json(text, envelope))?;
    match frame {
        ServerFrame::Change(change) => Ok(change),
        _ => unreachable!("the envelope was told that it is a change"),
    }
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// JSON, or MessagePack: the first byte of an object tells them apart.
fn decode_bytes(bytes: &[u8], plans: &impl Plans, limits: &Limits) -> Result<ServerFrame, DecodeError> {
    match bytes.first() {
        Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') => {
            let text = std::str::from_utf8(bytes).map_err(|e| malformed(None, e))?;
            decode_json(text, plans, limits)
        }
        _ => decode_message_pack(bytes, plans, limits),
    }
}

fn decode_json(text: &str, plans: &impl Plans, limits: &Limits) -> Result<ServerFrame, DecodeError> {
    in_passes(Envelope::new(plans, limits), |envelope| read_json(text, envelope))
}

fn read_json<P: Plans>(text: &str, envelope: &mut Envelope<'_, P>) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_str(text);
    envelope.deserialize(&mut json)?;
    json.end()
}

fn decode_message_pack(
    bytes: &[u8],
    plans: &impl Plans,
    limits: &Limits,
) -> Result<ServerFrame, DecodeError> {
    in_passes(Envelope::new(plans, limits), |envelope| {
        let mut pack = rmp_serde::Deserializer::from_read_ref(bytes);
        // A frame, its rows and a row are three levels around a value.
        pack.set_max_depth(limits.depth + 3);
        envelope.deserialize(&mut pack).map_err(|e| e.to_string())?;
        // Only the end may follow: nothing to read the first byte of a value from.
        match IgnoredAny::deserialize(&mut pack) {
            Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(()),
            _ => Err("more bytes behind the message".to_owned()),
        }
    })
}

/// Reads the frame until nothing has to be put off because of the order of its fields.
fn in_passes<P: Plans, E: fmt::Display>(
    mut envelope: Envelope<'_, P>,
    mut pass: impl FnMut(&mut Envelope<'_, P>) -> Result<(), E>,
) -> Result<ServerFrame, DecodeError> {
    loop {
        if let Err(error) = pass(&mut envelope) {
            return Err(malformed(envelope.subscription(), error));
        }
        if !envelope.needs_another_pass() {
            break;
        }
    }
    let subscription = envelope.subscription();
    envelope.finish().map_err(|what| malformed(subscription, what))
}

/// Decompresses as much as is allowed, and no more.
fn gunzip(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, String> {
    let limit = limits.decompressed_bytes;
    // KalamDB compresses rows to a third or less; a hint of the sender is not to be trusted.
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(4).min(limit));
    let mut source = flate2::read::MultiGzDecoder::new(bytes).take(limit as u64 + 1);
    source.read_to_end(&mut out).map_err(|e| format!("broken gzip: {e}"))?;
    if out.len() > limit {
        return Err(format!("more than {limit} bytes after decompression"));
    }
    Ok(out)
}

#[cold]
fn malformed(subscription: Option<CompactString>, what: impl fmt::Display) -> DecodeError {
    let of = subscription.as_ref().map_or(String::new(), |id| format!(" of the subscription {id:?}"));
    let message = format!("the server sent a frame{of} that can not be read: {}", shortened(what));
    DecodeError { subscription, error: Error::new(ErrorCode::Protocol, message) }
}

/// Parsers quote what they found; a person needs its beginning.
pub(super) fn shortened(what: impl fmt::Display) -> String {
    const MOST: usize = 200;
    let text = what.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
