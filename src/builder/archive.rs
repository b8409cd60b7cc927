//! Uploaded archives are hostile until written anew: read as a stream, judged, and re-serialised
//! into a plain tar of `app/...` that only ever unpacks inside a container (security.md SR5, SR6).
//!
//! Two passes over the upload: `survey` judges every entry and keeps what detection reads;
//! `write` copies what stays, each path once (its last occurrence), owned by the app's user.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
    rc::Rc,
};

use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use crate::builder::{ignore::Ignore, source::SourceTree};

const MAX_PATH_BYTES: usize = 1_024;
const MAX_DEPTH: usize = 64;
/// All paths together: what the survey keeps in memory.
const MAX_NAMES_BYTES: usize = 16 * 1024 * 1024;
/// Headers of one entry, long names and extensions included.
const MAX_HEADER_BYTES: u64 = 64 * 1024;
/// Decompressed bytes for one compressed byte, judged beyond `RATIO_FLOOR`.
const MAX_RATIO: u64 = 200;
const RATIO_FLOOR: u64 = 16 * 1024 * 1024;

/// A Git LFS pointer is smaller than this, and begins so.
const MAX_POINTER_BYTES: u64 = 1_024;
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// What an archive may hold.
#[derive(Clone, Copy, Debug)]
pub struct ArchiveLimits {
    pub unpacked_bytes: u64,
    pub entries: u64,
}

/// Why an archive is refused: what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("The upload is not a tar or tar.gz archive. Pack the app's folder with `tar czf app.tar.gz .` and upload that file.")]
    NotAnArchive,
    #[error("The upload is a zip archive. Pack the app's folder with `tar czf app.tar.gz .` and upload that file.")]
    Zip,
    #[error("The archive holds no files. Pack the app's folder with `tar czf app.tar.gz .` and upload that file.")]
    Empty,
    #[error("The archive is larger than {0} MB when unpacked. Leave out what the app does not need, for example with a .slugignore.")]
    TooLarge(u64),
    #[error("The archive holds more than {0} files. Leave out what the app does not need.")]
    TooMany(u64),
    #[error("The archive expands more than 200 times when unpacked and was refused as a bomb.")]
    Bomb,
    #[error("The path `{0}` in the archive is too long or too deep (at most 1024 bytes and 64 folders). Shorten it.")]
    TooLong(String),
    #[error("The archive's file names and headers are too large. Pack it again with fewer or shorter names.")]
    Headers,
    #[error("The path `{0}` in the archive leads outside of the app's folder. Pack the archive from inside that folder.")]
    Escapes(String),
    #[error("The name `{0}` in the archive is not UTF-8. Rename the file.")]
    NotUtf8(String),
    #[error(
        "The link `{path}` in the archive points to `{target}`, outside of the app's folder. Replace it with a relative link or a copy."
    )]
    Link { path: String, target: String },
    #[error("The hard link `{path}` in the archive points to `{target}`, which is not a file packed before it. Pack a copy instead.")]
    HardLink { path: String, target: String },
    #[error("`{0}` in the archive is a device, a pipe or another special file. Only files, folders and links can be deployed.")]
    Special(String),
    #[error("The archive has both a file or link `{0}` and something inside it. Pack the folder again.")]
    Conflict(String),
    #[error("The archive is damaged or cut off ({0}). Pack and upload it again.")]
    Damaged(String),
    #[error("The data folder failed: {0}")]
    Io(io::Error),
}

/// A source written anew.
#[derive(Debug)]
pub struct Repacked {
    /// SHA-256 of the file, hex: its name in the files folder.
    pub sha256: String,
    /// Compressed bytes.
    pub size: u64,
    pub tree: SourceTree,
}

/// Judges the upload and writes it anew into `files`. Blocking: call it from a blocking task.
pub fn repack(upload: &Path, files: &Path, owner: u32, limits: ArchiveLimits) -> Result<Repacked, ArchiveError> {
    let survey = survey(upload, limits)?;
    let staged = tempfile::NamedTempFile::new_in(files).map_err(ArchiveError::Io)?;
    let (sha256, size) = write(upload, staged.as_file(), &survey, owner, limits)?;
    staged.persist(files.join(&sha256)).map_err(|error| ArchiveError::Io(error.error))?;
    Ok(Repacked { sha256, size, tree: survey.tree })
}

