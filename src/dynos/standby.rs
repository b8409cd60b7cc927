//! Standbys: of the apps that fell asleep last, the next dyno's container is there already, with its
//! network and its limits, and only its process waits to be let go. A wake then takes the app's own
//! boot: most of the rest is the engine's (README, "Measured").
//!
//! A standby runs nothing of the app and counts as no dyno. It serves only if it is just what would be
//! made now, to the last config var; else it is removed and the dyno is made as ever. It ends with its
//! input, which this server holds: none outlives the server.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};
use tokio::{
    io::AsyncWriteExt,
    sync::{Mutex as AsyncMutex, OwnedMutexGuard, Semaphore},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    domain::{AppId, DynoId, DynoName, Plan, app::App},
    dynos::{
        Context,
        gate::Gate,
        life::{Life, Report, Revision, port_of},
        make::Making,
        supervisor::Supervisor,
    },
    engine::{Attachment, Container, ContainerId, ContainerSpec, Engine, EngineError, EngineResult, spec},
    fail_point,
};

/// What a standby is made for.
struct Order {
    app: App,
    plan: Arc<Plan>,
    revision: Arc<Revision>,
    name: DynoName,
    command: String,
    gate: Arc<Gate>,
}

/// A container that waits to be let go.
struct Ready {
    id: DynoId,
    container: ContainerId,
    /// Its end is that of the standby.
    streams: Attachment,
    recipe: [u8; 32],
}

/// The standby of one app, there or in the making.
struct Entry {
    number: u64,
    name: DynoName,
    ready: Option<Ready>,
    /// A dyno has its id.
    claimed: bool,
    /// Tells whoever makes it that it is not wanted any more.
    _wanted: DropGuard,
    /// Locked while it is made.
    busy: Arc<AsyncMutex<()>>,
}

/// A place among them, held by whoever makes the standby.
struct Place {
    app: AppId,
    number: u64,
    unwanted: CancellationToken,
    _busy: OwnedMutexGuard<()>,
}

#[derive(Default)]
struct Known {
    /// Counted over all entries: the oldest has the least number.
    last: u64,
    of: HashMap<AppId, Entry>,
}

/// All standbys of this server.
pub(super) struct Standbys {
    room: usize,
    /// One is made at a time.
    making: Semaphore,
    known: Mutex<Known>,
}

impl Standbys {
    /// For so many apps at most; 0: for none.
    pub(super) fn new(room: usize) -> Standbys {
        Standbys { room, making: Semaphore::new(1), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Books a place, in that of the oldest where all are taken; what stood there is to be removed.
    fn book(&self, app: AppId, name: DynoName) -> (Place, Vec<Ready>) {
        let (unwanted, busy) = (CancellationToken::new(), Arc::<AsyncMutex<()>>::default());
        let held = busy.clone().try_lock_owned().expect("nobody else knows it");
        let mut known = self.known();
        known.last += 1;
        let number = known.last;
        let entry = Entry { number, name, ready: None, claimed: false, _wanted: unwanted.clone().drop_guard(), busy };
        let mut gone: Vec<Entry> = known.of.insert(app, entry).into_iter().collect();
        while known.of.len() > self.room {
            let oldest = known.of.iter().min_by_key(|(_, entry)| entry.number).map(|(app, _)| *app);
            gone.extend(oldest.and_then(|app| known.of.remove(&app)));
        }
        (Place { app, number, unwanted, _busy: held }, gone.into_iter().filter_map(|entry| entry.ready).collect())
    }

    /// Puts it in its place; given back when that is no longer its own.
    fn put(&self, place: &Place, ready: Ready) -> Option<Ready> {
        match self.known().of.get_mut(&place.app).filter(|entry| entry.number == place.number) {
            Some(entry) => entry.ready.replace(ready),
            None => Some(ready),
        }
    }

    /// Takes out what ended in its place.
    fn give_up(&self, place: &Place) -> Option<Ready> {
        let mut known = self.known();
        let _ = known.of.get(&place.app).filter(|entry| entry.number == place.number)?;
        known.of.remove(&place.app)?.ready
    }

    pub(super) fn count(&self) -> usize {
        self.known().of.values().filter(|entry| entry.ready.is_some()).count()
    }

    /// The dyno's id that the standby for this name was made with; given once, for no two dynos have one.
    fn claim(&self, app: AppId, name: &DynoName) -> Option<DynoId> {
        let mut known = self.known();
        let entry = known.of.get_mut(&app).filter(|entry| entry.name == *name && !entry.claimed)?;
        let id = entry.ready.as_ref()?.id;
        entry.claimed = true;
        Some(id)
    }

    /// Takes it out; one in the making is not wanted any more.
    fn take(&self, app: AppId, name: &DynoName) -> Option<Ready> {
        let mut known = self.known();
        let _ = known.of.get(&app).filter(|entry| entry.name == *name)?;
        known.of.remove(&app)?.ready
    }

    /// Removes that of an app that goes; at the end nothing is in the making either.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) async fn forget(&self, engine: &dyn Engine, app: AppId) -> EngineResult<()> {
        let Some(Entry { ready, busy, _wanted, .. }) = self.known().of.remove(&app) else { return Ok(()) };
        drop(_wanted);
        let _made = busy.lock().await;
        match ready {
            Some(ready) => engine.remove(ready.container).await,
            None => Ok(()),
        }
    }
}

impl Ready {
    fn is_made_of(&self, spec: &ContainerSpec) -> bool {
        self.recipe == recipe(spec)
    }

