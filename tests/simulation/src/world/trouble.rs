//! What goes wrong, and the end of it.

use std::time::Duration;

use kalam_live::machine::{LinkId, Token};

use super::{Happening, World, lost};
use crate::plan::pick;
use crate::server::token;

impl World {
    pub(super) fn fault(&mut self) {
        let present = self.present_link;
        match (self.rng.u8(..9), present) {
            (0, _) => self.network.slow_until = self.now + Duration::from_millis(self.rng.u64(500..6_000)),
            (1, _) if self.server_up => {
                self.trace.line(self.now, format_args!("the server stops"));
                self.server.stop();
                self.server_up = false;
                let down = Duration::from_millis(self.rng.u64(100..15_000));
                self.plan_in(down, Happening::ServerUp);
            }
            (2, _) => {
                // Revoked or expired: what the provider has in its cache is no good any more.
                self.cached = Some(Token::new(token(Duration::ZERO)));
            }
            (3, Some(link)) => {
                self.trace.line(self.now, format_args!("{link:?} half open"));
                let (to_client, to_server) =
                    pick(&mut self.rng, &[(true, true), (true, false), (false, true)]);
                self.network.make_holes(link, to_client, to_server);
            }
            (4, Some(link)) => {
                let (code, reason) =
                    pick(&mut self.rng, &[(1000, "bye"), (1001, "bye"), (1008, "revoked"), (1013, "slow")]);
                self.server.end(link, code, reason);
            }
            (_, Some(link)) => self.cut(link),
            _ => {}
        }
    }

    /// Both sides lose what is under way. The client is told soon, the server sooner or later or by its heartbeat.
    pub(super) fn cut(&mut self, link: LinkId) {
        self.trace.line(self.now, format_args!("{link:?} cut"));
        self.network.make_holes(link, true, true);
        let soon = Duration::from_micros(self.rng.u64(..50_000));
        self.plan_in(soon, Happening::Ended(link, lost("connection reset")));
        if self.rng.u8(..100) < 70 {
            let later = Duration::from_millis(self.rng.u64(..3_000));
            self.plan_in(later, Happening::ServerNotices(link));
        }
    }

    /// From now on nothing new goes wrong. Links that are half open stay so: the client must find out itself.
    pub(super) fn heal(&mut self) {
        self.trace.line(self.now, format_args!("heal"));
        self.trouble = false;
        self.server_up = true;
        self.server.behaviour.ends_expired = false;
        self.plan.token_life = Duration::from_secs(100_000);
        self.cached = None;
        self.network.slow_until = self.network.slow_until.min(self.now);
        self.network.heal();
    }
}
