//! `heroku run` as its client sees it: TLS with the local CA, a secret, raw bytes, the end.

use std::{net::SocketAddr, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use siesta::{
    domain::app::App,
    dynos::{RunOrder, Streams, TerminalSize},
    engine::fake::Script,
    rendezvous, tls,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::world::{Machine, World};
use crate::support::{house, rendezvous::Client};

/// A server for clients of one-offs, and an app with code.
struct Stand {
    world: World,
    app: App,
    address: SocketAddr,
    ca: String,
    _folder: tempfile::TempDir,
}

impl Stand {
    async fn open() -> Stand {
        let world = Machine { hang_up_pause: Duration::from_millis(5), ..Machine::new() }.serve().await;
        let app = world.app("tienda").await;
        world.deploy(&app, "worker: python worker.py").await.expect("a release");
        let folder = tempfile::tempdir().expect("a folder");
        let acceptor = TlsAcceptor::from(tls::server_config(&house::config(folder.path(), &[])).expect("a CA"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (dynos, tasks) = (world.dynos.clone(), world.tasks.clone());
        world.tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    tasks.spawn(rendezvous::serve(dynos.clone(), stream));
                }
            }
        });
        let ca = tls::ca_pem(folder.path()).expect("a CA");
        Stand { world, app, address, ca, _folder: folder }
    }

    async fn reserve(&self, command: &str, streams: Streams) -> SecretString {
        let env = [("COLUMNS", "132"), ("LINES", "43")].map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let process_type = "run".parse().expect("a type");
        let order = RunOrder { command: command.to_owned(), process_type, env, time_to_live: None, by: self.world.by.clone() };
        self.world.dynos.reserve(self.app.id, order, streams).await.expect("room").1
    }

    /// A client that has said its secret, with or without an end of line.
    async fn client(&self, secret: &SecretString, end: &str) -> Client {
        let mut client = Client::connect(self.address, &self.ca).await;
        client.say(format!("{}{end}", secret.expose_secret()).as_bytes()).await;
        client
    }

    async fn until_gone(&self) {
        self.world.until_running(0).await;
        while !self.world.dynos.one_offs(self.app.id).is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn bytes_go_both_ways_and_a_lonely_eot_is_the_end_of_the_input() {
    let stand = Stand::open().await;
    stand.world.engine.on("cat", Script::default().echoes());
    for end in ["\r\n", ""] {
        let secret = stand.reserve("cat", Streams::Pipes).await;
        let mut client = stand.client(&secret, end).await;
        assert_eq!(client.chunk().await, b"rendezvous\r\n", "clients throw it away");
        client.say(b"hola\x04 mundo\n").await;
        assert_eq!(client.until("\n").await, "hola\x04 mundo\n", "inside of other bytes it is one of them");
        client.say(b"\x04").await;
        assert_eq!(client.rest().await, "");
        stand.until_gone().await;
    }
}

#[tokio::test]
async fn a_terminal_has_the_size_its_client_names_and_takes_every_byte() {
    let stand = Stand::open().await;
    stand.world.engine.on("bash", Script::default().echoes());
    let secret = stand.reserve("bash", Streams::Terminal).await;
    let mut client = stand.client(&secret, "\r\n").await;
    client.until("rendezvous\r\n").await;
    let (container, _) = stand.world.engine.running().pop().expect("it runs");
    assert_eq!(stand.world.engine.terminal_size(&container), Some(TerminalSize { columns: 132, rows: 43 }));
    client.say(b"\x04").await;
    client.say(b"\x03ls\n").await;
    assert_eq!(client.until("ls\n").await, "\x04\x03ls\n", "the terminal itself knows what they mean");
    drop(client);
    stand.until_gone().await;
    let lines = stand.world.lines(stand.app.id).await;
    assert!(lines.iter().any(|line| line.contains("Process exited with status")), "a client that leaves: {lines:#?}");
}

#[tokio::test]
async fn the_last_words_and_the_status_line_arrive_before_the_end() {
    let stand = Stand::open().await;
    let status = "\u{ffff} heroku-command-exit-status: 7";
    stand.world.engine.on("false", Script::exits(7).says("roto").says(status));
    let secret = stand.reserve("false", Streams::Terminal).await;
    let mut client = stand.client(&secret, "\r\n").await;
    assert_eq!(client.rest().await, format!("rendezvous\r\nroto\n{status}\n"));
    stand.until_gone().await;
}

#[tokio::test]
async fn a_secret_opens_once_and_says_why_not() {
    let stand = Stand::open().await;
    stand.world.engine.on("true", Script::exits(0));
    let secret = stand.reserve("true", Streams::Terminal).await;
    assert_eq!(stand.client(&secret, "\r\n").await.rest().await, "rendezvous\r\n");
    for secret in [secret, SecretString::from("x".repeat(43))] {
        let heard = stand.client(&secret, "\r\n").await.rest().await;
        assert_eq!(heard, "rendezvous\r\n !    This address has been used, or is too old. Run the command again.\r\n");
    }
    stand.until_gone().await;
}