    /// Lets it go, and calls it a dyno.
    async fn go(mut self, engine: &dyn Engine, name: String) -> EngineResult<Container> {
        let seen = engine.inspect(self.container.clone()).await?.filter(|seen| seen.running).ok_or(EngineError::NoSuchContainer)?;
        let told = async {
            self.streams.input.write_all(b"\n").await?;
            self.streams.input.flush().await
        };
        told.await.map_err(|error| EngineError::Unreachable(error.to_string()))?;
        fail_point::reached(fail_point::STANDBY_PLACE);
        engine.rename(self.container, name).await?;
        Ok(seen)
    }
}

/// What tells whether two containers are the same. Not the spec itself: it holds config vars.
fn recipe(spec: &ContainerSpec) -> [u8; 32] {
    Sha256::digest(serde_json::to_vec(spec).expect("a spec is plain data")).into()
}

impl Order {
    fn making<'a>(&'a self, context: &'a Arc<Context>, id: DynoId) -> Making<'a> {
        Making {
            context,
            app: &self.app,
            plan: &self.plan,
            revision: &self.revision,
            id,
            name: &self.name,
            command: &self.command,
            env: &[],
            port: port_of(id, &self.name),
            streams: None,
        }
    }

    async fn make(&self, context: &Arc<Context>) -> Result<Ready, String> {
        let id = DynoId::new();
        let (spec, _network) = self.making(context, id).spec(|input, _| spec::standby_spec(input)).await.map_err(|failure| failure.why)?;
        let (engine, recipe) = (&context.parts.engine, recipe(&spec));
        let container = engine.create(spec).await.map_err(|error| error.to_string())?;
        let started = async {
            let streams = engine.attach(container.clone()).await?;
            engine.start(container.clone()).await?;
            Ok::<_, EngineError>(streams)
        };
        match started.await {
            Ok(streams) => Ok(Ready { id, container, streams, recipe }),
            Err(error) => {
                remove(context, container).await;
                Err(error.to_string())
            }
        }
    }
}

/// Makes the standby of an app in the background and removes it when it ends too soon. What cannot be
/// made is done without.
fn prepare(context: &Arc<Context>, order: Order) {
    let (place, gone) = context.standbys.book(order.app.id, order.name.clone());
    let context = context.clone();
    context.parts.tasks.clone().spawn(async move {
        for ready in gone {
            remove(&context, ready.container).await;
        }
        let Some(container) = put_in_place(&context, &place, &order).await else { return };
        tokio::select! {
            () = place.unwanted.cancelled() => {}
            _ = context.parts.engine.wait(container) => {
                if let Some(lost) = context.standbys.give_up(&place) {
                    remove(&context, lost.container).await;
                }
            }
        }
    });
}

/// One at a time, and when nothing more urgent starts.
async fn put_in_place(context: &Arc<Context>, place: &Place, order: &Order) -> Option<ContainerId> {
    let turn = async { (context.standbys.making.acquire().await, context.queue.acquire(&order.gate).await) };
    let _turn = tokio::select! {
        biased;
        () = place.unwanted.cancelled() => return None,
        turn = turn => turn,
    };
    let ready = match order.make(context).await {
        Ok(ready) => ready,
        Err(why) => {
            tracing::debug!(app = %order.app.name, why, "no standby could be made");
            context.standbys.give_up(place);
            return None;
        }
    };
    let container = ready.container.clone();
    match context.standbys.put(place, ready) {
        None => Some(container),
        Some(late) => {
            remove(context, late.container).await;
            None
        }
    }
}

async fn remove(context: &Context, container: ContainerId) {
    context.persist("remove", || context.parts.engine.remove(container.clone())).await;
}

impl Context {
    /// Removes those an older server left. They have ended with it, or end now.
    pub(super) async fn clear_standbys(&self, found: Vec<Container>) {
        for container in found {
            remove(self, container.id).await;
        }
    }
}

impl Supervisor {
    /// When the dynos of an app that fell asleep have ended, its next web dyno is made ready. Not on a
    /// machine without room for it.
    pub(super) fn stand_by(&mut self) {
        if !self.standby_due || !self.dynos.is_empty() {
            return;
        }
        self.standby_due = false;
        let wanted = self.wanted_names().find(|name| name.process_type.is_web());
        let (Some(name), Some(revision)) = (wanted, self.target.clone()) else { return };
        let has_room = self.context.parts.host.would_fit(self.plan.memory_bytes).is_ok();
        if self.context.standbys.room == 0 || !self.account.asleep() || self.trouble.is_some() || !has_room {
            return;
        }
        let command = revision.slug.process_types.command(&name.process_type).unwrap_or_default().to_owned();
        let (app, plan, gate) = (self.app.clone(), self.plan.clone(), self.gate.clone());
        prepare(&self.context, Order { app, plan, revision, name, command, gate });
    }

