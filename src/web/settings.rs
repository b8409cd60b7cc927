//! Settings of an app: name, config vars, domains, drains, maintenance, deletion.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{
    apps::App,
    domain::{AppName, ConfigKey, user::Actor},
    http::{AppAccess, Deployer, Owning},
    logs::drains::Drain,
    releases::ReleaseError,
    web::{
        Page, Web,
        app::{Head, Seen, Tab},
        cx::Cx,
        domains::Names,
        form::Form,
        front::{Sent, fields},
        page, say, see_other,
    },
};

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    cx: Cx,
    head: Head,
    form: Form,
    vars: Vec<Var>,
    revealed: bool,
    drains: Vec<Drain>,
    names: Names,
    stack: String,
}

/// A config var; its value only when it was asked for.
struct Var {
    key: String,
    value: Option<String>,
}

#[derive(Deserialize)]
pub struct Reveal {
    #[serde(default)]
    reveal: Option<String>,
}

pub async fn settings(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Deployer, Query(query): Query<Reveal>) -> Page {
    show(&web, cx, &app, StatusCode::OK, (Form::default(), query.reveal.is_some())).await
}

/// The page with a form as it was sent.
async fn show(web: &Web, cx: Cx, app: &App, status: StatusCode, (form, revealed): (Form, bool)) -> Page {
    let Seen { head, .. } = Head::see(web, &cx, app, Tab::Settings).await?;
    let form = if form.value("name").is_empty() { form.filled("name", app.name.as_str()) } else { form };
    let config = web.releases.config(app.id).await?;
    let var =
        |(key, value): (&ConfigKey, &SecretString)| Var { key: key.to_string(), value: revealed.then(|| value.expose_secret().to_owned()) };
    let vars = config.iter().map(var).collect();
    let (drains, names) = (web.drains.of(app.id).await?, Names::load(web, app).await?);
    Ok(page(status, &SettingsPage { cx, head, form, vars, revealed, drains, names, stack: app.stack.clone() }))
}

/// The page with what is wrong with a form.
pub(super) async fn refuse(web: &Web, cx: Cx, app: &App, form: Form) -> Page {
    show(web, cx, app, StatusCode::UNPROCESSABLE_ENTITY, (form, false)).await
}

#[derive(Deserialize)]
pub struct Rename {
    name: String,
}

pub async fn rename(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Owning, sent: Sent<Rename>) -> Page {
    let Rename { name: typed } = fields(sent)?;
    let form = Form::default().filled("name", typed.as_str());
    let name: AppName = match typed.parse() {
        Ok(name) => name,
        Err(error) => {
            let text = say::app_name(cx.lang, error);
            return refuse(&web, cx, &app, form.wrong("name", text)).await;
        }
    };
    match web.apps.rename(app.id, name, &by).await {
        Ok(app) => Ok(see_other(&format!("/apps/{}/settings", app.name), [cx.flash(true, "flash-renamed", app.name.as_str())])),
        Err(error) => match say::app(cx.lang, &error) {
            Some((_, text)) => refuse(&web, cx, &app, form.wrong("name", text)).await,
            None => Err(error.into()),
        },
    }
}

#[derive(Deserialize)]
pub struct SetVar {
    key: String,
    value: SecretString,
}

pub async fn set_var(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<SetVar>) -> Page {
    let SetVar { key, value } = fields(sent)?;
    // Browsers send line ends of a text area as CRLF.
    let value: SecretString = value.expose_secret().replace("\r\n", "\n").into();
    change(&web, cx, (&app, &by), key.trim(), Some(value)).await
}

#[derive(Deserialize)]
pub struct RemoveVar {
    key: String,
}

pub async fn remove_var(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<RemoveVar>) -> Page {
    let RemoveVar { key } = fields(sent)?;
    change(&web, cx, (&app, &by), &key, None).await
}

async fn change(web: &Web, cx: Cx, (app, by): (&App, &Actor), key: &str, value: Option<SecretString>) -> Page {
    let form = Form::default().filled("key", key);
    let named: ConfigKey = match key.parse() {
        Ok(named) => named,
        Err(error) => {
            let text = say::config_var(cx.lang, &error);
            return refuse(web, cx, app, form.wrong("vars", text)).await;
        }
    };
    let back = format!("/apps/{}/settings#vars", app.name);
    let done = if value.is_some() { "flash-var-set" } else { "flash-var-removed" };
    match web.releases.set_config(app.id, BTreeMap::from([(named, value)]), by).await {
        Ok(_) => Ok(see_other(&back, [cx.flash(true, done, key)])),
        Err(ReleaseError::Config(error)) => {
            let text = say::config_var(cx.lang, &error);
            refuse(web, cx, app, form.wrong("vars", text)).await
        }
        Err(ReleaseError::OwnedByAddon(key)) => {
            let text = cx.t1("var-of-addon", "key", key);
            refuse(web, cx, app, form.wrong("vars", text)).await
        }
        Err(ReleaseError::Dynos(error)) => match say::dyno(cx.lang, &error) {
            Some(text) => Ok(see_other(&back, [cx.flash(false, "flash-failed", &text)])),
            None => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize)]
pub struct Maintenance {
    on: bool,
}

pub async fn maintenance(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<Maintenance>) -> Page {
    let Maintenance { on } = fields(sent)?;
    web.apps.set_maintenance(app.id, on, &by).await?;
    let said = if on { "flash-maintenance-on" } else { "flash-maintenance-off" };
    Ok(see_other(&format!("/apps/{}/settings", app.name), [cx.flash(true, said, "")]))
}

/// `POST /apps/{app}/build-cache/clear`
pub async fn clear_cache(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Deployer) -> Page {
    let cleared = web.builder.clear_cache(&app).await?;
    let said = if cleared { "flash-cache-cleared" } else { "flash-cache-busy" };
    Ok(see_other(&format!("/apps/{}/settings", app.name), [cx.flash(cleared, said, "")]))
}

#[derive(Deserialize)]
pub struct Delete {
    confirm: String,
}

pub async fn delete(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Owning, sent: Sent<Delete>) -> Page {
    if fields(sent)?.confirm.trim() != app.name.as_str() {
        let text = cx.t1("delete-mismatch", "name", &app.name);
        return refuse(&web, cx, &app, Form::default().wrong("confirm", text)).await;
    }
    web.apps.destroy(app.id, &by).await?;
    Ok(see_other("/apps", [cx.flash(true, "flash-deleted", app.name.as_str())]))
}
