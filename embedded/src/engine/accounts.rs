//! Accounts: passwords (argon2), roles, and the statements that manage them.

use std::{collections::HashMap, sync::Arc};

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier, password_hash::SaltString};

use super::{
    Caller, CredentialError, Role, SqlError, UserInfo,
    error::SqlResult,
    sql::statement::UserChange,
    storage::{StoredUser, ulid},
    time,
};

/// An account as stored.
pub(crate) type Account = StoredUser;

pub(crate) const ROOT: &str = "root";

const MAX_USER: usize = 128;
const MAX_PASSWORD: usize = 256;

/// All accounts, dropped ones included.
#[derive(Default)]
pub(crate) struct Accounts {
    by_id: HashMap<Arc<str>, Account>,
    /// Verified against when there is no such user, so that the answer takes as long.
    decoy: String,
}

impl Accounts {
    pub(crate) fn new(users: Vec<StoredUser>) -> Result<Self, String> {
        let decoy = hash(&ulid())?;
        Ok(Self { by_id: users.into_iter().map(|u| (u.id.clone(), u)).collect(), decoy })
    }

    pub(crate) fn get(&self, user: &str) -> Option<&Account> {
        self.by_id.get(user).filter(|a| !a.dropped)
    }

    pub(crate) fn list(&self) -> Vec<Account> {
        let mut list: Vec<Account> = self.by_id.values().filter(|a| !a.dropped).cloned().collect();
        list.sort_by(|a, b| a.id.cmp(&b.id));
        list
    }

    pub(crate) fn put(&mut self, account: Account) {
        self.by_id.insert(account.id.clone(), account);
    }

    /// The hash to verify a password against, and whether it is a real one.
    pub(crate) fn hash_of(&self, user: &str) -> (String, bool) {
        match self.get(user) {
            Some(account) => (account.hash.clone(), true),
            None => (self.decoy.clone(), false),
        }
    }

    /// The account to store for `CREATE USER`.
    pub(crate) fn created(
        &self,
        caller: &Caller,
        user: &str,
        hash: String,
        role: Role,
        email: Option<String>,
    ) -> SqlResult<Account> {
        check_rank(caller, role)?;
        if self.get(user).is_some() {
            return Err(SqlError::execution(format!("Already exists: User '{user}' already exists")));
        }
        let now = time::now_micros();
        // A name that comes back must not wake the tokens of the one that went.
        let generation = self.by_id.get(user).map_or(1, |old| old.generation + 1);
        Ok(Account {
            id: user.into(),
            hash,
            role,
            email,
            created_at: now,
            updated_at: now,
            generation,
            dropped: false,
        })
    }

    /// The account to store for `ALTER USER`. `hash` is that of a new password.
    pub(crate) fn altered(
        &self,
        caller: &Caller,
        user: &str,
        change: &UserChange,
        hash: Option<String>,
    ) -> SqlResult<Account> {
        let mut account = self.existing(caller, user)?;
        match change {
            UserChange::Password(_) => account.hash = hash.unwrap_or(account.hash),
            UserChange::Role(role) => {
                check_rank(caller, *role)?;
                if *caller.user == *account.id {
                    return Err(SqlError::execution("Invalid operation: you can not change your own role"));
                }
                account.role = *role;
            }
            UserChange::Email(email) => account.email.clone_from(email),
        }
        account.updated_at = time::now_micros().max(account.updated_at + 1);
        account.generation += 1;
        Ok(account)
    }

    /// The account to store for `DROP USER`.
    pub(crate) fn dropped(&self, caller: &Caller, user: &str) -> SqlResult<Account> {
        let mut account = self.existing(caller, user)?;
        if *caller.user == *account.id || *account.id == *ROOT {
            return Err(SqlError::execution(format!(
                "Invalid operation: User '{user}' can not be dropped by this caller"
            )));
        }
        account.dropped = true;
        account.hash = String::new();
        account.updated_at = time::now_micros();
        account.generation += 1;
        Ok(account)
    }

