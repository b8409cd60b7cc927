//! A small server without edges: real store, logs, releases and dynos over the fake engine and a
//! clock that is moved by hand.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use clap::Parser;
use siesta::{
    apps::{App, Apps, AppsParts},
    builder::{Builder, BuilderParts},
    clock::{Clock, ManualClock},
    config::{Config, ServeOptions},
    domain::{AppId, AppName, ConfigKey, DynoState, Plan, Procfile, SlugId, Timestamp, UserId, slug::Slug, user::Actor},
    dynos::{AppPhase, AppStatus, Dynos, DynosParts, Entry, Gate, Lease, Refusal},
    engine::fake::FakeEngine,
    logs::{Filter, Logs},
    releases::{Release, ReleaseError, Releases, ReleasesParts},
    scheduler::Tasks,
    secrets::KeyRing,
    slugs::Slugs,
    store::{self, Reader, Writer},
};
use tokio::sync::watch;

pub const INSTANCE: &str = "test";

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    serve: ServeOptions,
}

/// The machine: what is left when the server stops.
pub struct Machine {
    pub folder: Arc<tempfile::TempDir>,
    pub engine: FakeEngine,
    pub clock: ManualClock,
    pub plan: Plan,
    pub boot_timeout: Duration,
    pub by: Actor,
}

/// The server on it.
pub struct World {
    pub reader: Reader,
    pub logs: Logs,
    pub dynos: Dynos,
    pub releases: Releases,
    pub apps: Apps,
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
            by: Actor { id: UserId::new(), email: "ana@example.org".parse().expect("an address") },
        }
    }

    /// Starts the server: the first time on an empty database.
    pub async fn serve(&self) -> World {
        let root = self.folder.path();
        let (reader, writer) = store::open(&root.join("siesta.db")).await.expect("a database");
        insert_user(&writer, &self.by).await;
        let (tasks, clock) = (Tasks::new(), Arc::new(self.clock.clone()) as Arc<dyn Clock>);
        let logs = Logs::open(&root.join("logs.db"), clock.clone(), &tasks).await.expect("a log");
        let mut config = Config::new(Flags::parse_from(["siesta"]).serve).expect("a config");
        config.limits.boot_timeout = self.boot_timeout;
        let (config, keys) = (Arc::new(config), Arc::new(KeyRing::open_or_create(&root.join("keys")).expect("keys")));
        let engine: Arc<dyn siesta::engine::Engine> = Arc::new(self.engine.clone());
        let slugs = Slugs::new(root.to_owned(), engine.clone(), INSTANCE);
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
            plan: self.plan.clone(),
            instance: INSTANCE.into(),
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
            config,
            clock: clock.clone(),
            tasks: tasks.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            engine,
            logs: logs.clone(),
            slugs,
            releases: releases.clone(),
            plan: self.plan.clone(),
            root: root.to_owned(),
        });
        let apps = Apps::new(AppsParts {
            reader: reader.clone(),
            writer: writer.clone(),
            releases: releases.clone(),
            dynos: dynos.clone(),
            builder,
            logs: logs.clone(),
            clock,
            plan: self.plan.clone(),
            stack: "siesta-12".to_owned(),
        });
        dynos.start().await.expect("dynos start");
        releases.start().await.expect("releases start");
        let (engine, clock, by) = (self.engine.clone(), self.clock.clone(), self.by.clone());
        World { reader, logs, dynos, releases, apps, tasks, engine, clock, by, _folder: self.folder.clone() }
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
        let id = SlugId::new();
        self.engine.add_image(&format!("siesta/app:{id}"));
        Slug {
            id,
            app_id: app.id,
            commit: None,
            code_file: "c0de".to_owned(),
            deps_file: None,
            deps_key: "d".to_owned(),
            stack: "siesta/run:1".to_owned(),
            language: "Python".to_owned(),
            runtime: "Python 3.11.2".to_owned(),
            process_types: Procfile::parse(procfile.as_bytes()).expect("a Procfile"),
            size: 1,
            created_at: self.clock.now(),
        }
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

pub async fn request(gate: &Arc<Gate>) -> Result<Lease, Refusal> {
    match gate.enter() {
        Entry::Admitted(lease) => Ok(lease),
        Entry::Held(waiting) => waiting.admitted(Duration::from_secs(75)).await,
        Entry::Refused(refusal) => Err(refusal),
    }
}
