//! The check of a request that wants to become a WebSocket (RFC 6455, 4.2.1), and of where it comes from.
//!
//! Pure: a request goes in; the answer's accept key and subprotocol, or the refusal, come out. Neither hyper's upgrade
//! nor warp's checks any of this. It knows nothing of connections and settings, only of HTTP's types.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use sha1::{Digest as _, Sha1};

/// The name of this protocol, chosen where a client offers it.
pub const SUBPROTOCOL: &str = "confab.v1.json";

/// The only version of the WebSocket protocol there is.
pub const WEBSOCKET_VERSION: &str = "13";

/// How far a page is from what it asks, as its browser says.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What RFC 6455 has a server append to the client's key.
const ACCEPT_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes that a client's key must decode to.
const KEY_BYTES: usize = 16;

/// Some clients leave rubbish in the last, unused bits of the key. It decodes to 16 bytes all the same.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&ALPHABET, PAD.with_decode_allow_trailing_bits(true));

/// The parts of a request that matter here.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// GET, if it is to be accepted.
    pub method: &'a Method,
    /// HTTP/1.1, if it is to be accepted.
    pub version: Version,
    /// All header fields.
    pub headers: &'a HeaderMap,
}

/// Where connections may come from.
#[derive(Debug, Clone)]
pub struct Origins {
    /// Allowed beside the service's own origin.
    pub allowed: Vec<Origin>,
    /// Whether a request without `Origin` is allowed. Browsers always send one, so that is another kind of client.
    pub allow_none: bool,
}

/// What to answer with 101.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: HeaderValue,
    /// The value of `Sec-WebSocket-Protocol`, where the client offered ours.
    pub subprotocol: Option<&'static str>,
}

/// A refusal, before there is a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The status of the answer.
    pub status: StatusCode,
    /// What is wrong, for a program.
    pub code: &'static str,
    /// What is wrong and what to do, for a developer.
    pub message: &'static str,
    /// A header field that goes with the status.
    pub header: Option<(HeaderName, HeaderValue)>,
}

impl Reject {
    /// A refusal without a header field of its own.
    #[must_use]
    pub const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message, header: None }
    }

    /// With a header field.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }
}

/// Scheme, host and port: who may read an answer, to a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

/// How a browser reaches the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS, which ends at a proxy in front.
    Https,
}

impl Scheme {
    const fn usual_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Origin {
    /// Reads an origin as browsers write it: `https://chat.example:8443`. `None` for anything else, `null` included.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = if scheme.eq_ignore_ascii_case("https") {
            Scheme::Https
        } else if scheme.eq_ignore_ascii_case("http") {
            Scheme::Http
        } else {
            return None;
        };
        Self::of(scheme, authority)
    }

    /// The origin of whatever is served at an authority (`chat.example:8443`).
    #[must_use]
    pub fn of(scheme: Scheme, authority: &str) -> Option<Self> {
        let parsed: Authority = authority.parse().ok()?;
        let host = parsed.host();
        if host.is_empty() || authority.contains('@') {
            return None;
        }
        let port = match authority[host.len()..].strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None => scheme.usual_port(),
        };
        Some(Self { scheme, host: host.to_ascii_lowercase(), port })
    }
}

