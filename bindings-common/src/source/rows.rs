//! Live rows.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use kalam_live::{Change, Changes, LiveRows, Phase, Result, Row, Rows};

use super::{Source, boxed, locked};
use crate::packet::{Kind, Packet};
use crate::{AddressMap, RowStream, Taken};

struct Live {
    stream: RowStream,
    sent: Mutex<Sent>,
}

#[derive(Default)]
struct Sent {
    /// What the language has after the last packet.
    shown: Option<Rows>,
    sending: Sending,
}

/// The rows that the language does not have yet.
#[derive(Default)]
enum Sending {
    #[default]
    Nothing,
    /// The inserted and updated ones, from this change on.
    Changes(Arc<[Change]>, usize),
    /// Of a snapshot, from this place on, those of which the list says 0; all when it is empty.
    Snapshot(Rows, usize, Vec<u32>),
}

/// Starts to open a live query.
pub(crate) fn start(open: impl Future<Output = Result<LiveRows>> + Send + 'static) -> Box<dyn Source> {
    boxed(RowStream::start(open).map(|stream| Live { stream, sent: Mutex::default() }))
}

impl Sent {
    fn send(&mut self, rows: Rows, packet: &mut Packet) {
        match rows.changes() {
            Changes::List(changes) => {
                let (mut removed, mut inserted, mut updated) = (Vec::new(), Vec::new(), Vec::new());
                for change in changes.iter() {
                    match change {
                        Change::Remove { index, .. } => removed.push(*index),
                        Change::Insert { index, .. } => inserted.push(*index),
                        Change::Update { index, .. } => updated.push(*index),
                    }
                }
                packet.begin(Kind::Changes, inserted.len() + updated.len());
                begin(packet, &rows);
                [&removed, &inserted, &updated].iter().for_each(|list| packet.number(list.len()));
                removed.into_iter().chain(inserted).chain(updated).for_each(|index| packet.number(index));
                self.sending = Sending::Changes(changes.clone(), 0);
            }
            Changes::Reset => {
                let known = self.shown.as_ref().map(|shown| places(shown, &rows)).unwrap_or_default();
                let total =
                    if known.is_empty() { rows.len() } else { known.iter().filter(|at| **at == 0).count() };
                packet.begin(Kind::Reset, total);
                begin(packet, &rows);
                known.iter().for_each(|at| packet.word(*at));
                self.sending = Sending::Snapshot(rows.clone(), 0, known);
            }
        }
        self.shown = Some(rows);
        self.more(packet);
    }

    fn more(&mut self, packet: &mut Packet) {
        match &mut self.sending {
            Sending::Nothing => {}
            Sending::Changes(changes, next) => {
                while !packet.is_full()
                    && let Some(change) = changes.get(*next)
                {
                    if let Change::Insert { row, .. } | Change::Update { row, .. } = change {
                        packet.row(row.values());
                    }
                    *next += 1;
                }
                if *next == changes.len() {
                    self.sending = Sending::Nothing;
                }
            }
            Sending::Snapshot(rows, next, known) => {
                while let Some(row) = rows.get(*next) {
                    if packet.is_full() {
                        return;
                    }
                    if known.get(*next).is_none_or(|at| *at == 0) {
                        packet.row(row.values());
                    }
                    *next += 1;
                }
                self.sending = Sending::Nothing;
            }
        }
    }
}

fn begin(packet: &mut Packet, rows: &Rows) {
    packet.columns_are(rows.schema());
    // No version is negative.
    packet.two_words(rows.last_seq_id().map_or(-1, |seq| seq.get()).to_ne_bytes());
    packet.word(match rows.phase() {
        Phase::Loading { .. } => 0,
        Phase::Live => 1,
        Phase::Reconnecting => 2,
        Phase::Unverified => 3,
        Phase::Partial => 4,
        _ => 3,
    });
    packet.note(rows.checkpoint().map(|checkpoint| checkpoint.to_string()).as_deref());
}

/// For each of `rows` its place in `shown` + 1, or 0. Empty when none is there.
fn places(shown: &Rows, rows: &Rows) -> Vec<u32> {
    let before: AddressMap<u32> = shown.iter().map(Row::address).zip(1..).collect();
    let places: Vec<u32> =
        rows.iter().map(|row| before.get(&row.address()).copied().unwrap_or_default()).collect();
    if places.iter().all(|at| *at == 0) { Vec::new() } else { places }
}

impl Source for Live {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_ready(cx)
    }

    fn take(&self, packet: &mut Packet, _max: usize) -> Result<Taken<()>> {
        Ok(match self.stream.take()? {
            Taken::Item(rows) => {
                locked(&self.sent).send(rows, packet);
                Taken::Item(())
            }
            Taken::Nothing => Taken::Nothing,
            Taken::Ended => Taken::Ended,
        })
    }

    fn more(&self, packet: &mut Packet) {
        locked(&self.sent).more(packet);
    }

    fn close(&self) {
        self.stream.close();
    }

    fn id(&self) -> Option<&str> {
        self.stream.id()
    }
}
