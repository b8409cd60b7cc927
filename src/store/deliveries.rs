//! The table `deliveries`: what the git host told, and the verdict.

use crate::{
    domain::{AppId, AppName, BuildId, Timestamp, git::Verdict},
    store::{Reader, StoreError, Writer},
};

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    pub guid: String,
    pub event: String,
    pub branch: String,
    pub sha: String,
    pub who: String,
    pub verdict: Verdict,
    pub build_id: Option<BuildId>,
    pub count: i64,
    pub received_at: Timestamp,
}

/// What a new row is made of.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub app_id: AppId,
    pub guid: String,
    pub event: String,
    pub branch: String,
    pub sha: String,
    pub who: String,
    pub verdict: Verdict,
}

/// Rows of an app that are kept.
const KEPT: i64 = 100;

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Delivery,
            r#"select guid, event, branch, sha, who, verdict as "verdict: Verdict", build_id as "build_id: BuildId", count,
                      received_at as "received_at: Timestamp"
               from deliveries "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    /// The newest deliveries of an app, newest first.
    pub async fn deliveries(&self, app: AppId, count: i64) -> Result<Vec<Delivery>, StoreError> {
        Ok(select!("where app_id = ? order by received_at desc, rowid desc limit ?", app, count).fetch_all(&self.pool).await?)
    }

    /// The newest deliveries of all apps, newest first, with their apps' names.
    pub async fn all_deliveries(&self, count: i64) -> Result<Vec<(AppName, Delivery)>, StoreError> {
        let rows = sqlx::query!(
            r#"select a.name as "app: AppName", d.guid, d.event, d.branch, d.sha, d.who, d.verdict as "verdict: Verdict",
                      d.build_id as "build_id: BuildId", d.count, d.received_at as "received_at: Timestamp"
               from deliveries d join apps a on a.id = d.app_id order by d.received_at desc, d.rowid desc limit ?"#,
            count
        );
        let rows = rows.fetch_all(&self.pool).await?.into_iter().map(|row| {
            let delivery = Delivery {
                guid: row.guid,
                event: row.event,
                branch: row.branch,
                sha: row.sha,
                who: row.who,
                verdict: row.verdict,
                build_id: row.build_id,
                count: row.count,
                received_at: row.received_at,
            };
            (row.app, delivery)
        });
        Ok(rows.collect())
    }

    /// Those of an app that are not judged for good.
    pub async fn open_deliveries(&self, app: AppId) -> Result<Vec<Delivery>, StoreError> {
        let rows = select!("where app_id = ? and verdict in ('received', 'waiting_for_ci', 'ci_failed', 'unreachable')", app)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// Apps with deliveries nobody has looked at.
    pub async fn apps_with_new_deliveries(&self) -> Result<Vec<AppId>, StoreError> {
        let ids = sqlx::query_scalar!(r#"select distinct app_id as "app_id: AppId" from deliveries where verdict = 'received'"#)
            .fetch_all(&self.pool)
            .await?;
        Ok(ids)
    }
}

impl Writer {
    /// Writes deliveries down, one an app, and that the hooks live; ids that are known stay as they
    /// are. How many were new.
    pub async fn insert_deliveries(&self, deliveries: &[NewDelivery], now: Timestamp) -> Result<u64, StoreError> {
        let mut new = 0;
        let mut tx = self.begin().await?;
        for one in deliveries {
            let done = sqlx::query!(
                "insert into deliveries (app_id, guid, event, branch, sha, who, verdict, received_at) values (?, ?, ?, ?, ?, ?, ?, ?)
                 on conflict do nothing",
                one.app_id,
                one.guid,
                one.event,
                one.branch,
                one.sha,
                one.who,
                one.verdict,
                now
            )
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 0 {
                continue;
            }
            new += 1;
            sqlx::query!("update repository_links set hook_seen_at = ? where app_id = ?", now, one.app_id).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(new)
    }

    /// What we found ourselves by asking.
    pub async fn insert_found(&self, one: &NewDelivery, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into deliveries (app_id, guid, event, branch, sha, who, verdict, received_at) values (?, ?, ?, ?, ?, ?, ?, ?)
             on conflict (app_id, guid) do update set verdict = excluded.verdict",
            one.app_id,
            one.guid,
            one.event,
            one.branch,
            one.sha,
            one.who,
            one.verdict,
            now
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Counts a delivery whose signature is wrong: one row a minute, whatever comes.
    pub async fn count_forged(&self, app: AppId, event: &str, now: Timestamp) -> Result<(), StoreError> {
        let guid = format!("forged-{}", now.millis() / 60_000);
        sqlx::query!(
            "insert into deliveries (app_id, guid, event, verdict, received_at, decided_at) values (?1, ?2, ?3, 'bad_signature', ?4, ?4)
             on conflict (app_id, guid) do update set count = count + 1",
            app,
            guid,
            event,
            now
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    pub async fn set_verdict(
        &self,
        app: AppId,
        guid: &str,
        (verdict, build): (Verdict, Option<BuildId>),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update deliveries set verdict = ?, build_id = coalesce(?, build_id), decided_at = ? where app_id = ? and guid = ?",
            verdict,
            build,
            now,
            app,
            guid
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// A build that waited was replaced: so are the deliveries it came from.
    pub async fn supersede_deliveries(&self, build: BuildId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("update deliveries set verdict = 'superseded', decided_at = ? where build_id = ?", now, build)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Judges a delivery once more; false when it is not there or was not genuine.
    pub async fn reopen_delivery(&self, app: AppId, guid: &str) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update deliveries set verdict = 'received', build_id = null, decided_at = null
             where app_id = ? and guid = ? and verdict not in ('bad_signature', 'ping', 'tag', 'other_branch')",
            app,
            guid
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets all but the newest rows of each app. Ids are kept for three days in any case: so long
    /// the host may send a delivery again.
    pub async fn sweep_deliveries(&self, before: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from deliveries where received_at < ?1 and verdict not in ('received', 'waiting_for_ci', 'unreachable')
             and (select count(*) from deliveries newer where newer.app_id = deliveries.app_id
                  and newer.received_at > deliveries.received_at) >= ?2",
            before,
            KEPT
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
