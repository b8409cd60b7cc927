//! What people ask of an app's dynos, and how the supervisor obeys.

use serde_json::json;

use crate::{
    domain::{
        DynoName, ProcessType, ReleaseId,
        app::App,
        event::EventKind,
        formation::{FormationRow, Quantity},
        user::Actor,
    },
    dynos::{
        Context, DynoError, Which,
        gate::Refusal,
        one_off::Allowed,
        supervisor::{Command, Reply, Rollout, Supervisor},
        turn::Setting,
    },
    engine::spec::{LABEL_APP, LABEL_KIND},
    store::StoreError,
};

impl Supervisor {
    pub(super) async fn obey(&mut self, command: Command) {
        match command {
            Command::Reload(reply) => {
                let done = self.load().await.map_err(DynoError::from);
                self.answer(reply, done);
            }
            Command::Release(reply) => self.release(reply).await,
            Command::Scale { changes, by, reply } => {
                let done = self.scale(&changes, &by).await;
                self.answer(reply, done);
            }
            Command::Restart(which, reply) => {
                let done = self.restart(&which).await;
                self.answer(reply, done);
            }
            // Its dynos still stand behind the gate, which it has closed.
            Command::Stop(which, reply) => _ = reply.send(self.stop(&which).await),
            Command::Wake(reply) => {
                let done = self.wake().await;
                self.answer(reply, done);
            }
            Command::Allow(release, reply) => {
                let done = self.allow(release).await;
                self.answer(reply, done);
            }
            Command::Forget(reply) => {
                let done = self.forget().await;
                self.answer(reply, done);
            }
        }
    }

    /// Answers when the work is done. Whoever hears it may come at once, so the gate is set before;
    /// whoever asked may be gone.
    fn answer<T>(&mut self, reply: Reply<T>, done: Result<T, DynoError>) {
        self.set_gate(self.now());
        let _ = reply.send(done);
    }

    /// The current release changed. Answered now when there is nothing to wait for, else when its
    /// web dynos serve or will not.
    async fn release(&mut self, reply: Reply<()>) {
        match self.take_release().await {
            Ok(true) => {
                let release = self.target.as_ref().map(|target| target.release.id);
                self.rollout.get_or_insert(Rollout { release, replies: Vec::new() }).replies.push(reply);
            }
            Ok(false) => self.answer(reply, Ok(())),
            Err(error) => self.answer(reply, Err(error.into())),
        }
    }

    /// True: it comes up in the turns that follow. False: nothing starts now.
    async fn take_release(&mut self) -> Result<bool, StoreError> {
        self.fit_formation().await?;
        self.load().await?;
        self.supersede();
        self.forgive();
        if self.target.is_none() || self.account.resting(self.now()).is_some() {
            return Ok(false);
        }
        if self.account.asleep() {
            if self.trouble.take().is_none() {
                return Ok(false);
            }
            self.account.set_asleep(&self.context, false, &self.gate).await?;
        }
        Ok(true)
    }

    /// Those who wait for an older release than the current one wait in vain.
    fn supersede(&mut self) {
        let Some(target) = self.target.as_ref().map(|target| target.release.clone()) else { return };
        if self.rollout.as_ref().is_some_and(|rollout| rollout.release != Some(target.id)) {
            self.answer_rollout(|| Err(DynoError::Superseded(target.version)));
        }
    }

    /// The process types of the current slug become the formation: a first web type runs once, other
    /// new types not at all.
    async fn fit_formation(&self) -> Result<(), StoreError> {
        let (reader, app) = (&self.context.parts.reader, self.id());
        let Some(release) = reader.current_release(app).await? else { return Ok(()) };
        let Some(slug_id) = release.slug_id else { return Ok(()) };
        let Some(slug) = reader.slug(slug_id).await? else { return Ok(()) };
        let dynos = slug.process_types.iter().map(|(process_type, _)| process_type).filter(|process_type| !process_type.is_release());
        let types: Vec<(ProcessType, u32)> = dynos.map(|process_type| (process_type.clone(), u32::from(process_type.is_web()))).collect();
        let new_web = slug.process_types.command(&ProcessType::web()).is_some()
            && !reader.quantities(app).await?.iter().any(|row| row.process_type.is_web());
        self.context.parts.writer.fit_formation(app, &types, self.now()).await?;
        if new_web {
            let size = self.plan.size_word();
            self.context.parts.logs.api(app, format!("Scaled to web@1:{size} by user {}", release.user_email));
        }
        Ok(())
    }

    /// Crashes and stops of the past count no more.
    fn forgive(&mut self) {
        self.crashes.clear();
        self.stopped.clear();
    }

