//! Binary operators: AND and OR, comparisons, arithmetic, `||`.

use sqlparser::ast::{BinaryOperator as Op, Expr};

use super::{
    temporal::{is_interval, is_temporal, span_text},
    translator::Translator,
    typed::{Literal, Sql, Typed},
    types,
};
use crate::engine::{DataType, SqlError, decimal::MAX_PRECISION, error::SqlResult};

/// Digits that a decimal quotient has more than its dividend (arrow's rule, as PostgreSQL's and MySQL's).
const QUOTIENT_DIGITS: u8 = 4;

impl Translator<'_> {
    pub(crate) fn binary(&mut self, left: &Expr, op: &Op, right: &Expr) -> SqlResult<Typed> {
        match op {
            Op::And | Op::Or => self.logical(left, op, right),
            Op::Eq => self.comparison(left, "=", "=", right),
            Op::NotEq => self.comparison(left, "<>", "!=", right),
            Op::Lt => self.comparison(left, "<", "<", right),
            Op::LtEq => self.comparison(left, "<=", "<=", right),
            Op::Gt => self.comparison(left, ">", ">", right),
            Op::GtEq => self.comparison(left, ">=", ">=", right),
            Op::StringConcat => self.concat(left, right),
            Op::Plus | Op::Minus => {
                let both = [self.any_expr(left)?, self.any_expr(right)?];
                if both.iter().any(is_temporal) {
                    return self.temporal(both, op);
                }
                let [left, right] = both;
                self.arithmetic(left, op, right)
            }
            Op::Multiply | Op::Divide | Op::Modulo => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                self.arithmetic(left, op, right)
            }
            Op::BitwiseAnd => self.bits(left, "&", "k_and", right),
            Op::BitwiseOr => self.bits(left, "|", "k_or", right),
            Op::PGBitwiseXor => self.bits(left, "#", "k_xor", right),
            Op::PGBitwiseShiftLeft => self.bits(left, "<<", "k_shl", right),
            Op::PGBitwiseShiftRight => self.bits(left, ">>", "k_shr", right),
            Op::PGRegexMatch => self.regex_match(left, "~", "k_match", right),
            Op::PGRegexIMatch => self.regex_match(left, "~*", "k_imatch", right),
            Op::PGRegexNotMatch => self.regex_match(left, "!~", "NOT k_match", right),
            Op::PGRegexNotIMatch => self.regex_match(left, "!~*", "NOT k_imatch", right),
            Op::PGLikeMatch => self.like(left, right, None, false, false),
            Op::PGNotLikeMatch => self.like(left, right, None, true, false),
            Op::PGILikeMatch => self.like(left, right, None, false, true),
            Op::PGNotILikeMatch => self.like(left, right, None, true, true),
            Op::PGStartsWith => self.of_two_texts("k_starts", "starts_with", left, right, DataType::Boolean),
            Op::Arrow => self.json_get(left, "->", right),
            Op::LongArrow => self.json_get(left, "->>", right),
            Op::HashArrow => self.json_path(left, "#>", right),
            Op::HashLongArrow => self.json_path(left, "#>>", right),
            Op::AtArrow => self.json_test(left, "@>", "k_json_contains", right, true),
            Op::ArrowAt => self.json_test(right, "<@", "k_json_contains", left, true),
            Op::Question => self.json_test(left, "?", "k_json_has", right, false),
            Op::PGExp | Op::BitwiseXor => Err(SqlError::unsupported(
                "the operator ^, which is a power in PostgreSQL and an exclusive or in KalamDB: use power() or #",
            )),
            _ => Err(SqlError::unsupported(format_args!("the operator {op}"))),
        }
    }

    /// A chain of ANDs (or ORs) is a tree that is deep on the left: walked in a loop, so that its length costs no stack.
    fn logical(&mut self, left: &Expr, op: &Op, right: &Expr) -> SqlResult<Typed> {
        let (mut terms, mut first) = (vec![right], left);
        while let Expr::BinaryOp { left, op: inner, right } = first
            && inner == op
        {
            terms.push(right);
            first = left;
        }
        terms.push(first);
        let word = if *op == Op::And { "AND" } else { "OR" };
        let (mut texts, mut shown) = (Vec::with_capacity(terms.len()), Vec::with_capacity(terms.len()));
        for term in terms.into_iter().rev() {
            let term = self.expr(term)?;
            shown.push(term.name.clone());
            texts.push(self.boolean(term, word)?);
        }
        let separator = format!(" {word} ");
        Ok(Typed::new(format!("({})", texts.join(&separator)), DataType::Boolean, shown.join(&separator)))
    }

    pub(crate) fn comparison(
        &mut self,
        left: &Expr,
        sqlite: &str,
        shown: &str,
        right: &Expr,
    ) -> SqlResult<Typed> {
        let both = [self.any_expr(left)?, self.any_expr(right)?];
        self.compare(both, sqlite, shown)
    }

    pub(crate) fn compare(&mut self, both: [Typed; 2], sqlite: &str, shown: &str) -> SqlResult<Typed> {
        let name = format!("{} {shown} {}", both[0].name, both[1].name);
        if both.iter().any(is_interval) {
            let [left, right] = both.map(span_text);
            return Ok(Typed::new(format!("({} {sqlite} {})", left?, right?), DataType::Boolean, name));
        }
        let common = self.unify(&both)?;
        if matches!(common, DataType::Embedding(_)) && !matches!(sqlite, "=" | "<>") {
            return Err(SqlError::unsupported("ordering embeddings"));
        }
        let [left, right] = both.map(|t| self.coerce(t, common));
        Ok(Typed::new(format!("({} {sqlite} {})", left?, right?), DataType::Boolean, name))
    }

    fn concat(&mut self, left: &Expr, right: &Expr) -> SqlResult<Typed> {
        let both = [self.expr(left)?, self.expr(right)?];
        let name = format!("{} || {}", both[0].name, both[1].name);
        let [left, right] = both.map(|t| self.as_text(t));
        Ok(Typed::new(format!("({} || {})", left?, right?), DataType::Text, name))
    }

    /// Any value in its text form, for `||` and concat().
    pub(crate) fn as_text(&mut self, typed: Typed) -> SqlResult<String> {
        let (text, from) = self.finish(typed)?;
        self.coerce(Typed::new(text, from, String::new()), DataType::Text)
    }

    fn bits(&mut self, left: &Expr, shown: &str, function: &str, right: &Expr) -> SqlResult<Typed> {
        let both = [self.expr(left)?, self.expr(right)?];
        let name = format!("{} {shown} {}", both[0].name, both[1].name);
        let common = self.unify(&both)?;
        if !common.is_integer() {
            return Err(SqlError::execution(format!(
                "Error during planning: {shown} needs whole numbers, not {common}"
            )));
        }
        let [left, right] = both.map(|t| self.coerce(t, common));
        let bits = types::integer_bits(common);
        Ok(Typed::new(format!("{function}({}, {}, {bits})", left?, right?), common, name))
    }

    fn regex_match(&mut self, left: &Expr, shown: &str, function: &str, right: &Expr) -> SqlResult<Typed> {
        let both = [self.expr(left)?, self.expr(right)?];
        let name = format!("{} {shown} {}", both[0].name, both[1].name);
        let [text, pattern] = both.map(|t| self.text(t, shown));
        Ok(Typed::new(format!("({function}({}, {}))", text?, pattern?), DataType::Boolean, name))
    }

    pub(crate) fn subtract_from_zero(&mut self, typed: Typed) -> SqlResult<Typed> {
        let zero =
            Typed { sql: Sql::Literal(Literal::Number("0".into())), name: String::new(), column: None };
        match typed.data_type() {
            // A literal zero would widen the type.
            Some(data_type) if data_type.is_integer() => {
                let (text, _) = self.finish(typed)?;
                let bits = types::integer_bits(data_type);
                Ok(Typed::new(format!("k_isub(0, {text}, {bits})"), data_type, String::new()))
            }
            _ => self.arithmetic(zero, &Op::Minus, typed),
        }
    }

    pub(crate) fn arithmetic(&mut self, left: Typed, op: &Op, right: Typed) -> SqlResult<Typed> {
        let name = format!("{} {op} {}", left.name, right.name);
        for side in [&left, &right] {
            if let Some(other) = side.data_type().filter(|t| !t.is_number()) {
                let what = format!("{op} with {other}");
                return Err(SqlError::execution(format!(
                    "Error during planning: {what}: arithmetic needs numbers"
                )));
            }
        }
        let both = [left, right];
        let common = self.unify(&both)?;
        let decimals =
            both.iter().any(|t| t.data_type().is_some_and(DataType::is_decimal)) && common.is_decimal();
        if both.iter().all(|t| t.sql == Sql::Null) {
            return Ok(Typed { name, ..Typed::new("NULL".into(), DataType::BigInt, String::new()) });
        }
        if decimals {
            return self.decimal_arithmetic(both, op, name);
        }
        let [left, right] = both.map(|t| self.coerce(t, common));
        let (left, right) = (left?, right?);
        if common.is_integer() {
            let function = match op {
                Op::Plus => "k_iadd",
                Op::Minus => "k_isub",
                Op::Multiply => "k_imul",
                Op::Divide => "k_idiv",
                _ => "k_imod",
            };
            let bits = types::integer_bits(common);
            return Ok(Typed::new(format!("{function}({left}, {right}, {bits})"), common, name));
        }
        let text = match op {
            Op::Divide => format!("k_fdiv({left}, {right})"),
            Op::Modulo => format!("k_fmod({left}, {right})"),
            _ => format!("({left} {op} {right})"),
        };
        Ok(floating(text, common, name))
    }

    fn decimal_arithmetic(&mut self, both: [Typed; 2], op: &Op, name: String) -> SqlResult<Typed> {
        let own = both.each_ref().map(|t| match &t.sql {
            Sql::Literal(literal) => literal.as_decimal(),
            _ => t.data_type().map(|d| if d.is_integer() { types::integer_as_decimal(d) } else { d }),
        });
        let fallback = own[0].or(own[1]).unwrap_or(DataType::Decimal { precision: MAX_PRECISION, scale: 0 });
        let [a, b] = own.map(|t| t.unwrap_or(fallback));
        let (DataType::Decimal { precision: p1, scale: s1 }, DataType::Decimal { precision: p2, scale: s2 }) =
            (a, b)
        else {
            return Err(SqlError::internal("decimal arithmetic on something else"));
        };
        let fit = |precision: u8| precision.min(MAX_PRECISION);
        let [left, right] = both;
        let (text, precision, scale) = match op {
            Op::Plus | Op::Minus | Op::Modulo => {
                let scale = s1.max(s2);
                let at_scale = |d: DataType| match d {
                    DataType::Decimal { precision, scale: own } => {
                        DataType::Decimal { precision: fit(precision - own + scale), scale }
                    }
                    other => other,
                };
                let (left, right) = (self.coerce(left, at_scale(a))?, self.coerce(right, at_scale(b))?);
                let precision = fit((p1 - s1).max(p2 - s2) + scale + 1);
                let function = match op {
                    Op::Plus => "k_dadd",
                    Op::Minus => "k_dsub",
                    _ => "k_dmod",
                };
                (format!("{function}({left}, {right}, {precision})"), precision, scale)
            }
            Op::Multiply => {
                let scale = s1 + s2;
                if scale > MAX_PRECISION {
                    return Err(SqlError::unsupported(format_args!(
                        "a decimal product with {scale} digits behind the point"
                    )));
                }
                let precision = fit(p1 + p2 + 1);
                let (left, right) = (self.coerce(left, a)?, self.coerce(right, b)?);
                (format!("k_dmul({left}, {right}, {precision})"), precision, scale)
            }
            _ => {
                let scale = fit(s1 + QUOTIENT_DIGITS);
                let precision = fit(p1 - s1 + s2 + scale);
                let (left, right) = (self.coerce(left, a)?, self.coerce(right, b)?);
                // (a / 10^s1) / (b / 10^s2) at `scale` digits = a * 10^(scale - s1 + s2) / b.
                let append = scale - s1 + s2;
                (format!("k_ddiv({left}, {right}, {append}, {precision})"), precision, scale)
            }
        };
        Ok(Typed::new(text, DataType::Decimal { precision, scale }, name))
    }
}

/// What SQLite has calculated as a double, as the `of` that went in: a FLOAT stays one.
pub(super) fn floating(text: String, of: DataType, name: String) -> Typed {
    match of {
        DataType::Float => Typed::new(format!("k_float({text})"), DataType::Float, name),
        _ => Typed::new(text, DataType::Double, name),
    }
}
