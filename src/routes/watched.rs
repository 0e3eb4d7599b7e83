//! A request over HTTP that may be followed: where it stands in a trace, and its span where it is sampled.

use http::{HeaderMap, Method, Request, StatusCode};

use crate::domain::Trace;
use crate::spans::{Name, Span};

/// The header of the W3C's Trace Context.
const TRACEPARENT: &str = "traceparent";

/// The header of Google Cloud's load balancers and Cloud Run, from before the standard.
const CLOUD_TRACE: &str = "x-cloud-trace-context";

/// A request under way.
#[derive(Debug)]
pub struct Watched {
    span: Option<Span>,
    /// What its headers say.
    asked: Option<Trace>,
}

impl Watched {
    /// It was read. Questions for health come all the time and are none that anybody looks for.
    #[must_use]
    pub fn begin<B>(request: &Request<B>) -> Self {
        let asked = asked(request.headers());
        let path = request.uri().path();
        let mut span = if path.starts_with("/health/") { None } else { Span::entry(Name::Request, asked) };
        if let Some(span) = &mut span {
            span.word("http.request.method", method(request.method()));
            span.word("http.route", route(path));
        }
        Self { span, asked }
    }

    /// Where what follows from it stands, sampled or not. Where nobody has said anything it is a trace of its own that
    /// isn't sampled, so that the lines in the log about one connection can be told from those about others.
    #[must_use]
    pub fn trace(&self) -> Option<Trace> {
        let own = || Trace::new(rand::random(), rand::random(), false);
        self.span.as_ref().map(Span::trace).or(self.asked).or_else(own)
    }

    /// It is answered.
    pub fn end(self, status: StatusCode) {
        let Some(mut span) = self.span else { return };
        span.count("http.response.status_code", status.as_u16().into());
        if status == StatusCode::SWITCHING_PROTOCOLS {
            span.rename(Name::Handshake);
        } else if status.is_server_error() {
            span.fail("http");
        }
    }
}

/// What the headers say; nothing where they contradict each other.
fn asked(headers: &HeaderMap) -> Option<Trace> {
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?;
        values.next().is_none().then(|| value.to_str().ok()).flatten()
    };
    only(TRACEPARENT).and_then(Trace::parse).or_else(|| only(CLOUD_TRACE).and_then(Trace::parse_cloud))
}

/// A path can hold anything, a route can't.
fn route(path: &str) -> &'static str {
    match path {
        "/ws" => "/ws",
        "/socket.io/" => "/socket.io/",
        "/" => "/",
        "/version" => "/version",
        _ => "other",
    }
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test fails by panicking
mod tests {
    use super::*;

    const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const CLOUD: &str = "105445aa7843bc8bf206b12000100000/1;o=1";

    fn asked_by(fields: &[(&'static str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        asked(&headers).map(|trace| trace.to_string())
    }

    #[test]
    fn the_standards_header_goes_before_the_platforms_and_what_is_malformed_is_none() {
        let cloud = "00-105445aa7843bc8bf206b12000100000-0000000000000001-01";
        assert_eq!(asked_by(&[(TRACEPARENT, W3C), (CLOUD_TRACE, CLOUD)]).as_deref(), Some(W3C));
        assert_eq!(asked_by(&[(CLOUD_TRACE, CLOUD)]).as_deref(), Some(cloud));
        assert_eq!(asked_by(&[(TRACEPARENT, "nonsense"), (CLOUD_TRACE, CLOUD)]).as_deref(), Some(cloud));
        assert_eq!(asked_by(&[(TRACEPARENT, W3C), (TRACEPARENT, W3C)]), None);
        assert_eq!(asked_by(&[(TRACEPARENT, &"x".repeat(10_000))]), None);
        assert_eq!(asked_by(&[]), None);
    }

    #[test]
    fn what_stands_in_no_trace_gets_one_of_its_own_that_is_not_sampled() {
        let trace = |traceparent: Option<&str>| {
            let mut request = Request::new(());
            if let Some(traceparent) = traceparent {
                request.headers_mut().insert(TRACEPARENT, traceparent.parse().unwrap());
            }
            Watched::begin(&request).trace().unwrap()
        };
        let unsampled = W3C.replace("-01", "-00");
        assert_eq!(trace(Some(&unsampled)).to_string(), unsampled);
        let [one, other] = [None, Some("nonsense")].map(trace);
        assert!(!one.is_sampled() && !other.is_sampled());
        assert_ne!(one.id(), other.id());
    }
}
