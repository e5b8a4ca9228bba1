//! Links between the client and the server: ordered, slow, and cut when it hurts.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use kalam_live::machine::LinkId;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the server.
    ToClient,
    /// To the server.
    ToServer,
}

/// One link.
#[derive(Debug, Default)]
struct Link {
    /// The client has closed it or was told its end.
    client_gone: bool,
    /// Nothing passes in this direction, and nobody is told.
    holes: [bool; 2],
    /// When the latest message arrives: a later one does not overtake it.
    latest: [Duration; 2],
    /// The link is cut when so many more frames have reached the client.
    frames_left: Option<u32>,
}

/// All links.
#[derive(Debug)]
pub struct Network {
    links: BTreeMap<LinkId, Link>,
    delay: Duration,
    jitter: Duration,
    /// Messages take much longer until then. Zero: they never did.
    pub slow_until: Duration,
}

impl Network {
    /// A network whose messages take `delay` and up to `jitter` more.
    pub fn new(delay: Duration, jitter: Duration) -> Self {
        Self { links: BTreeMap::new(), delay, jitter, slow_until: Duration::ZERO }
    }

    /// Every message takes so much longer from now on.
    pub fn slow_down(&mut self, time: Duration) {
        self.delay += time;
    }

    /// A link is being opened. `frames_left`: it is cut after so many frames.
    pub fn add(&mut self, link: LinkId, frames_left: Option<u32>) {
        self.links.insert(link, Link { frames_left, ..Link::default() });
    }

    /// How long something takes now.
    pub fn delay(&self, now: Duration, rng: &mut Rng) -> Duration {
        let jitter = Duration::from_nanos(rng.u64(..=self.jitter.as_nanos() as u64));
        let slow =
            if now < self.slow_until { Duration::from_millis(rng.u64(500..2_500)) } else { Duration::ZERO };
        self.delay + jitter + slow
    }

    /// When a message that is sent now arrives. `None`: never.
    pub fn arrival(&mut self, now: Duration, link: LinkId, way: Way, rng: &mut Rng) -> Option<Duration> {
        let at = now + self.delay(now, rng);
        let link = self.links.get_mut(&link)?;
        if link.holes[way as usize] {
            return None;
        }
        let latest = &mut link.latest[way as usize];
        *latest = at.max(*latest);
        Some(*latest)
    }

    /// Whether what arrives now still gets through.
    pub fn lets_through(&self, link: LinkId, way: Way) -> bool {
        self.links.get(&link).is_some_and(|l| !l.holes[way as usize])
    }

    /// Whether the client still listens to the link.
    pub fn client_listens(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|l| !l.client_gone)
    }

    /// The client does not listen any more.
    pub fn client_left(&mut self, link: LinkId) {
        if let Some(link) = self.links.get_mut(&link) {
            link.client_gone = true;
        }
    }

    /// Counts a frame that reached the client; `true` when the link breaks now.
    pub fn counts_down(&mut self, link: LinkId) -> bool {
        let Some(left) = self.links.get_mut(&link).and_then(|l| l.frames_left.as_mut()) else { return false };
        *left = left.saturating_sub(1);
        *left == 0
    }

    /// Nothing passes any more in these directions.
    pub fn make_holes(&mut self, link: LinkId, to_client: bool, to_server: bool) {
        if let Some(link) = self.links.get_mut(&link) {
            link.holes[Way::ToClient as usize] |= to_client;
            link.holes[Way::ToServer as usize] |= to_server;
        }
    }

    /// No link is cut any more.
    pub fn heal(&mut self) {
        for link in self.links.values_mut() {
            link.frames_left = None;
        }
    }

    /// Forgets a link.
    pub fn remove(&mut self, link: LinkId) {
        self.links.remove(&link);
    }
}
