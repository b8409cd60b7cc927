//! The supervisor of one app: the only one who starts and stops its containers.
//!
//! Level, not edge: whatever woke it (a waiting request, a command, a dyno's report, the sweep), it
//! takes one turn: look at what is wanted and what is there, close or open the gate, start and stop
//! dynos, answer those who wait, tell the pages. This file hears; `turn` decides and acts.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    domain::{
        AppId, DynoId, DynoName, DynoState, Plan, ProcessType, QuotaKind, ReleaseId, Timestamp,
        app::App,
        crash, cycle,
        event::{EventKind, NewEvent},
        feature::Feature,
        formation::{FormationRow, Quantity},
        quota,
        user::Actor,
    },
    dynos::{
        AppStatus, Context, DynoError, Which,
        account::Account,
        gate::{Gate, Refusal, Target},
        jump::Seen,
        life::{Failure, Report, Revision, StopOrder},
        one_off::Allowed,
        pages::Pages,
        turn::Setting,
    },
    engine::{Container, ContainerId},
    scheduler::Activator,
    store::StoreError,
};

/// Answers a command.
pub(super) type Reply<T> = oneshot::Sender<Result<T, DynoError>>;

/// What needs an answer.
pub(super) enum Command {
    /// Name, maintenance, release or formation changed: read them again.
    Reload(Reply<()>),
    Release(Reply<()>),
    Scale {
        changes: Vec<(ProcessType, Quantity)>,
        by: Actor,
        reply: Reply<Vec<FormationRow>>,
    },
    Restart(Which, Reply<()>),
    Stop(Which, Reply<()>),
    Wake(Reply<()>),
    /// Whether a one-off may run: of the release named, or of the one that serves.
    Allow(Option<ReleaseId>, Reply<Allowed>),
    Forget(Reply<()>),
}

/// The other end of a supervisor.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) gate: Arc<Gate>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) status: watch::Receiver<AppStatus>,
    pub(super) wake: Activator,
    /// When time alone makes a turn necessary, in milliseconds; `i64::MAX`: never.
    pub(super) due: Arc<AtomicI64>,
}

/// A dyno that runs or starts, or is on its way out.
pub(super) struct Dyno {
    pub(super) id: DynoId,
    pub(super) name: DynoName,
    pub(super) revision: Arc<Revision>,
    pub(super) up: bool,
    pub(super) up_at: Option<Timestamp>,
    /// The daily restart counts from here.
    pub(super) started: Timestamp,
    /// It ran before the server did: presumed up until it shows otherwise.
    pub(super) adopted: bool,
    pub(super) container: Option<ContainerId>,
    pub(super) target: Option<Arc<Target>>,
    /// Taken when the order is given.
    pub(super) stop: Option<oneshot::Sender<StopOrder>>,
}

impl Dyno {
    pub(super) fn new(id: DynoId, name: DynoName, revision: Arc<Revision>, started: Timestamp) -> Dyno {
        Dyno { id, name, revision, up: false, up_at: None, started, adopted: false, container: None, target: None, stop: None }
    }

    pub(super) fn stopping(&self) -> bool {
        self.stop.is_none()
    }

    /// When it is restarted for its age.
    pub(super) fn cycled_at(&self) -> Timestamp {
        cycle::due(self.id, self.started)
    }
}

/// What is told of a name over the lives of its dynos.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) id: DynoId,
    pub(super) state: DynoState,
    pub(super) since: Timestamp,
}

/// The crashes of one name in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crashes {
    pub(super) count: u32,
    pub(super) retry_at: Timestamp,
    /// The last was not the app's fault: requests wait for the next try.
    pub(super) platform: bool,
}

/// The last start brought no web dyno up: requests are answered at once until a next try is allowed.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) failures: u32,
    pub(super) until: Timestamp,
    pub(super) refusal: Refusal,
}

/// A release on its way up, and who waits for it.
pub(super) struct Rollout {
    pub(super) release: Option<ReleaseId>,
    pub(super) replies: Vec<Reply<()>>,
}

