//! What a server offers: its stack, its region, its dyno size.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::{
    api::{Api, Route, paging::list, reference::id_of},
    domain::{Plan, Timestamp},
    http::{CurrentUser, Fault, Json},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/stacks", stacks),
        Route::new(Method::GET, "/stacks/{stack}", stack),
        Route::new(Method::GET, "/regions", regions),
        Route::new(Method::GET, "/regions/{region}", region),
        Route::new(Method::GET, "/dyno-sizes", sizes),
        Route::new(Method::GET, "/dyno-sizes/{size}", size),
    ]
}

/// These have no row and no history: their times are the epoch.
const ALWAYS: Timestamp = Timestamp(0);

fn stack_shape(api: &Api) -> Value {
    json!({
        "created_at": ALWAYS,
        "default": true,
        "id": id_of("stack", &api.stack),
        "name": api.stack,
        "state": "public",
        "updated_at": ALWAYS,
    })
}

fn region_shape() -> Value {
    json!({
        "country": "Your own",
        "created_at": ALWAYS,
        "description": "This server",
        "id": id_of("region", "us"),
        "locale": "Here",
        "name": "us",
        "private_capable": false,
        "provider": { "name": "siesta", "region": "us" },
        "updated_at": ALWAYS,
    })
}

/// Each plan is a dyno size.
fn size_shape(plan: &Plan) -> Value {
    let name = plan.size_word();
    let gigabytes = plan.memory_bytes as f64 / (1024.0 * 1024.0 * 1024.0);
    json!({
        "compute": 1,
        "cost": null,
        "dedicated": false,
        "dyno_units": 1,
        "id": id_of("dyno-size", &name),
        "memory": gigabytes,
        "name": name,
        "private_space_only": false,
    })
}

fn if_named(shape: Value, named: &str, resource: &'static str) -> Result<Json<Value>, Fault> {
    let is = |key: &str| shape[key].as_str().is_some_and(|text| text.eq_ignore_ascii_case(named));
    if is("name") || is("id") { Ok(Json(shape)) } else { Err(Fault::not_found(resource)) }
}

async fn stacks(State(api): State<Api>, _: CurrentUser, headers: HeaderMap) -> Result<Response, Fault> {
    list(&headers, &["id", "name"], vec![stack_shape(&api)])
}

async fn stack(State(api): State<Api>, _: CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    if_named(stack_shape(&api), &named, "stack")
}

async fn regions(_: CurrentUser, headers: HeaderMap) -> Result<Response, Fault> {
    list(&headers, &["id", "name"], vec![region_shape()])
}

async fn region(_: CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    if_named(region_shape(), &named, "region")
}

async fn sizes(State(api): State<Api>, _: CurrentUser, headers: HeaderMap) -> Result<Response, Fault> {
    list(&headers, &["id", "name"], api.plans.all().iter().map(|plan| size_shape(plan)).collect())
}

async fn size(State(api): State<Api>, _: CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let sizes = api.plans.all();
    sizes.iter().find_map(|plan| if_named(size_shape(plan), &named, "dyno_size").ok()).ok_or_else(|| Fault::not_found("dyno_size"))
}
