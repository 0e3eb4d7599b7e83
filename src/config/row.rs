//! One row of the table of settings: name, kind, bounds, default, and how a value is read and judged.
//!
//! It knows nothing of where a value comes from.

use ::config::ValueKind;
use serde::Serialize;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The name in a file: `section.key`.
    pub name: &'static str,
    /// What it may hold, and what it holds unless set.
    pub spec: Spec,
    /// What it means: the lines of its documentation.
    pub doc: &'static [&'static str],
}

impl Row {
    /// The name in the environment: `CONFAB__SECTION__KEY`.
    #[must_use]
    pub fn variable(&self) -> String {
        super::VARIABLE_PREFIX.to_owned() + &self.name.replace('.', "__").to_uppercase()
    }

    /// The documentation as one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// What holds unless the setting is set.
    #[must_use]
    pub fn default_on(&self, cloud_run: bool) -> Preset {
        self.spec.on_cloud_run.filter(|_| cloud_run).unwrap_or(self.spec.default)
    }
}

/// What a setting may hold, and what it holds unless set. Made by [`number`], [`ms`], [`text`] and the like.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// What it may hold.
    pub kind: Kind,
    /// What it holds unless set.
    pub default: Preset,
    /// The same on Cloud Run (where `K_SERVICE` is set), where that differs.
    pub on_cloud_run: Option<Preset>,
    /// Its value is never shown.
    pub secret: bool,
}

/// What a setting may hold.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number within bounds, both included.
    Number {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// What it counts.
        unit: &'static str,
    },
    /// A number from 0 to 1.
    Share,
    /// On or off.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A text that passes a check.
    Text(Checked),
    /// Several such texts: an array in a file, separated by commas or white space in the environment.
    List(Checked),
}

/// Most items of a [`Kind::List`].
pub const LIST_ITEMS: usize = 64;

/// A check of a text.
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    /// Whether the text will do.
    pub accepts: fn(&str) -> bool,
    /// What will do, to follow "must be".
    pub expected: &'static str,
}

