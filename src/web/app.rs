//! What every page of an app shows: its name, state, address and tabs.

use crate::{
    apps::App,
    domain::{Role, build::Build},
    dynos::{AppPhase, AppStatus},
    http::Fault,
    web::{
        Web,
        cx::Cx,
        lang,
        state::{self, Pill},
    },
};

/// The tabs, in Heroku's order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Overview,
    Resources,
    Deploy,
    Metrics,
    Activity,
    Logs,
    /// Has no tab: it stands in the menu.
    Console,
    Access,
    Settings,
}

/// One tab as it is shown.
pub struct TabLink {
    pub href: String,
    pub word: String,
    pub here: bool,
}

/// The head of an app's page.
pub struct Head {
    pub name: String,
    pub url: String,
    /// The address without scheme and slash.
    pub host: String,
    pub state: Pill,
    /// When it falls asleep, or may wake.
    pub sleeps: Option<String>,
    pub maintenance: bool,
    pub tabs: Vec<TabLink>,
    /// What the reader may do with it.
    role: Role,
}

/// An app with what is known of it now.
pub struct Seen {
    pub head: Head,
    pub status: Option<AppStatus>,
    /// The build that waits or runs.
    pub building: Option<Build>,
}

impl Head {
    /// Whether the reader may deploy and change things.
    pub fn changeable(&self) -> bool {
        self.role >= Role::Deploy
    }

    /// Whether the reader owns the app.
    pub fn owned(&self) -> bool {
        self.role == Role::Owner
    }

    /// Looks at an app for one of its pages.
    pub async fn see(web: &Web, cx: &Cx, app: &App, tab: Tab) -> Result<Seen, Fault> {
        let status = state::status(web, app.id);
        let building = unfinished(web, app).await?;
        let role = match &cx.user {
            Some(user) => web.reader.role_on(app, user.id).await?.unwrap_or(Role::View),
            None => Role::View,
        };
        let url = web.config.web_url(app.name.as_str());
        let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest).trim_end_matches('/').to_owned();
        let head = Head {
            name: app.name.to_string(),
            state: Pill::of(cx, status.as_ref(), building.is_some()),
            sleeps: status.as_ref().and_then(|status| sleeps(cx, status)),
            maintenance: app.maintenance,
            tabs: tabs(cx, app.name.as_str(), tab, role),
            role,
            url,
            host,
        };
        Ok(Seen { head, status, building })
    }
}

/// The newest build of an app, if it has not ended.
async fn unfinished(web: &Web, app: &App) -> Result<Option<Build>, Fault> {
    Ok(web.reader.builds(app.id, 5).await?.into_iter().find(|build| !build.status.is_finished()))
}

fn sleeps(cx: &Cx, status: &AppStatus) -> Option<String> {
    match (status.phase, status.sleeps_at) {
        (AppPhase::Awake | AppPhase::Napping, Some(at)) => Some(cx.t1("sleeps-in", "time", lang::rough(at.since(cx.now)))),
        (AppPhase::Resting { until }, _) => Some(cx.t1("rests-for", "time", lang::hours(until.since(cx.now)))),
        _ => None,
    }
}

/// A page that takes a greater role than the reader has is not offered.
fn tabs(cx: &Cx, name: &str, here: Tab, role: Role) -> Vec<TabLink> {
    let all = [
        (Tab::Overview, "", cx.t("overview")),
        (Tab::Resources, "/resources", cx.t("resources")),
        (Tab::Deploy, "/deploy", cx.t("deploy")),
        (Tab::Metrics, "/metrics", cx.t("metrics")),
        (Tab::Activity, "/activity", cx.t("activity")),
        (Tab::Access, "/access", cx.t("access")),
        (Tab::Settings, "/settings", cx.t("settings")),
        (Tab::Logs, "/logs", cx.t("logs")),
    ];
    let offered = |tab: Tab| role >= Role::Deploy || !matches!(tab, Tab::Deploy | Tab::Settings);
    all.into_iter()
        .filter(|(tab, ..)| offered(*tab))
        .map(|(tab, path, word)| TabLink { href: format!("/apps/{name}{path}"), word, here: tab == here })
        .collect()
}
