//! One cell of a row.

use std::fmt;
use std::hash::{Hash, Hasher};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// One cell, typed by its **column** ([`DataType`](crate::DataType)), never by the look of the text that carried it.
///
/// | column type | variant |
/// |---|---|
/// | SMALLINT, INT, BIGINT | [`Int`](Value::Int) |
/// | FLOAT, DOUBLE | [`Float`](Value::Float) |
/// | TIMESTAMP, DATETIME | [`Timestamp`](Value::Timestamp), microseconds since the epoch, UTC |
/// | DATE | [`Date`](Value::Date), days since the epoch |
/// | TIME | [`Time`](Value::Time), microseconds since midnight |
/// | JSON and types this version does not know | [`Json`](Value::Json) |
///
/// Equality is by content, so that it can key a map: `NaN` equals itself and `-0.0` equals `0.0`.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// SQL NULL.
    #[default]
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// SMALLINT, INT or BIGINT.
    Int(i64),
    /// FLOAT or DOUBLE.
    Float(f64),
    /// DECIMAL(p, s), with the digits the server sent.
    Decimal(Decimal),
    /// TEXT.
    Text(CompactString),
    /// TIMESTAMP or DATETIME: microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// DATE: days since 1970-01-01.
    Date(i32),
    /// TIME: microseconds since midnight.
    Time(i64),
    /// UUID.
    Uuid(Uuid),
    /// JSON, or a column type unknown to this version: the JSON text.
    Json(Box<str>),
    /// BYTES.
    Bytes(Box<[u8]>),
    /// EMBEDDING(n).
    Embedding(Box<[f32]>),
    /// FILE: where the file is, not its bytes.
    File(Box<FileRef>),
}

impl Value {
    /// Whether this is SQL NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The boolean of a BOOLEAN cell.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(b) = self { Some(*b) } else { None }
    }

    /// The integer of a SMALLINT, INT or BIGINT cell.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(n) = self { Some(*n) } else { None }
    }

    /// The number of a FLOAT or DOUBLE cell, or an integer that a double holds exactly.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(x) => Some(*x),
            Self::Int(n) if n.unsigned_abs() <= 1 << 53 => Some(*n as f64),
            _ => None,
        }
    }

    /// The text of a TEXT cell.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(s) = self { Some(s) } else { None }
    }

    /// The digits of a DECIMAL cell.
    pub fn as_decimal(&self) -> Option<&Decimal> {
        if let Self::Decimal(d) = self { Some(d) } else { None }
    }

    /// A TIMESTAMP or DATETIME cell, in microseconds since the epoch, UTC.
    pub fn as_timestamp(&self) -> Option<i64> {
        if let Self::Timestamp(us) = self { Some(*us) } else { None }
    }

    /// A DATE cell, in days since the epoch.
    pub fn as_date(&self) -> Option<i32> {
        if let Self::Date(days) = self { Some(*days) } else { None }
    }

    /// A TIME cell, in microseconds since midnight.
    pub fn as_time(&self) -> Option<i64> {
        if let Self::Time(us) = self { Some(*us) } else { None }
    }

    /// A UUID cell.
    pub fn as_uuid(&self) -> Option<Uuid> {
        if let Self::Uuid(u) = self { Some(*u) } else { None }
    }

    /// The JSON text of a JSON cell.
    pub fn as_json_text(&self) -> Option<&str> {
        if let Self::Json(s) = self { Some(s) } else { None }
    }

    /// A JSON cell, parsed. `None` when this is no JSON cell or its text does not parse.
    pub fn as_json(&self) -> Option<serde_json::Value> {
        serde_json::from_str(self.as_json_text()?).ok()
    }

    /// The bytes of a BYTES cell.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(b) = self { Some(b) } else { None }
    }

    /// The numbers of an EMBEDDING cell.
    pub fn as_embedding(&self) -> Option<&[f32]> {
        if let Self::Embedding(e) = self { Some(e) } else { None }
    }

    /// The reference in a FILE cell.
    pub fn as_file(&self) -> Option<&FileRef> {
        if let Self::File(f) = self { Some(f) } else { None }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Self::Decimal(a), Self::Decimal(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Int(a), Self::Int(b))
            | (Self::Timestamp(a), Self::Timestamp(b))
            | (Self::Time(a), Self::Time(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Uuid(a), Self::Uuid(b)) => a == b,
            (Self::Json(a), Self::Json(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Embedding(a), Self::Embedding(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x == y || (x.is_nan() && y.is_nan()))
            }
            (Self::File(a), Self::File(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Null => 0u8.hash(state),
            Self::Boolean(b) => b.hash(state),
            Self::Int(n) | Self::Timestamp(n) | Self::Time(n) => n.hash(state),
            Self::Date(d) => d.hash(state),
            Self::Float(x) => float_bits(*x).hash(state),
            Self::Decimal(d) => d.hash(state),
            Self::Text(s) => s.hash(state),
            Self::Uuid(u) => u.hash(state),
            Self::Json(s) => s.hash(state),
            Self::Bytes(b) => b.hash(state),
            Self::Embedding(e) => e.iter().for_each(|x| float_bits(f64::from(*x)).hash(state)),
            Self::File(f) => f.id.hash(state),
        }
    }
}

/// Equal floats must hash alike: one zero, one NaN.
fn float_bits(x: f64) -> u64 {
    if x == 0.0 {
        0
    } else if x.is_nan() {
        f64::NAN.to_bits()
    } else {
        x.to_bits()
    }
}

macro_rules! value_from {
    ($($t:ty => $variant:ident),* $(,)?) => {
        $(impl From<$t> for Value {
            fn from(v: $t) -> Self { Self::$variant(v.into()) }
        })*
    };
}
value_from!(bool => Boolean, i16 => Int, i32 => Int, i64 => Int, u32 => Int, f32 => Float, f64 => Float, &str => Text, String => Text, Uuid => Uuid, Vec<u8> => Bytes);

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Self {
        v.map_or(Self::Null, Into::into)
    }
}

/// As a person reads it: text as it is, everything else in its SQL or JSON spelling.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean(b) => b.fmt(f),
            Self::Int(n) => n.fmt(f),
            Self::Float(x) => x.fmt(f),
            Self::Decimal(d) => d.fmt(f),
            Self::Text(s) => f.write_str(s),
            Self::Timestamp(us) => crate::time::Timestamp(*us).fmt(f),
            Self::Date(days) => crate::time::Date(*days).fmt(f),
            Self::Time(us) => crate::time::TimeOfDay(*us).fmt(f),
            Self::Uuid(u) => u.fmt(f),
            Self::Json(s) => f.write_str(s),
            Self::Bytes(b) => {
                f.write_str("0x")?;
                b.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Embedding(e) => write!(f, "{e:?}"),
            Self::File(file) => f.write_str(&file.name),
        }
    }
}

