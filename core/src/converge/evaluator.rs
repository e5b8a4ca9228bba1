//! What the server's live evaluator follows of a query, and what can be asked about its rows.

use std::sync::Arc;

use super::keeper::Keeper;
use super::questions::Questions;
use crate::error::Result;
use crate::schema::{DataType, Schema};
use crate::sql::Condition;

/// What the live evaluator makes of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// There is none: everything is told.
    Everything,
    /// Rows that enter are told, rows that leave are not.
    Entries,
    /// Nothing can be relied on.
    Nothing,
}

impl Keeper {
    /// Finds out what can be asked about rows of these columns.
    pub(super) fn prepare(&mut self, schema: &Arc<Schema>) -> Result<()> {
        self.questions = None;
        if !self.checks_here() {
            return Ok(());
        }
        // Positions are those of the rows that are arriving, not of those that are shown.
        let positions = self.view.arriving_key_positions();
        let is_key = |at: &usize| schema.all_columns()[*at].flags.primary_key;
        // What is no primary key may stand for several rows: there is no set of rows to compare.
        if positions.is_empty() || !positions.iter().all(is_key) {
            return Ok(());
        }
        let mut questions = Questions::new(&self.live, schema, &positions, self.version);
        questions.horizon = self.horizon.flatten();
        questions.literals = self.options.rules.literals;
        self.questions = Some(questions);
        self.epoch += 1;
        self.classify(schema, schema);
        Ok(())
    }

    /// Finds out what the live evaluator follows of the filter, by the types that `table` tells; for rows of `schema`.
    pub(super) fn classify(&mut self, table: &Schema, schema: &Schema) {
        let type_of = |name: &str| -> Option<&DataType> {
            table.all_columns().iter().find(|c| &*c.name == name).map(|column| &column.data_type)
        };
        let at = |name: &str| schema.all_columns().iter().position(|c| &*c.name == name);
        let condition = self.live.filter.as_ref().and_then(Condition::read);
        self.followed = match (&self.live.filter, &condition) {
            (None, _) => Followed::Everything,
            (Some(_), _) if !self.options.rules.know_evaluator => Followed::Entries,
            (Some(_), Some(condition)) if condition.is_followed(type_of) => Followed::Entries,
            (Some(_), _) => Followed::Nothing,
        };
        let sensitive = condition.map(|c| c.null_sensitive()).unwrap_or_default();
        self.null_sensitive = sensitive.iter().map(|name| at(name)).collect();
    }
}
