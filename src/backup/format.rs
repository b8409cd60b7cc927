//! The file of a backup: a tar in one zstd frame. First what it is, then the files as they lie in the
//! data folder, last a list of them with their checksums: without it the file is cut off.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    path::{Component, Path},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::BackupError;

const FIRST: &str = "siesta-backup.json";
const LAST: &str = "manifest.json";
/// What a zstd frame begins with.
const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
const NAME: &str = "siesta-backup";
/// The form this program writes, and the newest it reads.
const VERSION: u32 = 1;
/// What is in it is mostly compressed already.
const LEVEL: i32 = 3;
const HEADER_BYTES: u64 = 64 * 1024;
const MANIFEST_BYTES: u64 = 64 * 1024 * 1024;

/// What a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    format: String,
    version: u32,
    /// The Siesta that made it.
    pub made_by: String,
    /// Milliseconds since the epoch.
    pub made_at: i64,
    /// Holds `keys.sealed`.
    pub with_keys: bool,
    /// Something sealed with the server's keys, hex: tells whether a key file fits.
    pub key_check: String,
}

impl Header {
    pub fn new(made_at: i64, with_keys: bool, key_check: &[u8]) -> Header {
        let made_by = env!("CARGO_PKG_VERSION").to_owned();
        Header { format: NAME.to_owned(), version: VERSION, made_by, made_at, with_keys, key_check: hex::encode(key_check) }
    }
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it lies in the data folder.
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
}

/// What is in a backup, for people, and each file of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub apps: u64,
    pub databases: u64,
    /// Key-value stores; a backup of an older Siesta holds none.
    #[serde(default)]
    pub stores: u64,
    pub entries: Vec<Entry>,
}

impl std::fmt::Display for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} apps, {} databases and {} key-value stores", self.apps, self.databases, self.stores)
    }
}

/// How many of each are in a backup.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holds {
    pub apps: u64,
    pub databases: u64,
    pub stores: u64,
}

/// Writes a backup.
pub struct Archive<W: Write> {
    tar: tar::Builder<zstd::Encoder<'static, W>>,
    manifest: Manifest,
}

impl<W: Write> Archive<W> {
    pub fn new(to: W, header: &Header) -> io::Result<Archive<W>> {
        let mut encoder = zstd::Encoder::new(to, LEVEL)?;
        encoder.include_checksum(true)?;
        let mut archive = Archive { tar: tar::Builder::new(encoder), manifest: Manifest::default() };
        archive.append(FIRST, &serde_json::to_vec(header)?, false)?;
        // In a block of its own: what the file is can be read of its first bytes.
        archive.tar.get_mut().flush()?;
        Ok(archive)
    }

    fn append(&mut self, path: &str, content: &[u8], listed: bool) -> io::Result<()> {
        let hash = self.append_from(path, content.len() as u64, content)?;
        if listed {
            self.list(path, content.len() as u64, hash);
        }
        Ok(())
    }

    fn append_from(&mut self, path: &str, bytes: u64, content: impl Read) -> io::Result<Sha256> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        let mut content = Hashed { inner: content.take(bytes), hash: Sha256::new(), bytes: 0 };
        self.tar.append_data(&mut header, path, &mut content)?;
        if content.bytes == bytes { Ok(content.hash) } else { Err(io::Error::other(format!("{path} became shorter meanwhile"))) }
    }

    fn list(&mut self, path: &str, bytes: u64, hash: Sha256) {
        self.manifest.entries.push(Entry { path: path.to_owned(), bytes, sha256: hex::encode(hash.finalize()) });
    }

    /// Adds a file under its path in the data folder.
    pub fn add_file(&mut self, path: &str, file: &std::fs::File) -> io::Result<()> {
        let bytes = file.metadata()?.len();
        let hash = self.append_from(path, bytes, file)?;
        self.list(path, bytes, hash);
        Ok(())
    }

    pub fn add_bytes(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.append(path, content, true)
    }

    /// The list at the end, and the end.
    pub fn finish(mut self, holds: Holds) -> io::Result<W> {
        self.manifest = Manifest { apps: holds.apps, databases: holds.databases, stores: holds.stores, ..self.manifest };
        let manifest = serde_json::to_vec(&self.manifest)?;
        self.append(LAST, &manifest, false)?;
        self.tar.into_inner()?.finish()
    }
}

