//! The fake engine for tests: containers as values, with the behaviour real Docker showed. One
//! contract suite (`tests/it/engine_contract.rs`) runs over both.
//!
//! How tests drive it:
//!
//! ```ignore
//! let engine = FakeEngine::new("test");             // cheap to clone; Arc::new(engine.clone()) is the seam
//! engine.add_image("siesta/run:1");                 // `create` knows no other images
//! engine.on("gunicorn", Script::default().boots_after(Duration::from_millis(20)));
//! engine.on("flask db upgrade", Script::exits(1).says_err("no such table"));
//! engine.fail_next(Call::Create, EngineError::Refused("disk full".into()));
//! engine.set_unreachable(true);                     // everything fails, containers live on
//! engine.until(|e| e.calls(Call::Start) == 2).await; // never sleep: await the state
//! engine.crash(&id, 1);                             // a running container ends by itself
//! engine.prune();                                   // what `docker system prune -af` leaves
//! ```
//!
//! A rule matches when its text occurs in the image or in any part of the command; the latest rule
//! wins. Without one a container with `PORT` in its environment listens at once, and any other runs
//! until it is stopped. A running container has an address of its own in 127.0.0.0/8, reserved on
//! its `PORT` from the start and open from the boot on: real connections reach a small HTTP server.
//! The isolation probe passes unless a rule for `isolation::PROBE_MARK` says otherwise.

mod files;
mod life;
mod script;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::sync::watch;

use self::{
    files::Files,
    life::{Cell, Phase, Signal},
};
use super::{
    Attachment, ByteStream, Complaints, Container, ContainerId, ContainerSpec, Engine, EngineError, EngineInfo, EngineResult, Exit,
    ImageRef, Labels, NetworkSpec, Output, TerminalSize, Usage, isolation, spec,
};

pub use script::{Answer, Latch, Script};

/// A method of `Engine`, for counters and planned failures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Call {
    Info,
    EnsureNetwork,
    ListNetworks,
    RemoveNetwork,
    JoinNetwork,
    LeaveNetwork,
    Create,
    Start,
    Stop,
    Kill,
    Remove,
    Rename,
    Inspect,
    List,
    Wait,
    Logs,
    Attach,
    Resize,
    HangUp,
    Usage,
    Reclaim,
    Written,
    PutArchive,
    GetArchive,
    HasImage,
    Commit,
    LoadImages,
    RemoveImage,
    ListImages,
    RemoveVolume,
}

/// The fake. Clones share one world.
#[derive(Clone)]
pub struct FakeEngine {
    world: Arc<Mutex<World>>,
    /// Counts changes, for `until`.
    changes: Arc<watch::Sender<u64>>,
}

struct Image {
    labels: Labels,
    files: Files,
}

struct World {
    instance: String,
    containers: BTreeMap<ContainerId, Arc<Cell>>,
    /// Of containers that were given another name than that of their spec.
    renamed: BTreeMap<ContainerId, String>,
    images: BTreeMap<String, Image>,
    networks: BTreeMap<String, NetworkSpec>,
    /// Networks of containers besides those of their specs.
    joined: BTreeMap<(ContainerId, String), Ipv4Addr>,
    volumes: BTreeSet<String>,
    rules: Vec<(String, Script)>,
    failures: HashMap<Call, VecDeque<EngineError>>,
    calls: BTreeMap<Call, u64>,
    unreachable: bool,
    swap: bool,
    created: u64,
    generations: u64,
    next_address: u32,
    /// Addresses of ended containers, when they are to be given out again.
    free_addresses: Option<BTreeSet<Ipv4Addr>>,
    micros: i64,
}

