//! The data plane: host name, gate, dyno. Streams both ways, lets any upgrade through, shows
//! visitors a page when no dyno answers, and writes one log line a request.
//!
//! One thread and one single-threaded runtime per core, each with its own listeners and its own
//! connections to dynos (performance.md, section A). The request path touches no database and takes
//! no lock shared by all apps. Dashboard and API come in through `Platform` and run elsewhere.

mod body;
mod door;
mod exchange;
mod head;
mod host;
mod pages;
mod platform;
mod pool;
mod record;
mod shard;
mod trust;
mod tunnel;
mod watch;

use std::{io, net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use door::Door;
pub use platform::{Peer, Platform};

use crate::{
    clock::Clock,
    config::Config,
    dynos::Routes,
    logs::Logs,
    metrics::Traffic,
    router::{
        host::Hosts,
        shard::{Crowd, Shared},
        trust::Trusted,
    },
    scheduler::Tasks,
};

/// Connections waiting to be accepted (security.md 4.5).
const BACKLOG: i32 = 4_096;

/// Everything the router stands on.
pub struct RouterParts {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub routes: Arc<Routes>,
    /// None writes no lines: so it is measured what they cost.
    pub logs: Option<Logs>,
    /// None counts nothing.
    pub traffic: Option<Traffic>,
    pub platform: Platform,
    /// For listeners that speak TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Who takes connections over TLS that begin with something else than a request.
    pub door: Option<Door>,
    /// The router begins to drain when these begin to stop.
    pub tasks: Tasks,
}

/// Why the router could not start.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    #[error("{0}")]
    TrustedProxy(String),
    #[error("A listener speaks TLS, but there is no certificate.")]
    NoCertificate,
    #[error("A router thread could not start: {0}")]
    Thread(#[from] io::Error),
}

/// Scheme and port as the public sees them, where they differ from the listener's.
#[derive(Clone, Copy, Debug)]
struct Public {
    https: bool,
    port: Option<u16>,
}

/// An address the router answers at: one socket, or one a thread.
pub struct Listener {
    sockets: Vec<std::net::TcpListener>,
    tls: bool,
}

impl Listener {
    /// Takes a socket that is bound already (handed over by systemd, or port 0 in tests).
    pub fn from_std(socket: std::net::TcpListener, tls: bool) -> Listener {
        Listener { sockets: vec![socket], tls }
    }

    /// Binds one socket a thread, so that the kernel spreads connections.
    ///
    /// # Errors
    /// When the address is taken: checked with a plain bind first, for sockets that share a port
    /// would share it with another server of the same user too.
    pub fn bind(address: SocketAddr, tls: bool, threads: usize) -> io::Result<Listener> {
        let free = socket(address, false)?;
        drop(free);
        let first = socket(address, true)?;
        let address = first.local_addr()?;
        let others = (1..threads.max(1)).map(|_| socket(address, true));
        let sockets = std::iter::once(Ok(first)).chain(others).collect::<io::Result<Vec<_>>>()?;
        Ok(Listener { sockets, tls })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sockets[0].local_addr()
    }
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Router threads this configuration asks for: one a core unless it says otherwise.
pub fn threads(config: &Config) -> usize {
    match config.options.router_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// The router before it runs.
pub struct Router {
    parts: RouterParts,
}

impl Router {
    pub fn new(parts: RouterParts) -> Router {
        Router { parts }
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// A wrong `--trusted-proxy`, a TLS listener without a certificate, no more threads to be had.
    pub fn start(self, listeners: Vec<Listener>) -> Result<RunningRouter, RouterError> {
        let RouterParts { config, clock, routes, logs, traffic, platform, tls, door, tasks } = self.parts;
        if tls.is_none() && listeners.iter().any(|l| l.tls) {
            return Err(RouterError::NoCertificate);
        }
        let trusted = Trusted::parse(config.options.trusted_proxy.iter().map(String::as_str)).map_err(RouterError::TrustedProxy)?;
        let shared = Shared {
            limits: config.limits.clone(),
            clock,
            logs,
            traffic,
            platform,
            hosts: Arc::new(Hosts::new(&config, routes)),
            trusted: Arc::new(trusted),
            cookie_domains: vec![config.options.apps_domain.clone(), config.dashboard_host().to_ascii_lowercase()],
            public: Public { https: config.options.public_https, port: config.options.public_port },
            tls: tls.map(tokio_rustls::TlsAcceptor::from),
            door,
            crowd: Crowd::new(&config.limits),
        };
        let stop = tasks.stopping().child_token();
        let drain = config.limits.drain;
        let mut workers = Vec::new();
        for index in 0..threads(&config) {
            let sockets = listeners.iter().map(|l| share(l, index)).collect::<io::Result<Vec<_>>>()?;
            workers.push(spawn(index, shared.clone(), sockets, stop.clone(), drain)?);
        }
        Ok(RunningRouter { stop, workers })
    }
}

/// The socket of one thread, ready for its runtime.
fn share(listener: &Listener, index: usize) -> io::Result<(std::net::TcpListener, bool)> {
    let socket = listener.sockets[index % listener.sockets.len()].try_clone()?;
    socket.set_nonblocking(true)?;
    Ok((socket, listener.tls))
}

fn spawn(
    index: usize,
    shared: Shared,
    sockets: Vec<(std::net::TcpListener, bool)>,
    stop: CancellationToken,
    drain: Duration,
) -> io::Result<Worker> {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let (tell, done) = oneshot::channel();
    let thread = std::thread::Builder::new().name(format!("router-{index}")).spawn(move || {
        let mut runtime = runtime;
        match runtime.enable_all().build_local(tokio::runtime::LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(shard::run(shared, sockets, stop, drain)),
            Err(e) => tracing::error!("A router thread has no runtime: {e}"),
        }
        let _ = tell.send(());
    })?;
    Ok(Worker { thread, done })
}

struct Worker {
    thread: JoinHandle<()>,
    done: oneshot::Receiver<()>,
}

/// The router at work.
pub struct RunningRouter {
    stop: CancellationToken,
    workers: Vec<Worker>,
}

impl RunningRouter {
    /// Stops accepting, finishes what is open (at most `Limits::drain`), ends the threads.
    pub async fn stop(self) {
        self.stop.cancel();
        for worker in self.workers {
            let _ = worker.done.await;
            let _ = worker.thread.join();
        }
    }
}
