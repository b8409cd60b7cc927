//! Key-value stores: a server of its own for each, without a network, with a memory cap and a log of
//! its writes in the data folder. It starts when somebody comes and sleeps when nobody is there.

use std::{
    collections::HashMap,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::Instant,
};

use crate::{
    addons::{
        Addon, AddonError, AddonsParts,
        bring_back::FOLDER,
        postgres::{Postgres, ensure_running, find},
        store_copy,
    },
    domain::Timestamp,
    engine::{
        ContainerSpec,
        spec::{self, AddonInput, FolderMount},
    },
};

/// What the server itself needs beyond its keys, while it rewrites its log most of all.
const OVERHEAD: u64 = 48 * 1024 * 1024;
/// A start reads the log of all writes.
const START_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(30);
const STOP_GRACE: Duration = Duration::from_secs(20);
/// What a server may do when its memory is full.
pub const POLICIES: [(&str, &str); 8] = [
    ("noeviction", "returns errors when memory limit is reached"),
    ("allkeys-lru", "removes less recently used keys first"),
    ("allkeys-lfu", "removes less frequently used keys first"),
    ("allkeys-random", "evicts random keys"),
    ("volatile-lru", "removes less recently used keys first that have an expiry set"),
    ("volatile-lfu", "removes less frequently used keys first that have an expiry set"),
    ("volatile-random", "evicts random keys but only those that have an expiry set"),
    ("volatile-ttl", "only evicts keys with an expiry set and a short TTL"),
];
/// How the names of copies end that wait to be read in.
pub const STORE_ENDING: &str = ".store";
/// Of a new store.
pub const FIRST_POLICY: &str = "allkeys-lru";

/// The stores and who uses them.
pub struct KeyValue {
    parts: AddonsParts,
    postgres: Arc<Postgres>,
    /// By the name of the role.
    known: Mutex<HashMap<String, Arc<Known>>>,
}

/// One store. The lock is held through every start and stop.
struct Known {
    turn: tokio::sync::Mutex<()>,
    held: Mutex<(usize, Timestamp)>,
}

impl Known {
    fn held(&self) -> std::sync::MutexGuard<'_, (usize, Timestamp)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody is there: the store does not fall asleep while this lives.
pub struct Hold {
    known: Arc<Known>,
    parts: AddonsParts,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.known.held();
        *held = (held.0.saturating_sub(1), self.parts.clock.now());
    }
}

impl KeyValue {
    pub fn new(parts: AddonsParts, postgres: Arc<Postgres>) -> KeyValue {
        KeyValue { parts, postgres, known: Mutex::default() }
    }

    /// Whether a role is one of a store: databases have other names.
    pub fn is_role(role: &str) -> bool {
        role.len() == 16 && role.starts_with('k') && role[1..].bytes().all(|b| b.is_ascii_hexdigit())
    }

