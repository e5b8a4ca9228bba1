//! Where scenarios are played.

use kalam_embedded::{Embedded, Holes, Options, Wire};

use crate::Failure;

const PASSWORD: &str = "Scenario-Secret-1";

/// What kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// The embedded one as it is.
    Embedded,
    /// The embedded one with KalamDB's holes.
    Emulated,
    /// The embedded one as it is, in the protocol of 0.8.
    Newer,
    /// The one at `KALAM_TEST_URL`.
    Given,
}

/// A server to play on. An embedded one lives as long as this.
pub struct Target {
    pub url: String,
    pub user: String,
    pub password: String,
    pub kind: TargetKind,
    embedded: Option<(Embedded, Options)>,
}

impl Target {
    /// Starts or finds the server.
    ///
    /// # Errors
    /// The embedded server does not start, or the environment does not say who logs in at `KALAM_TEST_URL`.
    pub fn new(kind: TargetKind) -> Result<Self, Failure> {
        if kind != TargetKind::Given {
            return Self::start(kind, Options::default());
        }
        let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} must be set"));
        Ok(Self {
            url: variable("KALAM_TEST_URL")?,
            user: variable("KALAM_TEST_USER")?,
            password: variable("KALAM_TEST_PASSWORD")?,
            kind,
            embedded: None,
        })
    }

    /// Starts an embedded server with other options. With holes it is what `kind` says if none are given.
    ///
    /// # Errors
    /// The server does not start.
    pub fn start(kind: TargetKind, options: Options) -> Result<Self, Failure> {
        let holes = (kind == TargetKind::Emulated).then(Holes::kalamdb_0_4);
        let wire = if kind == TargetKind::Newer { Wire::V0_8 } else { options.wire };
        let options = Options { emulate: options.emulate.or(holes), wire, ..Self::options(options) };
        let embedded = Embedded::start(options.clone())?;
        let (user, password) = ("root".to_owned(), PASSWORD.to_owned());
        let options = Options { port: embedded.port(), ..options };
        Ok(Self { url: embedded.url(), user, password, kind, embedded: Some((embedded, options)) })
    }

    /// With the password that all embedded servers here have.
    #[must_use]
    pub fn options(options: Options) -> Options {
        Options { root_password: Some(PASSWORD.to_owned()), ..options }
    }

    /// A server that somebody else has started with [`options`](Self::options).
    pub fn at(url: String) -> Self {
        let (user, password) = ("root".to_owned(), PASSWORD.to_owned());
        Self { url, user, password, kind: TargetKind::Embedded, embedded: None }
    }

    /// Stops an embedded server and starts it at the same address, on the same data if it is in a directory. Between the
    /// two, `meanwhile` may do something about the data.
    ///
    /// # Errors
    /// The server does not start, or is not an embedded one.
    pub async fn restart<F: Future<Output = Result<(), Failure>>>(
        &mut self,
        meanwhile: impl FnOnce() -> F,
    ) -> Result<(), Failure> {
        let (embedded, options) = self.embedded.take().ok_or("only an embedded server can be restarted")?;
        embedded.shutdown().await;
        meanwhile().await?;
        self.embedded = Some((Embedded::start(options.clone())?, options));
        Ok(())
    }

    /// What the version of a row is called.
    pub(crate) fn version_column(&self) -> &'static str {
        if self.kind == TargetKind::Newer { "_version" } else { "_seq" }
    }

    /// Whether it may be told to do what only a complete server does.
    pub fn is_complete(&self) -> bool {
        matches!(self.kind, TargetKind::Embedded | TargetKind::Newer)
    }
}
