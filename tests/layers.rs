//! Imports point one way. This test reads the `use crate::` lines and every other mention of a module's path, and holds
//! the list in ARCHITECTURE.md.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which modules each module may use. What isn't listed is forbidden.
const ALLOWED: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("protocol", &["domain"]),
    ("store", &["domain", "metrics", "spans"]),
    ("bucket", &["domain"]),
    ("session", &["bucket", "protocol", "domain"]),
    ("rooms", &["store", "protocol", "domain", "clock", "metrics", "spans"]),
    ("config", &["domain"]),
    ("auth", &["domain", "protocol"]),
    ("handshake", &[]),
    ("forwarded", &[]),
    ("meter", &["bucket", "domain"]),
    ("clock", &["domain"]),
    ("page", &[]),
    ("metrics", &["protocol"]),
    ("telemetry", &["config", "metrics", "domain", "spans"]),
    ("process", &["metrics"]),
    ("ops", &["config", "metrics", "rooms", "telemetry"]),
    ("spans", &["domain"]),
    (
        "socket",
        &["session", "rooms", "auth", "protocol", "store", "domain", "meter", "bucket", "clock", "metrics", "spans"],
    ),
    (
        "routes",
        &[
            "domain",
            "protocol",
            "socket",
            "auth",
            "handshake",
            "forwarded",
            "page",
            "rooms",
            "config",
            "metrics",
            "spans",
        ],
    ),
    (
        "server",
        &[
            "routes",
            "socket",
            "auth",
            "rooms",
            "store",
            "config",
            "domain",
            "telemetry",
            "metrics",
            "ops",
            "spans",
            "process",
            "handshake",
            "clock",
            "meter",
            "session",
            "spans",
        ],
    ),
    ("log", &["domain", "protocol"]),
    ("cli", &["config", "auth", "server", "telemetry", "protocol", "domain", "log", "metrics"]),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Crates that must not be named in a module: what it must not know.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("domain", &["tokio", "warp", "hyper", "redis", "serde_json", "tracing", "std::time"]),
    ("protocol", &["tokio", "warp", "hyper", "redis", "tracing", "std::time"]),
    ("session", &["tokio", "warp", "hyper", "redis", "serde_json", "tracing", "std::time"]),
    ("handshake", &["tokio", "warp", "hyper", "tungstenite", "std::time"]),
    ("forwarded", &["tokio", "warp", "hyper", "tungstenite", "std::time"]),
    ("metrics", &["tokio", "warp", "hyper", "opentelemetry", "tracing"]),
    ("meter", &["tokio", "warp", "hyper", "tungstenite", "std::time"]),
    ("socket", &["warp", "hyper", "redis"]),
    ("store", &["warp", "hyper", "tungstenite", "serde_json::Value"]),
    ("rooms", &["warp", "hyper", "tungstenite", "redis"]),
];

fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).expect("below src");
            let first = relative.components().next().expect("a name").as_os_str().to_string_lossy();
            let text = std::fs::read_to_string(&path).expect("a source file is readable");
            found.push((first.trim_end_matches(".rs").to_owned(), text));
        }
    }
}

/// Code without comments and without what only tests use.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn modules() -> BTreeMap<String, String> {
    let mut found = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    let mut modules: BTreeMap<String, String> = BTreeMap::new();
    for (module, text) in found {
        let all = modules.entry(module).or_default();
        all.push_str(&code(&text));
        all.push('\n');
    }
    modules
}

/// The modules that a text names: `crate::a`, `crate::{a::…, b}` and `confab::a` (in the binary).
fn used(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for root in ["crate::", "confab::"] {
        for (at, _) in text.match_indices(root) {
            let rest = &text[at + root.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                let mut depth = 0;
                let mut name = String::new();
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => name.clear(),
                        _ if depth == 0 && !c.is_whitespace() => name.push(c),
                        _ => {}
                    }
                    if c == ':' || c == ',' || depth == 0 {
                        names.insert(name.split(':').next().unwrap_or_default().to_owned());
                    }
                }
            } else {
                names.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            }
        }
    }
    let known: BTreeSet<&str> = ALLOWED.iter().map(|(module, _)| *module).collect();
    names.into_iter().filter(|name| known.contains(name.as_str())).collect()
}

#[test]
fn modules_use_only_what_is_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for (module, text) in modules() {
        let Some(may) = allowed.get(module.as_str()) else {
            wrong.push(format!("src/{module} is not in the list of modules: give it its place"));
            continue;
        };
        for other in used(&text) {
            if other != module && !may.contains(&other.as_str()) {
                wrong.push(format!("{module} uses {other}, which is not below it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_list_has_no_circle() {
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    let mut rest: Vec<_> = ALLOWED.to_vec();
    while !rest.is_empty() {
        let before = rest.len();
        rest.retain(|(module, may)| {
            let ready = may.iter().all(|other| settled.contains(other));
            if ready {
                settled.insert(module);
            }
            !ready
        });
        assert!(rest.len() < before, "these use each other: {rest:?}");
    }
}

#[test]
fn the_core_names_no_runtime_and_no_transport() {
    let modules = modules();
    let mut wrong = Vec::new();
    for (module, crates) in FORBIDDEN {
        let text = modules.get(*module).expect("a listed module exists");
        wrong.extend(crates.iter().filter(|name| text.contains(**name)).map(|name| format!("{module} names {name}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let text = "use crate::domain::{Entry, Since};\nuse crate::{protocol::native, store};\nlet x = crate::rooms::y();";
    let names: Vec<_> = used(text).into_iter().collect();
    assert_eq!(names, ["domain", "protocol", "rooms", "store"]);
}
