//! The output of builds: one file a build, followed by any number of readers. A reader asks for
//! bytes from an offset on, so a page that reloads loses nothing.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::sync::watch;

use crate::domain::{BuildId, BuildStatus};

/// The output kept of one build, in bytes.
const MAX_BYTES: u64 = 10 * 1024 * 1024;
/// Room beyond it for the closing lines.
const RESERVE: u64 = 64 * 1024;
const CHUNK: usize = 64 * 1024;
/// Values of config vars shorter than this are not masked (security.md SR18).
const MIN_SECRET: usize = 8;
const MASK: &str = "[masked]";

/// A piece of a build's output, for a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputItem {
    /// Bytes from `offset` on (whole lines while the build runs).
    Bytes { offset: u64, bytes: Bytes },
    /// The build has ended; nothing follows.
    End(BuildStatus),
}

/// How far a build's output is.
#[derive(Clone, Copy, Debug)]
struct Progress {
    length: u64,
    ended: Option<BuildStatus>,
}

/// All builds whose output grows or may grow.
#[derive(Default)]
pub struct Outputs {
    folder: PathBuf,
    live: Mutex<HashMap<BuildId, Arc<watch::Sender<Progress>>>>,
    /// Counts up whenever a build is queued, begins or ends.
    changes: watch::Sender<u64>,
}

impl Outputs {
    /// Output lies in `folder`, which exists.
    pub fn new(folder: PathBuf) -> Outputs {
        Outputs { folder, ..Outputs::default() }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<BuildId, Arc<watch::Sender<Progress>>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, build: BuildId) -> PathBuf {
        self.folder.join(format!("{build}.log"))
    }

    /// A build that was queued: its output may be followed from now on.
    pub fn announce(&self, build: BuildId) {
        let length = std::fs::metadata(self.path(build)).map_or(0, |metadata| metadata.len());
        self.live().entry(build).or_insert_with(|| Arc::new(watch::Sender::new(Progress { length, ended: None })));
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Changes whenever a build is queued, begins or ends.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The writer of a build's output. Appends to what an earlier attempt left.
    pub fn open(&self, build: BuildId) -> io::Result<Log> {
        self.announce(build);
        let progress =
            self.live().get(&build).cloned().unwrap_or_else(|| Arc::new(watch::Sender::new(Progress { length: 0, ended: None })));
        let file = OpenOptions::new().create(true).append(true).open(self.path(build))?;
        let length = file.metadata()?.len();
        progress.send_modify(|progress| progress.length = length);
        Ok(Log { file, length, full: length >= MAX_BYTES, progress, secrets: Vec::new() })
    }

    /// Tells all followers how the build ended.
    pub fn end(&self, build: BuildId, status: BuildStatus) {
        if let Some(progress) = self.live().remove(&build) {
            progress.send_modify(|progress| progress.ended = Some(status));
        }
        self.changed();
    }

    /// Waits until the build has ended, if it has not.
    pub async fn ended(&self, build: BuildId) {
        let receiver = self.live().get(&build).map(|progress| progress.subscribe());
        if let Some(mut receiver) = receiver {
            // An error means the sender is gone, which happens only after the end.
            let _ = receiver.wait_for(|progress| progress.ended.is_some()).await;
        }
    }

    /// The output from byte `from` on. `status` is what the store says of the build: it is asked
    /// before this call, so a build that is not followed here has ended.
    pub fn follow(&self, build: BuildId, from: u64, status: BuildStatus) -> BoxStream<'static, OutputItem> {
        let receiver = match self.live().get(&build) {
            Some(progress) => progress.subscribe(),
            None => {
                let length = std::fs::metadata(self.path(build)).map_or(0, |metadata| metadata.len());
                watch::Sender::new(Progress { length, ended: Some(status) }).subscribe()
            }
        };
        let state = Some((receiver, from, self.path(build)));
        stream::unfold(state, |state| async move {
            let (mut receiver, offset, path) = state?;
            // The last value stays readable after the sender is gone.
            let _ = receiver.wait_for(|progress| progress.length > offset || progress.ended.is_some()).await;
            let progress = *receiver.borrow_and_update();
            if progress.length > offset
                && let Ok(bytes) = read_piece(&path, offset, progress.length)
                && !bytes.is_empty()
            {
                let next = offset + bytes.len() as u64;
                return Some((OutputItem::Bytes { offset, bytes }, Some((receiver, next, path))));
            }
            Some((OutputItem::End(progress.ended.unwrap_or(BuildStatus::Failed)), None))
        })
        .boxed()
    }

