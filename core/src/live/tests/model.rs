//! What a view must do, written down as naively as can be: lists, scans and one rule a line.

use std::collections::HashMap;
use std::sync::Arc;

use crate::live::{Begin, LiveOptions, Phase};
use crate::row::Row;
use crate::schema::Schema;

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: i64,
    pub(super) row: Row,
    pub(super) version: i64,
    /// Position in the order of arrival, for ties.
    arrival: u64,
}

/// The rows of one snapshot and what followed it.
#[derive(Clone, Debug)]
struct List {
    schema: Arc<Schema>,
    items: Vec<Item>,
    /// While loading: the greatest version seen of a key that was removed.
    removed: HashMap<i64, i64>,
    last_seq: Option<i64>,
}

#[derive(Clone, Copy, PartialEq)]
enum From {
    Page,
    EarlyChange,
    Change,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Status {
    Idle,
    Loading,
    Live,
    Interrupted,
}

pub(super) struct Model {
    options: LiveOptions,
    status: Status,
    shown: Option<List>,
    /// A snapshot that loads beside what is shown.
    aside: Option<List>,
    /// Whether something was loading when the connection was lost.
    loading: bool,
    reconnecting: bool,
    complete: bool,
    partial: bool,
    since: bool,
    /// What is shown is not proven since a reconnect: with the greatest version since.
    kept: Option<Option<i64>>,
    pages: usize,
    arrivals: u64,
    /// Upper bound of how many rows changed since the last take, and whether the reader must start over.
    pub(super) touched: usize,
    pub(super) must_reset: bool,
}

pub(super) type Outcome = Result<(), ()>;

impl Model {
    pub(super) fn new(options: LiveOptions) -> Self {
        Self {
            options,
            status: Status::Idle,
            shown: None,
            aside: None,
            loading: false,
            reconnecting: false,
            complete: false,
            partial: false,
            since: false,
            kept: None,
            pages: 0,
            arrivals: 0,
            touched: 0,
            must_reset: true,
        }
    }

    pub(super) fn begin(&mut self, schema: Arc<Schema>, mode: Begin) -> Outcome {
        let list = List { schema: schema.clone(), items: vec![], removed: HashMap::new(), last_seq: None };
        let was_interrupted = self.status == Status::Interrupted;
        match mode {
            Begin::Newest => unreachable!("not part of the model"),
            Begin::Kept => {
                let held = self.shown.as_mut().filter(|held| self.complete && held.schema == schema);
                held.ok_or(())?.removed.clear();
                (self.aside, self.kept, self.since, self.reconnecting) = (None, Some(None), false, true);
            }
            Begin::Fresh | Begin::Since => {
                if self.options.partial && self.shown.is_none() {
                    self.shown = Some(list);
                    self.aside = None;
                } else {
                    self.aside = Some(list);
                }
                self.since = mode == Begin::Since;
                self.pages = 0;
                self.reconnecting = was_interrupted;
            }
            Begin::Resumed => {
                let continues = self.loading;
                match self.aside.as_ref().or(self.shown.as_ref()) {
                    Some(held) if held.schema != schema => return Err(()),
                    Some(_) => {}
                    None => {
                        self.shown = Some(list);
                        self.partial = true;
                    }
                }
                if !continues {
                    self.since = false;
                    self.pages = 0;
                    self.reconnecting = was_interrupted;
                }
            }
        }
        self.status = Status::Loading;
        self.loading = true;
        Ok(())
    }

    pub(super) fn page(&mut self) -> Outcome {
        if self.status != Status::Loading {
            return Err(());
        }
        self.pages += 1;
        Ok(())
    }

    pub(super) fn page_row(&mut self, id: Option<i64>, row: &Row) -> Outcome {
        self.apply(id, row, true, From::Page)
    }

    pub(super) fn change(&mut self, id: Option<i64>, row: &Row, present: bool) -> Outcome {
        match self.status {
            Status::Live => self.apply(id, row, present, From::Change),
            Status::Loading => self.apply(id, row, present, From::EarlyChange),
            _ => Err(()),
        }
    }

