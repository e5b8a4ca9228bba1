//! FROM: tables, sub-queries, CTEs and joins.
//!
//! Every table is read with its row rules at the place where it stands: a USER table in a join or a sub-query shows the
//! caller's rows, and deleted rows are hidden. Nothing else is ever written into a FROM clause.

use std::sync::Arc;

use sqlparser::ast::{JoinConstraint, JoinOperator, ObjectName, TableFactor, TableWithJoins};

use super::{
    context::Source,
    names,
    query::alias_columns,
    relation::{Relation, plain_table},
    translator::Translator,
    typed::Bind,
};
use crate::engine::{Flags, SqlError, catalog::Table, error::SqlResult, system::SystemTable};

/// A FROM clause whose tables get their row rules when it is known what the statement asks about.
#[derive(Default)]
pub(super) struct FromClause {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Table { table: Arc<Table>, sqlite: String, relation: usize },
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Neither,
    Left,
    Right,
    Both,
}

impl Translator<'_> {
    /// Puts the relations into the frame's scope.
    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> SqlResult<FromClause> {
        let mut clause = FromClause::default();
        if from.is_empty() {
            return Ok(clause);
        }
        clause.text(" FROM ");
        for (at, TableWithJoins { relation, joins }) in from.iter().enumerate() {
            if at > 0 {
                clause.text(" CROSS JOIN ");
            }
            self.factor(&mut clause, relation)?;
            for join in joins {
                if join.global {
                    return Err(SqlError::unsupported("GLOBAL JOIN"));
                }
                let (word, constraint, nullable) = operator(&join.join_operator)?;
                if at > 0 && matches!(nullable, Side::Left | Side::Both) {
                    return Err(SqlError::unsupported("RIGHT or FULL JOIN behind a comma: use CROSS JOIN"));
                }
                clause.text(word);
                self.factor(&mut clause, &join.relation)?;
                self.constraint(&mut clause, constraint, nullable)?;
                self.lose_flags(nullable);
            }
        }
        Ok(clause)
    }

    fn factor(&mut self, clause: &mut FromClause, factor: &TableFactor) -> SqlResult<()> {
        if let TableFactor::NestedJoin { table_with_joins, alias: None } = factor
            && table_with_joins.joins.is_empty()
        {
            return self.factor(clause, &table_with_joins.relation);
        }
        let relation = match plain_table(factor)? {
            Some((name, alias)) => self.named(clause, name, alias)?,
            None => match factor {
                TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None } => {
                    let planned = self.outside(|this| this.query(subquery))?;
                    let sqlite = self.fresh('r');
                    clause.text(&format!("({}) AS {sqlite}", planned.sql));
                    let columns = alias_columns(planned.relation_columns(&sqlite), alias)?;
                    derived(&names::ident(&alias.name), columns)
                }
                TableFactor::Derived { alias: None, .. } => {
                    return Err(SqlError::invalid("a sub-query in FROM needs a name: (SELECT ...) AS name"));
                }
                TableFactor::Derived { .. } => return Err(SqlError::unsupported("LATERAL")),
                _ => return Err(SqlError::unsupported("joins in parentheses: use a sub-query")),
            },
        };
        let scope = &mut self.frame_mut().scope;
        let called = relation.prefix();
        if scope.relations.iter().any(|r| r.prefix() == called) {
            return Err(SqlError::execution(format!(
                "Schema error: the table name '{called}' is there twice: give one an alias"
            )));
        }
        scope.relations.push(relation);
        Ok(())
    }

    /// A CTE, a table or a system table.
    fn named(
        &mut self,
        clause: &mut FromClause,
        name: &ObjectName,
        alias: Option<String>,
    ) -> SqlResult<Relation> {
        let sqlite = self.fresh('r');
        let parts = names::parts(name)?;
        if let [single] = &parts[..]
            && let Some(cte) = self.ctes.iter().rev().find(|c| c.name == *single)
        {
            clause.text(&format!("{} AS {sqlite}", cte.sqlite));
            let relation = Relation { alias, ..derived(single, cte.columns.clone()) };
            return Ok(relation.named(&sqlite));
        }
        let Some(context) = self.context else { return Err(SqlError::unsupported("sub-queries")) };
        let source = context.table(name)?;
        let relation = match &source {
            Source::Table(table) => {
                let relation = self.frame().scope.relations.len();
                clause.parts.push(Part::Table { table: Arc::clone(table), sqlite: sqlite.clone(), relation });
                Relation::of_table(table, alias, context.catalog.wire)
            }
            Source::System(system) => {
                clause.text(&format!("{} AS {sqlite}", self.system_rows(*system)));
                system.relation(alias)
            }
        };
        self.sources.push(source);
        Ok(relation.named(&sqlite))
    }

    fn system_rows(&mut self, table: SystemTable) -> String {
        let rows = self.bind(Bind::System(table));
        let width = table.columns().len();
        let list: Vec<String> =
            (0..width).map(|at| format!("json_extract(value, '$[{at}]') AS c{at}")).collect();
        format!("(SELECT {} FROM json_each({rows}))", list.join(", "))
    }

    fn constraint(
        &mut self,
        clause: &mut FromClause,
        constraint: &JoinConstraint,
        nullable: Side,
    ) -> SqlResult<()> {
        match constraint {
            JoinConstraint::None => {}
            JoinConstraint::On(condition) => {
                let typed = self.expr(condition)?;
                let text = self.boolean(typed, "ON")?;
                clause.text(&format!(" ON {text}"));
            }
            JoinConstraint::Using(columns) => {
                if nullable == Side::Both {
                    return Err(SqlError::unsupported("FULL JOIN ... USING: use ON"));
                }
                let mut terms = Vec::new();
                for column in columns {
                    terms.push(self.using(&names::parts(column)?, nullable)?);
                }
                clause.text(&format!(" ON {}", terms.join(" AND ")));
            }
            _ => return Err(SqlError::unsupported("NATURAL JOIN: use ON or USING")),
        }
        Ok(())
    }

    /// `left.column = right.column`, of which one is found by the bare name from here on.
    fn using(&mut self, column: &[String], nullable: Side) -> SqlResult<String> {
        let scope = &mut self.frame_mut().scope;
        let missing = scope.no_field(&column.join("."));
        let Some(joined) = scope.relations.pop() else { return Err(missing) };
        let (left, offset) = (scope.find(column), scope.width());
        let right = joined.columns.iter().position(|c| column.len() == 1 && *c.name == *column[0]);
        scope.relations.push(joined);
        let (Some(left), Some(right)) = (left?, right) else { return Err(missing) };
        let right = offset + right;
        let both = [self.own_column(left)?, self.own_column(right)?];
        let equal = self.compare(both, "=", "=")?;
        self.frame_mut().scope.merged.push(if nullable == Side::Left { left } else { right });
        self.boolean(equal, "USING")
    }

    /// A joined row is not identified by one table's key, and an outer join makes NULLs.
    fn lose_flags(&mut self, nullable: Side) {
        let relations = &mut self.frame_mut().scope.relations;
        let last = relations.len() - 1;
        for (at, relation) in relations.iter_mut().enumerate() {
            let nullable = match nullable {
                Side::Neither => false,
                Side::Left => at < last,
                Side::Right => at == last,
                Side::Both => true,
            };
            for column in &mut relation.columns {
                let not_null = column.flags.not_null && !nullable;
                column.flags = Flags { not_null, ..Flags::NONE };
            }
        }
    }
}

