//! The database server: one capped container without a network, reached through a Unix socket in
//! the data folder. It starts when somebody comes and sleeps when nobody is there.

use std::{
    collections::BTreeSet,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

use crate::{
    addons::{AddonError, AddonsParts, dump, external, sql},
    config::PostgresServer,
    domain::Timestamp,
    engine::{
        Container, ContainerId, ContainerSpec, EngineError, ImageRef,
        spec::{self, AddonInput, FolderMount, LABEL_ADDON, LABEL_RECIPE},
    },
    secrets,
    store::database_servers::superuser_place,
};

/// The only superuser; nobody but us knows its password, and the relay does not let it in.
pub const SUPERUSER: &str = "siesta";
/// Counts rows and makes dumps: reads everything, owns nothing. Whatever a user's own functions do
/// while it reads, they do with no more than its rights.
pub const WATCHER: &str = "siesta_watch";
/// The name of the server in labels and in the table of servers.
const NAME: &str = "postgres";
/// Inside the container.
const SOCKET_FOLDER: &str = "/run/postgres";
const MAX_CONNECTIONS: &str = "200";
/// A first start makes the cluster; one after a crash replays what was written last.
const START_PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks whether it answers.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const STOP_GRACE: Duration = Duration::from_secs(60);

/// The server and who uses it.
pub struct Postgres {
    parts: AddonsParts,
    /// Held through every start and stop: nobody is let in while it is being stopped.
    known: tokio::sync::Mutex<Known>,
    held: AtomicUsize,
    /// Milliseconds since the epoch.
    last_used: AtomicI64,
    /// Roles that came in since they were counted last.
    touched: Mutex<BTreeSet<String>>,
    /// Dumps and restores that run.
    pub tasks: dump::Alive,
    /// The operator's server, where there is one: it has no container and does not sleep.
    external: Option<PostgresServer>,
}

#[derive(Default)]
struct Known {
    id: Option<ContainerId>,
    /// The watcher's password in this life of ours; set at the first use.
    watcher: Option<SecretString>,
    /// Our socket leads to the operator's server.
    leads_out: bool,
}

/// Somebody is there: the server does not fall asleep while this lives.
pub struct Hold<'a>(&'a Postgres);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::SeqCst);
        self.0.touch();
    }
}

impl Postgres {
    pub fn new(parts: AddonsParts) -> Postgres {
        let now = parts.clock.now().millis();
        let external = parts.config.postgres.clone();
        Postgres {
            parts,
            external,
            known: tokio::sync::Mutex::default(),
            held: AtomicUsize::new(0),
            last_used: AtomicI64::new(now),
            touched: Mutex::default(),
            tasks: dump::Alive::default(),
        }
    }

    /// The image of server and relay; None where add-ons are not offered.
    pub fn image(&self) -> Option<ImageRef> {
        let image = &self.parts.config.options.stack_postgres;
        (!image.is_empty()).then(|| ImageRef(image.clone()))
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.parts.config.options.data_dir.join("postgres").join(name)
    }

    /// Where the sockets lie, on this side.
    pub fn socket_folder(&self) -> PathBuf {
        self.folder("run")
    }