impl FakeEngine {
    /// An empty engine: no images, no containers.
    pub fn new(instance: &str) -> FakeEngine {
        FakeEngine {
            world: Arc::new(Mutex::new(World {
                instance: instance.to_owned(),
                containers: BTreeMap::new(),
                renamed: BTreeMap::new(),
                images: BTreeMap::new(),
                networks: BTreeMap::new(),
                joined: BTreeMap::new(),
                volumes: BTreeSet::new(),
                rules: vec![(isolation::PROBE_MARK.to_owned(), Script::default().says("own open").says("host closed"))],
                failures: HashMap::new(),
                calls: BTreeMap::new(),
                unreachable: false,
                swap: false,
                created: 0,
                generations: 0,
                next_address: rand::random(),
                free_addresses: None,
                micros: 1_700_000_000_000_000,
            })),
            changes: Arc::new(watch::Sender::new(0)),
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test thread panics inside the fake")
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Makes an image known, without files and labels.
    pub fn add_image(&self, image: &str) {
        self.world().images.insert(image.to_owned(), Image { labels: Labels::new(), files: Files::default() });
    }

    /// How containers behave whose image or command contains `text`, from their next start on.
    pub fn on(&self, text: &str, script: Script) {
        self.world().rules.push((text.to_owned(), script));
    }

    /// The next `call` fails with `error`; several queue up.
    pub fn fail_next(&self, call: Call, error: EngineError) {
        self.world().failures.entry(call).or_default().push_back(error);
    }

    /// While true every call fails as if the daemon were down; containers run on.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.world().unreachable = unreachable;
        self.changed();
    }

    /// Whether the host says it has swap.
    pub fn set_swap(&self, swap: bool) {
        self.world().swap = swap;
    }

    /// From now on an ended container's address goes to the next one that starts, as with Docker.
    pub fn reuse_addresses(&self) {
        self.world().free_addresses.get_or_insert_with(BTreeSet::new);
    }

    /// The stamp of the next line; later ones follow a microsecond apart.
    pub fn set_micros(&self, micros: i64) {
        self.world().micros = micros;
    }

    /// How often a method was called, failures included.
    pub fn calls(&self, call: Call) -> u64 {
        self.world().calls.get(&call).copied().unwrap_or(0)
    }

    /// The specs of all containers that run, oldest first.
    pub fn running(&self) -> Vec<(ContainerId, ContainerSpec)> {
        self.all().into_iter().filter(|(_, cell)| cell.phase().is_running()).map(|(id, cell)| (id, cell.spec.clone())).collect()
    }

    /// The specs of all containers there are, oldest first.
    pub fn containers(&self) -> Vec<(ContainerId, ContainerSpec)> {
        self.all().into_iter().map(|(id, cell)| (id, cell.spec.clone())).collect()
    }

    /// The names of all networks.
    pub fn networks(&self) -> Vec<String> {
        self.world().networks.keys().cloned().collect()
    }

    /// The names of all images.
    pub fn images(&self) -> Vec<String> {
        self.world().images.keys().cloned().collect()
    }

    /// The content of one file inside a container.
    pub fn file(&self, id: &ContainerId, path: &str) -> Option<Bytes> {
        self.cell(id)?.files().content(path.as_ref())
    }

    /// HTTP requests a container has answered.
    pub fn answered(&self, id: &ContainerId) -> u64 {
        self.cell(id).map_or(0, |cell| cell.answered())
    }

    /// Ends a running container as if its process had exited.
    pub fn crash(&self, id: &ContainerId, code: i64) {
        if let Some(cell) = self.cell(id) {
            cell.signal(Signal::Exit(code));
        }
    }

    /// Prints a line from a container.
    pub fn print(&self, id: &ContainerId, stderr: bool, line: &str) {
        if let Some(cell) = self.cell(id) {
            cell.print(self.stamp(), stderr, line);
        }
    }

    /// Log streams of a container that are open now give nothing more, as Docker's may after a rotation.
    pub fn stall_logs(&self, id: &ContainerId) {
        if let Some(cell) = self.cell(id) {
            cell.stall();
        }
    }

    /// The size a container's terminal was last set to.
    pub fn terminal_size(&self, id: &ContainerId) -> Option<TerminalSize> {
        self.cell(id)?.terminal_size()
    }

    /// What `usage` answers for a container.
    pub fn set_usage(&self, id: &ContainerId, usage: Usage) {
        if let Some(cell) = self.cell(id) {
            cell.set_usage(usage);
        }
    }

    /// What `docker system prune -af` does: containers that do not run, unused images and networks are gone.
    pub fn prune(&self) {
        let mut world = self.world();
        world.containers.retain(|_, cell| cell.phase().is_running());
        let specs: Vec<ContainerSpec> = world.containers.values().map(|cell| cell.spec.clone()).collect();
        world.images.retain(|name, _| specs.iter().any(|spec| spec.image.0 == *name));
        world.networks.retain(|name, _| specs.iter().any(|spec| spec.network.as_ref() == Some(name)));
        drop(world);
        self.changed();
    }

    /// Waits until `condition` holds; looks again after every change.
    pub async fn until(&self, condition: impl Fn(&FakeEngine) -> bool) {
        let mut changes = self.changes.subscribe();
        while !condition(self) {
            changes.changed().await.expect("the fake holds the sender");
        }
    }

    fn all(&self) -> Vec<(ContainerId, Arc<Cell>)> {
        self.world().containers.iter().map(|(id, cell)| (id.clone(), cell.clone())).collect()
    }

    fn cell(&self, id: &ContainerId) -> Option<Arc<Cell>> {
        self.world().containers.get(id).cloned()
    }

    fn known(&self, id: &ContainerId) -> EngineResult<Arc<Cell>> {
        self.cell(id).ok_or(EngineError::NoSuchContainer)
    }

    fn stamp(&self) -> i64 {
        let mut world = self.world();
        world.micros += 1;
        world.micros
    }

    /// Counts the call and fails it when a test planned so.
    fn enter(&self, call: Call) -> EngineResult<()> {
        let mut world = self.world();
        *world.calls.entry(call).or_default() += 1;
        let planned = world.failures.get_mut(&call).and_then(VecDeque::pop_front);
        let unreachable = world.unreachable;
        drop(world);
        self.changed();
        match planned {
            Some(error) => Err(error),
            None if unreachable => Err(EngineError::Unreachable("the fake engine was told not to answer".to_owned())),
            None => Ok(()),
        }
    }

    fn view(&self, id: &ContainerId, cell: &Cell) -> Container {
        let phase = cell.phase();
        let mut addresses = BTreeMap::new();
        if let Phase::Running(own) = &phase {
            addresses.extend(cell.spec.network.clone().zip(own.map(IpAddr::V4)));
            let joined = self.world().joined.clone();
            addresses.extend(joined.into_iter().filter(|((of, _), _)| of == id).map(|((_, name), at)| (name, IpAddr::V4(at))));
        }
        Container {
            id: id.clone(),
            name: self.world().name(id, cell).to_owned(),
            labels: cell.spec.labels.clone(),
            running: phase.is_running(),
            generation: cell.generation(),
            address: match &phase {
                Phase::Running(address) => address.map(IpAddr::V4),
                _ => None,
            },
            addresses,
            exit: match phase {
                Phase::Ended(exit) => Some(exit),
                _ => None,
            },
        }
    }
}

impl World {
    fn name<'a>(&'a self, id: &ContainerId, cell: &'a Cell) -> &'a str {
        self.renamed.get(id).unwrap_or(&cell.spec.name)
    }

