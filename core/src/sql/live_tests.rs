//! Tests of [`check_live`].

use proptest::prelude::*;

use super::*;
use crate::error::ErrorCode;
use crate::value::Value;

fn canonical(sql: &str) -> String {
    check_live(sql, &[], Some("app")).unwrap_or_else(|e| panic!("{sql}: {e}")).to_sql().expect(sql)
}

#[test]
fn accepts_the_shape_and_writes_it_canonically() {
    for (sql, expected) in [
        ("SELECT * FROM app.msgs", "SELECT * FROM app.msgs"),
        ("select id , Body from MSGS ;; -- all", "SELECT id, body FROM app.msgs"),
        ("SELECT \"Id\" FROM \"My Ns\".\"t\"", "SELECT \"Id\" FROM \"My Ns\".t"),
        (
            "SELECT id FROM app.m /* c */ WHERE  a=1\n AND (b LIKE 'x%' )",
            "SELECT id FROM app.m WHERE a=1 AND (b LIKE 'x%' )",
        ),
        (
            "SELECT app.m.id, m.v FROM app.m WHERE m.v > 1 AND app.m.id <> 'm.v'",
            "SELECT id, v FROM app.m WHERE v > 1 AND id <> 'm.v'",
        ),
        ("SELECT _seq, _deleted, id FROM app.m", "SELECT _seq, _deleted, id FROM app.m"),
        (
            "SELECT date, status FROM app.m WHERE limit_at > 3",
            "SELECT date, status FROM app.m WHERE limit_at > 3",
        ),
        (
            "SELECT \"order\" FROM app.m WHERE \"order\" = 1",
            "SELECT \"order\" FROM app.m WHERE \"order\" = 1",
        ),
        (
            "SELECT id FROM app.m WHERE a IN (1,2) AND b BETWEEN 1 AND 2",
            "SELECT id FROM app.m WHERE a IN (1,2) AND b BETWEEN 1 AND 2",
        ),
        ("SELECT id FROM app.m WHERE left(a, 1) = 'x'", "SELECT id FROM app.m WHERE left(a, 1) = 'x'"),
        (
            "SELECT id FROM app.m WHERE a IS NOT NULL AND CASE WHEN b THEN 1 ELSE 2 END = 1",
            "SELECT id FROM app.m WHERE a IS NOT NULL AND CASE WHEN b THEN 1 ELSE 2 END = 1",
        ),
    ] {
        assert_eq!(canonical(sql), expected);
        assert_eq!(canonical(expected), expected, "canonical text is stable");
    }
}

#[test]
fn says_what_to_write_instead() {
    for (sql, advice) in [
        ("", "is empty"),
        (" ; ", "is empty"),
        ("-- nothing", "is empty"),
        ("garbage", "starts with SELECT"),
        ("DELETE FROM x.y", "query() or execute()"),
        ("WITH a AS (SELECT 1) SELECT * FROM a.b", "no WITH"),
        ("SELECT * FROM a.b; SELECT * FROM a.c", "one statement"),
        ("SELECT DISTINCT id FROM a.b", "DISTINCT"),
        ("SELECT", "FROM is missing"),
        ("SELECT id", "FROM is missing"),
        ("SELECT *", "FROM is missing"),
        ("SELECT FROM a.b", "a column is missing"),
        ("SELECT id, FROM a.b", "a column is missing"),
        ("SELECT *, _seq FROM a.b", "* stands alone"),
        ("SELECT b.* FROM a.b", "after the point"),
        ("SELECT id AS k FROM a.b", "column aliases"),
        ("SELECT id k FROM a.b", "column aliases"),
        ("SELECT count(*) FROM a.b", "aggregates"),
        ("SELECT max(v) FROM a.b", "aggregates"),
        ("SELECT upper(v) FROM a.b", "expressions"),
        ("SELECT v+1 FROM a.b", "expressions"),
        ("SELECT 1 FROM a.b", "expressions"),
        ("SELECT (id) FROM a.b", "expressions"),
        ("SELECT -id FROM a.b", "expressions"),
        ("SELECT id::text FROM a.b", "expressions"),
        ("SELECT id, id FROM a.b", "twice"),
        ("SELECT x.id FROM a.b", "is not the table"),
        ("SELECT * FROM", "a table is missing"),
        ("SELECT * FROM WHERE a = 1", "a table is missing"),
        ("SELECT * FROM (SELECT 1)", "sub-queries"),
        ("SELECT * FROM a.b.c", "without anything before it"),
        ("SELECT * FROM a.", "after the point"),
        ("SELECT * FROM a.b x", "table alias"),
        ("SELECT * FROM a.b AS x", "table alias"),
        ("SELECT * FROM a.b e WHERE e.v = 1", "table alias"),
        ("SELECT * FROM a.b, a.c", "reads one table"),
        ("SELECT * FROM a.b JOIN a.c ON 1 = 1", "reads one table"),
        ("SELECT * FROM a.b LEFT JOIN a.c ON 1 = 1", "reads one table"),
        ("SELECT * FROM a.b ORDER BY id", "order_by option"),
        ("SELECT * FROM a.b WHERE v = 1 ORDER BY id", "order_by option"),
        ("SELECT * FROM a.b LIMIT 1", "limit option"),
        ("SELECT * FROM a.b WHERE v = 1 LIMIT 1", "limit option"),
        ("SELECT * FROM a.b WHERE v OFFSET 5", "OFFSET"),
        ("SELECT * FROM a.b GROUP BY v", "GROUP BY"),
        ("SELECT * FROM a.b WHERE v > 1 GROUP BY v", "GROUP BY"),
        ("SELECT * FROM a.b HAVING v > 1", "HAVING"),
        ("SELECT * FROM a.b UNION SELECT * FROM a.c", "UNION"),
        ("SELECT * FROM a.b WHERE v IN (SELECT 1)", "sub-queries"),
        ("SELECT * FROM a.b WHERE", "after WHERE"),
        ("SELECT * FROM a.b WHERE (v = 1", "no ) behind"),
        ("SELECT * FROM a.b WHERE v = 1)", "no ( before"),
        ("SELECT * FROM a.b WHERE x.v = 1", "is not the table"),
        ("SELECT * FROM a.b WHERE v = 'x", "no closing"),
        ("SELECT \"\" FROM a.b", "empty"),
        ("SELECT * FROM a.b (1)", "does not belong"),
    ] {
        let error = check_live(sql, &[], None).expect_err(sql);
        assert_eq!(error.code(), ErrorCode::InvalidSql, "{sql}");
        assert!(error.message().contains(advice), "{sql}: {error}");
    }
    let error = check_live("SELECT * FROM msgs", &[], None).expect_err("no namespace");
    assert!(error.message().contains("namespace option"), "{error}");
}

