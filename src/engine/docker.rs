//! The real engine: Docker through bollard over a Unix socket. Translates, decides nothing.
//!
//! Every call has a time limit. What it touches carries our instance's label: a container, network,
//! volume or image of somebody else is never stopped, removed or listed.

mod archive;
mod attach;
mod cgroup;
mod facts;
mod output;
mod translate;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    pin::pin,
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use bollard::{
    models::{ContainerInspectResponse, ContainerStateStatusEnum, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest},
    query_parameters as query,
};
use futures_util::{Stream, StreamExt, TryStreamExt, stream, stream::BoxStream};

use super::{
    Attachment, ByteStream, Complaints, Container, ContainerId, ContainerSpec, Engine, EngineError, EngineInfo, EngineResult, Exit,
    ImageRef, Labels, NetworkSpec, Output, TerminalSize, Usage,
    spec::{self, LABEL_INSTANCE},
};
use attach::Outputs;
use translate::Subject;

/// Questions and small changes.
const QUICK: Duration = Duration::from_secs(15);
/// Starts, removals and whatever waits for the kernel or a busy disk.
const SLOW: Duration = Duration::from_secs(90);
/// Archives, commits and image loads.
const BULK: Duration = Duration::from_secs(900);
/// What the engine may take beyond the grace of a stop.
const STOP_MARGIN: Duration = Duration::from_secs(20);
/// Containers asked about at once by `list`.
const LIST_WIDTH: usize = 8;

/// Docker, as seen by one server.
pub struct Docker {
    client: bollard::Docker,
    socket: PathBuf,
    instance: String,
    cgroups: Mutex<HashMap<ContainerId, cgroup::Place>>,
}

impl Docker {
    /// Names the socket and whose containers are ours. Nothing is asked yet: `info` does.
    pub fn connect(socket: &Path, instance: &str) -> EngineResult<Docker> {
        let path = socket.to_str().ok_or_else(|| EngineError::Unreachable(format!("{} is no usable path", socket.display())))?;
        // Longer than any limit below: those decide.
        let client = bollard::Docker::connect_with_unix(path, 2 * BULK.as_secs(), bollard::API_DEFAULT_VERSION)
            .map_err(|error| EngineError::Unreachable(error.to_string()))?;
        Ok(Docker { client, socket: socket.to_owned(), instance: instance.to_owned(), cgroups: Mutex::default() })
    }

    fn ours(&self) -> HashMap<String, Vec<String>> {
        HashMap::from([("label".to_owned(), vec![format!("{LABEL_INSTANCE}={}", self.instance)])])
    }

    fn is_ours<'a>(&self, mut labels: impl Iterator<Item = (&'a String, &'a String)>) -> bool {
        labels.any(|(key, value)| key == LABEL_INSTANCE && *value == self.instance)
    }

    /// What the engine knows of a container of ours; `None` when it is gone.
    async fn look(&self, id: &ContainerId) -> EngineResult<Option<ContainerInspectResponse>> {
        let asked = self.client.inspect_container(&id.0, None);
        let found = absent_is_none(within(QUICK, "inspect", Subject::Container, asked).await)?;
        let Some(found) = found else { return Ok(None) };
        let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
        if !self.is_ours(labels.into_iter().flatten()) {
            return Err(EngineError::Refused(format!("the container {} is not ours", id.0)));
        }
        Ok(Some(found))
    }

    async fn must_look(&self, id: &ContainerId) -> EngineResult<ContainerInspectResponse> {
        self.look(id).await?.ok_or(EngineError::NoSuchContainer)
    }

    async fn signal(&self, id: &ContainerId, signal: &str) -> EngineResult<()> {
        if self.look(id).await?.is_none() {
            return Ok(());
        }
        let options = query::KillContainerOptionsBuilder::new().signal(signal).build();
        match within(SLOW, "kill", Subject::Container, self.client.kill_container(&id.0, Some(options))).await {
            Err(EngineError::Refused(why)) if why.contains("is not running") => Ok(()),
            other => absent_is_none(other).map(drop),
        }
    }

    fn forget_place(&self, id: &ContainerId) {
        self.cgroups.lock().expect("no panic while it is held").remove(id);
    }

    /// Where the numbers of a running container lie, if this process can read them.
    async fn place(&self, id: &ContainerId) -> EngineResult<Option<cgroup::Place>> {
        let known = self.cgroups.lock().expect("no panic while it is held").get(id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let pid = self.look(id).await?.and_then(|found| found.state?.pid).unwrap_or(0);
        Ok(self.remember_place(id, pid))
    }

    fn remember_place(&self, id: &ContainerId, pid: i64) -> Option<cgroup::Place> {
        let place = cgroup::Place::of_process(pid, &id.0)?;
        self.cgroups.lock().expect("no panic while it is held").insert(id.clone(), place.clone());
        Some(place)
    }

    /// From the engine's statistics, which take it milliseconds. None: it does not run.
    async fn stats(&self, id: &ContainerId) -> EngineResult<Option<Usage>> {
        let options = query::StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let mut answers = pin!(self.client.stats(&id.0, Some(options)));
        let stats = absent_is_none(within(QUICK, "stats", Subject::Container, answers.try_next()).await)?.flatten();
        Ok(stats.map(|stats| translate::usage(&stats)).filter(|usage| usage.pids > 0))
    }
}

