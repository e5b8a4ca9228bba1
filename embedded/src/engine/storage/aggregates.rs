//! Aggregates that SQLite lacks: bit operations and exact decimal sums.

use rusqlite::{
    Connection, Result,
    functions::{Aggregate, Context, FunctionFlags, WindowAggregate},
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
    connection.create_window_function("k_dsum", 1, flags, DecimalSum { average: false })?;
    connection.create_window_function("k_davg", 2, flags, DecimalSum { average: true })?;
    for (name, sample, root) in [
        ("k_var_pop", false, false),
        ("k_var_samp", true, false),
        ("k_stddev_pop", false, true),
        ("k_stddev_samp", true, true),
    ] {
        connection.create_aggregate_function(name, 1, flags, Variance { sample, root })?;
    }
    connection.create_aggregate_function("k_single", 1, flags, Single)
}

/// The only value there is: what a sub-query in an expression stands for.
struct Single;

impl Aggregate<Option<Value>, Value> for Single {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<Value>> {
        Ok(None)
    }

    fn step(&self, ctx: &mut Context<'_>, state: &mut Option<Value>) -> Result<()> {
        if state.is_some() {
            return Err(failure("a sub-query in an expression gave more than one row"));
        }
        *state = Some(ctx.get(0)?);
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, state: Option<Option<Value>>) -> Result<Value> {
        Ok(state.flatten().unwrap_or(Value::Null))
    }
}

/// Welford's method, which stays exact where a sum of squares would not.
struct Variance {
    sample: bool,
    root: bool,
}

#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Aggregate<Moments, Option<f64>> for Variance {
    fn init(&self, _: &mut Context<'_>) -> Result<Moments> {
        Ok(Moments::default())
    }

    fn step(&self, ctx: &mut Context<'_>, state: &mut Moments) -> Result<()> {
        if let Some(value) = ctx.get::<Option<f64>>(0)? {
            state.count += 1.0;
            let distance = value - state.mean;
            state.mean += distance / state.count;
            state.squares += distance * (value - state.mean);
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, state: Option<Moments>) -> Result<Option<f64>> {
        let Moments { count, squares, .. } = state.unwrap_or_default();
        let divisor = if self.sample { count - 1.0 } else { count };
        let variance = (divisor > 0.0).then(|| squares / divisor);
        Ok(if self.root { variance.map(f64::sqrt) } else { variance })
    }
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
        self.result(state.as_ref())
    }
}

impl WindowAggregate<Sum, Value> for DecimalSum {
    fn value(&self, state: Option<&mut Sum>) -> Result<Value> {
        self.result(state.as_deref())
    }

    fn inverse(&self, ctx: &mut Context<'_>, state: &mut Sum) -> Result<()> {
        if ctx.get_raw(0) != ValueRef::Null {
            // What was added before leaves the window.
            state.total -= unscaled(ctx.get_raw(0))?;
            state.count -= 1;
        }
        Ok(())
    }
}

impl DecimalSum {
    fn result(&self, state: Option<&Sum>) -> Result<Value> {
        let Some(Sum { total, count, digits }) = state.filter(|s| s.count > 0) else {
            return Ok(Value::Null);
        };
        let result = if self.average {
            let shifted = decimal::power(*digits).and_then(|p| total.checked_mul(p));
            shifted.map(|t| t / count)
        } else {
            Some(*total)
        };
        stored_decimal(result, decimal::MAX_PRECISION)
    }
}
