//! Archives of one app for another: a promoted slug is the same file, but what belonged to the
//! processes of the app it was built for belongs to those of the app that runs it.

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::engine::{ByteStream, spec::AppUid};

const BLOCK: usize = 512;

/// The same tar with every entry of some app's user given to `owner`; what is root's stays root's.
pub(super) fn given_to(owner: AppUid, tar: ByteStream) -> ByteStream {
    let state = (tar, Giver { owner, head: Vec::with_capacity(BLOCK), body: 0 });
    let chunks = stream::try_unfold(state, |(mut tar, mut giver)| async move {
        Ok::<_, io::Error>(match tar.next().await.transpose()? {
            Some(chunk) => Some((giver.pass(&chunk), (tar, giver))),
            // An archive that was cut off inside a header is for the engine to refuse.
            None => (!giver.head.is_empty()).then(|| (Bytes::from(std::mem::take(&mut giver.head)), (tar, giver))),
        })
    });
    chunks.boxed()
}

/// Where in the archive we are.
struct Giver {
    owner: AppUid,
    /// The beginning of a header.
    head: Vec<u8>,
    /// Bytes of the entry's content that are still to come, with its padding.
    body: u64,
}

impl Giver {
    fn pass(&mut self, mut chunk: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(chunk.len() + BLOCK);
        while !chunk.is_empty() {
            let wanted = if self.body > 0 { self.body } else { (BLOCK - self.head.len()) as u64 };
            let (now, rest) = chunk.split_at(usize::try_from(wanted).unwrap_or(usize::MAX).min(chunk.len()));
            chunk = rest;
            if self.body > 0 {
                out.extend_from_slice(now);
                self.body -= now.len() as u64;
                continue;
            }
            self.head.extend_from_slice(now);
            if self.head.len() == BLOCK {
                self.give();
                out.append(&mut self.head);
            }
        }
        Bytes::from(out)
    }

    /// Changes the header that is there, and learns how long its content is.
    fn give(&mut self) {
        let AppUid(owner) = self.owner;
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&self.head);
        // The blocks of zeros at the end are no header, and have no size.
        let Ok(size) = header.entry_size() else { return };
        let kind = header.entry_type();
        let has_content = !(kind.is_hard_link() || kind.is_symlink() || kind.is_dir() || kind.is_fifo());
        self.body = if has_content { size.next_multiple_of(BLOCK as u64) } else { 0 };
        if header.uid().is_ok_and(AppUid::is_one) {
            header.set_uid(u64::from(owner));
            header.set_gid(u64::from(owner));
            header.set_cksum();
            self.head.copy_from_slice(header.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Two files and a folder of users, a long name, a link; contents that look like headers.
    fn archive(app: u64) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |path: &str, uid: u64, kind: tar::EntryType, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o644);
            header.set_uid(uid);
            header.set_gid(uid);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content).unwrap();
        };
        add("app/", app, tar::EntryType::Directory, b"");
        add("app/data.bin", app, tar::EntryType::Regular, &vec![b'7'; 1_300]);
        add(&format!("app/{}", "long/".repeat(40)), app, tar::EntryType::Directory, b"");
        add("app/empty", app, tar::EntryType::Regular, b"");
        add("usr/bin/tool", 0, tar::EntryType::Regular, b"root's");
        let mut inner = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_uid(app);
        header.set_size(0);
        inner.append_data(&mut header, "inside", io::empty()).unwrap();
        let inner = inner.into_inner().unwrap();
        add("app/inner.tar", app, tar::EntryType::Regular, &inner);
        tar.into_inner().unwrap()
    }

    #[tokio::test]
    async fn entries_of_apps_change_hands_and_contents_do_not() {
        let original = archive(20_007);
        for size in [1, 7, 511, 512, 513, 100_000] {
            let chunks: Vec<_> = original.chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            let given: Vec<u8> = given_to(AppUid(20_033), stream::iter(chunks).boxed()).map(|chunk| chunk.unwrap().to_vec()).concat().await;
            assert_eq!(given, archive_with_inner(20_033), "chunks of {size}");
        }
    }

    /// What must come out: as if made for the other app, but for the archive inside the archive.
    fn archive_with_inner(app: u64) -> Vec<u8> {
        let (mine, theirs) = (archive(app), archive(20_007));
        let mut read = tar::Archive::new(theirs.as_slice());
        let inner =
            read.entries().unwrap().map(Result::unwrap).find(|entry| entry.path_bytes().ends_with(b"inner.tar")).map(|mut entry| {
                let (at, mut bytes) = (usize::try_from(entry.raw_file_position()).unwrap(), Vec::new());
                entry.read_to_end(&mut bytes).unwrap();
                (at, bytes)
            });
        let (at, bytes) = inner.unwrap();
        let mut expected = mine;
        expected[at..at + bytes.len()].copy_from_slice(&bytes);
        expected
    }
}
