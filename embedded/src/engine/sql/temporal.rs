//! Dates, times and intervals: arithmetic and functions.

use sqlparser::ast::{BinaryOperator as Op, Expr, Value};

use super::{
    translator::Translator,
    typed::{Literal, Sql, Typed},
    types,
};
use crate::engine::{
    Cell, DataType, SqlError,
    error::SqlResult,
    interval::Interval,
    time::{self, DAY_MICROS},
};

pub(super) fn is_interval(typed: &Typed) -> bool {
    matches!(typed.sql, Sql::Interval(_) | Sql::Span(_))
}

/// Whether `+` and `-` with it are not arithmetic on numbers.
pub(super) fn is_temporal(typed: &Typed) -> bool {
    let data_type = typed.data_type();
    is_interval(typed)
        || data_type.is_some_and(|t| t.is_timestamp() || matches!(t, DataType::Date | DataType::Time))
}

/// An interval in microseconds, for comparisons.
pub(super) fn span_text(typed: Typed) -> SqlResult<String> {
    match typed.sql {
        Sql::Span(text) => Ok(text),
        Sql::Null => Ok("NULL".into()),
        Sql::Interval(interval) => interval.as_micros().map(|m| m.to_string()).ok_or_else(|| {
            SqlError::unsupported("comparing intervals of months or years, which have no fixed length")
        }),
        _ => Err(SqlError::execution(
            "Error during planning: an interval is compared with another interval only: write INTERVAL '...'",
        )),
    }
}

fn seconds(text: &str) -> String {
    format!("(CAST({text} AS REAL) / 1000000.0)")
}

/// Parts of a timestamp that are whole numbers, by the names that are accepted for them.
fn part(field: &str) -> Option<&'static str> {
    Some(match field {
        "year" | "years" => "year",
        "quarter" => "quarter",
        "month" | "months" => "month",
        "week" | "weeks" => "week",
        "day" | "days" => "day",
        "hour" | "hours" => "hour",
        "minute" | "minutes" => "minute",
        "second" | "seconds" => "second",
        "millisecond" | "milliseconds" => "millisecond",
        "microsecond" | "microseconds" => "microsecond",
        "dow" | "dayofweek" => "dow",
        "isodow" => "isodow",
        "doy" | "dayofyear" => "doy",
        _ => return None,
    })
}

