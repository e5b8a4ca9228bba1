//! TLS.

use std::sync::Arc;

use kalam_live::{ErrorCode, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::{builder, client};
use crate::support::{Server, done};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key for a name.
    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate, key)
    }

    fn server(&self, name: &str, wants_client: bool) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap())
    }
}

async fn serve(config: Arc<ServerConfig>) -> Server {
    Server::tls(
        config,
        |_| done(1),
        |_, mut ws| async move {
            ws.serve_one(&[("a", 1, 1)]).await;
            ws.until_closed().await;
        },
    )
    .await
}

#[tokio::test]
async fn trusts_the_authority_it_was_given_and_no_other() {
    let authority = Authority::new();
    let server = serve(authority.server("localhost", false)).await;
    let trusting =
        builder(&server.url).token("t").tls(TlsOptions::new().with_ca(authority.0.pem())).build().unwrap();
    assert_eq!(trusting.execute("DELETE FROM app.t", &[]).await.unwrap(), 1);
    let mut live = trusting.live("SELECT * FROM app.t").await.unwrap();
    assert_eq!(live.next_rows().await.unwrap().unwrap().len(), 1);

    let strange = TlsOptions::new().with_ca(Authority::new().0.pem()).only_given_ca();
    for client in [client(&server.url), builder(&server.url).token("t").tls(strange).build().unwrap()] {
        for failed in [client.connect().await.unwrap_err(), client.query("SELECT 1", &[]).await.unwrap_err()]
        {
            assert_eq!(failed.code(), ErrorCode::Disconnected, "{failed}");
            assert!(failed.message().contains("certificate authority"), "{failed}");
            assert!(!failed.retryable(), "a certificate does not become good by trying again");
        }
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    let server = serve(authority.server("other.example", false)).await;
    let client =
        builder(&server.url).token("t").tls(TlsOptions::new().with_ca(authority.0.pem())).build().unwrap();
    for failed in [client.connect().await.unwrap_err(), client.query("SELECT 1", &[]).await.unwrap_err()] {
        assert_eq!(failed.code(), ErrorCode::Disconnected, "{failed}");
        assert!(failed.message().contains("certificate"), "{failed}");
    }
}

#[tokio::test]
async fn presents_a_client_certificate() {
    let authority = Authority::new();
    let server = serve(authority.server("localhost", true)).await;
    let trust = TlsOptions::new().with_ca(authority.0.pem());
    let (certificate, key) = authority.issue("alice");
    let known = trust.clone().with_client_certificate(certificate.pem(), key.serialize_pem());
    let client = builder(&server.url).token("t").tls(known).build().unwrap();
    assert_eq!(client.execute("DELETE FROM app.t", &[]).await.unwrap(), 1);
    client.connect().await.unwrap();

    let client = builder(&server.url).token("t").tls(trust).build().unwrap();
    assert_eq!(client.connect().await.unwrap_err().code(), ErrorCode::Disconnected);
    assert_eq!(client.execute("DELETE FROM app.t", &[]).await.unwrap_err().code(), ErrorCode::Disconnected);
}

#[tokio::test]
async fn tls_and_plain_mixed_up() {
    let plain = Server::http(|_| done(0)).await;
    let url = plain.url.replace("http:", "https:");
    for failed in
        [client(&url).connect().await.unwrap_err(), client(&url).query("SELECT 1", &[]).await.unwrap_err()]
    {
        assert_eq!(failed.code(), ErrorCode::Disconnected, "{failed}");
        assert!(failed.message().contains("http://"), "{failed}");
    }
    let secure = serve(Authority::new().server("localhost", false)).await;
    let url = secure.url.replace("https:", "http:");
    for failed in
        [client(&url).connect().await.unwrap_err(), client(&url).query("SELECT 1", &[]).await.unwrap_err()]
    {
        assert!(matches!(failed.code(), ErrorCode::Disconnected | ErrorCode::Protocol), "{failed}");
    }
}
