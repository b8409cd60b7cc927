//! What pages and the API see of an app.

use crate::{
    domain::{DynoName, DynoState, Timestamp, quota, sleep},
    dynos::{
        AppPhase, AppStatus, DynoView,
        supervisor::{Slot, Supervisor},
    },
};

impl AppStatus {
    /// Before the first turn.
    pub(super) fn unknown(now: Timestamp) -> AppStatus {
        let quota = quota::Standing { used: std::time::Duration::ZERO, allow_until: None, deny_until: None };
        AppStatus { phase: AppPhase::Blank, since: now, dynos: Vec::new(), sleeps_at: None, quota, quota_warning: false }
    }
}

impl Supervisor {
    pub(super) fn view(&self, now: Timestamp) -> AppStatus {
        let phase = self.phase(now);
        let before = self.status.borrow();
        let first = before.dynos.is_empty() && before.phase == AppPhase::Blank;
        let since = match (before.phase == phase, first && phase == AppPhase::Asleep) {
            (true, _) => before.since,
            (false, true) => self.account.last_edge().unwrap_or(now),
            (false, false) => now,
        };
        AppStatus {
            phase,
            since,
            dynos: self.dyno_views(now),
            sleeps_at: self.sleeps_at(phase, now),
            quota: self.account.standing(&self.plan, now),
            quota_warning: self.warned,
        }
    }

    fn phase(&self, now: Timestamp) -> AppPhase {
        if self.target.is_none() {
            return AppPhase::Blank;
        }
        if let Some(until) = self.account.resting(now) {
            return AppPhase::Resting { until };
        }
        if self.wanted_names().next().is_none() {
            return AppPhase::Off;
        }
        let has_web = self.has_web();
        let mut judged = self.dynos.values().filter(|dyno| !dyno.stopping() && (!has_web || dyno.name.process_type.is_web())).peekable();
        if judged.peek().is_some() {
            return match judged.any(|dyno| dyno.up) {
                true if self.gate.napping() => AppPhase::Napping,
                true => AppPhase::Awake,
                false => AppPhase::Waking,
            };
        }
        if self.trouble.is_some() {
            AppPhase::Crashed
        } else if self.account.asleep() {
            AppPhase::Asleep
        } else if self.wanted_names().all(|name| self.stopped.contains(&name)) {
            AppPhase::Off
        } else if self.web_cools_off(now) {
            AppPhase::Crashed
        } else {
            AppPhase::Waking
        }
    }

    fn sleeps_at(&self, phase: AppPhase, now: Timestamp) -> Option<Timestamp> {
        let may_sleep = matches!(phase, AppPhase::Awake | AppPhase::Napping | AppPhase::Crashed)
            && self.has_web()
            && self.awake(now)
            && !self.sleeps_by_nap(&self.plan);
        match sleep::judge(&self.plan, self.gate.activity(), now) {
            sleep::Verdict::StayUntil(until) if may_sleep && until < Timestamp::NEVER => Some(until),
            _ => None,
        }
    }

    pub(super) fn naps_at(&self, phase: AppPhase, now: Timestamp) -> Option<Timestamp> {
        let may_nap = phase == AppPhase::Awake && self.has_web() && self.context.has_swap();
        sleep::naps_at(&self.plan, self.gate.activity(), now).filter(|_| may_nap)
    }

    fn dyno_views(&self, now: Timestamp) -> Vec<DynoView> {
        let Some(target) = &self.target else { return Vec::new() };
        let idle = !self.awake(now) && self.trouble.is_none();
        let view = |name: DynoName| {
            let Slot { id, state, since } = *self.slots.get(&name)?;
            let dyno = self.dynos.get(&id).filter(|dyno| !dyno.stopping());
            let revision = dyno.map_or(target, |dyno| &dyno.revision);
            let state = match state {
                DynoState::Down if idle => DynoState::Idle,
                state => state,
            };
            let command = revision.slug.process_types.command(&name.process_type).unwrap_or_default().to_owned();
            Some(DynoView { id, name, state, since, release: revision.release.id, version: revision.release.version, command })
        };
        self.wanted_names().filter_map(view).collect()
    }
}
