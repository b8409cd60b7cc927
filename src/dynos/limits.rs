//! What an app may use: its plan, looked at anew in every turn, so that a change counts at once.

use serde_json::json;

use crate::{
    domain::{ProcessType, Timestamp, event::EventKind, quota},
    dynos::{DynoError, Which, supervisor::Supervisor},
    store::StoreError,
};

impl Supervisor {
    /// Takes over the plan the app has now. Dynos that are too many are scaled away, dynos with
    /// another memory limit than the new one start again, a rest that the new plan does not ask
    /// for ends.
    pub(super) async fn settle_plan(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let plan = self.context.parts.plans.of(&self.app);
        self.account.see_pool(&self.context, &plan, &self.app, now).await?;
        if *plan == *self.plan {
            return Ok(());
        }
        self.account.load(&self.context, &plan, now).await?;
        self.account.reconsider_rest(&self.context, &plan, now).await?;
        let before = std::mem::replace(&mut self.plan, plan);
        if before.name != self.plan.name {
            self.context.parts.logs.api(self.id(), format!("Plan changed to {}", self.plan.name));
        }
        self.fit_formation_to_plan(now).await?;
        if before.memory_bytes != self.plan.memory_bytes && self.dynos.values().any(|dyno| !dyno.stopping()) {
            let megabytes = self.plan.megabytes();
            self.context.parts.logs.api(self.id(), format!("Dynos restart with {megabytes} MB of memory each"));
            // All types are those of the formation itself: nothing else can be wrong.
            if let Err(DynoError::Store(error)) = self.restart(&Which::All).await {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Says once that most of the quota is used, and again when it has been refilled and used since.
    pub(super) async fn settle_warning(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let standing = self.account.standing(&self.plan, now);
        let nearly = quota::nearly_used(&self.plan, standing.used);
        let news = nearly && !std::mem::replace(&mut self.warned, nearly);
        let Some(until) = standing.allow_until.filter(|_| news && self.awake(now)) else { return Ok(()) };
        let minutes = standing.used.as_secs() / 60;
        let used = format!("{}h {}m", minutes / 60, minutes % 60);
        self.context
            .parts
            .logs
            .api(self.id(), format!("Quota warning: {used} awake are used; the app rests from {until} if it stays awake"));
        self.note(EventKind::QuotaWarning, String::new(), json!({ "until": until })).await
    }

    /// Scales down what the plan does not allow: web comes first, then the order of the Procfile.
    async fn fit_formation_to_plan(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut rows: Vec<&_> = self.formation.iter().filter(|row| row.quantity > 0).collect();
        rows.sort_by_key(|row| !row.process_type.is_web());
        let allowed = |place: usize| if place < self.plan.process_types as usize { self.plan.dynos_per_type } else { 0 };
        let fitted = rows.iter().enumerate().map(|(place, row)| (row, row.quantity.min(allowed(place))));
        let changed: Vec<(ProcessType, u32)> =
            fitted.filter(|(row, count)| row.quantity != *count).map(|(row, count)| (row.process_type.clone(), count)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.context.parts.writer.set_quantities(self.id(), &changed, now).await?;
        let size = self.plan.size_word();
        let words: Vec<String> = changed.iter().map(|(process_type, count)| format!("{process_type}@{count}:{size}")).collect();
        self.context.parts.logs.api(self.id(), format!("Scaled to {} by plan {}", words.join(" "), self.plan.name));
        self.load().await
    }

    /// Whether a scale would stay within the plan.
    pub(super) fn check_plan(&self, wanted: &[(ProcessType, u32)]) -> Result<(), DynoError> {
        let plan = &self.plan;
        if wanted.iter().any(|(_, count)| *count > plan.dynos_per_type) {
            return Err(DynoError::TooManyOfType { limit: plan.dynos_per_type, size: plan.size_word() });
        }
        if wanted.iter().filter(|(_, count)| *count > 0).count() > plan.process_types as usize {
            return Err(DynoError::TooManyTypes { limit: plan.process_types, size: plan.size_word() });
        }
        Ok(())
    }
}
