//! The tables of webhooks: `webhooks`, `webhook_changes`, `webhook_events`, `webhook_deliveries`.
//! Only sealed secrets pass here.

use crate::{
    domain::{AppId, Timestamp, UserId, WebhookDeliveryId, WebhookEventId, WebhookId},
    store::{Reader, StoreError, Writer},
};

/// A webhook.
#[derive(Clone, Debug)]
pub struct WebhookRow {
    pub id: WebhookId,
    pub app_id: AppId,
    /// The address as it may be shown.
    pub shown: String,
    /// JSON: a list of topics.
    pub include: String,
    pub level: String,
    pub sealed: Vec<u8>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl WebhookRow {
    /// The place its secrets are sealed for: they open nowhere else.
    pub fn place(app: AppId, id: WebhookId) -> String {
        format!("webhooks|{app}|{id}")
    }
}

/// Something that changed and was not told yet.
#[derive(Clone, Debug)]
pub struct ChangeRow {
    pub id: i64,
    pub app_id: AppId,
    pub topic: String,
    pub action: String,
    /// The id of what changed, in hexadecimal.
    pub resource: String,
    pub actor_id: Option<UserId>,
    pub actor_email: Option<String>,
    pub previous: String,
    pub last: String,
}

/// Something that happened, as it is told.
#[derive(Clone, Debug)]
pub struct EventRow {
    pub id: WebhookEventId,
    pub app_id: AppId,
    pub topic: String,
    pub action: String,
    /// The payload: JSON.
    pub body: String,
    pub created_at: Timestamp,
}

/// An event on its way to a webhook.
#[derive(Clone, Debug)]
pub struct DeliveryRow {
    pub seq: i64,
    pub id: WebhookDeliveryId,
    pub webhook_id: WebhookId,
    pub event_id: WebhookEventId,
    pub topic: String,
    pub level: String,
    pub status: String,
    pub attempts: i64,
    pub next_attempt_at: Option<Timestamp>,
    pub last_code: Option<i64>,
    pub last_error: Option<String>,
    pub last_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// How a try ended.
#[derive(Clone, Debug)]
pub struct Tried {
    pub status: &'static str,
    pub code: Option<u16>,
    pub error: Option<String>,
    pub next_attempt_at: Option<Timestamp>,
}

/// Events of an app that are kept; older ones go with their deliveries.
const KEPT_EVENTS: i64 = 200;

macro_rules! select_webhooks {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            WebhookRow,
            r#"select id as "id: WebhookId", app_id as "app_id: AppId", url as shown, include, level, secret as sealed,
                      created_at as "created_at: Timestamp", updated_at as "updated_at: Timestamp"
               from webhooks "# + $condition
            $(, $argument)*
        )
    };
}

macro_rules! select_deliveries {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            DeliveryRow,
            r#"select d.rowid as "seq!: i64", d.id as "id: WebhookDeliveryId", d.webhook_id as "webhook_id: WebhookId",
                      d.event_id as "event_id: WebhookEventId", e.topic, w.level, d.status, d.attempts,
                      d.next_attempt_at as "next_attempt_at: Timestamp", d.last_code, d.last_error, d.last_at as "last_at: Timestamp",
                      d.created_at as "created_at: Timestamp", d.updated_at as "updated_at: Timestamp"
               from webhook_deliveries d join webhooks w on w.id = d.webhook_id join webhook_events e on e.id = d.event_id "#
                + $condition
            $(, $argument)*
        )
    };
}

