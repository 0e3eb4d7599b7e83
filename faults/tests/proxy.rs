//! The proxy does to a connection what its rules say, on real sockets.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::net::SocketAddr;
use std::time::Duration;

use confab_faults::proxy::{Door, Flow, Proxy, Rule, Which};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

/// Far more than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for bytes that pass to have passed.
const A_WHILE: Duration = Duration::from_millis(200);

/// Answers every connection with what it says, behind a greeting that tells the servers apart.
async fn echo(greeting: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(greeting.as_bytes()).await.unwrap();
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    addr
}

/// A connection through the proxy to an echo that greets with one character.
async fn connect(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(hear(&mut stream, 1).await.len(), 1);
    stream
}

async fn hear(stream: &mut TcpStream, bytes: usize) -> String {
    let mut heard = vec![0; bytes];
    timeout(PATIENCE, stream.read_exact(&mut heard)).await.expect("an answer").expect("a whole answer");
    String::from_utf8(heard).unwrap()
}

async fn ask(stream: &mut TcpStream, word: &str) -> String {
    stream.write_all(word.as_bytes()).await.unwrap();
    hear(stream, word.len()).await
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(A_WHILE, stream.read(&mut [0; 16])).await.is_err()
}

async fn ends(stream: &mut TcpStream) -> bool {
    matches!(timeout(PATIENCE, stream.read(&mut [0; 16])).await.expect("an end"), Ok(0) | Err(_))
}

#[tokio::test]
async fn bytes_pass_both_ways_and_an_end_does_too() {
    let proxy = Proxy::start(echo("a").await).await.unwrap();
    let mut stream = connect(&proxy).await;
    assert_eq!(ask(&mut stream, "hello").await, "hello");
    let much = "x".repeat(1 << 20);
    let (mut read, mut write) = stream.split();
    let (written, heard) = tokio::join!(write.write_all(much.as_bytes()), async {
        let mut heard = vec![0; much.len()];
        read.read_exact(&mut heard).await.map(|_| heard)
    });
    written.unwrap();
    assert_eq!(heard.unwrap(), much.as_bytes());
    stream.shutdown().await.unwrap();
    assert!(ends(&mut stream).await);
}

#[tokio::test]
async fn a_delay_is_as_long_as_it_says_and_keeps_the_order() {
    let proxy = Proxy::start(echo("a").await).await.unwrap();
    let mut stream = connect(&proxy).await;
    let by = Duration::from_millis(150);
    proxy.set(Which::All, Rule::both(Flow::Delay(by)));
    let started = Instant::now();
    for word in ["one", "two", "six"] {
        stream.write_all(word.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(hear(&mut stream, 9).await, "onetwosix");
    assert!(started.elapsed() >= 2 * by, "{:?}", started.elapsed());
    proxy.set(Which::All, Rule::PASS);
    assert_eq!(ask(&mut stream, "seven").await, "seven");
}

#[tokio::test]
async fn a_stalled_direction_loses_nothing_and_goes_on() {
    let proxy = Proxy::start(echo("a").await).await.unwrap();
    let mut stream = connect(&proxy).await;
    proxy.set(Which::All, Rule { up: Flow::Pass, down: Flow::Stall });
    stream.write_all(b"hello").await.unwrap();
    assert!(is_silent(&mut stream).await);
    proxy.heal();
    assert_eq!(hear(&mut stream, 5).await, "hello");
}

#[tokio::test]
async fn a_direction_that_dropped_bytes_never_comes_back() {
    // The target hears what is said, and its answers vanish.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    let (mut target, _) = listener.accept().await.unwrap();
    proxy.set(Which::All, Rule { up: Flow::Pass, down: Flow::Drop });
    assert_eq!(proxy.count(Which::All), 1);
    stream.write_all(b"hello").await.unwrap();
    assert_eq!(hear(&mut target, 5).await, "hello");
    target.write_all(b"answer").await.unwrap();
    assert!(is_silent(&mut stream).await);
    proxy.heal();
    assert!(ends(&mut stream).await);
}

#[tokio::test]
async fn a_cut_connection_ends_on_both_sides_and_a_shut_door_takes_none() {
    let proxy = Proxy::start(echo("a").await).await.unwrap();
    let mut stream = connect(&proxy).await;
    proxy.set_door(Door::Shut);
    assert_eq!(ask(&mut stream, "still").await, "still");
    let mut refused = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(ends(&mut refused).await);
    proxy.cut(Which::All);
    assert!(ends(&mut stream).await);
    proxy.heal();
    assert_eq!(ask(&mut connect(&proxy).await, "again").await, "again");
}

#[tokio::test]
async fn a_rule_for_those_that_are_there_leaves_new_ones_alone_and_one_for_all_does_not() {
    let proxy = Proxy::start(echo("a").await).await.unwrap();
    let mut old = connect(&proxy).await;
    proxy.set(Which::All, Rule::both(Flow::Drop));
    let mut new = connect(&proxy).await;
    assert_eq!(ask(&mut new, "hello").await, "hello");
    old.write_all(b"hello").await.unwrap();
    assert!(is_silent(&mut old).await);
    proxy.set_all(Rule::both(Flow::Drop));
    let mut newest = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(is_silent(&mut newest).await);
    proxy.heal();
    assert!(ends(&mut newest).await);
}

#[tokio::test]
async fn only_subscribers_are_cut_where_only_they_are_meant() {
    let proxy = Proxy::start(echo("a").await).await.unwrap();
    let (mut subscriber, mut other) = (connect(&proxy).await, connect(&proxy).await);
    let subscribe = "*2\r\n$9\r\nSUBSCRIBE\r\n$3\r\ntea\r\n";
    assert_eq!(ask(&mut subscriber, subscribe).await, subscribe);
    assert_eq!((proxy.count(Which::Subscribers), proxy.count(Which::Commands)), (1, 1));
    proxy.set(Which::Commands, Rule::both(Flow::Stall));
    assert_eq!(ask(&mut subscriber, "hello").await, "hello");
    proxy.cut(Which::Subscribers);
    assert!(ends(&mut subscriber).await);
    proxy.heal();
    assert_eq!(ask(&mut other, "hello").await, "hello");
}

#[tokio::test]
async fn new_connections_go_to_the_new_target_and_old_ones_stay() {
    let proxy = Proxy::start(echo("a").await).await.unwrap();
    let mut old = connect(&proxy).await;
    proxy.retarget(echo("b").await);
    assert_eq!(ask(&mut old, "hello").await, "hello");
    let mut new = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(hear(&mut new, 1).await, "b");
}

#[tokio::test]
async fn a_target_that_is_not_there_ends_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::start(nobody).await.unwrap();
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(ends(&mut stream).await);
}