impl Translator<'_> {
    /// `+` and `-` with a date, a time or an interval on one side.
    pub(super) fn temporal(&mut self, both: [Typed; 2], op: &Op) -> SqlResult<Typed> {
        use DataType as T;
        let minus = *op == Op::Minus;
        let name = format!("{} {op} {}", both[0].name, both[1].name);
        let shown = name.clone();
        let refuse = || {
            SqlError::unsupported(format_args!(
                "{shown}: dates and times are added to intervals, and subtracted"
            ))
        };
        let types = both.each_ref().map(Typed::data_type);
        let [left, right] = both;
        let sql = match (left.sql, right.sql, types) {
            (Sql::Null, _, _) | (_, Sql::Null, _) => return Err(refuse()),
            (Sql::Interval(a), Sql::Interval(b), _) => {
                let b = if minus { b.negated() } else { b };
                Sql::Interval(a.with(b).ok_or_else(refuse)?)
            }
            (moment @ (Sql::Text(..) | Sql::Span(_)), Sql::Interval(by), _) => {
                let by = if minus { by.negated() } else { by };
                shifted(moment, by).ok_or_else(refuse)?
            }
            (Sql::Interval(by), moment @ (Sql::Text(..) | Sql::Span(_)), _) if !minus => {
                shifted(moment, by).ok_or_else(refuse)?
            }
            (Sql::Text(a, data_type), Sql::Span(b), _) | (Sql::Span(b), Sql::Text(a, data_type), _)
                if data_type.is_timestamp() && (!minus || types[0].is_some()) =>
            {
                Sql::Text(sum(&a, minus, &b), data_type)
            }
            (Sql::Span(a), Sql::Span(b), _) => Sql::Span(sum(&a, minus, &b)),
            (Sql::Text(a, T::Date), Sql::Text(b, T::Date), _) if minus => {
                Sql::Text(sum(&a, true, &b), T::BigInt)
            }
            (Sql::Text(a, T::Date), days, [_, Some(other)]) if other.is_integer() => {
                let name = String::new();
                let (days, _) = self.finish(Typed { sql: days, name, column: None })?;
                Sql::Text(date_sum(&a, minus, &days), T::Date)
            }
            (days, Sql::Text(a, T::Date), [Some(other), _]) if other.is_integer() && !minus => {
                let name = String::new();
                let (days, _) = self.finish(Typed { sql: days, name, column: None })?;
                Sql::Text(date_sum(&a, false, &days), T::Date)
            }
            (a, b, [Some(x), Some(y)]) if minus && (x.is_timestamp() || y.is_timestamp()) => {
                let both = [a, b].map(|sql| Typed { sql, name: String::new(), column: None });
                let common = self.unify(&both)?;
                if !common.is_timestamp() {
                    return Err(refuse());
                }
                let [a, b] = both.map(|t| self.coerce(t, common));
                Sql::Span(sum(&a?, true, &b?))
            }
            _ => return Err(refuse()),
        };
        Ok(Typed { sql, name, column: None })
    }

    /// The expression as a timestamp.
    pub(super) fn timestamp(&mut self, typed: Typed, place: &str) -> SqlResult<String> {
        let fits = match (&typed.sql, typed.data_type()) {
            (Sql::Literal(Literal::Text(_) | Literal::Param { .. }) | Sql::Null, _) => true,
            (_, Some(data_type)) => types::merge(data_type, DataType::Timestamp).is_some(),
            _ => false,
        };
        match fits {
            true => self.coerce(typed, DataType::Timestamp),
            false => Err(SqlError::execution(format!(
                "Error during planning: {place} needs a timestamp or a date: write a CAST"
            ))),
        }
    }

    /// EXTRACT and date_part().
    pub(super) fn extract(&mut self, field: &str, from: &Expr) -> SqlResult<Typed> {
        let field = field.trim_matches('\'').to_ascii_lowercase();
        let from = self.any_expr(from)?;
        let name = format!("date_part(Utf8(\"{}\"),{})", field.to_uppercase(), from.name);
        if is_interval(&from) {
            return match (field.as_str(), from.sql) {
                ("epoch", Sql::Span(text)) => Ok(Typed::new(seconds(&text), DataType::Double, name)),
                _ => Err(SqlError::unsupported(
                    "EXTRACT of anything but the epoch from the time between two moments",
                )),
            };
        }
        if field == "epoch" {
            let text = self.timestamp(from, "EXTRACT")?;
            return Ok(Typed::new(seconds(&text), DataType::Double, name));
        }
        let part =
            part(&field).ok_or_else(|| SqlError::unsupported(format_args!("EXTRACT({field} FROM ...)")))?;
        let text = match from.data_type() {
            Some(DataType::Time)
                if matches!(part, "hour" | "minute" | "second" | "millisecond" | "microsecond") =>
            {
                self.finish(from)?.0
            }
            _ => self.timestamp(from, "EXTRACT")?,
        };
        Ok(Typed::new(format!("k_part('{part}', {text})"), DataType::Int, name))
    }

    pub(super) fn date_trunc(&mut self, field: &Expr, from: &Expr) -> SqlResult<Typed> {
        let field = literal(field).map(|f| f.to_ascii_lowercase()).unwrap_or_default();
        let known = matches!(
            field.as_str(),
            "year"
                | "quarter"
                | "month"
                | "week"
                | "day"
                | "hour"
                | "minute"
                | "second"
                | "millisecond"
                | "microsecond"
        );
        if !known {
            return Err(SqlError::execution(
                "Error during planning: date_trunc() takes 'year', 'quarter', 'month', 'week', 'day', 'hour', 'minute', \
                 'second', 'millisecond' or 'microsecond'",
            ));
        }
        let from = self.expr(from)?;
        let name = format!("date_trunc(Utf8(\"{field}\"),{})", from.name);
        let text = self.timestamp(from, "date_trunc()")?;
        Ok(Typed::new(format!("k_trunc_to('{field}', {text})"), DataType::Timestamp, name))
    }

    pub(super) fn date_bin(&mut self, stride: &Expr, from: &Expr, origin: Option<&Expr>) -> SqlResult<Typed> {
        let stride = match self.any_expr(stride)?.sql {
            Sql::Interval(interval) => interval.as_micros().filter(|m| *m > 0),
            _ => None,
        };
        let stride = stride.ok_or_else(|| {
            SqlError::execution("Error during planning: date_bin() takes an INTERVAL of days, hours or less")
        })?;
        let from = self.expr(from)?;
        let name = format!("date_bin({},{})", stride, from.name);
        let text = self.timestamp(from, "date_bin()")?;
        let origin = match origin {
            None => "0".to_owned(),
            Some(origin) => {
                let origin = self.expr(origin)?;
                self.timestamp(origin, "date_bin()")?
            }
        };
        Ok(Typed::new(format!("k_bin({stride}, {text}, {origin})"), DataType::Timestamp, name))
    }

    /// to_char() and date_format(): formats as KalamDB has them (strftime's), written out.
    pub(super) fn date_text(&mut self, shown: &str, value: &Expr, format: &Expr) -> SqlResult<Typed> {
        let format = literal(format).filter(|f| f.contains('%') && time::is_format(f)).ok_or_else(|| {
            SqlError::execution(format!(
                "Error during planning: {shown}() takes a written format such as '%Y-%m-%d %H:%M:%S', as KalamDB does, \
                 not PostgreSQL's 'YYYY-MM-DD'"
            ))
        })?;
        let value = self.expr(value)?;
        let name = format!("{shown}({},Utf8(\"{format}\"))", value.name);
        let text = self.timestamp(value, shown)?;
        let format = self.bind(super::typed::Bind::Cell(Cell::Text(format.into())));
        Ok(Typed::new(format!("k_strftime({text}, {format})"), DataType::Text, name))
    }

    /// Timestamps from numbers of `unit` microseconds, or from text.
    pub(super) fn timestamp_of(&mut self, shown: &str, value: &Expr, unit: i64) -> SqlResult<Typed> {
        let value = self.expr(value)?;
        let name = format!("{shown}({})", value.name);
        let text = match value.data_type() {
            Some(data_type) if data_type.is_integer() => {
                let (text, _) = self.finish(value)?;
                format!("k_imul({text}, {unit}, 64)")
            }
            Some(DataType::Text) => {
                let (text, from) = self.finish(value)?;
                self.coerce(Typed::new(text, from, String::new()), DataType::Timestamp)?
            }
            _ => self.timestamp(value, shown)?,
        };
        Ok(Typed::new(text, DataType::Timestamp, name))
    }

    pub(super) fn date_of(&mut self, value: &Expr) -> SqlResult<Typed> {
        let typed = self.cast(value, DataType::Date, false)?;
        Ok(Typed { name: format!("to_date({})", typed.name), ..typed })
    }

    pub(super) fn make_date(&mut self, parts: [&Expr; 3]) -> SqlResult<Typed> {
        let [y, m, d] = parts.map(|p| {
            let typed = self.expr(p)?;
            self.whole(typed, "make_date()")
        });
        Ok(Typed::new(format!("k_make_date({}, {}, {})", y?, m?, d?), DataType::Date, "make_date".into()))
    }

    pub(super) fn seconds_of(&mut self, value: &Expr) -> SqlResult<Typed> {
        let value = self.expr(value)?;
        let name = format!("to_unixtime({})", value.name);
        let text = self.timestamp(value, "to_unixtime()")?;
        Ok(Typed::new(format!("k_seconds({text})"), DataType::BigInt, name))
    }
}

