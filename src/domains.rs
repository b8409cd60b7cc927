//! Owns host names of apps besides the one below the apps domain.

use std::sync::Arc;

use crate::{
    clock::Clock,
    config::Config,
    domain::{
        AppId, DomainId,
        hostname::{self, HostnameError},
        user::Actor,
    },
    dynos::{DynoError, Dynos},
    logs::Logs,
    store::{Reader, StoreError, Writer},
};

pub use crate::domain::hostname::Domain;

/// Host names one app may have.
const PER_APP: usize = 100;

/// Why a host name could not be added or removed.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    #[error(transparent)]
    Hostname(#[from] HostnameError),
    /// Heroku's words.
    #[error("{0} is currently in use by another app.")]
    Taken(String),
    #[error("An app has at most {PER_APP} domains.")]
    TooMany,
    #[error("Couldn't find that domain name.")]
    NoSuchDomain,
    #[error(transparent)]
    Dynos(#[from] DynoError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything domains stand on.
#[derive(Clone)]
pub struct DomainsParts {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub reader: Reader,
    pub writer: Writer,
    pub dynos: Dynos,
    pub logs: Logs,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Domains {
    parts: DomainsParts,
}

impl Domains {
    pub fn new(parts: DomainsParts) -> Domains {
        Domains { parts }
    }

    /// The app answers at this name at once; pointing the name here is its owner's part.
    pub async fn add(&self, app: AppId, hostname: &str, by: &Actor) -> Result<Domain, DomainError> {
        let config = &self.parts.config;
        let hostname = hostname::parse(hostname, &[&config.options.apps_domain, config.dashboard_host()])?;
        if self.parts.reader.domains(app).await?.len() >= PER_APP {
            return Err(DomainError::TooMany);
        }
        let now = self.parts.clock.now();
        let domain = Domain { id: DomainId::new(), app_id: app, hostname, created_at: now, updated_at: now };
        self.parts.writer.insert_domain(&domain).await.map_err(|error| match error.unique_violation().as_deref() {
            Some("domains.hostname") => DomainError::Taken(domain.hostname.clone()),
            _ => error.into(),
        })?;
        self.parts.logs.api(app, format!("Add {} domain by user {}", domain.hostname, by.email));
        self.parts.dynos.app_changed(app).await?;
        Ok(domain)
    }

    /// By name or id; the name is free at once.
    pub async fn remove(&self, app: AppId, named: &str, by: &Actor) -> Result<Domain, DomainError> {
        let domain = self.find(app, named).await?;
        self.parts.writer.delete_domain(domain.id).await?;
        self.parts.logs.api(app, format!("Remove {} domain by user {}", domain.hostname, by.email));
        self.parts.dynos.app_changed(app).await?;
        Ok(domain)
    }

    /// By name or id.
    pub async fn find(&self, app: AppId, named: &str) -> Result<Domain, DomainError> {
        let is = |domain: &Domain| domain.hostname.eq_ignore_ascii_case(named) || named.parse() == Ok(domain.id);
        self.parts.reader.domains(app).await?.into_iter().find(is).ok_or(DomainError::NoSuchDomain)
    }
}
