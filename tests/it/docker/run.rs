//! Consoles on real Docker, each over a TLS connection of its own as `heroku run` opens it. Six at
//! once; with `SIESTA_TEST_SOAK` fifty.

use std::{net::SocketAddr, panic::AssertUnwindSafe, path::Path, sync::Arc};

use futures_util::{FutureExt as _, future::join_all};
use secrecy::ExposeSecret as _;
use siesta::{
    domain::{Plan, Procfile, SlugId, Timestamp, app::App, slug::Slug},
    dynos::{RunOrder, Streams},
    engine::{Engine, docker::Docker},
    rendezvous,
    slugs::app_image,
    tls,
};
use tokio::{net::TcpListener, sync::Barrier};
use tokio_rustls::TlsAcceptor;

use super::tiny::{socket, tiny_copy};
use crate::support::{house, rendezvous::Client, wait::until, yard::Yard};

/// Apps whose code is a shell, and a server for clients of their one-offs.
struct Stand<'a> {
    yard: &'a Yard,
    apps: Vec<App>,
    address: SocketAddr,
    ca: String,
}

/// Runs a test over real Docker and removes what it made, even when it fails.
async fn with_stand(count: usize, test: impl AsyncFnOnce(&Stand<'_>, &Docker)) {
    let instance = format!("t{:08x}", rand::random::<u32>());
    let engine = Arc::new(Docker::connect(Path::new(&socket()), &instance).expect("a Docker socket"));
    let range = format!("10.{}.0.0/16", 180 + rand::random::<u8>() % 20);
    let data = tempfile::tempdir().expect("a folder");
    let mut config = house::config(data.path(), &["--network-range", &range, "--app-memory-mb", "100000"]);
    config.limits.one_offs.of_user = 50;
    let acceptor = TlsAcceptor::from(tls::server_config(&config).expect("a CA"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let yard = Yard::over(engine.clone(), &instance, config, Plan { apps_per_account: 50, ..Plan::free() }).await;
    let (mut apps, mut images) = (Vec::new(), Vec::new());
    for number in 0..count {
        let app = yard.app(&format!("consola-{number}")).await;
        let slug = shell(&app);
        images.push(app_image(slug.id));
        engine.load_images(tiny_copy(&app_image(slug.id))).await.expect("an image");
        yard.releases.deploy(app.id, slug, "1a2b3c4d5e6f", &yard.by).await.expect("a release");
        apps.push(app);
    }
    let stand =
        Stand { yard: &yard, apps, address: listener.local_addr().expect("an address"), ca: tls::ca_pem(data.path()).expect("a CA") };
    let serve = async {
        let mut visits = tokio::task::JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.expect("a client");
            let (acceptor, dynos) = (acceptor.clone(), yard.dynos.clone());
            visits.spawn(async move { rendezvous::serve(dynos, acceptor.accept(stream).await.expect("TLS")).await });
        }
    };
    let outcome = tokio::select! {
        outcome = AssertUnwindSafe(test(&stand, &engine)).catch_unwind() => outcome,
        () = serve => unreachable!("it serves for ever"),
    };
    for app in &stand.apps {
        yard.apps.destroy(app.id, &yard.by).await.expect("destroyed");
    }
    yard.stop().await;
    for image in images {
        engine.remove_image(image).await.expect("removed");
    }
    assert!(engine.list().await.expect("a list").is_empty(), "nothing is left");
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Code whose image is there already: nothing of it is ever opened.
fn shell(app: &App) -> Slug {
    Slug {
        id: SlugId::new(),
        app_id: app.id,
        commit: None,
        code_file: "c0de".repeat(16),
        deps_file: None,
        deps_key: "0".repeat(64),
        stack: "siesta/run:1".to_owned(),
        language: "Python".to_owned(),
        runtime: "Python 3.11.2".to_owned(),
        process_types: Procfile::parse(b"worker: sleep 1000").expect("a Procfile"),
        size: 1,
        created_at: Timestamp::from_secs(1_790_000_000),
    }
}

impl Stand<'_> {
    /// A terminal with a shell in it.
    async fn console(&self, app: &App) -> Client {
        let env = [("TERM", "xterm"), ("COLUMNS", "97"), ("LINES", "31")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let order = RunOrder {
            command: "sh".to_owned(),
            process_type: "run".parse().expect("a type"),
            env: env.to_vec(),
            time_to_live: None,
            by: self.yard.by.clone(),
        };
        let (_, secret) = self.yard.dynos.reserve(app.id, order, Streams::Terminal).await.expect("room");
        let url = format!("rendezvous://localhost:{}/{}", self.address.port(), secret.expose_secret());
        Client::attach(&url, &self.ca).await
    }
}

#[tokio::test]
async fn many_consoles_at_once_leave_nothing_behind_however_they_end() {
    let count = if std::env::var_os("SIESTA_TEST_SOAK").is_some() { 50 } else { 6 };
    with_stand(count, async |stand, engine| {
        let all_there = Barrier::new(count);
        let visit = async |(number, app): (usize, &App)| {
            let mut client = stand.console(app).await;
            client.say(format!("stty size; echo $((40 + 2))-{number}\n").as_bytes()).await;
            let heard = client.until(&format!("42-{number}\r\n")).await;
            assert!(heard.contains("31 97\r\n"), "{heard:?}");
            all_there.wait().await;
            if number % 2 == 0 {
                client.say(b"exit 3\n").await;
                client.rest().await;
            }
            // The others just leave.
        };
        join_all(stand.apps.iter().enumerate().map(visit)).await;
        until("the end of every process", async || engine.list().await.expect("a list").is_empty()).await;
    })
    .await;
}
