//! A server, and the least clients that can talk to it.

mod http;
mod ws;

use std::time::Duration;

use kalam_embedded::{Data, Embedded, Options};
use serde_json::{Value, json};

pub(crate) use self::http::{Answer, request, send, send_text};
pub(crate) use self::ws::{Got, Ws, is_error};

/// Only a test that hangs meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const ROOT_PASSWORD: &str = "kalamdb123";

/// In memory, with a known root password.
pub(crate) fn options() -> Options {
    Options { data: Data::Memory, root_password: Some(ROOT_PASSWORD.to_owned()), ..Options::default() }
}

/// A running server and root's token.
pub(crate) struct Server {
    pub(crate) embedded: Embedded,
    pub(crate) root: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(options()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let embedded = Embedded::start(options).expect("the server starts");
        let root = login(embedded.port(), "root", ROOT_PASSWORD).await;
        Self { embedded, root }
    }

    pub(crate) fn port(&self) -> u16 {
        self.embedded.port()
    }

    /// Runs SQL as root, which must succeed.
    pub(crate) async fn sql(&self, sql: &str) -> Vec<Value> {
        self.sql_as(&self.root, sql).await
    }

    pub(crate) async fn sql_as(&self, token: &str, sql: &str) -> Vec<Value> {
        let answer = self.try_sql(token, sql).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.body);
        answer.body["results"].as_array().expect("results").clone()
    }

    pub(crate) async fn try_sql(&self, token: &str, sql: &str) -> Answer {
        request(self.port(), "POST", "/v1/api/sql", Some(token), Some(&json!({ "sql": sql }))).await
    }

    /// Rows of one SELECT.
    pub(crate) async fn rows(&self, token: &str, sql: &str) -> Vec<Value> {
        self.sql_as(token, sql).await[0]["rows"].as_array().expect("rows").clone()
    }

    /// Makes a user and logs them in.
    pub(crate) async fn user(&self, name: &str, role: &str) -> String {
        self.sql(&format!("CREATE USER '{name}' WITH PASSWORD 'secret-{name}' ROLE {role}")).await;
        login(self.port(), name, &format!("secret-{name}")).await
    }

    /// An authenticated WebSocket.
    pub(crate) async fn ws(&self, token: &str) -> Ws {
        let mut ws = Ws::open(self.port(), "/v1/ws", Some(token)).await;
        assert_eq!(ws.frame().await["type"], "auth_success");
        ws
    }

    pub(crate) async fn root_ws(&self) -> Ws {
        self.ws(&self.root).await
    }
}

pub(crate) async fn try_login(port: u16, user: &str, password: &str) -> Answer {
    let body = json!({ "user": user, "password": password });
    request(port, "POST", "/v1/api/auth/login", None, Some(&body)).await
}

/// An access token.
pub(crate) async fn login(port: u16, user: &str, password: &str) -> String {
    let answer = try_login(port, user, password).await;
    assert_eq!(answer.status, 200, "login of {user}: {}", answer.body);
    answer.text("access_token")
}

/// A table for `n` rows: `app.t (id INT PRIMARY KEY, v TEXT)`.
pub(crate) async fn table(server: &Server, kind: &str) {
    server.sql("CREATE NAMESPACE IF NOT EXISTS app").await;
    let create = format!("CREATE TABLE app.t (id INT PRIMARY KEY, v TEXT) WITH (TYPE='{kind}')");
    server.sql(&create).await;
}

/// `INSERT` of `(n, 'v')` for each `n`.
pub(crate) fn insert(ids: impl Iterator<Item = i64>, v: &str) -> String {
    let values: Vec<String> = ids.map(|id| format!("({id},'{v}')")).collect();
    format!("INSERT INTO app.t (id, v) VALUES {}", values.join(","))
}
