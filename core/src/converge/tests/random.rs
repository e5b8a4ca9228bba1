//! Bad days at random: frames lost, one by one or with their connection, snapshots that skip, answers that come late.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::server::World;
use super::{ALL, BLIND, OPEN};
use crate::converge::{AskId, KeeperOptions};
use crate::error::{Error, ErrorCode, Result};
use crate::live::Phase;
use crate::machine::SubscriptionEvent;
use crate::protocol::StatementResult;
use crate::row::Row;

#[derive(Clone, Debug)]
enum Op {
    /// `s` is open, closed or NULL; `told` and `watched`: the frames are not lost.
    Write {
        id: i64,
        s: Option<bool>,
        told: bool,
        watched: bool,
    },
    Delete {
        id: i64,
        told: bool,
        watched: bool,
    },
    /// So many frames arrive.
    Arrive(usize),
    /// The server reads the table for the question that is outstanding.
    Read {
        fails: bool,
    },
    /// Its answer arrives.
    Answer,
    Wait(u64),
    Reconnect {
        skip: i64,
    },
    Watch(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let told = || prop::bool::weighted(0.8);
    prop_oneof![
        6 => (0..12i64, prop::option::weighted(0.8, prop::bool::weighted(0.6)), told(), told())
            .prop_map(|(id, s, told, watched)| Op::Write { id, s, told, watched }),
        2 => (0..12i64, told(), told()).prop_map(|(id, told, watched)| Op::Delete { id, told, watched }),
        6 => (1..6usize).prop_map(Op::Arrive),
        4 => prop::bool::weighted(0.1).prop_map(|fails| Op::Read { fails }),
        4 => Just(Op::Answer),
        4 => (1..400u64).prop_map(Op::Wait),
        1 => (1..20u64).prop_map(|seconds| Op::Wait(seconds * 1_000)),
        1 => (0..12i64).prop_map(|skip| Op::Reconnect { skip }),
        1 => any::<bool>().prop_map(Op::Watch),
    ]
}

struct Day {
    world: World,
    followed: bool,
    filtered: bool,
    /// Whether it is of the watch, whether it is a delete, and the row: in the order of the connection.
    frames: VecDeque<(bool, bool, Row)>,
    question: Option<(AskId, String)>,
    answer: Option<(AskId, Result<Vec<StatementResult>>)>,
}

impl Day {
    fn tell(&mut self, id: i64, deleted: bool, before: bool, told: bool, watched: bool) {
        let row = self.world.frame_row(id);
        let after = self.world.matching().contains(&id);
        let matches = if deleted { before } else { after };
        if told && self.followed && matches {
            self.frames.push_back((false, deleted, row.clone()));
        }
        if watched && self.filtered {
            self.frames.push_back((true, deleted, row));
        }
    }

    fn arrive(&mut self) {
        let Some((watch, deleted, row)) = self.frames.pop_front() else { return };
        if watch {
            self.world.watch_row(deleted, &row);
        } else {
            self.world.tell_row(deleted, row);
        }
    }

    fn ask(&mut self) {
        if self.question.is_none() && self.answer.is_none() {
            self.question = self.world.question();
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Write { id, s, told, watched } => {
                let before = self.world.matching().contains(&id);
                self.world.write(id, s.map(|open| if open { "open" } else { "closed" }));
                self.tell(id, false, before, told, watched);
            }
            Op::Delete { id, told, watched } if !self.world.is_deleted(id) => {
                let before = self.world.matching().contains(&id);
                self.world.delete(id);
                self.tell(id, true, before, told, watched);
            }
            Op::Delete { .. } => {}
            Op::Arrive(frames) => (0..frames).for_each(|_| self.arrive()),
            Op::Read { fails } => {
                self.ask();
                if let Some((id, sql)) = self.question.take() {
                    let fail = || Err(Error::new(ErrorCode::Unavailable, "no leader"));
                    let result = if fails { fail() } else { self.world.result_of(&sql) };
                    self.answer = Some((id, result));
                }
            }
            Op::Answer => {
                if let Some((id, result)) = self.answer.take() {
                    self.world.reply(id, result);
                }
            }
            Op::Wait(millis) => self.world.now += Duration::from_millis(millis),
            Op::Reconnect { skip } => {
                self.frames.clear();
                self.world.event(SubscriptionEvent::Interrupted);
                self.world.keeper.handle_watch_state(self.world.now, false);
                self.world.connect(|id| id != skip);
                self.world.keeper.handle_watch_state(self.world.now, true);
            }
            Op::Watch(up) => {
                self.frames.retain(|(watch, ..)| !watch || up);
                self.world.keeper.handle_watch_state(self.world.now, up);
            }
        }
        self.ask();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_bad_day_ends_with_the_right_rows(
        ops in prop::collection::vec(op(), 1..120),
        kind in 0..3usize,
        offset in prop_oneof![3 => Just(0), 1 => Just(777_777)],
    ) {
        let sql = [ALL, OPEN, BLIND][kind];
        let mut world = World::new(sql, KeeperOptions::default(), 0..8);
        world.offset = offset;
        world.connect(|id| id != 3);
        let mut day = Day {
            world,
            followed: kind < 2,
            filtered: kind > 0,
            frames: VecDeque::new(),
            question: None,
            answer: None,
        };
        ops.iter().for_each(|op| day.apply(op));
        while !day.frames.is_empty() {
            day.arrive();
        }
        day.apply(&Op::Read { fails: false });
        day.apply(&Op::Answer);
        if let Some((id, sql)) = day.question.take() {
            day.world.answer(id, &sql);
        }
        // What no frame showed is found by the next check, at the latest.
        day.world.run(Duration::from_secs(130));
        prop_assert_eq!(day.world.held(), day.world.right());
        prop_assert_eq!(day.world.phase(), Phase::Live);
        day.world.keeper.take_counters();
        day.world.run(Duration::from_secs(600));
        let counters = day.world.keeper.take_counters();
        prop_assert!(counters.queries < 75, "an idle query asks {} times in ten minutes", counters.queries);
    }
}
