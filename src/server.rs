//! Puts the parts together; the one list of periodic tasks; start and stop order.

mod listen;

use std::{fs::File, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use axum::body::Body;
use http::{Request, Response};
use secrecy::{ExposeSecret, SecretString};
use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::{
    accounts::Accounts,
    admin::{self, Door},
    api::{self, Api, ApiParts},
    apps::{Apps, AppsParts},
    builder::{Builder, BuilderParts},
    clock::{Clock, SystemClock},
    config::Config,
    domain::Plan,
    dynos::{Dynos, DynosParts},
    engine::{Engine, EngineError, ImageRef, docker::Docker, isolation},
    http::ClientAddress,
    logs::Logs,
    releases::{Releases, ReleasesParts},
    router::{Peer, Platform},
    scheduler::{Activator, Tasks, every},
    secrets::KeyRing,
    slugs::Slugs,
    store::{self, Reader, Writer},
    web::{self, Web},
};
use listen::Listening;

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

/// Everything below the edges, made in order.
struct Owners {
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    reader: Reader,
    accounts: Accounts,
    apps: Apps,
    builder: Builder,
    releases: Releases,
    dynos: Dynos,
    logs: Logs,
    instance: String,
    plan: Plan,
}

/// What the owners are made of.
struct Ground {
    reader: Reader,
    writer: Writer,
    instance: String,
    engine: Arc<dyn Engine>,
    keys: Arc<KeyRing>,
    logs: Logs,
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
        let ground = Ground::prepare(&config, &clock, &tasks).await?;
        let claimed = Accounts::new(ground.reader.clone(), ground.writer.clone(), clock.clone()).is_claimed().await?;
        let listeners = listen::bind(&config, claimed)?;
        let wanted = config.clone();
        let config = Arc::new(config.bound_to(listeners.http_port(), listeners.tls_port()));
        prove_isolation(&config, &ground).await?;
        let owners = Owners::new(&config, &clock, &tasks, ground);
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

impl Ground {
    async fn prepare(config: &Config, clock: &Arc<dyn Clock>, tasks: &Tasks) -> anyhow::Result<Ground> {
        let data = &config.options.data_dir;
        let (reader, writer) = store::open(&data.join("siesta.db")).await?;
        let instance = writer.instance_id().await?;
        std::fs::write(data.join("instance"), &instance)?;
        let keys = Arc::new(KeyRing::open_or_create(&data.join("key"))?);
        let logs = Logs::open(&data.join("logs.db"), clock.clone(), tasks).await?;
        let engine: Arc<dyn Engine> = Arc::new(Docker::connect(&config.options.docker_socket, &instance)?);
        wait_for_engine(engine.as_ref()).await?;
        Ok(Ground { reader, writer, instance, engine, keys, logs })
    }
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
async fn prove_isolation(config: &Config, ground: &Ground) -> anyhow::Result<()> {
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

impl Owners {
    fn new(config: &Arc<Config>, clock: &Arc<dyn Clock>, tasks: &Tasks, ground: Ground) -> Owners {
        let Ground { reader, writer, instance, engine, keys, logs } = ground;
        let (config, clock, tasks) = (config.clone(), clock.clone(), tasks.clone());
        let mut plan = Plan::free();
        if let Some(seconds) = config.options.idle_after {
            plan.idle_after = Duration::from_secs_f64(seconds.clamp(0.1, 31_536_000.0));
        }
        let slugs = Slugs::new(config.options.data_dir.clone(), engine.clone(), &instance);
        let dynos = Dynos::new(DynosParts {
            config: config.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            engine: engine.clone(),
            logs: logs.clone(),
            slugs: slugs.clone(),
            keys: keys.clone(),
            plan: plan.clone(),
            instance: instance.as_str().into(),
        });
        let releases = Releases::new(ReleasesParts {
            reader: reader.clone(),
            writer: writer.clone(),
            dynos: dynos.clone(),
            logs: logs.clone(),
            keys,
            clock: clock.clone(),
            tasks: tasks.clone(),
        });
        let builder = Builder::new(BuilderParts {
            config: config.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            engine,
            logs: logs.clone(),
            slugs,
            releases: releases.clone(),
            plan: plan.clone(),
            root: config.options.data_dir.clone(),
        });
        let accounts = Accounts::new(reader.clone(), writer.clone(), clock.clone());
        let apps = Apps::new(AppsParts {
            reader: reader.clone(),
            writer,
            releases: releases.clone(),
            dynos: dynos.clone(),
            builder: builder.clone(),
            logs: logs.clone(),
            clock: clock.clone(),
            plan: plan.clone(),
            stack: config.stack_name(),
        });
        Owners { config, clock, tasks, reader, accounts, apps, builder, releases, dynos, logs, instance, plan }
    }

    /// In this order: dynos are adopted before anything could start one, releases that were cut off
    /// are brought to an end before builds could make new ones.
    async fn start(&self) -> anyhow::Result<()> {
        self.dynos.start().await?;
        self.releases.start().await?;
        self.builder.start().await?;
        Ok(())
    }

    /// The one list of periodic tasks. Work that belongs to one app's supervisor or one build is not here.
    fn tick(&self) {
        let dynos = self.dynos.clone();
        self.tasks.spawn(every(Duration::from_secs(1), Activator::new(), move || {
            dynos.sweep();
            std::future::ready(())
        }));
        let accounts = self.accounts.clone();
        self.tasks.spawn(every(Duration::from_secs(3600), Activator::new(), move || {
            let accounts = accounts.clone();
            async move {
                if let Err(error) = accounts.sweep().await {
                    tracing::error!(%error, "old sessions and links stay for now");
                }
            }
        }));
    }

    /// Dashboard and API as one service, told apart by `api::is_api_request`.
    fn platform(&self) -> Platform {
        let web = web::router(Web {
            config: self.config.clone(),
            clock: self.clock.clone(),
            reader: self.reader.clone(),
            accounts: self.accounts.clone(),
            apps: self.apps.clone(),
            builder: self.builder.clone(),
            releases: self.releases.clone(),
            dynos: self.dynos.clone(),
            logs: self.logs.clone(),
            plan: self.plan.clone(),
        });
        let api = api::router(Api::new(ApiParts {
            config: self.config.clone(),
            clock: self.clock.clone(),
            reader: self.reader.clone(),
            accounts: self.accounts.clone(),
            apps: self.apps.clone(),
            builder: self.builder.clone(),
            releases: self.releases.clone(),
            dynos: self.dynos.clone(),
            logs: self.logs.clone(),
            plan: self.plan.clone(),
            stack: self.config.stack_name(),
        }));
        let config = self.config.clone();
        let service = tower::service_fn(move |mut request: Request<Body>| {
            if let Some(peer) = request.extensions().get::<Peer>().copied() {
                request.extensions_mut().insert(ClientAddress(peer.ip));
            }
            let (parts, body) = request.into_parts();
            let chosen = if api::is_api_request(&parts, &config) { api.clone() } else { web.clone() };
            chosen.oneshot(Request::from_parts(parts, body))
        });
        let service: BoxCloneSyncService<Request<Body>, Response<Body>, std::convert::Infallible> = BoxCloneSyncService::new(service);
        Platform::new(service, &self.tasks)
    }

    fn open_the_door(&self, data: &Path) -> anyhow::Result<()> {
        let door = Door {
            config: self.config.clone(),
            reader: self.reader.clone(),
            accounts: self.accounts.clone(),
            apps: self.apps.clone(),
            builder: self.builder.clone(),
            instance: self.instance.clone(),
        };
        admin::serve(door, &data.join(admin::SOCKET), &self.tasks).context("The admin socket cannot be made")
    }
}
