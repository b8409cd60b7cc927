//! A router between raw sockets: what a client sends and what a dyno sees, byte for byte.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{body::Body, extract::Request, response::Response};
use clap::Parser;
use futures_util::{StreamExt, stream::BoxStream};
use siesta::{
    clock::{Clock, SystemClock},
    config::{Config, Limits, ServeOptions},
    domain::{AppId, DynoName},
    dynos::{Gate, Route, Routes, Target},
    engine::ContainerId,
    logs::{Filter, Logs, TailItem},
    router::{Listener, Peer, Platform, Router, RouterParts, RunningRouter},
    scheduler::{Activator, Tasks},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    options: ServeOptions,
}

/// Flags and limits of a test's server.
pub fn config(flags: &[&str], change: impl FnOnce(&mut Limits)) -> Config {
    let options = Line::parse_from([&["siesta", "--router-threads", "2"], flags].concat()).options;
    let mut config = Config::new(options).unwrap();
    change(&mut config.limits);
    config
}

pub struct Rig {
    pub address: SocketAddr,
    pub gate: Arc<Gate>,
    pub tasks: Tasks,
    router: RunningRouter,
    lines: BoxStream<'static, TailItem>,
    _folder: tempfile::TempDir,
}

impl Rig {
    pub async fn new() -> Rig {
        Rig::with(config(&[], |_| {})).await
    }

    pub async fn limited(change: impl FnOnce(&mut Limits)) -> Rig {
        Rig::with(config(&[], change)).await
    }

    pub async fn with(config: Config) -> Rig {
        Rig::build(config, false, None).await
    }

    pub async fn build(config: Config, maintenance: bool, tls: Option<Arc<rustls::ServerConfig>>) -> Rig {
        let tasks = Tasks::new();
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let logs = Logs::open(&folder.path().join("logs.db"), clock.clone(), &tasks).await.unwrap();
        let gate = Gate::new(clock.clone(), Activator::new(), (&config.limits).into());
        let app = AppId::new();
        let route = |name: &str, app: AppId, gate: &Arc<Gate>| Route { app, name: name.parse().unwrap(), maintenance, gate: gate.clone() };
        let other = Gate::new(clock.clone(), Activator::new(), (&config.limits).into());
        other.refuse(siesta::dynos::Refusal::Blank);
        let routes = Routes::fixed([
            ("tienda.localhost".to_owned(), route("tienda", app, &gate)),
            ("otra.localhost".to_owned(), route("otra", AppId::new(), &other)),
        ]);
        let speaks_tls = tls.is_some();
        let platform = Platform::new(axum::Router::new().fallback(platform), &tasks);
        let lines = logs.tail(app, Filter::default(), 0, None).await.unwrap();
        let parts = RouterParts {
            config: Arc::new(config),
            clock,
            routes: Arc::new(routes),
            logs: Some(logs),
            traffic: None,
            platform,
            tls,
            door: None,
            tasks: tasks.clone(),
        };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), speaks_tls, 2).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new(parts).start(vec![listener]).unwrap();
        Rig { address, gate, tasks, router, lines, _folder: folder }
    }

    /// The next line of the app's log, without what differs from run to run.
    pub async fn line(&mut self) -> String {
        match self.lines.next().await {
            Some(TailItem::Line(_, line)) => settle(&line.to_string()),
            other => panic!("no line but {other:?}"),
        }
    }

    pub async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// One request over a connection of its own.
    pub async fn ask(&self, request: &str) -> Reply {
        let mut client = self.client().await;
        client.send(request).await;
        client.reply().await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n")).await
    }

    /// A dyno that answers each request with raw bytes; the gate opens for it.
    pub async fn dyno(&self, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Dyno {
        let dyno = Dyno::answering(&self.tasks, answer).await;
        self.gate.open(vec![dyno.target()]);
        dyno
    }

    /// Waits until the gate has nobody inside.
    pub async fn emptied(&self) {
        while self.gate.activity().open > 0 {
            tokio::task::yield_now().await;
        }
    }

    pub async fn waiting(&self, count: usize) {
        while self.gate.waiting() < count {
            tokio::task::yield_now().await;
        }
    }

    pub async fn stop(self) {
        self.router.stop().await;
        self.tasks.stop(Duration::from_secs(5)).await;
    }
}

