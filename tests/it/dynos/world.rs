//! A small server without edges: real store, logs, releases and dynos over the fake engine and a
//! clock that is moved by hand.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use siesta::{
    apps::{App, Apps},
    clock::{Clock, ManualClock},
    domain::{AppId, AppName, ConfigKey, DynoState, Plan, Timestamp, UserId, slug::Slug, user::Actor},
    dynos::{AppPhase, AppStatus, Dynos, Entry, Gate, Lease, Refusal},
    engine::fake::FakeEngine,
    host::Host,
    logs::{Filter, Logs},
    plans::Plans,
    releases::{Release, ReleaseError, Releases},
    scheduler::Tasks,
    server::Owners,
    store::{Reader, Writer},
};
use tokio::sync::watch;

use crate::support::house;
pub use crate::support::house::INSTANCE;

/// The machine: what is left when the server stops.
pub struct Machine {
    pub folder: Arc<tempfile::TempDir>,
    pub engine: FakeEngine,
    pub clock: ManualClock,
    pub plan: Plan,
    pub boot_timeout: Duration,
    pub log_silence: Duration,
    /// What a dyno may write.
    pub dyno_disk_bytes: u64,
    /// Flags of `siesta serve`.
    pub flags: Vec<&'static str>,
    pub hang_up_pause: Duration,
    pub by: Actor,
}

/// The server on it.
pub struct World {
    pub reader: Reader,
    pub logs: Logs,
    pub dynos: Dynos,
    pub releases: Releases,
    pub apps: Apps,
    pub plans: Plans,
    pub host: Host,
    pub tasks: Tasks,
    pub engine: FakeEngine,
    pub clock: ManualClock,
    pub by: Actor,
    /// Lives as long as the server does, also when the machine was a passing one.
    _folder: Arc<tempfile::TempDir>,
}

impl Machine {
    pub fn new() -> Machine {
        let (engine, clock) = (FakeEngine::new(INSTANCE), ManualClock::at(Timestamp::from_secs(1_790_000_000)));
        // The log shows no line that is older than a few days.
        engine.set_micros(clock.now_micros());
        Machine {
            folder: Arc::new(tempfile::tempdir().expect("a folder")),
            engine,
            clock,
            plan: Plan::free(),
            boot_timeout: Duration::from_secs(60),
            log_silence: Duration::from_millis(100),
            dyno_disk_bytes: 1 << 30,
            flags: Vec::new(),
            hang_up_pause: Duration::from_secs(5),
            by: Actor { id: UserId::new(), email: "ana@example.org".parse().expect("an address") },
        }
    }

    /// Starts the server: the first time on an empty database.
    pub async fn serve(&self) -> World {
        let mut config = house::config(self.folder.path(), &self.flags);
        config.limits.boot_timeout = self.boot_timeout;
        config.limits.log_silence = self.log_silence;
        config.limits.dyno_disk_bytes = self.dyno_disk_bytes;
        config.limits.hang_up_pause = self.hang_up_pause;
        let ground = house::ground(config, Arc::new(self.clock.clone()), Arc::new(self.engine.clone()), INSTANCE).await;
        ground.writer.save_plan(&self.plan, self.clock.now()).await.expect("a plan");
        insert_user(&ground.writer, &self.by).await;
        let owners = Owners::new(ground);
        // Without builds, whose start wants the engine at once.
        owners.plans.load().await.expect("plans");
        owners.dynos.start().await.expect("dynos start");
        owners.releases.start().await.expect("releases start");
        let Owners { reader, logs, dynos, releases, apps, plans, host, tasks, .. } = owners;
        let (engine, clock, by) = (self.engine.clone(), self.clock.clone(), self.by.clone());
        World { reader, logs, dynos, releases, apps, plans, host, tasks, engine, clock, by, _folder: self.folder.clone() }
    }
}

async fn insert_user(writer: &Writer, by: &Actor) {
    let mut tx = writer.begin().await.expect("a transaction");
    sqlx::query("insert or ignore into users (id, email, created_at, updated_at) values (?, ?, 0, 0)")
        .bind(by.id)
        .bind(by.email.as_str())
        .execute(&mut *tx)
        .await
        .expect("a user");
    tx.commit().await.expect("a user");
}

impl World {
    /// The server ends as if killed: its tasks are dropped, containers live on.
    pub async fn stop(self) {
        self.logs.flush().await;
        assert!(self.tasks.stop(Duration::from_secs(10)).await, "all tasks end");
    }

    pub async fn app(&self, name: &str) -> App {
        self.apps.create(Some(name.parse::<AppName>().expect("a name")), &self.by).await.expect("an app")
    }

    /// A release of code with these processes, whose image is there.
    pub async fn deploy(&self, app: &App, procfile: &str) -> Result<Release, ReleaseError> {
        let slug = self.slug(app, procfile);
        self.releases.deploy(app.id, slug, "1a2b3c4d5e6f", &self.by).await
    }

    pub fn slug(&self, app: &App, procfile: &str) -> Slug {
        house::slug(&self.engine, app.id, procfile, self.clock.now())
    }

    pub async fn set(&self, app: AppId, key: &str, value: Option<&str>) -> Option<Release> {
        let key: ConfigKey = key.parse().expect("a key");
        let changes = BTreeMap::from([(key, value.map(Into::into))]);
        self.releases.set_config(app, changes, &self.by).await.expect("a change")
    }

    pub fn gate(&self, name: &str) -> Arc<Gate> {
        self.dynos.routes().find(&format!("{name}.localhost")).expect("a route").gate.clone()
    }

    /// One request: waits as the router does.
    pub async fn request(&self, name: &str) -> Result<Lease, Refusal> {
        request(&self.gate(name)).await
    }

    pub fn status(&self, app: AppId) -> watch::Receiver<AppStatus> {
        self.dynos.status(app).expect("a supervisor")
    }

    pub async fn until(&self, app: AppId, condition: impl FnMut(&AppStatus) -> bool) -> AppStatus {
        self.status(app).wait_for(condition).await.expect("a supervisor").clone()
    }

    pub async fn until_phase(&self, app: AppId, phase: AppPhase) -> AppStatus {
        self.until(app, |status| status.phase == phase).await
    }

    /// Awake and its one web dyno up.
    pub async fn until_up(&self, app: AppId) {
        self.until(app, |status| status.dynos.iter().any(|dyno| dyno.name.process_type.is_web() && dyno.state == DynoState::Up)).await;
    }

    /// Moves the clock and lets the sweep look.
    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.dynos.sweep();
    }

    /// `source[ps]: message` of all lines, oldest first.
    pub async fn lines(&self, app: AppId) -> Vec<String> {
        let lines = self.logs.recent(app, &Filter::default(), 1_000).await.expect("a log");
        lines.iter().map(|(_, line)| format!("{}[{}]: {}", line.source.as_str(), line.ps, line.message)).collect()
    }

    /// Waits until the engine runs `count` dynos and none is on its way.
    pub async fn until_running(&self, count: usize) {
        self.engine.until(|engine| engine.running().len() == count && engine.containers().len() == count).await;
    }
}

/// A server with one app, `tienda`, that is awake.
pub async fn serving(machine: &Machine) -> (World, AppId) {
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, "web: gunicorn app:app").await.expect("a release");
    world.until_up(app.id).await;
    (world, app.id)
}

pub async fn request(gate: &Arc<Gate>) -> Result<Lease, Refusal> {
    match gate.enter() {
        Entry::Admitted(lease) => Ok(lease),
        Entry::Held(waiting) => waiting.admitted(Duration::from_secs(75)).await,
        Entry::Refused(refusal) => Err(refusal),
    }
}
