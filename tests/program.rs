//! The program as a service: it starts, says that it is ready, gives a room's log away, and ends when it is told to.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

#[path = "common/served.rs"]
mod served;
#[path = "common/tls.rs"]
mod tls;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use served::{Client, Served};
use tls::Tls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// Writes into the room of these tests.
async fn write(client: &mut Client, id: u64, kind: &str, fields: Value) {
    let mut command = json!({"type": kind, "id": id, "room": "café tea", "key": format!("k{id}")});
    command.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    client.ask(command).await;
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn an_exported_log_is_whole_and_verifies_offline() {
    let rates = [("CONFAB__LIMITS__SENDS_PER_SECOND", "1000000"), ("CONFAB__LIMITS__SEND_BURST", "1000000")];
    let commands = [("CONFAB__LIMITS__COMMANDS_PER_SECOND", "1000000"), ("CONFAB__LIMITS__PAGE_ENTRIES", "50")];
    let served = Served::start(&[rates, commands].concat());
    let mut client = served.sign_in().await;
    client.ask(json!({"type": "join", "id": 1, "room": "café tea"})).await;
    for id in 2..=502 {
        write(&mut client, id, "send", json!({"text": format!("message \"{id}\"\n")})).await;
    }
    write(&mut client, 503, "edit", json!({"target": 1, "text": "changed"})).await;
    write(&mut client, 504, "delete", json!({"target": 2})).await;
    write(&mut client, 505, "react", json!({"target": 3, "emoji": "👍", "on": true})).await;

    // Another spelling of the room's name is the same room.
    let exported = served.run(&["export", "cafe\u{301} tea "]);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let lines: Vec<Value> = text(&exported.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let offsets: Vec<u64> = lines.iter().filter_map(|line| line["offset"].as_u64()).collect();
    assert!(offsets.iter().copied().eq(1..=504), "{offsets:?}");
    assert_eq!((&lines[0]["edited"], &lines[0]["text"]), (&json!(true), &Value::Null));
    assert_eq!((&lines[1]["deleted"], &lines[1]["text"]), (&json!(true), &Value::Null));

    let mut verify = Command::new(env!("CARGO_BIN_EXE_confab"))
        .args(["verify", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    verify.stdin.take().unwrap().write_all(&exported.stdout).unwrap();
    let verified = verify.wait_with_output().unwrap();
    assert!(verified.status.success());
    let answer: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&answer["entries"], &answer["withdrawn"]), (&json!(504), &json!(2)));
    let page = client.ask(json!({"type": "history", "id": 600, "room": "café tea"})).await;
    assert_eq!(answer["position"], page["position"], "the log that the members see");
}

#[tokio::test]
async fn a_service_behind_tls_is_exported_where_its_certificate_can_be_trusted() {
    let served = Served::start(&[]);
    let mut client = served.sign_in().await;
    client.ask(json!({"type": "join", "id": 1, "room": "café tea"})).await;
    write(&mut client, 2, "send", json!({"text": "over TLS"})).await;
    let tls = Tls::new(&[]);
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/ws", front.local_addr().unwrap().port());
    let (acceptor, behind) = (tls.acceptor.clone(), format!("127.0.0.1:{}", served.port));
    tokio::spawn(async move {
        loop {
            let (tcp, _) = front.accept().await.unwrap();
            // A client that doesn't trust the certificate ends here.
            let Ok(mut outside) = acceptor.accept(tcp).await else { continue };
            let mut inside = TcpStream::connect(&behind).await.unwrap();
            let _ = copy_bidirectional(&mut outside, &mut inside).await;
        }
    });
    let ca_file = tls.ca_file();
    let exporting = tokio::task::spawn_blocking(move || {
        let arguments = ["export", "café tea", "--url", &url];
        let trusting = served.run_with(&[("SSL_CERT_FILE", ca_file.to_str().unwrap())], &arguments);
        (trusting, served.run(&arguments))
    });
    let (trusting, distrusting) = exporting.await.unwrap();
    assert!(trusting.status.success(), "{}", text(&trusting.stderr));
    assert!(text(&trusting.stdout).contains("over TLS"));
    assert_eq!((distrusting.status.code(), text(&distrusting.stdout)), (Some(69), ""));
    assert!(text(&distrusting.stderr).contains("certificate"), "{}", text(&distrusting.stderr));
}

#[tokio::test]
async fn an_empty_room_is_an_empty_export_and_a_refusal_is_told() {
    let served = Served::start(&[]);
    let exported = served.run(&["export", "nobody"]);
    assert_eq!((exported.status.code(), text(&exported.stdout)), (Some(0), ""), "{}", text(&exported.stderr));
    let refused = served.run(&["export", " "]);
    assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(1), ""));
    assert!(text(&refused.stderr).contains("bad_room"), "{}", text(&refused.stderr));
}

#[test]
fn a_service_is_ready_then_ends_with_0_on_sigterm() {
    let mut served = Served::start(&[]);
    for arguments in [&["health"][..], &["health", "--live"]] {
        let asked = served.run(arguments);
        assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
    }
    served.signal("TERM");
    assert_eq!(served.exit_code(), Some(0));
    assert_eq!(served.run(&["health"]).status.code(), Some(1));
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let served = Served::start(&[]);
    let second = served.run(&["serve"]);
    assert_eq!(second.status.code(), Some(70));
    assert!(text(&second.stderr).contains(&format!("127.0.0.1:{}", served.port)), "{}", text(&second.stderr));
}

#[tokio::test]
async fn nothing_that_clients_send_is_logged_or_forges_a_line_at_any_level() {
    const FORGED: &str = "planted\n{\"severity\":\"CRITICAL\",\"message\":\"planted\"}\u{1b}[2J";
    let mut served = Served::start(&[("CONFAB__TELEMETRY__LOG", "trace")]);
    let mut client = served.sign_in().await;
    // What is refused and what is carried out, a token that is good and one that isn't.
    let welcome = client.say(json!({"type": "hello", "id": 1, "name": "planted"})).await;
    let refused = client.say(json!({"type": "hello", "id": 2, "name": "Ada", "token": FORGED})).await;
    assert_eq!((&welcome["type"], &refused["code"]), (&json!("welcome"), &json!("bad_token")));
    for (id, room, key, text) in [(3, "planted", "planted", "planted"), (5, FORGED, FORGED, FORGED)] {
        client.say(json!({"type": "join", "id": id, "room": room})).await;
        client.say(json!({"type": "send", "id": id + 1, "room": room, "key": key, "text": text})).await;
    }
    for target in ["/ws?token=planted", "/%0a%7b%22severity%22"] {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: planted\r\nCookie: planted\r\n\r\n");
        let mut tcp = TcpStream::connect(format!("127.0.0.1:{}", served.port)).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        tcp.read_u8().await.unwrap();
    }
    drop(client);
    served.signal("TERM");
    assert_eq!(served.exit_code(), Some(0));
    let token = welcome["token"].as_str().unwrap();
    let log = served.log();
    assert!(log.iter().any(|line| line.contains("DEBUG")), "the level is in force: {log:?}");
    for line in log {
        assert!(!line.contains("planted") && !line.contains(token), "{line}");
    }
}
