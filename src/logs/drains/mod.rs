//! Owns log drains: where an app's lines are sent besides (heroku.md 5.3). Addresses are sealed at
//! rest, shown without their secrets, and judged by `egress`; one worker a drain sends.

mod address;
mod frame;
mod send;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    clock::Clock,
    domain::{AppId, DrainId, Timestamp, user::Actor},
    egress::{Egress, EgressError},
    logs::{Logs, file::Position},
    scheduler::Tasks,
    secrets::{KeyRing, SecretError},
    store::{Reader, StoreError, Writer, log_drains::DrainRow},
};
use address::Protocol;
pub use address::{DrainAddress, DrainAddressError};
use frame::Framer;
use send::Sender;
use worker::{Progress, Trouble, Worker};

/// Drains of an app (heroku.md 0.1).
pub const DRAINS_PER_APP: usize = 5;

/// Why a drain could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    #[error("Couldn't find that log drain.")]
    NoSuchDrain,
    #[error("You've reached the limit of {DRAINS_PER_APP} log drains of an app. Remove one to make room.")]
    TooMany,
    #[error("Url has already been taken")]
    Taken,
    #[error(transparent)]
    Address(#[from] DrainAddressError),
    #[error(transparent)]
    Refused(#[from] EgressError),
    #[error("The address of a log drain cannot be unsealed: {0}")]
    Sealed(#[from] SecretError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A drain of an app.
#[derive(Clone, Debug)]
pub struct Drain {
    pub id: DrainId,
    pub app: AppId,
    pub address: DrainAddress,
    /// `d.<uuid>`: tells the receiver whose lines these are.
    pub token: String,
    pub created_at: Timestamp,
    /// Why it does not deliver at the moment.
    pub trouble: Option<String>,
}

/// Everything drains stand on.
#[derive(Clone)]
pub struct DrainsParts {
    pub reader: Reader,
    pub writer: Writer,
    pub keys: Arc<KeyRing>,
    pub egress: Egress,
    pub logs: Logs,
    pub clock: Arc<dyn Clock>,
    pub tasks: Tasks,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Drains {
    inner: Arc<Inner>,
}

struct Inner {
    parts: DrainsParts,
    at_work: Mutex<HashMap<DrainId, AtWork>>,
    /// Held while a drain is added: the limit is counted and filled in one.
    adding: tokio::sync::Mutex<()>,
}

struct AtWork {
    removed: CancellationToken,
    trouble: Trouble,
}

impl Drains {
    pub fn new(parts: DrainsParts) -> Drains {
        Drains { inner: Arc::new(Inner { parts, at_work: Mutex::default(), adding: tokio::sync::Mutex::default() }) }
    }

    /// Begins to send for all drains, from the first line on that each has not delivered.
    ///
    /// # Errors
    /// When the database fails. A drain whose address cannot be unsealed is left out, and logged.
    pub async fn start(&self) -> Result<(), StoreError> {
        let positions = self.inner.parts.logs.inner.file.positions().await?;
        for row in self.inner.parts.reader.drains().await? {
            let position = positions.get(&row.id).copied();
            match self.opened(row) {
                Ok(drain) => self.send_for(&drain, position),
                Err(error) => tracing::error!(%error, "a log drain does not run"),
            }
        }
        Ok(())
    }

    /// The drains of an app, oldest first.
    ///
    /// # Errors
    /// When the database fails, or an address cannot be unsealed.
    pub async fn of(&self, app: AppId) -> Result<Vec<Drain>, DrainError> {
        let rows = self.inner.parts.reader.drains_of(app).await?;
        rows.into_iter().map(|row| self.opened(row)).collect()
    }

    /// Drains that do not deliver at the moment: the app and why.
    ///
    /// # Errors
    /// When the database fails, or an address cannot be unsealed.
    pub async fn troubles(&self) -> Result<Vec<(AppId, String)>, DrainError> {
        let rows = self.inner.parts.reader.drains().await?;
        let drains = rows.into_iter().map(|row| self.opened(row)).collect::<Result<Vec<_>, _>>()?;
        Ok(drains.into_iter().filter_map(|drain| Some((drain.app, drain.trouble?))).collect())
    }

    /// One drain of an app by its id, its token or its address.
    ///
    /// # Errors
    /// `NoSuchDrain`, and as `of`.
    pub async fn find(&self, app: AppId, named: &str) -> Result<Drain, DrainError> {
        let is = |drain: &Drain| drain.id.to_string() == named || drain.token == named || drain.address.is(named);
        self.of(app).await?.into_iter().find(is).ok_or(DrainError::NoSuchDrain)
    }

    /// Adds a drain; it gets what is logged from now on.
    ///
    /// # Errors
    /// When the address is none, is not allowed, or is there already; when the app has enough.
    pub async fn add(&self, app: AppId, address: &str, by: &Actor) -> Result<Drain, DrainError> {
        let address: DrainAddress = address.parse()?;
        let parts = &self.inner.parts;
        match address.protocol {
            Protocol::Https => parts.egress.check(address.url())?,
            Protocol::Syslog { .. } => drop(parts.egress.check_host(&address.host, address.port)?),
        }
        let _adding = self.inner.adding.lock().await;
        let there = self.of(app).await?;
        if there.len() >= DRAINS_PER_APP {
            return Err(DrainError::TooMany);
        }
        if there.iter().any(|drain| drain.address.url() == address.url()) {
            return Err(DrainError::Taken);
        }
        let id = DrainId::new();
        let sealed = parts.keys.seal(&DrainRow::place(app, id), &address.secret());
        let row = DrainRow { id, app_id: app, sealed, token: format!("d.{}", Uuid::new_v4()), created_at: parts.clock.now() };
        parts.writer.insert_drain(&row).await?;
        let drain = Drain { id, app, address, token: row.token, created_at: row.created_at, trouble: None };
        self.send_for(&drain, None);
        parts.logs.api(app, format!("Add log drain {} by user {}", drain.address, by.email));
        Ok(drain)
    }

    /// Removes a drain; what it was about to send is dropped.
    ///
    /// # Errors
    /// As `find`.
    pub async fn remove(&self, app: AppId, named: &str, by: &Actor) -> Result<Drain, DrainError> {
        let drain = self.find(app, named).await?;
        self.inner.parts.writer.delete_drain(drain.id).await?;
        if let Some(worker) = self.at_work().remove(&drain.id) {
            worker.removed.cancel();
        }
        self.inner.parts.logs.inner.positions().remove(&drain.id);
        self.inner.parts.logs.inner.file.forget_drain(drain.id).await?;
        self.inner.parts.logs.api(app, format!("Remove log drain {} by user {}", drain.address, by.email));
        Ok(drain)
    }

    fn at_work(&self) -> std::sync::MutexGuard<'_, HashMap<DrainId, AtWork>> {
        self.inner.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, row: DrainRow) -> Result<Drain, DrainError> {
        let address = self.inner.parts.keys.open(&DrainRow::place(row.app_id, row.id), &row.sealed)?;
        let address = secrecy::ExposeSecret::expose_secret(&address).parse()?;
        let trouble =
            self.at_work().get(&row.id).and_then(|at_work| at_work.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone());
        Ok(Drain { id: row.id, app: row.app_id, address, token: row.token, created_at: row.created_at, trouble })
    }

    /// Where it was before, or from the next line on.
    fn send_for(&self, drain: &Drain, from: Option<Position>) {
        let parts = &self.inner.parts;
        let (removed, trouble) = (CancellationToken::new(), Trouble::default());
        let log = parts.logs.inner.app(drain.app);
        let next = log.ring().last() + 1;
        let from = from.unwrap_or_else(|| {
            let newest = Position { app: drain.app, next, at_micros: parts.clock.now_micros() };
            parts.logs.inner.drained(drain.id, newest);
            newest
        });
        let worker = Worker {
            id: drain.id,
            logs: parts.logs.clone(),
            log,
            framer: Framer { protocol: drain.address.protocol, token: drain.token.clone() },
            sender: Sender::new(parts.egress.clone(), drain.address.clone(), drain.token.clone()),
            shown: drain.address.to_string(),
            trouble: trouble.clone(),
            progress: Progress::from(from.next.min(next), from.at_micros),
        };
        self.at_work().insert(drain.id, AtWork { removed: removed.clone(), trouble });
        let (drains, id, stopping) = (self.clone(), drain.id, parts.tasks.stopping());
        parts.tasks.spawn_graceful(async move {
            worker.run(removed, stopping).await;
            drains.at_work().remove(&id);
        });
    }
}
