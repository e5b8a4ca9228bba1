//! Expressions: checked, typed, and written for SQLite.

use std::fmt::Write as _;

use sqlparser::ast::{self, BinaryOperator, CaseWhen, CastKind, Expr, InTarget, UnaryOperator, Value};

use super::{
    conversion::cast_failed,
    names,
    translator::Translator,
    typed::{Bind, Literal, ParamKind, Sql, Typed},
    types,
};
use crate::engine::{Cell, DataType, SqlError, convert, error::SqlResult, interval::Interval};

impl Translator<'_> {
    /// An expression with a value that can be returned, stored and compared.
    pub(crate) fn expr(&mut self, expr: &Expr) -> SqlResult<Typed> {
        let typed = self.any_expr(expr)?;
        match typed.sql {
            Sql::Interval(_) | Sql::Span(_) => Err(SqlError::unsupported(format_args!(
                "the interval {} here: add it to a timestamp, compare it with another, or take extract(epoch FROM ...)",
                shorten(&expr.to_string())
            ))),
            _ => Ok(typed),
        }
    }

    /// An expression that may be an interval too.
    pub(crate) fn any_expr(&mut self, expr: &Expr) -> SqlResult<Typed> {
        let frame = self.frame();
        if let Some(grouping) = &frame.grouping
            && !frame.in_aggregate
            && !grouping.texts.is_empty()
            && grouping.texts.contains(&expr.to_string())
        {
            // A grouped expression: its columns may stand here, in this expression only.
            let grouping = self.frame_mut().grouping.take();
            let typed = self.expr(expr);
            self.frame_mut().grouping = grouping;
            return typed;
        }
        match expr {
            Expr::Identifier(ident) => self.column(&[names::ident(ident)]),
            Expr::CompoundIdentifier(idents) => {
                self.column(&idents.iter().map(names::ident).collect::<Vec<_>>())
            }
            Expr::Nested(inner) => self.any_expr(inner),
            Expr::Interval(interval) => interval_literal(interval),
            Expr::Value(value) => self.value(&value.value),
            Expr::TypedString(typed) if !typed.uses_odbc_syntax => {
                let (data_type, _) = types::column_type(&typed.data_type)?;
                let Value::SingleQuotedString(text) = &typed.value.value else {
                    return Err(SqlError::unsupported(typed));
                };
                let cell = convert::from_text(text, data_type).map_err(|e| cast_failed(&e))?;
                let name = format!("Utf8(\"{text}\")");
                Ok(Typed::new(self.bind(Bind::Cell(cell)), data_type, name))
            }
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::IsNull(inner) => self.is(inner, "IS NULL", "IS NULL", false),
            Expr::IsNotNull(inner) => self.is(inner, "IS NOT NULL", "IS NOT NULL", false),
            Expr::IsTrue(inner) => self.is(inner, "IS TRUE", "IS TRUE", true),
            Expr::IsNotTrue(inner) => self.is(inner, "IS NOT TRUE", "IS NOT TRUE", true),
            Expr::IsFalse(inner) => self.is(inner, "IS FALSE", "IS FALSE", true),
            Expr::IsNotFalse(inner) => self.is(inner, "IS NOT FALSE", "IS NOT FALSE", true),
            Expr::IsUnknown(inner) => self.is(inner, "IS NULL", "IS UNKNOWN", true),
            Expr::IsNotUnknown(inner) => self.is(inner, "IS NOT NULL", "IS NOT UNKNOWN", true),
            Expr::IsDistinctFrom(a, b) => self.comparison(a, "IS NOT", "IS DISTINCT FROM", b),
            Expr::IsNotDistinctFrom(a, b) => self.comparison(a, "IS", "IS NOT DISTINCT FROM", b),
            Expr::In { expr, target: InTarget::List(list), negated, global: false } => {
                self.in_list(expr, list, *negated)
            }
            Expr::Between { expr, negated, low, high } => self.between(expr, *negated, low, high),
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_deref(), *negated, false)
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_deref(), *negated, true)
            }
            Expr::Cast { expr, data_type: ast::DataType::Interval { .. }, format: None, .. } => {
                match self.expr(expr)?.sql {
                    Sql::Literal(Literal::Text(text)) => interval_of(&text),
                    _ => Err(SqlError::unsupported("a cast to INTERVAL of anything but a text literal")),
                }
            }
            Expr::Cast { kind, expr, data_type, format: None } => {
                let (to, _) = types::column_type(data_type)?;
                self.cast(expr, to, *kind != CastKind::Cast && *kind != CastKind::DoubleColon)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Function(function) => self.function(function),
            Expr::Ceil { expr, field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
                self.rounding("ceil", expr)
            }
            Expr::Floor {
                expr,
                field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime),
            } => self.rounding("floor", expr),
            Expr::Substring { expr, substring_from: Some(from), substring_for, .. } => {
                self.substring(expr, from, substring_for.as_deref())
            }
            Expr::Trim { expr, trim_where, trim_what, trim_characters: None } => {
                use sqlparser::ast::TrimWhereField as W;
                let name = match trim_where {
                    None | Some(W::Both) => "btrim",
                    Some(W::Leading) => "ltrim",
                    Some(W::Trailing) => "rtrim",
                };
                self.trim(name, expr, trim_what.as_deref())
            }
            Expr::Position { expr, r#in } => self.strpos(r#in, expr),
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.overlay(expr, overlay_what, overlay_from, overlay_for.as_deref())
            }
            Expr::Extract { field, expr, .. } => self.extract(&field.to_string(), expr),
            Expr::AtTimeZone { timestamp, time_zone } if is_utc(time_zone) => {
                let timestamp = self.expr(timestamp)?;
                let name = timestamp.name.clone();
                let text = self.timestamp(timestamp, "AT TIME ZONE")?;
                Ok(Typed::new(text, DataType::Timestamp, name))
            }
            Expr::Subquery(query) => self.scalar_subquery(query),
            Expr::Exists { subquery, negated } => self.exists(subquery, *negated),
            Expr::In { expr, target: InTarget::Subquery(query), negated, global: false } => {
                self.in_subquery(expr, query, *negated)
            }
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => match &**right {
                Expr::Subquery(query) => self.in_subquery(left, query, false),
                _ => Err(SqlError::unsupported("ANY of anything but a sub-query")),
            },
            Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => match &**right {
                Expr::Subquery(query) => self.in_subquery(left, query, true),
                _ => Err(SqlError::unsupported("ALL of anything but a sub-query")),
            },
            other => {
                Err(SqlError::unsupported(format_args!("the expression {}", shorten(&other.to_string()))))
            }
        }
    }

    fn column(&mut self, parts: &[String]) -> SqlResult<Typed> {
        for depth in (self.seen_from..self.frames.len()).rev() {
            if let Some(position) = self.frames[depth].scope.find(parts)? {
                return self.column_at(depth, position);
            }
        }
        Err(self.frame().scope.no_field(&parts.join(".")))
    }

    /// A column of the innermost SELECT.
    pub(crate) fn own_column(&mut self, position: usize) -> SqlResult<Typed> {
        self.column_at(self.frames.len() - 1, position)
    }

    fn column_at(&mut self, depth: usize, position: usize) -> SqlResult<Typed> {
        let own = depth + 1 == self.frames.len();
        if self.frames[depth + 1..].iter().any(|inner| inner.in_aggregate) {
            return Err(SqlError::unsupported("an aggregate of a column of an outer query"));
        }
        let frame = &mut self.frames[depth];
        let Some((relation, column)) = frame.scope.column(position) else {
            return Err(SqlError::internal("a column that is not there"));
        };
        let name = format!("{}.{}", relation.prefix(), column.name);
        if let Some(grouping) = &frame.grouping
            && !frame.in_aggregate
            && !grouping.columns.contains(&position)
        {
            return Err(SqlError::execution(format!(
                "Execution error: Error during planning: Column in SELECT must be in GROUP BY or an aggregate \
                 function: column \"{name}\" must appear in the GROUP BY clause or must be part of an aggregate function"
            )));
        }
        let typed = match column.untyped {
            true => Typed { name, ..Typed::null("NULL") },
            false => Typed::new(column.sqlite.clone(), column.data_type, name),
        };
        if !frame.read.contains(&position) {
            frame.read.push(position);
        }
        if self.live {
            let text = self.bind(Bind::Column(position));
            return Ok(match typed.sql {
                Sql::Text(_, data_type) => {
                    Typed { column: Some(position), ..Typed::new(text, data_type, typed.name) }
                }
                _ => typed,
            });
        }
        Ok(Typed { column: own.then_some(position), ..typed })
    }

    fn value(&mut self, value: &Value) -> SqlResult<Typed> {
        Ok(match value {
            Value::Number(text, false) => {
                if text.parse::<f64>().is_ok_and(f64::is_infinite) {
                    return Err(SqlError::execution("Execution error: the number is too large"));
                }
                number(text.clone())
            }
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
                if text.contains('\0') {
                    return Err(SqlError::invalid("the text contains a NUL character"));
                }
                Typed::literal(Literal::Text(text.clone()), format!("Utf8(\"{text}\")"))
            }
            Value::HexStringLiteral(text) => {
                let digits = text.as_bytes().chunks(2).map(|pair| {
                    std::str::from_utf8(pair)
                        .ok()
                        .filter(|p| p.len() == 2)
                        .and_then(|p| u8::from_str_radix(p, 16).ok())
                });
                let bytes = digits.collect::<Option<Vec<u8>>>();
                let bytes =
                    bytes.ok_or_else(|| SqlError::invalid("X'...' takes pairs of hexadecimal digits"))?;
                let name = format!("Binary(\"{text}\")");
                Typed::new(self.bind(Bind::Cell(Cell::Bytes(bytes.into()))), DataType::Bytes, name)
            }
            Value::Boolean(value) => {
                // Not 1 and 0, which ORDER BY and GROUP BY would take for positions.
                let text = if *value { "TRUE" } else { "FALSE" };
                Typed::new(text.into(), DataType::Boolean, format!("Boolean({value})"))
            }
            Value::Null => Typed::null("NULL"),
            Value::Placeholder(text) => self.param(text)?,
            other => {
                return Err(SqlError::unsupported(format_args!(
                    "the literal {}",
                    shorten(&other.to_string())
                )));
            }
        })
    }

    fn param(&mut self, text: &str) -> SqlResult<Typed> {
        let index = text.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()).filter(|n| *n > 0);
        let Some(index) = index else {
            return Err(SqlError::unsupported(format_args!("the placeholder {text}: write $1, $2, ...")));
        };
        // Recorded in wire/sql_surface.jsonl.
        let kind = *self.params.get(index - 1).ok_or_else(|| {
            SqlError::execution(format!(
                "Execution error: Execution error: Placeholder '{text}' was not provided a value for execution."
            ))
        })?;
        Ok(match kind {
            ParamKind::Null => Typed::null(text),
            ParamKind::Bool => {
                let bound = self.bind(Bind::Param { index, data_type: DataType::Boolean });
                Typed::new(bound, DataType::Boolean, text.into())
            }
            kind => Typed::literal(Literal::Param { index, kind }, text.into()),
        })
    }

    fn unary(&mut self, op: UnaryOperator, inner: &Expr) -> SqlResult<Typed> {
        match op {
            UnaryOperator::Not => {
                let inner = self.expr(inner)?;
                let name = format!("NOT {}", inner.name);
                let text = self.boolean(inner, "NOT")?;
                Ok(Typed::new(format!("(NOT {text})"), DataType::Boolean, name))
            }
            UnaryOperator::Plus => self.numeric(inner),
            UnaryOperator::Minus => {
                if let Sql::Interval(interval) = self.any_expr(inner)?.sql {
                    return Ok(Typed { sql: Sql::Interval(interval.negated()), ..Typed::null("interval") });
                }
                let inner = self.numeric(inner)?;
                if let Sql::Literal(Literal::Number(text)) = &inner.sql {
                    let negated = match text.strip_prefix('-') {
                        Some(positive) => positive.to_owned(),
                        None => format!("-{text}"),
                    };
                    return Ok(number(negated));
                }
                let name = format!("(- {})", inner.name);
                let negated = self.subtract_from_zero(inner)?;
                Ok(Typed { name, ..negated })
            }
            _ => Err(SqlError::unsupported(format_args!("the operator {op}"))),
        }
    }

    fn numeric(&mut self, inner: &Expr) -> SqlResult<Typed> {
        let inner = self.expr(inner)?;
        match inner.data_type() {
            Some(data_type) if !data_type.is_number() => Err(SqlError::execution(format!(
                "Error during planning: a sign needs a number, not {data_type}"
            ))),
            _ => Ok(inner),
        }
    }

    fn is(&mut self, inner: &Expr, sqlite: &str, shown: &str, boolean: bool) -> SqlResult<Typed> {
        let inner = self.expr(inner)?;
        let name = format!("{} {shown}", inner.name);
        let text = if boolean { self.boolean(inner, shown)? } else { self.finish(inner)?.0 };
        Ok(Typed::new(format!("({text} {sqlite})"), DataType::Boolean, name))
    }

    fn in_list(&mut self, left: &Expr, list: &[Expr], negated: bool) -> SqlResult<Typed> {
        let mut all = vec![self.expr(left)?];
        for item in list {
            all.push(self.expr(item)?);
        }
        let not = if negated { "NOT " } else { "" };
        let shown: Vec<&str> = all[1..].iter().map(|t| t.name.as_str()).collect();
        let name = format!("{} {not}IN ([{}])", all[0].name, shown.join(", "));
        let common = self.unify(&all)?;
        let mut texts = all.into_iter().map(|t| self.coerce(t, common)).collect::<SqlResult<Vec<_>>>()?;
        let left = texts.remove(0);
        Ok(Typed::new(format!("({left} {not}IN ({}))", texts.join(",")), DataType::Boolean, name))
    }

    fn between(&mut self, value: &Expr, negated: bool, low: &Expr, high: &Expr) -> SqlResult<Typed> {
        let all = [self.expr(value)?, self.expr(low)?, self.expr(high)?];
        let not = if negated { "NOT " } else { "" };
        let name = format!("{} {not}BETWEEN {} AND {}", all[0].name, all[1].name, all[2].name);
        let common = self.unify(&all)?;
        let [value, low, high] = all.map(|t| self.coerce(t, common));
        Ok(Typed::new(format!("({} {not}BETWEEN {} AND {})", value?, low?, high?), DataType::Boolean, name))
    }

    pub(crate) fn like(
        &mut self,
        value: &Expr,
        pattern: &Expr,
        escape: Option<&Expr>,
        negated: bool,
        ignore_case: bool,
    ) -> SqlResult<Typed> {
        let (value, pattern) = (self.expr(value)?, self.expr(pattern)?);
        let (not, op) = (if negated { "NOT " } else { "" }, if ignore_case { "ILIKE" } else { "LIKE" });
        let name = format!("{} {not}{op} {}", value.name, pattern.name);
        let escape = match escape {
            None => "\\".to_owned(),
            Some(Expr::Value(v)) => match &v.value {
                Value::SingleQuotedString(s) if s.chars().count() <= 1 => s.clone(),
                _ => return Err(SqlError::invalid("ESCAPE takes one character")),
            },
            Some(_) => return Err(SqlError::invalid("ESCAPE takes one character")),
        };
        let (value, pattern) = (self.text(value, op)?, self.text(pattern, op)?);
        let escape = self.bind(Bind::Cell(Cell::Text(escape.into())));
        let text = format!("({not}k_like({value}, {pattern}, {escape}, {}))", u8::from(ignore_case));
        Ok(Typed::new(text, DataType::Boolean, name))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> SqlResult<Typed> {
        let (mut tests, mut results, mut name) = (Vec::new(), Vec::new(), String::from("CASE "));
        if let Some(operand) = operand {
            let _ = write!(name, "{} ", self.expr(operand)?.name);
        }
        for CaseWhen { condition, result } in conditions {
            let test = match operand {
                Some(operand) => {
                    let test = self.comparison(operand, "=", "=", condition)?;
                    let shown = self.expr(condition)?.name;
                    Typed { name: shown, ..test }
                }
                None => self.expr(condition)?,
            };
            let result = self.expr(result)?;
            let _ = write!(name, "WHEN {} THEN {} ", test.name, result.name);
            tests.push(self.boolean(test, "WHEN")?);
            results.push(result);
        }
        if let Some(otherwise) = otherwise {
            let otherwise = self.expr(otherwise)?;
            let _ = write!(name, "ELSE {} ", otherwise.name);
            results.push(otherwise);
        }
        name.push_str("END");
        let common = self.unify(&results)?;
        let mut text = String::from("(CASE");
        let mut results = results.into_iter();
        for test in tests {
            let result = results.next().map(|r| self.coerce(r, common)).transpose()?.unwrap_or_default();
            let _ = write!(text, " WHEN {test} THEN {result}");
        }
        if let Some(result) = results.next() {
            let _ = write!(text, " ELSE {}", self.coerce(result, common)?);
        }
        text.push_str(" END)");
        Ok(Typed::new(text, common, name))
    }
}

