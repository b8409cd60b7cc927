//! What is in a database: tables, sessions, slow statements, and a console that only reads.

use askama::Template;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    addons::{ANSWER_ROWS, Addon, Answer, AskError, Inspection},
    apps::App,
    http::{AppAccess, Deployer},
    web::{
        Page, Web,
        addons::owned_database,
        app::{Head, Seen, Tab},
        cx::Cx,
        form::Form,
        front::{Sent, fields},
        lang, page, say,
    },
};

#[derive(Template)]
#[template(path = "database.html")]
struct DatabasePage {
    cx: Cx,
    head: Head,
    form: Form,
    name: String,
    inspection: Inspection,
    /// Why nothing can be seen.
    trouble: Option<String>,
    answer: Option<Answer>,
}

impl DatabasePage {
    fn size(&self, bytes: &u64) -> String {
        lang::bytes(*bytes)
    }

    fn millis(&self, value: &f64) -> String {
        format!("{value:.1} ms")
    }

    /// What stands under an answer.
    fn counted(&self, answer: &Answer) -> String {
        if answer.more { self.cx.tn("console-more", ANSWER_ROWS) } else { self.cx.tn("console-rows", answer.rows.len()) }
    }
}

pub async fn database_page(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, .. }: Deployer,
    Path((_, named)): Path<(String, String)>,
) -> Page {
    let addon = owned_database(&web, &app, &named).await?;
    show(&web, cx, (&app, &addon), (StatusCode::OK, Form::default(), None)).await
}

#[derive(Deserialize)]
pub struct Question {
    sql: String,
}

/// Answers one question. Who asked and what stands in the app's activity.
pub async fn ask(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, by }: Deployer,
    Path((_, named)): Path<(String, String)>,
    sent: Sent<Question>,
) -> Page {
    let sql = fields(sent)?.sql;
    let addon = owned_database(&web, &app, &named).await?;
    let asked = web.addons.ask(&addon, &sql, &by).await;
    let form = Form::default().filled("sql", sql);
    match asked {
        Ok(answer) => show(&web, cx, (&app, &addon), (StatusCode::OK, form, Some(answer))).await,
        Err(AskError::Addon(error)) if say::addon(cx.lang, &error).is_none() => Err(error.into()),
        Err(error) => {
            let form = form.wrong("sql", say::ask(cx.lang, &error));
            show(&web, cx, (&app, &addon), (StatusCode::UNPROCESSABLE_ENTITY, form, None)).await
        }
    }
}

async fn show(web: &Web, cx: Cx, (app, addon): (&App, &Addon), (status, form, answer): (StatusCode, Form, Option<Answer>)) -> Page {
    let Seen { head, .. } = Head::see(web, &cx, app, Tab::Resources).await?;
    let (inspection, trouble) = match web.addons.inspect(addon).await {
        Ok(inspection) => (inspection, None),
        Err(error) => match say::addon(cx.lang, &error) {
            Some(text) => (Inspection::default(), Some(text)),
            None => return Err(error.into()),
        },
    };
    Ok(page(status, &DatabasePage { head, form, name: addon.name.clone(), inspection, trouble, answer, cx }))
}