macro_rules! select_events {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            EventRow,
            r#"select id as "id: WebhookEventId", app_id as "app_id: AppId", topic, action, body, created_at as "created_at: Timestamp"
               from webhook_events "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    /// The webhooks of an app, oldest first.
    pub async fn webhooks_of(&self, app: AppId) -> Result<Vec<WebhookRow>, StoreError> {
        Ok(select_webhooks!("where app_id = ? order by id", app).fetch_all(&self.pool).await?)
    }

    /// All webhooks there are.
    pub async fn webhooks(&self) -> Result<Vec<WebhookRow>, StoreError> {
        Ok(select_webhooks!("order by id").fetch_all(&self.pool).await?)
    }

    pub async fn webhook(&self, id: WebhookId) -> Result<Option<WebhookRow>, StoreError> {
        Ok(select_webhooks!("where id = ?", id).fetch_optional(&self.pool).await?)
    }

    /// What changed and was not told yet, oldest first.
    pub async fn webhook_changes(&self) -> Result<Vec<ChangeRow>, StoreError> {
        let rows = sqlx::query_as!(
            ChangeRow,
            r#"select id, app_id as "app_id: AppId", topic, action, resource, actor_id as "actor_id: UserId", actor_email, previous, last
               from webhook_changes order by id limit 100"#
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// The events of an app, newest first.
    pub async fn webhook_events(&self, app: AppId) -> Result<Vec<EventRow>, StoreError> {
        Ok(select_events!("where app_id = ? order by id desc", app).fetch_all(&self.pool).await?)
    }

    pub async fn webhook_event(&self, id: WebhookEventId) -> Result<Option<EventRow>, StoreError> {
        Ok(select_events!("where id = ?", id).fetch_optional(&self.pool).await?)
    }

    /// The deliveries of an app, newest first.
    pub async fn webhook_deliveries(&self, app: AppId) -> Result<Vec<DeliveryRow>, StoreError> {
        Ok(select_deliveries!("where e.app_id = ? order by d.rowid desc", app).fetch_all(&self.pool).await?)
    }

    /// Deliveries whose next try is due: of each webhook the oldest few, so that one with many does
    /// not hold up the others.
    pub async fn due_webhook_deliveries(&self, now: Timestamp) -> Result<Vec<DeliveryRow>, StoreError> {
        let rows = select_deliveries!(
            "where d.next_attempt_at <= ? and (select count(*) from webhook_deliveries o
                 where o.webhook_id = d.webhook_id and o.next_attempt_at <= ? and o.rowid < d.rowid) < 4
             order by d.next_attempt_at limit 64",
            now,
            now
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }
}

impl Writer {
    pub async fn insert_webhook(&self, row: &WebhookRow) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into webhooks (id, app_id, url, include, level, secret, created_at, updated_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
            row.id,
            row.app_id,
            row.shown,
            row.include,
            row.level,
            row.sealed,
            row.created_at,
            row.updated_at
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    pub async fn update_webhook(&self, row: &WebhookRow) -> Result<(), StoreError> {
        sqlx::query!(
            "update webhooks set url = ?, include = ?, level = ?, secret = ?, updated_at = ? where id = ?",
            row.shown,
            row.include,
            row.level,
            row.sealed,
            row.updated_at,
            row.id
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    pub async fn delete_webhook(&self, id: WebhookId) -> Result<(), StoreError> {
        sqlx::query!("delete from webhooks where id = ?", id).execute(self.pool()).await?;
        Ok(())
    }

    /// Forgets a change that nobody is told of.
    pub async fn drop_webhook_change(&self, change: i64) -> Result<(), StoreError> {
        sqlx::query!("delete from webhook_changes where id = ?", change).execute(self.pool()).await?;
        Ok(())
    }

    /// Writes an event with a delivery to each of `webhooks`, takes the change it came from off the
    /// list, and lets the app's oldest events go.
    pub async fn add_webhook_event(&self, event: &EventRow, webhooks: &[WebhookId], change: Option<i64>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!(
            "insert into webhook_events (id, app_id, topic, action, body, created_at) values (?, ?, ?, ?, ?, ?)",
            event.id,
            event.app_id,
            event.topic,
            event.action,
            event.body,
            event.created_at
        )
        .execute(&mut *tx)
        .await?;
        for webhook in webhooks {
            let id = WebhookDeliveryId::new();
            sqlx::query!(
                "insert into webhook_deliveries (id, webhook_id, event_id, status, next_attempt_at, created_at, updated_at)
                 values (?1, ?2, ?3, 'pending', ?4, ?4, ?4)",
                id,
                webhook,
                event.id,
                event.created_at
            )
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query!("delete from webhook_changes where id = ?", change).execute(&mut *tx).await?;
        sqlx::query!(
            "delete from webhook_events where app_id = ?1 and id not in
                 (select id from webhook_events where app_id = ?1 order by id desc limit ?2)",
            event.app_id,
            KEPT_EVENTS
        )
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Writes down how a try ended.
    pub async fn webhook_tried(&self, id: WebhookDeliveryId, tried: &Tried, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "update webhook_deliveries set status = ?, attempts = attempts + 1, next_attempt_at = ?, last_code = ?, last_error = ?,
                    last_at = ?, updated_at = ? where id = ?",
            tried.status,
            tried.next_attempt_at,
            tried.code,
            tried.error,
            now,
            now,
            id
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
