//! The page, embedded at build time: `index.html` at `/`, everything else below `/assets/`.
//!
//! It owns the files, their types and the headers that keep a browser to them. It knows nothing of the chat.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

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
struct Files;

/// Answers a request for a path of the page: the file, 304 where the client has it, or `None`.
#[must_use]
pub fn answer(path: &str, headers: &HeaderMap) -> Option<Response<Vec<u8>>> {
    let name = match path {
        "/" => INDEX,
        _ => path.strip_prefix("/assets/").filter(|name| *name != INDEX)?,
    };
    let file = Files::get(name)?;
    let etag = etag(&file);
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    // Weak comparison, as If-None-Match asks for: a proxy that compresses may have weakened the tag.
    let known = known.flat_map(|line| line.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    let has_it = known.into_iter().any(|tag| tag == "*" || tag == etag);
    let mut response = Response::new(if has_it { Vec::new() } else { file.data.into_owned() });
    if has_it {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let fields = response.headers_mut();
    // The tag is hex in quotation marks, so this can't fail.
    fields.extend(HeaderValue::try_from(etag).ok().map(|etag| (ETAG, etag)));
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    // The names don't change with the content, so a browser asks each time, and mostly hears 304.
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    secure(fields);
    Some(response)
}

/// The headers that keep a browser to what the page is meant to do.
pub fn secure(fields: &mut HeaderMap) {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
}

/// Strong: the first 128 bits of the content's SHA-256.
fn etag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
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
