//! One-shot calls. Their results cross as JSON; those that are rows have `query`.

use std::future::Future;
use std::task::{Context, Poll};

use kalam_live::Result;
use serde_json::Value as Json;

use super::{Source, boxed};
use crate::packet::{Kind, Packet};
use crate::{Operation, Taken};

struct Call(Operation<Json>);

/// Starts a call whose result is JSON; `null` for none.
pub fn start<J: Into<Json>>(future: impl Future<Output = Result<J>> + Send + 'static) -> Box<dyn Source> {
    boxed(Operation::start(async move { future.await.map(Into::into) }).map(Call))
}

impl Source for Call {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(cx)
    }

    fn take(&self, packet: &mut Packet, _max: usize) -> Result<Taken<()>> {
        Ok(match self.0.take()? {
            Taken::Item(json) => {
                packet.begin(Kind::Json, 0);
                packet.note(Some(&json.to_string()));
                Taken::Item(())
            }
            Taken::Nothing => Taken::Nothing,
            Taken::Ended => Taken::Ended,
        })
    }

    fn close(&self) {
        self.0.close();
    }
}