/// Makes one archive of several: the first is the root, the others go into folders of it. Each loses
/// its top folder, as the git host's archives have one. Blocking.
pub fn join(parts: &[(String, PathBuf)], joined: &File, limits: ArchiveLimits) -> Result<(), ArchiveError> {
    let mut tree = TreeWriter::new(tar::Builder::new(io::BufWriter::new(joined)), 0);
    for (folder, archive) in parts {
        let place = |path: &str| {
            let inner = path.split_once('/').map(|(_, inner)| inner)?;
            Some(["source", folder.as_str(), inner].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
        };
        walk(archive, limits, &mut |item| {
            let Some(path) = place(&item.path) else { return Ok(()) };
            match item.kind {
                Kind::Folder => tree.folder(&path),
                Kind::File { executable } => tree.file(&path, (executable, item.modified), item.size, item.content),
                Kind::Link { target } => tree.link(&path, EntryType::Symlink, &target, item.modified),
                Kind::HardLink { target } => match place(&target) {
                    Some(target) => tree.link(&path, EntryType::Link, &target, item.modified),
                    None => return Err(ArchiveError::HardLink { path: item.path, target }),
                },
            }
            .map_err(ArchiveError::Io)
        })?;
    }
    tree.tar.into_inner().and_then(|buffer| buffer.into_inner().map_err(io::IntoInnerError::into_error)).map_err(ArchiveError::Io)?;
    Ok(())
}

/// Counts what is read and stops what is too much.
struct Meter<R> {
    inner: R,
    gauge: Rc<Gauge>,
}

#[derive(Default)]
struct Gauge {
    total: Cell<u64>,
    /// Bytes that may still be read as headers; `u64::MAX` while a file's content is read.
    headers: Cell<u64>,
    cap: u64,
    ratio_cap: u64,
    fault: Cell<Option<Fault>>,
}

#[derive(Clone, Copy)]
enum Fault {
    Large,
    Ratio,
    Headers,
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let count = read as u64;
        let gauge = &self.gauge;
        gauge.total.set(gauge.total.get() + count);
        let left = gauge.headers.get();
        let fault = if gauge.total.get() > gauge.cap {
            Some(Fault::Large)
        } else if gauge.total.get() > gauge.ratio_cap {
            Some(Fault::Ratio)
        } else if count > left {
            Some(Fault::Headers)
        } else {
            None
        };
        if left != u64::MAX {
            gauge.headers.set(left.saturating_sub(count));
        }
        if let Some(fault) = fault {
            gauge.fault.set(Some(fault));
            return Err(io::Error::other("over a limit"));
        }
        Ok(read)
    }
}

/// The upload as a tar stream: gzip is told by its magic bytes, a tar by `ustar` in its first header.
fn open(upload: &Path, limits: ArchiveLimits) -> Result<(Box<dyn Read>, Rc<Gauge>), ArchiveError> {
    let mut file = File::open(upload).map_err(ArchiveError::Io)?;
    let size = file.metadata().map_err(ArchiveError::Io)?.len();
    let mut magic = [0; 4];
    let known = file.read(&mut magic).map_err(ArchiveError::Io)?;
    let file = File::open(upload).map_err(ArchiveError::Io)?;
    let plain: Box<dyn Read> = match &magic[..known] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
        b"PK\x03\x04" => return Err(ArchiveError::Zip),
        _ => Box::new(BufReader::new(file)),
    };
    // Headers and padding count too: a tar of tiny files is larger than its files.
    let cap = limits.unpacked_bytes + limits.entries * 1_024;
    let ratio_cap = size.saturating_mul(MAX_RATIO).max(RATIO_FLOOR);
    let gauge = Rc::new(Gauge { cap, ratio_cap, headers: Cell::new(u64::MAX), ..Gauge::default() });
    let mut metered = Meter { inner: plain, gauge: gauge.clone() };
    let mut head = [0; 512];
    let mut length = 0;
    while length < head.len() {
        match metered.read(&mut head[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) => return Err(ArchiveError::Damaged(error.to_string())),
        }
    }
    let blank = head[..length].iter().all(|byte| *byte == 0);
    if !blank && (length < 512 || &head[257..262] != b"ustar") {
        return Err(ArchiveError::NotAnArchive);
    }
    Ok((Box::new(io::Cursor::new(head[..length].to_vec()).chain(metered)), gauge))
}

