//! The one mechanism for everything that waits: poll, take, close.

use std::task::Context;

use kalam_bindings::{Packet, Source, Taken};
use kalam_live::Error;
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;

use crate::error::Failure;
use crate::wake::Wakeups;

/// There is nothing yet: wait.
const NOTHING: i32 = -1;
/// It has ended; there will be nothing more.
const ENDED: i32 = -2;
/// It has failed, with what [`Handle::failure`] tells.
const FAILED: i32 = -3;

/// A running operation, a live query, a stream of events.
#[napi]
pub struct Handle {
    source: Box<dyn Source>,
    packet: Packet,
    failure: Option<Error>,
}

impl Handle {
    pub(crate) fn new(source: Box<dyn Source>) -> Self {
        Self { source, packet: Packet::default(), failure: None }
    }
}

#[napi]
impl Handle {
    /// Whether `take` has something. If not, `token` is put on the list of `wakeups` as soon as it has.
    #[napi]
    pub fn poll(&self, wakeups: &Wakeups, token: u32) -> bool {
        let waker = wakeups.waker(token);
        self.source.poll_ready(&mut Context::from_waker(&waker)).is_ready()
    }

    /// What is there now, as a packet: returns its length, and writes it into `buffer` if it fits. Otherwise -1: nothing
    /// yet; -2: the end; -3: it has failed.
    #[napi]
    pub fn take(&mut self, buffer: BufferSlice<'_>, max: u32) -> i32 {
        self.packet.clear();
        match self.source.take(&mut self.packet, max as usize) {
            Ok(Taken::Item(())) => self.hand_over(buffer),
            Ok(Taken::Nothing) => NOTHING,
            Ok(Taken::Ended) => ENDED,
            Err(error) => {
                self.failure = Some(error);
                FAILED
            }
        }
    }

    /// The next packet of rows that did not fit into the first, as `take`.
    #[napi]
    pub fn more(&mut self, buffer: BufferSlice<'_>) -> i32 {
        self.packet.clear();
        self.source.more(&mut self.packet);
        self.hand_over(buffer)
    }

    /// Writes the packet that did not fit into the buffer of the call before.
    #[napi]
    pub fn copy(&mut self, buffer: BufferSlice<'_>) -> i32 {
        self.hand_over(buffer)
    }

    fn hand_over(&mut self, mut buffer: BufferSlice<'_>) -> i32 {
        let length = self.packet.len();
        if let Some(buffer) = buffer.get_mut(..length) {
            self.packet.write(buffer);
        }
        i32::try_from(length).unwrap_or(i32::MAX)
    }

    /// The columns of the packet's rows, as JSON.
    #[napi(getter)]
    pub fn columns(&self) -> String {
        self.packet.columns()
    }

    /// Why the last `take` returned -3.
    #[napi(getter)]
    pub fn failure(&self) -> Option<Failure> {
        self.failure.as_ref().map(Failure::from)
    }

    /// Ends it and wakes whoever waits.
    #[napi]
    pub fn close(&self) {
        self.source.close();
    }

    /// The subscription's id, once it is known.
    #[napi(getter)]
    pub fn id(&self) -> Option<&str> {
        self.source.id()
    }
}
