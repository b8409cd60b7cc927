//! Everybody who has an account: their plans, suspension, a way back in.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Path, State};
use http::StatusCode;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::{Admin, Tab, TabLink, tabs};
use crate::{
    accounts::User,
    domain::{Holder, UserId},
    http::Fault,
    web::{
        Page, Web,
        cx::Cx,
        front::{Sent, fields, mode_word},
        oops::encode,
        page, see_other,
    },
};

#[derive(Template)]
#[template(path = "host_accounts.html")]
struct AccountsPage {
    cx: Cx,
    tabs: Vec<TabLink>,
    rows: Vec<Row>,
    plans: Vec<String>,
    sign_up: &'static str,
    /// A link that lets somebody set a new password, shown once: the address and the link.
    fresh: Option<(String, String)>,
}

struct Row {
    user: User,
    apps: usize,
    plan: String,
    /// An administrator who looks at this page.
    me: bool,
    /// Its part of an address.
    path: String,
}

pub async fn list(State(web): State<Web>, cx: Cx, Admin(me): Admin) -> Page {
    show(&web, cx, &me, None).await
}

async fn show(web: &Web, cx: Cx, me: &User, fresh: Option<(String, String)>) -> Page {
    let mut apps: HashMap<UserId, usize> = HashMap::new();
    for app in web.reader.apps().await? {
        *apps.entry(app.owner_id).or_default() += 1;
    }
    let row = |user: User| Row {
        apps: apps.get(&user.id).copied().unwrap_or(0),
        plan: web.plans.of_account(user.id).name.clone(),
        me: user.id == me.id,
        path: encode(user.email.as_str()),
        user,
    };
    let shown = AccountsPage {
        rows: web.accounts.users().await?.into_iter().map(row).collect(),
        plans: web.plans.all().iter().map(|plan| plan.name.clone()).collect(),
        sign_up: mode_word(web.accounts.sign_up_mode().await?),
        tabs: tabs(&cx, Tab::Accounts),
        fresh,
        cx,
    };
    Ok(page(StatusCode::OK, &shown))
}

/// The account in the path.
async fn account(web: &Web, named: &str) -> Result<User, Fault> {
    web.accounts.by_email(named).await?.filter(|user| !user.system).ok_or_else(|| Fault::not_found("account"))
}

#[derive(Deserialize)]
pub struct Given {
    plan: String,
}

pub async fn assign(State(web): State<Web>, cx: Cx, _: Admin, Path(named): Path<String>, sent: Sent<Given>) -> Page {
    let user = account(&web, &named).await?;
    web.plans.assign(Holder::Account(user.id), Some(&fields(sent)?.plan)).await?;
    Ok(see_other("/host/accounts", [cx.flash(true, "flash-saved", "")]))
}

#[derive(Deserialize)]
pub struct Suspended {
    on: bool,
}

/// Nobody locks themselves out.
pub async fn suspend(State(web): State<Web>, cx: Cx, Admin(me): Admin, Path(named): Path<String>, sent: Sent<Suspended>) -> Page {
    let user = account(&web, &named).await?;
    if user.id == me.id {
        return Err(Fault::forbidden(cx.t("host-not-yourself")));
    }
    let Suspended { on } = fields(sent)?;
    web.accounts.set_suspended(user.id, on).await?;
    let said = if on { "flash-suspended" } else { "flash-let-in" };
    Ok(see_other("/host/accounts", [cx.flash(true, said, user.email.as_str())]))
}

/// Makes a one-hour link that sets a new password and shows it, this once.
pub async fn reset(State(web): State<Web>, cx: Cx, Admin(me): Admin, Path(named): Path<String>) -> Page {
    let user = account(&web, &named).await?;
    let token = web.accounts.reset_link(user.email.as_str()).await?;
    let link = format!("{}/reset/{}", web.config.dashboard_url(), token.expose_secret());
    show(&web, cx, &me, Some((user.email.to_string(), link))).await
}
