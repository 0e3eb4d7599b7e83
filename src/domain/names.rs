//! Names and texts that people and clients choose, checked once.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// Why a name or text was not accepted. The wording of the refusal is the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Empty, or nothing but white space.
    #[error("is empty")]
    Empty,
    /// More characters or bytes than the limit.
    #[error("is longer than {0}")]
    TooLong(Bound),
    /// Holds a character that isn't allowed there.
    #[error("holds a character that is not allowed: U+{:04X}", *.0 as u32)]
    Character(char),
}

/// A limit as a refusal names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// So many Unicode scalar values.
    Chars(usize),
    /// So many UTF-8 bytes.
    Bytes(usize),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chars(n) => write!(f, "{n} characters"),
            Self::Bytes(n) => write!(f, "{n} bytes"),
        }
    }
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

text_type! {
    /// A room's name in its canonical spelling (NFC, trimmed). Case matters.
    RoomId
}
text_type! {
    /// A user's identity: printable ASCII, chosen by the service that signs tokens, unique for ever.
    UserId
}
text_type! {
    /// The name a user shows, in its canonical spelling (NFC, trimmed). Two users may have one name.
    UserName
}
text_type! {
    /// The client's key of an entry: 1–64 printable ASCII characters.
    Key
}
text_type! {
    /// The emoji of a reaction: a short text without controls or white space.
    Emoji
}

/// A person in the chat: identity, and the name of the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Stays the same.
    pub id: UserId,
    /// May change.
    pub name: UserName,
}

impl RoomId {
    /// Normalises and checks a room's name.
    ///
    /// # Errors
    /// Empty or blank, longer than `max_chars`, or with controls, bidirectional controls or default-ignorable characters.
    pub fn parse(text: &str, max_chars: usize) -> Result<Self, Invalid> {
        canonical(text, max_chars, |_, _| false).map(Self)
    }
}

impl UserName {
    /// Normalises and checks a user's name. ZWJ, ZWNJ and the emoji variation selector are allowed between visible
    /// characters: names in Persian, Indic scripts and emoji need them.
    ///
    /// # Errors
    /// As for rooms.
    pub fn parse(text: &str, max_chars: usize) -> Result<Self, Invalid> {
        canonical(text, max_chars, joins_visible_characters).map(Self)
    }
}

impl UserId {
    /// Longest identity, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Checks an identity: 1–64 printable ASCII characters without space.
    ///
    /// # Errors
    /// Empty, too long, or another character.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        ascii(text, Self::MAX_BYTES, |c| c.is_ascii_graphic()).map(Self)
    }
}

impl Key {
    /// Longest key, in characters.
    pub const MAX_CHARS: usize = 64;

    /// Checks a key: 1–64 printable ASCII characters (U+0020 to U+007E).
    ///
    /// # Errors
    /// Empty, too long, or another character.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        ascii(text, Self::MAX_CHARS, |c| (' '..='~').contains(&c)).map(Self)
    }
}

impl Emoji {
    /// Checks an emoji. Which sequences are emoji changes with every Unicode version, so any short text without
    /// controls, bidirectional controls or white space will do.
    ///
    /// # Errors
    /// Empty, longer than `max_bytes`, or a character that isn't allowed.
    pub fn parse(text: &str, max_bytes: usize) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::Empty);
        }
        if text.len() > max_bytes {
            return Err(Invalid::TooLong(Bound::Bytes(max_bytes)));
        }
        match text.chars().find(|&c| c.is_control() || c.is_whitespace() || is_bidi_control(c)) {
            Some(c) => Err(Invalid::Character(c)),
            None if text.chars().all(is_default_ignorable) => Err(Invalid::Empty),
            None => Ok(Self(text.into())),
        }
    }
}

