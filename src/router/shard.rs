//! One router thread: its listeners, its client connections, its pool. Nothing in here is shared
//! with another thread but counters touched when a connection comes or goes.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use http::HeaderValue;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncBufReadExt as _,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::Limits,
    logs::Logs,
    metrics::Traffic,
    router::{
        Door, Public, exchange,
        exchange::Visit,
        head::Origin,
        host::Hosts,
        platform::Platform,
        pool::Pool,
        trust::Trusted,
        tunnel::{self, Tunnel},
        watch::{ClientIo, Phase, Watch, Watched},
    },
    scheduler::Tasks,
};

/// How often idle connections to dynos are looked through.
const SWEEP: Duration = Duration::from_secs(5);

/// What all threads of the router know.
#[derive(Clone)]
pub struct Shared {
    pub limits: Limits,
    pub clock: Arc<dyn Clock>,
    pub logs: Option<Logs>,
    pub traffic: Option<Traffic>,
    pub platform: Platform,
    pub hosts: Arc<Hosts>,
    pub trusted: Arc<Trusted>,
    pub cookie_domains: Vec<String>,
    pub public: Public,
    pub tls: Option<TlsAcceptor>,
    pub door: Option<Door>,
    pub crowd: Arc<Crowd>,
}

/// One thread's part of the router.
pub struct Shard {
    pub limits: Limits,
    pub clock: Arc<dyn Clock>,
    pub logs: Option<Logs>,
    pub traffic: Option<Traffic>,
    pub platform: Platform,
    pub hosts: Arc<Hosts>,
    pub cookie_domains: Vec<String>,
    pub pool: Rc<Pool>,
    trusted: Arc<Trusted>,
    public: Public,
    tls: Option<TlsAcceptor>,
    door: Option<Door>,
    crowd: Arc<Crowd>,
    tasks: Tasks,
    stopping: Cell<bool>,
    buffer: RefCell<Box<[u8]>>,
}

/// Serves `listeners` until `stop`, then finishes what is open, at most `drain`.
pub async fn run(shared: Shared, listeners: Vec<(std::net::TcpListener, bool)>, stop: CancellationToken, drain: Duration) {
    let tasks = Tasks::new();
    let shard = Rc::new(Shard::new(shared, tasks.clone()));
    for (listener, tls) in listeners {
        match TcpListener::from_std(listener) {
            Ok(listener) => tasks.spawn_local(shard.clone().accept(listener, tls)),
            Err(e) => tracing::error!("A listener could not be used: {e}"),
        }
    }
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = sweep.tick() => shard.pool.sweep(),
        }
    }
    shard.stopping.set(true);
    tasks.stop(drain).await;
}

impl Shard {
    fn new(shared: Shared, tasks: Tasks) -> Shard {
        Shard {
            pool: Rc::new(Pool::new(shared.limits.pool_size, shared.limits.pool_idle)),
            limits: shared.limits,
            clock: shared.clock,
            logs: shared.logs,
            traffic: shared.traffic,
            platform: shared.platform,
            hosts: shared.hosts,
            cookie_domains: shared.cookie_domains,
            trusted: shared.trusted,
            public: shared.public,
            tls: shared.tls,
            door: shared.door,
            crowd: shared.crowd,
            tasks,
            stopping: Cell::new(false),
            buffer: RefCell::new(vec![0; tunnel::BUFFER].into_boxed_slice()),
        }
    }

