//! The rules of one member, one by one. What happens when they meet trouble is in `tests/simulation`.

use super::*;
use crate::consumer::{AutoOffsetReset, ConsumerRecord};
use crate::error::Result;
use crate::protocol::{Consumed, RecordOp};

const S: Time = Time::from_secs(1);

fn config() -> ConsumerConfig {
    ConsumerConfig {
        reset: AutoOffsetReset::Earliest,
        auto_commit: false,
        max_poll_records: 3,
        ..ConsumerConfig::new("app.t", "g")
    }
}

fn record(offset: u64) -> ConsumerRecord {
    ConsumerRecord {
        key: Some(offset.to_string().into()),
        payload: b"{}"[..].into(),
        ..ConsumerRecord::new("app.t".into(), 0, offset, RecordOp::Insert)
    }
}

fn consumed(offsets: impl IntoIterator<Item = u64>, next_offset: u64) -> Result<Consumed> {
    let records: Vec<ConsumerRecord> = offsets.into_iter().map(record).collect();
    Ok(Consumed { has_more: false, records, next_offset })
}

fn lost() -> Error {
    Error::new(ErrorCode::Disconnected, "lost")
}

/// A consumer that knows where its group is, and polls.
fn begun(config: ConsumerConfig, base: u64) -> Consumer {
    let mut consumer = Consumer::new(config);
    consumer.poll(S, S * 10).unwrap();
    assert!(matches!(consumer.poll_action(S), Some(Action::Look { .. })));
    consumer.handle_looked(S, consumed([], base));
    consumer
}

fn fetch(consumer: &mut Consumer, now: Time, offsets: impl IntoIterator<Item = u64>) {
    assert!(matches!(consumer.poll_action(now), Some(Action::Fetch { .. })));
    consumer.handle_fetched(now, consumed(offsets, 0));
}

fn offsets(records: &[ConsumerRecord]) -> Vec<u64> {
    records.iter().map(|record| record.offset).collect()
}

#[test]
fn a_commit_stops_before_the_first_unfinished_record() {
    let mut consumer = begun(config(), 0);
    fetch(&mut consumer, S, 0..3);
    assert_eq!(offsets(&consumer.take(S, 10).unwrap()), [0, 1, 2]);
    consumer.mark(0);
    consumer.mark(2);
    let ticket = consumer.commit();
    assert_eq!(consumer.poll_action(S), Some(Action::Ack { upto: 0 }));
    consumer.handle_acked(S, Ok(()));
    assert_eq!(consumer.poll_action(S), None, "what lies before is held here: nobody else can finish it");
    let (answered, result) = consumer.poll_committed().unwrap();
    assert_eq!((answered, result), (ticket, Ok(Committed { next_offset: 1, held_back: 1 })));
    // Finished at last, what was held back goes along.
    consumer.mark(1);
    let due = consumer.next_timeout(S * 2).unwrap();
    assert_eq!(consumer.poll_action(due), Some(Action::Ack { upto: 2 }));
}

#[test]
fn a_commit_counts_from_where_the_group_is_not_from_ones_own_records() {
    let mut consumer = begun(config(), 0);
    // Another member holds 0 to 2.
    fetch(&mut consumer, S, 3..6);
    consumer.take(S, 10).unwrap();
    for offset in 3..6 {
        consumer.mark(offset);
    }
    let ticket = consumer.commit();
    let look = Some(Action::Look { start: TopicStart::Offset(0) });
    assert_eq!(consumer.poll_action(S), look, "the other one may be done");
    consumer.handle_looked(S, consumed([], 0));
    assert_eq!(consumer.poll_action(S), None);
    assert_eq!(consumer.poll_committed(), Some((ticket, Ok(Committed { next_offset: 0, held_back: 3 }))));
    // Asked again by itself, ever more rarely, until the other one is done.
    let later = consumer.next_timeout(S).unwrap();
    assert_eq!(consumer.poll_action(later), look);
    consumer.handle_looked(later, consumed([], 3));
    assert_eq!(consumer.poll_action(later), Some(Action::Ack { upto: 5 }));
}

