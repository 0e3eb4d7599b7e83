//! What a client and an instance see of each other through the front, on real sockets.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{UPGRADE, bytes, ends, get, head, instance, nobody, request};
use confab_proxy::front;
use confab_proxy::pool::{Instance, Pool, State};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// A request timeout that no test waits for.
const LONG: Duration = Duration::from_secs(600);

async fn fronted(instances: &[(&str, SocketAddr)], concurrency: usize, timeout: Duration) -> (SocketAddr, Pool) {
    let pool = Pool::new(concurrency);
    for (name, address) in instances {
        let one = Arc::new(Instance::new((*name).to_owned(), *address, None, 1));
        pool.set(&one, State::Ready);
        pool.add(one);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(front::serve(listener, pool.clone(), timeout));
    (address, pool)
}

#[tokio::test]
async fn an_instance_learns_who_the_client_is_and_what_it_claimed_stays_in_front() {
    let (address, _) = fronted(&[("a", instance("a").await)], 10, LONG).await;
    let answer = get(address, "X-Forwarded-For: 192.0.2.66\r\nX-Forwarded-Proto: https\r\n").await.to_lowercase();
    let entries: Vec<_> = answer.lines().filter_map(|line| line.strip_prefix("x-forwarded-for: ")).collect();
    assert_eq!(entries, ["192.0.2.66", "127.0.0.1"]);
    let schemes: Vec<_> = answer.lines().filter_map(|line| line.strip_prefix("x-forwarded-proto: ")).collect();
    assert_eq!(schemes, ["http"]);
}

#[tokio::test]
async fn what_concerns_one_connection_stays_there() {
    let (address, _) = fronted(&[("a", instance("a").await)], 10, LONG).await;
    let text = "GET / HTTP/1.1\r\nHost: chat\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\r\n";
    let answer = ends(&mut request(address, text).await).await;
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    for field in ["\nx-hop", "\nte:", "\nkeep-alive"] {
        assert!(!answer.contains(field), "{field:?} in {answer}");
    }
}

#[tokio::test]
async fn http_2_is_not_spoken() {
    let (address, _) = fronted(&[("a", instance("a").await)], 10, LONG).await;
    let answer = ends(&mut request(address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
}

#[tokio::test]
async fn bytes_right_behind_the_handshake_arrive_on_both_sides() {
    let (address, _) = fronted(&[("a", instance("a").await)], 10, LONG).await;
    let mut socket = request(address, &format!("{UPGRADE}\r\nearly")).await;
    let mut answer = head(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let wanted = "\r\n\r\na early";
    while answer.len() < answer.find("\r\n\r\n").unwrap() + wanted.len() {
        answer.push_str(std::str::from_utf8(&bytes(&mut socket, 1).await).unwrap());
    }
    assert!(answer.ends_with(wanted), "{answer}");
    socket.write_all(b"late").await.unwrap();
    assert_eq!(bytes(&mut socket, 4).await, b"late");
}

#[tokio::test]
async fn a_socket_is_cut_when_the_request_timeout_is_over() {
    // The handshake has to be through before.
    let timeout = Duration::from_secs(3);
    let (address, pool) = fronted(&[("a", instance("a").await)], 10, timeout).await;
    let begun = Instant::now();
    let mut socket = request(address, &format!("{UPGRADE}\r\n")).await;
    assert!(head(&mut socket).await.starts_with("HTTP/1.1 101"));
    ends(&mut socket).await;
    assert!(begun.elapsed() >= timeout);
    common::until("the seat is given back", async || pool.instances()[0].in_flight() == 0).await;
}

#[tokio::test]
async fn a_request_without_an_answer_gets_504() {
    let (address, _) = fronted(&[("a", instance("a").await)], 10, Duration::from_millis(300)).await;
    let answer = head(&mut request(address, "GET /silent HTTP/1.1\r\nHost: chat\r\n\r\n").await).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
}

#[tokio::test]
async fn all_sockets_can_be_cut_and_the_next_ones_live() {
    let (address, pool) = fronted(&[("a", instance("a").await)], 10, LONG).await;
    let mut before = request(address, &format!("{UPGRADE}\r\n")).await;
    head(&mut before).await;
    pool.cut();
    ends(&mut before).await;
    let mut after = request(address, &format!("{UPGRADE}\r\n")).await;
    assert!(head(&mut after).await.starts_with("HTTP/1.1 101"));
}

#[tokio::test]
async fn sockets_beyond_the_cap_of_one_instance_go_to_the_other() {
    let (address, pool) = fronted(&[("a", instance("a").await), ("b", instance("b").await)], 1, LONG).await;
    let cookie = format!("Cookie: x=1; {}=a\r\n", front::AFFINITY);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut socket = request(address, &format!("{UPGRADE}{cookie}\r\n")).await;
        assert!(head(&mut socket).await.starts_with("HTTP/1.1 101"));
        open.push(socket);
    }
    let in_flight: Vec<_> = pool.instances().iter().map(|one| one.in_flight()).collect();
    assert_eq!(in_flight, [1, 1]);
}

#[tokio::test]
async fn the_cookie_names_an_instance_and_is_followed() {
    let (address, _) = fronted(&[("a", instance("a").await), ("b", instance("b").await)], 10, LONG).await;
    let first = get(address, "").await;
    assert!(first.contains(&format!("set-cookie: {}=a; ", front::AFFINITY)), "{first}");
    for _ in 0..5 {
        let answer = get(address, &format!("Cookie: {}=b\r\n", front::AFFINITY)).await;
        assert!(answer.contains("\r\n\r\nb\n") && !answer.contains("set-cookie"), "{answer}");
    }
    let gone = get(address, &format!("Cookie: {}=gone\r\n", front::AFFINITY)).await;
    assert!(gone.contains("set-cookie"), "{gone}");
}

#[tokio::test]
async fn an_instance_that_refuses_connections_is_passed_over() {
    let (_held, nobody) = nobody();
    let (address, _) = fronted(&[("dead", nobody), ("b", instance("b").await)], 10, LONG).await;
    for _ in 0..5 {
        assert!(get(address, "").await.contains("\r\n\r\nb\n"));
    }
}

#[tokio::test]
async fn an_instance_that_refuses_connections_is_passed_over_even_where_the_other_one_is_fuller() {
    let (_held, nobody) = nobody();
    let (address, pool) = fronted(&[("dead", nobody), ("b", instance("b").await)], 10, LONG).await;
    let cookie = format!("Cookie: {}=b\r\n", front::AFFINITY);
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut socket = request(address, &format!("{UPGRADE}{cookie}\r\n")).await;
        assert!(head(&mut socket).await.starts_with("HTTP/1.1 101"));
        held.push(socket);
    }
    assert_eq!(pool.instances()[1].in_flight(), held.len());
    assert!(get(address, "").await.contains("\r\n\r\nb\n"));
}

#[tokio::test]
async fn a_request_waits_for_another_instance_where_the_only_one_refuses_connections() {
    let (_held, nobody) = nobody();
    let (address, pool) = fronted(&[("dead", nobody)], 10, LONG).await;
    let asked = tokio::spawn(async move { get(address, "").await });
    common::until("it waits", async || pool.waiting() == 1).await;
    let other = Arc::new(Instance::new("b".to_owned(), instance("b").await, None, 1));
    pool.set(&other, State::Ready);
    pool.add(other);
    assert!(common::within(asked).await.unwrap().contains("\r\n\r\nb\n"));
}

#[tokio::test]
async fn what_is_under_way_on_an_instance_ends_with_it() {
    let (address, pool) = fronted(&[("a", instance("a").await)], 10, LONG).await;
    let mut socket = request(address, &format!("{UPGRADE}\r\n")).await;
    head(&mut socket).await;
    let one = Arc::clone(&pool.instances()[0]);
    pool.remove(&one);
    ends(&mut socket).await;
}
