//! Any request for a WebSocket: refused, or everything that the rules ask for is there.
#![no_main]

use confab::handshake::{Origins, Request, Scheme, check};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut lines = text.split(|byte| *byte == b'\n');
    let Some(Ok(method)) = lines.next().map(Method::from_bytes) else { return };
    let version = if lines.next() == Some(b"HTTP/1.0") { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut headers = HeaderMap::new();
    for line in lines.take(100) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii())) {
            headers.append(name, value);
        }
    }
    let origins = Origins { allowed: Vec::new(), allow_none: true };
    if check(Request { method: &method, version, headers: &headers }, Scheme::Http, &origins).is_ok() {
        assert_eq!((method, version), (Method::GET, Version::HTTP_11));
        for name in ["host", "sec-websocket-key"] {
            assert_eq!(headers.get_all(name).iter().count(), 1);
        }
    }
});
