use std::collections::{BTreeMap, HashMap};

use super::*;
use crate::schema::{Column, DataType, Schema};
use crate::value::{Decimal, FileRef, Uuid};

fn row(cells: Vec<(&str, Value)>) -> Row {
    let columns = cells.iter().map(|(name, _)| Column::new(*name, DataType::Text)).collect();
    Row::new(Schema::new(columns), cells.into_iter().map(|(_, v)| v).collect::<Vec<_>>(), None)
}

fn every_type() -> Row {
    row(vec![
        ("id", Value::Int(9_007_199_254_740_993)),
        ("small", Value::Int(7)),
        ("ok", Value::Boolean(true)),
        ("score", Value::Float(1.5)),
        ("price", Value::Decimal(Decimal::parse("12.3400").expect("a decimal"))),
        ("body", Value::from("hello")),
        ("status", Value::from("open")),
        ("at", Value::Timestamp(1_767_323_045_000_000)),
        ("day", Value::Date(20_455)),
        ("time", Value::Time(11_045_000_000)),
        ("key", Value::Uuid(Uuid([0x55; 16]))),
        ("meta", Value::Json(r#"{"tags":["a"],"kind":"Small","n":{"x":1}}"#.into())),
        ("raw", Value::from(vec![1_u8, 2])),
        ("vector", Value::Embedding([0.5, 1.0].into())),
        ("nothing", Value::Null),
    ])
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Open,
    Closed,
}

#[derive(Debug, PartialEq, Deserialize)]
enum Kind {
    Small,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Meta {
    tags: Vec<String>,
    kind: Kind,
    n: HashMap<String, i32>,
    #[serde(default)]
    absent: Option<bool>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Micros(i64);

#[derive(Debug, PartialEq, Deserialize)]
struct Everything<'a> {
    id: i64,
    small: u8,
    ok: bool,
    score: f32,
    price: &'a str,
    body: &'a str,
    status: Status,
    at: Micros,
    day: i32,
    time: u64,
    key: String,
    meta: Meta,
    raw: Vec<u8>,
    vector: Vec<f32>,
    nothing: Option<String>,
    #[serde(default)]
    no_column: u8,
}

#[test]
fn a_struct_takes_every_type() {
    let row = every_type();
    let read: Everything<'_> = row.deserialize().expect("it fits");
    let meta =
        Meta { tags: vec!["a".into()], kind: Kind::Small, n: HashMap::from([("x".into(), 1)]), absent: None };
    let expected = Everything {
        id: 9_007_199_254_740_993,
        small: 7,
        ok: true,
        score: 1.5,
        price: "12.3400",
        body: "hello",
        status: Status::Open,
        at: Micros(1_767_323_045_000_000),
        day: 20_455,
        time: 11_045_000_000,
        key: "55555555-5555-5555-5555-555555555555".into(),
        meta,
        raw: vec![1, 2],
        vector: vec![0.5, 1.0],
        nothing: None,
        no_column: 0,
    };
    assert_eq!(read, expected);
}

/// As decimal and date types of other crates ask for them.
#[derive(Debug, PartialEq, Deserialize)]
struct AsText {
    price: f64,
    at: String,
    day: String,
    time: String,
    meta: String,
}

#[test]
fn the_type_that_is_asked_for_decides() {
    let read: AsText = every_type().deserialize().expect("it fits");
    assert_eq!(
        (read.price, &*read.at, &*read.day, &*read.time),
        (12.34, "2026-01-02T03:04:05Z", "2026-01-02", "03:04:05")
    );
    assert!(read.meta.starts_with('{'));
}

#[test]
fn maps_tuples_and_single_values() {
    let map: BTreeMap<String, serde_json::Value> = every_type().deserialize().expect("a map");
    assert_eq!(map["id"], 9_007_199_254_740_993_i64);
    assert_eq!(map["meta"]["tags"][0], "a");
    assert_eq!(map["raw"], serde_json::json!([1, 2]));
    assert_eq!(map["nothing"], serde_json::Value::Null);
    let pair = row(vec![("a", Value::Int(1)), ("b", Value::from("x"))]);
    assert_eq!(pair.deserialize::<(i64, &str)>().expect("a tuple"), (1, "x"));
    let one = row(vec![("n", Value::Int(3))]);
    assert_eq!(one.deserialize::<u64>().expect("a number"), 3);
    assert_eq!(one.deserialize::<Option<Micros>>().expect("a number"), Some(Micros(3)));
    assert_eq!(row(vec![("n", Value::Null)]).deserialize::<Option<i64>>().expect("none"), None);
    let status = row(vec![("status", Value::from("closed"))]);
    assert_eq!(status.deserialize::<Status>().expect("an enum"), Status::Closed);
}

#[test]
fn files_become_references() {
    let file = FileRef {
        id: "1".into(),
        sub: "f0001".into(),
        name: "a b.txt".into(),
        size: 10,
        mime: "text/plain".into(),
        sha256: "00".into(),
    };
    #[derive(Deserialize)]
    struct Document {
        att: FileRef,
    }
    let read: Document =
        row(vec![("att", Value::File(Box::new(file.clone())))]).deserialize().expect("a file");
    assert_eq!(read.att, file);
}

#[test]
fn what_does_not_fit_names_the_column() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its types are read")]
    struct Strict {
        small: u8,
    }
    let refuse = |value: Value| {
        let error = row(vec![("small", value)]).deserialize::<Strict>().expect_err("it does not fit");
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains("column \"small\""), "{error}");
        error
    };
    assert!(refuse(Value::Null).message().contains("Option"));
    refuse(Value::Int(300));
    refuse(Value::from("x"));
    refuse(Value::Float(1.5));
    refuse(Value::Json("{".into()));
    let error = row(vec![("a", Value::Int(1)), ("b", Value::Int(2))]).deserialize::<i64>().expect_err("two");
    assert!(error.message().contains("2 columns"), "{error}");
    assert!(row(vec![("other", Value::Int(1))]).deserialize::<Strict>().is_err());
    assert!(every_type().deserialize::<(i64, u8)>().is_err());
}
