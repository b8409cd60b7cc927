//! Says what changed to webhooks, in the very shapes the API answers with: a change that the
//! database wrote down is asked for at our own routes, as its owner.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, to_bytes},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{
    api::{Api, dynos, reference::app_reference, routes},
    apps::App,
    domain::{AppId, DynoId, Timestamp, webhook::Topic},
    hooks_out::ChangeRow,
    http::Caller,
    store::StoreError,
};

const VERSION: &str = "application/vnd.heroku+json; version=3";

/// The dynos of an app as they were told last: state and shape.
type Seen = HashMap<DynoId, Value>;

/// See the module's page. Cheap to clone.
#[derive(Clone)]
pub struct Announcer {
    api: Api,
    /// The routes without their layers: who asks is put in by hand.
    bare: Router,
    dynos: Arc<Mutex<HashMap<AppId, Seen>>>,
}

impl Announcer {
    pub fn new(api: Api) -> Announcer {
        let bare = routes().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
        Announcer { bare: bare.with_state(api.clone()), api, dynos: Arc::default() }
    }

    /// Tells what changed since the last call.
    ///
    /// # Errors
    /// When the database fails; what was not told yet is told by the next call.
    pub async fn announce(&self) -> Result<(), StoreError> {
        for change in self.api.webhooks.changes().await? {
            self.tell(change).await?;
        }
        for app in self.api.webhooks.heard(Some(Topic::Dyno)) {
            self.tell_dynos(app).await?;
        }
        Ok(())
    }

    async fn tell(&self, change: ChangeRow) -> Result<(), StoreError> {
        let id = change.id;
        let (Ok(topic), Ok(resource)) = (change.topic.parse::<Topic>(), change.resource.parse::<Uuid>()) else {
            return self.api.webhooks.pass_over(id).await;
        };
        let Some(app) = self.api.reader.app(change.app_id).await? else {
            return self.api.webhooks.pass_over(id).await;
        };
        let data = if change.action == "destroy" {
            let mut last: Value = serde_json::from_str(&change.last).unwrap_or_default();
            last["id"] = json!(resource);
            last["app"] = app_reference(&app);
            Some(last)
        } else {
            self.asked(&app, topic, resource).await?
        };
        // Gone again already: its end is told by a row of its own.
        let Some(data) = data else { return self.api.webhooks.pass_over(id).await };
        let actor = self.actor(&app, &change).await?;
        let previous = serde_json::from_str(&change.previous).unwrap_or_default();
        let payload = payload(topic, &change.action, actor, (data, previous), self.api.clock.now());
        self.api.webhooks.publish(app.id, (topic, change.action.as_str()), &payload, Some(id)).await
    }

    /// The resource as its route answers it; None when it is not there.
    async fn asked(&self, app: &App, topic: Topic, id: Uuid) -> Result<Option<Value>, StoreError> {
        let app_id = app.id;
        let path = match topic {
            Topic::App => format!("/apps/{app_id}"),
            Topic::Addon => format!("/apps/{app_id}/addons/{id}"),
            Topic::AddonAttachment => format!("/apps/{app_id}/addon-attachments/{id}"),
            Topic::Build => format!("/apps/{app_id}/builds/{id}"),
            Topic::Collaborator => format!("/apps/{app_id}/collaborators/{id}"),
            Topic::Domain => format!("/apps/{app_id}/domains/{id}"),
            Topic::Dyno => format!("/apps/{app_id}/dynos/{id}"),
            Topic::Formation => format!("/apps/{app_id}/formation/{id}"),
            Topic::Release => format!("/apps/{app_id}/releases/{id}"),
            Topic::SniEndpoint => return Ok(None),
        };
        let Some(user) = self.api.reader.user(app.owner_id).await? else { return Ok(None) };
        let mut request = http::Request::get(path).body(Body::empty()).expect("a path of words and ids");
        request.extensions_mut().insert(Caller { user, token: None });
        let Ok(response) = self.bare.clone().oneshot(request).await;
        if !response.status().is_success() {
            return Ok(None);
        }
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Who did it as far as it is known; else the app's owner.
    async fn actor(&self, app: &App, change: &ChangeRow) -> Result<Value, StoreError> {
        let email = change.actor_email.as_deref();
        let id = match (change.actor_id, email) {
            (Some(id), _) => Some(id),
            (None, Some(email)) => self.api.accounts.by_email(email).await.ok().flatten().map(|user| user.id),
            (None, None) => Some(app.owner_id),
        };
        Ok(json!({ "email": email.unwrap_or(app.owner_email.as_str()), "id": id }))
    }

    /// Tells which dynos came, went and changed their state since they were looked at last. The
    /// first look only remembers.
    async fn tell_dynos(&self, app: AppId) -> Result<(), StoreError> {
        let Some(app) = self.api.reader.app(app).await? else { return Ok(()) };
        let now: Seen = dynos::views(&self.api, &app).iter().map(|dyno| (dyno.id, dynos::shape(&self.api, &app, dyno))).collect();
        let before = self.dynos.lock().unwrap_or_else(PoisonError::into_inner).insert(app.id, now.clone());
        let Some(before) = before else { return Ok(()) };
        for (action, data, previous) in differences(&before, &now) {
            let actor = json!({ "email": app.owner_email, "id": app.owner_id });
            let payload = payload(Topic::Dyno, action, actor, (data, previous), self.api.clock.now());
            self.api.webhooks.publish(app.id, (Topic::Dyno, action), &payload, None).await?;
        }
        Ok(())
    }
}

/// What happened between two looks: action, data, previous data. What is gone comes first.
fn differences(before: &Seen, now: &Seen) -> Vec<(&'static str, Value, Value)> {
    let mut found = Vec::new();
    for (id, dyno) in before.iter().filter(|(id, _)| !now.contains_key(id)) {
        let mut last = dyno.clone();
        last["id"] = json!(id);
        found.push(("destroy", last, json!({})));
    }
    for (id, dyno) in now {
        match before.get(id) {
            None => found.push(("create", dyno.clone(), json!({}))),
            Some(old) if old["state"] != dyno["state"] => found.push(("update", dyno.clone(), json!({ "state": old["state"] }))),
            Some(_) => {}
        }
    }
    found
}

/// Heroku's payload of an event.
fn payload(topic: Topic, action: &str, actor: Value, (data, previous): (Value, Value), now: Timestamp) -> Value {
    json!({
        "action": action,
        "actor": actor,
        "data": data,
        "previous_data": previous,
        "published_at": now,
        "resource": topic.resource(),
        "version": VERSION,
    })
}
