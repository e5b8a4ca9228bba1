//! What remains to be found out before the first record may be asked for.

use crate::consumer::config::AutoOffsetReset;
use crate::protocol::TopicStart;

/// Where a new group begins must not depend on who asks when: each step is one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// Where the group is, or would begin.
    Look,
    /// It would begin at this end, or is there. Where the oldest record is tells which.
    Latest(u64),
    /// It begins here and the server does not know: it is told by an acknowledgement of all before. What is written until the
    /// first commit would else be skipped by whoever asks next.
    Establish(u64),
    /// The group is known.
    Done,
}

impl Begin {
    /// What to ask for in a look; `None` when the next step is none.
    pub(super) fn start(self, reset: AutoOffsetReset) -> Option<TopicStart> {
        match self {
            Self::Look => Some(reset.into()),
            Self::Latest(_) => Some(TopicStart::Earliest),
            Self::Establish(_) | Self::Done => None,
        }
    }

    /// The step after a look that answered `next`.
    pub(super) fn looked(self, next: u64, reset: AutoOffsetReset) -> Self {
        match self {
            Self::Look if reset == AutoOffsetReset::Latest => Self::Latest(next),
            // A committed offset, or one that the server keeps, does not depend on what was asked.
            Self::Latest(end) if next < end => Self::Establish(end),
            _ => Self::Done,
        }
    }
}
