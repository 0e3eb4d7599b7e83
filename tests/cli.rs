//! The command line as a process: what it prints, and its exit codes.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;

/// The program in an environment of its own.
fn confab(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_confab"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    confab(arguments, environment).output().expect("the program starts").into()
}

#[test]
fn help_names_the_commands_and_the_exit_codes() {
    let ran = run(&["--help"], &[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    for word in ["serve", "check", "health", "token", "export", "tail", "verify", "probe", "--config", "64", "69", "70"]
    {
        assert!(ran.out.contains(word), "{word} is not in:\n{}", ran.out);
    }
    assert_eq!(run(&["--version"], &[]).out, format!("confab {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_ends_with_64() {
    for wrong in [
        &["sreve"][..],
        &["--prot"],
        &["verify"],
        &["verify", "file", "--room", "R"],
        &["check", "--list", "--markdown"],
        &["tail"],
        &["tail", "R", "--since", "44"],
        &["tail", "R", "--since", "0:9f3c0000000000aa"],
        &["tail", "R", "--since", "44:9F3C0000000000AA"],
        &["tail", "R", "--last", "0"],
        &["probe", "--within", "0"],
    ] {
        let ran = run(wrong, &[]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""), "{wrong:?}");
        assert!(!ran.err.is_empty());
    }
    assert!(run(&["sreve"], &[]).err.contains("serve"), "the nearest command is suggested");
}

#[test]
fn with_a_wrong_setting_nothing_starts_and_all_errors_are_told() {
    for command in
        [&[][..], &["serve"], &["check"], &["health"], &["token"], &["export", "R"], &["tail", "R"], &["probe"]]
    {
        let ran =
            run(command, &[("PORT", "x"), ("CONFAB__LIMITS__CONECTIONS", "5"), ("CONFAB__AUTH__KEYS", "hunter2")]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""), "{command:?}: {}", ran.err);
        for part in ["3 settings are wrong", "port = \"x\" (from PORT)", "CONFAB__LIMITS__CONNECTIONS?", "auth.keys"] {
            assert!(ran.err.contains(part), "{part} is not in:\n{}", ran.err);
        }
        assert!(!ran.err.contains("hunter2"));
    }
}

#[test]
fn each_wrong_value_stops_the_start_under_its_name() {
    let listed: Value = serde_json::from_str(&run(&["check", "--list"], &[]).out).unwrap();
    for setting in listed.as_array().unwrap() {
        let (name, variable) = (setting["name"].as_str().unwrap(), setting["env"].as_str().unwrap());
        // What is no path is known only to whoever opens the file; a control character is no good anywhere else.
        if setting["expected"] == "a path" {
            continue;
        }
        let ran = run(&["serve"], &[(variable, "\u{7}")]);
        assert_eq!(ran.code, Some(64), "{name}: {}", ran.err);
        assert!(ran.err.contains(&format!("{name} = ")) && ran.err.contains(variable), "{name}: {}", ran.err);
        assert!(ran.err.contains(setting["expected"].as_str().unwrap()), "{name}: {}", ran.err);
    }
}

#[test]
fn an_environment_that_is_not_text_is_a_wrong_value() {
    use std::os::unix::ffi::OsStrExt as _;
    let broken = std::ffi::OsStr::from_bytes(b"\xff");
    let ran: Ran =
        confab(&["check"], &[]).env("CONFAB__INSTANCE", broken).env("OTHER", broken).output().unwrap().into();
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("instance = ") && !ran.err.contains("OTHER"), "{}", ran.err);
}

#[test]
fn check_prints_the_settings_in_force_and_hides_secrets() {
    let key = "k".repeat(40);
    let environment = [
        ("PORT", "9000"),
        ("CONFAB__AUTH__KEYS", key.as_str()),
        ("CONFAB__STORE__URL", "redis://:hunter2@10.0.0.3:6379"),
        ("CONFAB__HTTP__ALLOWED_ORIGINS", "https://a.example"),
    ];
    let ran = run(&["check"], &environment);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    for line in [
        "port = 9000  # PORT",
        "heartbeat_ms = 25000  # the default",
        "auth.keys = (hidden)  # CONFAB__AUTH__KEYS",
        "store.password = (hidden)  # store.url",
        "store.url = \"redis://10.0.0.3:6379/0\"  # CONFAB__STORE__URL",
        "http.allowed_origins = [\"https://a.example\"]  # CONFAB__HTTP__ALLOWED_ORIGINS",
        "# store.ca_file is not set",
    ] {
        assert!(ran.out.lines().any(|printed| printed == line), "{line} is not in:\n{}", ran.out);
    }
    assert!(!ran.out.contains(&key) && !ran.out.contains("hunter2"));
}

#[test]
fn the_list_has_every_setting_once() {
    let ran = run(&["check", "--list"], &[]);
    let listed: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let names: std::collections::BTreeSet<&str> = listed.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names.len(), listed.len());
    let connections = listed.iter().find(|row| row["name"] == "limits.connections").unwrap();
    assert_eq!(connections["env"], "CONFAB__LIMITS__CONNECTIONS");
    assert_eq!((&connections["type"], &connections["default"]), (&"number".into(), &1_000.into()));
    assert_eq!((&connections["min"], &connections["max"]), (&1.into(), &1_000_000.into()));
    let held = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md")).unwrap();
    assert_eq!(run(&["check", "--markdown"], &[]).out, held);
}

