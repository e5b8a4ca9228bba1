//! What the program and other programs do: statements, commands, credentials.

use std::time::Duration;

use kalam_live::machine::{AttemptId, Token};
use kalam_live::{Error, ErrorCode};

use super::{Happening, World};
use crate::client::Check;
use crate::data::{GROUPS, Record};
use crate::plan::pick;
use crate::server::token;

impl World {
    pub(super) fn write(&mut self) {
        let rows = if self.rng.u8(..100) < 10 { self.rng.usize(2..12) } else { 1 };
        for _ in 0..rows {
            let id = self.rng.i64(0..self.plan.keys);
            let write = match self.server.table.get(id).cloned() {
                Some(_) if self.rng.u8(..100) < 25 => self.server.table.delete(self.now, id),
                Some(mut record) => {
                    self.change(&mut record);
                    Some(self.server.table.put(self.now, record))
                }
                None => {
                    let mut record =
                        Record { id, grp: pick(&mut self.rng, &GROUPS), v: None, n: None, extra: None };
                    self.change(&mut record);
                    Some(self.server.table.put(self.now, record))
                }
            };
            if let Some(write) = write {
                self.trace.line(self.now, format_args!("write {write:?}"));
                self.server.publish(&write);
            }
        }
    }

    pub(super) fn change(&mut self, record: &mut Record) {
        match self.rng.u8(..6) {
            0 => record.grp = pick(&mut self.rng, &GROUPS),
            1 => record.v = None,
            2 => record.n = None,
            3 => record.n = Some(self.rng.i64(0..100)),
            _ => {
                record.v = Some(format!("v{}", self.rng.u32(..1_000)));
                record.n = Some(self.rng.i64(0..100));
            }
        }
    }

    /// Something that the program does.
    pub(super) fn command(&mut self) -> Check {
        let at = self.rng.usize(..self.plan.slots);
        let what = self.rng.u8(..10);
        self.trace.line(self.now, format_args!("command {what} at {at}"));
        match what {
            0..=2 => self.client.close_slot(self.now, at),
            3..=5 => {
                let fresh = self.rng.bool();
                self.client.restart(self.now, at, fresh);
            }
            6 => {
                // Closed and opened in one breath, under the same name.
                self.client.close_slot(self.now, at);
                self.drain()?;
                self.client.open(self.now, at)?;
            }
            7 | 8 => self.client.machine.network_changed(self.now),
            _ => {
                self.client.machine.disconnect(self.now);
                let wait = Duration::from_millis(self.rng.u64(..5_000));
                self.plan_in(wait, Happening::Connect);
            }
        }
        Ok(())
    }

    /// The program's provider: a cache, a login that takes its time, and bad days.
    pub(super) fn fetch_credentials(&mut self, attempt: AttemptId, refresh: bool) {
        if self.trouble && self.rng.u8(..100) < self.plan.bad_credentials {
            if self.rng.bool() {
                let error = Error::new(ErrorCode::Unavailable, "the login does not answer");
                self.plan_in(Duration::from_millis(50), Happening::Credentials(attempt, Err(error)));
            }
            return;
        }
        let cached = self.cached.clone().filter(|_| !refresh);
        let token = cached.unwrap_or_else(|| Token::new(token(self.now + self.plan.token_life)));
        self.cached = Some(token.clone());
        let wait = Duration::from_millis(self.rng.u64(..200));
        self.plan_in(wait, Happening::Credentials(attempt, Ok(Some(token))));
    }
}
