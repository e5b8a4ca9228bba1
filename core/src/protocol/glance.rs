//! What a connection has to know of a change whose rows somebody else decodes: whose it is, and which versions it brings.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::schema::SeqId;

/// A change as KalamDB and the embedded server write it: compact, and with its fields in this order (recorded in
/// `wire/live_basic.jsonl`). Anything else is to be decoded.
pub(crate) struct Glance<'a> {
    /// Whose it is, by its id on the wire.
    pub(crate) subscription: &'a str,
    /// From the change's kind to the end of the frame.
    pub(crate) rest: &'a str,
}

/// What makes the rest of a change, from its kind on, an object again, for [`decode_change`](super::decode_change).
pub const CHANGE_HEAD: &str = r#"{"change_type":"#;

impl<'a> Glance<'a> {
    /// `None` when the frame is not such a change.
    pub(crate) fn at(frame: &'a str) -> Option<Self> {
        let (subscription, rest) =
            frame.strip_prefix(r#"{"type":"change","subscription_id":""#)?.split_once('"')?;
        let rest = rest.strip_prefix(r#","change_type":"#)?;
        // A backslash would have made the quote a part of the id.
        (!subscription.contains('\\')).then_some(Self { subscription, rest })
    }

    /// The least and the greatest version of its rows. `None` when there is none, or one that needs a decoder.
    ///
    /// Exact for rows without a cell that is an array or an object itself ([`RowPlan::is_flat`](super::RowPlan)): a quote
    /// inside of a string stands behind a backslash, so these bytes with their quotes, behind a comma or a brace, can only be
    /// a name.
    pub(crate) fn versions(&self) -> Option<(SeqId, SeqId)> {
        // What an update was before does not count; a delete tells nothing else.
        let end = match self.rest.starts_with(r#""delete""#) {
            false => OLD_VALUES.find(self.rest.as_bytes()),
            true => None,
        };
        let rows = &self.rest[..end.unwrap_or(self.rest.len())];
        versions_named(&SEQ, rows).or_else(|| versions_named(&VERSION, rows))?
    }
}

static OLD_VALUES: LazyLock<Finder> = LazyLock::new(|| Finder::new(r#","old_values":["#));
static SEQ: LazyLock<Finder> = LazyLock::new(|| Finder::new(r#""_seq":"#));
static VERSION: LazyLock<Finder> = LazyLock::new(|| Finder::new(r#""_version":"#));

/// The outer `None`: no row has that name.
fn versions_named(name: &Finder, rows: &str) -> Option<Option<(SeqId, SeqId)>> {
    let mut found = None;
    for at in name.find_iter(rows.as_bytes()) {
        if !rows[..at].ends_with(['{', ',']) {
            return Some(None);
        }
        let value = &rows[at + name.needle().len()..];
        let digits = value.strip_prefix('"').unwrap_or(value);
        let end = digits.bytes().position(|b| !b.is_ascii_digit() && b != b'-').unwrap_or(digits.len());
        let Ok(version) = digits[..end].parse::<i64>() else { return Some(None) };
        let version = SeqId::from(version);
        let (least, greatest) = found.unwrap_or((version, version));
        found = Some((version.min(least), version.max(greatest)));
    }
    found.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(frame: &str) -> Option<(&str, Option<(i64, i64)>)> {
        let glance = Glance::at(frame)?;
        Some((glance.subscription, glance.versions().map(|(least, most)| (least.get(), most.get()))))
    }

    #[test]
    fn tells_whose_it_is_and_its_versions() {
        let change = |rest: &str| {
            format!(r#"{{"type":"change","subscription_id":"s_1","change_type":"update","rows":[{rest}}}"#)
        };
        for (rest, versions) in [
            (r#"{"id":"1","_seq":"7"}]"#, Some((7, 7))),
            (r#"{"_seq":-7,"id":"1"},{"_seq":9}]"#, Some((-7, 9))),
            (r#"{"id":"1","_version":"8"}]"#, Some((8, 8))),
            (r#"{"_seq":"7"}],"old_values":[{"_seq":"3"}]"#, Some((7, 7))),
            (r#"{"body":"{\"_seq\":\"99\"}","_seq":"7"}]"#, Some((7, 7))),
            (r#"{"body":",\"old_values\":[","_seq":"7"}]"#, Some((7, 7))),
            (r#"{"body":"\\","_seq":"7","\"_seq":"99"}]"#, None),
            (r#"{"_seq":null}]"#, None),
            (r#"{"_seq":"99999999999999999999"}]"#, None),
            (r#"{"id":"1"}]"#, None),
            (r#"]"#, None),
            ("", None),
        ] {
            let frame = change(rest);
            assert_eq!(seen(&frame), Some(("s_1", versions)), "{frame}");
        }
        let delete =
            r#"{"type":"change","subscription_id":"s_1","change_type":"delete","old_values":[{"_seq":"3"}]}"#;
        assert_eq!(seen(delete), Some(("s_1", Some((3, 3)))));
    }

    #[test]
    fn leaves_everything_else_to_the_decoder() {
        for frame in [
            "",
            r#"{"type":"change","subscription_id":"s"#,
            r#"{"type":"change","subscription_id":"s\"","change_type":"insert","rows":[]}"#,
            r#"{"type": "change","subscription_id":"s","change_type":"insert","rows":[]}"#,
            r#"{"type":"change","subscription_id":"s","rows":[],"change_type":"insert"}"#,
            r#"{"type":"initial_data_batch","subscription_id":"s","rows":[]}"#,
        ] {
            assert_eq!(seen(frame), None, "{frame}");
        }
    }
}
