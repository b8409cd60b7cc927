//! A file of a dump on its way to or from the database server: every byte is counted and hashed.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that passed so far, for whoever looks on.
pub type Count = Arc<AtomicU64>;

/// Hashes and counts what passes.
pub struct Measured<T> {
    inner: T,
    hash: Sha256,
    count: Count,
}

impl<T> Measured<T> {
    pub fn new(inner: T, count: &Count) -> Measured<T> {
        Measured { inner, hash: Sha256::new(), count: count.clone() }
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    /// The end: what it stood around, how many bytes passed, and their SHA-256.
    pub fn finish(self) -> (T, u64, Vec<u8>) {
        (self.inner, self.count.load(Ordering::Relaxed), self.hash.finalize().to_vec())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Measured<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut me.inner).poll_read(cx, buffer))?;
        me.passed(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Measured<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let count = ready!(Pin::new(&mut me.inner).poll_write(cx, bytes))?;
        me.passed(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_is_written_and_what_is_read_have_one_count_and_one_hash() {
        let written = Count::default();
        let mut to = Measured::new(Vec::new(), &written);
        for part in [&b"PGDMP"[..], b"", &[7; 100_000]] {
            to.write_all(part).await.unwrap();
        }
        let (bytes, count, hash) = to.finish();
        assert_eq!((count, bytes.len()), (100_005, 100_005));
        let read = Count::default();
        let mut from = Measured::new(&bytes[..], &read);
        let mut back = Vec::new();
        from.read_to_end(&mut back).await.unwrap();
        let (_, again, other) = from.finish();
        assert_eq!((again, other), (count, hash.clone()));
        assert_eq!(hash, Sha256::digest(&bytes).to_vec());
    }
}
