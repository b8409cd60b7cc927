//! Things named in bodies: a string, or an object that holds a name or an id, as clients send both.
//! Also the addresses we answer under and ids of things that have no row.

use axum::extract::FromRequestParts;
use http::{header, request::Parts};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{api::Api, apps::App, domain::network::DOOR, http::Fault};

/// `"web"`, `{"name": "web"}` or `{"id": "..."}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference(pub String);

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Reference(text)),
            Value::Object(fields) => ["name", "id", "email"]
                .iter()
                .find_map(|key| fields.get(*key)?.as_str())
                .map(|text| Reference(text.to_owned()))
                .ok_or_else(|| D::Error::custom("expected an object with a name or an id")),
            _ => Err(D::Error::custom("expected a name, an id, or an object with one of them")),
        }
    }
}

/// A switch: `true`, or as some clients write it `1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(on) => Ok(Flag(on)),
            Value::Number(number) if number.as_u64().is_some_and(|number| number < 2) => Ok(Flag(number.as_u64() == Some(1))),
            other => Err(D::Error::custom(format!("expected true or false, not {other}"))),
        }
    }
}

/// `{id, name}` of an app, as it stands inside other resources.
pub fn app_reference(app: &App) -> Value {
    json!({ "id": app.id, "name": app.name })
}

/// The id of something that is known by its name alone (a stack, a region): the same for ever.
pub fn id_of(kind: &str, name: &str) -> Uuid {
    let digest = Sha256::digest(format!("siesta|{kind}|{name}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// The port of `siesta proxy` on the client's own machine, when the request came through it. No more than a
/// port is believed: it can lead a client to its own loopback and nowhere else.
pub struct Door(pub Option<u16>);

impl FromRequestParts<Api> for Door {
    type Rejection = Fault;
    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Fault> {
        Ok(Door(parts.headers.get(DOOR).and_then(|port| port.to_str().ok()?.parse().ok())))
    }
}

/// The address the client reached us under, without a trailing slash: capability addresses start with it.
pub struct BaseUrl(pub String);

impl FromRequestParts<Api> for BaseUrl {
    type Rejection = Fault;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Fault> {
        if let Door(Some(port)) = Door::from_request_parts(parts, api).await? {
            return Ok(BaseUrl(format!("http://localhost:{port}")));
        }
        let host = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let Some(host) = host else { return Ok(BaseUrl(api.config.dashboard_url())) };
        let tls_port = format!(":{}", api.config.options.listen_tls.port());
        let scheme = if host.ends_with(&tls_port) { "https" } else { api.config.scheme() };
        Ok(BaseUrl(format!("{scheme}://{host}")))
    }
}