fn interval_literal(written: &ast::Interval) -> SqlResult<Typed> {
    let ast::Interval { value, leading_field, leading_precision: None, last_field: None, .. } = written
    else {
        return Err(SqlError::unsupported(format_args!("{written}")));
    };
    let text = match &**value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => text.clone(),
            _ => return Err(SqlError::unsupported(format_args!("{written}"))),
        },
        _ => return Err(SqlError::unsupported(format_args!("{written}: an interval is a literal"))),
    };
    match leading_field {
        Some(field) => interval_of(&format!("{text} {field}")),
        None => interval_of(&text),
    }
}

fn interval_of(text: &str) -> SqlResult<Typed> {
    let interval = Interval::parse(text).ok_or_else(|| {
        SqlError::execution(format!(
            "Arrow error: Parser error: Invalid input syntax for type interval: \"{}\": write '1 day', '2 hours 30 \
             minutes' or '1 month'",
            shorten(text)
        ))
    })?;
    Ok(Typed { sql: Sql::Interval(interval), name: format!("Interval(\"{text}\")"), column: None })
}

fn is_utc(zone: &Expr) -> bool {
    matches!(zone, Expr::Value(v) if matches!(&v.value, Value::SingleQuotedString(s)
        if s.eq_ignore_ascii_case("utc") || s == "+00:00"))
}

fn number(text: String) -> Typed {
    let kind = if text.parse::<i64>().is_ok() { "Int64" } else { "Float64" };
    let name = format!("{kind}({text})");
    Typed::literal(Literal::Number(text), name)
}

/// The start of a text that may be long, for a message.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}
