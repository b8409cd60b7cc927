//! Every code a dyno or its requests can end with, produced once by an app made for it
//! (`tests/apps/states`) behind a real router, on real Docker: what the visitor gets, and each line.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use siesta::{
    clock::SystemClock,
    domain::{AppId, DynoState, Holder, Plan, QuotaKind, app::App},
    dynos::{AppPhase, RunOrder, Streams, Which},
    engine::{Engine as _, docker::Docker},
    logs::Filter,
    plans::PlanChange,
    router::{Listener, Platform, Router, RouterParts, RunningRouter},
    scheduler::Tasks,
    slugs::app_image,
};

use super::builds::with_limits;
use crate::support::{
    wait::{LONG, comes},
    yard::{Yard, succeeded},
};

/// What a visitor waits for in this house.
const SHORT: Duration = Duration::from_secs(2);
const QUOTA: u64 = 256 << 20;

/// An app and the street in front of it.
struct Scene<'a> {
    yard: &'a Yard,
    app: App,
    address: SocketAddr,
    client: reqwest::Client,
}

/// A router of its own before the yard's dynos.
pub(super) fn router(yard: &Yard, tasks: &Tasks) -> (SocketAddr, RunningRouter) {
    let parts = RouterParts {
        config: yard.config.clone(),
        clock: Arc::new(SystemClock),
        routes: yard.dynos.routes(),
        logs: Some(yard.logs.clone()),
        traffic: None,
        platform: Platform::new(axum::Router::new(), tasks),
        tls: None,
        door: None,
        tasks: tasks.clone(),
    };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), false, 1).unwrap();
    (listener.local_addr().unwrap(), Router::new(parts).start(vec![listener]).unwrap())
}

