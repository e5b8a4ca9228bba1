//! In place of the embedded server, where it was left out.

use std::path::PathBuf;
use std::time::Duration;

use kalam_live::{Error, ErrorCode, Result};

/// There is none in this build.
#[derive(Clone)]
pub enum Server {}

impl Server {
    /// Fails.
    ///
    /// # Errors
    /// `not_supported`.
    pub async fn start(
        _directory: Option<PathBuf>,
        _root_password: Option<String>,
        _port: u16,
        _topic_visibility: Option<Duration>,
    ) -> Result<Self> {
        let message = "this build of Kalam Live has no embedded server: give the URL of one";
        Err(Error::new(ErrorCode::NotSupported, message))
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        match *self {}
    }

    /// The password of `root`.
    pub fn root_password(&self) -> Option<&str> {
        match *self {}
    }

    /// A token for its `root`.
    pub(crate) fn root_token(&self) -> Option<String> {
        match *self {}
    }

    /// Stops it.
    pub async fn stop(&self) {
        match *self {}
    }
}

/// Stops every server of this process.
pub(crate) fn stop_all() {}
