//! A request: its statements in order.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{
    Values, ddl,
    permission::{check_reads, check_table, check_write},
    query,
    single::{self, Outcome, SingleWrite, is_current},
    transaction::Transaction,
    values::missing_file,
    written::run_write,
};
use crate::engine::{
    Caller, Cell, Column, EngineLimits, Inner, MOST_FILES, SqlError, SqlRequest, StatementResult, Upload,
    accounts::require_admin,
    catalog::{Catalog, DEFAULT_NAMESPACE},
    error::SqlResult,
    plans::{Plan, PlanKey, WritePlan},
    sql::{
        context::{Context, QueryPlan, Source},
        dml, insert, query as sql_query, split,
        statement::{self, Statement},
        topics::TopicStatement,
        typed::ParamKind,
    },
    storage::Db,
    system::{self, SystemTable},
    time, topics,
};

/// A write that was queued, or had no need to be.
pub enum Submitted {
    Done(Result<Vec<StatementResult>, SqlError>),
    /// The catalog moved on meanwhile and nothing was written: run the request anew.
    Again,
}

/// How often a write is planned anew while the catalog changes under it.
const MOST_PLANS: usize = 8;

pub(crate) struct Batch<'a> {
    pub(super) engine: &'a Inner,
    pub(super) caller: Caller,
    pub(super) namespace: String,
    params: &'a [Json],
    files: &'a [Upload],
    pub(super) kinds: Vec<ParamKind>,
    pub(super) transaction: Option<Transaction<'a>>,
    /// What the results still to come may take.
    limits: EngineLimits,
}

impl<'a> Batch<'a> {
    fn new(
        engine: &'a Inner,
        caller: &Caller,
        request: &'a SqlRequest,
        files: &'a [Upload],
    ) -> SqlResult<Self> {
        let kinds = request.params.iter().enumerate().map(|(at, value)| ParamKind::of(at + 1, value));
        Ok(Self {
            engine,
            caller: caller.clone(),
            namespace: request.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            params: &request.params,
            files,
            kinds: kinds.collect::<SqlResult<_>>()?,
            transaction: None,
            limits: engine.limits.clone(),
        })
    }

    pub(crate) fn run(
        engine: &'a Inner,
        caller: &Caller,
        request: &'a SqlRequest,
        files: &'a [Upload],
    ) -> SqlResult<Vec<StatementResult>> {
        let mut batch = Self::new(engine, caller, request, files)?;
        // With files there is more to check than a kept plan knows.
        let key = PlanKey::new(&request.sql, &batch.namespace, &batch.kinds).filter(|_| files.is_empty());
        if let Some(key) = &key
            && let Some(plan) = engine.plans.get(key, engine.catalog().version)
        {
            return batch
                .planned(&plan, None)
                .map(|r| vec![r])
                .map_err(|e| e.at_statement(1, request.sql.trim()));
        }
        let pieces = split::split(&request.sql, &engine.limits)?;
        if pieces.len() > 1 && !request.params.is_empty() {
            let message = "Parameters not supported with multi-statement batches";
            return Err(SqlError::new("PARAMS_WITH_BATCH", 400, message));
        }
        check_files(&pieces, files)?;
        // All are parsed before the first one runs (recorded in wire/sql_surface.jsonl).
        let statements = pieces.iter().map(statement::parse).collect::<SqlResult<Vec<_>>>()?;
        let key = key.filter(|_| statements.len() == 1);
        let mut results = Vec::with_capacity(statements.len());
        for (at, (piece, statement)) in pieces.iter().zip(&statements).enumerate() {
            let result = batch.statement(statement, key.as_ref());
            results.push(result.map_err(|e| e.at_statement(at + 1, &piece.shown()))?);
            batch.spend(results.last());
        }
        match batch.transaction.take() {
            None => Ok(results),
            Some(open) => {
                drop(open);
                let error = SqlError::execution(
                    "the batch ended inside a transaction, which was rolled back: add COMMIT",
                );
                Err(error
                    .at_statement(pieces.len(), &pieces.last().map_or_else(String::new, split::Piece::shown)))
            }
        }
    }

