//! Statements about the server itself.

use std::sync::Arc;

use serde_json::json;
use sqlparser::ast::ObjectName;

use super::{Batch, check_table, live_sql};
use crate::engine::{
    Cell, Column, DataType, Flags, SqlError, StatementResult,
    accounts::require_admin,
    catalog::SYSTEM_NAMESPACES,
    error::SqlResult,
    live_plan,
    sql::{
        admin::Admin,
        context::{Context, Source},
        names, query as sql_query,
    },
    storage::{meta, sql_error},
};

fn columns(names: &[(&str, DataType)]) -> Arc<[Column]> {
    let column = |(index, (name, data_type)): (usize, &(&str, DataType))| Column {
        name: (*name).into(),
        data_type: *data_type,
        index: u32::try_from(index).unwrap_or(u32::MAX),
        flags: Flags::NONE,
    };
    names.iter().enumerate().map(column).collect()
}

fn text(value: impl AsRef<str>) -> Cell {
    Cell::Text(value.as_ref().into())
}

impl Batch<'_> {
    pub(super) fn admin(&mut self, statement: &Admin) -> SqlResult<StatementResult> {
        match statement {
            Admin::Explain(query) => self.explain(query),
            Admin::Stats(table) => self.stats(table),
            Admin::DescribeNamespace { namespace, description } => {
                require_admin(&self.caller, "namespace operations")?;
                self.describe_namespace(namespace, description)
            }
            Admin::Subscribe { table, selection, options } => {
                let selection = selection.as_ref().map(|s| format!(" WHERE {s}")).unwrap_or_default();
                self.subscribe(table, &selection, options)
            }
            Admin::KillLive(id) => {
                require_admin(&self.caller, "killing live queries")?;
                match self.engine.kill_live(id) {
                    true => Ok(self.message(0, format!("Live query killed: {id}"))),
                    false => Err(SqlError::execution(format!("Not found: Live query '{id}' not found"))),
                }
            }
            Admin::Maintain(what) => {
                require_admin(&self.caller, "storage operations")?;
                let message = format!("{what} completed: the embedded server's storage needs none");
                Ok(self.message(0, message))
            }
        }
    }

    /// The tables that are read, and SQLite's plan; KalamDB's columns (`wire/sql_surface.jsonl`).
    fn explain(&self, query: &sqlparser::ast::Query) -> SqlResult<StatementResult> {
        let catalog = self.engine.catalog();
        let context = Context {
            catalog: &catalog,
            namespace: &self.namespace,
            params: &self.kinds,
            holes: self.engine.holes,
        };
        let plan = sql_query::plan(&context, query)?;
        super::permission::check_reads(&plan.sources, &self.caller)?;
        let mut named: Vec<(String, String)> = Vec::new();
        for source in &plan.sources {
            if let Source::Table(table) = source {
                named.push((table.sqlite_name(), table.qualified()));
            }
        }
        let reads: Vec<&str> = named.iter().map(|(_, name)| name.as_str()).collect();
        let listed: Vec<String> =
            plan.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect();
        let logical = format!("Projection: {}\n  Reads: {}", listed.join(", "), reads.join(", "));
        let steps = self.read(|db| {
            let mut statement =
                db.connection.prepare(&format!("EXPLAIN QUERY PLAN {}", plan.sql)).map_err(sql_error)?;
            let rows =
                statement.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<Result<Vec<_>, _>>();
            rows.map_err(sql_error)
        })?;
        // The names of tables inside SQLite mean nothing to a reader.
        let readable = |step: &String| {
            let words = step.split(' ').map(|word| match named.iter().find(|(inner, _)| inner == word) {
                Some((_, name)) => name.as_str(),
                None => word,
            });
            words.collect::<Vec<_>>().join(" ")
        };
        let physical = steps.iter().map(readable).collect::<Vec<_>>().join("\n");
        let rows =
            vec![vec![text("logical_plan"), text(logical)], vec![text("physical_plan"), text(physical)]];
        Ok(self.rows(columns(&[("plan_type", DataType::Text), ("plan", DataType::Text)]), rows))
    }

    /// Columns as recorded in `wire/sql_surface.jsonl`; the rows are counted, of the caller in a USER table.
    fn stats(&self, name: &ObjectName) -> SqlResult<StatementResult> {
        let catalog = self.engine.catalog();
        let context =
            Context { catalog: &catalog, namespace: &self.namespace, params: &[], holes: self.engine.holes };
        let table = context.user_table(name)?;
        check_table(&table, &self.caller, false)?;
        let owner = if table.has_owner() { " AND o = ?1" } else { " AND ?1 IS NOT NULL" };
        let sql = format!("SELECT count(*) FROM {} WHERE d = 0{owner}", table.sqlite_name());
        let count: i64 = self.read(|db| {
            let count = db.connection.query_row(&sql, [&*self.caller.user], |row| row.get(0));
            count.map_err(sql_error)
        })?;
        let live = self.engine.live();
        let here = live.iter().filter(|l| l.namespace == *table.namespace && l.table == *table.name).count();
        let names = [
            "table_name",
            "namespace",
            "schema_version",
            "logical_rows",
            "flushed_segments",
            "active_streams",
            "memory_bytes",
        ];
        let row = vec![
            text(&table.name),
            text(&table.namespace),
            text(table.version.to_string()),
            text(count.to_string()),
            text("0"),
            text(here.to_string()),
            text("0"),
        ];
        Ok(self.rows(columns(&names.map(|name| (name, DataType::Text))), vec![row]))
    }

    fn describe_namespace(&mut self, name: &str, description: &str) -> SqlResult<StatementResult> {
        self.outside_transaction("DDL")?;
        if description.len() > 4096 {
            return Err(SqlError::invalid("the description is longer than 4096 bytes"));
        }
        let mut writer = self.engine.storage.write();
        let mut catalog = (*self.engine.catalog()).clone();
        let Some(namespace) = catalog.namespaces.get_mut(name).filter(|_| !SYSTEM_NAMESPACES.contains(&name))
        else {
            return Err(SqlError::execution(format!("Not found: Namespace '{name}' not found")));
        };
        namespace.description = Some(description.into());
        writer.begin()?;
        if let Err(error) = meta::describe_namespace(&writer.db.connection, name, description) {
            writer.rollback();
            return Err(sql_error(error));
        }
        writer.commit()?;
        catalog.version += 1;
        *self.engine.catalog.write() = Arc::new(catalog);
        Ok(self.message(0, format!("Namespace '{name}' updated successfully")))
    }

    /// What a client needs to subscribe. Nothing is subscribed: a request has no connection to send changes to.
    fn subscribe(
        &self,
        table: &ObjectName,
        selection: &str,
        options: &serde_json::Value,
    ) -> SqlResult<StatementResult> {
        let (namespace, name) = names::table(table, &self.namespace)?;
        let sql = format!("SELECT * FROM {}{selection}", live_sql::name(&namespace, &name));
        let catalog = self.engine.catalog();
        let parts = live_plan::Parts {
            catalog: &catalog,
            wire: catalog.wire,
            evaluator: &self.engine.evaluator,
            limits: &self.engine.limits,
            holes: self.engine.holes,
        };
        live_plan::prepare(&parts, &self.caller, &sql)?;
        let id = format!("sub-{namespace}-{name}-{}", uuid::Uuid::new_v4().simple());
        let mut subscription = json!({"id": id, "sql": sql});
        if options.as_object().is_some_and(|o| !o.is_empty()) {
            subscription["options"] = options.clone();
        }
        let row = vec![
            text("subscription_required"),
            text(self.engine.ws_url()),
            Cell::Json(subscription.to_string().into()),
            text("Connect to ws_url and send the subscription to receive updates."),
        ];
        let columns = columns(&[
            ("status", DataType::Text),
            ("ws_url", DataType::Text),
            ("subscription", DataType::Json),
            ("message", DataType::Text),
        ]);
        Ok(self.rows(columns, vec![row]))
    }
}
