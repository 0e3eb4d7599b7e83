//! Traces and metrics, as a collector on loopback receives them from the program, and collectors that are no good.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

#[path = "common/collector.rs"]
mod collector;
#[path = "common/served.rs"]
mod served;
#[path = "common/tls.rs"]
mod tls;

use std::collections::BTreeMap;
use std::time::Duration;

use collector::{Collector, Export};
use futures_util::SinkExt as _;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric::Data, number_data_point::Value as Number};
use serde_json::{Value, json};
use served::Served;
use tls::Tls;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

/// What is logged where the last exports take too long.
const GIVEN_UP: &str = "the collector is too slow for the last traces and metrics";

/// An exporter that fails writes one line in this time.
const ONE_LINE_IN: Duration = Duration::from_secs(60);

/// Attributes whose value is a text.
fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some((attribute.key.clone(), text.clone())),
        _ => None,
    };
    attributes.iter().filter_map(text).collect()
}

/// The attributes of the spans of a name, and those of the service that made them.
fn spans(export: &Export, name: &str) -> Vec<[BTreeMap<String, String>; 2]> {
    let Export::Traces(traces) = export else { return Vec::new() };
    let mut found = Vec::new();
    for resource in &traces.resource_spans {
        let service = texts(&resource.resource.as_ref().unwrap().attributes);
        let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
        found.extend(spans.filter(|span| span.name == name).map(|span| [texts(&span.attributes), service.clone()]));
    }
    found
}

fn whole(points: &[NumberDataPoint]) -> Option<i64> {
    points.iter().map(|point| if let Some(Number::AsInt(number)) = point.value { Some(number) } else { None }).sum()
}

/// The numbers of all metrics but histograms, by name: the sum over all series.
fn numbers(export: &Export) -> BTreeMap<String, i64> {
    let Export::Metrics(metrics) = export else { return BTreeMap::new() };
    let scopes = metrics.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    scopes
        .flat_map(|scope| &scope.metrics)
        .filter_map(|metric| match &metric.data {
            Some(Data::Sum(sum)) => Some((metric.name.clone(), whole(&sum.data_points)?)),
            Some(Data::Gauge(gauge)) => Some((metric.name.clone(), whole(&gauge.data_points)?)),
            _ => None,
        })
        .collect()
}

fn settings(endpoint: &str) -> Vec<(&str, &str)> {
    vec![
        ("CONFAB__INSTANCE", "test-1"),
        ("CONFAB__TELEMETRY__OTLP_ENDPOINT", endpoint),
        ("CONFAB__TELEMETRY__TRACE_RATIO", "1"),
        ("CONFAB__TELEMETRY__METRICS_INTERVAL_MS", "100"),
        ("CONFAB__LIMITS__SENDS_PER_SECOND", "1000000"),
        ("CONFAB__LIMITS__SEND_BURST", "1000000"),
        ("CONFAB__LIMITS__COMMANDS_PER_SECOND", "1000000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        // As on one core: nothing that waits may hold up what it waits for.
        ("TOKIO_WORKER_THREADS", "1"),
    ]
}

/// Whether it holds the span of a request for a WebSocket to this service.
fn shows_the_upgrade(export: &Export) -> bool {
    spans(export, "handshake").iter().any(|[request, service]| {
        request.get("http.route").is_some_and(|route| route == "/ws")
            && service.get("service.name").is_some_and(|name| name == "confab")
            && service.get("service.instance.id").is_some_and(|instance| instance == "test-1")
    })
}

#[tokio::test]
async fn traces_and_metrics_reach_a_collector() {
    let mut collector = Collector::start().await;
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    let served = Served::start(&settings(&endpoint));
    let mut client = served.sign_in().await;
    client.ask(json!({"type": "join", "id": 1, "room": "tea"})).await;
    client.ask(json!({"type": "send", "id": 2, "room": "tea", "key": "k", "text": "not for collectors"})).await;
    let (mut traced, mut counted) = (false, BTreeMap::new());
    collector
        .receive("a trace of the upgrade, and metrics that count the commands", |export| {
            let all = format!("{export:?}");
            assert!(!all.contains("not for collectors"), "a text left the chat: {all}");
            traced |= shows_the_upgrade(export);
            counted.extend(numbers(export));
            traced && counted.get("confab.commands").is_some_and(|commands| *commands == 3)
        })
        .await;
    assert_eq!((counted["confab.sockets"], counted["confab.handshakes"], counted["confab.closes"]), (1, 1, 0));
    assert!(counted["confab.deliveries"] >= 4, "three replies and a message: {counted:?}");
}

#[tokio::test]
async fn what_a_socketio_client_sends_in_vain_is_counted() {
    let mut collector = Collector::start().await;
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    let served = Served::start(&settings(&endpoint));
    let url = format!("ws://127.0.0.1:{}/socket.io/?EIO=4&transport=websocket", served.port);
    let stream = TcpStream::connect(format!("127.0.0.1:{}", served.port)).await.unwrap();
    let (mut client, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    for packet in ["40", r#"42["drawing",{"x":1}]"#, r#"42["signin"]"#, r#"437["an answer to nothing"]"#] {
        client.send(Message::text(packet)).await.unwrap();
    }
    collector.receive("a count of three", |export| numbers(export).get("confab.ignored") == Some(&3)).await;
}

#[tokio::test]
async fn what_is_left_at_the_end_is_sent_before_the_program_ends() {
    let mut collector = Collector::start().await;
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    let mut served =
        Served::start(&[settings(&endpoint), vec![("CONFAB__TELEMETRY__METRICS_INTERVAL_MS", "3600000")]].concat());
    drop(served.sign_in().await);
    served.signal("TERM");
    let ended = tokio::task::spawn_blocking(move || served.exit_code());
    let (mut traced, mut counted) = (false, false);
    collector
        .receive("the last traces and metrics", |export| {
            traced |= shows_the_upgrade(export);
            counted |= numbers(export).get("confab.handshakes") == Some(&1);
            traced && counted
        })
        .await;
    assert_eq!(ended.await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_collector_behind_tls_is_reached_where_its_certificate_can_be_trusted() {
    let tls = Tls::new(&["h2"]);
    let mut collector = Collector::behind(Some(&tls)).await;
    let endpoint = format!("https://localhost:{}", collector.port);
    let ca_file = tls.ca_file();
    let served = Served::start(&[settings(&endpoint), vec![("SSL_CERT_FILE", ca_file.to_str().unwrap())]].concat());
    served.sign_in().await;
    collector.receive("a trace of the upgrade", shows_the_upgrade).await;
}

/// Answers everything with what is no HTTP/2.
async fn garbage() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(async move { while tcp.write_all(b"\0\xff garbage \r\n\r\n").await.is_ok() {} });
        }
    });
    port
}

