//! A table that answers the keeper's questions as KalamDB does, and a keeper that is told what the test decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::converge::{Ask, AskId, Keeper, KeeperOptions, Outcome};
use crate::error::{Error, ErrorCode, Result};
use crate::live::{Digest, LiveOptions, LiveView, Phase};
use crate::machine::{Mode, SubscriptionEvent, Time};
use crate::protocol::{Change, ChangeKind, StatementResult};
use crate::repair::Repair;
use crate::row::Row;
use crate::schema::{Column, DataType, Schema, SeqId};
use crate::sql::check_live;
use crate::value::Value;

/// Ten milliseconds, as versions count them.
const STEP: i64 = 10 << 22;

#[derive(Clone, Debug)]
struct Stored {
    s: Option<String>,
    seq: i64,
    deleted: bool,
}

/// A table `t (id INT PRIMARY KEY, s TEXT)` and one live query on it.
pub(super) struct World {
    pub(super) keeper: Keeper,
    pub(super) now: Time,
    rows: BTreeMap<i64, Stored>,
    next_seq: i64,
    /// What this connection adds to the server's versions: it is at another node.
    pub(super) offset: i64,
    pub(super) user: &'static str,
    pub(super) extra_column: bool,
    pub(super) dropped: bool,
    /// What versions are called.
    pub(super) version: &'static str,
    /// Rows that the server gives at most.
    pub(super) cap: usize,
    pub(super) asked: Vec<String>,
    pub(super) restarts: usize,
    pub(super) ended: bool,
    open: bool,
    last_rows: Option<u32>,
}

impl World {
    pub(super) fn new(sql: &str, options: KeeperOptions, ids: std::ops::Range<i64>) -> Self {
        let live = check_live(sql, &[], Some("app")).unwrap();
        let open = live.filter.is_some();
        let last_rows = options.last_rows;
        let view = LiveView::new(LiveOptions::default()).unwrap();
        let mut world = Self {
            keeper: Keeper::new(live, options, view),
            now: Duration::from_secs(100),
            rows: BTreeMap::new(),
            next_seq: 400_000_000_000_000_000,
            offset: 0,
            user: "root",
            extra_column: false,
            dropped: false,
            version: "_seq",
            cap: 1_000,
            asked: Vec::new(),
            restarts: 0,
            ended: false,
            open,
            last_rows,
        };
        for id in ids {
            world.write(id, Some("open"));
        }
        world
    }

    /// A world whose query is live and proven.
    pub(super) fn live(sql: &str, options: KeeperOptions, ids: std::ops::Range<i64>) -> Self {
        let mut world = Self::new(sql, options, ids);
        world.connect(|_| true);
        world.settle();
        world
    }

    pub(super) fn schema() -> Arc<Schema> {
        Schema::new(vec![Column::new("id", DataType::Int).primary_key(), Column::new("s", DataType::Text)])
    }

    /// Connects and sends a snapshot of those rows that `with` lets through.
    pub(super) fn connect(&mut self, with: impl Fn(i64) -> bool) {
        self.keeper.connected(false, "root");
        self.event(SubscriptionEvent::Acked {
            schema: Self::schema(),
            mode: Mode::Fresh,
            origin: SeqId::from(0).into(),
        });
        let ids: Vec<i64> = self.matching().into_iter().filter(|id| with(*id)).collect();
        let rows = ids.iter().map(|id| self.frame_row(*id)).collect();
        self.event(SubscriptionEvent::Batch { rows, has_more: false });
        self.event(SubscriptionEvent::Ready);
    }

    /// The connection is lost, and comes back without a snapshot.
    pub(super) fn reconnect(&mut self, meanwhile: impl FnOnce(&mut Self)) {
        self.event(SubscriptionEvent::Interrupted);
        self.keeper.handle_watch_state(self.now, false);
        assert!(self.keeper.keeps_rows());
        meanwhile(self);
        self.keeper.connected(false, "root");
        self.ack_kept(Self::schema());
        self.event(SubscriptionEvent::Ready);
    }

    pub(super) fn ack_kept(&mut self, schema: Arc<Schema>) -> Outcome {
        let (mode, origin) = (Mode::Kept, SeqId::from(0).into());
        self.keeper.handle_event(self.now, SubscriptionEvent::Acked { schema, mode, origin })
    }

    pub(super) fn event(&mut self, event: SubscriptionEvent) {
        self.keeper.handle_event(self.now, event);
    }

    /// Writes, and tells nobody.
    pub(super) fn write(&mut self, id: i64, s: Option<&str>) {
        self.next_seq += STEP;
        self.rows.insert(id, Stored { s: s.map(str::to_owned), seq: self.next_seq, deleted: false });
    }

    pub(super) fn delete(&mut self, id: i64) {
        self.next_seq += STEP;
        if let Some(row) = self.rows.get_mut(&id) {
            (row.seq, row.deleted) = (self.next_seq, true);
        }
    }

