//! Tracked tasks and periodic work: everything that runs in the background is known and ends in order.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of the server. Clones share one tracker; `stop` ends them all.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work` until it ends or the server stops; at the stop it is dropped at its next await.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
    pub fn spawn<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Runs `work` to its end even while the server stops; `work` watches `stopping()` itself.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
    pub fn spawn_graceful<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(work);
    }

    /// Runs `work` to its end on the local runtime of this thread; `work` watches `stopping()` itself.
    ///
    /// # Panics
    /// Outside a local runtime.
    pub fn spawn_local<F>(&self, work: F)
    where
        F: Future<Output = ()> + 'static,
    {
        self.tracker.spawn_local(work);
    }

    /// Tasks that have not ended.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Becomes cancelled when the server begins to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Begins the stop and waits for all tasks, at most `patience`. True when all ended.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(patience, self.tracker.wait()).await.is_ok()
    }
}

/// Wakes a periodic task before its time. Can be handed out before the task exists; activations
/// while the task runs are kept and merged into one.
#[derive(Clone, Debug, Default)]
pub struct Activator(Arc<Notify>);

impl Activator {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn activate(&self) {
        self.0.notify_one();
    }

    pub async fn activated(&self) {
        self.0.notified().await;
    }
}

/// Runs `tick` every `period`, and at once whenever `activator` is activated. Never returns.
pub async fn every<T, F>(period: Duration, activator: Activator, mut tick: T)
where
    T: FnMut() -> F + Send,
    F: Future<Output = ()> + Send,
{
    loop {
        tick().await;
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            () = activator.activated() => {}
        }
    }
}
