//! The table `app_activity`: what dynos must remember of an app over a restart of the server.

use crate::{
    domain::{AppId, Timestamp},
    store::{Reader, StoreError, Writer},
};

/// One app's row; a missing row is the default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AppActivity {
    pub asleep: bool,
    pub last_request_at: Option<Timestamp>,
    /// A rest begun ends here.
    pub resting_until: Option<Timestamp>,
    /// The end of the last completed rest.
    pub quota_from: Option<Timestamp>,
}

impl Reader {
    pub async fn app_activity(&self, app: AppId) -> Result<AppActivity, StoreError> {
        let row = sqlx::query_as!(
            AppActivity,
            r#"select asleep as "asleep: bool", last_request_at as "last_request_at: Timestamp",
                      resting_until as "resting_until: Timestamp", quota_from as "quota_from: Timestamp"
               from app_activity where app_id = ?"#,
            app
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.unwrap_or_default())
    }
}

impl Writer {
    pub async fn set_app_activity(&self, app: AppId, activity: &AppActivity) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into app_activity (app_id, asleep, last_request_at, resting_until, quota_from) values (?, ?, ?, ?, ?)
             on conflict (app_id) do update set asleep = excluded.asleep, last_request_at = excluded.last_request_at,
                 resting_until = excluded.resting_until, quota_from = excluded.quota_from",
            app,
            activity.asleep,
            activity.last_request_at,
            activity.resting_until,
            activity.quota_from
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
