//! Settings: sources, bounds, and errors that say what to do.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::fs;
use std::path::Path;

use confab::config::{Environment, Faults, Kind, Loaded, Preset, Row, Settings, StoreUrl, TABLE, as_markdown};
use confab::domain::Limits;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(pairs: &[(&str, &str)]) -> Result<Settings, Faults> {
    Settings::load(None, &environment(pairs))
}

fn good(pairs: &[(&str, &str)]) -> Settings {
    load(pairs).unwrap_or_else(|faults| panic!("{pairs:?}: {faults}"))
}

fn complaint(pairs: &[(&str, &str)]) -> String {
    match load(pairs) {
        Ok(_) => panic!("{pairs:?} passed"),
        Err(faults) => faults.to_string(),
    }
}

fn from_file(text: &str, pairs: &[(&str, &str)]) -> Result<Settings, Faults> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confab.toml");
    fs::write(&path, text).unwrap();
    Settings::load(Some(&path), &environment(pairs))
}

fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().flat_map(|section| section.rows)
}

#[test]
fn without_any_source_the_defaults_are_those_of_the_protocol() {
    let settings = good(&[]);
    assert_eq!(settings.limits.for_clients(), Limits::default());
    assert_eq!((settings.port, settings.bind.to_string().as_str()), (8080, "127.0.0.1"));
    assert_eq!(settings.store.url, StoreUrl::Memory);
    assert_eq!((settings.heartbeat_ms, settings.heartbeat_timeout_ms), (25_000, 10_000));
}

#[test]
fn every_default_passes_its_own_check() {
    for row in rows() {
        for preset in [Some(row.spec.default), row.spec.on_cloud_run].into_iter().flatten() {
            if let Some(value) = preset.value() {
                assert!(row.spec.read(&value).is_some(), "{}: {preset:?}", row.name);
            }
        }
    }
}

#[test]
fn every_number_can_be_set_to_both_bounds_and_not_beyond() {
    for row in rows() {
        let Kind::Number { min, max, .. } = row.spec.kind else { continue };
        for value in [min, max] {
            // Only what must hold between settings may object, never the type that the value goes into.
            if let Err(faults) = load(&[(&row.variable(), &value.to_string())]) {
                let text = faults.to_string();
                assert!(text.contains("less than") || text.contains("at most"), "{}: {text}", row.name);
            }
        }
        let beyond = [min.checked_sub(1), max.checked_add(1)];
        for value in beyond
            .into_iter()
            .flatten()
            .map(|value| value.to_string())
            .chain(["-1", "1.5", "", "1e3", "x", "+5"].map(String::from))
        {
            if value.is_empty() {
                continue;
            }
            let text = complaint(&[(&row.variable(), &value)]);
            assert!(text.contains(row.name) && text.contains(&row.variable()), "{text}");
            assert!(text.contains(&value) && text.contains(&format!("from {min} to {max}")), "{text}");
        }
    }
}

#[test]
fn rates_go_up_to_a_thousand_million_and_histories_to_a_million_entries() {
    let settings = good(&[
        ("CONFAB__LIMITS__SENDS_PER_SECOND", "1000000000"),
        ("CONFAB__LIMITS__SEND_BURST", "1000000000"),
        ("CONFAB__LIMITS__COMMANDS_PER_SECOND", "1000000000"),
        ("CONFAB__LIMITS__COMMAND_BURST", "1000000000"),
        ("CONFAB__LIMITS__NEW_ROOMS_PER_MINUTE", "1000000000"),
        ("CONFAB__LIMITS__HISTORY_ENTRIES", "1000000"),
    ]);
    assert_eq!(settings.limits.history_entries, 1_000_000);
    // The budgets below the codec don't stand in the way of the rate of commands.
    assert_eq!(settings.limits.frames_per_second, 2_000_000_000);
    assert_eq!(settings.limits.byte_burst, 1_024_000_000_000);
}

