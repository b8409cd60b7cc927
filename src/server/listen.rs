//! The server's sockets: http and https, handed over by systemd or bound here. Until the first
//! administrator has claimed the server it listens on loopback only (security.md SR30).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;

use super::Owners;
use crate::{
    config::Config,
    router::{self, Listener, Platform, Router, RouterParts, RunningRouter},
    scheduler::Tasks,
    tls,
};

/// How often an unclaimed server looks whether it has been claimed.
const CLAIM_WATCH: Duration = Duration::from_millis(500);

/// Bound sockets that do not answer yet.
pub(super) struct Listeners {
    http: Listener,
    https: Listener,
    http_port: u16,
    https_port: u16,
}

/// The router threads that answer now; more of them after the claim.
pub(super) struct Listening {
    running: Arc<Mutex<Vec<RunningRouter>>>,
}

impl Listeners {
    pub(super) fn http_port(&self) -> u16 {
        self.http_port
    }

    pub(super) fn tls_port(&self) -> u16 {
        self.https_port
    }
}

/// The address to use while the server is not claimed: the same port on loopback.
fn loopback(address: SocketAddr) -> SocketAddr {
    let own = address.ip().is_loopback();
    if own { address } else { SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()) }
}

fn bind_one(handed_over: Option<TcpListener>, address: SocketAddr, tls: bool, threads: usize) -> anyhow::Result<Listener> {
    match handed_over {
        Some(socket) => Ok(Listener::from_std(socket, tls)),
        None => Listener::bind(address, tls, threads).with_context(|| format!("{address} cannot be listened on")),
    }
}

/// Takes the sockets systemd hands over (first http, second https), else binds. `claimed` opens
/// the addresses that were asked for; before that only loopback is.
pub(super) fn bind(config: &Config, claimed: bool) -> anyhow::Result<Listeners> {
    let threads = router::threads(config);
    let options = &config.options;
    let (mut http, mut https) = (options.listen, options.listen_tls);
    let mut handed = listenfd::ListenFd::from_env();
    if !claimed && handed.len() == 0 {
        (http, https) = (loopback(http), loopback(https));
    }
    let http = bind_one(handed.take_tcp_listener(0).ok().flatten(), http, false, threads)?;
    let https = bind_one(handed.take_tcp_listener(1).ok().flatten(), https, true, threads)?;
    let port = |listener: &Listener| -> io::Result<u16> { Ok(listener.local_addr()?.port()) };
    Ok(Listeners { http_port: port(&http)?, https_port: port(&https)?, http, https })
}

fn router(owners: &Owners, platform: Platform, tls: Arc<rustls::ServerConfig>) -> Router {
    Router::new(RouterParts {
        config: owners.config.clone(),
        clock: owners.clock.clone(),
        routes: owners.dynos.routes(),
        logs: owners.logs.clone(),
        platform,
        tls: Some(tls),
        tasks: owners.tasks.clone(),
    })
}

/// Begins to answer. An unclaimed server that was asked for a public address opens it once claimed.
pub(super) async fn start(listeners: Listeners, owners: &Owners, platform: Platform, wanted: &Config) -> anyhow::Result<Listening> {
    let tls = tls::server_config(&owners.config)?;
    let first = router(owners, platform.clone(), tls.clone()).start(vec![listeners.http, listeners.https])?;
    let running = Arc::new(Mutex::new(vec![first]));
    let public: Vec<(SocketAddr, bool)> = [(wanted.options.listen, false), (wanted.options.listen_tls, true)]
        .into_iter()
        .filter(|(address, _)| loopback(*address) != *address)
        .collect();
    if !public.is_empty() && !owners.accounts.is_claimed().await? {
        tracing::warn!("listening on loopback only until the server is claimed");
        let router = router(owners, platform, tls);
        let (accounts, running) = (owners.accounts.clone(), running.clone());
        let threads = router::threads(&owners.config);
        owners.tasks.spawn(async move {
            while !accounts.is_claimed().await.unwrap_or(false) {
                tokio::time::sleep(CLAIM_WATCH).await;
            }
            let bound: io::Result<Vec<Listener>> = public.iter().map(|(address, tls)| Listener::bind(*address, *tls, threads)).collect();
            match bound.map_err(|error| error.to_string()).and_then(|l| router.start(l).map_err(|error| error.to_string())) {
                Ok(more) => running.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(more),
                Err(error) => tracing::error!(%error, "the public addresses cannot be opened"),
            }
        });
    }
    Ok(Listening { running })
}

impl Listening {
    /// Stops accepting and finishes what is open.
    pub(super) async fn stop(self, _tasks: &Tasks) {
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for router in running {
            router.stop().await;
        }
    }
}