    /// Queues a request that is a single write, and says later what became of it. False, and nothing is said, when it is
    /// anything else. Does not block.
    pub(crate) fn submit<F>(engine: &'a Inner, caller: &Caller, request: &'a SqlRequest, done: F) -> bool
    where
        F: FnOnce(Submitted) + Send + 'static,
    {
        let planned = Self::new(engine, caller, request, &[]).and_then(|batch| {
            let Some((plan, shown)) = batch.single_write(request)? else { return Ok(None) };
            match &*plan {
                Plan::Write(write) => check_write(write, caller)
                    .map_err(|error| error.at_statement(1, &shown))
                    .map(|()| Some((plan, shown))),
                Plan::Query(_) => Ok(None),
            }
        });
        let (plan, shown) = match planned {
            Ok(Some(planned)) => planned,
            Ok(None) => return false,
            Err(error) => {
                done(Submitted::Done(Err(error)));
                return true;
            }
        };
        let as_user = caller.user.clone();
        let tell = move |outcome: SqlResult<Outcome>| {
            done(match outcome {
                Ok(Outcome::Written(written)) => Submitted::Done(Ok(vec![written.result(as_user)])),
                Ok(Outcome::Stale) => Submitted::Again,
                Err(error) => Submitted::Done(Err(error.at_statement(1, &shown))),
            });
        };
        let now = time::now_micros();
        let job = SingleWrite::new(plan, caller.clone(), request.params.clone(), Vec::new(), now, tell);
        engine.commits.submit(Box::new(job));
        true
    }

    /// The plan of a request that is one INSERT, UPDATE or DELETE, and its text as errors show it.
    fn single_write(&self, request: &SqlRequest) -> SqlResult<Option<(Arc<Plan>, String)>> {
        let Some(key) = PlanKey::new(&request.sql, &self.namespace, &self.kinds) else { return Ok(None) };
        if let Some(plan) = self.engine.plans.get(&key, self.engine.catalog().version) {
            return Ok(Some((plan, request.sql.trim().to_owned())));
        }
        let word = request.sql.trim_start().get(..6).unwrap_or_default();
        if !["insert", "update", "delete"].iter().any(|write| word.eq_ignore_ascii_case(write)) {
            return Ok(None);
        }
        let pieces = split::split(&request.sql, &self.engine.limits)?;
        let [piece] = &pieces[..] else { return Ok(None) };
        let statement = statement::parse(piece)?;
        let shown = piece.shown();
        let (plan, version) = self.plan(&statement).map_err(|error| error.at_statement(1, &shown))?;
        self.engine.plans.put(&key, version, &plan);
        Ok(Some((plan, shown)))
    }

    /// The limits on results are for the whole request.
    fn spend(&mut self, result: Option<&StatementResult>) {
        let rows = result.map_or(&[][..], |r| &r.rows);
        let bytes: usize = rows.iter().flatten().map(|cell| size_of::<Cell>() + cell.heap_bytes()).sum();
        self.limits.result_rows = self.limits.result_rows.saturating_sub(rows.len());
        self.limits.result_bytes = self.limits.result_bytes.saturating_sub(bytes);
    }

    pub(super) fn statement(
        &mut self,
        statement: &Statement,
        key: Option<&PlanKey>,
    ) -> SqlResult<StatementResult> {
        self.check_time()?;
        match statement {
            Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => {
                let (plan, version) = self.plan(statement)?;
                if let Some(key) = key {
                    self.engine.plans.put(key, version, &plan);
                }
                self.planned(&plan, Some(statement))
            }
            Statement::Begin => self.begin(),
            Statement::Commit => self.commit(),
            Statement::Rollback => self.rollback(),
            Statement::Use { namespace } => {
                if !self.engine.catalog().namespaces.contains_key(&**namespace) {
                    return Err(SqlError::execution(format!("Not found: Namespace '{namespace}' not found")));
                }
                self.namespace.clone_from(namespace);
                Ok(self.message(0, format!("Namespace switched to '{namespace}'")))
            }
            Statement::CreateNamespace { .. } | Statement::DropNamespace { .. } => {
                require_admin(&self.caller, "namespace operations")?;
                self.ddl(statement)
            }
            Statement::CreateTable { .. } | Statement::DropTable { .. } | Statement::AlterTable { .. } => {
                require_admin(&self.caller, "table operations")?;
                self.ddl(statement)
            }
            Statement::CreateUser { .. } | Statement::AlterUser { .. } | Statement::DropUser { .. } => {
                require_admin(&self.caller, "user management")?;
                self.users(statement)
            }
            Statement::Topic(statement) => self.topic(statement),
            Statement::ShowTables { namespace } => self.show(SystemTable::Tables, namespace.as_deref()),
            Statement::ShowNamespaces => self.show(SystemTable::Namespaces, None),
            Statement::Describe { name } => self.describe(name),
            Statement::Admin(admin) => self.admin(admin),
            Statement::ExecuteAs { user, statement } => self.execute_as(user, statement),
        }
    }

