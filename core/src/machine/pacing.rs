//! Keeping below the server's message limit: what is over it is answered with `RATE_LIMIT_EXCEEDED` and lost (recorded in
//! `wire/limits.jsonl`).

use std::collections::VecDeque;
use std::time::Duration;

use super::Time;

/// The span over which the server counts, and a quarter more: messages that were sent apart may arrive together.
const WINDOW: Duration = Duration::from_millis(1_250);

/// Lets at most nine tenths of the server's number through in any window, however the windows are cut.
#[derive(Debug)]
pub(super) struct Pacer {
    budget: usize,
    /// When the messages of the last second were sent; at most `budget` of them.
    sent: VecDeque<Time>,
    paused_until: Time,
}

impl Pacer {
    pub(super) fn new(messages_per_second: u32) -> Self {
        Self { budget: Self::budget(messages_per_second), sent: VecDeque::new(), paused_until: Time::ZERO }
    }

    fn budget(messages_per_second: u32) -> usize {
        (messages_per_second as usize * 9 / 10).max(1)
    }

    /// Takes over a limit that the server announced. What was sent already counts.
    pub(super) fn set_rate(&mut self, messages_per_second: u32) {
        self.budget = Self::budget(messages_per_second);
    }

    /// When the next message may be sent; not later than `now` means at once.
    pub(super) fn ready_at(&mut self, now: Time) -> Time {
        while self.sent.front().is_some_and(|at| *at + WINDOW <= now) {
            self.sent.pop_front();
        }
        let slot = match self.sent.len().checked_sub(self.budget) {
            None => now,
            Some(i) => self.sent[i] + WINDOW,
        };
        slot.max(self.paused_until)
    }

    pub(super) fn sent(&mut self, now: Time) {
        self.sent.push_back(now);
    }

    /// The server refused messages: waits until its count has run out and goes on at half the rate. Refusals of the
    /// same burst change nothing more; returns whether this was the first.
    pub(super) fn slow_down(&mut self, now: Time) -> bool {
        if now < self.paused_until {
            return false;
        }
        self.budget = (self.budget / 2).max(1);
        self.paused_until = now + WINDOW;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Messages that come at random moments are all sent, and no second, wherever it begins, holds more than the rate.
        #[test]
        fn never_exceeds_the_rate(rate in 1_u32..200, gaps in prop::collection::vec(0_u64..60, 1..600)) {
            let mut pacer = Pacer::new(rate);
            let mut now = Time::ZERO;
            let mut sent = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                let at = pacer.ready_at(now);
                prop_assert!(at <= now + WINDOW, "waits longer than the window");
                now = now.max(at);
                prop_assert!(pacer.ready_at(now) <= now);
                pacer.sent(now);
                sent.push(now);
            }
            for (i, start) in sent.iter().enumerate() {
                let in_second = sent[i..].iter().take_while(|at| **at < *start + Duration::from_secs(1)).count();
                prop_assert!(in_second <= rate as usize, "{in_second} messages in a second");
            }
            prop_assert!(pacer.sent.len() <= rate as usize);
        }
    }

    #[test]
    fn a_burst_up_to_the_budget_is_not_delayed() {
        let mut pacer = Pacer::new(50);
        for _ in 0..45 {
            assert_eq!(pacer.ready_at(Time::ZERO), Time::ZERO);
            pacer.sent(Time::ZERO);
        }
        assert_eq!(pacer.ready_at(Time::ZERO), WINDOW);
    }

    #[test]
    fn slows_down_once_for_a_burst_of_refusals() {
        let mut pacer = Pacer::new(50);
        let now = Time::from_secs(5);
        assert!(pacer.slow_down(now));
        assert!(!pacer.slow_down(now + Duration::from_millis(5)));
        assert_eq!(pacer.budget, 22);
        assert_eq!(pacer.ready_at(now), now + WINDOW);
        assert!(pacer.slow_down(now + WINDOW));
        assert_eq!(pacer.budget, 11);
    }
}
