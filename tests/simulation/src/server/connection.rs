//! What the server keeps of a connection.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;

use super::behaviour::{Behaviour, RateWindow};
use super::table::Stored;
use super::wire;
use crate::data::Query;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) opened: Duration,
    pub(super) heard: Duration,
    pub(super) authenticated_until: Option<Duration>,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
    messages: VecDeque<Duration>,
}

impl Connection {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            opened: now,
            heard: now,
            authenticated_until: None,
            subscriptions: BTreeMap::new(),
            messages: VecDeque::new(),
        }
    }

    /// Counts a message; `false` when it is one too many.
    pub(super) fn within_rate(&mut self, now: Duration, behaviour: &Behaviour) -> bool {
        let second = Duration::from_secs(1);
        match behaviour.rate_window {
            RateWindow::Fixed if self.messages.front().is_some_and(|first| *first + second <= now) => {
                self.messages.clear();
            }
            RateWindow::Fixed => {}
            RateWindow::Sliding => self.messages.retain(|at| *at + second > now),
        }
        let within = self.messages.len() < behaviour.messages_per_second;
        if within {
            self.messages.push_back(now);
        }
        within
    }
}

/// One subscription of a connection.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) query: usize,
    page: usize,
    pages_sent: usize,
    /// The pages that are still to be sent. `None`: live.
    pages: Option<VecDeque<(Vec<String>, Option<i64>)>>,
    /// Changes during the snapshot; sent after its last page.
    held_back: Vec<String>,
}

impl Subscription {
    /// A subscription without a snapshot.
    pub(super) fn new(query: usize, page: usize) -> Self {
        Self { query, page, pages_sent: 0, pages: None, held_back: Vec::new() }
    }

    /// Gives it a snapshot: the whole result of one moment.
    /// `newest`: told with the last page instead of the version of its last row.
    pub(super) fn load(&mut self, query: &Query, rows: Vec<Stored>, newest: Option<i64>, rng: &mut Rng) {
        let mut pages: VecDeque<_> = rows
            .chunks(self.page)
            .map(|rows| {
                let texts =
                    rows.iter().map(|s| wire::whole_row(query, &s.record, s.version, false, rng)).collect();
                (texts, rows.last().map(|s| s.version))
            })
            .collect();
        if pages.is_empty() {
            pages.push_back((Vec::new(), None));
        }
        if let Some((_, last)) = pages.back_mut() {
            *last = newest.or(*last);
        }
        self.pages = Some(pages);
    }

    /// `has_more` and `last_seq_id` of the next page.
    pub(super) fn next_control(&self) -> (bool, Option<i64>) {
        let pages = self.pages.as_ref();
        (pages.is_some_and(|p| p.len() > 1), pages.and_then(|p| p.front()).and_then(|(_, last)| *last))
    }

    /// The next page, and what was held back, if it is the last. Nothing when there is none.
    pub(super) fn next_page(&mut self, id: &str) -> Vec<String> {
        let (more, last) = self.next_control();
        let Some((rows, _)) = self.pages.as_mut().and_then(VecDeque::pop_front) else { return Vec::new() };
        let mut frames = vec![wire::batch(id, &rows, self.pages_sent, more, last)];
        self.pages_sent += 1;
        if !more {
            self.pages = None;
            frames.append(&mut self.held_back);
        }
        frames
    }

    /// A change frame: returned when it is to be sent now.
    pub(super) fn deliver(&mut self, frame: String) -> Option<String> {
        if self.pages.is_none() {
            return Some(frame);
        }
        self.held_back.push(frame);
        None
    }
}
