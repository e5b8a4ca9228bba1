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
async fn cuts_before_a_text() {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    assert_eq!(proxy.said("ready"), 0);
    proxy.cut_before("ready", 2);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut stream, b"ready to re").await.unwrap(), b"ready to re");
    stream.write_all(b"ady, steady").await.unwrap();
    let mut seen = Vec::new();
    let _ = stream.read_to_end(&mut seen).await;
    assert_eq!(seen, b"");
    proxy.cut_happened(0).await;
    assert_eq!((proxy.cuts(), proxy.said("ready")), (1, 2));
    // Only once.
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut stream, b"are you ready").await.unwrap(), b"are you ready");
    assert_eq!(proxy.said("ready"), 3);
    assert_eq!(proxy.said("you"), 0, "counted from now on");
}

#[tokio::test]
async fn holds_what_the_client_has_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(listener.local_addr().unwrap()).await.unwrap();
    let client = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    proxy.hold(true);
    drop(client);
    proxy.cut();
    let mut byte = [0];
    tokio::select! {
        biased;
        _ = server.read(&mut byte) => panic!("the server was told"),
        () = tokio::time::sleep(Duration::from_millis(20)) => {}
    }
    proxy.hold(false);
    assert!(matches!(server.read(&mut byte).await, Ok(0) | Err(_)));
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
