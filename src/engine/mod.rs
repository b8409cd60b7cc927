//! Containers: the seam to the engine. Nobody else names bollard.
//!
//! `Engine` is message-shaped (owned, serialisable arguments), so that a later split of the process
//! that holds the Docker socket is a transport, not a rewrite. Real Docker decides what each method
//! means; `fake` follows it and one contract suite runs over both.

pub mod docker;
pub mod fake;
pub mod isolation;
pub mod spec;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWrite;

pub use spec::{ContainerSpec, Labels, NetworkRange, NetworkSpec, Streams};

/// The engine's id of a container.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ContainerId(pub String);

/// A reference to an image of ours, like `siesta/run:9f86d081`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ImageRef(pub String);

/// Why the engine did not do it.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    #[error("The container engine does not answer: {0}")]
    Unreachable(String),
    #[error("There is no such container.")]
    NoSuchContainer,
    #[error("There is no such image: {0}")]
    NoSuchImage(String),
    #[error("There is no such network: {0}")]
    NoSuchNetwork(String),
    #[error("There is no {0} in the container.")]
    NoSuchPath(String),
    #[error("The container engine refused: {0}")]
    Refused(String),
    #[error("The container engine did not finish in time: {0}")]
    TimedOut(&'static str),
}

pub type EngineResult<T> = Result<T, EngineError>;

/// A byte stream in either direction; an error ends it.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Where bytes are written to; its shutdown is the end of the input.
pub type ByteSink = Pin<Box<dyn AsyncWrite + Send>>;

/// A container's standard streams. What is not read holds the process back; nothing is collected.
pub struct Attachment {
    pub input: ByteSink,
    /// Ends with the container.
    pub output: ByteStream,
}

/// The last of what a container wrote to its standard error: why it failed, in its own words.
#[derive(Clone, Debug, Default)]
pub struct Complaints(Arc<Mutex<Vec<u8>>>);

impl Complaints {
    /// Bytes that are kept.
    const MOST: usize = 4096;

    /// Adds to the end; the beginning is forgotten when it becomes too much.
    pub(crate) fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let over = kept.len().saturating_sub(Self::MOST);
        kept.drain(..over);
    }

    /// What was written so far, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).trim().to_owned()
    }
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    pub columns: u16,
    pub rows: u16,
}

impl TerminalSize {
    /// The size a client names in its variables.
    pub fn of(env: &[(String, String)]) -> Option<TerminalSize> {
        let number = |wanted: &str| env.iter().find(|(name, _)| name == wanted)?.1.parse::<u16>().ok().filter(|n| (1..=1_000).contains(n));
        Some(TerminalSize { columns: number("COLUMNS")?, rows: number("LINES")? })
    }
}

/// What the engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    pub name: String,
    pub version: String,
    pub api_version: String,
    pub cgroup_version: u8,
    /// `systemd`, `cgroupfs`, or `none`.
    pub cgroup_driver: String,
    pub swap: bool,
    pub cpus: u32,
    pub memory_bytes: i64,
    /// Things the operator should know, as sentences (an old runc, for example).
    pub warnings: Vec<String>,
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// 128 + signal number for a kill.
    pub code: i64,
    /// The kernel killed something in it for memory.
    pub out_of_memory: bool,
}

/// One container of ours, as seen now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: ContainerId,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub running: bool,
    /// Changes with every start: together with the id it says which life of a container an address belongs to.
    pub generation: String,
    /// Its address on the app's network while it runs.
    pub address: Option<IpAddr>,
    /// Its addresses by the names of its networks while it runs.
    pub addresses: BTreeMap<String, IpAddr>,
    /// Set when it has ended.
    pub exit: Option<Exit>,
}

/// Bytes a container wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub stderr: bool,
    /// Microseconds since the epoch, as the engine stamped it.
    pub at_micros: i64,
    /// A line or a part of one, without its newline at the end.
    pub bytes: Bytes,
}

/// Memory and CPU of a container. What an engine does not count is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// All that is charged to it and in memory: processes, files, the kernel's own.
    pub memory_bytes: u64,
    /// What its processes wrote themselves and is in memory.
    pub memory_rss_bytes: u64,
    pub memory_cache_bytes: u64,
    /// The part of the cache that nobody has used for a while: the kernel takes it back first.
    pub memory_idle_cache_bytes: u64,
    pub swap_bytes: u64,
    pub pages_in: u64,
    pub pages_out: u64,
    /// Processes the kernel killed in it for memory.
    pub oom_kills: u64,
    pub cpu_nanos: u64,
    pub pids: u64,
}

impl Usage {
    /// The working set, in memory or in swap, in bytes: what counts against a memory quota. Cache that
    /// only lies there does not.
    pub fn working_set_bytes(&self) -> u64 {
        self.memory_bytes.saturating_sub(self.memory_idle_cache_bytes) + self.swap_bytes
    }
}

