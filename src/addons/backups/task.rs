//! The containers of dumps and restores: programs of PostgreSQL in the image of ours, with the
//! server's socket and nothing else. Bytes stream between them and a file of the data folder.

use std::{os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};

use crate::{
    addons::{
        AddonsParts,
        backups::BackupError,
        postgres::{Postgres, find},
    },
    domain::BackupId,
    engine::{
        Attachment, Exit,
        spec::{self, AddonInput},
    },
};

/// What these containers are called in labels. There is one at a time.
const NAME: &str = "transfer";
const MEMORY: i64 = 192 * 1024 * 1024;
/// What a failed dump ends with, before the reason.
const FAILED: &[u8] = b"\nsiesta: the dump failed\n";
/// The most that is kept of what a program says.
const WORDS: usize = 4000;
/// Between two notes of how far it is.
const NOTE: Duration = Duration::from_secs(1);
const CHUNK: usize = 128 * 1024;

/// Who a program is inside the database server.
pub struct Login {
    pub name: String,
    pub password: SecretString,
    /// Whose rights it uses, and who owns what it makes.
    pub role: String,
}

/// A dump as it was written or read.
#[derive(Default)]
pub struct Streamed {
    pub bytes: u64,
    pub sha256: Vec<u8>,
}

/// Runs these programs and says how far they are.
pub struct Runner<'a> {
    pub parts: &'a AddonsParts,
    pub postgres: &'a Postgres,
    pub backup: BackupId,
}

impl Runner<'_> {
    /// Writes a dump of `database` as that snapshot sees it into a new file, which is complete on disk
    /// at the end.
    pub async fn dump(&self, login: &Login, database: &str, snapshot: &str, file: &Path) -> Result<Streamed, BackupError> {
        let command = ["/opt/siesta/dump", database, &login.role, snapshot];
        let (streamed, exit) = self
            .run(login, &command, async |Attachment { mut input, output }| {
                let _ = input.shutdown().await;
                let mut open =
                    tokio::fs::OpenOptions::from(std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone())
                        .open(file)
                        .await?;
                let streamed = self.receive(output, &mut open).await?;
                open.sync_all().await?;
                Ok(streamed)
            })
            .await?;
        let (streamed, tail) = streamed;
        if exit.code == 0 {
            return Ok(streamed);
        }
        Err(BackupError::Dump(ended(exit, &reason(&tail))))
    }

    /// Puts the dump in `file` into a database that is empty.
    pub async fn restore(&self, login: &Login, database: &str, file: &Path) -> Result<Streamed, BackupError> {
        let command = ["/opt/siesta/restore", database, &login.role];
        let ((streamed, words), exit) = self
            .run(login, &command, async |Attachment { mut input, mut output }| {
                let send = async {
                    let streamed = self.send(file, &mut input).await;
                    let _ = input.shutdown().await;
                    streamed
                };
                let listen = async {
                    let mut words = Vec::new();
                    while let Some(Ok(said)) = output.next().await {
                        keep_last(&mut words, &said);
                    }
                    words
                };
                let (streamed, words) = tokio::join!(send, listen);
                Ok((streamed?, words))
            })
            .await?;
        if exit.code == 0 {
            return Ok(streamed);
        }
        Err(BackupError::Restore(ended(exit, &String::from_utf8_lossy(&words))))
    }

    /// Runs a program to its end; its container is gone afterwards.
    async fn run<T>(
        &self,
        login: &Login,
        command: &[&str],
        work: impl AsyncFnOnce(Attachment) -> Result<T, BackupError>,
    ) -> Result<(T, Exit), BackupError> {
        let engine = &self.parts.engine;
        remove_leftover(self.parts).await?;
        let image = self.postgres.image().ok_or(crate::addons::AddonError::NotOffered)?;
        let spec = spec::addon_task_spec(&AddonInput {
            instance: &self.parts.instance,
            name: NAME,
            image,
            command: command.iter().map(|&word| word.to_owned()).collect(),
            env: vec![("PGUSER".to_owned(), login.name.clone()), ("PGPASSWORD".to_owned(), login.password.expose_secret().to_owned())],
            uid: spec::DATABASE_UID,
            network: None,
            folders: vec![self.postgres.mount("run", "/run/postgres", true)],
            memory_bytes: MEMORY,
            pids: 64,
            stop_signal: "SIGKILL",
            stop_seconds: 1,
        });
        let id = engine.create(spec).await?;
        let worked = async {
            let streams = engine.attach(id.clone()).await?;
            engine.start(id.clone()).await?;
            let done = work(streams).await?;
            Ok((done, engine.wait(id.clone()).await?))
        };
        let outcome = worked.await;
        engine.remove(id).await?;
        outcome
    }

    /// Writes what comes into a file; also the last of it.
    async fn receive(&self, mut output: crate::engine::ByteStream, file: &mut tokio::fs::File) -> Result<(Streamed, Vec<u8>), BackupError> {
        let (mut hash, mut bytes, mut tail, mut noted) = (Sha256::new(), 0, Vec::new(), Instant::now());
        while let Some(chunk) = output.next().await {
            let chunk: Bytes = chunk?;
            hash.update(&chunk);
            bytes += chunk.len() as u64;
            file.write_all(&chunk).await?;
            keep_last(&mut tail, &chunk);
            self.note(&mut noted, bytes).await?;
        }
        file.flush().await?;
        Ok((Streamed { bytes, sha256: hash.finalize().to_vec() }, tail))
    }

    async fn send(&self, file: &Path, input: &mut crate::engine::ByteSink) -> Result<Streamed, BackupError> {
        let (mut hash, mut bytes, mut noted) = (Sha256::new(), 0, Instant::now());
        let mut file = tokio::fs::File::open(file).await?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = file.read(&mut chunk).await?;
            if read == 0 {
                break;
            }
            hash.update(&chunk[..read]);
            bytes += read as u64;
            // A program that ended early says itself why.
            if input.write_all(&chunk[..read]).await.is_err() {
                break;
            }
            self.note(&mut noted, bytes).await?;
        }
        Ok(Streamed { bytes, sha256: hash.finalize().to_vec() })
    }

    /// Writes down how far it is, now and then, and looks whether the disk has room for more.
    async fn note(&self, noted: &mut Instant, bytes: u64) -> Result<(), BackupError> {
        if noted.elapsed() >= NOTE {
            *noted = Instant::now();
            self.parts.host.has_disk()?;
            self.parts.writer.set_backup_progress(self.backup, bytes, None).await?;
        }
        Ok(())
    }
}

