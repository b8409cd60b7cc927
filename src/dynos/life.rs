//! The life of one dyno, from the container's creation (or its adoption) to its removal, as one
//! task. It reports to the supervisor and obeys one order: stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use crate::{
    domain::{DynoId, DynoName, ErrorCode, Plan, app::App, release::Release, slug::Slug},
    dynos::{
        Context,
        gate::{Gate, Stage, Target},
        make::{Making, platform},
        meter::{Metered, Owner},
        networks::Held,
        output::{self, Output},
        probe::{self, Proof},
    },
    engine::{Container, ContainerId, EngineError, Exit, spec},
    fail_point,
    host::Promise,
};

/// A booting dyno holds its place in the start queue at most this long.
const QUEUE_HOLD: Duration = Duration::from_secs(10);
/// Pause before a call is tried again that the engine could not answer.
const RETRY: Duration = Duration::from_secs(1);

/// What a dyno runs: a release with its code.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) release: Release,
    pub(super) slug: Slug,
}

/// The one order a dyno obeys.
pub(super) struct StopOrder {
    /// So long its open requests may go on first.
    pub(super) drain: Duration,
}

/// Why a dyno ended without being told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// A sentence for people.
    pub(super) why: String,
    /// The platform's fault, not the app's.
    pub(super) platform: bool,
    /// The machine is full.
    pub(super) no_room: bool,
}

/// What the supervisor hears.
#[derive(Debug)]
pub(super) enum Report {
    Created(ContainerId),
    /// It is up; web dynos take requests at the target.
    Up(Option<Arc<Target>>),
    /// It has ended and its container is gone. `None`: it was told to.
    Ended(Option<Failure>),
}

/// Where a life begins.
pub(super) enum Begin {
    Create(Proof),
    /// A container that ran when the server came back.
    Adopt(Container),
}

/// Everything one life needs.
pub(super) struct Life {
    pub(super) context: Arc<Context>,
    pub(super) app: App,
    /// What it may use as long as it lives.
    pub(super) plan: Arc<Plan>,
    pub(super) revision: Arc<Revision>,
    pub(super) id: DynoId,
    pub(super) name: DynoName,
    pub(super) gate: Arc<Gate>,
    pub(super) stop: oneshot::Receiver<StopOrder>,
    /// Its share of the machine's memory, once it has one.
    pub(super) promise: Option<Promise>,
    pub(super) reports: mpsc::UnboundedSender<(DynoId, Report)>,
}

/// How a boot ended when it did not succeed.
enum BootEnd {
    Told,
    Failed(Failure),
}

/// A container that runs, with what is known of it.
struct Running {
    container: Container,
    output: Output,
    metered: Metered,
}

impl Life {
    pub(super) async fn run(mut self, begin: Begin) {
        let ended = match begin {
            Begin::Create(proof) => self.create_and_boot(proof).await,
            Begin::Adopt(container) => {
                self.promise = Some(self.context.parts.host.count(self.plan.memory_bytes));
                let output = self.follow(&container.id, output::From::LastLine);
                let metered = self.meter(&container.id);
                self.boot(Running { container, output, metered }, &Proof::Accepts).await
            }
        };
        let ended = match ended {
            Ok((running, target)) => {
                self.report(Report::Up(target.clone()));
                self.serve(running, target).await
            }
            Err(BootEnd::Told) => None,
            Err(BootEnd::Failed(failure)) => Some(failure),
        };
        // Given back before anybody hears that there is room.
        drop(self.promise.take());
        self.report(Report::Ended(ended));
    }

    pub(super) fn report(&self, report: Report) {
        // A supervisor that is gone has nothing left to do with it.
        let _ = self.reports.send((self.id, report));
    }

    pub(super) fn log(&self, message: impl Into<String>) {
        self.context.parts.logs.platform(self.app.id, &self.name.to_string(), message);
    }

    fn follow(&self, container: &ContainerId, from: output::From) -> Output {
        Output::follow(&self.context, self.app.id, &self.name, container.clone(), from)
    }

    fn meter(&self, container: &ContainerId) -> Metered {
        self.context.roster.enter(container, self.owner())
    }

    fn owner(&self) -> Owner {
        let quota = u64::try_from(self.plan.memory_bytes).unwrap_or(0);
        Owner { app: self.app.id, dyno: self.name.clone(), id: self.id, quota }
    }

