//! The list for the documentation: `docs/metrics.md`.

use std::fmt::Write as _;

use super::list::LIST;

const HEAD: &str = "\
# Metrics

<!-- Generated: `confab check --metrics > docs/metrics.md`. A test keeps it current. -->

What each instance counts and measures. The same numbers go out in two ways: by OTLP to `telemetry.otlp_endpoint`, under
the first name, and as OpenMetrics text from `/metrics` on the operations port (`ops.port`), under the second. Of a
histogram the text has `_bucket`, `_sum` and `_count`. Sums count from the start of the process.

Every attribute has the values that stand here and no others: no room, no user, no text can become one.

| OTLP | OpenMetrics | kind | unit | attributes | meaning |
|---|---|---|---|---|---|
";

/// The list as Markdown.
#[must_use]
pub fn as_markdown() -> String {
    let mut text = HEAD.to_owned();
    for metric in LIST {
        let mut attributes = String::new();
        for attribute in metric.attributes {
            let values: Vec<_> = attribute.values.iter().map(|value| format!("`{value}`")).collect();
            // The version is another one in every release.
            let values = if attribute.key == "version" { "of the program".to_owned() } else { values.join(", ") };
            let _ =
                write!(attributes, "{}`{}`: {values}", if attributes.is_empty() { "" } else { "; " }, attribute.key);
        }
        let (name, other) = (metric.name, metric.open_metrics_name());
        let (kind, unit, sentence) = (metric.kind.as_str(), metric.unit, metric.sentence());
        let _ = writeln!(text, "| `{name}` | `{other}` | {kind} | `{unit}` | {attributes} | {sentence} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_is_the_list() {
        let held = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
        assert!(held == as_markdown(), "docs/metrics.md is not current: make docs");
    }
}
