//! What the operations port answers, to whom, and how much it can be asked.

use std::time::Duration;

use confab::metrics::{Kind, LIST};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::scrape::{Instance, parse, value};
use crate::served::{PATIENCE, Served};

const TOKEN: &str = "an-ops-token-of-enough-characters";

#[tokio::test]
async fn what_is_scraped_is_open_metrics_and_holds_the_whole_list() {
    let instance = Instance::start(&[]);
    let answer = instance.ask("GET", "/metrics", &[], "").await;
    assert!(answer.head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let families = parse(&answer.body);
    assert_eq!(families.len(), LIST.len());
    for (metric, family) in LIST.iter().zip(&families) {
        let name = metric.open_metrics_name();
        assert!(name.starts_with(family["name"].as_str().unwrap()), "{name}: {family}");
        assert_eq!(family["type"], metric.kind.as_str(), "{name}");
        assert_eq!(family["help"], metric.sentence(), "{name}");
        let samples = family["samples"].as_array().unwrap();
        let per_series = if metric.kind == Kind::Histogram { metric.bounds.len() + 3 } else { 1 };
        assert_eq!(samples.len(), metric.series() * per_series, "{name}");
    }
}

#[tokio::test]
async fn nothing_that_a_client_sends_becomes_a_series_or_is_shown() {
    let instance = Instance::start(&[("CONFAB__OPS__TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let before = instance.ask("GET", "/metrics", &[&bearer], "").await.body;
    let mut client = instance.served.sign_in().await;
    let planted = "planted-x7f3";
    client.say(json!({"type": "hello", "id": 0, "name": format!("{planted} name")})).await;
    let mut id = 0;
    for n in 0..50 {
        let (good, bad) = (format!("{planted} {n}"), format!("{planted}-room-{n}\u{2028}\"}}"));
        for mut command in [
            json!({"type": "hello", "name": "x", "token": format!("{planted}.token.{n}")}),
            json!({"type": "join", "room": good}),
            json!({"type": "join", "room": bad}),
            json!({"type": "send", "room": good, "key": planted, "text": format!("{planted} text")}),
            json!({"type": format!("{planted}-type-{n}")}),
        ] {
            id += 1;
            command["id"] = json!(id);
            client.say(command).await;
        }
    }
    let after = instance.ask("GET", &format!("/metrics?{planted}"), &[&bearer], "").await.body;
    let series = |text: &str| -> Vec<String> {
        let name = |line: &str| line.rsplit_once(' ').map(|(name, _)| name.to_owned());
        text.lines().filter(|line| !line.starts_with('#')).filter_map(name).collect()
    };
    assert_eq!(series(&after), series(&before));
    assert!(value(&after, "confab_commands_total{type=\"unreadable\",outcome=\"refused\"}") >= 50.0);
    for secret in [planted, TOKEN, "Ada"] {
        assert!(!after.contains(secret), "{secret} is in the metrics");
    }
    let log = instance.served.log().join("\n");
    assert!(!log.contains(TOKEN) && !log.contains("planted"), "{log}");
}

#[tokio::test]
async fn who_has_the_token_may_ask_and_a_page_may_not() {
    let instance = Instance::start(&[("CONFAB__OPS__TOKEN", TOKEN), ("CONFAB__OPS__ADDRESS", "0.0.0.0")]);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let longer = format!("{bearer}x");
    for (method, path) in [("GET", "/metrics"), ("GET", "/rooms"), ("GET", "/log"), ("PUT", "/log"), ("POST", "/drain")]
    {
        for fields in [&[][..], &["Authorization: Bearer wrong"], &["Authorization: Basic eA=="], &[longer.as_str()]] {
            let answer = instance.ask(method, path, fields, "").await;
            assert_eq!(answer.status, 401, "{method} {path} {fields:?}");
            assert!(answer.head.contains("www-authenticate: bearer"));
        }
    }
    let page = instance.ask("POST", "/drain", &[&bearer, "Origin: http://127.0.0.1"], "").await;
    assert_eq!(page.status, 403, "{}", page.body);
    assert_eq!(instance.ask("GET", "/health/live", &[], "").await.status, 200);
    assert_eq!(instance.ask("GET", "/metrics", &[&bearer], "").await.status, 200);
    assert_eq!(instance.ask("POST", "/metrics", &[&bearer], "").await.status, 405);
    assert_eq!(instance.ask("GET", "/nothing", &[&bearer], "").await.status, 404);
}

#[tokio::test]
async fn without_a_token_a_page_cannot_ask_by_a_name_that_leads_here() {
    let open = Instance::start(&[]);
    let port = open.ops;
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", "localhost.evil", "", "a b"]
    {
        for (method, path) in [("GET", "/metrics"), ("GET", "/rooms"), ("PUT", "/log"), ("POST", "/drain")] {
            let answer = open.ask_as(host, method, path, &[], "").await;
            assert!(matches!(answer.status, 400 | 403), "{host} {path}: {}", answer.body);
        }
        if !host.contains(' ') && !host.is_empty() {
            let told = open.ask_as(host, "GET", "/metrics", &[], "").await.body;
            assert!(told.contains("by an IP address or as localhost, or set ops.token"), "{told}");
        }
    }
    for host in ["localhost", &format!("127.0.0.1:{port}"), "[::1]:9090", "10.0.0.7", "LOCALHOST:1"] {
        assert_eq!(open.ask_as(host, "GET", "/metrics", &[], "").await.status, 200, "{host}");
    }
    let twice = open.ask("GET", "/metrics", &["Host: evil.example"], "").await;
    assert!(matches!(twice.status, 400 | 403), "{}", twice.body);
    assert_eq!(open.ask_as("evil.example", "GET", "/health/live", &[], "").await.status, 200);
    let closed = Instance::start(&[("CONFAB__OPS__TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(closed.ask_as("confab.example", "GET", "/metrics", &[&bearer], "").await.status, 200);
}

#[tokio::test]
async fn who_may_not_ask_is_told_before_a_body_comes() {
    let closed = Instance::start(&[("CONFAB__OPS__TOKEN", TOKEN)]);
    let open = Instance::start(&[]);
    for (port, fields, status) in [
        (closed.ops, "Host: 127.0.0.1\r\nAuthorization: Bearer wrong", "401"),
        (open.ops, "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1", "403"),
        (open.ops, "Host: evil.example", "403"),
    ] {
        let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let head = format!("PUT /log HTTP/1.1\r\n{fields}\r\nContent-Length: 1000\r\n\r\n");
        tcp.write_all(head.as_bytes()).await.unwrap();
        let mut line = vec![0; format!("HTTP/1.1 {status}").len()];
        // Nothing of the body is ever sent.
        timeout(PATIENCE, tcp.read_exact(&mut line)).await.expect("an answer comes").unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), format!("HTTP/1.1 {status}"), "{fields}");
    }
}

#[tokio::test]
async fn many_who_hold_their_connections_do_not_keep_a_question_for_liveness_out() {
    let instance = Instance::start(&[]);
    let mut held = Vec::new();
    // If each of these had to be waited for it would take longer than the test does.
    for _ in 0..400 {
        let mut tcp = TcpStream::connect(("127.0.0.1", instance.ops)).await.unwrap();
        // Some are ended while they say it.
        let _ = tcp.write_all(b"GET /metrics HTTP/1.1\r\nHost:").await;
        held.push(tcp);
    }
    assert_eq!(instance.ask("GET", "/health/live", &[], "").await.status, 200);
    assert_eq!(instance.ask("GET", "/metrics", &[], "").await.status, 200);
}

#[tokio::test]
async fn who_may_not_ask_does_not_cut_off_who_is_being_answered_and_the_log_tells_of_the_crowd() {
    const FULL: &str = "the operations port is full; a connection was ended for a new one";
    let instance = Instance::start(&[("CONFAB__OPS__TOKEN", TOKEN)]);
    let mut asking = TcpStream::connect(("127.0.0.1", instance.ops)).await.unwrap();
    let head = format!("PUT /log HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n");
    asking.write_all(format!("{head}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n").as_bytes()).await.unwrap();
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    timeout(PATIENCE, asking.read_exact(&mut go_on)).await.expect("its body is asked for").unwrap();
    assert_eq!(String::from_utf8_lossy(&go_on), "HTTP/1.1 100 Continue\r\n\r\n");

    let mut held = Vec::new();
    // Several times as many as there are places.
    for _ in 0..200 {
        held.push(TcpStream::connect(("127.0.0.1", instance.ops)).await.unwrap());
    }
    let line = &instance.served.lines(1, |line| line["message"] == FULL).await[0];
    assert_eq!((&line["severity"], &line["admitted"]), (&json!("WARNING"), &json!(false)), "{line}");
    // They come in their order: all before it have their place, or have lost it.
    assert_eq!(instance.ask("GET", "/health/live", &[], "").await.status, 200);
    asking.write_all(b"warn").await.unwrap();
    let mut status = vec![0; "HTTP/1.1 200".len()];
    timeout(PATIENCE, asking.read_exact(&mut status)).await.expect("an answer comes").expect("it is not cut off");
    // On a machine so busy that the body comes too late that is what is answered.
    assert!(matches!(status.as_slice(), b"HTTP/1.1 200" | b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&status));
}

#[tokio::test]
async fn a_port_that_others_reach_needs_a_token() {
    let served = Served::start(&[]);
    let open = [("CONFAB__OPS__PORT", "9090"), ("CONFAB__OPS__ADDRESS", "0.0.0.0")];
    let refused = served.run_with(&open, &["check"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(64), "{said}");
    assert!(said.contains("ops.address") && said.contains("CONFAB__OPS__TOKEN_FILE"), "{said}");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, format!("{TOKEN}\n").as_bytes()).unwrap();
    let with_file = [open.as_slice(), &[("CONFAB__OPS__TOKEN_FILE", file.path().to_str().unwrap())]].concat();
    let checked = served.run_with(&with_file, &["check"]);
    let printed = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(0), "{printed}");
    assert!(!printed.contains(TOKEN), "{printed}");
}

#[tokio::test]
async fn what_is_logged_is_changed_while_it_runs_and_a_slip_of_the_pen_is_told() {
    let instance = Instance::start(&[]);
    for typo in ["inof", "confeb=debug", "confab=debgu", "", "info,", "\u{fffd}", &"x".repeat(2_000)] {
        let answer = instance.ask("PUT", "/log", &[], typo).await;
        assert_eq!(answer.status, 400, "{typo}: {}", answer.body);
        assert!(answer.body.contains("such as info or warn,confab=debug"), "{}", answer.body);
    }
    let log = |answer: &str| serde_json::from_str::<Value>(answer).unwrap()["log"].clone();
    assert_eq!(log(&instance.ask("PUT", "/log", &[], "warn,confab=debug").await.body), "warn,confab=debug");
    assert_eq!(log(&instance.ask("GET", "/log", &[], "").await.body), "warn,confab=debug");
    // A signal goes back to the setting, the next one to more than that.
    for expected in ["info", "info,confab=debug", "info"] {
        instance.served.signal("HUP");
        let switched = async {
            while log(&instance.ask("GET", "/log", &[], "").await.body) != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, switched).await.expect(expected);
    }
    let started = instance.served.run_with(&[("CONFAB__TELEMETRY__LOG", "inof")], &["check"]);
    assert_eq!(started.status.code(), Some(64));
    assert!(String::from_utf8(started.stderr).unwrap().contains("must be log directives, such as info"));
}

#[tokio::test]
async fn rooms_are_told_by_size_and_not_by_name() {
    let instance = Instance::start(&[]);
    let mut clients = [instance.served.sign_in().await, instance.served.sign_in().await];
    for client in &mut clients {
        client.ask(json!({"type": "join", "id": 1, "room": "secret-room"})).await;
    }
    clients[0].ask(json!({"type": "join", "id": 2, "room": "another-room"})).await;
    let told = async {
        loop {
            let body = instance.ask("GET", "/rooms", &[], "").await.body;
            assert!(!body.contains("-room"), "{body}");
            let rooms: Value = serde_json::from_str(&body).unwrap();
            let of = |least: u64| {
                let classes = rooms["by_size"].as_array().unwrap();
                classes.iter().find(|class| class["members_at_least"] == least).unwrap()["rooms"].clone()
            };
            if (&rooms["rooms"], of(1), of(2)) == (&json!(2), json!(1), json!(1)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, told).await.expect("one room with one member and one with two");
}

#[tokio::test]
async fn a_drain_is_begun_by_a_request_and_ends_as_one_by_a_signal_does() {
    let settings = [("CONFAB__DRAIN__SPREAD_MS", "500"), ("CONFAB__DRAIN__DEADLINE_MS", "4000")];
    let mut instance = Instance::start(&settings);
    let client = instance.served.sign_in().await;
    assert_eq!(instance.ask("POST", "/drain", &[], "").await.status, 202);
    let text = instance.until("confab_goaways_total{reason=\"drain\"}", |goaways| goaways == 1.0).await;
    assert_eq!(value(&text, "confab_draining"), 1.0);
    let ended = tokio::task::spawn_blocking(move || instance.served.exit_code()).await;
    assert_eq!(ended.unwrap(), Some(0));
    drop(client);
}

#[tokio::test]
async fn fifty_scrapes_at_once_are_all_answered_though_others_send_half_a_request() {
    let instance = Instance::start(&[]);
    let mut half = Vec::new();
    for _ in 0..30 {
        let mut tcp = TcpStream::connect(("127.0.0.1", instance.ops)).await.unwrap();
        tcp.write_all(b"GET /metrics HTTP/1.1\r\nHost:").await.unwrap();
        half.push(tcp);
    }
    let texts = join_all((0..50).map(|_| instance.metrics())).await;
    assert!(texts.iter().all(|text| text.ends_with("# EOF\n")));
    for mut tcp in half {
        let ended = async {
            let mut rest = Vec::new();
            let _ = tcp.read_to_end(&mut rest).await;
        };
        timeout(PATIENCE, ended).await.expect("a header that doesn't come ends its connection");
    }
}
