//! What is right: SELECTs over HTTP, on connections of its own and page by page, never through the client under test.

use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::{Failure, Target};

/// Below every server's cap on rows.
const PAGE: usize = 400;

/// Speaks to a server as one user.
pub struct Oracle {
    http: reqwest::Client,
    url: String,
    /// For a login.
    who: Value,
    token: Mutex<String>,
    /// What the version of a row is called there.
    version: &'static str,
}

/// The rows of a SELECT, each cell as the wire writes it.
pub(crate) struct Selected {
    pub(crate) rows: Vec<Vec<Value>>,
    columns: Vec<Value>,
}

impl Oracle {
    /// Logs in.
    ///
    /// # Errors
    /// The server can not be reached or refuses.
    pub async fn login(target: &Target) -> Result<Self, Failure> {
        // Fails when it was done before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().build()?;
        let url = target.url.trim_end_matches('/').to_owned();
        let who = json!({ "user": target.user, "password": target.password });
        let version = target.version_column();
        let oracle = Self { http, url, who, token: Mutex::default(), version };
        oracle.refresh().await?;
        Ok(oracle)
    }

    /// Logs in again, and returns the new access token.
    ///
    /// # Errors
    /// The server can not be reached or refuses.
    pub async fn refresh(&self) -> Result<String, Failure> {
        let answer = send(self.http.post(format!("{}/v1/api/auth/login", self.url)), &self.who).await?;
        let token = answer["access_token"].as_str().ok_or("the login gave no token")?.to_owned();
        self.token().clone_from(&token);
        Ok(token)
    }

    fn token(&self) -> MutexGuard<'_, String> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one statement and returns its result.
    ///
    /// # Errors
    /// The server's, in its words.
    pub async fn run(&self, sql: &str) -> Result<Value, Failure> {
        let token = self.token().clone();
        let mut answer = self.send_sql(sql, &token).await;
        if matches!(&answer, Err(failure) if failure.is::<Unauthorized>()) {
            answer = self.send_sql(sql, &self.refresh().await?).await;
        }
        Ok(answer.map_err(|error| format!("{sql}: {error}"))?["results"][0].clone())
    }

    async fn send_sql(&self, sql: &str, token: &str) -> Result<Value, Failure> {
        let request = self.http.post(format!("{}/v1/api/sql", self.url));
        let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        send(request, &json!({ "sql": sql })).await
    }

    /// The rows of such a SELECT, in an order that depends on nothing else.
    ///
    /// # Errors
    /// The server's, in its words.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<Value>>, Failure> {
        Ok(sorted(self.select(sql).await?.into_rows()))
    }

    /// All rows of `SELECT columns FROM table [WHERE filter]`, of which the columns include the key. The version is called
    /// `_seq` there.
    pub(crate) async fn select(&self, sql: &str) -> Result<Selected, Failure> {
        let sql = sql.replace("_seq", self.version);
        let sql = sql.as_str();
        let (select, filter) = match sql.split_once(" WHERE ") {
            Some((select, filter)) => (select, format!("({filter})")),
            None => (sql, "1 = 1".to_owned()),
        };
        let mut selected = Selected { rows: Vec::new(), columns: Vec::new() };
        let mut after = String::new();
        loop {
            // The key is not known before the first answer, which has one row or none.
            let paging = match selected.key() {
                None => " LIMIT 1".to_owned(),
                Some(key) => format!("{after} ORDER BY {} LIMIT {PAGE}", selected.name(key)),
            };
            let result = self.run(&format!("{select} WHERE {filter}{paging}")).await?;
            let rows: Vec<Vec<Value>> = serde_json::from_value(result["rows"].clone())?;
            let Some(key) = selected.key() else {
                selected.columns = result["schema"].as_array().ok_or("a SELECT has a schema")?.clone();
                if rows.is_empty() {
                    return Ok(selected);
                }
                selected.key().ok_or_else(|| format!("{sql} must select the primary key, of one column"))?;
                continue;
            };
            let is_last = rows.len() < PAGE;
            // Rows of a page come in any order.
            let Some(greatest) = rows.iter().map(|row| &row[key]).max_by(|a, b| selected.compare(key, a, b))
            else {
                return Ok(selected);
            };
            after = format!(" AND {} > {}", selected.name(key), selected.literal(key, greatest));
            selected.rows.extend(rows);
            if is_last {
                return Ok(selected);
            }
        }
    }
}

impl Selected {
    /// Position of the only key column.
    fn key(&self) -> Option<usize> {
        self.columns.iter().position(|column| {
            column["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "pk"))
        })
    }

    fn name(&self, column: usize) -> &str {
        self.columns[column]["name"].as_str().unwrap_or_default()
    }

    /// The rows with the `n` greatest versions, without these.
    pub(crate) fn newest(mut self, n: usize) -> Result<Self, Failure> {
        let at =
            self.columns.iter().position(|column| column["name"] == "_seq" || column["name"] == "_version");
        let at = at.ok_or("the newest rows are known by their _seq: select it")?;
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_by(|a, b| self.compare(at, &b[at], &a[at]));
        rows.truncate(n);
        for row in &mut rows {
            row.remove(at);
        }
        self.columns.remove(at);
        Ok(Self { rows, ..self })
    }

    /// The rows with the `n` smallest keys.
    pub(crate) fn first(mut self, n: usize) -> Self {
        let mut rows = std::mem::take(&mut self.rows);
        if let Some(key) = self.key() {
            rows.sort_by(|a, b| self.compare(key, &a[key], &b[key]));
        }
        rows.truncate(n);
        Self { rows, ..self }
    }

    fn is_number(&self, column: usize) -> bool {
        ["SmallInt", "Int", "BigInt"].iter().any(|number| self.columns[column]["data_type"] == *number)
    }

    /// Numbers, which may come as text, by their value; texts by their bytes.
    fn compare(&self, column: usize, a: &Value, b: &Value) -> std::cmp::Ordering {
        let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
        match self.is_number(column) {
            true => number(a).cmp(&number(b)),
            false => a.as_str().cmp(&b.as_str()),
        }
    }

    fn literal(&self, column: usize, value: &Value) -> String {
        match value.as_str() {
            Some(number) if self.is_number(column) => number.to_owned(),
            Some(text) => format!("'{}'", text.replace('\'', "''")),
            None => value.to_string(),
        }
    }

    /// The rows, JSON parsed.
    pub(crate) fn into_rows(mut self) -> Vec<Vec<Value>> {
        for (at, column) in self.columns.iter().enumerate() {
            for row in &mut self.rows {
                if column["data_type"] == "Json"
                    && let Some(json) = row[at].as_str().and_then(|text| serde_json::from_str(text).ok())
                {
                    row[at] = json;
                }
            }
        }
        self.rows
    }
}

/// The same rows in an order that depends on nothing else.
pub fn sorted(mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    rows.sort_by_cached_key(|row| Value::from(row.clone()).to_string());
    rows
}

/// The token is not good, or not any more.
#[derive(Debug)]
struct Unauthorized(String);

impl std::fmt::Display for Unauthorized {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unauthorized: {}", self.0)
    }
}

impl std::error::Error for Unauthorized {}

async fn send(request: reqwest::RequestBuilder, body: &Value) -> Result<Value, Failure> {
    let response = request.header(CONTENT_TYPE, "application/json").body(body.to_string()).send().await?;
    let status = response.status();
    let text = response.text().await?;
    if status == StatusCode::UNAUTHORIZED {
        return Err(Unauthorized(text).into());
    }
    if !status.is_success() {
        return Err(format!("{status}: {text}").into());
    }
    Ok(serde_json::from_str(&text)?)
}
