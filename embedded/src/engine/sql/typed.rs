//! What a translated expression is.

use super::types;
use crate::engine::{Cell, DataType, SqlError, error::SqlResult, interval::Interval, system::SystemTable};

/// A value for one `?n` of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bind {
    Cell(Cell),
    /// `$index` (from 1) as this type.
    Param {
        index: usize,
        data_type: DataType,
    },
    /// A column of the row at hand: filters of live queries.
    Column(usize),
    Now,
    CurrentUser,
    /// The rows of a system table, as JSON.
    System(SystemTable),
}

/// What a parameter is in JSON: all that translation needs to know, so plans serve other values of the same kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ParamKind {
    Null,
    Bool,
    Int,
    Float,
    Text,
    List,
}

impl ParamKind {
    /// Refuses objects, as recorded (`wire/sql_surface.jsonl`).
    pub(crate) fn of(index: usize, value: &serde_json::Value) -> SqlResult<Self> {
        use serde_json::Value as J;
        Ok(match value {
            J::Null => Self::Null,
            J::Bool(_) => Self::Bool,
            J::Number(n) if n.is_i64() => Self::Int,
            J::Number(n) if n.is_u64() => {
                return Err(SqlError::parameter(index, format_args!("{n} does not fit a BIGINT")));
            }
            J::Number(_) => Self::Float,
            J::String(text) if text.contains('\0') => {
                return Err(SqlError::parameter(index, "the text contains a NUL character"));
            }
            J::String(_) => Self::Text,
            J::Array(_) => Self::List,
            J::Object(_) => return Err(SqlError::parameter(index, "Object parameters not yet supported")),
        })
    }
}

/// A literal, or a parameter: its type depends on where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    /// Optional sign, digits, point, exponent.
    Number(String),
    Param {
        index: usize,
        kind: ParamKind,
    },
}

impl Literal {
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Param { kind: ParamKind::Text, .. })
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::Param { kind: ParamKind::List, .. })
    }

    /// The type where nothing else asks for one.
    pub(super) fn default_type(&self) -> DataType {
        match self {
            Self::Text(_) | Self::Param { kind: ParamKind::Text | ParamKind::List | ParamKind::Null, .. } => {
                DataType::Text
            }
            Self::Number(text) if text.parse::<i64>().is_ok() => DataType::BigInt,
            Self::Param { kind: ParamKind::Int, .. } => DataType::BigInt,
            Self::Param { kind: ParamKind::Bool, .. } => DataType::Boolean,
            Self::Number(_) | Self::Param { kind: ParamKind::Float, .. } => DataType::Double,
        }
    }

    /// The decimal type that holds a written number exactly.
    pub(crate) fn as_decimal(&self) -> Option<DataType> {
        match self {
            Self::Number(text) if text.parse::<i64>().is_ok() => {
                Some(types::integer_as_decimal(DataType::BigInt))
            }
            Self::Number(text) => {
                let value = crate::engine::Decimal::parse(text)?;
                let digits = value.unscaled.unsigned_abs().to_string().len();
                let precision = u8::try_from(digits).ok()?.max(value.scale);
                Some(DataType::Decimal { precision, scale: value.scale })
            }
            Self::Param { kind: ParamKind::Int, .. } => Some(types::integer_as_decimal(DataType::BigInt)),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sql {
    Null,
    Literal(Literal),
    Text(String, DataType),
    /// A written interval.
    Interval(Interval),
    /// The time between two moments, in microseconds.
    Span(String),
}

/// A translated expression.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) sql: Sql,
    /// What KalamDB calls a result column of this expression.
    pub(crate) name: String,
    /// Set when it is a column of the relation and nothing more.
    pub(crate) column: Option<usize>,
}

impl Typed {
    pub(crate) fn new(text: String, data_type: DataType, name: String) -> Self {
        Self { sql: Sql::Text(text, data_type), name, column: None }
    }

    pub(crate) fn null(name: &str) -> Self {
        Self { sql: Sql::Null, name: name.into(), column: None }
    }

    pub(super) fn literal(literal: Literal, name: String) -> Self {
        Self { sql: Sql::Literal(literal), name, column: None }
    }

    /// The type, where literals have their default one; `None` for NULL.
    pub(crate) fn data_type(&self) -> Option<DataType> {
        match &self.sql {
            // `expr` lets no interval through.
            Sql::Null | Sql::Interval(_) | Sql::Span(_) => None,
            Sql::Literal(literal) => Some(literal.default_type()),
            Sql::Text(_, data_type) => Some(*data_type),
        }
    }
}
