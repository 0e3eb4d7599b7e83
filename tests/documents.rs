//! What the documents point at is there: files, and the tests that are said to hold a promise.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The project's own documents.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["", "docs", "docs/adr", "web/client", "terraform"] {
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
