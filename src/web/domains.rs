//! Host names of an app's own, in its settings.

use axum::extract::State;
use serde::Deserialize;

use crate::{
    apps::App,
    http::{AppAccess, Deployer, Fault},
    web::{
        Page, Web,
        cx::Cx,
        form::Form,
        front::{Sent, fields},
        say, see_other, settings,
    },
};

/// What the settings show of host names.
pub struct Names {
    /// The name below the apps domain: what own names have to point to.
    pub target: String,
    pub own: Vec<Own>,
}

/// A name of the app's own.
pub struct Own {
    pub hostname: String,
    /// With scheme and port, as a visitor types it.
    pub url: String,
}

impl Names {
    pub async fn load(web: &Web, app: &App) -> Result<Names, Fault> {
        let target = format!("{}.{}", app.name, web.config.options.apps_domain);
        let address = web.config.web_url(app.name.as_str());
        let own = |domain: crate::domains::Domain| Own { url: address.replacen(&target, &domain.hostname, 1), hostname: domain.hostname };
        let own = web.reader.domains(app.id).await?.into_iter().map(own).collect();
        Ok(Names { own, target })
    }
}

#[derive(Deserialize)]
pub struct Named {
    hostname: String,
}

fn back(app: &App) -> String {
    format!("/apps/{}/settings#domains", app.name)
}

/// `POST /apps/{app}/domains`
pub async fn add(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<Named>) -> Page {
    let Named { hostname } = fields(sent)?;
    match web.domains.add(app.id, &hostname, &by).await {
        Ok(domain) => Ok(see_other(&back(&app), [cx.flash(true, "flash-domain-added", &domain.hostname)])),
        Err(error) => match say::domain(cx.lang, &error) {
            Some(text) => settings::refuse(&web, cx, &app, Form::default().filled("hostname", hostname).wrong("hostname", text)).await,
            None => Err(error.into()),
        },
    }
}

/// `POST /apps/{app}/domains/remove`
pub async fn remove(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<Named>) -> Page {
    let gone = web.domains.remove(app.id, &fields(sent)?.hostname, &by).await?;
    Ok(see_other(&back(&app), [cx.flash(true, "flash-domain-removed", &gone.hostname)]))
}
