//! Expressions as values of another type.

use sqlparser::ast::Expr;

use super::{
    translator::Translator,
    typed::{Bind, Literal, ParamKind, Sql, Typed},
    types,
};
use crate::engine::{DataType, SqlError, convert, error::SqlResult};

impl Translator<'_> {
    /// An explicit cast; `lenient` gives NULL instead of an error (TRY_CAST).
    pub(crate) fn cast(&mut self, inner: &Expr, to: DataType, lenient: bool) -> SqlResult<Typed> {
        let inner = self.expr(inner)?;
        // KalamDB does not show casts in column names.
        let name = inner.name.clone();
        let text = match &inner.sql {
            Sql::Null => "NULL".to_owned(),
            // The digits as written, not what a double made of them.
            Sql::Literal(Literal::Number(text)) if to.is_decimal() => {
                let cell = convert::from_number(text, to);
                match cell {
                    Ok(cell) => self.bind(Bind::Cell(cell)),
                    Err(_) if lenient => "NULL".to_owned(),
                    Err(error) => return Err(cast_failed(&error)),
                }
            }
            Sql::Literal(Literal::Param { kind: ParamKind::List | ParamKind::Float, .. }) => {
                self.coerce(inner, to)?
            }
            _ => {
                let (text, from) = self.finish(inner)?;
                if from == to { text } else { cast_text(&text, from, to, lenient) }
            }
        };
        Ok(Typed::new(text, to, name))
    }

    /// The expression as SQLite text with its type; literals get their default type, NULL counts as text (as recorded).
    pub(crate) fn finish(&mut self, typed: Typed) -> SqlResult<(String, DataType)> {
        match typed.sql {
            Sql::Null => Ok(("NULL".into(), DataType::Text)),
            Sql::Interval(_) | Sql::Span(_) => Err(SqlError::internal("an interval as a value")),
            Sql::Text(text, data_type) => Ok((text, data_type)),
            Sql::Literal(ref literal) => {
                let data_type = literal.default_type();
                if literal.is_list() {
                    return Err(SqlError::invalid(
                        "a list can only be given where a BYTES or EMBEDDING is expected",
                    ));
                }
                Ok((self.coerce(typed, data_type)?, data_type))
            }
        }
    }

    /// The one type for values that are compared or chosen between.
    pub(crate) fn unify(&self, all: &[Typed]) -> SqlResult<DataType> {
        let mut common: Option<DataType> = None;
        let join = |common: Option<DataType>, next: DataType| match common {
            None => Ok(next),
            Some(so_far) => types::merge(so_far, next).ok_or_else(|| {
                SqlError::execution(format!(
                    "Error during planning: {so_far} and {next} do not go together: write a CAST"
                ))
            }),
        };
        for typed in all {
            if let Sql::Text(_, data_type) = typed.sql {
                common = Some(join(common, data_type)?);
            }
        }
        // Text literals take the type of the others; numbers take part in the choice.
        let literals = all.iter().filter_map(|t| if let Sql::Literal(l) = &t.sql { Some(l) } else { None });
        let (texts, others): (Vec<_>, Vec<_>) = literals.partition(|l| l.is_text() || l.is_list());
        for literal in others {
            let exact = common.filter(|c| c.is_decimal()).and_then(|_| literal.as_decimal());
            common = Some(join(common, exact.unwrap_or_else(|| literal.default_type()))?);
        }
        Ok(common.or_else(|| texts.first().map(|l| l.default_type())).unwrap_or(DataType::Text))
    }

    /// The expression as a value of `to`, where that loses nothing; the caller has asked `unify` or knows better.
    pub(crate) fn coerce(&mut self, typed: Typed, to: DataType) -> SqlResult<String> {
        match typed.sql {
            Sql::Null => Ok("NULL".into()),
            Sql::Interval(_) | Sql::Span(_) => Err(SqlError::internal("an interval as a value")),
            Sql::Literal(Literal::Text(text)) => {
                let cell = convert::from_text(&text, to).map_err(|e| cast_failed(&e))?;
                Ok(self.bind(Bind::Cell(cell)))
            }
            Sql::Literal(Literal::Number(text)) => {
                let cell = convert::from_number(&text, to).map_err(|e| cast_failed(&e))?;
                Ok(self.bind(Bind::Cell(cell)))
            }
            Sql::Literal(Literal::Param { index, .. }) => Ok(self.bind(Bind::Param { index, data_type: to })),
            Sql::Text(text, from) => Ok(convert_text(text, from, to)),
        }
    }

    /// The expression as a boolean, or an error that names where it stands.
    pub(crate) fn boolean(&mut self, typed: Typed, place: &str) -> SqlResult<String> {
        match typed.data_type() {
            None => Ok("NULL".into()),
            Some(DataType::Boolean) => self.coerce(typed, DataType::Boolean),
            Some(other) => Err(SqlError::execution(format!(
                "Error during planning: {place} needs a boolean expression, not {other}"
            ))),
        }
    }

    /// The expression as text; numbers are not turned into text silently.
    pub(crate) fn text(&mut self, typed: Typed, place: &str) -> SqlResult<String> {
        match typed.data_type() {
            None => Ok("NULL".into()),
            Some(data_type) if data_type.is_textual() => self.coerce(typed, DataType::Text),
            Some(other) => Err(SqlError::execution(format!(
                "Error during planning: {place} needs text, not {other}: write a CAST"
            ))),
        }
    }
}

pub(crate) fn cast_failed(error: &convert::CastError) -> SqlError {
    SqlError::execution(format!("Execution error: Arrow error: Cast error: {}", error.0))
}

fn convert_text(text: String, from: DataType, to: DataType) -> String {
    match (from, to) {
        _ if from == to => text,
        _ if from.is_integer() && to.is_integer() => text,
        (DataType::Float, DataType::Double) => text,
        (_, DataType::Double) if from.is_integer() => format!("CAST({text} AS REAL)"),
        (_, DataType::Text) if from.is_textual() => text,
        (DataType::Date, _) if to.is_timestamp() => {
            format!("k_imul({text}, {}, 64)", crate::engine::time::DAY_MICROS)
        }
        _ if from.is_timestamp() && to.is_timestamp() => text,
        _ => cast_text(&text, from, to, false),
    }
}

fn cast_text(text: &str, from: DataType, to: DataType, lenient: bool) -> String {
    let function = if lenient { "k_try_cast" } else { "k_cast" };
    format!("{function}({text}, {}, {})", convert::type_code(from), convert::type_code(to))
}
