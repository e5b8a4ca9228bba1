//! What a stream of events was not told of the time while its connection was lost: deleted rows, and rows that left the
//! filter.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::questions::PAGE;
use super::{AskId, Key, answer};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::StatementResult;
use crate::row::Row;
use crate::schema::{Schema, SeqId};
use crate::sql::{LiveSql, Select};
use crate::value::Value;

/// Versions of which one must be known at the server that answers.
const MOST_PROOFS: usize = 40;
/// Pages of what was missed. Beyond, it is only said that something was.
const MOST_PAGES: u32 = 200;
/// Answers that are asked for once more.
const MOST_RETRIES: u32 = 4;
/// A server keeps tombstones at least so long.
const KEPT_FOR: Duration = Duration::from_secs(3_600);
/// Keys that are remembered as told.
const MOST_TOLD: usize = 100_000;

/// Looks over HTTP for what a resumed subscription was not told. Pure: it asks and is answered.
///
/// It believes the answers only if they were made with the same user's rights, and if one of the versions that the
/// subscription told is found in them: then both speak of one numbering. What it finds is left out where the
/// subscription has told something of the same key since it was resumed, which is newer, or is about to.
///
/// What the server has purged by then can not be found. It purges by age, in hours (`DELETED_RETENTION_HOURS`): after a
/// longer time it can be excluded only while there is a tombstone that is older than what was missed.
#[derive(Debug)]
pub struct Missed {
    live: LiveSql,
    schema: Arc<Schema>,
    /// Where the key is in the rows.
    keys: Vec<usize>,
    user: String,
    from: SeqId,
    proofs: Vec<SeqId>,
    told: HashSet<Key, RandomState>,
    /// Too much was told to remember.
    flooded: bool,
    step: Step,
    asked: Option<AskId>,
    pages: u32,
    failures: u32,
    proven: bool,
    /// Tombstones of that time may have been purged.
    long: bool,
    found: Vec<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The subscription is still being resumed.
    Waiting,
    Columns,
    Proofs,
    Deleted(SeqId),
    Left(SeqId),
    Older,
}

/// What came of an answer.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// There is another question.
    More,
    /// These rows were deleted or have left the filter, in the order of their versions. Of one that has left it only the
    /// key is known.
    Rows {
        /// Gone.
        gone: Vec<Row>,
        /// The server may have purged others: they can not be found any more.
        purged: bool,
    },
    /// It can not be found out.
    Unknown,
}

impl Missed {
    /// For a subscription that was acknowledged with these columns, as this user, and resumed after `from`.
    pub fn new(live: LiveSql, schema: Arc<Schema>, from: SeqId, user: &str) -> Self {
        Self {
            keys: schema.key_columns(),
            live,
            schema,
            user: user.to_owned(),
            from,
            proofs: vec![from],
            told: HashSet::default(),
            flooded: false,
            step: Step::Waiting,
            asked: None,
            pages: 0,
            failures: 0,
            proven: false,
            long: false,
            found: Vec::new(),
        }
    }

    /// So much time has passed since the subscription told everything.
    pub fn after(&mut self, time: Duration) {
        self.long = time >= KEPT_FOR;
    }

    /// Where the subscription was resumed.
    pub fn from(&self) -> SeqId {
        self.from
    }

    /// The subscription told these rows since it was resumed.
    pub fn told(&mut self, rows: &[Row]) {
        if self.told.len() + rows.len() > MOST_TOLD {
            self.flooded = true;
            return;
        }
        self.told.extend(rows.iter().map(|row| key(row, &self.keys)));
    }

    /// A version of this numbering, told by this connection or by the one before it.
    pub fn proof(&mut self, version: SeqId) {
        if self.proofs.len() < MOST_PROOFS {
            self.proofs.push(version);
        }
    }

    /// The subscription was resumed: from here on there are questions.
    pub fn begin(&mut self) {
        self.step = Step::Columns;
    }