/// Checks a request for a WebSocket. `scheme` is how the client reached the service, which the proxy in front knows.
///
/// # Errors
/// The refusal to answer with.
pub fn check(request: Request<'_>, scheme: Scheme, origins: &Origins) -> Result<Accepted, Reject> {
    let headers = request.headers;
    if request.method != Method::GET {
        let reject = Reject::new(StatusCode::METHOD_NOT_ALLOWED, "bad_method", "a WebSocket begins with GET");
        return Err(reject.with(http::header::ALLOW, "GET"));
    }
    if request.version != Version::HTTP_11 {
        return Err(bad_request("bad_version", "a WebSocket needs HTTP/1.1"));
    }
    let host = only(headers, &HOST).ok_or_else(|| bad_request("bad_host", "send exactly one Host"))?;
    let own = Origin::of(scheme, host).ok_or_else(|| bad_request("bad_host", "Host is not a host and a port"))?;
    if !has_token(headers, &UPGRADE, "websocket") {
        let reject = Reject::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "this is a WebSocket endpoint: send Upgrade: websocket",
        );
        return Err(reject.with(UPGRADE, "websocket"));
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(bad_request("bad_connection", "send Connection: Upgrade"));
    }
    if only(headers, &SEC_WEBSOCKET_VERSION) != Some(WEBSOCKET_VERSION) {
        let reject =
            Reject::new(StatusCode::UPGRADE_REQUIRED, "bad_websocket_version", "send Sec-WebSocket-Version: 13");
        return Err(reject.with(SEC_WEBSOCKET_VERSION, WEBSOCKET_VERSION));
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY)
        .filter(|key| LENIENT.decode(key).is_ok_and(|bytes| bytes.len() == KEY_BYTES))
        .ok_or_else(|| bad_request("bad_key", "send exactly one Sec-WebSocket-Key of 16 bytes in base64"))?;
    if has_body(headers) {
        return Err(bad_request("unexpected_body", "a WebSocket's request has no body"));
    }
    check_origin_against(headers, &own, origins)?;
    Ok(Accepted { accept: accept(key), subprotocol: subprotocol(headers) })
}

/// Checks where a request comes from that is none for a WebSocket. A browser leaves `Origin` out where a page asks its own
/// origin, and says so in another field that no page can set.
///
/// # Errors
/// The refusal to answer with.
pub fn check_origin(headers: &HeaderMap, scheme: Scheme, origins: &Origins) -> Result<(), Reject> {
    let own = only(headers, &HOST).and_then(|host| Origin::of(scheme, host));
    let own = own.ok_or_else(|| bad_request("bad_host", "send exactly one Host"))?;
    if !headers.contains_key(ORIGIN) && only(headers, &SEC_FETCH_SITE) == Some("same-origin") {
        return Ok(());
    }
    check_origin_against(headers, &own, origins)
}

fn check_origin_against(headers: &HeaderMap, own: &Origin, origins: &Origins) -> Result<(), Reject> {
    if !headers.contains_key(ORIGIN) {
        return if origins.allow_none {
            Ok(())
        } else {
            Err(Reject::new(StatusCode::FORBIDDEN, "origin_required", "send Origin"))
        };
    }
    match only(headers, &ORIGIN).and_then(Origin::parse) {
        Some(origin) if origin == *own || origins.allowed.contains(&origin) => Ok(()),
        _ => Err(Reject::new(
            StatusCode::FORBIDDEN,
            "bad_origin",
            "pages of this origin may not connect: allow it in http.allowed_origins",
        )),
    }
}

/// The accept key that proves that the server has read the client's key.
fn accept(key: &str) -> HeaderValue {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_SUFFIX).finalize();
    // base64 is visible ASCII, so this can't fail.
    HeaderValue::try_from(STANDARD.encode(digest)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn subprotocol(headers: &HeaderMap) -> Option<&'static str> {
    tokens(headers, &SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == SUBPROTOCOL).then_some(SUBPROTOCOL)
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get_all(CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0")
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// The elements of a field that is a list, over all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter();
    lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
}

/// The value of a field that is there once, and readable.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    if lines.next().is_some() { None } else { line.to_str().ok().map(str::trim) }
}