impl Scene<'_> {
    /// The status of an answer, whose body may be cut off; 0 when its head was lost with it.
    async fn ask(&self, path: &str) -> u16 {
        let host = format!("{}.localhost", self.app.name);
        let request = self.client.get(format!("http://{}{path}", self.address)).header("host", host);
        let Ok(answer) = request.send().await else { return 0 };
        let status = answer.status().as_u16();
        let _ = answer.bytes().await;
        status
    }

    async fn lines(&self) -> Vec<String> {
        let lines = self.yard.logs.recent(self.app.id, &Filter::default(), 1_500).await.unwrap();
        lines.iter().map(|(_, line)| format!("{}[{}]: {}", line.source.as_str(), line.ps, line.message)).collect()
    }

    /// Waits until the log holds a line with all of these words, behind the first `from` lines.
    async fn says(&self, from: usize, words: &[&str]) {
        let said = async || self.lines().await.iter().skip(from).any(|line| words.iter().all(|word| line.contains(word)));
        self.until(&format!("{words:?}"), said).await;
    }

    /// Asks and waits for the router's line.
    async fn fails(&self, path: &str, status: u16, code: &str) {
        let from = self.lines().await.len();
        let got = self.ask(path).await;
        assert!(got == status || (status == 200 && got == 0), "{path}: {got}\n{}", self.lines().await.join("\n"));
        self.says(from, &["heroku[router]: ", code, &format!("path=\"{path}\"")]).await;
    }

    /// Waits until `/` is answered by the app.
    async fn serves(&self) {
        let served = async || {
            self.yard.dynos.sweep();
            self.ask("/").await == 200
        };
        self.until("the app's answer", served).await;
    }

    /// Waits until it is so; shows the log when it never is.
    async fn until(&self, what: &str, is_so: impl AsyncFnMut() -> bool) {
        if !comes(is_so).await {
            panic!("never came: {what}\n{}", self.lines().await.join("\n"));
        }
    }

    async fn until_phase(&self, phase: AppPhase) {
        let mut status = self.yard.dynos.status(self.app.id).unwrap();
        let waited = tokio::time::timeout(LONG, status.wait_for(|status| status.phase == phase)).await;
        assert!(waited.is_ok(), "never {phase:?}\n{}", self.lines().await.join("\n"));
    }

    async fn scale(&self, process_type: &str, count: &str) {
        let change = [(process_type.parse().unwrap(), count.parse().unwrap())];
        self.yard.dynos.scale(self.app.id, &change, &self.yard.by).await.unwrap();
    }

    /// What these dynos do to their visitors.
    async fn answers_badly(&self) {
        for (path, status, code) in [
            ("/rude", 503, "at=error code=H13 desc=\"Connection closed without response\""),
            ("/nonsense", 503, "at=error code=H17 desc=\"Poorly formatted HTTP response\""),
            ("/countless", 502, "at=error code=H25 desc=\"HTTP restriction: invalid content length\""),
            ("/torn", 200, "sock=backend at=error code=H18 desc=\"Server Request Interrupted\""),
            ("/stuck", 200, "at=error code=H15 desc=\"Idle connection\""),
        ] {
            self.fails(path, status, code).await;
        }
        self.fails("/slow", 503, "at=error code=H12 desc=\"Request timeout\"").await;
        self.crowds(&["/slow", "/slow", "/slow", "/one-more"], "code=H22 desc=\"Connection limit reached\"").await;
    }

    /// One visitor a path asks again and again until the log says so.
    async fn crowds(&self, paths: &[&str], code: &str) {
        let from = self.lines().await.len();
        let over = std::cell::Cell::new(false);
        let visitors = paths.iter().map(async |path| {
            while !over.get() {
                // Who comes while another asks anew is served.
                assert!(matches!(self.ask(path).await, 200 | 503), "{path}");
                over.set(over.get() || self.lines().await.iter().skip(from).any(|line| line.contains(code)));
            }
        });
        if tokio::time::timeout(LONG, futures_util::future::join_all(visitors)).await.is_err() {
            panic!("never said: {code}\n{}", self.lines().await.join("\n"));
        }
    }

    /// What their owner does.
    async fn is_switched_off(&self) {
        let (apps, by) = (&self.yard.apps, &self.yard.by);
        apps.set_maintenance(self.app.id, true, by).await.unwrap();
        self.fails("/", 503, "at=info code=H80 desc=\"Maintenance mode\"").await;
        apps.set_maintenance(self.app.id, false, by).await.unwrap();
        self.scale("web", "0").await;
        self.until_phase(AppPhase::Off).await;
        self.fails("/", 503, "at=error code=H14 desc=\"No web processes running\"").await;
        self.scale("web", "1").await;
        self.serves().await;
    }

    /// What a process does to those who want it to end.
    async fn does_not_listen_to_signals(&self) {
        let from = self.lines().await.len();
        self.scale("deaf", "1").await;
        self.says(from, &["app[deaf.1]: deaf"]).await;
        self.scale("deaf", "0").await;
        for words in [
            "heroku[deaf.1]: Stopping all processes with SIGTERM",
            "heroku[deaf.1]: Error R12 (Exit timeout) -> At least one process failed to exit within 1 seconds of SIGTERM",
            "heroku[deaf.1]: Stopping remaining processes with SIGKILL",
            "heroku[deaf.1]: Process exited with status 137",
        ] {
            self.says(from, &[words]).await;
        }
        let order = |command: &str| RunOrder {
            command: command.to_owned(),
            process_type: "run".parse().unwrap(),
            env: Vec::new(),
            time_to_live: None,
            by: self.yard.by.clone(),
        };
        let (_, secret) = self.yard.dynos.reserve(self.app.id, order("deaf"), Streams::Pipes).await.unwrap();
        let mut client = self.yard.dynos.attach(&secret).await.unwrap();
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains("deaf\n") {
            heard.extend(client.output.next().await.expect("it speaks").expect("bytes"));
        }
        drop(client);
        self.says(from, &["heroku[run.", "Error R16 (Detached) -> An attached process is not responding to SIGHUP"]).await;
        self.until("the end of the one-off", async || self.yard.dynos.one_offs(self.app.id).is_empty()).await;
        self.yard.dynos.reserve(self.app.id, order("crash"), Streams::Pipes).await.unwrap();
        let missed = async || {
            self.yard.dynos.sweep();
            self.lines().await.iter().any(|line| line.contains("Error R13 (Attach error) -> Failed to attach to process"))
        };
        self.until("R13", missed).await;
    }

    /// What a dyno writes has an end.
    async fn fills_its_disk(&self) {
        let from = self.lines().await.len();
        self.yard.dynos.check_disks().await;
        assert_eq!(self.ask("/fill?8000000").await, 200, "what little it wrote before stopped nothing");
        self.yard.dynos.check_disks().await;
        let why = "The dyno wrote 7 MB to its disk, more than its 4 MB, and is stopped. Its files are gone; keep them elsewhere.";
        self.says(from, &["heroku[web.1]: ", why]).await;
        self.says(from, &["heroku[web.1]: Process exited with status 137"]).await;
        self.serves().await;
        // What follows begins with a first crash.
        self.yard.dynos.restart(self.app.id, Which::All).await.unwrap();
        self.serves().await;
    }

    /// R14 when the working set fills the quota, R15 when there is no end to it.
    async fn takes_memory(&self) {
        let from = self.lines().await.len();
        let (line, end) =
            if self.yard.dynos.can_nap() { (QUOTA + (2 << 20), QUOTA + (4 << 20)) } else { (QUOTA - QUOTA / 250, QUOTA - QUOTA / 500) };
        loop {
            let usages = self.yard.dynos.usage(self.app.id).await.unwrap();
            let (_, usage) = usages.iter().find(|(name, _)| name.process_type.is_web()).expect("it runs");
            let used = usage.working_set_bytes();
            if used >= line {
                break;
            }
            assert_eq!(self.ask(&format!("/hold?{}", (end - used) * 3 / 4)).await, 200);
        }
        self.yard.dynos.sample().await.unwrap();
        self.says(from, &["heroku[web.1]: Process running mem="]).await;
        self.says(from, &["heroku[web.1]: Error R14 (Memory quota exceeded)"]).await;
        self.ask("/hog").await;
        self.says(from, &["heroku[web.1]: Error R15 (Memory quota vastly exceeded)"]).await;
        self.says(from, &["heroku[web.1]: Process exited with status 137"]).await;
        self.says(from, &["heroku[web.1]: State changed from up to crashed"]).await;
        self.serves().await;
    }

    /// A second crash in a row cools off; a dyno that closes its port refuses; one that is removed
    /// by somebody comes back.
    async fn crashes(&self, engine: &Docker) {
        let from = self.lines().await.len();
        self.ask("/exit?3").await;
        self.says(from, &["heroku[web.1]: Process exited with status 3"]).await;
        self.says(from, &["heroku[web.1]: State changed from up to crashed"]).await;
        self.until_phase(AppPhase::Crashed).await;
        self.fails("/", 503, "at=error code=H10 desc=\"App crashed\"").await;
        self.yard.dynos.restart(self.app.id, Which::All).await.unwrap();
        self.serves().await;
        assert_eq!(self.ask("/unlisten").await, 200);
        let from = self.lines().await.len();
        // Until the port is closed it still answers.
        while !self.lines().await.iter().any(|line| line.contains("at=error code=H21 desc=\"Backend connection refused\"")) {
            self.ask("/").await;
        }
        for container in engine.list().await.unwrap() {
            if container.labels.get(siesta::engine::spec::LABEL_APP) == Some(&self.app.id.to_string()) {
                engine.remove(container.id).await.unwrap();
            }
        }
        let lost = "heroku[web.1]: Error R99 (Platform error) -> The container was removed, or ended together with the container engine.";
        self.says(from, &[lost]).await;
        self.serves().await;
    }

    /// The platform's own fault, and the end of the quota.
    async fn is_let_down(&self, engine: &Docker) {
        let from = self.lines().await.len();
        self.yard.dynos.stop(self.app.id, Which::All).await.unwrap();
        self.says(from, &["heroku[web.1]: Process exited"]).await;
        let release = self.yard.reader.current_release(self.app.id).await.unwrap().unwrap();
        let slug = self.yard.reader.slug(release.slug_id.unwrap()).await.unwrap().unwrap();
        let code = self.yard.data.join("files").join(&slug.code_file);
        let hidden = self.yard.data.join("hidden");
        std::fs::rename(&code, &hidden).unwrap();
        while engine.has_image(app_image(slug.id)).await.unwrap() {
            engine.remove_image(app_image(slug.id)).await.unwrap();
        }
        self.fails("/", 503, "at=error code=H99 desc=\"Platform error\"").await;
        self.says(from, &["heroku[web.1]: Error R99 (Platform error) -> "]).await;
        std::fs::rename(&hidden, &code).unwrap();
        self.serves().await;
        let second = 1.0 / 3600.0;
        let short = PlanChange {
            quota: Some(QuotaKind::Daily),
            awake_hours: Some(second),
            window_hours: Some(1.0),
            rest_hours: Some(1.0),
            ..PlanChange::default()
        };
        self.yard.plans.set("short", &short).await.unwrap();
        self.yard.plans.assign(Holder::App(self.app.id), Some("short")).await.unwrap();
        let mut status = self.yard.dynos.status(self.app.id).unwrap();
        tokio::time::timeout(LONG, status.wait_for(|status| status.quota.deny_until.is_some())).await.expect("the quota ends").unwrap();
        self.fails("/", 503, "at=info code=H82 desc=\"Free dyno quota exhausted\"").await;
    }
}

