//! The commands of whoever operates a service: `probe`, `tail` and `verify` against running instances, also where a
//! connection is cut, an instance ends, or what comes back isn't what was stored.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

#[path = "common/redis.rs"]
mod redis_server;
#[path = "common/served.rs"]
mod served;

use std::collections::BTreeSet;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use redis_server::RedisServer;
use serde_json::{Value, json};
use served::{Client, PATIENCE, Served};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};
use tokio_util::sync::CancellationToken;

const ROOM: &str = "café tea";

/// One writer may write all that a test needs.
const UNHURRIED: [(&str, &str); 2] =
    [("CONFAB__LIMITS__SEND_BURST", "1000"), ("CONFAB__LIMITS__COMMAND_BURST", "1000")];

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What stands before instances and can be made to let go of everybody.
struct Front {
    url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Where connections go; `None`: they are ended.
    behind: Option<String>,
    cut: CancellationToken,
}

impl Front {
    async fn before(served: &Served) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://127.0.0.1:{}/ws", listener.local_addr().unwrap().port());
        let state = Arc::new(Mutex::new(State { behind: None, cut: CancellationToken::new() }));
        let front = Self { url, state: Arc::clone(&state) };
        front.point_to(served);
        tokio::spawn(async move {
            loop {
                let (mut outside, _) = listener.accept().await.unwrap();
                let (behind, cut) = {
                    let state = state.lock().unwrap();
                    (state.behind.clone(), state.cut.clone())
                };
                let Some(behind) = behind else { continue };
                tokio::spawn(async move {
                    let mut inside = TcpStream::connect(behind).await.unwrap();
                    let _ = cut.run_until_cancelled(copy_bidirectional(&mut outside, &mut inside)).await;
                });
            }
        });
        front
    }

    fn point_to(&self, served: &Served) {
        self.state.lock().unwrap().behind = Some(format!("127.0.0.1:{}", served.port));
    }

    /// Ends all connections, and new ones until it points somewhere again.
    fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.behind = None;
        std::mem::take(&mut state.cut).cancel();
    }
}

/// What stands before an instance and changes what it says.
async fn altering(served: &Served, alter: fn(&mut Value)) -> String {
    delaying(served, Duration::ZERO, alter).await
}

/// The same, and messages are late.
async fn delaying(served: &Served, late: Duration, alter: fn(&mut Value)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://127.0.0.1:{}/ws", listener.local_addr().unwrap().port());
    let behind = format!("127.0.0.1:{}", served.port);
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let behind = behind.clone();
            tokio::spawn(async move {
                let mut outside = accept_async(tcp).await.unwrap();
                let tcp = TcpStream::connect(&behind).await.unwrap();
                let (mut inside, _) = client_async(format!("ws://{behind}/ws"), tcp).await.unwrap();
                loop {
                    tokio::select! {
                        Some(Ok(frame)) = outside.next() => inside.send(frame).await.unwrap(),
                        Some(Ok(frame)) = inside.next() => {
                            let Message::Text(frame) = frame else { continue };
                            for object in frame.lines() {
                                let mut object: Value = serde_json::from_str(object).unwrap();
                                if object["type"] == "message" {
                                    tokio::time::sleep(late).await;
                                }
                                alter(&mut object);
                                if outside.send(Message::text(object.to_string())).await.is_err() {
                                    return;
                                }
                            }
                        }
                        else => return,
                    }
                }
            });
        }
    });
    url
}

/// What stands before instances and sees every object that they send: it can hold one back, or swallow everything from one
/// on, as a network does that drops packets.
struct Watched {
    url: String,
    watch: Arc<Watch>,
}

struct Watch {
    /// Where connections go.
    behind: Mutex<String>,
    /// Which object: its type, and the how manieth of it.
    kind: &'static str,
    nth: u32,
    /// What becomes of it.
    fate: Fate,
    seen: Mutex<u32>,
    swallowing: AtomicBool,
    held: Notify,
    go: Notify,
}

