//! One turn of a supervisor: decide from what is, then act.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::json;
use tokio::sync::oneshot;

use crate::{
    domain::{
        DynoId, DynoName, DynoState, SleepBy, Timestamp,
        capacity::NoRoom,
        event::EventKind,
        reconcile::{Action, Desired, Observed, reconcile},
        sleep,
    },
    dynos::{
        gate::{Refusal, Target},
        life::{Begin, Life, StopOrder},
        probe::Proof,
        supervisor::{Dyno, Slot, Supervisor},
    },
    engine::{
        Container,
        spec::{LABEL_DYNO, LABEL_DYNO_ID, LABEL_RELEASE},
    },
    fail_point,
    store::StoreError,
};

/// Pages see a fresh `sleeps_at` and quota of an awake app at least this often.
const FRESH: Duration = Duration::from_secs(10);

/// How the gate is set, to set it only when it changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Setting {
    Held,
    Refused(Refusal),
    /// The keys of the targets.
    Open(Vec<u64>),
}

impl Supervisor {
    pub(super) async fn turn(&mut self) -> Result<(), StoreError> {
        let now = self.now();
        self.settle_clock(now).await?;
        self.settle_plan(now).await?;
        self.settle_rest(now).await?;
        self.settle_sleep(now).await?;
        self.settle_quota(now).await?;
        self.settle_warning(now).await?;
        self.cycle(now);
        let actions = self.decide(now);
        let starts = self.take_down(&actions);
        self.set_gate(now);
        self.give_stop_orders(now);
        for name in starts {
            self.start(name, now);
        }
        self.settle_rollout(now);
        if self.account.resting(now).is_some() {
            self.context.one_offs.rest(self.id());
        }
        self.account.set_awake(&self.context, &self.plan, self.running(), now).await?;
        self.stand_by();
        self.publish(now);
        Ok(())
    }

    // What follows from time and traffic.

    pub(super) fn has_web(&self) -> bool {
        self.formation.iter().any(|row| row.process_type.is_web() && row.quantity > 0)
    }

    /// A rest that is over clears the account; worker-only apps start again by themselves.
    async fn settle_rest(&mut self, now: Timestamp) -> Result<(), StoreError> {
        match self.account.rested(now) {
            Some(ended) => self.account.end_rest(&self.context, ended).await,
            None => Ok(()),
        }
    }

    async fn settle_sleep(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.account.resting(now).is_some() || self.target.is_none() {
            return Ok(());
        }
        if self.account.asleep() {
            let may_try = self.trouble.as_ref().is_none_or(|trouble| now >= trouble.until);
            if !self.has_web() {
                return self.wake_up("formation").await;
            }
            if may_try && self.plan.sleep_by == SleepBy::Never {
                return self.wake_up("plan").await;
            }
            if may_try && self.gate.waiting() > 0 {
                return self.wake_up("request").await;
            }
            return Ok(());
        }
        let booting = self.dynos.values().any(|dyno| !dyno.up && !dyno.stopping());
        if !self.has_web() || booting || self.rollout.is_some() {
            return Ok(());
        }
        self.settle_nap();
        let idle = match self.setting {
            Setting::Open(_) if self.sleeps_by_nap(&self.plan) => false,
            Setting::Open(_) => self.gate.close_if_idle(&self.plan),
            _ => sleep::judge(&self.plan, self.gate.activity(), now) == sleep::Verdict::Sleep,
        };
        if idle {
            if matches!(self.setting, Setting::Open(_)) {
                self.setting = Setting::Held;
            }
            self.fall_asleep("idle").await?;
        }
        Ok(())
    }

    /// Begins the rest when the quota is used up.
    async fn settle_quota(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let runs = !self.account.asleep() || self.context.one_offs.running(self.id()) > 0;
        if !runs || self.target.is_none() || self.account.resting(now).is_some() {
            return Ok(());
        }
        let Some(until) = self.account.standing(&self.plan, now).deny_until else {
            return Ok(());
        };
        self.account.begin_rest(&self.context, until).await?;
        self.log_idling();
        self.note(EventKind::Rest, String::new(), json!({ "until": until })).await
    }

    pub(super) async fn wake_up(&mut self, why: &str) -> Result<(), StoreError> {
        self.load().await?;
        self.account.set_asleep(&self.context, false, &self.gate).await?;
        self.stopped.clear();
        let names: Vec<DynoName> = self.wanted_names().filter(|name| name.process_type.is_web()).collect();
        for name in names {
            self.log(&name, "Unidling");
        }
        let by = self.gate.callers().into_iter().next().filter(|_| why == "request");
        if why == "request" {
            let who = by.as_ref().map_or_else(|| "a request".to_owned(), ToString::to_string);
            self.context.parts.logs.platform(self.app.id, "web", format!("Woken by {who}"));
        }
        self.note(EventKind::Wake, String::new(), json!({ "why": why, "by": by })).await
    }

