//! A backup comes back: looked at from its first byte to its last before anything is written, put
//! together beside its place, then moved in. The databases follow at the server's first start.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    BackupError, CHECK, CHECK_PLACE, FOLDERS, KEY, KEY_FILES, KEYS, KEYS_PLACE, STATE,
    format::{self, Header, Manifest},
};
use crate::{
    secrets::{self, KeyRing},
    store,
};

/// Held by whoever may write the data folder.
const LOCK: &str = "lock";

/// What came back.
#[derive(Debug)]
pub struct Restored {
    pub header: Header,
    pub manifest: Manifest,
}

/// Reads a backup to its end and compares every checksum.
///
/// # Errors
/// When it is none, cut off, damaged, or of a newer Siesta.
pub fn check(backup: &File) -> Result<(Header, Manifest), BackupError> {
    let mut backup = backup;
    backup.rewind()?;
    format::read(backup, &mut |_, _, _| Ok(()))
}

/// Brings a backup back into a data folder that is empty or not there yet. The secrets are opened by
/// the old server's key file where one is named, else by the passphrase that is asked for.
///
/// # Errors
/// When the backup is not sound, its keys are not to be had, or the folder is not empty. Nothing is
/// in the folder then.
pub async fn restore(
    backup: &File,
    data: &Path,
    key: Option<&Path>,
    ask: impl FnOnce() -> io::Result<SecretString>,
) -> Result<Restored, BackupError> {
    must_be_empty(data)?;
    let (header, manifest) = check(backup)?;
    let secrets = match key {
        Some(file) => BTreeMap::from([(KEY.to_owned(), fs::read_to_string(file)?)]),
        None if header.with_keys => open_keys(backup, &ask()?)?,
        None => return Err(BackupError::KeyMissing),
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let lock = File::create(data.join(LOCK))?;
    lock.try_lock().map_err(|_| BackupError::InUse(data.to_owned()))?;
    let stage = tempfile::Builder::new().prefix(".restoring-").tempdir_in(data)?;
    unpack(backup, stage.path())?;
    for (path, text) in &secrets {
        write_secret(&stage.path().join(path), text)?;
    }
    must_fit(&header, &stage.path().join(KEY))?;
    // Another server may live on with the old name: what it made belongs to it alone.
    let (reader, writer) = store::open(&stage.path().join(STATE)).await?;
    writer.forget_instance_id().await?;
    reader.close().await;
    writer.close().await;
    move_in(stage.path(), data)?;
    Ok(Restored { header, manifest })
}

/// Nothing is there but the lock.
fn must_be_empty(data: &Path) -> Result<(), BackupError> {
    match fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(entries) => match entries.flatten().any(|entry| entry.file_name() != LOCK) {
            false => Ok(()),
            true => Err(BackupError::NotEmpty(data.to_owned())),
        },
    }
}

/// The key file and what lies sealed beside it, by their paths.
fn open_keys(backup: &File, passphrase: &SecretString) -> Result<BTreeMap<String, String>, BackupError> {
    if passphrase.expose_secret().is_empty() {
        return Err(BackupError::PassphraseMissing);
    }
    let sealed = read_one(backup, KEYS)?;
    let opened = secrets::open_with_passphrase(passphrase, KEYS_PLACE, &sealed).map_err(|_| BackupError::Passphrase)?;
    let files: BTreeMap<String, String> = serde_json::from_slice(&opened).map_err(|_| BackupError::Damaged)?;
    let known = files.keys().all(|path| KEY_FILES.contains(&path.as_str()));
    if known && files.contains_key(KEY) { Ok(files) } else { Err(BackupError::Damaged) }
}

/// One small file of a backup.
fn read_one(backup: &File, wanted: &str) -> Result<Vec<u8>, BackupError> {
    let mut backup = backup;
    backup.rewind()?;
    let mut bytes = Vec::new();
    format::read(backup, &mut |_, path, content| {
        if path == wanted {
            content.take(1024 * 1024).read_to_end(&mut bytes).map_err(format::damage)?;
        }
        Ok(())
    })?;
    Ok(bytes)
}

fn unpack(backup: &File, stage: &Path) -> Result<(), BackupError> {
    let mut backup = backup;
    backup.rewind()?;
    for folder in FOLDERS {
        fs::DirBuilder::new().mode(0o700).create(stage.join(folder))?;
    }
    format::read(backup, &mut |_, path, content| {
        if path == KEYS {
            return Ok(());
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(stage.join(path))?;
        let mut chunk = vec![0; 256 * 1024];
        loop {
            match content.read(&mut chunk).map_err(format::damage)? {
                0 => break,
                count => file.write_all(&chunk[..count])?,
            }
        }
        Ok(file.sync_all()?)
    })?;
    Ok(())
}

fn write_secret(path: &Path, text: &str) -> Result<(), BackupError> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(file.sync_all()?)
}

/// The key file opens what the backup's server sealed.
fn must_fit(header: &Header, key: &Path) -> Result<(), BackupError> {
    let sealed = hex::decode(&header.key_check).map_err(|_| BackupError::Damaged)?;
    let opened = KeyRing::open_or_create(key).and_then(|ring| ring.open(CHECK_PLACE, &sealed));
    match opened {
        Ok(text) if text.expose_secret() == CHECK => Ok(()),
        _ => Err(BackupError::OtherKey),
    }
}

/// The state last: a folder without it is no server's.
fn move_in(stage: &Path, data: &Path) -> io::Result<()> {
    let mut names = fs::read_dir(stage)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>()?;
    names.sort_by_key(|name| name == STATE);
    for name in names {
        fs::rename(stage.join(&name), data.join(&name))?;
    }
    File::open(data)?.sync_all()
}
