//! FILE columns: upload and download.

use kalam_client::FileUpload;

use crate::server::{Server, run};

#[tokio::test]
async fn a_file_comes_back_as_it_was() {
    let server = Server::start(&[]);
    let client = server.root().await;
    run(&client, "CREATE NAMESPACE docs", vec![]).await;
    run(&client, "CREATE TABLE docs.files (id INT PRIMARY KEY, body FILE) WITH (TYPE = 'SHARED')", vec![]).await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let upload = FileUpload::new("up", "a b.bin", bytes.clone()).with_mime("application/octet-stream");
    let sql = "INSERT INTO docs.files (id, body) VALUES (1, FILE(\"up\"))";
    let response = client.execute_with_files(sql, vec![upload], None, None).await.expect("an upload");
    assert!(response.success(), "{:?}", response.error);
    let cell = run(&client, "SELECT body FROM docs.files WHERE id = 1", vec![]).await.get_value("body").expect("a cell");
    let file = cell.as_file().expect("a file");
    assert_eq!((file.size, file.name.as_str()), (200_000, "a b.bin"));
    let got = client.download_file(&file, "docs", "files", None).await.expect("a download");
    assert!(got.bytes == bytes);
    assert_eq!(got.content_type.as_deref(), Some("application/octet-stream"));
}
