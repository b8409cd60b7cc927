//! Sources: a place to upload an archive to, and the upload itself.

use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::{
    api::{Api, Route, reference::BaseUrl},
    domain::{AppId, user::Actor},
    http::{CurrentUser, Deployer, Fault, Json},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/sources", create),
        Route::new(Method::POST, "/apps/{app}/sources", create_for_app),
        Route::new(Method::PUT, "/sources/{token}", upload),
        Route::new(Method::GET, "/sources/{token}", download),
    ]
}

async fn make(api: &Api, base: &BaseUrl, app: Option<AppId>, by: &Actor) -> Result<(StatusCode, Json<Value>), Fault> {
    let source = api.builder.create_source(app, by).await?;
    let address = |token: &SecretString| format!("{}/sources/{}", base.0, token.expose_secret());
    let blob = json!({ "get_url": address(&source.get_token), "put_url": address(&source.put_token) });
    Ok((StatusCode::CREATED, Json(json!({ "source_blob": blob }))))
}

async fn create(State(api): State<Api>, CurrentUser(user): CurrentUser, base: BaseUrl) -> Result<(StatusCode, Json<Value>), Fault> {
    make(&api, &base, None, &Actor { id: user.id, email: user.email }).await
}

async fn create_for_app(State(api): State<Api>, access: Deployer, base: BaseUrl) -> Result<(StatusCode, Json<Value>), Fault> {
    make(&api, &base, Some(access.app.id), &access.by).await
}

/// The body goes to disk as it comes; the builder holds its limit.
async fn upload(State(api): State<Api>, Path(token): Path<String>, body: Body) -> Result<StatusCode, Fault> {
    let bytes = body.into_data_stream().map_err(std::io::Error::other).boxed();
    api.builder.receive(&token.into(), bytes).await?;
    Ok(StatusCode::OK)
}

async fn download(State(api): State<Api>, Path(token): Path<String>) -> Result<Response, Fault> {
    let bytes = api.builder.open_source(&token.into()).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(bytes)).into_response())
}
