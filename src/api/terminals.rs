//! `heroku login` in the browser: a terminal asks for an address to open, then waits for its key.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path, State};
use http::{HeaderMap, Method, StatusCode, request::Parts};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    accounts::{Origin, TerminalKey},
    api::{Api, Route},
    http::{Fault, Json, credentials, origin_of},
};

pub fn routes() -> Vec<Route> {
    vec![Route::new(Method::POST, "/auth", begin), Route::new(Method::GET, "/auth/{token}", key)]
}

/// Where the terminal is.
struct Asking(Origin);

impl<S: Sync> FromRequestParts<S> for Asking {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asking, Infallible> {
        Ok(Asking(origin_of(parts)))
    }
}

#[derive(Deserialize)]
struct Terminal {
    #[serde(default)]
    description: String,
}

/// Both addresses are paths: clients put the host before them that they asked.
async fn begin(State(api): State<Api>, Asking(origin): Asking, Json(terminal): Json<Terminal>) -> Result<(StatusCode, Json<Value>), Fault> {
    let login = api.accounts.begin_terminal_login(&terminal.description, &origin)?;
    let name = login.name.expose_secret();
    let body = json!({
        "browser_url": format!("/login/terminal/{name}"),
        "cli_url": format!("/auth/{name}"),
        "token": login.secret.expose_secret(),
    });
    Ok((StatusCode::CREATED, Json(body)))
}

/// Answers when the user has said yes or no, after ten minutes at the latest.
async fn key(State(api): State<Api>, Path(name): Path<String>, headers: HeaderMap) -> Result<Json<Value>, Fault> {
    let secret = credentials(&headers).map(|(_, secret)| secret).unwrap_or_default();
    match api.accounts.terminal_key(&SecretString::from(name), &secret).await? {
        TerminalKey::Given(key) => Ok(Json(json!({ "access_token": key.expose_secret() }))),
        TerminalKey::Refused => Ok(Json(json!({ "error": "The login was refused in the browser." }))),
        TerminalKey::None => Err(Fault::not_found("login")),
    }
}
