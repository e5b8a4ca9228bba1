//! Tests of [`decode`], by hand; `tests/recordings.rs` and `tests/decode_properties.rs` have the rest.

use std::collections::HashMap;
use std::io::Write;

use super::*;
use crate::error::ErrorCode;
use crate::schema::{Column, DataType, SeqId};
use crate::sql::{LiveSql, check_live};
use crate::value::Value;

fn columns() -> Vec<Column> {
    vec![
        Column::new("id", DataType::BigInt).primary_key(),
        Column::new("body", DataType::Text),
        Column::new("n", DataType::Int),
        Column::new("_seq", DataType::BigInt),
        Column::new("_deleted", DataType::Boolean),
    ]
}

fn plans(sql: &str, old: OldValues) -> HashMap<String, RowPlan> {
    let mut live = check_live(sql, &[], None).expect("live SQL");
    live.with_hidden(["id"]);
    HashMap::from([("s".to_owned(), RowPlan::new(&columns(), &live, old).expect("a plan"))])
}

fn star() -> HashMap<String, RowPlan> {
    plans("SELECT * FROM app.t", OldValues::Keep)
}

fn read(text: &str, plans: &impl Plans) -> ServerFrame {
    decode(RawFrame::Text(text), plans, &Limits::default()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn change(text: &str, plans: &impl Plans) -> Change {
    match read(text, plans) {
        ServerFrame::Change(change) => change,
        other => panic!("{other:?}"),
    }
}

fn refuse(text: &str) -> DecodeError {
    let error = decode(RawFrame::Text(text), &star(), &Limits::default()).expect_err(text);
    assert_eq!(error.error.code(), ErrorCode::Protocol);
    error
}

const UPDATE: &str = r#"{"type":"change","subscription_id":"s","change_type":"update",
    "rows":[{"n":2,"_seq":"9","id":"7"}],"old_values":[{"id":"7","_seq":"8","n":1,"body":"x"}]}"#;

#[test]
fn a_column_that_an_update_leaves_out_is_null() {
    let change = change(UPDATE, &star());
    assert_eq!(change.kind, ChangeKind::Update);
    let row = &change.rows[0];
    assert_eq!(row.values(), [Value::Int(7), Value::Null, Value::Int(2)]);
    assert_eq!(row.version(), Some(SeqId::from(9)));
    assert_eq!(row.schema().columns().len(), 3, "the system's columns are none of the row's");
    let old = &change.old[0];
    assert_eq!(old.get("body"), Some(&Value::from("x")));
    assert_eq!(old.get("_seq"), None);
    assert_eq!(old.version(), Some(SeqId::from(8)));
    assert_eq!(format!("{old:?}"), r#"{"id": Int(7), "n": Int(1), "body": Text("x")}"#);
    assert!(!change.unknown_columns);
}

#[test]
fn old_values_are_skipped_when_nobody_wants_them() {
    let change = change(UPDATE, &plans("SELECT * FROM app.t", OldValues::Skip));
    assert_eq!((change.rows.len(), change.old.len()), (1, 0));
}

#[test]
fn hidden_columns_are_read_and_not_shown() {
    let plans = plans("SELECT body FROM app.t", OldValues::Skip);
    let change = change(UPDATE, &plans);
    assert_eq!(change.rows[0].values(), [Value::Null]);
    assert_eq!(change.rows[0].all_values(), [Value::Null, Value::Int(7)]);
}

#[test]
fn system_columns_are_cells_when_selected_by_name() {
    let plans = plans("SELECT _deleted, _seq FROM app.t", OldValues::Skip);
    let text = r#"{"type":"change","subscription_id":"s","change_type":"insert","rows":[{"id":"1","_deleted":false,"_seq":"5"}]}"#;
    let change = change(text, &plans);
    assert_eq!(change.rows[0].values(), [Value::Boolean(false), Value::Int(5)]);
    assert_eq!(change.rows[0].version(), Some(SeqId::from(5)));
}

#[test]
fn a_deleted_row_has_its_last_content_and_the_tombstones_version() {
    let text = r#"{"type":"change","subscription_id":"s","change_type":"delete","old_values":[{"id":"1","body":"x","n":null,"_deleted":true,"_seq":"5"}]}"#;
    let change = change(text, &plans("SELECT * FROM app.t", OldValues::Skip));
    assert_eq!(change.rows[0].values(), [Value::Int(1), Value::from("x"), Value::Null]);
    assert_eq!(change.rows[0].version(), Some(SeqId::from(5)));
}

#[test]
fn a_frame_that_does_not_fit_the_schema_says_so() {
    let insert = |row: &str| {
        format!(r#"{{"type":"change","subscription_id":"s","change_type":"insert","rows":[{row}]}}"#)
    };
    let whole = insert(r#"{"id":"1","body":"x","n":1,"_seq":"1","_commit_seq":"4"}"#);
    assert!(!change(&whole, &star()).unknown_columns);
    let more = change(&insert(r#"{"id":"1","body":"x","n":1,"z":{"deep":[1]},"_seq":"1"}"#), &star());
    assert!(more.unknown_columns);
    assert_eq!(more.rows[0].values().len(), 3);
    assert!(change(&insert(r#"{"id":"1","n":1,"_seq":"1"}"#), &star()).unknown_columns);
}

/// Updates carry the primary key even when it is not selected; then an unknown column tells nothing.
#[test]
fn a_projection_without_the_key_meets_unknown_columns() {
    let live = check_live("SELECT body FROM app.t", &[], None).expect("live SQL");
    let plan = RowPlan::new(&[Column::new("body", DataType::Text)], &live, OldValues::Skip).expect("a plan");
    assert!(!change(UPDATE, &HashMap::from([("s".to_owned(), plan)])).unknown_columns);
}

#[test]
fn rows_without_a_plan_are_skipped() {
    let frame = change(UPDATE, &());
    assert_eq!((frame.rows.len(), frame.old.len(), frame.unknown_columns), (0, 0, false));
}

#[test]
fn an_announcement_is_read_and_a_strange_one_is_none() {
    let text = |server: &str| {
        format!(r#"{{"type":"auth_success","user":"u","role":"user","protocol":{{}},"server":{server}}}"#)
    };
    let announced = r#"{"name":"kalam-embedded","version":"0.1.0","complete":true,"motd":1,"limits":{"messages_per_second":1000,"message_bytes":1048576,"batch_rows":5000,"subscriptions_per_connection":1000,"subscriptions_per_user":10000}}"#;
    let ServerFrame::AuthSuccess(auth) = read(&text(announced), &()) else { panic!("no auth_success") };
    let server = auth.server.expect("an announcement");
    assert!(server.complete);
    assert_eq!(server.name, "kalam-embedded");
    assert_eq!(
        server.limits,
        AnnouncedLimits {
            messages_per_second: Some(1000),
            message_bytes: Some(1 << 20),
            batch_rows: Some(5000),
            subscriptions_per_connection: Some(1000),
            subscriptions_per_user: Some(10_000),
        }
    );
    for strange in ["null", "7", "\"x\"", "[1]", r#"{"complete":"yes"}"#] {
        let ServerFrame::AuthSuccess(auth) = read(&text(strange), &()) else { panic!("no auth_success") };
        assert_eq!(auth.server, None, "{strange}");
    }
}

/// Made from the documents of 0.8, not recorded.
#[test]
fn versions_of_a_newer_server_are_strings_of_a_domain() {
    let text = r#"{"type":"initial_data_batch","subscription_id":"s","rows":[{"id":"1","body":"x","n":1,"_version":"5"}],
        "batch_control":{"batch_num":0,"has_more":true,"status":"loading","last_seq_id":"5","version_domain":{"table_id":3}}}"#;
    let ServerFrame::Batch(batch) = read(text, &star()) else { panic!("no batch") };
    assert_eq!(batch.rows[0].version(), Some(SeqId::from(5)));
    let last = batch.control.last_seq.clone().expect("a cursor");
    assert_eq!((last.kind(), last.seq()), (CursorKind::Text, SeqId::from(5)));
    assert_eq!(last.domain().map(VersionDomain::as_json), Some(r#"{"table_id":3}"#));
    assert_eq!(batch.control.cursor_at(SeqId::from(5)), last);
    let ack = r#"{"type":"subscription_ack","subscription_id":"s","version_domain":{"table_id":3},"schema":[],
        "batch_control":{"batch_num":0,"has_more":false,"status":"ready","last_seq_id":null}}"#;
    let ServerFrame::Ack(ack) = read(ack, &()) else { panic!("no ack") };
    assert_eq!(ack.control.cursor_at(SeqId::from(5)), last);
}

#[test]
fn what_is_new_is_skipped() {
    let text =
        r#"{"rows":7,"subscription_id":[],"type":"hello","batch_control":"x","schema":1,"message":{}}"#;
    assert_eq!(read(text, &star()), ServerFrame::Unknown { message_type: "hello".into() });
    let text = r#"{"new":{"a":[1,{}]},"new":2,"type":"error","subscription_id":"s","code":"X","message":"y","rows":7}"#;
    let ServerFrame::Error(error) = read(text, &()) else { panic!("no error") };
    assert_eq!((&*error.subscription, &*error.code, &*error.message), ("s", "X", "y"));
}

#[test]
fn what_is_wrong_names_the_subscription_and_the_column() {
    let insert = |row: &str| {
        format!(r#"{{"type":"change","subscription_id":"s","change_type":"insert","rows":{row}}}"#)
    };
    for (row, column) in [
        (r#"[{"id":"x"}]"#, "id"),
        (r#"[{"id":true}]"#, "id"),
        (r#"[{"id":1.5}]"#, "id"),
        (r#"[{"id":"9223372036854775808"}]"#, "id"),
        (r#"[{"id":9223372036854775808}]"#, "id"),
        (r#"[{"n":[1]}]"#, "n"),
        (r#"[{"n":{}}]"#, "n"),
        (r#"[{"body":5}]"#, "body"),
        (r#"[{"body":"\ud800"}]"#, "body"),
        (r#"[{"_seq":"x"}]"#, "_seq"),
        (r#"[{"_seq":1e400}]"#, "_seq"),
    ] {
        let error = refuse(&insert(row));
        assert_eq!(error.subscription.as_deref(), Some("s"), "{row}");
        assert!(error.error.message().contains(&format!("column {column:?}")), "{row}: {error}");
    }
    for row in [
        r#"[{"n":1,"n":1}]"#,
        r#"[{"_deleted":1,"_deleted":1}]"#,
        "[7]",
        "[[]]",
        "{}",
        "\"x\"",
        "[{\"n\":1}",
        "[{n:1}]",
    ] {
        assert_eq!(refuse(&insert(row)).subscription.as_deref(), Some("s"), "{row}");
    }
}

#[test]
fn broken_envelopes_are_refused() {
    for text in [
        "",
        " ",
        "null",
        "7",
        "[]",
        "\"x\"",
        "{",
        "{}",
        "{nope",
        r#"{"subscription_id":"s"}"#,
        r#"{"type":7}"#,
        r#"{"type":"change"}"#,
        r#"{"type":"change","subscription_id":"s"}"#,
        r#"{"type":"change","subscription_id":null,"change_type":"insert"}"#,
        r#"{"type":"change","subscription_id":"s","change_type":"upsert"}"#,
        r#"{"type":"change","type":"change","subscription_id":"s","change_type":"insert"}"#,
        r#"{"type":"change","subscription_id":"s","subscription_id":"s","change_type":"insert"}"#,
        r#"{"type":"initial_data_batch","subscription_id":"s","rows":[]}"#,
        r#"{"type":"initial_data_batch","subscription_id":"s","rows":[],"batch_control":{}}"#,
        r#"{"type":"initial_data_batch","subscription_id":"s","rows":[],"batch_control":{"has_more":false,"status":"lost"}}"#,
        r#"{"type":"subscription_ack","subscription_id":"s","schema":[{"name":"a"}],"batch_control":{"has_more":false,"status":"ready"}}"#,
        r#"{"type":"subscription_ack","subscription_id":"s","schema":7,"batch_control":{"has_more":false,"status":"ready"}}"#,
        r#"{"type":"error"} x"#,
    ] {
        refuse(text);
    }
}

#[test]
fn limits_hold_before_memory_is_spent() {
    let limits = Limits { frame_bytes: 1000, decompressed_bytes: 10_000, depth: 8 };
    let refused = |frame: RawFrame<'_>, why: &str| {
        let error = decode(frame, &star(), &limits).expect_err(why);
        assert!(error.error.message().contains(why), "{error}");
    };
    refused(RawFrame::Text(&" ".repeat(1001)), "1001 bytes");
    // 100 KB of blanks in a few hundred bytes.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    (0..100).for_each(|_| bomb.write_all(&[b' '; 1 << 10]).expect("gzip"));
    let bomb = bomb.finish().expect("gzip");
    assert!(bomb.len() < 1000);
    refused(RawFrame::Binary(&bomb), "after decompression");
    refused(RawFrame::Binary(&bomb[..bomb.len() / 2]), "decompression");
    refused(RawFrame::Binary(&[0x1f, 0x8b, 0, 0]), "gzip");
}

#[test]
fn depth_is_limited_where_values_are_kept_and_skipped_ones_do_no_harm() {
    let mut columns = columns();
    columns[1].data_type = DataType::Json;
    let plan = RowPlan::new(&columns, &LiveSql::table("app", "t"), OldValues::Skip).expect("a plan");
    let plans = HashMap::from([("s".to_owned(), plan)]);
    let frame = |field: &str, depth: usize| {
        let nested = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        format!(
            r#"{{"type":"change","subscription_id":"s","change_type":"insert","rows":[{{"{field}":{nested}}}]}}"#
        )
    };
    let read = |text: &str| decode(RawFrame::Text(text), &plans, &Limits::default());
    assert!(read(&frame("body", 64)).is_ok());
    assert!(read(&frame("body", 65)).expect_err("deep").error.message().contains("nested too deeply"));
    assert!(read(&frame("body", 100_000)).is_err());
    assert!(read(&frame("unknown", 100_000)).is_ok());
    // An array of an array of ...: MessagePack, where skipping is recursive.
    let mut pack = vec![0x81, 0xa1, b'x'];
    pack.extend([0x91; 100_000]);
    let error = decode(RawFrame::Binary(&pack), &plans, &Limits::default()).expect_err("deep");
    assert_eq!(error.error.code(), ErrorCode::Protocol);
    // A length that nothing stands behind.
    for hostile in [
        &[0xdf, 0xff, 0xff, 0xff, 0xff][..],
        &[0x81, 0xdb, 0xff, 0xff, 0xff, 0xff],
        &[0xdd, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert!(decode(RawFrame::Binary(hostile), &plans, &Limits::default()).is_err());
    }
}

#[test]
fn plans_need_the_columns_that_were_selected() {
    let live = check_live("SELECT id, gone FROM app.t", &[], None).expect("live SQL");
    let error = RowPlan::new(&columns(), &live, OldValues::Skip).expect_err("a column is missing");
    assert!(error.message().contains("gone"), "{error}");
    let twice = [Column::new("a", DataType::Int), Column::new("a", DataType::Int)];
    assert!(RowPlan::new(&twice, &LiveSql::table("app", "t"), OldValues::Skip).is_err());
}

/// Beyond what is scanned, and beyond one word of bits.
#[test]
fn wide_tables_are_read() {
    let columns: Vec<_> =
        (0..150).map(|i| Column::new(format!("a_long_column_name_{i}"), DataType::Int)).collect();
    let plan = RowPlan::new(&columns, &LiveSql::table("app", "t"), OldValues::Skip).expect("a plan");
    let plans = HashMap::from([("s".to_owned(), plan)]);
    let mut fields: Vec<_> = (0..150).rev().map(|i| format!(r#""a_long_column_name_{i}":{i}"#)).collect();
    let text = |fields: &[String]| {
        format!(
            r#"{{"type":"change","subscription_id":"s","change_type":"insert","rows":[{{{}}}]}}"#,
            fields.join(",")
        )
    };
    let change = change(&text(&fields), &plans);
    assert!(change.rows[0].values().iter().enumerate().all(|(i, v)| v.as_int() == Some(i as i64)));
    assert!(!change.unknown_columns);
    fields.push(r#""a_long_column_name_140":1"#.to_owned());
    assert!(decode(RawFrame::Text(&text(&fields)), &plans, &Limits::default()).is_err());
}

#[test]
fn timestamps_are_microseconds() {
    let read = |namespace: &str, number: &str| {
        let columns = [Column::new("at", DataType::Timestamp)];
        let plan = RowPlan::new(&columns, &LiveSql::table(namespace, "t"), OldValues::Skip).expect("a plan");
        let text = format!(
            r#"{{"type":"change","subscription_id":"s","change_type":"insert","rows":[{{"at":{number}}}]}}"#
        );
        change(&text, &HashMap::from([("s".to_owned(), plan)])).rows[0].values()[0]
            .as_timestamp()
            .expect("a timestamp")
    };
    for (number, micros) in [
        ("0", 0),
        ("1795558440057", 1_795_558_440_057),
        ("1795560265432000", 1_795_560_265_432_000),
        ("253402300799999999", 253_402_300_799_999_999), // The end of the year 9999.
        ("-62167219200000000", -62_167_219_200_000_000),
        ("1795560361384735742", 1_795_560_361_384_735),
    ] {
        assert_eq!(read("app", number), micros, "{number}");
    }
    for (number, micros) in [
        ("0", 0),
        ("1795558440057", 1_795_558_440_057_000),
        ("1795560265432000", 1_795_560_265_432_000),
        ("1795560361384735742", 1_795_560_361_384_735),
        ("-1795558440057", -1_795_558_440_057_000),
    ] {
        assert_eq!(read("system", number), micros, "{number}");
    }
}

/// A connection leaves changes to their readers without the beginning of the frame.
#[test]
fn what_a_glance_left_reads_as_the_whole() {
    for rest in [
        r#""update","rows":[{"n":2,"_seq":"9","id":"7"}],"old_values":[{"id":"7","_seq":"8","n":1}]}"#,
        r#""insert","rows":[{"n":null,"_seq":"9","id":"7","body":"\"}","_deleted":false}]}"#,
        r#""delete","old_values":[{"n":2,"_seq":"9","id":"7"}]}"#,
        r#""insert","rows":[{"n":2,"new":{"x":[1]},"_seq":"9"}]}"#,
    ] {
        let text = format!(r#"{{"type":"change","subscription_id":"s","change_type":{rest}"#);
        let whole = Change { subscription: Default::default(), ..change(&text, &star()) };
        let glance = Glance::at(&text).expect("a change");
        assert_eq!((glance.subscription, glance.rest), ("s", rest));
        let left = format!("{CHANGE_HEAD}{rest}");
        assert_eq!(decode_change(&left, &star()["s"], &Limits::default()), Ok(whole));
    }
    for rest in [
        r#""insert","rows":[{"n":true}]}"#,
        // What was read before may not come again: it would be another frame, or another's.
        r#""insert","rows":[{"n":2,"_seq":"9"}],"type":"error"}"#,
        r#""insert","rows":[{"n":2,"_seq":"9"}],"subscription_id":"t"}"#,
    ] {
        let left = format!("{CHANGE_HEAD}{rest}");
        assert!(decode_change(&left, &star()["s"], &Limits::default()).is_err(), "{rest}");
    }
}
