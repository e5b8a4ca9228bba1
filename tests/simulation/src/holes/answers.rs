//! The SQL endpoint: SELECTs over the one table, answered by the leader's numbers.

use kalam_live::live::Digest;
use kalam_live::schema::SeqId;
use serde_json::{Value as Json, json};

use crate::data::{COLUMNS, Query};
use crate::server::{Stored, Table};

/// The table as the SQL endpoint sees it.
#[derive(Debug)]
pub struct Endpoint<'a> {
    /// The rows.
    pub table: &'a Table,
    /// Every query whose filter may be asked about.
    pub queries: &'a [Query],
    /// Whose rights the answer is made with.
    pub user: &'a str,
    /// The table has one more column.
    pub altered: bool,
    /// The table is gone.
    pub dropped: bool,
    /// Rows without a LIMIT, and with one.
    pub caps: (usize, usize),
}

impl Endpoint<'_> {
    /// Status and body.
    pub fn answer(&self, sql: &str) -> (u16, String) {
        if self.dropped {
            let message = "Statement 1 failed: Table not found: Error during planning: table 'kalam.app.t' not found";
            let error = json!({"code": "SQL_EXECUTION_ERROR", "message": message, "details": sql});
            return (400, json!({"status": "error", "results": [], "took": 1.0, "error": error}).to_string());
        }
        let results: Vec<String> = sql.split("; ").map(|statement| self.statement(statement)).collect();
        (200, format!(r#"{{"status":"success","results":[{}],"took":1.0}}"#, results.join(",")))
    }

    fn statement(&self, sql: &str) -> String {
        let mut rows: Vec<&Stored> = self.table.stored().filter(|row| self.is_asked_for(sql, row)).collect();
        if sql.starts_with("SELECT count(*)") {
            let versions = rows.iter().map(|row| SeqId::from(row.version));
            let digest = Digest::of(versions);
            let greatest = rows.iter().map(|row| row.version.to_string()).max_by_key(|v| (v.len(), v.clone()));
            let mix = (!rows.is_empty()).then(|| digest.mix.to_string());
            let columns = ["n", "m", "x"].map(|name| (name.to_owned(), "BigInt"));
            return self.result(&columns, vec![json!([digest.rows.to_string(), greatest, mix])]);
        }
        if sql.contains("ORDER BY _seq DESC") {
            rows.sort_by_key(|row| -row.version);
        } else if sql.contains("ORDER BY _seq") {
            rows.sort_by_key(|row| row.version);
        }
        let (without, most) = self.caps;
        rows.truncate(number(sql, "LIMIT ").map_or(without, |limit| (limit as usize).min(most)));
        // The right rows, in the order of the key.
        rows.sort_by_key(|row| row.record.id);
        let names = sql.strip_prefix("SELECT ").and_then(|rest| rest.split(" FROM ").next()).unwrap_or("*");
        let columns: Vec<(String, &str)> = match names {
            "*" => {
                let extra = self.altered.then_some("extra");
                COLUMNS.iter().copied().chain(extra).map(|name| (name.to_owned(), type_of(name))).collect()
            }
            list => list.split(", ").map(|name| (name.to_owned(), type_of(name))).collect(),
        };
        let cells = |row: &&Stored| columns.iter().map(|(name, _)| cell(row, name)).collect::<Json>();
        let rows = rows.iter().map(cells).collect();
        self.result(&columns, rows)
    }

    fn is_asked_for(&self, sql: &str, row: &Stored) -> bool {
        let of = |text: String| sql.contains(&text);
        let filter = self.queries.iter().find_map(|query| {
            let text = query.live.filter.as_ref()?.as_str();
            of(format!("({text})")).then_some((query.filter, of(format!("({text}) IS NOT TRUE"))))
        });
        let matches = match filter {
            Some((filter, opposite)) => filter.matches(&row.record) != opposite,
            None => !sql.contains("WHERE FALSE"),
        };
        let alive = row.deleted == sql.contains("_deleted = true");
        let among = sql.split_once("id IN (").is_none_or(|(_, list)| {
            let list = list.split(')').next().unwrap_or_default();
            list.split(", ").any(|id| id.parse() == Ok(row.record.id))
        });
        matches
            && alive
            && among
            && number(sql, "_seq >= ").is_none_or(|n| row.version >= n)
            && number(sql, "_seq > ").is_none_or(|n| row.version > n)
            && number(sql, "_seq < ").is_none_or(|n| row.version < n)
            && number(sql, " id > ").is_none_or(|n| row.record.id > n)
    }

    /// The columns come first, as recorded.
    fn result(&self, columns: &[(String, &str)], rows: Vec<Json>) -> String {
        let schema: Vec<Json> = (columns.iter().enumerate())
            .map(|(index, (name, data_type))| match name.as_str() {
                "id" => json!({"name": name, "data_type": data_type, "index": index, "flags": ["pk", "nn", "uq"]}),
                _ => json!({"name": name, "data_type": data_type, "index": index}),
            })
            .collect();
        let (schema, count, rows) = (Json::from(schema), rows.len(), Json::from(rows));
        format!(r#"{{"schema":{schema},"rows":{rows},"row_count":{count},"as_user":"{}"}}"#, self.user)
    }
}

fn number(sql: &str, before: &str) -> Option<i64> {
    let rest = &sql[sql.find(before)? + before.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn type_of(name: &str) -> &'static str {
    match name {
        "id" | "n" | "extra" => "Int",
        "_seq" => "BigInt",
        "_deleted" => "Boolean",
        _ => "Text",
    }
}

fn cell(row: &Stored, name: &str) -> Json {
    match name {
        "id" => json!(row.record.id),
        "grp" => json!(row.record.grp),
        "v" => json!(row.record.v),
        "n" => json!(row.record.n),
        "_seq" => json!(row.version.to_string()),
        "_deleted" => json!(row.deleted),
        _ => Json::Null,
    }
}
