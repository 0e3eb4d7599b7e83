//! What proxies in front say about a request, believed as far as they are trusted.
//!
//! A client may send `X-Forwarded-*` itself; each proxy appends to what it got. So only what the trusted ones appended
//! counts: entries are taken from the right, never the first. Pure.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

/// Where the client is: as the outermost of `hops` trusted proxies saw it, or the peer where there is none.
#[must_use]
pub fn client(headers: &HeaderMap, peer: IpAddr, hops: usize) -> IpAddr {
    let said = trusted(headers, &HeaderName::from_static("x-forwarded-for"), hops);
    said.and_then(|said| said.parse().ok()).unwrap_or(peer)
}

/// Whether the client reached the outermost of `hops` trusted proxies over TLS.
#[must_use]
pub fn over_tls(headers: &HeaderMap, hops: usize) -> bool {
    let said = trusted(headers, &HeaderName::from_static("x-forwarded-proto"), hops);
    said.is_some_and(|said| said.eq_ignore_ascii_case("https"))
}

/// The entry that the outermost trusted proxy appended; the leftmost, if some of them appended none.
fn trusted<'a>(headers: &'a HeaderMap, name: &HeaderName, hops: usize) -> Option<&'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let entries: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    let from_right = hops.min(entries.len());
    entries.get(entries.len() - from_right).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 1, 1));

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nobody_is_believed_without_a_trusted_proxy() {
        let headers = headers(&[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")]);
        assert_eq!(client(&headers, PEER, 0), PEER);
        assert!(!over_tls(&headers, 0));
    }

    #[test]
    fn what_a_client_sends_itself_is_not_believed() {
        let headers = headers(&[("x-forwarded-for", "192.0.2.66, 192.0.2.1"), ("x-forwarded-for", "198.51.100.7")]);
        assert_eq!(client(&headers, PEER, 1), ip("198.51.100.7"));
        assert_eq!(client(&headers, PEER, 2), ip("192.0.2.1"));
    }

    #[test]
    fn a_proxy_that_appends_nothing_does_not_hide_the_others() {
        let headers = headers(&[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")]);
        assert_eq!(client(&headers, PEER, 2), ip("192.0.2.1"));
        assert!(over_tls(&headers, 2));
    }

    #[test]
    fn nonsense_is_the_peer_over_plain_http() {
        let headers = headers(&[("x-forwarded-for", "unknown"), ("x-forwarded-proto", "gopher")]);
        assert_eq!(client(&headers, PEER, 1), PEER);
        assert!(!over_tls(&headers, 1));
    }
}