    pub(super) fn frame_row(&self, id: i64) -> Row {
        let stored = &self.rows[&id];
        let cells = vec![Value::from(id), Value::from(stored.s.clone())];
        Row::new(Self::schema(), cells, Some(SeqId::from(stored.seq + self.offset)))
    }

    /// The live query tells how the row is now.
    pub(super) fn tell(&mut self, id: i64) {
        let row = self.frame_row(id);
        self.tell_row(self.rows[&id].deleted, row);
    }

    pub(super) fn tell_row(&mut self, deleted: bool, row: Row) {
        let kind = if deleted { ChangeKind::Delete } else { ChangeKind::Update };
        let change = Change {
            subscription: "q".into(),
            kind,
            rows: vec![row],
            old: Vec::new(),
            unknown_columns: self.extra_column,
        };
        self.event(SubscriptionEvent::Change(change));
    }

    /// The watch tells that the row was written.
    pub(super) fn watch(&mut self, id: i64) {
        self.watch_row(self.rows[&id].deleted, &self.frame_row(id));
    }

    pub(super) fn watch_row(&mut self, deleted: bool, row: &Row) {
        let schema = Schema::new(vec![Column::new("id", DataType::Int).primary_key()]);
        let row = Row::new(schema, vec![row[0].clone()], row.version());
        let kind = if deleted { ChangeKind::Delete } else { ChangeKind::Update };
        self.keeper.handle_watch(self.now, kind, &[row]);
    }

    pub(super) fn is_deleted(&self, id: i64) -> bool {
        self.rows.get(&id).is_none_or(|row| row.deleted)
    }

    pub(super) fn matching(&self) -> Vec<i64> {
        let matches = |row: &Stored| !row.deleted && (!self.open || row.s.as_deref() == Some("open"));
        self.rows.iter().filter(|(_, row)| matches(row)).map(|(id, _)| *id).collect()
    }

    /// What the reader has.
    pub(super) fn held(&self) -> Vec<(i64, Option<String>)> {
        let view = self.keeper.view();
        let mut held: Vec<_> = view
            .held_keys()
            .map(|key| {
                let row = view.held(&key).unwrap().row;
                (row[0].as_int().unwrap(), row[1].as_text().map(str::to_owned))
            })
            .collect();
        held.sort();
        held
    }

    pub(super) fn right(&self) -> Vec<(i64, Option<String>)> {
        self.matching().into_iter().map(|id| (id, self.rows[&id].s.clone())).collect()
    }

    pub(super) fn phase(&self) -> Phase {
        self.keeper.view().phase()
    }

    /// The next question that is due at once.
    pub(super) fn question(&mut self) -> Option<(AskId, String)> {
        loop {
            if self.keeper.next_timeout().is_some_and(|at| at <= self.now) {
                self.keeper.handle_timeout(self.now);
            }
            match self.keeper.poll_ask() {
                Some(Ask::Query { id, sql }) => {
                    self.asked.push(sql.clone());
                    return Some((id, sql));
                }
                Some(Ask::Restart) => {
                    self.restarts += 1;
                    return None;
                }
                Some(Ask::End) => {
                    self.ended = true;
                    return None;
                }
                None if self.keeper.next_timeout().is_some_and(|at| at <= self.now) => {}
                None => return None,
            }
        }
    }

    /// Answers with how the table is now.
    pub(super) fn answer(&mut self, id: AskId, sql: &str) {
        let result = self.result(sql);
        self.reply(id, result);
    }

    pub(super) fn reply(&mut self, id: AskId, result: Result<Vec<StatementResult>>) {
        let sent = self.now;
        self.now += Duration::from_millis(5);
        self.keeper.handle_answer(self.now, id, sent, 100, result);
    }

