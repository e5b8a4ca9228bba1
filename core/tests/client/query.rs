//! Queries.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kalam_live::{ErrorCode, KalamClient, Timeouts, Value, params};
use serde_json::{Value as Json, json};

use super::{builder, client};
use crate::support::{Answer, Server, done, error, rows};

fn columns() -> Json {
    json!([{"name": "id", "data_type": "BigInt", "index": 0, "flags": ["pk", "nn", "uq"]},
           {"name": "price", "data_type": {"Decimal": {"precision": 10, "scale": 2}}, "index": 1}])
}

#[tokio::test]
async fn rows_are_typed_and_parameters_sent() {
    let server = Server::http(|request| {
        let body: Json = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body["params"], json!([1, "it's", null]));
        assert_eq!(body["namespace_id"], "app");
        rows(columns(), json!([["9007199254740993", "12.50"], ["2", null]]))
    })
    .await;
    let client = builder(&server.url).token("t").namespace("app").build().unwrap();
    let sql = "SELECT id, price FROM t WHERE a = $1 AND b = $2 AND c = $3";
    let result = client.query(sql, &params![1, "it's", None::<bool>]).await.unwrap();
    assert_eq!(result.len(), 2);
    assert_eq!(result[0]["id"].as_int(), Some(9_007_199_254_740_993));
    assert_eq!(result[0]["price"].as_decimal().unwrap().as_str(), "12.50");
    assert!(result[1]["price"].is_null());
    assert_eq!(result.schema().columns()[0].name.as_ref(), "id");
    assert!(!result.is_truncated());
    assert_eq!((&result).into_iter().count(), 2);
    let one = client.query_one(sql, &params![1, "it's", None::<bool>]).await.unwrap().unwrap();
    assert_eq!(one, result[0]);
}

#[tokio::test]
async fn query_one_of_nothing_is_none() {
    let server = Server::http(|_| rows(columns(), json!([]))).await;
    assert_eq!(client(&server.url).query_one("SELECT 1", &[]).await.unwrap(), None);
}

#[tokio::test]
async fn sql_errors_keep_their_code() {
    let server = Server::http(|request| match request.sql().as_str() {
        "a" => error(400, "TABLE_NOT_FOUND", "Table not found: app.x"),
        "b" => error(403, "PERMISSION_DENIED", "no"),
        "c" => error(429, "RATE_LIMIT_EXCEEDED", "slow down"),
        "d" => error(400, "INVALID_SQL", "syntax"),
        "e" => Answer::Json(500, json!({"odd": true})),
        "f" => Answer::Json(200, json!({"odd": true})),
        _ => Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html/>".to_vec()),
    })
    .await;
    let client = client(&server.url);
    for (sql, code, retryable) in [
        ("a", ErrorCode::NotFound, false),
        ("b", ErrorCode::PermissionDenied, false),
        ("c", ErrorCode::RateLimited, true),
        ("d", ErrorCode::InvalidSql, false),
        ("e", ErrorCode::Server, false),
        ("f", ErrorCode::Protocol, false),
        ("g", ErrorCode::Protocol, false),
    ] {
        let failed = client.query(sql, &[]).await.unwrap_err();
        assert_eq!((failed.code(), failed.retryable()), (code, retryable), "{sql}: {failed}");
    }
}

