//! Where a message stands in a trace: the W3C Trace Context of it, version 00, as far as it is needed.
//!
//! Trace, parent and the flag that says whether the trace is sampled; `tracestate` and baggage are never read and so never
//! handed on.

use std::fmt;

/// Longest value that is looked at, in bytes: that of a later version may be longer than a `traceparent` of today.
const LONGEST: usize = 512;

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// A place in a trace: the trace, and the span that what follows belongs below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    /// In two halves, so that it is aligned like the rest.
    id: [u64; 2],
    span: u64,
    sampled: bool,
}

impl Trace {
    /// The root of a new trace that is sampled. `None` for numbers that no trace may have: all zeros.
    #[must_use]
    pub fn new(id: u128, span: u64, sampled: bool) -> Option<Self> {
        (id != 0 && span != 0).then_some(Self { id: [(id >> 64) as u64, id as u64], span, sampled })
    }

    /// Reads a `traceparent`. A later version is read as far as this one goes, as the standard asks. `None` for anything
    /// else: whoever gets it begins a trace of their own.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST || !text.is_ascii() {
            return None;
        }
        let (head, rest) = text.split_at_checked(LENGTH)?;
        let mut parts = head.split('-');
        let version = hex(parts.next()?, 2)?;
        let id = hex(parts.next()?, 32)?;
        let span = hex(parts.next()?, 16)?;
        let flags = hex(parts.next()?, 2)?;
        let ends = parts.next().is_none() && (rest.is_empty() || (version > 0 && rest.starts_with('-')));
        if !ends || version == 0xff {
            return None;
        }
        Self::new(id, span as u64, flags & 1 == 1)
    }

    /// Reads an `X-Cloud-Trace-Context`: the trace in hex digits, the span in decimal, and `;o=1` where it is sampled.
    #[must_use]
    pub fn parse_cloud(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (id, rest) = text.split_once('/')?;
        let (span, options) = rest.split_once(';').unwrap_or((rest, ""));
        let span = span.bytes().all(|byte| byte.is_ascii_digit()).then(|| span.parse().ok()).flatten()?;
        Self::new(hex(&id.to_ascii_lowercase(), 32)?, span, options == "o=1")
    }

    /// The same trace, below another span.
    #[must_use]
    pub const fn below(self, span: u64) -> Self {
        Self { span, ..self }
    }

    /// The trace's number, never 0.
    #[must_use]
    pub const fn id(self) -> u128 {
        (self.id[0] as u128) << 64 | self.id[1] as u128
    }

    /// The number of the span, never 0.
    #[must_use]
    pub const fn span(self) -> u64 {
        self.span
    }

    /// Whether the trace is sampled.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.sampled
    }
}

/// As a `traceparent`.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.id(), self.span, u8::from(self.sampled))
    }
}

/// A number of exactly so many lower-case hex digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let canonical = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    canonical.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_written_as_it_was_read() {
        assert_eq!(Trace::parse(SAMPLE).unwrap().to_string(), SAMPLE);
        let unsampled = SAMPLE.replace("-01", "-00");
        let trace = Trace::parse(&unsampled).unwrap();
        assert_eq!((trace.to_string(), trace.is_sampled()), (unsampled, false));
        // Flags that nobody knows yet aren't handed on.
        assert_eq!(Trace::parse(&SAMPLE.replace("-01", "-ff")).unwrap().to_string(), SAMPLE);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_this_one_goes() {
        for later in ["01", "fe"] {
            let text = format!("{later}{}", &SAMPLE[2..]);
            assert_eq!(Trace::parse(&text).unwrap().to_string(), SAMPLE);
            assert_eq!(Trace::parse(&format!("{text}-more")).unwrap().to_string(), SAMPLE);
            assert_eq!(Trace::parse(&format!("{text}more")), None);
        }
    }

    #[test]
    fn anything_else_is_no_trace() {
        let long = format!("01{}-{}", &SAMPLE[2..], "x".repeat(10_000));
        let wrong = [
            "",
            "x",
            "00",
            "00-",
            &SAMPLE[..54],
            &long,
            &format!("{SAMPLE}-"),
            &format!("{SAMPLE}-00"),
            &format!(" {SAMPLE}"),
            &format!("ff{}", &SAMPLE[2..]),
            &SAMPLE.to_uppercase(),
            &SAMPLE.replace('4', "g"),
            &SAMPLE.replace('-', "_"),
            &SAMPLE.replace('4', "é"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47360-0f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ];
        for text in wrong {
            assert_eq!(Trace::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_platforms_own_header_is_read_too() {
        let sampled = Trace::parse_cloud("4BF92f3577b34da6a3ce929d0e0e4736/67667974448284343;o=1").unwrap();
        assert_eq!(sampled.to_string(), SAMPLE);
        for text in ["4bf92f3577b34da6a3ce929d0e0e4736/1", "4bf92f3577b34da6a3ce929d0e0e4736/1;o=0"] {
            assert!(!Trace::parse_cloud(text).unwrap().is_sampled(), "{text}");
        }
        for text in [
            "",
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "4bf92f3577b34da6a3ce929d0e0e4736/",
            "x/1;o=1",
            "4bf92f3577b34da6a3ce929d0e0e4736/0;o=1",
            "4bf92f3577b34da6a3ce929d0e0e4736/+1;o=1",
            "4bf92f3577b34da6a3ce929d0e0e4736/18446744073709551616;o=1",
            "00000000000000000000000000000000/1;o=1",
        ] {
            assert_eq!(Trace::parse_cloud(text), None, "{text}");
        }
    }
}
