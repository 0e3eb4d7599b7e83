//! Instances as processes: the program itself is run, and told what to do over its control socket.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::{get, until, within};
use confab_proxy::control::tell;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// A proxy with instances of its own.
struct Proxy {
    process: Child,
    address: SocketAddr,
    control: PathBuf,
    _dir: TempDir,
}

impl Proxy {
    fn start(settings: &[&str], container: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let control = dir.path().join("control");
        let mut process = Command::new(env!("CARGO_BIN_EXE_confab-proxy"))
            .args(["front", "--listen", "127.0.0.1:0", "--logs"])
            .arg(dir.path())
            .arg("--control")
            .arg(&control)
            .args(settings)
            .args(["--", "python3", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/instance.py")])
            .args(container)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
        Self { process, address, control, _dir: dir }
    }

    async fn tell(&self, command: &str) -> Value {
        within(tell(&self.control, command)).await.unwrap()
    }

    /// Name, process and state of each instance.
    async fn instances(&self) -> Vec<(String, i32, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let status = self.tell("status").await;
        let instances = status["instances"].as_array().unwrap().clone();
        instances
            .iter()
            .map(|one| (text(&one["name"]), i32::try_from(one["pid"].as_i64().unwrap()).unwrap(), text(&one["state"])))
            .collect()
    }

    async fn ready(&self, count: usize) -> Vec<(String, i32, String)> {
        until("so many instances are ready", async || {
            let instances = self.instances().await;
            instances.len() == count && instances.iter().all(|(.., state)| state == "ready")
        })
        .await;
        self.instances().await
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether there is such a process; one that ended and wasn't waited for is none.
fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

#[tokio::test]
async fn the_first_request_starts_an_instance_and_idleness_stops_it() {
    let proxy = Proxy::start(&["--minimum", "0", "--idle-ms", "300"], &[]);
    assert!(proxy.instances().await.is_empty());
    let answer = get(proxy.address, "").await;
    assert!(answer.contains("service=confab"));
    let pid = answer.split("pid=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    until("no instance is left", async || proxy.instances().await.is_empty()).await;
    assert!(!lives(pid));
    assert!(get(proxy.address, "").await.contains("service=confab"));
}

#[tokio::test]
async fn a_killed_instance_is_replaced() {
    let proxy = Proxy::start(&["--minimum", "1"], &[]);
    let (name, pid, _) = proxy.ready(1).await.remove(0);
    proxy.tell(&format!("kill {name}")).await;
    until("another one is ready", async || {
        let instances = proxy.instances().await;
        instances.len() == 1 && instances[0].1 != pid && instances[0].2 == "ready"
    })
    .await;
    assert!(!lives(pid));
}

#[tokio::test]
async fn a_new_revision_takes_the_place_of_the_old_one() {
    let proxy = Proxy::start(&["--minimum", "2"], &[]);
    let old: BTreeSet<_> = proxy.ready(2).await.into_iter().map(|(_, pid, _)| pid).collect();
    assert!(get(proxy.address, "").await.contains("revision=confab-00001-local"));
    let rolled = proxy.tell("roll").await;
    assert!(rolled["error"].is_null(), "{rolled}");
    until("the old ones are gone", async || !old.iter().any(|&pid| lives(pid))).await;
    proxy.ready(2).await;
    assert!(get(proxy.address, "").await.contains("revision=confab-00002-local"));
}

#[tokio::test]
async fn the_status_says_of_every_instance_whether_it_reaches_redis() {
    for (container, reaches) in [(&[][..], true), (&["--store-away"][..], false)] {
        let proxy = Proxy::start(&["--minimum", "2"], container);
        // Ready in either case: an outage must not take all instances out.
        proxy.ready(2).await;
        // One that takes its time to answer is taken for one that doesn't reach it, so a busy machine is asked again.
        until("each says what is so", async || {
            let status = proxy.tell("status").await;
            let said: Vec<_> =
                status["instances"].as_array().unwrap().iter().map(|one| &one["reaches_redis"]).collect();
            said == [reaches; 2]
        })
        .await;
    }
}

#[tokio::test]
async fn a_frozen_instance_is_said_to_be_frozen_and_not_to_reach_redis() {
    let proxy = Proxy::start(&["--minimum", "1"], &[]);
    let (name, ..) = proxy.ready(1).await.remove(0);
    proxy.tell(&format!("freeze {name}")).await;
    let said = async |frozen: bool| {
        let status = proxy.tell("status").await;
        status["instances"][0]["reaches_redis"] == !frozen && status["instances"][0]["frozen"] == frozen
    };
    until("it is said to be frozen", async || said(true).await).await;
    proxy.tell(&format!("thaw {name}")).await;
    until("it reaches it again", async || said(false).await).await;
}

#[tokio::test]
async fn an_instance_that_ignores_sigterm_is_killed_after_the_grace() {
    let proxy = Proxy::start(&["--minimum", "1"], &["--stubborn"]);
    let (name, pid, _) = proxy.ready(1).await.remove(0);
    let begun = Instant::now();
    proxy.tell(&format!("stop {name}")).await;
    until("it is gone", async || !lives(pid)).await;
    assert!(begun.elapsed() >= confab_proxy::fleet::GRACE);
}

#[tokio::test]
async fn nothing_is_left_when_the_proxy_ends_or_is_killed() {
    for how in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut proxy = Proxy::start(&["--minimum", "2"], &[]);
        let pids: Vec<_> = proxy.ready(2).await.into_iter().map(|(_, pid, _)| pid).collect();
        proxy.signal(how);
        until("the proxy has ended", async || proxy.process.try_wait().unwrap().is_some()).await;
        until("so have the instances", async || !pids.iter().any(|&pid| lives(pid))).await;
        assert_eq!(how == Signal::SIGTERM, !proxy.control.exists());
    }
}

#[tokio::test]
async fn a_wrong_command_is_told_which_ones_there_are() {
    let proxy = Proxy::start(&["--minimum", "0"], &[]);
    assert!(proxy.tell("dance").await["error"].as_str().unwrap().contains("status, cut, roll"));
    assert!(proxy.tell("kill nobody").await["error"].as_str().unwrap().contains("\"nobody\""));
}
