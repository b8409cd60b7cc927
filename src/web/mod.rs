//! The dashboard: one file a page. Pages are askama templates in two languages; everything a form
//! can do works without script, live parts are added by server-sent events.
//!
//! Order of the layers, from outside: request id, security headers, session, context of the page
//! (which renders faults), claim, origin check.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use axum_extra::extract::cookie::Cookie;
use http::{HeaderValue, StatusCode, header};

use crate::{
    accounts::Accounts,
    addons::Addons,
    apps::Apps,
    audit::Audit,
    builder::Builder,
    clock::Clock,
    config::Config,
    connections::Connections,
    domains::Domains,
    dynos::Dynos,
    host::Host,
    http::{Fault, authenticate_session, keep_trail, request_id, require_same_origin, security_headers},
    logs::{Logs, drains::Drains},
    metrics::History,
    plans::Plans,
    releases::Releases,
    repositories::Repositories,
    store::Reader,
};

mod access;
mod account;
mod activity;
mod addons;
mod ansi;
mod app;
mod apps;
mod assets;
mod backups;
mod bin;
mod builds;
mod chart;
mod checklist;
mod console;
mod cx;
mod database;
mod domains;
mod drains;
mod env;
mod form;
mod formation;
mod front;
mod github;
mod hint;
mod host;
mod jobs;
mod lang;
mod log;
mod metrics;
mod oops;
mod overview;
mod password;
mod quota;
mod reference;
mod registration;
mod release;
mod repository;
mod say;
mod settings;
mod state;
mod steps;
mod terminal;
mod why;

pub use console::Consoles;

/// What the pages stand on.
#[derive(Clone)]
pub struct Web {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub reader: Reader,
    pub accounts: Accounts,
    pub addons: Addons,
    pub connections: Connections,
    pub repositories: Repositories,
    pub apps: Apps,
    pub builder: Builder,
    pub releases: Releases,
    pub domains: Domains,
    pub dynos: Dynos,
    pub logs: Logs,
    pub drains: Drains,
    pub consoles: Consoles,
    pub history: History,
    /// The limits the pages tell of.
    pub plans: Plans,
    pub audit: Audit,
    pub host: Host,
}

impl FromRef<Web> for Reader {
    fn from_ref(web: &Web) -> Reader {
        web.reader.clone()
    }
}

impl FromRef<Web> for Accounts {
    fn from_ref(web: &Web) -> Accounts {
        web.accounts.clone()
    }
}

impl FromRef<Web> for Arc<Config> {
    fn from_ref(web: &Web) -> Arc<Config> {
        web.config.clone()
    }
}

/// The dashboard as a service for its host name.
pub fn router(web: Web) -> Router {
    let front = Router::new()
        .route("/claim", get(front::claim_page).post(front::claim))
        .route("/login", get(front::login_page).post(front::log_in))
        .route("/login/code", get(async || Redirect::to("/login")).post(front::log_in_code))
        .route("/logout", post(front::log_out))
        .route("/signup", get(front::sign_up_page).post(front::sign_up))
        .route("/invite/{token}", get(front::invite_page))
        .route("/reset/{token}", get(front::reset_page).post(front::reset))
        .route("/preferences", post(front::preferences))
        .route("/docs/api", get(reference::reference))
        .route("/login/github", get(github::sign_in))
        .route("/github/callback", get(github::callback));
    let pages = Router::new()
        .route("/", get(async || Redirect::to("/apps")))
        .route("/apps", get(apps::list))
        .route("/bin", get(bin::bin))
        .route("/bin/{app}/restore", post(bin::restore))
        .route("/bin/{app}/purge", post(bin::purge))
        .route("/new", get(apps::new_page).post(apps::create))
        .route("/new/check", get(apps::check_name))
        .route("/quota", get(quota::quota))
        .route("/login/terminal/{token}", get(terminal::ask).post(terminal::answer))
        .route("/account", get(account::account))
        .route("/account/tokens", post(account::create_token))
        .route("/account/tokens/{token}/revoke", post(account::revoke_token))
        .route("/account/sessions/{session}/revoke", post(account::revoke_session))
        .route("/account/password", get(password::password_page).post(password::change))
        .route("/account/second-factor", get(password::second_factor).post(password::begin))
        .route("/account/second-factor/confirm", post(password::confirm))
        .route("/account/second-factor/remove", post(password::remove))
        .route("/account/sign-up", post(account::set_sign_up))
        .route("/account/invite", post(account::invite))
        .route("/account/github/disconnect", post(github::disconnect))
        .route("/github/connect", get(github::connect))
        .route("/admin/github", get(registration::registration).post(registration::register))
        .route("/admin/github/test", post(registration::test))
        .route("/admin/github/remove", post(registration::unregister));
    let missing = async || Fault::not_found("page");
    let wrong_method = async || Fault { status: StatusCode::METHOD_NOT_ALLOWED, ..Fault::bad_request("") };
    let layered = front
        .merge(pages)
        .nest("/apps/{app}", app_pages())
        .nest("/host", host::pages())
        .fallback(missing)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state((web.audit.clone(), "dashboard"), keep_trail))
        .layer(from_fn(require_same_origin))
        .layer(from_fn_with_state(web.clone(), lead_to_claim))
        .layer(from_fn_with_state(web.clone(), cx::provide))
        .layer(from_fn_with_state(web.clone(), authenticate_session));
    Router::new()
        .route("/assets/{*path}", get(assets::serve))
        .merge(layered)
        .merge(github::receiver())
        .layer(from_fn(security_headers))
        .layer(from_fn(request_id))
        .layer(tower_http::compression::CompressionLayer::new())
        .with_state(web)
}

