//! Conditions, as a SELECT and as the server's live evaluator understand them.

use crate::data::Record;

/// A condition of a WHERE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// No WHERE.
    All,
    /// `column = 'text'`.
    Is(&'static str, &'static str),
    /// `n < x`.
    Below(i64),
    /// `n >= x`.
    From(i64),
    /// `column IN ('a', 'b')`. The live evaluator follows nothing of it, unless it was rewritten to ORs.
    In(&'static str, [&'static str; 2]),
    /// `column IS NULL`. The live evaluator follows nothing of it.
    IsNull(&'static str),
    /// `column > 'text'`. The live evaluator follows nothing of it.
    After(&'static str, &'static str),
    /// Both.
    And(&'static Filter, &'static Filter),
    /// One of them.
    Or(&'static Filter, &'static Filter),
    /// The opposite. The live evaluator takes NULL for false within (`wire/two_subs.jsonl`).
    Not(&'static Filter),
}

/// `n < 50`
pub const N_BELOW_50: Filter = Filter::Below(50);
/// `grp = 'a'`
pub const GROUP_A: Filter = Filter::Is("grp", "a");
/// `grp = 'b' AND n >= 30`
pub const GROUP_B_N_FROM_30: Filter = Filter::And(&Filter::Is("grp", "b"), &Filter::From(30));
/// `grp IN ('a', 'c')`
pub const GROUP_IN: Filter = Filter::In("grp", ["a", "c"]);
/// `v IS NULL`
pub const V_IS_NULL: Filter = Filter::IsNull("v");
/// `v > 'v5'`
pub const V_ABOVE: Filter = Filter::After("v", "v5");
/// `NOT (v = 'v1')`
pub const NOT_V: Filter = Filter::Not(&Filter::Is("v", "v1"));
/// `v = 'v1' OR n < 20`
pub const V_OR_N: Filter = Filter::Or(&Filter::Is("v", "v1"), &Filter::Below(20));

impl Filter {
    /// Whether the row is in the result of a SELECT: NULL in a comparison is neither true nor false.
    pub fn matches(self, row: &Record) -> bool {
        self.truth(row) == Some(true)
    }

    fn truth(self, row: &Record) -> Option<bool> {
        match self {
            Self::All => Some(true),
            Self::Is(column, text) => row.cell(column).map(|cell| cell == text),
            Self::Below(x) => row.n.map(|n| n < x),
            Self::From(x) => row.n.map(|n| n >= x),
            Self::In(column, texts) => row.cell(column).map(|cell| texts.contains(&cell.as_str())),
            Self::IsNull(column) => Some(row.cell(column).is_none()),
            Self::After(column, text) => row.cell(column).map(|cell| cell.as_str() > text),
            Self::And(a, b) => match (a.truth(row), b.truth(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(a, b) => match (a.truth(row), b.truth(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(a) => a.truth(row).map(|truth| !truth),
        }
    }

    /// Whether the live evaluator tells a change that leaves this row, for a subscription with this SQL.
    pub fn tells(self, sql: &str, row: &Record) -> bool {
        self.is_followed(sql) && self.taken_for_match(row)
    }

    fn is_followed(self, sql: &str) -> bool {
        match self {
            Self::IsNull(_) | Self::After(..) => false,
            Self::In(..) => !sql.contains(" IN ("),
            Self::And(a, b) | Self::Or(a, b) => a.is_followed(sql) && b.is_followed(sql),
            Self::Not(a) => a.is_followed(sql),
            Self::All | Self::Is(..) | Self::Below(_) | Self::From(_) => true,
        }
    }

    fn taken_for_match(self, row: &Record) -> bool {
        match self {
            Self::And(a, b) => a.taken_for_match(row) && b.taken_for_match(row),
            Self::Or(a, b) => a.taken_for_match(row) || b.taken_for_match(row),
            Self::Not(a) => !a.taken_for_match(row),
            other => other.matches(row),
        }
    }

    /// The SQL. `None`: there is no WHERE.
    pub fn to_sql(self) -> Option<String> {
        let sql = |filter: &Self| filter.to_sql().unwrap_or_else(|| "TRUE".into());
        Some(match self {
            Self::All => return None,
            Self::Is(column, text) => format!("{column} = '{text}'"),
            Self::Below(x) => format!("n < {x}"),
            Self::From(x) => format!("n >= {x}"),
            Self::In(column, [a, b]) => format!("{column} IN ('{a}', '{b}')"),
            Self::IsNull(column) => format!("{column} IS NULL"),
            Self::After(column, text) => format!("{column} > '{text}'"),
            Self::And(a, b) => format!("{} AND {}", sql(a), sql(b)),
            Self::Or(a, b) => format!("{} OR {}", sql(a), sql(b)),
            Self::Not(a) => format!("NOT ({})", sql(a)),
        })
    }
}
