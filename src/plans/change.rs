//! What `siesta plan set` may change of a plan, and how a plan is told to people.

use std::{fmt::Write as _, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::{Plan, QuotaKind, SleepBy};

const MIB: f64 = 1024.0 * 1024.0;

/// New limits; what is not named stays. Fractions of minutes and hours are allowed, so that a rule
/// can be watched in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
pub struct PlanChange {
    /// Memory of one dyno.
    #[arg(long)]
    pub memory_mb: Option<f64>,
    /// Dynos of one process type.
    #[arg(long)]
    pub dynos_per_type: Option<u32>,
    /// Process types that run at once.
    #[arg(long)]
    pub process_types: Option<u32>,
    /// Without visitors for so long an app sleeps.
    #[arg(long)]
    pub idle_minutes: Option<f64>,
    /// Without visitors for so long its memory is paged out while it runs on; 0: never.
    #[arg(long)]
    pub nap_seconds: Option<f64>,
    /// How it sleeps: stop, nap (memory is paged out, it goes on running) or never.
    #[arg(long)]
    pub sleep: Option<SleepBy>,
    /// What limits time awake: daily (per app), monthly (a pool per account) or none.
    #[arg(long)]
    pub quota: Option<QuotaKind>,
    /// Daily: time awake in any window.
    #[arg(long)]
    pub awake_hours: Option<f64>,
    /// Daily: the window.
    #[arg(long)]
    pub window_hours: Option<f64>,
    /// Daily: the rest that follows; at least the window minus the awake time.
    #[arg(long)]
    pub rest_hours: Option<f64>,
    /// Monthly: dyno hours of all apps of an account.
    #[arg(long)]
    pub pool_hours: Option<f64>,
    /// Rows of a database.
    #[arg(long)]
    pub rows: Option<u32>,
    /// Apps of an account.
    #[arg(long)]
    pub apps: Option<u32>,
    /// Time of one build.
    #[arg(long)]
    pub build_minutes: Option<f64>,
    /// Memory of one build.
    #[arg(long)]
    pub build_memory_mb: Option<f64>,
}

/// A time of that many units; what no time can be becomes zero, which no plan accepts.
fn time(count: f64, unit_seconds: f64) -> Duration {
    Duration::try_from_secs_f64(count * unit_seconds).unwrap_or(Duration::ZERO)
}

#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and the plan is checked")]
fn bytes(megabytes: f64) -> i64 {
    (megabytes * MIB) as i64
}

impl PlanChange {
    /// The plan with these limits; not yet checked.
    pub fn applied_to(&self, plan: Plan) -> Plan {
        let hours = |wanted: Option<f64>, before: Duration| wanted.map_or(before, |count| time(count, 3600.0));
        let minutes = |wanted: Option<f64>, before: Duration| wanted.map_or(before, |count| time(count, 60.0));
        Plan {
            memory_bytes: self.memory_mb.map_or(plan.memory_bytes, bytes),
            dynos_per_type: self.dynos_per_type.unwrap_or(plan.dynos_per_type),
            process_types: self.process_types.unwrap_or(plan.process_types),
            idle_after: minutes(self.idle_minutes, plan.idle_after),
            nap_after: match self.nap_seconds {
                Some(count) => Some(time(count, 1.0)).filter(|nap| !nap.is_zero()),
                None => plan.nap_after,
            },
            sleep_by: self.sleep.unwrap_or(plan.sleep_by),
            quota: self.quota.unwrap_or(plan.quota),
            awake_limit: hours(self.awake_hours, plan.awake_limit),
            quota_window: hours(self.window_hours, plan.quota_window),
            rest: hours(self.rest_hours, plan.rest),
            monthly_pool: hours(self.pool_hours, plan.monthly_pool),
            rows: self.rows.unwrap_or(plan.rows),
            apps_per_account: self.apps.unwrap_or(plan.apps_per_account),
            build_timeout: minutes(self.build_minutes, plan.build_timeout),
            build_memory_bytes: self.build_memory_mb.map_or(plan.build_memory_bytes, bytes),
            name: plan.name,
        }
    }
}

/// The limits of a plan, a line each.
pub fn told(plan: &Plan) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        // A String takes everything.
        let _ = writeln!(text, "{what:<22} {value}");
    };
    let number = |value: f64| format!("{}", (value * 1000.0).round() / 1000.0);
    let hours = |time: Duration| number(time.as_secs_f64() / 3600.0);
    let minutes = |time: Duration| number(time.as_secs_f64() / 60.0);
    line("plan", plan.name.clone());
    line("memory of a dyno", format!("{} MB", number(plan.memory_bytes as f64 / MIB)));
    line("dynos per type", plan.dynos_per_type.to_string());
    line("process types at once", plan.process_types.to_string());
    line(
        "sleeps",
        match plan.sleep_by {
            SleepBy::Stop => format!("after {} min without visitors (stopped)", minutes(plan.idle_after)),
            SleepBy::Nap => format!("after {} min without visitors (naps, goes on running)", minutes(plan.idle_after)),
            SleepBy::Never => "never".to_owned(),
        },
    );
    line("naps", plan.nap_after.map_or("never".to_owned(), |nap| format!("after {} s without visitors", number(nap.as_secs_f64()))));
    line(
        "quota",
        match plan.quota {
            QuotaKind::Daily => {
                format!("{} h awake in any {} h, then {} h of rest", hours(plan.awake_limit), hours(plan.quota_window), hours(plan.rest))
            }
            QuotaKind::Monthly => format!("{} dyno hours of the account in a month", hours(plan.monthly_pool)),
            QuotaKind::None => "none".to_owned(),
        },
    );
    line("rows of a database", plan.rows.to_string());
    line("apps of an account", plan.apps_per_account.to_string());
    line("build", format!("{} min, {} MB", minutes(plan.build_timeout), number(plan.build_memory_bytes as f64 / MIB)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_hours_become_seconds_and_the_rest_stays() {
        let change = PlanChange { awake_hours: Some(0.002), idle_minutes: Some(0.05), memory_mb: Some(64.0), ..PlanChange::default() };
        let plan = change.applied_to(Plan::free());
        assert_eq!(plan.awake_limit, Duration::from_millis(7_200));
        assert_eq!(plan.idle_after, Duration::from_secs(3));
        assert_eq!(plan.memory_bytes, 64 * 1024 * 1024);
        assert_eq!(plan.quota_window, Plan::free().quota_window);
    }

    #[test]
    fn nonsense_never_passes_the_check() {
        for count in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let set = |change: PlanChange| change.applied_to(Plan::free()).check().is_err();
            assert!(set(PlanChange { memory_mb: Some(count), ..PlanChange::default() }), "{count}");
            assert!(set(PlanChange { idle_minutes: Some(count), ..PlanChange::default() }), "{count}");
            assert!(set(PlanChange { rest_hours: Some(count), ..PlanChange::default() }), "{count}");
        }
    }
}
