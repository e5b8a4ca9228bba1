//! Aggregates that SQLite lacks: bit operations and exact decimal sums.

use rusqlite::{
    Connection, Result,
    functions::{Aggregate, Context, FunctionFlags},
    types::{Value, ValueRef},
};

use super::functions::{failure, stored_decimal, unscaled};
use crate::engine::decimal;

pub(super) fn register(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    type Operation = fn(i64, i64) -> i64;
    let bits: [(&str, Operation); 3] =
        [("k_bit_xor", |a, b| a ^ b), ("k_bit_and", |a, b| a & b), ("k_bit_or", |a, b| a | b)];
    for (name, operation) in bits {
        connection.create_aggregate_function(name, 1, flags, Bits(operation))?;
    }
    connection.create_aggregate_function("k_dsum", 1, flags, DecimalSum { average: false })?;
    connection.create_aggregate_function("k_davg", 2, flags, DecimalSum { average: true })
}

struct Bits(fn(i64, i64) -> i64);

impl Aggregate<Option<i64>, Value> for Bits {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<i64>> {
        Ok(None)
    }

    fn step(&self, ctx: &mut Context<'_>, state: &mut Option<i64>) -> Result<()> {
        if let Some(value) = ctx.get::<Option<i64>>(0)? {
            *state = Some(state.map_or(value, |so_far| (self.0)(so_far, value)));
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, state: Option<Option<i64>>) -> Result<Value> {
        Ok(state.flatten().map_or(Value::Null, Value::Integer))
    }
}

/// `k_dsum(decimal)` and `k_davg(decimal, digits to append)`.
struct DecimalSum {
    average: bool,
}

#[derive(Default)]
struct Sum {
    total: i128,
    count: i128,
    digits: u8,
}

impl Aggregate<Sum, Value> for DecimalSum {
    fn init(&self, _: &mut Context<'_>) -> Result<Sum> {
        Ok(Sum::default())
    }

    fn step(&self, ctx: &mut Context<'_>, state: &mut Sum) -> Result<()> {
        if self.average {
            state.digits = ctx.get(1)?;
        }
        if ctx.get_raw(0) == ValueRef::Null {
            return Ok(());
        }
        let value = unscaled(ctx.get_raw(0))?;
        state.total = state.total.checked_add(value).ok_or_else(|| failure("decimal overflow in sum"))?;
        state.count += 1;
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, state: Option<Sum>) -> Result<Value> {
        let Some(Sum { total, count, digits }) = state.filter(|s| s.count > 0) else {
            return Ok(Value::Null);
        };
        let result = if self.average {
            let shifted = decimal::power(digits).and_then(|p| total.checked_mul(p));
            shifted.map(|t| t / count)
        } else {
            Some(total)
        };
        stored_decimal(result, decimal::MAX_PRECISION)
    }
}
