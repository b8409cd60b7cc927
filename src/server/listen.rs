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
    rendezvous,
    router::{self, Door, Listener, Platform, Router, RouterParts, RunningRouter},
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

/// A socket that is open to the world already cannot be narrowed to loopback: nothing answers on it
/// before there is an administrator.
fn refuse_public(handed_over: &[Option<TcpListener>]) -> anyhow::Result<()> {
    for socket in handed_over.iter().flatten() {
        let address = socket.local_addr()?;
        if !address.ip().is_loopback() {
            anyhow::bail!(
                "{address} is open to the network, but this server has no administrator yet. \
                 Make one (siesta user create EMAIL --admin, password on standard input), then start again."
            );
        }
    }
    Ok(())
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
    let sockets = [handed.take_tcp_listener(0).ok().flatten(), handed.take_tcp_listener(1).ok().flatten()];
    if !claimed {
        refuse_public(&sockets)?;
    }
    let [first, second] = sockets;
    let http = bind_one(first, http, false, threads)?;
    let https = bind_one(second, https, true, threads)?;
    let port = |listener: &Listener| -> io::Result<u16> { Ok(listener.local_addr()?.port()) };
    Ok(Listeners { http_port: port(&http)?, https_port: port(&https)?, http, https })
}

/// Clients of one-off dynos come over the https port.
fn door(owners: &Owners) -> Door {
    let dynos = owners.dynos.clone();
    Door::new(rendezvous::is_secret, &owners.tasks, move |stream| rendezvous::serve(dynos.clone(), stream))
}

fn router(owners: &Owners, (platform, door): (Platform, Door), tls: Arc<rustls::ServerConfig>) -> Router {
    Router::new(RouterParts {
        config: owners.config.clone(),
        clock: owners.clock.clone(),
        routes: owners.dynos.routes(),
        logs: Some(owners.logs.clone()),
        traffic: Some(owners.history.traffic().clone()),
        platform,
        tls: Some(tls),
        door: Some(door),
        tasks: owners.tasks.clone(),
    })
}

/// Begins to answer. An unclaimed server that was asked for a public address opens it once claimed.
pub(super) async fn start(listeners: Listeners, owners: &Owners, platform: Platform, wanted: &Config) -> anyhow::Result<Listening> {
    let tls = tls::server_config(&owners.config)?;
    let inside = (platform, door(owners));
    let first = router(owners, inside.clone(), tls.clone()).start(vec![listeners.http, listeners.https])?;
    let running = Arc::new(Mutex::new(vec![first]));
    let wanted = [(wanted.options.listen, false), (wanted.options.listen_tls, true)];
    let public = wanted.iter().any(|(address, _)| loopback(*address) != *address);
    if public && !owners.accounts.is_claimed().await? {
        tracing::warn!("listening on loopback only until the server is claimed");
        let router = router(owners, inside, tls);
        let (accounts, running) = (owners.accounts.clone(), running.clone());
        let (threads, stopping) = (router::threads(&owners.config), owners.tasks.clone());
        owners.tasks.spawn(async move {
            while !accounts.is_claimed().await.unwrap_or(false) {
                tokio::time::sleep(CLAIM_WATCH).await;
            }
            let before = std::mem::take(&mut *lock(&running));
            stopping.spawn(async move {
                for router in before {
                    router.stop().await;
                }
            });
            match router.start(bind_all(&wanted, threads).await) {
                Ok(router) => lock(&running).push(router),
                Err(error) => tracing::error!(%error, "the public addresses cannot be opened"),
            }
        });
    }
    Ok(Listening { running })
}

fn lock(running: &Mutex<Vec<RunningRouter>>) -> std::sync::MutexGuard<'_, Vec<RunningRouter>> {
    running.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Binds all, again and again: the loopback sockets on the same ports are closing meanwhile.
async fn bind_all(wanted: &[(SocketAddr, bool)], threads: usize) -> Vec<Listener> {
    loop {
        match wanted.iter().map(|(address, tls)| Listener::bind(*address, *tls, threads)).collect::<io::Result<Vec<_>>>() {
            Ok(listeners) => return listeners,
            Err(error) => tracing::info!(%error, "waiting for the public addresses"),
        }
        tokio::time::sleep(CLAIM_WATCH).await;
    }
}

impl Listening {
    /// Stops accepting and finishes what is open.
    pub(super) async fn stop(self) {
        let running = std::mem::take(&mut *lock(&self.running));
        for router in running {
            router.stop().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unclaimed_server_takes_no_socket_that_is_open_to_the_network() {
        let bound = |address: &str| Some(TcpListener::bind(address).expect("a free port"));
        assert!(refuse_public(&[bound("127.0.0.1:0"), None]).is_ok());
        let refused = refuse_public(&[bound("127.0.0.1:0"), bound("0.0.0.0:0")]).expect_err("refused").to_string();
        assert!(refused.contains("siesta user create"), "{refused}");
    }

    #[test]
    fn before_the_claim_an_address_keeps_its_port_on_loopback() {
        assert_eq!(loopback("0.0.0.0:80".parse().expect("an address")).to_string(), "127.0.0.1:80");
        assert_eq!(loopback("[::1]:8080".parse().expect("an address")).to_string(), "[::1]:8080");
    }
}