/// What exporters have logged, by what they say.
fn lines_about_exports(log: &[String]) -> BTreeMap<String, u64> {
    let mut lines = BTreeMap::new();
    for line in log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let target = line["target"].as_str().unwrap();
        if target.starts_with("opentelemetry") || target == "confab::export" {
            *lines.entry(line["message"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    lines
}

/// Two members, one of whom writes and one of whom only hears: every message comes, in its order, and once.
async fn delivery_is_as_it_is_without_a_collector(served: &Served) {
    let (mut ada, mut bea) = (served.sign_in().await, served.sign_in().await);
    for client in [&mut ada, &mut bea] {
        client.ask(json!({"type": "join", "id": 1, "room": "tea"})).await;
    }
    // Each is some ten spans, and all several times what the queue holds.
    let ids: Vec<u64> = (2..600).collect();
    for id in &ids {
        ada.ask(json!({"type": "send", "id": id, "room": "tea", "key": id.to_string(), "text": id.to_string()})).await;
    }
    let heard = bea.messages(ids.len()).await;
    let said: Vec<_> = ids.iter().zip(1..).map(|(id, offset)| (json!(offset), json!(id.to_string()))).collect();
    let heard: Vec<_> = heard.iter().map(|message| (message["offset"].clone(), message["text"].clone())).collect();
    assert_eq!(heard, said);
}

/// How collectors are no good.
enum Collecting {
    /// Exports fail, and each of the two exporters says so.
    Fails,
    /// Exports are never answered, and what is left at the end is given up.
    Hangs,
}

#[tokio::test]
async fn a_collector_that_is_away_silent_wrong_or_not_trusted_hinders_nobody_and_is_logged_once() {
    // Bound, so that nobody else gets the port, and not listening.
    let away = TcpSocket::new_v4().unwrap();
    away.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let untrusted = Collector::behind(Some(&Tls::new(&["h2"]))).await;
    for (endpoint, how) in [
        (format!("http://{}", away.local_addr().unwrap()), Collecting::Fails),
        (format!("http://{}", silent.local_addr().unwrap()), Collecting::Hangs),
        (format!("https://localhost:{}", untrusted.port), Collecting::Fails),
        (format!("http://127.0.0.1:{}", garbage().await), Collecting::Fails),
    ] {
        let started = Instant::now();
        let mut served = Served::start(&settings(&endpoint));
        delivery_is_as_it_is_without_a_collector(&served).await;
        let exporters = ["BatchSpanProcessor.ExportError", "metrics could not be sent to the collector"];
        if matches!(how, Collecting::Fails) {
            for said in exporters {
                served.lines(1, |line| line["message"] == said).await;
            }
        }
        served.signal("TERM");
        let ended = tokio::task::spawn_blocking(move || (served.exit_code(), served.log())).await;
        let (code, log) = ended.unwrap();
        assert_eq!(code, Some(0), "{endpoint}");
        let lines = lines_about_exports(&log);
        // One, unless the machine is so slow that another may be written meanwhile.
        let at_most = 1 + started.elapsed().as_secs() / ONE_LINE_IN.as_secs();
        assert!(lines.values().all(|count| *count <= at_most), "{endpoint}: at most {at_most}: {lines:?}");
        if matches!(how, Collecting::Hangs) {
            assert!(log.iter().any(|line| line.contains(GIVEN_UP)), "{endpoint}: {log:#?}");
        }
    }
}

#[tokio::test]
async fn a_drain_ends_in_time_though_the_collector_is_silent_and_a_second_signal_ends_it_at_once() {
    /// Far more than it takes, and far less than the exporter of spans would wait.
    const AT_MOST: Duration = Duration::from_secs(20);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    // Two different signals, because two of a kind may arrive as one.
    for (deadline_ms, signals) in [("3000", &["TERM"][..]), ("60000", &["TERM", "INT"])] {
        let patience = vec![
            ("CONFAB__DRAIN__DEADLINE_MS", deadline_ms),
            ("CONFAB__DRAIN__SPREAD_MS", "1000"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"),
        ];
        let mut served = Served::start(&[settings(&endpoint), patience].concat());
        let client = served.sign_in().await;
        let started = Instant::now();
        signals.iter().for_each(|signal| served.signal(signal));
        let ended = tokio::task::spawn_blocking(move || (served.exit_code(), served.log())).await;
        let (code, log) = ended.unwrap();
        assert_eq!(code, Some(0));
        assert!(started.elapsed() < AT_MOST, "{signals:?}: {:?}", started.elapsed());
        let given_up = log.iter().any(|line| line.contains(GIVEN_UP));
        assert_eq!(
            given_up,
            signals.len() == 1,
            "after one signal what is left is given up, after two nothing is tried"
        );
        drop(client);
    }
}
