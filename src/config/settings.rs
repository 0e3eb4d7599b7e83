//! Every setting: its name, type, default, bounds and meaning, once.
//!
//! The macro makes of each section a struct that the rest of the program uses, and the rows of the table that drives
//! reading, checking, listing and documenting. Bounds are wide: they keep out what can't work, not what is unwise.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::row::{Preset, Row, bytes, choice, list, ms, number, share, switch, text};
use super::values::{DurabilityMode, LogFormat, Secret, StoreUrl, TlsVerify, is_origin};
use crate::domain::Millis;

/// One section of the table.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// The lines of its documentation.
    pub doc: &'static [&'static str],
    /// Its settings.
    pub rows: &'static [Row],
}

macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $section:ident $prefix:literal
        $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $spec:expr; )+
        $( sections { $( $(#[doc = $sub_doc:literal])+ $sub:ident: $sub_type:ty; )+ } )?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $section {
            $( $(#[doc = $doc])+ pub $field: $type, )+
            $( $( $(#[doc = $sub_doc])+ pub $sub: $sub_type, )+ )?
        }

        impl $section {
            /// This section of the table.
            pub const SECTION: Section = Section {
                doc: &[$($about),+],
                rows: &[$(
                    Row { name: concat!($prefix, stringify!($field)), spec: $spec, doc: &[$($doc),+] },
                )+],
            };
        }
    };
}

/// The table, in the order of the documentation.
pub const TABLE: &[Section] = &[
    Settings::SECTION,
    StoreSettings::SECTION,
    HttpSettings::SECTION,
    OpsSettings::SECTION,
    LimitSettings::SECTION,
    PresenceSettings::SECTION,
    RoomsSettings::SECTION,
    DrainSettings::SECTION,
    AuthSettings::SECTION,
    SocketioSettings::SECTION,
    TelemetrySettings::SECTION,
];

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1_024;
const MIB: u64 = 1_024 * KIB;
const GIB: u64 = 1_024 * MIB;

/// As high as a rate or its burst may be set: no limit in practice.
const HIGHEST_RATE: u64 = 1_000_000_000;

section! {
    /// Of the instance as a whole, and the times of a socket.
    Settings ""

    /// Where the service listens. 0 takes any free port, which is logged. `PORT` sets it too, as Cloud Run does.
    port: u16 = number(8_080, "").within(0, 65_535);
    /// The address it listens on. The default outside Cloud Run keeps a laptop's chat to the laptop.
    bind: IpAddr = text(|text| text.parse::<IpAddr>().is_ok(), "an IP address, such as 0.0.0.0")
        .or("127.0.0.1")
        .on_cloud_run(Preset::Text("0.0.0.0"));
    /// The name of this instance, unique among those that share a store. Unless set: `K_REVISION`, or `confab`, and a
    /// random ending.
    instance: String = text(is_instance, "1 to 64 printable ASCII characters without a space");
    /// Between two `ping` pushes to one socket.
    heartbeat_ms: Millis = ms(25 * SECOND).within(100, HOUR);
    /// A socket without `pong` for this long is closed with 4003.
    heartbeat_timeout_ms: Millis = ms(10 * SECOND).within(100, HOUR);
    /// A socket is asked to move at the latest when it is this old; each at a random time somewhat before. 0: nine
    /// tenths of `http.request_timeout_ms` less 6 s for moving, at least half of it, and never where that is 0 too. Any
    /// other value wins over `http.request_timeout_ms`.
    rotate_after_ms: Millis = ms(0).within(0, 30 * DAY);
    /// A socket without a good `hello` for this long is closed with 4005.
    hello_timeout_ms: Millis = ms(10 * SECOND).within(100, HOUR);
    /// Sockets are closed with 4009 when the store was away for this long.
    store_away_limit_ms: Millis = ms(5 * MINUTE).within(SECOND, DAY);

    sections {
        /// Where the rooms are kept.
        store: StoreSettings;
        /// Connections before they are WebSockets.
        http: HttpSettings;
        /// The operations port.
        ops: OpsSettings;
        /// What one client, one room and one instance may use.
        limits: LimitSettings;
        /// Who is there.
        presence: PresenceSettings;
        /// The rooms of an instance.
        rooms: RoomsSettings;
        /// The end of an instance.
        drain: DrainSettings;
        /// Guest tokens.
        auth: AuthSettings;
        /// The Socket.IO door.
        socketio: SocketioSettings;
        /// Logs, traces, metrics.
        telemetry: TelemetrySettings;
    }
}

section! {
    /// Where the rooms are kept.
    StoreSettings "store."

    /// `memory:` keeps them in this process, for one instance. `redis://` and `rediss://` (TLS) keep them in Redis, for
    /// any number. A password in the URL is taken out of it and used as `store.password`. Unless set: `REDISHOST` and
    /// `REDISPORT` (6379), where they are set.
    url: StoreUrl = text(|text| StoreUrl::parse(text).is_some(), StoreUrl::EXPECTED).or("memory:");
    /// The password of Redis.
    password: Option<Secret> = text(is_secret, "1 to 1024 characters without controls").secret();
    /// A file that holds `store.password`; a line end behind it doesn't count.
    password_file: Option<PathBuf> = text(is_path, "a path");
    /// A file of certificate authorities (PEM, one or several) that Redis's certificate must come from, instead of the
    /// usual ones.
    ca_file: Option<PathBuf> = text(is_path, "a path");
    /// `full` checks chain and name of Redis's certificate; with `ca`, a chain to `store.ca_file` is enough.
    tls_verify: TlsVerify = choice(&["full", "ca"]);
    /// What `sent` waits for with Redis. `auto`: a replica as soon as one was seen. `replicated`: a replica, always.
    /// `relaxed`: the primary only, though there is a replica. `local`: the primary only, no replica is expected.
    durability: DurabilityMode = choice(&["auto", "replicated", "relaxed", "local"]);
    /// What every key and channel in Redis begins with.
    prefix: String = text(is_prefix, "1 to 32 of the characters a-z, A-Z, 0-9, -, _ and .").or("confab");
    /// How long an append waits for a replica. Less than `store.response_timeout_ms`.
    wait_timeout_ms: Millis = ms(300).within(1, 998);
    /// How long an answer of Redis may take. Less than the second within which every send is answered.
    response_timeout_ms: Millis = ms(800).within(2, 999);
    /// How long a start waits for Redis before it fails with exit code 69. The first connections out of a new network may
    /// take more than a minute.
    startup_timeout_ms: Millis = ms(3 * MINUTE).within(100, HOUR);
    /// All that the embedded store may hold.
    memory_bytes: u64 = bytes(512 * MIB).within(MIB, 1_024 * GIB);
    /// Allows the embedded store on Cloud Run, where each instance would have rooms of its own, and a new revision none
    /// of the old ones.
    allow_memory_on_cloud_run: bool = switch(false);
}

section! {
    /// Connections before they are WebSockets.
    HttpSettings "http."

    /// Proxies in front whose `X-Forwarded-*` headers are believed, counted from the nearest. Cloud Run's front end is
    /// one.
    trusted_hops: u32 = number(0, "").within(0, 16).on_cloud_run(Preset::Number(1));
    /// Origins whose pages may connect, beside the service's own: `https://chat.example`.
    allowed_origins: Vec<String> = list(is_origin, "an origin: http or https, a host, a port if it isn't the usual one");
    /// Whether a connection without `Origin` is allowed. Browsers always send one; no cookie is ever used.
    allow_no_origin: bool = switch(true);
    /// When the platform in front cuts a request, and so a WebSocket. 0: never. The default on Cloud Run is the platform's
    /// own.
    request_timeout_ms: Millis =
        ms(HOUR).within(0, 30 * DAY).on_cloud_run(Preset::Number(5 * MINUTE));
    /// How long the header of a request may take, from the connection's start or the last answer.
    header_timeout_ms: Millis = ms(10 * SECOND).within(10, HOUR);
    /// Most bytes of a request's header (431 beyond it).
    header_bytes: usize = bytes(16 * KIB).within(8 * KIB, MIB);
    /// Most header lines of a request (431 beyond it).
    header_count: usize = number(64, "").within(8, 1_024);
    /// Connections at once that are not WebSockets yet (503 beyond it).
    handshakes: usize = number(256, "").within(1, 1_000_000);
}

section! {
    /// The operations port: `/metrics`, liveness, rooms by size, the log level, drain.
    OpsSettings "ops."

    /// The port, 0 for none.
    port: u16 = number(0, "").within(0, 65_535);
    /// The address it listens on. Any but a loopback address needs `ops.token`.
    address: IpAddr = text(|text| text.parse::<IpAddr>().is_ok(), "an IP address, such as 127.0.0.1").or("127.0.0.1");
    /// What requests must carry, as `Authorization: Bearer …`. Without it everybody who reaches the port may ask, by an IP
    /// address or as `localhost`.
    token: Option<Secret> = text(is_ops_token, "16 to 256 printable ASCII characters without a space").secret();
    /// A file that holds `ops.token`; a line end behind it doesn't count.
    token_file: Option<PathBuf> = text(is_path, "a path");
}

section! {
    /// What one client, one room and one instance may use. Clients are told those that concern them in `welcome`.
    LimitSettings "limits."

    /// WebSockets at once on this instance (503 beyond it). Cloud Run allows 1,000 requests an instance.
    connections: usize = number(1_000, "").within(1, 1_000_000);
    /// Longest user name.
    name_chars: usize = number(64, "characters").within(1, 1_024);
    /// Longest room name.
    room_chars: usize = number(128, "characters").within(1, 1_024);
    /// Longest text of a message.
    text_chars: usize = number(4_000, "characters").within(1, 4 * MIB);
    /// Longest text of a message, in UTF-8.
    text_bytes: usize = bytes(16 * KIB).within(1, 16 * MIB);
    /// Longest emoji of a reaction, in UTF-8.
    emoji_bytes: usize = bytes(64).within(4, 1_024);
    /// Longest WebSocket message that a client may send (1009 beyond it).
    frame_bytes: usize = bytes(64 * KIB).within(KIB, 64 * MIB);
    /// Rooms that one connection may be in at a time.
    rooms_per_connection: usize = number(50, "").within(1, 1_000_000);
    /// Entries that a room keeps; up to a tenth, or 100, more while trimming is lazy.
    history_entries: u64 = number(1_000, "entries").within(1, 1_000_000);
    /// Bytes of entries that a room keeps, with the same laziness.
    history_bytes: u64 = bytes(MIB).within(KIB, 64 * GIB);
    /// A room without a new entry for this long is forgotten.
    history_idle_ms: Millis = ms(7 * DAY).within(SECOND, 3_650 * DAY);
    /// Sends per second of one user in one room, sustained.
    sends_per_second: u64 = number(5, "").within(1, HIGHEST_RATE);
    /// Sends at once of one user in one room.
    send_burst: u64 = number(20, "").within(1, HIGHEST_RATE);
    /// Commands per second of one connection, sustained.
    commands_per_second: u64 = number(50, "").within(1, HIGHEST_RATE);
    /// Commands at once of one connection.
    command_burst: u64 = number(200, "").within(1, HIGHEST_RATE);
    /// Commands of one connection that may wait for the store; no more is read from it until one is answered.
    commands_in_flight: usize = number(64, "").within(1, 100_000);
    /// WebSocket frames per second of one connection, of any kind, sustained (4013 beyond it). At least twice
    /// `limits.commands_per_second`, to which a lower value is raised.
    frames_per_second: u64 = number(5_000, "").within(1, 2 * HIGHEST_RATE);
    /// WebSocket frames at once of one connection (4013 beyond it). At least twice `limits.command_burst`, to which a
    /// lower value is raised.
    frame_burst: u64 = number(20_000, "").within(1, 2 * HIGHEST_RATE);
    /// Bytes per second from one connection, sustained (4013 beyond it). At least 1024 for each of
    /// `limits.commands_per_second`, to which a lower value is raised.
    bytes_per_second: u64 = bytes(4 * MIB).within(KIB, KIB * HIGHEST_RATE);
    /// Bytes at once from one connection (4013 beyond it). At least 1024 for each of `limits.command_burst` and twice
    /// `limits.frame_bytes`, to which a lower value is raised.
    byte_burst: u64 = bytes(16 * MIB).within(KIB, KIB * HIGHEST_RATE);
    /// How long a message may take from its first byte to its last (4013 beyond it).
    unfinished_message_ms: Millis = ms(10 * SECOND).within(100, HOUR);
    /// How long one write to a socket may take before its reader is too slow (4008).
    flush_timeout_ms: Millis = ms(10 * SECOND).within(100, HOUR);
    /// Bytes that may wait for one slow reader (4008 beyond it). At least four times `limits.page_bytes`, to which a lower
    /// value is raised.
    outbox_bytes: usize = bytes(MIB).within(4 * KIB, GIB);
    /// Most entries in one reply.
    page_entries: usize = number(200, "entries").within(1, 10_000);
    /// Most bytes of entries in one reply; one entry always fits.
    page_bytes: usize = bytes(64 * KIB).within(KIB, 16 * MIB);
    /// How long a client-made key answers for a retry.
    key_window_ms: Millis = ms(10 * MINUTE).within(SECOND, DAY);
    /// Rooms without entries and members that one connection may join per minute.
    new_rooms_per_minute: u64 = number(20, "").within(1, HIGHEST_RATE);
}

section! {
    /// Who is there.
    PresenceSettings "presence."

    /// Between the end of a member's last socket and the announcement that it left; who is back by then wasn't away.
    grace_ms: Millis = ms(10 * SECOND).within(0, 10 * MINUTE);
    /// How long the members of an instance outlive it.
    lease_ms: Millis = ms(10 * SECOND).within(100, HOUR);
    /// How often an instance renews that. Less than `presence.lease_ms`.
    lease_renew_ms: Millis = ms(3 * SECOND).within(10, HOUR);
    /// Members are listed and announced by name in rooms of at most this many.
    list_up_to: usize = number(200, "members").within(1, 10_000);
    /// A room that was larger is listed again once it has at most this many. At most `presence.list_up_to`.
    list_again_at: usize = number(150, "members").within(1, 10_000);
    /// Least time between two member counts of a large room.
    count_interval_ms: Millis = ms(2 * SECOND).within(1, HOUR);
    /// Changes within this time of the last announcement come together in one.
    coalesce_ms: Millis = ms(100).within(1, MINUTE);
}

section! {
    /// The rooms of an instance.
    RoomsSettings "rooms."

    /// How often the position of every room with a client here is compared with the store's: how long a member can be
    /// behind unnoticed.
    check_interval_ms: Millis = ms(10 * SECOND).within(10, 20 * SECOND);
    /// How long a room stays subscribed after its last client left.
    linger_ms: Millis = ms(30 * SECOND).within(0, HOUR);
    /// The newest entries of a room that an instance remembers, to tell a repeated publication from another log.
    tail_entries: usize = number(256, "entries").within(1, 10_000);
}

section! {
    /// The end of an instance.
    DrainSettings "drain."

    /// From SIGTERM to the end, whatever the clients do. Cloud Run kills after 10 s.
    deadline_ms: Millis = ms(9 * SECOND).within(100, HOUR);
    /// Clients are asked to move at random times within this, on SIGTERM and when a socket rotates. With the 2 s that the
    /// old socket stays open behind it, at most `drain.deadline_ms`.
    spread_ms: Millis = ms(4 * SECOND).within(0, HOUR);
}

section! {
    /// Guest tokens.
    AuthSettings "auth."

    /// The keys that guest tokens are signed with: the first signs, all verify. `confab token --new-key` makes one. With
    /// none, instances on one Redis share one that the first of them made and Redis keeps; the embedded store's process
    /// takes a random one, and its tokens end with it.
    keys: Vec<Secret> = list(is_key, "a key of 32 to 256 printable ASCII characters").secret();
    /// A file that holds `auth.keys`, separated by commas or white space.
    keys_file: Option<PathBuf> = text(is_path, "a path");
}

section! {
    /// The Socket.IO door, described in `docs/socketio.md`.
    SocketioSettings "socketio."

    /// Whether Socket.IO clients are served, at `/socket.io/`.
    enabled: bool = switch(true);
    /// Whether they may use HTTP long-polling, which needs every request of a session to reach the same instance.
    polling: bool = switch(false);
    /// Whether a client that comes back gets what it missed: it is then given a `pid`, and each message carries its
    /// position behind its own argument.
    resume: bool = switch(true);
    /// Whether messages carry `offset`, `at` and `id` beside `user` and `text`.
    extra_fields: bool = switch(false);
}

section! {
    /// Logs, traces, metrics.
    TelemetrySettings "telemetry."

    /// The form of log lines. `auto`: text on a terminal, JSON elsewhere.
    log_format: LogFormat = choice(&["auto", "json", "text"]);
    /// What is logged: directives such as `info` or `warn,confab=debug`, each a level for everything or for one crate. SIGHUP
    /// switches to `info,confab=debug` and back; the operations port sets any.
    log: String = text(is_log_directives, "log directives, such as info or warn,confab=debug").or("info");
    /// Where traces and metrics go by OTLP over gRPC: `http://localhost:4317`, or `https://` to a collector whose
    /// certificate this system trusts (`SSL_CERT_FILE` names other authorities). OTLP over HTTP (port 4318) isn't spoken,
    /// and no credentials are sent. Nowhere unless set.
    otlp_endpoint: Option<String> = text(is_endpoint, "an http or https URL");
    /// The share of traces that begin here and are sampled. Those that a caller began are sampled as the caller says.
    trace_ratio: f64 = share(0.01);
    /// The Google Cloud project that traces are kept in: log lines then name their trace so that Cloud Logging shows them
    /// with it.
    trace_project: Option<String> = text(is_project, "the id of a Google Cloud project");
    /// Between two exports of metrics.
    metrics_interval_ms: Millis = ms(MINUTE).within(100, HOUR);
}

fn is_instance(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_secret(text: &str) -> bool {
    (1..=1_024).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn is_key(text: &str) -> bool {
    (32..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_path(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}

fn is_prefix(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

/// Crates that log something; a directive for another one is a slip of the pen.
const LOGGING: [&str; 14] = [
    "confab",
    "deadpool",
    "deadpool_redis",
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "opentelemetry_otlp",
    "opentelemetry_sdk",
    "redis",
    "rustls",
    "tokio",
    "tonic",
    "warp",
];

/// How much is logged, from nothing to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether a text says what is to be logged. Beyond the library's own check, a word alone must be a level and a target one
/// of a crate that is there: it takes any other word for the name of a target that never logs anything.
#[must_use]
pub fn is_log_directives(text: &str) -> bool {
    let is_level = |text: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text));
    let is_known = |target: &str| LOGGING.contains(&target.split("::").next().unwrap_or_default().trim());
    let is_directive = |directive: &str| match directive.split_once('=') {
        None => is_level(directive.trim()),
        Some((target, level)) => is_known(target) && is_level(level.trim()),
    };
    !text.trim().is_empty()
        && text.split(',').all(is_directive)
        && tracing_subscriber::EnvFilter::builder().parse(text).is_ok()
}

fn is_ops_token(text: &str) -> bool {
    (16..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_project(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_endpoint(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
}
