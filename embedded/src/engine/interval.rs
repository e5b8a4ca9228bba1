//! Intervals: months, days and microseconds, which do not convert into each other.

/// A written interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) months: i32,
    pub(crate) days: i32,
    pub(crate) micros: i64,
}

const SECOND: i64 = 1_000_000;

impl Interval {
    /// `1 day`, `2 hours 30 minutes`, `01:30:00`, `-1 month`, `1 day ago`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let (body, ago) = match lower.strip_suffix(" ago") {
            Some(body) => (body, true),
            None => (lower.as_str(), false),
        };
        let mut total = Self { months: 0, days: 0, micros: 0 };
        let mut words = body.split_whitespace().peekable();
        words.peek()?;
        while let Some(word) = words.next() {
            if word.contains(':') {
                total.micros = total.micros.checked_add(clock(word)?)?;
                continue;
            }
            // `1day` is `1 day`.
            let split = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
            let (number, unit) = word.split_at(split);
            let unit = if unit.is_empty() { words.next()? } else { unit };
            total = total.plus(number, unit)?;
        }
        Some(if ago { total.negated() } else { total })
    }

    fn plus(self, number: &str, unit: &str) -> Option<Self> {
        let whole = |factor: i32| number.parse::<i32>().ok()?.checked_mul(factor);
        let singular = unit.strip_suffix('s').filter(|u| u.len() > 1).unwrap_or(unit);
        let (months, days, micros) = match singular {
            "year" | "yr" | "y" => (whole(12)?, 0, 0),
            "quarter" => (whole(3)?, 0, 0),
            "month" | "mon" => (whole(1)?, 0, 0),
            "week" | "w" => (0, whole(7)?, 0),
            "day" | "d" => (0, whole(1)?, 0),
            "hour" | "hr" | "h" => (0, 0, scaled(number, 3600 * SECOND)?),
            "minute" | "min" => (0, 0, scaled(number, 60 * SECOND)?),
            "second" | "sec" | "s" => (0, 0, scaled(number, SECOND)?),
            "millisecond" | "ms" => (0, 0, scaled(number, 1000)?),
            "microsecond" | "us" => (0, 0, scaled(number, 1)?),
            _ => return None,
        };
        self.with(Self { months, days, micros })
    }

    pub(crate) fn with(self, other: Self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_add(other.months)?,
            days: self.days.checked_add(other.days)?,
            micros: self.micros.checked_add(other.micros)?,
        })
    }

    pub(crate) fn negated(self) -> Self {
        Self {
            months: self.months.saturating_neg(),
            days: self.days.saturating_neg(),
            micros: self.micros.saturating_neg(),
        }
    }

    /// With days of 24 hours; `None` when there are months, which have no length.
    pub(crate) fn as_micros(self) -> Option<i64> {
        let days = i64::from(self.days).checked_mul(86_400 * SECOND)?;
        days.checked_add(self.micros).filter(|_| self.months == 0)
    }
}

/// A decimal number of units, each of so many microseconds; exact, or nothing.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let value = super::Decimal::parse(number)?;
    let micros = value.unscaled.checked_mul(i128::from(unit))?;
    let divisor = super::decimal::power(value.scale)?;
    (micros % divisor == 0).then_some(micros / divisor).and_then(|m| i64::try_from(m).ok())
}

/// `HH:MM[:SS[.f]]`, with a sign.
fn clock(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = digits.split(':');
    let (hours, minutes) = (parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?);
    let seconds = parts.next().unwrap_or("0");
    if minutes > 59 || parts.next().is_some() || seconds.starts_with('-') {
        return None;
    }
    let seconds = scaled(seconds, SECOND).filter(|s| *s < 60 * SECOND)?;
    let micros = (i64::from(hours) * 3600 + i64::from(minutes) * 60) * SECOND + seconds;
    Some(if negative { -micros } else { micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read() {
        let of = |months, days, micros| Some(Interval { months, days, micros });
        assert_eq!(Interval::parse("1 day"), of(0, 1, 0));
        assert_eq!(Interval::parse("1 YEAR 2 months"), of(14, 0, 0));
        assert_eq!(Interval::parse("2 weeks -1 day"), of(0, 13, 0));
        assert_eq!(Interval::parse("1.5 hours"), of(0, 0, 5400 * SECOND));
        assert_eq!(Interval::parse("1 day 01:30:00.5"), of(0, 1, 5_400_500_000));
        assert_eq!(Interval::parse("-00:00:01"), of(0, 0, -SECOND));
        assert_eq!(Interval::parse("15min"), of(0, 0, 900 * SECOND));
        assert_eq!(Interval::parse("5 ms"), of(0, 0, 5000));
        assert_eq!(Interval::parse("7 us"), of(0, 0, 7));
        assert_eq!(Interval::parse("3 days ago"), of(0, -3, 0));
        for bad in
            ["", "day", "1", "1 fortnight", "1.5 months", "1 day 2", "1:2:3:4", "01:60", "x day", "5 m"]
        {
            assert_eq!(Interval::parse(bad), None, "{bad}");
        }
    }
}
