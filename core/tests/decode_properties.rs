//! Random frames decode to what was put into them, in every order of fields and in every encoding; broken ones give an
//! error and never a panic.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kalam_live::protocol::{
    ChangeKind, Limits, OldValues, RawFrame, RowPlan, ServerFrame, SqlRequest, decode, decode_error,
    decode_login, decode_sql_response,
};
use kalam_live::sql::check_live;
use kalam_live::{Column, DataType, Decimal, ErrorCode, FileRef, Uuid, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const COLUMNS: &str = "b, i, f, dec, t, ts, da, ti, js, by, e, u, fi";

fn columns() -> Vec<Column> {
    vec![
        Column::new("b", DataType::Boolean),
        Column::new("i", DataType::BigInt).primary_key(),
        Column::new("f", DataType::Double),
        Column::new("dec", DataType::Decimal { precision: 38, scale: 4 }),
        Column::new("t", DataType::Text),
        Column::new("ts", DataType::Timestamp),
        Column::new("da", DataType::Date),
        Column::new("ti", DataType::Time),
        Column::new("js", DataType::Json),
        Column::new("by", DataType::Bytes),
        Column::new("e", DataType::Embedding(3)),
        Column::new("u", DataType::Uuid),
        Column::new("fi", DataType::File),
    ]
}

fn plans() -> HashMap<String, RowPlan> {
    let sql = check_live(&format!("SELECT {COLUMNS} FROM app.t"), &[], None).expect("live SQL");
    HashMap::from([("s".to_owned(), RowPlan::new(&columns(), &sql, OldValues::Keep).expect("a plan"))])
}

/// A cell on the wire, from the table of types in the documentation.
fn wire(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(b) => json!(b),
        Value::Int(n) => json!(n.to_string()),
        Value::Float(x) => json!(x),
        Value::Decimal(d) => json!(d.as_str()),
        Value::Text(s) => json!(s.as_str()),
        Value::Timestamp(n) | Value::Time(n) => json!(n),
        Value::Date(n) => json!(n),
        Value::Uuid(u) => json!(u.to_string()),
        Value::Json(text) => json!(text),
        Value::Bytes(bytes) => json!(bytes),
        Value::Embedding(numbers) => json!(numbers),
        Value::File(file) => json!(serde_json::to_string(file).expect("JSON")),
    }
}

fn cells() -> impl Strategy<Value = Vec<Value>> {
    let some = (
        (
            any::<bool>(),
            any::<i64>(),
            any::<f64>().prop_filter("JSON", |x| x.is_finite()),
            "-?[0-9]{1,20}(\\.[0-9]{1,4})?",
        ),
        (
            ".{0,40}",
            -62_167_219_200_000_000_i64..253_402_300_800_000_000,
            any::<i32>(),
            0..86_400_000_000_i64,
        ),
        (
            any::<Vec<u8>>(),
            prop::collection::vec(-1e6_f32..1e6, 0..4),
            any::<[u8; 16]>(),
            "\\PC{0,10}",
            any::<u32>(),
        ),
    );
    let values = some.prop_map(|((b, i, f, dec), (t, ts, da, ti), (by, e, u, name, size))| {
        let file = FileRef {
            id: "1".into(),
            sub: "f0001".into(),
            name,
            size: size.into(),
            mime: "text/plain".into(),
            sha256: String::new(),
        };
        vec![
            Value::Boolean(b),
            Value::Int(i),
            Value::Float(f),
            Value::Decimal(Decimal::parse(&dec).expect("a decimal")),
            Value::Text(t.as_str().into()),
            Value::Timestamp(ts),
            Value::Date(da),
            Value::Time(ti),
            Value::Json(json!({"t": t}).to_string().into()),
            Value::Bytes(by.into()),
            Value::Embedding(e.into()),
            Value::Uuid(Uuid(u)),
            Value::File(Box::new(file)),
        ]
    });
    (values, any::<[bool; 13]>()).prop_map(|(mut values, nulls)| {
        values.iter_mut().zip(nulls).filter(|(_, null)| *null).for_each(|(value, _)| *value = Value::Null);
        values
    })
}

/// An object with its fields in the order that `seed` gives.
fn object(fields: &[(&str, String)], seed: u64) -> String {
    let mut order: Vec<usize> = (0..fields.len()).collect();
    let mut state = seed;
    for i in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, (state >> 33) as usize % (i + 1));
    }
    let fields: Vec<_> = order.iter().map(|i| format!("{}: {}", json!(fields[*i].0), fields[*i].1)).collect();
    format!("{{ {} }}", fields.join(" ,"))
}

