//! The account: API tokens; for administrators who may sign up, and invitations.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::{
    accounts::{Token, User},
    domain::TokenId,
    http::{CurrentUser, Fault},
    web::{
        Page, Web,
        cx::Cx,
        front::{Sent, fields, mode_word, sign_up_mode},
        page, see_other,
    },
};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    cx: Cx,
    email: String,
    tokens: Vec<Token>,
    /// Some for administrators.
    sign_up: Option<&'static str>,
    fresh_token: Option<String>,
    fresh_invite: Option<String>,
}

/// What was just made and is shown once.
#[derive(Default)]
struct Fresh {
    token: Option<String>,
    invite: Option<String>,
}

async fn show(web: &Web, cx: Cx, user: &User, fresh: Fresh) -> Result<Response, Fault> {
    let sign_up = if user.admin { Some(mode_word(web.accounts.sign_up_mode().await?)) } else { None };
    let tokens = web.accounts.tokens(user.id).await?;
    let email = user.email.to_string();
    Ok(page(StatusCode::OK, &AccountPage { cx, email, tokens, sign_up, fresh_token: fresh.token, fresh_invite: fresh.invite }))
}

pub async fn account(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser) -> Page {
    show(&web, cx, &user, Fresh::default()).await
}

#[derive(Deserialize)]
pub struct NewToken {
    description: String,
}

/// Makes a token and shows it, this once.
pub async fn create_token(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, sent: Sent<NewToken>) -> Page {
    let NewToken { description } = fields(sent)?;
    let description: String = description.trim().chars().take(100).collect();
    let (_, secret) = web.accounts.create_token(user.id, &description, None).await?;
    show(&web, cx, &user, Fresh { token: Some(secret.expose_secret().to_owned()), ..Fresh::default() }).await
}

pub async fn revoke_token(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, Path(token): Path<TokenId>) -> Page {
    web.accounts.revoke_token(user.id, token).await?;
    Ok(see_other("/account#tokens", [cx.flash(true, "flash-token-revoked", "")]))
}

fn admin(user: &User) -> Result<(), Fault> {
    if user.admin { Ok(()) } else { Err(Fault::not_found("page")) }
}

#[derive(Deserialize)]
pub struct WhoMay {
    sign_up: String,
}

pub async fn set_sign_up(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, sent: Sent<WhoMay>) -> Page {
    admin(&user)?;
    let mode = sign_up_mode(&fields(sent)?.sign_up).ok_or_else(|| Fault::bad_request("Choose who may sign up."))?;
    web.accounts.set_sign_up_mode(mode).await?;
    Ok(see_other("/account#people", [cx.flash(true, "flash-saved", "")]))
}

/// Makes an invitation link and shows it, this once.
pub async fn invite(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser) -> Page {
    admin(&user)?;
    let token = web.accounts.invite_link(None).await?;
    let link = format!("{}/invite/{}", web.config.dashboard_url(), token.expose_secret());
    show(&web, cx, &user, Fresh { invite: Some(link), ..Fresh::default() }).await
}
