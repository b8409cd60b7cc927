//! A key-value store in a backup of everything: its log of writes as one tar, and back into its folder.
//!
//! The log is a few files that the manifest lists. Each but the last is as it will stay, and the last one
//! only grows at its end, so what is there at one moment is what a store that was killed at that moment
//! would come back with. The store runs on meanwhile, or sleeps on: nobody asks it anything. While it
//! rewrites its log the list changes: then the files are opened anew.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// Where the log lies in the folder of a store.
const LOG: &str = "appendonlydir";
const MANIFEST: &str = "appendonly.aof.manifest";
/// The log on its way back.
const PART: &str = "appendonlydir.part";
/// A rewrite of the log changes the list twice.
const TRIES: u32 = 20;
const MANIFEST_BYTES: u64 = 64 * 1024;

/// A file of the log, and its line in the manifest.
struct Piece {
    name: String,
    line: String,
    file: File,
}

/// Writes the log of the store in `folder` as a tar. False: there is none yet.
///
/// # Errors
/// When a file cannot be read or written, or the list never stands still.
pub fn copy(folder: &Path, to: File) -> io::Result<bool> {
    let Some(pieces) = opened(&folder.join(LOG))? else { return Ok(false) };
    let mut tar = tar::Builder::new(to);
    let manifest: String = pieces.iter().map(|piece| format!("{}\n", piece.line)).collect();
    append(&mut tar, MANIFEST, manifest.len() as u64, manifest.as_bytes())?;
    for Piece { name, file, .. } in &pieces {
        let bytes = file.metadata()?.len();
        append(&mut tar, name, bytes, file.take(bytes))?;
    }
    tar.into_inner()?.sync_all()?;
    Ok(true)
}

fn append(tar: &mut tar::Builder<File>, name: &str, bytes: u64, content: impl io::Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    tar.append_data(&mut header, name, content)
}

/// All files the list names, held open: a rewrite takes none of them away any more. None without a list.
fn opened(log: &Path) -> io::Result<Option<Vec<Piece>>> {
    for _ in 0..TRIES {
        let list = match read_manifest(log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            list => list?,
        };
        let open = |(line, name): (&str, &str)| {
            File::open(log.join(name)).map(|file| Piece { name: name.to_owned(), line: line.to_owned(), file })
        };
        match listed(&list)?.into_iter().map(open).collect::<io::Result<Vec<_>>>() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) if read_manifest(log).ok().as_ref() != Some(&list) => {}
            pieces => return pieces.map(Some),
        }
    }
    Err(io::Error::other("the list of its files changed all the time"))
}

fn read_manifest(log: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(log.join(MANIFEST))?.take(MANIFEST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The lines of the files that are read at a start, with their names; those of history are not.
fn listed(list: &str) -> io::Result<Vec<(&str, &str)>> {
    let lines = list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#') && !line.trim_end().ends_with("type h"));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("file"), Some(name)) if is_plain(name) => Ok((line, name)),
                _ => Err(io::Error::other(format!("a line of the list of its files is not known: {line}"))),
            }
        })
        .collect()
}

fn is_plain(name: &str) -> bool {
    name.starts_with("appendonly.aof") && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

/// Puts the log of a tar into the folder of a store that does not run: all of it, in one step. Whatever
/// log is there goes.
///
/// # Errors
/// When the tar is none of `copy`'s, or a file cannot be written. The log that was there is still there then.
pub fn bring_back(from: File, folder: &Path) -> io::Result<()> {
    let (log, part) = (folder.join(LOG), folder.join(PART));
    remove(&part)?;
    fs::DirBuilder::new().mode(0o700).create(&part)?;
    let mut files = 0;
    for entry in tar::Archive::new(from).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        if !entry.header().entry_type().is_file() || !is_plain(&name) {
            return Err(io::Error::other(format!("{name} is no file of a key-value store")));
        }
        // Its server is another user, who writes on in the last of them; the folder around all stores is closed.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part.join(&name))?;
        io::copy(&mut entry, &mut file)?;
        file.set_permissions(Permissions::from_mode(0o666))?;
        file.sync_all()?;
        files += 1;
    }
    if files == 0 || !part.join(MANIFEST).exists() {
        return Err(io::Error::other("the copy of the key-value store holds no list of its files"));
    }
    fs::set_permissions(&part, Permissions::from_mode(0o777))?;
    File::open(&part)?.sync_all()?;
    remove(&log)?;
    fs::rename(&part, &log)?;
    File::open(folder)?.sync_all()
}

/// Removes a folder; one that is not there is fine.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    const LIST: &str = "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.1.incr.aof seq 1 type h\n\
        file appendonly.aof.2.incr.aof seq 2 type i\n";

    fn store(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(LOG)).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(LOG).join(name), text).unwrap();
        }
        folder
    }

    fn copied(folder: &Path) -> io::Result<Option<File>> {
        let mut tar = tempfile::tempfile()?;
        let is_there = copy(folder, tar.try_clone()?)?;
        tar.rewind()?;
        Ok(is_there.then_some(tar))
    }

    fn read(folder: &Path, name: &str) -> String {
        fs::read_to_string(folder.join(LOG).join(name)).unwrap()
    }

    #[test]
    fn the_log_of_a_store_comes_back_without_its_history() {
        let from = store(&[(MANIFEST, LIST), ("appendonly.aof.2.base.rdb", "REDIS"), ("appendonly.aof.2.incr.aof", "*1"), ("other", "x")]);
        let tar = copied(from.path()).unwrap().expect("a log");
        let to = store(&[("appendonly.aof.9.incr.aof", "old")]);
        fs::create_dir(to.path().join(PART)).unwrap();
        bring_back(tar, to.path()).unwrap();
        assert_eq!(read(to.path(), "appendonly.aof.2.base.rdb"), "REDIS");
        assert_eq!(read(to.path(), "appendonly.aof.2.incr.aof"), "*1");
        assert_eq!(read(to.path(), MANIFEST).lines().count(), 2, "history is not read at a start");
        assert_eq!(fs::read_dir(to.path().join(LOG)).unwrap().count(), 3, "nothing of the old log, nothing else");
        assert!(!to.path().join(PART).exists());
    }

    #[test]
    fn a_store_that_never_ran_has_nothing_and_a_strange_one_is_refused() {
        assert!(copied(tempfile::tempdir().unwrap().path()).unwrap().is_none());
        let missing = store(&[(MANIFEST, LIST)]);
        assert!(copied(missing.path()).is_err(), "a file of the list is never there");
        let strange = store(&[(MANIFEST, "file ../../key seq 1 type b\n")]);
        assert!(copied(strange.path()).is_err());
    }

    #[test]
    fn a_tar_that_is_none_of_ours_changes_nothing() {
        let to = store(&[(MANIFEST, LIST)]);
        let mut garbage = tempfile::tempfile().unwrap();
        garbage.write_all(&[7; 5000]).unwrap();
        garbage.rewind().unwrap();
        let mut foreign = tempfile::tempfile().unwrap();
        let mut tar = tar::Builder::new(foreign.try_clone().unwrap());
        append(&mut tar, "redis.conf", 1, &b"x"[..]).unwrap();
        tar.finish().unwrap();
        foreign.rewind().unwrap();
        for from in [garbage, foreign, tempfile::tempfile().unwrap()] {
            assert!(bring_back(from, to.path()).is_err());
            assert_eq!(read(to.path(), MANIFEST), LIST);
        }
    }
}