    fn apply(&mut self, id: Option<i64>, row: &Row, present: bool, from: From) -> Outcome {
        let kept = self.kept.as_mut().filter(|_| self.aside.is_none());
        let list = self.aside.as_mut().or(self.shown.as_mut()).expect("begun");
        let id = id.ok_or(())?;
        if *row.schema() != list.schema {
            return Err(());
        }
        let version = row.version().expect("the model's rows have versions").get();
        let reached = kept.unwrap_or(&mut list.last_seq);
        *reached = (*reached).max(Some(version));
        self.touched += 2;

        // The newest word on a key wins, be it a row or its removal; between equals, a change beats a page.
        let newest = |held: i64| match from {
            From::Change => true,
            From::EarlyChange => version >= held,
            From::Page => version > held,
        };
        let at = list.items.iter().position(|item| item.id == id);
        let applies = at.is_none_or(|at| newest(list.items[at].version))
            && list.removed.get(&id).is_none_or(|removed| newest(*removed));
        if !present && from == From::EarlyChange {
            let removed = list.removed.entry(id).or_insert(version);
            *removed = version.max(*removed);
        }
        if !applies {
            return Ok(());
        }
        match (at, present) {
            (Some(at), true) => {
                list.items[at].version = version;
                if !list.items[at].row.same_content(row) {
                    list.items[at].row = row.clone();
                }
            }
            (Some(at), false) => drop(list.items.remove(at)),
            (None, true) => {
                self.arrivals += 1;
                list.items.push(Item { id, row: row.clone(), version, arrival: self.arrivals });
            }
            (None, false) => {}
        }
        Ok(())
    }

    pub(super) fn ready(&mut self) -> Outcome {
        if self.status != Status::Loading {
            return Err(());
        }
        if let Some(new) = self.aside.take() {
            self.touched += new.items.len();
            let old = self.shown.take();
            self.touched += old.as_ref().map_or(0, |old| old.items.len());
            self.must_reset |= old.as_ref().is_none_or(|old| old.schema != new.schema);
            let old = old.filter(|old| old.schema == new.schema).map_or(vec![], |old| old.items);
            // What was held stays where it is, what is new follows.
            let has = |list: &[Item], id: i64| list.iter().any(|item| item.id == id);
            let new_item = |id: i64| new.items.iter().find(|item| item.id == id).cloned();
            let kept = old.iter().filter_map(|old| {
                let item = new_item(old.id)?;
                Some(Item { arrival: old.arrival, ..item })
            });
            let added = new.items.iter().filter(|item| !has(&old, item.id)).cloned();
            let items = kept.chain(added).collect();
            self.shown = Some(List { items, ..new.clone() });
            self.kept = None;
            self.partial = false;
        }
        if let Some(shown) = &mut self.shown {
            shown.removed.clear();
        }
        self.partial |= self.since;
        self.status = Status::Live;
        self.loading = false;
        self.complete = true;
        Ok(())
    }

    pub(super) fn interrupted(&mut self) {
        if matches!(self.status, Status::Loading | Status::Live) {
            self.status = Status::Interrupted;
            self.reconnecting = true;
        }
    }

    pub(super) fn proven(&mut self) {
        if let (Some(kept), Some(shown)) = (self.kept.take(), &mut self.shown) {
            shown.last_seq = shown.last_seq.max(kept);
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.status {
            Status::Idle => Phase::Loading { rows: 0, pages: 0 },
            Status::Loading if !self.complete => {
                let rows = self.aside.as_ref().or(self.shown.as_ref()).map_or(0, |list| list.items.len());
                Phase::Loading { rows, pages: self.pages }
            }
            Status::Loading if self.reconnecting => Phase::Reconnecting,
            Status::Loading => Phase::Unverified,
            Status::Interrupted => Phase::Reconnecting,
            Status::Live if self.kept.is_some() => Phase::Reconnecting,
            Status::Live if self.partial => Phase::Partial,
            Status::Live => Phase::Live,
        }
    }

    /// What a reader may see: rows, and the greatest version in them.
    pub(super) fn visible(&self) -> Option<(Vec<Row>, Option<i64>)> {
        let list = self.shown.as_ref().filter(|_| self.complete || self.options.partial)?;
        let mut items = list.items.clone();
        if self.options.order_by.is_some() {
            // The test's order is `n DESC NULLS FIRST, body`.
            items.sort_by(|a, b| {
                let n = |item: &Item| item.row["n"].as_int();
                let body = |item: &Item| item.row["body"].as_text().map(str::to_owned);
                (n(b).is_none().cmp(&n(a).is_none()))
                    .then(n(b).cmp(&n(a)))
                    .then(body(a).cmp(&body(b)))
                    .then(a.arrival.cmp(&b.arrival))
            });
            items.truncate(self.options.limit.unwrap_or(usize::MAX));
        } else if let Some(limit) = self.options.limit {
            items.sort_by_key(|item| std::cmp::Reverse((item.version, item.arrival)));
            items.truncate(limit);
            items.sort_by_key(|item| item.arrival);
        }
        Some((items.into_iter().map(|item| item.row).collect(), list.last_seq))
    }
}