/// Counts and hashes what is read.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

/// Takes one file of a backup: its header, the file's name, its bytes.
pub type Taker<'a> = dyn FnMut(&Header, &str, &mut dyn Read) -> Result<(), BackupError> + 'a;

/// Reads a backup to its end and hands every file to `take`, which need not read it. It is whole and
/// sound only when this is `Ok`: until then nothing of it may be used.
///
/// # Errors
/// When it is no backup, is cut off or damaged, was made by a newer Siesta, or `take` fails.
pub fn read(from: impl Read, take: &mut Taker<'_>) -> Result<(Header, Manifest), BackupError> {
    let mut from = BufReader::new(from);
    if !from.fill_buf()?.starts_with(&MAGIC) {
        return Err(BackupError::Foreign);
    }
    let mut tar = tar::Archive::new(zstd::Decoder::with_buffer(from)?.single_frame());
    let mut entries = tar.entries()?;
    let first = match entries.next().map(|first| first.map_err(damage)) {
        Some(Ok(first)) => first,
        Some(Err(BackupError::Cut)) => return Err(BackupError::Cut),
        _ => return Err(BackupError::Foreign),
    };
    let header: Header = named(first, FIRST, HEADER_BYTES).ok().flatten().ok_or(BackupError::Foreign)?;
    if header.format != NAME {
        return Err(BackupError::Foreign);
    }
    if header.version > VERSION {
        return Err(BackupError::Newer(header.made_by));
    }
    let (mut found, mut told) = (Vec::new(), None);
    for entry in entries {
        let entry = entry.map_err(damage)?;
        let path = entry.path().map_err(damage)?.to_string_lossy().into_owned();
        if path == LAST {
            told = Some(named::<Manifest>(entry, LAST, MANIFEST_BYTES)?.ok_or(BackupError::Damaged)?);
            break;
        }
        if !entry.header().entry_type().is_file() || !may_lie_there(&path) {
            return Err(BackupError::Damaged);
        }
        let mut content = Hashed { inner: entry, hash: Sha256::new(), bytes: 0 };
        take(&header, &path, &mut content)?;
        io::copy(&mut content, &mut io::sink()).map_err(damage)?;
        found.push(Entry { path, bytes: content.bytes, sha256: hex::encode(content.hash.finalize()) });
    }
    let manifest = told.ok_or(BackupError::Cut)?;
    if manifest.entries != found {
        return Err(BackupError::Damaged);
    }
    ends(tar.into_inner()).map(|()| (header, manifest))
}

/// An entry as JSON when it has this name.
fn named<T: serde::de::DeserializeOwned>(entry: tar::Entry<'_, impl Read>, name: &str, most: u64) -> Result<Option<T>, BackupError> {
    if entry.path().map_err(damage)? != Path::new(name) || entry.size() > most {
        return Ok(None);
    }
    let mut text = Vec::new();
    entry.take(most).read_to_end(&mut text).map_err(damage)?;
    Ok(serde_json::from_slice(&text).ok())
}

/// Nothing follows but the end of the tar and of the frame, whose own checksum is looked at there.
fn ends(mut rest: impl Read) -> Result<(), BackupError> {
    let mut block = [0; 4096];
    loop {
        match rest.read(&mut block).map_err(damage)? {
            0 => return Ok(()),
            count if block[..count].iter().all(|byte| *byte == 0) => {}
            _ => return Err(BackupError::Damaged),
        }
    }
}

/// What reading says of a file that is not as it was written.
pub(super) fn damage(error: io::Error) -> BackupError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupError::Cut,
        _ if ["unexpected EOF", "incomplete frame", "failed to read entire block"].iter().any(|said| error.to_string().contains(said)) => {
            BackupError::Cut
        }
        _ => BackupError::Damaged,
    }
}

