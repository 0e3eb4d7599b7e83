//! What the documents point at is there: files, and the tests that are said to hold a promise.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use confab::config::{Environment, Settings};
use confab::store::NEW_ROOMS_UP_TO_PERCENT;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The project's own documents.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["", "docs", "docs/adr", "docs/operations", "web/client", "terraform"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

/// What stands between two marks, each time.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split_once(close).map(|(inside, _)| inside)).collect()
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_link_to_a_file_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for target in between(&text, "](", ")") {
            let path = target.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            if !document.parent().unwrap().join(path).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let mut missing = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/protocol.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        for name in quoted(&text) {
            let looks_like_a_path =
                ["tests/", "docs/", "src/", "web/", "benches/"].iter().any(|folder| name.starts_with(folder));
            if looks_like_a_path && !name.contains(' ') && !root().join(name).exists() {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Panels of dashboards, which begin with a capital letter, are held where the dashboards are.
#[test]
fn every_line_of_the_log_that_a_runbook_quotes_is_written_by_the_program() {
    let mut sources = String::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { sources += &std::fs::read_to_string(path).unwrap() }
        }
    }
    let mut found = 0;
    for document in documents().iter().filter(|document| document.parent().unwrap().ends_with("operations")) {
        if document.ends_with("README.md") {
            continue;
        }
        let text = std::fs::read_to_string(document).unwrap().replace("**", "");
        for paragraph in text.split("\n\n").map(|lines| lines.split_whitespace().collect::<Vec<_>>().join(" ")) {
            for quote in paragraph.split('*').skip(1).step_by(2).filter(|quote| quote.starts_with(char::is_lowercase)) {
                assert!(sources.contains(&format!("\"{quote}")), "{}: *{quote}*", document.display());
                found += 1;
            }
        }
    }
    assert!(found > 0, "runbooks quote the log");
}

#[test]
fn every_promise_links_to_a_test_that_exists() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let sheet = readme.split("## What it promises").nth(1).unwrap().split("\n## ").next().unwrap();
    let promises: Vec<_> = sheet.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(promises.len() >= 5, "{promises:?}");
    for promise in promises {
        let files = between(promise, "](", ")").into_iter().filter(|file| file.ends_with(".rs"));
        let sources: String = files.map(|file| std::fs::read_to_string(root().join(file)).unwrap()).collect();
        let tests: Vec<_> = quoted(promise).into_iter().filter(|name| name.contains('_')).collect();
        assert!(!tests.is_empty(), "no test is named: {promise}");
        for name in tests {
            assert!(sources.contains(&format!("fn {name}(")), "no test in the files of its line is called {name}");
        }
    }
}

#[test]
fn every_direct_dependency_has_its_reason() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let architecture = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let reasons = architecture.split("## What it is built on").nth(1).unwrap().split("\n## ").next().unwrap();
    let named: BTreeSet<_> = quoted(reasons).into_iter().collect();
    let mut section = "";
    let mut dependencies = BTreeSet::new();
    for line in manifest.lines() {
        match line.split_once(" = ") {
            _ if line.starts_with('[') => section = line,
            Some((name, _)) if section.ends_with("dependencies]") => _ = dependencies.insert(name),
            _ => {}
        }
    }
    assert!(dependencies.len() > 30, "{dependencies:?}");
    let without: Vec<_> = dependencies.difference(&named).collect();
    assert!(without.is_empty(), "say in ARCHITECTURE.md what they are for: {without:?}");
    let gone: Vec<_> = named.difference(&dependencies).filter(|name| !name.contains([' ', '.'])).collect();
    assert!(gone.is_empty(), "no longer in Cargo.toml: {gone:?}");
}

/// With commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

/// In GB, with a decimal below ten.
fn gigabytes(bytes: f64) -> String {
    let gigabytes = bytes / 1e9;
    if gigabytes < 10.0 { format!("{gigabytes:.1} GB") } else { format!("{} GB", grouped(gigabytes.round() as u64)) }
}

/// Of a time in minutes.
fn short(minutes: f64) -> String {
    if minutes > 0.0 { format!("{minutes:.0} min") } else { "at once".to_owned() }
}

#[test]
fn what_one_guest_can_fill_is_reckoned_from_the_defaults() {
    let limits = Settings::load(None, &Environment::new()).unwrap().limits;
    let connections = limits.connections as u64;
    let rooms_at_first = limits.new_rooms_per_minute;
    let rooms = rooms_at_first + limits.new_rooms_per_minute * 60;
    let messages = limits.command_burst + limits.commands_per_second * 3_600;
    let into_one_room = limits.send_burst + limits.sends_per_second * 3_600;
    // A character has four bytes at most.
    let text = limits.text_bytes.min(limits.text_chars * 4) as f64;
    let sent = messages as f64 * text;
    let full_room = limits.history_bytes as f64 * 1.1;
    let kept = sent.min(rooms as f64 * full_room);
    let until_full = |connections: f64| {
        let full = f64::from(NEW_ROOMS_UP_TO_PERCENT) / 100.0 * f64::from(1 << 30) / connections;
        let by_rooms = (full / full_room - rooms_at_first as f64) / limits.new_rooms_per_minute as f64;
        let by_bytes = (full / text - limits.command_burst as f64) / limits.commands_per_second as f64 / 60.0;
        by_rooms.max(by_bytes)
    };
    let row = |what: &str, one: String, all: String| format!("| {what} | {one} | {all} |");
    let number = |what: &str, one: u64| row(what, grouped(one), grouped(one * connections));
    let bytes = |what: &str, one: f64| row(what, gigabytes(one), gigabytes(one * connections as f64));
    let rows = [
        number("new rooms | `new_rooms_per_minute`, per connection", rooms),
        number("messages | `commands_per_second`, per connection", messages),
        number("of these into one room | `sends_per_second`, per user and room", into_one_room),
        bytes("bytes of text sent | `text_bytes` and `text_chars`, per message", sent),
        bytes("bytes that rooms keep of it | `history_bytes`, per room", kept),
        row(
            &format!("until new rooms are refused by 1 GB | {NEW_ROOMS_UP_TO_PERCENT} %"),
            short(until_full(1.0)),
            short(until_full(connections as f64)),
        ),
    ];
    let text = std::fs::read_to_string(root().join("docs/redis.md")).unwrap();
    let missing: Vec<_> = rows.iter().filter(|row| !text.contains(*row)).collect();
    assert!(missing.is_empty(), "docs/redis.md has to say: {missing:#?}");
    let sockets = format!("An instance takes `limits.connections` sockets, {},", grouped(connections));
    assert!(text.contains(&sockets), "docs/redis.md has to say: {sockets}");
}

#[test]
fn what_operators_reckon_with_is_what_the_readme_measured() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let text = std::fs::read_to_string(root().join("docs/operations/capacity.md")).unwrap();
    let mut seen = 0;
    for line in text.lines().filter(|line| line.starts_with("| ") && !line.contains("| measured |")) {
        let measured = line.split(" | ").nth(1).unwrap();
        // The figure and its unit: what it is of differs.
        let figure = measured.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let figure = figure.strip_suffix(" commands").unwrap_or(&figure);
        assert!(
            readme.contains(&format!("| {figure} |")),
            "{measured} isn't in the README's tables; --readme writes both"
        );
        seen += 1;
    }
    assert!(seen >= 4, "{seen} figures");
}
