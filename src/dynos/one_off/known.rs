//! Every one-off that waits or runs, under one lock that is never held over an await.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{mpsc, watch};

use super::{Outcome, life::Life, touch};
use crate::{
    domain::{
        AppId, DynoId, DynoName, DynoState, Plan, Timestamp,
        one_off::{self, Fault, Known, Limits},
    },
    dynos::{Context, DynoView},
    scheduler::Activator,
};

/// Why a one-off ends before its process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dynos) enum Ending {
    /// Its client is gone.
    HangUp,
    Terminate,
}

/// One that waits for its client.
pub(super) struct Waiting {
    pub(super) secret_hash: Vec<u8>,
    pub(super) life: Life,
    pub(super) until: Timestamp,
}

/// One of them.
pub(super) struct Entry {
    pub(super) known: Known,
    pub(super) view: DynoView,
    pub(super) ends_at: Timestamp,
    /// When bytes last went through, in milliseconds.
    pub(super) traffic: Arc<AtomicI64>,
    pub(super) orders: mpsc::UnboundedSender<Ending>,
    pub(super) outcome: watch::Receiver<Option<Outcome>>,
    pub(super) waiting: Option<Waiting>,
    pub(super) wake: Activator,
}

impl Entry {
    /// The release phase stands outside limits, rests and the quota.
    fn is_phase(&self) -> bool {
        self.view.name.process_type.is_release()
    }

    fn end(&self, ending: Ending) {
        // A task that has just ended needs no order.
        let _ = self.orders.send(ending);
    }
}

/// What a client gets that came with the right secret.
pub(super) struct Claimed {
    pub(super) of: Known,
    pub(super) life: Life,
    pub(super) view: DynoView,
    pub(super) ends_at: Timestamp,
    pub(super) traffic: Arc<AtomicI64>,
    pub(super) orders: mpsc::UnboundedSender<Ending>,
    pub(super) outcome: watch::Receiver<Option<Outcome>>,
}

/// All that wait or run.
#[derive(Default)]
pub(in crate::dynos) struct OneOffs(Mutex<BTreeMap<DynoId, Entry>>);

impl OneOffs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DynoId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many run whose time counts.
    pub(in crate::dynos) fn running(&self, app: AppId) -> usize {
        self.lock().values().filter(|entry| entry.known.app == app && !entry.is_phase() && entry.waiting.is_none()).count()
    }

    /// A rest has begun: only the release phase goes on.
    pub(in crate::dynos) fn rest(&self, app: AppId) {
        self.lock().values().filter(|entry| entry.known.app == app && !entry.is_phase()).for_each(|entry| entry.end(Ending::Terminate));
    }

    /// Enters one with a number no other of the app has, unless a limit is reached.
    pub(super) fn admit(&self, mut entry: Entry, plan: &Plan, limits: Limits) -> Result<DynoView, Fault> {
        let mut entries = self.lock();
        if !entry.is_phase() {
            let known: Vec<Known> = entries.values().filter(|entry| !entry.is_phase()).map(|entry| entry.known).collect();
            one_off::admit(entry.known, &known, plan, limits)?;
        }
        loop {
            entry.view.name.number = rand::random_range(1..10_000);
            if !entries.values().any(|other| other.known.app == entry.known.app && other.view.name == entry.view.name) {
                break;
            }
        }
        let view = entry.view.clone();
        entries.insert(view.id, entry);
        Ok(view)
    }

    /// Enters one that ran before the server did.
    pub(super) fn adopt(&self, entry: Entry) {
        self.lock().insert(entry.view.id, entry);
    }

    pub(super) fn remove(&self, id: DynoId) -> Option<Entry> {
        self.lock().remove(&id)
    }

    pub(super) fn wait(&self, id: DynoId, waiting: Waiting) {
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.waiting = Some(waiting);
        }
    }

    /// What waits for this secret, which is used up.
    pub(super) fn claim(&self, secret_hash: &[u8], now: Timestamp) -> Option<Claimed> {
        let mut entries = self.lock();
        let entry = entries.values_mut().find(|entry| entry.waiting.as_ref().is_some_and(|waiting| waiting.secret_hash == secret_hash))?;
        let life = entry.waiting.take()?.life;
        touch(&entry.traffic, now);
        entry.wake.activate();
        Some(Claimed {
            of: entry.known,
            life,
            view: entry.view.clone(),
            ends_at: entry.ends_at,
            traffic: entry.traffic.clone(),
            orders: entry.orders.clone(),
            outcome: entry.outcome.clone(),
        })
    }

    pub(super) fn views(&self, app: AppId) -> Vec<DynoView> {
        self.lock().values().filter(|entry| entry.known.app == app).map(|entry| entry.view.clone()).collect()
    }

    pub(super) fn outcomes(&self, app: AppId) -> Vec<(DynoName, watch::Receiver<Option<Outcome>>)> {
        let entries = self.lock();
        entries.values().filter(|entry| entry.known.app == app).map(|entry| (entry.view.name.clone(), entry.outcome.clone())).collect()
    }

    /// How one will end.
    pub(super) fn outcome_of(&self, app: AppId, id: DynoId) -> Option<watch::Receiver<Option<Outcome>>> {
        self.lock().get(&id).filter(|entry| entry.known.app == app).map(|entry| entry.outcome.clone())
    }

    /// Orders one to end; true with it when it only waited, so that nothing runs.
    pub(super) fn stop(&self, app: AppId, name: &DynoName) -> Option<(DynoId, bool)> {
        let mut entries = self.lock();
        let entry = entries.values_mut().find(|entry| entry.known.app == app && entry.view.name == *name)?;
        entry.end(Ending::Terminate);
        Some((entry.view.id, entry.waiting.take().is_some()))
    }

    /// Orders the end of what time ends; returns those whose client never came.
    pub(super) fn sweep(&self, now: Timestamp, idle: Duration) -> Vec<(AppId, DynoView)> {
        let mut missed = Vec::new();
        for entry in self.lock().values_mut() {
            if let Some(waiting) = entry.waiting.take_if(|waiting| waiting.until <= now) {
                drop(waiting);
                missed.push((entry.known.app, entry.view.clone()));
            } else if entry.waiting.is_none() && entry.ends_at <= now {
                entry.end(Ending::Terminate);
            } else if entry.known.interactive && entry.waiting.is_none() && Timestamp(entry.traffic.load(Ordering::Relaxed)) + idle <= now {
                entry.end(Ending::HangUp);
            }
        }
        missed
    }
}

impl Context {
    /// Logs the change of a one-off's state and shows it.
    pub(super) fn one_off_is(&self, id: DynoId, to: DynoState) {
        let mut entries = self.one_offs.lock();
        let Some(entry) = entries.get_mut(&id).filter(|entry| entry.view.state != to) else { return };
        let from = entry.view.state;
        (entry.view.state, entry.view.since) = (to, self.parts.clock.now());
        let (app, name) = (entry.known.app, entry.view.name.to_string());
        drop(entries);
        self.parts.logs.platform(app, &name, format!("State changed from {from} to {to}"));
    }

    /// It is over: nothing of it is left.
    pub(super) async fn one_off_ended(&self, id: DynoId, to: DynoState) {
        self.one_off_is(id, to);
        if let Err(error) = self.parts.writer.delete_one_off(id).await {
            tracing::error!(%error, dyno = %id, "the row of a one-off dyno stays until the next start");
        }
        if let Some(entry) = self.one_offs.remove(id) {
            entry.wake.activate();
        }
    }
}
