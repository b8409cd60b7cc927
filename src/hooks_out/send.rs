//! One delivery: a signed POST, and what follows from its answer.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::{
    domain::{Timestamp, webhook::pause},
    egress::{Egress, EgressError},
    hooks_out::{Webhook, WebhookError},
    store::webhooks::{DeliveryRow, EventRow, Tried},
};

/// A receiver has this long to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const SIGNATURE: &str = "heroku-webhook-hmac-sha256";

/// Why a try did not arrive; holds nothing of the address but its host.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Egress(#[from] EgressError),
    #[error("The address is not one any more.")]
    Address,
    #[error("It did not answer in {} seconds.", PATIENCE.as_secs())]
    TimedOut,
    #[error("The connection failed: {0}")]
    Broken(String),
}

/// The client of all deliveries: judged addresses only, no redirects, no proxy.
pub(super) fn client(egress: &Egress) -> reqwest::Client {
    egress.http().timeout(PATIENCE).pool_max_idle_per_host(1).build().expect("a client of fixed settings can be built")
}

/// Sends once; says what to write down.
pub(super) async fn attempt(
    client: &reqwest::Client,
    egress: &Egress,
    (webhook, event, delivery): (&Webhook, &EventRow, &DeliveryRow),
    now: Timestamp,
) -> Tried {
    let body = body(webhook, event, delivery, now).to_string();
    let (code, error) = match post(client, egress, webhook, body).await {
        Ok(code) if (200..300).contains(&code) => {
            return Tried { status: "succeeded", code: Some(code), error: None, next_attempt_at: None };
        }
        Ok(code) => (Some(code), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let attempts = u32::try_from(delivery.attempts + 1).unwrap_or(u32::MAX);
    let next = pause(webhook.level, attempts, now.since(delivery.created_at)).map(|pause| now + pause);
    Tried { status: if next.is_some() { "retrying" } else { "failed" }, code, error, next_attempt_at: next }
}

/// For a webhook that cannot be opened.
pub(super) fn given_up(error: &WebhookError) -> Tried {
    Tried { status: "failed", code: None, error: Some(error.to_string()), next_attempt_at: None }
}

async fn post(client: &reqwest::Client, egress: &Egress, webhook: &Webhook, body: String) -> Result<u16, SendError> {
    let url: Url = webhook.secrets.url.expose_secret().parse().map_err(|_| SendError::Address)?;
    egress.check(&url)?;
    let mut request = client
        .post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, "Siesta-Webhooks")
        .header(SIGNATURE, signature(&webhook.secrets.signing, body.as_bytes()));
    if let Some(authorization) = &webhook.secrets.authorization {
        request = request.header(header::AUTHORIZATION, authorization.expose_secret());
    }
    let answer = request.body(body).send().await.map_err(|error| match error {
        error if error.is_timeout() => SendError::TimedOut,
        error => SendError::Broken(innermost(&error)),
    })?;
    Ok(answer.status().as_u16())
}

/// Base64 of the HMAC over the body's bytes.
fn signature(secret: &SecretString, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

/// The event's payload with what Heroku puts beside it.
fn body(webhook: &Webhook, event: &EventRow, delivery: &DeliveryRow, now: Timestamp) -> Value {
    let mut body: Value = serde_json::from_str(&event.body).unwrap_or_default();
    if body["published_at"].is_null() {
        body["published_at"] = json!(event.created_at);
    }
    body["id"] = json!(event.id);
    body["created_at"] = json!(event.created_at);
    body["updated_at"] = json!(now);
    body["sequence"] = json!(delivery.seq.to_string());
    body["webhook_metadata"] = json!({
        "attempt": { "id": Uuid::now_v7() },
        "delivery": { "id": delivery.id },
        "event": { "id": event.id, "include": event.topic },
        "webhook": { "id": webhook.id },
    });
    body
}

/// The last cause, which names no address.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_receivers_compute() {
        // RFC 4231, test case 2, in base64.
        assert_eq!(signature(&"Jefe".into(), b"what do ya want for nothing?"), "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
    }
}
