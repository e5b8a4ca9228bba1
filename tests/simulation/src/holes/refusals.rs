//! Subscriptions that the server refuses, in the words of `wire/live_errors.jsonl`. A client checks what it sends, so that
//! no run has any.

/// What the server calls its table.
#[derive(Clone, Debug)]
pub struct Called {
    /// With its namespace.
    pub table: String,
    /// Those of the system aside.
    pub columns: Vec<String>,
}

impl Default for Called {
    fn default() -> Self {
        Self { table: "app.t".into(), columns: ["id", "grp", "v", "n"].map(Into::into).into() }
    }
}

const SHAPE: &str = "Only SELECT ... FROM ... [WHERE ...] is supported.";

/// Code and message. `None`: there is nothing wrong with it.
pub fn refusal(sql: &str, called: &Called) -> Option<(&'static str, String)> {
    let invalid = |what: String| Some(("INVALID_SQL", format!("Invalid SQL: {what}")));
    let twice = |what: String| invalid(format!("Invalid SQL: {what}"));
    let failed = |what: String| Some(("SUBSCRIPTION_FAILED", format!("Execution error: {what}")));
    match sql.split(' ').next().unwrap_or_default() {
        "SELECT" => {}
        "" => return twice("Empty SQL statement".into()),
        "DELETE" => return twice("Only SELECT queries are supported for subscriptions".into()),
        word => {
            return invalid(format!(
                "Parse error: Failed to parse SQL: sql parser error: Expected: an SQL statement, found: {word} at Line: 1, Column: 1"
            ));
        }
    }
    for (part, name) in [(" ORDER BY ", "ORDER BY"), (" JOIN ", "JOIN clauses")] {
        if sql.contains(part) {
            return twice(format!("Subscription query does not support {name}. {SHAPE}"));
        }
    }
    if sql.contains(" LIMIT ") || sql.starts_with("SELECT DISTINCT ") {
        return twice("Subscription query supports only SELECT ... FROM ... [WHERE ...].".into());
    }
    let (projection, rest) = sql.strip_prefix("SELECT ")?.split_once(" FROM ")?;
    let (source, condition) = rest.split_once(" WHERE ").unwrap_or((rest, ""));
    let Some((namespace, name)) = source.split(' ').next()?.split_once('.') else {
        return invalid("Query must use namespace.table format".into());
    };
    let table = &called.table;
    if *table != format!("{namespace}.{name}") {
        return Some(("NOT_FOUND", format!("Not found: Table not found: {namespace}:{name}")));
    }
    if projection == "count(*)" {
        return failed(format!(
            "Execution error: Error during planning: Column in SELECT must be in GROUP BY or an aggregate function: \
             While expanding wildcard, column \"{table}._seq\" must appear in the GROUP BY clause or must be part of \
             an aggregate function, currently only \"count(Int64(1))\" appears in the SELECT clause satisfies this \
             requirement"
        ));
    }
    let columns = called.columns.iter().map(String::as_str).chain(["_seq", "_deleted"]);
    // An expression is taken, and in no row. An alias is taken for a column.
    let selected = projection.split(", ").map(|item| item.rsplit(" AS ").next().unwrap_or(item));
    let compared = condition.split(' ').next().unwrap_or_default();
    let is_name = |text: &&str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
            && *text != "NOT"
    };
    let unknown = selected
        .chain([compared])
        .filter(is_name)
        .find(|name| !columns.clone().any(|column| column == *name))?;
    let valid: Vec<String> = columns.map(|column| format!("{table}.{column}")).collect();
    failed(format!(
        "Invalid operation: Schema error: No field named {unknown}. Valid fields are {}.",
        valid.join(", ")
    ))
}
