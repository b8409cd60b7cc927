//! The table `scheduler_jobs`.

use crate::{
    domain::{AddonId, AppId, DynoId, JobId, Timestamp, job::Job},
    store::{Reader, StoreError, Writer},
};

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Job,
            r#"select id as "id: JobId", app_id as "app_id: AppId", addon_id as "addon_id: AddonId", command, cron, time_zone,
                      next_at as "next_at: Timestamp", missed as "missed: u32", dyno_id as "dyno_id: DynoId", dyno_name,
                      started_at as "started_at: Timestamp", finished_at as "finished_at: Timestamp", exit_code, error
               from scheduler_jobs "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    pub async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        Ok(select!("where id = ?", id).fetch_optional(&self.pool).await?)
    }

    /// Those of an add-on, oldest first.
    pub async fn jobs_of_addon(&self, addon: AddonId) -> Result<Vec<Job>, StoreError> {
        Ok(select!("where addon_id = ? order by created_at, id", addon).fetch_all(&self.pool).await?)
    }

    /// Those whose time has come, or whose last run has not ended.
    pub async fn jobs_to_look_at(&self, now: Timestamp) -> Result<Vec<Job>, StoreError> {
        let rows = select!("where next_at <= ? or (started_at is not null and finished_at is null) order by next_at, id", now);
        Ok(rows.fetch_all(&self.pool).await?)
    }
}

impl Writer {
    /// False when the add-on has `most` jobs.
    pub async fn add_job(&self, job: &Job, most: u32, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "insert into scheduler_jobs (id, app_id, addon_id, command, cron, time_zone, next_at, created_at)
             select ?, ?, ?, ?, ?, ?, ?, ? where (select count(*) from scheduler_jobs where addon_id = ?) < ?",
            job.id,
            job.app_id,
            job.addon_id,
            job.command,
            job.cron,
            job.time_zone,
            job.next_at,
            now,
            job.addon_id,
            most
        );
        Ok(done.execute(self.pool()).await?.rows_affected() > 0)
    }

    pub async fn delete_job(&self, id: JobId) -> Result<(), StoreError> {
        sqlx::query!("delete from scheduler_jobs where id = ?", id).execute(self.pool()).await?;
        Ok(())
    }

    /// Takes the time of a job, so that nobody else does; its run begins. False when it was taken.
    pub async fn begin_job(&self, job: &Job, next_at: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update scheduler_jobs set next_at = ?, started_at = ?, finished_at = null, exit_code = null, error = null,
                    dyno_id = null, dyno_name = null where id = ? and next_at = ?",
            next_at,
            now,
            job.id,
            job.next_at
        );
        Ok(done.execute(self.pool()).await?.rows_affected() > 0)
    }

    /// Runs that did not happen.
    pub async fn miss_job(&self, id: JobId, next_at: Timestamp, missed: u32) -> Result<(), StoreError> {
        sqlx::query!("update scheduler_jobs set next_at = ?, missed = missed + ? where id = ?", next_at, missed, id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// The dyno that runs it.
    pub async fn set_job_dyno(&self, id: JobId, dyno: DynoId, name: &str) -> Result<(), StoreError> {
        sqlx::query!("update scheduler_jobs set dyno_id = ?, dyno_name = ? where id = ?", dyno, name, id).execute(self.pool()).await?;
        Ok(())
    }

    /// The end of a run: of that dyno, or of one that never began.
    pub async fn end_job(
        &self,
        (id, dyno): (JobId, Option<DynoId>),
        (code, error): (Option<i64>, Option<&str>),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update scheduler_jobs set finished_at = ?, exit_code = ?, error = ? where id = ? and dyno_id is ? and finished_at is null",
            now,
            code,
            error,
            id,
            dyno
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Forgets jobs and settings of add-ons that are neither there nor in the bin.
    pub async fn forget_what_add_ons_left(&self) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from scheduler_jobs where addon_id not in (select id from addons) and addon_id not in (select addon_id from addon_bin)"
        )
        .execute(self.pool())
        .await?;
        sqlx::query!(
            "delete from keyvalue_stores where addon_id not in (select id from addons) and addon_id not in (select addon_id from addon_bin)"
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