fn sum(a: &str, minus: bool, b: &str) -> String {
    format!("k_i{}({a}, {b}, 64)", if minus { "sub" } else { "add" })
}

/// A date so many days later or earlier: arrow's dates have 32 bits.
fn date_sum(a: &str, minus: bool, days: &str) -> String {
    format!("k_i{}({a}, {days}, 32)", if minus { "sub" } else { "add" })
}

/// A timestamp, a date or a time span moved by an interval.
fn shifted(moment: Sql, by: Interval) -> Option<Sql> {
    Some(match moment {
        Sql::Span(text) => Sql::Span(sum(&text, false, &by.as_micros()?.to_string())),
        Sql::Text(text, data_type) if data_type.is_timestamp() => {
            let micros = i64::from(by.days).checked_mul(DAY_MICROS)?.checked_add(by.micros)?;
            let text = match by.months {
                0 => text,
                months => format!("k_add_months({text}, {months})"),
            };
            Sql::Text(sum(&text, false, &micros.to_string()), data_type)
        }
        // Hours would be cut off in KalamDB.
        Sql::Text(text, DataType::Date) if by.micros == 0 => {
            let text = match by.months {
                0 => text,
                months => {
                    format!("(k_add_months(k_imul({text}, {DAY_MICROS}, 64), {months}) / {DAY_MICROS})")
                }
            };
            Sql::Text(date_sum(&text, false, &by.days.to_string()), DataType::Date)
        }
        _ => return None,
    })
}

pub(super) fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) if !text.contains('\0') => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}
