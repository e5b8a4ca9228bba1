//! Which types meet in which: the rules of comparisons, CASE, COALESCE and arithmetic.

use sqlparser::ast;

use crate::engine::{DataType, SqlError, decimal::MAX_PRECISION, error::SqlResult};

/// The type in which two values are compared or chosen between; `None` when they do not go together.
pub(crate) fn merge(a: DataType, b: DataType) -> Option<DataType> {
    use DataType as T;
    Some(match (a, b) {
        _ if a == b => a,
        _ if a.is_integer() && b.is_integer() => wider_integer(a, b),
        (T::Decimal { .. }, T::Decimal { .. }) => merge_decimals(a, b),
        (T::Decimal { .. }, _) if b.is_integer() => merge_decimals(a, integer_as_decimal(b)),
        (_, T::Decimal { .. }) if a.is_integer() => merge_decimals(integer_as_decimal(a), b),
        // As arrow: a FLOAT beside whole numbers stays one, with whatever digits that costs.
        (T::Float, _) if b.is_integer() => T::Float,
        (_, T::Float) if a.is_integer() => T::Float,
        _ if a.is_number() && b.is_number() => T::Double,
        _ if a.is_timestamp() && b.is_timestamp() => T::Timestamp,
        (T::Date, _) if b.is_timestamp() => b,
        (_, T::Date) if a.is_timestamp() => a,
        _ if a.is_textual() && b.is_textual() => T::Text,
        _ => return None,
    })
}

pub(crate) fn wider_integer(a: DataType, b: DataType) -> DataType {
    if integer_bits(a) >= integer_bits(b) { a } else { b }
}

pub(crate) fn integer_bits(data_type: DataType) -> u8 {
    match data_type {
        DataType::SmallInt => 16,
        DataType::Int => 32,
        _ => 64,
    }
}

/// The decimal that holds every value of an integer type.
pub(crate) fn integer_as_decimal(data_type: DataType) -> DataType {
    let precision = match data_type {
        DataType::SmallInt => 5,
        DataType::Int => 10,
        _ => 20,
    };
    DataType::Decimal { precision, scale: 0 }
}

fn merge_decimals(a: DataType, b: DataType) -> DataType {
    let (DataType::Decimal { precision: p1, scale: s1 }, DataType::Decimal { precision: p2, scale: s2 }) =
        (a, b)
    else {
        return a;
    };
    let scale = s1.max(s2);
    let whole = (p1.saturating_sub(s1)).max(p2.saturating_sub(s2));
    DataType::Decimal { precision: whole.saturating_add(scale).min(MAX_PRECISION), scale }
}

/// A column type of the dialect, with its aliases. `serial` tells that it stands for a default too.
pub(crate) fn column_type(data_type: &ast::DataType) -> SqlResult<(DataType, bool)> {
    use ast::DataType as A;
    let plain = |data_type| Ok((data_type, false));
    match data_type {
        A::Boolean | A::Bool => plain(DataType::Boolean),
        A::SmallInt(_) | A::Int2(_) | A::TinyInt(_) => plain(DataType::SmallInt),
        A::Int(_) | A::Integer(_) | A::Int4(_) | A::MediumInt(_) => plain(DataType::Int),
        A::BigInt(_) | A::Int8(_) | A::Int64 => plain(DataType::BigInt),
        A::Real | A::Float4 => plain(DataType::Float),
        A::Float(_) => plain(DataType::Float),
        A::Double(_) | A::DoublePrecision | A::Float8 | A::Float64 => plain(DataType::Double),
        A::Decimal(info) | A::Numeric(info) | A::Dec(info) => decimal(info).map(|t| (t, false)),
        A::Text
        | A::Varchar(_)
        | A::CharVarying(_)
        | A::CharacterVarying(_)
        | A::Nvarchar(_)
        | A::Char(_)
        | A::Character(_)
        | A::Clob(_)
        | A::String(_) => plain(DataType::Text),
        A::Timestamp(..) => plain(DataType::Timestamp),
        A::Datetime(_) => plain(DataType::DateTime),
        A::Date => plain(DataType::Date),
        A::Time(..) => plain(DataType::Time),
        A::JSON | A::JSONB => plain(DataType::Json),
        A::Bytea | A::Binary(_) | A::Varbinary(_) | A::Blob(_) | A::Bytes(_) => plain(DataType::Bytes),
        A::Uuid => plain(DataType::Uuid),
        A::Custom(name, arguments) => {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            custom(&name.to_string(), &arguments)
        }
        other => Err(SqlError::unsupported(format_args!("the type {other}"))),
    }
}

