//! A connection that has switched protocols: raw bytes both ways until one side closes or both
//! are silent for too long. An idle tunnel holds no buffer; all of a thread share one.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    domain::ErrorCode,
    router::{
        record::{Ending, Record},
        watch::{ClientIo, Watched},
    },
};

/// Bytes copied at once.
pub const BUFFER: usize = 16 * 1024;

/// A tunnel whose client side is still on its way.
pub struct Tunnel {
    pub client: OnUpgrade,
    pub dyno: TcpStream,
    /// What the dyno sent right behind its head.
    pub early: Bytes,
    pub record: Box<Record>,
}

impl Tunnel {
    /// Copies until the end. The record, and the lease in it, live as long.
    pub async fn run(mut self, buffer: &RefCell<Box<[u8]>>, silence: Duration) {
        let Ok(upgraded) = self.client.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<Watched>>() else { return };
        let mut pair = Pair {
            client: parts.io.into_inner().io,
            dyno: self.dyno,
            up: Lane { pending: own(parts.read_buf), ..Lane::default() },
            down: Lane { pending: own(self.early), ..Lane::default() },
        };
        let mut moved = Instant::now();
        let mut timer = std::pin::pin!(tokio::time::sleep(silence));
        let ending = std::future::poll_fn(|cx| {
            let before = pair.up.bytes + pair.down.bytes;
            let done = pair.poll(cx, &mut buffer.borrow_mut());
            if pair.up.bytes + pair.down.bytes != before {
                moved = Instant::now();
            }
            match done {
                Poll::Ready(Ok(())) => return Poll::Ready(Ending::Served),
                Poll::Ready(Err(_)) => return Poll::Ready(Ending::Served),
                Poll::Pending => {}
            }
            while timer.as_mut().poll(cx).is_ready() {
                let quiet = moved.elapsed();
                if quiet >= silence {
                    return Poll::Ready(Ending::Failed(ErrorCode::H15, None));
                }
                timer.as_mut().reset(tokio::time::Instant::now() + (silence - quiet));
            }
            Poll::Pending
        })
        .await;
        self.record.bytes = pair.down.bytes;
        self.record.ending = Some(ending);
    }
}

/// What came early, without the whole buffer it came in.
fn own(early: Bytes) -> Bytes {
    Bytes::copy_from_slice(&early)
}

struct Pair {
    client: ClientIo,
    dyno: TcpStream,
    up: Lane,
    down: Lane,
}

/// One direction.
#[derive(Default)]
struct Lane {
    /// Read but not yet taken by the other side.
    pending: Bytes,
    bytes: u64,
    ended: bool,
    closed: bool,
}

impl Pair {
    fn poll(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<()>> {
        let up = self.up.poll(cx, &mut self.client, &mut self.dyno, buffer)?;
        let down = self.down.poll(cx, &mut self.dyno, &mut self.client, buffer)?;
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl Lane {
    /// Ready when the source has ended and the sink knows it.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, source: &mut R, sink: &mut W, buffer: &mut [u8]) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while !self.pending.is_empty() {
                let written = std::task::ready!(Pin::new(&mut *sink).poll_write(cx, &self.pending))?;
                self.moved(written)?;
                self.pending.advance(written);
                if self.pending.is_empty() {
                    self.pending = Bytes::new();
                }
            }
            if self.ended {
                if !self.closed {
                    std::task::ready!(Pin::new(&mut *sink).poll_shutdown(cx))?;
                    self.closed = true;
                }
                return Poll::Ready(Ok(()));
            }
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut *source).poll_read(cx, &mut read) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    // TLS may hold what was written until it is flushed.
                    let _ = Pin::new(&mut *sink).poll_flush(cx)?;
                    return Poll::Pending;
                }
            }
            let mut chunk = read.filled();
            self.ended = chunk.is_empty();
            while !chunk.is_empty() {
                match Pin::new(&mut *sink).poll_write(cx, chunk)? {
                    Poll::Ready(written) => {
                        self.moved(written)?;
                        chunk = &chunk[written..];
                    }
                    Poll::Pending => {
                        self.pending = Bytes::copy_from_slice(chunk);
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn moved(&mut self, bytes: usize) -> io::Result<()> {
        self.bytes += bytes as u64;
        if bytes == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }
}