    /// The gate must be closed already, or no web dyno be up.
    pub(super) async fn fall_asleep(&mut self, why: &str) -> Result<(), StoreError> {
        self.account.set_asleep(&self.context, true, &self.gate).await?;
        self.standby_due = true;
        self.log_idling();
        let last = self.gate.callers().into_iter().next().filter(|_| why == "idle");
        if why == "idle" {
            let idle = self.now().since(self.gate.activity().last).as_secs();
            let last = last.as_ref().map_or_else(String::new, |caller| format!("; the last was {caller}"));
            self.context.parts.logs.platform(self.app.id, "web", format!("No request for {idle} seconds{last}"));
        }
        self.note(EventKind::Sleep, String::new(), json!({ "why": why, "last": last })).await
    }

    fn log_idling(&self) {
        for dyno in self.dynos.values().filter(|dyno| dyno.up && !dyno.stopping()) {
            self.log(&dyno.name, "Idling");
        }
    }

    // What shall run, and what runs.

    /// The names the formation asks for, whether they may run now or not.
    pub(super) fn wanted_names(&self) -> impl Iterator<Item = DynoName> {
        self.formation.iter().flat_map(|row| (1..=row.quantity).map(|number| DynoName { process_type: row.process_type.clone(), number }))
    }

    /// Dynos whose time counts. Two generations of a release are one.
    fn running(&self) -> u32 {
        let names: HashSet<&DynoName> = self.dynos.values().filter(|dyno| !dyno.stopping()).map(|dyno| &dyno.name).collect();
        u32::try_from(names.len() + self.context.one_offs.running(self.id())).unwrap_or(u32::MAX)
    }

    pub(super) fn awake(&self, now: Timestamp) -> bool {
        self.account.resting(now).is_none() && !self.account.asleep()
    }

    /// Dynos of age stop, and new ones take their names in the same turn.
    fn cycle(&mut self, now: Timestamp) {
        if self.rollout.is_some() || !self.awake(now) {
            return;
        }
        for dyno in self.dynos.values_mut().filter(|dyno| dyno.up && dyno.cycled_at() <= now) {
            if let Some(order) = dyno.stop.take() {
                self.orders.push((dyno.id, order));
                self.cycling.insert(dyno.name.clone());
            }
        }
    }

    fn decide(&self, now: Timestamp) -> Vec<Action> {
        let cooling = |name: &DynoName| self.crashes.get(name).is_some_and(|crashes| now < crashes.retry_at);
        let desired: Vec<Desired> = match &self.target {
            Some(target) if self.awake(now) => self
                .wanted_names()
                .filter(|name| !self.stopped.contains(name) && !cooling(name))
                .map(|name| Desired { name, release: target.release.id })
                .collect(),
            _ => Vec::new(),
        };
        let seen = self.dynos.values().filter(|dyno| !dyno.stopping());
        let observed: Vec<Observed> = seen
            .map(|dyno| Observed { id: dyno.id, name: dyno.name.clone(), release: dyno.revision.release.id, up: dyno.up || dyno.adopted })
            .collect();
        reconcile(&desired, &observed, self.preboot && self.has_room_for_both(&desired))
    }

    /// Whether the dynos of a new release may run beside the old ones until they serve. Starts that
    /// have begun are not called back.
    fn has_room_for_both(&self, desired: &[Desired]) -> bool {
        let is_new = |dyno: &Dyno| desired.iter().any(|wanted| wanted.release == dyno.revision.release.id);
        let mut beside = self.dynos.values().filter(|dyno| !dyno.stopping()).peekable();
        if desired.is_empty() || beside.peek().is_none() || beside.any(is_new) {
            return true;
        }
        let web = desired.iter().filter(|wanted| wanted.name.process_type.is_web()).count();
        let room = web == 0 || self.fits(web);
        if !room {
            let words = "This server has no memory for two releases at once: the old dynos stop before the new ones start";
            self.context.parts.logs.platform(self.app.id, "web", words);
        }
        room
    }

    /// Whether the machine's promises have room for so many more dynos of this app. What else it may
    /// lack does not get better when others of them stop.
    fn fits(&self, dynos: usize) -> bool {
        let bytes = self.plan.memory_bytes.saturating_mul(i64::try_from(dynos).unwrap_or(i64::MAX));
        !matches!(self.context.parts.host.would_fit(bytes), Err(NoRoom::Promised { .. }))
    }

