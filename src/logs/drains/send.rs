//! One delivery to a drain: a POST, or bytes on a connection that stays open.

use std::{io, pin::pin, time::Duration};

use futures_util::poll;
use http::{StatusCode, header};
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    egress::{Egress, EgressError},
    logs::drains::{
        address::{DrainAddress, Protocol},
        frame::Frame,
    },
};

/// A receiver has this long to take a frame.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a frame did not arrive. Shown to the app's owner; holds nothing of the address but its host.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Egress(#[from] EgressError),
    #[error("it answered {0}")]
    Answered(StatusCode),
    #[error("its certificate is not trusted")]
    Certificate,
    #[error("it did not answer in time")]
    TimedOut,
    #[error("the connection failed: {0}")]
    Broken(String),
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The way to one drain.
pub(super) struct Sender {
    egress: Egress,
    address: DrainAddress,
    token: String,
    way: Way,
}

enum Way {
    Post(reqwest::Client),
    Stream(Option<Box<dyn Duplex>>),
}

impl Sender {
    pub(super) fn new(egress: Egress, address: DrainAddress, token: String) -> Sender {
        let way = match address.protocol {
            Protocol::Https => {
                let client = egress.http().pool_max_idle_per_host(1).timeout(PATIENCE).build();
                Way::Post(client.expect("a client of fixed settings can be built"))
            }
            Protocol::Syslog { .. } => Way::Stream(None),
        };
        Sender { egress, address, token, way }
    }

    /// Hands a frame over. On a failure the same frame may be sent again.
    pub(super) async fn send(&mut self, frame: &Frame) -> Result<(), SendError> {
        match &mut self.way {
            Way::Post(client) => {
                self.egress.check(self.address.url())?;
                post(client, &self.address, &self.token, frame).await
            }
            Way::Stream(open) => {
                // Taken out: what broke in the middle of a frame is closed, not used again.
                let mut kept = open.take();
                let alive = match &mut kept {
                    Some(connection) => is_alive(connection).await,
                    None => false,
                };
                let work = async {
                    let mut connection = match kept.filter(|_| alive) {
                        Some(connection) => connection,
                        None => connect(&self.egress, &self.address).await?,
                    };
                    connection.write_all(&frame.bytes).await.map_err(broken)?;
                    connection.flush().await.map_err(broken)?;
                    Ok::<_, SendError>(connection)
                };
                *open = Some(timeout(PATIENCE, work).await.map_err(|_| SendError::TimedOut)??);
                Ok(())
            }
        }
    }
}

async fn post(client: &reqwest::Client, address: &DrainAddress, token: &str, frame: &Frame) -> Result<(), SendError> {
    let request = client
        .post(address.secret().expose_secret())
        .header(header::CONTENT_TYPE, "application/logplex-1")
        .header(header::USER_AGENT, "Logplex/v49")
        .header("logplex-msg-count", frame.messages)
        .header("logplex-frame-id", &frame.id)
        .header("logplex-drain-token", token)
        .body(frame.bytes.clone());
    let response = request.send().await.map_err(|error| match error {
        error if error.is_timeout() => SendError::TimedOut,
        error if distrusts(&error) => SendError::Certificate,
        error => SendError::Broken(innermost(&error)),
    })?;
    if response.status().is_success() { Ok(()) } else { Err(SendError::Answered(response.status())) }
}

async fn connect(egress: &Egress, address: &DrainAddress) -> Result<Box<dyn Duplex>, SendError> {
    let stream = egress.connect(&address.host, address.port).await?;
    // A receiver that went without a word is noticed in minutes, not hours.
    let keep_alive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    socket2::SockRef::from(&stream).set_tcp_keepalive(&keep_alive).map_err(broken)?;
    if address.protocol == (Protocol::Syslog { tls: false }) {
        return Ok(Box::new(stream));
    }
    let host = address.host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|_| SendError::Certificate)?;
    let secured = TlsConnector::from(egress.tls()).connect(name, stream).await;
    Ok(Box::new(secured.map_err(|error| if distrusts(&error) { SendError::Certificate } else { broken(error) })?))
}

/// Whether the other end still listens: it says nothing, and has not closed.
async fn is_alive(connection: &mut Box<dyn Duplex>) -> bool {
    let mut said = [0; 256];
    for _ in 0..16 {
        match poll!(pin!(connection.read(&mut said))) {
            std::task::Poll::Pending => return true,
            std::task::Poll::Ready(Ok(0) | Err(_)) => return false,
            std::task::Poll::Ready(Ok(_)) => {}
        }
    }
    true
}

fn broken(error: io::Error) -> SendError {
    SendError::Broken(error.to_string())
}

/// Whether a certificate was refused, anywhere in the chain of causes.
fn distrusts(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let here = error.downcast_ref::<rustls::Error>().is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)));
    here || inner.is_some_and(|inner| distrusts(inner)) || error.source().is_some_and(distrusts)
}

/// The last cause, which names no address.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}
