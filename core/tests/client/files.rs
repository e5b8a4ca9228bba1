//! Files, against the embedded server and through a network that breaks.

use std::sync::{Arc, Mutex};

use kalam_live::{ErrorCode, FileUpload, UploadProgress, params};

use super::client;
use super::embedded::start;
use crate::support::{Server, error};

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n * 31 % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_back_as_they_were() {
    let (_server, client) = start().await;
    client
        .execute("CREATE TABLE docs (id BIGINT PRIMARY KEY, a FILE, b FILE) WITH (TYPE = 'SHARED')", &[])
        .await
        .unwrap();
    let (first, second) = (content(300_000), content(1));
    let files = [
        FileUpload::new("one", "Größe 1.PNG", first.clone()).with_mime("image/png"),
        FileUpload::new("two", "plain", second.clone()),
    ];
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let sql = "INSERT INTO docs (id, a, b) VALUES ($1, FILE(\"one\"), FILE(\"two\"))";
    let progress = move |progress: UploadProgress| sink.lock().unwrap().push(progress);
    let changed = client.execute_with_files_and_progress(sql, &params![7], files, progress).await.unwrap();
    assert_eq!(changed, 1);
    let told = told.lock().unwrap().clone();
    assert!(told.windows(2).all(|pair| pair[0].sent_bytes < pair[1].sent_bytes), "{told:?}");
    assert_eq!(told.last(), Some(&UploadProgress { sent_bytes: 300_001, total_bytes: 300_001 }));
    assert!(told.len() > 3, "{told:?}");

    let row = client.query_one("SELECT a, b FROM docs WHERE id = 7", &[]).await.unwrap().unwrap();
    for (column, bytes, mime) in [("a", first, "image/png"), ("b", second, "application/octet-stream")] {
        let file = row[column].as_file().unwrap();
        assert_eq!((file.size, file.mime.as_str()), (bytes.len() as u64, mime));
        let got = client.download_file(file, "docs", None).await.unwrap();
        assert!(got.content == bytes);
        assert_eq!(got.mime.as_deref(), Some(mime));
        assert_eq!(client.download_file(file, "app.docs", None).await.unwrap(), got);
        let gone = client.download_file(file, "app.t", None).await.unwrap_err();
        assert_eq!(gone.code(), ErrorCode::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_refused_and_nothing_is_stored() {
    let (_server, client) = start().await;
    client
        .execute("CREATE TABLE docs (id BIGINT PRIMARY KEY, a FILE) WITH (TYPE = 'SHARED')", &[])
        .await
        .unwrap();
    let sql = "INSERT INTO docs (id, a) VALUES (1, FILE(\"one\"))";
    let file = |placeholder: &str| FileUpload::new(placeholder, "x.txt", *b"x");
    for files in
        [vec![], vec![file("two")], vec![file("one"), file("two")], vec![file("one").with_mime("no type")]]
    {
        let refused = client.execute_with_files(sql, &[], files.clone()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidArgument, "{files:?}: {refused}");
    }
    assert!(client.query("SELECT id FROM docs", &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_upload_without_answer_is_not_repeated() {
    let server = Server::http(|_| error(503, "UNAVAILABLE", "later")).await;
    let client = client(&server.url);
    let failed =
        client.execute_with_files("INSERT", &[], [FileUpload::new("a", "a", *b"a")]).await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::Unavailable);
    assert_eq!(server.requests().len(), 1);
    client.close().await;
    let closed = client.execute_with_files("INSERT", &[], []).await.unwrap_err();
    assert_eq!(closed.code(), ErrorCode::Closed);
}
