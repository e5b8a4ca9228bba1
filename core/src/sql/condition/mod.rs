//! What the server's live evaluator makes of a condition.
//!
//! A snapshot and a SELECT evaluate every condition; the evaluator that decides which changes a live query is told is a
//! smaller one (recorded in `wire/live_filter.jsonl` and `wire/two_subs.jsonl`). [`Condition`] is the part of SQL that it
//! follows; a condition that does not parse as one is followed by nobody.

mod reader;

use self::reader::Reader;
use super::live::Filter;
use crate::schema::DataType;

/// A condition of comparisons between a column and a literal, joined by AND, OR and NOT.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(Node);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare(Comparison),
}

#[derive(Clone, Debug, PartialEq)]
struct Comparison {
    /// The column as written, quotes included.
    column: String,
    name: String,
    operator: Operator,
    literal: Literal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
    ILike,
}

#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Number(String),
    Text(String),
    Boolean(String),
}

impl Condition {
    /// Reads a condition; `None` when some part of it is more than a comparison of a column with a literal.
    ///
    /// IN lists and BETWEEN are read as the comparisons that they stand for.
    pub fn read(filter: &Filter) -> Option<Self> {
        Reader::new(filter.as_str(), filter.tokens()).whole().map(Self)
    }

    /// Whether the live evaluator tells every row that comes to match, given the types of the columns. A column of
    /// unknown type counts as one that it does not follow.
    pub fn is_followed<'t>(&self, type_of: impl Fn(&str) -> Option<&'t DataType>) -> bool {
        self.comparisons().iter().all(|c| c.is_followed(type_of(&c.name)))
    }

    /// Columns whose NULLs the live evaluator takes for a match where SQL does not: `NOT (s = 'open')` and `s <> 'open'`
    /// (recorded in `wire/two_subs.jsonl`).
    pub fn null_sensitive(&self) -> Vec<String> {
        fn collect<'n>(node: &'n Node, inverted: bool, out: &mut Vec<&'n str>) {
            match node {
                Node::All(nodes) | Node::Any(nodes) => nodes.iter().for_each(|n| collect(n, inverted, out)),
                Node::Not(node) => collect(node, true, out),
                Node::Compare(c) if inverted || c.operator == Operator::NotEqual => out.push(&c.name),
                Node::Compare(_) => {}
            }
        }
        let mut names = Vec::new();
        collect(&self.0, false, &mut names);
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(str::to_owned).collect()
    }

    /// The condition without IN and BETWEEN.
    pub fn to_sql(&self) -> String {
        let mut sql = String::new();
        self.0.write(&mut sql, false);
        sql
    }

    fn comparisons(&self) -> Vec<&Comparison> {
        fn collect<'n>(node: &'n Node, out: &mut Vec<&'n Comparison>) {
            match node {
                Node::All(nodes) | Node::Any(nodes) => nodes.iter().for_each(|n| collect(n, out)),
                Node::Not(node) => collect(node, out),
                Node::Compare(comparison) => out.push(comparison),
            }
        }
        let mut out = Vec::new();
        collect(&self.0, &mut out);
        out
    }
}

impl Node {
    fn write(&self, sql: &mut String, inside: bool) {
        let (nodes, word) = match self {
            Self::All(nodes) => (nodes, " AND "),
            Self::Any(nodes) => (nodes, " OR "),
            Self::Not(node) => {
                sql.push_str("NOT (");
                node.write(sql, false);
                sql.push(')');
                return;
            }
            Self::Compare(c) => {
                sql.push_str(&c.column);
                sql.push_str(c.operator.as_str());
                sql.push_str(c.literal.as_str());
                return;
            }
        };
        if inside {
            sql.push('(');
        }
        for (i, node) in nodes.iter().enumerate() {
            if i > 0 {
                sql.push_str(word);
            }
            node.write(sql, true);
        }
        if inside {
            sql.push(')');
        }
    }
}

impl Comparison {
    /// Each line is backed by a recording: `=` and `<>` on everything but timestamps and decimals, order on integers and
    /// floats, patterns on text.
    fn is_followed(&self, data_type: Option<&DataType>) -> bool {
        use DataType::{BigInt, Boolean, Date, Double, Float, Int, SmallInt, Text, Time, Uuid};
        let Some(data_type) = data_type else { return false };
        let number = matches!(data_type, SmallInt | Int | BigInt | Float | Double);
        match (self.operator, &self.literal) {
            (Operator::Like | Operator::ILike, Literal::Text(_)) => *data_type == Text,
            (Operator::Like | Operator::ILike, _) => false,
            (_, Literal::Number(_)) => number,
            (Operator::Equal | Operator::NotEqual, Literal::Text(_)) => {
                matches!(data_type, Text | Uuid | Date | Time)
            }
            (Operator::Equal | Operator::NotEqual, Literal::Boolean(_)) => *data_type == Boolean,
            _ => false,
        }
    }
}

impl Operator {
    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => " = ",
            Self::NotEqual => " <> ",
            Self::Less => " < ",
            Self::LessOrEqual => " <= ",
            Self::Greater => " > ",
            Self::GreaterOrEqual => " >= ",
            Self::Like => " LIKE ",
            Self::ILike => " ILIKE ",
        }
    }
}

impl Literal {
    fn as_str(&self) -> &str {
        match self {
            Self::Number(text) | Self::Text(text) | Self::Boolean(text) => text,
        }
    }
}

