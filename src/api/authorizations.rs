//! API tokens as OAuth authorizations: what `heroku login -i` and `heroku authorizations` use.

use std::time::Duration;

use axum::{
    extract::{FromRequestParts, Path, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode, request::Parts};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    accounts::{Token, User},
    api::{Api, Route, paging::list},
    domain::Timestamp,
    http::{Caller, CurrentUser, Fault, Json, credentials, origin_of},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/oauth/authorizations", create),
        Route::new(Method::GET, "/oauth/authorizations", all),
        Route::new(Method::GET, "/oauth/authorizations/{authorization}", show),
        Route::new(Method::PATCH, "/oauth/authorizations/{authorization}", update),
        Route::new(Method::DELETE, "/oauth/authorizations/{authorization}", revoke),
        Route::new(Method::POST, "/oauth/authorizations/{authorization}/actions/regenerate-tokens", regenerate),
        Route::new(Method::DELETE, "/oauth/sessions/{session}", no_session),
    ]
}

/// `secret` is there when the token is made, and for who has just sent it; else only its first characters are shown.
fn shape(token: &Token, secret: Option<&str>, user: &User, now: Timestamp) -> Value {
    let hidden = format!("{}**********", token.prefix);
    json!({
        "access_token": {
            "expires_in": token.expires_at.map(|end| end.since(now).as_secs()),
            "id": token.id,
            "token": secret.unwrap_or(&hidden),
        },
        "client": null,
        "created_at": token.created_at,
        "description": token.description,
        "grant": null,
        "id": token.id,
        "refresh_token": null,
        "scope": ["global"],
        "session": null,
        "updated_at": token.last_used_at.unwrap_or(token.created_at),
        "user": { "email": user.email, "full_name": (!user.name.is_empty()).then_some(&user.name), "id": user.id },
    })
}

/// The caller's token, or an account's address and password in Basic: a login.
struct LoggingIn(User);

impl FromRequestParts<Api> for LoggingIn {
    type Rejection = Fault;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Fault> {
        if parts.extensions.get::<Caller>().is_some() {
            return CurrentUser::from_request_parts(parts, api).await.map(|CurrentUser(user)| LoggingIn(user));
        }
        let (email, password) = credentials(&parts.headers).filter(|(email, _)| email.contains('@')).ok_or_else(Fault::unauthorized)?;
        let code = parts.headers.get("heroku-two-factor-code").and_then(|code| code.to_str().ok()).map(SecretString::from);
        Ok(LoggingIn(api.accounts.check_login(&email, &password, code.as_ref(), &origin_of(parts)).await?))
    }
}

#[derive(Deserialize)]
struct New {
    description: Option<String>,
    /// Seconds; null: for ever.
    expires_in: Option<u32>,
}

async fn create(State(api): State<Api>, LoggingIn(user): LoggingIn, Json(new): Json<New>) -> Result<(StatusCode, Json<Value>), Fault> {
    let now = api.clock.now();
    let expires_at = new.expires_in.map(|seconds| now + Duration::from_secs(seconds.into()));
    let description: String = new.description.unwrap_or_default().chars().take(200).collect();
    let (token, secret) = api.accounts.create_token(user.id, &description, expires_at).await?;
    Ok((StatusCode::CREATED, Json(shape(&token, Some(secret.expose_secret()), &user, now))))
}

/// The caller's own key is shown whole, for it has sent it: by that older clients find what to revoke when they log out.
async fn all(State(api): State<Api>, WithToken(caller): WithToken, headers: HeaderMap) -> Result<Response, Fault> {
    let now = api.clock.now();
    let sent = credentials(&headers).map(|(_, secret)| secret);
    let own = |token: &Token| sent.as_ref().filter(|_| caller.token == Some(token.id)).map(ExposeSecret::expose_secret);
    let tokens = api.accounts.tokens(caller.user.id).await?;
    let shapes = tokens.iter().map(|token| shape(token, own(token), &caller.user, now)).collect();
    list(&headers, &["id", "created_at", "updated_at"], shapes)
}

/// The token named by its id, or by `~`: the one the request came with.
async fn named(api: &Api, caller: &Caller, named: &str) -> Result<Token, Fault> {
    let id = if named == "~" { caller.token } else { named.parse().ok() };
    let tokens = api.accounts.tokens(caller.user.id).await?;
    tokens.into_iter().find(|token| Some(token.id) == id).ok_or_else(|| Fault::not_found("authorization"))
}

/// Account and token of the request.
struct WithToken(Caller);

impl FromRequestParts<Api> for WithToken {
    type Rejection = Fault;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Fault> {
        CurrentUser::from_request_parts(parts, api).await?;
        parts.extensions.get::<Caller>().cloned().map(WithToken).ok_or_else(Fault::unauthorized)
    }
}

/// `~` is the one key of an account that `heroku logout` spares; accounts here have none.
async fn show(State(api): State<Api>, WithToken(caller): WithToken, Path(id): Path<String>) -> Result<Json<Value>, Fault> {
    if id == "~" {
        return Err(Fault::not_found("authorization"));
    }
    let token = named(&api, &caller, &id).await?;
    Ok(Json(shape(&token, None, &caller.user, api.clock.now())))
}

#[derive(Deserialize)]
struct Changes {
    description: Option<String>,
}

async fn update(
    State(api): State<Api>,
    WithToken(caller): WithToken,
    Path(id): Path<String>,
    Json(changes): Json<Changes>,
) -> Result<Json<Value>, Fault> {
    let mut token = named(&api, &caller, &id).await?;
    if let Some(description) = changes.description {
        token = api.accounts.describe_token(caller.user.id, token.id, &description).await?;
    }
    Ok(Json(shape(&token, None, &caller.user, api.clock.now())))
}

/// Another secret for the same key; the old one opens nothing any more.
async fn regenerate(State(api): State<Api>, WithToken(caller): WithToken, Path(id): Path<String>) -> Result<Json<Value>, Fault> {
    let token = named(&api, &caller, &id).await?;
    let (token, secret) = api.accounts.regenerate_token(caller.user.id, token.id).await?;
    Ok(Json(shape(&token, Some(secret.expose_secret()), &caller.user, api.clock.now())))
}

async fn revoke(State(api): State<Api>, WithToken(caller): WithToken, Path(id): Path<String>) -> Result<Json<Value>, Fault> {
    let token = named(&api, &caller, &id).await?;
    api.accounts.revoke_token(caller.user.id, token.id).await?;
    Ok(Json(shape(&token, None, &caller.user, api.clock.now())))
}

/// Tokens are the only sessions the API has; `heroku logout` takes this for an answer.
async fn no_session(_: CurrentUser) -> Fault {
    Fault::not_found("session")
}
