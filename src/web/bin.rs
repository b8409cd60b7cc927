//! The bin: destroyed apps, for a week to be brought back.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    apps::BinnedApp,
    domain::{AppId, AppName, user::Actor},
    http::{CurrentUser, Fault},
    web::{
        Page, Web,
        cx::Cx,
        form::Form,
        front::{Sent, fields},
        page, say, see_other,
    },
};

#[derive(Template)]
#[template(path = "bin.html")]
struct BinPage {
    cx: Cx,
    apps: Vec<Thrown>,
    form: Form,
}

/// One app in the bin.
struct Thrown {
    app: BinnedApp,
    /// The name offered for it.
    name: String,
    /// This one's form was sent.
    here: bool,
    taken: bool,
}

pub async fn bin(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser) -> Page {
    show(&web, cx, &Actor { id: user.id, email: user.email }, (StatusCode::OK, None, Form::default())).await
}

async fn show(web: &Web, cx: Cx, by: &Actor, (status, sent, form): (StatusCode, Option<AppId>, Form)) -> Page {
    let mut apps = Vec::new();
    for app in web.apps.in_bin(by).await? {
        let here = sent == Some(app.id);
        let name = if here && !form.value("name").is_empty() { form.value("name").to_owned() } else { app.name.to_string() };
        let taken = web.reader.app_by_name(&app.name).await?.is_some();
        apps.push(Thrown { name, here, taken, app });
    }
    Ok(page(status, &BinPage { cx, apps, form }))
}

fn parsed(id: &str) -> Result<AppId, Fault> {
    id.parse().map_err(|_| Fault::not_found("app"))
}

#[derive(Deserialize)]
pub struct Restore {
    name: String,
}

pub async fn restore(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, Path(id): Path<String>, sent: Sent<Restore>) -> Page {
    let (id, Restore { name: typed }) = (parsed(&id)?, fields(sent)?);
    let by = Actor { id: user.id, email: user.email };
    let refuse =
        |field, text| (StatusCode::UNPROCESSABLE_ENTITY, Some(id), Form::default().filled("name", typed.as_str()).wrong(field, text));
    let name: AppName = match typed.trim().parse() {
        Ok(name) => name,
        Err(error) => {
            let refused = refuse("name", say::app_name(cx.lang, error));
            return show(&web, cx, &by, refused).await;
        }
    };
    match web.apps.restore(id, &name, &by).await {
        Ok(app) => Ok(back(&cx, &format!("/apps/{}", app.name), "flash-restored", app.name.as_str())),
        Err(error) => match say::app(cx.lang, &error) {
            Some((field, text)) => {
                let refused = refuse(field, text);
                show(&web, cx, &by, refused).await
            }
            None => Err(error.into()),
        },
    }
}

#[derive(Deserialize)]
pub struct Purge {
    confirm: String,
}

pub async fn purge(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, Path(id): Path<String>, sent: Sent<Purge>) -> Page {
    let (id, Purge { confirm }) = (parsed(&id)?, fields(sent)?);
    let by = Actor { id: user.id, email: user.email };
    let binned = web.apps.in_bin(&by).await?.into_iter().find(|app| app.id == id).ok_or_else(|| Fault::not_found("app"))?;
    if confirm.trim() != binned.name.as_str() {
        let form = Form::default().wrong("confirm", cx.t1("delete-mismatch", "name", &binned.name));
        return show(&web, cx, &by, (StatusCode::UNPROCESSABLE_ENTITY, Some(id), form)).await;
    }
    web.apps.purge(id, &by).await?;
    Ok(back(&cx, "/bin", "flash-purged", binned.name.as_str()))
}

fn back(cx: &Cx, path: &str, said: &str, name: &str) -> Response {
    see_other(path, [cx.flash(true, said, name)])
}
