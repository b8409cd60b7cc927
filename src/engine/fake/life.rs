//! One fake container and the task that lives its script: prints, boots, answers, ends.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::JoinSet,
};

use tokio_util::io::ReaderStream;

use super::{
    Attachment, Complaints, ContainerId, ContainerSpec, EngineError, EngineResult, Exit, FakeEngine, Files, Output, Script, TerminalSize,
    Usage, script::Moment,
};

/// Where a container stands.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Created,
    Running(Option<Ipv4Addr>),
    Ended(Exit),
}

impl Phase {
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Phase::Running(_))
    }
}

/// What happens to a running container from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    None,
    Term,
    HangUp,
    Kill,
    /// Its process exits by itself.
    Exit(i64),
}

/// One container.
pub(super) struct Cell {
    pub(super) spec: ContainerSpec,
    phase: watch::Sender<Phase>,
    signal: watch::Sender<Signal>,
    lines: watch::Sender<Vec<Output>>,
    stalls: watch::Sender<u64>,
    files: Mutex<Files>,
    generation: Mutex<String>,
    usage: Mutex<Usage>,
    answered: AtomicU64,
    removed: AtomicBool,
    /// The container's ends of its streams, until its start takes them.
    streams: Mutex<Option<DuplexStream>>,
    /// Where standard error goes when its client wants it apart.
    aside: Mutex<Option<Complaints>>,
    size: Mutex<Option<TerminalSize>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test thread panics inside the fake")
}

