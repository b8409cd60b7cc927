//! The tables `plans`, `app_plans` and `account_plans`: limits, and who has which.

use std::time::Duration;

use crate::{
    domain::{AppId, Holder, Plan, QuotaKind, SleepBy, Timestamp, UserId},
    store::{Reader, StoreError, Writer},
};

/// A plan as its row holds it.
struct Row {
    name: String,
    memory_bytes: i64,
    dynos_per_type: u32,
    process_types: u32,
    idle_ms: i64,
    nap_ms: Option<i64>,
    sleep_by: SleepBy,
    quota: QuotaKind,
    awake_ms: i64,
    window_ms: i64,
    rest_ms: i64,
    pool_ms: i64,
    rows: u32,
    apps_per_account: u32,
    build_timeout_ms: i64,
    build_memory_bytes: i64,
}

fn time(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl From<Row> for Plan {
    fn from(row: Row) -> Plan {
        Plan {
            name: row.name,
            memory_bytes: row.memory_bytes,
            dynos_per_type: row.dynos_per_type,
            process_types: row.process_types,
            idle_after: time(row.idle_ms),
            nap_after: row.nap_ms.map(time),
            sleep_by: row.sleep_by,
            quota: row.quota,
            awake_limit: time(row.awake_ms),
            quota_window: time(row.window_ms),
            rest: time(row.rest_ms),
            monthly_pool: time(row.pool_ms),
            rows: row.rows,
            apps_per_account: row.apps_per_account,
            build_timeout: time(row.build_timeout_ms),
            build_memory_bytes: row.build_memory_bytes,
        }
    }
}

impl Reader {
    /// All plans by name.
    pub async fn plans(&self) -> Result<Vec<Plan>, StoreError> {
        let rows = sqlx::query_as!(
            Row,
            r#"select name, memory_bytes, dynos_per_type as "dynos_per_type: u32", process_types as "process_types: u32", idle_ms,
                      nap_ms, sleep_by as "sleep_by: SleepBy", quota as "quota: QuotaKind", awake_ms, window_ms, rest_ms, pool_ms,
                      rows as "rows: u32", apps_per_account as "apps_per_account: u32", build_timeout_ms, build_memory_bytes
               from plans order by name"#
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Plan::from).collect())
    }

    /// The apps that have a plan of their own.
    pub async fn app_plans(&self) -> Result<Vec<(AppId, String)>, StoreError> {
        let rows = sqlx::query!(r#"select app_id as "app_id: AppId", plan from app_plans"#).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| (row.app_id, row.plan)).collect())
    }

    /// The accounts that have a plan of their own.
    pub async fn account_plans(&self) -> Result<Vec<(UserId, String)>, StoreError> {
        let rows = sqlx::query!(r#"select user_id as "user_id: UserId", plan from account_plans"#).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| (row.user_id, row.plan)).collect())
    }
}

impl Writer {
    /// Makes a plan, or changes the one of that name.
    pub async fn save_plan(&self, plan: &Plan, now: Timestamp) -> Result<(), StoreError> {
        let (idle, nap, build) = (millis(plan.idle_after), plan.nap_after.map(millis), millis(plan.build_timeout));
        let (awake, window, rest, pool) =
            (millis(plan.awake_limit), millis(plan.quota_window), millis(plan.rest), millis(plan.monthly_pool));
        sqlx::query!(
            "insert into plans (name, memory_bytes, dynos_per_type, process_types, idle_ms, nap_ms, sleep_by, quota, awake_ms, window_ms,
                                rest_ms, pool_ms, rows, apps_per_account, build_timeout_ms, build_memory_bytes, created_at, updated_at)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             on conflict (name) do update set memory_bytes = excluded.memory_bytes, dynos_per_type = excluded.dynos_per_type,
                 process_types = excluded.process_types, idle_ms = excluded.idle_ms, nap_ms = excluded.nap_ms,
                 sleep_by = excluded.sleep_by,
                 quota = excluded.quota, awake_ms = excluded.awake_ms, window_ms = excluded.window_ms, rest_ms = excluded.rest_ms,
                 pool_ms = excluded.pool_ms, rows = excluded.rows, apps_per_account = excluded.apps_per_account,
                 build_timeout_ms = excluded.build_timeout_ms, build_memory_bytes = excluded.build_memory_bytes,
                 updated_at = excluded.updated_at",
            plan.name,
            plan.memory_bytes,
            plan.dynos_per_type,
            plan.process_types,
            idle,
            nap,
            plan.sleep_by,
            plan.quota,
            awake,
            window,
            rest,
            pool,
            plan.rows,
            plan.apps_per_account,
            build,
            plan.build_memory_bytes,
            now,
            now
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Gives a plan to an app or an account, or takes its own away. False: there is no such plan.
    pub async fn assign_plan(&self, holder: Holder, plan: Option<&str>) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        match holder {
            Holder::App(id) => sqlx::query!("delete from app_plans where app_id = ?", id).execute(&mut *tx).await?,
            Holder::Account(id) => sqlx::query!("delete from account_plans where user_id = ?", id).execute(&mut *tx).await?,
        };
        let Some(plan) = plan else {
            tx.commit().await?;
            return Ok(true);
        };
        let given = match holder {
            Holder::App(id) => {
                sqlx::query!("insert into app_plans (app_id, plan) select ?, name from plans where name = ?", id, plan).execute(&mut *tx)
            }
            Holder::Account(id) => {
                sqlx::query!("insert into account_plans (user_id, plan) select ?, name from plans where name = ?", id, plan)
                    .execute(&mut *tx)
            }
        };
        let given = given.await?.rows_affected() > 0;
        if given {
            tx.commit().await?;
        }
        Ok(given)
    }

    /// Deletes a plan that nobody has. False: there is none of that name, or somebody has it.
    pub async fn delete_plan(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "delete from plans where name = ?1 and not exists (select 1 from app_plans where plan = ?1)
                and not exists (select 1 from account_plans where plan = ?1)",
            name
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }
}