/// A DECIMAL as the server sent it: an optional sign, digits, an optional fraction. Nothing is rounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal(Box<str>);

impl Decimal {
    /// Checks and keeps the digits. `None` when `text` is not `[-+]digits[.digits]`.
    pub fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        (digits(whole) && digits(fraction)).then(|| Self(text.into()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest double.
    pub fn to_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Reads the hyphenated or the plain form, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let hyphenated = bytes.len() == 36;
        if !hyphenated && bytes.len() != 32 {
            return None;
        }
        let mut out = [0u8; 16];
        let mut at = 0;
        for (i, slot) in out.iter_mut().enumerate() {
            if hyphenated && matches!(i, 4 | 6 | 8 | 10) {
                if bytes[at] != b'-' {
                    return None;
                }
                at += 1;
            }
            let nibble = |b: u8| (b as char).to_digit(16);
            *slot = (nibble(bytes[at])? << 4 | nibble(bytes[at + 1])?) as u8;
            at += 2;
        }
        Some(Self(out))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

/// Where a FILE column's bytes are: `GET /v1/files/{namespace}/{table}/{sub}/{stored_name}` (recorded in `wire/files.jsonl`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// The server's id of the stored file.
    pub id: String,
    /// The sub-directory that the server put it in.
    pub sub: String,
    /// File name as uploaded.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// MIME type.
    pub mime: String,
    /// SHA-256 of the bytes, in hexadecimal.
    #[serde(default)]
    pub sha256: String,
}

impl FileRef {
    /// How the address of the file ends: the id, the words of the name in lower case and joined by dashes, and the
    /// extension, which is `bin` where there is none that fits.
    #[must_use]
    pub fn stored_name(&self) -> String {
        let (stem, extension) = self.name.rsplit_once('.').unwrap_or((&self.name, "bin"));
        let fits = extension.len() <= 10 && extension.chars().all(|c| c.is_ascii_alphanumeric());
        let extension = if fits { extension.to_ascii_lowercase() } else { "bin".to_owned() };
        let kept = |c: &char| c.is_ascii_alphanumeric() || [' ', '_', '-'].contains(c);
        let kept: String = stem.chars().filter(kept).take(50).map(|c| c.to_ascii_lowercase()).collect();
        let words: Vec<_> = kept.split([' ', '_', '-']).filter(|word| !word.is_empty()).collect();
        match words.is_empty() {
            true => format!("{}.{extension}", self.id),
            false => format!("{}-{}.{extension}", self.id, words.join("-")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_three_words() {
        assert_eq!(size_of::<Value>(), 24);
    }

    #[test]
    fn equality_and_hash_agree_on_floats() {
        use std::hash::BuildHasher;
        let hash =
            |v: &Value| std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(v);
        for (a, b) in [(0.0, -0.0), (f64::NAN, -f64::NAN)] {
            let (a, b) = (Value::Float(a), Value::Float(b));
            assert_eq!(a, b);
            assert_eq!(hash(&a), hash(&b));
        }
        assert_ne!(Value::Int(1), Value::Timestamp(1));
        assert_ne!(Value::Int(1), Value::Float(1.0));
    }

    #[test]
    fn decimals_keep_their_digits() {
        for good in ["12.3400", "-0.5", "7", "+1.0", "99999999999999999999999999999999999999"] {
            assert_eq!(Decimal::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", "-", ".5", "5.", "1e3", "NaN", "1,5", "0x1", "1.2.3"] {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn uuids_read_and_write() {
        let text = "550e8400-e29b-41d4-a716-446655440000";
        let uuid = Uuid::parse(text).expect("valid");
        assert_eq!(uuid.to_string(), text);
        assert_eq!(Uuid::parse("550E8400E29B41D4A716446655440000"), Some(uuid));
        for bad in [
            "",
            "550e8400",
            "550e8400-e29b-41d4-a716-44665544000g",
            "550e8400xe29b-41d4-a716-446655440000",
            "é50e8400e29b41d4a71644665544000",
        ] {
            assert_eq!(Uuid::parse(bad), None, "{bad}");
        }
    }
}
