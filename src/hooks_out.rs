//! Owns webhooks of apps: who is told of what, and the deliveries. What changed is written by the
//! database itself (migration 0014); `api` says it in Heroku's shapes and calls `publish`; `deliver`
//! sends what is due, signed, through the egress rule. The row is the queue.

mod send;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt as _, stream};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    domain::{
        AppId, Timestamp, WebhookDeliveryId, WebhookEventId, WebhookId,
        user::Actor,
        webhook::{Level, Topic},
    },
    egress::{Egress, EgressError},
    logs::Logs,
    scheduler::Activator,
    secrets::{KeyRing, SecretError, random_token},
    store::{Reader, StoreError, Writer, webhooks::WebhookRow},
};

pub use crate::store::webhooks::{ChangeRow, DeliveryRow, EventRow};

/// Webhooks of an app (heroku.md 0.1).
pub const WEBHOOKS_PER_APP: usize = 10;
/// Deliveries under way at once.
const AT_ONCE: usize = 8;
const MAX_ADDRESS: usize = 2_000;
const MAX_SECRET: usize = 500;

/// Why a webhook could not be made, changed or found.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("Couldn't find that webhook.")]
    NoSuchWebhook,
    #[error("Couldn't find that webhook event.")]
    NoSuchEvent,
    #[error("Couldn't find that webhook delivery.")]
    NoSuchDelivery,
    #[error("You've reached the limit of {WEBHOOKS_PER_APP} webhooks of an app. Remove one to make room.")]
    TooMany,
    #[error("url must be like https://example.org/hooks")]
    BadUrl,
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Refused(#[from] EgressError),
    #[error("A webhook cannot be unsealed: {0}")]
    Sealed(#[from] SecretError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a user gives for a webhook; `None` keeps what is, or takes the usual.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub url: Option<String>,
    pub include: Option<Vec<String>>,
    pub level: Option<String>,
    pub secret: Option<SecretString>,
    pub authorization: Option<SecretString>,
}

/// A webhook of an app.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub id: WebhookId,
    pub app: AppId,
    /// As typed.
    pub include: Vec<String>,
    pub level: Level,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    secrets: Secrets,
}

/// What is sealed in its row.
#[derive(Clone, Debug)]
struct Secrets {
    url: SecretString,
    /// Signs the deliveries.
    signing: SecretString,
    /// The value of a header of that name, if one was given.
    authorization: Option<SecretString>,
}

impl Webhook {
    /// The whole address, with whatever secrets it holds.
    pub fn url(&self) -> &SecretString {
        &self.secrets.url
    }

    /// What deliveries are signed with.
    pub fn secret(&self) -> &SecretString {
        &self.secrets.signing
    }
}

/// Everything webhooks stand on.
#[derive(Clone)]
pub struct WebhooksParts {
    pub reader: Reader,
    pub writer: Writer,
    pub keys: Arc<KeyRing>,
    pub egress: Egress,
    pub logs: Logs,
    pub clock: Arc<dyn Clock>,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    inner: Arc<Inner>,
}

/// Of each app the webhooks, with what they listen to.
type Listeners = HashMap<AppId, Vec<(WebhookId, Vec<Topic>)>>;

struct Inner {
    parts: WebhooksParts,
    client: reqwest::Client,
    /// Who listens to what, so that an app without webhooks costs nothing.
    listeners: Mutex<Listeners>,
    /// Wakes `deliver`.
    due: Activator,
    /// Held while a webhook is added: the limit is counted and filled in one.
    adding: tokio::sync::Mutex<()>,
}

impl Webhooks {
    pub fn new(parts: WebhooksParts) -> Webhooks {
        let client = send::client(&parts.egress);
        let inner = Inner { parts, client, listeners: Mutex::default(), due: Activator::new(), adding: tokio::sync::Mutex::default() };
        Webhooks { inner: Arc::new(inner) }
    }

