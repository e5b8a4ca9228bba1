//! A TCP proxy on loopback that misbehaves on command.
//!
//! A test points its client at [`FaultProxy::address`] and then breaks the network in the way that it needs:
//!
//! | call | what the client sees |
//! |---|---|
//! | [`cut`](FaultProxy::cut) | every connection ends now |
//! | [`cut_after`](FaultProxy::cut_after) | connections end after so many more bytes in one direction, mid-frame if need be |
//! | [`cut_before`](FaultProxy::cut_before) | connections end where the server is about to say something |
//! | [`set_flow`](FaultProxy::set_flow) with [`Flow::BlackHole`] | bytes vanish both ways, the connection stays open |
//! | [`Flow::HalfOpen`] | what the client sends arrives, what the server sends does not |
//! | [`Flow::Slow`] | every piece is delayed |
//! | [`Flow::Sliced`] | bytes trickle in pieces of at most so many |
//! | [`refuse`](FaultProxy::refuse) | new connections are closed at once |
//! | [`hold`](FaultProxy::hold) | nothing, but the server is not told that it has left |
//!
//! [`accepted_after`](FaultProxy::accepted_after) and [`cut_happened`](FaultProxy::cut_happened) wait for what a fault has
//! led to, and [`said`](FaultProxy::said) counts what the server has said, so that a test knows that its fault was one.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(test)]
mod tests;
mod texts;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::texts::Texts;

const NO_LIMIT: u64 = u64::MAX;
/// Bytes that are remembered to find a text: one more than this may be missed at the edge of two pieces.
const TAIL: usize = 64;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// How bytes pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// As they come.
    #[default]
    Open,
    /// They vanish, both ways.
    BlackHole,
    /// Those of the server vanish.
    HalfOpen,
    /// Every piece waits this long.
    Slow(Duration),
    /// In pieces of at most so many bytes, each flushed on its own.
    Sliced(usize),
}

/// The proxy. Dropping it ends every connection.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: AbortHandle,
}

struct Shared {
    target: SocketAddr,
    flow: watch::Sender<Flow>,
    /// Grows with every cut; a connection ends when it sees a number other than the one it started with.
    cuts: watch::Sender<u64>,
    refusing: AtomicBool,
    /// Whether the server's side of a connection outlives the client's.
    holding: watch::Sender<bool>,
    accepted: watch::Sender<u64>,
    texts: Mutex<Texts>,
    /// Bytes that may still pass before connections are cut; `NO_LIMIT` when there is no such order.
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl FaultProxy {
    /// Starts a proxy in front of `target`, on a free port of 127.0.0.1. Needs a tokio runtime.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            flow: watch::Sender::new(Flow::Open),
            cuts: watch::Sender::new(0),
            refusing: AtomicBool::new(false),
            holding: watch::Sender::new(false),
            accepted: watch::Sender::new(0),
            texts: Mutex::default(),
            to_server: AtomicU64::new(NO_LIMIT),
            to_client: AtomicU64::new(NO_LIMIT),
        });
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { address, shared, acceptor })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far, refused ones included.
    pub fn accepted(&self) -> u64 {
        *self.shared.accepted.borrow()
    }

    /// Waits until more than `connections` have been accepted, refused ones included.
    pub async fn accepted_after(&self, connections: u64) {
        // The sender lives as long as this.
        let _ = self.shared.accepted.subscribe().wait_for(|accepted| *accepted > connections).await;
    }

    /// Cuts so far, ordered ones included once they have happened.
    pub fn cuts(&self) -> u64 {
        *self.shared.cuts.borrow()
    }

    /// Waits until more than `cuts` have happened.
    pub async fn cut_happened(&self, cuts: u64) {
        let _ = self.shared.cuts.subscribe().wait_for(|happened| *happened > cuts).await;
    }

    /// Ends every connection now. New ones are accepted.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Ends every connection after `bytes` more have passed in `direction`, counted over all connections.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.shared.budget(direction).store(bytes, Ordering::SeqCst);
        if bytes == 0 {
            self.shared.cut();
        }
    }

    /// Ends every connection where a server is about to say `text` for the `nth` time from now, from 1, counted over all
    /// connections. What it said before arrives. Sees through neither compression nor TLS.
    pub fn cut_before(&self, text: &str, nth: u64) {
        assert!(nth > 0 && !text.is_empty(), "there is no such place");
        self.shared.texts().cut_before = Some((text.to_owned(), nth));
    }

    /// How often servers have said `text` since this was first asked, with the same limits.
    pub fn said(&self, text: &str) -> u64 {
        let mut texts = self.shared.texts();
        match texts.counted.iter().find(|(counted, _)| counted == text) {
            Some((_, times)) => *times,
            None => {
                texts.counted.push((text.to_owned(), 0));
                0
            }
        }
    }

    /// Changes how bytes pass, on open connections too. Bytes that a black hole took do not come back.
    pub fn set_flow(&self, flow: Flow) {
        self.shared.flow.send_replace(flow);
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refusing.store(refuse, Ordering::SeqCst);
    }

    /// Whether the server's side of a connection stays open when the client's ends, as behind a router that forgot it.
    /// With `false` those that were held end.
    pub fn hold(&self, hold: bool) {
        self.shared.holding.send_replace(hold);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.shared.cut();
    }
}

