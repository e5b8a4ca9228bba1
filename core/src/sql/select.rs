//! The queries that check a live query's rows: SELECTs over its table, by key, in pages, since a version.

use std::fmt::Write;

use super::literal::{write_identifier, write_literal};
use super::live::{Filter, LiveSql, Projection, TableName};
use crate::error::Result;
use crate::value::Value;

/// A SELECT that is being written. Every name and value goes through the one literal writer.
#[derive(Debug)]
pub struct Select {
    sql: String,
    conditions: usize,
}

impl Select {
    /// `SELECT expressions FROM table`; the expressions are SQL.
    ///
    /// # Errors
    /// `invalid_argument` for a name that can not be written.
    pub fn expressions(expressions: &str, table: &TableName) -> Result<Self> {
        let mut sql = format!("SELECT {expressions} FROM ");
        write_identifier(&mut sql, &table.namespace)?;
        sql.push('.');
        write_identifier(&mut sql, &table.name)?;
        Ok(Self { sql, conditions: 0 })
    }

    /// `SELECT columns FROM table` by the names of columns.
    ///
    /// # Errors
    /// As [`expressions`](Self::expressions).
    pub fn columns<'a>(names: impl IntoIterator<Item = &'a str>, table: &TableName) -> Result<Self> {
        Self::expressions(&name_list(names)?, table)
    }

    /// What a live query selects, its hidden columns last, from all rows of its table.
    ///
    /// # Errors
    /// As [`expressions`](Self::expressions).
    pub fn projection_of(live: &LiveSql) -> Result<Self> {
        match &live.projection {
            Projection::Star => Self::expressions("*", &live.table),
            Projection::Columns(columns) => {
                Self::columns(columns.iter().chain(&live.hidden).map(String::as_str), &live.table)
            }
        }
    }

    /// The rows that match the condition of the live query.
    #[must_use]
    pub fn matching(mut self, filter: Option<&Filter>) -> Self {
        if let Some(filter) = filter {
            self.condition();
            let _ = write!(self.sql, "({})", filter.as_str());
        }
        self
    }

    /// The rows that do not match it: it is false or NULL.
    #[must_use]
    pub fn not_matching(mut self, filter: &Filter) -> Self {
        self.condition();
        let _ = write!(self.sql, "({}) IS NOT TRUE", filter.as_str());
        self
    }

    /// A condition that is SQL already.
    #[must_use]
    pub fn and(mut self, condition: &str) -> Self {
        self.condition();
        self.sql.push_str(condition);
        self
    }

    /// The rows with one of these keys.
    ///
    /// # Errors
    /// `invalid_argument` for a value that has no literal.
    pub fn with_keys<'k>(
        mut self,
        columns: &[&str],
        keys: impl IntoIterator<Item = &'k [Value]>,
    ) -> Result<Self> {
        self.condition();
        write_key_predicate(&mut self.sql, columns, keys)?;
        Ok(self)
    }

    /// The rows behind `key` in the order of the key.
    ///
    /// # Errors
    /// `invalid_argument` for a value that has no literal.
    pub fn after_key(mut self, columns: &[&str], key: &[Value]) -> Result<Self> {
        self.condition();
        write_after_predicate(&mut self.sql, columns, key)?;
        Ok(self)
    }

    /// The first rows of an order. KalamDB returns the right ones, unsorted (recorded in `wire/order_limit.jsonl`).
    ///
    /// # Errors
    /// `invalid_argument` for a name that can not be written.
    pub fn first<'a>(
        mut self,
        rows: usize,
        order: impl IntoIterator<Item = &'a str>,
        descending: bool,
    ) -> Result<String> {
        let direction = if descending { " DESC" } else { "" };
        let _ = write!(self.sql, " ORDER BY {}{direction} LIMIT {rows}", name_list(order)?);
        Ok(self.sql)
    }

    /// The text.
    pub fn into_sql(self) -> String {
        self.sql
    }

    fn condition(&mut self) {
        self.sql.push_str(if self.conditions == 0 { " WHERE " } else { " AND " });
        self.conditions += 1;
    }
}

fn name_list<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<String> {
    let mut sql = String::new();
    for name in names {
        if !sql.is_empty() {
            sql.push_str(", ");
        }
        write_identifier(&mut sql, name)?;
    }
    Ok(sql)
}

/// `key IN (...)`, or for a key of several columns `((a = 1 AND b = 2) OR ...)`. Without keys nothing matches.
///
/// # Errors
/// `invalid_argument` for a value that has no literal.
pub fn write_key_predicate<'k>(
    sql: &mut String,
    columns: &[&str],
    keys: impl IntoIterator<Item = &'k [Value]>,
) -> Result<()> {
    let mut keys = keys.into_iter().peekable();
    if keys.peek().is_none() {
        sql.push_str("FALSE");
        return Ok(());
    }
    if let [column] = columns {
        write_identifier(sql, column)?;
        sql.push_str(" IN (");
        for (i, key) in keys.enumerate() {
            if i > 0 {
                sql.push_str(", ");
            }
            write_literal(sql, &key[0])?;
        }
        sql.push(')');
        return Ok(());
    }
    sql.push('(');
    for (i, key) in keys.enumerate() {
        sql.push_str(if i > 0 { " OR (" } else { "(" });
        for (j, (column, value)) in columns.iter().zip(key).enumerate() {
            if j > 0 {
                sql.push_str(" AND ");
            }
            write_comparison(sql, column, "=", value)?;
        }
        sql.push(')');
    }
    sql.push(')');
    Ok(())
}

