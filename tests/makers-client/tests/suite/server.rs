//! The command `kalam-embedded`, in memory, and the makers' client at it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use kalam_client::{AuthProvider, KalamLinkClient, QueryParam, QueryResponse};

const ROOT_PASSWORD: &str = "Makers-Password-1";

pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(more: &[&str]) -> Self {
        let command =
            std::env::var_os("KALAM_EMBEDDED").expect("KALAM_EMBEDDED names the command kalam-embedded");
        let mut process = Command::new(command)
            .args(["serve", "--memory", "--port", "0"])
            .args(more)
            .env("KALAM_ROOT_PASSWORD", ROOT_PASSWORD)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let out = process.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("it says where it listens");
        let url = line.split_whitespace().find(|word| word.starts_with("http")).expect("a URL").to_owned();
        Self { process, url }
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.url.trim_start_matches("http://").parse().expect("an address")
    }

    pub(crate) async fn root(&self) -> KalamLinkClient {
        connect(&self.url, "root", ROOT_PASSWORD).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) async fn connect(url: &str, user: &str, password: &str) -> KalamLinkClient {
    let client = KalamLinkClient::builder()
        .base_url(url)
        .auth(AuthProvider::basic_auth(user.into(), password.into()))
        .build()
        .expect("a client");
    client.connect().await.expect("it connects");
    client
}

/// Executes `sql` and expects success.
pub(crate) async fn run(client: &KalamLinkClient, sql: &str, params: Vec<QueryParam>) -> QueryResponse {
    let params = (!params.is_empty()).then_some(params);
    let response = client.execute_query(sql, None, params, None).await.expect(sql);
    assert!(response.success(), "{sql}: {:?}", response.error);
    response
}