    fn check_name(&self, name: &str) -> EngineResult<()> {
        match self.containers.iter().any(|(id, cell)| self.name(id, cell) == name) {
            true => Err(EngineError::Refused(format!("the name {name} is in use"))),
            false => Ok(()),
        }
    }

    fn script(&self, spec: &ContainerSpec) -> Script {
        let matches = |text: &str| spec.image.0.contains(text) || spec.command.iter().any(|part| part.contains(text));
        self.rules.iter().rev().find(|(text, _)| matches(text)).map_or_else(Script::default, |(_, script)| script.clone())
    }

    fn address(&mut self) -> Ipv4Addr {
        if let Some(address) = self.free_addresses.as_mut().and_then(BTreeSet::pop_first) {
            return address;
        }
        self.next_address = self.next_address.wrapping_add(1);
        // 127.1.0.0 to 127.254.255.255: never an address something else listens on.
        let room = 254 << 16;
        Ipv4Addr::from((127 << 24 | 1 << 16) + self.next_address % room)
    }
}

#[async_trait]
impl Engine for FakeEngine {
    async fn info(&self) -> EngineResult<EngineInfo> {
        self.enter(Call::Info)?;
        Ok(EngineInfo {
            name: "fake".to_owned(),
            version: "0".to_owned(),
            api_version: "0".to_owned(),
            cgroup_version: 2,
            cgroup_driver: "none, for it is a fake".to_owned(),
            swap: self.world().swap,
            cpus: 2,
            memory_bytes: 8 << 30,
            warnings: Vec::new(),
        })
    }

