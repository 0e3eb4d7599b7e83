//! The values of settings that are more than a number, a switch or a word.

use std::fmt;

use http::Uri;
use serde::Deserialize;

/// A password or key. Never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for using it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where the rooms are kept. Holds no password: one in the text goes to `store.password`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum StoreUrl {
    /// In this process: `memory:`.
    Memory,
    /// In Redis: `redis://[user@]host[:port][/database]`, `rediss://…` for TLS.
    Redis {
        /// Over TLS.
        tls: bool,
        /// Who signs in; nobody by name on Memorystore.
        user: Option<String>,
        /// Host name or address; an IPv6 address without brackets.
        host: String,
        /// 6379 unless given.
        port: u16,
        /// Number of the database, 0 unless given.
        database: u32,
    },
}

/// The port of Redis where a URL names none.
pub const REDIS_PORT: u16 = 6379;

impl StoreUrl {
    /// What [`StoreUrl::parse`] reads, to follow "must be".
    pub const EXPECTED: &str = "memory:, redis://HOST:PORT or rediss://HOST:PORT (TLS), optionally with /DATABASE";

    /// Reads a URL; a password in it comes apart from the rest. `None` where it is no URL of a store.
    #[must_use]
    pub fn parse(text: &str) -> Option<(Self, Option<Secret>)> {
        if text == "memory:" {
            return Some((Self::Memory, None));
        }
        let uri: Uri = text.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "redis" => false,
            "rediss" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        let (user, password) = match authority.as_str().rsplit_once('@') {
            None => (None, None),
            Some((user_info, _)) => {
                let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
                (percent_decoded(user)?, percent_decoded(password)?)
            }
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let behind_host = authority.as_str().rsplit_once(authority.host()).map_or("", |(_, rest)| rest);
        let port = match behind_host.strip_prefix(':') {
            Some(digits) => digits.parse().ok().filter(|&port: &u16| port != 0)?,
            None => REDIS_PORT,
        };
        let database = match uri.path().trim_start_matches('/') {
            "" => 0,
            digits => digits.parse().ok()?,
        };
        if host.is_empty() || uri.query().is_some() || text.contains('#') {
            return None;
        }
        Some((Self::Redis { tls, user, host, port, database }, password.map(Secret)))
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map(|(url, _)| url).ok_or_else(|| format!("must be {}", Self::EXPECTED))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Redis { tls, user, host, port, database } => {
                f.write_str(if *tls { "rediss://" } else { "redis://" })?;
                if let Some(user) = user {
                    write!(f, "{}@", percent_encoded(user))?;
                }
                if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(host) }?;
                write!(f, ":{port}/{database}")
            }
        }
    }
}

/// `None` outside where it can't be decoded, `None` inside where it is empty.
#[expect(clippy::option_option, reason = "an empty part of a URL is no part, a broken one is no URL")]
fn percent_decoded(text: &str) -> Option<Option<String>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                digit(rest.next()?)? * 16 + digit(rest.next()?)?
            }
            other => other,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    Some(Some(text).filter(|text| !text.is_empty()))
}

fn percent_encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// What an acknowledgement has to wait for, with Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DurabilityMode {
    /// For a replica as soon as one was seen.
    Auto,
    /// For a replica, always.
    Replicated,
    /// For the primary, though there is a replica.
    Relaxed,
    /// For the primary: no replica is expected.
    Local,
}

/// How the certificate of Redis is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsVerify {
    /// Chain and name.
    Full,
    /// The chain to the given authorities is enough.
    Ca,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Whether a text is an origin as browsers send it: scheme, host and perhaps a port, nothing else.
#[must_use]
pub fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let plain =
        matches!(uri.scheme_str(), Some("http" | "https")) && !text.ends_with('/') && !text.contains(['#', '@']);
    plain && uri.path() == "/" && uri.query().is_none() && uri.host().is_some_and(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(String, Option<String>)> {
        StoreUrl::parse(text).map(|(url, secret)| (url.to_string(), secret.map(|s| s.expose().to_owned())))
    }

    #[test]
    fn a_store_url_is_read_and_written_without_its_password() {
        for (text, written, password) in [
            ("memory:", "memory:", None),
            ("redis://10.0.0.3", "redis://10.0.0.3:6379/0", None),
            ("rediss://redis.internal:6378/2", "rediss://redis.internal:6378/2", None),
            ("redis://:p%40ss@h:1", "redis://h:1/0", Some("p@ss")),
            ("redis://ada:pw@[::1]:7000", "redis://ada@[::1]:7000/0", Some("pw")),
            ("redis://ada@h/", "redis://ada@h:6379/0", None),
        ] {
            assert_eq!(parse(text), Some((written.to_owned(), password.map(str::to_owned))), "{text}");
        }
    }

    #[test]
    fn what_is_no_store_url_is_refused() {
        for text in [
            "",
            "memory",
            "memory:x",
            "localhost:6379",
            "http://h:6379",
            "redis:",
            "redis://",
            "redis://:6379",
            "redis://h:0",
            "redis://h:65536",
            "redis://h:",
            "redis://h:x",
            "redis://h/a",
            "redis://h/-1",
            "redis://h/0?protocol=resp3",
            "redis://h#x",
            "redis://:%zz@h",
            "redis://a b",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "Secret(…)");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port_only() {
        for origin in ["https://chat.example", "http://localhost:8080", "https://[::1]:8443"] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in ["*", "null", "chat.example", "https://", "https://h/", "https://h/x", "https://h?x", "ftp://h"] {
            assert!(!is_origin(other), "{other}");
        }
    }
}
