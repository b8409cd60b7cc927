//! What lies on the disk, by kind.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::host::Host;

/// A look at the whole data folder is good for so long.
const FRESH: Duration = Duration::from_secs(60);

/// The kinds, in the order in which they are shown, with the names of theirs in the data folder.
const KINDS: [(Kind, &[&str]); 8] = [
    (Kind::State, &["siesta.db"]),
    (Kind::Logs, &["logs.db"]),
    (Kind::Code, &["files"]),
    (Kind::Builds, &["builds", "uploads"]),
    (Kind::Git, &["git"]),
    (Kind::Databases, &["postgres", "keyvalue"]),
    (Kind::Backups, &["backups", "dumps"]),
    (Kind::Stack, &["stack"]),
];

/// What a part of the data folder is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    State,
    Logs,
    /// Code and dependencies of slugs.
    Code,
    /// Output of builds, and uploads.
    Builds,
    Git,
    Databases,
    Backups,
    /// Copies of the stack images.
    Stack,
    Other,
}

/// Bytes on the disk by kind; kinds without any are left out.
pub type Disk = Vec<(Kind, u64)>;

/// The last look.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Option<(Instant, Disk)>>);

impl Host {
    /// What the data folder holds, at most a minute old. Files that cannot be read do not count.
    pub async fn disk(&self) -> Disk {
        let fresh = |seen: &Seen| {
            let seen = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
            seen.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, disk)| disk.clone())
        };
        if let Some(disk) = fresh(&self.seen) {
            return disk;
        }
        let (folder, seen) = (self.data_dir.clone(), Arc::clone(&self.seen));
        let look = move || {
            let disk = look(&folder);
            *seen.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), disk.clone()));
            disk
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }
}

fn look(folder: &Path) -> Disk {
    let mut sums: Vec<(Kind, u64)> = KINDS.iter().map(|(kind, _)| (*kind, 0)).chain([(Kind::Other, 0)]).collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is = |own: &str| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']));
        let kind = KINDS.iter().find(|(_, names)| names.iter().any(|own| is(own))).map_or(Kind::Other, |(kind, _)| *kind);
        if let Some((_, sum)) = sums.iter_mut().find(|(known, _)| *known == kind) {
            *sum += bytes_in(&entry.path()).unwrap_or(0);
        }
    }
    sums.retain(|(_, bytes)| *bytes > 0);
    sums
}

/// Bytes a file or folder takes on the disk. Links are not followed.
fn bytes_in(path: &Path) -> io::Result<u64> {
    let about = fs::symlink_metadata(path)?;
    let own = about.blocks() * 512;
    if !about.is_dir() {
        return Ok(own);
    }
    Ok(own + fs::read_dir(path)?.flatten().map(|entry| bytes_in(&entry.path()).unwrap_or(0)).sum::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_counts_for_its_kind() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, vec![7; 9_000]).expect("a file");
        };
        for name in ["siesta.db", "siesta.db-wal", "files/c0de", "postgres/files/base/1", "key"] {
            write(name);
        }
        let disk = look(folder.path());
        assert_eq!(disk.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [Kind::State, Kind::Code, Kind::Databases, Kind::Other]);
        assert!(disk[0].1 >= 2 * 9_000 && disk.iter().all(|(_, bytes)| *bytes >= 9_000), "{disk:?}");
    }
}
