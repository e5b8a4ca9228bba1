//! Frames as MessagePack (`wire/msgpack_wire.jsonl`): the same as in JSON, names included, piece by piece.

use std::fmt;

use rmp::encode as write;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The frame whose JSON this is.
pub(crate) fn from_json(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    Append(&mut bytes)
        .deserialize(&mut serde_json::Deserializer::from_str(text))
        .expect("frames are JSON that we wrote");
    bytes
}

/// Appends one value.
struct Append<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

// Writing into a vector does not fail.
impl<'de> Visitor<'de> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        let _ = write::write_nil(self.0);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        let _ = write::write_bool(self.0, value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        let _ = write::write_uint(self.0, value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        let _ = write::write_sint(self.0, value);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        let _ = write::write_f64(self.0, value);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        let _ = write::write_str(self.0, value);
        Ok(())
    }

    // The length stands before the content and is known after it.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (mut inner, mut many) = (Vec::new(), 0);
        while items.next_element_seed(Append(&mut inner))?.is_some() {
            many += 1;
        }
        let _ = write::write_array_len(self.0, many);
        self.0.append(&mut inner);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let (mut inner, mut many) = (Vec::new(), 0);
        while entries.next_key_seed(Append(&mut inner))?.is_some() {
            entries.next_value_seed(Append(&mut inner))?;
            many += 1;
        }
        let _ = write::write_map_len(self.0, many);
        self.0.append(&mut inner);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn recorded_frames_give_the_recorded_bytes() {
        let recording = include_str!("../../../tests/data/wire/msgpack_wire.jsonl");
        let mut seen = 0;
        for line in recording.lines().filter(|line| line.contains(r#""encoding": "msgpack""#)) {
            // As a text, since the order of the names counts.
            let (_, rest) = line.split_once(r#""frame": "#).unwrap();
            let (frame, raw) = rest.split_once(r#", "raw_base64": ""#).unwrap();
            let raw = STANDARD.decode(raw.trim_end_matches(['"', '}', '\n'])).unwrap();
            assert_eq!(from_json(frame), raw, "{frame}");
            seen += 1;
        }
        assert!(seen >= 3);
    }

    #[test]
    fn every_kind_of_value_has_its_form() {
        let bytes = from_json(r#"[null,true,-1,300,18446744073709551615,1.5,"x\n",{"a":{}},[]]"#);
        let expected = [
            &[0x99, 0xc0, 0xc3, 0xff, 0xcd, 1, 44, 0xcf][..],
            &[0xff; 8],
            &[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xa2, b'x', b'\n', 0x81, 0xa1, b'a', 0x80, 0x90],
        ];
        assert_eq!(bytes, expected.concat());
    }
}
