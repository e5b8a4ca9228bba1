//! Handing out records, and taking acknowledgements.

use std::{sync::Arc, time::Instant};

use super::{
    ConsumeRequest, Consumed, Member, Position, TopicRecord, definition::Topic, groups::Group, store,
};
use crate::engine::{
    Caller, Engine, Inner, Role, SqlError,
    error::SqlResult,
    storage::{Db, sql_error},
    time,
};

/// Records of one answer.
const MOST_RECORDS: usize = 10_000;
/// Bytes of payload of one answer.
const MOST_BYTES: usize = 8 << 20;
const MAX_GROUP_NAME: usize = 256;

/// Refuses topics to users, with the code recorded for other endpoints of administrators and services.
pub(super) fn check_role(role: Role) -> SqlResult<()> {
    if role >= Role::Service {
        return Ok(());
    }
    Err(SqlError::new("FORBIDDEN", 403, "Topics are read by the roles service, dba and system only"))
}

fn check_group(group: &str) -> SqlResult<()> {
    if (1..=MAX_GROUP_NAME).contains(&group.len()) {
        return Ok(());
    }
    Err(SqlError::new("INVALID_INPUT", 400, format!("The name of a group has 1 to {MAX_GROUP_NAME} bytes")))
}

impl Engine {
    /// Hands out records to a group: each to one consumer, until it is acknowledged or its time has run out.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `INVALID_INPUT`, `INTERNAL_ERROR`.
    pub fn consume(&self, caller: &Caller, request: &ConsumeRequest) -> Result<Consumed, SqlError> {
        check_role(caller.role)?;
        self.inner.consume(request)
    }

    /// Takes note that a group is done with all records up to `upto`.
    ///
    /// # Errors
    /// As [`Engine::consume`]; `INVALID_INPUT` beyond the end of the topic.
    pub fn acknowledge(
        &self,
        caller: &Caller,
        topic: &str,
        group: &str,
        partition: u32,
        upto: u64,
    ) -> Result<(), SqlError> {
        check_role(caller.role)?;
        self.inner.acknowledge(topic, group, partition, upto)
    }
}

impl Inner {
    pub(super) fn consume(&self, request: &ConsumeRequest) -> SqlResult<Consumed> {
        let set = self.topics.set();
        let topic = set.find(&request.topic)?;
        let limit = request.limit as usize;
        // Recorded: a partition that does not exist is empty.
        if request.partition >= topic.partitions {
            return Ok(Consumed {
                records: Vec::new(),
                next_offset: 0,
                has_more: limit == 0,
                again_at: None,
            });
        }
        self.purge(topic, request.partition)?;
        let mut consumed = match &request.group {
            None => self.peek(topic, request, limit.min(MOST_RECORDS))?,
            Some(group) => {
                check_group(group)?;
                self.claim(topic, group, request, limit.min(MOST_RECORDS))?
            }
        };
        // As recorded: full, so there may be more.
        consumed.has_more = consumed.records.len() >= limit.min(MOST_RECORDS);
        Ok(consumed)
    }

    /// Deletes what is older than the topic keeps it, also where nothing is written any more.
    fn purge(&self, topic: &Topic, partition: u32) -> SqlResult<()> {
        let now_ms = time::now_micros() / 1000;
        let stale = |db: &Db| {
            store::is_stale(&db.connection, topic.id, partition, topic.retention, now_ms).map_err(sql_error)
        };
        if !self.storage.read(stale)? {
            return Ok(());
        }
        self.change(|db| store::purge(&db.connection, topic.id, partition, topic.retention, now_ms))
    }

    /// A small transaction of our own.
    fn change(&self, work: impl FnOnce(&Db) -> rusqlite::Result<()>) -> SqlResult<()> {
        let mut writer = self.storage.write();
        writer.begin()?;
        match work(&writer.db).map_err(sql_error) {
            Ok(()) => writer.commit(),
            Err(error) => {
                writer.rollback();
                Err(error)
            }
        }
    }

    fn peek(&self, topic: &Topic, request: &ConsumeRequest, limit: usize) -> SqlResult<Consumed> {
        let place = (topic.id, request.partition);
        let (first, records) = self.storage.read(|db| {
            let first = resolve(db, place, request.start)?;
            let records = store::read(&db.connection, place, (first, i64::MAX), limit, MOST_BYTES);
            Ok((first, records.map_err(sql_error)?))
        })?;
        let next_offset = records.last().map_or(first, |record| record.offset + 1);
        Ok(Consumed { records, next_offset, has_more: false, again_at: None })
    }

    fn claim(
        &self,
        topic: &Topic,
        name: &str,
        request: &ConsumeRequest,
        limit: usize,
    ) -> SqlResult<Consumed> {
        let place = (topic.id, request.partition);
        let key = (topic.id, Arc::<str>::from(name), request.partition);
        let mut groups = self.topics.groups.lock();
        let known = match groups.get_mut(&key) {
            Some(group) => group,
            None => {
                let group = self.begin_group(place, name, request)?;
                if limit == 0 && self.holes.topics {
                    return Ok(Consumed {
                        records: Vec::new(),
                        next_offset: group.base(),
                        has_more: true,
                        again_at: None,
                    });
                }
                groups.entry(key).or_insert(group)
            }
        };
        // What is no longer kept is not waited for.
        let oldest = self.storage.read(|db| first_kept(db, place))?;
        known.advance(oldest);
        let now = Instant::now();
        let until = now + self.topics.visibility;
        let mut records: Vec<TopicRecord> = Vec::new();
        let mut bytes = 0;
        if limit > 0 {
            for range in known.expired(now) {
                let left = limit - records.len();
                if left == 0 || bytes >= MOST_BYTES {
                    break;
                }
                let read = |db: &Db| {
                    store::read(&db.connection, place, range, left, MOST_BYTES - bytes).map_err(sql_error)
                };
                let again = self.storage.read(read)?;
                match again.last() {
                    Some(last) => known.reclaim(range, last.offset + 1, until),
                    None => known.forget(range.0),
                }
                bytes += again.iter().map(|record| record.payload.len()).sum::<usize>();
                records.extend(again);
            }
        }
        let left = limit - records.len();
        if left > 0 && bytes < MOST_BYTES {
            let range = (known.cursor(), i64::MAX);
            let read = |db: &Db| {
                store::read(&db.connection, place, range, left, MOST_BYTES - bytes).map_err(sql_error)
            };
            let new = self.storage.read(read)?;
            if let (Some(first), Some(last)) = (new.first(), new.last()) {
                known.claim_new(first.offset, last.offset + 1, until);
            }
            records.extend(new);
        }
        let next_offset = records.last().map_or(known.base(), |record| record.offset + 1);
        Ok(Consumed { records, next_offset, has_more: false, again_at: known.next_expiry() })
    }

