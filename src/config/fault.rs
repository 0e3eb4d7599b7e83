//! What is wrong with the settings, in words that say what to do. No secret gets into them.

use std::fmt;

use ::config::ValueKind;

/// Longest piece of a wrong value that an error repeats, in characters.
const SHOWN_CHARS: usize = 80;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The setting (or source), where it came from and, unless it is a secret, its value.
    pub setting: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// All that is wrong: at least one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("a setting is wrong:"),
            count => write!(f, "{count} settings are wrong:"),
        }?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {}: {}", fault.setting, fault.problem))
    }
}

/// The known name that is most like this one, unless none is.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    const ALIKE: f64 = 0.6;
    let key = |name: &str| name.rsplit(['.', '_']).next().map(str::to_owned);
    let likeness = |candidate: &str| {
        let whole = strsim::normalized_damerau_levenshtein(name, candidate);
        let suffix = if key(name) == key(candidate) { strsim::jaro_winkler(name, candidate) } else { 0.0 };
        whole.max(suffix)
    };
    known
        .map(|candidate| (likeness(&candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// A wrong value as an error repeats it: on one line, shortened, and without what may be a password in a URL.
pub(super) fn shown(raw: &ValueKind) -> String {
    let text = match raw {
        ValueKind::String(text) if text.contains(['@', '?']) => {
            let rest = text.rsplit('@').next().unwrap_or_default();
            format!("…@{}", rest.split('?').next().unwrap_or_default())
        }
        ValueKind::String(text) => text.clone(),
        other => return other.to_string(),
    };
    let short: String = text.chars().take(SHOWN_CHARS).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{dots}")
}
