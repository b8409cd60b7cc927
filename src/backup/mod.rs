//! Backups of the whole server, made while it runs: the state at one moment, the files of slugs, a dump
//! of every database and key-value store; keys and logs when they are asked for. `restore` brings one back on an empty machine.
//!
//! ```text
//! siesta.db                 the state            stack/run-<recipe>.tar.zst  the stacks slugs run on
//! files/<sha256>            code, dependencies   restore/<database>.dump     databases, read in at the first start
//! logs.db  builds/<id>      with --with-logs     keys.sealed                 key file and local CA, with --with-keys
//! dumps/<id>                dumps users keep         restore/<role>.store        key-value stores, the same
//! ```

mod format;
mod restore;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::AsyncWriteExt as _,
    sync::{Mutex, OwnedMutexGuard, mpsc},
};

use crate::{
    addons::{self, AddonError, Addons},
    clock::Clock,
    domain::{
        Timestamp,
        addon::{self, AddonState, ServiceKind},
    },
    host::Host,
    logs::Logs,
    scheduler::Tasks,
    secrets::{self, KeyRing},
    store::{Reader, StoreError},
};
use format::{Archive, Holds};

pub use format::{Header, Manifest};
pub use restore::{Restored, check, restore};

const STATE: &str = "siesta.db";
const LOGS: &str = "logs.db";
const KEYS: &str = "keys.sealed";
const KEY: &str = "key";
/// What is in it: the key file, and certificate and key of the local CA.
const KEY_FILES: [&str; 3] = [KEY, "tls/ca.pem", "tls/ca-key.pem"];
const SLUGS: &str = "files";
const STACKS: &str = "stack";
const BUILDS: &str = "builds";
/// What users kept of their databases.
const DUMPS: &str = "dumps";
/// Folders of the data folder of which a backup may hold files.
const FOLDERS: [&str; 5] = [SLUGS, STACKS, BUILDS, DUMPS, addons::RESTORE_FOLDER];
/// What the keys are sealed for.
const KEYS_PLACE: &str = "siesta-backup|keys";
/// What tells whether a key file fits.
const CHECK_PLACE: &str = "siesta-backup|check";
const CHECK: &str = "siesta";
/// Where a backup is put together, inside the data folder.
const STAGE: &str = "backup-";
/// A shorter passphrase does not protect keys that lie around as a file.
pub const PASSPHRASE_CHARS: usize = 12;

/// Why a backup could not be made or brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("This is no backup of a Siesta. Nothing was written.")]
    Foreign,
    #[error("The backup is cut off. Nothing was written; copy it again from where it was made.")]
    Cut,
    #[error("The backup is damaged: a checksum is not what it was. Nothing was written.")]
    Damaged,
    #[error("The backup was made by a newer Siesta ({0}). Nothing was written; restore it with that version.")]
    Newer(String),
    #[error("{0} is not empty. Restore into a folder that is, or name another one with --data-dir.")]
    NotEmpty(PathBuf),
    #[error("A server runs on {0}, or another program is restoring there.")]
    InUse(PathBuf),
    #[error("The keys are in this backup, sealed: give its passphrase on standard input.")]
    PassphraseMissing,
    #[error("The passphrase is not that of this backup. Nothing was written.")]
    Passphrase,
    #[error("This backup holds no keys (it was made without --with-keys). Name the old server's key file with --key.")]
    KeyMissing,
    #[error("That key file is not the one of this backup. Nothing was written.")]
    OtherKey,
    #[error("The passphrase is too short: use at least {PASSPHRASE_CHARS} characters.")]
    ShortPassphrase,
    #[error("Another backup is being made. Try again when it has ended.")]
    Busy,
    #[error("The disk is too full for a backup: {0}")]
    Disk(String),
    #[error("The database {name} could not be dumped: {why}")]
    Database { name: String, why: String },
    #[error("The key-value store {name} could not be copied: {why}")]
    KeyValue { name: String, why: String },
    #[error("The list of add-ons could not be read: {0}")]
    Addons(String),
    #[error(transparent)]
    State(#[from] StoreError),
    #[error("A file failed: {0}")]
    Io(#[from] io::Error),
}

/// What a backup shall hold besides what it must.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Log lines and the output of builds.
    pub logs: bool,
    /// Under this passphrase the keys.
    pub passphrase: Option<SecretString>,
}

