//! A collector of OTLP over gRPC, in the test's process.
#![allow(dead_code)] // every test file uses a part of it
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

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
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::served::PATIENCE;
use crate::tls::Tls;

/// The length and the flag in front of a message of gRPC.
const GRPC_PREFIX_BYTES: usize = 5;

/// What arrives at a time.
#[derive(Debug)]
pub enum Export {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
}

/// A collector of OTLP over gRPC.
pub struct Collector {
    pub port: u16,
    exports: mpsc::Receiver<Export>,
}

impl Collector {
    pub async fn start() -> Self {
        Self::behind(None).await
    }

    pub async fn behind(tls: Option<&Tls>) -> Self {
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

    /// Takes exports until what came shows what is looked for, or the time is over. Whether it came.
    pub async fn came_within(&mut self, within: Duration, mut shows: impl FnMut(&Export) -> bool) -> bool {
        let receiving = async { while !shows(&self.exports.recv().await.expect("the collector runs")) {} };
        timeout(within, receiving).await.is_ok()
    }

    /// Takes what has come and nobody has taken. An export is here before its sender knows that it is.
    pub fn rest(&mut self) -> Vec<Export> {
        std::iter::from_fn(|| self.exports.try_recv().ok()).collect()
    }

    /// Takes exports until what came shows what is looked for.
    pub async fn receive(&mut self, what: &str, mut shows: impl FnMut(&Export) -> bool) {
        let mut came = Vec::new();
        let receiving = async {
            loop {
                let export = self.exports.recv().await.expect("the collector runs");
                if shows(&export) {
                    return;
                }
                came.push(export);
            }
        };
        assert!(timeout(PATIENCE, receiving).await.is_ok(), "{what} doesn't come, but {came:?}");
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
