//! The page, embedded at build time: `index.html` at `/`, everything else below `/assets/`; and the script of Socket.IO's
//! clients below `/socket.io/`, where theirs are used to be.
//!
//! It owns the files, how they are sent (without their comments, compressed where that is taken), their types and the
//! headers that keep a browser to them. It knows nothing of the chat.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};
use rust_embed::RustEmbed;
use sha1::{Digest as _, Sha1};

/// The file at `/`.
const INDEX: &str = "index.html";

/// Nothing but the page's own files, and the WebSocket to where it came from. No markup can be made from text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

#[derive(RustEmbed)]
#[folder = "web/"]
#[exclude = "*.d.ts"]
#[exclude = "*.md"]
#[exclude = "*package.json"]
#[exclude = "*package-lock.json"]
#[exclude = "*tsconfig*.json"]
#[exclude = "*node_modules/*"]
#[exclude = "*SHA256SUMS"]
struct Files;

/// Where the scripts of others are. They are sent as they are, and pages of any origin may load them.
const OTHERS: &str = "socket.io/";

/// Whose pages may load an answer as a script or a picture.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// One way to send a file.
struct Form {
    body: Vec<u8>,
    /// Strong, so each form has its own.
    etag: String,
}

/// A file, as it is and compressed.
struct Asset {
    plain: Form,
    gzip: Form,
}

/// Made once, at the first request: tens of kilobytes, a few milliseconds.
static ASSETS: LazyLock<HashMap<String, Asset>> = LazyLock::new(|| {
    Files::iter()
        .filter_map(|name| {
            let data = Files::get(&name)?.data;
            let body = match (name.rsplit_once('.'), std::str::from_utf8(&data)) {
                (Some((_, "js" | "css")), Ok(text)) if !name.starts_with(OTHERS) => without_comments(text).into_bytes(),
                _ => data.into_owned(),
            };
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            gzip.write_all(&body).ok()?; // into memory: it can't fail
            Some((name.into_owned(), Asset { gzip: Form::new(gzip.finish().ok()?), plain: Form::new(body) }))
        })
        .collect()
});

impl Form {
    fn new(body: Vec<u8>) -> Self {
        let mut etag = String::from("\"");
        for byte in Sha1::digest(&body) {
            let _ = write!(etag, "{byte:02x}"); // into memory: it can't fail
        }
        etag.push('"');
        Self { body, etag }
    }
}

/// A script or a style sheet without the lines that are nothing but comment: they are for those who read the sources,
/// and would be a third of what a visitor loads.
fn without_comments(text: &str) -> String {
    let mut inside = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let words = line.trim();
        let begins = words.starts_with("/*") && (words.ends_with("*/") || !words.contains("*/"));
        if inside || begins {
            inside = !words.ends_with("*/");
        } else if !words.starts_with("//") {
            kept.push_str(line);
        }
    }
    kept
}

/// Answers a request for a path of the page: the file, 304 where the client has it, or `None`.
#[must_use]
pub fn answer(path: &str, headers: &HeaderMap) -> Option<Response<Vec<u8>>> {
    let name = match path {
        "/" => INDEX,
        _ => match path.strip_prefix("/assets/") {
            Some(name) => Some(name).filter(|name| *name != INDEX && !name.starts_with(OTHERS)),
            None => path.strip_prefix('/').filter(|name| name.starts_with(OTHERS)),
        }?,
    };
    let asset = ASSETS.get(name)?;
    let gzip = takes_gzip(headers);
    let Form { body, etag } = if gzip { &asset.gzip } else { &asset.plain };
    // Weak comparison, as If-None-Match asks for: a proxy that compresses may have weakened the tag.
    let has_it = listed(headers, IF_NONE_MATCH).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag);
    let mut response = Response::new(if has_it { Vec::new() } else { body.clone() });
    if has_it {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let fields = response.headers_mut();
    // The tag is hex in quotation marks, so this can't fail.
    fields.extend(HeaderValue::try_from(etag).ok().map(|etag| (ETAG, etag)));
    fields.extend((gzip && !has_it).then_some((CONTENT_ENCODING, HeaderValue::from_static("gzip"))));
    fields.insert(VARY, HeaderValue::from_static("accept-encoding"));
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    // The names don't change with the content, so a browser asks each time, and mostly hears 304.
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    secure(fields);
    if name.starts_with(OTHERS) {
        fields.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    }
    Some(response)
}

/// The elements of a field that is a list, over all of its lines.
fn listed(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// Whether the client takes gzip, by name and not with a weight of nothing.
fn takes_gzip(headers: &HeaderMap) -> bool {
    listed(headers, ACCEPT_ENCODING).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = |weight: &str| weight.parse::<f32>().is_ok_and(|weight| weight == 0.0);
        named && !parts.filter_map(|part| part.strip_prefix("q=")).any(refused)
    })
}

/// The headers that keep a browser to what the page is meant to do.
pub fn secure(fields: &mut HeaderMap) {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (RESOURCE_POLICY, "same-origin"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("webmanifest") => "application/manifest+json",
        Some("json") => "application/json",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_of_comment_are_left_out() {
        let text = "/**\n * What it owns.\n */\nlet a = 1; // why\n  // whole\n/* one */\n/** @type {X} */ (b).c();\nlet d = '/* */';\n";
        assert_eq!(without_comments(text), "let a = 1; // why\n/** @type {X} */ (b).c();\nlet d = '/* */';\n");
    }
}