/// See the module's page.
pub(super) struct Supervisor {
    pub(super) context: Arc<Context>,
    pub(super) app: App,
    /// What the app may use; looked at anew in every turn.
    pub(super) plan: Arc<Plan>,
    /// Most of the quota is used, and that was said.
    pub(super) warned: bool,
    /// The clock at the last turn.
    pub(super) seen: Seen,
    pub(super) gate: Arc<Gate>,
    pub(super) setting: Setting,
    pub(super) account: Account,
    /// The release that `gate.pages` come from.
    paged: Option<ReleaseId>,
    /// What shall run: the current release, or the one before it while that does not boot.
    pub(super) target: Option<Arc<Revision>>,
    pub(super) formation: Vec<FormationRow>,
    /// A new release boots beside the old one.
    pub(super) preboot: bool,
    pub(super) dynos: BTreeMap<DynoId, Dyno>,
    pub(super) slots: BTreeMap<DynoName, Slot>,
    pub(super) crashes: HashMap<DynoName, Crashes>,
    pub(super) stopped: HashSet<DynoName>,
    /// Restarted for their age: what their log says differs.
    pub(super) cycling: HashSet<DynoName>,
    pub(super) trouble: Option<Trouble>,
    pub(super) rollout: Option<Rollout>,
    /// A release that did not boot and is current until that is written down: not tried again.
    pub(super) rejected: Option<ReleaseId>,
    /// It fell asleep: the next web dyno is to be made ready.
    pub(super) standby_due: bool,
    /// Stops decided on; given when the gate is closed to them.
    pub(super) orders: Vec<(DynoId, oneshot::Sender<StopOrder>)>,
    pub(super) reports: mpsc::UnboundedSender<(DynoId, Report)>,
    pub(super) status: watch::Sender<AppStatus>,
    pub(super) due: Arc<AtomicI64>,
    pub(super) inbox: Inbox,
}

/// Everything a supervisor hears.
pub(super) struct Inbox {
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) reports: mpsc::UnboundedReceiver<(DynoId, Report)>,
    pub(super) wake: Activator,
}

impl Supervisor {
    /// A supervisor with its gate held and nothing known yet; `run` begins its work.
    pub(super) fn new(context: Arc<Context>, app: App) -> (Supervisor, Handle) {
        let wake = Activator::new();
        let gate = Gate::new(context.parts.clock.clone(), wake.clone(), (&context.parts.config.limits).into());
        let (commands, command_inbox) = mpsc::unbounded_channel();
        let (reports, report_inbox) = mpsc::unbounded_channel();
        let (status, watch) = watch::channel(AppStatus::unknown(context.parts.clock.now()));
        let due = Arc::new(AtomicI64::new(i64::MAX));
        let supervisor = Supervisor {
            account: Account::new(app.id),
            plan: context.parts.plans.of(&app),
            paged: None,
            warned: false,
            seen: Seen { now: context.parts.clock.now(), running: context.parts.clock.running() },
            context,
            app,
            gate: gate.clone(),
            setting: Setting::Held,
            target: None,
            formation: Vec::new(),
            preboot: true,
            dynos: BTreeMap::new(),
            slots: BTreeMap::new(),
            crashes: HashMap::new(),
            stopped: HashSet::new(),
            cycling: HashSet::new(),
            trouble: None,
            rollout: None,
            rejected: None,
            standby_due: false,
            orders: Vec::new(),
            reports,
            status,
            due: due.clone(),
            inbox: Inbox { commands: command_inbox, reports: report_inbox, wake: wake.clone() },
        };
        (supervisor, Handle { gate, commands, status: watch, wake, due })
    }

    /// Works until the app is forgotten or the server stops. `found` are its containers from before.
    pub(super) async fn run(mut self, found: Vec<Container>) {
        // What is awaited in a box of its own takes no memory of an app that sleeps.
        if let Err(error) = Box::pin(self.begin(found)).await {
            self.complain(&error);
        }
        loop {
            if let Err(error) = Box::pin(self.turn()).await {
                self.complain(&error);
                self.due.store((self.now() + Duration::from_secs(1)).millis(), Ordering::SeqCst);
            }
            tokio::select! {
                biased;
                Some((dyno, report)) = self.inbox.reports.recv() => Box::pin(self.hear(dyno, report)).await,
                command = self.inbox.commands.recv() => match command {
                    None => return,
                    Some(Command::Forget(reply)) => {
                        let done = Box::pin(self.forget()).await;
                        // Whoever asked may be gone.
                        let _ = reply.send(done);
                        return;
                    }
                    Some(command) => Box::pin(self.obey(command)).await,
                },
                () = self.inbox.wake.activated() => {}
            }
        }
    }