#[tokio::test]
async fn too_large_is_refused_before_it_is_sent() {
    let server = Server::http(|_| done(0)).await;
    let client = client(&server.url);
    for params in
        [vec![Value::from("x".repeat(11_000_000))], vec![Value::from(1); 20_000], vec![Value::from(f64::NAN)]]
    {
        let failed = client.query("SELECT $1", &params).await.unwrap_err();
        assert_eq!(failed.code(), ErrorCode::InvalidArgument, "{failed}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    // With a length and without one.
    for head in ["Content-Length: 5000\r\n", ""] {
        let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n{}", "x".repeat(5000));
        let server = Server::http(move |_| Answer::Raw(answer.clone().into_bytes())).await;
        let client = builder(&server.url).token("t").max_message_bytes(2000).build().unwrap();
        let failed = client.query("SELECT 1", &[]).await.unwrap_err();
        assert_eq!(failed.code(), ErrorCode::Protocol, "{failed}");
        assert!(failed.message().contains("max_message_bytes"), "{failed}");
    }
}

#[tokio::test]
async fn only_what_reads_is_sent_twice() {
    let times = |server: &Server, sql: &str| server.requests().iter().filter(|r| r.sql() == sql).count();
    for answer in [Answer::Nothing, error(503, "FORWARD_FAILED", "no leader")] {
        let last_try = AtomicUsize::new(0);
        let server = Server::http({
            let answer = answer.clone();
            move |request| match request.sql().as_str() {
                "SELECT 1" if last_try.fetch_add(1, Ordering::SeqCst) == 2 => {
                    rows(columns(), json!([["1", "1"]]))
                }
                _ => answer.clone(),
            }
        })
        .await;
        let client = client(&server.url);
        assert_eq!(client.query("SELECT 1", &[]).await.unwrap().len(), 1);
        assert_eq!(times(&server, "SELECT 1"), 3);
        let unsafe_sql = ["INSERT INTO app.t VALUES (1)", "SELECT 1; DELETE FROM app.t", "COMMIT"];
        for sql in unsafe_sql {
            let failed = client.query(sql, &[]).await.unwrap_err();
            assert!(matches!(failed.code(), ErrorCode::Disconnected | ErrorCode::Unavailable), "{failed}");
            assert!(!failed.retryable(), "{failed}");
            assert!(failed.message().contains("may have been applied"), "{failed}");
            assert_eq!(times(&server, sql), 1, "{sql}");
        }
        let failed = client.query("SELECT 2", &[]).await.unwrap_err();
        assert!(failed.retryable());
    }
}

#[tokio::test]
async fn a_node_that_is_not_well_is_left_by_what_may_be_repeated() {
    let well = Server::http(|_| rows(columns(), json!([["1", "1"]]))).await;
    for answer in [Answer::Nothing, error(503, "LEADER_NOT_AVAILABLE", "no leader")] {
        let sick = Server::http(move |_| answer.clone()).await;
        let new = || {
            let urls = [sick.url.clone(), well.url.clone()];
            KalamClient::builder().urls(urls).token("t").build().expect("options")
        };
        let client = new();
        assert_eq!(client.query("SELECT 1", &[]).await.unwrap().len(), 1);
        assert_eq!(sick.requests().len(), 1);
        assert_eq!(client.query("SELECT 2", &[]).await.unwrap().len(), 1);
        assert_eq!(sick.requests().len(), 1, "the node that answered is asked first");
        // A write is not repeated; the one after it goes elsewhere.
        let client = new();
        let failed = client.execute("DELETE FROM app.t", &[]).await.unwrap_err();
        assert!(failed.message().contains("may have been applied") && !failed.retryable(), "{failed}");
        assert!(client.query("DELETE FROM app.t", &[]).await.is_ok());
        assert_eq!(sick.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_times_out() {
    let server = Server::http(|_| Answer::Silence).await;
    let timeouts = Timeouts { request: Duration::from_millis(50), ..Timeouts::default() };
    let client = builder(&server.url).token("t").timeouts(timeouts).build().unwrap();
    for (sql, retryable) in [("SELECT 1", true), ("DELETE FROM app.t", false)] {
        let failed = client.query(sql, &[]).await.unwrap_err();
        assert_eq!((failed.code(), failed.retryable()), (ErrorCode::Timeout, retryable), "{failed}");
    }
    assert_eq!(server.requests().len(), 2);
}

/// The answer to a write, cut at every byte: an error that says that it may have been applied.
#[tokio::test]
async fn an_answer_cut_at_any_byte_is_an_error() {
    let Answer::Text(_, body) = rows(columns(), json!([["1", "2.00"], ["3", null]])) else { panic!() };
    let whole = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // Cut with the length of the whole, and with the length of what is left.
    for honest in [false, true] {
        let head = whole.len() - body.len();
        let from = if honest { head } else { 0 };
        for cut in from..whole.len() {
            let bytes = if honest {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", cut - head, &body[..cut - head])
                    .into_bytes()
            } else {
                whole.as_bytes()[..cut].to_vec()
            };
            let server = Server::http(move |_| Answer::Raw(bytes.clone())).await;
            let failed = client(&server.url).query("DELETE FROM app.t", &[]).await.unwrap_err();
            assert!(
                matches!(failed.code(), ErrorCode::Disconnected | ErrorCode::Protocol),
                "{honest} {cut}: {failed}"
            );
            assert!(!failed.retryable(), "{honest} {cut}: {failed}");
            assert_eq!(server.requests().len(), 1, "{honest} {cut}");
        }
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::http(|_| {
        Answer::Raw(b"HTTP/1.1 301 X\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n".to_vec())
    })
    .await;
    let failed = client(&server.url).query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::Config, "{failed}");
    assert!(failed.message().contains("http://elsewhere/"), "{failed}");
}

#[tokio::test]
async fn a_cut_result_is_marked() {
    let server =
        Server::http(|_| rows(columns(), (0..50).map(|n| json!([n.to_string(), "1"])).collect())).await;
    let client = client(&server.url);
    assert!(client.query("SELECT id, price FROM app.t", &[]).await.unwrap().is_truncated());
    assert!(!client.query("SELECT id, price FROM app.t LIMIT 50", &[]).await.unwrap().is_truncated());
    let failed = client.query_all("SELECT id, price FROM app.t ORDER BY price", &[]).await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::NotSupported, "{failed}");
}

#[tokio::test]
async fn a_limited_result_is_sorted_again() {
    let server = Server::http(|_| {
        rows(columns(), json!([["2", "1.00"], ["10", null], ["1", "1.00"], ["3", "10.00"]]))
    })
    .await;
    let client = client(&server.url);
    let ids = async |sql: &str| {
        client.query(sql, &[]).await.unwrap().iter().map(|r| r["id"].as_int().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids("SELECT id, price FROM app.t ORDER BY price DESC, id LIMIT 4").await, [10, 3, 1, 2]);
    assert_eq!(ids("SELECT id, price FROM app.t ORDER BY id LIMIT 4").await, [1, 2, 3, 10]);
    // The server's order where it is right, or where there is nothing to sort by.
    assert_eq!(ids("SELECT id, price FROM app.t ORDER BY id").await, [2, 10, 1, 3]);
    assert_eq!(ids("SELECT id, price FROM app.t ORDER BY body LIMIT 4").await, [2, 10, 1, 3]);
}

#[tokio::test]
async fn query_all_reads_pages_by_key() {
    // 2,000 rows with a key of two columns, at most 30 at a time, in no order.
    let server = Server::http(|request| {
        let sql = request.sql();
        let schema = json!([{"name": "body", "data_type": "Text", "index": 0},
                            {"name": "a", "data_type": "Int", "index": 1, "flags": ["pk"]},
                            {"name": "b", "data_type": "Text", "index": 2, "flags": ["pk"]}]);
        if sql == "SELECT * FROM app.t LIMIT 1" {
            return rows(schema, json!([]));
        }
        let rest = sql
            .strip_prefix("SELECT body, a, b FROM app.t WHERE (body = 'it''s' OR 1 = 1)")
            .expect("the filter");
        let rest = rest.strip_suffix(" ORDER BY a, b LIMIT 900").expect("the order");
        let after = match rest.strip_prefix(" AND (a > ") {
            None => (-1, String::new()),
            Some(rest) => {
                let (a, rest) = rest.split_once(" OR (a = ").unwrap();
                let (again, b) = rest.split_once(" AND b > '").unwrap();
                assert_eq!(a, again);
                (a.parse::<i64>().unwrap(), b.trim_end_matches("'))").to_owned())
            }
        };
        let all = (0..40).flat_map(|a| (0..50).map(move |b| (a, format!("{b:02}"))));
        let mut page: Vec<_> = all.filter(|key| *key > after).take(30).collect();
        let middle = page.len() / 2;
        page.rotate_left(middle);
        rows(schema, page.into_iter().map(|(a, b)| json!([format!("{a}/{b}"), a, b])).collect())
    })
    .await;
    let client = client(&server.url);
    let all =
        client.query_all("SELECT body FROM app.t WHERE body = $1 OR 1 = 1", &params!["it's"]).await.unwrap();
    let expected: Vec<_> = (0..40).flat_map(|a| (0..50).map(move |b| format!("{a}/{b:02}"))).collect();
    assert_eq!(all.iter().map(|row| row["body"].to_string()).collect::<Vec<_>>(), expected);
    assert_eq!(all[0].values().len(), 1, "the key is hidden again");
}

#[tokio::test]
async fn query_all_ends_when_pages_repeat() {
    let server = Server::http(|_| rows(columns(), json!([["1", "1"], ["2", "1"]]))).await;
    let failed = client(&server.url).query_all("SELECT id, price FROM app.t", &[]).await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::Protocol, "{failed}");
}

#[tokio::test]
async fn a_batch_is_one_transaction() {
    let sent = std::sync::Arc::new(Mutex::new(Vec::new()));
    let server = Server::http({
        let sent = sent.clone();
        move |request| {
            sent.lock().unwrap().push(request.sql());
            Answer::Json(
                200,
                json!({"status": "success", "took": 1, "results": [
                    {"row_count": 0, "message": "Transaction started", "as_user": "root"},
                    {"row_count": 2, "message": "Inserted 2 row(s)", "as_user": "root"},
                    {"row_count": 1, "message": "Deleted 1 row(s)", "as_user": "root"},
                    {"row_count": 0, "message": "Transaction committed", "as_user": "root"}]}),
            )
        }
    })
    .await;
    let client = client(&server.url);
    let changed = client
        .batch([
            ("INSERT INTO app.t VALUES ($1), ($2); -- both", params!["a;", "it's"].to_vec()),
            ("DELETE FROM app.t", vec![]),
        ])
        .await
        .unwrap();
    assert_eq!(changed, 3);
    assert_eq!(
        *sent.lock().unwrap(),
        ["BEGIN; INSERT INTO app.t VALUES ('a;'), ('it''s'); DELETE FROM app.t; COMMIT"]
    );
    assert_eq!(client.batch(Vec::<String>::new()).await.unwrap(), 0);
    for bad in ["DELETE FROM app.t; DELETE FROM app.u", "", " ; ", "SELECT 'x"] {
        assert_eq!(client.batch([bad]).await.unwrap_err().code(), ErrorCode::InvalidSql, "{bad:?}");
    }
    assert_eq!(
        client.batch([("SELECT $2", params![1])]).await.unwrap_err().code(),
        ErrorCode::InvalidArgument
    );
    assert_eq!(sent.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn as_user_wraps_the_statement() {
    let server = Server::http(|request| match request.sql().as_str() {
        "EXECUTE AS USER 'o''brien' (SELECT id FROM app.t WHERE a = 'x;')" => {
            rows(columns(), json!([["1", "1"]]))
        }
        "EXECUTE AS USER 'o''brien' (DELETE FROM app.t)" => done(4),
        other => panic!("{other}"),
    })
    .await;
    let user = client(&server.url).as_user("o'brien");
    assert_eq!(user.query("SELECT id FROM app.t WHERE a = $1;", &params!["x;"]).await.unwrap().len(), 1);
    assert!(user.query_one("SELECT id FROM app.t WHERE a = 'x;'", &[]).await.unwrap().is_some());
    assert_eq!(user.execute("DELETE FROM app.t", &[]).await.unwrap(), 4);
}
