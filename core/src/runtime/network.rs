//! What every connection of a client has in common, and the words for what goes wrong on the way.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::endpoint::Endpoint;
use super::proxy::Proxy;
use super::timeouts::Timeouts;
use crate::error::{Error, ErrorCode, Result};

/// How to reach the servers: shared by HTTP and the WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// At least one.
    pub(crate) endpoints: Arc<[Endpoint]>,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) headers: Headers,
    pub(crate) user_agent: HeaderValue,
    pub(crate) timeouts: Timeouts,
    /// Whether the server may compress WebSocket frames.
    pub(crate) compression: bool,
    /// Greatest answer or frame that is read, in bytes.
    pub(crate) max_bytes: usize,
}

/// Headers sent with every request and with the WebSocket upgrade. `Debug` shows names only: values may be secret.
#[derive(Clone, Default)]
pub(crate) struct Headers(pub(crate) HeaderMap);

impl Headers {
    /// Adds one header.
    ///
    /// # Errors
    /// `config` when it is no valid header, or one that the client sets itself.
    pub(crate) fn insert(&mut self, name: &str, value: &str) -> Result<()> {
        let config = |what: &str| Error::new(ErrorCode::Config, format!("option `header` {name:?}: {what}"));
        let name = HeaderName::try_from(name).map_err(|_| config("not a header name"))?;
        if let "authorization" | "host" | "connection" | "upgrade" | "content-length" | "content-type" =
            name.as_str()
        {
            return Err(config("the client sets this header itself"));
        }
        if name.as_str().starts_with("sec-websocket-") {
            return Err(config("the client sets this header itself"));
        }
        let value = HeaderValue::try_from(value)
            .map_err(|_| config("the value holds a character that is not allowed"))?;
        self.0.insert(name, value);
        Ok(())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// `Authorization: Bearer`, marked so that no library logs it.
///
/// # Errors
/// `config` when the token holds a character that no header may hold.
pub(crate) fn bearer(token: &super::secret::Secret) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
        .map_err(|_| Error::new(ErrorCode::Config, "the token holds a character that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The server could not be reached: the innermost cause, and what to do where that is known.
pub(crate) fn unreachable(endpoint: &dyn fmt::Display, cause: &(dyn StdError + 'static)) -> Error {
    let root = root_cause(cause);
    let text = root.to_string();
    let untrusted = text.contains("invalid peer certificate");
    let hint = if untrusted {
        "; if the server has a certificate authority of its own, give it with the TLS options"
    } else if text.contains("InvalidContentType") || text.contains("corrupt message") {
        "; the server does not speak TLS on this port: use http:// instead of https://"
    } else {
        ""
    };
    // A certificate does not become good by trying again.
    Error::new(ErrorCode::Disconnected, format!("can not reach {endpoint}: {text}{hint}"))
        .with_retryable(!untrusted)
}

/// The last error of the chain, which says what happened rather than where it was noticed.
pub(crate) fn root_cause<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut root = error;
    loop {
        // An I/O error made from another error shows it as itself, not as its source.
        let inner = root
            .downcast_ref::<std::io::Error>()
            .and_then(|e| e.get_ref())
            .map(|e| e as &(dyn StdError + 'static));
        match inner.or_else(|| root.source()) {
            Some(next) => root = next,
            None => return root,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_checked_and_hidden() {
        let mut headers = Headers::default();
        headers.insert("X-Api-Key", "hunter2").unwrap();
        assert!(!format!("{headers:?}").contains("hunter2"));
        for (name, value) in
            [("", "x"), ("a b", "x"), ("x", "a\nb"), ("Authorization", "x"), ("sec-websocket-key", "x")]
        {
            assert_eq!(headers.insert(name, value).unwrap_err().code(), ErrorCode::Config, "{name:?}");
        }
    }

    #[test]
    fn finds_the_cause() {
        let inner = std::io::Error::other("inner");
        let outer = std::io::Error::other(inner);
        assert_eq!(root_cause(&outer).to_string(), "inner");
    }
}
