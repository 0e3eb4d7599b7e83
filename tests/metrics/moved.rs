//! Each metric of the list, moved by what it counts: two instances on one real Redis with a replica, clients of both
//! protocols, and the faults that the numbers are there for.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use confab::metrics::{Kind, LIST};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::redis::RedisServer;
use crate::scrape::{Instance, parse, value};
use crate::served::{Client, PATIENCE};
use crate::socketio::Socketio;

/// What nothing outside the program can cause, and what holds it instead.
const HELD_ELSEWHERE: &[(&str, &str)] =
    &[("confab.gaps.unannounced", "always 0 unless the service has a fault, which src/rooms/room.rs seeds")];

/// What was seen to be more than 0, by the names of OpenMetrics.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    fn take(&mut self, text: &str) {
        for metric in LIST {
            let name = metric.open_metrics_name();
            let sample = if metric.kind == Kind::Histogram { format!("{name}_count") } else { name.clone() };
            if value(text, &sample) > 0.0 {
                self.0.insert(name);
            }
        }
    }
}

/// Writes until it is acknowledged: on a slow machine a replica may be late, and then the same key is tried again.
async fn stored(client: &mut Client, command: Value) -> Value {
    let stored = async {
        loop {
            let reply = client.say(command.clone()).await;
            if reply["type"] == "sent" {
                return reply;
            }
            assert!(reply["code"] == "unconfirmed" || reply["code"] == "unavailable", "{reply}");
        }
    };
    timeout(PATIENCE, stored).await.expect("it is acknowledged")
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn every_metric_is_moved_by_what_it_counts() {
    let redis = RedisServer::start().await;
    let replica = RedisServer::replica_of(&redis).await;
    let url = redis.url();
    let settings = [
        ("CONFAB__STORE__URL", url.as_str()),
        ("CONFAB__PRESENCE__LEASE_MS", "2000"),
        ("CONFAB__PRESENCE__LEASE_RENEW_MS", "300"),
        ("CONFAB__ROOMS__CHECK_INTERVAL_MS", "300"),
        ("CONFAB__DRAIN__DEADLINE_MS", "5000"),
        ("CONFAB__DRAIN__SPREAD_MS", "1000"),
        ("CONFAB__LIMITS__SEND_BURST", "100000"),
        ("CONFAB__LIMITS__COMMANDS_PER_SECOND", "100000"),
        ("CONFAB__LIMITS__COMMAND_BURST", "100000"),
        ("CONFAB__LIMITS__NEW_ROOMS_PER_MINUTE", "3"),
    ];
    let (here, there) = (Instance::start(&settings), Instance::start(&settings));
    let mut seen = Seen::default();

    // Commands, their answers and refusals, by both doors.
    let (mut ada, mut bea) = (here.served.sign_in().await, there.served.sign_in().await);
    let joined = ada.ask(json!({"type": "join", "id": 1, "room": "tea"})).await;
    bea.ask(json!({"type": "join", "id": 1, "room": "tea"})).await;
    let send = |key: &str| json!({"type": "send", "id": 2, "room": "tea", "key": key, "text": "hi"});
    assert_eq!(stored(&mut ada, send("k1")).await["durability"], "replicated");
    assert_eq!(stored(&mut ada, send("k1")).await["duplicate"], true);
    ada.say(json!({"type": "hello", "id": 3, "name": "Ada", "token": "forged"})).await;
    ada.say(json!({"type": "join", "id": 4, "room": "tea", "since": joined["position"]})).await;
    let mut sio = Socketio::connect(&here).await;
    sio.say("420[\"signin\",{\"user\":\"Sue\",\"room\":\"tea\"}]").await;
    sio.hear("430").await;
    sio.say("42[\"drawing\"]").await;
    sio.say("421[\"sendMessage\",\"hi\"]").await;
    sio.hear("431").await;
    here.until("confab_ignored_total", |ignored| ignored == 1.0).await;
    let text = here.until("confab_delivery_duration_seconds_count", |delivered| delivered >= 3.0).await;
    assert_eq!(value(&text, "confab_sockets{protocol=\"native\",state=\"signed_in\"}"), 1.0);
    assert_eq!(value(&text, "confab_sockets{protocol=\"socketio\",state=\"signed_in\"}"), 1.0);
    assert!(value(&text, "confab_acknowledgements_total{durability=\"replicated\",attempt=\"duplicate\"}") >= 1.0);
    assert_eq!(value(&text, "confab_tokens_refused_total{reason=\"forged\"}"), 1.0);
    assert_eq!(value(&text, "confab_resumes_total{outcome=\"recovered\"}"), 1.0);
    seen.take(&text);
    let text = here.until("confab_redis_replicas", |replicas| replicas == 1.0).await;
    assert_eq!(value(&text, "confab_redis_role{role=\"primary\"}"), 1.0);
    seen.take(&text);

    // A publication that comes twice, and one that isn't ours.
    let channel =
        redis.cli(&["PUBSUB", "CHANNELS"]).await.lines().find(|name| !name.contains("__")).unwrap().to_owned();
    let mut listener = listen(redis.port(), &channel);
    stored(&mut ada, send("comes-twice")).await;
    // Others may tell something of themselves on the channel too.
    let entry = move || std::iter::repeat_with(|| listener.next()).find(|payload| holds(payload, b"comes-twice"));
    let payload = tokio::task::spawn_blocking(entry).await.unwrap().unwrap();
    let repeated = async {
        while value(&here.metrics().await, "confab_publications_duplicate_total") == 0.0 {
            publish(redis.port(), &channel, &payload);
        }
    };
    timeout(PATIENCE, repeated).await.expect("a repeated publication is counted");
    publish(redis.port(), &channel, b"not ours");
    seen.take(&here.until("confab_publications_dropped_total{reason=\"foreign\"}", |dropped| dropped == 1.0).await);

    // Entries that no publication brings: the subscriber's connection is cut while the other instance's client writes.
    let healed = async {
        for n in 0.. {
            redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
            stored(&mut bea, send(&format!("gap {n}"))).await;
            let text = here.metrics().await;
            if value(&text, "confab_gaps_entries_total") > 0.0 {
                return text;
            }
        }
        unreachable!("the loop ends by its return")
    };
    seen.take(&timeout(4 * PATIENCE, healed).await.expect("a gap is healed"));
    let read = "a room's log was read for entries that no publication brought";
    let line = &here.served.lines(1, |line| line["message"] == read).await[0];
    assert!(line["entries"].as_u64() >= Some(1) && line["clients"].as_u64() >= Some(1), "{line}");
    assert!(line["sign"].is_string() && line["stored"].as_u64() > line["delivered"].as_u64(), "{line}");

    // A reader that doesn't read.
    let mut slow = here.served.sign_in().await;
    slow.ask(json!({"type": "join", "id": 1, "room": "flood"})).await;
    let mut loud = here.served.sign_in().await;
    loud.ask(json!({"type": "join", "id": 1, "room": "flood"})).await;
    // The kernel takes some MiB before anything waits here.
    let big = "\u{1f980}".repeat(4_000);
    let flood = async {
        for n in 0.. {
            let key = format!("f{n}");
            stored(&mut loud, json!({"type": "send", "id": 9, "room": "flood", "key": key, "text": big})).await;
            let text = here.metrics().await;
            seen.take(&text);
            if value(&text, "confab_deliveries_dropped_total{reason=\"overflow\"}") > 0.0 {
                return;
            }
        }
    };
    timeout(4 * PATIENCE, flood).await.expect("the reader is cut off");
    for n in 0..5 {
        loud.say(json!({"type": "join", "id": 5, "room": format!("new {n}")})).await;
    }
    seen.take(&here.until("confab_budgets_exceeded_total{budget=\"new_rooms\"}", |over| over > 0.0).await);

    // An instance ends without a word.
    drop(there);
    seen.take(&here.until("confab_presence_swept_total", |swept| swept >= 1.0).await);

    // Redis is full for a moment and allowed to throw away what it has; it is asked for its memory every 10 s.
    for (setting, value) in [("maxmemory-policy", "allkeys-lru"), ("maxmemory", "1")] {
        redis.cli(&["CONFIG", "SET", setting, value]).await;
    }
    redis.cli(&["SET", "one more", "than fits"]).await;
    for (setting, value) in [("maxmemory", "0"), ("maxmemory-policy", "noeviction")] {
        redis.cli(&["CONFIG", "SET", setting, value]).await;
    }
    seen.take(&here.until("confab_redis_evicted", |evicted| evicted > 0.0).await);

    // The log is lost under its members.
    redis.cli(&["FLUSHALL"]).await;
    seen.take(&here.until("confab_resets_total", |resets| resets >= 1.0).await);
    let afresh = "a room's log does not continue; its clients start afresh";
    let line = &here.served.lines(1, |line| line["message"] == afresh).await[0];
    assert!(line["reason"].is_string() && line["clients"].as_u64() >= Some(1), "{line}");
    assert!(line["delivered"].as_u64() >= Some(1) && line["stored"].is_u64() && line["oldest"].is_u64(), "{line}");

    // Redis stops for a while: what is asked of it waits, and clients are told.
    let waits = async {
        let names = ["confab_redis_lane_calls", "confab_redis_pool_waiting", "confab_store_degraded_seconds_total"];
        while !names.iter().all(|name| seen.0.contains(*name)) {
            redis.signal("STOP");
            // More pages are asked for than there are connections for such questions.
            let page = |id| json!({"type": "history", "id": id, "room": "tea", "before": 2});
            ada.tell(&(1_000..1_050).map(page).collect::<Vec<_>>()).await;
            loop {
                // The first goes to Redis, and the others wait in its lane until it is known to be away.
                sio.say("42[\"sendMessage\",\"waits\"]").await;
                let text = here.metrics().await;
                seen.take(&text);
                if value(&text, "confab_store_reachable") == 0.0 {
                    break;
                }
            }
            seen.take(&here.until("confab_store_degraded_seconds_total", |degraded| degraded > 0.0).await);
            redis.signal("CONT");
            here.until("confab_store_reachable", |reachable| reachable == 1.0).await;
        }
    };
    timeout(4 * PATIENCE, waits).await.expect("calls wait while Redis is away");
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
    seen.take(&here.until("confab_redis_redials_total", |redials| redials >= 1.0).await);
    redis.cli(&["REPLICAOF", "NO", "ONE"]).await;

    // Everybody leaves, and the gauges come back to where they began.
    drop((ada, bea, slow, loud, sio));
    let text = here.until("confab_sockets", |sockets| sockets == 0.0).await;
    assert_eq!(value(&text, "confab_outbox_size_bytes"), 0.0);
    assert!(
        value(&text, "confab_closes_total{code=\"gone\"}") + value(&text, "confab_closes_total{code=\"client\"}") > 0.0
    );
    seen.take(&text);
    let _last = here.served.sign_in().await;
    assert_eq!(here.ask("POST", "/drain", &[], "").await.status, 202);
    let text = here.until("confab_goaways_total{reason=\"drain\"}", |goaways| goaways == 1.0).await;
    seen.take(&text);
    parse(&text);
    drop(replica);
    spans_are_lost(&mut seen).await;

    let held = |name: &str| HELD_ELSEWHERE.iter().any(|(metric, _)| *metric == name);
    let still: Vec<_> = LIST
        .iter()
        .filter(|metric| !held(metric.name) && !seen.0.contains(&metric.open_metrics_name()))
        .map(|metric| metric.name)
        .collect();
    assert!(still.is_empty(), "nothing has moved these: {still:?}");
}

/// A collector that ends every connection takes no spans, and one that says nothing lets them pile up.
async fn spans_are_lost(seen: &mut Seen) {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let refusing = tokio::spawn(async move { while collector.accept().await.is_ok() {} });
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for (endpoint, reason) in [(&endpoint, "failed"), (&silent, "queue_full")] {
        let instance = Instance::start(&[
            ("CONFAB__TELEMETRY__OTLP_ENDPOINT", endpoint),
            ("CONFAB__TELEMETRY__TRACE_RATIO", "1"),
            ("CONFAB__LIMITS__SEND_BURST", "100000"),
            ("CONFAB__LIMITS__COMMAND_BURST", "100000"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ]);
        let mut client = instance.served.sign_in().await;
        client.ask(json!({"type": "join", "id": 1, "room": "tea"})).await;
        let sample = format!("confab_spans_lost_total{{reason=\"{reason}\"}}");
        let losing = async {
            for n in 2.. {
                client.ask(json!({"type": "send", "id": n, "room": "tea", "key": n.to_string(), "text": "hi"})).await;
                let text = instance.metrics().await;
                if value(&text, &sample) > 0.0 {
                    seen.take(&text);
                    return;
                }
            }
        };
        timeout(4 * PATIENCE, losing).await.expect(&sample);
    }
    refusing.abort();
}

/// A subscription in the bytes of RESP2: the next payload of a channel.
struct Listener(std::net::TcpStream);

fn listen(port: u16, channel: &str) -> Listener {
    let mut tcp = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.write_all(&command(&[b"SUBSCRIBE", channel.as_bytes()])).unwrap();
    let mut listener = Listener(tcp);
    listener.until(b":1\r\n");
    listener
}

impl Listener {
    fn until(&mut self, end: &[u8]) -> Vec<u8> {
        let (mut read, mut byte) = (Vec::new(), [0]);
        while !read.ends_with(end) {
            self.0.read_exact(&mut byte).unwrap();
            read.push(byte[0]);
        }
        read
    }

    fn next(&mut self) -> Vec<u8> {
        // *3, "message", the channel, and the payload, each with its length before it.
        self.until(b"$7\r\nmessage\r\n");
        self.until(b"\r\n");
        self.until(b"\r\n");
        let length = String::from_utf8(self.until(b"\r\n")).unwrap();
        let mut payload = vec![0; length.trim().trim_start_matches('$').parse().unwrap()];
        self.0.read_exact(&mut payload).unwrap();
        payload
    }
}

fn publish(port: u16, channel: &str, payload: &[u8]) {
    let mut tcp = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    tcp.write_all(&command(&[b"PUBLISH", channel.as_bytes(), payload])).unwrap();
    let mut answer = [0; 1];
    tcp.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b":");
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend(*word);
        bytes.extend(b"\r\n");
    }
    bytes
}