    /// Lets time pass and answers at once, until so much time is over.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while let Some((id, sql)) = self.question() {
                self.answer(id, &sql);
            }
            match self.keeper.next_timeout() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => break,
            }
        }
        self.now = self.now.max(end);
    }

    /// The same while rows 0 to 39 change in turn, ten times a second.
    pub(super) fn run_under_changes(&mut self, changes: i64) {
        for turn in 0..changes {
            self.write(turn % 40, Some(&turn.to_string()));
            self.tell(turn % 40);
            while let Some((id, sql)) = self.question() {
                self.answer(id, &sql);
            }
            self.now += Duration::from_millis(100);
        }
    }

    /// Until the rows are proven.
    pub(super) fn settle(&mut self) {
        self.run(Duration::from_secs(10));
        self.asked.clear();
        self.keeper.take_counters();
        while self.keeper.poll_report().is_some() {}
    }

    pub(super) fn reports(&mut self) -> Vec<Repair> {
        std::iter::from_fn(|| self.keeper.poll_report()).collect()
    }

    fn result(&self, sql: &str) -> Result<Vec<StatementResult>> {
        if self.dropped {
            return Err(Error::new(ErrorCode::NotFound, "Table not found: app.t"));
        }
        if self.version != "_seq" && sql.contains("_seq") {
            return Err(Error::new(ErrorCode::InvalidSql, "No field named _seq"));
        }
        let sql = sql.replace(self.version, "_seq");
        sql.split("; ").map(|statement| Ok(self.statement(statement))).collect()
    }

    fn statement(&self, sql: &str) -> StatementResult {
        let number = |before: &str| -> Option<i64> {
            let rest = &sql[sql.find(before)? + before.len()..];
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
            Some(rest[..end].parse().unwrap())
        };
        let keys: Option<Vec<i64>> = sql.find("id IN (").map(|at| {
            let list = &sql[at + 7..];
            list[..list.find(')').unwrap()].split(", ").map(|n| n.parse().unwrap()).collect()
        });
        let (at_least, above, below) = (number("_seq >= "), number("_seq > "), number("_seq < "));
        let after = number("id > ");
        let matches = |row: &Stored| {
            let open = row.s.as_deref() == Some("open");
            if sql.contains("_deleted = true") {
                row.deleted
            } else if sql.contains("IS NOT TRUE") {
                !row.deleted && !open
            } else {
                !row.deleted && (open || !sql.contains("s = 'open'"))
            }
        };
        let mut rows: Vec<(i64, &Stored)> = (self.rows.iter())
            .filter(|(id, row)| {
                matches(row)
                    && at_least.is_none_or(|n| row.seq >= n)
                    && above.is_none_or(|n| row.seq > n)
                    && below.is_none_or(|n| row.seq < n)
                    && after.is_none_or(|n| **id > n)
                    && keys.as_ref().is_none_or(|keys| keys.contains(id))
            })
            .map(|(id, row)| (*id, row))
            .collect();
        if sql.starts_with("SELECT count(*)") {
            let digest = Digest::of(rows.iter().map(|(_, row)| SeqId::from(row.seq)));
            let max = rows.iter().map(|(_, row)| row.seq).max();
            let names = ["n", "m", "x"].map(|name| Column::new(name, DataType::BigInt));
            let mix = if rows.is_empty() { Value::Null } else { Value::from(digest.mix) };
            let cells = vec![Value::from(digest.rows as i64), Value::from(max), mix];
            return self.as_user(names.to_vec(), vec![cells]);
        }
        if sql.contains("ORDER BY _seq") {
            rows.sort_by_key(|(_, row)| if sql.contains("DESC") { -row.seq } else { row.seq });
        }
        let limit = number("LIMIT ").map_or(50, |n| n as usize).min(self.cap);
        rows.truncate(limit);
        // In the order of the key, whatever was asked for.
        rows.sort_by_key(|(id, _)| *id);
        let mut columns = vec![Column::new("id", DataType::Int).primary_key()];
        let whole = sql.contains(", s, _seq") || sql.contains('*');
        if whole {
            columns.push(Column::new("s", DataType::Text));
        }
        columns.push(Column::new("_seq", DataType::BigInt));
        if self.extra_column && sql.contains('*') {
            columns.push(Column::new("extra", DataType::Int));
        }
        let width = columns.len();
        let cells = rows.into_iter().map(|(id, row)| {
            let mut cells = vec![Value::from(id)];
            if whole {
                cells.push(Value::from(row.s.clone()));
            }
            cells.push(Value::from(row.seq));
            cells.resize(width, Value::Null);
            cells
        });
        self.as_user(columns, cells.collect())
    }

    fn as_user(&self, columns: Vec<Column>, cells: Vec<Vec<Value>>) -> StatementResult {
        let name = |mut column: Column| {
            if &*column.name == "_seq" {
                column.name = self.version.into();
            }
            column
        };
        let schema = Schema::new(columns.into_iter().map(name).collect());
        let rows: Vec<Row> = cells.into_iter().map(|cells| Row::new(schema.clone(), cells, None)).collect();
        StatementResult {
            row_count: rows.len() as u64,
            schema,
            rows,
            message: None,
            as_user: Some(self.user.to_owned()),
        }
    }

    /// What the table would answer.
    pub(super) fn result_of(&self, sql: &str) -> Result<Vec<StatementResult>> {
        self.result(sql)
    }

    /// The row is gone, and its tombstone too.
    pub(super) fn forget_row(&mut self, id: i64) {
        self.rows.remove(&id);
    }

    pub(super) fn newest_snapshot(&mut self) {
        // The server takes one more, and leaves the newest out.
        let mut ids = self.matching();
        ids.sort_by_key(|id| -self.rows[id].seq);
        let last = self.last_rows.unwrap() as usize;
        let sent: Vec<i64> = ids.into_iter().skip(1).take(last).collect();
        self.connect(|id| sent.contains(&id));
    }
}
