//! FILE columns over HTTP (`wire/files.jsonl`).

use serde_json::{Value, json};

use crate::support::{Answer, Server, send};

/// Its name, the name and type of a file, and the content.
type Part<'a> = (&'a str, Option<(&'a str, &'a str)>, &'a [u8]);

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        body.extend_from_slice(
            format!("--frontier\r\nContent-Disposition: form-data; name=\"{name}\"").as_bytes(),
        );
        if let Some((file_name, mime)) = file {
            body.extend_from_slice(format!("; filename=\"{file_name}\"\r\nContent-Type: {mime}").as_bytes());
        }
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--frontier--\r\n");
    body
}

pub(crate) async fn upload(
    server: &Server,
    token: &str,
    sql: &str,
    files: &[(&str, &str, &str, &[u8])],
) -> Answer {
    let names: Vec<String> = files.iter().map(|(placeholder, ..)| format!("file:{placeholder}")).collect();
    let mut parts: Vec<Part<'_>> = vec![("sql", None, sql.as_bytes())];
    for (field, (_, name, mime, content)) in names.iter().zip(files) {
        parts.push((field, Some((name, mime)), content));
    }
    let kind = "multipart/form-data; boundary=frontier";
    send(server.port(), "POST", "/v1/api/sql", Some(token), kind, form(&parts).into()).await.unwrap()
}

async fn download(server: &Server, token: &str, path: &str) -> Answer {
    send(server.port(), "GET", path, Some(token), "application/json", "".into()).await.unwrap()
}

/// The reference in a row, and its address.
async fn held(server: &Server, token: &str, id: &str) -> (Value, String) {
    let rows = server.rows(token, &format!("SELECT att FROM d.docs WHERE id = '{id}'")).await;
    let reference: Value = serde_json::from_str(rows[0][0].as_str().unwrap()).unwrap();
    let path = format!(
        "/v1/files/d/docs/{}/{}-{}",
        reference["sub"].as_str().unwrap(),
        reference["id"].as_str().unwrap(),
        reference["name"].as_str().unwrap()
    );
    (reference, path)
}

async fn start() -> Server {
    let server = Server::start().await;
    server
        .sql("CREATE NAMESPACE d; CREATE TABLE d.docs (id TEXT PRIMARY KEY, att FILE) WITH (TYPE='USER')")
        .await;
    server
}

