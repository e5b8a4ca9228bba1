//! Who calls: roles and accounts as the server sees them.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Roles, in order of rank. Serialise in lower case, as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Service,
    Dba,
    System,
}

impl Role {
    /// May do DDL, manage users and read system tables.
    pub(crate) fn is_admin(self) -> bool {
        self >= Self::Dba
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::User, Self::Service, Self::Dba, Self::System]
            .into_iter()
            .find(|r| r.name().eq_ignore_ascii_case(name))
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Dba => "dba",
            Self::System => "system",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// On whose behalf a statement runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub user: Arc<str>,
    pub role: Role,
}

/// An account, without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    pub id: Arc<str>,
    pub role: Role,
    pub email: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// Grows with every ALTER and DROP USER: a token made under an older generation is void.
    pub generation: u64,
}
