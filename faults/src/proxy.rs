//! A TCP proxy that goes wrong on purpose, in front of Redis, of a replica's source and of instances.
//!
//! Each connection and each direction passes, delays, stalls or drops what comes, or is cut; rules are set for all
//! connections or for those that carry a kind of traffic. The proxy knows no
//! protocol but for one thing: a connection that has sent `SUBSCRIBE` is a subscriber's (which TLS hides).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Bytes that are read at a time.
const CHUNK: usize = 16 * 1024;

/// Chunks that a delayed direction holds: beyond it the sender feels it, as it would on a long line.
const CHUNKS_UNDER_WAY: usize = 256;

/// What the kernel holds for each socket and direction, in bytes.
const BUFFER: u32 = 128 * 1024;

/// Connections that may wait to be taken: a herd comes at once.
const BACKLOG: u32 = 2_048;

/// How long a connection to the target may take.
const CONNECT: Duration = Duration::from_secs(1);

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// They go on at once.
    #[default]
    Pass,
    /// They go on so much later, in order.
    Delay(Duration),
    /// They wait until this changes; the sender's buffers fill.
    Stall,
    /// They vanish. TCP never loses bytes from the middle of a stream, so nothing after them comes through either: the
    /// direction stays dead until the connection is cut.
    Drop,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rule {
    /// From the client to the target.
    pub up: Flow,
    /// From the target to the client.
    pub down: Flow,
}

impl Rule {
    /// Everything passes.
    pub const PASS: Self = Self { up: Flow::Pass, down: Flow::Pass };

    /// The same in both directions.
    #[must_use]
    pub const fn both(flow: Flow) -> Self {
        Self { up: flow, down: flow }
    }

    fn tears(self) -> bool {
        self.up == Flow::Drop || self.down == Flow::Drop
    }
}

/// What happens to connections that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Door {
    /// They are taken.
    #[default]
    Open,
    /// They are closed at once.
    Shut,
}

/// Which connections are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// Those that have subscribed to something.
    Subscribers,
    /// All others.
    Commands,
}

/// A proxy. It and its connections end when it is dropped.
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared(Mutex<State>);

struct State {
    target: SocketAddr,
    door: Door,
    rule: Rule,
    connections: HashMap<u64, Connection>,
    accepted: u64,
}

struct Connection {
    rule: watch::Sender<Rule>,
    subscriber: bool,
    /// A direction has dropped bytes: it can only end.
    torn: bool,
    cut: CancellationToken,
}

impl Connection {
    fn is(&self, which: Which) -> bool {
        match which {
            Which::All => true,
            Which::Subscribers => self.subscriber,
            Which::Commands => !self.subscriber,
        }
    }
}

