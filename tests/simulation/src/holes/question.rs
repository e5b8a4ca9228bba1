//! The questions that a client asks over HTTP, read. The model knows exactly these: another is a mistake.

use crate::data::{Filter, Query};
use crate::keys::Key;

/// One SELECT over the table.
#[derive(Clone, Debug)]
pub struct Select<'a> {
    /// What is selected.
    pub names: &'a str,
    /// A condition, and whether the rows are asked for that do not match it.
    pub filter: Option<(Filter, bool)>,
    /// `FALSE`.
    pub nothing: bool,
    /// `_deleted = true`.
    pub tombstones: bool,
    /// `id IN (...)`.
    pub among: Option<Vec<Key>>,
    /// `id > ...`.
    pub behind: Option<Key>,
    /// `_seq >= n`
    pub least: Option<i64>,
    /// `_seq > n`
    pub above: Option<i64>,
    /// `_seq < n`
    pub below: Option<i64>,
    /// `ORDER BY`: a column, and whether the greatest comes first.
    pub order: Option<(&'a str, bool)>,
    /// `LIMIT`.
    pub limit: Option<usize>,
}

impl<'a> Select<'a> {
    /// The SELECTs of a request.
    ///
    /// # Panics
    /// What is asked is none of the known questions.
    pub fn read_all(sql: &'a str, queries: &[Query]) -> Vec<Self> {
        let mut selects = Vec::new();
        let mut rest = sql;
        loop {
            let (select, after) =
                Self::read(rest, queries).unwrap_or_else(|| panic!("a question {rest:?} in {sql:?}"));
            selects.push(select);
            match after.strip_prefix("; ") {
                Some(next) => rest = next,
                None if after.is_empty() => return selects,
                None => panic!("{after:?} in {sql:?}"),
            }
        }
    }

    /// Of a digest nothing but the digest is selected.
    pub fn is_digest(&self) -> bool {
        self.names.starts_with("count(*)")
    }

    fn read(sql: &'a str, queries: &[Query]) -> Option<(Self, &'a str)> {
        let (names, mut rest) = sql.strip_prefix("SELECT ")?.split_once(" FROM app.t")?;
        let mut select = Select {
            names,
            filter: None,
            nothing: false,
            tombstones: false,
            among: None,
            behind: None,
            least: None,
            above: None,
            below: None,
            order: None,
            limit: None,
        };
        if let Some(conditions) = rest.strip_prefix(" WHERE ") {
            rest = select.condition(conditions, queries)?;
            while let Some(next) = rest.strip_prefix(" AND ") {
                rest = select.condition(next, queries)?;
            }
        }
        if let Some(next) = rest.strip_prefix(" ORDER BY ") {
            let end = next.find(' ').unwrap_or(next.len());
            let (column, next) = next.split_at(end);
            let descending = next.strip_prefix(" DESC");
            (select.order, rest) = (Some((column, descending.is_some())), descending.unwrap_or(next));
        }
        if let Some(next) = rest.strip_prefix(" LIMIT ") {
            let (limit, next) = number(next)?;
            (select.limit, rest) = (usize::try_from(limit).ok(), next);
        }
        Some((select, rest))
    }

    fn condition(&mut self, sql: &'a str, queries: &[Query]) -> Option<&'a str> {
        if let Some(rest) = sql.strip_prefix("_deleted = true") {
            self.tombstones = true;
            return Some(rest);
        }
        if let Some(rest) = sql.strip_prefix("FALSE") {
            self.nothing = true;
            return Some(rest);
        }
        for (text, bound) in
            [("_seq >= ", &mut self.least), ("_seq > ", &mut self.above), ("_seq < ", &mut self.below)]
        {
            if let Some(rest) = sql.strip_prefix(text) {
                let (n, rest) = number(rest)?;
                *bound = Some(n);
                return Some(rest);
            }
        }
        if let Some(rest) = sql.strip_prefix("id > ") {
            let (key, rest) = Key::read(rest)?;
            self.behind = Some(key);
            return Some(rest);
        }
        if let Some(mut rest) = sql.strip_prefix("id IN (") {
            let keys = self.among.insert(Vec::new());
            loop {
                let (key, next) = Key::read(rest)?;
                keys.push(key);
                match next.strip_prefix(", ") {
                    Some(next) => rest = next,
                    None => return next.strip_prefix(')'),
                }
            }
        }
        let inner = sql.strip_prefix('(')?;
        let (query, rest) = queries.iter().find_map(|query| {
            let text = query.live.filter.as_ref()?.as_str();
            Some((query, inner.strip_prefix(text)?.strip_prefix(')')?))
        })?;
        let opposite = rest.strip_prefix(" IS NOT TRUE");
        self.filter = Some((query.filter, opposite.is_some()));
        Some(opposite.unwrap_or(rest))
    }
}

fn number(sql: &str) -> Option<(i64, &str)> {
    match Key::read(sql)? {
        (Key::Number(n), rest) => Some((n, rest)),
        (Key::Text(_), _) => None,
    }
}