#[test]
fn latest_is_made_known_to_a_server_that_does_not_keep_it() {
    let mut consumer = Consumer::new(ConsumerConfig { reset: AutoOffsetReset::Latest, ..config() });
    consumer.poll(S, S * 10).unwrap();
    assert_eq!(consumer.poll_action(S), Some(Action::Look { start: TopicStart::Latest }));
    consumer.handle_looked(S, consumed([], 7));
    assert_eq!(consumer.poll_action(S), Some(Action::Look { start: TopicStart::Earliest }));
    consumer.handle_looked(S, consumed([], 0));
    assert_eq!(consumer.poll_action(S), Some(Action::Ack { upto: 6 }));
    consumer.handle_acked(S, Ok(()));
    assert!(matches!(consumer.poll_action(S), Some(Action::Fetch { start: TopicStart::Offset(7), .. })));
}

#[test]
fn latest_leaves_a_group_alone_that_has_committed_something() {
    let mut consumer = Consumer::new(ConsumerConfig { reset: AutoOffsetReset::Latest, ..config() });
    consumer.poll(S, S * 10).unwrap();
    consumer.poll_action(S);
    consumer.handle_looked(S, consumed([], 4));
    consumer.poll_action(S);
    consumer.handle_looked(S, consumed([], 4));
    assert!(matches!(consumer.poll_action(S), Some(Action::Fetch { start: TopicStart::Offset(4), .. })));
}

#[test]
fn what_is_delivered_again_is_handed_out_again_unless_it_is_finished() {
    let mut consumer = begun(config(), 0);
    fetch(&mut consumer, S, 0..3);
    consumer.take(S, 10).unwrap();
    consumer.mark(1);
    consumer.poll(S, S * 10).unwrap();
    fetch(&mut consumer, S, [0, 1, 2, 3]);
    assert_eq!(offsets(&consumer.take(S, 10).unwrap()), [0, 2, 3]);
}

/// Its group is at 3, `held` is handed out, and the server gives records from before.
fn doubting(held: std::ops::Range<u64>) -> Consumer {
    let mut consumer = begun(config(), 3);
    fetch(&mut consumer, S, held);
    consumer.take(S, 10).unwrap();
    consumer.poll(S, S * 10).unwrap();
    fetch(&mut consumer, S, [1, 2, 3]);
    assert!(!consumer.is_ready(S), "not before it is known what they are");
    assert_eq!(consumer.poll_action(S), Some(Action::Look { start: TopicStart::Offset(3) }));
    assert_eq!(consumer.poll_action(S), None);
    consumer
}

#[test]
fn a_group_that_another_moved_back_is_followed() {
    let mut consumer = doubting(3..6);
    assert!(consumer.handle_looked(S, consumed([], 1)));
    assert_eq!(offsets(&consumer.take(S, 10).unwrap()), [1, 2, 3]);
    // Of the record that was handed out before, not of the one that is to be handled again.
    consumer.mark(3);
    for offset in 1..3 {
        consumer.mark(offset);
    }
    consumer.commit();
    assert_eq!(consumer.poll_action(S), Some(Action::Ack { upto: 2 }));
    consumer.handle_acked(S, Ok(()));
    consumer.mark(3);
    consumer.commit();
    assert_eq!(consumer.poll_action(S), Some(Action::Ack { upto: 3 }));
}

#[test]
fn records_that_were_committed_on_their_way_are_not_handled_again() {
    let mut consumer = doubting(4..6);
    assert!(!consumer.handle_looked(S, consumed([], 3)));
    assert_eq!(offsets(&consumer.take(S, 10).unwrap()), [3]);
    // A look that fails is tried again, and who polls is told.
    let mut consumer = doubting(4..6);
    consumer.handle_looked(S, Err(lost()));
    let later = consumer.next_timeout(S).unwrap();
    assert!(later > S);
    assert_eq!(consumer.poll_action(later), Some(Action::Look { start: TopicStart::Offset(3) }));
    consumer.handle_looked(later, consumed([], 4));
    assert_eq!(consumer.next_timeout(later), Some(later), "for more");
    assert!(matches!(consumer.poll_action(later), Some(Action::Fetch { .. })));
}

