//! Timestamps, dates and times: microseconds or days since 1970-01-01, UTC.

use chrono::{
    DateTime, Datelike, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike,
    format::{Item, StrftimeItems},
};

pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// Microseconds since the epoch, now.
pub(crate) fn now_micros() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// RFC 3339, or `YYYY-MM-DD[ T]HH:MM[:SS[.f]]` with an optional offset (UTC without one), or a date alone.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() <= 10 {
        return parse_date(text)?.checked_mul(DAY_MICROS);
    }
    if let Ok(parsed) = DateTime::parse_from_rfc3339(text) {
        return Some(parsed.timestamp_micros());
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"] {
        if let Ok(parsed) = DateTime::parse_from_str(text, format) {
            return Some(parsed.timestamp_micros());
        }
    }
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"] {
        if let Ok(parsed) = NaiveDateTime::parse_from_str(text, format) {
            return Some(parsed.and_utc().timestamp_micros());
        }
    }
    None
}

/// `YYYY-MM-DD`.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let date = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok()?;
    Some(date.signed_duration_since(epoch()).num_days())
}

/// `HH:MM[:SS[.f]]`.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let text = text.trim();
    let time =
        NaiveTime::parse_from_str(text, "%H:%M:%S%.f").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M"));
    let time = time.ok()?;
    Some(i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(time.nanosecond()) / 1_000)
}

/// `2026-01-02T03:04:05[.ffffff]`, the way KalamDB's engine (arrow) writes one.
pub(crate) fn format_timestamp(micros: i64) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(at) => at.naive_utc().format("%Y-%m-%dT%H:%M:%S%.f").to_string(),
        None => micros.to_string(),
    }
}

/// RFC 3339 with milliseconds and `+00:00`, as the account endpoints show times (recorded in `wire/auth.jsonl`).
pub(crate) fn format_rfc3339(micros: i64) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(at) => at.format("%Y-%m-%dT%H:%M:%S%.3f+00:00").to_string(),
        None => micros.to_string(),
    }
}

pub(crate) fn format_date(days: i64) -> String {
    let date = TimeDelta::try_days(days).and_then(|delta| epoch().checked_add_signed(delta));
    date.map_or_else(|| days.to_string(), |date| date.to_string())
}

pub(crate) fn format_time(micros: i64) -> String {
    let seconds = u32::try_from(micros.div_euclid(1_000_000)).ok();
    let nanos = u32::try_from(micros.rem_euclid(1_000_000) * 1_000).ok();
    seconds
        .zip(nanos)
        .and_then(|(s, n)| NaiveTime::from_num_seconds_from_midnight_opt(s, n))
        .map_or_else(|| micros.to_string(), |time| time.format("%H:%M:%S%.f").to_string())
}

/// A part of a timestamp, as EXTRACT names them. Seconds and less count from the full minute.
pub(crate) fn part(field: &str, micros: i64) -> Option<i64> {
    let at = DateTime::from_timestamp_micros(micros)?.naive_utc();
    let in_minute = micros.rem_euclid(60_000_000);
    Some(match field {
        "year" => i64::from(at.year()),
        "quarter" => i64::from(at.month0() / 3 + 1),
        "month" => i64::from(at.month()),
        "week" => i64::from(at.iso_week().week()),
        "day" => i64::from(at.day()),
        "dow" => i64::from(at.weekday().num_days_from_sunday()),
        "isodow" => i64::from(at.weekday().number_from_monday()),
        "doy" => i64::from(at.ordinal()),
        "hour" => i64::from(at.hour()),
        "minute" => i64::from(at.minute()),
        "second" => in_minute / 1_000_000,
        "millisecond" => in_minute / 1_000,
        "microsecond" => in_minute,
        _ => return None,
    })
}

