//! Single promises, one a test.

use super::{Reader, row_of, schema};
use crate::error::{Error, ErrorCode};
use crate::live::{Begin, Change, Changes, LiveOptions, LiveView, Phase, Rows};
use crate::row::Row;
use crate::schema::{Column, DataType, Schema};

fn row(id: i64, body: &str, version: i64) -> Row {
    row_of(&schema(false), Some(id), body, None, Some(version))
}

fn live(options: LiveOptions, rows: Vec<Row>) -> LiveView {
    let mut view = LiveView::new(options).unwrap();
    view.begin(schema(false), Begin::Fresh).unwrap();
    view.batch(rows).unwrap();
    view.ready().unwrap();
    view
}

fn take(view: &mut LiveView) -> Rows {
    assert!(view.is_ready());
    view.take().expect("something new").expect("no error")
}

fn bodies(rows: &Rows) -> String {
    rows.iter().filter_map(|row| row["body"].as_text()).collect()
}

/// `i0` inserted at 0, `u1` updated at 1, `r2` removed at 2.
fn changes(rows: &Rows) -> Vec<String> {
    let Changes::List(list) = rows.changes() else { return vec!["reset".into()] };
    let text = |change: &Change| match change {
        Change::Insert { index, .. } => format!("i{index}"),
        Change::Update { index, .. } => format!("u{index}"),
        Change::Remove { index, .. } => format!("r{index}"),
    };
    list.iter().map(text).collect()
}

#[test]
fn rows_stand_as_they_arrived() {
    let mut view = live(LiveOptions::default(), vec![row(1, "a", 1), row(2, "b", 2), row(3, "c", 3)]);
    assert_eq!(changes(&take(&mut view)), ["reset"]);
    view.update(row(2, "B", 4)).unwrap();
    view.insert(row(4, "d", 5)).unwrap();
    view.delete(row(1, "a", 6)).unwrap();
    view.delete(row(9, "?", 7)).unwrap();
    view.update(row(5, "e", 8)).unwrap();
    let rows = take(&mut view);
    assert_eq!(bodies(&rows), "Bcde");
    assert_eq!(changes(&rows), ["r0", "i2", "i3", "u0"]);
    assert_eq!(rows.last_seq_id(), Some(8.into()));

    view.delete(row(3, "c", 9)).unwrap();
    view.insert(row(3, "c", 10)).unwrap();
    let rows = take(&mut view);
    assert_eq!(bodies(&rows), "Bdec");
    assert_eq!(changes(&rows), ["r1", "i3"]);
}

#[test]
fn what_changes_nothing_is_no_change() {
    let mut view = live(LiveOptions::default(), vec![row(1, "a", 1)]);
    let first = take(&mut view);
    view.update(row(1, "a", 2)).unwrap();
    assert!(!view.is_ready() && view.take().is_none());
    view.update(row(1, "b", 3)).unwrap();
    view.update(row(1, "a", 4)).unwrap();
    view.insert(row(2, "b", 5)).unwrap();
    view.delete(row(2, "b", 6)).unwrap();
    assert!(!view.is_ready() && view.take().is_none());
    view.insert(row(3, "c", 7)).unwrap();
    let rows = take(&mut view);
    assert!(rows[0].ptr_eq(&first[0]));
    assert_eq!((changes(&rows), rows.last_seq_id()), (vec!["i1".to_owned()], Some(7.into())));
}

#[test]
fn a_limit_shows_the_last_written_and_refills() {
    let options = LiveOptions { limit: Some(2), ..LiveOptions::default() };
    let mut view = live(options, vec![row(1, "a", 1), row(2, "b", 2), row(3, "c", 3)]);
    assert_eq!(bodies(&take(&mut view)), "bc");
    view.update(row(1, "A", 4)).unwrap();
    let rows = take(&mut view);
    assert_eq!((bodies(&rows), changes(&rows)), ("Ac".to_owned(), vec!["r0".to_owned(), "i0".to_owned()]));
    view.delete(row(1, "A", 5)).unwrap();
    assert_eq!(bodies(&take(&mut view)), "bc");
    // The same content written again counts as written.
    view.update(row(2, "b", 6)).unwrap();
    view.insert(row(4, "d", 7)).unwrap();
    assert_eq!(bodies(&take(&mut view)), "bd");
}

