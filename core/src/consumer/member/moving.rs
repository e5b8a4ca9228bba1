//! The group is moved: by this member, which must have nothing on its way meanwhile, or by another.

use super::{Begin, Consumer, Moving, Time};
use crate::error::{Error, ErrorCode, Result};

impl Consumer {
    /// The group is about to be moved: wants no answer to the request for records that is on its way, and asks for nothing
    /// before [`end_move`](Self::end_move).
    ///
    /// # Errors
    /// `invalid_argument` while somebody waits for records, or is moving the group already.
    pub fn begin_move(&mut self) -> Result<()> {
        let refused = match (self.moving, self.polling) {
            (None, None) => {
                (self.fetching, self.reading) = (None, None);
                self.moving = Some(Moving::Begun);
                return Ok(());
            }
            (Some(_), _) => "the group is being moved already: one move at a time",
            (None, Some(_)) => {
                "the group can not be moved while the consumer is polled: stop the poll or the loop before"
            }
        };
        Err(Error::new(ErrorCode::InvalidArgument, refused))
    }

    /// After [`begin_move`](Self::begin_move): does and asks nothing more, if nothing is on its way; if something is, commit and
    /// try again. A commit that comes to the server after the move would undo it.
    pub fn hold_still(&mut self) -> bool {
        let still = self.acking.is_none() && self.looking.is_none();
        self.moving = Some(if still { Moving::Still } else { Moving::Begun });
        still
    }

    /// The group was moved to `offset`, on the server: goes on there. What was handed out is not this member's any more.
    pub fn seek(&mut self, now: Time, offset: u64) {
        self.ledger.move_to(offset);
        (self.fetching, self.reading) = (None, None);
        self.doubtful = None;
        self.moves += 1;
        self.go_on(now);
    }

    /// The group was moved, or is not going to be.
    pub fn end_move(&mut self) {
        self.moving = None;
    }

    /// How often the group was moved by this member.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// Another has moved the group back: everything from there on is to be handled again.
    pub(super) fn follow_back(&mut self, now: Time, offset: u64) {
        self.ledger.follow_back(offset);
        // What was asked for after the records that made it known is of after the move.
        if self.doubtful.is_none() {
            (self.fetching, self.reading) = (None, None);
        }
        self.go_on(now);
    }

    fn go_on(&mut self, now: Time) {
        self.begin = Begin::Done;
        self.commits.forget();
        self.idle.end(now);
        self.pace.forget();
    }
}