    async fn ensure_network(&self, network: NetworkSpec) -> EngineResult<()> {
        self.enter(Call::EnsureNetwork)?;
        self.world().networks.entry(network.name.clone()).or_insert(network);
        Ok(())
    }

    async fn remove_network(&self, name: String) -> EngineResult<()> {
        self.enter(Call::RemoveNetwork)?;
        let mut world = self.world();
        let is_in = |id: &ContainerId, cell: &Cell| {
            cell.spec.network.as_ref() == Some(&name) || world.joined.contains_key(&(id.clone(), name.clone()))
        };
        if world.containers.iter().any(|(id, cell)| is_in(id, cell) && cell.phase().is_running()) {
            return Err(EngineError::Refused(format!("the network {name} is in use")));
        }
        world.networks.remove(&name);
        Ok(())
    }

    async fn list_networks(&self) -> EngineResult<Vec<String>> {
        self.enter(Call::ListNetworks)?;
        Ok(self.networks())
    }

    async fn join_network(&self, id: ContainerId, network: String, _alias: String) -> EngineResult<()> {
        self.enter(Call::JoinNetwork)?;
        let cell = self.known(&id)?;
        let mut world = self.world();
        if !world.networks.contains_key(&network) {
            return Err(EngineError::NoSuchNetwork(network));
        }
        if cell.spec.network.as_ref() != Some(&network) && !world.joined.contains_key(&(id.clone(), network.clone())) {
            let address = world.address();
            world.joined.insert((id, network), address);
        }
        drop(world);
        self.changed();
        Ok(())
    }

    async fn leave_network(&self, id: ContainerId, network: String) -> EngineResult<()> {
        self.enter(Call::LeaveNetwork)?;
        self.world().joined.remove(&(id, network));
        self.changed();
        Ok(())
    }

    async fn create(&self, spec: ContainerSpec) -> EngineResult<ContainerId> {
        self.enter(Call::Create)?;
        let mut world = self.world();
        world.check_name(&spec.name)?;
        let image = world.images.get(&spec.image.0).ok_or_else(|| EngineError::NoSuchImage(spec.image.0.clone()))?;
        let files = image.files.clone();
        world.volumes.extend(spec.cache_volume.iter().map(|(volume, _)| volume.clone()));
        world.created += 1;
        // Sorted by age, and as long as a real one.
        let id = ContainerId(format!("{:064x}", world.created));
        world.containers.insert(id.clone(), Arc::new(Cell::new(spec, files)));
        drop(world);
        self.changed();
        Ok(id)
    }

    async fn start(&self, id: ContainerId) -> EngineResult<Container> {
        self.enter(Call::Start)?;
        let cell = self.known(&id)?;
        if !cell.phase().is_running() {
            let (script, generation, address) = {
                let mut world = self.world();
                if let Some(network) = cell.spec.network.as_ref().filter(|name| !world.networks.contains_key(*name)) {
                    return Err(EngineError::NoSuchNetwork(network.clone()));
                }
                world.generations += 1;
                let address = cell.spec.network.is_some().then(|| world.address());
                (world.script(&cell.spec), world.generations.to_string(), address)
            };
            life::begin(self, &id, cell.clone(), script, (generation, address))?;
            self.changed();
        }
        Ok(self.view(&id, &cell))
    }