#[test]
fn nothing_is_committed_while_it_is_in_doubt_whether_the_group_was_moved() {
    for moved in [true, false] {
        let mut consumer = doubting(3..6);
        // The answer is on its way when these are finished.
        for offset in 3..6 {
            consumer.mark(offset);
        }
        let ticket = consumer.commit();
        assert_eq!(consumer.poll_action(S), None);
        assert_eq!(consumer.handle_looked(S, consumed([], if moved { 1 } else { 3 })), moved);
        let upto = if moved { None } else { Some(Action::Ack { upto: 5 }) };
        assert_eq!(consumer.poll_action(S), upto);
        if moved {
            let nothing = Committed { next_offset: 1, held_back: 0 };
            assert_eq!(consumer.poll_committed(), Some((ticket, Ok(nothing))));
        }
    }
    // Who commits or closes is told when it can not be found out.
    let mut consumer = doubting(3..6);
    consumer.mark(3);
    consumer.commit();
    consumer.handle_looked(S, Err(Error::new(ErrorCode::PermissionDenied, "no longer")));
    assert_eq!(consumer.poll_committed().unwrap().1.unwrap_err().code(), ErrorCode::PermissionDenied);
    assert_eq!(consumer.poll_action(S), None);
    consumer.close(S * 5);
    assert!(matches!(consumer.poll_action(S), Some(Action::Look { .. })));
    assert_eq!((consumer.poll_action(S), consumer.next_timeout(S)), (None, Some(S * 5)));
    consumer.handle_looked(S, consumed([], 3));
    assert_eq!(consumer.poll_action(S), Some(Action::Ack { upto: 3 }));
}

#[test]
fn a_group_that_has_committed_begins_at_the_oldest_record_of_a_topic_that_does_not_know_it() {
    let mut consumer = begun(config(), 0);
    let Some(Action::Fetch { start: TopicStart::Offset(0), .. }) = consumer.poll_action(S) else { panic!() };
    consumer.handle_fetched(S, consumed(0..3, 3));
    for record in consumer.take(S, 3).unwrap() {
        consumer.mark(record.offset);
    }
    consumer.commit();
    consumer.poll_action(S);
    consumer.handle_acked(S, Ok(()));
    consumer.poll(S, S * 10).unwrap();
    assert!(matches!(consumer.poll_action(S), Some(Action::Fetch { start: TopicStart::Earliest, .. })));
    // Made anew, with more in it than there was.
    consumer.handle_fetched(S, consumed(0..5, 5));
    assert_eq!(consumer.poll_action(S), Some(Action::Look { start: TopicStart::Earliest }));
    assert!(consumer.handle_looked(S, consumed([], 0)));
    assert_eq!(offsets(&consumer.take(S, 10).unwrap()), [0, 1, 2, 3, 4]);
}

#[test]
fn a_look_that_was_overtaken_by_a_commit_does_not_move_the_group() {
    let mut consumer = begun(config(), 0);
    fetch(&mut consumer, S, [1, 2]);
    consumer.take(S, 10).unwrap();
    consumer.mark(1);
    consumer.commit();
    assert!(matches!(consumer.poll_action(S), Some(Action::Look { .. })));
    consumer.mark(0);
    consumer.commit();
    assert_eq!(consumer.poll_action(S), Some(Action::Ack { upto: 1 }));
    consumer.handle_acked(S, Ok(()));
    assert!(!consumer.handle_looked(S, consumed([], 0)));
    assert_eq!(consumer.committed().next_offset, 2);
}

