//! The table `awake_spans`: when an app was awake.

use std::{collections::HashMap, time::Duration};

use sqlx::types::Json;

use crate::{
    domain::{
        AppId, Timestamp, UserId,
        quota::{Pool, Span},
    },
    store::{Reader, StoreError, Writer},
};

impl Reader {
    /// Spans that reach into the time since `since`, oldest first; those between which only the number
    /// of dynos changed are one.
    pub async fn awake_spans(&self, app: AppId, since: Timestamp) -> Result<Vec<Span>, StoreError> {
        let mut rows = sqlx::query!(
            r#"select started_at as "from: Timestamp", ended_at as "to: Timestamp", dynos from awake_spans
               where app_id = ? and (ended_at is null or ended_at > ?) order by started_at, id"#,
            app,
            since
        )
        .fetch_all(&self.pool)
        .await?;
        rows.dedup_by(|next, last| {
            let goes_on = last.to == Some(next.from) && last.dynos != next.dynos;
            if goes_on {
                (last.to, last.dynos) = (next.to, next.dynos);
            }
            goes_on
        });
        Ok(rows.into_iter().map(|row| Span { from: row.from, to: row.to }).collect())
    }

    /// Spans of every app an account may touch, in one go; of an app whose number of dynos changed there
    /// are several in a row.
    pub async fn awake_spans_open_to(&self, user: UserId, since: Timestamp) -> Result<HashMap<AppId, Vec<Span>>, StoreError> {
        // A row for each of them would take longer than everything else on the page.
        let rows = sqlx::query!(
            r#"select s.app_id as "app_id: AppId",
                      json_group_array(json_array(s.started_at, s.ended_at)) as "spans!: Json<Vec<(i64, Option<i64>)>>"
               from apps a join awake_spans s on s.app_id = a.id and (s.ended_at is null or s.ended_at > ?2)
               where a.owner_id = ?1 or exists (select 1 from collaborators c where c.app_id = a.id and c.user_id = ?1)
               group by s.app_id"#,
            user,
            since
        )
        .fetch_all(&self.pool)
        .await?;
        let in_order = |spans: Vec<(i64, Option<i64>)>| {
            let mut spans: Vec<Span> = spans.into_iter().map(|(from, to)| Span { from: Timestamp(from), to: to.map(Timestamp) }).collect();
            spans.sort_by_key(|span| span.from);
            spans
        };
        Ok(rows.into_iter().map(|row| (row.app_id, in_order(row.spans.0))).collect())
    }

    /// How long the app's dynos ran since `since`, each counted by itself.
    pub async fn dyno_time(&self, app: AppId, since: Timestamp, now: Timestamp) -> Result<Duration, StoreError> {
        let used = sqlx::query_scalar!(
            r#"select coalesce(sum(dynos * max(0, min(coalesce(ended_at, ?3), ?3) - max(started_at, ?2))), 0) as "used!: i64"
               from awake_spans where app_id = ?1 and (ended_at is null or ended_at > ?2)"#,
            app,
            since,
            now
        );
        Ok(Duration::from_millis(used.fetch_one(&self.pool).await?.try_into().unwrap_or(0)))
    }

    /// What the dynos of the account's apps took out of its monthly pool since the month began. Apps
    /// with a plan of their own that has no pool do not count.
    pub async fn pool(&self, owner: UserId, month: Timestamp, now: Timestamp) -> Result<Pool, StoreError> {
        let row = sqlx::query!(
            r#"select coalesce(sum(s.dynos * max(0, min(coalesce(s.ended_at, ?3), ?3) - max(s.started_at, ?2))), 0) as "used!: i64",
                      coalesce(sum(s.dynos) filter (where s.ended_at is null), 0) as "running!: u32",
                      (select coalesce(max(used_ms), 0) from pool_debts where user_id = ?1 and month = ?2) as "debt!: i64"
               from awake_spans s join apps a on a.id = s.app_id
                    left join app_plans o on o.app_id = a.id left join plans p on p.name = o.plan
               where a.owner_id = ?1 and (s.ended_at is null or s.ended_at > ?2) and coalesce(p.quota, 'monthly') = 'monthly'"#,
            owner,
            month,
            now
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Pool { used: Duration::from_millis(u64::try_from(row.used + row.debt).unwrap_or(0)), running: row.running })
    }
}

impl Writer {
    /// Before an app goes: what it took out of its account's pool this month stays taken.
    pub async fn keep_pool_debt(&self, app: AppId, month: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into pool_debts (user_id, month, used_ms)
             select a.owner_id, ?2, coalesce((select sum(s.dynos * max(0, min(coalesce(s.ended_at, ?3), ?3) - max(s.started_at, ?2)))
                                              from awake_spans s where s.app_id = a.id and (s.ended_at is null or s.ended_at > ?2)), 0)
             from apps a where a.id = ?1
             on conflict (user_id, month) do update set used_ms = used_ms + excluded.used_ms",
            app,
            month,
            now
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// So many dynos run from now on: an open span of as many goes on, one of more or fewer ends here.
    pub async fn begin_awake_span(&self, app: AppId, dynos: u32, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query!(
            "update awake_spans set ended_at = max(started_at, ?) where app_id = ? and ended_at is null and dynos <> ?",
            now,
            app,
            dynos
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "insert into awake_spans (app_id, started_at, dynos)
             select ?1, ?2, ?3 where not exists (select 1 from awake_spans where app_id = ?1 and ended_at is null)",
            app,
            now,
            dynos
        )
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Ends the open span, if there is one; never before its start.
    pub async fn end_awake_span(&self, app: AppId, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("update awake_spans set ended_at = max(started_at, ?) where app_id = ? and ended_at is null", at, app)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
