//! Config vars: the whole map, of the app or of one release.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::{
    api::{Api, Route, releases::named},
    domain::{ConfigKey, ConfigVars},
    http::{Deployer, Fault, Json},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/apps/{app}/config-vars", show),
        Route::new(Method::PATCH, "/apps/{app}/config-vars", update),
        Route::new(Method::GET, "/apps/{app}/releases/{release}/config-vars", of_release),
    ]
}

/// The one place where values leave: to those who may touch the app.
fn shape(vars: &ConfigVars) -> Json<Value> {
    let map: Map<String, Value> = vars.iter().map(|(key, value)| (key.to_string(), value.expose_secret().into())).collect();
    Json(Value::Object(map))
}

async fn show(State(api): State<Api>, access: Deployer) -> Result<Json<Value>, Fault> {
    Ok(shape(&api.releases.config(access.app.id).await?))
}

async fn update(State(api): State<Api>, access: Deployer, Json(body): Json<Map<String, Value>>) -> Result<Json<Value>, Fault> {
    let mut changes: BTreeMap<ConfigKey, Option<SecretString>> = BTreeMap::new();
    for (key, value) in body {
        let value = match value {
            Value::Null => None,
            Value::String(text) => Some(text.into()),
            Value::Number(number) => Some(number.to_string().into()),
            Value::Bool(flag) => Some(flag.to_string().into()),
            Value::Array(_) | Value::Object(_) => {
                return Err(Fault::invalid(format!("The value of `{key}` must be a text, or null to remove it.")));
            }
        };
        changes.insert(key.parse()?, value);
    }
    api.releases.set_config(access.app.id, changes, &access.by).await?;
    Ok(shape(&api.releases.config(access.app.id).await?))
}

async fn of_release(State(api): State<Api>, access: Deployer, Path((_, release)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let release = named(&api, &access.app, &release).await?;
    Ok(shape(&api.releases.config_of(release.id).await?))
}
