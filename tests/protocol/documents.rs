//! The code, docs/protocol.md and docs/asyncapi.yaml agree on every type, field, code, close code and limit.

use std::collections::{BTreeMap, BTreeSet};

use confab::domain::{Body, Chain, Entry, Key, Limits, Text, TextSha, User, UserId, UserName};
use confab::protocol::native::decode;
use confab::protocol::{Close, Code};
use serde_json::{Value, json};

use crate::golden::folder;

fn reference() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/protocol.md")).unwrap()
}

fn description() -> Value {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/asyncapi.yaml")).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

/// The rows of the tables under a heading, as cells.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let text = reference();
    let section = text.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    rows.skip(2).collect()
}

/// The words in backticks of a cell, outside parentheses.
fn names(cell: &str) -> BTreeSet<String> {
    let mut outside = String::new();
    let mut depth = 0;
    for c in cell.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 => outside.push(c),
            _ => {}
        }
    }
    outside.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Per type, every field that a golden file shows.
fn golden_fields(kind: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, value) in golden(kind) {
        let object = value.as_object().unwrap();
        let shown = fields.entry(object["type"].as_str().unwrap().to_owned()).or_default();
        shown.extend(object.keys().filter(|name| *name != "type" && *name != "id").cloned());
    }
    fields
}

fn golden(kind: &str) -> Vec<(String, Value)> {
    let files = std::fs::read_dir(folder(kind)).unwrap().map(|file| file.unwrap().path());
    files
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.display().to_string(), serde_json::from_str(&text).unwrap())
        })
        .collect()
}

#[test]
fn the_reference_lists_every_command_with_its_fields() {
    let documented: BTreeMap<_, _> =
        rows("Commands").into_iter().map(|row| (names(&row[0]).pop_first().unwrap(), names(&row[1]))).collect();
    assert_eq!(documented, golden_fields("commands"));
}

#[test]
fn the_reference_lists_every_event_with_its_fields() {
    let documented: BTreeMap<_, _> = ["Replies", "Pushes"]
        .into_iter()
        .flat_map(rows)
        .map(|row| (names(&row[0]).pop_first().unwrap(), names(&row[1])))
        .collect();
    assert_eq!(documented, golden_fields("events"));
}

#[test]
fn the_reference_lists_every_code_close_code_and_limit() {
    let codes: Vec<_> = rows("Codes of refusals").iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    assert_eq!(codes, Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>());
    let closes: Vec<_> = rows("Close codes").iter().map(|row| row[0].parse::<u16>().unwrap()).collect();
    assert_eq!(closes, Close::ALL.iter().map(|close| close.code()).collect::<Vec<_>>());
    let limits: BTreeMap<_, _> = rows("Limits")
        .iter()
        .map(|row| (row[0].trim_matches('`').to_owned(), json!(row[1].parse::<u64>().unwrap())))
        .collect();
    let in_force: BTreeMap<String, Value> =
        serde_json::from_value(serde_json::to_value(Limits::default()).unwrap()).unwrap();
    assert_eq!(limits, in_force);
}

#[test]
fn the_description_accepts_every_golden_file_and_lists_no_other_field() {
    let description = description();
    assert_eq!(description["asyncapi"], "3.0.0");
    for (kind, prefix) in [("commands", "command"), ("events", "event")] {
        let shown = golden_fields(kind);
        let schemas = description["components"]["schemas"].as_object().unwrap();
        let described: BTreeMap<String, BTreeSet<String>> = schemas
            .iter()
            .filter_map(|(name, schema)| {
                let kind = name.strip_prefix(&format!("{prefix}-"))?;
                let fields = schema["properties"].as_object().unwrap().keys();
                let fields = fields.filter(|name| *name != "type" && *name != "id").cloned().collect();
                Some((kind.to_owned(), fields))
            })
            .collect();
        assert_eq!(described, shown, "a field that no golden file shows, or that isn't described");
        for (file, value) in golden(kind) {
            let name = value["type"].as_str().unwrap();
            let schema = json!({
                "$ref": format!("#/components/schemas/{prefix}-{name}"),
                "components": description["components"],
            });
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{file}: {errors:?}");
        }
    }
}