#[test]
fn a_store_that_cannot_be_reached_ends_with_69() {
    let url = ("CONFAB__STORE__URL", "redis://:hunter2@127.0.0.1:1");
    let ran = run(&["serve"], &[url, ("PORT", "0"), ("CONFAB__STORE__STARTUP_TIMEOUT_MS", "600")]);
    assert_eq!(ran.code, Some(69), "{}", ran.err);
    assert!(ran.err.contains("127.0.0.1:1 without TLS") && !ran.err.contains("hunter2"), "{}", ran.err);
}

#[test]
fn a_new_key_signs_tokens() {
    let key = run(&["token", "--new-key"], &[]).out;
    assert_ne!(key, run(&["token", "--new-key"], &[]).out);
    let ran = run(&["token"], &[("CONFAB__AUTH__KEYS", key.trim())]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let auth = confab::auth::Auth::new([key.trim()]);
    let token = confab::protocol::Token::new(ran.out.trim().to_owned());
    let name = confab::domain::UserName::parse("Ada", 64).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(auth.sign_in(name, Some(&token), now).is_ok());

    let ran = run(&["token"], &[]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("CONFAB__AUTH__KEYS"), "{}", ran.err);
}

/// tcpmux, which nothing serves on the loopback interface.
const NOBODYS_PORT: &str = "1";

/// Asks a server that answers like this for its health.
fn health(arguments: &[&str], answer: &'static [u8]) -> (Ran, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 4_096];
        let read = stream.read(&mut request).unwrap();
        stream.write_all(answer).unwrap();
        // Until the client is gone: an answer of nothing is one that never comes.
        let _ = stream.read(&mut [0]);
        request.truncate(read);
        String::from_utf8(request).unwrap()
    });
    let ran = run(&[&["health"], arguments].concat(), &[("PORT", &port)]);
    (ran, server.join().unwrap())
}

#[test]
fn health_is_a_request_and_an_exit_code() {
    let (ran, request) = health(&[], b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(request.starts_with("GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
    let (ran, request) = health(&["--live"], b"HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(ran.code, Some(0));
    assert!(request.starts_with("GET /health/live "), "{request}");

    let (ran, _) = health(&[], b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("503"), "{}", ran.err);
    assert_eq!(health(&[], b"SSH-2.0-x 200\r\n").0.code, Some(1));
}

#[test]
fn health_does_not_wait_for_ever() {
    let (ran, _) = health(&[], b"HTTP/1.1 20");
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("within"), "{}", ran.err);
    assert_eq!(run(&["health"], &[("PORT", NOBODYS_PORT)]).code, Some(1));
}

#[test]
fn verify_tells_good_logs_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.ndjson");
    let text = include_str!("fixtures/log.ndjson");
    fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let ran = run(&["verify", path], &[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&answer["entries"], &answer["position"]["chain"]), (&3.into(), &CHAIN_AFTER_THREE.into()));

    fs::write(&file, text.replace("two", "too")).unwrap();
    let ran = run(&["verify", path], &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("line 2"), "{}", ran.err);
    assert_eq!(run(&["verify", "no/such/file"], &[]).code, Some(1));
    assert_eq!(run(&["verify", "-"], &[]).code, Some(0), "an empty log breaks no promise");
}

/// Computed with another SHA-1 than ours, from the words of docs/protocol.md.
const CHAIN_AFTER_THREE: &str = "ab9784157fd1e350";

#[test]
fn a_client_says_where_it_could_not_go() {
    for command in [&["export", "R"][..], &["tail", "R"], &["verify", "--room", "R"]] {
        let ran = run(command, &[("PORT", NOBODYS_PORT)]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(69), ""), "{command:?}");
        assert!(ran.err.contains("can't be reached"), "{}", ran.err);
        for url in ["ftp://chat.example/ws", "http://chat.example", "x y"] {
            assert_eq!(run(&[command, &["--url", url]].concat(), &[]).code, Some(64), "{command:?} {url}");
        }
    }
    let ran = run(&["probe", "ws://127.0.0.1:1/ws"], &[]);
    assert_eq!(ran.code, Some(69), "{}", ran.err);
    assert_eq!(run(&["probe", "http://chat.example"], &[]).code, Some(64));
}