/// Checks the text of a message, which is stored exactly as sent.
///
/// # Errors
/// Empty or blank, over either limit, or with controls other than tab, LF and CR, or with U+202A–202E (the embedding
/// and override controls, which can make a text read as something else).
pub fn check_text(text: &str, max_chars: usize, max_bytes: usize) -> Result<(), Invalid> {
    if text.len() > max_bytes {
        return Err(Invalid::TooLong(Bound::Bytes(max_bytes)));
    }
    if text.len() > max_chars && text.chars().count() > max_chars {
        return Err(Invalid::TooLong(Bound::Chars(max_chars)));
    }
    let refused =
        |c: char| (c.is_control() && !matches!(c, '\t' | '\n' | '\r')) || ('\u{202A}'..='\u{202E}').contains(&c);
    if let Some(c) = text.chars().find(|&c| refused(c)) {
        return Err(Invalid::Character(c));
    }
    if text.chars().all(char::is_whitespace) {
        return Err(Invalid::Empty);
    }
    Ok(())
}

/// NFC, trimmed, checked. `exempt(before, after)` may allow a default-ignorable character by its neighbours' visibility.
fn canonical(text: &str, max_chars: usize, exempt: fn(char, Neighbours) -> bool) -> Result<Arc<str>, Invalid> {
    // Normalising is linear but not free, and NFC never shortens a text below a third of its characters: refuse what
    // can't fit before doing the work.
    if text.len() > max_chars.saturating_mul(4 * 3) + 256 {
        return Err(Invalid::TooLong(Bound::Chars(max_chars)));
    }
    let normalized: std::borrow::Cow<'_, str> = if is_nfc_quick(text.chars()) == IsNormalized::Yes {
        text.into()
    } else {
        text.nfc().collect::<String>().into()
    };
    let name = normalized.trim();
    if name.is_empty() {
        return Err(Invalid::Empty);
    }
    if name.len() > max_chars && name.chars().count() > max_chars {
        return Err(Invalid::TooLong(Bound::Chars(max_chars)));
    }
    if !name.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        let mut before = None;
        let mut rest = name.chars();
        while let Some(c) = rest.next() {
            let hidden = c.is_control() || is_separator(c) || is_bidi_control(c) || is_default_ignorable(c);
            if hidden && !exempt(c, Neighbours { before, after: rest.clone().next() }) {
                return Err(Invalid::Character(c));
            }
            before = Some(c);
        }
    }
    Ok(name.into())
}

#[derive(Clone, Copy)]
struct Neighbours {
    before: Option<char>,
    after: Option<char>,
}

/// ZWNJ and ZWJ between two characters, and FE0F behind one (it may end a name: "❤️" is a heart and FE0F). A chain of
/// joiners joins nothing, except the usual FE0F ZWJ.
fn joins_visible_characters(c: char, near: Neighbours) -> bool {
    let visible = |c: char| !c.is_whitespace() && !c.is_control() && !is_default_ignorable(c);
    match c {
        '\u{200C}' => near.before.is_some_and(visible) && near.after.is_some_and(visible),
        '\u{200D}' => near.before.is_some_and(|b| visible(b) || b == '\u{FE0F}') && near.after.is_some_and(visible),
        '\u{FE0F}' => near.before.is_some_and(visible),
        _ => false,
    }
}

fn ascii(text: &str, max_chars: usize, allowed: fn(char) -> bool) -> Result<Arc<str>, Invalid> {
    if text.is_empty() {
        return Err(Invalid::Empty);
    }
    if text.len() > max_chars {
        return Err(Invalid::TooLong(Bound::Chars(max_chars)));
    }
    match text.chars().find(|&c| !allowed(c)) {
        Some(c) => Err(Invalid::Character(c)),
        None => Ok(text.into()),
    }
}