#[test]
fn the_names_of_the_protocol_are_settings() {
    let settings = good(&[
        ("PORT", "0"),
        ("CONFAB__INSTANCE", "one"),
        ("CONFAB__STORE__URL", "rediss://10.0.0.3:6378"),
        ("CONFAB__STORE__DURABILITY", "relaxed"),
        ("CONFAB__HEARTBEAT_MS", "1000"),
        ("CONFAB__HEARTBEAT_TIMEOUT_MS", "500"),
        ("CONFAB__ROTATE_AFTER_MS", "2000"),
        ("CONFAB__HTTP__TRUSTED_HOPS", "2"),
        ("CONFAB__HTTP__ALLOWED_ORIGINS", "https://a.example, http://b.example:81"),
        ("CONFAB__HTTP__REQUEST_TIMEOUT_MS", "300000"),
        ("CONFAB__HTTP__HEADER_TIMEOUT_MS", "1000"),
        ("CONFAB__OPS__PORT", "9090"),
        ("CONFAB__LIMITS__CONNECTIONS", "10"),
        ("CONFAB__LIMITS__HISTORY_BYTES", "65536"),
        ("CONFAB__LIMITS__OUTBOX_BYTES", "65536"),
        ("CONFAB__LIMITS__FRAME_BYTES", "4096"),
        ("CONFAB__SOCKETIO__ENABLED", "false"),
        ("CONFAB__SOCKETIO__POLLING", "true"),
        ("CONFAB__SOCKETIO__RESUME", "false"),
        ("CONFAB__SOCKETIO__EXTRA_FIELDS", "true"),
    ]);
    assert_eq!((settings.port, settings.instance.as_str()), (0, "one"));
    assert_eq!(settings.http.allowed_origins, ["https://a.example", "http://b.example:81"]);
    assert_eq!(settings.rotate_after(), Some(2_000));
    assert_eq!(settings.limits.connections, 10);
}

#[test]
fn each_source_wins_over_the_one_before() {
    let file = "port = 1\nheartbeat_ms = 1000\nhello_timeout_ms = 1000\n[limits]\nconnections = 5\n";
    let settings = from_file(file, &[("CONFAB__HEARTBEAT_MS", "2000"), ("PORT", "2")]).unwrap();
    assert_eq!((settings.heartbeat_ms, settings.hello_timeout_ms, settings.limits.connections), (2_000, 1_000, 5));
    assert_eq!(settings.port, 2);
    assert_eq!(good(&[("PORT", "2"), ("CONFAB__PORT", "3")]).port, 3);
    assert_eq!(good(&[("PORT", ""), ("CONFAB__HEARTBEAT_MS", "")]).port, 8080);
}

#[test]
fn the_file_may_be_named_in_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any.name");
    fs::write(&path, "port = 7").unwrap();
    assert_eq!(good(&[("CONFAB_CONFIG", path.to_str().unwrap())]).port, 7);
}

#[test]
fn the_tutorials_names_of_redis_count_where_no_url_is_set() {
    let tutorial = [("REDISHOST", "10.0.0.3"), ("REDISPORT", "6378")];
    assert_eq!(good(&tutorial).store.url.to_string(), "redis://10.0.0.3:6378/0");
    assert_eq!(good(&tutorial[..1]).store.url.to_string(), "redis://10.0.0.3:6379/0");
    let with_url = [tutorial[0], ("CONFAB__STORE__URL", "memory:")];
    assert_eq!(good(&with_url).store.url, StoreUrl::Memory);
    assert_eq!(from_file("[store]\nurl = \"memory:\"", &tutorial).unwrap().store.url, StoreUrl::Memory);
    assert!(complaint(&tutorial[1..]).contains("REDISPORT"));
    assert!(complaint(&[("REDISHOST", "a b")]).contains("REDISHOST"));
}

