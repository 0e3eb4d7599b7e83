//! Positions and the hash chain that proves them.
//!
//! The bytes that are hashed are part of the protocol (`docs/protocol.md`, "Chain"): a Redis script and a browser
//! compute the same values.

use std::fmt;

use sha1::{Digest as _, Sha1};

use super::Millis;

/// The state of a log after an entry: the first 64 bits of a SHA-1, written as 16 lower-case hex digits.
///
/// Equal chains at one offset prove that everything before is equal too.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chain(u64);

impl Chain {
    /// A chain from its 64 bits: for a new log, 64 random ones.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Reads exactly 16 lower-case hex digits; anything else is no chain.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let canonical = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        canonical.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }

    /// The chain after an entry with this offset, time and digest, when this one is the chain before it.
    #[must_use]
    pub fn next(self, offset: u64, at: Millis, digest: &Digest) -> Self {
        let mut sha = Sha1::new();
        sha.update(self.hex());
        sha.update(b"\n");
        sha.update(Decimal::new(offset).as_bytes());
        sha.update(b"\n");
        sha.update(Decimal::new(at).as_bytes());
        sha.update(b"\n");
        sha.update(digest.0);
        let hash = sha.finalize();
        let mut bits = [0; 8];
        bits.copy_from_slice(&hash[..8]);
        Self(u64::from_be_bytes(bits))
    }

    /// The 16 hex digits.
    #[must_use]
    pub fn hex(self) -> [u8; 16] {
        let mut text = [0; 16];
        write_hex(&self.0.to_be_bytes(), &mut text);
        text
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in a log: the entry at `offset` is the last one that was seen, and the log's chain there.
///
/// Offset 0 is the position before any log; its chain means nothing and is written as the empty string.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// Offset of the last entry, 0 before the first.
    pub offset: u64,
    /// Chain after that entry.
    pub chain: Chain,
}

impl Position {
    /// Before any log.
    pub const ZERO: Self = Self { offset: 0, chain: Chain(0) };

    /// The chain as it is written on the wire.
    #[must_use]
    pub fn chain_text(&self) -> String {
        if self.offset == 0 { String::new() } else { self.chain.to_string() }
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.offset == other.offset && (self.offset == 0 || self.chain == other.chain)
    }
}

impl Eq for Position {}

/// A position as a client claims it. Chains are opaque to clients, so a text that is no chain is a position in another
/// log rather than a syntax error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// Offset of the last entry the client has, 0 for none.
    pub offset: u64,
    /// The chain the client has there; `None` where the text can't be a chain of ours.
    pub chain: Option<Chain>,
}

impl From<Position> for Since {
    fn from(position: Position) -> Self {
        Self { offset: position.offset, chain: Some(position.chain) }
    }
}

/// SHA-1 of a text's UTF-8 bytes as 40 hex digits. It stands for the text where the text itself was withdrawn.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TextSha([u8; 40]);

impl TextSha {
    /// The hash of this text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(sha1_hex(Sha1::new_with_prefix(text.as_bytes())))
    }

    /// Reads 40 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 40] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b)).then_some(Self(bytes))
    }

    /// The 40 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for TextSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// SHA-1 over all fields of an entry but offset, time and chain, as 40 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 40]);

impl Digest {
    /// Hashes the fields, joined by newlines, in the order that the protocol lays down. No field can hold a newline.
    #[must_use]
    pub fn of(fields: [&str; 9]) -> Self {
        let mut sha = Sha1::new();
        for (index, field) in fields.into_iter().enumerate() {
            if index > 0 {
                sha.update(b"\n");
            }
            sha.update(field.as_bytes());
        }
        Self(sha1_hex(sha))
    }

    /// The 40 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A number in decimal, without an allocation.
pub(super) struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    pub(super) fn new(mut number: u64) -> Self {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { digits, start };
            }
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

fn sha1_hex(sha: Sha1) -> [u8; 40] {
    let mut text = [0; 40];
    write_hex(&sha.finalize(), &mut text);
    text
}

fn write_hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_sixteen_lower_case_hex_digits_and_nothing_else() {
        let chain = Chain::from_bits(0x9f3c);
        assert_eq!(chain.to_string(), "0000000000009f3c");
        assert_eq!(Chain::parse("0000000000009f3c"), Some(chain));
        for wrong in ["", "9f3c", "0000000000009F3C", "+000000000009f3c", "000000000000009f3c"] {
            assert_eq!(Chain::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hashes_agree_with_values_computed_by_sha1sum() {
        // printf 'hi' | sha1sum
        assert_eq!(TextSha::of("hi").as_str(), "c22b5f9178342609428d6f51b2c5af4c0bde6a42");
        // printf 'a\n\n\n\n\n\n\n\n' | sha1sum
        let digest = Digest::of(["a", "", "", "", "", "", "", "", ""]);
        assert_eq!(digest.as_str(), SHA_OF_A_AND_EIGHT_NEWLINES);
        // printf '0000000000000001\n1\n5\n%s' "$digest" | sha1sum | cut -c1-16
        assert_eq!(Chain::from_bits(1).next(1, 5, &digest).to_string(), CHAIN_AFTER_IT);
    }

    const SHA_OF_A_AND_EIGHT_NEWLINES: &str = "621f3a0663b9b0b03bdf20a84ba3e151b976c46a";
    const CHAIN_AFTER_IT: &str = "e93e91fb27eb02c5";

    #[test]
    fn positions_before_any_log_are_equal_whatever_their_chain() {
        assert_eq!(Position { offset: 0, chain: Chain(7) }, Position::ZERO);
        assert_ne!(Position { offset: 1, chain: Chain(7) }, Position { offset: 1, chain: Chain(8) });
        assert_eq!(Position::ZERO.chain_text(), "");
    }

    #[test]
    fn decimals_are_what_the_standard_library_writes() {
        for number in [0, 9, 10, 1_234_567, u64::MAX] {
            assert_eq!(Decimal::new(number).as_str(), number.to_string());
        }
    }
}
