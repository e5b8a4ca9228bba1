//! What others do: faults and writes.

use std::time::Duration;

use kalam_live::machine::LinkId;

use super::{Happening, World};
use crate::data::{GROUPS, Record};
use crate::plan::pick;

impl World {
    pub(super) fn fault(&mut self) {
        match self.rng.u8(..6) {
            0 if self.plan.alters => {
                self.nodes.alter("extra");
                let what = if self.nodes.is_altered() { "a column more" } else { "a column less" };
                let anew = self.rng.bool();
                if anew {
                    self.nodes.recreate(self.nodes.columns.clone());
                }
                self.trace.line(self.now, format_args!("{what}, the table anew: {anew}"));
            }
            1 if !self.is_calm() => {
                self.nodes.busy_until = self.now + Duration::from_millis(self.rng.u64(..400));
            }
            2 if self.plan.clocks => self.set_clocks(),
            3 if self.plan.cuts && self.plan.urls > 1 => self.lose_the_leader(),
            _ if self.plan.cuts => {
                if let Some((link, _)) = self.link.take() {
                    self.cut(link);
                }
            }
            _ => {}
        }
    }

    /// The connection is gone, and both ends know.
    pub(in crate::holes) fn lose_the_connection(&mut self) {
        if let Some((link, _)) = self.link.take() {
            self.network.make_holes(link, true, true);
            self.plan_in(Duration::ZERO, Happening::Ended(link));
            self.plan_in(Duration::ZERO, Happening::ServerNotices(link));
        }
    }

    /// Nothing passes any more. The ends notice soon, or when nothing was heard for too long.
    fn cut(&mut self, link: LinkId) {
        self.trace.line(self.now, format_args!("{link:?} cut"));
        self.network.make_holes(link, true, true);
        if self.rng.bool() {
            let soon = Duration::from_micros(self.rng.u64(..50_000));
            self.plan_in(soon, Happening::Ended(link));
        }
        let later = Duration::from_millis(self.rng.u64(..3_000));
        self.plan_in(later, Happening::ServerNotices(link));
    }

    /// The leader dies, and the other node takes its place after a while, with its own numbers; what died comes back
    /// as a follower (`wire/cluster.jsonl`).
    fn lose_the_leader(&mut self) {
        self.trace.line(self.now, format_args!("node {} dies", self.nodes.leader));
        if let Some((link, _)) = self.link.take_if(|(_, node)| *node == self.nodes.leader) {
            self.cut(link);
        }
        self.no_leader_until = self.now + Duration::from_millis(self.rng.u64(300..2_500));
        self.nodes.leader = 1 - self.nodes.leader;
        self.leader_was_lost = true;
    }

    /// A clock is set forward; that of node 0 also back.
    fn set_clocks(&mut self) {
        let jump = self.rng.i64(1..100_000);
        self.trace.line(self.now, format_args!("clocks jump by {jump} ms"));
        match self.rng.u8(..3) {
            0 => self.nodes.table.ahead += jump,
            1 => self.nodes.table.ahead -= jump,
            _ => self.nodes.numbers.jump(self.nodes.table.version(), jump),
        }
    }

    pub(super) fn write_one(&mut self) {
        let id = self.rng.i64(0..self.plan.keys);
        self.write_to(id);
    }

    pub(super) fn write_to(&mut self, id: i64) {
        let write = match self.nodes.table.get(id).cloned() {
            Some(_) if self.rng.u8(..100) < 20 => self.nodes.table.delete(self.now, id),
            held => {
                let mut record = held.unwrap_or(Record {
                    id,
                    grp: pick(&mut self.rng, &GROUPS),
                    v: None,
                    n: None,
                    extra: None,
                });
                self.change(&mut record);
                Some(self.nodes.table.put(self.now, record))
            }
        };
        if let Some(write) = write {
            self.trace.line(self.now, format_args!("write {write:?}"));
            self.nodes.publish(self.now, &write);
        }
    }

    fn change(&mut self, record: &mut Record) {
        match self.rng.u8(..6) {
            0 => record.grp = pick(&mut self.rng, &GROUPS),
            1 => record.v = None,
            2 => record.n = None,
            3 => record.n = Some(self.rng.i64(0..100)),
            _ => {
                record.v = Some(format!("v{}", self.rng.u32(..9)));
                record.n = Some(self.rng.i64(0..100));
            }
        }
    }
}