const fn bad_request(code: &'static str, message: &'static str) -> Reject {
    Reject::new(StatusCode::BAD_REQUEST, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[(&str, &str)] = &[
        ("host", "chat.example"),
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn headers(changes: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let kept = FIELDS.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        for &(name, value) in kept.chain(changes).filter(|(_, value)| !value.is_empty()) {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn check_with(changes: &[(&str, &str)], origins: &Origins) -> Result<Accepted, Reject> {
        let headers = headers(changes);
        let request = Request { method: &Method::GET, version: Version::HTTP_11, headers: &headers };
        check(request, Scheme::Https, origins)
    }

    fn answer(changes: &[(&str, &str)]) -> Result<Accepted, (u16, &'static str)> {
        let origins = Origins { allowed: vec![Origin::parse("http://localhost:5173").unwrap()], allow_none: true };
        check_with(changes, &origins).map_err(|reject| (reject.status.as_u16(), reject.code))
    }

    #[test]
    fn the_sample_of_the_rfc_gets_its_accept_key() {
        assert_eq!(answer(&[]).unwrap().accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn our_subprotocol_is_chosen_where_it_is_offered_and_others_are_ignored() {
        assert_eq!(answer(&[]).unwrap().subprotocol, None);
        assert_eq!(answer(&[("sec-websocket-protocol", "mqtt")]).unwrap().subprotocol, None);
        let offered = answer(&[("sec-websocket-protocol", "mqtt, confab.v1.json")]).unwrap();
        assert_eq!(offered.subprotocol, Some(SUBPROTOCOL));
    }

    #[test]
    fn what_the_rfc_requires_is_required() {
        type Case = (&'static [(&'static str, &'static str)], u16, &'static str);
        let cases: &[Case] = &[
            (&[("host", "")], 400, "bad_host"),
            (&[("host", "a"), ("host", "a")], 400, "bad_host"),
            (&[("host", "user@chat.example")], 400, "bad_host"),
            (&[("host", "chat.example:x")], 400, "bad_host"),
            (&[("upgrade", "")], 426, "upgrade_required"),
            (&[("upgrade", "h2c")], 426, "upgrade_required"),
            (&[("connection", "")], 400, "bad_connection"),
            (&[("connection", "close")], 400, "bad_connection"),
            (&[("sec-websocket-version", "")], 426, "bad_websocket_version"),
            (&[("sec-websocket-version", "8")], 426, "bad_websocket_version"),
            (&[("sec-websocket-key", "")], 400, "bad_key"),
            (&[("sec-websocket-key", "abc")], 400, "bad_key"),
            (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ")], 400, "bad_key"),
            (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZSE=")], 400, "bad_key"),
            (
                &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")],
                400,
                "bad_key",
            ),
            (&[("content-length", "3")], 400, "unexpected_body"),
            (&[("transfer-encoding", "chunked")], 400, "unexpected_body"),
        ];
        for (changes, status, code) in cases {
            assert_eq!(answer(changes), Err((*status, *code)), "{changes:?}");
        }
        assert!(answer(&[("content-length", "0")]).is_ok());
    }

    #[test]
    fn only_get_over_http_1_1_is_upgraded() {
        let headers = headers(&[]);
        let origins = Origins { allowed: Vec::new(), allow_none: true };
        for (method, version, status) in [
            (Method::POST, Version::HTTP_11, 405),
            (Method::HEAD, Version::HTTP_11, 405),
            (Method::GET, Version::HTTP_10, 400),
            (Method::GET, Version::HTTP_2, 400),
        ] {
            let request = Request { method: &method, version, headers: &headers };
            let reject = check(request, Scheme::Https, &origins).unwrap_err();
            assert_eq!(reject.status.as_u16(), status, "{method} {version:?}");
        }
    }

    #[test]
    fn the_own_origin_and_allowed_ones_may_connect_and_no_other() {
        for origin in ["https://chat.example", "HTTPS://Chat.Example:443", "http://localhost:5173"] {
            assert!(answer(&[("origin", origin)]).is_ok(), "{origin}");
        }
        for origin in [
            "http://chat.example",
            "https://chat.example:8443",
            "https://chat.example.evil",
            "https://evil-chat.example",
            "https://sub.chat.example",
            "https://chat.example/",
            "https://user@chat.example",
            "http://localhost",
            "null",
            "chat.example",
            "wss://chat.example",
        ] {
            assert_eq!(answer(&[("origin", origin)]), Err((403, "bad_origin")), "{origin}");
        }
        let twice = answer(&[("origin", "https://chat.example"), ("origin", "https://chat.example")]);
        assert_eq!(twice, Err((403, "bad_origin")));
    }

    #[test]
    fn no_origin_is_allowed_only_where_the_setting_says_so() {
        let origins = Origins { allowed: Vec::new(), allow_none: false };
        assert_eq!(check_with(&[], &origins).unwrap_err().code, "origin_required");
    }

    #[test]
    fn a_port_of_the_own_host_counts() {
        assert!(answer(&[("host", "chat.example:8443"), ("origin", "https://chat.example:8443")]).is_ok());
        assert!(answer(&[("host", "[::1]:8443"), ("origin", "https://[::1]:8443")]).is_ok());
        assert!(answer(&[("host", "chat.example:8443"), ("origin", "https://chat.example")]).is_err());
    }
}