/// Fields that a schema requires, but for `type`.
fn required(description: &Value, schema: &str) -> BTreeSet<String> {
    let required = description["components"]["schemas"][schema]["required"].as_array().unwrap();
    required.iter().map(|name| name.as_str().unwrap().to_owned()).filter(|name| name != "type").collect()
}

#[test]
fn a_command_without_a_required_field_is_refused_and_without_another_one_is_not() {
    let description = description();
    for (file, command) in golden("commands") {
        let required = required(&description, &format!("command-{}", command["type"].as_str().unwrap()));
        for field in command.as_object().unwrap().keys() {
            let mut without = command.clone();
            without.as_object_mut().unwrap().remove(field);
            let refused = decode(&without.to_string(), &Limits::default()).is_err();
            assert_eq!(refused, field == "type" || required.contains(field), "{file} without {field}");
        }
    }
}

#[test]
fn an_event_has_every_required_field_and_may_lack_every_other_one() {
    let description = description();
    let mut always: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, event) in golden("events") {
        let fields = event.as_object().unwrap();
        let has = fields.keys().filter(|name| *name != "type" && *name != "id").cloned().collect::<BTreeSet<_>>();
        let always = always.entry(fields["type"].as_str().unwrap().to_owned()).or_insert_with(|| has.clone());
        always.retain(|name| has.contains(name));
    }
    for (kind, always) in always {
        assert_eq!(required(&description, &format!("event-{kind}")), always, "{kind}");
    }
}

#[test]
fn the_description_s_messages_codes_and_limits_are_the_code_s() {
    let description = description();
    let components = &description["components"];
    let codes: Vec<_> = Code::ALL.iter().map(|code| json!(code.as_str())).collect();
    assert_eq!(components["schemas"]["Code"]["enum"], json!(codes));
    let closes: BTreeMap<_, _> =
        Close::ALL.iter().map(|close| (close.code().to_string(), json!(close.reason()))).collect();
    assert_eq!(description["channels"]["socket"]["x-close-codes"], json!(closes));
    let described = components["schemas"]["Limits"]["properties"].as_object().unwrap();
    let defaults: BTreeMap<_, _> = described.iter().map(|(name, schema)| (name, &schema["default"])).collect();
    assert_eq!(json!(defaults), json!(Limits::default()));
    for (operation, prefix) in [("command", "command-"), ("event", "event-")] {
        let listed = description["operations"][operation]["messages"].as_array().unwrap().len();
        let all = components["messages"].as_object().unwrap().keys().filter(|name| name.starts_with(prefix)).count();
        assert_eq!(listed, all, "{operation}");
    }
}

#[test]
fn the_example_of_a_chain_is_right() {
    let text = reference();
    let line = text.lines().find(|line| line.starts_with(r#"{"type":"message","room":"tea","offset":45"#)).unwrap();
    let example: Value = serde_json::from_str(line).unwrap();
    let entry = Entry {
        offset: 45,
        prev: Chain::parse("0011223344556677").unwrap(),
        chain: Chain::parse(example["chain"].as_str().unwrap()).unwrap(),
        at: example["at"].as_u64().unwrap(),
        user: User { id: UserId::parse("u-ada").unwrap(), name: UserName::parse("Ada", 64).unwrap() },
        key: Key::parse(example["key"].as_str().unwrap()).unwrap(),
        body: Body::Message { text: Text::Kept(example["text"].as_str().unwrap().into()), reply_to: None },
    };
    assert!(entry.follows_chain(entry.prev));
    assert!(text.contains(TextSha::of("hi").as_str()));
    assert!(text.contains(entry.body.digest(&entry.user, &entry.key).as_str()));
}