/// What comes of a backup while it is made.
#[derive(Debug)]
pub enum Piece {
    Bytes(Bytes),
    /// A sentence on how far it is.
    Progress(String),
    /// The last one: it is whole, or why not.
    End(Result<(), BackupError>),
}

/// What backups are made of.
#[derive(Clone)]
pub struct BackupParts {
    pub clock: Arc<dyn Clock>,
    pub tasks: Tasks,
    pub reader: Reader,
    pub addons: Addons,
    pub logs: Logs,
    pub keys: Arc<KeyRing>,
    pub host: Host,
    /// The data folder.
    pub root: PathBuf,
}

/// Makes backups, one at a time. Cheap to clone.
#[derive(Clone)]
pub struct Backup {
    parts: BackupParts,
    alone: Arc<Mutex<()>>,
}

/// A file on its way into the archive; a staged one is gone afterwards.
struct Addition {
    path: String,
    content: Content,
}

enum Content {
    File(File),
    Bytes(Vec<u8>),
    /// The end.
    End(Holds),
}

impl Backup {
    pub fn new(parts: BackupParts) -> Backup {
        Backup { parts, alone: Arc::default() }
    }

    /// Begins a backup. Whoever does not read holds it back; whoever stops reading ends it.
    ///
    /// # Errors
    /// When one is being made, the passphrase is too short, or the disk too full.
    pub fn begin(&self, wanted: Wanted) -> Result<mpsc::Receiver<Piece>, BackupError> {
        if wanted.passphrase.as_ref().is_some_and(|given| given.expose_secret().chars().count() < PASSPHRASE_CHARS) {
            return Err(BackupError::ShortPassphrase);
        }
        self.has_room()?;
        let alone = self.alone.clone().try_lock_owned().map_err(|_| BackupError::Busy)?;
        let (pieces, out) = mpsc::channel(8);
        let me = self.clone();
        self.parts.tasks.spawn(async move {
            let made = me.make(&wanted, alone, &pieces).await;
            if let Err(error) = &made {
                tracing::warn!(%error, "a backup was not made");
            }
            // Who asked may be gone.
            let _ = pieces.send(Piece::End(made)).await;
        });
        Ok(out)
    }

    fn has_room(&self) -> Result<(), BackupError> {
        self.parts.host.has_disk().map_err(|why| BackupError::Disk(why.to_string()))
    }

    async fn make(&self, wanted: &Wanted, _alone: OwnedMutexGuard<()>, pieces: &mpsc::Sender<Piece>) -> Result<(), BackupError> {
        remove_stages(&self.parts.root)?;
        let stage = tempfile::Builder::new().prefix(STAGE).tempdir_in(&self.parts.root)?;
        let check = self.parts.keys.seal(CHECK_PLACE, &CHECK.into());
        let header = Header::new(self.parts.clock.now().millis(), wanted.passphrase.is_some(), &check);
        let (additions, coming) = mpsc::channel(1);
        let out = Outlet(pieces.clone());
        let writing = tokio::task::spawn_blocking(move || write(out, &header, coming));
        let gathered = self.gather(wanted, stage.path(), &additions, pieces).await;
        drop(additions);
        // A failure of the writing is the first cause: the gathering then only hears that nobody listens.
        writing.await.map_err(io::Error::other)??;
        gathered
    }

