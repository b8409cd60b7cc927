//! The files folder: archives named by the SHA-256 of their bytes, zstd-compressed. A file that
//! has its name is whole: it is written beside, flushed to the disk, then renamed.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::engine::ByteStream;

const CHUNK: usize = 256 * 1024;
/// Compression of what builds produce: speed over size.
const LEVEL: i32 = 1;

/// A stored file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// SHA-256 of its bytes, hex: its name.
    pub sha256: String,
    /// Its bytes, compressed.
    pub size: u64,
}

/// Writes to a file under a temporary name, hashed and counted on the way.
pub struct Staged {
    file: tempfile::NamedTempFile,
    folder: PathBuf,
    hash: Sha256,
    size: u64,
    limit: u64,
}

impl Staged {
    /// A file that will lie in `folder`, of at most `limit` bytes.
    pub fn new_in(folder: &Path, limit: u64) -> io::Result<Staged> {
        let file = tempfile::NamedTempFile::new_in(folder)?;
        Ok(Staged { file, folder: folder.to_owned(), hash: Sha256::new(), size: 0, limit })
    }

    /// Gives it its name. Blocks until it is on the disk.
    pub fn keep(self) -> io::Result<Stored> {
        let stored = Stored { sha256: hex::encode(self.hash.finalize()), size: self.size };
        self.file.as_file().sync_all()?;
        self.file.persist(self.folder.join(&stored.sha256)).map_err(|error| error.error)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(stored)
    }
}

impl Write for Staged {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.size + buffer.len() as u64 > self.limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than allowed"));
        }
        let written = self.file.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Compresses a stream into the folder. An error of kind `FileTooLarge` beyond `limit` bytes.
pub async fn store(folder: PathBuf, mut content: ByteStream, limit: u64) -> io::Result<Stored> {
    let (sender, mut chunks) = mpsc::channel::<Bytes>(8);
    let writing = tokio::task::spawn_blocking(move || {
        let mut encoder = zstd::Encoder::new(Staged::new_in(&folder, limit)?, LEVEL)?;
        let mut whole = false;
        while let Some(chunk) = chunks.blocking_recv() {
            // An empty chunk is the end; a channel that closes before it means the source failed.
            whole = chunk.is_empty();
            encoder.write_all(&chunk)?;
        }
        if whole { encoder.finish()?.keep() } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    });
    let mut fault = None;
    while let Some(chunk) = content.next().await {
        match chunk {
            Ok(chunk) if chunk.is_empty() => {}
            Ok(chunk) => {
                if sender.send(chunk).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                fault = Some(error);
                break;
            }
        }
    }
    if fault.is_none() {
        // The writer is gone only after a fault of its own, which it reports.
        let _ = sender.send(Bytes::new()).await;
    }
    drop(sender);
    let stored = writing.await.map_err(io::Error::other)?;
    fault.map_or(stored, Err)
}

/// The decompressed bytes of a stored file.
pub fn open(path: &Path) -> io::Result<ByteStream> {
    let decoder = zstd::Decoder::with_buffer(BufReader::with_capacity(CHUNK, File::open(path)?))?;
    let chunks = stream::try_unfold(decoder, |decoder| async move {
        let (decoder, chunk) = tokio::task::spawn_blocking(move || read_chunk(decoder)).await.map_err(io::Error::other)??;
        Ok((!chunk.is_empty()).then_some((chunk, decoder)))
    });
    Ok(chunks.boxed())
}

fn read_chunk<R: Read>(mut from: R) -> io::Result<(R, Bytes)> {
    let mut chunk = Vec::with_capacity(CHUNK);
    from.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
    Ok((from, Bytes::from(chunk)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(path: &Path) -> Vec<u8> {
        open(path).expect("a file").map(|chunk| chunk.expect("a chunk").to_vec()).concat().await
    }

    #[tokio::test]
    async fn what_is_stored_is_read_back_under_its_hash() {
        let folder = tempfile::tempdir().expect("a folder");
        let content: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
        let chunks = content.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect::<Vec<_>>();
        let stored = store(folder.path().to_owned(), stream::iter(chunks).boxed(), u64::MAX).await.expect("stored");
        let path = folder.path().join(&stored.sha256);
        assert_eq!(hex::encode(Sha256::digest(std::fs::read(&path).expect("the file"))), stored.sha256);
        assert_eq!(read(&path).await, content);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1);
    }

    #[tokio::test]
    async fn a_broken_or_too_large_stream_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let broken = stream::iter([Ok(Bytes::from_static(b"half")), Err(io::Error::other("gone"))]).boxed();
        store(folder.path().to_owned(), broken, u64::MAX).await.expect_err("the fault");
        let noise: Vec<u8> = (0..100_000u64).flat_map(|i| Sha256::digest(i.to_le_bytes())[..8].to_vec()).collect();
        let large = stream::iter([Ok(Bytes::from(noise))]).boxed();
        let error = store(folder.path().to_owned(), large, 1_000).await.expect_err("the limit");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }
}
