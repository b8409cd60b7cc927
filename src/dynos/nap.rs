//! The nap: an idle app that is awake has its memory paged out while it runs on. Nothing is frozen
//! and no limit changes: the next request finds the app where it was, some milliseconds later.

use crate::{
    domain::{Plan, SleepBy},
    dynos::{gate::Gate, supervisor::Supervisor},
    engine::ContainerId,
};

use std::sync::Arc;

use super::Context;

impl Supervisor {
    /// Whether this plan's way to sleep is the nap, and the host can do it.
    pub(super) fn sleeps_by_nap(&self, plan: &Plan) -> bool {
        plan.sleep_by == SleepBy::Nap && self.context.has_swap()
    }

    /// Begins the nap of all the app's dynos when its time has come: workers sleep and wake with web,
    /// and what they do meanwhile they go on doing.
    pub(super) fn settle_nap(&self) {
        if !self.context.has_swap() || !self.gate.nap_if_idle(&self.plan) {
            return;
        }
        let dynos = self.dynos.values().filter(|dyno| dyno.up && !dyno.stopping());
        let containers: Vec<ContainerId> = dynos.filter_map(|dyno| dyno.container.clone()).collect();
        let (context, gate) = (self.context.clone(), self.gate.clone());
        self.context.parts.tasks.spawn(async move { context.page_out(&gate, containers).await });
    }
}

impl Context {
    /// One app at a time, and not when a request has come meanwhile.
    async fn page_out(&self, gate: &Arc<Gate>, containers: Vec<ContainerId>) {
        let _alone = self.paging.acquire().await;
        for container in containers {
            if !gate.napping() {
                return;
            }
            if let Err(error) = self.parts.engine.reclaim(container).await {
                tracing::warn!(%error, "an idle dyno keeps its memory");
            }
        }
    }
}
