//! Statements about accounts, and statements as another user.

use super::Batch;
use crate::engine::{
    Caller, SqlError, StatementResult, accounts,
    error::SqlResult,
    sql::statement::{Statement, UserChange},
    storage::{meta, sql_error},
};

impl Batch<'_> {
    pub(super) fn users(&mut self, statement: &Statement) -> SqlResult<StatementResult> {
        self.outside_transaction("user management")?;
        // Hashing is slow: before the lock.
        let hash = match statement {
            Statement::CreateUser { user, password, email, .. } => {
                accounts::check_new_user(user, password, email.as_deref())?;
                Some(accounts::hash(password).map_err(SqlError::internal)?)
            }
            Statement::AlterUser { change: UserChange::Password(password), .. } => {
                accounts::check_new_password(password)?;
                Some(accounts::hash(password).map_err(SqlError::internal)?)
            }
            Statement::AlterUser { change: UserChange::Email(email), .. } => {
                accounts::check_email(email.as_deref())?;
                None
            }
            _ => None,
        };
        let mut writer = self.engine.storage.write();
        let mut known = self.engine.accounts.write();
        let (account, message) = match statement {
            Statement::CreateUser { user, role, email, .. } => {
                let hash = hash.unwrap_or_default();
                (
                    known.created(&self.caller, user, hash, *role, email.clone())?,
                    format!("User '{user}' created"),
                )
            }
            Statement::AlterUser { user, change } => {
                (known.altered(&self.caller, user, change, hash)?, format!("User '{user}' updated"))
            }
            Statement::DropUser { user, if_exists: true } if known.get(user).is_none() => {
                return Ok(self.message(0, format!("User '{user}' does not exist (skipped)")));
            }
            Statement::DropUser { user, .. } => {
                (known.dropped(&self.caller, user)?, format!("User '{user}' dropped (soft delete)"))
            }
            _ => return Err(SqlError::internal("not a statement about users")),
        };
        writer.begin()?;
        if let Err(error) = meta::store_user(&writer.db.connection, &account) {
            writer.rollback();
            return Err(sql_error(error));
        }
        writer.commit()?;
        known.put(account);
        Ok(self.message(0, message))
    }

    /// Recorded in `wire/tables.jsonl`.
    pub(super) fn execute_as(&mut self, user: &str, statement: &Statement) -> SqlResult<StatementResult> {
        let target = self.engine.accounts.read().get(user).map(accounts::info);
        let actor = self.caller.clone();
        let allowed = match &target {
            Some(target) => *target.id == *actor.user || target.role < actor.role,
            // Not to tell which names exist to those who may not act as anybody.
            None => actor.role > crate::engine::Role::User,
        };
        match target {
            Some(target) if allowed => {
                self.caller = Caller { user: target.id, role: target.role };
                let result = self.statement(statement, None);
                self.caller = actor;
                result
            }
            None if allowed => Err(SqlError::execution(format!("Not found: User '{user}' not found"))),
            target => Err(SqlError::permission(format!(
                "Unauthorized: EXECUTE AS USER is not authorized: actor '{}' with role {:?} cannot target '{user}' with \
                 role {:?}",
                actor.user,
                actor.role,
                target.map_or(crate::engine::Role::User, |t| t.role)
            ))),
        }
    }
}