/// The pages of one app; every handler takes an `AppAccess` and says which role it needs.
fn app_pages() -> Router<Web> {
    Router::new()
        .route("/", get(overview::overview))
        .route("/events", get(overview::events))
        .route("/checklist", get(checklist::checklist))
        .route("/resources", get(formation::resources))
        .route("/addons", post(addons::create))
        .route("/addons/restore", post(addons::restore))
        .route("/addons/{addon}", get(addons::addon_page))
        .route("/addons/{addon}/rotate", post(addons::rotate))
        .route("/addons/{addon}/attach", post(addons::attach))
        .route("/addons/{addon}/detach", post(addons::detach))
        .route("/addons/{addon}/destroy", post(addons::destroy))
        .route("/addons/{addon}/jobs", post(jobs::add))
        .route("/addons/{addon}/jobs/delete", post(jobs::delete))
        .route("/addons/{addon}/policy", post(jobs::set_policy))
        .route("/addons/{addon}/data", get(database::database_page).post(database::ask))
        .route("/addons/{addon}/backups", post(backups::capture))
        .route("/addons/{addon}/backups/{backup}/cancel", post(backups::cancel))
        .route("/addons/{addon}/backups/{backup}/delete", post(backups::delete))
        .route("/addons/{addon}/backups/{backup}/download", get(backups::download))
        .route("/addons/{addon}/restore-backup", post(backups::restore))
        .route("/addons/{addon}/schedule", post(backups::schedule))
        .route("/scale", post(formation::scale))
        .route("/restart", post(formation::restart))
        .route("/restart-dyno", post(formation::restart_one))
        .route("/wake", post(formation::wake))
        .route("/deploy", get(builds::deploy_page).post(builds::upload).layer(DefaultBodyLimit::disable()))
        .route("/builds/{build}", get(builds::build_page))
        .route("/builds/{build}/output", get(builds::output))
        .route("/builds/{build}/cancel", post(builds::cancel))
        .route("/github/head", get(repository::head))
        .route("/github/connect", post(repository::connect))
        .route("/github/connect-public", post(repository::connect_public))
        .route("/github/disconnect", post(repository::disconnect))
        .route("/github/deploy", post(repository::deploy))
        .route("/github/automatic", post(repository::enable))
        .route("/github/automatic/disable", post(repository::disable))
        .route("/github/deliveries", get(repository::deliveries))
        .route("/github/redeliver", post(repository::redeliver))
        .route("/metrics", get(metrics::metrics))
        .route("/activity", get(activity::activity))
        .route("/releases/{version}", get(release::release))
        .route("/rollback", post(activity::roll_back))
        .route("/logs", get(log::logs))
        .route("/logs/tail", get(log::tail))
        .route("/access", get(access::access))
        .route("/access/give", post(access::give))
        .route("/access/remove", post(access::take))
        .route("/logs/download", get(log::download))
        .route("/console", get(console::console).post(console::run))
        .route("/console/open", post(console::open))
        .route("/console/socket", get(console::socket))
        .route("/settings", get(settings::settings))
        .route("/rename", post(settings::rename))
        .route("/config", post(settings::set_var))
        .route("/config/file", post(env::paste))
        .route("/config/remove", post(settings::remove_var))
        .route("/domains", post(domains::add))
        .route("/domains/remove", post(domains::remove))
        .route("/drains", post(drains::add))
        .route("/drains/remove", post(drains::remove))
        .route("/build-cache/clear", post(settings::clear_cache))
        .route("/maintenance", post(settings::maintenance))
        .route("/delete", post(settings::delete))
}

/// Layer: until an administrator exists every page leads to the claim.
async fn lead_to_claim(State(web): State<Web>, request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/claim" | "/preferences") {
        return next.run(request).await;
    }
    match web.accounts.is_claimed().await {
        Ok(true) => next.run(request).await,
        Ok(false) => Redirect::to("/claim").into_response(),
        Err(error) => Fault::from(error).into_response(),
    }
}

/// What a handler answers.
type Page = Result<Response, Fault>;

/// A rendered page.
fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => Fault::internal(&error).into_response(),
    }
}

/// 303 to a path of ours, with cookies.
fn see_other<const N: usize>(path: &str, cookies: [Cookie<'static>; N]) -> Response {
    let mut response = Redirect::to(path).into_response();
    for cookie in cookies {
        let value = HeaderValue::try_from(cookie.to_string()).expect("our cookies are header values");
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}
