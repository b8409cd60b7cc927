//! The account that asks, and its allowance of calls.

use axum::extract::{Path, State};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    accounts::User,
    api::{Api, Route},
    http::{CurrentUser, Fault, Json},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/account", show),
        Route::new(Method::PATCH, "/account", update),
        Route::new(Method::GET, "/account/rate-limits", rate_limit),
        Route::new(Method::GET, "/account/features/{feature}", no_feature),
        Route::new(Method::POST, "/account/keys", no_ssh),
        Route::new(Method::DELETE, "/account/keys/{key}", no_key),
        Route::new(Method::GET, "/account/features", empty),
        Route::new(Method::GET, "/account/keys", empty),
        Route::new(Method::GET, "/users/{account}", show_named),
        Route::new(Method::PATCH, "/users/{account}", update_named),
        Route::new(Method::GET, "/oauth/sessions", empty),
        Route::new(Method::GET, "/teams", empty),
        Route::new(Method::GET, "/spaces", empty),
        Route::new(Method::GET, "/oauth/clients", empty),
    ]
}

async fn shape(api: &Api, user: &User) -> Result<Json<Value>, Fault> {
    Ok(Json(json!({
        "allow_tracking": false,
        "beta": false,
        "country_of_residence": null,
        "created_at": user.created_at,
        "default_organization": null,
        "default_team": null,
        "delinquent_at": null,
        "email": user.email,
        "federated": false,
        "id": user.id,
        "identity_provider": null,
        "last_login": null,
        "name": (!user.name.is_empty()).then_some(&user.name),
        "sms_number": null,
        "suspended_at": user.suspended_at,
        "two_factor_authentication": api.accounts.has_second_factor(user.id).await?,
        "updated_at": user.updated_at,
        "verified": true,
    })))
}

/// `named` is the account that asks: `~`, its id or its address. Other accounts are nobody's business.
pub fn require_self(user: &User, named: &str) -> Result<(), Fault> {
    let same = named == "~" || named.eq_ignore_ascii_case(user.email.as_str()) || named.parse() == Ok(user.id);
    if same { Ok(()) } else { Err(Fault::not_found("account")) }
}

async fn show(State(api): State<Api>, CurrentUser(user): CurrentUser) -> Result<Json<Value>, Fault> {
    shape(&api, &user).await
}

async fn show_named(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    require_self(&user, &named)?;
    shape(&api, &user).await
}

#[derive(Deserialize)]
struct Changes {
    /// Absent: as it was; null: none.
    #[serde(default, with = "maybe")]
    name: Option<Option<String>>,
}

/// An absent field and a null one are two things.
mod maybe {
    use serde::{Deserialize, Deserializer};

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
        Option::<String>::deserialize(deserializer).map(Some)
    }
}

async fn update(State(api): State<Api>, CurrentUser(user): CurrentUser, Json(changes): Json<Changes>) -> Result<Json<Value>, Fault> {
    let user = match changes.name {
        Some(name) => api.accounts.set_name(user.id, name.as_deref().unwrap_or_default()).await?,
        None => user,
    };
    shape(&api, &user).await
}

async fn update_named(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(named): Path<String>,
    changes: Json<Changes>,
) -> Result<Json<Value>, Fault> {
    require_self(&user, &named)?;
    update(State(api), CurrentUser(user), changes).await
}

async fn no_feature(_: CurrentUser) -> Fault {
    Fault::not_found("feature")
}

async fn no_ssh(_: CurrentUser) -> Fault {
    Fault::invalid("There is no SSH on this server: git goes over https, with an API key as the password. No key is needed.")
}

async fn no_key(_: CurrentUser) -> Fault {
    Fault::not_found("key")
}

async fn rate_limit(CurrentUser(user): CurrentUser, State(api): State<Api>) -> Json<Value> {
    let remaining = api.allowance.take(user.id, 0, api.clock.now()).unwrap_or(0);
    Json(json!({ "remaining": remaining }))
}

/// Kinds of things this server has none of; clients ask for them all the same.
async fn empty(_: CurrentUser) -> Json<Value> {
    Json(json!([]))
}