/// Line and paragraph separators: not controls by category, but they break a line like one.
const fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// The property Bidi_Control (Unicode 17, PropList.txt).
const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The property Default_Ignorable_Code_Point (Unicode 17, DerivedCoreProperties.txt).
const fn is_default_ignorable(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(text: &str) -> Result<String, Invalid> {
        RoomId::parse(text, 128).map(|r| r.as_str().to_owned())
    }

    fn name(text: &str) -> Result<String, Invalid> {
        UserName::parse(text, 64).map(|n| n.as_str().to_owned())
    }

    #[test]
    fn two_spellings_of_one_room_are_one_room() {
        assert_eq!(room("cafe\u{301}"), room("caf\u{e9}"));
        assert_eq!(room("  tea \u{a0}"), room("tea"));
        assert_ne!(room("Tea"), room("tea"));
    }

    #[test]
    fn names_refuse_what_can_not_be_seen() {
        for hidden in [
            "a\u{0}b",
            "a\nb",
            "a\u{200B}b",
            "a\u{202E}b",
            "a\u{2066}b",
            "a\u{FEFF}b",
            "a\u{E0041}b",
            "a\u{2028}b",
            "a\u{85}b",
        ] {
            assert!(matches!(room(hidden), Err(Invalid::Character(_))), "{hidden:?}");
            assert!(matches!(name(hidden), Err(Invalid::Character(_))), "{hidden:?}");
        }
        for blank in ["", " ", "\u{3000}\u{a0}"] {
            assert_eq!(room(blank), Err(Invalid::Empty), "{blank:?}");
            assert_eq!(name(blank), Err(Invalid::Empty), "{blank:?}");
        }
    }

    #[test]
    fn names_but_not_rooms_may_join_visible_characters() {
        for joined in ["می\u{200C}خواهم", "👩\u{200D}🚀", "👁\u{FE0F}\u{200D}🗨", "❤\u{FE0F}"] {
            assert!(name(joined).is_ok(), "{joined:?}");
            assert!(matches!(room(joined), Err(Invalid::Character(_))), "{joined:?}");
        }
        for dangling in ["\u{200D}a", "a\u{200D}", "a\u{200C}\u{200C}b", "\u{FE0F}", "a \u{200D}b"] {
            assert!(matches!(name(dangling), Err(Invalid::Character(_))), "{dangling:?}");
        }
    }

    #[test]
    fn limits_count_characters_after_normalising() {
        assert!(RoomId::parse(&"é".repeat(128), 128).is_ok());
        assert!(RoomId::parse(&"e\u{301}".repeat(128), 128).is_ok());
        assert_eq!(RoomId::parse(&"é".repeat(129), 128), Err(Invalid::TooLong(Bound::Chars(128))));
        let marks = format!("a{}", "\u{300}".repeat(5_000));
        assert_eq!(UserName::parse(&marks, 64), Err(Invalid::TooLong(Bound::Chars(64))));
    }

    #[test]
    fn texts_keep_their_spelling_and_refuse_only_harmful_characters() {
        let check = |text: &str| check_text(text, 10, 20);
        for fine in ["hi", "a\tb\r\nc", " x ", "\u{200F}a", "e\u{301}", "1234567890"] {
            assert_eq!(check(fine), Ok(()), "{fine:?}");
        }
        assert_eq!(check("a\u{0}"), Err(Invalid::Character('\0')));
        assert_eq!(check("a\u{202E}"), Err(Invalid::Character('\u{202E}')));
        assert_eq!(check(" \n"), Err(Invalid::Empty));
        assert_eq!(check("12345678901"), Err(Invalid::TooLong(Bound::Chars(10))));
        assert_eq!(check("日本語日本語日"), Err(Invalid::TooLong(Bound::Bytes(20))));
    }

    #[test]
    fn keys_and_identities_are_printable_ascii() {
        assert!(Key::parse("a key").is_ok());
        assert!(Key::parse(&"k".repeat(64)).is_ok());
        for wrong in [&*"k".repeat(65), "", "\n", "é"] {
            assert!(Key::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(UserId::parse("u 1").is_err());
    }

    #[test]
    fn an_emoji_is_a_short_visible_text() {
        for fine in ["👍", "👩\u{200D}🚀", "❤\u{FE0F}", "+1", "🏴\u{E0067}\u{E0062}\u{E007F}"] {
            assert!(Emoji::parse(fine, 64).is_ok(), "{fine:?}");
        }
        for wrong in ["", "\n", "a b", "\u{200D}", "\u{202E}x", &"👍".repeat(17)] {
            assert!(Emoji::parse(wrong, 64).is_err(), "{wrong:?}");
        }
    }
}
