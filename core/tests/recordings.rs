//! Every exchange that was recorded from a real server decodes, and what we send has the recorded shape.

use std::collections::HashMap;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kalam_live::protocol::{
    BatchStatus, ChangeKind, ClientFrame, Compression, Cursor, CursorKind, Limits, OldValues, RawFrame,
    RowPlan, Serialization, ServerFrame, SnapshotOptions, SqlRequest, WireProtocol, decode, decode_error,
    decode_health, decode_login, decode_sql_response, encode_login, encode_sql_request,
};
use kalam_live::sql::{LiveSql, check_live};
use kalam_live::{ErrorCode, Value};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

/// One line of a recording.
#[derive(Deserialize)]
struct Line<'a> {
    via: Option<String>,
    dir: Option<String>,
    encoding: Option<String>,
    #[serde(borrow)]
    frame: Option<&'a RawValue>,
    raw_base64: Option<String>,
    method: Option<String>,
    path: Option<String>,
    request: Option<Json>,
    status: Option<u16>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
}

fn recordings() -> Vec<(String, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/wire");
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .expect("the recordings")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("a recording"))
        })
        .collect();
    files.sort();
    assert_eq!(files.len(), 19, "the recordings");
    files
}

/// Calls `visit` with the name of the recording, the line's number and the line.
fn each_line(mut visit: impl FnMut(&str, &str, Line<'_>)) {
    for (name, text) in recordings() {
        for (i, line) in text.lines().enumerate() {
            let at = format!("{name}.jsonl:{}", i + 1);
            visit(&name, &at, serde_json::from_str(line).expect(&at));
        }
    }
}

/// A cell as the server wrote it, from the table of types in the documentation and not from the decoder.
fn same_as_wire(value: &Value, wire: &Json) -> bool {
    match value {
        Value::Null => wire.is_null(),
        Value::Boolean(b) => *wire == json!(b),
        Value::Int(n) => *wire == json!(n) || *wire == json!(n.to_string()),
        Value::Float(x) => wire.as_f64() == Some(*x),
        Value::Decimal(d) => *wire == json!(d.as_str()),
        Value::Text(s) => *wire == json!(s.as_str()),
        // Computed ones are nanoseconds, some of the system tables' milliseconds.
        Value::Timestamp(us) => wire
            .as_i64()
            .is_some_and(|n| n == *us || n.div_euclid(1000) == *us || n.checked_mul(1000) == Some(*us)),
        Value::Date(days) => *wire == json!(days),
        Value::Time(us) => *wire == json!(us),
        Value::Uuid(u) => *wire == json!(u.to_string()),
        Value::Json(text) => match wire {
            Json::String(s) => **text == **s,
            other => serde_json::from_str::<Json>(text).is_ok_and(|parsed| parsed == *other),
        },
        Value::Bytes(bytes) => *wire == json!(bytes),
        Value::Embedding(numbers) => *wire == json!(numbers),
        Value::File(file) => {
            let text = wire.as_str().expect("a file is a string");
            serde_json::to_value(file).expect("JSON") == serde_json::from_str::<Json>(text).expect("JSON")
        }
    }
}

/// Checks decoded rows against the rows of the frame; `_seq` and `_deleted` are not columns of `SELECT *`.
fn check_rows(at: &str, rows: &[kalam_live::Row], wire: &[Json]) {
    assert_eq!(rows.len(), wire.len(), "{at}");
    for (row, wire) in rows.iter().zip(wire) {
        for (name, value) in row.iter() {
            let wire = wire.get(name).unwrap_or(&Json::Null);
            assert!(same_as_wire(value, wire), "{at}: {name} is {value:?}, recorded was {wire}");
        }
        let seq = wire["_seq"].as_str().map(|s| s.parse::<i64>().expect("a number"));
        assert_eq!(row.version().map(|v| v.get()), seq, "{at}");
    }
}

#[derive(Default)]
struct Connection {
    sent: HashMap<String, LiveSql>,
    plans: HashMap<String, RowPlan>,
}

impl Connection {
    fn sent(&mut self, frame: &Json) {
        if frame["type"] == "subscribe" {
            let id = frame["subscription"]["id"].as_str().expect("an id").to_owned();
            let sql = frame["subscription"]["sql"].as_str().expect("SQL");
            self.plans.remove(&id);
            match check_live(sql, &[], None) {
                Ok(live) => drop(self.sent.insert(id, live)),
                Err(_) => drop(self.sent.remove(&id)),
            }
        }
    }
}

#[test]
fn every_received_frame_decodes() {
    let mut connections: HashMap<(String, String), Connection> = HashMap::new();
    let mut counted: HashMap<&str, usize> = HashMap::new();
    each_line(|name, at, line| {
        let (Some(dir), Some(raw)) = (&line.dir, line.frame) else { return };
        let frame: Json = serde_json::from_str(raw.get()).expect(at);
        let via = line.via.clone().expect(at);
        let connection = connections.entry((name.to_owned(), via)).or_default();
        if dir == "send" {
            connection.sent(&frame);
            return;
        }
        let bytes = line.raw_base64.map(|text| BASE64_STANDARD.decode(text).expect(at));
        let raw_frame = match &bytes {
            Some(bytes) => RawFrame::Binary(bytes),
            None => {
                assert_eq!(line.encoding.as_deref(), Some("text"), "{at}");
                RawFrame::Text(raw.get())
            }
        };
        let decoded =
            decode(raw_frame, &connection.plans, &Limits::default()).unwrap_or_else(|e| panic!("{at}: {e}"));
        *counted.entry(check_frame(at, &frame, &decoded, connection)).or_default() += 1;
    });
    let expected = [
        ("auth_success", 33),
        ("auth_error", 2),
        ("subscription_ack", 55),
        ("initial_data_batch", 52),
        ("change", 112),
        ("error", 52),
    ];
    assert_eq!(counted, HashMap::from(expected));
}

/// Compares `decoded` with the recorded `frame`, and keeps what an ack tells.
fn check_frame(at: &str, frame: &Json, decoded: &ServerFrame, connection: &mut Connection) -> &'static str {
    let rows_of = |field: &str| frame[field].as_array().cloned().unwrap_or_default();
    match decoded {
        ServerFrame::AuthSuccess(auth) => {
            assert_eq!(frame["type"], "auth_success", "{at}");
            assert_eq!(
                (frame["user"].as_str(), frame["role"].as_str()),
                (Some(&*auth.user), Some(&*auth.role))
            );
            assert_eq!(auth.protocol, wire_protocol(&frame["protocol"]), "{at}");
            assert_eq!(auth.server, None);
            "auth_success"
        }
        ServerFrame::AuthError { message } => {
            assert_eq!(frame["message"].as_str(), Some(&**message), "{at}");
            "auth_error"
        }
        ServerFrame::Error(error) => {
            let told =
                [&frame["subscription_id"], &frame["code"], &frame["message"]].map(|f| f.as_str().expect(at));
            assert_eq!([&*error.subscription, &*error.code, &*error.message], told);
            assert_ne!(
                error.to_error().code(),
                ErrorCode::Server,
                "{at}: {} has no code of ours",
                error.code
            );
            "error"
        }
        ServerFrame::Ack(ack) => {
            let names: Vec<_> = ack.columns.iter().map(|c| json!(c.name)).collect();
            let recorded: Vec<_> = rows_of("schema").iter().map(|c| c["name"].clone()).collect();
            assert_eq!(names, recorded, "{at}");
            check_control(at, &ack.control, &frame["batch_control"]);
            if let Some(sql) = connection.sent.get(&*ack.subscription) {
                let plan =
                    RowPlan::new(&ack.columns, sql, OldValues::Keep).unwrap_or_else(|e| panic!("{at}: {e}"));
                connection.plans.insert(ack.subscription.to_string(), plan);
            }
            "subscription_ack"
        }
        ServerFrame::Batch(batch) => {
            check_control(at, &batch.control, &frame["batch_control"]);
            if connection.plans.contains_key(&*batch.subscription) {
                check_rows(at, &batch.rows, &rows_of("rows"));
            }
            "initial_data_batch"
        }
        ServerFrame::Change(change) => {
            let (kind, rows) = match change.kind {
                ChangeKind::Insert => ("insert", "rows"),
                ChangeKind::Update => ("update", "rows"),
                ChangeKind::Delete => ("delete", "old_values"),
            };
            assert_eq!(frame["change_type"], kind, "{at}");
            if connection.plans.contains_key(&*change.subscription) {
                check_rows(at, &change.rows, &rows_of(rows));
                if change.kind == ChangeKind::Update {
                    check_old(at, change, &rows_of("old_values"));
                }
                // Columns were added, and the table created again, in this recording only.
                let altered = at.starts_with("alter") && frame.to_string().contains("extra")
                    || frame.to_string().contains(r#""z""#);
                let lacks = at == "alter.jsonl:32";
                assert_eq!(change.unknown_columns, altered || lacks, "{at}");
            }
            "change"
        }
        ServerFrame::Unknown { message_type } => panic!("{at}: {message_type} is unknown"),
    }
}

fn check_old(at: &str, change: &kalam_live::protocol::Change, wire: &[Json]) {
    assert_eq!(change.old.len(), wire.len(), "{at}");
    for (old, wire) in change.old.iter().zip(wire) {
        assert_eq!(old.version().map(|v| v.to_string()), wire["_seq"].as_str().map(str::to_owned), "{at}");
        for (name, value) in old.iter() {
            assert!(same_as_wire(value, &wire[name]), "{at}: {name}");
            assert_eq!(old.get(name), Some(value));
        }
    }
}

fn check_control(at: &str, control: &kalam_live::protocol::BatchControl, wire: &Json) {
    let status = match control.status {
        BatchStatus::Loading => "loading",
        BatchStatus::LoadingBatch => "loading_batch",
        BatchStatus::Ready => "ready",
    };
    let last = control.last_seq.as_ref().map(|cursor| {
        assert_eq!((cursor.kind(), cursor.domain()), (CursorKind::Integer, None));
        cursor.seq().get()
    });
    let ours = json!({
        "batch_num": control.batch_num, "has_more": control.has_more, "status": status, "last_seq_id": last,
    });
    assert_eq!(ours, *wire, "{at}");
}

fn wire_protocol(json: &Json) -> WireProtocol {
    WireProtocol {
        serialization: if json["serialization"] == "msgpack" {
            Serialization::MessagePack
        } else {
            Serialization::Json
        },
        compression: if json["compression"] == "none" { Compression::None } else { Compression::Gzip },
    }
}

#[test]
fn every_sent_frame_is_reproduced() {
    let mut reproduced = 0;
    let mut strange = Vec::new();
    each_line(|_, at, line| {
        let (Some("send"), Some(raw)) = (line.dir.as_deref(), line.frame) else { return };
        let recorded: Json = serde_json::from_str(raw.get()).expect(at);
        let text = |field: &Json| field.as_str().unwrap_or_default().to_owned();
        let number = |field: &Json| field.as_u64().map(|n| u32::try_from(n).expect(at));
        let id = text(&recorded["subscription_id"]);
        let ours = match recorded["type"].as_str() {
            Some("authenticate") => ClientFrame::Authenticate {
                token: &text(&recorded["token"]),
                protocol: wire_protocol(&recorded["protocol"]),
            }
            .to_json(),
            Some("subscribe") => {
                let subscription = &recorded["subscription"];
                let options = &subscription["options"];
                let options = options.is_object().then(|| SnapshotOptions {
                    batch_size: number(&options["batch_size"]),
                    last_rows: number(&options["last_rows"]),
                    from: options.get("from").map(|from| Cursor::deserialize(from).expect(at)),
                });
                ClientFrame::Subscribe {
                    id: &text(&subscription["id"]),
                    sql: &text(&subscription["sql"]),
                    options: options.as_ref(),
                }
                .to_json()
            }
            Some("next_batch") => {
                let last_seq = recorded.get("last_seq_id").map(|seq| Cursor::deserialize(seq).expect(at));
                ClientFrame::NextBatch { subscription: &id, last_seq: last_seq.as_ref() }.to_json()
            }
            Some("unsubscribe") => ClientFrame::Unsubscribe { subscription: &id }.to_json(),
            _ => return strange.push(at.to_owned()),
        };
        let mut expected = recorded.clone();
        // `"options": null` means the same as none; we leave them out.
        if expected["subscription"]["options"].is_null()
            && let Some(subscription) = expected["subscription"].as_object_mut()
        {
            subscription.remove("options");
        }
        if recorded.get("subscription").is_none() {
            expected.as_object_mut().expect(at).remove("subscription");
        }
        assert_eq!(serde_json::from_str::<Json>(&ours).expect(at), expected, "{at}");
        reproduced += 1;
    });
    assert_eq!(reproduced, 131);
    // An unknown type, a ping, text that is no JSON and a binary message: sent to see what happens.
    assert_eq!(strange.len(), 4, "{strange:?}");
}

#[test]
fn every_http_answer_decodes() {
    let mut counted: HashMap<&str, usize> = HashMap::new();
    each_line(|_, at, line| {
        let (Some(method), Some(path), Some(status)) = (line.method, line.path, line.status) else { return };
        let Some(response) = line.response else { return };
        let body = response.get().as_bytes();
        let request = line.request.unwrap_or_default();
        let kind = match (method.as_str(), path.as_str()) {
            ("POST", "/v1/api/sql") => check_sql(at, &request, status, response.get()),
            ("POST", "/v1/api/auth/login" | "/v1/api/auth/refresh") => {
                check_login(at, &request, status, response.get())
            }
            ("GET", "/health" | "/v1/api/healthcheck") => {
                assert_eq!(decode_health(status, body).expect(at).status, "healthy");
                "health"
            }
            _ if status >= 400 => {
                let error = decode_error(status, body);
                assert!(
                    matches!(error.code(), ErrorCode::NotFound | ErrorCode::PermissionDenied),
                    "{at}: {error}"
                );
                "other error"
            }
            _ => return,
        };
        *counted.entry(kind).or_default() += 1;
    });
    let expected = [
        ("rows", 209),
        ("sql error", 39),
        ("login", 22),
        ("login error", 3),
        ("login without token", 3),
        ("health", 2),
        ("other error", 3),
    ];
    assert_eq!(counted, HashMap::from(expected));
}

fn check_login(at: &str, request: &Json, status: u16, body: &str) -> &'static str {
    if let (Some(user), Some(password)) = (request["user"].as_str(), request["password"].as_str()) {
        let ours: Json = serde_json::from_str(&encode_login(user, password)).expect(at);
        assert_eq!(ours, *request, "{at}");
    }
    match decode_login(status, body.as_bytes()) {
        Ok(login) => {
            let recorded: Json = serde_json::from_str(body).expect(at);
            assert_eq!(
                (login.access_token.as_str(), login.user.as_str()),
                ("<token>", recorded["user"]["id"].as_str().expect(at))
            );
            assert_eq!(login.expires_at.as_deref(), recorded["expires_at"].as_str());
            "login"
        }
        // Three lines had their tokens cut out with the field.
        Err(error) if status == 200 => {
            assert_eq!(error.code(), ErrorCode::Protocol, "{at}");
            "login without token"
        }
        Err(error) => {
            assert_eq!(
                (error.code(), error.server_code()),
                (ErrorCode::AuthFailed, Some("unauthorized")),
                "{at}"
            );
            "login error"
        }
    }
}

