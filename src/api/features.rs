//! Features of an app, which `heroku labs` switches on and off.

use axum::extract::{Path, State};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    api::{Api, Route, reference::Flag},
    apps::App,
    domain::{Timestamp, feature::Feature},
    http::{Deployer, Fault, Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/apps/{app}/features", all),
        Route::new(Method::GET, "/apps/{app}/features/{feature}", show),
        Route::new(Method::PATCH, "/apps/{app}/features/{feature}", update),
    ]
}

/// Features are the server's own: their ids follow from their names.
fn shape(app: &App, feature: Feature, enabled_at: Option<Timestamp>) -> Value {
    json!({
        "created_at": app.created_at,
        "description": feature.description(),
        "display_name": feature.as_str(),
        "doc_url": "",
        "enabled": enabled_at.is_some(),
        "feedback_email": "",
        "id": id_of(feature),
        "name": feature.as_str(),
        "state": feature.state(),
        "updated_at": enabled_at.unwrap_or(app.created_at),
    })
}

fn id_of(feature: Feature) -> Uuid {
    let mut bytes = [0; 16];
    for (byte, letter) in bytes.iter_mut().zip(feature.as_str().bytes()) {
        *byte = letter;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

async fn shapes(api: &Api, app: &App) -> Result<Vec<Value>, Fault> {
    let on = api.reader.app_features(app.id).await?;
    let enabled_at = |feature: Feature| on.iter().find(|(name, _)| name == feature.as_str()).map(|(_, at)| *at);
    Ok(Feature::ALL.into_iter().map(|feature| shape(app, feature, enabled_at(feature))).collect())
}

/// By name or id.
fn find(named: &str) -> Result<(usize, Feature), Fault> {
    let is = |(_, feature): &(usize, Feature)| feature.as_str() == named || named.parse() == Ok(id_of(*feature));
    Feature::ALL.into_iter().enumerate().find(is).ok_or_else(|| Fault::not_found("feature"))
}

async fn all(State(api): State<Api>, Viewer { app, .. }: Viewer) -> Result<Json<Value>, Fault> {
    Ok(Json(shapes(&api, &app).await?.into()))
}

async fn show(State(api): State<Api>, access: Viewer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let (at, _) = find(&named)?;
    Ok(Json(shapes(&api, &access.app).await?.swap_remove(at)))
}

#[derive(Deserialize)]
struct Update {
    enabled: Flag,
}

async fn update(
    State(api): State<Api>,
    access: Deployer,
    Path((_, named)): Path<(String, String)>,
    Json(Update { enabled: Flag(enabled) }): Json<Update>,
) -> Result<Json<Value>, Fault> {
    let (at, feature) = find(&named)?;
    api.apps.set_feature(access.app.id, feature, enabled).await?;
    Ok(Json(shapes(&api, &access.app).await?.swap_remove(at)))
}
