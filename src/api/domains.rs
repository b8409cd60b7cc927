//! Domains: the one every app has below the apps domain, and names of its own.

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
        reference::{app_reference, id_of},
    },
    apps::App,
    domains::Domain,
    http::{Deployer, Fault, Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/apps/{app}/domains", all),
        Route::new(Method::POST, "/apps/{app}/domains", create),
        Route::new(Method::GET, "/apps/{app}/domains/{domain}", show),
        Route::new(Method::PATCH, "/apps/{app}/domains/{domain}", update),
        Route::new(Method::DELETE, "/apps/{app}/domains/{domain}", remove),
    ]
}

/// The name below the apps domain: what own names point to.
fn own_host(api: &Api, app: &App) -> String {
    format!("{}.{}", app.name, api.config.options.apps_domain)
}

fn own_shape(api: &Api, app: &App) -> Value {
    json!({
        "acm_status": null,
        "acm_status_reason": null,
        "app": app_reference(app),
        "cname": null,
        "created_at": app.created_at,
        "hostname": own_host(api, app),
        "id": id_of("domain", &app.id.to_string()),
        "kind": "heroku",
        "sni_endpoint": null,
        "status": "succeeded",
        "updated_at": app.updated_at,
    })
}

fn shape(api: &Api, app: &App, domain: &Domain) -> Value {
    json!({
        "acm_status": null,
        "acm_status_reason": null,
        "app": app_reference(app),
        "cname": own_host(api, app),
        "created_at": domain.created_at,
        "hostname": domain.hostname,
        "id": domain.id,
        "kind": "custom",
        "sni_endpoint": null,
        "status": "succeeded",
        "updated_at": domain.updated_at,
    })
}

async fn all(State(api): State<Api>, access: Viewer, headers: HeaderMap) -> Result<Response, Fault> {
    let app = &access.app;
    let own = api.reader.domains(app.id).await?;
    let shapes = std::iter::once(own_shape(&api, app)).chain(own.iter().map(|domain| shape(&api, app, domain)));
    // heroku3 asks for the order of `domain`.
    list(&headers, &["id", "hostname", "domain"], shapes.collect())
}

#[derive(Deserialize)]
struct New {
    hostname: String,
}

async fn create(State(api): State<Api>, access: Deployer, Json(new): Json<New>) -> Result<(StatusCode, Json<Value>), Fault> {
    let domain = api.domains.add(access.app.id, &new.hostname, &access.by).await?;
    Ok((StatusCode::CREATED, Json(shape(&api, &access.app, &domain))))
}

async fn show(State(api): State<Api>, access: Viewer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let own = own_shape(&api, &access.app);
    if own["id"] == named.as_str() || own["hostname"] == named.as_str() {
        return Ok(Json(own));
    }
    let domain = api.domains.find(access.app.id, &named).await?;
    Ok(Json(shape(&api, &access.app, &domain)))
}

/// Only a certificate could be changed.
async fn update(_: Deployer) -> Fault {
    Fault::invalid("Certificates of single apps are not offered: a domain has nothing to change. Remove it and add another.")
}

async fn remove(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    if named == own_host(&api, &access.app) {
        return Err(Fault::invalid("This name goes with the app. Rename the app to change it."));
    }
    let domain = api.domains.remove(access.app.id, &named, &access.by).await?;
    Ok(Json(shape(&api, &access.app, &domain)))
}
