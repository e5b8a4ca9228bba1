//! Any value as JSON text, from whatever format carried it.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Appends the value that comes next to `out`, as JSON.
pub(super) struct JsonText<'a> {
    pub(super) out: &'a mut String,
    /// How many levels of arrays and objects are still allowed.
    pub(super) depth: usize,
}

/// Appends `text` as a JSON string.
pub(super) fn push_string(out: &mut String, text: &str) {
    // A string is always JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// A number as JSON; what is not finite has no JSON and becomes `null`.
pub(super) fn number(x: f64) -> String {
    serde_json::Number::from_f64(x).map_or_else(|| "null".to_owned(), |n| n.to_string())
}

impl JsonText<'_> {
    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        self.depth.checked_sub(1).ok_or_else(|| E::custom("the value is nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for JsonText<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonText<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.out.push_str("null");
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, b: bool) -> Result<(), E> {
        self.out.push_str(if b { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<(), E> {
        self.out.push_str(&n.to_string());
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<(), E> {
        self.out.push_str(&n.to_string());
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, x: f64) -> Result<(), E> {
        self.out.push_str(&number(x));
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        push_string(self.out, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        self.out.push('[');
        let mut from = self.out.len();
        while seq.next_element_seed(JsonText { out: self.out, depth })?.is_some() {
            self.out.push(',');
            from = self.out.len() - 1;
        }
        self.out.truncate(from);
        self.out.push(']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        self.out.push('{');
        let mut first = true;
        while let Some(name) = map.next_key::<String>()? {
            if !std::mem::take(&mut first) {
                self.out.push(',');
            }
            push_string(self.out, &name);
            self.out.push(':');
            map.next_value_seed(JsonText { out: self.out, depth })?;
        }
        self.out.push('}');
        Ok(())
    }
}
