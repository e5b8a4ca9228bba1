//! An HTTP proxy: queries go through it as usual, the WebSocket by CONNECT.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::secret::Secret;
use crate::error::{Error, ErrorCode, Result};

/// The proxy of a client.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// Without user and password.
    url: Url,
    user: Option<(String, Secret)>,
}

impl Proxy {
    /// Reads the option `proxy`: `http://[user:password@]host:port`.
    ///
    /// # Errors
    /// `config`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let config = |what: String| Error::new(ErrorCode::Config, format!("option `proxy`: {what}"));
        let mut url =
            Url::parse(text).map_err(|e| config(format!("{e}; write for example http://proxy:3128")))?;
        if url.scheme() != "http" {
            return Err(config(format!("a proxy is reached by http, not by {:?}", url.scheme())));
        }
        let user = (!url.username().is_empty()).then(|| {
            (percent_decode(url.username()), Secret::from(percent_decode(url.password().unwrap_or_default())))
        });
        // An http URL always has a host, for which these two can not fail.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Self { url, user })
    }

    /// For the HTTP client.
    pub(crate) fn to_reqwest(&self) -> Result<reqwest::Proxy> {
        let proxy = reqwest::Proxy::all(self.url.clone())
            .map_err(|e| Error::new(ErrorCode::Config, format!("option `proxy`: {e}")))?;
        Ok(match &self.user {
            Some((user, password)) => proxy.basic_auth(user, password.reveal()),
            None => proxy,
        })
    }

    /// Host (IPv6 without brackets) and port to open a TCP connection to.
    pub(crate) fn address(&self) -> (String, u16) {
        super::link::host_and_port(&self.url)
    }

    /// Asks for a tunnel to `host:port` on a fresh connection to the proxy.
    ///
    /// # Errors
    /// `disconnected` with the proxy's status line when it refuses.
    pub(crate) async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        target: &str,
    ) -> Result<()> {
        let failed = |what: String| Error::new(ErrorCode::Disconnected, format!("the proxy {self}: {what}"));
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some((user, password)) = &self.user {
            let credentials = BASE64_STANDARD.encode(format!("{user}:{}", password.reveal()));
            request.push_str(&format!("Proxy-Authorization: Basic {credentials}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.map_err(|e| failed(e.to_string()))?;

        // One byte at a time: what follows the head already belongs to the tunnel. It is a few hundred bytes, once.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= 8192 {
                return Err(failed("its answer to CONNECT has no end".into()));
            }
            head.push(stream.read_u8().await.map_err(|e| failed(e.to_string()))?);
        }
        let status_line = String::from_utf8_lossy(&head);
        let status_line = status_line.lines().next().unwrap_or_default();
        match status_line.split(' ').nth(1) {
            Some(status) if status.len() == 3 && status.starts_with('2') => Ok(()),
            _ => Err(failed(format!("it refuses a tunnel to {target}: {status_line:?}"))),
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_its_password() {
        let proxy = Proxy::parse("http://user:hunter2@proxy:3128").unwrap();
        assert_eq!(format!("{proxy} {proxy:?}"), "http://proxy:3128 http://proxy:3128");
        assert_eq!(proxy.address(), ("proxy".into(), 3128));
        for bad in ["socks5://x", "proxy:3128", ""] {
            let error = Proxy::parse(bad).unwrap_err();
            assert!(error.message().contains("`proxy`"), "{error}");
        }
    }

    #[tokio::test]
    async fn asks_for_a_tunnel() {
        let proxy = Proxy::parse("http://user:pw@proxy:3128").unwrap();
        for (answer, good) in [
            ("HTTP/1.1 200 OK\r\nX: y\r\n\r\nrest", true),
            ("HTTP/1.0 201 Created\r\n\r\nrest", true),
            ("HTTP/1.1 407 Who\r\n\r\n", false),
            ("", false),
        ] {
            let (mut near, mut far) = tokio::io::duplex(4096);
            let far_side = async {
                let mut request = vec![0; 1024];
                let n = far.read(&mut request).await.unwrap();
                far.write_all(answer.as_bytes()).await.unwrap();
                drop(far);
                String::from_utf8(request[..n].to_vec()).unwrap()
            };
            let (result, request) = tokio::join!(proxy.tunnel(&mut near, "db:2900"), far_side);
            assert!(request.starts_with("CONNECT db:2900 HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("Proxy-Authorization: Basic dXNlcjpwdw==\r\n"), "{request}");
            assert_eq!(result.is_ok(), good, "{answer:?}: {result:?}");
            if good {
                let mut rest = String::new();
                near.read_to_string(&mut rest).await.unwrap();
                assert_eq!(rest, "rest");
            } else {
                assert!(!result.unwrap_err().to_string().contains("pw"));
            }
        }
    }
}
