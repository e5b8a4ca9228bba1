//! The client under test: a machine, its subscribers, and a provider of credentials.

mod reader;
mod taken;

use std::time::Duration;

use kalam_live::machine::{
    Config, Decoding, Deferred, Event, Lifecycle, LinkId, Machine, OldValues, Restart, Resume,
    SubscribeOptions, SubscribeRequest, SubscriptionEvent, SubscriptionInfo, SubscriptionKey,
    SubscriptionStage,
};
use kalam_live::protocol::{Change, Limits, RawFrame, ServerFrame, decode};
use kalam_live::{Error, ErrorCode};
use serde_json::Value as Json;

pub use reader::{Check, EventReader, LiveReader, same_rows};
pub use taken::Taken;

use crate::data::Query;
use crate::server::Server;

/// A subscriber: one place in the program, which opens a subscription again when it has ended.
#[derive(Debug)]
pub struct Slot {
    /// Index of its query.
    pub query: usize,
    name: String,
    kind: Kind,
    batch_size: Option<u32>,
    /// The open subscription.
    pub open: Option<Handle>,
}

/// What a subscriber wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rows.
    Live {
        /// Looks at them as soon as a snapshot is complete.
        eager: bool,
    },
    /// The rows that there are, and every change.
    Events,
    /// Every change.
    EventsOnly,
}

/// An open subscription.
#[derive(Debug)]
pub struct Handle {
    /// Its key in the machine.
    pub key: SubscriptionKey,
    /// Its reader.
    pub reader: Reader,
    /// The id under which the server knows it, and whether from a fresh beginning.
    wire: Option<(String, bool)>,
    acked: bool,
    ready: bool,
}

/// Who reads a subscription.
#[derive(Debug)]
pub enum Reader {
    /// Materialised rows.
    Live(Box<LiveReader>),
    /// Events.
    Events(Box<EventReader>),
}

/// The client.
#[derive(Debug)]
pub struct Client {
    /// The machine under test.
    pub machine: Machine,
    /// Its subscribers.
    pub slots: Vec<Slot>,
    queries: Vec<Query>,
    /// Subscriptions that failed.
    pub failures: u64,
    /// The frame that the machine was given last.
    frame: String,
}

impl Client {
    /// A client without subscribers.
    pub fn new(config: Config, queries: Vec<Query>) -> Self {
        let machine = Machine::new(config).expect("a good configuration");
        Self { machine, slots: Vec::new(), queries, failures: 0, frame: String::new() }
    }

    /// A frame arrives.
    pub fn receive(&mut self, now: Duration, link: LinkId, text: String) {
        self.machine.handle_frame(now, link, RawFrame::Text(&text));
        self.frame = text;
    }

    /// Adds a subscriber, not yet open.
    pub fn add_slot(&mut self, query: usize, kind: Kind, batch_size: Option<u32>) {
        let name = format!("s{}", self.slots.len());
        self.slots.push(Slot { query, name, kind, batch_size, open: None });
    }

    /// Opens the subscription of a slot, if it is not open.
    pub fn open(&mut self, now: Duration, at: usize) -> Check {
        let slot = &mut self.slots[at];
        if slot.open.is_some() {
            return Ok(());
        }
        let events = !matches!(slot.kind, Kind::Live { .. });
        let request = SubscribeRequest {
            id: Some(slot.name.as_str().into()),
            sql: self.queries[slot.query].live.clone(),
            options: SubscribeOptions {
                snapshot: slot.kind != Kind::EventsOnly,
                batch_size: slot.batch_size,
                ..SubscribeOptions::default()
            },
            old: if events { OldValues::Keep } else { OldValues::Skip },
            // One kind of reader for each way to decode.
            decoding: if slot.kind == Kind::Events { Decoding::ByReader } else { Decoding::ByConnection },
            resume: if events { Resume::Cursor } else { Resume::Live },
        };
        let reader = match slot.kind {
            Kind::Live { eager } => Reader::Live(Box::new(LiveReader::new(eager))),
            Kind::Events | Kind::EventsOnly => Reader::Events(Box::default()),
        };
        match self.machine.subscribe(now, request) {
            Ok(key) => slot.open = Some(Handle { key, reader, wire: None, acked: false, ready: false }),
            // Given up: the program will connect again.
            Err(error) if error.code() == ErrorCode::AuthFailed => {}
            Err(error) => return Err(format!("subscribe: {error}")),
        }
        Ok(())
    }

    /// Closes the subscription of a slot.
    pub fn close_slot(&mut self, now: Duration, at: usize) {
        if let Some(handle) = &self.slots[at].open {
            self.machine.unsubscribe(now, handle.key);
        }
    }