/// Awaits an answer for at most `limit` and puts failures into our words.
async fn within<T>(
    limit: Duration,
    what: &'static str,
    subject: Subject<'_>,
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> EngineResult<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| translate::error(error, subject)),
        Err(_) => Err(EngineError::TimedOut(what)),
    }
}

fn absent_is_none<T>(answer: EngineResult<T>) -> EngineResult<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(EngineError::NoSuchContainer | EngineError::NoSuchImage(_) | EngineError::NoSuchNetwork(_) | EngineError::NoSuchPath(_)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads an engine's progress messages to their end; an error among them is the answer.
async fn drain<T>(messages: impl Stream<Item = Result<T, bollard::errors::Error>>) -> Result<(), bollard::errors::Error> {
    let mut messages = pin!(messages);
    while messages.try_next().await?.is_some() {}
    Ok(())
}

#[async_trait]
impl Engine for Docker {
    async fn info(&self) -> EngineResult<EngineInfo> {
        let version = within(QUICK, "version", Subject::Engine, self.client.version());
        let info = within(QUICK, "info", Subject::Engine, self.client.info());
        let (version, info) = tokio::try_join!(version, info)?;
        Ok(facts::engine_info(&version, &info, cgroup::host_has_swap()))
    }

    async fn ensure_network(&self, network: NetworkSpec) -> EngineResult<()> {
        let subject = Subject::Network(&network.name);
        let asked = self.client.inspect_network(&network.name, None);
        if let Some(known) = absent_is_none(within(QUICK, "inspect network", subject, asked).await)? {
            return match self.is_ours(known.labels.iter().flatten()) {
                true => Ok(()),
                false => Err(EngineError::Refused(format!("the network {} is not ours", network.name))),
            };
        }
        let made = within(SLOW, "create network", subject, self.client.create_network(translate::network(&network))).await;
        match made {
            // Somebody made it at the same time.
            Err(EngineError::Refused(why)) if why.contains("already exists") => Ok(()),
            Err(EngineError::Refused(why)) if why.contains("overlaps") => Err(EngineError::Refused(format!(
                "the addresses {}/{} belong to another network of this machine. Set SIESTA_NETWORK_RANGE to a range nothing else uses, \
                 or remove networks that an older server left (docker network ls --filter label={LABEL_INSTANCE})",
                network.subnet, network.prefix
            ))),
            other => other.map(drop),
        }
    }

    async fn remove_network(&self, name: String) -> EngineResult<()> {
        let subject = Subject::Network(&name);
        let asked = self.client.inspect_network(&name, None);
        let Some(known) = absent_is_none(within(QUICK, "inspect network", subject, asked).await)? else { return Ok(()) };
        if !self.is_ours(known.labels.iter().flatten()) {
            return Err(EngineError::Refused(format!("the network {name} is not ours")));
        }
        absent_is_none(within(SLOW, "remove network", subject, self.client.remove_network(&name)).await).map(drop)
    }

    async fn list_networks(&self) -> EngineResult<Vec<String>> {
        let options = query::ListNetworksOptionsBuilder::new().filters(&self.ours()).build();
        let found = within(QUICK, "list networks", Subject::Engine, self.client.list_networks(Some(options))).await?;
        Ok(found.into_iter().filter_map(|network| network.name).collect())
    }

    async fn create(&self, spec: ContainerSpec) -> EngineResult<ContainerId> {
        let options = query::CreateContainerOptionsBuilder::new().name(&spec.name).build();
        let call = self.client.create_container(Some(options), translate::container(&spec));
        let made = within(SLOW, "create", Subject::Image(&spec.image.0), call).await?;
        Ok(ContainerId(made.id))
    }

    async fn join_network(&self, id: ContainerId, network: String, alias: String) -> EngineResult<()> {
        self.must_look(&id).await?;
        let endpoint = EndpointSettings { aliases: Some(vec![alias]), ..Default::default() };
        let request = NetworkConnectRequest { container: id.0, endpoint_config: Some(endpoint) };
        match within(SLOW, "join network", Subject::Network(&network), self.client.connect_network(&network, request)).await {
            Err(EngineError::Refused(why)) if why.contains("already exists in network") => Ok(()),
            other => other,
        }
    }

    async fn leave_network(&self, id: ContainerId, network: String) -> EngineResult<()> {
        if self.look(&id).await?.is_none() {
            return Ok(());
        }
        let request = NetworkDisconnectRequest { container: id.0, force: Some(true) };
        match within(SLOW, "leave network", Subject::Network(&network), self.client.disconnect_network(&network, request)).await {
            Err(EngineError::Refused(why)) if why.contains("is not connected") => Ok(()),
            Err(EngineError::NoSuchNetwork(_)) => Ok(()),
            other => other,
        }
    }

    async fn start(&self, id: ContainerId) -> EngineResult<Container> {
        self.forget_place(&id);
        within(SLOW, "start", Subject::Container, self.client.start_container(&id.0, None)).await?;
        let found = self.must_look(&id).await?;
        let state = found.state.as_ref();
        // Success was reported for containers that never ran: created still means not started.
        if state.and_then(|state| state.status) == Some(ContainerStateStatusEnum::CREATED) {
            let why = state.and_then(|state| state.error.clone()).filter(|why| !why.is_empty());
            return Err(EngineError::Refused(why.unwrap_or_else(|| "it reported a start, but the container does not run".to_owned())));
        }
        self.remember_place(&id, state.and_then(|state| state.pid).unwrap_or(0));
        Ok(translate::seen(id, found))
    }

    async fn stop(&self, id: ContainerId, grace: Duration) -> EngineResult<Option<Exit>> {
        let Some(found) = self.look(&id).await? else { return Ok(None) };
        let seen = translate::seen(id.clone(), found);
        if !seen.running {
            return Ok(seen.exit);
        }
        self.forget_place(&id);
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = query::StopContainerOptionsBuilder::new().t(seconds).build();
        let call = self.client.stop_container(&id.0, Some(options));
        absent_is_none(within(grace + STOP_MARGIN, "stop", Subject::Container, call).await)?;
        Ok(self.inspect(id).await?.and_then(|seen| seen.exit))
    }

    async fn kill(&self, id: ContainerId) -> EngineResult<()> {
        self.forget_place(&id);
        self.signal(&id, "SIGKILL").await
    }

    async fn remove(&self, id: ContainerId) -> EngineResult<()> {
        if self.look(&id).await?.is_none() {
            return Ok(());
        }
        self.forget_place(&id);
        let options = query::RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match within(SLOW, "remove", Subject::Container, self.client.remove_container(&id.0, Some(options))).await {
            Err(EngineError::Refused(why)) if why.contains("already in progress") => Ok(()),
            other => absent_is_none(other).map(drop),
        }
    }

    async fn rename(&self, id: ContainerId, name: String) -> EngineResult<()> {
        self.must_look(&id).await?;
        let options = query::RenameContainerOptionsBuilder::new().name(&name).build();
        within(QUICK, "rename", Subject::Container, self.client.rename_container(&id.0, options)).await
    }

    async fn inspect(&self, id: ContainerId) -> EngineResult<Option<Container>> {
        Ok(self.look(&id).await?.map(|found| translate::seen(id, found)))
    }

    async fn list(&self) -> EngineResult<Vec<Container>> {
        let options = query::ListContainersOptionsBuilder::new().all(true).filters(&self.ours()).build();
        let found = within(QUICK, "list", Subject::Engine, self.client.list_containers(Some(options))).await?;
        let ids: Vec<ContainerId> = found.into_iter().filter_map(|one| one.id.map(ContainerId)).collect();
        let seen: Vec<Option<Container>> = stream::iter(ids).map(|id| self.inspect(id)).buffered(LIST_WIDTH).try_collect().await?;
        Ok(seen.into_iter().flatten().collect())
    }

    async fn wait(&self, id: ContainerId) -> EngineResult<Exit> {
        let found = self.must_look(&id).await?;
        let never_started = found.state.as_ref().and_then(|state| state.status) == Some(ContainerStateStatusEnum::CREATED);
        let condition = if never_started { "next-exit" } else { "not-running" };
        let options = query::WaitContainerOptionsBuilder::new().condition(condition).build();
        let mut answers = pin!(self.client.wait_container(&id.0, Some(options)));
        let code = match answers.next().await {
            Some(Ok(answer)) => answer.status_code,
            // How this client says that the code is not zero.
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
            Some(Err(error)) => return Err(translate::error(error, Subject::Container)),
            None => return Err(EngineError::Unreachable("it closed the connection during a wait".to_owned())),
        };
        let found = self.must_look(&id).await?;
        // A removal kills first: that end is nobody's exit code.
        if found.state.as_ref().and_then(|state| state.status) == Some(ContainerStateStatusEnum::REMOVING) {
            return Err(EngineError::NoSuchContainer);
        }
        Ok(translate::seen(id, found).exit.unwrap_or(Exit { code, out_of_memory: false }))
    }

    async fn logs(&self, id: ContainerId, since_micros: Option<i64>) -> EngineResult<BoxStream<'static, EngineResult<Output>>> {
        self.must_look(&id).await?;
        Ok(output::follow(&self.client, &id, since_micros))
    }

    async fn attach(&self, id: ContainerId) -> EngineResult<Attachment> {
        let found = self.must_look(&id).await?;
        let terminal = found.config.and_then(|config| config.tty).unwrap_or(false);
        let outputs = if terminal { Outputs::Raw } else { Outputs::Together };
        attach::attach(&self.socket, &id, outputs).await
    }

    async fn attach_apart(&self, id: ContainerId) -> EngineResult<(Attachment, Complaints)> {
        self.must_look(&id).await?;
        let complaints = Complaints::default();
        let attachment = attach::attach(&self.socket, &id, Outputs::Apart(complaints.clone())).await?;
        Ok((attachment, complaints))
    }

    async fn resize(&self, id: ContainerId, size: TerminalSize) -> EngineResult<()> {
        if self.look(&id).await?.is_none() {
            return Ok(());
        }
        let options = query::ResizeContainerTTYOptionsBuilder::new().h(i32::from(size.rows)).w(i32::from(size.columns)).build();
        match within(QUICK, "resize", Subject::Container, self.client.resize_container_tty(&id.0, options)).await {
            // Not running, or without a terminal.
            Err(EngineError::Refused(_)) => Ok(()),
            other => absent_is_none(other).map(drop),
        }
    }

    async fn hang_up(&self, id: ContainerId) -> EngineResult<()> {
        self.signal(&id, "SIGHUP").await
    }

    async fn usage(&self, ids: Vec<ContainerId>) -> EngineResult<BTreeMap<ContainerId, Usage>> {
        let (mut places, mut usages) = (Vec::new(), BTreeMap::new());
        for id in ids {
            match self.place(&id).await? {
                Some(place) => places.push((id, place)),
                None => usages.extend(self.stats(&id).await?.map(|usage| (id, usage))),
            }
        }
        let read = move || places.into_iter().map(|(id, place)| (id, place.usage())).collect::<Vec<_>>();
        for (id, usage) in tokio::task::spawn_blocking(read).await.expect("reading files does not panic") {
            match usage {
                Some(usage) => drop(usages.insert(id, usage)),
                None => self.forget_place(&id),
            }
        }
        Ok(usages)
    }

    async fn reclaim(&self, id: ContainerId) -> EngineResult<bool> {
        if !cgroup::host_has_swap() {
            return Ok(false);
        }
        let Some(place) = self.place(&id).await? else { return Ok(false) };
        let done = tokio::task::spawn_blocking(move || place.reclaim()).await.expect("writing a file does not panic");
        match done {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(EngineError::Refused(format!("the memory of {} could not be paged out: {error}", id.0))),
        }
    }

    async fn written(&self, id: ContainerId) -> EngineResult<u64> {
        let options = query::InspectContainerOptionsBuilder::new().size(true).build();
        let asked = self.client.inspect_container(&id.0, Some(options));
        let found = absent_is_none(within(SLOW, "measure", Subject::Container, asked).await)?.ok_or(EngineError::NoSuchContainer)?;
        Ok(found.size_rw.and_then(|size| u64::try_from(size).ok()).unwrap_or(0))
    }

    async fn put_archive(&self, id: ContainerId, path: PathBuf, tar: ByteStream) -> EngineResult<()> {
        self.must_look(&id).await?;
        archive::put(&self.client, &id, &path, tar).await
    }

    async fn get_archive(&self, id: ContainerId, path: PathBuf) -> EngineResult<ByteStream> {
        self.must_look(&id).await?;
        archive::get(&self.client, &id, &path).await
    }

    async fn has_image(&self, image: ImageRef) -> EngineResult<bool> {
        let asked = self.client.inspect_image(&image.0);
        Ok(absent_is_none(within(QUICK, "inspect image", Subject::Image(&image.0), asked).await)?.is_some())
    }

    async fn commit(&self, id: ContainerId, image: ImageRef, labels: Labels) -> EngineResult<()> {
        let found = self.must_look(&id).await?;
        let base = found.image.unwrap_or_default();
        let base = within(QUICK, "inspect image", Subject::Image(&base), self.client.inspect_image(&base)).await?;
        let from_base = base.config.and_then(|config| config.env).unwrap_or_default();
        let env = found.config.and_then(|config| config.env).unwrap_or_default();
        super::may_commit(env.iter().filter(|line| !from_base.contains(line)).map(|line| line.split('=').next().unwrap_or(line)))?;
        let labels: BTreeMap<_, _> = labels.into_iter().chain(spec::labels(&self.instance, "image", [])).collect();
        let (options, config) = translate::commit(&id, &image, labels);
        within(BULK, "commit", Subject::Container, self.client.commit_container(options, config)).await.map(drop)
    }

    async fn load_images(&self, tar: ByteStream) -> EngineResult<()> {
        let options = query::ImportImageOptionsBuilder::new().quiet(true).build();
        let messages = self.client.import_image(options, bollard::body_try_stream(tar), None);
        within(BULK, "load images", Subject::Engine, drain(messages)).await
    }

    async fn remove_image(&self, image: ImageRef) -> EngineResult<()> {
        super::must_be_ours(&image)?;
        let call = self.client.remove_image(&image.0, None::<query::RemoveImageOptions>, None);
        match within(SLOW, "remove image", Subject::Image(&image.0), call).await {
            Err(EngineError::Refused(why)) if why.contains("being used by") || why.contains("is using its referenced image") => Ok(()),
            other => absent_is_none(other).map(drop),
        }
    }

    async fn list_images(&self) -> EngineResult<Vec<ImageRef>> {
        let options = query::ListImagesOptionsBuilder::new().filters(&self.ours()).build();
        let found = within(QUICK, "list images", Subject::Engine, self.client.list_images(Some(options))).await?;
        let names = found.into_iter().flat_map(|image| image.repo_tags);
        Ok(names.filter(|name| name.starts_with(spec::IMAGE_PREFIX)).map(ImageRef).collect())
    }

    async fn remove_volume(&self, name: String) -> EngineResult<()> {
        let subject = Subject::Volume(&name);
        let asked = self.client.inspect_volume(&name);
        let Some(known) = absent_is_none(within(QUICK, "inspect volume", subject, asked).await)? else { return Ok(()) };
        if !self.is_ours(known.labels.iter()) {
            return Err(EngineError::Refused(format!("the volume {name} is not ours")));
        }
        let call = self.client.remove_volume(&name, None::<query::RemoveVolumeOptions>);
        absent_is_none(within(SLOW, "remove volume", subject, call).await).map(drop)
    }
}
