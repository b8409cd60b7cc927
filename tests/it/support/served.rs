//! A real `siesta serve` in a process of its own: real Docker, real files, real sockets.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use siesta::engine::{Engine, docker::Docker};

pub const PASSWORD: &str = "correct horse battery";
pub const ADMIN: &str = "ana@example.org";

/// One server and its data folder; gone with everything it made when dropped.
pub struct Served {
    child: Option<Child>,
    pub data: tempfile::TempDir,
    /// The http port on 127.0.0.1.
    pub port: u16,
    extra: Vec<(String, String)>,
    range: String,
    pub client: reqwest::Client,
}

/// A program of ours or of the system, run by a test.
#[expect(clippy::disallowed_methods, reason = "tests run the real program")]
pub fn program(path: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(path)
}

/// The stack images and build settings `script/test` hands to the tests.
fn inherited() -> Vec<(String, String)> {
    std::env::vars().filter(|(key, _)| key.starts_with("SIESTA_STACK_") || key.starts_with("SIESTA_BUILD_")).collect()
}

/// A client without connections to an earlier server.
fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("a client")
}

impl Served {
    /// Starts a server with these environment variables on top.
    pub fn start(extra: &[(&str, &str)]) -> Served {
        // A test's own storms need it as much as the server does.
        siesta::server::lift_open_files().expect("more open files");
        let number =
            std::process::id() as usize * 7 + std::sync::atomic::AtomicUsize::fetch_add(&NEXT, 1, std::sync::atomic::Ordering::Relaxed);
        let mut served = Served {
            child: None,
            data: tempfile::tempdir().expect("a data folder"),
            port: 0,
            extra: extra.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            range: format!("10.{}.0.0/16", 100 + number % 100),
            client: client(),
        };
        served.run();
        served
    }

    /// Starts (again) on the same data folder.
    pub fn run(&mut self) {
        let port = self.spawn();
        self.port = port.unwrap_or_else(|| panic!("the server did not come up:\n{}", self.server_log()));
    }

    /// Starts a server that ends before it is up (a fail point).
    pub fn run_to_its_end(&mut self) {
        assert_eq!(self.spawn(), None, "the server came up:\n{}", self.server_log());
        self.kill();
    }