    /// Hands everything over, one thing after another, so that little of it is staged at a time.
    async fn gather(
        &self,
        wanted: &Wanted,
        stage: &Path,
        to: &mpsc::Sender<Addition>,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<(), BackupError> {
        let root = &self.parts.root;
        // Before the state is copied, so that no file it names can go meanwhile; and afterwards again for newer ones.
        let held = hold_files(&root.join(SLUGS), stage)?;
        self.parts.reader.copy_to(&stage.join(STATE)).await?;
        let state = Reader::of_copy(&stage.join(STATE)).await?;
        let apps = state.apps().await?.len() as u64;
        add_staged(to, STATE, &stage.join(STATE)).await?;
        if let Some(passphrase) = &wanted.passphrase {
            let sealed = secrets::seal_with_passphrase(passphrase, KEYS_PLACE, &keys_of(root)?);
            add(to, KEYS, Content::Bytes(sealed)).await?;
        }
        let slugs = state.slugs().await?;
        let names: BTreeSet<&String> = slugs.iter().flat_map(|slug| [Some(&slug.code_file), slug.deps_file.as_ref()]).flatten().collect();
        say(pieces, format!("{apps} apps with {} files", names.len())).await;
        for name in names {
            let place = if held.contains(name) { stage.join(SLUGS).join(name) } else { root.join(SLUGS).join(name) };
            add_if_there(to, &format!("{SLUGS}/{name}"), &place).await?;
        }
        for stack in slugs.iter().map(|slug| slug.stack.as_str()).collect::<BTreeSet<_>>() {
            if let Some(name) = stack.strip_prefix("siesta/").map(|name| name.replace(':', "-")) {
                let path = format!("{STACKS}/{name}.tar.zst");
                add_if_there(to, &path, &root.join(&path)).await?;
            }
        }
        if wanted.logs {
            self.parts.logs.copy_to(&stage.join(LOGS)).await?;
            add_staged(to, LOGS, &stage.join(LOGS)).await?;
            for name in files_in(&root.join(BUILDS))? {
                add_if_there(to, &format!("{BUILDS}/{name}"), &root.join(BUILDS).join(&name)).await?;
            }
        }
        for name in files_in(&root.join(DUMPS))? {
            add_if_there(to, &format!("{DUMPS}/{name}"), &root.join(DUMPS).join(&name)).await?;
        }
        let databases = self.dump_all(&state, stage, to, pieces).await?;
        let stores = self.copy_stores(&state, stage, to, pieces).await?;
        add(to, "", Content::End(Holds { apps, databases, stores })).await
    }

    /// A dump of every database, also of those in the bin; how many.
    async fn dump_all(
        &self,
        state: &Reader,
        stage: &Path,
        to: &mpsc::Sender<Addition>,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<u64, BackupError> {
        let ready = state.addons().await?.into_iter().filter(|addon| addon.state != AddonState::Provisioning);
        let postgres = ready.filter(|addon| addon.service == addons::DATABASES);
        let binned = state.binned_before(Timestamp::NEVER).await?.into_iter().filter(|binned| binned.service == addons::DATABASES);
        let named: BTreeMap<String, (String, String)> = postgres
            .map(|addon| (addon.database, (addon.role, addon.name)))
            .chain(binned.map(|binned| (binned.database, (binned.role, binned.name))))
            .collect();
        for (database, (role, name)) in &named {
            self.has_room()?;
            let path = format!("{}/{database}.dump", addons::RESTORE_FOLDER);
            // One that is itself still to be read in from a backup.
            if self.parts.root.join(&path).exists() {
                add_if_there(to, &path, &self.parts.root.join(&path)).await?;
                continue;
            }
            let staged = stage.join("dump");
            let mut file = tokio::fs::File::create(&staged).await?;
            let dumped = self.parts.addons.dump((role, database), &mut file).await;
            let bytes = dumped.map_err(|why| BackupError::Database { name: name.clone(), why: why.to_string() })?;
            file.flush().await?;
            say(pieces, format!("database {name}: {bytes} bytes")).await;
            add_staged(to, &path, &staged).await?;
        }
        Ok(named.len() as u64)
    }

    /// A copy of every key-value store in which something was written, also of those in the bin; how many.
    async fn copy_stores(
        &self,
        state: &Reader,
        stage: &Path,
        to: &mpsc::Sender<Addition>,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<u64, BackupError> {
        let is_store = |service: &str| addon::service(service).is_some_and(|service| service.kind == ServiceKind::KeyValue);
        let made = state.addons().await?.into_iter().filter(|addon| is_store(&addon.service));
        let binned = state.binned_before(Timestamp::NEVER).await?.into_iter().filter(|binned| is_store(&binned.service));
        let named: BTreeMap<String, String> =
            made.map(|addon| (addon.role, addon.name)).chain(binned.map(|binned| (binned.role, binned.name))).collect();
        let mut count = 0;
        for (role, name) in &named {
            self.has_room()?;
            let (path, staged) = (format!("{}/{role}.store", addons::RESTORE_FOLDER), stage.join("store"));
            // One that is itself still to be read in from a backup.
            if self.parts.root.join(&path).exists() {
                add_if_there(to, &path, &self.parts.root.join(&path)).await?;
            } else {
                let copied = self.parts.addons.copy_store(role, staged.clone()).await;
                if !copied.map_err(|why| BackupError::KeyValue { name: name.clone(), why: why.to_string() })? {
                    continue;
                }
                say(pieces, format!("key-value store {name}: {} bytes", std::fs::metadata(&staged)?.len())).await;
                add_staged(to, &path, &staged).await?;
            }
            count += 1;
        }
        Ok(count)
    }
}

impl From<AddonError> for BackupError {
    fn from(error: AddonError) -> BackupError {
        BackupError::Addons(error.to_string())
    }
}

async fn say(pieces: &mpsc::Sender<Piece>, text: String) {
    // Who asked may be gone, which the next byte notices.
    let _ = pieces.send(Piece::Progress(text)).await;
}

async fn add(to: &mpsc::Sender<Addition>, path: &str, content: Content) -> Result<(), BackupError> {
    let addition = Addition { path: path.to_owned(), content };
    to.send(addition).await.map_err(|_| BackupError::Io(io::ErrorKind::BrokenPipe.into()))
}

/// Adds a staged file, whose name goes at once: its bytes go when they were read.
async fn add_staged(to: &mpsc::Sender<Addition>, path: &str, staged: &Path) -> Result<(), BackupError> {
    let file = File::open(staged)?;
    if path != STATE {
        std::fs::remove_file(staged)?;
    }
    add(to, path, Content::File(file)).await
}

/// Adds a file that may have been let go meanwhile: an old slug's, a build's output.
async fn add_if_there(to: &mpsc::Sender<Addition>, path: &str, file: &Path) -> Result<(), BackupError> {
    match File::open(file) {
        Ok(file) => add(to, path, Content::File(file)).await,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Names of the files in a folder, none when it is not there.
fn files_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?.collect::<Result<Vec<_>, _>>()?,
    };
    let files = entries.into_iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    Ok(files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Gives every file of a folder a second name in the stage: it stays whatever is tidied up.
fn hold_files(folder: &Path, stage: &Path) -> io::Result<BTreeSet<String>> {
    std::fs::create_dir(stage.join(SLUGS))?;
    let mut held = BTreeSet::new();
    for name in files_in(folder)?.into_iter().filter(|name| !name.starts_with('.')) {
        // Gone already, or a file system without second names: then it is looked for when its turn comes.
        if std::fs::hard_link(folder.join(&name), stage.join(SLUGS).join(&name)).is_ok() {
            held.insert(name);
        }
    }
    Ok(held)
}

/// The key file, and the local CA where there is one, by their paths.
fn keys_of(root: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, BackupError> {
    let mut files = BTreeMap::new();
    for path in KEY_FILES {
        match std::fs::read_to_string(root.join(path)) {
            Ok(text) => _ = files.insert(path.to_owned(), text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && path != KEY => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(serde_json::to_vec(&files).map_err(io::Error::from)?.into())
}

/// What a server that was killed in the middle of a backup left.
fn remove_stages(root: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(STAGE) && entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The writing side: where the archive's bytes go.
struct Outlet(mpsc::Sender<Piece>);

impl Write for Outlet {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let piece = Piece::Bytes(Bytes::copy_from_slice(buffer));
        self.0.blocking_send(piece).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what comes. Without an end nothing is finished: what was written then is a cut-off backup.
fn write(out: Outlet, header: &Header, mut coming: mpsc::Receiver<Addition>) -> io::Result<()> {
    let mut archive = Archive::new(io::BufWriter::with_capacity(256 * 1024, out), header)?;
    while let Some(Addition { path, content }) = coming.blocking_recv() {
        match content {
            Content::File(file) => archive.add_file(&path, &file)?,
            Content::Bytes(bytes) => archive.add_bytes(&path, &bytes)?,
            Content::End(holds) => return archive.finish(holds)?.flush(),
        }
    }
    Ok(())
}