/// The container engine. Every method has a time limit of its own and never hangs for ever
/// (`logs`, `wait` and streams last as long as the container does).
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Asks whether the engine is there and what it is.
    async fn info(&self) -> EngineResult<EngineInfo>;

    /// Makes the network if it is not there. Idempotent.
    async fn ensure_network(&self, network: NetworkSpec) -> EngineResult<()>;
    /// Removes a network of ours; one that is not there is fine.
    async fn remove_network(&self, name: String) -> EngineResult<()>;
    /// The names of all networks of this instance.
    async fn list_networks(&self) -> EngineResult<Vec<String>>;

    /// Joins a container to one more network, where others find it under `alias` too. In it already is fine.
    async fn join_network(&self, id: ContainerId, network: String, alias: String) -> EngineResult<()>;
    /// Takes a container out of a network. Not in it, or a network that is gone, is fine.
    async fn leave_network(&self, id: ContainerId, network: String) -> EngineResult<()>;

    /// Creates a container from a spec (never starts it).
    async fn create(&self, spec: ContainerSpec) -> EngineResult<ContainerId>;
    /// Starts it, and checks that it is running: an engine may report success for one that is not.
    async fn start(&self, id: ContainerId) -> EngineResult<Container>;
    /// SIGTERM to all, `grace`, then SIGKILL. Stopped already, or gone, is fine (`None` when gone).
    /// `Some(exit)` with code 137 after a SIGKILL.
    async fn stop(&self, id: ContainerId, grace: Duration) -> EngineResult<Option<Exit>>;
    /// SIGKILL. Gone or stopped is fine.
    async fn kill(&self, id: ContainerId) -> EngineResult<()>;
    /// Removes it, running or not, with its anonymous volumes. Gone is fine.
    async fn remove(&self, id: ContainerId) -> EngineResult<()>;
    /// Gives a container another name; its labels stay. Refused where the name is taken.
    async fn rename(&self, id: ContainerId, name: String) -> EngineResult<()>;
    /// What it is now; `None` when it is gone.
    async fn inspect(&self, id: ContainerId) -> EngineResult<Option<Container>>;
    /// All containers that carry our instance's label, in every state.
    async fn list(&self) -> EngineResult<Vec<Container>>;
    /// Waits until it has ended; `NoSuchContainer` when it is removed while it runs.
    async fn wait(&self, id: ContainerId) -> EngineResult<Exit>;
    /// Its output from `since_micros` on; follows until it ends.
    async fn logs(&self, id: ContainerId, since_micros: Option<i64>) -> EngineResult<BoxStream<'static, EngineResult<Output>>>;
    /// The standard streams of a container made with `Streams`: asked for before the start, so that
    /// nothing is missed.
    async fn attach(&self, id: ContainerId) -> EngineResult<Attachment>;
    /// The same for a container without a terminal whose standard output is data: what it writes to
    /// standard error is kept aside.
    async fn attach_apart(&self, id: ContainerId) -> EngineResult<(Attachment, Complaints)>;
    /// Sets the size of a running container's terminal; one that has ended or has none is fine.
    async fn resize(&self, id: ContainerId, size: TerminalSize) -> EngineResult<()>;
    /// SIGHUP: its client is gone. Gone or stopped is fine.
    async fn hang_up(&self, id: ContainerId) -> EngineResult<()>;
    /// Memory and CPU now of those that run, in one cheap pass; the others are left out.
    async fn usage(&self, ids: Vec<ContainerId>) -> EngineResult<BTreeMap<ContainerId, Usage>>;
    /// Pages out what the container's processes hold, while they run on; no limit changes. False:
    /// it cannot be done here (no swap, cgroup files out of reach, or the container has ended).
    async fn reclaim(&self, id: ContainerId) -> EngineResult<bool>;

    /// Bytes a container wrote to its own file system (not to mounts).
    async fn written(&self, id: ContainerId) -> EngineResult<u64>;

    /// Unpacks a tar stream (uncompressed) at `path`, a folder that exists, inside a container that
    /// was created. Owners in the tar count. An entry `cache/` put at `/` sets the owner of a cache volume.
    async fn put_archive(&self, id: ContainerId, path: PathBuf, tar: ByteStream) -> EngineResult<()>;
    /// A file or folder inside the container as a tar stream; names begin with its own last part.
    async fn get_archive(&self, id: ContainerId, path: PathBuf) -> EngineResult<ByteStream>;

    /// Whether the image is there.
    async fn has_image(&self, image: ImageRef) -> EngineResult<bool>;
    /// Freezes a container's file system as an image with labels of ours. Only a container without
    /// variables of its own (`spec::assembly_spec`) can be frozen: the engine keeps a container's
    /// environment in the image, and nothing can take it out again.
    async fn commit(&self, id: ContainerId, image: ImageRef, labels: Labels) -> EngineResult<()>;
    /// Loads images from a tar as `docker save` writes it.
    async fn load_images(&self, tar: ByteStream) -> EngineResult<()>;
    /// Removes an image of ours (`siesta/...`); one that is not there, or is in use, is fine.
    async fn remove_image(&self, image: ImageRef) -> EngineResult<()>;
    /// Images that carry our instance's label.
    async fn list_images(&self) -> EngineResult<Vec<ImageRef>>;

    /// Removes a cache volume of ours; not there is fine.
    async fn remove_volume(&self, name: String) -> EngineResult<()>;
}

/// Refuses to freeze a container that has variables of its own.
fn may_commit<'a>(mut env: impl Iterator<Item = &'a str>) -> EngineResult<()> {
    match env.next() {
        None => Ok(()),
        Some(name) => Err(EngineError::Refused(format!("a container with variables of its own ({name}) never becomes an image"))),
    }
}

/// Refuses an image that does not carry our prefix.
fn must_be_ours(image: &ImageRef) -> EngineResult<()> {
    if image.0.starts_with(spec::IMAGE_PREFIX) {
        return Ok(());
    }
    Err(EngineError::Refused(format!("{} is not an image of ours", image.0)))
}