/// The stand-in for dashboard and API: says what it was asked.
async fn platform(request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().copied().unwrap();
    let (parts, body) = request.into_parts();
    let sent = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    Response::new(Body::from(format!("platform {} {} {} {} bytes", parts.method, parts.uri, peer.ip, sent.len())))
}

/// Request ids and milliseconds, and the time in front.
fn settle(line: &str) -> String {
    let line = line.split_once(' ').unwrap().1;
    let fields = line.split(' ').map(|field| match field.split_once('=') {
        Some(("request_id", id)) if id.len() == 36 => "request_id=<id>".to_owned(),
        Some((name @ ("connect" | "service"), ms)) if ms.ends_with("ms") => format!("{name}=<n>ms"),
        _ => field.to_owned(),
    });
    fields.collect::<Vec<_>>().join(" ")
}

/// A raw client connection.
pub struct Client(pub TcpStream);

impl Client {
    pub async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    pub async fn reply(&mut self) -> Reply {
        Reply::read(&mut self.0, false).await.expect("an answer")
    }

    /// Everything until the other side closes.
    pub async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// A message as it came over the wire.
#[derive(Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads one message. None when the other side closes before it begins.
    pub async fn read(stream: &mut TcpStream, request: bool) -> Option<Reply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = stream.read_u8().await.ok()?;
            head.push(byte);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut reply = Reply { status: head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0), head, body: Vec::new() };
        if let Some(length) = reply.header("content-length").filter(|_| request || reply.has_body()) {
            reply.body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut reply.body).await.ok()?;
        } else if reply.header("transfer-encoding").is_some() {
            loop {
                let mut size = Vec::new();
                while !size.ends_with(b"\r\n") {
                    size.push(stream.read_u8().await.ok()?);
                }
                let size = usize::from_str_radix(String::from_utf8_lossy(&size).trim(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                stream.read_exact(&mut chunk).await.ok()?;
                reply.body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        } else if !request && reply.has_body() {
            let _ = stream.read_to_end(&mut reply.body).await;
        }
        Some(reply)
    }

    fn has_body(&self) -> bool {
        !matches!(self.status, 101 | 204 | 304)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let fits = |line: &&str| line.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name));
        self.head.lines().skip(1).find(fits).map(|line| line.split_once(':').unwrap().1.trim())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A web process on a raw socket. It remembers what it saw.
pub struct Dyno {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<Reply>>>,
    pub connections: Arc<Mutex<usize>>,
    pub closed: Arc<Mutex<usize>>,
}

impl Dyno {
    /// Answers each request with raw bytes; no bytes close the connection.
    pub async fn answering(tasks: &Tasks, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Dyno {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dyno =
            Dyno { address: listener.local_addr().unwrap(), seen: Arc::default(), connections: Arc::default(), closed: Arc::default() };
        let (seen, connections, closed) = (dyno.seen.clone(), dyno.connections.clone(), dyno.closed.clone());
        let (answer, inner) = (Arc::new(answer), tasks.clone());
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                *connections.lock().unwrap() += 1;
                let (seen, closed, answer) = (seen.clone(), closed.clone(), answer.clone());
                inner.spawn(async move {
                    while let Some(request) = Reply::read(&mut stream, true).await {
                        let bytes = answer(&request.head);
                        seen.lock().unwrap().push(request);
                        if bytes.is_empty() || stream.write_all(&bytes).await.is_err() || bytes.ends_with(b"<close>") {
                            break;
                        }
                    }
                    drop(stream);
                    *closed.lock().unwrap() += 1;
                });
            }
        });
        dyno
    }

    pub fn target(&self) -> Arc<Target> {
        target(self.address)
    }

    pub fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    pub fn closed(&self) -> usize {
        *self.closed.lock().unwrap()
    }

    /// The head of the last request.
    pub fn last(&self) -> String {
        self.seen.lock().unwrap().last().map(|r| r.head.clone()).unwrap_or_default()
    }
}

pub fn target(address: SocketAddr) -> Arc<Target> {
    let dyno: DynoName = "web.1".parse().unwrap();
    Target::new(address, ContainerId("c".repeat(64)), "g1".to_owned(), dyno)
}

/// An answer with a length.
pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
