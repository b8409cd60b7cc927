//! Log drains in the settings of an app. Addresses are shown without what may be secret in them.

use axum::extract::State;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::{
    http::{AppAccess, Deployer},
    web::{
        Page, Web,
        cx::Cx,
        form::Form,
        front::{Sent, fields},
        say, see_other, settings,
    },
};

#[derive(Deserialize)]
pub struct Add {
    url: SecretString,
}

pub async fn add(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<Add>) -> Page {
    match web.drains.add(app.id, fields(sent)?.url.expose_secret(), &by).await {
        Ok(drain) => {
            Ok(see_other(&format!("/apps/{}/settings#drains", app.name), [cx.flash(true, "flash-drain-added", &drain.address.to_string())]))
        }
        // The address is not shown again: it may hold a password.
        Err(error) => match say::drain(cx.lang, &error) {
            Some(text) => settings::refuse(&web, cx, &app, Form::default().wrong("drain", text)).await,
            None => Err(error.into()),
        },
    }
}

#[derive(Deserialize)]
pub struct Remove {
    drain: String,
}

pub async fn remove(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<Remove>) -> Page {
    let gone = web.drains.remove(app.id, &fields(sent)?.drain, &by).await?;
    Ok(see_other(&format!("/apps/{}/settings#drains", app.name), [cx.flash(true, "flash-drain-removed", &gone.address.to_string())]))
}