#[test]
fn hidden_columns_are_sent_behind_the_others() {
    let mut live = check_live("SELECT body FROM app.m WHERE a = 1", &[], None).expect("live SQL");
    live.with_hidden(["id", "body", "id"]);
    assert_eq!(live.hidden, ["id"]);
    assert_eq!(live.to_sql().expect("SQL"), "SELECT body, id FROM app.m WHERE a = 1");
    let mut all = LiveSql::table("app", "m");
    all.with_hidden(["id"]);
    assert_eq!(all.to_sql().expect("SQL"), "SELECT * FROM app.m");
}

#[test]
fn the_filter_keeps_its_tokens() {
    let live =
        check_live("SELECT * FROM app.m WHERE m.a  IN ($1)", &[Value::from("x'y")], None).expect("live SQL");
    let filter = live.filter.expect("a filter");
    let texts: Vec<_> = filter.tokens().iter().map(|t| t.text(filter.as_str())).collect();
    assert_eq!(texts, ["a", "IN", "(", "'x''y'", ")"]);
}

#[test]
fn system_tables_are_recognised() {
    for sql in [
        "SELECT * FROM system.users",
        "select 1; select * from \"system\" . jobs",
        "SELECT * FROM INFORMATION_SCHEMA.tables",
    ] {
        assert!(names_system_table(sql), "{sql}");
    }
    for sql in ["SELECT * FROM app.system", "SELECT 'system.users'", "SELECT 1 -- system.users", "'"] {
        assert!(!names_system_table(sql), "{sql}");
    }
}

proptest! {
    #[test]
    fn never_panics(sql in "\\PC{0,60}|(SELECT|FROM|WHERE|\\*|[a-c]|\\.|,|\\(|\\)|'|\"|;|--|/\\*|\\$1| |\n|=|1){0,30}") {
        let _ = check_live(&sql, &[Value::from(1_i64)], Some("app"));
        let _ = check_live(&sql, &[], None);
    }

    /// What is accepted is canonical: read again, it is the same query.
    #[test]
    fn canonical_text_reads_back(
        columns in proptest::collection::btree_set("[^\\x00]{1,6}|[a-z]{1,6}", 1..5),
        table in "[^\\x00]{1,6}", namespace in "[^\\x00]{1,6}", text in "[^\\x00]{0,12}", number in any::<i64>(),
    ) {
        let live = LiveSql {
            table: TableName { namespace, name: table },
            projection: Projection::Columns(columns.into_iter().collect()),
            filter: None,
            hidden: Vec::new(),
        };
        let sql = live.to_sql().expect("SQL");
        prop_assert_eq!(&check_live(&sql, &[], None).expect("live SQL"), &live);
        let params = [Value::from(text.as_str()), Value::from(number)];
        let with_filter = check_live(&format!("{sql} WHERE a=$1 AND b-$2>0"), &params, None).expect("live SQL");
        let again = check_live(&with_filter.to_sql().expect("SQL"), &[], None).expect("live SQL");
        prop_assert_eq!(&again, &with_filter);
        let contents: Vec<_> = with_filter.filter.as_ref().expect("a filter").tokens().iter()
            .filter_map(|t| t.content(with_filter.filter.as_ref().expect("a filter").as_str())).collect();
        prop_assert_eq!(contents, [text.as_str()]);
    }
}
