//! What running dynos use: every 20 seconds all of them are looked at in one pass, which feeds
//! graphs, the samples in the log of apps that asked for them, and the memory rule (R14, R15).

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    domain::{
        AppId, DynoId, DynoName, ErrorCode, Timestamp,
        feature::Feature,
        memory::{self, Verdict, megabytes},
    },
    dynos::Context,
    engine::{ContainerId, EngineError, Usage},
    metrics::Sample,
};

/// The time over which each of Heroku's three load averages fades.
const LOADS: [(&str, f64); 3] = [("1m", 60.0), ("5m", 300.0), ("15m", 900.0)];

/// Whose container it is.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) app: AppId,
    pub(super) dyno: DynoName,
    pub(super) id: DynoId,
    /// Memory quota in bytes.
    pub(super) quota: u64,
}

/// The containers that run. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Roster(Arc<Mutex<HashMap<ContainerId, Arc<Entry>>>>);

/// One that runs.
struct Entry {
    owner: Owner,
    last: Mutex<Option<Reading>>,
    /// Killed by the memory rule.
    killed: AtomicBool,
}

/// What the last look saw, and what has been made of all of them.
#[derive(Clone, Copy)]
struct Reading {
    at: Timestamp,
    usage: Usage,
    /// CPUs in use, faded over each of `LOADS`.
    loads: [f64; 3],
}

/// A place in the roster, as long as it lives.
pub(super) struct Metered {
    roster: Roster,
    container: ContainerId,
    entry: Arc<Entry>,
}

impl Metered {
    /// The memory rule killed it.
    pub(super) fn was_killed(&self) -> bool {
        self.entry.killed.load(Ordering::SeqCst)
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.roster.lock().remove(&self.container);
    }
}

impl Roster {
    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, container: &ContainerId, owner: Owner) -> Metered {
        let entry = Arc::new(Entry { owner, last: Mutex::default(), killed: AtomicBool::new(false) });
        self.lock().insert(container.clone(), entry.clone());
        Metered { roster: self.clone(), container: container.clone(), entry }
    }

    /// The containers that run, of one app or of all.
    pub(super) fn containers(&self, app: Option<AppId>) -> Vec<(ContainerId, DynoName)> {
        let of_app = |entry: &Entry| app.is_none_or(|app| entry.owner.app == app);
        self.lock().iter().filter(|(_, entry)| of_app(entry)).map(|(id, entry)| (id.clone(), entry.owner.dyno.clone())).collect()
    }
}

impl Entry {
    /// What the time since the last look used. The first look only begins the account.
    fn advance(&self, usage: Usage, now: Timestamp) -> (Duration, Option<Usage>, [f64; 3]) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *last;
        let (elapsed, cpu) = match before {
            Some(before) => {
                (now.since(before.at).as_secs_f64(), Duration::from_nanos(usage.cpu_nanos.saturating_sub(before.usage.cpu_nanos)))
            }
            None => (0.0, Duration::ZERO),
        };
        let busy = if elapsed > 0.0 { cpu.as_secs_f64() / elapsed } else { 0.0 };
        let mut loads = before.map_or([0.0; 3], |before| before.loads);
        for (load, (_, fade)) in loads.iter_mut().zip(LOADS) {
            *load += (busy - *load) * (1.0 - (-elapsed / fade).exp());
        }
        *last = Some(Reading { at: now, usage, loads });
        (cpu, before.map(|before| before.usage), loads)
    }
}

impl Context {
    /// One pass over all running dynos; see the module's page.
    pub(super) async fn sample(&self) -> Result<(), EngineError> {
        let entries = self.roster.lock().clone();
        if entries.is_empty() {
            return Ok(());
        }
        let usages = self.parts.engine.usage(entries.keys().cloned().collect()).await?;
        let now = self.parts.clock.now();
        let chatty = self.chatty().await;
        for (container, usage) in usages {
            let entry = &entries[&container];
            let (cpu, before, loads) = entry.advance(usage, now);
            let used = usage.working_set_bytes();
            self.metrics.record(entry.owner.app, &entry.owner.dyno, Sample { used_bytes: used, swap_bytes: usage.swap_bytes, cpu }, now);
            if chatty.contains(&entry.owner.app) {
                self.log_samples(&entry.owner, &usage, loads);
            }
            if usage.oom_kills > before.map_or(0, |before| before.oom_kills) {
                self.log_vast(&entry.owner, self.ceiling(entry.owner.quota));
                continue;
            }
            match memory::judge(used, entry.owner.quota, self.has_swap()) {
                Verdict::Fits => {}
                Verdict::Exceeded => {
                    self.log(&entry.owner, memory::sentence(used, entry.owner.quota));
                    self.log(&entry.owner, format!("Error R14 ({})", ErrorCode::R14.description()));
                }
                Verdict::Vast => {
                    entry.killed.store(true, Ordering::SeqCst);
                    self.log_vast(&entry.owner, used);
                    self.log(&entry.owner, "Stopping process with SIGKILL");
                    self.parts.engine.kill(container).await?;
                }
            }
        }
        Ok(())
    }

    /// Where the kernel kills: at twice the quota with swap, at the quota without.
    pub(super) fn ceiling(&self, quota: u64) -> u64 {
        if self.has_swap() { quota * 2 } else { quota }
    }

    /// The apps whose log gets samples.
    async fn chatty(&self) -> HashSet<AppId> {
        self.parts.reader.apps_with_feature(Feature::LogRuntimeMetrics).await.unwrap_or_else(|error| {
            tracing::error!(%error, "no samples are logged this time");
            HashSet::new()
        })
    }

    fn log(&self, owner: &Owner, message: impl Into<String>) {
        self.parts.logs.platform(owner.app, &owner.dyno.to_string(), message);
    }

    /// R15 with its numbers.
    pub(super) fn log_vast(&self, owner: &Owner, used: u64) {
        self.log(owner, memory::sentence(used, owner.quota));
        self.log(owner, format!("Error R15 ({})", ErrorCode::R15.description()));
    }

    /// Heroku's two lines (heroku.md 5.3).
    fn log_samples(&self, owner: &Owner, usage: &Usage, loads: [f64; 3]) {
        let source = format!("source={} dyno=heroku.{}.{}", owner.dyno, owner.app, owner.id);
        let loads: Vec<String> = LOADS.iter().zip(loads).map(|((name, _), load)| format!("sample#load_avg_{name}={load:.2}")).collect();
        self.log(owner, format!("{source} {}", loads.join(" ")));
        let samples = [
            ("memory_total", megabytes(usage.memory_rss_bytes + usage.memory_cache_bytes + usage.swap_bytes)),
            ("memory_rss", megabytes(usage.memory_rss_bytes)),
            ("memory_cache", megabytes(usage.memory_cache_bytes)),
            ("memory_swap", megabytes(usage.swap_bytes)),
            ("memory_pgpgin", format!("{}pages", usage.pages_in)),
            ("memory_pgpgout", format!("{}pages", usage.pages_out)),
            ("memory_quota", megabytes(owner.quota)),
        ];
        let samples: Vec<String> = samples.iter().map(|(name, value)| format!("sample#{name}={value}")).collect();
        self.log(owner, format!("{source} {}", samples.join(" ")));
    }
}
