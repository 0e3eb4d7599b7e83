//! Traces as a collector gets them: one message from one client over two instances to the other, and what is not in them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

#[path = "common/collector.rs"]
mod collector;
#[path = "common/redis.rs"]
mod redis_server;
#[path = "common/served.rs"]
mod served;
#[path = "common/tls.rs"]
mod tls;

use std::collections::{BTreeMap, BTreeSet};

use collector::{Collector, Export};
use futures_util::{SinkExt as _, StreamExt as _};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use redis_server::RedisServer;
use serde_json::{Value, json};
use served::{PATIENCE, Served};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

/// What no collector may ever see, and no line of the log above debug: names of all kinds, and the two below.
const PLANTED: &str = "planted";

/// What people write, which no line may ever hold.
const TEXT: &str = "planted-text";

/// What people sign in with, which no line may ever hold.
const TOKEN: &str = "planted-token";

/// A client that hears everything.
struct Talker {
    socket: WebSocketStream<TcpStream>,
    heard: Vec<Value>,
}

impl Talker {
    async fn dial(served: &Served, headers: &[(&'static str, &str)]) -> Self {
        let stream = TcpStream::connect(format!("127.0.0.1:{}", served.port)).await.unwrap();
        let mut request = format!("ws://127.0.0.1:{}/ws?token={TOKEN}", served.port).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = client_async(request, stream).await.unwrap();
        Self { socket, heard: Vec::new() }
    }

    /// Signed in and in a room.
    async fn join(served: &Served, name: &str, room: &str, headers: &[(&'static str, &str)]) -> Self {
        let mut talker = Self::dial(served, headers).await;
        talker.say(&[json!({"type": "hello", "id": 0, "name": name})]).await;
        talker.say(&[json!({"type": "join", "id": 1, "room": room})]).await;
        talker.until(|heard| heard["type"] == "joined").await;
        talker
    }

    /// Sends commands in one frame.
    async fn say(&mut self, commands: &[Value]) {
        let lines: Vec<_> = commands.iter().map(Value::to_string).collect();
        self.socket.send(Message::text(lines.join("\n"))).await.unwrap();
    }

    /// Hears until something comes; returns it.
    async fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(at) = self.heard.iter().position(&is_it) {
                return self.heard.remove(at);
            }
            let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("it comes");
            let Message::Text(text) = frame.unwrap().unwrap() else { continue };
            self.heard.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
    }
}

fn send(id: u64, room: &str, text: &str, traceparent: Option<&str>) -> Value {
    let mut send = json!({"type": "send", "id": id, "room": room, "key": format!("key {id}"), "text": text});
    if let Some(traceparent) = traceparent {
        send["traceparent"] = traceparent.into();
    }
    send
}

fn environment<'a>(instance: &'a str, endpoint: &'a str, ratio: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("CONFAB__INSTANCE", instance),
        ("CONFAB__TELEMETRY__OTLP_ENDPOINT", endpoint),
        ("CONFAB__TELEMETRY__TRACE_RATIO", ratio),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ]
}

/// A span, and which instance recorded it.
#[derive(Debug, Clone)]
struct Recorded {
    instance: String,
    span: Span,
}

impl Recorded {
    fn word(&self, name: &str) -> Option<String> {
        let attribute = self.span.attributes.iter().find(|attribute| attribute.key == name)?;
        match attribute.value.as_ref()?.value.as_ref()? {
            Any::StringValue(word) => Some(word.clone()),
            Any::IntValue(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

fn recorded(export: &Export) -> Vec<Recorded> {
    let Export::Traces(traces) = export else { return Vec::new() };
    let mut all = Vec::new();
    for resource in &traces.resource_spans {
        let attributes = &resource.resource.as_ref().unwrap().attributes;
        let instance = attributes.iter().find(|attribute| attribute.key == "service.instance.id").unwrap();
        let Some(Any::StringValue(instance)) = instance.value.as_ref().unwrap().value.clone() else { panic!() };
        let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
        all.extend(spans.map(|span| Recorded { instance: instance.clone(), span: span.clone() }));
    }
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes spans until each of these, by name and instance, is there.
async fn spans_with(collector: &mut Collector, wanted: &[(&str, &str)]) -> Vec<Recorded> {
    let mut all = Vec::new();
    let wanted: BTreeSet<_> = wanted.iter().copied().collect();
    collector
        .receive("every span of the message", |export| {
            all.extend(recorded(export));
            let there: BTreeSet<_> =
                all.iter().map(|one: &Recorded| (one.span.name.as_str(), one.instance.as_str())).collect();
            wanted.is_subset(&there)
        })
        .await;
    all
}

#[tokio::test]
async fn a_message_is_one_trace_from_its_client_over_two_instances_to_the_other() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    /// All but the last two digits of a trace.
    const TRACE_BEGINS: &str = "105445aa7843bc8bf206b120001000";
    const CLIENT: &str = "00f067aa0ba902b7";
    const ATTEMPTS: u64 = 8;
    let primary = RedisServer::start().await;
    let _replica = RedisServer::replica_of(&primary).await;
    let url = primary.url();
    let mut collector = Collector::start().await;
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    // Nothing is sampled by chance: every span is there because its client asked for it.
    let start = |instance| {
        let settings = [environment(instance, &endpoint, "0"), vec![("CONFAB__STORE__URL", url.as_str())]].concat();
        Served::start(&settings)
    };
    let (here, there) = (start("here"), start("there"));
    let mut bea = Talker::join(&there, "Bea", "tea", &[]).await;
    let mut ada = Talker::join(&here, "Ada", "tea", &[]).await;
    // Not sampled: without a word, by the client's word, and by one that can't be read.
    let unsampled = format!("00-{}-{CLIENT}-00", TRACE.replace('4', "5"));
    let malformed = format!("00-{TRACE}-{CLIENT}-01-more");
    for (id, traceparent) in [(2, None), (3, Some(unsampled.as_str())), (4, Some(malformed.as_str()))] {
        ada.say(&[send(id, "tea", "hi", traceparent)]).await;
        ada.until(|heard| heard["id"] == id).await;
    }
    let wanted = [
        ("command", "here"),
        ("append", "here"),
        ("lane wait", "here"),
        ("script", "here"),
        ("replica wait", "here"),
        ("publication", "here"),
        ("fan-out", "here"),
        ("socket write", "here"),
        ("publication", "there"),
        ("fan-out", "there"),
        ("socket write", "there"),
    ];
    // On a machine that is busy a replica may not confirm in time; then connections are made again, and what is announced
    // meanwhile isn't heard. So there are several attempts, each a trace of its own.
    let mut all: Vec<Recorded> = Vec::new();
    let traces: Vec<String> = (1..=ATTEMPTS).map(|attempt| format!("{TRACE_BEGINS}{attempt:02x}")).collect();
    let is_whole = |all: &[Recorded], trace: &str| {
        let there: BTreeSet<_> = all
            .iter()
            .filter(|one| hex(&one.span.trace_id) == trace)
            .map(|one| (one.span.name.as_str(), one.instance.as_str()))
            .collect();
        wanted.iter().all(|span| there.contains(span))
    };
    let mut whole = None;
    for (id, trace) in (5..).zip(&traces) {
        ada.say(&[send(id, "tea", "hi", Some(&format!("00-{trace}-{CLIENT}-01")))]).await;
        let answer = ada.until(|heard| heard["id"] == id).await;
        if answer["durability"] != "replicated" {
            continue;
        }
        let key = format!("key {id}");
        let pushed = bea.until(|heard| heard["key"] == key.as_str()).await;
        assert!(pushed.get("traceparent").is_none(), "no client gets it: {pushed}");
        let came = collector.came_within(PATIENCE / 4, |export| {
            all.extend(recorded(export));
            is_whole(&all, trace)
        });
        if came.await {
            whole = Some(trace);
            break;
        }
    }
    let trace = whole.unwrap_or_else(|| panic!("no attempt shows every span: {all:?}"));
    for one in &all {
        assert!(traces.contains(&hex(&one.span.trace_id)), "something is recorded that nobody asked for: {one:?}");
    }
    let all: Vec<_> = all.into_iter().filter(|one| hex(&one.span.trace_id) == *trace).collect();
    assert_eq!(all.len(), wanted.len(), "nothing comes twice: {all:?}");
    let by_name: BTreeMap<_, _> =
        all.iter().map(|one| ((one.span.name.as_str(), one.instance.as_str()), one)).collect();
    for (name, parent, instances) in [
        ("append", "command", ["here", "here"].as_slice()),
        ("lane wait", "append", &["here", "here"]),
        ("script", "append", &["here", "here"]),
        ("replica wait", "append", &["here", "here"]),
        ("publication", "append", &["here", "here", "there", "here"]),
        ("fan-out", "publication", &["here", "here", "there", "there"]),
        ("socket write", "fan-out", &["here", "here", "there", "there"]),
    ] {
        for pair in instances.chunks(2) {
            let [child, above] = [by_name[&(name, pair[0])], by_name[&(parent, pair[1])]];
            assert_eq!(
                hex(&child.span.parent_span_id),
                hex(&above.span.span_id),
                "{name} on {} below {parent}",
                pair[0]
            );
        }
    }
    assert_eq!(hex(&by_name[&("command", "here")].span.parent_span_id), CLIENT);
    for one in &all {
        assert!(one.span.start_time_unix_nano <= one.span.end_time_unix_nano, "{one:?}");
    }
    assert_eq!(by_name[&("append", "here")].word("confab.durability").as_deref(), Some("replicated"));
    assert_eq!(by_name[&("fan-out", "there")].word("confab.sockets").as_deref(), Some("1"));
}

#[tokio::test]
async fn messages_that_are_delivered_together_are_tied_to_the_first() {
    let mut collector = Collector::start().await;
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    // On one core both are appended before the rooms have their turn.
    let served = Served::start(&[environment("one", &endpoint, "0"), vec![("TOKIO_WORKER_THREADS", "1")]].concat());
    let mut ada = Talker::join(&served, "Ada", "tea", &[]).await;
    // Exports are tried once, so there are several attempts, each with traces of its own.
    let attempts: Vec<_> =
        (1..=8u64).map(|attempt| [2, 3].map(|n| (attempt * 10 + n, format!("{:032x}", attempt * 10 + n)))).collect();
    let mut found = None;
    for pair in &attempts {
        let sends =
            pair.each_ref().map(|(id, trace)| send(*id, "tea", "hi", Some(&format!("00-{trace}-00f067aa0ba902b7-01"))));
        ada.say(&sends).await;
        let last = format!("key {}", pair[1].0);
        ada.until(|heard| heard["key"] == last.as_str()).await;
        let mut fan_outs = Vec::new();
        let came = collector.came_within(PATIENCE / 4, |export| {
            let of_pair = |one: &Recorded| pair.iter().any(|(_, trace)| *trace == hex(&one.span.trace_id));
            fan_outs.extend(recorded(export).into_iter().filter(|one| one.span.name == "fan-out" && of_pair(one)));
            fan_outs.len() == 2
        });
        // Two that were delivered one by one are no failure, but another attempt.
        if came.await && fan_outs.iter().any(|one| !one.span.links.is_empty()) {
            found = Some((pair.each_ref().map(|(_, trace)| trace.clone()), fan_outs));
            break;
        }
    }
    let (traces, mut fan_outs) = found.expect("an attempt whose two messages are delivered together");
    fan_outs.sort_by_key(|one| one.span.links.len());
    let [lead, tied] = &fan_outs[..] else { panic!("{fan_outs:?}") };
    assert_eq!(
        (hex(&lead.span.trace_id).as_str(), hex(&tied.span.trace_id).as_str()),
        (traces[0].as_str(), traces[1].as_str())
    );
    assert_eq!(tied.span.links.len(), 1);
    assert_eq!(tied.span.links[0].trace_id, lead.span.trace_id);
    assert_eq!(tied.span.links[0].span_id, lead.span.span_id);
    assert_eq!(tied.word("confab.entries").as_deref(), Some("2"));
}

#[tokio::test]
async fn messages_that_share_a_pipeline_are_tied_to_the_first_of_it() {
    const TOGETHER: u64 = 8;
    let redis = RedisServer::start().await;
    let url = redis.url();
    let mut collector = Collector::start().await;
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    let settings = [environment("one", &endpoint, "0"), vec![("CONFAB__STORE__URL", url.as_str())]].concat();
    let served = Served::start(&settings);
    let mut ada = Talker::join(&served, "Ada", "tea", &[]).await;
    // While the first is on its way to Redis the others wait, and go together. How many do is for the machine to say, so
    // there are several attempts.
    for attempt in 1..=8u64 {
        let ids = attempt * 100..attempt * 100 + TOGETHER;
        let traces: Vec<_> = ids.clone().map(|id| format!("{id:032x}")).collect();
        let sends: Vec<_> = ids
            .clone()
            .zip(&traces)
            .map(|(id, trace)| send(id, "tea", "hi", Some(&format!("00-{trace}-00f067aa0ba902b7-01"))))
            .collect();
        ada.say(&sends).await;
        for id in ids {
            assert_eq!(ada.until(|heard| heard["id"] == id).await["type"], "sent");
        }
        let mut scripts = Vec::new();
        let came = collector.came_within(PATIENCE / 4, |export| {
            let ours = |one: &Recorded| one.span.name == "script" && traces.contains(&hex(&one.span.trace_id));
            scripts.extend(recorded(export).into_iter().filter(ours));
            scripts.len() == traces.len()
        });
        if !came.await || scripts.iter().all(|one| one.span.links.is_empty()) {
            continue;
        }
        let mut tied: BTreeMap<String, usize> = BTreeMap::new();
        for one in scripts.iter().filter(|one| !one.span.links.is_empty()) {
            let [link] = &one.span.links[..] else { panic!("one link: {one:?}") };
            let lead = scripts.iter().find(|lead| lead.span.span_id == link.span_id).expect("a script of this attempt");
            assert_eq!(lead.span.trace_id, link.trace_id);
            assert!(lead.span.links.is_empty(), "the first is tied to none: {lead:?}");
            assert_ne!(lead.span.trace_id, one.span.trace_id);
            assert_eq!(lead.word("confab.calls"), one.word("confab.calls"), "they are of one pipeline");
            *tied.entry(hex(&link.span_id)).or_default() += 1;
        }
        for (lead, tied) in tied {
            let lead = scripts.iter().find(|one| hex(&one.span.span_id) == lead).unwrap();
            let calls: usize = lead.word("confab.calls").unwrap().parse().unwrap();
            // Each has an announcement beside it, which is a call too.
            assert!(tied < calls, "{tied} are tied to the first of {calls}");
        }
        return;
    }
    panic!("no two of {TOGETHER} messages at once ever shared a pipeline");
}

#[tokio::test]
async fn a_command_that_fails_names_its_trace_though_it_is_not_sampled_or_nobody_began_one() {
    const CLOUD: &str = "105445aa7843bc8bf206b12000100000";
    const ASKED: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let redis = RedisServer::start().await;
    let url = redis.url();
    let served = Served::start(&[("CONFAB__STORE__URL", url.as_str()), ("CONFAB__TELEMETRY__TRACE_PROJECT", "acme")]);
    let header = format!("{CLOUD}/1;o=0");
    let mut ada = Talker::join(&served, "Ada", "tea", &[("x-cloud-trace-context", &header)]).await;
    let bea = Talker::join(&served, "Bea", "tea", &[]).await;
    let cleo = Talker::join(&served, "Cleo", "tea", &[]).await;
    ada.say(&[send(2, "tea", "hi", None)]).await;
    ada.until(|heard| heard["id"] == 2).await;
    // Something foreign is where the room was, so that writes fail.
    for key in redis.cli(&["KEYS", "*meta*"]).await.lines() {
        redis.cli(&["SET", key, "foreign"]).await;
    }
    let asked = format!("00-{ASKED}-00f067aa0ba902b7-00");
    let mut talkers = [ada, bea, cleo];
    for (talker, id, traceparent) in
        [(0, 3, None), (0, 4, Some(asked.as_str())), (1, 5, None), (1, 6, None), (2, 7, None)]
    {
        let talker = &mut talkers[talker];
        talker.say(&[send(id, "tea", "hi", traceparent)]).await;
        let failed = talker.until(|heard| heard["id"] == id).await;
        assert_eq!(failed["code"], "internal", "{failed}");
    }
    let lines = served.lines(5, |line| line["message"] == "a command failed").await;
    let traces: Vec<_> = lines.iter().map(|line| line["logging.googleapis.com/trace"].as_str().unwrap()).collect();
    assert_eq!(traces.len(), 5, "{lines:?}");
    assert_eq!(traces[0], format!("projects/acme/traces/{CLOUD}"), "of the handshake");
    assert_eq!(traces[1], format!("projects/acme/traces/{ASKED}"), "of the command");
    assert_eq!(lines[1]["logging.googleapis.com/spanId"], "00f067aa0ba902b7");
    assert_eq!(traces[2], traces[3], "the lines about one connection belong together");
    let different: BTreeSet<_> = traces.iter().collect();
    assert_eq!(different.len(), 4, "and are told from those about others: {traces:?}");
    for line in lines {
        assert_eq!(line["logging.googleapis.com/trace_sampled"], false, "{line}");
        assert!(line["logging.googleapis.com/spanId"].as_str().is_some_and(|span| span.len() == 16), "{line}");
    }
}

#[tokio::test]
async fn a_handshake_continues_its_callers_trace_and_its_socket_is_found_by_it_in_the_log() {
    const CLOUD: &str = "105445aa7843bc8bf206b12000100000";
    let redis = RedisServer::start().await;
    let url = redis.url();
    let mut collector = Collector::start().await;
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    let settings = [
        environment("one", &endpoint, "0"),
        vec![("CONFAB__STORE__URL", url.as_str()), ("CONFAB__TELEMETRY__TRACE_PROJECT", "acme")],
    ];
    let mut served = Served::start(&settings.concat());
    let header = format!("{CLOUD}/1;o=1");
    let mut ada = Talker::join(&served, "Ada", "tea", &[("x-cloud-trace-context", &header)]).await;
    let all = spans_with(&mut collector, &[("handshake", "one")]).await;
    let handshake = &all[0];
    assert_eq!(
        (hex(&handshake.span.trace_id), hex(&handshake.span.parent_span_id)),
        (CLOUD.to_owned(), "0000000000000001".to_owned())
    );
    assert_eq!(handshake.word("http.route").as_deref(), Some("/ws"));
    assert_eq!(handshake.word("http.response.status_code").as_deref(), Some("101"));
    // Something foreign is where the room was, so that writes fail that aren't sampled: the lines name the trace of their
    // socket, and there are a few of them.
    ada.say(&[send(2, "tea", "hi", None)]).await;
    ada.until(|heard| heard["id"] == 2).await;
    for key in redis.cli(&["KEYS", "*meta*"]).await.lines() {
        redis.cli(&["SET", key, "foreign"]).await;
    }
    let failing: Vec<_> = (3..=30).map(|id| send(id, "tea", "hi", None)).collect();
    ada.say(&failing).await;
    for id in 3..=30 {
        let failed = ada.until(|heard| heard["id"] == id).await;
        assert_eq!(failed["code"], "internal", "{failed}");
    }
    drop(ada);
    served.signal("TERM");
    let (_, log) = tokio::task::spawn_blocking(move || (served.exit_code(), served.log())).await.unwrap();
    let lines: Vec<Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<_> = lines.iter().filter(|line| line["message"] == "a command failed").collect();
    assert!((1..failing.len()).contains(&lines.len()), "{log:?}");
    let line = lines[0];
    assert_eq!(line["logging.googleapis.com/trace"], format!("projects/acme/traces/{CLOUD}"), "{line}");
    assert_eq!(line["logging.googleapis.com/spanId"], hex(&handshake.span.span_id), "{line}");
    assert_eq!(line["logging.googleapis.com/trace_sampled"], true, "{line}");
    assert_eq!((&line["severity"], &line["code"]), (&json!("WARNING"), &json!("internal")), "{line}");
}

/// What a line must look like, whatever happened.
fn schema() -> jsonschema::Validator {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/log-line.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

#[tokio::test]
async fn nothing_that_was_planted_gets_into_a_span_or_a_line_and_every_line_is_as_described() {
    const HOSTILE: &str = "planted\n{\"severity\":\"CRITICAL\"}\u{1b}[2J\u{202e}\u{9b}";
    const HOSTILE_TEXT: &str = "planted-text\n{\"severity\":\"CRITICAL\"}\u{1b}[2J\u{202e}\u{9b}";
    const HOSTILE_TOKEN: &str = "planted-token\n{\"severity\":\"CRITICAL\"}\u{1b}[2J\u{202e}\u{9b}";
    let redis = RedisServer::with(&["--requirepass", "planted-password"]).await;
    let url = format!("redis://:planted-password@127.0.0.1:{}", redis.port());
    let mut collector = Collector::start().await;
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    let settings = [
        environment("one", &endpoint, "1"),
        vec![("CONFAB__STORE__URL", url.as_str()), ("CONFAB__TELEMETRY__LOG", "trace")],
    ];
    let mut served = Served::start(&settings.concat());
    let baggage = format!("user={PLANTED},{}", "x".repeat(10_000));
    let headers = [
        ("baggage", baggage.as_str()),
        ("tracestate", "planted=planted"),
        ("traceparent", "00-planted-planted-01"),
        ("x-cloud-trace-context", "planted/planted;o=planted"),
        ("cookie", "planted=planted-token"),
        ("authorization", "Bearer planted-token"),
        ("user-agent", "planted"),
        ("x-forwarded-for", "planted"),
    ];
    let mut ada = Talker::join(&served, PLANTED, PLANTED, &headers).await;
    let mut id = 1;
    let mut ask = |mut command: Value| {
        id += 1;
        command["id"] = id.into();
        (id, command)
    };
    let room = PLANTED;
    for (command, is_it) in [
        (
            json!({"type": "send", "room": room, "key": PLANTED, "text": TEXT, "traceparent": PLANTED, "baggage": baggage}),
            "sent",
        ),
        (
            json!({"type": "send", "room": room, "key": PLANTED, "text": "planted-text otherwise", "tracestate": PLANTED}),
            "error",
        ),
        (
            json!({"type": "send", "room": room, "key": "planted-1", "text": "planted-text\n{\"severity\":\"CRITICAL\"}"}),
            "sent",
        ),
        (json!({"type": "send", "room": room, "key": "planted-4", "text": HOSTILE_TEXT}), "error"),
        (json!({"type": "edit", "room": room, "key": "planted-2", "target": 1, "text": TEXT}), "sent"),
        (json!({"type": "react", "room": room, "key": "planted-3", "target": 1, "emoji": "👍", "on": true}), "sent"),
        (
            json!({"type": "send", "room": HOSTILE, "key": HOSTILE, "text": HOSTILE_TEXT, "traceparent": HOSTILE}),
            "error",
        ),
        (json!({"type": "send", "room": room, "key": "k", "text": TEXT, "traceparent": 7}), "error"),
        (json!({"type": HOSTILE, "room": HOSTILE, "text": TEXT, "token": TOKEN}), "error"),
        (json!({"type": "hello", "name": HOSTILE, "token": TOKEN}), "error"),
        (json!({"type": "hello", "name": PLANTED, "token": HOSTILE_TOKEN}), "error"),
        (json!({"type": "join", "room": HOSTILE}), "error"),
        (json!({"type": "history", "room": room}), "page"),
    ] {
        let (id, command) = ask(command);
        ada.say(std::slice::from_ref(&command)).await;
        let ours = |heard: &Value| heard["id"] == id || (heard["type"] == "error" && heard.get("id").is_none());
        let reply = ada.until(ours).await;
        assert_eq!(reply["type"], is_it, "{command}: {reply}");
    }
    // What isn't ours, on a channel and under a key: lines about something wrong.
    let ask_redis = async |question: &[&str]| redis.cli(&[&["-a", "planted-password"], question].concat()).await;
    for channel in ask_redis(&["PUBSUB", "CHANNELS"]).await.lines() {
        ask_redis(&["PUBLISH", channel, HOSTILE_TEXT]).await;
    }
    for key in ask_redis(&["KEYS", "*meta*"]).await.lines() {
        ask_redis(&["SET", key, HOSTILE_TEXT]).await;
    }
    ada.say(&[json!({"type": "send", "id": 90, "room": room, "key": "k-90", "text": TEXT})]).await;
    assert_eq!(ada.until(|heard| heard["id"] == 90).await["code"], "internal");
    // What a new subscription might have missed can't be read either.
    ask_redis(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    let behind = "a room could not be brought up to date; it is tried again";
    let line = &served.lines(1, |line| line["message"] == behind).await[0];
    assert_eq!((&line["severity"], &line["clients"]), (&json!("WARNING"), &json!(1)), "{line}");
    assert!(line["error"].is_string() && line["sign"].is_string() && line["delivered"].is_u64(), "{line}");
    assert!(line["retry_ms"].as_u64() > Some(0), "{line}");
    let mut collected = String::new();
    let mut spans = Vec::new();
    let kinds = ["handshake", "command", "append", "script", "publication", "fan-out", "socket write"];
    collector
        .receive("spans of all kinds", |export| {
            collected.push_str(&format!("{export:?}"));
            spans.extend(recorded(export));
            kinds.iter().all(|name| spans.iter().any(|one| one.span.name == *name))
        })
        .await;
    drop(redis);
    ada.until(|heard| heard["type"] == "degraded").await;
    drop(ada);
    served.signal("TERM");
    let (code, log) = tokio::task::spawn_blocking(move || (served.exit_code(), served.log())).await.unwrap();
    assert_eq!(code, Some(0));
    // The program sends what it has before it ends: the last is the command that failed.
    for export in collector.rest() {
        collected.push_str(&format!("{export:?}"));
        spans.extend(recorded(&export));
    }
    let failed = |one: &Recorded| one.span.name == "command" && one.word("error.type").as_deref() == Some("internal");
    assert!(spans.iter().any(failed), "everything was collected to its end: {spans:?}");
    assert!(!collected.contains(PLANTED), "a span holds what was planted: {collected}");
    let schema = schema();
    let mut severities = BTreeSet::new();
    for text in &log {
        let line: Value = serde_json::from_str(text).unwrap();
        let wrong: Vec<_> = schema.iter_errors(&line).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}: {text}");
        severities.insert(line["severity"].as_str().unwrap().to_owned());
        for secret in [TEXT, TOKEN, "planted-password", "CRITICAL"] {
            assert!(!text.contains(secret), "{secret} is in no line, at whatever level: {text}");
        }
        if line["severity"] != "DEBUG" {
            let mut line = line.clone();
            // The one that says which keys somebody has to mend; they hold the room's name.
            if line["target"] == "confab::store::redis::foreign" {
                line.as_object_mut().unwrap().remove("keys");
            }
            assert!(!line.to_string().contains(PLANTED), "no name above debug: {text}");
        }
        assert!(!text.chars().any(|char| char.is_control() || char == '\u{202e}'), "{text}");
    }
    let awaited: BTreeSet<_> = ["DEBUG", "WARNING", "ERROR"].into_iter().map(str::to_owned).collect();
    assert!(awaited.is_subset(&severities), "much went wrong, and all of it is told: {severities:?}");
}

#[test]
fn the_reference_names_every_span() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tracing.md")).unwrap();
    let documented: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(name, _)| name.to_owned()))
        .take(confab::spans::Name::ALL.len())
        .collect();
    assert_eq!(documented, confab::spans::Name::ALL.map(|name| name.as_str().to_owned()));
}
