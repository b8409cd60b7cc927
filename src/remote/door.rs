//! The API on loopback: each request goes on to the server as it is, each answer comes back as it is.
//! The key is the client's to send; whoever else finds the port has none.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Body as _, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Login;

type Answer = Response<UnsyncBoxBody<Bytes, reqwest::Error>>;

/// What belongs to one connection and not to the request.
const OF_THE_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
];

/// Serves one connection of a client.
pub async fn serve(login: Login, client: reqwest::Client, stream: TcpStream) {
    let service = service_fn(move |request| {
        let (login, client) = (login.clone(), client.clone());
        async move { Ok::<_, Infallible>(forward(&login, &client, request).await) }
    });
    // A client that breaks off needs no answer.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn plain(mut headers: HeaderMap) -> HeaderMap {
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    headers
}

async fn forward(login: &Login, client: &reqwest::Client, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut onward = client.request(parts.method, format!("{}{path}", login.server)).headers(plain(parts.headers));
    if !body.is_end_stream() {
        let chunks = BodyStream::new(body).try_filter_map(async |frame| Ok(frame.into_data().ok()));
        onward = onward.body(reqwest::Body::wrap_stream(chunks));
    }
    match onward.send().await {
        Ok(answer) => {
            let (status, headers) = (answer.status(), plain(answer.headers().clone()));
            let mut response = Response::new(StreamBody::new(answer.bytes_stream().map_ok(Frame::data)).boxed_unsync());
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            response
        }
        Err(error) => unreachable(&login.unreachable(&error).to_string()),
    }
}

/// As the API tells it, so that clients show the words.
fn unreachable(message: &str) -> Answer {
    let body = serde_json::json!({ "id": "bad_gateway", "message": message }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