    /// The id of the next dyno of this name.
    pub(super) fn next_id(&self, name: &DynoName) -> DynoId {
        self.context.standbys.claim(self.app.id, name).unwrap_or_else(DynoId::new)
    }
}

impl Life {
    /// Lets the app's standby go, when it is just what would be made now.
    pub(super) async fn wake_standby(&self) -> Option<Container> {
        let ready = self.context.standbys.take(self.app.id, &self.name)?;
        let container = ready.container.clone();
        let made_now = self.making().spec(|input, _| spec::standby_spec(input)).await;
        if ready.id == self.id && made_now.is_ok_and(|(spec, _)| ready.is_made_of(&spec)) {
            self.report(Report::Created(container.clone()));
            self.log_start();
            let name = spec::dyno_name(&self.context.parts.instance, self.id);
            match ready.go(self.context.parts.engine.as_ref(), name).await {
                Ok(started) => return Some(started),
                Err(error) => tracing::info!(app = %self.app.name, %error, "a standby was lost; the dyno is made anew"),
            }
        }
        let context = self.context.clone();
        self.context.parts.tasks.spawn(async move { remove(&context, container).await });
        None
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[test]
    fn its_id_is_given_to_one_dyno() {
        let (standbys, app, name) = (Standbys::new(1), AppId::new(), "web.1".parse::<DynoName>().expect("a name"));
        let (place, _) = standbys.book(app, name.clone());
        assert_eq!(standbys.claim(app, &name), None, "it is in the making");
        let streams = Attachment { input: Box::pin(tokio::io::sink()), output: futures_util::stream::empty().boxed() };
        let id = DynoId::new();
        assert!(standbys.put(&place, Ready { id, container: ContainerId("one".to_owned()), streams, recipe: [0; 32] }).is_none());
        assert_eq!(standbys.claim(app, &"worker.1".parse().expect("a name")), None);
        assert_eq!(standbys.claim(app, &name), Some(id));
        assert_eq!(standbys.claim(app, &name), None, "a release that comes meanwhile starts another dyno");
        assert_eq!(standbys.take(app, &name).map(|ready| ready.id), Some(id));
    }
}
