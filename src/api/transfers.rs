//! Apps on their way to another owner.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{Api, Route, paging::list, reference::Reference},
    apps::Transfer,
    domain::{Role, UserId, user::Actor},
    http::{CurrentUser, Fault, Json, app_for},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/account/app-transfers", all),
        Route::new(Method::POST, "/account/app-transfers", create),
        Route::new(Method::GET, "/account/app-transfers/{transfer}", show),
        Route::new(Method::PATCH, "/account/app-transfers/{transfer}", answer),
        Route::new(Method::DELETE, "/account/app-transfers/{transfer}", withdraw),
    ]
}

fn shape(transfer: &Transfer) -> Value {
    json!({
        "app": { "id": transfer.app_id, "name": transfer.app_name },
        "created_at": transfer.created_at,
        "id": transfer.id,
        "owner": { "email": transfer.owner_email, "id": transfer.owner_id },
        "recipient": { "email": transfer.recipient_email, "id": transfer.recipient_id },
        "state": transfer.state,
        "updated_at": transfer.updated_at,
    })
}

/// By its id, or by the name or id of its app: then the newest.
async fn named(api: &Api, user: UserId, named: &str) -> Result<Transfer, Fault> {
    let is = |transfer: &Transfer| {
        named.parse() == Ok(transfer.id) || transfer.app_name.as_str() == named || named.parse() == Ok(transfer.app_id)
    };
    api.reader.transfers(user).await?.into_iter().find(is).ok_or_else(|| Fault::not_found("app_transfer"))
}

async fn all(State(api): State<Api>, CurrentUser(user): CurrentUser, headers: HeaderMap) -> Result<Response, Fault> {
    let transfers = api.reader.transfers(user.id).await?;
    list(&headers, &["id", "created_at", "updated_at"], transfers.iter().map(shape).collect())
}

async fn show(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(id): Path<String>) -> Result<Json<Value>, Fault> {
    Ok(Json(shape(&named(&api, user.id, &id).await?)))
}

#[derive(Deserialize)]
struct New {
    app: Reference,
    recipient: Reference,
}

async fn create(State(api): State<Api>, CurrentUser(user): CurrentUser, Json(new): Json<New>) -> Result<(StatusCode, Json<Value>), Fault> {
    let app = app_for(&api.reader, user.id, &new.app.0, Role::Owner).await?;
    let recipient = match new.recipient.0.parse() {
        Ok(id) => api.reader.user(id).await?,
        Err(_) => api.accounts.by_email(&new.recipient.0).await?,
    };
    let recipient = recipient.filter(|user| !user.system).ok_or_else(|| Fault::not_found("account"))?;
    Ok((StatusCode::CREATED, Json(shape(&api.apps.offer(&app, recipient.id).await?))))
}

#[derive(Deserialize)]
struct Answer {
    state: String,
}

async fn answer(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(id): Path<String>,
    Json(answer): Json<Answer>,
) -> Result<Json<Value>, Fault> {
    let transfer = named(&api, user.id, &id).await?;
    let by = Actor { id: user.id, email: user.email };
    let transfer = match answer.state.as_str() {
        "accepted" => api.apps.accept(&transfer, &by).await?,
        "declined" => api.apps.decline(&transfer, &by).await?,
        _ => return Err(Fault::invalid("state must be `accepted` or `declined`.")),
    };
    Ok(Json(shape(&transfer)))
}

async fn withdraw(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(id): Path<String>) -> Result<Json<Value>, Fault> {
    let transfer = named(&api, user.id, &id).await?;
    api.apps.withdraw(&transfer, &Actor { id: user.id, email: user.email }).await?;
    Ok(Json(shape(&transfer)))
}