    async fn begin(&mut self, found: Vec<Container>) -> Result<(), StoreError> {
        self.account.load(&self.context, &self.plan, self.now()).await?;
        self.account.see_pool(&self.context, &self.plan, &self.app, self.now()).await?;
        // Said by the server before.
        self.warned = quota::nearly_used(&self.plan, self.account.standing(&self.plan, self.now()).used);
        // The plan may have changed while no server ran.
        if self.plan.quota != QuotaKind::Daily {
            self.account.reconsider_rest(&self.context, &self.plan, self.now()).await?;
        }
        self.load().await?;
        self.adopt(found).await
    }

    pub(super) fn now(&self) -> Timestamp {
        self.context.parts.clock.now()
    }

    pub(super) fn id(&self) -> AppId {
        self.app.id
    }

    pub(super) fn log(&self, name: &DynoName, message: impl Into<String>) {
        self.context.parts.logs.platform(self.app.id, &name.to_string(), message);
    }

    fn complain(&self, error: &dyn std::error::Error) {
        tracing::error!(app = %self.app.name, %error, "a supervisor could not do its work; it tries again");
    }

    /// A release with its code; None when it is not known.
    pub(super) async fn revision(&self, id: ReleaseId) -> Result<Option<Arc<Revision>>, StoreError> {
        if let Some(target) = self.target.as_ref().filter(|target| target.release.id == id) {
            return Ok(Some(target.clone()));
        }
        let reader = &self.context.parts.reader;
        let Some(release) = reader.release(id).await?.filter(|release| release.app_id == self.app.id) else { return Ok(None) };
        let Some(slug_id) = release.slug_id else { return Ok(None) };
        Ok(reader.slug(slug_id).await?.map(|slug| Arc::new(Revision { release, slug })))
    }

    pub(super) async fn note(&self, kind: EventKind, actor: String, detail: serde_json::Value) -> Result<(), StoreError> {
        self.context.parts.writer.add_event(self.app.id, &NewEvent { kind, actor, detail }, self.now()).await
    }

    /// Reads the app, its current release and its formation.
    pub(super) async fn load(&mut self) -> Result<(), StoreError> {
        let reader = &self.context.parts.reader;
        let Some(app) = reader.app(self.app.id).await? else { return Ok(()) };
        self.rejected = self.rejected.filter(|rejected| app.current_release_id == Some(*rejected));
        self.target = match app.current_release_id.filter(|current| self.rejected != Some(*current)) {
            Some(current) => self.revision(current).await?,
            None if self.rejected.is_some() => self.target.take(),
            None => None,
        };
        self.app = app;
        self.formation = super::formation_of(reader, &self.app, self.target.as_ref().map(|target| &target.slug)).await?;
        let features = reader.app_features(self.app.id).await?;
        self.preboot = features.iter().any(|(name, _)| name == Feature::Preboot.as_str());
        self.load_pages().await
    }

    /// The app's own pages, when the release they come from is another one.
    async fn load_pages(&mut self) -> Result<(), StoreError> {
        let current = self.app.current_release_id;
        if self.paged == current {
            return Ok(());
        }
        let parts = &self.context.parts;
        let sealed = match current {
            Some(release) => parts.reader.config_of_release(release).await?,
            None => None,
        };
        let vars = sealed.map(|sealed| super::open_config(&parts.keys, &sealed)).transpose();
        match vars {
            Ok(vars) => self.gate.show(vars.as_ref().map(Pages::of).unwrap_or_default()),
            Err(error) => tracing::error!(app = %self.app.name, %error, "the config vars cannot be read"),
        }
        self.paged = current;
        Ok(())
    }

    async fn hear(&mut self, id: DynoId, report: Report) {
        let now = self.now();
        match report {
            Report::Created(container) => {
                if let Some(dyno) = self.dynos.get_mut(&id) {
                    dyno.container = Some(container);
                }
            }
            Report::Up(target) => {
                let Some(dyno) = self.dynos.get_mut(&id) else { return };
                dyno.up = true;
                dyno.up_at = Some(now);
                dyno.container = target.as_ref().map(|target| target.container.clone()).or(dyno.container.take());
                dyno.target = target;
                let (name, stopping) = (dyno.name.clone(), dyno.stopping());
                if !stopping {
                    if name.process_type.is_web() {
                        self.trouble = None;
                        // The idle time begins now, but a crash is no visitor.
                        if !self.crashes.contains_key(&name) {
                            self.gate.touch();
                        }
                    }
                    self.change_state(&name, id, DynoState::Up);
                }
            }
            Report::Ended(failure) => {
                let Some(dyno) = self.dynos.remove(&id) else { return };
                if let Some(failure) = failure.filter(|_| !dyno.stopping())
                    && let Err(error) = self.crashed(dyno, failure).await
                {
                    self.complain(&error);
                }
            }
        }
    }