    /// Makes the folders. Those inside are written by other users: the one around them is closed.
    pub fn make_folders(&self) -> std::io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(self.folder(""))?;
        for name in ["files", "run"] {
            std::fs::create_dir_all(self.folder(name))?;
            std::fs::set_permissions(self.folder(name), std::fs::Permissions::from_mode(0o777))?;
        }
        Ok(())
    }

    /// A folder of ours as a container of the add-on sees it.
    pub fn mount(&self, name: &str, target: &str, read_only: bool) -> FolderMount {
        FolderMount { source: self.folder(name), target: target.to_owned(), read_only }
    }

    fn touch(&self) {
        self.last_used.store(self.parts.clock.now().millis(), Ordering::SeqCst);
    }

    /// Somebody with this role comes in. Waits while the server is being started or stopped.
    pub async fn hold(&self, role: &str) -> Hold<'_> {
        let _known = self.known.lock().await;
        self.held.fetch_add(1, Ordering::SeqCst);
        self.touch();
        self.touched().insert(role.to_owned());
        Hold(self)
    }

    fn touched(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody with this role came in since the last time this was asked.
    pub fn was_touched(&self, role: &str) -> bool {
        self.touched().remove(role)
    }

    /// Whether it answers now; starts nothing.
    pub async fn is_up(&self) -> bool {
        match self.superuser_password().await {
            Ok(password) => self.connect((SUPERUSER, &password), "postgres").await.is_ok(),
            Err(_) => false,
        }
    }

    /// Starts the server unless it runs, and waits until it answers.
    pub async fn ensure_up(&self) -> Result<(), AddonError> {
        let mut known = self.known.lock().await;
        let password = self.superuser_password().await?;
        if let Some(external) = self.external.as_ref().filter(|_| !known.leads_out) {
            external::lead_out(external, &self.socket_folder(), &self.parts.tasks)?;
            known.leads_out = true;
        }
        let admin = match self.connect((SUPERUSER, &password), "postgres").await {
            Ok(admin) => admin,
            Err(error) if self.external.is_some() => {
                tracing::error!(%error, "the PostgreSQL server of --postgres-server cannot be used");
                return Err(AddonError::ServerDown);
            }
            Err(_) => self.start(&mut known, &password).await?,
        };
        if known.watcher.is_none() {
            let watcher = secrets::random_token();
            sql::prepare_server(&admin, WATCHER, &watcher).await?;
            dump::clear_dead(&self.parts, self).await?;
            known.watcher = Some(watcher);
        }
        Ok(())
    }

    async fn start(&self, known: &mut Known, password: &SecretString) -> Result<Client, AddonError> {
        self.touch();
        let image = self.image().ok_or(AddonError::NotOffered)?;
        let spec = self.spec(image, password);
        let found = find(&self.parts, NAME).await?;
        let running = ensure_running(&self.parts, spec, found).await?;
        known.id = Some(running.id.clone());
        let end = Instant::now() + START_PATIENCE;
        loop {
            let why = match self.connect((SUPERUSER, password), "postgres").await {
                Ok(admin) => return Ok(admin),
                Err(why) => why,
            };
            let gone = self.parts.engine.inspect(running.id.clone()).await?.is_none_or(|seen| !seen.running);
            if gone || Instant::now() > end {
                tracing::error!(error = %why, ended = gone, "the database server does not come up");
                return Err(AddonError::ServerDown);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn spec(&self, image: ImageRef, password: &SecretString) -> ContainerSpec {
        let memory = i64::from(self.parts.config.options.postgres_memory) * 1024 * 1024;
        let buffers = format!("{}kB", memory / 1024 / 8);
        spec::addon_spec(&AddonInput {
            instance: &self.parts.instance,
            name: NAME,
            image,
            command: ["/opt/siesta/postgres", &buffers, MAX_CONNECTIONS].map(str::to_owned).to_vec(),
            env: vec![("SIESTA_PASSWORD".to_owned(), password.expose_secret().to_owned())],
            uid: spec::DATABASE_UID,
            network: None,
            folders: vec![self.mount("files", "/database", false), self.mount("run", SOCKET_FOLDER, false)],
            memory_bytes: memory,
            pids: 512,
            // Fast: ends sessions and writes everything out. SIGTERM would wait for clients.
            stop_signal: "SIGINT",
            stop_seconds: 60,
        })
    }

    /// Puts the server to sleep when nobody was there for long enough. True when it sleeps now.
    pub async fn sleep_if_idle(&self, now: Timestamp) -> Result<bool, AddonError> {
        let idle_after = Duration::from_secs_f64(self.parts.config.options.postgres_idle_after.clamp(0.1, 31_536_000.0));
        let idle = now.since(Timestamp(self.last_used.load(Ordering::SeqCst)));
        if self.external.is_some() || self.held.load(Ordering::SeqCst) > 0 || idle < idle_after {
            return Ok(false);
        }
        let mut known = self.known.lock().await;
        if self.held.load(Ordering::SeqCst) > 0 {
            return Ok(false);
        }
        let password = self.superuser_password().await?;
        let Ok(admin) = self.connect((SUPERUSER, &password), "postgres").await else { return Ok(false) };
        // Connections from before a restart of ours are held by nobody.
        if sql::has_visitors(&admin, &[SUPERUSER, WATCHER]).await? {
            self.touch();
            return Ok(false);
        }
        drop(admin);
        let id = match known.id.clone() {
            Some(id) => Some(id),
            None => find(&self.parts, NAME).await?.map(|found| found.id),
        };
        let Some(id) = id else { return Ok(false) };
        self.parts.engine.stop(id, STOP_GRACE).await?;
        known.id = None;
        tracing::info!("the database server sleeps");
        Ok(true)
    }

    /// A connection as the superuser, to a server that is up. Its search path is the catalog alone:
    /// nothing of a user's stands in the way of a name.
    pub async fn admin(&self, database: &str) -> Result<Client, AddonError> {
        let password = self.superuser_password().await?;
        Ok(self.connect((SUPERUSER, &password), database).await?)
    }

    /// A connection that reads.
    pub async fn watcher(&self, database: &str) -> Result<Client, AddonError> {
        let password = self.watcher_password().await?;
        Ok(self.connect((WATCHER, &password), database).await?)
    }

    /// The watcher's password; starts the server to set it.
    pub async fn watcher_password(&self) -> Result<SecretString, AddonError> {
        if let Some(password) = self.known.lock().await.watcher.clone() {
            return Ok(password);
        }
        self.ensure_up().await?;
        self.known.lock().await.watcher.clone().ok_or(AddonError::ServerDown)
    }

    async fn connect(&self, (role, password): (&str, &SecretString), database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(self.socket_folder())
            .user(role)
            .password(password.expose_secret())
            .dbname(database)
            .application_name("siesta")
            .options("-c search_path=pg_catalog -c statement_timeout=60000 -c lock_timeout=10000")
            .connect_timeout(Duration::from_secs(5));
        let (client, connection) = config.connect(NoTls).await?;
        self.parts.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database server ended");
            }
        });
        Ok(client)
    }

    /// Made once and kept: the cluster in the data folder knows no other.
    async fn superuser_password(&self) -> Result<SecretString, AddonError> {
        if let Some(external) = &self.external {
            return Ok(external.password.clone());
        }
        let place = superuser_place(NAME);
        if self.parts.reader.superuser_password(NAME).await?.is_none() {
            let sealed = self.parts.keys.seal(&place, &secrets::random_token());
            self.parts.writer.keep_superuser_password(NAME, &sealed, self.parts.clock.now()).await?;
        }
        let sealed = self.parts.reader.superuser_password(NAME).await?.ok_or(AddonError::Sealed)?;
        self.parts.keys.open(&place, &sealed).map_err(|_| AddonError::Sealed)
    }
}

/// Our container of that name, in whatever state.
pub async fn find(parts: &AddonsParts, name: &str) -> Result<Option<Container>, EngineError> {
    let found = parts.engine.list().await?;
    Ok(found.into_iter().find(|container| container.labels.get(LABEL_ADDON).is_some_and(|label| label == name)))
}

/// Starts what is there, or makes it anew when it is not, was made of something else, or does not start.
pub async fn ensure_running(parts: &AddonsParts, spec: ContainerSpec, found: Option<Container>) -> Result<Container, EngineError> {
    if let Some(found) = found {
        if found.running {
            return Ok(found);
        }
        if found.labels.get(LABEL_RECIPE) == spec.labels.get(LABEL_RECIPE)
            && let Ok(started) = parts.engine.start(found.id.clone()).await
        {
            return Ok(started);
        }
        parts.engine.remove(found.id).await?;
    }
    let id = parts.engine.create(spec).await?;
    parts.engine.start(id).await
}