    async fn accept(self: Rc<Self>, listener: TcpListener, tls: bool) {
        let stopping = self.tasks.stopping();
        let port = listener.local_addr().map_or(0, |a| a.port());
        loop {
            let accepted = tokio::select! {
                () = stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let exempt = peer.ip().is_loopback() || self.trusted.holds(peer.ip());
                    let Some(place) = Crowd::enter(&self.crowd, peer.ip(), exempt) else { continue };
                    self.tasks.spawn_local(self.clone().greet(stream, peer, (port, tls), place));
                }
                // Out of file descriptors, mostly: others must close before it gets better.
                Err(e) if !is_passing(&e) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(_) => {}
            }
        }
    }

    async fn greet(self: Rc<Self>, stream: TcpStream, peer: SocketAddr, (port, tls): (u16, bool), place: PlaceInCrowd) {
        let _ = stream.set_nodelay(true);
        // In a box of its own, for it is large and soon over.
        let (io, _place) = match &self.tls {
            Some(acceptor) if tls => match Box::pin(self.shake_hands(acceptor, stream, place)).await {
                Some(greeted) => greeted,
                None => return,
            },
            _ => (ClientIo::Plain(stream), place),
        };
        let ip = peer.ip().to_canonical();
        let port = self.public.port.unwrap_or(port);
        let origin = Origin {
            ip,
            ip_value: HeaderValue::from_str(&ip.to_string()).expect("an address is a header value"),
            https: tls || self.public.https,
            port,
            port_value: port.into(),
            trusted: self.trusted.holds(ip),
        };
        self.serve(io, origin).await;
    }

    /// None when there is nothing to serve: the client has left, said nothing, or is at the door.
    async fn shake_hands(&self, acceptor: &TlsAcceptor, stream: TcpStream, place: PlaceInCrowd) -> Option<(ClientIo, PlaceInCrowd)> {
        let patience = self.limits.header_timeout;
        let mut stream = tokio::time::timeout(patience, acceptor.accept(stream)).await.ok()?.ok()?;
        if let Some(door) = &self.door {
            let stopping = self.tasks.stopping();
            let first = tokio::select! {
                () = stopping.cancelled() => return None,
                first = tokio::time::timeout(patience, stream.fill_buf()) => first.ok()?.ok()?,
            };
            if door.is_for(first) {
                door.let_in(stream, place).await;
                return None;
            }
        }
        Some((ClientIo::Tls(Box::new(stream)), place))
    }

    /// Serves the requests of one connection, and its tunnel if it becomes one.
    async fn serve(self: Rc<Self>, io: ClientIo, origin: Origin) {
        // In a box of its own, which is gone while a tunnel runs: an idle one shall cost little.
        let tunnel = Box::pin(self.clone().requests(io, origin)).await;
        if let Some(tunnel) = tunnel {
            tunnel.run(&self.buffer, self.limits.idle_stream).await;
        }
    }

    /// Serves requests until the connection ends or becomes a tunnel.
    async fn requests(self: Rc<Self>, io: ClientIo, origin: Origin) -> Option<Tunnel> {
        let watch = Watch::new(&self.limits);
        let visit = Rc::new(Visit { shard: self.clone(), watch: watch.clone(), origin, tunnel: RefCell::new(None) });
        let service = {
            let visit = visit.clone();
            service_fn(move |request| exchange::answer(visit.clone(), request))
        };
        let io = TokioIo::new(Watched { io, watch: watch.clone() });
        let connection = http1::Builder::new()
            .max_buf_size(self.limits.head_bytes)
            .max_headers(self.limits.headers)
            .serve_connection(io, service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let mut timer = LazyTimer::new();
        let stopping = self.tasks.stopping();
        let mut stopped = std::pin::pin!(stopping.cancelled());
        let (mut listening, mut told) = (false, false);
        std::future::poll_fn(|cx| {
            if !listening {
                // Once is enough to be woken; after that a look at the flag is cheaper.
                listening = true;
                let _ = stopped.as_mut().poll(cx);
            }
            loop {
                if connection.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                if self.stopping.get() && !told {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                let Some(due) = watch.due() else { return Poll::Pending };
                if timer.poll(cx, due).is_pending() {
                    return Poll::Pending;
                }
                if watch.phase() != Phase::Timed || watch.expired() {
                    return Poll::Ready(());
                }
                watch.expire();
            }
        })
        .await;
        visit.tunnel.borrow_mut().take()
    }
}

/// A timer that is set only when it would fire too late: deadlines that move on cost nothing.
struct LazyTimer {
    sleep: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
    armed: Instant,
}

impl LazyTimer {
    fn new() -> LazyTimer {
        LazyTimer { sleep: None, armed: Instant::now() }
    }

    /// Ready when `due` has passed.
    fn poll(&mut self, cx: &mut std::task::Context<'_>, due: Instant) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep
            && due >= self.armed
            && !sleep.is_elapsed()
        {
            return Poll::Pending;
        }
        if Instant::now() >= due {
            return Poll::Ready(());
        }
        self.armed = due;
        let at = tokio::time::Instant::from_std(due);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        sleep.as_mut().reset(at);
        sleep.as_mut().poll(cx)
    }
}

/// The fault is the connection's, not the listener's.
fn is_passing(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused)
}

/// How many clients there are, in all and of one address.
pub struct Crowd {
    all: AtomicUsize,
    most: usize,
    most_of_one: usize,
    of_one: Mutex<HashMap<IpAddr, usize>>,
}

/// A client's place; dropped when it leaves.
pub struct PlaceInCrowd {
    crowd: Arc<Crowd>,
    counted: Option<IpAddr>,
}

impl Crowd {
    pub fn new(limits: &Limits) -> Arc<Crowd> {
        let (most, most_of_one) = (limits.max_connections, limits.max_connections_per_address);
        Arc::new(Crowd { all: AtomicUsize::new(0), most, most_of_one, of_one: Mutex::default() })
    }

    fn enter(crowd: &Arc<Crowd>, ip: IpAddr, exempt: bool) -> Option<PlaceInCrowd> {
        let mut place = PlaceInCrowd { crowd: crowd.clone(), counted: None };
        if crowd.all.fetch_add(1, Ordering::Relaxed) >= crowd.most {
            return None;
        }
        if exempt {
            return Some(place);
        }
        let mut of_one = crowd.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        let count = of_one.entry(ip).or_default();
        if *count >= crowd.most_of_one {
            return None;
        }
        *count += 1;
        place.counted = Some(ip);
        Some(place)
    }
}

impl Drop for PlaceInCrowd {
    fn drop(&mut self) {
        self.crowd.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(ip) = self.counted {
            let mut of_one = self.crowd.of_one.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = of_one.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    of_one.remove(&ip);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_the_places_of_all() {
        let limits = Limits { max_connections: 4, max_connections_per_address: 2, ..Limits::default() };
        let crowd = Crowd::new(&limits);
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let (first, second) = (Crowd::enter(&crowd, one, false), Crowd::enter(&crowd, one, false));
        assert!(first.is_some() && second.is_some());
        assert!(Crowd::enter(&crowd, one, false).is_none(), "its share is used up");
        let others = [Crowd::enter(&crowd, other, false), Crowd::enter(&crowd, one, true)];
        assert!(others.iter().all(Option::is_some), "others have room, and proxies no share");
        assert!(Crowd::enter(&crowd, other, false).is_none(), "the house is full");
        drop(first);
        assert!(Crowd::enter(&crowd, one, false).is_some());
        drop((second, others));
        assert_eq!((crowd.all.load(Ordering::Relaxed), crowd.of_one.lock().unwrap().len()), (0, 0));
    }
}