#[cfg(test)]
impl Condition {
    /// Whether it holds for integers that are not NULL.
    pub(crate) fn holds(&self, column: &dyn Fn(&str) -> i64) -> bool {
        fn holds(node: &Node, column: &dyn Fn(&str) -> i64) -> bool {
            match node {
                Node::All(nodes) => nodes.iter().all(|n| holds(n, column)),
                Node::Any(nodes) => nodes.iter().any(|n| holds(n, column)),
                Node::Not(node) => !holds(node, column),
                Node::Compare(c) => {
                    let order = column(&c.name).cmp(&c.literal.as_str().parse().expect("an integer"));
                    match c.operator {
                        Operator::Equal => order.is_eq(),
                        Operator::NotEqual => order.is_ne(),
                        Operator::Less => order.is_lt(),
                        Operator::LessOrEqual => order.is_le(),
                        Operator::Greater => order.is_gt(),
                        Operator::GreaterOrEqual => order.is_ge(),
                        Operator::Like | Operator::ILike => panic!("not on integers"),
                    }
                }
            }
        }
        holds(&self.0, column)
    }
}

#[cfg(test)]
mod tests {
    use super::reader::MOST_VALUES;
    use super::*;

    fn read(condition: &str) -> Option<Condition> {
        Condition::read(&Filter::new(condition.to_owned()).expect(condition))
    }

    fn types(name: &str) -> Option<&'static DataType> {
        Some(match name {
            "n" => &DataType::Int,
            "big" => &DataType::BigInt,
            "x" => &DataType::Double,
            "s" | "S t" => &DataType::Text,
            "b" => &DataType::Boolean,
            "at" => &DataType::Timestamp,
            "price" => &DataType::Decimal { precision: 18, scale: 4 },
            _ => return None,
        })
    }

    #[test]
    fn knows_what_the_live_evaluator_follows() {
        for followed in [
            "s = 'open' AND n >= 0",
            "NOT (s = 'open')",
            "s = 'open' OR n < 2",
            "n <= 3 AND n >= -1 AND big > 5 AND x < 1.5e3",
            "s LIKE 'op%' OR s ILIKE 'OP%' OR s NOT LIKE 'x'",
            "s IN ('open','hold')",
            "n BETWEEN 1 AND 5",
            "n NOT IN (1, 2) AND b = TRUE AND \"S t\" <> 'x'",
        ] {
            assert!(read(followed).expect(followed).is_followed(types), "{followed}");
        }
        for blind in [
            "s > 'm'",
            "s BETWEEN 'a' AND 'b'",
            "at = '2026-01-01'",
            "at > 5",
            "price = 5",
            "price > 1.5",
            "n = '5'",
            "s = 5",
            "unknown = 5",
            "n LIKE 'x'",
            "s = 'a' AND at > 5",
        ] {
            assert!(!read(blind).expect(blind).is_followed(types), "{blind}");
        }
        for more in [
            "s IS NULL",
            "lower(s) = 'open'",
            "CAST(n AS TEXT) = '4'",
            "n + 1 = 2",
            "n = 1 + 1",
            "n = 1 AND (s IS NOT NULL OR b = TRUE)",
            "5 = n",
            "n = m",
            "s = NULL",
            "b",
            "n IN ()",
            "n IN (SELECTED)",
            "s LIKE 'a' ESCAPE 'b'",
            "n::text = '4'",
            "n BETWEEN 1 OR 5",
        ] {
            assert_eq!(read(more), None, "{more}");
        }
        let deep = format!("{}n = 1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert_eq!(read(&deep), None);
    }

    #[test]
    fn rewrites_lists_and_ranges() {
        for (condition, rewritten) in [
            ("s IN ('a','it''s')", "s = 'a' OR s = 'it''s'"),
            ("s IN ('a','b') AND n = 1", "(s = 'a' OR s = 'b') AND n = 1"),
            ("s IN ('a') AND n = 1", "s = 'a' AND n = 1"),
            ("n BETWEEN -1 AND 5 OR b = true", "(n >= -1 AND n <= 5) OR b = true"),
            ("n NOT BETWEEN 1 AND 5", "n < 1 OR n > 5"),
            ("\"S t\" NOT IN ('a','b')", "\"S t\" <> 'a' AND \"S t\" <> 'b'"),
            ("NOT n IN (1,2)", "NOT (n = 1 OR n = 2)"),
            ("NOT (n != 1 AND s NOT LIKE 'x')", "NOT (n <> 1 AND NOT (s LIKE 'x'))"),
        ] {
            let sql = read(condition).expect(condition).to_sql();
            assert_eq!(sql, rewritten);
            // What was rewritten reads as what it was rewritten from.
            assert_eq!(read(&sql).expect(&sql).to_sql(), sql);
        }
        let long = format!("n IN ({})", vec!["1"; MOST_VALUES + 1].join(","));
        assert_eq!(read(&long), None);
    }

    #[test]
    fn knows_where_null_matters() {
        let sensitive = |condition: &str| read(condition).expect(condition).null_sensitive();
        assert!(sensitive("s = 'a' OR n < 2").is_empty());
        assert_eq!(sensitive("NOT (s = 'a' AND n = 1) AND b <> TRUE AND x > 1"), ["b", "n", "s"]);
    }
}
