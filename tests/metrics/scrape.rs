//! One instance with an operations port, and what is read from it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::redis::free_port;
use crate::served::{PATIENCE, Served};

/// Ports that are tried. Another process may take one between its being found free and the instance's taking it.
const PORTS: usize = 5;

/// For a number that is awaited: what Redis is asked for now and then comes every 10 s.
const METRICS_WITHIN: Duration = Duration::from_secs(80);

/// Between two looks at a number that is awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// An instance with an operations port.
pub struct Instance {
    pub served: Served,
    pub ops: u16,
}

/// An answer of the port.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Instance {
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let start = || {
            let ops = free_port();
            let served = Served::start_or_end(&[settings, &[("CONFAB__OPS__PORT", &ops.to_string())]].concat())?;
            Some(Self { served, ops })
        };
        (0..PORTS).find_map(|_| start()).expect("one of several ports can be listened on")
    }

    pub async fn ask(&self, method: &str, path: &str, fields: &[&str], body: &str) -> Answer {
        self.ask_as("127.0.0.1", method, path, fields, body).await
    }

    /// By a name of the host.
    pub async fn ask_as(&self, host: &str, method: &str, path: &str, fields: &[&str], body: &str) -> Answer {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n{body}",
            body.len()
        );
        let answer = async {
            let mut tcp = TcpStream::connect(("127.0.0.1", self.ops)).await.unwrap();
            tcp.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = timeout(PATIENCE, answer).await.expect("the operations port answers");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// `/metrics` as it stands.
    pub async fn metrics(&self) -> String {
        let answer = self.ask("GET", "/metrics", &[], "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Waits until a number is as it should be, and returns everything.
    pub async fn until(&self, sample: &str, is: impl Fn(f64) -> bool) -> String {
        self.until_told(sample, |text| is(value(text, sample))).await
    }

    /// Waits until the metrics tell something, and returns them.
    pub async fn until_told(&self, what: &str, tell: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + METRICS_WITHIN;
        loop {
            let text = self.metrics().await;
            if tell(&text) {
                return text;
            }
            let moved: Vec<_> = text.lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0")).collect();
            assert!(Instant::now() < deadline, "{what}: not after {METRICS_WITHIN:?}: {moved:#?}");
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// The sum of the samples that begin so: of one series, or of all of a metric.
pub fn value(text: &str, sample: &str) -> f64 {
    let of = |line: &str| {
        let rest = line.strip_prefix(sample)?;
        let exact = rest.starts_with(['{', ' ']) || sample.ends_with('}');
        exact.then(|| line.rsplit(' ').next()?.parse::<f64>().ok())?
    };
    text.lines().filter_map(of).sum()
}

/// The families as the strict parser of Prometheus's own client reads them. It refuses what isn't OpenMetrics.
pub fn parse(text: &str) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let brought = Command::new(root.join("tests/metrics/parser")).status().unwrap();
    assert!(brought.success(), "tests/metrics/parser brings the parser");
    let mut parser = Command::new(root.join(".cache/metrics/bin/python"))
        .arg(root.join("tests/metrics/parse.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    parser.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = parser.wait_with_output().unwrap();
    assert!(output.status.success(), "the parser refuses it");
    serde_json::from_slice(&output.stdout).unwrap()
}
