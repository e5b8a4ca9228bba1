//! A TCP connection to whichever address of a host answers first.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

/// How long an address may be silent before the next is tried beside it (RFC 8305). Where IPv6 leads nowhere, as it does in
/// many networks, all of the time to connect would else be spent on it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to a host by name or address.
///
/// # Errors
/// Why the last address could not be reached, or the name not be looked up.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    first_of(alternating(lookup_host((host, port)).await?)).await
}

/// IPv4 and IPv6 in turn, beginning with what the system prefers, otherwise in its order.
fn alternating(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = addresses.peekable();
    let preferred = addresses.peek().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.partition(|address| address.is_ipv6() == preferred);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    std::iter::from_fn(|| {
        std::mem::swap(&mut first, &mut second);
        second.next().or_else(|| first.next())
    })
    .collect()
}

async fn first_of(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match waiting.next() {
            Some(address) => drop(attempts.spawn(TcpStream::connect(address))),
            None if attempts.is_empty() => return Err(failure),
            None => {}
        }
        let ended = match waiting.len() {
            0 => attempts.join_next().await,
            _ => tokio::time::timeout(HEAD_START, attempts.join_next()).await.unwrap_or(None),
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(aborted)) => failure = io::Error::other(aborted),
            // Still on its way.
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[test]
    fn kinds_of_addresses_alternate() {
        let order = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 1));
            alternating(addresses).iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(order(&["::1", "::2", "::3", "1.1.1.1"]), ["::1", "1.1.1.1", "::2", "::3"]);
        assert_eq!(order(&["1.1.1.1", "1.1.1.2", "::1", "::2"]), ["1.1.1.1", "::1", "1.1.1.2", "::2"]);
        assert_eq!(order(&["1.1.1.1", "1.1.1.2"]), ["1.1.1.1", "1.1.1.2"]);
        assert!(order(&[]).is_empty());
    }

    /// An address that answers nothing: its queue of connections is full.
    async fn silent() -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await
        {
            queued.push(stream.unwrap());
        }
        (listener, queued)
    }

    #[tokio::test]
    async fn an_address_that_is_silent_or_refuses_does_not_hold_up_the_next() {
        let (silent, _queued) = silent().await;
        let silent = silent.local_addr().unwrap();
        let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for addresses in [vec![silent, address], vec![refusing, silent, address], vec![address, silent]] {
            let connecting = tokio::time::timeout(Duration::from_secs(20), first_of(addresses.clone()));
            let stream = connecting.await.expect("no address waits for another").expect("one answers");
            assert_eq!(stream.peer_addr().unwrap(), address, "{addresses:?}");
        }
        assert_eq!(first_of(vec![refusing; 2]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(first_of(Vec::new()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