    /// How long the next question should wait, since answers to earlier ones did not come.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(100) * (2u32.pow(self.failures.min(MOST_RETRIES)) - 1)
    }

    /// The next question; `None` while one is outstanding, and before [`begin`](Self::begin).
    ///
    /// # Errors
    /// `invalid_argument` for a name that can not be written.
    pub fn question(&mut self, id: AskId) -> Result<Option<String>> {
        if self.asked.is_some() || self.step == Step::Waiting {
            return Ok(None);
        }
        self.asked = Some(id);
        let table = &self.live.table;
        let all =
            || Select::columns(self.schema.all_columns().iter().map(|c| &*c.name).chain(["_seq"]), table);
        let names = self.keys.iter().map(|&at| &*self.schema.all_columns()[at].name);
        Ok(Some(match self.step {
            Step::Waiting | Step::Columns => {
                format!("{} LIMIT 1", Select::expressions("*", table)?.into_sql())
            }
            Step::Proofs => {
                let list: Vec<String> = self.proofs.iter().map(ToString::to_string).collect();
                let known = Select::columns(["_seq"], table)?.and(&format!("_seq IN ({})", list.join(", ")));
                format!("{} LIMIT {PAGE}", known.into_sql())
            }
            // With the position itself: its row may be gone, but the number shows whose it is.
            Step::Deleted(after) => {
                let deleted = all()?.and("_deleted = true").and(&format!("_seq >= {after}"));
                deleted.first(PAGE, ["_seq"], false)?
            }
            Step::Left(after) => {
                let keys = Select::columns(names.chain(["_seq"]), table)?;
                let left = match &self.live.filter {
                    Some(filter) => keys.not_matching(filter),
                    None => keys.and("FALSE"),
                };
                left.and(&format!("_seq >= {after}")).first(PAGE, ["_seq"], false)?
            }
            Step::Older => {
                let older = Select::columns(["_seq"], table)?.and("_deleted = true");
                older.and(&format!("_seq < {}", self.from)).first(1, ["_seq"], false)?
            }
        }))
    }

    /// The answer to a question. `None` when it is not the one that is outstanding.
    pub fn answer(&mut self, id: AskId, result: Result<Vec<StatementResult>>) -> Option<Found> {
        if self.asked != Some(id) {
            return None;
        }
        self.asked = None;
        Some(self.read(result).unwrap_or_else(|error| {
            self.failures += 1;
            // The network may be about to be lost again, or the cluster about to find a leader.
            if error.retryable() && self.failures <= MOST_RETRIES { Found::More } else { Found::Unknown }
        }))
    }

    fn read(&mut self, result: Result<Vec<StatementResult>>) -> Result<Found> {
        let results = answer::of_user(result?, &self.user)?;
        let result = results.first().ok_or_else(|| Error::new(ErrorCode::Protocol, "no answer"))?;
        match self.step {
            Step::Waiting => {}
            Step::Columns => {
                let names = |schema: &Schema, at: usize| schema.all_columns()[at].name.clone();
                let mut wanted: Vec<_> =
                    result.schema.key_columns().into_iter().map(|at| names(&result.schema, at)).collect();
                let mut ours: Vec<_> = self.keys.iter().map(|&at| names(&self.schema, at)).collect();
                wanted.sort();
                ours.sort();
                if ours.is_empty()
                    || wanted != ours
                    || !answer::fits(&result.schema, &self.live, &self.schema)
                {
                    return Ok(Found::Unknown);
                }
                self.step = Step::Proofs;
            }
            Step::Proofs => {
                self.proven = !result.rows.is_empty();
                self.step = Step::Deleted(self.from);
            }
            Step::Deleted(_) => {
                let rows = answer::rows(result, &self.schema)?;
                let after = self.keep(rows);
                if !self.proven {
                    return Ok(Found::Unknown);
                }
                match (after, &self.live.filter) {
                    (Some(after), _) => self.step = Step::Deleted(after),
                    (None, Some(_)) => self.step = Step::Left(self.from),
                    (None, None) if self.long => self.step = Step::Older,
                    (None, None) => return Ok(self.finish(false)),
                }
            }
            Step::Left(_) => {
                let keys = answer::keys(result, &self.schema, &self.keys)?;
                let rows = keys.into_iter().map(|(key, version)| self.only_key(key, version)).collect();
                match self.keep(rows) {
                    Some(after) => self.step = Step::Left(after),
                    None if self.long => self.step = Step::Older,
                    None => return Ok(self.finish(false)),
                }
            }
            Step::Older => return Ok(self.finish(result.rows.is_empty())),
        }
        self.pages += 1;
        Ok(if self.pages > MOST_PAGES { Found::Unknown } else { Found::More })
    }

    /// Keeps the rows of a page, and returns where the next one begins, if there is one. The greatest version of a page
    /// is asked for again: rows come in no order, and nothing says that it has one row only.
    fn keep(&mut self, rows: Vec<Row>) -> Option<SeqId> {
        let full = rows.len() >= PAGE;
        let greatest = rows.iter().filter_map(Row::version).max();
        for row in rows {
            let Some(version) = row.version() else { continue };
            self.proven |= self.proofs.contains(&version);
            if version > self.from
                && !self.found.iter().rev().take(PAGE).any(|f| f.version() == Some(version))
            {
                self.found.push(row);
            }
        }
        greatest.filter(|_| full)
    }

    fn only_key(&self, key: Key, version: SeqId) -> Row {
        let mut cells = vec![Value::Null; self.schema.all_columns().len()];
        for (&at, value) in self.keys.iter().zip(key) {
            cells[at] = value;
        }
        Row::new(self.schema.clone(), cells, Some(version))
    }

    fn finish(&mut self, purged: bool) -> Found {
        if self.flooded {
            return Found::Unknown;
        }
        let mut found = std::mem::take(&mut self.found);
        found.retain(|row| !self.told.contains(&key(row, &self.keys)));
        found.sort_by_key(Row::version);
        Found::Rows { gone: found, purged }
    }
}