    fn known(&self, role: &str) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.parts.clock.now();
        known
            .entry(role.to_owned())
            .or_insert_with(|| Arc::new(Known { turn: tokio::sync::Mutex::default(), held: Mutex::new((0, now)) }))
            .clone()
    }

    fn files(&self, role: &str) -> PathBuf {
        self.parts.config.options.data_dir.join("keyvalue").join(role)
    }

    /// Its copy of a backup of everything that is still to be read in.
    pub fn waiting(&self, role: &str) -> PathBuf {
        self.parts.config.options.data_dir.join(FOLDER).join(format!("{role}{STORE_ENDING}"))
    }

    /// Where its socket lies: below the folder of sockets that the relay sees.
    fn sockets(&self, role: &str) -> PathBuf {
        self.postgres.socket_folder().join(role)
    }

    /// Somebody comes in. Waits while the store is being started or stopped.
    pub async fn hold(&self, role: &str) -> Hold {
        let known = self.known(role);
        let _turn = known.turn.lock().await;
        {
            let mut held = known.held();
            *held = (held.0 + 1, self.parts.clock.now());
        }
        Hold { known: known.clone(), parts: self.parts.clone() }
    }

    /// Starts a store unless it answers, and waits until it does.
    pub async fn ensure_up(&self, addon: &Addon, password: &SecretString) -> Result<(), AddonError> {
        let known = self.known(&addon.role);
        let _turn = known.turn.lock().await;
        if self.answers(&addon.role).await {
            return Ok(());
        }
        self.bring_back_what_waits(&addon.role).await?;
        if addon.error.is_some() {
            self.parts.writer.set_addon_state(addon.id, addon.state, self.parts.clock.now()).await?;
        }
        self.make_folders(&addon.role)?;
        let found = find(&self.parts, &addon.role).await?;
        let running = ensure_running(&self.parts, self.spec(addon, password).await?, found).await?;
        let end = Instant::now() + START_PATIENCE;
        while !self.answers(&addon.role).await {
            let gone = self.parts.engine.inspect(running.id.clone()).await?.is_none_or(|seen| !seen.running);
            if gone || Instant::now() > end {
                tracing::error!(addon = addon.name, ended = gone, "a key-value store does not come up");
                return Err(AddonError::ServerDown);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        known.held().1 = self.parts.clock.now();
        Ok(())
    }

    /// Whether it answers now, and is not still reading its log.
    async fn answers(&self, role: &str) -> bool {
        let ask = async {
            let mut stream = UnixStream::connect(self.sockets(role).join("redis.sock")).await?;
            stream.write_all(b"PING\r\n").await?;
            let mut said = [0; 64];
            let length = stream.read(&mut said).await?;
            Ok::<_, std::io::Error>(said[..length].starts_with(b"-NOAUTH") || said[..length].starts_with(b"+PONG"))
        };
        matches!(tokio::time::timeout(Duration::from_secs(2), ask).await, Ok(Ok(true)))
    }

    fn make_folders(&self, role: &str) -> std::io::Result<()> {
        let files = self.files(role);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(files.parent().expect("a folder in the data folder"))?;
        for folder in [files, self.sockets(role)] {
            std::fs::create_dir_all(&folder)?;
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777))?;
        }
        Ok(())
    }

    async fn spec(&self, addon: &Addon, password: &SecretString) -> Result<ContainerSpec, AddonError> {
        let limit = addon.plan().bytes;
        let policy = self.parts.reader.eviction_policy(addon.id).await?.unwrap_or_else(|| FIRST_POLICY.to_owned());
        let mount = |source: PathBuf, target: &str| FolderMount { source, target: target.to_owned(), read_only: false };
        Ok(spec::addon_spec(&AddonInput {
            instance: &self.parts.instance,
            name: &addon.role,
            image: self.postgres.image().ok_or(AddonError::NotOffered)?,
            command: vec![
                "/opt/siesta/keyvalue".to_owned(),
                addon.role.clone(),
                limit.to_string(),
                policy,
                addon.plan().connections.to_string(),
            ],
            env: vec![("SIESTA_PASSWORD".to_owned(), password.expose_secret().to_owned())],
            uid: spec::KEYVALUE_UID,
            network: None,
            folders: vec![mount(self.files(&addon.role), "/store"), mount(self.sockets(&addon.role), "/run/store")],
            memory_bytes: i64::try_from(limit + OVERHEAD).unwrap_or(i64::MAX),
            pids: 32,
            stop_signal: "SIGTERM",
            stop_seconds: 20,
        }))
    }

    /// Ends its server, which writes everything out first: with the next visitor it starts with the
    /// password and the settings of then.
    pub async fn renew(&self, role: &str) -> Result<(), AddonError> {
        let known = self.known(role);
        let _turn = known.turn.lock().await;
        if let Some(found) = find(&self.parts, role).await? {
            self.parts.engine.stop(found.id.clone(), STOP_GRACE).await?;
            self.parts.engine.remove(found.id).await?;
        }
        Ok(())
    }

    /// Puts those to sleep where nobody was for long enough.
    pub async fn sleep_if_idle(&self, addons: &[Addon], now: Timestamp) -> Result<(), AddonError> {
        let idle_after = Duration::from_secs_f64(self.parts.config.options.postgres_idle_after.clamp(0.1, 31_536_000.0));
        for addon in addons {
            let known = self.known(&addon.role);
            let _turn = known.turn.lock().await;
            let (held, last) = *known.held();
            if held > 0 || now.since(last) < idle_after {
                continue;
            }
            if let Some(found) = find(&self.parts, &addon.role).await?.filter(|found| found.running) {
                self.parts.engine.stop(found.id, STOP_GRACE).await?;
                tracing::info!(addon = addon.name, "a key-value store sleeps");
            }
        }
        Ok(())
    }

    /// Writes everything in a store into a new file, while it runs or sleeps. False: nothing was in it yet.
    pub async fn copy(&self, role: &str, to: PathBuf) -> Result<bool, AddonError> {
        let files = self.files(role);
        let copied = tokio::task::spawn_blocking(move || store_copy::copy(&files, std::fs::File::create(to)?));
        Ok(copied.await.map_err(std::io::Error::other)??)
    }

    /// Reads in the copy of a store that comes back from a backup of everything; until then it does not start.
    pub async fn bring_back(&self, role: &str) -> Result<(), AddonError> {
        let known = self.known(role);
        let _turn = known.turn.lock().await;
        self.bring_back_what_waits(role).await
    }

    /// Cut off anywhere it begins anew: the store starts only when the copy is gone.
    async fn bring_back_what_waits(&self, role: &str) -> Result<(), AddonError> {
        let (waiting, files) = (self.waiting(role), self.files(role));
        let copy = match std::fs::File::open(&waiting) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            copy => copy?,
        };
        self.make_folders(role)?;
        let put = tokio::task::spawn_blocking(move || {
            store_copy::bring_back(copy, &files)?;
            std::fs::remove_file(&waiting)?;
            std::fs::File::open(waiting.parent().expect("a folder in the data folder"))?.sync_all()
        });
        put.await.map_err(std::io::Error::other)??;
        Ok(())
    }

    /// Removes a store with everything in it.
    pub async fn destroy(&self, role: &str) -> Result<(), AddonError> {
        self.renew(role).await?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(role);
        let removed = [std::fs::remove_file(self.waiting(role))];
        for gone in removed.into_iter().chain([self.files(role), self.sockets(role)].map(std::fs::remove_dir_all)) {
            match gone {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}
