//! What is wrong with an object that can't be read as a command, and the number of the command where that much can be
//! read. A second, slower pass, which only a faulty client pays for.
//!
//! It names fields of the protocol and nothing else of what the client sent.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::decode::Str;
use crate::domain::MAX_OFFSET;
use crate::protocol::{Code, CommandId, Refused};

/// What the value of a field must be.
#[derive(Clone, Copy)]
enum Form {
    Text,
    /// A whole number that JavaScript can hold.
    Number,
    /// Any whole number: it is clamped.
    Count,
    Flag,
    /// Looked into by the one command that has it.
    Position,
}

const FIELDS: [(&str, Form); 16] = [
    ("type", Form::Text),
    ("id", Form::Number),
    ("name", Form::Text),
    ("token", Form::Text),
    ("room", Form::Text),
    ("since", Form::Position),
    ("limit", Form::Count),
    ("key", Form::Text),
    ("text", Form::Text),
    ("reply_to", Form::Number),
    ("target", Form::Number),
    ("emoji", Form::Text),
    ("on", Form::Flag),
    ("before", Form::Number),
    ("offset", Form::Number),
    ("traceparent", Form::Text),
];

impl Form {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "a string of valid Unicode",
            Self::Number => "a whole number from 0 to 2^53 - 1",
            Self::Count => "a whole number",
            Self::Flag => "true or false",
            Self::Position => "an object",
        }
    }

    fn fits(self, json: &str) -> bool {
        match self {
            Self::Text => serde_json::from_str::<Str<'_>>(json).is_ok(),
            Self::Number => serde_json::from_str::<u64>(json).is_ok_and(|number| number <= MAX_OFFSET),
            Self::Count => serde_json::from_str::<u64>(json).is_ok(),
            Self::Flag => serde_json::from_str::<bool>(json).is_ok(),
            Self::Position => true,
        }
    }
}

/// The refusal of an object that isn't a command.
pub(super) fn refusal(object: &str) -> Refused {
    let mut findings = Findings::default();
    let end = serde_json::Deserializer::from_str(object).deserialize_map(&mut findings);
    let message = match (findings.wrong, end) {
        (Some(wrong), _) => wrong,
        // Of serde_json's message only the place is taken: the rest may quote what the client sent.
        (None, Err(error)) => format!("not a JSON object: look at column {}", error.column()),
        (None, Ok(())) => "not a JSON object, or more than one in a line".to_owned(),
    };
    Refused::new(findings.id, Code::BadMessage, message)
}

/// What the second pass has seen so far. It outlives a text that turns out to be broken further on.
#[derive(Default)]
struct Findings {
    seen: [bool; FIELDS.len()],
    id: Option<CommandId>,
    wrong: Option<String>,
}

impl Findings {
    fn take(&mut self, name: &str, value: &str) {
        let Some(index) = FIELDS.iter().position(|(known, _)| *known == name) else { return };
        let (name, form) = FIELDS[index];
        let twice = std::mem::replace(&mut self.seen[index], true);
        if name == "id" {
            // Of two numbers nobody can tell which one the client waits for.
            self.id = value.parse().ok().filter(|id| !twice && *id <= MAX_OFFSET);
        }
        if twice {
            self.wrong.get_or_insert_with(|| format!("`{name}` comes twice"));
        } else if value != "null" && !form.fits(value) {
            self.wrong.get_or_insert_with(|| format!("`{name}` must be {}", form.as_str()));
        }
    }
}

impl<'de> Visitor<'de> for &mut Findings {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Str<'de>>()? {
            let value = map.next_value::<&RawValue>()?;
            self.take(&name, value.get());
        }
        Ok(())
    }
}
