//! An engine of the test's own that is restarted, killed and pruned behind the server's back: a
//! second dockerd with folders and a socket of its own. The machine's is never touched.

use std::{
    path::PathBuf,
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use siesta::{
    domain::{AppId, Plan, app::App, slug::Slug},
    dynos::{AppPhase, Which},
    engine::{Container, Engine, docker::Docker},
    slugs::files,
};

use super::tiny::{tiny_copy, tiny_image};
use crate::{
    engine_contract::{bytes, tar_of},
    support::{
        house,
        served::program,
        wait::{LONG, until},
        yard::Yard,
    },
};

/// The default bridge of the test's own dockerd: without one it would remove the machine's.
const BRIDGE: &str = "siesta-test0";

fn ip(arguments: &str) -> bool {
    program("ip").args(arguments.split(' ')).stderr(Stdio::null()).status().expect("the Debian package iproute2").success()
}

/// A dockerd, gone with everything in it when dropped.
struct Daemon {
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Daemon {
    async fn start() -> Daemon {
        let mut daemon = Daemon { folder: tempfile::tempdir().unwrap(), child: None };
        // One that a killed test left is taken as it is.
        let made = ip(&format!("link add {BRIDGE} type bridge")) && ip(&format!("addr add 10.254.77.1/24 dev {BRIDGE}"));
        assert!(made || ip(&format!("link show {BRIDGE}")), "a bridge for the engine");
        daemon.run().await;
        daemon
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    /// Starts it (again) and waits until it answers.
    async fn run(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let option = |name: &str, file: &str| format!("--{name}={}", self.path(file).display());
        let child = program("dockerd")
            .args([option("data-root", "data"), option("exec-root", "exec"), option("pidfile", "pid")])
            .arg(format!("--host=unix://{}", self.socket().display()))
            // No rule and no bridge of the machine's is touched.
            .args([&format!("--bridge={BRIDGE}"), "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--shutdown-timeout=2"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the Debian package docker.io (script/test installs it)"));
        until("an answer of dockerd", async || self.docker(&["version"]).is_ok()).await;
    }

    /// What an operator types.
    fn docker(&self, arguments: &[&str]) -> Result<String, String> {
        let socket = format!("unix://{}", self.socket().display());
        let done = program("docker").args(["--host", &socket]).args(arguments).output().map_err(|error| error.to_string())?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if done.status.success() { Ok(text(done.stdout)) } else { Err(text(done.stderr)) }
    }

    /// As a service manager does: SIGTERM, and its end awaited.
    fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = program("kill").arg(child.id().to_string()).status();
        let _ = child.wait();
    }

    /// SIGKILL to the daemon alone: containers and containerd are left where they are.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // Its containerd dies with it; where nobody reaps it, it would be taken for alive.
        let _ = std::fs::remove_file(self.path("exec/containerd/containerd.pid"));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(all) = self.docker(&["ps", "-aq"]) {
            let _ = self.docker(&[&["rm", "-f"], all.split_whitespace().collect::<Vec<_>>().as_slice()].concat());
        }
        let _ = self.docker(&["network", "prune", "-f"]);
        self.stop();
        ip(&format!("link delete {BRIDGE}"));
        // What one that was killed had mounted over its own folder.
        let _ = program("umount").args(["-l", "-q"]).arg(self.path("data")).status();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.path("log")).unwrap_or_default());
        }
    }
}

/// An app of the tiny image that answers with a word.
async fn app(yard: &Yard, stack: &str, word: &str) -> App {
    let app = yard.app(word).await;
    let page = format!("app/{word}");
    let code = tar_of(&[(page.as_str(), word.as_bytes())]);
    let stored = files::store(yard.slugs.folder().unwrap(), bytes(code), 1 << 20).await.unwrap();
    let slug = Slug {
        code_file: stored.sha256,
        stack: stack.to_owned(),
        ..house::plain_slug(app.id, "web: httpd -f -p $PORT -h /app", app.created_at)
    };
    yard.releases.deploy(app.id, slug, "1a2b3c4d5e6f", &yard.by).await.unwrap_or_else(|error| panic!("{error}"));
    app
}

