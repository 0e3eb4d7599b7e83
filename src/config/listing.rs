//! The table of settings for machines (JSON) and for the documentation (Markdown).

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::row::{Kind, Preset, Row};
use super::settings::TABLE;

/// The table as a JSON array: one object a setting.
///
/// `type` is `number`, `share`, `switch`, `choice`, `text` or `list`; `default` is null where it has none; `min`,
/// `max`, `unit` and `choices` are there where they apply.
#[must_use]
pub fn as_json() -> Value {
    TABLE.iter().flat_map(|section| section.rows).map(object).collect()
}

fn object(row: &Row) -> Value {
    let default = |preset: Preset| match preset {
        Preset::Nothing => Value::Null,
        other => json!(other),
    };
    let mut object = json!({
        "name": row.name,
        "env": row.variable(),
        "type": type_of(row),
        "default": default(row.spec.default),
        "expected": row.spec.expected(),
        "secret": row.spec.secret,
        "doc": row.sentence(),
    });
    if let Some(preset) = row.spec.on_cloud_run {
        object["default_on_cloud_run"] = default(preset);
    }
    match row.spec.kind {
        Kind::Number { min, max, unit } => {
            object["min"] = min.into();
            object["max"] = max.into();
            if !unit.is_empty() {
                object["unit"] = unit.into();
            }
        }
        Kind::Share => {
            object["min"] = 0.into();
            object["max"] = 1.into();
        }
        Kind::Choice(words) => object["choices"] = json!(words),
        Kind::Switch | Kind::Text(_) | Kind::List(_) => {}
    }
    object
}

const fn type_of(row: &Row) -> &'static str {
    match row.spec.kind {
        Kind::Number { .. } => "number",
        Kind::Share => "share",
        Kind::Switch => "switch",
        Kind::Choice(_) => "choice",
        Kind::Text(_) => "text",
        Kind::List(_) => "list",
    }
}

const HEAD: &str = "\
# Settings

<!-- Generated: `confab check --markdown > docs/settings.md`. A test keeps it current. -->

Each source wins over those before it: the defaults below, a TOML file (`--config FILE`, or `CONFAB_CONFIG`), the
environment. A setting `section.key` is `key` under `[section]` in the file and `CONFAB__SECTION__KEY` in the environment,
where an empty variable counts as not set and a list is separated by commas or white space. `PORT` sets `port`. A name that
is no setting is an error, and every error is told at once, before anything starts; `confab check` does only that, and
prints the settings in force. `confab check --list` prints this table as JSON.

Whether this is Cloud Run is told by `K_SERVICE`. Secrets are better given by file: the setting with `_file` behind its name.
";

/// The table as Markdown: `docs/settings.md`.
#[must_use]
pub fn as_markdown() -> String {
    let mut text = HEAD.to_owned();
    for section in TABLE {
        let title = section.rows.first().and_then(|row| row.name.split_once('.')).map_or("Top level", |(name, _)| name);
        let about: Vec<_> = section.doc.iter().map(|line| line.trim()).collect();
        let _ = write!(text, "\n## {title}\n\n{}\n\n", about.join(" "));
        text.push_str("| setting | default | must be | meaning |\n|---|---|---|---|\n");
        for row in section.rows {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                row.name,
                default_cell(row),
                row.spec.expected().replace('|', "\\|"),
                row.sentence()
            );
        }
    }
    text
}

fn default_cell(row: &Row) -> String {
    let cell = |preset: Preset| match preset {
        Preset::Number(number) => format!("`{number}`"),
        Preset::Share(share) => format!("`{share}`"),
        Preset::Switch(on) => format!("`{on}`"),
        Preset::Text(text) => format!("`{text}`"),
        Preset::Empty(_) | Preset::Nothing => "none".to_owned(),
    };
    let usual = cell(row.spec.default);
    row.spec.on_cloud_run.map_or(usual.clone(), |preset| format!("{usual}, on Cloud Run {}", cell(preset)))
}
