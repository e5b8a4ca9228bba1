//! SQL functions of timestamps: microseconds since the epoch, UTC.

use rusqlite::{Connection, Result, types::Value};

use super::functions::{failure, scalar, text_of};
use crate::engine::time;

pub(super) fn register(connection: &Connection) -> Result<()> {
    let out_of_range = || failure("the timestamp is out of range");
    scalar(connection, "k_part", 2, move |ctx| {
        time::part(text_of(ctx, 0)?, ctx.get(1)?).map(Value::Integer).ok_or_else(out_of_range)
    })?;
    scalar(connection, "k_trunc_to", 2, move |ctx| {
        time::truncate(text_of(ctx, 0)?, ctx.get(1)?).map(Value::Integer).ok_or_else(out_of_range)
    })?;
    scalar(connection, "k_add_months", 2, move |ctx| {
        time::add_months(ctx.get(0)?, ctx.get(1)?).map(Value::Integer).ok_or_else(out_of_range)
    })?;
    // k_bin(stride, timestamp, origin): the start of the stride that the timestamp is in.
    scalar(connection, "k_bin", 3, move |ctx| {
        let (stride, at, origin): (i64, i64, i64) = (ctx.get(0)?, ctx.get(1)?, ctx.get(2)?);
        let bin = at.checked_sub(origin).and_then(|d| d.div_euclid(stride).checked_mul(stride));
        bin.and_then(|b| b.checked_add(origin)).map(Value::Integer).ok_or_else(out_of_range)
    })?;
    // Cut off towards zero, as arrow does.
    scalar(connection, "k_seconds", 1, |ctx| Ok(Value::Integer(ctx.get::<i64>(0)? / 1_000_000)))?;
    scalar(connection, "k_strftime", 2, move |ctx| {
        time::format(ctx.get(0)?, text_of(ctx, 1)?).map(Value::Text).ok_or_else(out_of_range)
    })?;
    scalar(connection, "k_make_date", 3, |ctx| {
        let (y, m, d): (i64, i64, i64) = (ctx.get(0)?, ctx.get(1)?, ctx.get(2)?);
        let made = time::make_date(y, m, d).map(Value::Integer);
        made.ok_or_else(|| failure(format!("make_date: {y}-{m}-{d} is not a date")))
    })
}