/// An app whose web process never binds its port.
async fn never_binds(scene: &Scene<'_>) {
    let from = 0;
    scene.says(from, &["heroku[web.1]: State changed from down to starting"]).await;
    scene.fails("/", 503, "at=error code=H20 desc=\"App boot timeout\"").await;
    scene.crowds(&["/first", "/second"], "at=error code=H11 desc=\"Backlog too deep\"").await;
    for words in [
        "heroku[web.1]: Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 20 seconds of launch",
        "heroku[web.1]: Stopping process with SIGKILL",
        "heroku[web.1]: Process exited with status 137",
        "heroku[web.1]: State changed from starting to crashed",
    ] {
        scene.says(from, &[words]).await;
    }
}

/// The folder as an archive.
fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all("source", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/states")).expect("an app");
    tar.into_inner().expect("a tar")
}

async fn is_up(yard: &Yard, app: AppId) {
    let mut status = yard.dynos.status(app).unwrap();
    let up = status.wait_for(|status| status.dynos.iter().any(|dyno| dyno.state == DynoState::Up));
    tokio::time::timeout(LONG, up).await.expect("it comes up").unwrap();
}

#[tokio::test]
async fn every_code_is_produced_once_by_an_app_that_deserves_it() {
    let plan = Plan { memory_bytes: QUOTA as i64, process_types: 3, ..Plan::free() };
    let limits = |limits: &mut siesta::config::Limits| {
        // Longer than any boot here on a loaded machine.
        limits.boot_timeout = Duration::from_secs(20);
        (limits.wake_patience, limits.waking_page_after) = (SHORT, SHORT);
        (limits.first_byte, limits.idle_stream) = (SHORT, SHORT);
        limits.stop_grace = Duration::from_secs(1);
        (limits.hang_up_pause, limits.attach_timeout) = (Duration::from_millis(200), Duration::from_secs(1));
        (limits.max_open, limits.max_waiting) = (3, 1);
        limits.dyno_disk_bytes = 4 << 20;
    };
    with_limits(plan, limits, async |yard, engine| {
        let tasks = Tasks::new();
        let (address, router) = router(yard, &tasks);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let scene = |app: App| Scene { yard, app, address, client: client.clone() };
        let (good, unbound) = (scene(yard.app("estados").await), scene(yard.app("sordo").await));
        good.fails("/", 503, "at=info code=H81 desc=\"Blank app\"").await;
        succeeded(yard.deploy(good.app.id, archive()).await);
        is_up(yard, good.app.id).await;
        let vars = BTreeMap::from([("UNBOUND".parse().unwrap(), Some("1".into()))]);
        yard.releases.set_config(unbound.app.id, vars, &yard.by).await.unwrap();
        yard.enqueue(unbound.app.id, archive()).await;
        let all = async {
            good.answers_badly().await;
            good.is_switched_off().await;
            good.does_not_listen_to_signals().await;
            good.fills_its_disk().await;
            good.takes_memory().await;
            good.crashes(engine).await;
        };
        tokio::join!(all, never_binds(&unbound));
        good.is_let_down(engine).await;
        router.stop().await;
        tasks.stop(LONG).await;
    })
    .await;
}