fn row(values: &[Value], seq: i64, seed: u64) -> String {
    let columns = columns();
    let mut fields: Vec<_> =
        columns.iter().zip(values).map(|(c, v)| (&*c.name, wire(v).to_string())).collect();
    fields.push(("_seq", json!(seq.to_string()).to_string()));
    fields.push(("_deleted", "false".to_owned()));
    object(&fields, seed)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

/// The same frame in every encoding: JSON, JSON under gzip, MessagePack, MessagePack under gzip.
fn decode_all(text: &str) -> Vec<ServerFrame> {
    let value: Json = serde_json::from_str(text).expect("JSON");
    let pack = rmp_serde::to_vec_named(&value).expect("MessagePack");
    let (plans, limits) = (plans(), Limits::default());
    let zipped = [gzip(text.as_bytes()), gzip(&pack)];
    [
        RawFrame::Text(text),
        RawFrame::Binary(&zipped[0]),
        RawFrame::Binary(&pack),
        RawFrame::Binary(&zipped[1]),
    ]
    .map(|frame| decode(frame, &plans, &limits).unwrap_or_else(|e| panic!("{frame:?}: {e}: {text}")))
    .into()
}

proptest! {
    #[test]
    fn batches_decode_to_what_was_put_in(
        rows in prop::collection::vec(cells(), 0..4), seed: u64, seq: i64, has_more: bool, batch_num: u32,
    ) {
        let wire_rows: Vec<_> = rows.iter().enumerate().map(|(i, r)| row(r, seq, seed ^ i as u64)).collect();
        let control = json!({"batch_num": batch_num, "has_more": has_more, "status": "loading_batch", "last_seq_id": seq});
        let text = object(&[
            ("type", json!("initial_data_batch").to_string()),
            ("subscription_id", json!("s").to_string()),
            ("rows", format!("[{}]", wire_rows.join(","))),
            ("batch_control", control.to_string()),
            ("new_in_1.0", json!([{"a": [1.5, null]}]).to_string()),
        ], seed);
        for frame in decode_all(&text) {
            let ServerFrame::Batch(batch) = frame else { panic!("{frame:?}") };
            prop_assert_eq!(&*batch.subscription, "s");
            prop_assert_eq!(batch.rows.iter().map(|r| r.all_values().to_vec()).collect::<Vec<_>>(), rows.clone());
            prop_assert!(batch.rows.iter().all(|r| r.version() == Some(seq.into())));
            prop_assert_eq!((batch.control.batch_num, batch.control.has_more), (batch_num.into(), has_more));
            prop_assert_eq!(batch.control.last_seq.map(|c| c.seq()), Some(seq.into()));
        }
    }

    #[test]
    fn changes_decode_to_what_was_put_in(new in cells(), old in cells(), seed: u64, seq: i64, kind in 0..3_usize) {
        let (name, kind) = [("insert", ChangeKind::Insert), ("update", ChangeKind::Update), ("delete", ChangeKind::Delete)][kind];
        let mut fields = vec![
            ("type", json!("change").to_string()),
            ("subscription_id", json!("s").to_string()),
            ("change_type", json!(name).to_string()),
        ];
        if kind != ChangeKind::Delete {
            fields.push(("rows", format!("[{}]", row(&new, seq, seed))));
        }
        if kind != ChangeKind::Insert {
            fields.push(("old_values", format!("[{}]", row(&old, seq, !seed))));
        }
        for frame in decode_all(&object(&fields, seed)) {
            let ServerFrame::Change(change) = frame else { panic!("{frame:?}") };
            prop_assert_eq!(change.kind, kind);
            prop_assert!(!change.unknown_columns);
            let whole = if kind == ChangeKind::Delete { &old } else { &new };
            prop_assert_eq!(change.rows.len(), 1);
            prop_assert_eq!(change.rows[0].all_values(), &**whole);
            prop_assert_eq!(change.rows[0].version(), Some(seq.into()));
            if kind == ChangeKind::Update {
                prop_assert_eq!(change.old.len(), 1);
                for (column, value) in columns().iter().zip(&old) {
                    prop_assert_eq!(change.old[0].get(&column.name), Some(value));
                }
            } else {
                prop_assert!(change.old.is_empty());
            }
        }
    }

    #[test]
    fn http_results_decode_to_what_was_put_in(rows in prop::collection::vec(cells(), 0..4)) {
        let schema: Vec<_> = columns().iter().enumerate().map(|(i, c)| {
            let data_type = match &c.data_type {
                DataType::Decimal { precision, scale } => json!({"Decimal": {"precision": precision, "scale": scale}}),
                DataType::Embedding(n) => json!({"Embedding": n}),
                other => json!(format!("{other:?}")),
            };
            json!({"name": c.name, "data_type": data_type, "index": i})
        }).collect();
        let wire_rows: Vec<Vec<Json>> = rows.iter().map(|r| r.iter().map(wire).collect()).collect();
        // In this order: the schema stands before its rows.
        let body = format!(
            r#"{{"status":"success","results":[{{"schema":{},"rows":{},"row_count":{},"as_user":"u"}}],"took":1.5}}"#,
            json!(schema), json!(wire_rows), rows.len()
        );
        let results = decode_sql_response(200, body.as_bytes(), &request()).expect("results");
        prop_assert_eq!(results.len(), 1);
        prop_assert_eq!(results[0].rows.iter().map(|r| r.values().to_vec()).collect::<Vec<_>>(), rows);
    }

    #[test]
    fn arbitrary_input_never_panics(bytes: Vec<u8>, text in "\\PC{0,80}", status in 100..600_u16) {
        survive(&bytes, status);
        survive(text.as_bytes(), status);
        let mut packed = vec![0x1f, 0x8b];
        packed.extend(&bytes);
        survive(&packed, status);
    }

    #[test]
    fn damaged_recordings_never_panic(
        pick: prop::sample::Index, at: prop::sample::Index, byte: u8, cut: bool, status in prop::sample::select(vec![200_u16, 400, 503]),
    ) {
        let all = recorded();
        let mut bytes = pick.get(all).clone();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        survive(&bytes, status);
    }
}

fn request() -> SqlRequest<'static> {
    SqlRequest { sql: "SELECT * FROM app.t", params: &[], namespace: None }
}