impl FromClause {
    fn text(&mut self, text: &str) {
        self.parts.push(Part::Text(text.to_owned()));
    }

    /// The clause, and the terms that WHERE has to begin with.
    pub(super) fn write(&self, translator: &mut Translator<'_>) -> (String, Vec<String>) {
        let single = translator.frame().scope.relations.len() == 1;
        let (mut text, mut terms) = (String::new(), Vec::new());
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Table { table, sqlite, relation } => {
                    let asks_deleted = translator.asks_deleted(*relation);
                    let (prefix, name) = (format!("{sqlite}."), table.sqlite_name());
                    let rules = row_rules(table, translator, if single { &prefix } else { "" }, asks_deleted);
                    match single || rules.is_empty() {
                        true => {
                            text.push_str(&format!("{name} AS {sqlite}"));
                            terms = rules;
                        }
                        // Before the join: an outer join would let through what a later filter can not tell.
                        false => text.push_str(&format!(
                            "(SELECT * FROM {name} WHERE {}) AS {sqlite}",
                            rules.join(" AND ")
                        )),
                    }
                }
            }
        }
        (text, terms)
    }
}

/// What every read of a table has.
pub(super) fn row_rules(
    table: &Table,
    translator: &mut Translator<'_>,
    prefix: &str,
    asks_deleted: bool,
) -> Vec<String> {
    let mut terms = Vec::new();
    if table.has_owner() {
        terms.push(format!("{prefix}o = {}", translator.bind(Bind::CurrentUser)));
    }
    if !asks_deleted {
        terms.push(format!("{prefix}d = 0"));
    }
    if table.ttl_seconds.is_some() {
        let now = translator.bind(Bind::Now);
        terms.push(match asks_deleted {
            true => format!("({prefix}d = 1 OR {prefix}e > {now})"),
            false => format!("{prefix}e > {now}"),
        });
    }
    terms
}

fn derived(name: &str, columns: Vec<super::relation::RelationColumn>) -> Relation {
    Relation { namespace: None, table: name.into(), alias: None, columns }
}

fn operator(operator: &JoinOperator) -> SqlResult<(&'static str, &JoinConstraint, Side)> {
    use JoinOperator as J;
    Ok(match operator {
        J::Join(c) | J::Inner(c) => (" JOIN ", c, Side::Neither),
        J::Left(c) | J::LeftOuter(c) => (" LEFT JOIN ", c, Side::Right),
        J::Right(c) | J::RightOuter(c) => (" RIGHT JOIN ", c, Side::Left),
        J::FullOuter(c) => (" FULL JOIN ", c, Side::Both),
        J::CrossJoin(c @ JoinConstraint::None) => (" CROSS JOIN ", c, Side::Neither),
        _ => return Err(SqlError::unsupported("this kind of JOIN")),
    })
}