/// `key > x`, or for a key of several columns `(a > 1 OR (a = 1 AND b > 2))`.
fn write_after_predicate(sql: &mut String, columns: &[&str], key: &[Value]) -> Result<()> {
    let last = columns.len().min(key.len()).saturating_sub(1);
    for (i, (column, value)) in columns.iter().zip(key).enumerate() {
        if i < last {
            sql.push('(');
        }
        write_comparison(sql, column, ">", value)?;
        if i < last {
            sql.push_str(" OR (");
            write_comparison(sql, column, "=", value)?;
            sql.push_str(" AND ");
        }
    }
    sql.push_str(&"))".repeat(last));
    Ok(())
}

fn write_comparison(sql: &mut String, column: &str, operator: &str, value: &Value) -> Result<()> {
    write_identifier(sql, column)?;
    let _ = write!(sql, " {operator} ");
    write_literal(sql, value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sql::token::{TokenKind, tokenize};

    fn table() -> TableName {
        TableName { namespace: "app".into(), name: "Tasks".into() }
    }

    fn values<const N: usize>(values: [i64; N]) -> Vec<Value> {
        values.map(Value::from).to_vec()
    }

    #[test]
    fn writes_queries() {
        let filter = Filter::new("a = 1 OR b = 2".into()).unwrap();
        let sql = Select::columns(["id", "_seq"], &table())
            .unwrap()
            .matching(Some(&filter))
            .with_keys(&["id"], [&values([1])[..], &[Value::from("it's")]])
            .unwrap()
            .into_sql();
        assert_eq!(sql, "SELECT id, _seq FROM app.\"Tasks\" WHERE (a = 1 OR b = 2) AND id IN (1, 'it''s')");
        let sql = Select::columns(["id"], &table())
            .unwrap()
            .not_matching(&filter)
            .and("_seq > 5")
            .first(500, ["_seq"], true)
            .unwrap();
        assert_eq!(
            sql,
            "SELECT id FROM app.\"Tasks\" WHERE (a = 1 OR b = 2) IS NOT TRUE AND _seq > 5 ORDER BY _seq DESC LIMIT 500"
        );
    }

    #[test]
    fn writes_composite_keys() {
        let mut sql = String::new();
        write_key_predicate(&mut sql, &["a", "b"], [&values([1, 2])[..], &values([3, 4])]).unwrap();
        assert_eq!(sql, "((a = 1 AND b = 2) OR (a = 3 AND b = 4))");
        for (columns, key, after) in [
            (&["a"][..], values([1]), "a > 1"),
            (&["a", "b"], values([1, -2]), "(a > 1 OR (a = 1 AND b > -2))"),
            (&["a", "b", "c"], values([1, 2, 3]), "(a > 1 OR (a = 1 AND (b > 2 OR (b = 2 AND c > 3))))"),
        ] {
            let mut sql = String::new();
            write_after_predicate(&mut sql, columns, &key).unwrap();
            assert_eq!(sql, after);
        }
        let mut none = String::new();
        write_key_predicate(&mut none, &["a"], []).unwrap();
        assert_eq!(none, "FALSE");
        assert!(write_key_predicate(&mut none, &["a"], [&[Value::from("a\0")][..]]).is_err());
    }

    proptest! {
        /// Whatever a text key holds, it is one literal: nothing of it becomes SQL.
        #[test]
        fn text_keys_stay_text(keys in prop::collection::vec("[^\0]{0,12}", 1..5)) {
            let rows: Vec<Vec<Value>> = keys.iter().map(|k| vec![Value::from(k.as_str())]).collect();
            let mut sql = String::new();
            write_key_predicate(&mut sql, &["id"], rows.iter().map(Vec::as_slice)).unwrap();
            let tokens = tokenize(&sql).unwrap();
            let texts: Vec<_> =
                tokens.iter().filter(|t| t.kind == TokenKind::Text).map(|t| t.content(&sql).unwrap()).collect();
            prop_assert_eq!(texts, keys.clone());
            // id IN ( 'a' , 'b' )
            prop_assert_eq!(tokens.len(), 3 + keys.len() * 2);
        }

        /// The page predicate holds for exactly the keys that are greater, column by column.
        #[test]
        fn pages_follow_the_order_of_the_key(at in prop::array::uniform3(-2i64..3), other in prop::array::uniform3(-2i64..3)) {
            let mut sql = String::new();
            write_after_predicate(&mut sql, &["a", "b", "c"], &at.map(Value::from)).unwrap();
            let filter = Filter::new(sql).unwrap();
            let condition = crate::sql::Condition::read(&filter).unwrap();
            let names = ["a", "b", "c"];
            let of = |name: &str| other[names.iter().position(|n| *n == name).unwrap()];
            prop_assert_eq!(condition.holds(&of), other > at);
        }
    }
}