const INSERT: &str = "INSERT INTO d.docs (id, att) VALUES ('d1', FILE(\"up\"))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_uploaded_and_read_again_as_recorded() {
    let server = start().await;
    let answer =
        upload(&server, &server.root, INSERT, &[("up", "hello.txt", "text/plain", b"hello file")]).await;
    assert_eq!(answer.body["results"][0]["message"], "Inserted 1 row(s)", "{}", answer.body);
    let (reference, path) = held(&server, &server.root, "d1").await;
    assert_eq!(
        reference,
        json!({"id": reference["id"], "sub": "f0001", "name": "hello.txt", "size": 10, "mime": "text/plain",
               "sha256": "f3877e8a3d98f809d9f844060fbea2864a4b66980a22ff22297014d0c168db2e"})
    );
    let answer = download(&server, &server.root, &path).await;
    assert_eq!((answer.status, answer.body), (200, json!("hello file")));
    let without_name = path.rsplit_once('-').unwrap().0;
    let answer = download(&server, &server.root, without_name).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.body, json!({"code": "FILE_NOT_FOUND", "error": "File not found"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_goes_with_its_row() {
    let server = start().await;
    let file: &[(&str, &str, &str, &[u8])] = &[("up", "a.bin", "application/octet-stream", b"one")];
    upload(&server, &server.root, INSERT, file).await;
    let (_, first) = held(&server, &server.root, "d1").await;
    let replace = "UPDATE d.docs SET att = FILE('up') WHERE id = 'd1'";
    let answer = upload(&server, &server.root, replace, file).await;
    assert_eq!(answer.body["results"][0]["row_count"], 1, "{}", answer.body);
    let (_, second) = held(&server, &server.root, "d1").await;
    assert_eq!(download(&server, &server.root, &first).await.status, 404);
    assert_eq!(download(&server, &server.root, &second).await.status, 200);
    // A write that fails leaves nothing behind, and takes nothing away.
    let clash = format!("BEGIN; DELETE FROM d.docs; {INSERT}; INSERT INTO d.docs (id) VALUES ('d1'); COMMIT");
    assert_eq!(upload(&server, &server.root, &clash, file).await.status, 400);
    assert_eq!(download(&server, &server.root, &second).await.status, 200);
    server.sql("DELETE FROM d.docs").await;
    assert_eq!(download(&server, &server.root, &second).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_their_owners() {
    let server = start().await;
    let (ada, bo) = (server.user("ada", "user").await, server.user("bo", "user").await);
    let service = server.user("sv", "service").await;
    upload(&server, &ada, INSERT, &[("up", "x.txt", "text/plain", b"ada's")]).await;
    let (_, path) = held(&server, &ada, "d1").await;
    assert_eq!(download(&server, &ada, &path).await.body, "ada's");
    assert_eq!(download(&server, &bo, &path).await.status, 404);
    let asked = format!("{path}?user_id=ada");
    assert_eq!(download(&server, &bo, &asked).await.status, 403);
    assert_eq!(download(&server, &bo, &asked).await.body["code"], "PERMISSION_DENIED");
    assert_eq!(download(&server, &service, &asked).await.body, "ada's");
    assert_eq!(download(&server, &server.root, &asked).await.body, "ada's");
    assert_eq!(download(&server, &server.root, &path).await.status, 404);
    assert_eq!(download(&server, "nonsense", &path).await.status, 401);
    // A reference can not be made up or taken over.
    for sql in [
        "INSERT INTO d.docs (id, att) VALUES ('d2', '{\"id\":\"1\"}')",
        "INSERT INTO d.docs (id, att) SELECT 'd2', att FROM d.docs",
        "UPDATE d.docs SET att = att || ''",
    ] {
        assert_eq!(server.try_sql(&ada, sql).await.status, 400, "{sql}");
    }
    for bad in [
        "/v1/files/d/docs/f0001/..%2f..%2fkalam.db",
        "/v1/files/d/docs/..%2f/1-x",
        "/v1/files/d/nope/f0001/1-x.txt",
        "/v1/files/d/docs/f0002/1-x.txt",
        "/v1/files/system/users/f0001/1-x",
    ] {
        assert_eq!(download(&server, &ada, bad).await.status, 404, "{bad}");
    }
    // A private SHARED table's files are as private as its rows.
    server.sql("CREATE TABLE d.shared (id TEXT PRIMARY KEY, att FILE)").await;
    let sql = "INSERT INTO d.shared (id, att) VALUES ('s', FILE(\"up\"))";
    upload(&server, &server.root, sql, &[("up", "s.txt", "text/plain", b"s")]).await;
    let rows = server.rows(&server.root, "SELECT att FROM d.shared").await;
    let reference: Value = serde_json::from_str(rows[0][0].as_str().unwrap()).unwrap();
    let path = format!("/v1/files/d/shared/f0001/{}-s.txt", reference["id"].as_str().unwrap());
    assert_eq!(download(&server, &server.root, &path).await.body, "s");
    assert_eq!(download(&server, &ada, &path).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_that_do_not_fit_are_refused() {
    let server = start().await;
    let root = &server.root;
    let text: (&str, &str, &[u8]) = ("a.txt", "text/plain", b"x");
    let one = |placeholder| (placeholder, text.0, text.1, text.2);
    assert_eq!(upload(&server, root, INSERT, &[one("other")]).await.error_code(), "MISSING_FILE");
    assert_eq!(upload(&server, root, INSERT, &[one("up"), one("more")]).await.error_code(), "EXTRA_FILE");
    assert_eq!(server.try_sql(root, INSERT).await.error_code(), "MISSING_FILE");
    let many: Vec<_> = (0..21).map(|_| one("up")).collect();
    assert_eq!(upload(&server, root, INSERT, &many).await.error_code(), "TOO_MANY_FILES");
    let bad_type = upload(&server, root, INSERT, &[("up", "a", "nonsense", b"x")]).await;
    assert_eq!(bad_type.error_code(), "INVALID_MIME_TYPE");
    let large = vec![0_u8; (25 << 20) + 1];
    let too_large = upload(&server, root, INSERT, &[("up", "a", "text/plain", &large)]).await;
    assert_eq!(too_large.error_code(), "FILE_TOO_LARGE");
    let kind = "multipart/form-data; boundary=frontier";
    for body in [
        "",
        "--frontier--",
        "--frontier\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n\r\n--frontier--",
    ] {
        let answer = send(server.port(), "POST", "/v1/api/sql", Some(root), kind, body.into()).await.unwrap();
        assert_eq!((answer.status, answer.error_code()), (400, "INVALID_INPUT"), "{body:?}");
    }
    assert_eq!(server.rows(root, "SELECT id FROM d.docs").await, Vec::<Value>::new());
    // Parameters come as JSON text.
    let parts: [Part<'_>; 3] = [
        ("sql", None, b"INSERT INTO docs (id, att) VALUES ($1, FILE(\"up\"))"),
        ("params", None, b"[\"p1\"]"),
        ("namespace_id", None, b"d"),
    ];
    let mut parts = parts.to_vec();
    parts.push(("file:up", Some(("a.txt", "text/plain")), b"x"));
    let answer =
        send(server.port(), "POST", "/v1/api/sql", Some(root), kind, form(&parts).into()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(server.rows(root, "SELECT id FROM d.docs").await, [json!(["p1"])]);
}