    /// Removes a build's output.
    pub fn remove(&self, build: BuildId) -> io::Result<()> {
        match std::fs::remove_file(self.path(build)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn read_piece(path: &Path, from: u64, to: u64) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let most = usize::try_from(to - from).unwrap_or(CHUNK).min(CHUNK);
    let mut piece = Vec::with_capacity(most);
    file.take(most as u64).read_to_end(&mut piece)?;
    Ok(Bytes::from(piece))
}

/// Writes a build's output line by line, with secrets masked.
pub struct Log {
    file: File,
    length: u64,
    full: bool,
    progress: Arc<watch::Sender<Progress>>,
    secrets: Vec<String>,
}

impl Log {
    /// Values that never appear from now on, plain or in Base64.
    pub fn mask<'a>(&mut self, values: impl Iterator<Item = &'a str>) {
        for value in values.filter(|value| value.len() >= MIN_SECRET) {
            let lines = value.lines().map(str::trim).filter(|line| line.len() >= MIN_SECRET).map(str::to_owned);
            self.secrets.extend(lines);
            self.secrets.extend([STANDARD_NO_PAD.encode(value), URL_SAFE_NO_PAD.encode(value)]);
        }
        // The longest first: one secret may be a part of another.
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self.secrets.dedup();
    }

    /// A line as it shall be shown: secrets masked.
    pub fn masked(&self, line: &str) -> String {
        let mut shown = line.to_owned();
        for secret in &self.secrets {
            if shown.contains(secret.as_str()) {
                shown = shown.replace(secret.as_str(), MASK);
            }
        }
        shown
    }

    /// Appends a line. Beyond the limit lines are dropped, and that is said once.
    pub fn line(&mut self, line: &str) {
        if self.full {
            return;
        }
        if self.length > MAX_BYTES {
            self.full = true;
            self.write(" !     The output is longer than 10 MB. What follows is not kept.");
            return;
        }
        let line = self.masked(line);
        self.write(&line);
    }

    /// Appends a line of the closing, for which there is always room.
    pub fn closing(&mut self, line: &str) {
        if self.length < MAX_BYTES + RESERVE {
            let line = self.masked(line);
            self.write(&line);
        }
    }

    fn write(&mut self, line: &str) {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        match self.file.write_all(&bytes) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                self.progress.send_modify(|progress| progress.length = self.length);
            }
            Err(error) => {
                tracing::error!(%error, "build output could not be written");
                self.full = true;
            }
        }
    }

    /// `-----> text`
    pub fn step(&mut self, text: &str) {
        self.line(&format!("-----> {text}"));
    }

    /// Seven spaces and the text.
    pub fn detail(&mut self, text: &str) {
        self.line(&format!("       {text}"));
    }

    /// ` !     text`
    pub fn warning(&mut self, text: &str) {
        self.line(format!(" !     {text}").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(items: &[OutputItem]) -> String {
        items
            .iter()
            .map(|item| match item {
                OutputItem::Bytes { bytes, .. } => String::from_utf8_lossy(bytes).into_owned(),
                OutputItem::End(status) => format!("<{status:?}>"),
            })
            .collect()
    }

    #[tokio::test]
    async fn followers_see_everything_from_their_offset_to_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let outputs = Outputs::new(folder.path().to_owned());
        let build = BuildId::new();
        outputs.announce(build);
        let early = outputs.follow(build, 0, BuildStatus::Queued);
        let mut log = outputs.open(build).expect("a log");
        log.step("one");
        let late = outputs.follow(build, 11, BuildStatus::Running);
        log.detail("two");
        drop(log);
        outputs.end(build, BuildStatus::Succeeded);
        let after = outputs.follow(build, 0, BuildStatus::Succeeded);
        assert_eq!(text_of(&early.collect::<Vec<_>>().await), "-----> one\n       two\n<Succeeded>");
        assert_eq!(text_of(&late.collect::<Vec<_>>().await), "       two\n<Succeeded>");
        assert_eq!(text_of(&after.collect::<Vec<_>>().await), "-----> one\n       two\n<Succeeded>");
    }

    #[test]
    fn secrets_are_masked_plain_and_in_base64() {
        let folder = tempfile::tempdir().expect("a folder");
        let outputs = Outputs::new(folder.path().to_owned());
        let build = BuildId::new();
        let mut log = outputs.open(build).expect("a log");
        log.mask(["canary-123456", "short", "line one of it\nline two of it"].into_iter());
        log.line("a=canary-123456 b=short c=line two of it");
        log.line(&format!("{} {}", STANDARD_NO_PAD.encode("canary-123456"), "canary-12345"));
        let text = std::fs::read_to_string(outputs.path(build)).expect("the log");
        assert_eq!(text, "a=[masked] b=short c=[masked]\n[masked] canary-12345\n");
    }

    #[test]
    fn output_has_a_limit_and_room_for_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let outputs = Outputs::new(folder.path().to_owned());
        let build = BuildId::new();
        let mut log = outputs.open(build).expect("a log");
        let line = "x".repeat(1024 * 1024);
        (0..20).for_each(|_| log.line(&line));
        log.closing(" !     Push failed");
        let text = std::fs::read_to_string(outputs.path(build)).expect("the log");
        assert!(text.len() < 12 * 1024 * 1024);
        assert!(text.ends_with(" !     The output is longer than 10 MB. What follows is not kept.\n !     Push failed\n"));
    }
}
