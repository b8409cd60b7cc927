//! For administrators: what to paste where at GitHub, and what GitHub shows then.

use askama::Template;
use axum::extract::State;
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{
    accounts::User,
    connections::{Draft, Kind, Registration},
    http::{CurrentUser, Fault},
    web::{
        Page, Web,
        cx::Cx,
        form::Form,
        front::{Sent, fields},
        github::test_verdict,
        page, see_other,
    },
};

#[derive(Template)]
#[template(path = "admin_github.html")]
struct RegistrationPage {
    cx: Cx,
    form: Form,
    kind: &'static str,
    fixed: bool,
    known: bool,
    /// Addresses at GitHub where a program is registered.
    new_oauth: String,
    new_app: String,
    home: String,
    callback: String,
    webhook: String,
    /// Some when there is one to paste.
    webhook_secret: Option<String>,
    verdict: Option<(bool, String)>,
    /// GitHub can hardly reach this address.
    unreachable: bool,
}

fn admin(user: &User) -> Result<(), Fault> {
    if user.admin { Ok(()) } else { Err(Fault::not_found("page")) }
}

async fn show(web: &Web, cx: Cx, (status, form): (StatusCode, Option<Form>), verdict: Option<(bool, String)>) -> Page {
    let known = web.connections.registration().await?;
    let form = form.unwrap_or_else(|| filled(known.as_ref()));
    let host = &web.config.options.github_url;
    let dashboard = web.config.dashboard_host();
    let page_of = RegistrationPage {
        kind: if form.value("kind") == "app" { "app" } else { "oauth" },
        fixed: known.as_ref().is_some_and(|known| known.fixed),
        known: known.is_some(),
        new_oauth: format!("{host}/settings/applications/new"),
        new_app: format!("{host}/settings/apps/new"),
        home: web.config.dashboard_url(),
        callback: web.connections.callback_url(),
        webhook: web.connections.webhook_url(),
        webhook_secret: known
            .filter(|known| known.kind == Kind::App && !known.fixed)
            .map(|known| known.webhook_secret.expose_secret().to_owned()),
        verdict,
        unreachable: dashboard == "localhost" || dashboard.ends_with(".localhost"),
        form,
        cx,
    };
    Ok(page(status, &page_of))
}

fn filled(known: Option<&Registration>) -> Form {
    let Some(known) = known else { return Form::default().filled("kind", "oauth") };
    Form::default().filled("kind", known.kind.word()).filled("client_id", &known.client.id).filled("app_slug", &known.app_slug)
}

pub async fn registration(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser) -> Page {
    admin(&user)?;
    show(&web, cx, (StatusCode::OK, None), None).await
}

#[derive(Deserialize)]
pub struct Typed {
    kind: String,
    client_id: String,
    #[serde(default)]
    client_secret: SecretString,
    #[serde(default)]
    app_slug: String,
}

pub async fn register(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, sent: Sent<Typed>) -> Page {
    admin(&user)?;
    let Typed { kind, client_id, client_secret, app_slug } = fields(sent)?;
    let form = Form::default().filled("kind", &kind).filled("client_id", &client_id).filled("app_slug", &app_slug);
    let kind = if kind == "app" { Kind::App } else { Kind::Oauth };
    match web.connections.register(Draft { kind, client_id, client_secret, app_slug }).await {
        Ok(()) => Ok(see_other("/admin/github", [cx.flash(true, "flash-saved", "")])),
        Err(error @ crate::connections::ConnectionError::Invalid(_)) => {
            show(&web, cx, (StatusCode::UNPROCESSABLE_ENTITY, Some(form.wrong("form", error.to_string()))), None).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks GitHub whether it knows us.
pub async fn test(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser) -> Page {
    admin(&user)?;
    let verdict = test_verdict(&cx, web.connections.test().await)?;
    show(&web, cx, (StatusCode::OK, None), Some(verdict)).await
}

pub async fn unregister(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser) -> Page {
    admin(&user)?;
    web.connections.unregister().await?;
    Ok(see_other("/admin/github", [cx.flash(true, "flash-saved", "")]))
}