#[derive(Clone, Copy)]
enum Fate {
    /// It waits for the test, and for an object of this type to go before it.
    Held(Option<&'static str>),
    /// It and everything after it, on all connections and both ways, is never seen again.
    Swallowed,
}

impl Watched {
    async fn before(served: &Served, kind: &'static str, nth: u32, fate: Fate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://127.0.0.1:{}/ws", listener.local_addr().unwrap().port());
        let watch = Arc::new(Watch {
            behind: Mutex::new(format!("127.0.0.1:{}", served.port)),
            kind,
            nth,
            fate,
            seen: Mutex::new(0),
            swallowing: AtomicBool::new(false),
            held: Notify::new(),
            go: Notify::new(),
        });
        let watching = Arc::clone(&watch);
        tokio::spawn(async move {
            loop {
                let (outside, _) = listener.accept().await.unwrap();
                tokio::spawn(Arc::clone(&watching).connection(outside));
            }
        });
        Self { url, watch }
    }
}

impl Watch {
    /// Passes objects on until one of both ends; then the other is dropped.
    async fn connection(self: Arc<Self>, outside: TcpStream) {
        let behind = self.behind.lock().unwrap().clone();
        let mut outside = accept_async(outside).await.unwrap();
        let inside = TcpStream::connect(&behind).await.unwrap();
        let (mut inside, _) = client_async(format!("ws://{behind}/ws"), inside).await.unwrap();
        let mut kept = None;
        let (mut released, mut preceded) = (false, false);
        loop {
            tokio::select! {
                frame = outside.next() => {
                    let Some(Ok(frame)) = frame else { return };
                    if !self.swallowing.load(SeqCst) && inside.send(frame).await.is_err() {
                        return;
                    }
                }
                frame = inside.next() => {
                    let Some(Ok(frame)) = frame else {
                        if let Some(object) = kept.take() {
                            self.go.notified().await;
                            let _ = outside.send(object).await;
                        }
                        return;
                    };
                    let Message::Text(frame) = frame else { continue };
                    for object in frame.lines() {
                        let kind = serde_json::from_str::<Value>(object).unwrap()["type"].as_str().unwrap().to_owned();
                        let object = Message::text(object);
                        match self.fate {
                            Fate::Held(_) if self.is_the_one(&kind) => {
                                kept = Some(object);
                                self.held.notify_one();
                                continue;
                            }
                            Fate::Held(first) => preceded |= kept.is_some() && first == Some(kind.as_str()),
                            Fate::Swallowed if self.is_the_one(&kind) => self.swallowing.store(true, SeqCst),
                            Fate::Swallowed => {}
                        }
                        if !self.swallowing.load(SeqCst) && outside.send(object).await.is_err() {
                            return;
                        }
                    }
                }
                () = self.go.notified(), if kept.is_some() && !released => released = true,
            }
            if released
                && (preceded || matches!(self.fate, Fate::Held(None)))
                && let Some(object) = kept.take()
            {
                outside.send(object).await.unwrap();
            }
        }
    }

    fn is_the_one(&self, kind: &str) -> bool {
        let mut seen = self.seen.lock().unwrap();
        *seen += u32::from(kind == self.kind);
        kind == self.kind && *seen == self.nth
    }
}

/// The program, without holding up what stands before the service meanwhile.
async fn confab(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_confab"));
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    timeout(3 * PATIENCE, command.output()).await.expect("the command ends").unwrap()
}

fn line(output: &Output) -> Value {
    let out = text(&output.stdout);
    assert_eq!(out.lines().count(), 1, "one line: {out:?} {}", text(&output.stderr));
    serde_json::from_str(out).unwrap()
}

/// Patient enough for a machine that has other things to do.
async fn probe(url: &str, more: &[&str]) -> Output {
    confab(&[&["probe", url, "--within", "40", "--delivery-within", "20000"], more].concat()).await
}

/// `confab tail` as it runs.
struct Tail {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tail {
    fn start(url: &str, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confab"));
        command.args(["tail", ROOM, "--url", url]).args(more).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    async fn entry(&mut self) -> Value {
        let line = timeout(2 * PATIENCE, self.lines.next_line()).await.expect("an entry comes").unwrap();
        serde_json::from_str(&line.expect("it goes on")).unwrap()
    }

    /// The texts of the next entries, which have to have these offsets.
    async fn texts(&mut self, offsets: std::ops::RangeInclusive<u64>) -> Vec<String> {
        let mut texts = Vec::new();
        for offset in offsets {
            let entry = self.entry().await;
            assert_eq!(entry["offset"], offset, "{entry}");
            texts.push(entry["text"].as_str().unwrap().to_owned());
        }
        texts
    }

    /// How it ended, and what it said then.
    async fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        let mut errors = self.process.stderr.take().unwrap();
        // A tail that is cut waits up to 30 s before it dials again.
        timeout(3 * PATIENCE, errors.read_to_string(&mut said)).await.expect("it ends").unwrap();
        (self.process.wait().await.unwrap().code(), said)
    }
}

/// A member who writes.
struct Writer {
    client: Client,
    said: u64,
}

impl Writer {
    async fn in_room(served: &Served) -> Self {
        let mut client = served.sign_in().await;
        client.ask(json!({"type": "join", "id": 0, "room": ROOM})).await;
        Self { client, said: 0 }
    }

