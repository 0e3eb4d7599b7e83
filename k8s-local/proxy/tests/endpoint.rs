//! The one address of Redis leads where it is told, on real sockets.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;

use common::{UPGRADE, ends, get, head, instance, nobody, request};
use confab_proxy::endpoint::Endpoint;
use tokio::net::TcpListener;

#[tokio::test]
async fn a_failover_ends_the_connections_there_are_and_new_ones_reach_the_new_primary() {
    let (old, new) = (instance("old").await, instance("new").await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Endpoint::new(old.to_string());
    tokio::spawn(endpoint.clone().serve(listener));
    assert!(get(address, "").await.contains("\r\n\r\nold\n"));

    let mut held = request(address, &format!("{UPGRADE}\r\n")).await;
    assert!(head(&mut held).await.contains("\r\n\r\nold"));
    endpoint.lead_to(&new.to_string());
    ends(&mut held).await;
    assert!(get(address, "").await.contains("\r\n\r\nnew\n"));
}

#[tokio::test]
async fn a_connection_to_nobody_ends() {
    let (_held, nobody) = nobody();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Endpoint::new(nobody.to_string()).serve(listener));
    ends(&mut request(address, "PING\r\n").await).await;
}