    /// A dyno ended without being told to.
    async fn crashed(&mut self, dyno: Dyno, failure: Failure) -> Result<(), StoreError> {
        if failure.platform {
            self.log(&dyno.name, format!("Error R99 (Platform error) -> {}", failure.why));
        }
        self.change_state(&dyno.name, dyno.id, DynoState::Crashed);
        let detail = json!({ "dyno": dyno.name.to_string(), "release": dyno.revision.release.version, "why": failure.why });
        self.note(EventKind::Crash, String::new(), detail).await?;
        let is_target = self.target.as_ref().is_some_and(|target| target.release.id == dyno.revision.release.id);
        if !is_target {
            return Ok(());
        }
        let boot_of_web = !dyno.up && !dyno.adopted && dyno.name.process_type.is_web();
        let still_serves = self.dynos.values().find(|other| other.name.process_type.is_web() && other.up && !other.stopping());
        match still_serves.map(|other| other.revision.clone()) {
            Some(old) if boot_of_web && old.release.id != dyno.revision.release.id => self.fall_back(&dyno, old, failure),
            None if boot_of_web => self.start_failed(failure).await,
            _ => {
                self.cool_off(&dyno, &failure);
                Ok(())
            }
        }
    }

    /// The new release does not boot: the old one goes on.
    fn fall_back(&mut self, dyno: &Dyno, old: Arc<Revision>, failure: Failure) -> Result<(), StoreError> {
        let (new, serving) = (dyno.revision.release.version, old.release.version);
        self.log(&dyno.name, format!("Release {new} did not boot, {serving} goes on serving"));
        self.rejected = Some(dyno.revision.release.id);
        self.target = Some(old);
        let serving: Vec<(DynoName, DynoId)> =
            self.dynos.values().filter(|dyno| dyno.up && !dyno.stopping()).map(|dyno| (dyno.name.clone(), dyno.id)).collect();
        for (name, id) in serving {
            let now = self.now();
            self.slots.insert(name, Slot { id, state: DynoState::Up, since: now });
        }
        self.answer_rollout(|| Err(DynoError::DidNotBoot(failure.why.clone())));
        Ok(())
    }

    /// No web dyno came up: everything rests until the next request or release may try again.
    async fn start_failed(&mut self, failure: Failure) -> Result<(), StoreError> {
        let failures = self.trouble.as_ref().map_or(0, |trouble| trouble.failures) + 1;
        let refusal = match (failure.no_room, failure.platform) {
            (true, _) => Refusal::NoRoom,
            (false, true) => Refusal::Platform,
            (false, false) => Refusal::Crashed,
        };
        self.trouble = Some(Trouble { failures, until: self.now() + crash::back_off(failures), refusal });
        self.answer_rollout(|| Err(DynoError::DidNotBoot(failure.why.clone())));
        self.account.set_asleep(&self.context, true, &self.gate).await
    }

    fn cool_off(&mut self, dyno: &Dyno, failure: &Failure) {
        let now = self.now();
        let stable = dyno.up_at.is_some_and(|since| now.since(since) >= crash::STABLE);
        let before = self.crashes.get(&dyno.name).filter(|_| !stable).map_or(0, |crashes| crashes.count);
        let count = before + 1;
        let crashes = Crashes { count, retry_at: now, platform: failure.platform };
        self.crashes.insert(dyno.name.clone(), Crashes { retry_at: now + crashes.pause(), ..crashes });
    }

    /// Logs the change of a name's state, if it is one and `id` is the dyno the name stands for.
    pub(super) fn change_state(&mut self, name: &DynoName, id: DynoId, to: DynoState) {
        let now = self.now();
        let slot = self.slots.entry(name.clone()).or_insert(Slot { id, state: DynoState::Down, since: now });
        if slot.id != id || slot.state == to {
            return;
        }
        let from = slot.state;
        (slot.state, slot.since) = (to, now);
        self.log(name, format!("State changed from {from} to {to}"));
    }

    pub(super) fn answer_rollout(&mut self, answer: impl Fn() -> Result<(), DynoError>) {
        for reply in self.rollout.take().into_iter().flat_map(|rollout| rollout.replies) {
            // Whoever asked may be gone.
            let _ = reply.send(answer());
        }
    }
}