#[test]
fn what_was_asked_for_after_doubtful_records_stays_behind_them() {
    for moved in [true, false] {
        let mut consumer = begun(config(), 0);
        fetch(&mut consumer, S, 0..3);
        for record in consumer.take(S, 3).unwrap() {
            consumer.mark(record.offset);
        }
        consumer.commit();
        assert_eq!(consumer.poll_action(S), Some(Action::Ack { upto: 2 }));
        consumer.handle_acked(S, Ok(()));
        consumer.poll(S, S * 9).unwrap();
        let Some(Action::Fetch { limit, .. }) = consumer.poll_action(S) else { panic!() };
        consumer.handle_arrived();
        assert!(
            matches!(consumer.poll_action(S), Some(Action::Fetch { .. })),
            "quick, and the last was full"
        );
        // Some of these are committed.
        consumer.handle_fetched(S, consumed(1..1 + u64::from(limit), 0));
        assert!(matches!(consumer.poll_action(S), Some(Action::Look { .. })));
        consumer.handle_arrived();
        assert_eq!(consumer.handle_looked(S, consumed([], if moved { 1 } else { 3 })), moved);
        consumer.handle_fetched(S, consumed(7..9, 0));
        let first = if moved { 1 } else { 3 };
        assert_eq!(offsets(&consumer.take(S, 10).unwrap()), (first..9).collect::<Vec<_>>());
    }
}