/// The start of the year, month, week (Monday), ... that the timestamp is in.
pub(crate) fn truncate(field: &str, micros: i64) -> Option<i64> {
    let unit = match field {
        "microsecond" => 1,
        "millisecond" => 1_000,
        "second" => 1_000_000,
        "minute" => 60_000_000,
        "hour" => 3_600_000_000,
        "day" => DAY_MICROS,
        _ => 0,
    };
    if unit > 0 {
        return micros.div_euclid(unit).checked_mul(unit);
    }
    let date = DateTime::from_timestamp_micros(micros)?.date_naive();
    let first = match field {
        "year" => date.with_ordinal(1)?,
        "quarter" => date.with_day(1)?.with_month0(date.month0() / 3 * 3)?,
        "month" => date.with_day(1)?,
        "week" => {
            date.checked_sub_signed(TimeDelta::days(i64::from(date.weekday().num_days_from_monday())))?
        }
        _ => return None,
    };
    Some(first.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
}

/// The same day and time in another month; its last day where that month is shorter.
pub(crate) fn add_months(micros: i64, months: i64) -> Option<i64> {
    let at = DateTime::from_timestamp_micros(micros)?;
    let by = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    let moved = if months >= 0 { at.checked_add_months(by)? } else { at.checked_sub_months(by)? };
    Some(moved.timestamp_micros())
}

pub(crate) fn make_date(year: i64, month: i64, day: i64) -> Option<i64> {
    let (year, month, day) =
        (i32::try_from(year).ok()?, u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    Some(NaiveDate::from_ymd_opt(year, month, day)?.signed_duration_since(epoch()).num_days())
}

/// Whether it is a format of strftime's.
pub(crate) fn is_format(format: &str) -> bool {
    format.len() < 256 && StrftimeItems::new(format).all(|item| item != Item::Error)
}

/// The timestamp in a format that [`is_format`] accepts.
pub(crate) fn format(micros: i64, format: &str) -> Option<String> {
    let at = DateTime::from_timestamp_micros(micros)?;
    is_format(format).then(|| at.format(format).to_string())
}

fn epoch() -> NaiveDate {
    DateTime::UNIX_EPOCH.date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        // Recorded in wire/types.jsonl.
        assert_eq!(parse_timestamp("2026-01-02T03:04:05Z"), Some(1_767_323_045_000_000));
        for same in [
            "2026-01-02T03:04:05",
            "2026-01-02 03:04:05",
            "2026-01-02 03:04:05Z",
            "2026-01-02 04:04:05+01:00",
            "2026-01-02 04:04:05 +0100",
            "2026-01-02T03:04:05.000000Z",
        ] {
            assert_eq!(parse_timestamp(same), Some(1_767_323_045_000_000), "{same}");
        }
        assert_eq!(parse_timestamp("2026-01-02"), Some(20_455 * DAY_MICROS));
        assert_eq!(parse_timestamp("1969-12-31T23:59:59.999999Z"), Some(-1));
        for bad in ["", "2026", "2026-13-01", "2026-01-02T25:00:00", "tomorrow", "2026-02-30 00:00:00"] {
            assert_eq!(parse_timestamp(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(parse_date("2026-01-02"), Some(20_455));
        assert_eq!(parse_date("1969-12-31"), Some(-1));
        assert_eq!(parse_date("2026-02-30"), None);
        assert_eq!(parse_time("03:04:05"), Some(11_045_000_000));
        assert_eq!(parse_time("23:59:59.999999"), Some(86_399_999_999));
        assert_eq!(parse_time("24:00:00"), None);
        assert_eq!(format_date(-1), "1969-12-31");
        assert_eq!(format_time(86_399_999_999), "23:59:59.999999");
        assert_eq!(format_timestamp(-1), "1969-12-31T23:59:59.999999");
        assert_eq!(format_timestamp(i64::MAX), i64::MAX.to_string());
        assert_eq!(format_rfc3339(1_767_323_045_000_000), "2026-01-02T03:04:05.000+00:00");
    }
}