/// What an entry is, once judged.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    Folder,
    File { executable: bool },
    Link { target: String },
    HardLink { target: String },
}

/// One entry on its way through either pass.
struct Item<'a> {
    index: u64,
    path: String,
    kind: Kind,
    modified: u64,
    size: u64,
    content: &'a mut dyn Read,
}

/// Walks over all entries; `see` gets each with its path cleaned of `./`.
fn walk(upload: &Path, limits: ArchiveLimits, see: &mut dyn FnMut(Item<'_>) -> Result<(), ArchiveError>) -> Result<(), ArchiveError> {
    let (stream, gauge) = open(upload, limits)?;
    let fault = |error: io::Error| match gauge.fault.get() {
        Some(Fault::Large) => ArchiveError::TooLarge(limits.unpacked_bytes / (1024 * 1024)),
        Some(Fault::Ratio) => ArchiveError::Bomb,
        Some(Fault::Headers) => ArchiveError::Headers,
        None => ArchiveError::Damaged(error.to_string()),
    };
    let mut archive = tar::Archive::new(stream);
    let mut entries = archive.entries().map_err(&fault)?;
    let mut index = 0;
    loop {
        gauge.headers.set(MAX_HEADER_BYTES);
        let Some(entry) = entries.next() else { return Ok(()) };
        let mut entry = entry.map_err(&fault)?;
        gauge.headers.set(u64::MAX);
        index += 1;
        if index > limits.entries {
            return Err(ArchiveError::TooMany(limits.entries));
        }
        if let Some((path, kind)) = judge(&entry)? {
            let modified = entry.header().mtime().unwrap_or(0);
            let size = entry.size();
            see(Item { index, path, kind, modified, size, content: &mut entry })
                .map_err(|error| if gauge.fault.get().is_some() { fault(io::Error::other("over a limit")) } else { error })?;
        }
        io::copy(&mut entry, &mut io::sink()).map_err(&fault)?;
    }
}

/// Path and kind of an entry; None for the root folder and for entries that only describe.
fn judge(entry: &tar::Entry<'_, impl Read>) -> Result<Option<(String, Kind)>, ArchiveError> {
    let entry_type = entry.header().entry_type();
    if matches!(entry_type, EntryType::XGlobalHeader | EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink) {
        return Ok(None);
    }
    let Some(path) = clean(&entry.path_bytes())? else { return Ok(None) };
    let target = || {
        let bytes = entry.link_name_bytes().unwrap_or_default();
        String::from_utf8(bytes.to_vec()).map_err(|_| ArchiveError::NotUtf8(shown(&bytes)))
    };
    let kind = match entry_type {
        EntryType::Directory => Kind::Folder,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            Kind::File { executable: entry.header().mode().unwrap_or(0) & 0o111 != 0 }
        }
        EntryType::Symlink => Kind::Link { target: target()? },
        EntryType::Link => {
            let target = target()?;
            match clean(target.as_bytes())? {
                Some(target) => Kind::HardLink { target },
                None => return Err(ArchiveError::HardLink { path, target }),
            }
        }
        _ => return Err(ArchiveError::Special(path)),
    };
    Ok(Some((path, kind)))
}

/// A relative path without `.`; None when nothing is left of it.
fn clean(bytes: &[u8]) -> Result<Option<String>, ArchiveError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ArchiveError::NotUtf8(shown(bytes)))?;
    if text.starts_with('/') {
        return Err(ArchiveError::Escapes(shown(bytes)));
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(ArchiveError::Escapes(shown(bytes)));
    }
    if text.len() > MAX_PATH_BYTES || parts.len() > MAX_DEPTH {
        return Err(ArchiveError::TooLong(shown(bytes)));
    }
    if text.contains('\0') {
        return Err(ArchiveError::NotUtf8(shown(bytes)));
    }
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

/// The beginning of a name, safe to print.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// What the first pass found.
struct Survey {
    /// The one folder everything is in, with its slash; or nothing.
    top: String,
    ignore: Ignore,
    /// Every path below the top folder that stays: number of its last entry, and what it is.
    paths: BTreeMap<String, (u64, Kind)>,
    tree: SourceTree,
}

