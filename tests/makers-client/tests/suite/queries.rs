//! Logging in, SQL, users, health and setup.

use kalam_client::{AuthProvider, KalamLinkClient, QueryParam};

use crate::server::{Server, connect, run};

#[tokio::test]
async fn sql_with_parameters_and_several_results() {
    let server = Server::start(&[]);
    let client = server.root().await;
    run(&client, "CREATE NAMESPACE IF NOT EXISTS support", vec![]).await;
    // The table of the client's own README.
    let table = "CREATE TABLE support.inbox (id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), room TEXT NOT NULL DEFAULT 'main', \
                 role TEXT NOT NULL, body TEXT NOT NULL, created_at TIMESTAMP NOT NULL DEFAULT NOW()) WITH (TYPE = 'USER')";
    run(&client, table, vec![]).await;
    let insert = "INSERT INTO support.inbox (room, role, body) VALUES ($1, $2, $3)";
    let params = ["main", "user", "it's \"quoted\""].map(QueryParam::from);
    run(&client, insert, params.to_vec()).await;
    let rows =
        run(&client, "SELECT role, body FROM support.inbox WHERE room = $1", vec!["main".into()]).await;
    assert_eq!(rows.get_string("body").as_deref(), Some("it's \"quoted\""));
    let both = run(&client, "SELECT 1 AS a; SELECT 2 AS b", vec![]).await;
    assert_eq!(both.results.len(), 2);
}

#[tokio::test]
async fn errors_reach_the_caller() {
    let server = Server::start(&[]);
    let client = server.root().await;
    let failed = client.execute_query("SELECT * FROM no.such_table", None, None, None).await;
    let text = failed.map_or_else(|error| error.to_string(), |response| format!("{:?}", response.error));
    assert!(text.contains("not found"), "{text}");
    let stranger = KalamLinkClient::builder()
        .base_url(&server.url)
        .auth(AuthProvider::basic_auth("root".into(), "wrong".into()))
        .build()
        .expect("a client");
    assert!(stranger.execute_query("SELECT 1", None, None, None).await.is_err());
}

#[tokio::test]
async fn users_see_their_own_rows() {
    let server = Server::start(&[]);
    let root = server.root().await;
    run(&root, "CREATE NAMESPACE app", vec![]).await;
    run(&root, "CREATE TABLE app.notes (id INT PRIMARY KEY, v TEXT) WITH (TYPE = 'USER')", vec![]).await;
    let mut counts = Vec::new();
    for (n, name) in ["ann", "bob"].into_iter().enumerate() {
        let user = format!("CREATE USER '{name}' WITH PASSWORD 'User-Password-1' ROLE 'user'");
        run(&root, &user, vec![]).await;
        let client = connect(&server.url, name, "User-Password-1").await;
        for id in 0..=n {
            run(&client, &format!("INSERT INTO app.notes VALUES ({id}, '{name}')"), vec![]).await;
        }
        let rows = run(&client, "SELECT v FROM app.notes", vec![]).await.rows_as_maps();
        assert!(rows.iter().all(|row| row["v"].as_text() == Some(name)));
        counts.push(rows.len());
    }
    assert_eq!(counts, [1, 2]);
}

#[tokio::test]
async fn tokens_health_and_setup() {
    let server = Server::start(&[]);
    let client = server.root().await;
    let login = client.login("root", "Makers-Password-1").await.expect("logs in");
    let refreshed =
        client.refresh_access_token(login.refresh_token.as_deref().expect("a refresh token")).await;
    let token = refreshed.expect("refreshes").access_token;
    let by_token =
        KalamLinkClient::builder().base_url(&server.url).jwt_token(token).build().expect("a client");
    run(&by_token, "SELECT 1 AS one", vec![]).await;
    assert_eq!(client.health_check().await.expect("healthy").status, "healthy");
    assert!(!client.check_setup_status().await.expect("a status").needs_setup);
}
