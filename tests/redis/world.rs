//! A store over a server of the test's own, and words to say things with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use confab::domain::{Body, Draft, Key, Limits, RoomId, Text, User, UserId, UserName};
use confab::store::redis::{Connected, DurabilitySetting, Options, Password, Redis};
use confab::store::{AppendError, Feed, Page, PageSize, Publication, Store as _, Stored};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::redis_server::RedisServer;

/// Whatever a test waits for comes within this time, or the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Everything fits into it.
pub const ALL: PageSize = PageSize { entries: 10_000, bytes: usize::MAX };

/// How a test speaks with a server on loopback.
pub fn options(port: u16) -> Options {
    Options {
        host: "127.0.0.1".to_owned(),
        port,
        tls: None,
        user: None,
        password: Password::None,
        database: 0,
        prefix: "confab".to_owned(),
        durability: DurabilitySetting::Auto,
        wait_timeout: Duration::from_millis(300),
        response_timeout: Duration::from_millis(800),
        startup_timeout: PATIENCE,
        metrics: Arc::default(),
    }
}

pub fn fast() -> Limits {
    Limits { sends_per_second: 1_000_000, send_burst: 1_000_000, ..Limits::default() }
}

pub async fn connect(options: Options) -> (Arc<Redis>, Feed) {
    connect_with(options, fast()).await
}

pub async fn connect_with(options: Options, limits: Limits) -> (Arc<Redis>, Feed) {
    let Connected { store, feed, .. } = Redis::connect(options, Arc::new(limits), None).await.unwrap();
    (store, feed)
}

pub fn room(name: &str) -> RoomId {
    RoomId::parse(name, 128).unwrap()
}

pub fn user(id: &str) -> User {
    User { id: UserId::parse(id).unwrap(), name: UserName::parse(id, 64).unwrap() }
}

pub fn message(key: &str, text: &str) -> Draft {
    Draft {
        user: user("ada"),
        key: Key::parse(key).unwrap(),
        body: Body::Message { text: Text::Kept(text.into()), reply_to: None },
        trace: None,
    }
}

pub async fn write(store: &Redis, in_room: &str, key: &str) -> Stored {
    store.append(&room(in_room), message(key, "hi")).await.expect("it is stored")
}

/// Appends with the same key until it is stored.
pub async fn write_at_last(store: &Redis, in_room: &str, key: &str) -> Stored {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match store.append(&room(in_room), message(key, "hi")).await {
            Ok(stored) => return stored,
            Err(AppendError::Unknown(_)) if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("not stored in time: {error:?}"),
        }
    }
}

pub async fn read(store: &Redis, in_room: &str) -> Page {
    store.read_before(&room(in_room), None, ALL).await.unwrap()
}

pub fn keys(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.key.as_str()).collect()
}

/// The next publication that the test asks for.
pub async fn hear(feed: &mut Feed, wanted: impl Fn(&Publication) -> bool) -> Publication {
    loop {
        let heard = timeout(PATIENCE, feed.recv()).await.expect("it is heard in time").expect("the feed goes on");
        if wanted(&heard) {
            return heard;
        }
    }
}

/// Writes until something of it is heard: publications come at most once, and connections may be being made again.
pub async fn write_until_heard(store: &Redis, feed: &mut Feed, in_room: &str) {
    let deadline = Instant::now() + PATIENCE;
    for number in 0.. {
        // Whether it is confirmed is another question.
        let _ = store.append(&room(in_room), message(&format!("heard{number}"), "hi")).await;
        let heard = timeout(Duration::from_millis(100), async {
            while !matches!(feed.recv().await, Some(Publication::Entry(..))) {}
        });
        if heard.await.is_ok() {
            return;
        }
        assert!(Instant::now() < deadline, "nothing is heard");
    }
}

/// What Redis's clock says, in Unix milliseconds.
pub async fn redis_ms(server: &RedisServer) -> u64 {
    let time = server.cli(&["TIME"]).await;
    let mut parts = time.lines().map(|part| part.trim().parse::<u64>().unwrap());
    parts.next().unwrap() * 1_000 + parts.next().unwrap() / 1_000
}

/// Waits until something holds.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A name that stands for one server after another: connections go to the one of the moment. When it changes, all break or
/// all stay where they are.
pub struct Endpoint {
    port: u16,
    /// The server's port, and how often all connections broke.
    target: watch::Sender<(u16, u32)>,
    _serving: JoinSet<()>,
}

impl Endpoint {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (target, watched) = watch::channel((port, 0));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut watched = watched.clone();
                connections.spawn(async move {
                    let (port, breaks) = *watched.borrow_and_update();
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = watched.wait_for(|(_, now)| *now != breaks) => {}
                    }
                });
            }
        });
        Self { port: own, target, _serving: serving }
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn turn_to(&self, port: u16) {
        self.target.send_modify(|target| *target = (port, target.1 + 1));
    }

    /// For those who dial from now on.
    pub fn point_to(&self, port: u16) {
        self.target.send_modify(|target| target.0 = port);
    }
}
