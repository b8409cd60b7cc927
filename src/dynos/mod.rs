//! Owns every container that runs an app, and how many shall run: one supervisor task an app.
//!
//! The router sees `Routes` and the gates in it; pages see `status`; nobody else starts or stops a dyno.

mod account;
pub mod callers;
mod disk;
pub mod gate;
mod jump;
mod life;
mod limits;
mod make;
mod metadata;
mod meter;
mod nap;
mod networks;
pub mod one_off;
mod orders;
mod output;
pub mod pages;
mod probe;
pub mod routes;
mod standby;
mod start_queue;
mod supervisor;
mod turn;
mod view;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use secrecy::ExposeSecret;
use tokio::sync::{Semaphore, oneshot, watch};

use self::{
    meter::Roster,
    networks::Networks,
    standby::Standbys,
    start_queue::StartQueue,
    supervisor::{Command, Handle, Reply, Supervisor},
};
pub use crate::engine::{ByteSink, ByteStream, Streams, TerminalSize};
use crate::{
    clock::Clock,
    config::Config,
    domain::{
        AppId, AppName, ConfigVars, DynoId, DynoName, DynoState, ProcessType, ReleaseId, Timestamp, Version, app::App, capacity::NoRoom,
        formation::Quantity, one_off::Fault as OneOffFault, quota, slug::Slug, user::Actor,
    },
    engine::{
        Container, Engine, EngineError, EngineInfo, NetworkSpec, Usage,
        spec::{self, LABEL_APP, LABEL_KIND, NetworkFault, NetworkRange},
    },
    host::Host,
    logs::Logs,
    metrics::{Metrics, Point},
    plans::Plans,
    scheduler::Tasks,
    secrets::{KeyRing, SecretError},
    slugs::Slugs,
    store::{Reader, StoreError, Writer, config_sets::SealedConfig},
};
pub use callers::Caller;
pub use gate::{Entry, Gate, GateLimits, Lease, Refusal, Stage, Target, Waiting};
use one_off::OneOffs;
pub use one_off::{Leash, OneOff, Outcome, RunOrder};
pub use pages::{Framed, Pages};
pub use routes::{Route, Routes};

/// How long a page waits for the engine.
const ENGINE_PATIENCE: Duration = Duration::from_secs(3);

/// What an app is doing, for pages and the API.
#[derive(Clone, Debug, PartialEq)]
pub struct AppStatus {
    pub phase: AppPhase,
    /// Since when.
    pub since: Timestamp,
    pub dynos: Vec<DynoView>,
    /// While awake and idle: when it falls asleep if nothing comes.
    pub sleeps_at: Option<Timestamp>,
    pub quota: quota::Standing,
    /// Four fifths of the quota are used.
    pub quota_warning: bool,
}

/// The word on the pill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppPhase {
    /// No code yet.
    Blank,
    Awake,
    /// Awake, but idle for a while: its memory is paged out while it runs on.
    Napping,
    Asleep,
    Waking,
    Crashed,
    /// Scaled to zero.
    Off,
    /// Quota used up.
    Resting {
        until: Timestamp,
    },
}

/// One dyno as `ps` shows it. A sleeping or crashed dyno is shown too, without a container.
#[derive(Clone, Debug, PartialEq)]
pub struct DynoView {
    pub id: DynoId,
    pub name: DynoName,
    pub state: DynoState,
    pub since: Timestamp,
    pub release: ReleaseId,
    pub version: Version,
    pub command: String,
}

pub use crate::domain::formation::FormationRow;

