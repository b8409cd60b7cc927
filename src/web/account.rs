//! The account: API tokens and sessions; for administrators who may sign up, and invitations.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::{
    accounts::{Token, User},
    connections::Connection,
    domain::{SessionId, Timestamp, TokenId, user::Session},
    http::{CurrentUser, Fault, session_token},
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
    sessions: Vec<SessionRow>,
    second_factor: bool,
    /// Some for administrators.
    sign_up: Option<&'static str>,
    /// The connection to GitHub, and whether one can be made.
    github: Option<Connection>,
    github_known: bool,
    fresh_token: Option<String>,
    fresh_invite: Option<String>,
}

/// A browser that is logged in.
struct SessionRow {
    id: SessionId,
    /// What the browser says it is.
    agent: String,
    ip: String,
    last_seen_at: Timestamp,
    /// The one that asks.
    here: bool,
}

/// What was just made and is shown once.
#[derive(Default)]
struct Fresh {
    token: Option<String>,
    invite: Option<String>,
}

async fn show(web: &Web, cx: Cx, (user, headers): (&User, &HeaderMap), fresh: Fresh) -> Result<Response, Fault> {
    let sign_up = if user.admin { Some(mode_word(web.accounts.sign_up_mode().await?)) } else { None };
    let tokens = web.accounts.tokens(user.id).await?;
    let here = match session_token(headers, &web.config) {
        Some(token) => web.accounts.session_id(&token).await?,
        None => None,
    };
    let row = |session: Session| SessionRow {
        here: here == Some(session.id),
        id: session.id,
        agent: if session.user_agent.is_empty() { cx.t("unknown-browser") } else { browser(&session.user_agent) },
        ip: session.ip,
        last_seen_at: session.last_seen_at,
    };
    let sessions = web.accounts.sessions(user.id).await?.into_iter().map(row).collect();
    let email = user.email.to_string();
    let second_factor = web.accounts.has_second_factor(user.id).await?;
    let github = web.connections.of(user.id).await?;
    let github_known = web.connections.registration().await?.is_some();
    let (fresh_token, fresh_invite) = (fresh.token, fresh.invite);
    let shown = AccountPage { cx, email, tokens, sessions, second_factor, sign_up, github, github_known, fresh_token, fresh_invite };
    Ok(page(StatusCode::OK, &shown))
}

/// The name in a `User-Agent`: browser and system where they are known words.
fn browser(agent: &str) -> String {
    let known = |names: &[&'static str]| names.iter().find(|name| agent.contains(**name)).copied();
    let program = known(&["Firefox", "Edg", "Chrome", "Safari", "curl"]);
    let system = known(&["Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux"]);
    match (program, system) {
        (Some(program), Some(system)) => format!("{program}, {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => agent.chars().take(60).collect(),
    }
}

pub async fn account(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, headers: HeaderMap) -> Page {
    show(&web, cx, (&user, &headers), Fresh::default()).await
}

#[derive(Deserialize)]
pub struct NewToken {
    description: String,
}

/// Makes a token and shows it, this once.
pub async fn create_token(
    State(web): State<Web>,
    cx: Cx,
    CurrentUser(user): CurrentUser,
    headers: HeaderMap,
    sent: Sent<NewToken>,
) -> Page {
    let NewToken { description } = fields(sent)?;
    let description: String = description.trim().chars().take(100).collect();
    let (_, secret) = web.accounts.create_token(user.id, &description, None).await?;
    show(&web, cx, (&user, &headers), Fresh { token: Some(secret.expose_secret().to_owned()), ..Fresh::default() }).await
}

pub async fn revoke_token(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, Path(token): Path<TokenId>) -> Page {
    web.accounts.revoke_token(user.id, token).await?;
    Ok(see_other("/account#tokens", [cx.flash(true, "flash-token-revoked", "")]))
}

pub async fn revoke_session(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, Path(session): Path<SessionId>) -> Page {
    web.accounts.revoke_session(user.id, session).await?;
    Ok(see_other("/account#sessions", [cx.flash(true, "flash-session-revoked", "")]))
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
pub async fn invite(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, headers: HeaderMap) -> Page {
    admin(&user)?;
    let token = web.accounts.invite_link(None).await?;
    let link = format!("{}/invite/{}", web.config.dashboard_url(), token.expose_secret());
    show(&web, cx, (&user, &headers), Fresh { invite: Some(link), ..Fresh::default() }).await
}
