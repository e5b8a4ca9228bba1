//! Aggregates, grouped or over a window.

use sqlparser::ast::{
    DuplicateTreatment, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList,
    OrderByExpr, WindowType,
};

use super::{calls::wrong_arguments, translator::Translator, typed::Typed};
use crate::engine::{DataType, SqlError, decimal::MAX_PRECISION, error::SqlResult};

const NAMES: [&str; 20] = [
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "mean",
    "bit_xor",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "every",
    "string_agg",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "var",
    "var_samp",
    "var_pop",
    "variance",
];

pub(crate) fn is_aggregate(name: &str) -> bool {
    NAMES.contains(&name)
}

impl Translator<'_> {
    pub(super) fn aggregate(
        &mut self,
        name: &str,
        list: &FunctionArgumentList,
        filter: Option<&Expr>,
        over: Option<&WindowType>,
    ) -> SqlResult<Typed> {
        let frame = self.frame_mut();
        let misplaced = if over.is_some() { !frame.windows } else { !frame.aggregates || frame.in_aggregate };
        if misplaced {
            return Err(SqlError::execution(format!(
                "Error during planning: the aggregate {name}() can not stand here"
            )));
        }
        if over.is_some() {
            frame.windows = false;
        } else {
            (frame.saw_aggregate, frame.in_aggregate) = (true, true);
        }
        let call = self.aggregate_call(name, list, filter, over.is_some());
        let frame = self.frame_mut();
        if over.is_none() {
            frame.in_aggregate = false;
        }
        let window = over.map(|over| self.window(over)).transpose();
        if over.is_some() {
            self.frame_mut().windows = true;
        }
        let ((text, data_type, shown), window) = (call?, window?);
        Ok(match window {
            None => Typed::new(text, data_type, shown),
            Some((window, written)) => Typed::new(format!("{text}{window}"), data_type, shown + &written),
        })
    }

    fn aggregate_call(
        &mut self,
        name: &str,
        list: &FunctionArgumentList,
        filter: Option<&Expr>,
        over: bool,
    ) -> SqlResult<(String, DataType, String)> {
        let distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
        if distinct && over {
            return Err(SqlError::unsupported(format_args!("{name}(DISTINCT ...) over a window")));
        }
        let (filter, filter_shown) = match filter {
            None => (String::new(), String::new()),
            Some(filter) => {
                let typed = self.expr(filter)?;
                let shown = format!(" FILTER (WHERE {})", typed.name);
                (format!(" FILTER (WHERE {})", self.boolean(typed, "FILTER")?), shown)
            }
        };
        let word = if distinct { "DISTINCT " } else { "" };
        let order = match &list.clauses[..] {
            [] => &[][..],
            [FunctionArgumentClause::OrderBy(order)] if name == "string_agg" && !over => order,
            _ => return Err(SqlError::unsupported(format_args!("ORDER BY or other clauses in {name}()"))),
        };
        let (arg, separator) = match &list.args[..] {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if name == "count" && !distinct => {
                let shown = format!("count(*){filter_shown}");
                return Ok((format!("count(*){filter}"), DataType::BigInt, shown));
            }
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))] if name != "string_agg" => (arg, None),
            [
                FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)),
                FunctionArg::Unnamed(FunctionArgExpr::Expr(separator)),
            ] if name == "string_agg" => (arg, Some(separator)),
            _ if name == "string_agg" => return Err(wrong_arguments(name, "a text and a separator")),
            _ => return Err(wrong_arguments(name, "one argument")),
        };
        let arg = self.expr(arg)?;
        if let Some(separator) = separator {
            return self.string_agg(arg, separator, order, distinct, &filter);
        }
        let shown = format!("{name}({word}{}){filter_shown}", arg.name);
        let (text, data_type) = self.finish(arg)?;
        let numbers = !matches!(name, "count" | "min" | "max" | "bool_and" | "bool_or" | "every");
        if numbers && !data_type.is_number() {
            return Err(SqlError::execution(format!(
                "Error during planning: {name}() needs a number, not {data_type}"
            )));
        }
        let (text, data_type) = match (name, data_type) {
            ("count", _) => (format!("count({word}{text})"), DataType::BigInt),
            ("min" | "max", DataType::Embedding(_) | DataType::Bytes | DataType::File | DataType::Json) => {
                return Err(SqlError::unsupported(format_args!("{name}() of {data_type}")));
            }
            ("min" | "max", _) => (format!("{name}({text})"), data_type),
            // Booleans are 0 and 1.
            ("bool_and" | "every", DataType::Boolean) => (format!("min({text})"), data_type),
            ("bool_or", DataType::Boolean) => (format!("max({text})"), data_type),
            ("bool_and" | "bool_or" | "every", other) => {
                return Err(SqlError::execution(format!(
                    "Error during planning: {name}() needs a boolean, not {other}"
                )));
            }
            ("bit_xor" | "bit_and" | "bit_or", _) if over => {
                return Err(SqlError::unsupported(format_args!("{name}() over a window")));
            }
            ("bit_xor" | "bit_and" | "bit_or", _) if data_type.is_integer() => {
                (format!("k_{name}({word}{text})"), data_type)
            }
            ("sum", DataType::Decimal { precision, scale }) => {
                let precision = precision.saturating_add(10).min(MAX_PRECISION);
                (format!("k_dsum({word}{text})"), DataType::Decimal { precision, scale })
            }
            ("avg" | "mean", DataType::Decimal { .. }) if distinct => {
                return Err(SqlError::unsupported("avg(DISTINCT ...) of decimals"));
            }
            ("avg" | "mean", DataType::Decimal { precision, scale }) => {
                let extra = 4.min(MAX_PRECISION - scale);
                let result =
                    DataType::Decimal { precision: (precision + 4).min(MAX_PRECISION), scale: scale + extra };
                (format!("k_davg({text}, {extra})"), result)
            }
            ("sum", _) if data_type.is_integer() => (format!("sum({word}{text})"), DataType::BigInt),
            ("sum", _) => (format!("sum({word}{text})"), DataType::Double),
            ("avg" | "mean", _) => (format!("avg({word}{text})"), DataType::Double),
            ("bit_xor" | "bit_and" | "bit_or", _) => {
                return Err(SqlError::execution(format!("Error during planning: {name}() needs integers")));
            }
            _ if distinct || over => {
                return Err(SqlError::unsupported(format_args!("{name}() with DISTINCT or over a window")));
            }
            _ => {
                let function = match name {
                    "stddev" | "stddev_samp" => "k_stddev_samp",
                    "stddev_pop" => "k_stddev_pop",
                    "var_pop" => "k_var_pop",
                    _ => "k_var_samp",
                };
                let number = self.coerce(Typed::new(text, data_type, String::new()), DataType::Double)?;
                (format!("{function}({number})"), DataType::Double)
            }
        };
        Ok((text + &filter, data_type, shown))
    }

    fn string_agg(
        &mut self,
        arg: Typed,
        separator: &Expr,
        order: &[OrderByExpr],
        distinct: bool,
        filter: &str,
    ) -> SqlResult<(String, DataType, String)> {
        if distinct {
            return Err(SqlError::unsupported("string_agg(DISTINCT ...): use a sub-query with DISTINCT"));
        }
        let separator = self.expr(separator)?;
        let shown = format!("string_agg({},{})", arg.name, separator.name);
        let (arg, separator) = (self.text(arg, "string_agg()")?, self.text(separator, "string_agg()")?);
        let order = self.order_by(order, &[], false, false)?;
        Ok((format!("group_concat({arg}, {separator}{order}){filter}"), DataType::Text, shown))
    }
}
