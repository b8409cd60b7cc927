//! Puts the parts together; the one list of periodic tasks; start and stop order.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use secrecy::ExposeSecret;

use crate::{
    accounts::Accounts,
    admin::{self, Door},
    api::{self, Api},
    apps::{Apps, AppsParts},
    builder::{Builder, BuilderParts},
    clock::{Clock, SystemClock},
    config::Config,
    domain::Plan,
    dynos::{Dynos, DynosParts},
    engine::{Engine, docker::Docker},
    logs::Logs,
    releases::Releases,
    router::{Router, RouterParts},
    scheduler::{Activator, Tasks, every},
    secrets::KeyRing,
    slugs::Slugs,
    store::{self, Reader},
    tls,
    web::{self, Web},
};

/// How long the stop may take in all before what is left is dropped.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What tests put in place of the real thing.
pub struct Seams {
    pub engine: Option<Arc<dyn Engine>>,
    pub clock: Arc<dyn Clock>,
}

/// A running server.
pub struct Server {
    config: Arc<Config>,
    tasks: Tasks,
    accounts: Accounts,
    logs: Logs,
    router: router::Running,
    claim_token: Option<secrecy::SecretString>,
    /// Held while we may write the database.
    _lock: File,
}
