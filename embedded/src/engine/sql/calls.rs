//! The functions that may be called, with their types.

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
};

use super::{
    aggregate, names,
    temporal::literal,
    translator::Translator,
    typed::{Bind, Typed},
};
use crate::engine::{Cell, DataType, SqlError, error::SqlResult};

impl Translator<'_> {
    pub(crate) fn function(&mut self, call: &Function) -> SqlResult<Typed> {
        let Function { name, uses_odbc_syntax, parameters, args, within_group, filter, null_treatment, over } =
            call;
        let refuse = |what: &str| Err(SqlError::unsupported(format_args!("{what} in {name}(...)")));
        let name = names::parts(name)?.join(".");
        if !within_group.is_empty() || null_treatment.is_some() {
            return refuse("WITHIN GROUP or NULLS");
        }
        if *uses_odbc_syntax || !matches!(parameters, FunctionArguments::None) {
            return refuse("this syntax");
        }
        let empty = FunctionArgumentList { duplicate_treatment: None, args: Vec::new(), clauses: Vec::new() };
        let list = match args {
            FunctionArguments::None => &empty,
            FunctionArguments::List(list) => list,
            FunctionArguments::Subquery(_) => return refuse("a sub-query without parentheses"),
        };
        if aggregate::is_aggregate(&name) {
            return self.aggregate(&name, list, filter.as_deref(), over.as_ref());
        }
        if filter.is_some() || !list.clauses.is_empty() {
            return refuse("FILTER or ORDER BY");
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
        match over {
            Some(over) => self.window_function(&name, &args, over),
            None => self.scalar(&name, &args),
        }
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
            ("current_date" | "today", []) => {
                self.refuse_in_live(name)?;
                let now = self.bind(Bind::Now);
                let day = format!("k_idiv({now}, {}, 64)", crate::engine::time::DAY_MICROS);
                Ok(Typed::new(day, DataType::Date, "current_date()".into()))
            }
            ("date_trunc" | "datetrunc", [field, from]) => self.date_trunc(field, from),
            ("date_part" | "datepart", [field, from]) => match literal(field) {
                Some(field) => self.extract(&field, from),
                None => Err(wrong_arguments(name, "the part's name in quotes")),
            },
            ("date_bin", [stride, from]) => self.date_bin(stride, from, None),
            ("date_bin", [stride, from, origin]) => self.date_bin(stride, from, Some(origin)),
            ("to_char" | "date_format", [value, format]) => self.date_text(name, value, format),
            ("to_timestamp" | "to_timestamp_seconds" | "from_unixtime", [value]) => {
                self.timestamp_of(name, value, 1_000_000)
            }
            ("to_timestamp_millis", [value]) => self.timestamp_of(name, value, 1_000),
            ("to_timestamp_micros", [value]) => self.timestamp_of(name, value, 1),
            ("to_date", [value]) => self.date_of(value),
            ("make_date", [y, m, d]) => self.make_date([y, m, d]),
            ("to_unixtime", [value]) => self.seconds_of(value),
            ("json_array_length" | "jsonb_array_length", [arg]) => {
                self.of_json("k_json_length", name, arg, DataType::Int)
            }
            ("json_typeof" | "jsonb_typeof", [arg]) => self.of_json("k_json_type", name, arg, DataType::Text),
            ("regexp_like", [a, b]) => self.regexp(name, "k_regexp_like", &[a, b], None, DataType::Boolean),
            ("regexp_like", [a, b, flags]) => {
                self.regexp(name, "k_regexp_like", &[a, b], Some(flags), DataType::Boolean)
            }
            ("regexp_replace", [a, b, c]) => {
                self.regexp(name, "k_regexp_replace", &[a, b, c], None, DataType::Text)
            }
            ("regexp_replace", [a, b, c, flags]) => {
                self.regexp(name, "k_regexp_replace", &[a, b, c], Some(flags), DataType::Text)
            }
            ("regexp_count", [a, b]) => self.of_two_texts("k_regexp_count", name, a, b, DataType::BigInt),
            ("lpad" | "rpad", [text, length]) => self.pad(name, text, length, None),
            ("lpad" | "rpad", [text, length, fill]) => self.pad(name, text, length, Some(fill)),
            ("repeat", [text, n]) => {
                let (text, n) = (self.expr(text)?, self.expr(n)?);
                let shown = format!("repeat({},{})", text.name, n.name);
                let (text, n) = (self.text(text, name)?, self.whole(n, name)?);
                Ok(Typed::new(format!("k_repeat({text}, {n})"), DataType::Text, shown))
            }
            ("split_part", [text, by, n]) => {
                let (text, by, n) = (self.expr(text)?, self.expr(by)?, self.expr(n)?);
                let shown = format!("split_part({},{},{})", text.name, by.name, n.name);
                let (text, by, n) = (self.text(text, name)?, self.text(by, name)?, self.whole(n, name)?);
                Ok(Typed::new(format!("k_split_part({text}, {by}, {n})"), DataType::Text, shown))
            }
            ("initcap", [arg]) => self.of_text("k_initcap", name, arg, DataType::Text),
            ("ascii", [arg]) => self.of_text("k_ascii", name, arg, DataType::Int),
            ("bit_length", [arg]) => {
                let typed = self.of_text("k_octets", name, arg, DataType::Int)?;
                let text = self.coerce(typed.clone(), DataType::Int)?;
                Ok(Typed::new(format!("({text} * 8)"), DataType::Int, typed.name))
            }
            ("chr" | "to_hex", [arg]) => {
                let arg = self.expr(arg)?;
                let shown = format!("{name}({})", arg.name);
                let arg = self.whole(arg, name)?;
                let function = if name == "chr" { "k_chr" } else { "k_hex" };
                Ok(Typed::new(format!("{function}({arg})"), DataType::Text, shown))
            }
            ("translate", [a, b, c]) => {
                let all = [self.expr(a)?, self.expr(b)?, self.expr(c)?];
                let shown = format!("translate({},{},{})", all[0].name, all[1].name, all[2].name);
                let [a, b, c] = all.map(|t| self.text(t, "translate()"));
                Ok(Typed::new(format!("k_translate({}, {}, {})", a?, b?, c?), DataType::Text, shown))
            }
            ("overlay", [text, new, from]) => self.overlay(text, new, from, None),
            ("overlay", [text, new, from, length]) => self.overlay(text, new, from, Some(length)),
            ("concat_ws", [separator, first, rest @ ..]) => {
                let separator = self.expr(separator)?;
                let separator = self.text(separator, name)?;
                let mut parts = Vec::new();
                for arg in std::iter::once(first).chain(rest) {
                    let typed = self.expr(arg)?;
                    parts.push(self.as_text(typed)?);
                }
                Ok(Typed::new(
                    format!("concat_ws({separator}, {})", parts.join(", ")),
                    DataType::Text,
                    name.into(),
                ))
            }
            ("log", [x]) => self.rounding("log10", x),
            (
                "cbrt" | "degrees" | "radians" | "sin" | "cos" | "tan" | "asin" | "acos" | "atan" | "tanh",
                [x],
            ) => self.rounding(name, x),
            ("atan2" | "log", [a, b]) => {
                let both = [self.expr(a)?, self.expr(b)?];
                let shown = format!("{name}({},{})", both[0].name, both[1].name);
                let [a, b] = both.map(|t| self.double(t, name));
                Ok(Typed::new(format!("k_{name}({}, {})", a?, b?), DataType::Double, shown))
            }
            ("gcd" | "lcm", [a, b]) => {
                let both = [self.expr(a)?, self.expr(b)?];
                let shown = format!("{name}({},{})", both[0].name, both[1].name);
                let [a, b] = both.map(|t| self.whole(t, name));
                Ok(Typed::new(format!("k_{name}({}, {})", a?, b?), DataType::BigInt, shown))
            }
            ("trunc", [x, digits]) => {
                let (x, digits) = (self.expr(x)?, self.expr(digits)?);
                let shown = format!("trunc({},{})", x.name, digits.name);
                let (x, digits) = (self.double(x, name)?, self.whole(digits, name)?);
                Ok(Typed::new(format!("k_trunc_digits({x}, {digits})"), DataType::Double, shown))
            }
            ("pi", []) => {
                let pi = self.bind(Bind::Cell(Cell::Double(std::f64::consts::PI)));
                Ok(Typed::new(pi, DataType::Double, "pi()".into()))
            }
            ("random", []) => {
                self.refuse_in_live("random")?;
                Ok(Typed::new("k_random()".into(), DataType::Double, "random()".into()))
            }
            ("cosine_distance", [a, b]) => {
                let both = [self.expr(a)?, self.expr(b)?];
                let shown = format!("cosine_distance({},{})", both[0].name, both[1].name);
                let data_type = both.iter().find_map(|t| match t.data_type() {
                    Some(data_type @ DataType::Embedding(_)) => Some(data_type),
                    _ => None,
                });
                let Some(data_type) = data_type else {
                    return Err(SqlError::execution(
                        "Error during planning: cosine_distance() needs an EMBEDDING column and another vector",
                    ));
                };
                self.unify(&both)?;
                let [a, b] = both.map(|t| self.coerce(t, data_type));
                Ok(Typed::new(format!("k_cosine_distance({}, {})", a?, b?), DataType::Double, shown))
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
}

/// Longest text that nested calls of greatest() and least() may grow to, in bytes: it doubles with every argument.
const MAX_NESTED_TEXT: usize = 20_000;

/// Functions that exist: called with the wrong number of arguments.
const KNOWN: &[&str] = &[
    "now",
    "current_timestamp",
    "current_date",
    "current_user",
    "snowflake_id",
    "uuid_v7",
    "ulid",
    "coalesce",
    "greatest",
    "least",
    "nullif",
    "concat",
    "concat_ws",
    "length",
    "char_length",
    "character_length",
    "octet_length",
    "bit_length",
    "lower",
    "upper",
    "initcap",
    "reverse",
    "trim",
    "btrim",
    "ltrim",
    "rtrim",
    "lpad",
    "rpad",
    "repeat",
    "split_part",
    "starts_with",
    "ends_with",
    "contains",
    "strpos",
    "replace",
    "translate",
    "overlay",
    "substr",
    "substring",
    "left",
    "right",
    "ascii",
    "chr",
    "to_hex",
    "abs",
    "round",
    "ceil",
    "floor",
    "trunc",
    "power",
    "sqrt",
    "exp",
    "ln",
    "log",
    "log10",
    "log2",
    "sign",
    "mod",
    "gcd",
    "lcm",
    "pi",
    "random",
    "cosine_distance",
    "date_trunc",
    "date_part",
    "date_bin",
    "to_char",
    "date_format",
    "to_timestamp",
    "to_timestamp_millis",
    "to_timestamp_micros",
    "to_date",
    "make_date",
    "to_unixtime",
    "from_unixtime",
    "regexp_like",
    "regexp_replace",
    "regexp_count",
    "json_array_length",
    "json_typeof",
];

pub(super) fn wrong_arguments(name: &str, expected: &str) -> SqlError {
    SqlError::execution(format!("Error during planning: {name}() takes {expected}"))
}
