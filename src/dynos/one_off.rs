//! One-off dynos: `run.1234`, attached to a client or detached, and the release phase's.
//!
//! They stand beside the formation: each has a task of its own (`life`) from its start to its end,
//! and all are known here, so that limits hold, `ps` shows them, a rest ends them and their time
//! counts. What time alone ends (no client, silence, time to live) the sweep sees.

mod adopt;
mod known;
mod life;
mod streams;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};

use self::{
    known::{Entry, Waiting},
    life::{Begin, Life},
    streams::Claim,
};
use super::{DynoError, DynoView, Dynos, life::Revision, supervisor::Command};
use crate::{
    domain::{
        AppId, DynoId, DynoName, DynoState, Plan, ProcessType, ReleaseId, Role,
        app::App,
        one_off::{self, Known},
        user::Actor,
    },
    engine::{Streams, TerminalSize},
    host::Promise,
    secrets,
    store::one_offs::OneOffRow,
};
pub(super) use known::OneOffs;
pub use streams::{Leash, OneOff};

/// How often the right of an attached client's account is looked at again.
const RECHECK: Duration = Duration::from_secs(60);

/// What somebody wants to run.
pub struct RunOrder {
    /// A command line, or a process type of the Procfile with more words.
    pub command: String,
    /// The first half of its name: `run`.
    pub process_type: ProcessType,
    /// Variables of the client: `TERM`, for example.
    pub env: Vec<(String, String)>,
    /// None: the longest allowed.
    pub time_to_live: Option<Duration>,
    pub by: Actor,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// None: it was lost, or never ran.
    pub code: Option<i64>,
    /// Its last lines when it was detached; why it never ran when it did not.
    pub words: Vec<String>,
}

/// What a supervisor lets a one-off run.
pub(super) struct Allowed {
    /// Its share of the machine's memory.
    pub(super) promise: Promise,
    pub(super) app: App,
    pub(super) plan: Arc<Plan>,
    pub(super) revision: Arc<Revision>,
}

impl Dynos {
    /// Runs a command whose output goes into the app's log.
    ///
    /// # Errors
    /// When the app has no code, rests, or a limit is reached.
    pub async fn run_detached(&self, app: AppId, order: RunOrder) -> Result<DynoView, DynoError> {
        Ok(self.run_job(app, order).await?.0)
    }

    /// The same, and tells how it ends.
    ///
    /// # Errors
    /// As `run_detached`.
    pub async fn run_job(&self, app: AppId, order: RunOrder) -> Result<(DynoView, watch::Receiver<Option<Outcome>>), DynoError> {
        let allowed = self.ask(app, |reply| Command::Allow(None, reply)).await?;
        let (view, life) = self.enter(allowed, order, None).await?;
        let outcome = life.outcome.subscribe();
        self.context.parts.tasks.spawn(life.run(Begin::Detached(None)));
        Ok((view, outcome))
    }

    /// How one that runs will end; None when it does not run any more.
    pub fn outcome_of(&self, app: AppId, id: DynoId) -> Option<watch::Receiver<Option<Outcome>>> {
        self.context.one_offs.outcome_of(app, id)
    }

    /// Makes room for a command that starts when its client comes with the secret, which works once
    /// and for half a minute.
    ///
    /// # Errors
    /// As `run_detached`, and when another client uses the app's interactive one-off.
    pub async fn reserve(&self, app: AppId, order: RunOrder, streams: Streams) -> Result<(DynoView, SecretString), DynoError> {
        let allowed = self.ask(app, |reply| Command::Allow(None, reply)).await?;
        let (view, life) = self.enter(allowed, order, Some(streams)).await?;
        let secret = secrets::random_token();
        let until = self.context.parts.clock.now() + self.context.parts.config.limits.attach_timeout;
        let waiting = Waiting { secret_hash: secrets::token_hash(&secret), life, until };
        self.context.one_offs.wait(view.id, waiting);
        self.context.one_off_is(view.id, DynoState::Up);
        self.context.parts.logs.platform(app, &view.name.to_string(), "Awaiting client");
        Ok((DynoView { state: DynoState::Up, ..view }, secret))
    }

    /// The client has come: starts what was reserved and hands over its streams.
    ///
    /// # Errors
    /// `NoSuchDyno` when the secret is unknown, used or too old; `DidNotBoot` when it does not start.
    pub async fn attach(&self, secret: &SecretString) -> Result<OneOff, DynoError> {
        let parts = &self.context.parts;
        let claimed = self.context.one_offs.claim(&secrets::token_hash(secret), parts.clock.now()).ok_or(DynoError::NoSuchDyno)?;
        let streams = claimed.life.streams.expect("what waits for a client has streams");
        let size = TerminalSize::of(&claimed.life.env).filter(|_| streams == Streams::Terminal);
        let (ready, started) = oneshot::channel();
        let claim = Claim::new(claimed.orders);
        parts.tasks.spawn(claimed.life.run(Begin::Attached(ready)));
        let (container, attachment) = started.await.map_err(|_| DynoError::NoSuchDyno)?.map_err(DynoError::DidNotBoot)?;
        let leash = claim.leash(parts.engine.clone(), container, claimed.outcome);
        if let Some(size) = size {
            // Of no consequence when it fails: the terminal has the engine's own size.
            let _ = leash.resize(size).await;
        }
        Ok(OneOff::new(claimed.view, claimed.ends_at, attachment, (leash, streams, claimed.of), (claimed.traffic, parts.clock.clone())))
    }

