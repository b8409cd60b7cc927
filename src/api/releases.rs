//! Releases: list, show, roll back.

use std::collections::BTreeSet;

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        Api, Route,
        paging::list,
        reference::{Reference, app_reference},
    },
    apps::App,
    domain::{SlugId, Version},
    http::{Deployer, Fault, Json, Viewer},
    releases::Release,
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/apps/{app}/releases", all),
        Route::new(Method::POST, "/apps/{app}/releases", roll_back),
        Route::new(Method::GET, "/apps/{app}/releases/{release}", show),
    ]
}

/// `kept`: the code of the app that one can roll back to.
fn shape(app: &App, release: &Release, kept: &BTreeSet<SlugId>) -> Value {
    json!({
        "addon_plan_names": [],
        "app": app_reference(app),
        "created_at": release.created_at,
        "current": release.current,
        "description": release.description,
        "eligible_for_rollback": release.slug_id.is_some_and(|slug| kept.contains(&slug)),
        "id": release.id,
        "output_stream_url": null,
        "slug": release.slug_id.map(|id| json!({ "id": id })),
        "status": release.status,
        "updated_at": release.updated_at,
        "user": { "email": release.user_email, "id": release.user_id },
        "version": release.version,
    })
}

/// A release of the app by `12`, `v12` or its id.
pub async fn named(api: &Api, app: &App, named: &str) -> Result<Release, Fault> {
    let found = match named.parse::<Version>() {
        Ok(version) => api.reader.release_by_version(app.id, version).await?,
        Err(_) => match named.parse() {
            Ok(id) => api.reader.release(id).await?.filter(|release| release.app_id == app.id),
            Err(_) => None,
        },
    };
    found.ok_or_else(|| Fault::not_found("release"))
}

async fn all(State(api): State<Api>, access: Viewer, headers: HeaderMap) -> Result<Response, Fault> {
    let releases = api.reader.releases(access.app.id).await?;
    let kept = api.releases.kept_slugs(access.app.id).await?;
    let shapes = releases.iter().map(|release| shape(&access.app, release, &kept)).collect();
    list(&headers, &["version", "id", "created_at", "updated_at"], shapes)
}

async fn show(State(api): State<Api>, access: Viewer, Path((_, release)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let release = named(&api, &access.app, &release).await?;
    Ok(Json(shape(&access.app, &release, &api.releases.kept_slugs(access.app.id).await?)))
}

#[derive(Deserialize)]
struct Wanted {
    release: Option<Reference>,
}

async fn roll_back(State(api): State<Api>, access: Deployer, Json(wanted): Json<Wanted>) -> Result<(StatusCode, Json<Value>), Fault> {
    let Some(Reference(to)) = wanted.release else {
        return Err(Fault::invalid("Name the release to roll back to: {\"release\": \"v12\"}. To release new code, make a build."));
    };
    let to = named(&api, &access.app, &to).await?;
    let release = api.releases.rollback(access.app.id, to.id, &access.by).await?;
    let kept = api.releases.kept_slugs(access.app.id).await?;
    Ok((StatusCode::CREATED, Json(shape(&access.app, &release, &kept))))
}