impl Cell {
    pub(super) fn new(spec: ContainerSpec, files: Files) -> Cell {
        Cell {
            spec,
            phase: watch::Sender::new(Phase::Created),
            signal: watch::Sender::new(Signal::None),
            lines: watch::Sender::new(Vec::new()),
            stalls: watch::Sender::new(0),
            files: Mutex::new(files),
            generation: Mutex::default(),
            usage: Mutex::new(Usage { memory_bytes: 32 << 20, memory_rss_bytes: 30 << 20, pids: 2, ..Usage::default() }),
            answered: AtomicU64::new(0),
            removed: AtomicBool::new(false),
            streams: Mutex::default(),
            aside: Mutex::default(),
            size: Mutex::default(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    pub(super) fn generation(&self) -> String {
        locked(&self.generation).clone()
    }

    pub(super) fn files(&self) -> MutexGuard<'_, Files> {
        locked(&self.files)
    }

    pub(super) fn usage(&self) -> Usage {
        *locked(&self.usage)
    }

    pub(super) fn set_usage(&self, usage: Usage) {
        *locked(&self.usage) = usage;
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    /// How often its log streams have stalled.
    pub(super) fn stalls(&self) -> u64 {
        *self.stalls.borrow()
    }

    pub(super) fn stall(&self) {
        self.stalls.send_modify(|count| *count += 1);
    }

    /// Waits until they stall once more.
    pub(super) async fn stalled_after(&self, stalls: u64) {
        let mut count = self.stalls.subscribe();
        count.wait_for(|count| *count > stalls).await.expect("the cell holds the sender");
    }

    /// It is removed while it runs.
    pub(super) fn set_removed(&self) {
        self.removed.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst)
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.signal.send_replace(signal);
    }

    pub(super) fn print(&self, at_micros: i64, stderr: bool, line: &str) {
        let output = Output { stderr, at_micros, bytes: Bytes::copy_from_slice(line.as_bytes()) };
        self.lines.send_modify(|lines| lines.push(output));
    }

    /// A client's ends of the streams; small, so that a client who does not read is noticed.
    pub(super) fn attach(&self) -> Attachment {
        let (client, inside) = tokio::io::duplex(16 * 1024);
        *locked(&self.streams) = Some(inside);
        let (output, input) = tokio::io::split(client);
        Attachment { input: Box::pin(input), output: ReaderStream::new(output).boxed() }
    }

    pub(super) fn attach_apart(&self) -> (Attachment, Complaints) {
        let complaints = Complaints::default();
        *locked(&self.aside) = Some(complaints.clone());
        (self.attach(), complaints)
    }

    pub(super) fn resize(&self, size: TerminalSize) {
        *locked(&self.size) = Some(size);
    }

    pub(super) fn terminal_size(&self) -> Option<TerminalSize> {
        *locked(&self.size)
    }

    /// The line with this number, when it comes; `None` when the container ended before.
    pub(super) async fn line(&self, number: usize) -> Option<Output> {
        let (mut lines, mut phase) = (self.lines.subscribe(), self.phase.subscribe());
        let there = |lines: &Vec<Output>| lines.get(number).cloned();
        tokio::select! {
            biased;
            lines = lines.wait_for(|lines| lines.len() > number) => there(&lines.expect("the cell holds the sender")),
            _ = phase.wait_for(|phase| matches!(phase, Phase::Ended(_))) => there(&self.lines.borrow()),
        }
    }

    /// Waits for the end of this life, or of the next one if it was never started.
    pub(super) async fn ended(&self) -> Exit {
        let mut phase = self.phase.subscribe();
        let phase = phase.wait_for(|phase| matches!(phase, Phase::Ended(_))).await.expect("the cell holds the sender");
        match *phase {
            Phase::Ended(exit) => exit,
            _ => unreachable!("waited for the end"),
        }
    }
}

/// Starts a life: reserves the address, prints, and hands the rest to a task.
#[expect(clippy::disallowed_methods, reason = "a fake container is a process of its own, not a task of the server")]
pub(super) fn begin(
    engine: &FakeEngine,
    id: &ContainerId,
    cell: Arc<Cell>,
    script: Script,
    (generation, address): (String, Option<Ipv4Addr>),
) -> EngineResult<()> {
    let port = cell.spec.env_value("PORT").and_then(|port| port.parse::<u16>().ok());
    let held = cell.spec.held;
    let socket = match address.zip(port) {
        Some(at) => Some(
            door(at, !held && matches!(script.boot, Moment::AtOnce))
                .map_err(|error| EngineError::Refused(format!("no socket for the fake: {error}")))?,
        ),
        None => None,
    };
    *locked(&cell.generation) = generation;
    cell.signal.send_replace(Signal::None);
    for (path, content) in &script.files {
        cell.files().write(path, content.clone());
    }
    let (engine, id) = (engine.clone(), id.clone());
    if !held {
        speak(&engine, &cell, &script);
    }
    cell.phase.send_replace(Phase::Running(address));
    let mut input = locked(&cell.streams).take().map(|streams| {
        let (input, output) = tokio::io::split(streams);
        let output = Arc::new(tokio::sync::Mutex::new(output));
        tokio::spawn(say(cell.clone(), output.clone()));
        (input, output)
    });
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        let lives = async {
            if held {
                if !has_a_line(&mut input).await {
                    return Exit { code: 0, out_of_memory: false };
                }
                speak(&engine, &cell, &script);
            }
            tokio::select! {
                exit = live((&id, &cell), &script, socket, &mut connections) => exit,
                exit = listen(input, &script) => exit,
            }
        };
        let exit = tokio::select! {
            biased;
            exit = signalled(&cell, script.deaf) => exit,
            exit = lives => exit,
        };
        connections.shutdown().await;
        if let (Some(free), Some(address)) = (engine.world().free_addresses.as_mut(), address) {
            free.insert(address);
        }
        cell.phase.send_replace(Phase::Ended(exit));
        engine.changed();
    });
    Ok(())
}

fn speak(engine: &FakeEngine, cell: &Cell, script: &Script) {
    for (stderr, line) in &script.lines {
        cell.print(engine.stamp(), *stderr, line);
    }
}