#[test]
fn an_idle_consumer_pauses_longer_and_longer_but_not_at_a_server_that_waits() {
    let mut consumer = begun(config(), 0);
    let (mut now, mut requests) = (S, 0);
    while now < S * 11 {
        match consumer.poll_action(now) {
            Some(Action::Fetch { .. }) => {
                requests += 1;
                consumer.handle_fetched(now, consumed([], 0));
            }
            None if consumer.is_ready(now) => {
                assert!(consumer.take(now, 10).unwrap().is_empty());
                consumer.poll(now, now + S * 3).unwrap();
            }
            None => now = consumer.next_timeout(now).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    assert!((10..=20).contains(&requests), "{requests} in ten seconds");
    let mut consumer = begun(config(), 0);
    let Some(Action::Fetch { wait, .. }) = consumer.poll_action(S) else { panic!() };
    assert_eq!(wait, S * 9, "as long as the poll waits");
    consumer.handle_fetched(S + wait, consumed([], 0));
    consumer.take(S * 10, 10).unwrap();
    consumer.poll(S * 10, S * 20).unwrap();
    assert!(matches!(consumer.poll_action(S * 10), Some(Action::Fetch { .. })), "at once");
}

#[test]
fn trouble_is_tried_again_and_told_when_the_poll_is_over() {
    let mut consumer = begun(config(), 0);
    let mut now = S;
    let mut tries = 0;
    while !consumer.is_ready(now) {
        match consumer.poll_action(now) {
            Some(_) => {
                tries += 1;
                consumer.handle_fetched(now, Err(lost()));
            }
            None => now = consumer.next_timeout(now).unwrap(),
        }
    }
    assert!((3..200).contains(&tries), "{tries}");
    assert_eq!(now, S * 10);
    assert_eq!(consumer.take(now, 10).unwrap_err().code(), ErrorCode::Disconnected);
    // What can not get better is told at once.
    consumer.poll(now, now + S).unwrap();
    now = consumer.next_timeout(now).unwrap().max(now);
    consumer.give_up();
    consumer.poll(now, now + S * 100).unwrap();
    while consumer.poll_action(now).is_none() {
        now = consumer.next_timeout(now).unwrap();
    }
    consumer.handle_fetched(now, Err(Error::new(ErrorCode::NotFound, "no such topic")));
    assert!(consumer.is_ready(now));
    assert_eq!(consumer.take(now, 10).unwrap_err().code(), ErrorCode::NotFound);
}

#[test]
fn two_polls_at_once_are_refused_and_a_given_up_one_is_none() {
    let mut consumer = begun(config(), 0);
    assert_eq!(consumer.poll(S, S * 2).unwrap_err().code(), ErrorCode::InvalidArgument);
    assert!(matches!(consumer.poll_action(S), Some(Action::Fetch { .. })));
    consumer.give_up();
    consumer.handle_fetched(S, consumed(0..3, 3));
    consumer.poll(S, S * 2).unwrap();
    assert_eq!(offsets(&consumer.take(S, 10).unwrap()), [0, 1, 2], "what was on its way is there");
}

#[test]
fn nothing_is_done_while_the_group_is_moved() {
    let mut consumer = begun(config(), 0);
    fetch(&mut consumer, S, 0..4);
    assert_eq!(consumer.begin_move().unwrap_err().code(), ErrorCode::InvalidArgument, "it is polled");
    let records = consumer.take(S, 4).unwrap();
    assert_eq!(offsets(&records), [0, 1, 2, 3]);
    consumer.mark(0);
    consumer.commit();
    assert!(matches!(consumer.poll_action(S), Some(Action::Ack { upto: 0 })));
    consumer.begin_move().unwrap();
    assert_eq!(consumer.begin_move().unwrap_err().code(), ErrorCode::InvalidArgument, "one at a time");
    assert!(!consumer.hold_still(), "an acknowledgement is on its way");
    consumer.handle_acked(S, Ok(()));
    assert!(consumer.hold_still());
    // Neither a commit nor a request for records, and nobody is woken for them.
    consumer.mark(1);
    consumer.commit();
    consumer.poll(S, S * 60).unwrap();
    assert_eq!(consumer.poll_action(S * 30), None);
    assert_eq!(consumer.next_timeout(S * 30), Some(S * 60));
    consumer.seek(S * 30, 3);
    consumer.end_move();
    assert!(matches!(consumer.poll_action(S * 30), Some(Action::Fetch { .. })));
    assert_eq!((consumer.position(), consumer.unfinished(), consumer.moves()), (3, 0, 1));
}

#[test]
fn auto_commit_covers_only_what_was_marked() {
    let auto = ConsumerConfig { auto_commit: true, ..config() };
    let mut consumer = begun(auto, 0);
    fetch(&mut consumer, S, 0..3);
    consumer.take(S, 10).unwrap();
    assert_eq!(consumer.next_timeout(S), None);
    assert!(consumer.mark(0), "the time begins");
    assert_eq!(consumer.poll_action(S), None);
    let due = consumer.next_timeout(S).unwrap();
    assert_eq!(due, S * 6);
    assert_eq!(consumer.poll_action(due), Some(Action::Ack { upto: 0 }));
    consumer.handle_acked(due, Err(lost()));
    let again = consumer.next_timeout(due).unwrap();
    assert_eq!(
        consumer.poll_action(again),
        Some(Action::Ack { upto: 0 }),
        "an acknowledgement may be sent twice"
    );
    consumer.handle_acked(again, Ok(()));
    assert_eq!(consumer.next_timeout(again), None);
}

#[test]
fn a_commit_that_fails_is_told_and_nothing_is_lost() {
    let mut consumer = begun(config(), 0);
    fetch(&mut consumer, S, 0..3);
    consumer.take(S, 10).unwrap();
    consumer.mark(0);
    consumer.commit();
    let mut now = S;
    let told = loop {
        match consumer.poll_action(now) {
            Some(Action::Ack { upto: 0 }) => consumer.handle_acked(now, Err(lost())),
            Some(other) => panic!("{other:?}"),
            None => match consumer.poll_committed() {
                Some((_, result)) => break result,
                None => now = consumer.next_timeout(now).unwrap(),
            },
        }
    };
    assert_eq!(told.unwrap_err().code(), ErrorCode::Disconnected);
    consumer.commit();
    assert_eq!(consumer.poll_action(now), Some(Action::Ack { upto: 0 }));
}

#[test]
fn closing_commits_what_it_may_and_ends_in_time() {
    let auto = ConsumerConfig { auto_commit: true, ..config() };
    let mut consumer = begun(auto, 0);
    fetch(&mut consumer, S, 0..3);
    consumer.take(S, 10).unwrap();
    consumer.mark(0);
    consumer.close(S * 2);
    assert_eq!(consumer.poll_action(S), Some(Action::Ack { upto: 0 }));
    consumer.handle_acked(S, Ok(()));
    assert_eq!(consumer.poll_action(S), None);
    assert!(consumer.is_over());
    assert_eq!(consumer.poll(S, S * 2).unwrap_err().code(), ErrorCode::Closed);

    let mut consumer = begun(ConsumerConfig { auto_commit: true, ..config() }, 0);
    fetch(&mut consumer, S, 0..3);
    consumer.take(S, 10).unwrap();
    consumer.mark(0);
    consumer.close(S * 2);
    consumer.poll_action(S);
    // No answer comes.
    assert_eq!(consumer.next_timeout(S), Some(S * 2));
    assert_eq!(consumer.poll_action(S * 2), None);
    assert!(consumer.is_over());
    assert_eq!(consumer.poll_committed().unwrap().1.unwrap_err().code(), ErrorCode::Timeout);
}

#[test]
fn a_quick_reader_gets_larger_batches_ahead_of_time_and_a_slow_one_does_not() {
    let mut consumer = begun(config(), 0);
    let (mut now, mut next) = (S, 0_u64);
    let mut limits = Vec::new();
    for _ in 0..12 {
        while consumer.take(now, 3).unwrap().is_empty() {
            consumer.poll(now, now + S).unwrap();
            let Some(Action::Fetch { limit, .. }) = consumer.poll_action(now) else { panic!() };
            limits.push(limit);
            let end = next + u64::from(limit);
            consumer.handle_fetched(now, consumed(next..end, end));
            next = end;
        }
        now += Time::from_micros(30);
        consumer.poll(now, now + S).unwrap();
    }
    assert!(limits.windows(2).all(|pair| pair[0] <= pair[1]) && limits.last() > Some(&10), "{limits:?}");
    // A record a second.
    consumer.take(now, 3).unwrap();
    now += S * 3;
    consumer.poll(now, now + S).unwrap();
    while !consumer.take(now, 3).unwrap().is_empty() {
        now += S * 3;
        consumer.poll(now, now + S).unwrap();
        assert!(
            !matches!(consumer.poll_action(now), Some(Action::Fetch { .. })) || consumer.position() == next
        );
    }
}

#[test]
fn more_is_asked_for_while_an_answer_is_read() {
    let mut consumer = begun(config(), 0);
    fetch(&mut consumer, S, 0..3);
    // A reader that needs no time.
    assert_eq!(offsets(&consumer.take(S, 3).unwrap()), [0, 1, 2]);
    consumer.poll(S, S * 2).unwrap();
    let Some(Action::Fetch { limit: 6, .. }) = consumer.poll_action(S) else {
        panic!("quick, so twice as many")
    };
    consumer.handle_arrived();
    assert_eq!(consumer.is_fetching(), (false, true));
    // What is being read will do for who waits, but the answer before was full and the reader is quick.
    let Some(Action::Fetch { wait: Time::ZERO, .. }) = consumer.poll_action(S) else { panic!() };
    assert_eq!((consumer.is_fetching(), consumer.poll_action(S)), ((true, true), None));
    consumer.handle_fetched(S, consumed(3..9, 0));
    consumer.handle_arrived();
    consumer.handle_fetched(S, consumed(9..12, 0));
    assert_eq!(offsets(&consumer.take(S, 20).unwrap()), [3, 4, 5, 6, 7, 8, 9, 10, 11]);

    // That one was not full: nothing is asked for but by who waits, and not while an answer is read.
    consumer.poll(S, S * 2).unwrap();
    let Some(Action::Fetch { wait, .. }) = consumer.poll_action(S) else { panic!() };
    assert_eq!(wait, S);
    consumer.handle_arrived();
    assert_eq!((consumer.poll_action(S), consumer.next_timeout(S)), (None, Some(S * 2)));
    // The group is moved: what is being read is not wanted any more.
    consumer.give_up();
    consumer.begin_move().unwrap();
    assert_eq!(consumer.is_fetching(), (false, false));
    consumer.handle_fetched(S, consumed(12..15, 0));
    assert_eq!(consumer.position(), 12);
    consumer.poll(S, S * 2).unwrap();
    assert!(!consumer.is_ready(S), "nothing of it is handed out");
}

#[test]
fn what_was_marked_before_anything_was_read_is_not_held_back_when_the_group_is_past_it() {
    let mut consumer = Consumer::new(config());
    consumer.mark(1);
    let ticket = consumer.commit();
    assert_eq!(consumer.poll_action(S), Some(Action::Look { start: TopicStart::Earliest }));
    consumer.handle_looked(S, consumed([], 3));
    assert_eq!(consumer.poll_action(S), None);
    assert_eq!(consumer.poll_committed(), Some((ticket, Ok(Committed { next_offset: 3, held_back: 0 }))));
}
