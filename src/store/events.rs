//! The table `events`: what happened to an app, for people.

use sqlx::SqliteExecutor;

use crate::{
    domain::{
        AppId, Timestamp,
        event::{Event, NewEvent},
    },
    store::{Reader, StoreError, Writer},
};

impl Reader {
    /// The newest events of an app, newest first.
    pub async fn events(&self, app: AppId, count: u32) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query!(
            r#"select at as "at: Timestamp", kind, actor, detail from events where app_id = ? order by at desc, id desc limit ?"#,
            app,
            count
        )
        .fetch_all(&self.pool)
        .await?;
        let event = |(at, kind, actor, detail): (Timestamp, String, String, String)| {
            Some(Event { at, kind: kind.parse().ok()?, actor, detail: serde_json::from_str(&detail).unwrap_or_default() })
        };
        Ok(rows.into_iter().filter_map(|row| event((row.at, row.kind, row.actor, row.detail))).collect())
    }
}

impl Writer {
    pub async fn add_event(&self, app: AppId, event: &NewEvent, now: Timestamp) -> Result<(), StoreError> {
        insert(self.pool(), app, event, now).await
    }
}

/// Alone or as a part of a transaction.
pub(super) async fn insert(to: impl SqliteExecutor<'_>, app: AppId, event: &NewEvent, now: Timestamp) -> Result<(), StoreError> {
    let (kind, detail) = (event.kind.as_str(), event.detail.to_string());
    sqlx::query!("insert into events (app_id, at, kind, actor, detail) values (?, ?, ?, ?, ?)", app, now, kind, event.actor, detail)
        .execute(to)
        .await?;
    Ok(())
}