    /// Marks what stops, so that the gate closes to it first; returns what starts. On a full machine
    /// that waits for the memory of dynos that stop.
    fn take_down(&mut self, actions: &[Action]) -> Vec<DynoName> {
        let mut starts = Vec::new();
        for action in actions {
            match action {
                Action::Start(desired) => starts.push(desired.name.clone()),
                Action::Stop(id) => {
                    if let Some(order) = self.dynos.get_mut(id).and_then(|dyno| dyno.stop.take()) {
                        self.orders.push((*id, order));
                    }
                }
            }
        }
        // The end of one that stops is heard, and makes the next turn.
        if !starts.is_empty() && self.dynos.values().any(Dyno::stopping) && !self.fits(starts.len()) {
            starts.clear();
        }
        let going: Vec<(DynoName, DynoId)> =
            self.orders.iter().filter_map(|(id, _)| Some((self.dynos.get(id)?.name.clone(), *id))).collect();
        for (name, id) in going.into_iter().filter(|(name, _)| !starts.contains(name)) {
            self.change_state(&name, id, DynoState::Down);
        }
        starts
    }

    fn give_stop_orders(&mut self, now: Timestamp) {
        // Nobody is inside an app that falls asleep; a rest waits for nobody.
        let drain = if self.awake(now) { self.context.parts.config.limits.drain } else { Duration::ZERO };
        for (_, order) in self.orders.drain(..) {
            // A dyno that has just ended needs no order.
            let _ = order.send(StopOrder { drain });
        }
    }

    fn start(&mut self, name: DynoName, now: Timestamp) {
        let Some(revision) = self.target.clone() else { return };
        let id = self.next_id(&name);
        let slot = self.slots.entry(name.clone()).or_insert(Slot { id, state: DynoState::Down, since: now });
        slot.id = id;
        if slot.state == DynoState::Up {
            let word = if self.cycling.remove(&name) { "Cycling" } else { "Restarting" };
            self.log(&name, word);
        }
        self.change_state(&name, id, DynoState::Starting);
        let beside_old = self.dynos.values().any(|dyno| !dyno.stopping() && dyno.revision.release.id != revision.release.id);
        let proof = if beside_old || self.rollout.is_some() {
            let domain = &self.context.parts.config.options.apps_domain;
            Proof::Answers { host: format!("{}.{domain}", self.app.name) }
        } else {
            Proof::Accepts
        };
        self.live(Dyno::new(id, name, revision, now), Begin::Create(proof));
    }

    /// Gives a dyno its task.
    fn live(&mut self, mut dyno: Dyno, begin: Begin) {
        let (order, stop) = oneshot::channel();
        dyno.stop = Some(order);
        let life = Life {
            context: self.context.clone(),
            app: self.app.clone(),
            plan: self.plan.clone(),
            revision: dyno.revision.clone(),
            id: dyno.id,
            name: dyno.name.clone(),
            gate: self.gate.clone(),
            stop,
            promise: None,
            reports: self.reports.clone(),
        };
        self.dynos.insert(dyno.id, dyno);
        self.context.parts.tasks.spawn(life.run(begin));
    }

    /// Takes over containers that ran before the server did. Those that have ended are removed;
    /// those of a release that is not known are left alone: the database may be an older one.
    pub(super) async fn adopt(&mut self, found: Vec<Container>) -> Result<(), StoreError> {
        let now = self.now();
        for container in found {
            let label = |key: &str| container.labels.get(key).map(String::as_str).unwrap_or_default();
            let (name, id, release) = (label(LABEL_DYNO).parse(), label(LABEL_DYNO_ID).parse(), label(LABEL_RELEASE).parse());
            let (Ok(name), Ok(id), Ok(release)) = (name, id, release) else {
                tracing::warn!(container = container.id.0, "a container with labels that make no sense is left alone");
                continue;
            };
            let Some(revision) = self.revision(release).await? else {
                tracing::warn!(container = container.id.0, "a container of a release that is not known is left alone");
                continue;
            };
            if container.running {
                let started = container.generation.parse().map_or(now, |at: jiff::Timestamp| Timestamp(at.as_millisecond()).min(now));
                self.slots.insert(DynoName::clone(&name), Slot { id, state: DynoState::Up, since: now });
                self.live(
                    Dyno { adopted: true, container: Some(container.id.clone()), ..Dyno::new(id, name, revision, started) },
                    Begin::Adopt(container),
                );
                continue;
            }
            if let Some(exit) = container.exit {
                self.log(&name, format!("Process exited with status {}", exit.code));
            }
            if let Err(error) = self.context.parts.engine.remove(container.id).await {
                tracing::warn!(%error, "an ended container could not be removed");
            }
        }
        if self.dynos.is_empty() {
            self.account.close_lost_span(&self.context, &self.plan, now).await?;
        }
        Ok(())
    }