    async fn stop(&self, id: ContainerId, grace: Duration) -> EngineResult<Option<Exit>> {
        self.enter(Call::Stop)?;
        let Some(cell) = self.cell(&id) else { return Ok(None) };
        if cell.phase().is_running() {
            cell.signal(Signal::Term);
            if tokio::time::timeout(grace, cell.ended()).await.is_err() {
                cell.signal(Signal::Kill);
            }
            return Ok(Some(cell.ended().await));
        }
        Ok(match cell.phase() {
            Phase::Ended(exit) => Some(exit),
            _ => None,
        })
    }

    async fn kill(&self, id: ContainerId) -> EngineResult<()> {
        self.enter(Call::Kill)?;
        if let Some(cell) = self.cell(&id).filter(|cell| cell.phase().is_running()) {
            cell.signal(Signal::Kill);
            cell.ended().await;
        }
        Ok(())
    }

    async fn remove(&self, id: ContainerId) -> EngineResult<()> {
        self.enter(Call::Remove)?;
        let Some(cell) = self.cell(&id) else { return Ok(()) };
        if cell.phase().is_running() {
            cell.set_removed();
            cell.signal(Signal::Kill);
            cell.ended().await;
        }
        let mut world = self.world();
        world.containers.remove(&id);
        world.renamed.remove(&id);
        world.joined.retain(|(of, _), _| *of != id);
        drop(world);
        self.changed();
        Ok(())
    }

    async fn rename(&self, id: ContainerId, name: String) -> EngineResult<()> {
        self.enter(Call::Rename)?;
        self.known(&id)?;
        let mut world = self.world();
        world.check_name(&name)?;
        world.renamed.insert(id, name);
        drop(world);
        self.changed();
        Ok(())
    }

    async fn inspect(&self, id: ContainerId) -> EngineResult<Option<Container>> {
        self.enter(Call::Inspect)?;
        Ok(self.cell(&id).map(|cell| self.view(&id, &cell)))
    }

    async fn list(&self) -> EngineResult<Vec<Container>> {
        self.enter(Call::List)?;
        let instance = self.world().instance.clone();
        let ours = self.all().into_iter().filter(|(_, cell)| cell.spec.instance() == instance);
        Ok(ours.map(|(id, cell)| self.view(&id, &cell)).collect())
    }

    async fn wait(&self, id: ContainerId) -> EngineResult<Exit> {
        self.enter(Call::Wait)?;
        let cell = self.known(&id)?;
        let exit = cell.ended().await;
        if cell.is_removed() { Err(EngineError::NoSuchContainer) } else { Ok(exit) }
    }

    async fn logs(&self, id: ContainerId, since_micros: Option<i64>) -> EngineResult<BoxStream<'static, EngineResult<Output>>> {
        self.enter(Call::Logs)?;
        let cell = self.known(&id)?;
        let since = since_micros.unwrap_or(i64::MIN);
        let stalls = cell.stalls();
        let lines = stream::unfold((cell, 0), move |(cell, next)| async move {
            let output = tokio::select! {
                biased;
                () = cell.stalled_after(stalls) => std::future::pending().await,
                output = cell.line(next) => output?,
            };
            Some((output, (cell, next + 1)))
        });
        let wanted = lines.filter(move |output| std::future::ready(output.at_micros >= since));
        Ok(wanted.map(Ok).boxed())
    }

    async fn attach(&self, id: ContainerId) -> EngineResult<Attachment> {
        self.enter(Call::Attach)?;
        Ok(self.known(&id)?.attach())
    }

    async fn attach_apart(&self, id: ContainerId) -> EngineResult<(Attachment, Complaints)> {
        self.enter(Call::Attach)?;
        Ok(self.known(&id)?.attach_apart())
    }

    async fn resize(&self, id: ContainerId, size: TerminalSize) -> EngineResult<()> {
        self.enter(Call::Resize)?;
        if let Some(cell) = self.cell(&id) {
            cell.resize(size);
            self.changed();
        }
        Ok(())
    }

