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

    /// Begins the nap when its time has come. Workers do not nap: no visitor says that they are idle.
    pub(super) fn settle_nap(&self) {
        if !self.context.has_swap() || !self.gate.nap_if_idle(&self.plan) {
            return;
        }
        let web = self.dynos.values().filter(|dyno| dyno.name.process_type.is_web() && dyno.up && !dyno.stopping());
        let containers: Vec<ContainerId> = web.filter_map(|dyno| dyno.container.clone()).collect();
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