    /// Begins the subscription of a slot anew: fresh, or where it is.
    pub fn restart(&mut self, now: Duration, at: usize, fresh: bool) {
        let Some(handle) = &mut self.slots[at].open else { return };
        match (fresh, self.machine.checkpoint(handle.key)) {
            (false, Some(cursor)) => {
                if let Reader::Events(reader) = &mut handle.reader {
                    reader.rewound(cursor.seq().get());
                }
                self.machine.restart(now, handle.key, Restart::From(cursor));
            }
            _ => self.machine.restart(now, handle.key, Restart::Fresh),
        }
    }

    /// The machine has sent a message: notes under which id a subscription is known from now on.
    pub fn observe_sent(&mut self, text: &str) {
        let Ok(message) = serde_json::from_str::<Json>(text) else { return };
        if message["type"] != "subscribe" {
            return;
        }
        let id = message["subscription"]["id"].as_str().unwrap_or_default();
        let fresh = message["subscription"]["options"]["from"].is_null();
        let name = id.split('_').next().unwrap_or_default();
        if let Some(handle) = self.slots.iter_mut().find(|s| s.name == name).and_then(|s| s.open.as_mut()) {
            handle.wire = Some((id.to_owned(), fresh));
            handle.acked = false;
        }
    }

    /// A frame arrives on the present link: tells the reference of its subscription.
    pub fn observe_arrived(&mut self, text: &str, server: &Server) {
        let Ok(frame) = serde_json::from_str::<Json>(text) else { return };
        let id = frame["subscription_id"].as_str().unwrap_or_default();
        let known = |h: &Handle| h.wire.as_ref().is_some_and(|(wire, _)| wire == id);
        let Some(slot) = self.slots.iter_mut().find(|s| s.open.as_ref().is_some_and(known)) else { return };
        let (kind, Some(handle)) = (slot.kind, &mut slot.open) else { return };
        // Given up before its ack: the message that says so to the server may still wait for its turn.
        let waits = |s: &SubscriptionInfo| s.key == handle.key && s.stage == SubscriptionStage::Waiting;
        if self.machine.subscriptions().any(|s| waits(&s)) {
            return;
        }
        let fresh = handle.wire.as_ref().is_some_and(|(_, fresh)| *fresh);
        let Reader::Events(reader) = &mut handle.reader else {
            handle.acked |= frame["type"] == "subscription_ack";
            return;
        };
        let versions = |rows: &Json| -> Vec<i64> {
            let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
            rows.iter().filter_map(|row| row["_seq"].as_str()?.parse().ok()).collect()
        };
        match frame["type"].as_str() {
            Some("subscription_ack") => {
                handle.acked = true;
                reader.arrived_ack(fresh, server.behaviour.announces, server.promised.get(id));
                if fresh && kind == Kind::EventsOnly {
                    reader.arrived_position(frame["batch_control"]["last_seq_id"].as_i64());
                }
            }
            Some("initial_data_batch") if handle.acked => {
                reader.arrived_rows(&versions(&frame["rows"]), true);
                if fresh {
                    reader.arrived_position(frame["batch_control"]["last_seq_id"].as_i64());
                }
            }
            Some("change") if handle.acked && frame["change_type"] == "delete" => {
                reader.arrived_rows(&versions(&frame["old_values"]), false);
            }
            Some("change") if handle.acked => reader.arrived_rows(&versions(&frame["rows"]), false),
            _ => {}
        }
    }