    fn existing(&self, caller: &Caller, user: &str) -> SqlResult<Account> {
        let account = self.get(user).cloned();
        let account =
            account.ok_or_else(|| SqlError::execution(format!("Not found: User '{user}' not found")))?;
        check_rank(caller, account.role)?;
        Ok(account)
    }
}

/// Nobody makes, changes or drops an account above their own rank.
fn check_rank(caller: &Caller, role: Role) -> SqlResult<()> {
    if role <= caller.role {
        return Ok(());
    }
    Err(SqlError::permission(format!("a {} can not manage accounts of role {role}", caller.role)))
}

/// Recorded in `wire/sql_surface.jsonl`.
pub(crate) fn require_admin(caller: &Caller, what: &str) -> SqlResult<()> {
    if caller.role.is_admin() {
        return Ok(());
    }
    Err(SqlError::permission(format!("Admin privileges (DBA or System role) required for {what}")))
}

pub(crate) fn check_new_user(user: &str, password: &str, email: Option<&str>) -> SqlResult<()> {
    if user.is_empty() || user.len() > MAX_USER || user.chars().any(char::is_control) {
        return Err(SqlError::execution(format!(
            "Invalid operation: a user name has 1 to {MAX_USER} bytes and no control characters"
        )));
    }
    check_new_password(password)?;
    check_email(email)
}

pub(crate) fn check_new_password(password: &str) -> SqlResult<()> {
    if password.is_empty() || password.len() > MAX_PASSWORD {
        return Err(SqlError::execution(format!(
            "Invalid operation: a password has 1 to {MAX_PASSWORD} bytes"
        )));
    }
    Ok(())
}

pub(crate) fn check_email(email: Option<&str>) -> SqlResult<()> {
    match email {
        Some(email) if email.len() > 254 || !email.contains('@') || email.chars().any(char::is_control) => {
            Err(SqlError::execution("Invalid operation: this is not an e-mail address"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn hash(password: &str) -> Result<String, String> {
    let mut salt = [0_u8; 16];
    getrandom::fill(&mut salt).map_err(|e| format!("the system has no random numbers: {e}"))?;
    let salt = SaltString::encode_b64(&salt).map_err(|e| format!("the password can not be hashed: {e}"))?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.map(|h| h.to_string()).map_err(|e| format!("the password can not be hashed: {e}"))
}

pub(crate) fn verify(hash: &str, password: &str) -> Result<bool, CredentialError> {
    let parsed = PasswordHash::new(hash)
        .map_err(|_| CredentialError::Internal("a stored password hash is damaged".into()))?;
    match Argon2::default().verify_password(password.as_bytes(), &parsed) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::Password) => Ok(false),
        Err(error) => Err(CredentialError::Internal(format!("the password can not be checked: {error}"))),
    }
}

/// 24 characters, about 120 bits.
pub(crate) fn random_password() -> Result<String, String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0_u8; 24];
    getrandom::fill(&mut bytes).map_err(|e| format!("the system has no random numbers: {e}"))?;
    Ok(bytes.iter().map(|b| char::from(LETTERS[usize::from(b & 31)])).collect())
}

pub(crate) fn info(account: &Account) -> UserInfo {
    UserInfo {
        id: account.id.clone(),
        role: account.role,
        email: account.email.clone(),
        created_at: time::format_rfc3339(account.created_at),
        updated_at: time::format_rfc3339(account.updated_at),
        generation: account.generation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_user_is_verified_like_a_known_one() {
        let mut accounts = Accounts::new(Vec::new()).unwrap();
        let root = Caller { user: ROOT.into(), role: Role::System };
        let account = accounts.created(&root, "al", hash("pw").unwrap(), Role::User, None).unwrap();
        accounts.put(account);
        let ((real, is_real), (decoy, is_decoy_real)) = (accounts.hash_of("al"), accounts.hash_of("nobody"));
        assert!(is_real && !is_decoy_real);
        // Same algorithm, same cost; and no password opens it.
        let cost = |hash: &str| hash.rsplitn(3, '$').last().unwrap().to_owned();
        assert_eq!(cost(&real), cost(&decoy));
        assert_eq!((verify(&real, "pw"), verify(&decoy, "pw")), (Ok(true), Ok(false)));
    }
}