#[test]
fn an_order_with_a_limit_shows_its_first() {
    let options =
        LiveOptions { order_by: Some("body".parse().unwrap()), limit: Some(2), ..LiveOptions::default() };
    let mut view = live(options, vec![row(1, "c", 1), row(2, "a", 2), row(3, "b", 3)]);
    assert_eq!(bodies(&take(&mut view)), "ab");
    view.update(row(2, "z", 4)).unwrap();
    let rows = take(&mut view);
    assert_eq!((bodies(&rows), changes(&rows)), ("bc".to_owned(), vec!["r0".to_owned(), "i1".to_owned()]));
}

#[test]
fn a_hidden_sort_column_moves_rows() {
    let columns = vec![Column::new("id", DataType::Int).primary_key(), Column::new("rank", DataType::Int)];
    let schema = Schema::with_hidden(columns, 1);
    let row =
        |id: i64, rank: i64, v: i64| Row::new(schema.clone(), vec![id.into(), rank.into()], Some(v.into()));
    let options = LiveOptions { order_by: Some("rank".parse().unwrap()), ..LiveOptions::default() };
    let mut view = LiveView::new(options).unwrap();
    view.begin(schema.clone(), Begin::Fresh).unwrap();
    view.batch(vec![row(1, 10, 1), row(2, 20, 2)]).unwrap();
    view.ready().unwrap();
    take(&mut view);
    view.update(row(1, 30, 3)).unwrap();
    let rows = take(&mut view);
    assert_eq!(changes(&rows), ["r0", "i1"]);
    assert_eq!(rows.iter().filter_map(|r| r["id"].as_int()).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn pages_and_changes_merge_by_version() {
    let mut view = LiveView::new(LiveOptions::default()).unwrap();
    view.begin(schema(false), Begin::Fresh).unwrap();
    view.update(row(1, "new", 10)).unwrap();
    view.delete(row(2, "gone", 11)).unwrap();
    view.batch(vec![row(1, "old", 5), row(2, "gone", 6), row(3, "c", 7)]).unwrap();
    view.batch(vec![row(3, "C", 8), row(3, "c", 7)]).unwrap();
    assert!(!view.is_ready());
    view.ready().unwrap();
    assert_eq!(bodies(&take(&mut view)), "newC");
    // The removal is remembered for the snapshot alone.
    view.insert(row(2, "back", 1)).unwrap();
    assert_eq!(bodies(&take(&mut view)), "newCback");
}

#[test]
fn rows_without_versions_are_replaced_by_any_frame() {
    let bare = |id: i64, body: &str| row_of(&schema(false), Some(id), body, None, None);
    let mut view = LiveView::new(LiveOptions::default()).unwrap();
    view.begin(schema(false), Begin::Fresh).unwrap();
    view.batch(vec![bare(1, "a"), row(1, "b", 0), bare(1, "c")]).unwrap();
    view.ready().unwrap();
    let rows = take(&mut view);
    assert_eq!((bodies(&rows).as_str(), rows.last_seq_id()), ("b", Some(0.into())));
    view.update(bare(1, "d")).unwrap();
    assert_eq!(bodies(&take(&mut view)), "d");
}

#[test]
fn a_new_snapshot_is_swapped_in_at_once() {
    let mut view = live(LiveOptions::default(), vec![row(1, "a", 1), row(2, "b", 2), row(3, "c", 3)]);
    let first = take(&mut view);
    view.interrupted();
    let rows = take(&mut view);
    assert_eq!((rows.phase(), rows.changes()), (Phase::Reconnecting, &Changes::List([].into())));
    view.begin(schema(false), Begin::Fresh).unwrap();
    view.batch(vec![row(4, "d", 14), row(3, "C", 13)]).unwrap();
    view.batch(vec![row(1, "a", 11)]).unwrap();
    assert!(!view.is_ready(), "a reader never sees a half");
    view.ready().unwrap();
    let rows = take(&mut view);
    assert_eq!((bodies(&rows).as_str(), rows.phase()), ("aCd", Phase::Live));
    assert_eq!(changes(&rows), ["r1", "i2", "u1"]);
    assert!(rows[0].ptr_eq(&first[0]));
    assert_eq!(rows.last_seq_id(), Some(14.into()));
    // The version of what did not change is known all the same.
    view.interrupted();
    view.begin(schema(false), Begin::Resumed).unwrap();
    view.batch(vec![row(1, "late", 5)]).unwrap();
    view.ready().unwrap();
    assert!(!view.is_ready(), "lost and back between two takes is nothing new");
}

#[test]
fn resuming_keeps_rows_and_removals() {
    let mut view = live(LiveOptions::default(), vec![row(1, "a", 1), row(2, "b", 2)]);
    take(&mut view);
    view.interrupted();
    view.begin(schema(false), Begin::Resumed).unwrap();
    view.batch(vec![]).unwrap();
    view.ready().unwrap();
    view.delete(row(1, "a", 3)).unwrap();
    let rows = take(&mut view);
    assert_eq!(
        (bodies(&rows).as_str(), rows.phase(), changes(&rows)),
        ("b", Phase::Live, vec!["r0".to_owned()])
    );

    // Cut in the middle of a snapshot, the rest of it follows.
    view.begin(schema(false), Begin::Fresh).unwrap();
    view.batch(vec![row(2, "b", 2)]).unwrap();
    view.interrupted();
    view.begin(schema(false), Begin::Resumed).unwrap();
    view.insert(row(3, "c", 4)).unwrap();
    view.ready().unwrap();
    let rows = take(&mut view);
    assert_eq!((bodies(&rows).as_str(), rows.phase()), ("bc", Phase::Live));
}

#[test]
fn a_cursor_without_rows_is_partial() {
    let mut view = LiveView::new(LiveOptions::default()).unwrap();
    view.begin(schema(false), Begin::Resumed).unwrap();
    view.batch(vec![row(7, "g", 70)]).unwrap();
    assert!(!view.is_ready());
    view.ready().unwrap();
    let rows = take(&mut view);
    assert_eq!((rows.len(), rows.phase()), (1, Phase::Partial));
    view.begin(schema(false), Begin::Fresh).unwrap();
    assert_eq!(take(&mut view).phase(), Phase::Unverified);
    view.ready().unwrap();
    let rows = take(&mut view);
    assert_eq!((rows.len(), rows.phase()), (0, Phase::Live));
}

#[test]
fn a_position_that_the_caller_gave_is_partial_too() {
    let mut view = LiveView::new(LiveOptions::default()).unwrap();
    let origin = |epoch: &str| Some(format!("{epoch}:0").parse().unwrap());
    let checkpoint = |rows: &Rows| rows.checkpoint().map(|checkpoint| checkpoint.to_string());
    view.begin_at(schema(false), Begin::Since, origin("one")).unwrap();
    view.batch(vec![row(7, "g", 70)]).unwrap();
    view.ready().unwrap();
    let rows = take(&mut view);
    assert_eq!((bodies(&rows).as_str(), rows.phase()), ("g", Phase::Partial));
    assert_eq!(checkpoint(&rows).as_deref(), Some("one:70"));
    view.insert(row(8, "h", 80)).unwrap();
    assert_eq!(checkpoint(&take(&mut view)).as_deref(), Some("one:80"));
    // Whatever was removed while the connection was lost is not sent again.
    view.interrupted();
    view.begin_at(schema(false), Begin::Since, origin("one")).unwrap();
    view.batch(vec![row(8, "h", 80)]).unwrap();
    view.ready().unwrap();
    let rows = take(&mut view);
    assert_eq!((bodies(&rows).as_str(), rows.phase()), ("h", Phase::Partial));
    view.interrupted();
    view.begin_at(schema(false), Begin::Fresh, origin("two")).unwrap();
    assert_eq!(checkpoint(&take(&mut view)).as_deref(), Some("one:80"), "still the rows from before");
    view.batch(vec![row(9, "i", 5)]).unwrap();
    view.ready().unwrap();
    let rows = take(&mut view);
    assert_eq!((bodies(&rows).as_str(), rows.phase()), ("i", Phase::Live));
    assert_eq!(checkpoint(&rows).as_deref(), Some("two:5"));
}

#[test]
fn the_newest_rows_stand_in_the_order_of_their_writes() {
    let mut view = LiveView::new(LiveOptions { newest: true, ..LiveOptions::default() }).unwrap();
    view.begin(schema(false), Begin::Fresh).unwrap();
    view.batch(vec![row(3, "c", 30), row(2, "b", 20), row(1, "a", 10)]).unwrap();
    view.insert(row(4, "d", 40)).unwrap();
    view.ready().unwrap();
    assert_eq!(bodies(&take(&mut view)), "abcd");
    view.insert(row(5, "e", 50)).unwrap();
    assert_eq!(bodies(&take(&mut view)), "abcde");
    // After a reconnect what was there keeps its place.
    view.interrupted();
    view.begin(schema(false), Begin::Newest).unwrap();
    view.batch(vec![row(6, "f", 60), row(5, "e", 50), row(4, "d", 40)]).unwrap();
    view.ready().unwrap();
    assert_eq!(bodies(&take(&mut view)), "abcdef");
}

#[test]
fn other_columns_start_over() {
    let mut view = live(LiveOptions::default(), vec![row(1, "a", 1)]);
    take(&mut view);
    view.interrupted();
    let error = view.begin(schema(true), Begin::Resumed).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Protocol);
    view.begin(schema(true), Begin::Fresh).unwrap();
    view.batch(vec![row_of(&schema(true), Some(1), "a", None, Some(2))]).unwrap();
    assert_eq!(view.batch(vec![row(2, "b", 3)]).unwrap_err().code(), ErrorCode::Protocol);
    view.ready().unwrap();
    let rows = take(&mut view);
    assert_eq!((changes(&rows), rows.schema().columns().len()), (vec!["reset".to_owned()], 5));
}

#[test]
fn partial_rows_show_while_they_load() {
    let options = LiveOptions { partial: true, ..LiveOptions::default() };
    let mut view = LiveView::new(options).unwrap();
    assert!(!view.is_ready());
    view.begin(schema(false), Begin::Fresh).unwrap();
    assert_eq!(take(&mut view).phase(), Phase::Loading { rows: 0, pages: 0 });
    view.batch(vec![row(1, "a", 1), row(2, "b", 2)]).unwrap();
    let rows = take(&mut view);
    assert_eq!(
        (rows.phase(), changes(&rows)),
        (Phase::Loading { rows: 2, pages: 1 }, vec!["i0".into(), "i1".into()])
    );
    view.ready().unwrap();
    assert_eq!(take(&mut view).phase(), Phase::Live);
}

#[test]
fn many_changes_become_a_reset() {
    let rows = 2_000;
    let mut view = live(LiveOptions::default(), (0..rows).map(|id| row(id, "a", id)).collect());
    take(&mut view);
    for round in 0..3 {
        for id in 0..rows {
            view.update(row(id, "b", rows + round)).unwrap();
        }
    }
    let seen = take(&mut view);
    assert_eq!(
        seen.changes().as_list().map(<[Change]>::len),
        Some(2_000),
        "one a row, however many there were"
    );
    for id in 0..rows {
        view.delete(row(id, "b", 9_999)).unwrap();
        view.insert(row(id, "c", 9_999)).unwrap();
    }
    assert_eq!(changes(&take(&mut view)), ["reset"]);
    view.update(row(0, "d", 10_000)).unwrap();
    assert_eq!(changes(&take(&mut view)), ["u0"]);
}

#[test]
fn removals_forgotten_while_loading_are_told() {
    let mut view = LiveView::new(LiveOptions::default()).unwrap();
    view.begin(schema(false), Begin::Fresh).unwrap();
    for id in 0..=10_000 {
        view.delete(row(id, "", 5)).unwrap();
    }
    view.ready().unwrap();
    assert_eq!(take(&mut view).phase(), Phase::Unverified);
    view.begin(schema(false), Begin::Fresh).unwrap();
    view.ready().unwrap();
    assert!(!view.is_ready() || take(&mut view).phase() == Phase::Live);
    assert_eq!(view.phase(), Phase::Live);
}

#[test]
fn ends_with_the_last_rows_and_then_the_error() {
    let mut view = live(LiveOptions::default(), vec![row(1, "a", 1)]);
    view.fail(Error::new(ErrorCode::NotFound, "the table is gone"));
    view.update(row(1, "late", 2)).unwrap();
    view.batch(vec![]).unwrap();
    view.ready().unwrap();
    view.interrupted();
    view.begin(schema(true), Begin::Fresh).unwrap();
    assert!(!view.is_ended());
    let rows = take(&mut view);
    assert_eq!((bodies(&rows).as_str(), rows.phase()), ("a", Phase::Live));
    assert!(view.is_ready());
    assert_eq!(view.take().unwrap().unwrap_err().code(), ErrorCode::NotFound);
    assert!(view.is_ended() && view.is_ready() && view.take().is_none());

    let mut view = LiveView::new(LiveOptions::default()).unwrap();
    view.closed();
    view.fail(Error::new(ErrorCode::Closed, "twice"));
    assert!(view.is_ready() && view.is_ended() && view.take().is_none());
}

#[test]
fn refuses_what_can_not_work() {
    let error = |options: LiveOptions, schema| {
        let error = LiveView::new(options).and_then(|mut view| view.begin(schema, Begin::Fresh)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        error.message().to_owned()
    };
    let keyless = Schema::new(vec![Column::new("body", DataType::Text)]);
    assert!(error(LiveOptions::default(), keyless.clone()).contains("key_columns"));
    let named = |key: &str| LiveOptions { key_columns: vec![key.into()], ..LiveOptions::default() };
    assert!(error(named("nope"), keyless.clone()).contains("\"nope\""));
    let sorted = LiveOptions { order_by: Some("nope".parse().unwrap()), ..LiveOptions::default() };
    assert!(error(sorted, schema(false)).contains("\"nope\""));
    assert!(error(LiveOptions { limit: Some(0), ..LiveOptions::default() }, schema(false)).contains("limit"));
    let mut view = LiveView::new(named("body")).unwrap();
    view.begin(keyless, Begin::Fresh).unwrap();
    let null =
        Row::new(Schema::new(vec![Column::new("body", DataType::Text)]), vec![crate::Value::Null], None);
    assert!(view.insert(null).unwrap_err().message().contains("\"body\""));
}

#[test]
fn rows_taken_earlier_never_change() {
    let mut view = live(LiveOptions::default(), (0..500).map(|id| row(id, "a", id)).collect());
    let mut taken = Vec::new();
    let mut reader = Reader::default();
    for step in 0..500 {
        let id = step * 7 % 500;
        match step % 3 {
            0 => view.update(row(id, "b", 1_000 + step)).unwrap(),
            1 => view.delete(row(id, "", 1_000 + step)).unwrap(),
            _ => view.insert(row(1_000 + step, "c", 1_000 + step)).unwrap(),
        }
        let rows = take(&mut view);
        reader.follow(&rows);
        taken.push((rows, reader.list.clone()));
    }
    for (rows, list) in &taken {
        assert!(rows.iter().eq(list));
        assert!(rows.iter().zip(list).all(|(a, b)| a.ptr_eq(b)));
        assert_eq!(rows.get(list.len()), None);
        assert_eq!(rows.iter().nth(list.len() / 2), list.get(list.len() / 2));
    }
}