    async fn say(&mut self, text: &str) {
        self.said += 1;
        let key = format!("k{}", self.said);
        self.client.ask(json!({"type": "send", "id": self.said, "room": ROOM, "key": key, "text": text})).await;
    }
}

/// What stands in backticks in the first column of a document's table with this heading.
fn first_column(document: &str, heading: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(format!("{}/docs/operations/{document}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with(&format!("| {heading} |"))).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    rows.flat_map(|names| names.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_step_of_a_probe_has_its_row_in_the_reference_and_in_the_runbook() {
    let served = Served::start(&[]);
    let probed = probe(&format!("ws://127.0.0.1:{}/ws", served.port), &[]).await;
    assert_eq!(probed.status.code(), Some(0), "{}", text(&probed.stderr));
    let steps: BTreeSet<_> = line(&probed)["stages_ms"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(first_column("commands.md", "step"), steps);
    assert_eq!(first_column("prober.md", "`failed`"), steps);
}

#[tokio::test]
async fn a_probe_tells_how_long_each_step_of_a_message_took() {
    let served = Served::start(&[]);
    let url = format!("ws://127.0.0.1:{}/ws", served.port);
    let probed = probe(&url, &[]).await;
    assert_eq!(probed.status.code(), Some(0), "{}", text(&probed.stderr));
    let told = line(&probed);
    assert_eq!((&told["ok"], &told["durability"]), (&json!(true), &json!("memory")), "{told}");
    for stage in ["connect", "hello", "join", "listener", "ack", "delivery", "retry", "missed", "reconnect", "resume"] {
        assert!(told["stages_ms"][stage].as_f64().is_some_and(|took| took > 0.0), "{stage}: {told}");
    }
    // One instance is enough, unless two are asked for.
    assert_eq!(told["instances"][0], told["instances"][1]);
    let probed = probe(&url, &["--two-instances"]).await;
    assert_eq!((probed.status.code(), &line(&probed)["ok"]), (Some(1), &json!(false)));
    assert!(text(&probed.stderr).contains("all of 8 connections reached"), "{}", text(&probed.stderr));
}

#[tokio::test]
async fn a_probe_without_a_url_asks_the_instance_on_this_machine_and_leaves_nobody_behind() {
    let served = Served::start(&[]);
    let room = ["--room", ROOM];
    let probed = served.run(&[&["probe", "--within", "40", "--delivery-within", "20000"][..], &room].concat());
    assert_eq!(probed.status.code(), Some(0), "{}", text(&probed.stderr));
    let mut client = served.sign_in().await;
    let joined = client.ask(json!({"type": "join", "id": 1, "room": ROOM})).await;
    assert_eq!((&joined["member_count"], &joined["position"]["offset"]), (&json!(1), &json!(2)), "{joined}");
}

#[tokio::test]
async fn probes_at_once_in_one_room_go_over_two_instances_and_leave_each_other_alone() {
    let redis = RedisServer::start().await;
    let store = redis.url();
    let settings = |name| [("CONFAB__STORE__URL", store.as_str()), ("CONFAB__INSTANCE", name)];
    let (one, two) = (Served::start(&settings("one")), Served::start(&settings("two")));
    let url = |served: &Served| format!("ws://127.0.0.1:{}/ws", served.port);
    let (first, second) = (url(&one), url(&two));
    let arguments = ["--second-url", second.as_str(), "--two-instances"];
    let probes = tokio::join!(probe(&first, &arguments), probe(&first, &arguments), probe(&first, &arguments));
    for probed in [probes.0, probes.1, probes.2] {
        assert_eq!(probed.status.code(), Some(0), "{}", text(&probed.stderr));
        let told = line(&probed);
        assert_eq!((&told["instances"], &told["durability"]), (&json!(["one", "two"]), &json!("stored")), "{told}");
    }
}

#[tokio::test]
async fn a_probe_fails_where_a_promise_is_not_kept_and_says_at_which_step() {
    let served = Served::start(&[]);
    let url = format!("ws://127.0.0.1:{}/ws", served.port);
    let fails = async |second: &str, stage: &str, problem: &str| {
        let arguments = ["probe", &url, "--second-url", second, "--within", "20"];
        let probed = confab(&[&arguments[..], &["--delivery-within", "20000"]].concat()).await;
        let (told, said) = (line(&probed), text(&probed.stderr));
        assert_eq!((probed.status.code(), &told["ok"], &told["failed"]), (Some(1), &json!(false), &json!(stage)));
        assert!(told["problem"].as_str().unwrap().contains(problem) && said.contains(problem), "{told} {said}");
    };
    let elsewhere = altering(&served, |object| {
        if object["type"] == "message" {
            object["chain"] = json!("0123456789abcdef");
        }
    });
    fails(&elsewhere.await, "delivery", "one message in two places").await;
    let undelivered = altering(&served, |object| {
        if object["type"] == "message" {
            *object = json!({"type": "typing", "room": ROOM, "user": {"id": "u", "name": "Ada"}});
        }
    });
    fails(&undelivered.await, "delivery", "not done within 20 s").await;
    let forgetful = altering(&served, |object| {
        if object["recovered"] == true {
            object["recovered"] = json!(false);
            object["reason"] = json!("lost");
        }
    });
    fails(&forgetful.await, "resume", "can't be continued: lost").await;
    let altered = altering(&served, |object| {
        if object["type"] == "message" {
            object["text"] = json!("something else");
        }
    });
    // The room has entries by now, so the chain tells.
    fails(&altered.await, "delivery", "the chain doesn't follow").await;
}

#[tokio::test]
async fn a_probe_fails_where_a_delivery_is_late_or_nothing_answers() {
    let served = Served::start(&[]);
    let url = format!("ws://127.0.0.1:{}/ws", served.port);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("ws://127.0.0.1:{}/ws", listener.local_addr().unwrap().port());
    let probed = confab(&["probe", &url, "--second-url", &silent, "--within", "10"]).await;
    assert_eq!(probed.status.code(), Some(69));
    assert!(text(&probed.stderr).contains("listener: not done within 10 s"), "{}", text(&probed.stderr));
    let probed = confab(&["probe", &silent, "--within", "2"]).await;
    assert_eq!((probed.status.code(), &line(&probed)["failed"]), (Some(69), &json!("connect")));

    let slow = delaying(&served, Duration::from_millis(60), |_| {});
    let probed =
        confab(&["probe", &url, "--second-url", &slow.await, "--within", "40", "--delivery-within", "50"]).await;
    assert_eq!(probed.status.code(), Some(1));
    assert!(text(&probed.stderr).contains("of at most 50"), "{}", text(&probed.stderr));
}

#[tokio::test]
async fn a_probe_whose_instance_dies_between_two_steps_ends_with_69_and_names_the_step() {
    let mut served = Served::start(&[]);
    // The last thing before the first message is said.
    let front = Watched::before(&served, "joined", 2, Fate::Held(None)).await;
    let killing = async {
        front.watch.held.notified().await;
        served.signal("KILL");
        assert_eq!(served.exit_code(), None, "a signal ended it");
        front.watch.go.notify_one();
    };
    let (probed, ()) = tokio::join!(probe(&front.url, &[]), killing);
    let told = line(&probed);
    assert_eq!((probed.status.code(), &told["failed"]), (Some(69), &json!("ack")), "{told}");
    assert!(told["stages_ms"]["listener"].is_number() && told["stages_ms"]["ack"].is_null(), "{told}");
}

#[tokio::test]
async fn a_probe_behind_a_network_that_drops_packets_ends_with_69_and_names_the_step() {
    let served = Served::start(&[]);
    let swallowed = async |kind, step: &str| {
        let front = Watched::before(&served, kind, 1, Fate::Swallowed).await;
        let probed = confab(&["probe", &front.url, "--within", "10", "--room", &format!("without {kind}")]).await;
        let told = line(&probed);
        assert_eq!((probed.status.code(), &told["failed"]), (Some(69), &json!(step)), "{told}");
        assert!(text(&probed.stderr).contains(&format!("{step}: not done within 10 s")), "{}", text(&probed.stderr));
    };
    tokio::join!(swallowed("welcome", "hello"), swallowed("joined", "join"), swallowed("sent", "ack"));
}

#[tokio::test]
async fn a_probe_says_again_what_is_refused_for_the_moment_only() {
    let served = Served::start(&[("CONFAB__LIMITS__SENDS_PER_SECOND", "1"), ("CONFAB__LIMITS__SEND_BURST", "1")]);
    let url = format!("ws://127.0.0.1:{}/ws", served.port);
    let probed = probe(&url, &[]).await;
    assert_eq!(probed.status.code(), Some(0), "{}", text(&probed.stderr));
    assert!(text(&probed.stderr).contains("rate_limited"), "{}", text(&probed.stderr));
    // Where there is no time for it, the refusal is the answer.
    let refused = confab(&["probe", &url, "--within", "1", "--room", "hurried", "--delivery-within", "20000"]).await;
    assert_ne!(refused.status.code(), Some(0));
}

#[tokio::test]
async fn a_probe_that_is_asked_to_move_goes_on_at_another_instance() {
    let redis = RedisServer::start().await;
    let store = redis.url();
    // Time enough to move on a busy machine.
    let unhurried = [("CONFAB__DRAIN__SPREAD_MS", "20000"), ("CONFAB__DRAIN__DEADLINE_MS", "60000")];
    let settings =
        |name| [&[("CONFAB__STORE__URL", store.as_str()), ("CONFAB__INSTANCE", name)][..], &unhurried[..]].concat();
    let (mut one, two) = (Served::start(&settings("one")), Served::start(&settings("two")));
    // Its acknowledgement comes after it was asked to move, so that the next step is one on another instance.
    let front = Watched::before(&one, "sent", 1, Fate::Held(Some("goaway"))).await;
    let second = format!("ws://127.0.0.1:{}/ws", two.port);
    let draining = async {
        front.watch.held.notified().await;
        *front.watch.behind.lock().unwrap() = format!("127.0.0.1:{}", two.port);
        one.signal("TERM");
        front.watch.go.notify_one();
    };
    let arguments = ["--second-url", second.as_str()];
    let (probed, ()) = tokio::join!(probe(&front.url, &arguments), draining);
    let said = text(&probed.stderr);
    assert_eq!(probed.status.code(), Some(0), "{said}");
    assert!(said.contains("asked to move, went to two"), "{said}");
    assert_eq!(line(&probed)["instances"], json!(["one", "two"]));
    assert_eq!(one.exit_code(), Some(0));
}

#[tokio::test]
async fn a_tail_goes_on_after_a_cut_without_a_hole() {
    let served = Served::start(&UNHURRIED);
    let mut writer = Writer::in_room(&served).await;
    for text in ["one", "two", "three"] {
        writer.say(text).await;
    }
    let front = Front::before(&served).await;
    let mut tail = Tail::start(&front.url, &["--last", "2"]);
    assert_eq!(tail.texts(2..=3).await, ["two", "three"]);
    writer.say("live").await;
    assert_eq!(tail.texts(4..=4).await, ["live"]);
    front.cut();
    // More than one reply holds.
    for number in 5..=300 {
        writer.say(&format!("missed {number}")).await;
    }
    front.point_to(&served);
    let missed = tail.texts(5..=300).await;
    assert_eq!(missed[295], "missed 300");
    writer.say("live again").await;
    assert_eq!(tail.texts(301..=301).await, ["live again"]);

    // From where another left off, to whoever has enough after one line.
    let exported = served.run(&["export", ROOM]);
    let lines: Vec<Value> = text(&exported.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let since = format!("{}:{}", lines[298]["offset"], lines[298]["chain"].as_str().unwrap());
    let mut second = Tail::start(&front.url, &["--since", &since]);
    assert_eq!(second.texts(300..=301).await, ["missed 300", "live again"]);
    let Tail { process, lines: unread } = second;
    drop(unread);
    writer.say("nobody reads this").await;
    let ended = Tail { process, lines: tail.lines }.end().await;
    assert_eq!(ended.0, Some(0), "{}", ended.1);

    let verified = served.run(&["verify", "--room", ROOM]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let answer: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&answer["verified"], &answer["entries"]), (&json!(true), &json!(302)));
}

#[tokio::test]
async fn a_tail_of_a_quiet_room_keeps_its_connection() {
    let served = Served::start(&[("CONFAB__HEARTBEAT_MS", "4000")]);
    // More than the two heartbeats in which something has to be heard, and these far from each other.
    let front = Watched::before(&served, "ping", 3, Fate::Held(None)).await;
    let tail = Tail::start(&front.url, &[]);
    timeout(2 * PATIENCE, front.watch.held.notified()).await.expect("three heartbeats come");
    front.watch.go.notify_one();
    let mut writer = Writer::in_room(&served).await;
    writer.say("after the silence").await;
    let mut tail = tail;
    assert_eq!(tail.texts(1..=1).await, ["after the silence"]);
    let Tail { process, lines } = tail;
    drop(lines);
    writer.say("nobody reads this").await;
    let (mut process, mut said) = (process, String::new());
    let mut errors = process.stderr.take().unwrap();
    timeout(PATIENCE, errors.read_to_string(&mut said)).await.expect("it ends").unwrap();
    assert_eq!((process.wait().await.unwrap().code(), said.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn what_opens_no_websocket_is_told_with_what_to_look_at() {
    let served = Served::start(&[]);
    for command in [&["tail", ROOM][..], &["export", ROOM], &["verify", "--room", ROOM]] {
        let page = format!("ws://127.0.0.1:{}/", served.port);
        let refused = confab(&[command, &["--url", &page]].concat()).await;
        assert_eq!(refused.status.code(), Some(69));
        let said = text(&refused.stderr);
        assert!(
            said.contains("answers 200 OK and opens no WebSocket: is the path that of the service, /ws?"),
            "{said}"
        );
    }
    let url = format!("ws://127.0.0.1:{}/ws", served.port);
    let refused = confab(&["export", "", "--url", &url]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("join is refused: bad_room: "), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn a_room_without_entries_is_no_fault_and_is_told() {
    let served = Served::start(&[]);
    let verified = served.run(&["verify", "--room", "mistyped"]);
    assert_eq!(verified.status.code(), Some(0));
    assert_eq!((&line(&verified)["room"], &line(&verified)["entries"]), (&json!("mistyped"), &json!(0)));
    assert!(text(&verified.stderr).contains("mistyped has no entries"), "{}", text(&verified.stderr));
    let exported = served.run(&["export", "mistyped"]);
    assert_eq!((exported.status.code(), text(&exported.stdout)), (Some(0), ""));
    assert!(text(&exported.stderr).contains("mistyped has no entries"), "{}", text(&exported.stderr));
}

#[tokio::test]
async fn a_tail_of_an_empty_room_begins_with_its_first_entry_even_after_a_cut() {
    let served = Served::start(&[]);
    let front = Front::before(&served).await;
    let mut writer = Writer::in_room(&served).await;
    let mut tail = Tail::start(&front.url, &["--last", "1", "--name", "tailing"]);
    joined_by(&mut writer, "tailing").await;
    front.cut();
    for text in ["one", "two", "three"] {
        writer.say(text).await;
    }
    front.point_to(&served);
    assert_eq!(tail.texts(1..=3).await, ["one", "two", "three"]);
}

/// Waits until a member of this name is in the room.
async fn joined_by(writer: &mut Writer, name: &str) {
    let here = async {
        loop {
            let joined = writer.client.ask(json!({"type": "join", "id": 0, "room": ROOM})).await;
            if joined["members"].as_array().unwrap().iter().any(|member| member["name"] == name) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, here).await.expect("the member comes");
}

#[tokio::test]
async fn a_tail_moves_to_another_instance_when_its_own_drains() {
    let redis = RedisServer::start().await;
    let store = redis.url();
    let settings = |name| [("CONFAB__STORE__URL", store.as_str()), ("CONFAB__INSTANCE", name)];
    let (mut one, two) = (Served::start(&settings("one")), Served::start(&settings("two")));
    let mut writer = Writer::in_room(&two).await;
    let front = Front::before(&one).await;
    writer.say("before").await;
    let mut tail = Tail::start(&front.url, &[]);
    assert_eq!(tail.texts(1..=1).await, ["before"]);
    front.point_to(&two);
    one.signal("TERM");
    writer.say("meanwhile").await;
    assert_eq!(one.exit_code(), Some(0));
    writer.say("after").await;
    assert_eq!(tail.texts(2..=3).await, ["meanwhile", "after"]);
}

#[tokio::test]
async fn a_tail_ends_where_the_log_does_not_go_on_from_what_it_wrote() {
    let served = Served::start(&[&UNHURRIED[..], &[("CONFAB__LIMITS__HISTORY_ENTRIES", "1")]].concat());
    let front = Front::before(&served).await;
    let mut writer = Writer::in_room(&served).await;
    writer.say("kept for a while").await;
    let mut tail = Tail::start(&front.url, &[]);
    tail.texts(1..=1).await;
    front.cut();
    for _ in 0..300 {
        writer.say("pushes it out").await;
    }
    front.point_to(&served);
    let (code, said) = tail.end().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("doesn't continue after entry 1 (trimmed)"), "{said}");
}
