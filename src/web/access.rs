//! Who besides its owner may touch an app.

use askama::Template;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;

use crate::{
    accounts::{AccountError, Collaborator},
    apps::App,
    domain::{Role, UserId},
    http::{AppAccess, Fault, Owning, Viewer},
    web::{
        Page, Web,
        app::{Head, Seen, Tab},
        cx::Cx,
        form::Form,
        front::{Sent, fields},
        page, say, see_other,
    },
};

#[derive(Template)]
#[template(path = "access.html")]
struct AccessPage {
    cx: Cx,
    head: Head,
    form: Form,
    owner: String,
    others: Vec<Collaborator>,
}

pub async fn access(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Viewer) -> Page {
    show(&web, cx, &app, StatusCode::OK, Form::default()).await
}

async fn show(web: &Web, cx: Cx, app: &App, status: StatusCode, form: Form) -> Page {
    let Seen { head, .. } = Head::see(web, &cx, app, Tab::Access).await?;
    let others = web.reader.collaborators(app.id).await?;
    Ok(page(status, &AccessPage { cx, head, form, owner: app.owner_email.clone(), others }))
}

#[derive(Deserialize)]
pub struct Given {
    email: String,
    role: String,
}

/// Gives a role, also another one to somebody who has one.
pub async fn give(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Owning, sent: Sent<Given>) -> Page {
    let Given { email, role } = fields(sent)?;
    let role: Role = role.parse().map_err(Fault::invalid)?;
    match web.accounts.collaborate(&app, &email, role).await {
        Ok(one) => Ok(see_other(&format!("/apps/{}/access", app.name), [cx.flash(true, "flash-access-given", one.email.as_str())])),
        Err(error) => match say::account(cx.lang, &error) {
            Some((_, text)) => {
                let form = Form::default().filled("email", email).filled("role", role.as_str()).wrong("email", text);
                show(&web, cx, &app, StatusCode::UNPROCESSABLE_ENTITY, form).await
            }
            None => Err(error.into()),
        },
    }
}

#[derive(Deserialize)]
pub struct Taken {
    user: UserId,
}

/// The owner takes somebody's role away, or a collaborator leaves.
pub async fn take(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Viewer, sent: Sent<Taken>) -> Page {
    let Taken { user } = fields(sent)?;
    let leaving = user == by.id;
    if app.owner_id != by.id && !leaving {
        return Err(Fault::forbidden(cx.t("access-owner-only")));
    }
    match web.accounts.stop_collaborating(&app, user).await {
        Ok(()) | Err(AccountError::NoSuchCollaborator) => {}
        Err(error) => return Err(error.into()),
    }
    let back = if leaving { "/apps".to_owned() } else { format!("/apps/{}/access", app.name) };
    Ok(see_other(&back, [cx.flash(true, "flash-access-taken", app.name.as_str())]))
}