    async fn hang_up(&self, id: ContainerId) -> EngineResult<()> {
        self.enter(Call::HangUp)?;
        if let Some(cell) = self.cell(&id).filter(|cell| cell.phase().is_running()) {
            cell.signal(Signal::HangUp);
        }
        Ok(())
    }

    async fn usage(&self, ids: Vec<ContainerId>) -> EngineResult<BTreeMap<ContainerId, Usage>> {
        self.enter(Call::Usage)?;
        let running = |id: ContainerId| self.cell(&id).filter(|cell| cell.phase().is_running()).map(|cell| (id, cell.usage()));
        Ok(ids.into_iter().filter_map(running).collect())
    }

    async fn reclaim(&self, id: ContainerId) -> EngineResult<bool> {
        self.enter(Call::Reclaim)?;
        let Some(cell) = self.cell(&id).filter(|cell| self.world().swap && cell.phase().is_running()) else { return Ok(false) };
        let held = cell.usage();
        let swap_bytes = held.swap_bytes + held.memory_rss_bytes;
        cell.set_usage(Usage {
            memory_bytes: 0,
            memory_rss_bytes: 0,
            memory_cache_bytes: 0,
            memory_idle_cache_bytes: 0,
            swap_bytes,
            ..held
        });
        self.changed();
        Ok(true)
    }

    async fn written(&self, id: ContainerId) -> EngineResult<u64> {
        self.enter(Call::Written)?;
        let cell = self.known(&id)?;
        let whole = cell.files().size();
        let image = self.world().images.get(&cell.spec.image.0).map_or(0, |image| image.files.size());
        Ok(whole.saturating_sub(image))
    }

    async fn put_archive(&self, id: ContainerId, path: PathBuf, tar: ByteStream) -> EngineResult<()> {
        self.enter(Call::PutArchive)?;
        let cell = self.known(&id)?;
        let bytes = files::collect(tar).await?;
        cell.files().unpack(&path, &bytes)
    }

    async fn get_archive(&self, id: ContainerId, path: PathBuf) -> EngineResult<ByteStream> {
        self.enter(Call::GetArchive)?;
        let tar = self.known(&id)?.files().pack(&path)?;
        Ok(stream::iter([Ok(tar)]).boxed())
    }

    async fn has_image(&self, image: ImageRef) -> EngineResult<bool> {
        self.enter(Call::HasImage)?;
        Ok(self.world().images.contains_key(&image.0))
    }

    async fn commit(&self, id: ContainerId, image: ImageRef, labels: Labels) -> EngineResult<()> {
        self.enter(Call::Commit)?;
        let cell = self.known(&id)?;
        super::may_commit(cell.spec.env.iter().map(|(name, _)| name.as_str()))?;
        let files = cell.files().clone();
        let mut world = self.world();
        let labels = labels.into_iter().chain(spec::labels(&world.instance, "image", [])).collect();
        world.images.insert(image.0, Image { labels, files });
        Ok(())
    }

    async fn load_images(&self, tar: ByteStream) -> EngineResult<()> {
        self.enter(Call::LoadImages)?;
        let bytes = files::collect(tar).await?;
        for (name, labels) in files::saved_images(&bytes)? {
            self.world().images.insert(name, Image { labels, files: Files::default() });
        }
        Ok(())
    }

    async fn remove_image(&self, image: ImageRef) -> EngineResult<()> {
        self.enter(Call::RemoveImage)?;
        super::must_be_ours(&image)?;
        let mut world = self.world();
        if !world.containers.values().any(|cell| cell.spec.image == image) {
            world.images.remove(&image.0);
        }
        Ok(())
    }

    async fn list_images(&self) -> EngineResult<Vec<ImageRef>> {
        self.enter(Call::ListImages)?;
        let world = self.world();
        let ours = world.images.iter().filter(|(_, image)| image.labels.get(spec::LABEL_INSTANCE) == Some(&world.instance));
        Ok(ours.map(|(name, _)| ImageRef(name.clone())).collect())
    }

    async fn remove_volume(&self, name: String) -> EngineResult<()> {
        self.enter(Call::RemoveVolume)?;
        self.world().volumes.remove(&name);
        Ok(())
    }
}
