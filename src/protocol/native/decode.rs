//! Text to [`Command`]: one pass into a flat borrowed struct, then a match on `type`. What can't be read so goes to
//! [`unreadable`], which takes its time to say why. It knows limits and names, no session and no state.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::unreadable;
use crate::domain::{
    Body, Chain, Emoji, Invalid, Key, Limits, MAX_OFFSET, RoomId, Since, Text, Trace, UserName, check_text,
};
use crate::protocol::{Code, Command, CommandId, Refused, Request, Token};

/// Entries of a newest page where the client doesn't say.
const DEFAULT_LIMIT: u64 = 50;

/// Every field that any command has. Unknown ones are ignored.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Str<'a>>,
    id: Option<CommandId>,
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    token: Option<Str<'a>>,
    #[serde(borrow)]
    room: Option<Str<'a>>,
    #[serde(borrow)]
    since: Option<&'a RawValue>,
    limit: Option<u64>,
    #[serde(borrow)]
    key: Option<Str<'a>>,
    #[serde(borrow)]
    text: Option<Str<'a>>,
    reply_to: Option<u64>,
    target: Option<u64>,
    #[serde(borrow)]
    emoji: Option<Str<'a>>,
    on: Option<bool>,
    before: Option<u64>,
    offset: Option<u64>,
    #[serde(borrow)]
    traceparent: Option<Str<'a>>,
}

#[derive(Deserialize)]
struct SinceFields<'a> {
    offset: u64,
    #[serde(borrow)]
    chain: Str<'a>,
}

/// A string of the frame, copied only where it holds an escape: serde borrows for a bare `Cow`, but not for one inside
/// an `Option`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Str<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// The objects of a frame: several may come in one, separated by newlines. Blank lines are nothing, so a blank frame
/// holds no command and has no answer.
pub fn objects(frame: &str) -> impl Iterator<Item = &str> {
    frame.split('\n').filter(|line| !line.trim().is_empty())
}

/// Reads one object of a frame.
///
/// # Errors
/// The refusal to answer with.
pub fn decode(object: &str, limits: &Limits) -> Result<Command, Refused> {
    let fields: Fields<'_> = match serde_json::from_str(object) {
        Ok(fields) if is_object(object) => fields,
        Ok(_) | Err(_) => return Err(unreadable::refusal(object)),
    };
    let id = fields.id;
    if id.is_some_and(|id| id > MAX_OFFSET) {
        return Err(unreadable::refusal(object));
    }
    let request = fields.request(limits).map_err(|refused| Refused { id, ..refused })?;
    Ok(Command { id, request })
}

