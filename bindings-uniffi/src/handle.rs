//! The one mechanism for everything that waits: ready, take, end.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kalam_bindings::{Cells, Packet, Source, Taken};

use crate::error::NativeError;

/// A running call, a live query, a stream of events.
#[derive(uniffi::Object)]
pub struct NativeHandle {
    source: Box<dyn Source>,
    packet: Mutex<Packet>,
}

impl NativeHandle {
    pub(crate) fn new(source: Box<dyn Source>) -> Self {
        Self { source, packet: Mutex::new(Packet::of(Cells::Typed)) }
    }

    fn packet(&self) -> MutexGuard<'_, Packet> {
        self.packet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[uniffi::export]
impl NativeHandle {
    /// Waits until `take` has something to give. Carries no data: giving up loses nothing.
    pub async fn ready(&self) {
        poll_fn(|cx| self.source.poll_ready(cx)).await;
    }

    /// What is there now, as a packet; empty when there is nothing yet, `None` at the end. Of events at most `max`.
    pub fn take(&self, max: u32) -> Result<Option<Vec<u8>>, NativeError> {
        let mut packet = self.packet();
        packet.clear();
        Ok(match self.source.take(&mut packet, max as usize)? {
            Taken::Item(()) => Some(bytes(&packet)),
            Taken::Nothing => Some(Vec::new()),
            Taken::Ended => None,
        })
    }

    /// The next packet of rows that did not fit into the first.
    pub fn more(&self) -> Vec<u8> {
        let mut packet = self.packet();
        packet.clear();
        self.source.more(&mut packet);
        bytes(&packet)
    }

    /// The columns of the packet's rows, as JSON.
    pub fn columns(&self) -> String {
        self.packet().columns()
    }

    /// Ends it and wakes whoever waits. Takes no lock that `ready` or `take` hold, so it may be called from anywhere.
    pub fn end(&self) {
        self.source.close();
    }

    /// The subscription's id, once it is known.
    pub fn id(&self) -> Option<String> {
        self.source.id().map(str::to_owned)
    }
}

fn bytes(packet: &Packet) -> Vec<u8> {
    let mut bytes = vec![0; packet.len()];
    packet.write(&mut bytes);
    bytes
}
