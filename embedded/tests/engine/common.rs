//! What the engine's tests share.

use std::sync::{Arc, Mutex};

use kalam_embedded::engine::{
    Caller, ChangeKind, CommitObserver, Data, Engine, EngineOptions, LiveChange, LiveQuery, Role, RowChange,
    SqlError, SqlRequest, StatementResult, TableId,
};
use serde_json::{Value, json};

pub(crate) fn memory() -> Engine {
    Engine::open(EngineOptions { root_password: Some("secret".into()), ..EngineOptions::new(Data::Memory) })
        .unwrap()
}

pub(crate) fn caller(user: &str, role: Role) -> Caller {
    Caller { user: user.into(), role }
}

pub(crate) fn root() -> Caller {
    caller("root", Role::System)
}

pub(crate) fn run_as(
    engine: &Engine,
    caller: &Caller,
    sql: &str,
    params: Vec<Value>,
) -> Result<Vec<StatementResult>, SqlError> {
    engine.execute(caller, &SqlRequest { sql: sql.into(), params, namespace: None })
}

pub(crate) fn run(engine: &Engine, sql: &str) -> Vec<StatementResult> {
    run_as(engine, &root(), sql, Vec::new()).unwrap_or_else(|e| panic!("{sql}: {e}"))
}

pub(crate) fn error(engine: &Engine, sql: &str) -> SqlError {
    match run_as(engine, &root(), sql, Vec::new()) {
        Err(error) => error,
        Ok(results) => panic!("{sql} was accepted: {results:?}"),
    }
}

/// The rows of the last statement, as JSON.
pub(crate) fn rows(engine: &Engine, sql: &str) -> Value {
    json!(run(engine, sql).pop().unwrap().rows)
}

/// One value.
pub(crate) fn value(engine: &Engine, expression: &str) -> Value {
    rows(engine, &format!("SELECT {expression} AS v"))[0][0].clone()
}

/// Collects what commits tell.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) changes: Mutex<Vec<RowChange>>,
    pub(crate) altered: Mutex<Vec<(TableId, bool)>>,
}

impl CommitObserver for Recorder {
    fn committed(&self, changes: &[RowChange]) {
        self.changes.lock().unwrap().extend_from_slice(changes);
    }

    fn table_changed(&self, table: TableId, dropped: bool) {
        self.altered.lock().unwrap().push((table, dropped));
    }
}

impl Recorder {
    pub(crate) fn install(engine: &Engine) -> Arc<Self> {
        let recorder = Arc::new(Self::default());
        engine.set_observer(recorder.clone());
        recorder
    }

    pub(crate) fn take(&self) -> Vec<RowChange> {
        std::mem::take(&mut self.changes.lock().unwrap())
    }

    /// What the changes since the last call mean to a query.
    pub(crate) fn seen_by(&self, query: &LiveQuery) -> Vec<LiveChange> {
        self.take().iter().filter_map(|c| query.evaluate(c).unwrap()).collect()
    }
}

/// The frame of a change, without what the connection adds.
pub(crate) fn frame(change: &LiveChange) -> Value {
    let kind = match change.kind {
        ChangeKind::Insert => "insert",
        ChangeKind::Update => "update",
        ChangeKind::Delete => "delete",
    };
    let mut frame = json!({"change_type": kind});
    if let Some(row) = &change.row {
        frame["rows"] = json!([row]);
    }
    if let Some(old) = &change.old_values {
        frame["old_values"] = json!([old]);
    }
    frame
}