fn check_sql(at: &str, request: &Json, status: u16, body: &str) -> &'static str {
    let sql = request["sql"].as_str().unwrap_or_default();
    let params: Vec<Value> =
        request["params"].as_array().into_iter().flatten().filter_map(parameter).collect();
    let sent = SqlRequest { sql, params: &params, namespace: request["namespace_id"].as_str() };
    if request["sql"].is_string() && params.len() == request["params"].as_array().map_or(0, Vec::len) {
        let mut expected = request.clone();
        if expected["params"].as_array().is_none_or(Vec::is_empty) {
            expected.as_object_mut().expect(at).remove("params");
        }
        let ours: Json = serde_json::from_str(&encode_sql_request(&sent).expect(at)).expect(at);
        assert_eq!(ours, expected, "{at}");
    }
    let recorded: Json = serde_json::from_str(body).expect(at);
    match decode_sql_response(status, body.as_bytes(), &sent) {
        Ok(results) => {
            let wire = recorded["results"].as_array().expect(at);
            assert_eq!(results.len(), wire.len(), "{at}");
            for (result, wire) in results.iter().zip(wire) {
                assert_eq!(json!(result.row_count), wire["row_count"], "{at}");
                assert_eq!(result.as_user.as_deref(), wire["as_user"].as_str(), "{at}");
                assert_eq!(result.message.as_deref(), wire["message"].as_str(), "{at}");
                let rows = wire["rows"].as_array().cloned().unwrap_or_default();
                assert_eq!(result.rows.len(), rows.len(), "{at}");
                for (row, wire) in result.rows.iter().zip(&rows) {
                    let wire = wire.as_array().expect(at);
                    assert_eq!(row.values().len(), wire.len(), "{at}");
                    for (value, wire) in row.values().iter().zip(wire) {
                        assert!(same_as_wire(value, wire), "{at}: {value:?}, recorded was {wire}");
                    }
                }
            }
            "rows"
        }
        Err(error) => {
            assert_eq!(error.server_code(), recorded["error"]["code"].as_str(), "{at}: {error}");
            let expected: &[ErrorCode] = match status {
                401 => &[ErrorCode::AuthFailed],
                403 => &[ErrorCode::PermissionDenied],
                503 => &[ErrorCode::Unavailable],
                _ => &[
                    ErrorCode::InvalidSql,
                    ErrorCode::NotFound,
                    ErrorCode::AlreadyExists,
                    ErrorCode::InvalidArgument,
                ],
            };
            assert!(expected.contains(&error.code()), "{at}: {error}");
            "sql error"
        }
    }
}

/// A recorded parameter as a value. Objects are none.
fn parameter(json: &Json) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Null),
        Json::Bool(b) => Some(Value::from(*b)),
        Json::Number(n) => Some(n.as_i64().map_or_else(|| Value::from(n.as_f64()), Value::from)),
        Json::String(s) => Some(Value::from(s.as_str())),
        Json::Array(_) | Json::Object(_) => None,
    }
}