impl Proxy {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    /// There is none.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let socket = small()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        let addr = listener.local_addr()?;
        let state = State { target, door: Door::Open, rule: Rule::PASS, connections: HashMap::new(), accepted: 0 };
        let shared = Arc::new(Shared(Mutex::new(state)));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { addr, shared, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// New connections go there; old ones stay where they are.
    pub fn retarget(&self, target: SocketAddr) {
        self.shared.lock().target = target;
    }

    /// What happens to connections that come.
    pub fn set_door(&self, door: Door) {
        self.shared.lock().door = door;
    }

    /// Sets the rule of these connections, of those that are there. Connections that have dropped bytes are cut where
    /// bytes would pass again.
    pub fn set(&self, which: Which, rule: Rule) {
        let mut state = self.shared.lock();
        for connection in state.connections.values_mut().filter(|connection| connection.is(which)) {
            if connection.torn && !rule.tears() {
                connection.cut.cancel();
            }
            connection.torn |= rule.tears();
            connection.rule.send_replace(rule);
        }
    }

    /// Sets the rule of all connections, also of those that come.
    pub fn set_all(&self, rule: Rule) {
        self.shared.lock().rule = rule;
        self.set(Which::All, rule);
    }

    /// Cuts these connections.
    pub fn cut(&self, which: Which) {
        let state = self.shared.lock();
        state.connections.values().filter(|connection| connection.is(which)).for_each(|one| one.cut.cancel());
    }

    /// Everything passes again; what can't go on is cut.
    pub fn heal(&self) {
        self.set_door(Door::Open);
        self.set_all(Rule::PASS);
    }

    /// Connections that are there, of this kind.
    #[must_use]
    pub fn count(&self, which: Which) -> usize {
        self.shared.lock().connections.values().filter(|connection| connection.is(which)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut(Which::All);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes a connection in, unless the door is shut.
    fn enter(&self) -> Option<(u64, SocketAddr, watch::Receiver<Rule>, CancellationToken)> {
        let mut state = self.lock();
        if state.door == Door::Shut {
            return None;
        }
        state.accepted += 1;
        let (number, rule, cut) = (state.accepted, state.rule, CancellationToken::new());
        let (sender, receiver) = watch::channel(rule);
        let connection = Connection { rule: sender, subscriber: false, torn: rule.tears(), cut: cut.clone() };
        state.connections.insert(number, connection);
        Some((number, state.target, receiver, cut))
    }
}

/// A socket that holds little, so that both ends feel each other.
fn small() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(BUFFER)?;
    socket.set_recv_buffer_size(BUFFER)?;
    Ok(socket)
}

async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    small()?.connect(target).await
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of descriptors: whoever holds them gives some back.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Some((number, target, rules, cut)) = shared.enter() else {
            // Closed with unread bytes or without: the client sees its connection end at once.
            let _ = client.set_zero_linger();
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let Ok(Ok(target)) = timeout(CONNECT, connect(target)).await else {
                shared.lock().connections.remove(&number);
                return;
            };
            let _ = (client.set_nodelay(true), target.set_nodelay(true));
            let (client_read, client_write) = client.into_split();
            let (target_read, target_write) = target.into_split();
            let marks = Some((Arc::clone(&shared), number));
            let up = pump(client_read, target_write, rules.clone(), |rule| rule.up, marks);
            let down = pump(target_read, client_write, rules, |rule| rule.down, None);
            tokio::select! {
                () = cut.cancelled() => {}
                ((), ()) = async { tokio::join!(up, down) } => {}
            }
            shared.lock().connections.remove(&number);
        });
    }
}

/// Carries one direction until it ends, then closes its far side.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut rules: watch::Receiver<Rule>,
    flow: fn(Rule) -> Flow,
    marks: Option<(Arc<Shared>, u64)>,
) {
    let mut chunk = vec![0; CHUNK];
    let mut late: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut ended = false;
    loop {
        let now = flow(*rules.borrow_and_update());
        // A rule that no longer delays lets go of what is late.
        let due = late.front().map(|(due, _)| if matches!(now, Flow::Delay(_)) { *due } else { Instant::now() });
        let reads = !ended && now != Flow::Stall && late.len() < CHUNKS_UNDER_WAY;
        tokio::select! {
            changed = rules.changed() => if changed.is_err() { return },
            () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() && now != Flow::Stall => {
                let Some((_, bytes)) = late.pop_front() else { continue };
                if now != Flow::Drop && to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            read = from.read(&mut chunk), if reads => {
                let length = match read {
                    Ok(0) | Err(_) => 0,
                    Ok(length) => length,
                };
                ended = length == 0;
                let bytes = &chunk[..length];
                if let Some((shared, number)) = &marks {
                    mark(shared, *number, bytes);
                }
                match now {
                    Flow::Drop | Flow::Stall => {}
                    Flow::Pass if late.is_empty() => {
                        if to.write_all(bytes).await.is_err() {
                            return;
                        }
                    }
                    Flow::Pass => late.push_back((Instant::now(), bytes.to_vec())),
                    Flow::Delay(by) => late.push_back((Instant::now() + by, bytes.to_vec())),
                }
            }
        }
        if ended && late.is_empty() {
            // An end passes like bytes do: it doesn't get through where they vanish or wait.
            while matches!(flow(*rules.borrow_and_update()), Flow::Drop | Flow::Stall) {
                if rules.changed().await.is_err() {
                    return;
                }
            }
            let _ = to.shutdown().await;
            return;
        }
    }
}

/// Remembers who subscribes. A client writes a command in one go, so its name is in one chunk.
fn mark(shared: &Shared, number: u64, bytes: &[u8]) {
    const WORD: &[u8] = b"SUBSCRIBE\r\n";
    if bytes.windows(WORD.len()).any(|window| window.eq_ignore_ascii_case(WORD))
        && let Some(connection) = shared.lock().connections.get_mut(&number)
    {
        connection.subscriber = true;
    }
}
