//! The web flow of GitHub (connect, sign in, sign up), disconnecting, and the receiver of deliveries.

use axum::{
    extract::{DefaultBodyLimit, Path, Query, State},
    response::{IntoResponse, Redirect, Response},
    routing::post,
};
use axum_extra::extract::cookie::{Cookie, SameSite};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, request::Parts};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{
    accounts::{AccountError, LogIn},
    connections::{ConnectionError, Finished},
    github::{GitHostError, webhook},
    http::{CurrentUser, Fault, MaybeUser, origin_of, session_cookie, session_token},
    repositories::{Given, Taken},
    secrets::random_token,
    web::{
        Page, Web,
        cx::{Cx, cookie},
        front,
        oops::local_path,
        say, see_other,
    },
};

/// Holds the secret a web flow is bound to, beside the session.
const FLOW_COOKIE: &str = "siesta_github";

/// The receiver: no session, no origin check; a signature instead.
pub fn receiver() -> axum::Router<Web> {
    axum::Router::new()
        .route("/github/webhook", post(take_of_app))
        .route("/github/webhook/{token}", post(take))
        .layer(DefaultBodyLimit::max(webhook::MAX_BYTES))
}

async fn take_of_app(State(web): State<Web>, headers: HeaderMap, body: Bytes) -> Page {
    received(&web, None, &headers, &body).await
}

async fn take(State(web): State<Web>, Path(token): Path<String>, headers: HeaderMap, body: Bytes) -> Page {
    received(&web, Some(&token), &headers, &body).await
}

/// Answers at once: what follows from a delivery is decided in the background.
async fn received(web: &Web, token: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Page {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let given = Given {
        token,
        guid: text("x-github-delivery").unwrap_or_default(),
        event: text("x-github-event").unwrap_or_default(),
        signature: text("x-hub-signature-256"),
        body,
    };
    let (status, words) = match web.repositories.take(given).await? {
        Taken::Accepted(_) => (StatusCode::ACCEPTED, "Taken.".to_owned()),
        Taken::NoSuchHook => (StatusCode::NOT_FOUND, "There is no such hook.".to_owned()),
        Taken::BadSignature => (StatusCode::UNAUTHORIZED, "The signature is missing or wrong.".to_owned()),
        Taken::Malformed(why) => (StatusCode::BAD_REQUEST, why),
    };
    Ok((status, words).into_response())
}

#[derive(Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
}

/// Sends the browser to GitHub's page that asks for permission. A link, not a form: the policy of our
/// pages lets no form lead to another host.
pub async fn connect(
    State(web): State<Web>,
    cx: Cx,
    CurrentUser(user): CurrentUser,
    headers: HeaderMap,
    Query(query): Query<Next>,
) -> Page {
    begin(&web, &cx, Some(user.id), (&headers, local_path(&query.next))).await
}

/// The same for somebody who is not logged in.
pub async fn sign_in(State(web): State<Web>, cx: Cx, MaybeUser(user): MaybeUser, headers: HeaderMap, Query(query): Query<Next>) -> Page {
    let next = local_path(&query.next);
    if user.is_some() {
        return Ok(Redirect::to(next).into_response());
    }
    begin(&web, &cx, None, (&headers, next)).await
}

async fn begin(web: &Web, cx: &Cx, user: Option<crate::domain::UserId>, (headers, next): (&HeaderMap, &str)) -> Page {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if matches!(site, Some("cross-site" | "same-site")) {
        return Err(Fault::forbidden("This was begun from another site. Open the page here and try again."));
    }
    let flow = cookie(headers, FLOW_COOKIE).filter(|known| known.len() == 43).map_or_else(random_token, SecretString::from);
    let address = web.connections.begin(user, &browser(web, headers, &flow), next).await?;
    Ok(see_other(&address, [flow_cookie(cx, flow.expose_secret().to_owned())]))
}

/// What an answer must come back with: the flow's cookie and the session.
fn browser(web: &Web, headers: &HeaderMap, flow: &SecretString) -> SecretString {
    let session = session_token(headers, &web.config).unwrap_or_default();
    format!("{}|{}", flow.expose_secret(), session.expose_secret()).into()
}

fn flow_cookie(cx: &Cx, value: String) -> Cookie<'static> {
    Cookie::build((FLOW_COOKIE, value)).path("/").http_only(true).same_site(SameSite::Lax).secure(cx.https).build()
}

#[derive(Deserialize)]
pub struct Answer {
    state: Option<SecretString>,
    code: Option<SecretString>,
    #[serde(default)]
    error: String,
}

