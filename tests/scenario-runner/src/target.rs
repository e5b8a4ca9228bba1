//! Where scenarios are played.

use kalam_embedded::{Embedded, Holes, Options};

use crate::Failure;

const PASSWORD: &str = "Scenario-Secret-1";

/// What kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// The embedded one as it is.
    Embedded,
    /// The embedded one with KalamDB's holes.
    Emulated,
    /// The one at `KALAM_TEST_URL`.
    Given,
}

/// A server to play on. An embedded one lives as long as this.
pub struct Target {
    pub url: String,
    pub user: String,
    pub password: String,
    pub kind: TargetKind,
    _embedded: Option<Embedded>,
}

impl Target {
    /// Starts or finds the server.
    ///
    /// # Errors
    /// The embedded server does not start, or the environment does not say who logs in at `KALAM_TEST_URL`.
    pub fn new(kind: TargetKind) -> Result<Self, Failure> {
        let emulate = match kind {
            TargetKind::Embedded => None,
            TargetKind::Emulated => Some(Holes::kalamdb_0_4()),
            TargetKind::Given => {
                let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} must be set"));
                return Ok(Self {
                    url: variable("KALAM_TEST_URL")?,
                    user: variable("KALAM_TEST_USER")?,
                    password: variable("KALAM_TEST_PASSWORD")?,
                    kind,
                    _embedded: None,
                });
            }
        };
        let embedded = Embedded::start(Options {
            root_password: Some(PASSWORD.to_owned()),
            emulate,
            ..Options::default()
        })?;
        let (user, password) = ("root".to_owned(), PASSWORD.to_owned());
        Ok(Self { url: embedded.url(), user, password, kind, _embedded: Some(embedded) })
    }

    /// Whether it may be told to do what only a complete server does.
    pub fn is_complete(&self) -> bool {
        self.kind == TargetKind::Embedded
    }
}