/// Gives `bytes` to every decoder.
fn survive(bytes: &[u8], status: u16) {
    let (plans, limits) = (plans(), Limits::default());
    let check = |frame| {
        if let Err(error) = decode(frame, &plans, &limits) {
            assert_eq!(error.error.code(), ErrorCode::Protocol);
        }
    };
    check(RawFrame::Binary(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(RawFrame::Text(text));
    }
    let _ = decode_sql_response(status, bytes, &request());
    let _ = decode_login(status, bytes);
    let _ = decode_error(status, bytes);
}

/// Every frame and every answer of the recordings, as bytes.
fn recorded() -> &'static [Vec<u8>] {
    static ALL: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/wire");
        let mut all = Vec::new();
        for entry in std::fs::read_dir(directory).expect("the recordings") {
            let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a recording");
            for line in text.lines() {
                let line: Json = serde_json::from_str(line).expect("JSON");
                let raw =
                    line["raw_base64"].as_str().map(|text| BASE64_STANDARD.decode(text).expect("base64"));
                all.extend(raw);
                all.extend(
                    ["frame", "response"]
                        .iter()
                        .filter(|f| line[**f].is_object())
                        .map(|f| line[*f].to_string().into_bytes()),
                );
            }
        }
        all
    })
}

/// An answer that is cut anywhere says so: the connection was lost, not "no rows".
#[test]
fn an_answer_cut_at_any_byte_is_an_error() {
    let body = r#"{"status":"success","results":[{"schema":[{"name":"a","data_type":"Text","index":0}],"rows":[["x"],[null]],"row_count":2,"as_user":"u"}],"took":1.0}"#;
    assert_eq!(decode_sql_response(200, body.as_bytes(), &request()).expect("whole")[0].rows.len(), 2);
    for cut in 0..body.len() {
        let error = decode_sql_response(200, &body.as_bytes()[..cut], &request()).expect_err("cut");
        assert_eq!(error.code(), ErrorCode::Disconnected, "{cut}: {error}");
        assert!(!error.retryable(), "the statement may have been executed");
    }
}

/// So does a frame.
#[test]
fn a_frame_cut_at_any_byte_is_an_error() {
    let text =
        r#"{"type":"change","subscription_id":"s","change_type":"insert","rows":[{"i":"1","_seq":"2"}]}"#;
    let pack =
        rmp_serde::to_vec_named(&serde_json::from_str::<Json>(text).expect("JSON")).expect("MessagePack");
    let (plans, limits) = (plans(), Limits::default());
    for whole in [text.as_bytes().to_vec(), gzip(text.as_bytes()), pack.clone(), gzip(&pack)] {
        assert!(decode(RawFrame::Binary(&whole), &plans, &limits).is_ok());
        for cut in 0..whole.len() {
            assert!(
                decode(RawFrame::Binary(&whole[..cut]), &plans, &limits).is_err(),
                "{cut} of {}",
                whole.len()
            );
        }
        let longer = [&whole[..], b"x"].concat();
        assert!(decode(RawFrame::Binary(&longer), &plans, &limits).is_err(), "bytes behind the frame");
    }
}