/// One or two plain parts, beginning with a name a backup knows.
fn may_lie_there(path: &str) -> bool {
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) && !part.starts_with('.');
    let parts: Vec<_> = Path::new(path).components().collect();
    let normal = parts.iter().all(|part| matches!(part, Component::Normal(name) if name.to_str().is_some_and(plain)));
    let known = match path.split_once('/') {
        None => matches!(path, super::STATE | super::LOGS | super::KEYS),
        Some((folder, _)) => super::FOLDERS.contains(&folder) && parts.len() == 2,
    };
    normal && known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Vec<u8> {
        let mut archive = Archive::new(Vec::new(), &Header::new(1_430_000_000_000, false, b"check")).unwrap();
        archive.add_bytes("siesta.db", &[7; 10_000]).unwrap();
        let noise: Vec<u8> = (0..3_000u64).flat_map(|i| Sha256::digest(i.to_le_bytes())[..8].to_vec()).collect();
        archive.add_bytes("files/aa", &noise).unwrap();
        archive.finish(Holds { apps: 3, databases: 1, stores: 2 }).unwrap()
    }

    fn check(bytes: &[u8]) -> Result<(Header, Manifest), BackupError> {
        read(bytes, &mut |_, _, _| Ok(()))
    }

    #[test]
    fn what_was_written_is_read_back() {
        let mut seen = Vec::new();
        let (header, manifest) = read(&made()[..], &mut |_, path, content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).unwrap();
            seen.push((path.to_owned(), bytes.len()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [("siesta.db".to_owned(), 10_000), ("files/aa".to_owned(), 24_000)]);
        assert_eq!(
            (header.made_at, header.with_keys, manifest.apps, manifest.databases, manifest.stores),
            (1_430_000_000_000, false, 3, 1, 2)
        );
    }

    #[test]
    fn a_cut_a_changed_and_a_foreign_file_are_told_apart_and_none_is_taken() {
        let whole = made();
        for at in (1..whole.len()).step_by(211).chain([whole.len() - 1, whole.len() - 3]) {
            let error = check(&whole[..at]).expect_err("cut");
            assert!(matches!(error, BackupError::Cut | BackupError::Foreign), "cut at {at}: {error:?}");
        }
        assert!(matches!(check(&whole[..whole.len() / 2]), Err(BackupError::Cut)));
        for at in (0..whole.len()).step_by(127).chain([whole.len() - 1, whole.len() - 2]) {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert!(check(&changed).is_err(), "byte {at}");
        }
        let mut tar = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
        tar.append_data(&mut tar::Header::new_gnu(), "etc/passwd", io::empty()).unwrap();
        let foreign = tar.into_inner().unwrap().finish().unwrap();
        for other in [&foreign[..], b"", b"PK\x03\x04 a zip", &[0; 4096]] {
            assert!(matches!(check(other), Err(BackupError::Foreign)));
        }
    }

    #[test]
    fn a_backup_of_a_newer_siesta_is_named_as_one() {
        let newer = Header { version: VERSION + 1, made_by: "9.0.0".to_owned(), ..Header::new(0, false, b"") };
        let bytes = Archive::new(Vec::new(), &newer).unwrap().finish(Holds::default()).unwrap();
        assert!(matches!(check(&bytes), Err(BackupError::Newer(made_by)) if made_by == "9.0.0"));
    }

    #[test]
    fn nothing_lies_outside_the_data_folder() {
        for good in
            ["siesta.db", "logs.db", "keys.sealed", "files/0a1b", "restore/d0123.dump", "restore/k0123.store", "stack/run-1.tar.zst"]
        {
            assert!(may_lie_there(good), "{good}");
        }
        for bad in ["../siesta.db", "/etc/passwd", "files/../key", "files/a/b", "files/.ssh", "other/a", "key", "admin.sock", "files", ""] {
            assert!(!may_lie_there(bad), "{bad}");
        }
    }
}
