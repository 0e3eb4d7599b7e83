//! Traces and metrics, as a collector on loopback receives them from the program, and collectors that are no good.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

#[path = "common/served.rs"]
mod served;
#[path = "common/tls.rs"]
mod tls;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value as Number};
use prost::Message as _;
use serde_json::json;
use served::{PATIENCE, Served};
use tls::Tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// The length and the flag in front of a message of gRPC.
const GRPC_PREFIX_BYTES: usize = 5;

/// What arrives at a time.
#[derive(Debug)]
enum Export {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
}

/// A collector of OTLP over gRPC.
struct Collector {
    port: u16,
    exports: mpsc::Receiver<Export>,
}

impl Collector {
    async fn start() -> Self {
        Self::behind(None).await
    }

    async fn behind(tls: Option<&Tls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (to, exports) = mpsc::channel(1_000);
        let acceptor = tls.map(|tls| tls.acceptor.clone());
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (to, acceptor) = (to.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => collect(tcp, to).await,
                        Some(acceptor) => {
                            if let Ok(tls) = acceptor.accept(tcp).await {
                                collect(tls, to).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, exports }
    }

    /// Takes exports until what came shows what is looked for.
    async fn receive(&mut self, what: &str, mut shows: impl FnMut(&Export) -> bool) {
        let receiving = async { while !shows(&self.exports.recv().await.expect("the collector runs")) {} };
        timeout(PATIENCE, receiving).await.expect(what);
    }
}

async fn collect(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, to: mpsc::Sender<Export>) {
    let service = service_fn(move |request: Request<Incoming>| take(request, to.clone()));
    // How a connection ends is the exporter's business.
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// Answers one call as gRPC does: an empty message, and the status behind it.
async fn take(
    request: Request<Incoming>,
    to: mpsc::Sender<Export>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let message = &body[GRPC_PREFIX_BYTES..];
    let export = match path.as_str() {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => {
            Export::Traces(ExportTraceServiceRequest::decode(message).unwrap())
        }
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => {
            Export::Metrics(ExportMetricsServiceRequest::decode(message).unwrap())
        }
        other => panic!("an unexpected call: {other}"),
    };
    to.send(export).await.unwrap();
    let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from_static(&[0; GRPC_PREFIX_BYTES])).with_trailers(async { Some(Ok(status)) });
    Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
}

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

/// The numbers of all metrics, by name.
fn numbers(export: &Export) -> BTreeMap<String, i64> {
    let Export::Metrics(metrics) = export else { return BTreeMap::new() };
    let scopes = metrics.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    scopes
        .flat_map(|scope| &scope.metrics)
        .filter_map(|metric| match &metric.data {
            Some(Data::Sum(sum)) => match sum.data_points.first()?.value? {
                Number::AsInt(number) => Some((metric.name.clone(), number)),
                Number::AsDouble(_) => None,
            },
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
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        // As on one core: nothing that waits may hold up what it waits for.
        ("TOKIO_WORKER_THREADS", "1"),
    ]
}

/// Whether it holds the span of a request for a WebSocket to this service.
fn shows_the_upgrade(export: &Export) -> bool {
    spans(export, "request").iter().any(|[request, service]| {
        request.get("path").is_some_and(|path| path == "/ws")
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
    assert_eq!((counted["confab.sockets"], counted["confab.handshakes"], counted["confab.turned_away"]), (1, 1, 0));
    assert!(counted["confab.deliveries"] >= 4, "three replies and a message: {counted:?}");
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

#[tokio::test]
async fn a_collector_that_is_away_silent_or_not_trusted_hinders_nobody() {
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let untrusted = Collector::behind(Some(&Tls::new(&["h2"]))).await;
    for endpoint in [
        format!("http://{away}"),
        format!("http://{}", silent.local_addr().unwrap()),
        format!("https://localhost:{}", untrusted.port),
    ] {
        let mut served = Served::start(&settings(&endpoint));
        let mut client = served.sign_in().await;
        client.ask(json!({"type": "join", "id": 1, "room": "tea"})).await;
        client.ask(json!({"type": "send", "id": 2, "room": "tea", "key": "k", "text": "hi"})).await;
        drop(client);
        served.signal("TERM");
        let ended = tokio::task::spawn_blocking(move || served.exit_code()).await;
        assert_eq!(ended.unwrap(), Some(0), "{endpoint}");
    }
}

#[tokio::test]
async fn a_drain_ends_in_time_though_the_collector_is_silent_and_a_second_signal_ends_it_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    // The exporters' own patience is 5 s and more, for each.
    // Two different signals, because two of a kind may arrive as one.
    for (deadline_ms, signals, most) in
        [("3000", &["TERM"][..], Duration::from_secs(5)), ("60000", &["TERM", "INT"], Duration::from_secs(4))]
    {
        let drain = vec![("CONFAB__DRAIN__DEADLINE_MS", deadline_ms), ("CONFAB__DRAIN__SPREAD_MS", "1000")];
        let mut served = Served::start(&[settings(&endpoint), drain].concat());
        let client = served.sign_in().await;
        let started = Instant::now();
        signals.iter().for_each(|signal| served.signal(signal));
        let ended = tokio::task::spawn_blocking(move || served.exit_code()).await;
        assert_eq!(ended.unwrap(), Some(0));
        assert!(started.elapsed() < most, "{signals:?}: {:?}", started.elapsed());
        drop(client);
    }
}
