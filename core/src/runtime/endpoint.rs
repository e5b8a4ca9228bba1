//! Where a server is: the URL as the user gives it, and the addresses made from it.

use std::fmt;

use reqwest::Url;

use crate::error::{Error, ErrorCode, Result};

/// The address of one server: `http`, `https`, `ws` or `wss`, host, port, and a path when it sits behind a prefix.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    http: Url,
}

impl Endpoint {
    /// Reads the option `url`.
    ///
    /// # Errors
    /// `config`, naming the option and what is wrong. A URL with a password is refused and not repeated.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut url = Url::parse(text.trim()).map_err(|e| {
            // A URL that does not parse may still hold a password: repeat it only when it can not.
            let shown = if text.contains('@') { String::new() } else { format!(" {text:?}") };
            config(format!("option `url`{shown}: {e}; write for example http://localhost:2900"))
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(config(
                "option `url`: take the user and password out of it and use the options `user` and `password`",
            ));
        }
        let scheme = match url.scheme() {
            "http" | "ws" => "http",
            "https" | "wss" => "https",
            other => {
                return Err(config(format!(
                    "option `url`: scheme {other:?} is not one of http, https, ws, wss; write for example http://localhost:2900"
                )));
            }
        };
        if url.host_str().is_none_or(str::is_empty) {
            return Err(config("option `url`: it names no host"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(config("option `url`: a query or fragment has no meaning here"));
        }
        // All four schemes are special ones, between which `set_scheme` can not fail.
        let _ = url.set_scheme(scheme);
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self { http: url })
    }

    /// `path` below the server's address, for HTTP. `path` has no leading slash.
    pub(crate) fn http(&self, path: &str) -> String {
        format!("{}{path}", self.http)
    }

    /// Whether it is reached by TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.http.scheme() == "https"
    }

    /// The WebSocket address.
    pub(crate) fn websocket(&self, compression: bool) -> String {
        let rest = &self.http.as_str()["http".len()..];
        format!("ws{rest}v1/ws{}", if compression { "" } else { "?compress=false" })
    }
}

/// As a person writes it.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.http.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_both_addresses() {
        for (text, http, ws) in [
            ("http://localhost:2900", "http://localhost:2900/v1/api/sql", "ws://localhost:2900/v1/ws"),
            ("ws://localhost:2900/", "http://localhost:2900/v1/api/sql", "ws://localhost:2900/v1/ws"),
            ("https://db.example", "https://db.example/v1/api/sql", "wss://db.example/v1/ws"),
            ("wss://[::1]:1/db", "https://[::1]:1/db/v1/api/sql", "wss://[::1]:1/db/v1/ws"),
        ] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.http("v1/api/sql"), http);
            assert_eq!(endpoint.websocket(true), ws);
            assert_eq!(endpoint.websocket(false), format!("{ws}?compress=false"));
        }
    }

    #[test]
    fn refuses_what_is_no_server() {
        for bad in [
            "",
            "localhost:2900",
            "localhost",
            "ftp://h",
            "http://",
            "http://h?x=1",
            "http://h#x",
            "http://h:99999",
        ] {
            let error = Endpoint::parse(bad).expect_err(bad);
            assert_eq!(error.code(), ErrorCode::Config, "{bad}");
            assert!(error.message().contains("`url`"), "{error}");
        }
        for secret in ["http://root:hunter2@h", "http://root:hunter2@h:99999", "http://root@h"] {
            let error = Endpoint::parse(secret).expect_err(secret);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
