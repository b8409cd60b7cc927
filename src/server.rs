//! Puts the parts together; the one list of periodic tasks; start and stop order.

mod listen;
mod owners;

use std::{fs::File, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    accounts::Accounts,
    admin,
    clock::{Clock, SystemClock},
    config::Config,
    engine::{Engine, EngineError, ImageRef, docker::Docker, isolation},
    logs::Logs,
    scheduler::Tasks,
};
use listen::Listening;
pub use owners::{Ground, Owners};

/// How long the stop may take in all before what is left is dropped.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait for an engine that is still starting (a reboot starts us side by side).
const ENGINE_PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub struct Server {
    config: Arc<Config>,
    tasks: Tasks,
    accounts: Accounts,
    logs: Logs,
    listening: Listening,
    claim_token: Option<SecretString>,
    /// Held while we may write the database.
    _lock: File,
}

impl Server {
    /// Opens the data folder, adopts the dynos that run, begins to listen.
    ///
    /// # Errors
    /// When another server holds the data folder, the database or key file is unusable, the engine
    /// does not come up, or an address cannot be bound.
    pub async fn start(config: Config) -> anyhow::Result<Server> {
        let data = config.options.data_dir.clone();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&data)
            .with_context(|| format!("{} cannot be made", data.display()))?;
        let lock = lock(&data)?;
        let tasks = Tasks::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let wanted = config.clone();
        let engine = |instance: &str| Ok(Arc::new(Docker::connect(&wanted.options.docker_socket, instance)?) as Arc<dyn Engine>);
        let mut ground = Ground::open(config, clock, &tasks, engine).await?;
        wait_for_engine(ground.engine.as_ref()).await?;
        let claimed =
            Accounts::new(ground.reader.clone(), ground.writer.clone(), ground.clock.clone(), ground.keys.clone()).is_claimed().await?;
        let listeners = listen::bind(&wanted, claimed)?;
        ground.config = Arc::new(wanted.clone().bound_to(listeners.http_port(), listeners.tls_port()));
        prove_isolation(&ground).await?;
        let owners = Owners::new(ground);
        owners.start().await?;
        owners.tick();
        let claim_token = owners.accounts.new_claim_token().await?;
        let listening = listen::start(listeners, &owners, owners.platform(), &wanted).await?;
        owners.open_the_door(&data)?;
        let Owners { config, accounts, logs, .. } = owners;
        Ok(Server { config, tasks, accounts, logs, listening, claim_token, _lock: lock })
    }

    /// What the operator reads at the start.
    pub fn greeting(&self) -> Vec<String> {
        let mut lines = vec![format!("Dashboard: {}", self.config.dashboard_url())];
        if let Some(token) = &self.claim_token {
            lines.push(format!("Claim token (once, for the first administrator): {}", token.expose_secret()));
        }
        lines
    }

    /// Whether an administrator exists.
    pub async fn is_claimed(&self) -> bool {
        self.accounts.is_claimed().await.unwrap_or(false)
    }

    /// Stops accepting, finishes what is under way, writes the logs out. Dynos go on running.
    pub async fn stop(self) {
        if tokio::time::timeout(STOP_PATIENCE, self.listening.stop()).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
        self.logs.flush().await;
        if !self.tasks.stop(STOP_PATIENCE).await {
            tracing::warn!("some tasks did not end in time");
        }
    }
}

/// Lifts this process's limit of open files to the hard one: the usual soft limit of 1024 ends a
/// storm of 500 held requests, which take a socket to the client and one to the dyno each.
///
/// # Errors
/// When the system refuses it; everything works on, with fewer requests at once.
pub fn lift_open_files() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// One server a data folder.
fn lock(data: &Path) -> anyhow::Result<File> {
    let path = data.join(admin::LOCK);
    let file = File::create(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    file.try_lock().map_err(|_| anyhow::anyhow!("Another server runs on {} already.", data.display()))?;
    Ok(file)
}

/// Asks until the engine answers; says what the operator should know of it.
async fn wait_for_engine(engine: &dyn Engine) -> anyhow::Result<()> {
    let ask = async {
        loop {
            match engine.info().await {
                Ok(info) => return Ok(info),
                Err(error @ EngineError::Unreachable(_)) => {
                    tracing::warn!(%error, "waiting for the container engine");
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
                Err(error) => return Err(error),
            }
        }
    };
    let info = tokio::time::timeout(ENGINE_PATIENCE, ask).await.context("The container engine does not answer. Is Docker running?")??;
    tracing::info!(name = info.name, version = info.version, api = info.api_version, "container engine");
    for warning in &info.warnings {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// Dynos run only where a container cannot reach this machine (decisions 3).
async fn prove_isolation(ground: &Ground) -> anyhow::Result<()> {
    let config = &ground.config;
    let image = ImageRef(config.options.stack_run.clone());
    if config.options.accept_open_network {
        tracing::warn!("--accept-open-network: whether apps can reach this machine was not proven");
        return Ok(());
    }
    if image.0.is_empty() || !ground.engine.has_image(image.clone()).await? {
        anyhow::bail!(
            "The stack's run image is not here (SIESTA_STACK_RUN is `{}`). Run script/stack, or script/server, which does.",
            image.0
        );
    }
    let range = config.options.network_range.parse()?;
    isolation::probe_isolation(ground.engine.as_ref(), &ground.instance, image, range).await?;
    Ok(())
}
