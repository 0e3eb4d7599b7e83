//! Starts that can't succeed, each with one clear line and without a secret.

use std::sync::Arc;
use std::time::Duration;

use confab::store::redis::{Options, Password, Redis, Tls};
use tokio::time::sleep;

use crate::redis_server::RedisServer;
use crate::world::*;

/// What a start says that is given little time.
async fn complaint(options: Options) -> String {
    let options = Options { startup_timeout: Duration::from_millis(700), ..options };
    let Err(error) = Redis::connect(options, Arc::new(fast()), None).await else { panic!("it started") };
    let line = error.to_string();
    assert!(!line.contains('\n') && !line.contains("hunter2"), "{line}");
    line
}

fn password(text: &str) -> Password {
    Password::Fixed(text.to_owned())
}

#[tokio::test]
async fn every_wrong_way_to_redis_is_told_in_one_line() {
    let open = RedisServer::start().await;
    let closed = RedisServer::with(&["--requirepass", "right"]).await;
    let tls = || Some(Tls { ca_file: None, check_name: true });
    let here = |server: &RedisServer| options(server.port());
    for (what, options, says) in [
        ("port", options(1), "127.0.0.1:1 without TLS"),
        ("host", Options { host: "no-such-host.invalid".to_owned(), ..here(&open) }, "no-such-host.invalid:"),
        ("no password", here(&closed), "store.password"),
        ("wrong password", Options { password: password("hunter2"), ..here(&closed) }, "store.password"),
        ("needless password", Options { password: password("hunter2"), ..here(&open) }, "store.password"),
        ("user", Options { user: Some("eve".to_owned()), password: password("hunter2"), ..here(&open) }, "user"),
        ("database", Options { database: 99, ..here(&open) }, "database"),
        ("TLS against plain", Options { tls: tls(), ..here(&open) }, "with TLS"),
        (
            "no CA file",
            Options { tls: Some(Tls { ca_file: Some("/nowhere/ca.pem".into()), check_name: true }), ..here(&open) },
            "/nowhere/ca.pem",
        ),
    ] {
        let line = complaint(options).await;
        assert!(line.contains(says), "{what}: {line}");
    }
}

#[tokio::test]
async fn a_start_waits_for_a_redis_that_comes_later() {
    let port = RedisServer::start().await.stop();
    let starting = tokio::spawn(async move { connect(options(port)).await });
    sleep(Duration::from_millis(300)).await;
    assert!(!starting.is_finished());
    let _server = RedisServer::on(port, &[]).await;
    let (store, _feed) = starting.await.unwrap();
    write(&store, "r", "k").await;
}

#[tokio::test]
async fn the_key_for_guest_tokens_is_made_once() {
    let server = RedisServer::start().await;
    let mut keys = Vec::new();
    for proposal in ["first", "second"] {
        let connected = Redis::connect(options(server.port()), Arc::new(fast()), Some(proposal)).await.unwrap();
        keys.push(connected.guest_key);
    }
    assert_eq!(keys, [Some("first".to_owned()), Some("first".to_owned())]);
}

#[tokio::test]
async fn the_proof_of_the_path_leaves_nothing_behind() {
    let server = RedisServer::start().await;
    let _connected = connect(options(server.port())).await;
    assert_eq!(server.cli(&["KEYS", "*"]).await.trim(), "");
}
