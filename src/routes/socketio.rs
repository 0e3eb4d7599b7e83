//! `/socket.io/`: the requests of Engine.IO, good and bad.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt as _};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION,
    CONTENT_TYPE, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use serde_json::json;
use tokio::time::timeout;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::{App, Arrival, Endpoint, json_answer, outcome_of, refusal, with};
use crate::handshake::{Reject, check_origin};
use crate::page;
use crate::protocol::engineio::{self, BadRequest, Transport};
use crate::socket::{App as EngineApp, Exchange, open_polling};

/// One request.
struct Asked<'a> {
    app: &'a Arc<App>,
    /// What its session is for.
    purpose: EngineApp,
    method: Method,
    headers: HeaderMap,
    arrival: Arrival,
}

/// Why a request is refused.
enum Refusal {
    /// By Engine.IO's own numbers.
    Bad(BadRequest),
    /// As at every other door.
    Reject(Reject),
}

impl From<BadRequest> for Refusal {
    fn from(bad: BadRequest) -> Self {
        Self::Bad(bad)
    }
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        Self::Reject(reject)
    }
}

/// The route.
pub fn route(path: &'static str, purpose: EngineApp, app: &Arc<App>) -> BoxedFilter<(Response<Vec<u8>>,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    with(app, warp::path(path).and(warp::path::end()))
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Arrival>())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::body::stream())
        .then(move |app: Arc<App>, method, query: String, headers, arrival, upgrade, body| async move {
            let asked = Asked { app: &app, purpose, method, headers, arrival };
            asked.answer(&query, upgrade, body).await
        })
        .boxed()
}

impl Asked<'_> {
    async fn answer<B: Buf>(
        &self,
        query: &str,
        upgrade: Option<OnUpgrade>,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Response<Vec<u8>> {
        let answered = match engineio::Request::parse(query) {
            Ok(request) => match request.transport {
                Transport::WebSocket => self.web_socket(request.sid, upgrade),
                Transport::Polling => self.polling(request.sid, body).await,
            },
            Err(bad) => Err(bad.into()),
        };
        let mut response = answered.unwrap_or_else(|refused| match refused {
            Refusal::Bad(bad) => {
                json_answer(StatusCode::BAD_REQUEST, &json!({"code": bad as u8, "message": bad.message()}))
            }
            Refusal::Reject(reject) => refusal(&reject),
        });
        self.let_pages_read(&mut response);
        response
    }

    fn web_socket(&self, sid: Option<&str>, upgrade: Option<OnUpgrade>) -> Result<Response<Vec<u8>>, Refusal> {
        let endpoint = match sid {
            None => Endpoint::Socketio(self.purpose),
            Some(sid) => Endpoint::SocketioUpgrade(self.exchange(sid)?.claim()),
        };
        Ok(self.app.upgrade(endpoint, &self.method, &self.headers, &self.arrival, upgrade)?)
    }

    async fn polling<B: Buf>(
        &self,
        sid: Option<&str>,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Result<Response<Vec<u8>>, Refusal> {
        if !self.purpose.polls(&self.app.hub) {
            return Err(BadRequest::UnknownTransport.into());
        }
        if self.method == Method::OPTIONS {
            return Ok(preflight());
        }
        check_origin(&self.headers, self.app.scheme(&self.headers), &self.app.origins)
            .inspect_err(|reject| self.app.hub.metrics.handshakes.inc(outcome_of(reject)))?;
        match (sid, &self.method) {
            (None, &Method::GET) => {
                let seat = self.app.seat()?;
                self.poll(&open_polling(&self.app.hub, self.purpose, seat)).await
            }
            (None, _) => Err(BadRequest::BadMethod.into()),
            (Some(sid), &Method::GET) => {
                let exchange = self.exchange(sid)?;
                self.poll(&exchange).await
            }
            (Some(sid), &Method::POST) => {
                let exchange = self.exchange(sid)?;
                let unfinished = Duration::from_millis(self.app.hub.rules.unfinished_message_ms);
                let body = timeout(unfinished, collect(body, exchange.message_bytes())).await;
                let body = body.map_err(|_| too_slow())??;
                exchange.post(&body)?;
                Ok(text(Bytes::from_static(b"ok")))
            }
            (Some(_), _) => Err(BadRequest::Bad.into()),
        }
    }

    fn exchange(&self, sid: &str) -> Result<Arc<Exchange>, BadRequest> {
        self.app.hub.exchanges.find(sid).ok_or(BadRequest::UnknownSession)
    }

    /// Waits for the next payload. Meanwhile the session's seat counts for this connection, and its place among those that
    /// are no WebSockets yet is free.
    async fn poll(&self, exchange: &Exchange) -> Result<Response<Vec<u8>>, Refusal> {
        let receiver = exchange.poll()?;
        self.arrival.leave_handshake();
        let payload = receiver.await;
        let has_place = self.arrival.return_to_handshake();
        let mut response = text(payload.map_err(|_| BadRequest::UnknownSession)?);
        if !has_place {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// Names the page's origin where pages of it may connect: the browser lets it read the answer then.
    fn let_pages_read(&self, response: &mut Response<Vec<u8>>) {
        let fields = response.headers_mut();
        fields.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.headers.get(ORIGIN)
            && check_origin(&self.headers, self.app.scheme(&self.headers), &self.app.origins).is_ok()
        {
            fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
}

/// A whole body, of at most so many bytes.
async fn collect<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>>, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut body = std::pin::pin!(body);
    let mut collected = Vec::new();
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|_| BadRequest::Bad)?;
        if collected.len() + chunk.remaining() > most {
            let reject = Reject::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "send less at once: see maxPayload");
            return Err(reject.into());
        }
        while chunk.has_remaining() {
            let part = chunk.chunk();
            collected.extend_from_slice(part);
            let read = part.len();
            chunk.advance(read);
        }
    }
    Ok(collected)
}

fn too_slow() -> Refusal {
    Reject::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not come in time").into()
}

fn text(payload: Bytes) -> Response<Vec<u8>> {
    let mut response = Response::new(payload.into());
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page::secure(fields);
    response
}

/// What a browser asks before it lets a page of another origin post.
fn preflight() -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let fields = response.headers_mut();
    fields.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type"));
    page::secure(fields);
    response
}
