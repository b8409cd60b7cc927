//! Log drains: where an app's log lines are sent besides.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{Api, Route, paging::list},
    http::{Deployer, Fault, Json},
    logs::drains::Drain,
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/apps/{app}/log-drains", all),
        Route::new(Method::POST, "/apps/{app}/log-drains", add),
        Route::new(Method::GET, "/apps/{app}/log-drains/{drain}", one),
        Route::new(Method::DELETE, "/apps/{app}/log-drains/{drain}", remove),
    ]
}

/// The address is whole, as it was given: like config vars, for those who may touch the app.
fn shape(drain: &Drain) -> Value {
    json!({
        "addon": null,
        "created_at": drain.created_at,
        "id": drain.id,
        "token": drain.token,
        "updated_at": drain.created_at,
        "url": drain.address.secret().expose_secret(),
    })
}

async fn all(State(api): State<Api>, access: Deployer, headers: HeaderMap) -> Result<Response, Fault> {
    let drains = api.drains.of(access.app.id).await?;
    list(&headers, &["id", "created_at", "updated_at"], drains.iter().map(shape).collect())
}

#[derive(Deserialize)]
struct New {
    url: String,
}

async fn add(State(api): State<Api>, access: Deployer, Json(new): Json<New>) -> Result<(StatusCode, Json<Value>), Fault> {
    let drain = api.drains.add(access.app.id, &new.url, &access.by).await?;
    Ok((StatusCode::CREATED, Json(shape(&drain))))
}

/// By id, token or address.
#[derive(Deserialize)]
struct Named {
    drain: String,
}

async fn one(State(api): State<Api>, access: Deployer, Path(Named { drain }): Path<Named>) -> Result<Json<Value>, Fault> {
    Ok(Json(shape(&api.drains.find(access.app.id, &drain).await?)))
}

async fn remove(State(api): State<Api>, access: Deployer, Path(Named { drain }): Path<Named>) -> Result<Json<Value>, Fault> {
    Ok(Json(shape(&api.drains.remove(access.app.id, &drain, &access.by).await?)))
}
