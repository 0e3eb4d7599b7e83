//! Instances behind a name, on real sockets; the answers for the name are the test's.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{UPGRADE, bytes, ends, head, instance, request, until};
use confab_proxy::pool::{Pool, State};
use confab_proxy::{discovery, front};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

#[tokio::test]
async fn sockets_outlive_a_name_that_cannot_be_resolved_and_end_with_an_instance_that_is_gone() {
    let here: BTreeSet<SocketAddr> = [instance("a").await].into();
    // What is said of the name: an error while it is `None`.
    let said = Mutex::new(Some(here.clone()));
    let asked = AtomicUsize::new(0);
    let resolve = async |_: &str| {
        asked.fetch_add(1, Ordering::Relaxed);
        said.lock().unwrap().clone().ok_or_else(|| io::Error::other("nobody answers for names"))
    };
    let pool = Pool::new(10);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(front::serve(listener, pool.clone(), Duration::from_secs(600)));
    let asked_again = async || {
        // The second question after this one began after it, and the first one's answer is in the pool by then.
        let enough = asked.load(Ordering::Relaxed) + 2;
        until("the name is asked for again", async || asked.load(Ordering::Relaxed) >= enough).await;
    };
    let test = async {
        until("it is ready", async || pool.instances().iter().any(|one| one.state() == State::Ready)).await;
        let one = Arc::clone(&pool.instances()[0]);
        let mut socket = request(address, &format!("{UPGRADE}\r\n")).await;
        assert!(head(&mut socket).await.starts_with("HTTP/1.1 101"));

        *said.lock().unwrap() = None;
        asked_again().await;
        assert!(Arc::ptr_eq(&pool.instances()[0], &one));
        socket.write_all(b"still here").await.unwrap();
        let mut echoed = Vec::new();
        // The instance greets before it echoes.
        while !echoed.ends_with(b"still here") {
            echoed.extend(bytes(&mut socket, 1).await);
        }

        *said.lock().unwrap() = Some(here.clone());
        asked_again().await;
        assert!(Arc::ptr_eq(&pool.instances()[0], &one));

        *said.lock().unwrap() = Some(BTreeSet::new());
        ends(&mut socket).await;
        assert!(pool.instances().is_empty());
    };
    tokio::select! {
        () = discovery::follow(vec!["confab:8080".to_owned()], pool.clone(), resolve) => unreachable!("it follows for ever"),
        () = test => {}
    }
}
