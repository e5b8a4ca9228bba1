//! Calendar spelling of the integers that TIMESTAMP, DATE and TIME columns hold.
//!
//! Only enough of a calendar to print and parse ISO 8601; a program that computes with dates uses its own library on
//! the integers (`chrono`, `jiff`, `datetime`, `Instant`).

use std::fmt;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Microseconds since the epoch, printed as `2026-01-02T03:04:05.000006Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(pub i64);

/// Days since the epoch, printed as `2026-01-02`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(pub i32);

/// Microseconds since midnight, printed as `03:04:05.000006`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay(pub i64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(MICROS_PER_DAY);
        write_date(f, days)?;
        f.write_str("T")?;
        TimeOfDay(self.0.rem_euclid(MICROS_PER_DAY)).fmt(f)?;
        f.write_str("Z")
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_date(f, i64::from(self.0))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0.div_euclid(1_000_000), self.0.rem_euclid(1_000_000));
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        if micros == 0 { Ok(()) } else { write!(f, ".{micros:06}") }
    }
}

fn write_date(f: &mut fmt::Formatter<'_>, days: i64) -> fmt::Result {
    let (year, month, day) = civil_from_days(days);
    // ISO 8601 asks for a sign on years that do not fit four digits.
    if (0..=9999).contains(&year) {
        write!(f, "{year:04}-{month:02}-{day:02}")
    } else {
        write!(f, "{year:+07}-{month:02}-{day:02}")
    }
}

/// Days since 1970-01-01 to (year, month, day) in the proleptic Gregorian calendar.
///
/// The year is taken to begin in March, so that the leap day is its last and months have a closed form.
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let era = shifted.div_euclid(146_097); // days in 400 years
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_the_recording_means() {
        // wire/types.jsonl inserted '2026-01-02T03:04:05Z', '2026-01-02' and '03:04:05'.
        assert_eq!(Timestamp(1_767_323_045_000_000).to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(Date(20_455).to_string(), "2026-01-02");
        assert_eq!(TimeOfDay(11_045_000_000).to_string(), "03:04:05");
    }

    #[test]
    fn prints_edges() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(Date(11_016).to_string(), "2000-02-29");
        assert_eq!(Date(-719_528).to_string(), "0000-01-01");
        assert_eq!(Date(i32::MAX).to_string(), "+5881580-07-11");
        assert_eq!(Date(-719_529).to_string(), "-000001-12-31");
        assert!(!Timestamp(i64::MIN).to_string().is_empty());
    }
}
