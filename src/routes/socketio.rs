//! `/socket.io/`: the requests of Engine.IO, good and bad.

use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use serde_json::json;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::{App, Arrival, Endpoint, json_answer, refusal, with};
use crate::protocol::engineio::{self, BadRequest, Transport};

/// The route.
pub fn route(app: &Arc<App>) -> BoxedFilter<(Response<Vec<u8>>,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    with(app, warp::path("socket.io").and(warp::path::end()))
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Arrival>())
        .and(warp::ext::optional::<OnUpgrade>())
        .map(|app: Arc<App>, method: Method, query: String, headers: HeaderMap, arrival: Arrival, stream| {
            answer(&app, &method, &query, &headers, &arrival, stream).unwrap_or_else(bad_request)
        })
        .boxed()
}

fn answer(
    app: &App,
    method: &Method,
    query: &str,
    headers: &HeaderMap,
    arrival: &Arrival,
    stream: Option<OnUpgrade>,
) -> Result<Response<Vec<u8>>, BadRequest> {
    let request = engineio::Request::parse(query)?;
    match (request.transport, request.sid) {
        (Transport::WebSocket, None) => Ok(app
            .upgrade(Endpoint::Socketio, method, headers, arrival, stream)
            .unwrap_or_else(|reject| refusal(&reject))),
        (Transport::WebSocket, Some(_)) => Err(BadRequest::UnknownSession),
        (Transport::Polling, _) => Err(BadRequest::UnknownTransport),
    }
}

/// The answer to a request that is none of Engine.IO's, with the number that its own servers give it.
fn bad_request(bad: BadRequest) -> Response<Vec<u8>> {
    json_answer(StatusCode::BAD_REQUEST, &json!({"code": bad as u8, "message": bad.message()}))
}