    /// Where the group is. One that is new begins at `start`, and that is kept: what is written until it first
    /// acknowledges something is its business, whether it began at the end or not.
    fn begin_group(
        &self,
        place @ (topic, partition): (i64, u32),
        name: &str,
        request: &ConsumeRequest,
    ) -> SqlResult<Group> {
        let (stored, start) = self.storage.read(|db| {
            let stored = store::group(&db.connection, topic, name, partition).map_err(sql_error)?;
            Ok((stored, resolve(db, place, request.start)?))
        })?;
        if let Some(base) = stored {
            return Ok(Group::at(base));
        }
        if !self.holes.topics {
            let now_ms = time::now_micros() / 1000;
            self.change(|db| store::begin_group(&db.connection, topic, name, partition, start, now_ms))?;
        }
        Ok(Group::at(start))
    }

    pub(super) fn acknowledge(&self, topic: &str, group: &str, partition: u32, upto: u64) -> SqlResult<()> {
        check_group(group)?;
        let set = self.topics.set();
        let topic = set.find(topic)?;
        self.check_partition(topic, partition)?;
        let base = i64::try_from(upto).unwrap_or(i64::MAX).saturating_add(1);
        let mut groups = self.topics.groups.lock();
        let (end, _) = self
            .storage
            .read(|db| store::partition(&db.connection, topic.id, partition).map_err(sql_error))?;
        if base > end {
            return Err(SqlError::new(
                "INVALID_INPUT",
                400,
                format!("Offset {upto} is beyond the end of topic '{}', which is at {end}", topic.name),
            ));
        }
        let member = (topic.id, Arc::<str>::from(group), partition);
        self.move_group(&member, base, false)?;
        if let Some(known) = groups.get_mut(&member) {
            known.advance(base);
        }
        Ok(())
    }

    fn move_group(&self, member: &Member, base: i64, back: bool) -> SqlResult<()> {
        let (topic, group, partition) = member;
        let now_ms = time::now_micros() / 1000;
        self.change(|db| store::move_group(&db.connection, (*topic, group, *partition), base, back, now_ms))?;
        let mut progress = self.topics.progress.lock();
        let before = progress.get(member).map(|(acked, _)| *acked);
        if base == 0 {
            progress.remove(member);
        } else if back || before.is_none_or(|acked| acked < base - 1) {
            progress.insert(member.clone(), (base - 1, now_ms));
        }
        Ok(())
    }

    fn check_partition(&self, topic: &Topic, partition: u32) -> SqlResult<()> {
        if partition < topic.partitions {
            return Ok(());
        }
        Err(SqlError::new(
            "INVALID_INPUT",
            400,
            format!(
                "Topic '{}' has {} partition(s), from 0: there is no {partition}",
                topic.name, topic.partitions
            ),
        ))
    }

    /// Moves a group, also back. What its consumers hold is delivered again. Returns where it is then.
    pub(super) fn reset_group(
        &self,
        topic: &str,
        group: &str,
        partition: Option<u32>,
        to: Position,
    ) -> SqlResult<i64> {
        check_group(group)?;
        let set = self.topics.set();
        let topic = set.find(topic)?;
        let partitions = match partition {
            Some(partition) => {
                self.check_partition(topic, partition)?;
                partition..partition + 1
            }
            None => 0..topic.partitions,
        };
        let mut moved_to = 0;
        let mut groups = self.topics.groups.lock();
        for partition in partitions {
            let base = self.storage.read(|db| resolve(db, (topic.id, partition), to))?;
            let member = (topic.id, Arc::<str>::from(group), partition);
            self.move_group(&member, base, true)?;
            groups.insert(member, Group::at(base));
            moved_to = base;
        }
        Ok(moved_to)
    }
}

/// The offset that a position stands for, within what there is.
fn resolve(db: &Db, place: (i64, u32), position: Position) -> SqlResult<i64> {
    let (end, _) = store::partition(&db.connection, place.0, place.1).map_err(sql_error)?;
    Ok(match position {
        Position::Latest => end,
        Position::Earliest => first_kept(db, place)?,
        Position::Offset(offset) => i64::try_from(offset).unwrap_or(i64::MAX).min(end),
    })
}

/// The oldest record that is kept, or the end.
fn first_kept(db: &Db, (topic, partition): (i64, u32)) -> SqlResult<i64> {
    let oldest = store::oldest(&db.connection, topic, partition).map_err(sql_error)?;
    match oldest {
        Some((offset, _)) => Ok(offset),
        None => store::partition(&db.connection, topic, partition).map(|(end, _)| end).map_err(sql_error),
    }
}