    /// Waits for a free slot, makes the container, starts it and waits until it is up.
    async fn create_and_boot(&mut self, proof: Proof) -> Result<(Running, Option<Arc<Target>>), BootEnd> {
        let (context, gate) = (self.context.clone(), self.gate.clone());
        self.reached(Stage::Queued);
        let permit = tokio::select! {
            permit = context.queue.acquire(&gate) => permit,
            _ = told(&mut self.stop) => return Err(BootEnd::Told),
        };
        let promised = context.parts.host.admit(self.plan.memory_bytes);
        self.promise = Some(promised.map_err(|full| BootEnd::Failed(Failure { no_room: true, ..platform(&full) }))?);
        self.reached(Stage::Image);
        let container = match self.wake_standby().await {
            Some(started) => started,
            None => self.create_and_start().await.map_err(BootEnd::Failed)?,
        };
        fail_point::reached("dyno.started");
        self.reached(Stage::Booting);
        let (output, metered) = (self.follow(&container.id, output::From::Start), self.meter(&container.id));
        let boot = self.boot(Running { container, output, metered }, &proof);
        tokio::pin!(boot);
        match timeout(QUEUE_HOLD, &mut boot).await {
            Ok(done) => done,
            Err(_) => {
                drop(permit);
                boot.await
            }
        }
    }

    async fn create_and_start(&self) -> Result<Container, Failure> {
        let (container, _network) = self.create().await?;
        self.report(Report::Created(container.clone()));
        fail_point::reached("dyno.created");
        self.log_start();
        match self.context.parts.engine.start(container.clone()).await {
            Ok(started) => Ok(started),
            Err(error) => {
                self.remove(&container).await;
                Err(platform(&error))
            }
        }
    }

    pub(super) fn log_start(&self) {
        self.log(format!("Starting process with command `{}`", self.command()));
    }

    /// Tells those who watch a web dyno wake.
    fn reached(&self, stage: Stage) {
        if self.name.process_type.is_web() {
            self.gate.reached(stage);
        }
    }

    fn command(&self) -> &str {
        self.revision.slug.process_types.command(&self.name.process_type).unwrap_or_default()
    }

    /// Its container, not started yet, and its network.
    async fn create(&self) -> Result<(ContainerId, Held), Failure> {
        let spec = |input: &spec::DynoInput<'_>, _| {
            self.reached(Stage::Container);
            spec::dyno_spec(input)
        };
        self.making().container(spec).await
    }

    pub(super) fn making(&self) -> Making<'_> {
        Making {
            context: &self.context,
            app: &self.app,
            plan: &self.plan,
            revision: &self.revision,
            id: self.id,
            name: &self.name,
            command: self.command(),
            env: &[],
            port: self.port(),
            streams: None,
        }
    }

    fn port(&self) -> Option<u16> {
        port_of(self.id, &self.name)
    }

    /// Waits until a started container is up; a web dyno must give the proof in time.
    async fn boot(&mut self, mut running: Running, proof: &Proof) -> Result<(Running, Option<Arc<Target>>), BootEnd> {
        let Some(port) = self.port() else {
            return Ok((running, None));
        };
        let id = running.container.id.clone();
        let Some(address) = running.container.address.map(|ip| SocketAddr::new(ip, port)) else {
            self.kill(&mut running).await;
            return Err(BootEnd::Failed(Failure {
                why: "The container has no address on its network.".to_owned(),
                platform: true,
                no_room: false,
            }));
        };
        let limit = self.context.parts.config.limits.boot_timeout;
        tokio::select! {
            () = probe::until_up(address, proof) => {
                let target = Target::new(address, id, running.container.generation.clone(), self.name.clone());
                Ok((running, Some(target)))
            }
            exit = self.context.exit_of(&id) => {
                let failure = self.ended_by_itself(running, exit).await;
                Err(BootEnd::Failed(failure))
            }
            () = sleep(limit) => {
                let why = format!("Web process failed to bind to $PORT within {} seconds of launch", limit.as_secs());
                self.log(format!("Error R10 ({}) -> {why}", ErrorCode::R10.description()));
                self.log("Stopping process with SIGKILL");
                self.kill(&mut running).await;
                Err(BootEnd::Failed(Failure { why, platform: false, no_room: false }))
            }
            order = told(&mut self.stop) => {
                self.stop(running, None, order).await;
                Err(BootEnd::Told)
            }
        }
    }

    /// Until it ends, by itself or because it is told to.
    async fn serve(&mut self, running: Running, target: Option<Arc<Target>>) -> Option<Failure> {
        let id = running.container.id.clone();
        tokio::select! {
            exit = self.context.exit_of(&id) => Some(self.ended_by_itself(running, exit).await),
            order = told(&mut self.stop) => {
                self.stop(running, target, order).await;
                None
            }
        }
    }

    /// The last requests, SIGTERM, SIGKILL, removal.
    async fn stop(&self, mut running: Running, target: Option<Arc<Target>>, order: StopOrder) {
        let id = running.container.id.clone();
        if let Some(target) = target {
            tokio::select! {
                _ = target.drained(order.drain) => {}
                _ = self.context.exit_of(&id) => {}
            }
        }
        self.log("Stopping all processes with SIGTERM");
        let grace = self.context.parts.config.limits.stop_grace;
        let exit = self.context.persist("stop", || self.context.parts.engine.stop(id.clone(), grace)).await.flatten();
        if exit.is_some_and(|exit| exit.code == 137 && !exit.out_of_memory) {
            let seconds = grace.as_secs();
            let why = format!("At least one process failed to exit within {seconds} seconds of SIGTERM");
            self.log(format!("Error R12 ({}) -> {why}", ErrorCode::R12.description()));
            self.log("Stopping remaining processes with SIGKILL");
        }
        running.output.drained().await;
        self.log_exit(exit);
        self.remove(&id).await;
    }

    async fn kill(&self, running: &mut Running) {
        let id = running.container.id.clone();
        self.context.persist("kill", || self.context.parts.engine.kill(id.clone())).await;
        running.output.drained().await;
        self.log("Process exited with status 137");
        self.remove(&id).await;
    }

    fn log_exit(&self, exit: Option<Exit>) {
        match exit {
            Some(exit) => self.log(format!("Process exited with status {}", exit.code)),
            None => self.log("Process exited"),
        }
    }

    /// Logs how it ended, removes it and puts the reason into a sentence with its last words.
    async fn ended_by_itself(&self, mut running: Running, exit: Option<Exit>) -> Failure {
        running.output.drained().await;
        let by_kernel = exit.is_some_and(|exit| exit.out_of_memory);
        if by_kernel {
            let owner = self.owner();
            self.context.log_vast(&owner, self.context.ceiling(owner.quota));
        }
        let memory = by_kernel || running.metered.was_killed();
        let platform = exit.is_none() || (!memory && self.engine_is_away(&running.container.id).await);
        self.log_exit(exit);
        self.remove(&running.container.id).await;
        let words = running.output.last_lines();
        let mut why = match exit {
            Some(_) if memory => {
                format!("The process used more than its {} MB of memory and was killed", self.plan.megabytes())
            }
            Some(exit) if !platform => format!("The process exited with status {}", exit.code),
            _ => "The container was removed, or ended together with the container engine".to_owned(),
        };
        why.push_str(if words.is_empty() { "." } else { ". Its last words: " });
        why.push_str(&words.join("\n"));
        Failure { why, platform, no_room: false }
    }

    /// An engine that stops takes its containers along, and is the first that cannot be reached.
    async fn engine_is_away(&self, id: &ContainerId) -> bool {
        matches!(self.context.parts.engine.inspect(id.clone()).await, Err(EngineError::Unreachable(_)))
    }

    async fn remove(&self, id: &ContainerId) {
        self.context.persist("remove", || self.context.parts.engine.remove(id.clone())).await;
    }
}

