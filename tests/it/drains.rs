//! Log drains from end to end: real connections, real TLS, the framing as it arrives.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, routing::post, serve::Listener};
use http::{HeaderMap, StatusCode};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use siesta::{
    domain::{AppId, LogLine, log_line::Source, user::Actor},
    logs::{
        Filter,
        drains::{Drain, DrainError},
    },
    scheduler::Tasks,
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::support::house::House;

/// Patience with a loaded machine.
const LONG: Duration = Duration::from_secs(120);

/// A CA of the test's own and a certificate of it for this machine.
pub struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        let folder = tempfile::tempdir().unwrap();
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &Issuer::new(params, ca_key)).unwrap();
        for (name, text) in [("ca.pem", ca.pem()), ("leaf.pem", leaf.pem()), ("key.pem", key.serialize_pem())] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Authority { folder }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn acceptor(&self) -> TlsAcceptor {
        let chain = rustls::pki_types::CertificateDer::pem_file_iter(self.file("leaf.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(self.file("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()))
    }
}

/// A server whose drains may reach `port` here, with an app.
pub struct Draining {
    pub house: House,
    pub app: AppId,
    by: Actor,
}

impl Draining {
    pub async fn start(port: u16, ca: Option<&Path>) -> Draining {
        Draining::over(Arc::new(tempfile::tempdir().unwrap()), port, ca).await
    }

    /// Over a data folder; its app is made unless it is there.
    pub async fn over(folder: Arc<tempfile::TempDir>, port: u16, ca: Option<&Path>) -> Draining {
        let allow = format!("127.0.0.1:{port},localhost:{port}");
        let mut flags = vec!["--egress-allow", &allow];
        if let Some(ca) = ca {
            flags.extend(["--egress-ca", ca.to_str().unwrap()]);
        }
        let house = House::over(folder, &flags).await;
        let user = house.owners.accounts.system_user().await.unwrap();
        let by = Actor { id: user.id, email: user.email };
        let app = match house.owners.reader.apps().await.unwrap().pop() {
            Some(app) => app,
            None => house.owners.apps.create(Some("tienda".parse().unwrap()), &by).await.unwrap(),
        };
        Draining { house, app: app.id, by }
    }

    pub async fn add(&self, url: &str) -> Drain {
        self.house.owners.drains.add(self.app, url, &self.by).await.unwrap()
    }

    pub fn print(&self, message: &str) {
        let line = LogLine { at_micros: 1_430_000_000_000_000, source: Source::App, ps: "web.1".to_owned(), message: message.to_owned() };
        self.house.owners.logs.append(self.app, line);
    }
}

/// One message of a stream with its length before it.
async fn message(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut length = Vec::new();
    stream.read_until(b' ', &mut length).await.ok()?;
    let length: usize = std::str::from_utf8(&length).ok()?.trim().parse().ok()?;
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await.ok()?;
    String::from_utf8(text).ok()
}

async fn patiently<T>(work: impl Future<Output = T>) -> T {
    timeout(LONG, work).await.expect("this comes in time")
}

async fn accepted(listener: &TcpListener) -> BufReader<TcpStream> {
    BufReader::new(patiently(listener.accept()).await.unwrap().0)
}