impl Shared {
    fn texts(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        self.texts().cut_before = None;
        self.to_server.store(NO_LIMIT, Ordering::SeqCst);
        self.to_client.store(NO_LIMIT, Ordering::SeqCst);
        self.cuts.send_modify(|n| *n += 1);
    }

    fn budget(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    /// How many of `wanted` bytes may pass, taken off the budget.
    fn spend(&self, direction: Direction, wanted: usize) -> usize {
        let wanted = wanted as u64;
        let take = |left: u64| (left != NO_LIMIT).then(|| left.saturating_sub(wanted));
        match self.budget(direction).fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
            Ok(left) => left.min(wanted) as usize,
            Err(_) => wanted as usize,
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        // Whoever waits for it may change the proxy then, which must not concern this connection.
        let refused = shared.refusing.load(Ordering::SeqCst);
        shared.accepted.send_modify(|accepted| *accepted += 1);
        if !refused {
            tokio::spawn(serve(client, Arc::clone(&shared)));
        }
    }
}

async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let Ok(server) = TcpStream::connect(shared.target).await else { return };
    // A proxy that waits to fill packets would hide what it is to show.
    let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    {
        let (to_server, from_server) = (&mut to_server, &mut from_server);
        tokio::select! {
            _ = cuts.changed() => {}
            () = pass(from_client, to_server, Direction::ToServer, &shared) => {}
            () = pass(from_server, to_client, Direction::ToClient, &shared) => {}
        }
    }
    let mut holding = shared.holding.subscribe();
    let nowhere = async { tokio::io::copy(&mut from_server, &mut tokio::io::sink()).await };
    tokio::select! {
        _ = holding.wait_for(|holding| !holding) => {}
        _ = nowhere => {}
    }
}

/// Passes bytes one way until either side ends or the budget is spent.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    shared: &Shared,
) {
    // The end of what has passed, for texts that come in two pieces, and then what is new.
    let mut buffer = vec![0; TAIL + 16 * 1024];
    let mut tail = 0;
    loop {
        let Ok(read) = from.read(&mut buffer[tail..]).await else { return };
        if read == 0 {
            return;
        }
        let flow = *shared.flow.borrow();
        if flow == Flow::BlackHole || (flow == Flow::HalfOpen && direction == Direction::ToClient) {
            continue;
        }
        if let Flow::Slow(delay) = flow {
            tokio::time::sleep(delay).await;
        }
        let seen = &buffer[..tail + read];
        let place = match direction {
            Direction::ToClient => shared.texts().look(seen, tail),
            Direction::ToServer => None,
        };
        let allowed = shared.spend(direction, read).min(place.unwrap_or(read));
        let piece = if let Flow::Sliced(size) = flow { size.max(1) } else { read };
        for slice in seen[tail..tail + allowed].chunks(piece) {
            if to.write_all(slice).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        if allowed < read {
            shared.cut();
            return;
        }
        let kept = (tail + read).min(TAIL);
        buffer.copy_within(tail + read - kept..tail + read, 0);
        tail = kept;
    }
}