/// GitHub sends the browser back here.
pub async fn callback(
    State(web): State<Web>,
    cx: Cx,
    MaybeUser(user): MaybeUser,
    parts: Parts,
    Query(Answer { state, code, error }): Query<Answer>,
) -> Page {
    let flow: SecretString = cookie(&parts.headers, FLOW_COOKIE).unwrap_or_default().into();
    let state = state.ok_or(ConnectionError::BadState)?;
    let Some(code) = code.filter(|_| error.is_empty()) else {
        let back = web.connections.abandon(&state).await?.ok_or(ConnectionError::BadState)?;
        let back = if user.is_some() { back } else { "/login".to_owned() };
        return Ok(see_other(&back, [cx.flash(false, "flash-github-denied", "")]));
    };
    let browser = browser(&web, &parts.headers, &flow);
    let finished = web.connections.finish((&state, &code), &browser, user.as_ref().map(|user| user.id)).await?;
    match finished.user {
        Some(user) => match web.connections.keep(user, &finished).await {
            Ok(()) => Ok(see_other(&finished.next, [cx.flash(true, "flash-github-connected", &finished.account.login)])),
            Err(ConnectionError::Taken) => Ok(see_other(&finished.next, [cx.flash(false, "flash-github-taken", &finished.account.login)])),
            Err(error) => Err(error.into()),
        },
        None => enter(&web, &cx, &parts, &finished).await,
    }
}

/// Signs in whom the host account belongs to, or signs up whom it belongs to nobody yet.
async fn enter(web: &Web, cx: &Cx, parts: &Parts, finished: &Finished) -> Page {
    let origin = origin_of(parts);
    let invite: Option<SecretString> = finished.next.strip_prefix("/invite/").map(SecretString::from);
    let entered = match web.connections.owner_of(&finished.account).await? {
        Some(user) => web.accounts.log_in_verified(user, &origin).await,
        None => match &finished.account.email {
            Some(email) => {
                let signed_up = web.accounts.sign_up_verified(email, invite.as_ref(), &origin).await;
                signed_up.map(|(user, session)| LogIn::Session(user, session))
            }
            None => return Ok(see_other("/login", [cx.flash(false, "flash-github-no-email", "")])),
        },
    };
    match entered {
        Ok(LogIn::Code { ticket }) => front::ask_code(cx.clone(), &ticket, &finished.next),
        Ok(LogIn::Session(user, session)) => {
            web.connections.keep(user.id, finished).await?;
            let next = if invite.is_some() { "/apps" } else { &finished.next };
            Ok(see_other(next, [session_cookie(&web.config, &session)]))
        }
        Err(AccountError::EmailTaken) => Ok(see_other("/login", [cx.flash(false, "flash-github-email-taken", "")])),
        Err(error) => match say::account(cx.lang, &error) {
            Some((_, text)) => Ok(see_other("/login", [cx.flash(false, "flash-failed", &text)])),
            None => Err(error.into()),
        },
    }
}

/// Ends somebody's connection, here and at GitHub.
pub async fn disconnect(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser) -> Page {
    let back = "/account#github";
    match web.repositories.disconnect_account(user.id).await {
        Ok(()) => Ok(see_other(back, [cx.flash(true, "flash-github-disconnected", "")])),
        Err(error) => match say::repository(cx.lang, &error) {
            // Forgotten here; at GitHub it must be revoked by hand.
            Some(why) => Ok(see_other(back, [cx.flash(false, "flash-github-not-revoked", &why)])),
            None => Err(error.into()),
        },
    }
}

/// The OAuth error word as something to act on.
pub fn test_verdict(cx: &Cx, outcome: Result<(), ConnectionError>) -> Result<(bool, String), Fault> {
    match outcome {
        Ok(()) => Ok((true, cx.t("gh-test-good"))),
        Err(ConnectionError::Host(GitHostError::Oauth(word))) => Ok((
            false,
            match word.as_str() {
                "incorrect_client_credentials" => cx.t("gh-test-credentials"),
                "redirect_uri_mismatch" => cx.t("gh-test-redirect"),
                other => cx.t1("gh-test-other", "word", other),
            },
        )),
        Err(ConnectionError::Host(error)) => Ok((false, say::git_host(cx.lang, &error))),
        Err(error) => Err(error.into()),
    }
}

/// A response that leads somewhere after a repository's action failed or not.
pub fn after(cx: &Cx, path: &str, good: &str, outcome: Result<String, crate::repositories::RepositoryError>) -> Result<Response, Fault> {
    match outcome {
        Ok(value) => Ok(see_other(path, [cx.flash(true, good, &value)])),
        Err(error) => match say::repository(cx.lang, &error) {
            Some(text) => Ok(see_other(path, [cx.flash(false, "flash-failed", &text)])),
            None => Err(error.into()),
        },
    }
}