fn key(row: &Row, positions: &[usize]) -> Key {
    positions.iter().map(|&at| row.all_values()[at].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, DataType};
    use crate::sql::check_live;

    fn answer(columns: Vec<Column>, rows: Vec<Vec<Value>>) -> Result<Vec<StatementResult>> {
        let schema = Schema::new(columns);
        let rows: Vec<Row> = rows.into_iter().map(|cells| Row::new(schema.clone(), cells, None)).collect();
        let row_count = rows.len() as u64;
        Ok(vec![StatementResult { schema, rows, row_count, message: None, as_user: Some("root".into()) }])
    }

    /// After so long a time, with a tombstone from before or without.
    fn found(away: Duration, older: bool) -> Found {
        let id = || Column::new("id", DataType::Int).primary_key();
        let seq = || Column::new("_seq", DataType::BigInt);
        let live = check_live("SELECT * FROM app.t", &[], None).unwrap();
        let mut missed = Missed::new(live, Schema::new(vec![id()]), SeqId::from(50), "root");
        missed.after(away);
        missed.begin();
        for ask in 0.. {
            let ask = AskId::numbered(ask);
            let sql = missed.question(ask).unwrap().unwrap();
            let answer = if sql.starts_with("SELECT *") {
                answer(vec![id()], Vec::new())
            } else if sql.contains("_seq IN") {
                answer(vec![seq()], vec![vec![50.into()]])
            } else if sql.contains("_seq >= 50") {
                answer(vec![id(), seq()], vec![vec![7.into(), 60.into()]])
            } else {
                assert_eq!(
                    sql,
                    "SELECT _seq FROM app.t WHERE _deleted = true AND _seq < 50 ORDER BY _seq LIMIT 1"
                );
                answer(vec![seq()], if older { vec![vec![9.into()]] } else { Vec::new() })
            };
            match missed.answer(ask, answer) {
                Some(Found::More) => {}
                Some(found) => return found,
                None => panic!("{sql} was not asked"),
            }
        }
        unreachable!()
    }

    #[test]
    fn what_may_have_been_purged_is_said() {
        let hour = Duration::from_secs(3_600);
        for (away, older, expected) in
            [(hour / 60, false, false), (hour * 2, true, false), (hour * 2, false, true)]
        {
            let Found::Rows { gone, purged } = found(away, older) else { panic!("nothing") };
            assert_eq!((gone.len(), purged), (1, expected), "{away:?}, older tombstones: {older}");
        }
    }
}