    async fn scale(&mut self, changes: &[(ProcessType, Quantity)], by: &Actor) -> Result<Vec<FormationRow>, DynoError> {
        self.load().await?;
        let mut wanted: Vec<(ProcessType, u32)> = self.formation.iter().map(|row| (row.process_type.clone(), row.quantity)).collect();
        let mut changed: Vec<(ProcessType, u32)> = Vec::new();
        for (process_type, quantity) in changes {
            let row = wanted.iter_mut().find(|(known, _)| known == process_type);
            let (_, count) = row.ok_or_else(|| DynoError::NoSuchProcessType(process_type.to_string()))?;
            *count = quantity.apply(*count);
            changed.retain(|(known, _)| known != process_type);
            changed.push((process_type.clone(), *count));
        }
        self.check_plan(&wanted)?;
        let count = |rows: &[(ProcessType, u32)]| rows.iter().map(|(_, count)| *count).sum::<u32>();
        let more = count(&wanted).saturating_sub(self.formation.iter().map(|row| row.quantity).sum());
        if more > 0 && self.awake(self.now()) {
            self.context.parts.host.would_fit(self.plan.memory_bytes.saturating_mul(i64::from(more)))?;
        }
        let now = self.now();
        self.context.parts.writer.set_quantities(self.id(), &changed, now).await?;
        let size = self.plan.size_word();
        let words: Vec<String> = changed.iter().map(|(process_type, count)| format!("{process_type}@{count}:{size}")).collect();
        self.context.parts.logs.api(self.id(), format!("Scaled to {} by user {}", words.join(" "), by.email));
        let detail = changed.iter().map(|(process_type, count)| (process_type.to_string(), json!(count)));
        self.note(EventKind::Scale, by.email.to_string(), detail.collect::<serde_json::Map<_, _>>().into()).await?;
        self.crashes.retain(|name, _| !changed.iter().any(|(process_type, _)| *process_type == name.process_type));
        self.gate.touch();
        self.load().await?;
        Ok(self.formation.clone())
    }

    pub(super) async fn restart(&mut self, which: &Which) -> Result<(), DynoError> {
        let names = self.named(which)?;
        self.crashes.retain(|name, _| !names.contains(name));
        self.stopped.retain(|name| !names.contains(name));
        for dyno in self.dynos.values_mut().filter(|dyno| names.contains(&dyno.name)) {
            self.orders.extend(dyno.stop.take().map(|order| (dyno.id, order)));
        }
        self.gate.touch();
        if self.trouble.take().is_some() && self.account.asleep() {
            self.wake_up("restart").await?;
        }
        Ok(())
    }

    /// An app whose web dynos are all stopped sleeps: the next request wakes it.
    async fn stop(&mut self, which: &Which) -> Result<(), DynoError> {
        self.stopped.extend(self.named(which)?);
        let all_web =
            self.has_web() && self.wanted_names().filter(|name| name.process_type.is_web()).all(|name| self.stopped.contains(&name));
        if all_web && self.awake(self.now()) {
            self.gate.hold();
            self.setting = Setting::Held;
            self.fall_asleep("hand").await?;
        }
        Ok(())
    }

    async fn wake(&mut self) -> Result<(), DynoError> {
        if let Some(until) = self.account.resting(self.now()) {
            return Err(DynoError::Resting { until });
        }
        if self.account.asleep() {
            self.context.parts.host.would_fit(self.plan.memory_bytes)?;
        }
        self.gate.touch();
        self.trouble = None;
        self.forgive();
        if self.account.asleep() && self.account.resting(self.now()).is_none() && self.target.is_some() {
            self.wake_up("hand").await?;
        }
        Ok(())
    }

    /// What a one-off runs, and that it may: not while the app rests (the release phase belongs to its
    /// deploy and does not wait), not without code, not on a full machine.
    async fn allow(&self, release: Option<ReleaseId>) -> Result<Allowed, DynoError> {
        let revision = match (release, self.account.resting(self.now())) {
            (Some(release), _) => self.revision(release).await?,
            (None, Some(until)) => return Err(DynoError::Resting { until }),
            (None, None) => self.target.clone(),
        };
        let revision = revision.ok_or(DynoError::NoCode)?;
        let promise = self.context.parts.host.admit(self.plan.memory_bytes)?;
        Ok(Allowed { promise, app: self.app.clone(), plan: self.plan.clone(), revision })
    }

    /// The names of the formation that are meant.
    fn named(&self, which: &Which) -> Result<Vec<DynoName>, DynoError> {
        let names: Vec<DynoName> = self.wanted_names().collect();
        match which {
            Which::All => Ok(names),
            Which::Type(process_type) if self.formation.iter().any(|row| row.process_type == *process_type) => {
                Ok(names.into_iter().filter(|name| name.process_type == *process_type).collect())
            }
            Which::Type(process_type) => Err(DynoError::NoSuchProcessType(process_type.to_string())),
            Which::One(name) if names.contains(name) => Ok(vec![name.clone()]),
            Which::One(_) => Err(DynoError::NoSuchDyno),
        }
    }

    /// Ends all dynos and removes what the engine holds of the app.
    pub(super) async fn forget(&mut self) -> Result<(), DynoError> {
        self.gate.refuse(Refusal::Blank);
        self.answer_rollout(|| Err(DynoError::NoSuchApp));
        self.target = None;
        self.turn().await?;
        while !self.dynos.is_empty() {
            match self.inbox.reports.recv().await {
                Some((id, crate::dynos::life::Report::Ended(_))) => drop(self.dynos.remove(&id)),
                Some(_) => {}
                None => break,
            }
        }
        self.context.standbys.forget(self.context.parts.engine.as_ref(), self.id()).await?;
        remove_all_of(&self.context, &self.app).await
    }
}

/// Removes what the engine holds of an app: dynos and their network.
pub(super) async fn remove_all_of(context: &Context, app: &App) -> Result<(), DynoError> {
    let engine = &context.parts.engine;
    let id = app.id.to_string();
    for container in engine.list().await? {
        let label = |key: &str| container.labels.get(key).map(String::as_str);
        if label(LABEL_APP) == Some(&id) && label(LABEL_KIND) == Some("dyno") {
            engine.remove(container.id).await?;
        }
    }
    Ok(engine.remove_network(context.network(app)?.name).await?)
}
