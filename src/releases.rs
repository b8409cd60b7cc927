//! Owns releases: deploy, set config vars, roll back. A release is a slug and a config snapshot
//! under a number that grows by one for ever.

use std::{collections::BTreeMap, sync::Arc};

use secrecy::SecretString;

use crate::{
    clock::Clock,
    domain::{AppId, ConfigKey, ConfigVars, ReleaseId, Version, config_var::ConfigVarError, user::Actor},
    dynos::{DynoError, Dynos},
    logs::Logs,
    scheduler::Tasks,
    secrets::KeyRing,
    slugs::Slug,
    store::{Reader, StoreError, Writer},
};

pub use crate::domain::release::Release;

/// Why a release could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error("Couldn't find that app.")]
    NoSuchApp,
    #[error("Couldn't find that release.")]
    NoSuchRelease,
    #[error("{0} has no code to run. Choose a release that was deployed.")]
    NotEligible(Version),
    #[error(transparent)]
    Config(#[from] ConfigVarError),
    #[error(transparent)]
    Dynos(#[from] DynoError),
    #[error("The config vars of this release cannot be opened: the key file does not fit the database.")]
    Sealed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything releases stand on.
#[derive(Clone)]
pub struct ReleasesParts {
    pub reader: Reader,
    pub writer: Writer,
    pub dynos: Dynos,
    pub logs: Logs,
    pub keys: Arc<KeyRing>,
    pub clock: Arc<dyn Clock>,
    pub tasks: Tasks,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Releases {
    parts: ReleasesParts,
}

impl Releases {
    pub fn new(parts: ReleasesParts) -> Releases {
        Releases { parts }
    }

    /// After a restart and after `Dynos::start`: brings up what was being released when the server stopped.
    pub async fn start(&self) -> Result<(), ReleaseError> {
        todo!()
    }

    /// v1 `Initial release`, no slug, no config. Called once by `apps` inside creation.
    pub async fn initial(&self, app: AppId, by: &Actor) -> Result<Release, ReleaseError> {
        let _ = (app, by);
        todo!()
    }

    /// Writes the slug and the release `Deploy 1a2b3c4d` in one transaction, then brings it up.
    /// A release that does not boot is still the current one only when nothing served before;
    /// otherwise the old one goes on serving and this one is marked failed.
    pub async fn deploy(&self, app: AppId, slug: Slug, label: &str, by: &Actor) -> Result<Release, ReleaseError> {
        let _ = (app, slug, label, by);
        todo!()
    }

    /// Changes config vars (None removes) and releases. No effective change makes no release: `Ok(None)`.
    pub async fn set_config(
        &self,
        app: AppId,
        changes: BTreeMap<ConfigKey, Option<SecretString>>,
        by: &Actor,
    ) -> Result<Option<Release>, ReleaseError> {
        let _ = (app, changes, by);
        todo!()
    }

    /// A new release with the slug and config of an older one: `Rollback to v46`.
    pub async fn rollback(&self, app: AppId, to: ReleaseId, by: &Actor) -> Result<Release, ReleaseError> {
        let _ = (app, to, by);
        todo!()
    }

    /// The config vars of the app's current release.
    pub async fn config(&self, app: AppId) -> Result<ConfigVars, ReleaseError> {
        let _ = app;
        todo!()
    }

    /// The config vars a release had.
    pub async fn config_of(&self, release: ReleaseId) -> Result<ConfigVars, ReleaseError> {
        let _ = release;
        todo!()
    }
}
