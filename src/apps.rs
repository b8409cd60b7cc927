//! Owns apps: create, rename, maintenance, hand over, destroy and bring back.

mod bin;
mod transfers;

use std::sync::Arc;

use serde_json::json;

use crate::{
    addons::{AddonError, Addons},
    builder::{BuildError, Builder},
    clock::Clock,
    domain::{
        AppId, AppName,
        event::{EventKind, NewEvent},
        feature::Feature,
        user::Actor,
    },
    dynos::{DynoError, Dynos},
    logs::Logs,
    plans::Plans,
    releases::{ReleaseError, Releases},
    repositories::{Repositories, RepositoryError},
    store::{Reader, StoreError, Writer, apps::NewApp},
};

pub use crate::domain::app::{App, BIN, BinnedApp, Transfer};

/// Names tried for an app that was given none.
const GENERATED_NAMES: usize = 10;

/// Why an app could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Heroku's words.
    #[error("Name is already taken")]
    NameTaken,
    #[error("Couldn't find that app.")]
    NoSuchApp,
    #[error("Couldn't find that app transfer.")]
    NoSuchTransfer,
    #[error("That app is not in the bin any more.")]
    NotInBin,
    #[error("The app is still being put away. Try again in a moment.")]
    NotSettled,
    #[error("A transfer of this app waits already. Cancel it first.")]
    TransferWaits,
    #[error("The app belongs to that account already.")]
    SameOwner,
    #[error("You've reached the limit of {0} apps of your plan. Delete an app to make room.")]
    TooMany(u32),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Dynos(#[from] DynoError),
    #[error(transparent)]
    Addons(#[from] AddonError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything apps stand on.
#[derive(Clone)]
pub struct AppsParts {
    pub reader: Reader,
    pub writer: Writer,
    pub addons: Addons,
    pub releases: Releases,
    pub dynos: Dynos,
    pub builder: Builder,
    pub repositories: Repositories,
    pub logs: Logs,
    pub clock: Arc<dyn Clock>,
    pub plans: Plans,
    /// The stack new apps are built on, as clients see it.
    pub stack: String,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Apps {
    parts: AppsParts,
    /// Read by whoever destroys an app, written by the sweep of the bin, which comes after them.
    sweeping: Arc<tokio::sync::RwLock<()>>,
}

impl Apps {
    pub fn new(parts: AppsParts) -> Apps {
        Apps { parts, sweeping: Arc::default() }
    }

    /// Makes an app; without a name one is generated. The name is taken by inserting it.
    pub async fn create(&self, name: Option<AppName>, owner: &Actor) -> Result<App, AppError> {
        let Some(name) = name else {
            for _ in 0..GENERATED_NAMES {
                match self.create_named(AppName::generate(rand::random()), owner).await {
                    Err(AppError::NameTaken) => {}
                    done => return done,
                }
            }
            return Err(AppError::NameTaken);
        };
        self.create_named(name, owner).await
    }

    async fn create_named(&self, name: AppName, owner: &Actor) -> Result<App, AppError> {
        let limit = self.parts.plans.of_account(owner.id).apps_per_account;
        let id = AppId::new();
        let new = NewApp { id, name, owner: owner.id, stack: self.parts.stack.clone(), now: self.parts.clock.now() };
        let draft = self.parts.writer.draft_app(&new, limit).await.map_err(taken)?.ok_or(AppError::TooMany(limit))?;
        self.parts.releases.initial(draft, owner).await?;
        self.parts.dynos.app_changed(id).await?;
        self.found(id).await
    }

    /// The new name answers at once, the old one is free at once.
    pub async fn rename(&self, app: AppId, name: AppName, by: &Actor) -> Result<App, AppError> {
        let now = self.parts.clock.now();
        if !self.parts.writer.rename_app(app, &name, now).await.map_err(taken)? {
            return Err(AppError::NoSuchApp);
        }
        self.parts.logs.api(app, format!("Rename to {name} by user {}", by.email));
        self.note(app, EventKind::Rename, by, json!({ "name": name })).await?;
        self.parts.dynos.app_changed(app).await?;
        self.found(app).await
    }

    pub async fn set_maintenance(&self, app: AppId, on: bool, by: &Actor) -> Result<App, AppError> {
        if !self.parts.writer.set_app_maintenance(app, on, self.parts.clock.now()).await? {
            return Err(AppError::NoSuchApp);
        }
        let word = if on { "enabled" } else { "disabled" };
        self.parts.logs.api(app, format!("Maintenance mode {word} by user {}", by.email));
        self.note(app, EventKind::Maintenance, by, json!({ "on": on })).await?;
        self.parts.dynos.app_changed(app).await?;
        self.found(app).await
    }

    /// Switches a feature on or off; so already is fine.
    pub async fn set_feature(&self, app: AppId, feature: Feature, enabled: bool) -> Result<(), AppError> {
        Ok(self.parts.writer.set_app_feature(app, feature, enabled, self.parts.clock.now()).await?)
    }

    /// What clients named as its buildpacks; builds detect by themselves.
    pub async fn set_buildpacks(&self, app: AppId, buildpacks: &[String]) -> Result<(), AppError> {
        Ok(self.parts.writer.set_buildpacks(app, buildpacks).await?)
    }

    async fn found(&self, app: AppId) -> Result<App, AppError> {
        self.parts.reader.app(app).await?.ok_or(AppError::NoSuchApp)
    }

    async fn note(&self, app: AppId, kind: EventKind, by: &Actor, detail: serde_json::Value) -> Result<(), StoreError> {
        let event = NewEvent { kind, actor: by.email.to_string(), detail };
        self.parts.writer.add_event(app, &event, self.parts.clock.now()).await
    }
}

/// The only unique column a client chooses is the name.
fn taken(error: StoreError) -> AppError {
    match error.unique_violation().as_deref() {
        Some("apps.name") => AppError::NameTaken,
        _ => error.into(),
    }
}
