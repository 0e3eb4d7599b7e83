//! Golden files: every message as a client author sees it. `UPDATE_GOLDEN=1` writes them again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use confab::domain::Limits;
use confab::protocol::native::decode;
use serde_json::Value;

use crate::samples;
use crate::wire::{command_json, event_json};

pub fn folder(kind: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(kind)
}

fn compare(kind: &str, messages: Vec<(&'static str, Value)>) {
    let folder = folder(kind);
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut names = BTreeSet::new();
    for (name, value) in messages {
        let file = folder.join(format!("{name}.json"));
        let text = format!("{}\n", serde_json::to_string_pretty(&value).unwrap());
        if update {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(golden, text, "{} differs: is that what client authors should see?", file.display());
        names.insert(format!("{name}.json"));
    }
    for file in std::fs::read_dir(&folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "nothing makes {kind}/{name} any more: remove it");
    }
}

#[test]
fn every_event_goes_out_as_its_golden_file_shows() {
    compare("events", samples::events().into_iter().map(|(name, event)| (name, event_json(&event))).collect());
}

#[test]
fn every_command_is_read_from_its_golden_file() {
    let samples = samples::commands();
    compare("commands", samples.iter().map(|(name, command)| (*name, command_json(command))).collect());
    for (name, command) in samples {
        let text = std::fs::read_to_string(folder("commands").join(format!("{name}.json"))).unwrap();
        assert_eq!(decode(&text, &Limits::default()), Ok(command), "{name}");
    }
}
