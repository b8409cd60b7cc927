//! Owns apps: create, rename, maintenance, destroy.

use std::sync::Arc;

use crate::{
    builder::Builder,
    clock::Clock,
    domain::{AppId, AppName, Plan, user::Actor},
    dynos::{DynoError, Dynos},
    logs::Logs,
    releases::{ReleaseError, Releases},
    store::{Reader, StoreError, Writer},
};

pub use crate::domain::app::App;

/// Why an app could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Heroku's words.
    #[error("Name is already taken")]
    NameTaken,
    #[error("Couldn't find that app.")]
    NoSuchApp,
    #[error("You've reached the limit of {0} apps of your plan. Delete an app to make room.")]
    TooMany(u32),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Dynos(#[from] DynoError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything apps stand on.
#[derive(Clone)]
pub struct AppsParts {
    pub reader: Reader,
    pub writer: Writer,
    pub releases: Releases,
    pub dynos: Dynos,
    pub builder: Builder,
    pub logs: Logs,
    pub clock: Arc<dyn Clock>,
    pub plan: Plan,
    /// The stack new apps are built on, as clients see it.
    pub stack: String,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Apps {
    parts: AppsParts,
}

impl Apps {
    pub fn new(parts: AppsParts) -> Apps {
        Apps { parts }
    }

    /// Makes an app; without a name one is generated. The name is taken by inserting it.
    pub async fn create(&self, name: Option<AppName>, owner: &Actor) -> Result<App, AppError> {
        let _ = (name, owner);
        todo!()
    }

    pub async fn rename(&self, app: AppId, name: AppName, by: &Actor) -> Result<App, AppError> {
        let _ = (app, name, by);
        todo!()
    }

    pub async fn set_maintenance(&self, app: AppId, on: bool, by: &Actor) -> Result<App, AppError> {
        let _ = (app, on, by);
        todo!()
    }

    /// Cancels its builds, stops its dynos, removes rows, files, images, network and cache.
    pub async fn destroy(&self, app: AppId, by: &Actor) -> Result<(), AppError> {
        let _ = (app, by);
        todo!()
    }
}