/// Waits for a line on the input; false at its end. Of an input nobody attached to there is none.
async fn has_a_line(input: &mut Option<Streams>) -> bool {
    let Some((input, _)) = input else { return false };
    loop {
        match input.read_u8().await {
            Ok(b'\n') => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Hands what a container prints to its client, also what it printed last.
async fn say(cell: Arc<Cell>, output: Arc<tokio::sync::Mutex<WriteHalf<DuplexStream>>>) {
    let mut next = 0;
    while let Some(line) = cell.line(next).await {
        next += 1;
        let bytes = [&line.bytes[..], b"\n"].concat();
        let aside = locked(&cell.aside).clone().filter(|_| line.stderr);
        if let Some(aside) = aside {
            aside.add(&bytes);
            continue;
        }
        if output.lock().await.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

type Streams = (ReadHalf<DuplexStream>, Arc<tokio::sync::Mutex<WriteHalf<DuplexStream>>>);

/// Gives back what comes in when the script says so, until the end of the input; else reads nothing.
async fn listen(streams: Option<Streams>, script: &Script) -> Exit {
    let Some((mut input, output)) = streams.filter(|_| script.echoes) else { return std::future::pending().await };
    let mut chunk = vec![0; 4096];
    loop {
        match input.read(&mut chunk).await {
            Ok(0) | Err(_) => return Exit { code: 0, out_of_memory: false },
            // A client that is gone hears nothing.
            Ok(count) => _ = output.lock().await.write_all(&chunk[..count]).await,
        }
    }
}

/// The address of a fake dyno before and after its boot.
enum Door {
    Reserved(TcpSocket),
    Listening(TcpListener),
}

impl Door {
    fn listen(self) -> TcpListener {
        match self {
            Door::Reserved(socket) => socket.listen(1024).expect("the address is reserved"),
            Door::Listening(listener) => listener,
        }
    }
}

/// One that boots at once listens before its first line is printed, as a program does that says it listens.
fn door(at: (Ipv4Addr, u16), at_once: bool) -> std::io::Result<Door> {
    let socket = reserve(at)?;
    Ok(if at_once { Door::Listening(socket.listen(1024)?) } else { Door::Reserved(socket) })
}

/// Bound and not listening: connections are refused, as before an app's boot.
fn reserve((address, port): (Ipv4Addr, u16)) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((address, port)))?;
    Ok(socket)
}

/// The end from outside, when it comes.
async fn signalled(cell: &Cell, deaf: bool) -> Exit {
    let mut signal = cell.signal.subscribe();
    let heard = signal.wait_for(|signal| *signal != Signal::None && !(deaf && matches!(signal, Signal::Term | Signal::HangUp)));
    let code = match *heard.await.expect("the cell holds the sender") {
        Signal::Exit(code) => code,
        Signal::HangUp => 129,
        Signal::Term => 143,
        Signal::Kill | Signal::None => 137,
    };
    Exit { code, out_of_memory: false }
}

async fn live((id, cell): (&ContainerId, &Arc<Cell>), script: &Script, socket: Option<Door>, connections: &mut JoinSet<()>) -> Exit {
    let by_itself = async {
        match &script.end {
            Some((moment, code)) => {
                moment.comes().await;
                *code
            }
            None => std::future::pending().await,
        }
    };
    let serve = async {
        script.boot.comes().await;
        match socket.map(Door::listen) {
            Some(listener) => accept(listener, id, cell, script, connections).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        code = by_itself => Exit { code, out_of_memory: script.out_of_memory },
        () = serve => unreachable!("serves until the end"),
    }
}

async fn accept(listener: TcpListener, id: &ContainerId, cell: &Arc<Cell>, script: &Script, connections: &mut JoinSet<()>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (id, cell, answer) = (id.clone(), cell.clone(), script.answer.clone());
        connections.spawn(async move {
            let service = service_fn(move |request: http::Request<Incoming>| {
                let (id, cell, answer) = (id.clone(), cell.clone(), answer.clone());
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                    let request = http::Request::from_parts(parts, body);
                    cell.answered.fetch_add(1, Ordering::SeqCst);
                    let response = answer.map_or_else(|| usual_answer(&id, &cell, &request), |answer| answer(&request));
                    Ok::<_, Infallible>(response.map(Full::new))
                }
            });
            // A client that goes away is no failure.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn usual_answer(id: &ContainerId, cell: &Cell, request: &http::Request<Bytes>) -> http::Response<Bytes> {
    let body = format!("{} {} from {}\n", request.method(), request.uri(), cell.spec.name);
    http::Response::builder()
        .header("content-type", "text/plain; charset=utf-8")
        .header("x-container", &id.0)
        .header("x-generation", cell.generation())
        .body(body.into())
        .expect("a valid response")
}
