//! Rows: counted when somebody was there, said when they come near the limit, INSERT refused when
//! they stay above it and allowed again by itself when they fall.

use crate::{
    addons::{Addon, AddonError, Addons, Inner, sql},
    domain::{
        Timestamp,
        addon::{AddonState, RowNotice, ServiceKind},
    },
};

/// From this part of the limit on rows are counted one by one.
const EXACT_FROM_PERCENT: u64 = 60;
/// Counted at least this often while the server is up.
const HOUR_MILLIS: i64 = 3_600_000;

/// A database now, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figures {
    pub connections: i64,
    pub bytes: u64,
    pub tables: u32,
    pub rows: u64,
    /// `15.20`
    pub version: Version,
}

/// The version of the database server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version(i32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0 / 10_000, self.0 % 10_000)
    }
}

impl Addons {
    /// Counts the databases somebody was in, and puts a server nobody uses to sleep. The server
    /// calls it every minute.
    pub async fn sweep(&self) {
        if !self.offered() {
            return;
        }
        let inner = &self.inner;
        if let Err(error) = inner.count_all().await {
            tracing::warn!(%error, "rows could not be counted");
        }
        if let Err(error) = inner.sleep_stores().await {
            tracing::warn!(%error, "key-value stores could not be put to sleep");
        }
        if let Err(error) = inner.postgres.sleep_if_idle(inner.parts.clock.now()).await {
            tracing::warn!(%error, "the database server could not be put to sleep");
        }
    }

    /// Counts one database now, and does what follows.
    pub async fn count(&self, addon: &Addon) -> Result<Figures, AddonError> {
        super::must_be_database(addon)?;
        self.inner.postgres.ensure_up().await?;
        self.inner.count(addon).await
    }
}

impl Inner {
    async fn sleep_stores(&self) -> Result<(), AddonError> {
        let addons = self.parts.reader.addons().await?.into_iter();
        let stores: Vec<Addon> = addons.filter(|addon| addon.kind() == ServiceKind::KeyValue).collect();
        self.keyvalue.sleep_if_idle(&stores, self.parts.clock.now()).await
    }

    async fn count_all(&self) -> Result<(), AddonError> {
        let now = self.parts.clock.now();
        let addons = self.parts.reader.addons().await?;
        let waiting = self.waiting()?;
        let is_ready = |addon: &Addon| addon.is_database() && addon.state == AddonState::Provisioned && !waiting.contains(&addon.database);
        let ready = addons.into_iter().filter(is_ready);
        let due: Vec<Addon> = ready.filter(|addon| self.is_due(addon, now)).collect();
        let lock_is_due = due.iter().any(|addon| grace_is_over(addon, now));
        if due.is_empty() || (!lock_is_due && !self.postgres.is_up().await) {
            // A server that sleeps has the rows it had.
            return Ok(());
        }
        self.postgres.ensure_up().await?;
        for addon in due {
            if let Err(error) = self.count(&addon).await {
                tracing::warn!(addon = addon.name, %error, "rows could not be counted");
            }
        }
        Ok(())
    }

    fn is_due(&self, addon: &Addon, now: Timestamp) -> bool {
        let old = addon.counted_at.is_none_or(|at| now.millis() - at.millis() >= HOUR_MILLIS);
        self.postgres.was_touched(&addon.role) || old || addon.account.locked_at.is_some() || grace_is_over(addon, now)
    }

    pub(super) async fn count(&self, addon: &Addon) -> Result<Figures, AddonError> {
        let plan = addon.plan();
        let watcher = self.postgres.watcher(&addon.database).await?;
        let estimate = sql::estimate(&watcher).await?;
        let near = plan.rows.saturating_mul(EXACT_FROM_PERCENT) / 100;
        let mut rows = estimate.rows;
        if rows >= near || addon.account.rows >= near || addon.account.over_since.is_some() || estimate.doubtful {
            let exact = sql::exact(&watcher, plan.rows + 1).await?;
            // Above the limit the exact count stops: how far above is the estimate's to say.
            rows = if exact > plan.rows { exact.max(estimate.rows) } else { exact };
        }
        let now = self.parts.clock.now();
        let (account, notices) = addon.account.counted(plan, rows, estimate.bytes, now);
        // First the server, then the row: cut off between them it is done once more.
        if account.locked_at.is_some() {
            sql::lock(&self.postgres.admin(&addon.database).await?, &addon.role, plan.rows).await?;
        } else if addon.account.locked_at.is_some() {
            sql::unlock(&self.postgres.admin(&addon.database).await?, &addon.role).await?;
        }
        self.parts.writer.set_addon_count(addon.id, &account, (estimate.bytes, estimate.tables), now).await?;
        for notice in notices {
            self.tell(addon, notice, (rows, estimate.bytes)).await?;
        }
        let (connections, version) = (sql::sessions(&watcher, &addon.role).await?, Version(sql::version(&watcher).await?));
        Ok(Figures { connections, bytes: estimate.bytes, tables: estimate.tables, rows, version })
    }

    async fn tell(&self, addon: &Addon, notice: RowNotice, (rows, bytes): (u64, u64)) -> Result<(), AddonError> {
        let (name, plan) = (&addon.name, addon.plan());
        let limit = plan.rows;
        let much = match rows > limit {
            true => format!("{rows} rows, more than the {limit} of its plan"),
            false => format!("{} MB, more than the {} of its plan", bytes / 1024 / 1024, plan.bytes / 1024 / 1024),
        };
        let (did, text) = match notice {
            RowNotice::Near(percent) => ("near", format!("{name} has {rows} of {limit} rows ({percent}% of its plan)")),
            RowNotice::Over { until } => ("over", format!("{name} has {much}. INSERT will be refused from {until} on")),
            RowNotice::Locked => ("locked", format!("{name} has {much}. INSERT is refused until rows are deleted")),
            RowNotice::Free => ("free", format!("{name} has {rows} of {limit} rows. INSERT is allowed again")),
        };
        self.write_to_owner(addon, &text).await;
        self.say(addon, text);
        Ok(self.note(addon, (did, &rows.to_string()), "").await?)
    }
}

/// Over the limit for so long that INSERT should be refused, and is not yet.
fn grace_is_over(addon: &Addon, now: Timestamp) -> bool {
    addon.account.locked_at.is_none() && addon.account.over_since.is_some_and(|since| now >= since + addon.plan().grace)
}
