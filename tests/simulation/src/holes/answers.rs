//! The SQL endpoint: SELECTs over the one table, answered by the leader's numbers.

use kalam_live::live::Digest;
use kalam_live::schema::SeqId;
use serde_json::json;

use super::numbers::Numbers;
use super::question::Select;
use crate::data::Query;
use crate::server::{Stored, Table, wire};

/// The table as the SQL endpoint sees it.
#[derive(Debug)]
pub struct Endpoint<'a> {
    /// The rows.
    pub table: &'a Table,
    /// Every query whose filter may be asked about.
    pub queries: &'a [Query],
    /// Whose rights the answer is made with.
    pub user: &'a str,
    /// The columns of the table.
    pub columns: &'a [&'static str],
    /// The table is gone.
    pub dropped: bool,
    /// Rows without a LIMIT, and with one.
    pub caps: (usize, usize),
    /// Whose numbers the rows have: those of the leader, which may be either node.
    pub leader: i64,
    /// The numbers of the nodes.
    pub numbers: &'a Numbers,
}

impl Endpoint<'_> {
    /// Status and body.
    pub fn answer(&self, sql: &str) -> (u16, String) {
        if self.dropped {
            let message =
                "Statement 1 failed: Table not found: Error during planning: table 'kalam.app.t' not found";
            let error = json!({"code": "SQL_EXECUTION_ERROR", "message": message, "details": sql});
            return (400, json!({"status": "error", "results": [], "took": 1.0, "error": error}).to_string());
        }
        let mut body = String::from(r#"{"status":"success","results":["#);
        for (at, select) in Select::read_all(sql, self.queries).iter().enumerate() {
            body.push_str(if at > 0 { "," } else { "" });
            self.select(select, &mut body);
        }
        body.push_str(r#"],"took":1.0}"#);
        (200, body)
    }

    fn select(&self, select: &Select<'_>, body: &mut String) {
        let mut rows: Vec<(i64, &Stored)> =
            self.table.stored().map(|row| (self.numbers.of(self.leader, row.version), row)).collect();
        rows.retain(|(version, row)| self.is_asked_for(select, *version, row));
        if select.is_digest() {
            let digest = Digest::of(rows.iter().map(|(version, _)| SeqId::from(*version)));
            let text = |n: Option<i64>| n.map_or_else(|| "null".into(), |n| format!("\"{n}\""));
            let greatest = rows.iter().map(|(version, _)| *version).max();
            let mix = (!rows.is_empty()).then_some(digest.mix);
            let cells = format!("[\"{}\",{},{}]", digest.rows, text(greatest), text(mix));
            return self.result(&["n", "m", "x"].map(|name| (name, "BigInt")), &[cells], body);
        }
        let key = |row: &Stored| self.queries[0].key.key(row.record.id);
        match select.order {
            None => {}
            Some(("id", _)) => rows.sort_by_cached_key(|(_, row)| key(row)),
            Some(("_seq", _)) => rows.sort_by_key(|(version, _)| *version),
            Some(("n", _)) => rows.sort_by_key(|(_, row)| row.record.n),
            Some((column, _)) => panic!("an order by {column}"),
        }
        if select.order.is_some_and(|(_, descending)| descending) {
            rows.reverse();
        }
        let (without, most) = self.caps;
        let limit = select.limit.map_or(without, |limit| limit.min(most));
        rows.truncate(limit);
        if select.limit.is_some() {
            // The right rows, in the order in which they are stored (`wire/order_limit.jsonl`).
            rows.sort_by_key(|(_, row)| row.record.id);
        }
        let names: Vec<&str> = match select.names {
            "*" => self.columns.iter().copied().chain(["_seq", "_deleted"]).collect(),
            list => list.split(", ").collect(),
        };
        let cells = |(version, row): &(i64, &Stored)| {
            let cells: Vec<String> = names.iter().map(|name| self.cell(row, *version, name)).collect();
            format!("[{}]", cells.join(","))
        };
        let rows: Vec<String> = rows.iter().map(cells).collect();
        let columns: Vec<(&str, &str)> = names.iter().map(|name| (*name, self.type_of(name))).collect();
        self.result(&columns, &rows, body);
    }

    fn is_asked_for(&self, select: &Select<'_>, version: i64, row: &Stored) -> bool {
        let matches = select.filter.is_none_or(|(filter, opposite)| filter.matches(&row.record) != opposite);
        let key = || self.queries[0].key.key(row.record.id);
        matches
            && !select.nothing
            && row.deleted == select.tombstones
            && select.least.is_none_or(|n| version >= n)
            && select.above.is_none_or(|n| version > n)
            && select.below.is_none_or(|n| version < n)
            && select.among.as_ref().is_none_or(|keys| keys.contains(&key()))
            && select.behind.as_ref().is_none_or(|behind| key() > *behind)
    }

    /// The columns come first, as recorded.
    fn result(&self, columns: &[(&str, &str)], rows: &[String], body: &mut String) {
        body.push_str(r#"{"schema":["#);
        for (index, (name, data_type)) in columns.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let flags = if *name == "id" { r#","flags":["pk","nn","uq"]"# } else { "" };
            *body +=
                &format!(r#"{comma}{{"name":"{name}","data_type":"{data_type}","index":{index}{flags}}}"#);
        }
        let (count, user) = (rows.len(), self.user);
        *body += &format!(r#"],"rows":[{}],"row_count":{count},"as_user":"{user}"}}"#, rows.join(","));
    }

    fn type_of(&self, name: &str) -> &'static str {
        match name {
            "id" => self.queries[0].key.data_type(),
            "n" | "extra" => "Int",
            "_seq" => "BigInt",
            "_deleted" => "Boolean",
            _ => "Text",
        }
    }

    fn cell(&self, row: &Stored, version: i64, name: &str) -> String {
        match name {
            "_seq" => format!("\"{version}\""),
            "_deleted" => row.deleted.to_string(),
            name => wire::cell(&self.queries[0], &row.record, name),
        }
    }
}