/// Removes a container that a server left which was killed.
pub async fn remove_leftover(parts: &AddonsParts) -> Result<(), BackupError> {
    if let Some(found) = find(parts, NAME).await? {
        parts.engine.remove(found.id).await?;
    }
    Ok(())
}

fn keep_last(kept: &mut Vec<u8>, more: &[u8]) {
    kept.extend_from_slice(&more[more.len().saturating_sub(WORDS)..]);
    let over = kept.len().saturating_sub(WORDS);
    kept.drain(..over);
}

/// What a failed dump gives as its reason.
fn reason(tail: &[u8]) -> String {
    let at = tail.windows(FAILED.len()).rposition(|window| window == FAILED);
    at.map(|at| String::from_utf8_lossy(&tail[at + FAILED.len()..]).into_owned()).unwrap_or_default()
}

/// One line of what a program said last, or how it ended.
fn ended(exit: Exit, said: &str) -> String {
    let line = said.lines().map(str::trim).rfind(|line| line.contains("error:") || line.contains("FATAL:") || line.contains("detail:"));
    match line.or_else(|| said.lines().map(str::trim).rfind(|line| !line.is_empty())) {
        Some(line) => line.chars().take(500).collect(),
        None if exit.out_of_memory => "it ran out of memory".to_owned(),
        None => format!("it ended with status {}", exit.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failure_is_told_in_one_line() {
        let tail = [&b"\x00\x01dump"[..], FAILED, b"pg_dump: error: connection failed\npg_dump: hint: x\n"].concat();
        let exit = Exit { code: 1, out_of_memory: false };
        assert_eq!(ended(exit, &reason(&tail)), "pg_dump: error: connection failed");
        assert_eq!(ended(exit, &reason(b"half a dump")), "it ended with status 1");
        assert_eq!(ended(Exit { code: 137, out_of_memory: true }, ""), "it ran out of memory");
    }

    #[test]
    fn only_the_last_words_are_kept() {
        let mut kept = Vec::new();
        for letter in [b'a', b'b'] {
            keep_last(&mut kept, &vec![letter; WORDS - 1]);
        }
        assert_eq!((kept.len(), kept[0], kept[1]), (WORDS, b'a', b'b'));
    }
}
