//! TLS: one rustls configuration, used for HTTP and for the WebSocket.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::secret::Secret;
use crate::error::{Error, ErrorCode, Result};

/// Which servers to trust and who to be. There is no switch that accepts any certificate: give the server's own
/// certificate authority instead.
#[derive(Clone, Default)]
pub struct TlsOptions {
    authorities: Vec<Vec<u8>>,
    identity: Option<(Vec<u8>, Secret)>,
    only_these: bool,
}

impl TlsOptions {
    /// The certificate authorities of the operating system. Where it has none (a bare container, Android), Mozilla's.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also trusts these certificate authorities: PEM, one or several certificates.
    #[must_use]
    pub fn with_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// Trusts nothing but what [`with_ca`](Self::with_ca) gave.
    #[must_use]
    pub fn only_given_ca(mut self) -> Self {
        self.only_these = true;
        self
    }

    /// Presents a client certificate: the chain and its private key, both PEM.
    #[must_use]
    pub fn with_client_certificate(
        mut self,
        chain_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<String>,
    ) -> Self {
        self.identity = Some((chain_pem.into(), Secret::from(key_pem.into())));
        self
    }

    /// The rustls configuration. The system's authorities are read from disk only when something `is_used`.
    ///
    /// # Errors
    /// `config` when a certificate or key can not be read, or nothing is trusted.
    pub(crate) fn build(&self, is_used: bool) -> Result<ClientConfig> {
        let roots = self.roots(is_used)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| bad("tls", &e))?
            .with_root_certificates(roots);
        let Some((chain, key)) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(chain, "client certificate")?;
        // rustls' own message may quote the input; a key must not reach a message.
        let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes())
            .map_err(|_| config("the private key of the client certificate is not a PEM private key"))?;
        builder.with_client_auth_cert(chain, key).map_err(|e| bad("client certificate", &e))
    }

    fn roots(&self, is_used: bool) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        if is_used && !self.only_these {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
        }
        for pem in &self.authorities {
            for certificate in certificates(pem, "ca")? {
                roots.add(certificate).map_err(|e| bad("ca", &e))?;
            }
        }
        if self.only_these && roots.is_empty() {
            return Err(config("only_given_ca needs at least one certificate from with_ca"));
        }
        Ok(roots)
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("authorities", &self.authorities.len())
            .field("client_certificate", &self.identity.is_some())
            .field("only_given_ca", &self.only_these)
            .finish()
    }
}

fn certificates(pem: &[u8], option: &str) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|e| bad(option, &e))?;
    if certificates.is_empty() {
        return Err(config(format!("option `{option}`: no PEM certificate in it")));
    }
    Ok(certificates)
}

fn bad(option: &str, cause: &dyn fmt::Display) -> Error {
    config(format!("option `{option}`: {cause}"))
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_trusts_somebody() {
        TlsOptions::new().build(true).expect("the default builds");
    }

    #[test]
    fn bad_input_names_the_option_and_keeps_the_secret() {
        let error = TlsOptions::new().with_ca("no pem").build(false).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
        assert!(error.message().contains("`ca`"), "{error}");

        let error = TlsOptions::new().only_given_ca().build(false).unwrap_err();
        assert!(error.message().contains("only_given_ca"), "{error}");

        let options = TlsOptions::new().with_client_certificate("x", "hunter2-private");
        assert!(!format!("{options:?}").contains("hunter2"));
        let error = options.build(false).unwrap_err();
        assert!(error.message().contains("client certificate"), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
}
