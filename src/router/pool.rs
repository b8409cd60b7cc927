//! Connections to dynos: kept per thread and by the target's key, never by its address, since a
//! stopped container's address goes to the next one at once.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode};
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, Connection, Parts, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{
    dynos::Target,
    router::{body::Upward, watch::Watch},
};

/// The largest head of a response (heroku.md 4.2 allows a line of 512 KB).
const RESPONSE_BUFFER: usize = 768 * 1024;

/// A connection to a dyno, driven by whoever holds it.
pub struct Upstream {
    sender: SendRequest<Upward>,
    /// None once it has ended.
    connection: Option<Connection<TokioIo<TcpStream>, Upward>>,
    target: Weak<Target>,
    key: u64,
    idle_since: Instant,
    /// It has served a request before.
    pub used: bool,
}

/// Why a dyno could not be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectFault {
    Refused,
    TimedOut,
}

/// Why a request got no answer.
pub enum SendFault {
    /// Not a byte was sent: here is the request again.
    Unsent(Box<Request<Upward>>),
    /// The patience of the request's watch ended.
    Expired,
    Broken(hyper::Error),
}

/// A whole answer, or one that turns the connection into a tunnel.
pub enum Reply {
    Response(Response<Incoming>),
    Switched(Response<Incoming>, Parts<TokioIo<TcpStream>>),
}

impl Upstream {
    pub async fn connect(target: &Arc<Target>, patience: Duration) -> Result<Upstream, ConnectFault> {
        let stream = match tokio::time::timeout(patience, TcpStream::connect(target.address)).await {
            Err(_) => return Err(ConnectFault::TimedOut),
            Ok(Err(e))
                if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) =>
            {
                return Err(ConnectFault::TimedOut);
            }
            Ok(Err(_)) => return Err(ConnectFault::Refused),
            Ok(Ok(stream)) => stream,
        };
        // Without it the rest of a request waits for the acknowledgement of its head.
        let _ = stream.set_nodelay(true);
        let handshake = Builder::new().max_buf_size(RESPONSE_BUFFER).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|_| ConnectFault::Refused)?;
        let idle_since = Instant::now();
        Ok(Upstream { sender, connection: Some(connection), target: Arc::downgrade(target), key: target.key, idle_since, used: false })
    }

    /// Moves bytes in both directions. Ready when the connection has ended.
    pub fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(()) };
        connection.poll_without_shutdown(cx).map(|_| ())
    }

    /// Sends a request and waits for the head of the answer, driving the connection meanwhile.
    pub async fn send(&mut self, request: Request<Upward>, watch: &Watch) -> Result<Reply, SendFault> {
        let mut reply = std::pin::pin!(self.sender.try_send_request(request));
        let mut switched = None;
        // Only the connection can make the reply ready, and it is driven here: the reply itself
        // needs to wake nobody.
        let mut still = Context::from_waker(Waker::noop());
        let mut ended = false;
        std::future::poll_fn(|cx| {
            if watch.expired() {
                return Poll::Ready(Err(SendFault::Expired));
            }
            if !ended && let Some(connection) = &mut self.connection {
                ended = connection.poll_without_shutdown(cx).is_ready();
            }
            if switched.is_none() {
                match reply.as_mut().poll(&mut still) {
                    Poll::Ready(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => switched = Some(response),
                    Poll::Ready(Ok(response)) => return Poll::Ready(Ok(Reply::Response(response))),
                    Poll::Ready(Err(mut fault)) => {
                        return Poll::Ready(Err(match fault.take_message() {
                            Some(request) => SendFault::Unsent(Box::new(request)),
                            None => SendFault::Broken(fault.into_error()),
                        }));
                    }
                    Poll::Pending if ended => {
                        // Dropping the connection tells the reply that nothing will come.
                        self.connection = None;
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending => {}
                }
            }
            match switched.take() {
                Some(response) if ended => {
                    let parts = self.connection.take().expect("an ended connection is still here").into_parts();
                    Poll::Ready(Ok(Reply::Switched(response, parts)))
                }
                Some(response) => {
                    switched = Some(response);
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Whether another request may be sent: nothing of the last one is left, and the dyno has not closed.
    fn is_free(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx).is_pending() && self.sender.is_ready() && self.target.strong_count() > 0
    }
}

/// The idle connections of one thread.
pub struct Pool {
    idle: RefCell<HashMap<u64, Vec<Upstream>>>,
    per_target: usize,
    keep: Duration,
}

impl Pool {
    pub fn new(per_target: usize, keep: Duration) -> Pool {
        Pool { idle: RefCell::default(), per_target, keep }
    }

    /// The connection used last, if one is still good.
    pub fn take(&self, key: u64, cx: &mut Context<'_>) -> Option<Upstream> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&key)?;
        while let Some(mut upstream) = connections.pop() {
            if upstream.is_free(cx) {
                return Some(upstream);
            }
        }
        None
    }

    /// Keeps a connection for the next request, if it is fit for one.
    pub fn put(&self, mut upstream: Upstream) {
        if !upstream.is_free(&mut Context::from_waker(Waker::noop())) {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let connections = idle.entry(upstream.key).or_default();
        if connections.len() < self.per_target {
            upstream.idle_since = Instant::now();
            upstream.used = true;
            connections.push(upstream);
        }
    }

    /// Drops connections that were not used for long or whose target is gone.
    pub fn sweep(&self) {
        let now = Instant::now();
        let keep = |u: &mut Upstream| u.target.strong_count() > 0 && now.saturating_duration_since(u.idle_since) < self.keep;
        let mut idle = self.idle.borrow_mut();
        idle.retain(|_, connections| {
            connections.retain_mut(keep);
            !connections.is_empty()
        });
    }
}