    /// Waits until the account of a one-off may not use its app any more.
    pub async fn right_ends(&self, of: Known) {
        let reader = &self.context.parts.reader;
        loop {
            tokio::time::sleep(RECHECK).await;
            let account = reader.user(of.user).await;
            let suspended = matches!(&account, Ok(user) if user.as_ref().is_none_or(|user| user.suspended_at.is_some()));
            let role = reader.accessible_app(of.user, &of.app.to_string()).await.map(|found| found.map(|(_, role)| role));
            if suspended || matches!(role, Ok(role) if role.is_none_or(|role| role < Role::Deploy)) {
                tracing::info!(app = %of.app, "a one-off was closed: its account may not use the app any more");
                return;
            }
        }
    }

    /// Runs a release's own command with its code and config and waits for its end. `lines` gets
    /// its output as it comes.
    ///
    /// # Errors
    /// When the app or the release is gone.
    pub async fn run_phase(
        &self,
        app: AppId,
        release: ReleaseId,
        order: RunOrder,
        lines: Option<mpsc::Sender<String>>,
    ) -> Result<Outcome, DynoError> {
        let allowed = self.ask(app, |reply| Command::Allow(Some(release), reply)).await?;
        let (_, life) = self.enter(allowed, order, None).await?;
        let mut outcome = life.outcome.subscribe();
        self.context.parts.tasks.spawn(life.run(Begin::Detached(lines)));
        let outcome = outcome.wait_for(Option::is_some).await.map_err(|_| DynoError::NoSuchDyno)?;
        Ok(outcome.clone().expect("waited for it"))
    }

    /// The one-offs of an app that wait or run, oldest first.
    pub fn one_offs(&self, app: AppId) -> Vec<DynoView> {
        self.context.one_offs.views(app)
    }

    /// Stops one: SIGTERM, and SIGKILL when its grace is over.
    ///
    /// # Errors
    /// `NoSuchDyno` when none has the name.
    pub async fn stop_one_off(&self, app: AppId, name: &DynoName) -> Result<(), DynoError> {
        let (id, waited) = self.context.one_offs.stop(app, name).ok_or(DynoError::NoSuchDyno)?;
        if waited {
            self.context.one_off_ended(id, DynoState::Complete).await;
        }
        Ok(())
    }

    /// Ends all of an app and waits until they are gone.
    pub(super) async fn end_one_offs(&self, app: AppId) {
        for (name, mut outcome) in self.context.one_offs.outcomes(app) {
            if self.stop_one_off(app, &name).await.is_ok() {
                // An error says that its task is over.
                let _ = outcome.wait_for(Option::is_some).await;
            }
        }
    }

    /// Ends what nobody came for, what is silent for too long and what has lived its time.
    pub(super) fn sweep_one_offs(&self) {
        let limits = &self.context.parts.config.limits;
        for (app, view) in self.context.one_offs.sweep(self.context.parts.clock.now(), limits.console_idle) {
            let context = self.context.clone();
            self.context.parts.tasks.spawn(async move {
                context.parts.logs.platform(app, &view.name.to_string(), "Error R13 (Attach error) -> Failed to attach to process");
                context.one_off_ended(view.id, DynoState::Complete).await;
            });
        }
    }

    /// Checks an order and enters it under a name of its own.
    async fn enter(&self, allowed: Allowed, order: RunOrder, streams: Option<Streams>) -> Result<(DynoView, Life), DynoError> {
        let parts = &self.context.parts;
        let Allowed { promise, app, plan, revision } = allowed;
        let command = one_off::command_line(&order.command, &revision.slug.process_types)?;
        one_off::check_env(&order.env)?;
        let (now, ttl) = (parts.clock.now(), one_off::time_to_live(order.time_to_live)?);
        let wake = self.apps().get(&app.id).ok_or(DynoError::NoSuchApp)?.handle.wake.clone();
        let (orders, inbox) = mpsc::unbounded_channel();
        let (outcome, told) = watch::channel(None);
        let id = DynoId::new();
        let view = DynoView {
            id,
            name: DynoName { process_type: order.process_type, number: 1 },
            state: DynoState::Starting,
            since: now,
            release: revision.release.id,
            version: revision.release.version,
            command: command.clone(),
        };
        let entry = Entry {
            known: Known { app: app.id, user: order.by.id, interactive: streams.is_some() },
            view,
            ends_at: now + ttl,
            traffic: Arc::new(AtomicI64::new(now.millis())),
            orders,
            outcome: told,
            waiting: None,
            wake: wake.clone(),
        };
        let promise = Some(promise);
        let view = self.context.one_offs.admit(entry, &plan, parts.config.limits.one_offs)?;
        let row = OneOffRow {
            id,
            app_id: app.id,
            release_id: view.release,
            process_type: view.name.process_type.clone(),
            number: view.name.number.into(),
            command: command.clone(),
            attached: streams.is_some(),
            user_id: order.by.id,
            created_at: now,
            ends_at: now + ttl,
        };
        let kept = streams.map(|streams| if streams == Streams::Terminal { "terminal" } else { "pipes" });
        if let Err(error) = parts.writer.insert_one_off(&row, kept).await {
            self.context.one_offs.remove(id);
            return Err(error.into());
        }
        wake.activate();
        let (context, name, by) = (self.context.clone(), view.name.clone(), order.by.email);
        Ok((view, Life { promise, context, app, plan, revision, id, name, command, env: order.env, streams, by, inbox, outcome }))
    }
}

/// Notes that bytes went through.
fn touch(traffic: &AtomicI64, now: crate::domain::Timestamp) {
    traffic.store(now.millis(), Ordering::Relaxed);
}
