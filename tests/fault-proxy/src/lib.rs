//! A TCP proxy on loopback that misbehaves on command.
//!
//! A test points its client at [`FaultProxy::address`] and then breaks the network in the way that it needs:
//!
//! | call | what the client sees |
//! |---|---|
//! | [`cut`](FaultProxy::cut) | every connection ends now |
//! | [`cut_after`](FaultProxy::cut_after) | connections end after so many more bytes in one direction, mid-frame if need be |
//! | [`set_flow`](FaultProxy::set_flow) with [`Flow::BlackHole`] | bytes vanish both ways, the connection stays open |
//! | [`Flow::HalfOpen`] | what the client sends arrives, what the server sends does not |
//! | [`Flow::Slow`] | every piece is delayed |
//! | [`Flow::Sliced`] | bytes trickle in pieces of at most so many |
//! | [`refuse`](FaultProxy::refuse) | new connections are closed at once |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

const NO_LIMIT: u64 = u64::MAX;

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
    accepted: AtomicU64,
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
            accepted: AtomicU64::new(0),
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
        self.shared.accepted.load(Ordering::SeqCst)
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

    /// Changes how bytes pass, on open connections too. Bytes that a black hole took do not come back.
    pub fn set_flow(&self, flow: Flow) {
        self.shared.flow.send_replace(flow);
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refusing.store(refuse, Ordering::SeqCst);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.shared.cut();
    }
}

impl Shared {
    fn cut(&self) {
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
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        if !shared.refusing.load(Ordering::SeqCst) {
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
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        _ = cuts.changed() => {}
        () = pass(from_client, to_server, Direction::ToServer, &shared) => {}
        () = pass(from_server, to_client, Direction::ToClient, &shared) => {}
    }
}

/// Passes bytes one way until either side ends or the budget is spent.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, direction: Direction, shared: &Shared) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
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
        let allowed = shared.spend(direction, read);
        let piece = if let Flow::Sliced(size) = flow { size.max(1) } else { read };
        for slice in buffer[..allowed].chunks(piece) {
            if to.write_all(slice).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        if allowed < read {
            shared.cut();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn ask(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(bytes).await?;
        let mut answer = vec![0; bytes.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn passes_cuts_and_passes_again() {
        let proxy = FaultProxy::start(echo().await).await.unwrap();
        let mut first = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut first, b"hello").await.unwrap(), b"hello");
        proxy.cut();
        assert!(ask(&mut first, b"hello").await.is_err());
        let mut second = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut second, b"again").await.unwrap(), b"again");
        assert_eq!(proxy.accepted(), 2);
    }

    #[tokio::test]
    async fn cuts_in_the_middle() {
        let proxy = FaultProxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.cut_after(Direction::ToClient, 3);
        stream.write_all(b"hello").await.unwrap();
        let mut seen = Vec::new();
        // The end may be a close or a reset; what matters is how far it got.
        let _ = stream.read_to_end(&mut seen).await;
        assert_eq!(seen, b"hel");
    }

    #[tokio::test]
    async fn slices_without_loss() {
        let proxy = FaultProxy::start(echo().await).await.unwrap();
        proxy.set_flow(Flow::Sliced(7));
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let sent: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
        assert_eq!(ask(&mut stream, &sent).await.unwrap(), sent);
    }

    #[tokio::test]
    async fn swallows_answers_when_half_open_and_refuses() {
        let proxy = FaultProxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut stream, b"one").await.unwrap(), b"one");
        proxy.set_flow(Flow::HalfOpen);
        stream.write_all(b"two").await.unwrap();
        let mut byte = [0];
        tokio::select! {
            biased;
            _ = stream.read(&mut byte) => panic!("an answer came through"),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        proxy.refuse(true);
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(matches!(refused.read(&mut byte).await, Ok(0) | Err(_)));
    }
}
