//! Requests and their results.

use std::sync::Arc;

use super::{Cell, Column};

/// The body of a request to the SQL endpoint.
#[derive(Debug, Clone, Default)]
pub struct SqlRequest {
    /// One or more statements, separated by `;`.
    pub sql: String,
    /// Values of `$1`, `$2`, ...; only with a single statement.
    pub params: Vec<serde_json::Value>,
    /// Namespace of unqualified table names; `default` when absent.
    pub namespace: Option<String>,
}

/// What one statement gave.
#[derive(Debug, Clone, PartialEq)]
pub struct StatementResult {
    /// Present when the statement returns rows, even when there are none.
    pub columns: Option<Arc<[Column]>>,
    /// In the order of `columns`.
    pub rows: Vec<Vec<Cell>>,
    /// Rows returned, or rows written.
    pub row_count: u64,
    /// What happened, for statements that return no rows.
    pub message: Option<String>,
    pub as_user: Arc<str>,
}