/// Why dynos could not do it.
#[derive(Debug, thiserror::Error)]
pub enum DynoError {
    #[error("Couldn't find that process type ({0}).")]
    NoSuchProcessType(String),
    #[error("Couldn't find that dyno.")]
    NoSuchDyno,
    #[error("Couldn't find that app.")]
    NoSuchApp,
    /// Heroku's sentence (heroku.md 1.6).
    #[error("Cannot update to more than {limit} {size} size dynos per process type.")]
    TooManyOfType { limit: u32, size: String },
    #[error("Cannot run more than {limit} {size} size process types at once. Scale another one to 0 first.")]
    TooManyTypes { limit: u32, size: String },
    #[error("The app has used up its quota and rests until {until}. No dyno starts before.")]
    Resting { until: Timestamp },
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error("This app has no code yet. Deploy it first.")]
    NoCode,
    #[error(transparent)]
    OneOff(#[from] OneOffFault),
    /// The new dynos did not come up; the old ones serve on where there were any.
    #[error("{0}")]
    DidNotBoot(String),
    /// A newer release took the place of one that was not up yet.
    #[error("{0} took its place before it was up.")]
    Superseded(Version),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Network(#[from] NetworkFault),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What to restart or stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    Type(ProcessType),
    One(DynoName),
}

/// Everything the dynos stand on.
#[derive(Clone)]
pub struct DynosParts {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub tasks: Tasks,
    pub reader: Reader,
    pub writer: Writer,
    pub engine: Arc<dyn Engine>,
    pub logs: Logs,
    pub slugs: Slugs,
    /// Opens config snapshots.
    pub keys: Arc<KeyRing>,
    /// What the machine can bear.
    pub host: Host,
    /// What each app may use.
    pub plans: Plans,
    /// This server's own id: what its containers and networks are labelled with.
    pub instance: Arc<str>,
}

/// What all supervisors share.
struct Context {
    parts: DynosParts,
    /// Checked at the start; until then a fault may hide in it.
    range: Result<NetworkRange, NetworkFault>,
    queue: StartQueue,
    swap: AtomicBool,
    roster: Roster,
    metrics: Metrics,
    /// One app is paged out at a time.
    paging: Semaphore,
    one_offs: OneOffs,
    networks: Networks,
    standbys: Standbys,
    /// When time was last looked at, in milliseconds.
    swept: AtomicI64,
}

impl Context {
    fn has_swap(&self) -> bool {
        self.swap.load(Ordering::Relaxed)
    }

    fn network(&self, app: &App) -> Result<NetworkSpec, NetworkFault> {
        spec::network_spec(&self.parts.instance, app.id, app.number, self.range.clone()?)
    }
}

/// A supervisor and what the route of its app says.
struct Registered {
    handle: Handle,
    name: AppName,
    maintenance: bool,
    /// Host names besides the one below the apps domain.
    domains: Vec<String>,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Dynos {
    context: Arc<Context>,
    routes: Arc<Routes>,
    apps: Arc<Mutex<HashMap<AppId, Registered>>>,
}

impl Dynos {
    /// Nothing runs yet: call `start`.
    pub fn new(parts: DynosParts) -> Dynos {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let range = parts.config.options.network_range.parse();
        let queue = StartQueue::new((cores * 3).div_ceil(2));
        let (roster, metrics, paging) = (Roster::default(), Metrics::new(), Semaphore::new(1));
        let (one_offs, networks) = (OneOffs::default(), Networks::default());
        let (swap, swept) = (AtomicBool::new(false), AtomicI64::new(i64::MIN));
        let standbys = Standbys::new(parts.config.limits.standbys);
        let context = Context { parts, range, queue, swap, roster, metrics, paging, one_offs, networks, standbys, swept };
        Dynos { context: Arc::new(context), routes: Arc::default(), apps: Arc::default() }
    }

    fn apps(&self) -> MutexGuard<'_, HashMap<AppId, Registered>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes the routes (requests wait), adopts what runs (by label) and starts a supervisor for
    /// each app. While the engine does not answer it is asked again in the background.
    pub async fn start(&self) -> Result<(), DynoError> {
        self.context.range.clone()?;
        let apps = self.context.parts.reader.apps().await?;
        let mut domains: HashMap<AppId, Vec<String>> = HashMap::new();
        for (app, hostname) in self.context.parts.reader.all_domains().await? {
            domains.entry(app).or_default().push(hostname);
        }
        let mut supervisors = Vec::with_capacity(apps.len());
        for app in apps {
            let own = domains.remove(&app.id).unwrap_or_default();
            supervisors.push(self.register(app, own));
        }
        self.publish();
        self.watch_plans();
        match self.context.parts.engine.list().await {
            Ok(found) => self.adopt(supervisors, found).await,
            Err(error) => {
                tracing::warn!(%error, "the engine does not answer; what runs is adopted when it does");
                let me = self.clone();
                self.context.parts.tasks.spawn(async move {
                    let found = loop {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        if let Ok(found) = me.context.parts.engine.list().await {
                            break found;
                        }
                    };
                    me.adopt(supervisors, found).await;
                });
            }
        }
        Ok(())
    }

    /// A plan that changes counts at once: every supervisor looks whether it is its own.
    fn watch_plans(&self) {
        let (me, mut changes) = (self.clone(), self.context.parts.plans.changes());
        self.context.parts.tasks.spawn(async move {
            while changes.changed().await.is_ok() {
                me.apps().values().for_each(|app| app.handle.wake.activate());
            }
        });
    }

    /// Hands each supervisor its containers. Those of apps that are gone are removed, but never by
    /// an empty database: it may not be the one they belong to.
    async fn adopt(&self, supervisors: Vec<Supervisor>, found: Vec<Container>) {
        let parts = &self.context.parts;
        if let Ok(info) = parts.engine.info().await {
            self.context.swap.store(info.swap, Ordering::Relaxed);
            if !info.swap {
                tracing::info!("this host has no swap: idle apps do not nap (script/server --swap zram changes that)");
            }
        }
        let empty = supervisors.is_empty();
        if let Err(error) = self.adopt_one_offs(&found, empty).await {
            tracing::error!(%error, "one-off dynos from before could not be looked at");
        }
        let dynos = found.into_iter().filter(|container| container.labels.get(LABEL_KIND).is_some_and(|kind| kind == "dyno"));
        let (standbys, dynos): (Vec<Container>, Vec<Container>) = dynos.partition(|container| spec::is_standby(&container.name));
        if !empty {
            self.context.clear_standbys(standbys).await;
        }
        let mut of_app: HashMap<String, Vec<Container>> = HashMap::new();
        for container in dynos {
            of_app.entry(container.labels.get(LABEL_APP).cloned().unwrap_or_default()).or_default().push(container);
        }
        for supervisor in supervisors {
            let found = of_app.remove(&supervisor.id().to_string()).unwrap_or_default();
            parts.tasks.spawn(supervisor.run(found));
        }
        for container in of_app.into_values().flatten() {
            if empty {
                tracing::warn!(container = container.id.0, "a dyno runs that the empty database does not know; it is left alone");
            } else if let Err(error) = parts.engine.remove(container.id).await {
                tracing::warn!(%error, "a dyno of an app that is gone could not be removed");
            }
        }
    }

    /// Makes the supervisor of an app and enters it; the caller lets it run.
    fn register(&self, app: App, domains: Vec<String>) -> Supervisor {
        let (id, name, maintenance) = (app.id, app.name.clone(), app.maintenance);
        let (supervisor, handle) = Supervisor::new(self.context.clone(), app);
        self.apps().insert(id, Registered { handle, name, maintenance, domains });
        supervisor
    }

    fn publish(&self) {
        let domain = &self.context.parts.config.options.apps_domain;
        // Published under the lock: of two changes at once the later table wins.
        let apps = self.apps();
        let route = |(id, app): (&AppId, &Registered)| {
            let route = Route { app: *id, name: app.name.clone(), maintenance: app.maintenance, gate: app.handle.gate.clone() };
            let hosts = app.domains.iter().cloned().chain([format!("{}.{domain}", app.name)]);
            let route = Arc::new(route);
            hosts.map(|host| (host, route.clone())).collect::<Vec<_>>()
        };
        self.routes.publish(apps.iter().flat_map(route).collect());
    }

    /// Looks after what time alone changes: idle apps fall asleep, quotas run out, rests and
    /// cool-offs end. The server calls it every second; it costs nothing for a sleeping app.
    pub fn sweep(&self) {
        self.sweep_one_offs();
        let now = self.context.parts.clock.now().millis();
        // What was due at a moment that a clock set back has yet to reach is due at another one now.
        let set_back = now < self.context.swept.swap(now, Ordering::SeqCst);
        for app in self.apps().values().filter(|app| set_back || app.handle.due.load(Ordering::SeqCst) <= now) {
            app.handle.wake.activate();
        }
    }

    /// Looks at what all running dynos use: graphs, log samples, R14 and R15. The server calls it
    /// every 20 seconds.
    ///
    /// # Errors
    /// When the engine does not answer; the next call looks again.
    pub async fn sample(&self) -> Result<(), DynoError> {
        self.context.metrics.sweep(self.context.parts.clock.now());
        Ok(self.context.sample().await?)
    }

    /// Removes the networks of apps that sleep, but those used last. The server calls it every minute.
    ///
    /// # Errors
    /// When the engine does not answer; the next call goes on.
    pub async fn tidy_networks(&self) -> Result<(), DynoError> {
        let parts = &self.context.parts;
        Ok(self.context.networks.keep(parts.engine.as_ref(), parts.config.limits.kept_networks).await?)
    }

    /// Memory and CPU of each running dyno of the app now.
    pub async fn usage(&self, app: AppId) -> Result<Vec<(DynoName, Usage)>, DynoError> {
        let containers = self.context.roster.containers(Some(app));
        let usages = self.context.parts.engine.usage(containers.iter().map(|(id, _)| id.clone()).collect()).await?;
        Ok(containers.into_iter().filter_map(|(id, name)| Some((name, *usages.get(&id)?))).collect())
    }

    /// The points of all dynos.
    pub fn meters(&self) -> Metrics {
        self.context.metrics.clone()
    }

    /// What the app's dynos used in the last `window` (24 hours are kept), a point a minute.
    pub fn metrics(&self, app: AppId, window: Duration) -> BTreeMap<DynoName, Vec<Point>> {
        self.context.metrics.points(app, window, self.context.parts.clock.now())
    }

    /// Whether idle dynos can be paged out here: the host has swap, and the engine counts it.
    pub fn can_nap(&self) -> bool {
        self.context.has_swap()
    }

    /// Sleeping apps whose next dyno stands by now.
    pub fn standbys(&self) -> usize {
        self.context.standbys.count()
    }

    /// The app of that name, from memory.
    pub fn app_named(&self, name: &str) -> Option<AppId> {
        let domain = &self.context.parts.config.options.apps_domain;
        self.routes.find(&format!("{name}.{domain}")).map(|route| route.app)
    }

    /// What the engine is, and whether it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn engine_info(&self) -> Result<EngineInfo, DynoError> {
        let asked = tokio::time::timeout(ENGINE_PATIENCE, self.context.parts.engine.info()).await;
        Ok(asked.unwrap_or(Err(EngineError::TimedOut("information")))?)
    }

    /// The table the router reads.
    pub fn routes(&self) -> Arc<Routes> {
        self.routes.clone()
    }

    fn tell(&self, app: AppId, command: Command) -> Result<(), DynoError> {
        let apps = self.apps();
        let handle = &apps.get(&app).ok_or(DynoError::NoSuchApp)?.handle;
        handle.commands.send(command).map_err(|_| DynoError::NoSuchApp)
    }

    /// Asks the app's supervisor and waits for its answer.
    async fn ask<T>(&self, app: AppId, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, DynoError> {
        let (reply, answer) = oneshot::channel();
        self.tell(app, command(reply))?;
        answer.await.map_err(|_| DynoError::NoSuchApp)?
    }

    /// A new app, a new name, other domains, maintenance on or off: makes the supervisor if there is none and
    /// publishes the routes anew.
    pub async fn app_changed(&self, app: AppId) -> Result<(), DynoError> {
        let row = self.context.parts.reader.app(app).await?.ok_or(DynoError::NoSuchApp)?;
        let domains: Vec<String> = self.context.parts.reader.domains(app).await?.into_iter().map(|domain| domain.hostname).collect();
        let known = match self.apps().get_mut(&app) {
            Some(known) => {
                (known.name, known.maintenance, known.domains) = (row.name.clone(), row.maintenance, domains.clone());
                true
            }
            None => false,
        };
        if !known {
            let supervisor = self.register(row, domains);
            self.context.parts.tasks.spawn(supervisor.run(Vec::new()));
        }
        self.publish();
        self.ask(app, Command::Reload).await
    }

    /// The app's current release changed (deploy, config, rollback). Updates the formation from the
    /// slug's process types (the first deploy scales web to 1; types that are gone are dropped),
    /// then: awake → starts the new dynos, probes, switches the gate, drains (30 s) and stops the
    /// old; asleep → nothing, the next request gets it (a first deploy starts it).
    /// Returns when the new release serves, `DidNotBoot` with the old one still
    /// serving, or `Superseded` when the next release begins first.
    pub async fn release(&self, app: AppId) -> Result<(), DynoError> {
        self.ask(app, Command::Release).await
    }

    /// Wakes a sleeping app by hand. Resting apps stay so. Returns when the start has begun.
    pub async fn wake(&self, app: AppId) -> Result<(), DynoError> {
        self.ask(app, Command::Wake).await
    }

    /// Sets counts, all or none. Checks the plan. Logs `Scaled to web@1:Free by user X`.
    pub async fn scale(&self, app: AppId, changes: &[(ProcessType, Quantity)], by: &Actor) -> Result<Vec<FormationRow>, DynoError> {
        let (changes, by) = (changes.to_vec(), by.clone());
        self.ask(app, |reply| Command::Scale { changes, by, reply }).await
    }

    /// The process types of the current slug with their counts, in Procfile order.
    pub async fn formation(&self, app: AppId) -> Result<Vec<FormationRow>, DynoError> {
        let reader = &self.context.parts.reader;
        let app = reader.app(app).await?.ok_or(DynoError::NoSuchApp)?;
        let slug = match reader.current_release(app.id).await?.and_then(|release| release.slug_id) {
            Some(id) => reader.slug(id).await?,
            None => None,
        };
        Ok(formation_of(reader, &app, slug.as_ref()).await?)
    }

    /// New dynos start as the old ones get SIGTERM; requests wait meanwhile. Forgives crashes.
    pub async fn restart(&self, app: AppId, which: Which) -> Result<(), DynoError> {
        self.ask(app, |reply| Command::Restart(which, reply)).await
    }

    /// Stops dynos; a stopped dyno of the formation is started again by the next release, restart or
    /// wake. An app whose web dynos are all stopped sleeps.
    pub async fn stop(&self, app: AppId, which: Which) -> Result<(), DynoError> {
        self.ask(app, |reply| Command::Stop(which, reply)).await
    }

    /// What the app is doing, now and from now on. None for an unknown app.
    pub fn status(&self, app: AppId) -> Option<watch::Receiver<AppStatus>> {
        self.apps().get(&app).map(|app| app.handle.status.clone())
    }

    /// The app that falls asleep before all others if nobody visits it, and when.
    pub fn next_to_sleep(&self) -> Option<(AppId, Timestamp)> {
        let apps = self.apps();
        let sleeping = apps.iter().filter_map(|(id, app)| Some((*id, app.handle.status.borrow().sleeps_at?)));
        sleeping.min_by_key(|(id, at)| (*at, *id))
    }

    /// The last requests that kept the app awake, the newest first, and how many are open now.
    pub fn kept_awake_by(&self, app: AppId) -> (Vec<Caller>, usize) {
        let gate = self.apps().get(&app).map(|app| app.handle.gate.clone());
        gate.map_or_else(Default::default, |gate| (gate.callers(), gate.activity().open))
    }

    /// Awake spans of the last `window`, oldest first, for the strip.
    pub async fn awake_spans(&self, app: AppId, window: Duration) -> Result<Vec<quota::Span>, DynoError> {
        let since = self.context.parts.clock.now() - window;
        Ok(self.context.parts.reader.awake_spans(app, since).await?)
    }

    /// Of an app that goes: ends its supervisor, where it has one, stops and removes its containers
    /// and network.
    pub async fn forget(&self, app: &App) -> Result<(), DynoError> {
        self.end_one_offs(app.id).await;
        match self.ask(app.id, Command::Forget).await {
            Ok(()) => {}
            Err(DynoError::NoSuchApp) => orders::remove_all_of(&self.context, app).await?,
            Err(error) => return Err(error),
        }
        self.apps().remove(&app.id);
        self.context.metrics.forget(app.id);
        self.publish();
        Ok(())
    }

    /// The environment of a dyno that does not come from config vars.
    pub fn platform_env(dyno: &DynoName, port: Option<u16>) -> BTreeMap<String, String> {
        let port = port.map(|port| ("PORT".to_owned(), port.to_string()));
        [("DYNO".to_owned(), dyno.to_string())].into_iter().chain(port).collect()
    }
}

/// The process types of a slug that run as dynos, with their stored counts, in Procfile order.
async fn formation_of(reader: &Reader, app: &App, slug: Option<&Slug>) -> Result<Vec<FormationRow>, StoreError> {
    let Some(slug) = slug else { return Ok(Vec::new()) };
    let stored = reader.quantities(app.id).await?;
    let row = |(process_type, command): (&ProcessType, &str)| {
        let kept = stored.iter().find(|row| row.process_type == *process_type)?;
        Some(FormationRow {
            id: kept.id,
            process_type: process_type.clone(),
            command: command.to_owned(),
            quantity: kept.quantity,
            created_at: app.created_at,
            updated_at: kept.updated_at,
        })
    };
    Ok(slug.process_types.iter().filter(|(process_type, _)| !process_type.is_release()).filter_map(row).collect())
}

/// Why a config snapshot cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Sealed(#[from] SecretError),
    #[error("A config snapshot is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
}

/// Opens a config snapshot: only in the place it was sealed for.
pub fn open_config(keys: &KeyRing, config: &SealedConfig) -> Result<ConfigVars, ConfigError> {
    let json = keys.open(&SealedConfig::place(config.app_id, config.id), &config.sealed)?;
    Ok(ConfigVars::from_json(json.expose_secret())?)
}