#[tokio::test]
async fn a_syslog_drain_gets_each_line_and_connects_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let draining = Draining::start(port, None).await;
    let drain = draining.add(&format!("syslog://127.0.0.1:{port}")).await;
    draining.print("Hello ñ");
    let mut stream = accepted(&listener).await;
    let said = patiently(message(&mut stream)).await.unwrap();
    assert!(
        said.contains("app api - - Add log drain syslog://127.0.0.1:") && said.ends_with(&format!(" by user {}\n", draining.by.email)),
        "{said}"
    );
    let expected = format!("<190>1 2015-04-25T22:13:20.000000+00:00 {} app web.1 - - Hello ñ\n", drain.token);
    assert_eq!(patiently(message(&mut stream)).await.unwrap(), expected);
    assert!(drain.token.starts_with("d.") && drain.token.len() == 38);

    drop(stream);
    // What is written before the end is noticed may be lost to this receiver, as TCP has it.
    let mut stream = loop {
        draining.print("again");
        match timeout(Duration::from_millis(200), listener.accept()).await {
            Ok(stream) => break BufReader::new(stream.unwrap().0),
            Err(_) => continue,
        }
    };
    assert!(patiently(message(&mut stream)).await.unwrap().ends_with("again\n"));

    draining.house.owners.drains.remove(draining.app, &drain.token, &draining.by).await.unwrap();
    patiently(async { while message(&mut stream).await.is_some() {} }).await;
    assert!(draining.house.owners.drains.of(draining.app).await.unwrap().is_empty());
    draining.house.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_sends_what_waits_and_a_deleted_app_sends_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let draining = Draining::start(port, None).await;
    draining.add(&format!("syslog://localhost:{port}")).await;
    let mut stream = accepted(&listener).await;
    draining.print("last words");
    let tasks = draining.house.owners.tasks.clone();
    assert!(tasks.stop(LONG).await);
    let mut said = String::new();
    while let Some(text) = patiently(message(&mut stream)).await {
        said += &text;
    }
    assert!(said.ends_with("last words\n"), "{said}");

    let draining = Draining::start(port, None).await;
    draining.add(&format!("syslog://127.0.0.1:{port}")).await;
    let mut stream = accepted(&listener).await;
    draining.house.owners.apps.destroy(draining.app, &draining.by).await.unwrap();
    patiently(async { while message(&mut stream).await.is_some() {} }).await;
    draining.house.stop().await;
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_a_refusal_is_told() {
    let (authority, listener) = (Authority::new(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    let url = format!("syslog+tls://localhost:{port}");
    let acceptor = authority.acceptor();

    let stranger = Draining::start(port, None).await;
    stranger.add(&url).await;
    let (refused, _) = patiently(listener.accept()).await.unwrap();
    assert!(acceptor.accept(refused).await.is_err());
    let told = Filter { ps: Some("logplex".to_owned()), ..Filter::default() };
    let mut tail = stranger.house.owners.logs.tail(stranger.app, told, 10, None).await.unwrap();
    let Some(siesta::logs::TailItem::Line(_, line)) = patiently(futures_util::StreamExt::next(&mut tail)).await else { panic!("no line") };
    assert_eq!(line.message, format!("Error L14 (certificate validation): error=\"bad certificate\" uri=\"{url}\""));
    let drains = stranger.house.owners.drains.of(stranger.app).await.unwrap();
    assert_eq!(drains[0].trouble.as_deref(), Some("its certificate is not trusted"));
    stranger.house.stop().await;

    let friend = Draining::start(port, Some(&authority.file("ca.pem"))).await;
    friend.add(&url).await;
    let mut stream = BufReader::new(patiently(async { acceptor.accept(listener.accept().await.unwrap().0).await }).await.unwrap());
    assert!(patiently(message(&mut stream)).await.unwrap().contains("Add log drain"));
    friend.house.stop().await;
}

/// An HTTPS listener that hands its requests over and answers as told.
struct Collector {
    port: u16,
    requests: mpsc::Receiver<(HeaderMap, String)>,
    answers: mpsc::Sender<StatusCode>,
    tasks: Tasks,
}

struct Secure {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Secure {
    type Io = TlsStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, from)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

type Hands = (mpsc::Sender<(HeaderMap, String)>, Arc<Mutex<mpsc::Receiver<StatusCode>>>);

async fn collect(State((requests, answers)): State<Hands>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let _ = requests.send((headers, String::from_utf8(body.to_vec()).unwrap())).await;
    answers.lock().await.recv().await.unwrap_or(StatusCode::GONE)
}

impl Collector {
    async fn start(authority: &Authority) -> Collector {
        Collector::on(0, authority).await
    }

    async fn on(port: u16, authority: &Authority) -> Collector {
        let listener = Secure { listener: TcpListener::bind(("127.0.0.1", port)).await.unwrap(), acceptor: authority.acceptor() };
        let port = listener.local_addr().unwrap().port();
        let ((give, requests), (answers, take), tasks) = (mpsc::channel(100), mpsc::channel(100), Tasks::new());
        let router = Router::new().route("/in", post(collect)).with_state((give, Arc::new(Mutex::new(take))));
        tasks.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Collector { port, requests, answers, tasks }
    }

    fn url(&self) -> String {
        format!("https://ana:s3cret@localhost:{}/in?key=t0ken", self.port)
    }

    async fn request(&mut self) -> (HeaderMap, String) {
        patiently(self.requests.recv()).await.unwrap()
    }
}

/// Sizes of the messages of a body, and their text.
async fn messages(body: &str) -> Vec<String> {
    let (mut rest, mut found) = (body.as_bytes(), Vec::new());
    while let Some(text) = message(&mut rest).await {
        found.push(text);
    }
    assert!(rest.is_empty(), "{body}");
    found
}

#[tokio::test]
async fn an_https_drain_posts_in_logplex_framing_and_tries_again_with_the_same_id() {
    let authority = Authority::new();
    let mut collector = Collector::start(&authority).await;
    let draining = Draining::start(collector.port, Some(&authority.file("ca.pem"))).await;
    let drain = draining.add(&collector.url()).await;
    let (first, first_body) = collector.request().await;
    draining.print("Hello");
    collector.answers.send(StatusCode::INTERNAL_SERVER_ERROR).await.unwrap();
    let (second, second_body) = collector.request().await;
    assert_eq!(drain_trouble(&draining).await.as_deref(), Some("it answered 500 Internal Server Error"));
    collector.answers.send(StatusCode::NO_CONTENT).await.unwrap();
    let (third, third_body) = collector.request().await;
    collector.answers.send(StatusCode::OK).await.unwrap();

    let header = |headers: &HeaderMap, name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!((header(&first, "logplex-frame-id"), &first_body), (header(&second, "logplex-frame-id"), &second_body));
    assert_ne!(header(&second, "logplex-frame-id"), header(&third, "logplex-frame-id"));
    assert_eq!(header(&first, "logplex-frame-id").len(), 32);
    for (name, value) in [
        ("content-type", "application/logplex-1"),
        ("logplex-msg-count", "1"),
        ("logplex-drain-token", drain.token.as_str()),
        ("user-agent", "Logplex/v49"),
        ("authorization", "Basic YW5hOnMzY3JldA=="),
    ] {
        assert_eq!(header(&first, name), value);
    }
    assert!(
        messages(&first_body).await[0].ends_with("Add log drain https://•••@localhost:".to_owned().as_str()) || first_body.contains("•••")
    );
    assert!(!first_body.contains("s3cret") && !first_body.contains("t0ken"), "the log does not tell the drain's secrets");
    assert_eq!(messages(&third_body).await, ["<190>1 2015-04-25T22:13:20.000000+00:00 host app web.1 - Hello\n"]);
    let stored = std::fs::read(draining.house.owners.config.options.data_dir.join("siesta.db-wal")).unwrap();
    assert!(!stored.windows(6).any(|part| part == b"s3cret" || part == b"t0ken&"), "sealed at rest");
    draining.house.stop().await;
    collector.tasks.stop(LONG).await;
}

async fn drain_trouble(draining: &Draining) -> Option<String> {
    draining.house.owners.drains.of(draining.app).await.unwrap()[0].trouble.clone()
}

#[tokio::test]
async fn what_a_slow_receiver_missed_is_counted_to_the_line() {
    let authority = Authority::new();
    let mut collector = Collector::start(&authority).await;
    let draining = Draining::start(collector.port, Some(&authority.file("ca.pem"))).await;
    draining.add(&collector.url()).await;
    let mut bodies = vec![collector.request().await.1];
    for number in 0..5_000 {
        draining.print(&format!("line {number}"));
        if number % 1_000 == 0 {
            // The log itself loses nothing.
            draining.house.owners.logs.flush().await;
        }
    }
    loop {
        collector.answers.send(StatusCode::OK).await.unwrap();
        bodies.push(collector.request().await.1);
        if bodies.last().unwrap().contains("line 4999\n") {
            break;
        }
    }
    let (mut lines, mut dropped) = (0, 0);
    for body in &bodies {
        for text in messages(body).await {
            match text.split_once("Error L10 (output buffer overflow): ") {
                Some((head, said)) if head.starts_with("<172>1") && text.contains("host heroku logplex") && !said.is_empty() => {
                    dropped += said.split(' ').next().unwrap().parse::<u64>().unwrap();
                }
                _ => lines += 1,
            }
        }
    }
    assert!(dropped >= 5_000 - 1_024, "{dropped}");
    assert_eq!(lines + dropped, 5_001, "5,000 lines and the one about the drain");
    draining.house.stop().await;
    collector.tasks.stop(LONG).await;
}

/// A runtime of its own: dropping it ends a server as a kill does.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn after_a_kill_a_drain_goes_on_with_the_first_line_that_was_not_taken() {
    let (authority, folder) = (Authority::new(), Arc::new(tempfile::tempdir().unwrap()));
    let port = runtime().block_on(async {
        let mut collector = Collector::start(&authority).await;
        let draining = Draining::over(folder.clone(), collector.port, Some(&authority.file("ca.pem"))).await;
        draining.add(&collector.url()).await;
        (0..10).for_each(|number| draining.print(&format!("line {number};")));
        while !collector.request().await.1.contains("line 9;") {
            collector.answers.send(StatusCode::OK).await.unwrap();
        }
        collector.answers.send(StatusCode::OK).await.unwrap();
        (10..20).for_each(|number| draining.print(&format!("line {number};")));
        assert!(collector.request().await.1.contains("line 10;"), "and it is not answered");
        draining.house.owners.logs.flush().await;
        collector.port
    });
    let told = runtime().block_on(async {
        let mut collector = Collector::on(port, &authority).await;
        let draining = Draining::over(folder, port, Some(&authority.file("ca.pem"))).await;
        let mut told = String::new();
        while !told.contains("line 19;") {
            told += &collector.request().await.1;
            collector.answers.send(StatusCode::OK).await.unwrap();
        }
        draining.house.stop().await;
        told
    });
    let counts: Vec<usize> = (0..20).map(|number| told.matches(&format!(" line {number};")).count()).collect();
    assert_eq!(counts, [[0; 10], [1; 10]].concat(), "{told}");
}

#[tokio::test]
async fn only_allowed_addresses_and_five_of_them_are_taken() {
    let draining = Draining::start(9, None).await;
    let add = async |url: &str| draining.house.owners.drains.add(draining.app, url, &draining.by).await;
    for url in ["https://127.0.0.1/x", "https://10.0.0.1", "http://logs.example.org", "syslog://192.168.1.1:514", "syslog+tls://[::1]:6514"]
    {
        assert!(matches!(add(url).await, Err(DrainError::Refused(_))), "{url}");
    }
    assert!(matches!(add("logs.example.org").await, Err(DrainError::Address(_))));
    for number in 0..5 {
        add(&format!("https://logs{number}.invalid/x")).await.unwrap();
        if number == 0 {
            assert!(matches!(add("https://logs0.invalid/x").await, Err(DrainError::Taken)));
        }
    }
    assert!(matches!(add("https://logs5.invalid/x").await, Err(DrainError::TooMany)));
    draining.house.stop().await;
}