fn survey(upload: &Path, limits: ArchiveLimits) -> Result<Survey, ArchiveError> {
    let mut found: BTreeMap<String, (u64, Kind)> = BTreeMap::new();
    let mut kept: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    let mut pointers: BTreeSet<String> = BTreeSet::new();
    let (mut names, mut kept_bytes) = (0, 0);
    walk(upload, limits, &mut |item| {
        names += item.path.len();
        if names > MAX_NAMES_BYTES {
            return Err(ArchiveError::Headers);
        }
        // The top folder is not known yet: a file is kept if it is wanted with or without it.
        let below = item.path.split_once('/').map_or("", |(_, rest)| rest);
        let wanted = SourceTree::wanted(&item.path).max(SourceTree::wanted(below));
        let is_file = matches!(item.kind, Kind::File { .. });
        let fits = wanted.is_some_and(|most| item.size <= most) && kept_bytes + item.size as usize <= super::source::MAX_TOTAL_BYTES;
        let mut content = Vec::new();
        if is_file && (fits || item.size < MAX_POINTER_BYTES) {
            item.content.read_to_end(&mut content).map_err(|error| ArchiveError::Damaged(error.to_string()))?;
        }
        if content.starts_with(POINTER) {
            pointers.insert(item.path.clone());
        }
        if is_file && wanted.is_some() {
            kept_bytes += if fits { content.len() } else { 0 };
            kept.insert(item.path.clone(), fits.then_some(content));
        }
        found.insert(item.path, (item.index, item.kind));
        Ok(())
    })?;
    let top = top_folder(&found);
    let ignore_file = kept.get(&format!("{top}.slugignore")).and_then(Option::as_deref).unwrap_or_default();
    let ignore = Ignore::parse(&String::from_utf8_lossy(ignore_file));
    let mut survey = Survey { top, ignore, paths: BTreeMap::new(), tree: SourceTree::default() };
    for (path, (index, kind)) in found {
        let Some(inner) = path.strip_prefix(&survey.top).filter(|inner| !inner.is_empty()) else { continue };
        if survey.ignore.drops(inner) {
            continue;
        }
        if !matches!(kind, Kind::Folder) {
            survey.tree.note(inner);
        }
        if pointers.contains(&path) {
            survey.tree.lfs_pointers.push(inner.to_owned());
        }
        match kept.remove(&path) {
            Some(Some(content)) if SourceTree::wanted(inner).is_some() => survey.tree.keep(inner, content),
            Some(None) => _ = survey.tree.too_large.insert(inner.to_owned()),
            _ => {}
        }
        survey.paths.insert(inner.to_owned(), (index, kind));
    }
    if survey.tree.files == 0 {
        return Err(ArchiveError::Empty);
    }
    survey.tree.sort();
    survey.check()?;
    Ok(survey)
}

/// `name/` when everything lies in the one folder `name`.
fn top_folder(found: &BTreeMap<String, (u64, Kind)>) -> String {
    let mut paths = found.iter().filter(|(path, _)| !path.starts_with("._"));
    let Some((first, _)) = paths.next() else { return String::new() };
    let top = first.split('/').next().unwrap_or(first);
    let inside = |(path, (_, kind)): (&String, &(u64, Kind))| {
        path.split('/').next() == Some(top) && (path.len() > top.len() || *kind == Kind::Folder)
    };
    if found.iter().filter(|(path, _)| !path.starts_with("._")).all(inside) { format!("{top}/") } else { String::new() }
}

