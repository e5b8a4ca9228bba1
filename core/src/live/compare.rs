//! The order of two cells, as the server sorts.

use std::cmp::Ordering;

use crate::value::{Decimal, Value};

/// Ascending, NULL left aside (it is equal to itself and less than all else). Text is ordered by Unicode code point,
/// NaN is the greatest number and equal to itself, decimals compare as numbers. Values of different kinds do not meet in
/// a column; they have a fixed order all the same, so that the order is total.
pub(crate) fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b))
        | (Value::Timestamp(a), Value::Timestamp(b))
        | (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => compare_floats(*a, *b),
        (Value::Decimal(a), Value::Decimal(b)) => compare_decimals(a, b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Json(a), Value::Json(b)) => a.cmp(b),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Embedding(a), Value::Embedding(b)) => a
            .iter()
            .zip(b)
            .map(|(x, y)| compare_floats(f64::from(*x), f64::from(*y)))
            .find(|o| o.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        (Value::File(a), Value::File(b)) => a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)),
        _ => kind(a).cmp(&kind(b)),
    }
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn compare_decimals(a: &Decimal, b: &Decimal) -> Ordering {
    let (a, b) = (Digits::of(a), Digits::of(b));
    let magnitude = || {
        (a.whole.len().cmp(&b.whole.len()))
            .then_with(|| a.whole.cmp(b.whole))
            .then_with(|| a.fraction.cmp(b.fraction))
    };
    match (a.sign, b.sign) {
        (1, 1) => magnitude(),
        (-1, -1) => magnitude().reverse(),
        (a, b) => a.cmp(&b),
    }
}

/// A decimal without the zeros that do not count.
struct Digits<'a> {
    sign: i8,
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Digits<'a> {
    fn of(decimal: &'a Decimal) -> Self {
        let text = decimal.as_str();
        let unsigned = text.trim_start_matches(['-', '+']);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let sign = match (whole.is_empty() && fraction.is_empty(), text.starts_with('-')) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        Self { sign, whole, fraction }
    }
}

/// A number that grows with the value: where it differs it decides [`compare_values`], where it is equal the values
/// must be looked at. Neither 0 nor `u64::MAX`, unless the value is NULL.
pub(crate) fn value_prefix(value: &Value) -> u64 {
    const BITS: u32 = 60;
    const HALF: i64 = 1 << (BITS - 1);
    let signed = |n: i64| (n.clamp(-HALF, HALF - 1) + HALF) as u64;
    let float = |x: f64| {
        let bits = match x.to_bits() {
            _ if x.is_nan() => u64::MAX,
            _ if x == 0.0 => 1 << 63,
            bits if x.is_sign_negative() => !bits,
            bits => bits | 1 << 63,
        };
        bits >> (64 - BITS)
    };
    let bytes = |bytes: &[u8]| {
        let mut first = [0; 8];
        first.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        u64::from_be_bytes(first) >> (64 - BITS)
    };
    let within_kind = match value {
        Value::Null | Value::Embedding(_) => 0,
        Value::Boolean(b) => u64::from(*b),
        Value::Int(n) | Value::Timestamp(n) | Value::Time(n) => signed(*n),
        Value::Date(days) => signed(i64::from(*days)),
        Value::Float(x) => float(*x),
        Value::Decimal(d) => float(d.to_f64()),
        Value::Text(s) => bytes(s.as_bytes()),
        Value::Json(s) => bytes(s.as_bytes()),
        Value::Uuid(u) => bytes(&u.0),
        Value::Bytes(b) => bytes(b),
        Value::File(f) => bytes(f.name.as_bytes()),
    };
    u64::from(kind(value)) << BITS | within_kind
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Boolean(_) => 1,
        Value::Int(_) => 2,
        Value::Float(_) => 3,
        Value::Decimal(_) => 4,
        Value::Timestamp(_) => 5,
        Value::Date(_) => 6,
        Value::Time(_) => 7,
        Value::Text(_) => 8,
        Value::Uuid(_) => 9,
        Value::Json(_) => 10,
        Value::Bytes(_) => 11,
        Value::Embedding(_) => 12,
        Value::File(_) => 13,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Value {
        Value::Decimal(Decimal::parse(text).expect(text))
    }

    fn assert_ascending(values: &[Value]) {
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(compare_values(a, b), i.cmp(&j), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn sorts_as_the_server() {
        assert_ascending(&[Value::Null, false.into(), true.into()]);
        assert_ascending(&[f64::NEG_INFINITY, -1.5, 0.0, 2.0, f64::INFINITY, f64::NAN].map(Value::from));
        assert_eq!(compare_values(&Value::Float(-0.0), &Value::Float(0.0)), Ordering::Equal);
        assert_ascending(&["", "B", "a", "aa", "ä", "\u{ffff}", "\u{10000}"].map(Value::from));
        assert_ascending(
            &["-100", "-99.5", "-0.01", "0", "0.009", "0.01", "9.5", "10", "10.01", "100"].map(decimal),
        );
        for (a, b) in [("-0", "0.00"), ("007.50", "7.5"), ("+3", "3.0")] {
            assert_eq!(compare_values(&decimal(a), &decimal(b)), Ordering::Equal, "{a} and {b}");
        }
        let embedding = |e: &[f32]| Value::Embedding(e.into());
        assert_ascending(&[embedding(&[]), embedding(&[1.0]), embedding(&[1.0, 2.0]), embedding(&[1.5])]);
    }

    fn value() -> impl Strategy<Value = Value> {
        let numbers = || prop_oneof![any::<i64>(), -3i64..3, Just(i64::MIN), Just(i64::MAX)];
        let floats =
            prop_oneof![any::<f64>(), Just(0.0), Just(-0.0), Just(f64::NAN), Just(f64::NEG_INFINITY)];
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            numbers().prop_map(Value::Int),
            numbers().prop_map(Value::Timestamp),
            any::<i32>().prop_map(Value::Date),
            floats.prop_map(Value::Float),
            "-?[0-9]{1,25}(\\.[0-9]{1,20})?".prop_map(|text| decimal(&text)),
            "[a-c\u{0}-\u{2}é]{0,12}".prop_map(Value::from),
            any::<[u8; 16]>().prop_map(|bytes| Value::Uuid(crate::value::Uuid(bytes))),
            prop::collection::vec(0u8..3, 0..12).prop_map(Value::from),
        ]
    }

    proptest! {
        #[test]
        fn prefixes_never_contradict(a in value(), b in value()) {
            let (x, y) = (value_prefix(&a), value_prefix(&b));
            prop_assert!(x == y || x.cmp(&y) == compare_values(&a, &b), "{a:?} {x:x}, {b:?} {y:x}");
            prop_assert!(x < u64::MAX && (x > 0) != a.is_null());
        }

        #[test]
        fn decimals_compare_as_numbers(a in -99_999i64..99_999, b in -99_999i64..99_999, scale in 0usize..5) {
            let text = |n: i64| {
                let digits = format!("{:0>6}", n.unsigned_abs());
                let (whole, fraction) = digits.split_at(6 - scale);
                let point = if scale == 0 { "" } else { "." };
                format!("{}{whole}{point}{fraction}", if n < 0 { "-" } else { "" })
            };
            prop_assert_eq!(compare_values(&decimal(&text(a)), &decimal(&text(b))), a.cmp(&b));
        }
    }
}