/// The port of a web dyno: random as Heroku's, but known again from its id after a restart of the server.
pub(super) fn port_of(id: DynoId, name: &DynoName) -> Option<u16> {
    let [.., high, low] = *id.0.as_bytes();
    name.process_type.is_web().then(|| 10_000 + u16::from_be_bytes([high, low]) % 50_000)
}

/// The order to stop, when it comes; never when the supervisor is gone.
async fn told(stop: &mut oneshot::Receiver<StopOrder>) -> StopOrder {
    match stop.await {
        Ok(order) => order,
        Err(_) => std::future::pending().await,
    }
}

impl Context {
    /// Waits until a container has ended. None: not by its own doing, for it was removed or ended
    /// while the engine was away.
    pub(super) async fn exit_of(&self, id: &ContainerId) -> Option<Exit> {
        let mut away = false;
        loop {
            match self.parts.engine.wait(id.clone()).await {
                Ok(exit) => return Some(exit).filter(|_| !away),
                Err(EngineError::NoSuchContainer) => return None,
                Err(error) => tracing::warn!(container = id.0, %error, "waiting for a container failed"),
            }
            sleep(RETRY).await;
            away = match self.parts.engine.inspect(id.clone()).await {
                Ok(Some(seen)) => !seen.running,
                Ok(None) => return None,
                Err(_) => true,
            };
        }
    }

    /// Repeats a call until the engine is there to take it. None: it was refused, which is logged.
    pub(super) async fn persist<T, F>(&self, what: &str, call: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        loop {
            match call().await {
                Ok(done) => return Some(done),
                Err(error @ (EngineError::Unreachable(_) | EngineError::TimedOut(_))) => {
                    tracing::warn!(what, %error, "the engine is asked again");
                    sleep(RETRY).await;
                }
                Err(error) => {
                    tracing::error!(what, %error, "the engine refused");
                    return None;
                }
            }
        }
    }
}
