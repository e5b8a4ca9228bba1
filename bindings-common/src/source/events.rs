//! Raw events.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use kalam_live::{ChangeEvent, Checkpoint, LiveEvents, Result, Schema};

use super::{Source, boxed, locked};
use crate::packet::{Kind, Packet};
use crate::{EventStream, Taken};

struct Events {
    stream: EventStream,
    coming: Mutex<Coming>,
}

#[derive(Default)]
struct Coming {
    /// Taken from the stream, for a packet to come.
    next: VecDeque<(ChangeEvent, Option<Checkpoint>)>,
    /// How checkpoints are spelled, as the language knows it.
    spelling: String,
}

/// Starts to open a stream of events.
pub(crate) fn start(open: impl Future<Output = Result<LiveEvents>> + Send + 'static) -> Box<dyn Source> {
    boxed(EventStream::start(open).map(|stream| Events { stream, coming: Mutex::default() }))
}

impl Source for Events {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let is_empty = locked(&self.coming).next.is_empty();
        if is_empty { self.stream.poll_ready(cx) } else { Poll::Ready(()) }
    }

    fn take(&self, packet: &mut Packet, max: usize) -> Result<Taken<()>> {
        let coming = &mut *locked(&self.coming);
        if coming.next.is_empty() {
            match self.stream.take(max)? {
                Taken::Item(events) => coming.next = events.into(),
                Taken::Nothing => return Ok(Taken::Nothing),
                Taken::Ended => return Ok(Taken::Ended),
            }
        }
        packet.begin(Kind::Events, 0);
        if let Some(schema) = coming.next.iter().find_map(|(event, _)| schema(event)) {
            packet.columns_are(schema);
        }
        while !packet.is_full()
            && let Some((event, checkpoint)) = coming.next.front()
        {
            if schema(event).is_some_and(|schema| !packet.has_columns(schema)) {
                break;
            }
            let spelling = checkpoint.as_ref().map(spelling).filter(|spelling| *spelling != coming.spelling);
            encode(event, checkpoint.as_ref(), spelling.as_deref(), packet);
            coming.spelling = spelling.unwrap_or(std::mem::take(&mut coming.spelling));
            coming.next.pop_front();
        }
        Ok(Taken::Item(()))
    }

    fn close(&self) {
        self.stream.close();
    }

    fn id(&self) -> Option<&str> {
        self.stream.id()
    }
}

/// The columns of the event's rows, if it has any.
fn schema(event: &ChangeEvent) -> Option<&Arc<Schema>> {
    event.rows().first().map(|row| row.schema())
}

/// A checkpoint but for its version, which is where the line breaks. That is the same for very many of them.
fn spelling(checkpoint: &Checkpoint) -> String {
    let text = checkpoint.to_string();
    let version = checkpoint.seq().to_string();
    match text.rsplit_once(&version) {
        Some((before, after)) => format!("{before}\n{after}"),
        None => text,
    }
}

/// Fourteen words: type, rows, old rows, whether more pages follow, last_seq_id (two; -1: none), how many were dropped (a
/// double: two), message (a note: two), version of the checkpoint (two; -1: none), its spelling if it is new (a note: two).
fn encode(event: &ChangeEvent, checkpoint: Option<&Checkpoint>, spelling: Option<&str>, packet: &mut Packet) {
    let old_rows = match event {
        ChangeEvent::Update { rows, old_rows, .. } if !rows.is_empty() => old_rows.as_slice(),
        _ => &[],
    };
    let (number, more, dropped, message) = match event {
        ChangeEvent::Ack { .. } => (0, 0, 0, None),
        ChangeEvent::InitialDataBatch { has_more, .. } => (1, u32::from(*has_more), 0, None),
        ChangeEvent::Insert { .. } => (2, 0, 0, None),
        ChangeEvent::Update { .. } => (3, 0, 0, None),
        ChangeEvent::Delete { .. } => (4, 0, 0, None),
        ChangeEvent::Resumed { .. } => (5, 0, 0, None),
        ChangeEvent::GapPossible { reason, .. } => (6, 0, 0, Some(reason.as_str())),
        ChangeEvent::Lagged { dropped, .. } => (7, 0, *dropped, None),
        // The core may learn to tell more. Its errors are thrown.
        _ => (8, 0, 0, None),
    };
    packet.word(number);
    packet.number(event.rows().len());
    packet.number(old_rows.len());
    packet.word(more);
    packet.two_words(event.last_seq_id().map_or(-1, |seq| seq.get()).to_ne_bytes());
    packet.two_words((dropped as f64).to_ne_bytes());
    packet.note(message);
    packet.two_words(checkpoint.map_or(-1, |checkpoint| checkpoint.seq().get()).to_ne_bytes());
    packet.note(spelling);
    event.rows().iter().for_each(|row| packet.row(row.values()));
    old_rows.iter().for_each(|row| packet.partial_row(row.cells()));
}