    // What follows for those who wait and look.

    /// The targets of the one release that serves: the old one until all of the new are up.
    fn targets(&self) -> Vec<Arc<Target>> {
        let serving = |dyno: &&Dyno| dyno.target.is_some() && !dyno.stopping();
        let target = self.target.as_ref().map(|target| target.release.id);
        let old = self.dynos.values().filter(serving).map(|dyno| dyno.revision.release.id).find(|id| Some(*id) != target);
        let release = old.or(target);
        let of_release = |dyno: &&Dyno| Some(dyno.revision.release.id) == release;
        self.dynos.values().filter(serving).filter(of_release).filter_map(|dyno| dyno.target.clone()).collect()
    }

    pub(super) fn set_gate(&mut self, now: Timestamp) {
        let targets = self.targets();
        let setting = if self.target.is_none() {
            Setting::Refused(Refusal::Blank)
        } else if let Some(until) = self.account.resting(now) {
            Setting::Refused(Refusal::Resting { until })
        } else if !self.has_web() {
            Setting::Refused(Refusal::NoWeb)
        } else if !targets.is_empty() {
            Setting::Open(targets.iter().map(|target| target.key).collect())
        } else if let Some(trouble) = self.trouble.as_ref().filter(|trouble| self.account.asleep() && now < trouble.until) {
            Setting::Refused(trouble.refusal)
        } else if self.awake(now) && self.web_cools_off(now) {
            Setting::Refused(Refusal::Crashed)
        } else {
            Setting::Held
        };
        if setting == self.setting {
            return;
        }
        match &setting {
            Setting::Held => self.gate.hold(),
            Setting::Refused(refusal) => self.gate.refuse(*refusal),
            Setting::Open(_) => self.gate.open(targets),
        }
        self.setting = setting;
    }

    /// No web dyno runs or starts, and all of them wait out a crash of their own.
    pub(super) fn web_cools_off(&self, now: Timestamp) -> bool {
        let web = |name: &DynoName| name.process_type.is_web();
        let cooling = |name: &DynoName| self.crashes.get(name).is_some_and(|crashes| now < crashes.retry_at && !crashes.platform);
        !self.dynos.values().any(|dyno| web(&dyno.name) && !dyno.stopping())
            && self.wanted_names().filter(|name| web(name)).all(|name| cooling(&name))
    }

    /// Answers a release when all its web dynos serve, or when it has nothing to wait for.
    fn settle_rollout(&mut self, now: Timestamp) {
        if self.rollout.is_none() {
            return;
        }
        let up = match &self.target {
            Some(target) if self.awake(now) => self.wanted_names().filter(|name| name.process_type.is_web()).all(|name| {
                let serves = |dyno: &Dyno| dyno.name == name && dyno.up && dyno.revision.release.id == target.release.id;
                self.stopped.contains(&name) || self.dynos.values().any(|dyno| serves(dyno) && !dyno.stopping())
            }),
            _ => true,
        };
        if up {
            fail_point::reached("release.switched");
            self.gate.touch();
            self.answer_rollout(|| Ok(()));
        }
    }

    fn publish(&mut self, now: Timestamp) {
        let since = self.account.last_edge().unwrap_or(self.app.updated_at);
        let names: Vec<DynoName> = self.wanted_names().collect();
        for name in names {
            self.slots.entry(name).or_insert_with(|| Slot { id: DynoId::new(), state: DynoState::Down, since });
        }
        let status = self.view(now);
        let retry = self.crashes.values().map(|crashes| crashes.retry_at).filter(|at| *at > now);
        let due = [
            status.sleeps_at,
            self.naps_at(status.phase, now),
            self.account.is_awake().then(|| now + FRESH),
            status.quota.allow_until.filter(|_| self.awake(now) || self.account.is_awake()),
            self.account.resting(now),
            self.trouble.as_ref().map(|trouble| trouble.until).filter(|at| *at > now),
        ];
        let cycled = self.dynos.values().filter(|dyno| dyno.up && !dyno.stopping()).map(Dyno::cycled_at);
        let due = due.into_iter().flatten().chain(retry).chain(cycled).min();
        self.due.store(due.map_or(i64::MAX, Timestamp::millis), Ordering::SeqCst);
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }
}
