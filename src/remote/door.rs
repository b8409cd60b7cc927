//! The one port on loopback, told apart by first bytes: requests in plain text or over TLS go on to the
//! server as they are (API, git), a secret over TLS is a client of a one-off dyno and leads to its process.
//! The key is the client's to send; whoever else finds the port has none.

use std::{convert::Infallible, sync::Arc, time::Duration};

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
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use super::{Login, RemoteError};
use crate::{domain::network::DOOR, rendezvous};

type Answer = Response<UnsyncBoxBody<Bytes, reqwest::Error>>;

/// For the first bytes of a client, and for the server to take a connection.
const PATIENCE: Duration = Duration::from_secs(15);
/// What TLS begins with; no request does.
const HANDSHAKE: u8 = 0x16;

/// What belongs to one connection and not to the request.
const OF_THE_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    HeaderName::from_static(DOOR),
];

/// Where the door leads, and how.
pub struct Door {
    login: Login,
    /// The door's own port.
    port: u16,
    requests: reqwest::Client,
    outside: TlsConnector,
    inside: TlsAcceptor,
}

impl Door {
    /// `tls` is what clients on this machine trust.
    ///
    /// # Errors
    /// When the login's address or certificate is unusable.
    pub fn new(login: Login, port: u16, tls: Arc<rustls::ServerConfig>) -> Result<Arc<Door>, RemoteError> {
        let (requests, outside) = (login.client()?, TlsConnector::from(Arc::new(login.tls())));
        Ok(Arc::new(Door { login, port, requests, outside, inside: TlsAcceptor::from(tls) }))
    }

    /// Serves one connection of a client.
    pub async fn serve(self: Arc<Door>, stream: TcpStream) {
        let mut first = [0];
        if !matches!(timeout(PATIENCE, stream.peek(&mut first)).await, Ok(Ok(1))) {
            return;
        }
        if first[0] != HANDSHAKE {
            return self.answer(stream).await;
        }
        let Ok(Ok(mut stream)) = timeout(PATIENCE, self.inside.accept(stream)).await else { return };
        let Ok(Ok(first)) = timeout(PATIENCE, stream.fill_buf()).await else { return };
        if rendezvous::is_secret(first) {
            match self.connect().await {
                Ok(server) => rendezvous::relay(stream, server).await,
                Err(why) => rendezvous::turn_away(stream, &why).await,
            }
        } else {
            self.answer(stream).await;
        }
    }

    /// A connection to the server, for bytes that are no requests.
    async fn connect(&self) -> Result<client::TlsStream<TcpStream>, String> {
        let unreachable = |why: String| RemoteError::Unreachable { server: self.login.server.clone(), why }.to_string();
        let (host, port) = self.login.place().map_err(|error| error.to_string())?;
        let name = ServerName::try_from(host.clone()).map_err(|error| unreachable(error.to_string()))?;
        let connected = async { self.outside.connect(name, TcpStream::connect((host, port)).await?).await };
        let connected = timeout(PATIENCE, connected).await.map_err(|_| unreachable("no answer in time".to_owned()))?;
        connected.map_err(|error| unreachable(error.to_string()))
    }

    async fn answer(self: Arc<Door>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(move |request| {
            let door = self.clone();
            async move { Ok::<_, Infallible>(door.forward(request).await) }
        });
        // A client that breaks off needs no answer.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn forward(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let address = format!("{}{path}", self.login.server);
        if is_page(&parts) {
            return elsewhere(&address);
        }
        let mut onward = self.requests.request(parts.method, address).headers(plain(parts.headers)).header(DOOR, self.port);
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
            Err(error) => unreachable(&self.login.unreachable(&error).to_string()),
        }
    }
}

fn plain(mut headers: HeaderMap) -> HeaderMap {
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    headers
}

/// Whether a browser asks for something to look at: it shall be logged in at the server, not here.
fn is_page(parts: &http::request::Parts) -> bool {
    let accept = parts.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.contains("text/html") && !parts.headers.contains_key(header::AUTHORIZATION)
}

fn elsewhere(address: &str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(address) = address.parse() {
        response.headers_mut().insert(header::LOCATION, address);
    }
    response
}

/// As the API tells it, so that clients show the words.
fn unreachable(message: &str) -> Answer {
    let body = serde_json::json!({ "id": "bad_gateway", "message": message }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