    /// Gives an event to whom it belongs. Returns whether the client must connect again.
    pub fn dispatch(&mut self, event: Event, server: &Server) -> Check<bool> {
        let (key, event) = match event {
            Event::Lifecycle(Lifecycle::ConnectFailed { error, retry_in: None, .. })
            | Event::Lifecycle(Lifecycle::Disconnected { error, retry_in: None }) => {
                return match error.code() {
                    ErrorCode::AuthFailed => Ok(true),
                    ErrorCode::Disconnected if error.message().contains("by request") => Ok(false),
                    _ => Err(format!("gave up: {error}")),
                };
            }
            Event::Lifecycle(_) => return Ok(false),
            Event::Subscription { key, event: SubscriptionEvent::Deferred(deferred) } => {
                (key, SubscriptionEvent::Change(read_change(&self.frame, &deferred)?))
            }
            Event::Subscription { key, event } => (key, event),
        };
        let Some(slot) = self.slots.iter_mut().find(|s| s.open.as_ref().is_some_and(|h| h.key == key)) else {
            return Err(format!("an event of a subscription that has ended: {event:?}"));
        };
        let query = &self.queries[slot.query];
        let Some(handle) = &mut slot.open else { return Ok(false) };
        let over = matches!(event, SubscriptionEvent::Failed(_) | SubscriptionEvent::Ended);
        match &event {
            SubscriptionEvent::Failed(error) => {
                self.failures += 1;
                expected_failure(error, handle.ready)?;
            }
            SubscriptionEvent::Ready => handle.ready = true,
            _ => {}
        }
        let interrupted = matches!(event, SubscriptionEvent::Interrupted);
        let promise = handle.wire.as_ref().and_then(|(id, _)| server.promised.get(id));
        let fed = match &mut handle.reader {
            Reader::Live(reader) => reader.feed(event, query, promise),
            Reader::Events(reader) => reader.feed(event, query),
        };
        fed.map_err(|e| format!("{}: {e}", slot.name))?;
        // A subscribe message that was sent since belongs to the next incarnation.
        if interrupted && handle.acked {
            handle.wire = None;
        }
        if over {
            if let Some(Handle { reader: Reader::Live(reader), .. }) = &mut slot.open {
                reader.check_ended().map_err(|e| format!("{}: {e}", slot.name))?;
            }
            slot.open = None;
        }
        Ok(false)
    }

    /// After each step: events are what arrived, and nothing piles up.
    pub fn check_step(&mut self) -> Check {
        for slot in &mut self.slots {
            if let Some(Handle { reader: Reader::Events(reader), .. }) = &mut slot.open {
                reader.check_handed_out().map_err(|e| format!("{}: {e}", slot.name))?;
            }
        }
        let queued = self.machine.queued_messages();
        if queued > 200 + 4 * self.slots.len() {
            return Err(format!("{queued} messages are waiting"));
        }
        if self.machine.subscriptions().count() > self.slots.len() {
            return Err("the machine holds more subscriptions than there are".into());
        }
        Ok(())
    }

    /// Lets a reader of live rows look.
    pub fn look(&mut self, at: usize) -> Check {
        match &mut self.slots[at] {
            Slot { open: Some(Handle { reader: Reader::Live(reader), .. }), name, .. } => {
                reader.take().map_err(|e| format!("{name}: {e}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether every subscriber is open and its rows are the result.
    pub fn is_right(&mut self, server: &Server) -> Check<bool> {
        let mut right = true;
        for slot in &mut self.slots {
            let query = &self.queries[slot.query];
            right &= match &mut slot.open {
                None => false,
                Some(Handle { reader: Reader::Live(reader), .. }) => {
                    reader.is_right(query, &result(server, query))?
                }
                Some(Handle { ready, .. }) if slot.kind == Kind::EventsOnly => *ready,
                Some(Handle { reader: Reader::Events(reader), ready, .. }) => {
                    *ready && reader.check_final(query, &result(server, query)).is_ok()
                }
            };
        }
        Ok(right)
    }

    /// The end of the run: every subscriber is open and its rows are the result.
    pub fn check_final(&mut self, server: &Server) -> Check {
        for slot in &mut self.slots {
            let query = &self.queries[slot.query];
            let checked = match &mut slot.open {
                None => Err("not open when all is quiet".to_owned()),
                Some(Handle { reader: Reader::Live(reader), .. }) => {
                    reader.check_final(query, &result(server, query))
                }
                Some(_) if slot.kind == Kind::EventsOnly => Ok(()),
                Some(Handle { reader: Reader::Events(reader), .. }) => {
                    reader.check_final(query, &result(server, query))
                }
            };
            checked.map_err(|e| format!("{}: {e}", slot.name))?;
        }
        Ok(())
    }
}

fn result(server: &Server, query: &Query) -> Vec<crate::data::Record> {
    server.table.select(query.filter).into_iter().map(|s| s.record).collect()
}

/// A subscription may fail only where trying on is of no use, or where it never worked.
fn expected_failure(error: &Error, worked: bool) -> Check {
    match error.code() {
        ErrorCode::SubscriptionLimit | ErrorCode::AuthFailed => Ok(()),
        ErrorCode::Timeout | ErrorCode::RateLimited if !worked => Ok(()),
        _ => Err(format!("a subscription failed: {error}")),
    }
}

/// What a reader decodes of a change that was left to it.
fn read_change(frame: &str, deferred: &Deferred) -> Check<Change> {
    let Deferred { plan, from, .. } = deferred;
    match decode(RawFrame::Text(frame), &**plan, &Limits::default()) {
        Ok(ServerFrame::Change(change)) if frame[..*from].ends_with(r#""change_type":"#) => Ok(change),
        other => Err(format!("no change was left to its reader: {other:?}")),
    }
}