/// A default.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Preset {
    /// A number.
    Number(u64),
    /// A share.
    Share(f64),
    /// On or off.
    Switch(bool),
    /// A text.
    Text(&'static str),
    /// A list without an item.
    Empty([&'static str; 0]),
    /// Nothing: the setting's documentation says what happens then.
    Nothing,
}

impl Preset {
    /// As a value of the layering.
    #[must_use]
    pub fn value(self) -> Option<ValueKind> {
        let kind = match self {
            Self::Number(number) => number.into(),
            Self::Share(share) => share.into(),
            Self::Switch(on) => on.into(),
            Self::Text(text) => text.into(),
            Self::Empty(_) => ValueKind::Array(Vec::new()),
            Self::Nothing => return None,
        };
        Some(kind)
    }
}

/// A whole number of something.
#[must_use]
pub const fn number(default: u64, unit: &'static str) -> Spec {
    Spec::new(Kind::Number { min: 0, max: u64::MAX, unit }, Preset::Number(default))
}

/// A time in milliseconds.
#[must_use]
pub const fn ms(default: u64) -> Spec {
    number(default, "ms")
}

/// A size in bytes.
#[must_use]
pub const fn bytes(default: u64) -> Spec {
    number(default, "bytes")
}

/// A share from 0 to 1.
#[must_use]
pub const fn share(default: f64) -> Spec {
    Spec::new(Kind::Share, Preset::Share(default))
}

/// On or off.
#[must_use]
pub const fn switch(default: bool) -> Spec {
    Spec::new(Kind::Switch, Preset::Switch(default))
}

/// One of some words, the first unless set.
#[must_use]
pub const fn choice(words: &'static [&'static str]) -> Spec {
    Spec::new(Kind::Choice(words), Preset::Text(words[0]))
}

/// A text that may be absent.
#[must_use]
pub const fn text(accepts: fn(&str) -> bool, expected: &'static str) -> Spec {
    Spec::new(Kind::Text(Checked { accepts, expected }), Preset::Nothing)
}

/// A list of texts, empty unless set.
#[must_use]
pub const fn list(accepts: fn(&str) -> bool, expected: &'static str) -> Spec {
    Spec::new(Kind::List(Checked { accepts, expected }), Preset::Empty([]))
}

impl Spec {
    const fn new(kind: Kind, default: Preset) -> Self {
        Self { kind, default, on_cloud_run: None, secret: false }
    }

    /// With bounds, both included. For numbers only.
    #[must_use]
    #[expect(clippy::panic, reason = "the table is made by the compiler, which stops there")]
    pub const fn within(mut self, min: u64, max: u64) -> Self {
        let Kind::Number { unit, .. } = self.kind else { panic!("only numbers have bounds") };
        self.kind = Kind::Number { min, max, unit };
        self
    }

    /// With a default. For texts only.
    #[must_use]
    pub const fn or(mut self, default: &'static str) -> Self {
        self.default = Preset::Text(default);
        self
    }

    /// With another default on Cloud Run.
    #[must_use]
    pub const fn on_cloud_run(mut self, default: Preset) -> Self {
        self.on_cloud_run = Some(default);
        self
    }

    /// Never shown.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// What the setting may hold, to follow "must be".
    #[must_use]
    pub fn expected(&self) -> String {
        match self.kind {
            Kind::Number { min, max, unit: "" } => format!("a whole number from {min} to {max}"),
            Kind::Number { min, max, unit } => format!("a whole number of {unit} from {min} to {max}"),
            Kind::Share => "a number from 0 to 1".to_owned(),
            Kind::Switch => "true or false".to_owned(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::Text(checked) => checked.expected.to_owned(),
            Kind::List(checked) => format!("a list of at most {LIST_ITEMS}, each {}", checked.expected),
        }
    }

    /// Reads a value as a file or the environment gives it into one of this kind; `None` where it isn't.
    #[must_use]
    pub fn read(&self, raw: &ValueKind) -> Option<ValueKind> {
        Some(match self.kind {
            Kind::Number { min, max, .. } => whole(raw).filter(|number| (min..=max).contains(number))?.into(),
            Kind::Share => fraction(raw).filter(|number| (0.0..=1.0).contains(number))?.into(),
            Kind::Switch => on_or_off(raw)?.into(),
            Kind::Choice(words) => string(raw).filter(|text| words.contains(text))?.into(),
            Kind::Text(checked) => string(raw).filter(|text| (checked.accepts)(text))?.into(),
            Kind::List(checked) => {
                let items = items(raw)?;
                let fine = items.len() <= LIST_ITEMS && items.iter().all(|item| (checked.accepts)(item));
                fine.then_some(items)?.into()
            }
        })
    }
}

/// The environment has texts only, so that a number may come as its digits.
fn whole(raw: &ValueKind) -> Option<u64> {
    match raw {
        ValueKind::I64(number) => u64::try_from(*number).ok(),
        ValueKind::U64(number) => Some(*number),
        ValueKind::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

fn fraction(raw: &ValueKind) -> Option<f64> {
    match raw {
        ValueKind::Float(number) => Some(*number),
        ValueKind::String(text) => text.parse().ok(),
        other => whole(other).and_then(|number| u32::try_from(number).ok()).map(f64::from),
    }
}

fn on_or_off(raw: &ValueKind) -> Option<bool> {
    match raw {
        ValueKind::Boolean(on) => Some(*on),
        ValueKind::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn string(raw: &ValueKind) -> Option<&str> {
    match raw {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

fn items(raw: &ValueKind) -> Option<Vec<String>> {
    match raw {
        ValueKind::Array(values) => values.iter().map(|value| string(&value.kind).map(str::to_owned)).collect(),
        ValueKind::String(text) => {
            let separator = |c: char| c == ',' || c.is_whitespace();
            Some(text.split(separator).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }
        _ => None,
    }
}