/// Waits until each of these answers with its name, and nothing else of ours runs.
async fn all_serve(yard: &Yard, engine: &Docker, words: &[&str]) {
    for word in words {
        until(&format!("an answer of {word}"), async || answers(yard, word).await).await;
    }
    let alone = async || {
        let found = engine.list().await.unwrap_or_default();
        found.len() == words.len() && found.iter().all(|container: &Container| container.running)
    };
    until("dynos of theirs alone", alone).await;
}

async fn answers(yard: &Yard, word: &str) -> bool {
    let route = yard.dynos.routes().find(&format!("{word}.localhost")).expect("a route");
    let siesta::dynos::Entry::Held(waiting) = route.gate.enter() else { return answer(yard, word).await };
    waiting.admitted(Duration::from_secs(10)).await.is_ok() && answer(yard, word).await
}

/// Whether the dyno the gate names answers; one that is on its way out may not.
async fn answer(yard: &Yard, word: &str) -> bool {
    let route = yard.dynos.routes().find(&format!("{word}.localhost")).expect("a route");
    let siesta::dynos::Entry::Admitted(lease) = route.gate.enter() else { return false };
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let got = async { client.get(format!("http://{}/{word}", lease.target().address)).send().await?.text().await };
    got.await.is_ok_and(|text| text == word)
}

async fn sleeps(yard: &Yard, app: AppId) {
    let mut status = yard.dynos.status(app).unwrap();
    tokio::time::timeout(LONG, status.wait_for(|status| status.phase == AppPhase::Asleep)).await.expect("it sleeps").unwrap();
}

#[tokio::test]
async fn dynos_come_back_after_their_engine_restarts_dies_and_is_pruned() {
    let mut daemon = Daemon::start().await;
    let instance = format!("t{:08x}", rand::random::<u32>());
    let engine = Arc::new(Docker::connect(&daemon.socket(), &instance).unwrap());
    let stack = tiny_image(engine.as_ref()).await;
    let data = tempfile::tempdir().unwrap();
    // The copy from which a lost stack image comes back.
    let copy = files::store(data.path().to_owned(), tiny_copy(&stack), 64 << 20).await.unwrap();
    let name = stack.0.strip_prefix("siesta/").unwrap().replace(':', "-");
    std::fs::create_dir(data.path().join("stack")).unwrap();
    std::fs::rename(data.path().join(copy.sha256), data.path().join("stack").join(format!("{name}.tar.zst"))).unwrap();
    let range = format!("10.{}.{}.0/24", 246 + rand::random::<u8>() % 8, rand::random::<u8>());
    let flags = ["--network-range", &range, "--stack-run", &stack.0];
    let yard = Yard::open(engine.clone(), &instance, data.path(), &flags, Plan::free()).await;
    let (_, duerme) = (app(&yard, &stack.0, "vive").await, app(&yard, &stack.0, "duerme").await);
    all_serve(&yard, &engine, &["vive", "duerme"]).await;
    yard.dynos.stop(duerme.id, Which::All).await.unwrap();
    sleeps(&yard, duerme.id).await;
    all_serve(&yard, &engine, &["vive"]).await;

    for graceful in [true, false] {
        if graceful {
            daemon.stop()
        } else {
            daemon.kill()
        }
        daemon.run().await;
        all_serve(&yard, &engine, &["vive"]).await;
    }
    sleeps(&yard, duerme.id).await;

    let ids = daemon.docker(&["ps", "-q"]).unwrap();
    daemon.docker(&["rm", "-f", ids.trim()]).unwrap();
    daemon.docker(&["system", "prune", "-af", "--volumes"]).unwrap();
    all_serve(&yard, &engine, &["vive", "duerme"]).await;
    let releases = yard.reader.releases(duerme.id).await.unwrap();
    assert_eq!(releases.len(), 3, "nothing was released anew");
    for app in yard.reader.apps().await.unwrap() {
        yard.apps.destroy(app.id, &yard.by).await.unwrap();
    }
    yard.stop().await;
    assert!(engine.list().await.unwrap().is_empty());
}