impl Survey {
    /// The rules that need all paths: nothing below a file or link, links stay inside.
    fn check(&self) -> Result<(), ArchiveError> {
        for (path, (index, kind)) in &self.paths {
            for (at, _) in path.match_indices('/') {
                if matches!(self.paths.get(&path[..at]), Some((_, ancestor)) if *ancestor != Kind::Folder) {
                    return Err(ArchiveError::Conflict(path[..at].to_owned()));
                }
            }
            match kind {
                Kind::Link { target } if !stays_inside(path, target) => {
                    return Err(ArchiveError::Link { path: shown(path.as_bytes()), target: shown(target.as_bytes()) });
                }
                Kind::HardLink { target } => {
                    let inner = target.strip_prefix(&self.top).unwrap_or_default();
                    let before = matches!(self.paths.get(inner), Some((at, Kind::File { .. })) if at < index);
                    if !before {
                        return Err(ArchiveError::HardLink { path: shown(path.as_bytes()), target: shown(target.as_bytes()) });
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a symbolic link's target, read from the link's folder, is inside the tree.
fn stays_inside(path: &str, target: &str) -> bool {
    if target.is_empty() || target.starts_with('/') || target.len() > MAX_PATH_BYTES || target.contains('\0') {
        return false;
    }
    let mut depth = path.matches('/').count();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return false,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    true
}

/// The second pass. Returns the hash and the size of what was written.
fn write(upload: &Path, file: &File, survey: &Survey, owner: u32, limits: ArchiveLimits) -> Result<(String, u64), ArchiveError> {
    let hashing = Hashing { inner: file, hash: Sha256::new(), size: 0 };
    let encoder = zstd::Encoder::new(hashing, 3).map_err(ArchiveError::Io)?;
    let mut tree = TreeWriter::new(tar::Builder::new(encoder), owner);
    tree.folder("app").map_err(ArchiveError::Io)?;
    walk(upload, limits, &mut |item| {
        let Some(inner) = item.path.strip_prefix(&survey.top) else { return Ok(()) };
        let Some((index, kind)) = survey.paths.get(inner) else { return Ok(()) };
        if *index != item.index {
            return Ok(());
        }
        let path = format!("app/{inner}");
        match kind {
            Kind::Folder => tree.folder(&path),
            Kind::File { executable } => tree.file(&path, (*executable, item.modified), item.size, item.content),
            Kind::Link { target } => tree.link(&path, EntryType::Symlink, target, item.modified),
            Kind::HardLink { target } => {
                let target = format!("app/{}", target.strip_prefix(&survey.top).unwrap_or(target));
                tree.link(&path, EntryType::Link, &target, item.modified)
            }
        }
        .map_err(ArchiveError::Io)
    })?;
    let encoder = tree.tar.into_inner().map_err(ArchiveError::Io)?;
    let hashing = encoder.finish().map_err(ArchiveError::Io)?;
    file.sync_all().map_err(ArchiveError::Io)?;
    Ok((hex::encode(hashing.hash.finalize()), hashing.size))
}

/// Writes plain entries with one owner and two modes, each folder before what is in it.
struct TreeWriter<W: Write> {
    tar: tar::Builder<W>,
    owner: u32,
    folders: BTreeSet<String>,
}

impl<W: Write> TreeWriter<W> {
    fn new(tar: tar::Builder<W>, owner: u32) -> Self {
        TreeWriter { tar, owner, folders: BTreeSet::new() }
    }

    fn header(&self, entry_type: EntryType, mode: u32, modified: u64, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(entry_type);
        header.set_mode(mode);
        header.set_uid(u64::from(self.owner));
        header.set_gid(u64::from(self.owner));
        // Eleven octal digits, the year 2242: later times are no times.
        header.set_mtime(if modified < 0o77_777_777_777 { modified } else { 0 });
        header.set_size(size);
        header
    }

    /// A folder and the folders above it, each once.
    fn folder(&mut self, path: &str) -> io::Result<()> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            if self.folders.insert(path[..end].to_owned()) {
                let mut header = self.header(EntryType::Directory, 0o755, 0, 0);
                self.tar.append_data(&mut header, format!("{}/", &path[..end]), io::empty())?;
            }
        }
        Ok(())
    }

    fn above(&mut self, path: &str) -> io::Result<()> {
        path.rsplit_once('/').map_or(Ok(()), |(folder, _)| self.folder(folder))
    }

    /// A file of exactly `size` bytes; a content that ends early is an error.
    fn file(&mut self, path: &str, (executable, modified): (bool, u64), size: u64, content: &mut dyn Read) -> io::Result<()> {
        self.above(path)?;
        let mut header = self.header(EntryType::Regular, if executable { 0o755 } else { 0o644 }, modified, size);
        let mut exact = content.take(size);
        self.tar.append_data(&mut header, path, &mut exact)?;
        if exact.limit() == 0 { Ok(()) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof)) }
    }

    fn link(&mut self, path: &str, entry_type: EntryType, target: &str, modified: u64) -> io::Result<()> {
        self.above(path)?;
        let mut header = self.header(entry_type, 0o777, modified, 0);
        self.tar.append_link(&mut header, path, target)
    }
}

/// Hashes and counts what is written.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests;
