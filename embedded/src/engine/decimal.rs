//! Exact decimals of up to 38 digits: an `i128` and the number of digits behind the point.
//!
//! Stored as 16 bytes, big-endian with the sign bit flipped, so that byte order is numeric order: SQLite compares,
//! sorts and indexes them without knowing what they are. One column has one scale, so equal bytes are equal numbers.

use std::fmt;

/// Digits that KalamDB's DECIMAL can hold.
pub(crate) const MAX_PRECISION: u8 = 38;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    pub unscaled: i128,
    pub scale: u8,
}

impl Decimal {
    pub(crate) fn new(unscaled: i128, scale: u8) -> Self {
        Self { unscaled, scale }
    }

    /// Reads `-12.3400`, `+5`, `.5`, `1e3`. `None` when it is not a number or has more than 38 digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut unscaled: i128 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            if !byte.is_ascii_digit() {
                return None;
            }
            unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
        }
        let mut scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        while scale < 0 {
            unscaled = unscaled.checked_mul(10)?;
            scale += 1;
        }
        while scale > i32::from(MAX_PRECISION) && unscaled % 10 == 0 && unscaled != 0 {
            unscaled /= 10;
            scale -= 1;
        }
        if unscaled == 0 {
            scale = scale.min(i32::from(MAX_PRECISION));
        }
        let scale = u8::try_from(scale).ok().filter(|s| *s <= MAX_PRECISION)?;
        Some(Self::new(if negative { -unscaled } else { unscaled }, scale)).filter(|d| d.fits(MAX_PRECISION))
    }

    /// With another number of digits behind the point, rounded half away from zero; `None` on overflow.
    pub(crate) fn rescale(self, scale: u8) -> Option<Self> {
        let unscaled = if scale >= self.scale {
            self.unscaled.checked_mul(power(scale - self.scale)?)?
        } else {
            // More than 38 digits dropped from at most 38: nothing is left.
            power(self.scale - scale).map_or(0, |divisor| div_round(self.unscaled, divisor))
        };
        Some(Self::new(unscaled, scale))
    }

    /// Whether it has at most `precision` digits.
    pub(crate) fn fits(self, precision: u8) -> bool {
        power(precision).is_none_or(|limit| self.unscaled.unsigned_abs() < limit.unsigned_abs())
    }

    pub(crate) fn to_f64(self) -> f64 {
        // Through the text, so that the result is the nearest double of the exact value.
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        ((self.unscaled as u128) ^ (1 << 127)).to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8], scale: u8) -> Option<Self> {
        let bits = u128::from_be_bytes(bytes.try_into().ok()?) ^ (1 << 127);
        Some(Self::new(bits as i128, scale))
    }
}

/// `10^n` where it fits.
pub(crate) fn power(n: u8) -> Option<i128> {
    10_i128.checked_pow(u32::from(n))
}

/// Division rounded half away from zero. `divisor` is positive.
pub(crate) fn div_round(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value / divisor, value % divisor);
    let half = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
    if half { quotient + value.signum() } else { quotient }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.unscaled.unsigned_abs().to_string();
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let scale = usize::from(self.scale);
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints_the_digits_it_was_given() {
        for text in ["12.3400", "-7.50", "0.01", "-0.01", "0", "99999999999999999999999999999999999999"] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Decimal::parse("1.5e3").unwrap(), Decimal::new(1500, 0));
        assert_eq!(Decimal::parse("15e-4").unwrap(), Decimal::new(15, 4));
        assert_eq!(Decimal::parse("0e99"), Some(Decimal::new(0, 0)));
        for text in
            ["", "-", ".", "1.2.3", "abc", "1e", "1e99", "0x1", "100000000000000000000000000000000000000"]
        {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn rescale_rounds_half_away_from_zero() {
        let at = |text: &str, scale| Decimal::parse(text).unwrap().rescale(scale).unwrap().to_string();
        assert_eq!(at("1.005", 2), "1.01");
        assert_eq!(at("-1.005", 2), "-1.01");
        assert_eq!(at("1.004", 2), "1.00");
        assert_eq!(at("7", 4), "7.0000");
        assert!(Decimal::new(i128::MAX / 2, 0).rescale(3).is_none());
    }

    #[test]
    fn byte_order_is_numeric_order() {
        let mut values: Vec<i128> = vec![i128::MIN, -100, -1, 0, 1, 99, 100, i128::MAX];
        let sorted = values.clone();
        values.reverse();
        values.sort_by_key(|v| Decimal::new(*v, 2).to_bytes());
        assert_eq!(values, sorted);
        assert_eq!(Decimal::from_bytes(&Decimal::new(-5, 2).to_bytes(), 2), Some(Decimal::new(-5, 2)));
        assert_eq!(Decimal::from_bytes(b"short", 2), None);
    }
}
