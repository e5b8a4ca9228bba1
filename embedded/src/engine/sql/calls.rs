//! The functions that may be called, with their types.

use sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments,
};

use super::{
    expr::{Bind, Translator, Typed},
    names,
};
use crate::engine::{Cell, DataType, SqlError, decimal::MAX_PRECISION, error::SqlResult};

const AGGREGATES: [&str; 8] = ["count", "sum", "min", "max", "avg", "bit_xor", "bit_and", "bit_or"];

impl Translator<'_> {
    pub(crate) fn function(&mut self, call: &Function) -> SqlResult<Typed> {
        let Function { name, uses_odbc_syntax, parameters, args, within_group, filter, null_treatment, over } =
            call;
        let refuse = |what: &str| Err(SqlError::unsupported(format_args!("{what} in {name}(...)")));
        let name = names::parts(name)?.join(".");
        if over.is_some() {
            return Err(SqlError::unsupported("window functions"));
        }
        if filter.is_some() || !within_group.is_empty() || null_treatment.is_some() {
            return refuse("FILTER, WITHIN GROUP or NULLS");
        }
        if *uses_odbc_syntax || !matches!(parameters, FunctionArguments::None) {
            return refuse("this syntax");
        }
        let empty = FunctionArgumentList { duplicate_treatment: None, args: Vec::new(), clauses: Vec::new() };
        let list = match args {
            FunctionArguments::None => &empty,
            FunctionArguments::List(list) if list.clauses.is_empty() => list,
            _ => return refuse("this argument"),
        };
        if AGGREGATES.contains(&name.as_str()) {
            return self.aggregate(&name, list);
        }
        if list.duplicate_treatment.is_some() {
            return refuse("DISTINCT");
        }
        let args = list
            .args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
                other => Err(SqlError::unsupported(format_args!("the argument {other} of {name}()"))),
            })
            .collect::<SqlResult<Vec<&Expr>>>()?;
        self.scalar(&name, &args)
    }

    fn aggregate(&mut self, name: &str, list: &FunctionArgumentList) -> SqlResult<Typed> {
        if !self.aggregates || self.in_aggregate {
            return Err(SqlError::execution(format!(
                "Error during planning: the aggregate {name}() can not stand here"
            )));
        }
        self.saw_aggregate = true;
        let distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
        let word = if distinct { "DISTINCT " } else { "" };
        let arg = match &list.args[..] {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if name == "count" && !distinct => {
                return Ok(Typed::new("count(*)".into(), DataType::BigInt, "count(*)".into()));
            }
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))] => arg,
            _ => return Err(wrong_arguments(name, "one argument")),
        };
        self.in_aggregate = true;
        let arg = self.expr(arg);
        self.in_aggregate = false;
        let arg = arg?;
        let shown = format!("{name}({word}{})", arg.name);
        let (text, data_type) = self.finish(arg)?;
        if !matches!(name, "count" | "min" | "max") && !data_type.is_number() {
            return Err(SqlError::execution(format!(
                "Error during planning: {name}() needs a number, not {data_type}"
            )));
        }
        let (text, data_type) = match (name, data_type) {
            ("count", _) => (format!("count({word}{text})"), DataType::BigInt),
            ("min" | "max", DataType::Embedding(_) | DataType::Bytes | DataType::File) => {
                return Err(SqlError::unsupported(format_args!("{name}() of {data_type}")));
            }
            ("min" | "max", _) => (format!("{name}({text})"), data_type),
            ("bit_xor" | "bit_and" | "bit_or", _) if data_type.is_integer() => {
                (format!("k_{name}({word}{text})"), data_type)
            }
            ("sum", DataType::Decimal { precision, scale }) => {
                let precision = precision.saturating_add(10).min(MAX_PRECISION);
                (format!("k_dsum({word}{text})"), DataType::Decimal { precision, scale })
            }
            ("avg", DataType::Decimal { .. }) if distinct => {
                return Err(SqlError::unsupported("avg(DISTINCT ...) of decimals"));
            }
            ("avg", DataType::Decimal { precision, scale }) => {
                let extra = 4.min(MAX_PRECISION - scale);
                let result =
                    DataType::Decimal { precision: (precision + 4).min(MAX_PRECISION), scale: scale + extra };
                (format!("k_davg({text}, {extra})"), result)
            }
            ("sum", _) if data_type.is_integer() => (format!("sum({word}{text})"), DataType::BigInt),
            ("sum" | "avg", _) => (format!("{name}({word}{text})"), DataType::Double),
            _ => return Err(SqlError::execution(format!("Error during planning: {name}() needs integers"))),
        };
        Ok(Typed::new(text, data_type, shown))
    }

    fn scalar(&mut self, name: &str, args: &[&Expr]) -> SqlResult<Typed> {
        match (name, args) {
            ("now" | "current_timestamp", []) => {
                self.refuse_in_live(name)?;
                Ok(Typed::new(self.bind(Bind::Now), DataType::Timestamp, "now()".into()))
            }
            // The name is the recorded one (wire/tables.jsonl).
            ("current_user" | "kdb_current_user", []) => {
                Ok(Typed::new(self.bind(Bind::CurrentUser), DataType::Text, "kdb_current_user()".into()))
            }
            ("snowflake_id", []) => self.identifier("k_snowflake()", DataType::BigInt, "snowflake_id()"),
            ("uuid_v7", []) => self.identifier("k_uuid_v7()", DataType::Text, "uuid_v7()"),
            ("ulid", []) => self.identifier("k_ulid()", DataType::Text, "ulid()"),
            ("coalesce" | "greatest" | "least", [_, ..]) => self.choose(name, args),
            ("nullif", [a, b]) => {
                let both = [self.expr(a)?, self.expr(b)?];
                let shown = format!("nullif({},{})", both[0].name, both[1].name);
                let common = self.unify(&both)?;
                let [a, b] = both.map(|t| self.coerce(t, common));
                Ok(Typed::new(format!("nullif({}, {})", a?, b?), common, shown))
            }
            ("concat", [_, ..]) => self.concat_all(args),
            ("length" | "char_length" | "character_length", [arg]) => {
                self.of_text("k_length", "character_length", arg, DataType::Int)
            }
            ("octet_length", [arg]) => self.of_text("k_octets", name, arg, DataType::Int),
            ("lower", [arg]) => self.of_text("k_lower", name, arg, DataType::Text),
            ("upper", [arg]) => self.of_text("k_upper", name, arg, DataType::Text),
            ("reverse", [arg]) => self.of_text("k_reverse", name, arg, DataType::Text),
            ("trim" | "btrim", [arg]) => self.trim("btrim", arg, None),
            ("trim" | "btrim", [arg, what]) => self.trim("btrim", arg, Some(what)),
            ("ltrim" | "rtrim", [arg]) => self.trim(name, arg, None),
            ("ltrim" | "rtrim", [arg, what]) => self.trim(name, arg, Some(what)),
            ("starts_with", [a, b]) => self.of_two_texts("k_starts", name, a, b, DataType::Boolean),
            ("ends_with", [a, b]) => self.of_two_texts("k_ends", name, a, b, DataType::Boolean),
            ("contains", [a, b]) => self.of_two_texts("k_contains", name, a, b, DataType::Boolean),
            ("strpos" | "instr" | "position", [a, b]) => self.strpos(a, b),
            ("replace", [a, b, c]) => {
                let all = [self.expr(a)?, self.expr(b)?, self.expr(c)?];
                let shown = format!("replace({},{},{})", all[0].name, all[1].name, all[2].name);
                let [a, b, c] = all.map(|t| self.text(t, "replace()"));
                Ok(Typed::new(format!("k_replace({}, {}, {})", a?, b?, c?), DataType::Text, shown))
            }
            ("substr" | "substring", [a, from]) => self.substring(a, from, None),
            ("substr" | "substring", [a, from, length]) => self.substring(a, from, Some(length)),
            ("left" | "right", [a, n]) => {
                let (a, n) = (self.expr(a)?, self.expr(n)?);
                let shown = format!("{name}({},{})", a.name, n.name);
                let (a, n) = (self.text(a, name)?, self.whole(n, name)?);
                Ok(Typed::new(format!("k_{name}({a}, {n})"), DataType::Text, shown))
            }
            ("abs", [arg]) => self.abs(arg),
            ("round", [arg]) => self.round(arg, None),
            ("round", [arg, digits]) => self.round(arg, Some(digits)),
            ("ceil" | "ceiling", [arg]) => self.rounding("ceil", arg),
            ("floor" | "trunc", [arg]) => self.rounding(name, arg),
            ("sqrt" | "exp" | "ln" | "log10" | "log2" | "sign" | "signum", [arg]) => {
                let function = if name == "signum" { "sign" } else { name };
                self.rounding(function, arg)
            }
            ("power" | "pow", [a, b]) => {
                let both = [self.expr(a)?, self.expr(b)?];
                let shown = format!("power({},{})", both[0].name, both[1].name);
                let [a, b] = both.map(|t| self.double(t, "power()"));
                Ok(Typed::new(format!("k_power({}, {})", a?, b?), DataType::Double, shown))
            }
            ("mod", [a, b]) => {
                let (a, b) = (self.expr(a)?, self.expr(b)?);
                self.arithmetic(a, &BinaryOperator::Modulo, b)
            }
            ("arrow_cast" | "try_cast", _) => Err(SqlError::unsupported(format_args!("{name}()"))),
            _ if KNOWN.contains(&name) => Err(wrong_arguments(name, "another number of arguments")),
            _ => Err(SqlError::unsupported(format_args!("the function {name}()"))),
        }
    }

    fn refuse_in_live(&self, what: &str) -> SqlResult<()> {
        if self.live {
            return Err(SqlError::unsupported(format_args!(
                "{what}() in a live query: rows would leave the result without a change; compare with a fixed time"
            )));
        }
        Ok(())
    }

    fn identifier(&mut self, text: &str, data_type: DataType, shown: &str) -> SqlResult<Typed> {
        self.refuse_in_live(shown.trim_end_matches("()"))?;
        Ok(Typed::new(text.into(), data_type, shown.into()))
    }

    fn choose(&mut self, name: &str, args: &[&Expr]) -> SqlResult<Typed> {
        let all = args.iter().map(|a| self.expr(a)).collect::<SqlResult<Vec<_>>>()?;
        let shown: Vec<&str> = all.iter().map(|t| t.name.as_str()).collect();
        let shown = format!("{name}({})", shown.join(","));
        let common = self.unify(&all)?;
        let mut texts = all.into_iter().map(|t| self.coerce(t, common)).collect::<SqlResult<Vec<_>>>()?;
        if texts.len() == 1 {
            return Ok(Typed::new(texts.remove(0), common, shown));
        }
        if name == "coalesce" {
            return Ok(Typed::new(format!("coalesce({})", texts.join(", ")), common, shown));
        }
        // SQLite's min() and max() of several values are NULL when one is; KalamDB's pass over NULL.
        let pick = if name == "greatest" { "max" } else { "min" };
        let mut text = texts.remove(0);
        for next in texts {
            if text.len() > MAX_NESTED_TEXT {
                return Err(SqlError::unsupported(format_args!("{name}() of so many values")));
            }
            text = format!("coalesce({pick}({text}, {next}), {text}, {next})");
        }
        Ok(Typed::new(text, common, shown))
    }

    fn concat_all(&mut self, args: &[&Expr]) -> SqlResult<Typed> {
        let all = args.iter().map(|a| self.expr(a)).collect::<SqlResult<Vec<_>>>()?;
        let shown: Vec<&str> = all.iter().map(|t| t.name.as_str()).collect();
        let shown = format!("concat({})", shown.join(","));
        // NULL counts as nothing, unlike with `||`.
        let texts = all.into_iter().map(|t| self.as_text(t).map(|t| format!("coalesce({t}, '')")));
        let texts = texts.collect::<SqlResult<Vec<_>>>()?;
        Ok(Typed::new(format!("({})", texts.join(" || ")), DataType::Text, shown))
    }

    fn of_text(&mut self, function: &str, shown: &str, arg: &Expr, result: DataType) -> SqlResult<Typed> {
        let arg = self.expr(arg)?;
        let name = format!("{shown}({})", arg.name);
        let text = self.text(arg, &format!("{shown}()"))?;
        Ok(Typed::new(format!("{function}({text})"), result, name))
    }

    fn of_two_texts(
        &mut self,
        function: &str,
        shown: &str,
        a: &Expr,
        b: &Expr,
        result: DataType,
    ) -> SqlResult<Typed> {
        let both = [self.expr(a)?, self.expr(b)?];
        let name = format!("{shown}({},{})", both[0].name, both[1].name);
        let [a, b] = both.map(|t| self.text(t, &format!("{shown}()")));
        Ok(Typed::new(format!("{function}({}, {})", a?, b?), result, name))
    }

    pub(crate) fn strpos(&mut self, text: &Expr, part: &Expr) -> SqlResult<Typed> {
        self.of_two_texts("k_strpos", "strpos", text, part, DataType::Int)
    }

    pub(crate) fn trim(&mut self, name: &str, arg: &Expr, what: Option<&Expr>) -> SqlResult<Typed> {
        let function = if name == "btrim" { "k_trim".to_owned() } else { format!("k_{name}") };
        if let Some(what) = what {
            return self.of_two_texts(&function, name, arg, what, DataType::Text);
        }
        let arg = self.expr(arg)?;
        let shown = format!("{name}({})", arg.name);
        let text = self.text(arg, name)?;
        Ok(Typed::new(format!("{function}({text}, ' ')"), DataType::Text, shown))
    }

    pub(crate) fn substring(&mut self, arg: &Expr, from: &Expr, length: Option<&Expr>) -> SqlResult<Typed> {
        let (arg, from) = (self.expr(arg)?, self.expr(from)?);
        let length = length.map(|l| self.expr(l)).transpose()?;
        let last = length.as_ref().map_or(String::new(), |l| format!(",{}", l.name));
        let shown = format!("substr({},{}{last})", arg.name, from.name);
        let (arg, from) = (self.text(arg, "substr()")?, self.whole(from, "substr()")?);
        let length = match length {
            Some(length) => self.whole(length, "substr()")?,
            None => i64::MAX.to_string(),
        };
        Ok(Typed::new(format!("k_substr({arg}, {from}, {length})"), DataType::Text, shown))
    }

    fn abs(&mut self, arg: &Expr) -> SqlResult<Typed> {
        let arg = self.expr(arg)?;
        let shown = format!("abs({})", arg.name);
        let (text, data_type) = self.finish(arg)?;
        let text = match data_type {
            DataType::Decimal { .. } => format!("k_dabs({text})"),
            _ if data_type.is_number() => format!("abs({text})"),
            other => {
                return Err(SqlError::execution(format!(
                    "Error during planning: abs() needs a number, not {other}"
                )));
            }
        };
        Ok(Typed::new(text, data_type, shown))
    }

    fn round(&mut self, arg: &Expr, digits: Option<&Expr>) -> SqlResult<Typed> {
        let arg = self.expr(arg)?;
        let digits = digits.map(|d| self.expr(d)).transpose()?;
        let last = digits.as_ref().map_or(String::new(), |d| format!(",{}", d.name));
        let shown = format!("round({}{last})", arg.name);
        let digits = digits.map_or(Ok("0".to_owned()), |d| self.whole(d, "round()"))?;
        if let Some(result @ DataType::Decimal { scale, .. }) = arg.data_type() {
            let (text, _) = self.finish(arg)?;
            return Ok(Typed::new(format!("k_dround({text}, {scale} - {digits})"), result, shown));
        }
        let text = self.double(arg, "round()")?;
        Ok(Typed::new(format!("k_round({text}, {digits})"), DataType::Double, shown))
    }

    /// Functions of one number that give a double.
    pub(crate) fn rounding(&mut self, name: &str, arg: &Expr) -> SqlResult<Typed> {
        let arg = self.expr(arg)?;
        let shown = format!("{name}({})", arg.name);
        let text = self.double(arg, &format!("{name}()"))?;
        Ok(Typed::new(format!("k_{name}({text})"), DataType::Double, shown))
    }

    fn double(&mut self, typed: Typed, place: &str) -> SqlResult<String> {
        match typed.data_type() {
            Some(other) if !other.is_number() => Err(SqlError::execution(format!(
                "Error during planning: {place} needs a number, not {other}"
            ))),
            _ => self.coerce(typed, DataType::Double),
        }
    }

    fn whole(&mut self, typed: Typed, place: &str) -> SqlResult<String> {
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
        crate::engine::convert::embedding(&values, to).map_err(|e| super::expr::cast_failed(&e))
    }
}

/// Longest text that nested calls of greatest() and least() may grow to, in bytes: it doubles with every argument.
const MAX_NESTED_TEXT: usize = 20_000;

/// Functions that exist: called with the wrong number of arguments.
const KNOWN: [&str; 36] = [
    "now",
    "current_timestamp",
    "current_user",
    "snowflake_id",
    "uuid_v7",
    "ulid",
    "coalesce",
    "greatest",
    "least",
    "nullif",
    "concat",
    "length",
    "char_length",
    "character_length",
    "octet_length",
    "lower",
    "upper",
    "reverse",
    "trim",
    "btrim",
    "ltrim",
    "rtrim",
    "starts_with",
    "ends_with",
    "contains",
    "strpos",
    "replace",
    "substr",
    "substring",
    "left",
    "right",
    "abs",
    "round",
    "ceil",
    "floor",
    "power",
];

fn wrong_arguments(name: &str, expected: &str) -> SqlError {
    SqlError::execution(format!("Error during planning: {name}() takes {expected}"))
}
