//! The clock of one client connection: which phase it is in and when its patience ends.
//!
//! Nothing here sets a timer. The connection's task holds one lazy timer and asks `due` when it
//! fires, so a request costs a few relaxed stores instead of timer insertions.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use crate::config::Limits;

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Phase {
    /// Between requests.
    Idle,
    /// Some bytes of a head have come.
    Head,
    /// A request is being answered, by others' clocks.
    Busy,
    /// A request is being answered; silence longer than the limit ends it.
    Timed,
    /// Closing: what the client still sends is read and forgotten, for a moment.
    Linger,
}

/// How much of a request body has gone through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Upload {
    Done,
    Open,
    /// The client sent something that is no body.
    Bad,
}

const LINGER: Duration = Duration::from_secs(2);

/// Shared between a connection's task, its requests and its socket; all on one thread.
#[derive(Debug)]
pub struct Watch {
    epoch: Instant,
    phase: AtomicU8,
    upload: AtomicU8,
    /// Microseconds since `epoch`.
    mark: AtomicU64,
    limit: AtomicU64,
    expired: AtomicBool,
    answered: AtomicBool,
    head_timeout: u64,
    keep_alive: u64,
    head: Mutex<Head>,
}

/// The raw bytes of the head that came last, for what the parser does not tell.
#[derive(Debug, Default)]
struct Head {
    bytes: Vec<u8>,
    /// Begins with the request line of the request that is served now.
    fresh: bool,
    cap: usize,
}

impl Watch {
    pub fn new(limits: &Limits) -> Arc<Watch> {
        let head_timeout = limits.header_timeout.as_micros() as u64;
        Arc::new(Watch {
            epoch: Instant::now(),
            // A connection that says nothing at all has as long as a slow head.
            phase: AtomicU8::new(Phase::Head as u8),
            upload: AtomicU8::new(Upload::Done as u8),
            mark: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            expired: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            head_timeout,
            keep_alive: limits.keep_alive.as_micros() as u64,
            head: Mutex::new(Head { bytes: Vec::new(), fresh: true, cap: limits.head_bytes }),
        })
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Busy,
            3 => Phase::Timed,
            _ => Phase::Linger,
        }
    }

    fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    pub fn upload(&self) -> Upload {
        match self.upload.load(Relaxed) {
            0 => Upload::Done,
            1 => Upload::Open,
            _ => Upload::Bad,
        }
    }

    pub fn set_upload(&self, upload: Upload) {
        self.upload.store(upload as u8, Relaxed);
    }

    /// The request's body has gone through: from now on the dyno's answer is awaited. Once the
    /// answer flows, only its own silence counts.
    pub fn uploaded(&self, first_byte: Duration) {
        if self.upload() == Upload::Open {
            self.set_upload(Upload::Done);
            if !self.answered.load(Relaxed) {
                self.time(first_byte);
            }
        }
    }

    /// The head of the answer is here; from now on only silence counts.
    pub fn answered(&self, silence: Duration) {
        self.answered.store(true, Relaxed);
        self.time(silence);
    }

    /// A request begins; others watch the time until `time` is called.
    pub fn begin(&self) {
        self.expired.store(false, Relaxed);
        self.answered.store(false, Relaxed);
        self.set(Phase::Busy);
    }

    /// A request has ended.
    pub fn idle(&self) {
        self.touch();
        self.set(Phase::Idle);
        // What was read already is the head of no request to come, unless more is read.
        self.head.lock().unwrap_or_else(PoisonError::into_inner).fresh = false;
    }

    /// Silence longer than `limit` from now on ends the request.
    pub fn time(&self, limit: Duration) {
        self.touch();
        self.limit.store(limit.as_micros() as u64, Relaxed);
        self.set(Phase::Timed);
    }

    /// Something moved.
    pub fn touch(&self) {
        self.mark.store(self.now(), Relaxed);
    }

    pub fn expired(&self) -> bool {
        self.expired.load(Relaxed)
    }

    pub fn expire(&self) {
        self.expired.store(true, Relaxed);
    }

    /// When patience ends as things stand.
    pub fn due(&self) -> Option<Instant> {
        let span = match self.phase() {
            Phase::Idle => self.keep_alive,
            Phase::Head => self.head_timeout,
            Phase::Busy => return None,
            Phase::Timed => self.limit.load(Relaxed),
            Phase::Linger => LINGER.as_micros() as u64,
        };
        Some(self.epoch + Duration::from_micros(self.mark.load(Relaxed) + span))
    }

    /// The head of the request served now names `Content-Length`; also true when that cannot be
    /// known because requests were sent back to back.
    pub fn head_may_have_length(&self) -> bool {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if !head.fresh || head.bytes.len() >= head.cap {
            return true;
        }
        let mut lines =
            head.bytes.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).skip_while(|line| line.is_empty());
        lines.next();
        lines
            .take_while(|line| !line.is_empty())
            .any(|line| line.split(|b| *b == b':').next().is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"content-length")))
    }

    fn received(&self, bytes: &[u8]) {
        let phase = self.phase();
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        match phase {
            Phase::Idle => {
                head.bytes.clear();
                head.fresh = self.upload() == Upload::Done;
                self.touch();
                self.set(Phase::Head);
            }
            Phase::Head => {}
            Phase::Busy | Phase::Timed | Phase::Linger => {
                head.fresh = false;
                return;
            }
        }
        let room = head.cap.saturating_sub(head.bytes.len()).min(bytes.len());
        head.bytes.extend_from_slice(&bytes[..room]);
    }
}

/// A client's socket.
pub enum ClientIo {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A client's socket that tells its watch what moves.
pub struct Watched {
    pub io: ClientIo,
    pub watch: Arc<Watch>,
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            ClientIo::Plain(io) => Pin::new(io).poll_read(cx, buf),
            ClientIo::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            ClientIo::Plain(io) => Pin::new(io).poll_write(cx, buf),
            ClientIo::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[std::io::IoSlice<'_>]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            ClientIo::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            ClientIo::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, ClientIo::Plain(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            ClientIo::Plain(io) => Pin::new(io).poll_flush(cx),
            ClientIo::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            ClientIo::Plain(io) => Pin::new(io).poll_shutdown(cx),
            ClientIo::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        if let Some(new) = buf.filled().get(before..).filter(|new| !new.is_empty()) {
            this.watch.received(new);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, buf))?;
        this.watch.touch();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[std::io::IoSlice<'_>]) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, bufs))?;
        this.watch.touch();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    /// Closing a socket with unread bytes resets the connection and may take the last answer with
    /// it: after our end is closed, what still comes is read and forgotten until the client closes.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        if this.watch.phase() != Phase::Linger {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            if this.watch.upload() == Upload::Done {
                return Poll::Ready(Ok(()));
            }
            this.watch.touch();
            this.watch.set(Phase::Linger);
        }
        let mut scratch = [0_u8; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut this.io).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