fn custom(name: &str, arguments: &[String]) -> SqlResult<(DataType, bool)> {
    let plain = |data_type| Ok((data_type, false));
    match (name.to_ascii_uppercase().as_str(), arguments) {
        ("EMBEDDING", [n]) => match n.parse::<u32>() {
            Ok(n @ 1..=8192) => plain(DataType::Embedding(n)),
            _ => Err(SqlError::invalid(format!("EMBEDDING({n}): the dimension is a number from 1 to 8192"))),
        },
        ("FILE", []) => plain(DataType::File),
        ("BYTES" | "BLOB" | "BINARY" | "VARBINARY", _) => plain(DataType::Bytes),
        ("STRING" | "NVARCHAR" | "CLOB", _) => plain(DataType::Text),
        ("DATETIME", _) => plain(DataType::DateTime),
        ("INT64", []) => plain(DataType::BigInt),
        ("FLOAT64" | "DOUBLE", []) => plain(DataType::Double),
        ("MEDIUMINT", _) => plain(DataType::Int),
        ("SMALLSERIAL" | "SERIAL2", []) => Err(SqlError::unsupported(
            "SMALLSERIAL: its values come from SNOWFLAKE_ID(), which needs BIGINT; use BIGSERIAL",
        )),
        ("SERIAL" | "SERIAL4" | "BIGSERIAL" | "SERIAL8", []) => Ok((DataType::BigInt, true)),
        _ => Err(SqlError::unsupported(format_args!("the type {name}"))),
    }
}

fn decimal(info: &ast::ExactNumberInfo) -> SqlResult<DataType> {
    let (precision, scale) = match *info {
        ast::ExactNumberInfo::None => (38, 10),
        ast::ExactNumberInfo::Precision(p) => (p, 0),
        ast::ExactNumberInfo::PrecisionAndScale(p, s) => (p, s),
    };
    let valid = u8::try_from(precision).ok().filter(|p| (1..=MAX_PRECISION).contains(p));
    match (valid, u8::try_from(scale)) {
        (Some(precision), Ok(scale)) if scale <= precision => Ok(DataType::Decimal { precision, scale }),
        _ => Err(SqlError::invalid(format!(
            "DECIMAL({precision}, {scale}): the precision is 1 to {MAX_PRECISION}, the scale 0 to the precision"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging() {
        use DataType as T;
        let money = T::Decimal { precision: 10, scale: 2 };
        assert_eq!(merge(T::Int, T::SmallInt), Some(T::Int));
        assert_eq!(merge(T::BigInt, T::Float), Some(T::Float));
        assert_eq!(merge(T::Float, T::Double), Some(T::Double));
        assert_eq!(merge(T::BigInt, T::Double), Some(T::Double));
        assert_eq!(
            merge(money, T::Decimal { precision: 6, scale: 4 }),
            Some(T::Decimal { precision: 12, scale: 4 })
        );
        assert_eq!(merge(T::Int, money), Some(T::Decimal { precision: 12, scale: 2 }));
        assert_eq!(merge(T::Date, T::Timestamp), Some(T::Timestamp));
        assert_eq!(merge(T::Uuid, T::Text), Some(T::Text));
        assert_eq!(merge(T::Text, T::Int), None);
        assert_eq!(merge(T::Boolean, T::Int), None);
        assert_eq!(merge(T::Bytes, T::Text), None);
    }
}
