//! The endpoints of `docs/compatibility.md`.

use crate::support::{Server, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_is_there_or_not_as_the_page_says() {
    let server = Server::start().await;
    let path = format!("{}/../docs/compatibility.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path).unwrap();
    let mut tried = 0;
    for line in page.lines().filter(|line| line.starts_with("| `GET ") || line.starts_with("| `POST ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (method, path) = cells[0].trim_matches('`').split_once(' ').unwrap();
        // Names in braces stand for something that is not there; that a file is missing says that files are looked for.
        let path = path.replace(['{', '}'], "");
        let answer = send(server.port(), method, &path, Some(&server.root), "application/json", "{}".into())
            .await
            .unwrap();
        let is_there = answer.status != 405 && answer.body["error"] != "not_found";
        assert_eq!(
            is_there,
            matches!(cells[1], "same" | "different"),
            "{line}: {} {}",
            answer.status,
            answer.body
        );
        tried += 1;
    }
    assert!(tried > 12);
}
