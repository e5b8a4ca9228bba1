//! Functions of numbers.

use sqlparser::ast::Expr;

use super::{operators::floating, translator::Translator, typed::Typed, types};
use crate::engine::{Cell, DataType, SqlError, error::SqlResult};

impl Translator<'_> {
    pub(super) fn abs(&mut self, arg: &Expr) -> SqlResult<Typed> {
        let arg = self.expr(arg)?;
        let shown = format!("abs({})", arg.name);
        let (text, data_type) = self.finish(arg)?;
        let text = match data_type {
            DataType::Decimal { .. } => format!("k_dabs({text})"),
            _ if data_type.is_integer() => format!("k_iabs({text}, {})", types::integer_bits(data_type)),
            _ if data_type.is_float() => format!("abs({text})"),
            other => {
                return Err(SqlError::execution(format!(
                    "Error during planning: abs() needs a number, not {other}"
                )));
            }
        };
        Ok(Typed::new(text, data_type, shown))
    }

    pub(super) fn round(&mut self, arg: &Expr, digits: Option<&Expr>) -> SqlResult<Typed> {
        let arg = self.expr(arg)?;
        let digits = digits.map(|d| self.expr(d)).transpose()?;
        let last = digits.as_ref().map_or(String::new(), |d| format!(",{}", d.name));
        let shown = format!("round({}{last})", arg.name);
        let digits = digits.map_or(Ok("0".to_owned()), |d| self.whole(d, "round()"))?;
        if let Some(result @ DataType::Decimal { scale, .. }) = arg.data_type() {
            let (text, _) = self.finish(arg)?;
            return Ok(Typed::new(format!("k_dround({text}, {scale} - max({digits}, -99))"), result, shown));
        }
        let of = arg.data_type().unwrap_or(DataType::Double);
        let text = self.double(arg, "round()")?;
        Ok(floating(format!("k_round({text}, {digits})"), of, shown))
    }

    /// Functions of one number that give a double, or a FLOAT of a FLOAT.
    pub(crate) fn rounding(&mut self, name: &str, arg: &Expr) -> SqlResult<Typed> {
        let arg = self.expr(arg)?;
        let shown = format!("{name}({})", arg.name);
        let of = arg.data_type().unwrap_or(DataType::Double);
        let text = self.double(arg, &format!("{name}()"))?;
        Ok(floating(format!("k_{name}({text})"), of, shown))
    }

    pub(super) fn double(&mut self, typed: Typed, place: &str) -> SqlResult<String> {
        match typed.data_type() {
            Some(other) if !other.is_number() => Err(SqlError::execution(format!(
                "Error during planning: {place} needs a number, not {other}"
            ))),
            _ => self.coerce(typed, DataType::Double),
        }
    }

    pub(super) fn whole(&mut self, typed: Typed, place: &str) -> SqlResult<String> {
        match typed.data_type() {
            Some(other) if !other.is_integer() => Err(SqlError::execution(format!(
                "Error during planning: {place} needs a whole number, not {other}"
            ))),
            _ => self.coerce(typed, DataType::BigInt),
        }
    }

    /// `ARRAY[...]` of numbers for an EMBEDDING.
    pub(crate) fn array(elements: &[Expr], to: DataType) -> SqlResult<Cell> {
        let number = |e: &Expr| e.to_string().replace(' ', "").parse::<f32>().ok();
        let values = elements.iter().map(number).collect::<Option<Vec<f32>>>();
        let values = values.ok_or_else(|| SqlError::unsupported("ARRAY[...] of anything but numbers"))?;
        crate::engine::convert::embedding(&values, to).map_err(|e| super::conversion::cast_failed(&e))
    }
}