    /// Learns who listens to what.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(&self) -> Result<(), StoreError> {
        let mut listeners: HashMap<AppId, Vec<(WebhookId, Vec<Topic>)>> = HashMap::new();
        for row in self.inner.parts.reader.webhooks().await? {
            listeners.entry(row.app_id).or_default().push((row.id, topics(&typed(&row.include)).unwrap_or_default()));
        }
        *self.listeners() = listeners;
        Ok(())
    }

    /// Activated when something is to be delivered.
    pub fn activator(&self) -> Activator {
        self.inner.due.clone()
    }

    /// The apps somebody listens to, for this topic or for any.
    pub fn heard(&self, topic: Option<Topic>) -> Vec<AppId> {
        let hears = |of: &Vec<(WebhookId, Vec<Topic>)>| topic.is_none_or(|topic| of.iter().any(|(_, topics)| topics.contains(&topic)));
        self.listeners().iter().filter(|(_, of)| hears(of)).map(|(app, _)| *app).collect()
    }

    /// The webhooks of an app, oldest first.
    ///
    /// # Errors
    /// When the database fails, or a row cannot be unsealed.
    pub async fn of(&self, app: AppId) -> Result<Vec<Webhook>, WebhookError> {
        self.inner.parts.reader.webhooks_of(app).await?.into_iter().map(|row| self.opened(row)).collect()
    }

    /// # Errors
    /// `NoSuchWebhook`, and as `of`.
    pub async fn find(&self, app: AppId, named: &str) -> Result<Webhook, WebhookError> {
        let id: WebhookId = named.parse().map_err(|_| WebhookError::NoSuchWebhook)?;
        self.of(app).await?.into_iter().find(|webhook| webhook.id == id).ok_or(WebhookError::NoSuchWebhook)
    }

    /// Adds a webhook; it hears of what happens from now on. Without a secret one is made.
    ///
    /// # Errors
    /// When something given is not right or not allowed, or the app has enough.
    pub async fn add(&self, app: AppId, wanted: Wanted, by: &Actor) -> Result<Webhook, WebhookError> {
        let _adding = self.inner.adding.lock().await;
        if self.inner.parts.reader.webhooks_of(app).await?.len() >= WEBHOOKS_PER_APP {
            return Err(WebhookError::TooMany);
        }
        let now = self.inner.parts.clock.now();
        let secrets = Secrets { url: wanted.url.clone().unwrap_or_default().into(), signing: random_token(), authorization: None };
        let blank =
            Webhook { id: WebhookId::new(), app, include: Vec::new(), level: Level::Notify, created_at: now, updated_at: now, secrets };
        let wanted = Wanted { url: wanted.url.or(Some(String::new())), include: wanted.include.or(Some(Vec::new())), ..wanted };
        let webhook = self.changed(blank, wanted)?;
        self.inner.parts.writer.insert_webhook(&self.row(&webhook)?).await?;
        self.learn(&webhook);
        self.inner.parts.logs.api(app, format!("Add webhook {} by user {}", shown(&webhook)?, by.email));
        Ok(webhook)
    }

    /// Changes what is given; the rest stays.
    ///
    /// # Errors
    /// As `find` and `add`.
    pub async fn update(&self, app: AppId, named: &str, wanted: Wanted, by: &Actor) -> Result<Webhook, WebhookError> {
        let webhook = self.changed(self.find(app, named).await?, wanted)?;
        self.inner.parts.writer.update_webhook(&self.row(&webhook)?).await?;
        self.forget(app, webhook.id);
        self.learn(&webhook);
        self.inner.parts.logs.api(app, format!("Update webhook {} by user {}", shown(&webhook)?, by.email));
        Ok(webhook)
    }

    /// Removes a webhook with its deliveries.
    ///
    /// # Errors
    /// As `find`.
    pub async fn remove(&self, app: AppId, named: &str, by: &Actor) -> Result<Webhook, WebhookError> {
        let webhook = self.find(app, named).await?;
        self.inner.parts.writer.delete_webhook(webhook.id).await?;
        self.forget(app, webhook.id);
        self.inner.parts.logs.api(app, format!("Remove webhook {} by user {}", shown(&webhook)?, by.email));
        Ok(webhook)
    }

    /// What was told of an app, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events(&self, app: AppId) -> Result<Vec<EventRow>, WebhookError> {
        Ok(self.inner.parts.reader.webhook_events(app).await?)
    }

    /// # Errors
    /// `NoSuchEvent`, or when the database fails.
    pub async fn event(&self, app: AppId, named: &str) -> Result<EventRow, WebhookError> {
        let id: WebhookEventId = named.parse().map_err(|_| WebhookError::NoSuchEvent)?;
        let found = self.inner.parts.reader.webhook_event(id).await?;
        found.filter(|event| event.app_id == app).ok_or(WebhookError::NoSuchEvent)
    }

    /// The deliveries of an app, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deliveries(&self, app: AppId) -> Result<Vec<DeliveryRow>, WebhookError> {
        Ok(self.inner.parts.reader.webhook_deliveries(app).await?)
    }

    /// # Errors
    /// `NoSuchDelivery`, or when the database fails.
    pub async fn delivery(&self, app: AppId, named: &str) -> Result<DeliveryRow, WebhookError> {
        let id: WebhookDeliveryId = named.parse().map_err(|_| WebhookError::NoSuchDelivery)?;
        self.deliveries(app).await?.into_iter().find(|one| one.id == id).ok_or(WebhookError::NoSuchDelivery)
    }

    /// What changed and was not told yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn changes(&self) -> Result<Vec<ChangeRow>, StoreError> {
        if self.listeners().is_empty() { Ok(Vec::new()) } else { self.inner.parts.reader.webhook_changes().await }
    }

    /// Tells those who listen to `topic`. `payload` is what Heroku's field of that name holds;
    /// `change` is the row it came from, which is done with afterwards.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn publish(
        &self,
        app: AppId,
        (topic, action): (Topic, &str),
        payload: &Value,
        change: Option<i64>,
    ) -> Result<(), StoreError> {
        let listening = |(id, topics): &(WebhookId, Vec<Topic>)| topics.contains(&topic).then_some(*id);
        let webhooks: Vec<WebhookId> = self.listeners().get(&app).into_iter().flatten().filter_map(listening).collect();
        let writer = &self.inner.parts.writer;
        if webhooks.is_empty() {
            return match change {
                Some(change) => writer.drop_webhook_change(change).await,
                None => Ok(()),
            };
        }
        let event = EventRow {
            id: WebhookEventId::new(),
            app_id: app,
            topic: topic.to_string(),
            action: action.to_owned(),
            body: payload.to_string(),
            created_at: self.inner.parts.clock.now(),
        };
        writer.add_webhook_event(&event, &webhooks, change).await?;
        self.inner.due.activate();
        Ok(())
    }

    /// Drops a change of which nothing can be told.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pass_over(&self, change: i64) -> Result<(), StoreError> {
        self.inner.parts.writer.drop_webhook_change(change).await
    }

    /// Sends what is due, a few at once; comes again at once while there is more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deliver(&self) -> Result<(), StoreError> {
        if self.listeners().is_empty() {
            return Ok(());
        }
        let due = self.inner.parts.reader.due_webhook_deliveries(self.inner.parts.clock.now()).await?;
        let more = !due.is_empty();
        let mut done = stream::iter(due).map(|delivery| self.deliver_one(delivery)).buffer_unordered(AT_ONCE);
        while let Some(outcome) = done.next().await {
            outcome?;
        }
        if more {
            self.inner.due.activate();
        }
        Ok(())
    }

    async fn deliver_one(&self, delivery: DeliveryRow) -> Result<(), StoreError> {
        let Inner { parts, client, .. } = &*self.inner;
        let row = parts.reader.webhook(delivery.webhook_id).await?;
        let (Some(row), Some(event)) = (row, parts.reader.webhook_event(delivery.event_id).await?) else { return Ok(()) };
        let tried = match self.opened(row) {
            Ok(webhook) => send::attempt(client, &parts.egress, (&webhook, &event, &delivery), parts.clock.now()).await,
            Err(error) => send::given_up(&error),
        };
        parts.writer.webhook_tried(delivery.id, &tried, parts.clock.now()).await
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Listeners> {
        self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, webhook: &Webhook) {
        self.listeners().entry(webhook.app).or_default().push((webhook.id, topics(&webhook.include).unwrap_or_default()));
    }

    fn forget(&self, app: AppId, id: WebhookId) {
        let mut listeners = self.listeners();
        if let Some(of) = listeners.get_mut(&app) {
            of.retain(|(known, _)| *known != id);
        }
        listeners.retain(|_, of| !of.is_empty());
    }

    /// The webhook as wanted, checked.
    fn changed(&self, mut webhook: Webhook, wanted: Wanted) -> Result<Webhook, WebhookError> {
        if let Some(url) = wanted.url {
            let parsed: Url = url.trim().parse().map_err(|_| WebhookError::BadUrl)?;
            if url.len() > MAX_ADDRESS || !matches!(parsed.scheme(), "http" | "https") {
                return Err(WebhookError::BadUrl);
            }
            self.inner.parts.egress.check(&parsed)?;
            webhook.secrets.url = parsed.as_str().into();
        }
        if let Some(include) = wanted.include {
            if include.is_empty() {
                return Err(WebhookError::Invalid("include must name at least one event, like api:release.".to_owned()));
            }
            topics(&include).map_err(WebhookError::Invalid)?;
            webhook.include = include;
        }
        if let Some(level) = wanted.level {
            webhook.level = level.parse().map_err(|why: &str| WebhookError::Invalid(why.to_owned()))?;
        }
        for given in wanted.secret.iter().chain(&wanted.authorization) {
            let text = given.expose_secret();
            if text.is_empty() || text.len() > MAX_SECRET || text.chars().any(char::is_control) {
                let sentence = format!("secret and authorization hold 1 to {MAX_SECRET} characters, no control characters.");
                return Err(WebhookError::Invalid(sentence));
            }
        }
        webhook.secrets.signing = wanted.secret.unwrap_or(webhook.secrets.signing);
        webhook.secrets.authorization = wanted.authorization.or(webhook.secrets.authorization);
        webhook.updated_at = self.inner.parts.clock.now();
        Ok(webhook)
    }

    fn row(&self, webhook: &Webhook) -> Result<WebhookRow, WebhookError> {
        let Secrets { url, signing, authorization } = &webhook.secrets;
        let plain = json!({
            "url": url.expose_secret(),
            "secret": signing.expose_secret(),
            "authorization": authorization.as_ref().map(|text| text.expose_secret()),
        });
        let place = WebhookRow::place(webhook.app, webhook.id);
        Ok(WebhookRow {
            id: webhook.id,
            app_id: webhook.app,
            shown: shown(webhook)?,
            include: json!(webhook.include).to_string(),
            level: webhook.level.as_str().to_owned(),
            sealed: self.inner.parts.keys.seal(&place, &plain.to_string().into()),
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
        })
    }

    fn opened(&self, row: WebhookRow) -> Result<Webhook, WebhookError> {
        let plain = self.inner.parts.keys.open(&WebhookRow::place(row.app_id, row.id), &row.sealed)?;
        let plain: Value = serde_json::from_str(plain.expose_secret()).map_err(|_| SecretError::Forged)?;
        let text = |name: &str| plain[name].as_str().map(SecretString::from);
        Ok(Webhook {
            id: row.id,
            app: row.app_id,
            include: typed(&row.include),
            level: row.level.parse().unwrap_or(Level::Notify),
            created_at: row.created_at,
            updated_at: row.updated_at,
            secrets: Secrets {
                url: text("url").ok_or(SecretError::Forged)?,
                signing: text("secret").ok_or(SecretError::Forged)?,
                authorization: text("authorization"),
            },
        })
    }
}

/// The address without what may be secret in it.
fn shown(webhook: &Webhook) -> Result<String, WebhookError> {
    let url: Url = webhook.secrets.url.expose_secret().parse().map_err(|_| WebhookError::BadUrl)?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default()))
}

fn typed(include: &str) -> Vec<String> {
    serde_json::from_str(include).unwrap_or_default()
}

fn topics(include: &[String]) -> Result<Vec<Topic>, String> {
    include.iter().map(|word| word.parse()).collect()
}