#[test]
fn all_errors_are_told_at_once_with_name_value_and_bound() {
    let text = complaint(&[
        ("CONFAB__LIMITS__CONNECTIONS", "0"),
        ("CONFAB__STORE__DURABILITY", "maybe"),
        ("CONFAB__BIND", "localhost"),
        ("CONFAB__HTTP__ALLOW_NO_ORIGIN", "yes"),
        ("CONFAB__HTTP__ALLOWED_ORIGINS", "https://a.example,*"),
        ("CONFAB__TELEMETRY__TRACE_RATIO", "1.5"),
        ("CONFAB__TELEMETRY__LOG", "confab=loud"),
        ("CONFAB__TELEMETRY__OTLP_ENDPOINT", "localhost:4317"),
        ("CONFAB__INSTANCE", "a b"),
        ("CONFAB__STORE__PREFIX", "{x}"),
        ("CONFAB__STORE__URL", "http://10.0.0.3"),
        ("PORT", "80000"),
    ]);
    for expected in [
        "12 settings are wrong",
        "limits.connections = \"0\" (from CONFAB__LIMITS__CONNECTIONS): must be a whole number from 1 to 1000000",
        "store.durability = \"maybe\" (from CONFAB__STORE__DURABILITY): must be one of auto, replicated, relaxed, local",
        "bind = \"localhost\"",
        "http.allow_no_origin = \"yes\" (from CONFAB__HTTP__ALLOW_NO_ORIGIN): must be true or false",
        "http.allowed_origins = \"https://a.example,*\"",
        "telemetry.trace_ratio = \"1.5\"",
        "telemetry.log = \"confab=loud\"",
        "telemetry.otlp_endpoint = \"localhost:4317\"",
        "instance = \"a b\"",
        "store.prefix = \"{x}\"",
        "store.url = \"http://10.0.0.3\"",
        "port = \"80000\" (from PORT): must be a whole number from 0 to 65535",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
}

#[test]
fn what_must_hold_between_settings_is_checked() {
    for (pairs, expected) in [
        (&[("CONFAB__STORE__WAIT_TIMEOUT_MS", "800")][..], "store.response_timeout_ms = 800"),
        (&[("CONFAB__STORE__RESPONSE_TIMEOUT_MS", "300")], "store.wait_timeout_ms = 300"),
        (&[("CONFAB__STORE__RESPONSE_TIMEOUT_MS", "1000")], "from 2 to 999"),
        (&[("CONFAB__PRESENCE__LEASE_RENEW_MS", "10000")], "presence.lease_ms = 10000"),
        (&[("CONFAB__PRESENCE__LIST_AGAIN_AT", "201")], "presence.list_up_to = 200"),
        (&[("CONFAB__DRAIN__DEADLINE_MS", "5000")], "at least 2000 less than drain.deadline_ms = 5000"),
        (&[("CONFAB__ROOMS__CHECK_INTERVAL_MS", "20001")], "to 20000"),
    ] {
        let text = complaint(pairs);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_drain_leaves_time_for_the_old_sockets() {
    let (deadline, linger) = (5_000, confab::session::GOAWAY_LINGER_MS);
    let spread = |spread: u64| {
        let (deadline, spread) = (deadline.to_string(), spread.to_string());
        load(&[("CONFAB__DRAIN__DEADLINE_MS", &deadline), ("CONFAB__DRAIN__SPREAD_MS", &spread)])
    };
    assert!(spread(deadline - linger).is_ok());
    assert!(spread(deadline - linger + 1).is_err());
}

#[test]
fn an_unknown_name_is_an_error_that_suggests_the_nearest() {
    for (variable, near) in [
        ("CONFAB__LIMITS__CONECTIONS", Some("CONFAB__LIMITS__CONNECTIONS")),
        ("CONFAB__STORE_URL", Some("CONFAB__STORE__URL")),
        ("CONFAB__HEARTBEATS_MS", Some("CONFAB__HEARTBEAT_MS")),
        ("CONFAB__store__url", None),
        ("CONFAB__ZZZZZZ", None),
    ] {
        let text = complaint(&[(variable, "planted-value")]);
        assert!(text.contains(variable) && text.contains("no such setting"), "{text}");
        assert!(!text.contains("planted-value"), "{text}");
        match near {
            Some(near) => assert!(text.contains(&format!("did you mean {near}?")), "{text}"),
            None => assert!(!text.contains("ZZZZZZ: did"), "{text}"),
        }
    }
    let text = from_file("heartbeat = 1\nlimits = 3\n[limit]\nconnections = 1\n", &[]).unwrap_err().to_string();
    for expected in ["did you mean heartbeat_ms?", "it is a section, [limits]", "did you mean limits.connections?"] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    // Other programs' variables are none of ours: Kubernetes makes some of a service's name.
    good(&[("CONFAB_SERVICE_HOST", "10.0.0.1"), ("CONFAB_PORT", "tcp://10.0.0.1:80")]);
}

#[test]
fn a_file_that_can_not_be_used_is_an_error() {
    let text = Settings::load(Some(Path::new("no/such/file.toml")), &Environment::new()).unwrap_err().to_string();
    assert!(text.contains("the file no/such/file.toml"), "{text}");
    let text = from_file("port = ", &[]).unwrap_err().to_string();
    assert!(text.contains("is not TOML"), "{text}");
    let text = from_file("port = true\n[limits]\nconnections = -1\n", &[]).unwrap_err().to_string();
    assert!(text.contains("port = true") && text.contains("limits.connections = -1"), "{text}");
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (first, second) = ("first-key-0123456789abcdefghijklmnop", "other-key-0123456789abcdefghijklmnop");
    let keys = path("keys", &format!("{first}\n{second}\n"));
    let password = path("password", "pass word\r\n");
    let pairs = environment(&[("CONFAB__AUTH__KEYS_FILE", &keys), ("CONFAB__STORE__PASSWORD_FILE", &password)]);
    let loaded = Loaded::read(None, &pairs).unwrap();
    let held: Vec<_> = loaded.settings.auth.keys.iter().map(confab::config::Secret::expose).collect();
    assert_eq!(held, [first, second]);
    assert_eq!(loaded.settings.store.password.as_ref().map(confab::config::Secret::expose), Some("pass word"));
    for secret in [first, second, "pass word"] {
        assert!(!format!("{loaded:?}").contains(secret));
    }

    let short = complaint(&[("CONFAB__AUTH__KEYS", "short-secret")]);
    assert!(short.contains("auth.keys = (hidden)") && short.contains("32"), "{short}");
    assert!(!short.contains("short-secret"), "{short}");
    let short = complaint(&[("CONFAB__AUTH__KEYS_FILE", &path("short", "short-secret"))]);
    assert!(short.contains("auth.keys = (hidden)") && !short.contains("short-secret"), "{short}");
    let both = complaint(&[("CONFAB__STORE__PASSWORD_FILE", &password), ("CONFAB__STORE__PASSWORD", "hunter2")]);
    assert!(both.contains("keep one") && !both.contains("hunter2"), "{both}");
    let missing = complaint(&[("CONFAB__STORE__PASSWORD_FILE", "no/such/file")]);
    assert!(missing.contains("store.password_file = \"no/such/file\""), "{missing}");
}

#[test]
fn a_password_in_the_url_is_taken_out_of_it() {
    let loaded = Loaded::read(None, &environment(&[("CONFAB__STORE__URL", "redis://:hunter2@10.0.0.3")])).unwrap();
    assert_eq!(loaded.settings.store.password.as_ref().map(confab::config::Secret::expose), Some("hunter2"));
    assert!(!format!("{loaded:?}").contains("hunter2"));
    for url in ["redis://:hunter2@h:99999", "redis://h?password=hunter2", "redis:hunter2@h"] {
        let text = complaint(&[("CONFAB__STORE__URL", url)]);
        assert!(text.contains("store.url") && !text.contains("hunter2"), "{text}");
    }
    let text = complaint(&[("CONFAB__STORE__URL", "redis://:hunter2@h"), ("CONFAB__STORE__PASSWORD", "hunter3")]);
    assert!(text.contains("keep one") && !text.contains("hunter"), "{text}");
}

#[test]
fn an_error_stays_on_its_line_whatever_the_value() {
    let text = complaint(&[("CONFAB__BIND", "1\nforged: line\u{1b}[2J"), ("CONFAB__NO\nSUCH", "x")]);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let long = complaint(&[("CONFAB__BIND", &"9".repeat(10_000))]);
    assert!(long.len() < 500, "{long}");
}

#[test]
fn the_embedded_store_on_cloud_run_needs_to_be_asked_for() {
    let text = complaint(&[("K_SERVICE", "chat")]);
    assert!(text.contains("store.url") && text.contains("CONFAB__STORE__ALLOW_MEMORY_ON_CLOUD_RUN"), "{text}");
    let settings = good(&[
        ("K_SERVICE", "chat"),
        ("K_REVISION", "chat-00001-abc"),
        ("CONFAB__STORE__ALLOW_MEMORY_ON_CLOUD_RUN", "true"),
    ]);
    assert_eq!(settings.bind.to_string(), "0.0.0.0");
    assert_eq!((settings.http.trusted_hops, settings.http.request_timeout_ms), (1, 300_000));
    assert!(settings.instance.starts_with("chat-00001-abc-"), "{}", settings.instance);
    good(&[("K_SERVICE", "chat"), ("CONFAB__STORE__URL", "redis://10.0.0.3")]);
}

#[test]
fn instances_have_different_names_unless_told() {
    assert_ne!(good(&[]).instance, good(&[]).instance);
    let long = good(&[("K_REVISION", &"r".repeat(63))]).instance;
    assert_eq!(long.len(), 64);
}

#[test]
fn rotation_comes_before_the_platforms_cut_unless_set() {
    let timeout = |timeout: &str| good(&[("CONFAB__HTTP__REQUEST_TIMEOUT_MS", timeout)]).rotate_after();
    assert_eq!(timeout("3600000"), Some(3_234_000));
    assert_eq!(timeout("300000"), Some(264_000));
    assert_eq!(timeout("10000"), Some(5_000));
    assert_eq!(timeout("0"), None);
    let explicit = [("CONFAB__ROTATE_AFTER_MS", "5000"), ("CONFAB__HTTP__REQUEST_TIMEOUT_MS", "0")];
    assert_eq!(good(&explicit).rotate_after(), Some(5_000));
}

#[test]
fn a_default_that_is_nothing_belongs_to_a_setting_that_may_be_absent() {
    // The types say which settings may be absent; loading without any source would fail on the others.
    let absent: Vec<_> = rows().filter(|row| matches!(row.spec.default, Preset::Nothing)).map(|row| row.name).collect();
    assert!(absent.contains(&"store.password") && absent.contains(&"store.ca_file"), "{absent:?}");
    assert!(good(&[]).http.allowed_origins.is_empty());
}

#[test]
fn the_documentation_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    let held = fs::read_to_string(&path).unwrap_or_default();
    assert!(held == as_markdown(), "docs/settings.md is not current: confab check --markdown > docs/settings.md");
}
