//! Owns every container that runs an app, and how many shall run: one supervisor task an app.
//!
//! The router sees `Routes` and the gates in it; pages see `status`; nobody else starts or stops a dyno.

pub mod gate;
pub mod routes;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use secrecy::ExposeSecret;
use tokio::sync::watch;

use crate::{
    clock::Clock,
    config::Config,
    domain::{
        AppId, ConfigVars, DynoId, DynoName, DynoState, Plan, ProcessType, ReleaseId, Timestamp, Version, formation::Quantity, quota,
        user::Actor,
    },
    engine::{Engine, Usage},
    logs::Logs,
    scheduler::Tasks,
    secrets::{KeyRing, SecretError},
    slugs::Slugs,
    store::{Reader, StoreError, Writer, config_sets::SealedConfig},
};
pub use gate::{Entry, Gate, Lease, Refusal, Target, Waiting};
pub use routes::{Route, Routes};

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
}

/// The word on the pill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppPhase {
    /// No code yet.
    Blank,
    Awake,
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
    /// The new dynos did not come up; the old ones serve on where there were any.
    #[error("{0}")]
    DidNotBoot(String),
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
    pub plan: Plan,
    /// This server's own id: what its containers and networks are labelled with.
    pub instance: Arc<str>,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Dynos {
    #[expect(dead_code, reason = "filled in by the supervisor")]
    parts: DynosParts,
    routes: Arc<Routes>,
}

impl Dynos {
    /// Nothing runs yet: call `start`.
    pub fn new(parts: DynosParts) -> Dynos {
        Dynos { parts, routes: Arc::default() }
    }

    /// Adopts what runs (by label), starts a supervisor for each app, publishes the routes.
    pub async fn start(&self) -> Result<(), DynoError> {
        todo!()
    }

    /// Looks after what time alone changes: idle apps fall asleep, quotas run out, rests and
    /// cool-offs end. The server calls it every second; it costs nothing for a sleeping app.
    pub fn sweep(&self) {
        todo!()
    }

    /// Memory and CPU of each running dyno now.
    pub async fn usage(&self, app: AppId) -> Vec<(DynoName, Usage)> {
        let _ = app;
        todo!()
    }

    /// The table the router reads.
    pub fn routes(&self) -> Arc<Routes> {
        self.routes.clone()
    }

    /// A new app, a new name, maintenance on or off: makes the supervisor if there is none and
    /// publishes the routes anew.
    pub async fn app_changed(&self, app: AppId) -> Result<(), DynoError> {
        let _ = app;
        todo!()
    }

    /// The app's current release changed (deploy, config, rollback). Updates the formation from the
    /// slug's process types (the first deploy scales web to 1; types that are gone are dropped),
    /// then: awake → starts the new dynos, probes, switches the gate, drains (30 s) and stops the
    /// old; asleep → nothing, the next request gets it (a first deploy starts it).
    /// Returns when the new release serves, or `DidNotBoot` with the old one still serving.
    pub async fn release(&self, app: AppId) -> Result<(), DynoError> {
        let _ = app;
        todo!()
    }

    /// Wakes a sleeping app by hand. Resting apps stay so.
    pub async fn wake(&self, app: AppId) -> Result<(), DynoError> {
        let _ = app;
        todo!()
    }

    /// Sets counts, all or none. Checks the plan. Logs `Scaled to web@1:Free by user X`.
    pub async fn scale(&self, app: AppId, changes: &[(ProcessType, Quantity)], by: &Actor) -> Result<Vec<FormationRow>, DynoError> {
        let _ = (app, changes, by);
        todo!()
    }

    /// The process types of the current slug with their counts, in Procfile order.
    pub async fn formation(&self, app: AppId) -> Result<Vec<FormationRow>, DynoError> {
        let _ = app;
        todo!()
    }

    pub async fn restart(&self, app: AppId, which: Which) -> Result<(), DynoError> {
        let _ = (app, which);
        todo!()
    }

    /// Stops dynos; a stopped dyno of the formation is started again by the next release, restart or wake.
    pub async fn stop(&self, app: AppId, which: Which) -> Result<(), DynoError> {
        let _ = (app, which);
        todo!()
    }

    /// What the app is doing, now and from now on. None for an unknown app.
    pub fn status(&self, app: AppId) -> Option<watch::Receiver<AppStatus>> {
        let _ = app;
        todo!()
    }

    /// Awake spans of the last `window`, oldest first, for the strip.
    pub async fn awake_spans(&self, app: AppId, window: Duration) -> Result<Vec<quota::Span>, DynoError> {
        let _ = (app, window);
        todo!()
    }

    /// Before the app is destroyed: ends its supervisor, stops and removes its containers and network.
    pub async fn forget(&self, app: AppId) -> Result<(), DynoError> {
        let _ = app;
        todo!()
    }

    /// The environment of a dyno that does not come from config vars.
    pub fn platform_env(dyno: &DynoName, port: Option<u16>) -> BTreeMap<String, String> {
        let _ = (dyno, port);
        todo!()
    }
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