    /// Reads tables, inside the transaction that is open.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Db) -> SqlResult<T>) -> SqlResult<T> {
        match &self.transaction {
            Some(open) => work(&open.writer.db),
            None => self.engine.storage.read(work),
        }
    }

    pub(super) fn message(&self, row_count: u64, message: String) -> StatementResult {
        StatementResult {
            columns: None,
            rows: Vec::new(),
            row_count,
            message: Some(message),
            as_user: self.caller.user.clone(),
        }
    }

    pub(super) fn rows(&self, columns: Arc<[Column]>, rows: Vec<Vec<Cell>>) -> StatementResult {
        let row_count = rows.len() as u64;
        StatementResult {
            columns: Some(columns),
            rows,
            row_count,
            message: None,
            as_user: self.caller.user.clone(),
        }
    }

    // Plans

    fn plan(&self, statement: &Statement) -> SqlResult<(Arc<Plan>, u64)> {
        let catalog = self.engine.catalog();
        let plan = self.plan_with(&catalog, statement)?;
        Ok((Arc::new(plan), catalog.version))
    }

    fn plan_with(&self, catalog: &Catalog, statement: &Statement) -> SqlResult<Plan> {
        let context =
            Context { catalog, namespace: &self.namespace, params: &self.kinds, holes: self.engine.holes };
        Ok(match statement {
            Statement::Query(query) => Plan::Query(sql_query::plan(&context, query)?),
            Statement::Insert(insert) => Plan::Write(WritePlan::Insert(insert::insert(&context, insert)?)),
            Statement::Update(update) => Plan::Write(WritePlan::Update(dml::update(&context, update)?)),
            Statement::Delete(delete) => Plan::Write(WritePlan::Delete(dml::delete(&context, delete)?)),
            _ => return Err(SqlError::internal("only queries and writes are planned")),
        })
    }

    /// Runs a plan. `statement` is at hand unless the plan came from the cache; then its text is parsed again, should
    /// the catalog have moved on in between.
    fn planned(&mut self, plan: &Arc<Plan>, statement: Option<&Statement>) -> SqlResult<StatementResult> {
        let values_now = time::now_micros();
        match &**plan {
            Plan::Query(query) => {
                check_reads(&query.sources, &self.caller)?;
                let before = self.engine.catalog().version;
                match self.query(query, values_now) {
                    // The table went or changed while we read it: say so in the terms of the new catalog.
                    Err(error) if self.engine.catalog().version != before => match statement {
                        Some(statement) => {
                            let (plan, _) = self.plan(statement)?;
                            match &*plan {
                                Plan::Query(query) => self.query(query, values_now),
                                Plan::Write(_) => Err(error),
                            }
                        }
                        None => Err(error),
                    },
                    done => done,
                }
            }
            Plan::Write(write) => {
                check_write(write, &self.caller)?;
                self.write(plan, write, statement, values_now)
            }
        }
    }

    fn query(&self, query: &QueryPlan, now: i64) -> SqlResult<StatementResult> {
        let values = Values::new(self.engine, &self.caller, self.params, self.files, now);
        let limits = &self.limits;
        let reads_tables = query.sources.iter().any(|s| matches!(s, Source::Table(_)));
        let rows = match reads_tables {
            false => query::run(&self.engine.scratch.lock(), query, &values, limits)?,
            true => self.read(|db| query::run(db, query, &values, limits))?,
        };
        Ok(self.rows(Arc::clone(&query.columns), rows))
    }

    // Writes

    fn write(
        &mut self,
        plan: &Arc<Plan>,
        write: &WritePlan,
        statement: Option<&Statement>,
        now: i64,
    ) -> SqlResult<StatementResult> {
        let engine = self.engine;
        let caller = self.caller.clone();
        if let Some(open) = &mut self.transaction {
            if !is_current(engine, write) {
                return Err(changed_meanwhile());
            }
            let values = Values::new(engine, &caller, self.params, self.files, now);
            let written = run_write(engine, &mut open.writer, write, &values, &mut open.changes)?;
            return Ok(written.result(caller.user));
        }
        let mut plan = Arc::clone(plan);
        for _ in 0..MOST_PLANS {
            match (single::write(engine, &plan, &caller, self.params, self.files, now)?, statement) {
                (Outcome::Written(written), _) => return Ok(written.result(caller.user)),
                (Outcome::Stale, None) => break,
                (Outcome::Stale, Some(statement)) => plan = self.plan(statement)?.0,
            }
            if let Plan::Write(write) = &*plan {
                check_write(write, &caller)?;
            }
        }
        Err(changed_meanwhile())
    }

    // DDL

    fn ddl(&mut self, statement: &Statement) -> SqlResult<StatementResult> {
        self.outside_transaction("DDL")?;
        let mut writer = self.engine.storage.write();
        let before = self.engine.catalog();
        writer.begin()?;
        let applied = ddl::apply(&writer, &before, statement, &self.namespace).and_then(|outcome| {
            // The topics go with their namespace.
            let topics = match statement {
                Statement::DropNamespace { name, .. } => {
                    topics::remove_namespace(&writer.db, &self.engine.topics.set(), name)?
                }
                _ => None,
            };
            Ok((outcome, topics))
        });
        let (outcome, topics) = match applied {
            Ok(applied) => applied,
            Err(error) => {
                writer.rollback();
                return Err(error);
            }
        };
        writer.commit()?;
        if let Some(catalog) = outcome.catalog {
            *self.engine.catalog.write() = Arc::new(catalog);
        }
        if let Some(topics) = topics {
            self.engine.topics.replace(topics);
        }
        for changed in outcome.changed {
            self.engine.tell_changed(changed.table, changed.dropped);
        }
        Ok(self.message(0, outcome.message))
    }

    fn topic(&mut self, statement: &TopicStatement) -> SqlResult<StatementResult> {
        self.outside_transaction("a statement about topics")?;
        Ok(match self.engine.topic_statement(&self.caller, &self.namespace, statement)? {
            topics::Outcome::Message(message) => self.message(0, message),
            topics::Outcome::Rows(columns, rows) => self.rows(columns, rows),
        })
    }

    // The rest

    fn show(&self, table: SystemTable, namespace: Option<&str>) -> SqlResult<StatementResult> {
        system::check_role(table, self.caller.role)?;
        let mut rows = table.rows(self.engine, &self.caller);
        if let Some(namespace) = namespace {
            // Third column of system.tables.
            rows.retain(|row| matches!(&row[2], Cell::Text(name) if **name == *namespace));
        }
        Ok(self.rows(table.columns(), rows))
    }

    fn describe(&self, name: &sqlparser::ast::ObjectName) -> SqlResult<StatementResult> {
        let catalog = self.engine.catalog();
        let context =
            Context { catalog: &catalog, namespace: &self.namespace, params: &[], holes: self.engine.holes };
        match context.table(name)? {
            Source::Table(table) => {
                check_table(&table, &self.caller, false)?;
                Ok(self.rows(system::describe_columns(), system::describe(&table, catalog.wire)))
            }
            Source::System(table) => {
                system::check_role(table, self.caller.role)?;
                Ok(self.rows(system::describe_columns(), system::describe_system(table)))
            }
        }
    }
}

fn changed_meanwhile() -> SqlError {
    SqlError::execution("Execution error: the table was changed meanwhile: try again")
}

/// Every file is asked for, and every one that is asked for came.
fn check_files(pieces: &[split::Piece], files: &[Upload]) -> SqlResult<()> {
    if files.len() > MOST_FILES {
        return Err(SqlError::new(
            "TOO_MANY_FILES",
            400,
            format!("more than {MOST_FILES} files in one request"),
        ));
    }
    if files.is_empty() {
        return Ok(());
    }
    let asked: Vec<String> = pieces.iter().flat_map(split::Piece::files).collect();
    if let Some(name) = asked.iter().find(|name| files.iter().all(|f| f.placeholder != **name)) {
        return Err(missing_file(name));
    }
    match files.iter().find(|f| !asked.contains(&f.placeholder)) {
        None => Ok(()),
        Some(file) => Err(SqlError::new(
            "EXTRA_FILE",
            400,
            format!("no FILE(\"{0}\") in the SQL asks for the part 'file:{0}'", file.placeholder),
        )),
    }
}