    /// The port it says it listens on.
    fn spawn(&mut self) -> Option<u16> {
        // With the usual limit of open files, which the server must lift by itself.
        let mut command = program("/bin/sh");
        command
            .args(["-c", "ulimit -S -n 1024; exec \"$0\" serve", env!("CARGO_BIN_EXE_siesta")])
            .env("SIESTA_DATA_DIR", self.data.path())
            .env("SIESTA_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("SIESTA_LISTEN_TLS", "127.0.0.1:0")
            .env("SIESTA_NETWORK_RANGE", &self.range)
            .env("SIESTA_ACCEPT_OPEN_NETWORK", "true")
            .envs(inherited())
            .envs(self.extra.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a log file"));
        let mut child = command.spawn().expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Dashboard: ").and_then(|url| url.rsplit(':').next()?.trim_end_matches('/').parse().ok()));
        self.child = Some(child);
        self.client = client();
        std::thread::spawn(move || lines.for_each(drop));
        port
    }

    /// Sets a variable for the next `run`.
    pub fn set(&mut self, key: &str, value: Option<&str>) {
        self.extra.retain(|(known, _)| known != key);
        self.extra.extend(value.map(|value| (key.to_owned(), value.to_owned())));
    }

    fn log(&self) -> PathBuf {
        self.data.path().join("server.log")
    }

    pub fn server_log(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until the server has ended by itself (a fail point).
    pub async fn wait_for_end(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        while self.child.as_mut().is_some_and(|child| child.try_wait().expect("a child of ours").is_none()) {
            assert!(Instant::now() < end, "the server did not end:\n{}", self.server_log());
            pace.tick().await;
        }
        self.child = None;
    }

    /// Runs a subcommand; its standard output, or its standard error as `Err`.
    pub fn cli(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = program(env!("CARGO_BIN_EXE_siesta"))
            .args(arguments)
            .env("SIESTA_DATA_DIR", self.data.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("the password is read");
        let mut out = String::new();
        let mut err = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
        child.stderr.take().expect("piped").read_to_string(&mut err).expect("text");
        if child.wait().expect("an exit").success() { Ok(out) } else { Err(format!("{out}{err}")) }
    }

    /// Makes the administrator and a token for the API.
    pub fn claim(&self) -> String {
        self.cli(&["user", "create", ADMIN, "--admin"], PASSWORD).expect("an administrator");
        self.cli(&["token", "create", ADMIN], "").expect("a token").trim().to_owned()
    }

    /// Deploys a folder of the examples under a name.
    pub fn deploy(&self, app: &str, example: &str) -> Result<String, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
        self.cli(&["deploy", "--app", app, folder.to_str().expect("a path in UTF-8")], "")
    }

    /// A request to an app, by its host name.
    pub fn app(&self, name: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("http://127.0.0.1:{}{path}", self.port)).header("host", format!("{name}.localhost:{}", self.port))
    }

    /// A call of the Platform API.
    pub fn api(&self, method: &str, path: &str, token: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.client
            .request(method, format!("http://localhost:{}{path}", self.port))
            .header("accept", "application/vnd.heroku+json; version=3")
            .bearer_auth(token)
    }

    /// A GET of the API as JSON.
    pub async fn get(&self, path: &str, token: &str) -> Value {
        self.api("GET", path, token).send().await.expect("an answer").json().await.expect("JSON")
    }

    /// Asks again until the answer is what is awaited; panics with the last one after `patience`.
    pub async fn until<T: std::fmt::Debug>(&self, patience: Duration, mut ask: impl AsyncFnMut() -> T, is: impl Fn(&T) -> bool) -> T {
        let end = Instant::now() + patience;
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            let answer = ask().await;
            if is(&answer) {
                return answer;
            }
            assert!(Instant::now() < end, "never came: the last answer was {answer:?}\n{}", self.server_log());
        }
    }

    /// The id under which this server labels what it makes.
    pub fn instance(&self) -> String {
        let status = self.cli(&["status"], "").expect("a running server");
        let status: Value = serde_json::from_str(&status).expect("JSON");
        status["instance"].as_str().expect("an instance id").to_owned()
    }

    /// The engine as this server sees it.
    pub fn engine(&self, instance: &str) -> Docker {
        Docker::connect(Path::new("/var/run/docker.sock"), instance).expect("Docker")
    }
}

/// Removes whatever a server has in the engine, as a machine that is gone would.
pub async fn remove_all(instance: &str) {
    let engine = Docker::connect(Path::new("/var/run/docker.sock"), instance).expect("Docker");
    for container in engine.list().await.unwrap_or_default() {
        let _ = engine.remove(container.id).await;
    }
    for image in engine.list_images().await.unwrap_or_default() {
        let _ = engine.remove_image(image).await;
    }
    remove_leftovers(instance).await;
}

/// Removes the networks and cache volumes of a server, as `docker system prune --volumes` would.
pub async fn remove_leftovers(instance: &str) {
    use bollard::query_parameters::{ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptionsBuilder};
    let docker = bollard::Docker::connect_with_unix("/var/run/docker.sock", 120, bollard::API_DEFAULT_VERSION).expect("Docker");
    let ours = std::collections::HashMap::from([("label", vec![format!("{}={instance}", siesta::engine::spec::LABEL_INSTANCE)])]);
    let networks = ListNetworksOptionsBuilder::default().filters(&ours).build();
    for network in docker.list_networks(Some(networks)).await.unwrap_or_default() {
        let _ = docker.remove_network(network.id.as_deref().unwrap_or_default()).await;
    }
    let volumes = ListVolumesOptionsBuilder::default().filters(&ours).build();
    for volume in docker.list_volumes(Some(volumes)).await.ok().and_then(|list| list.volumes).unwrap_or_default() {
        let _ = docker.remove_volume(&volume.name, Some(RemoveVolumeOptionsBuilder::default().force(true).build())).await;
    }
}

static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

impl Drop for Served {
    fn drop(&mut self) {
        let instance = std::fs::read_to_string(self.data.path().join("instance")).unwrap_or_default();
        self.kill();
        if instance.is_empty() {
            return;
        }
        let data = instance.trim().to_owned();
        let clean = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(remove_all(&data));
        };
        let _ = std::thread::spawn(clean).join();
    }
}
