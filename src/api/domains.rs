//! Domains: the one every app has, below the apps domain.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::{
    api::{
        Api, Route,
        paging::list,
        reference::{app_reference, id_of},
    },
    apps::App,
    http::{Fault, Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![Route::new(Method::GET, "/apps/{app}/domains", all), Route::new(Method::GET, "/apps/{app}/domains/{domain}", show)]
}

fn shape(api: &Api, app: &App) -> Value {
    let hostname = format!("{}.{}", app.name, api.config.options.apps_domain);
    json!({
        "acm_status": null,
        "acm_status_reason": null,
        "app": app_reference(app),
        "cname": null,
        "created_at": app.created_at,
        "hostname": hostname,
        "id": id_of("domain", &app.id.to_string()),
        "kind": "heroku",
        "sni_endpoint": null,
        "status": "succeeded",
        "updated_at": app.updated_at,
    })
}

async fn all(State(api): State<Api>, access: Viewer, headers: HeaderMap) -> Result<Response, Fault> {
    list(&headers, &["id", "hostname"], vec![shape(&api, &access.app)])
}

async fn show(State(api): State<Api>, access: Viewer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let domain = shape(&api, &access.app);
    let matches = domain["id"] == named.as_str() || domain["hostname"] == named.as_str();
    if matches { Ok(Json(domain)) } else { Err(Fault::not_found("domain")) }
}
