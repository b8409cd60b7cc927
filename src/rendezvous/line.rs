//! The client's connection: read record by record, and watched for its end.

use std::{
    io,
    os::fd::AsFd as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// A machine that has vanished is noticed after about two minutes.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);

/// Sees that the other side has hung up, even while what it sent last waits to be read.
pub struct Line(TcpStream);

impl Line {
    pub fn of(socket: &TcpStream) -> io::Result<Line> {
        SockRef::from(socket).set_tcp_keepalive(&KEEPALIVE)?;
        Ok(Line(TcpStream::from_std(socket.as_fd().try_clone_to_owned()?.into())?))
    }

    /// Waits until it has.
    pub async fn hung_up(&self) {
        while self.0.ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
            // Nothing is read here: the next event is waited for.
            let _ = self.0.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
    }
}

/// Each read gives bytes of one record at most: what the client sent in one go stays apart from the rest.
pub struct Records<S>(pub S);

impl<S: AsyncBufRead + Unpin> AsyncRead for Records<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = Pin::new(&mut self.0);
        let record = ready!(inner.as_mut().poll_fill_buf(cx))?;
        let count = record.len().min(into.remaining());
        into.put_slice(&record[..count]);
        inner.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Records<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn the_end_of_a_client_is_seen_before_its_last_bytes_are_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let line = Line::of(&server).unwrap();
        client.write_all(b"uno").await.unwrap();
        server.readable().await.unwrap();
        let mut waiting = Box::pin(line.hung_up());
        assert!(futures_util::poll!(&mut waiting).is_pending(), "bytes are no end");
        client.write_all(b"dos").await.unwrap();
        drop(client);
        waiting.await;
        let mut heard = String::new();
        server.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "unodos");
    }

    #[tokio::test]
    async fn a_read_ends_where_a_record_does() {
        let records = tokio_util::io::StreamReader::new(futures_util::stream::iter(
            ["uno", "\x04", "dos"].map(|text| io::Result::Ok(text.as_bytes())),
        ));
        let (mut records, mut buffer) = (Records(records), [0; 16]);
        for expected in ["un", "o", "\x04", "dos", ""] {
            let room = if expected == "un" { 2 } else { 16 };
            let count = records.read(&mut buffer[..room]).await.unwrap();
            assert_eq!(&buffer[..count], expected.as_bytes());
        }
    }
}