/// Whether a JSON value is written as an object: serde reads a structure from an array of its fields, too.
fn is_object(json: &str) -> bool {
    json.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{')
}

impl Fields<'_> {
    fn request(self, limits: &Limits) -> Result<Request, Refused> {
        let kind = self.kind.as_deref().ok_or_else(|| missing("type"))?;
        match kind {
            "send" => {
                let text = text(self.text.as_deref(), limits)?;
                let reply_to = self.reply_to.map(|offset| entry_offset(offset, "reply_to")).transpose()?;
                // One that isn't well-formed is ignored, as its standard asks.
                let trace = self.traceparent.as_deref().and_then(Trace::parse);
                self.write(limits, Body::Message { text, reply_to }, trace)
            }
            "pong" => Ok(Request::Pong),
            "typing" => Ok(Request::Typing { room: self.room(limits)? }),
            "read" => {
                let offset = self.offset.ok_or_else(|| missing("offset"))?;
                Ok(Request::Read { room: self.room(limits)?, offset: offset_up_to_max(offset, "offset")? })
            }
            "hello" => {
                let name = self.name.as_deref().ok_or_else(|| missing("name"))?;
                let name = UserName::parse(name, limits.name_chars).map_err(invalid("name", Code::BadName))?;
                Ok(Request::Hello { name, token: self.token.map(|token| Token::new(token.0.into_owned())) })
            }
            "join" => Ok(Request::Join { room: self.room(limits)?, since: self.since()?, limit: self.limit(limits) }),
            "leave" => Ok(Request::Leave { room: self.room(limits)? }),
            "edit" => {
                let (target, text) = (self.target()?, text(self.text.as_deref(), limits)?);
                self.write(limits, Body::Edited { target, text }, None)
            }
            "delete" => {
                let target = self.target()?;
                self.write(limits, Body::Deleted { target }, None)
            }
            "react" => {
                let target = self.target()?;
                let emoji = self.emoji.as_deref().ok_or_else(|| missing("emoji"))?;
                let emoji = Emoji::parse(emoji, limits.emoji_bytes).map_err(invalid("emoji", Code::BadEmoji))?;
                let on = self.on.ok_or_else(|| missing("on"))?;
                self.write(limits, Body::Reacted { target, emoji, on }, None)
            }
            "history" => {
                let before = self.before.map(|before| offset_up_to_max(before, "before")).transpose()?;
                Ok(Request::History { room: self.room(limits)?, before, limit: self.limit(limits) })
            }
            _ => Err(Refused::new(None, Code::UnknownType, "no command has this `type`")),
        }
    }

    fn write(&self, limits: &Limits, body: Body, trace: Option<Trace>) -> Result<Request, Refused> {
        let room = self.room(limits)?;
        let key = self.key.as_deref().ok_or_else(|| missing("key"))?;
        let key = Key::parse(key).map_err(|wrong| {
            Refused::new(None, Code::BadKey, format!("`key` {wrong}: it must be 1-64 printable ASCII characters"))
        })?;
        Ok(Request::Write { room, key, body, trace })
    }

    fn room(&self, limits: &Limits) -> Result<RoomId, Refused> {
        let room = self.room.as_deref().ok_or_else(|| missing("room"))?;
        RoomId::parse(room, limits.room_chars).map_err(invalid("room", Code::BadRoom))
    }

    fn since(&self) -> Result<Option<Since>, Refused> {
        let Some(since) = self.since.map(RawValue::get) else { return Ok(None) };
        let since =
            serde_json::from_str::<SinceFields<'_>>(since).ok().filter(|_| is_object(since)).ok_or_else(|| {
                Refused::new(
                    None,
                    Code::BadMessage,
                    "`since` must be an object with a whole `offset` and a string `chain`",
                )
            })?;
        let offset = offset_up_to_max(since.offset, "since.offset")?;
        Ok(Some(Since { offset, chain: Chain::parse(&since.chain) }))
    }

    fn limit(&self, limits: &Limits) -> usize {
        let limit = usize::try_from(self.limit.unwrap_or(DEFAULT_LIMIT)).unwrap_or(usize::MAX);
        limit.clamp(1, limits.page_entries)
    }

    fn target(&self) -> Result<u64, Refused> {
        entry_offset(self.target.ok_or_else(|| missing("target"))?, "target")
    }
}

fn text(text: Option<&str>, limits: &Limits) -> Result<Text, Refused> {
    let text = text.ok_or_else(|| missing("text"))?;
    check_text(text, limits.text_chars, limits.text_bytes).map_err(invalid("text", Code::BadText))?;
    Ok(Text::Kept(text.into()))
}

fn offset_up_to_max(offset: u64, field: &str) -> Result<u64, Refused> {
    if offset <= MAX_OFFSET {
        return Ok(offset);
    }
    Err(Refused::new(None, Code::BadMessage, format!("`{field}` must be at most 2^53 - 1")))
}

fn entry_offset(offset: u64, field: &str) -> Result<u64, Refused> {
    if offset == 0 {
        return Err(Refused::new(
            None,
            Code::BadMessage,
            format!("`{field}` must be the offset of an entry: 1 or more"),
        ));
    }
    offset_up_to_max(offset, field)
}

fn missing(field: &str) -> Refused {
    Refused::new(None, Code::BadMessage, format!("`{field}` is missing"))
}

fn invalid(field: &'static str, code: Code) -> impl Fn(Invalid) -> Refused {
    move |wrong| Refused::invalid(None, field, code, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_copied_only_where_it_holds_an_escape() {
        let fields: Fields<'_> = serde_json::from_str(r#"{"room":"tea","text":"two\nlines"}"#).unwrap();
        assert!(matches!(fields.room.unwrap().0, Cow::Borrowed("tea")));
        assert!(matches!(fields.text.unwrap().0, Cow::Owned(_)));
    }
}
