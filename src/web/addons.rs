//! Add-ons: found, created and metered on the Resources page; one page each for credentials,
//! attachments and the end.

use askama::Template;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::{
    addons::{Addon, AddonError, EVICTION_POLICIES, Wanted},
    apps::App,
    domain::{
        AttachmentId, Role, Timestamp,
        addon::{AddonPlan, AddonState, AttachmentState, SERVICES, Service, ServiceKind},
        user::Actor,
    },
    http::{AppAccess, Deployer, Fault, Owning},
    web::{
        Page, Web,
        app::{Head, Seen, Tab},
        backups::Backups,
        cx::Cx,
        form::Form,
        front::{Sent, fields},
        jobs::Jobs,
        lang, page, say, see_other,
        state::Pill,
    },
};

/// What happened to an add-on: icon, class and text of its entry in the feed.
pub fn told(cx: &Cx, did: &str, addon: &str, name: &str) -> (&'static str, &'static str, String) {
    let values = [("addon", addon), ("name", name)];
    let (icon, class, key) = match did {
        "attach" => ("database", "ok", "did-addon-attach"),
        "detach" => ("database", "", "did-addon-detach"),
        "rotate" => ("key-round", "", "did-addon-rotate"),
        "reset" => ("database", "bad", "did-addon-reset"),
        "destroy" => ("trash-2", "", "did-addon-destroy"),
        "near" => ("database", "bad", "did-addon-near"),
        "over" => ("database", "bad", "did-addon-over"),
        "locked" => ("database", "bad", "did-addon-locked"),
        "capture" => ("download", "", "did-addon-capture"),
        "restore" => ("rotate-ccw", "", "did-addon-restore"),
        "delete-backup" => ("trash-2", "", "did-addon-delete-backup"),
        "backup-failed" => ("triangle-alert", "bad", "did-addon-backup-failed"),
        "console" => ("terminal", "", "did-addon-console"),
        _ => ("database", "ok", "did-addon-free"),
    };
    (icon, class, cx.lang.with(key, &values))
}

#[derive(Deserialize, Default)]
pub struct Search {
    #[serde(default)]
    q: Option<String>,
}

/// The add-ons of an app, what can be had, and what lies in the bin.
pub struct AddonList {
    pub rows: Vec<Row>,
    pub offers: Vec<Offer>,
    pub query: String,
    pub offered: bool,
    pub bin: Vec<Thrown>,
}

/// One add-on.
pub struct Row {
    pub name: String,
    pub plan: String,
    pub state: Pill,
    pub vars: String,
    pub meter: Option<Meter>,
    /// Where it is changed: the page of its own app.
    pub href: String,
    pub error: Option<String>,
}

/// How many of its rows a database has.
pub struct Meter {
    pub text: String,
    pub percent: u64,
    pub class: &'static str,
    /// What is wrong and how to come out of it.
    pub warning: Option<String>,
}

/// One plan that can be had.
pub struct Offer {
    pub plan: String,
    pub title: String,
    pub text: String,
}

/// One add-on in the bin.
pub struct Thrown {
    pub id: String,
    pub name: String,
    pub until: Timestamp,
}

impl Row {
    /// What an app owns and what is attached to it.
    pub async fn all(web: &Web, cx: &Cx, app: &App) -> Result<Vec<Row>, Fault> {
        let attachments = web.reader.attachments_of_app(app.id).await?;
        let mut addons = web.reader.addons_of_app(app.id).await?;
        for attachment in &attachments {
            if addons.iter().all(|addon| addon.id != attachment.addon_id) {
                addons.extend(web.reader.addon(attachment.addon_id).await?);
            }
        }
        let row = |addon: Addon| {
            let names = attachments.iter().filter(|attachment| attachment.addon_id == addon.id);
            let vars = names.map(|attachment| attachment.name.key().to_string()).collect::<Vec<_>>().join(", ");
            Row {
                plan: format!("{} · {}", addon.service().human_name, addon.plan().human_name),
                state: pill(cx, addon.state),
                meter: addon.is_database().then(|| Meter::of(cx, &addon)),
                href: format!("/apps/{}/addons/{}", addon.app_name, addon.name),
                error: addon.error.clone().filter(|_| addon.state != AddonState::Provisioned),
                name: addon.name,
                vars,
            }
        };
        Ok(addons.into_iter().map(row).collect())
    }
}

impl AddonList {
    pub async fn load(web: &Web, cx: &Cx, app: &App, by: &Actor, search: &Search) -> Result<AddonList, Fault> {
        let query = search.q.clone().unwrap_or_default().trim().to_owned();
        let bin = web.reader.binned_of(by.id).await?.into_iter().filter(|thrown| thrown.app_name == app.name.as_str());
        Ok(AddonList {
            rows: Row::all(web, cx, app).await?,
            offers: offers(cx, &query, web.addons.offered()),
            offered: web.addons.offered(),
            bin: bin.map(|thrown| Thrown { id: thrown.addon_id.to_string(), name: thrown.name, until: thrown.purge_at }).collect(),
            query,
        })
    }
}

/// One line on a plan.
fn plan_text(cx: &Cx, service: &Service, plan: &AddonPlan) -> String {
    let (size, connections) = (lang::bytes(plan.bytes), plan.connections.to_string());
    match service.kind {
        ServiceKind::Postgres => {
            cx.lang.with("addon-plan-text", &[("rows", &lang::grouped(cx.lang, plan.rows)), ("size", &size), ("connections", &connections)])
        }
        ServiceKind::KeyValue => cx.lang.with("addon-store-text", &[("size", &size), ("connections", &connections)]),
        ServiceKind::Scheduler => cx.t("addon-scheduler-text"),
    }
}

/// What a search finds: all of it without a word. Without their image only the scheduler is offered.
fn offers(cx: &Cx, query: &str, image: bool) -> Vec<Offer> {
    let services = SERVICES.iter().filter(|service| image || service.kind == ServiceKind::Scheduler);
    let plans = services.flat_map(|service| service.plans.iter().map(move |plan| (service, plan)));
    let offers = plans.map(|(service, plan)| Offer {
        plan: format!("{}:{}", service.name, plan.name),
        title: format!("{} · {}", service.human_name, plan.human_name),
        text: plan_text(cx, service, plan),
    });
    let wanted = query.to_lowercase();
    offers
        .filter(|offer| format!("{} {} {} database sql cache cron", offer.plan, offer.title, offer.text).to_lowercase().contains(&wanted))
        .collect()
}

fn pill(cx: &Cx, state: AddonState) -> Pill {
    match state {
        AddonState::Provisioning => Pill { class: "warn live", word: cx.t("addon-provisioning") },
        AddonState::Provisioned => Pill { class: "ok", word: cx.t("addon-available") },
        AddonState::Rotating => Pill { class: "warn live", word: cx.t("addon-rotating") },
        AddonState::Deprovisioning => Pill { class: "off", word: cx.t("addon-ending") },
    }
}

impl Meter {
    fn of(cx: &Cx, addon: &Addon) -> Meter {
        let (plan, account) = (addon.plan(), &addon.account);
        let percent = (account.rows.saturating_mul(100) / plan.rows.max(1)).min(100);
        let until = account.over_since.map(|since| (since + plan.grace).since(cx.now));
        let warning = match (account.locked_at, until) {
            (Some(_), _) => Some(cx.t("rows-locked")),
            (None, Some(left)) => Some(cx.t1("rows-over", "time", lang::rough(left))),
            (None, None) if account.warned >= 90 => Some(cx.t("rows-near")),
            (None, None) if account.warned >= 70 => Some(cx.t("rows-filling")),
            (None, None) => None,
        };
        Meter {
            text: cx
                .lang
                .with("rows-of", &[("rows", &lang::grouped(cx.lang, account.rows)), ("limit", &lang::grouped(cx.lang, plan.rows))]),
            percent,
            class: match account.warned {
                100.. => "bad",
                70.. => "mid",
                _ => "",
            },
            warning,
        }
    }
}

#[derive(Deserialize)]
pub struct Create {
    plan: String,
}

pub async fn create(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<Create>) -> Page {
    let plan = fields(sent)?.plan;
    let back = format!("/apps/{}/resources#addons", app.name);
    let made = web.addons.create(app.id, Wanted { plan, ..Wanted::default() }, &by).await;
    done(&cx, &back, ("flash-addon-created", ""), made.map(drop))
}

#[derive(Deserialize)]
pub struct Restore {
    addon: String,
}

pub async fn restore(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<Restore>) -> Page {
    let id = fields(sent)?.addon.parse().map_err(|_| Fault::not_found("add_on"))?;
    // Only what lies in one's own bin.
    if web.reader.binned_of(by.id).await?.iter().all(|thrown| thrown.addon_id != id) {
        return Err(Fault::not_found("add_on"));
    }
    let back = format!("/apps/{}/resources#addons", app.name);
    done(&cx, &back, ("flash-addon-restored", ""), web.addons.restore(id, app.id, &by).await.map(drop))
}

/// Back with a message: what was done, or what went wrong in words.
pub fn done(cx: &Cx, back: &str, (key, value): (&str, &str), outcome: Result<(), AddonError>) -> Page {
    match outcome {
        Ok(()) => Ok(see_other(back, [cx.flash(true, key, value)])),
        Err(error) => match say::addon(cx.lang, &error) {
            Some(text) => Ok(see_other(back, [cx.flash(false, "flash-failed", &text)])),
            None => Err(error.into()),
        },
    }
}

#[derive(Template)]
#[template(path = "addon.html")]
struct AddonPage {
    cx: Cx,
    head: Head,
    form: Form,
    name: String,
    plan: String,
    state: Pill,
    meter: Option<Meter>,
    facts: Vec<(String, String)>,
    attachments: Vec<Attached>,
    /// The address with its password, when it was asked for.
    url: Option<String>,
    revealed: bool,
    error: Option<String>,
    /// Of a database.
    backups: Option<Backups>,
    /// Of a scheduler.
    jobs: Option<Jobs>,
    /// Of a key-value store: what it can do when it is full, and what it does.
    policies: Vec<(&'static str, bool)>,
}

struct Attached {
    id: String,
    app: String,
    var: String,
    coming: bool,
}

/// An add-on the app owns, by its name.
pub async fn owned(web: &Web, app: &App, named: &str) -> Result<Addon, Fault> {
    let addons = web.reader.addons_of_app(app.id).await?;
    addons.into_iter().find(|addon| addon.name == named).ok_or_else(|| Fault::not_found("add_on"))
}

/// A database the app owns, by its name.
pub async fn owned_database(web: &Web, app: &App, named: &str) -> Result<Addon, Fault> {
    let addon = owned(web, app, named).await?;
    if addon.is_database() { Ok(addon) } else { Err(Fault::not_found("add_on")) }
}

#[derive(Deserialize, Default)]
pub struct Reveal {
    #[serde(default)]
    reveal: Option<String>,
}

pub async fn addon_page(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, .. }: Deployer,
    Path((_, named)): Path<(String, String)>,
    Query(query): Query<Reveal>,
) -> Page {
    let addon = owned(&web, &app, &named).await?;
    show(&web, cx, &app, &addon, (StatusCode::OK, Form::default(), query.reveal.is_some())).await
}

/// What a key-value store can do when it is full, with the one it does; empty for other add-ons.
async fn policies(web: &Web, addon: &Addon) -> Result<Vec<(&'static str, bool)>, Fault> {
    if addon.kind() != ServiceKind::KeyValue {
        return Ok(Vec::new());
    }
    let now = web.addons.eviction_policy(addon).await?;
    Ok(EVICTION_POLICIES.iter().map(|(policy, _)| (*policy, *policy == now)).collect())
}

/// What is known of an add-on.
fn facts(cx: &Cx, addon: &Addon) -> Vec<(String, String)> {
    let connections = (cx.t("addon-connections"), addon.plan().connections.to_string());
    let mut facts = match addon.kind() {
        ServiceKind::Postgres => {
            vec![(cx.t("addon-size"), lang::bytes(addon.bytes)), (cx.t("addon-tables"), addon.tables.to_string()), connections]
        }
        ServiceKind::KeyValue => vec![(cx.t("addon-memory"), lang::bytes(addon.plan().bytes)), connections],
        ServiceKind::Scheduler => Vec::new(),
    };
    facts.push((cx.t("made-on"), addon.created_at.to_string()));
    facts
}

/// The page of an add-on, with what is wrong with a form on it.
pub async fn show(web: &Web, cx: Cx, app: &App, addon: &Addon, (status, form, revealed): (StatusCode, Form, bool)) -> Page {
    let Seen { head, .. } = Head::see(web, &cx, app, Tab::Resources).await?;
    let attachments = web.reader.attachments_of_addon(addon.id).await?;
    let own = attachments.iter().find(|one| one.app_id == app.id && one.state == AttachmentState::Attached);
    let url = match own {
        Some(own) if revealed => {
            let config = web.releases.config(app.id).await?;
            config.get(own.name.key().as_str()).map(|value| value.expose_secret().to_owned())
        }
        _ => None,
    };
    let attached = attachments.into_iter().map(|one| Attached {
        id: one.id.to_string(),
        app: one.app_name.to_string(),
        var: one.name.key().to_string(),
        coming: one.state != AttachmentState::Attached,
    });
    let shown = AddonPage {
        head,
        form,
        name: addon.name.clone(),
        plan: format!("{} · {}", addon.service().human_name, addon.plan().human_name),
        state: pill(&cx, addon.state),
        meter: addon.is_database().then(|| Meter::of(&cx, addon)),
        facts: facts(&cx, addon),
        attachments: attached.collect(),
        revealed: url.is_some(),
        url,
        error: addon.error.clone(),
        backups: if addon.is_database() { Some(Backups::load(web, &cx, addon).await?) } else { None },
        jobs: Jobs::load(web, &cx, addon).await?,
        policies: policies(web, addon).await?,
        cx,
    };
    Ok(page(status, &shown))
}

pub async fn rotate(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, Path((_, named)): Path<(String, String)>) -> Page {
    let addon = owned(&web, &app, &named).await?;
    let back = format!("/apps/{}/addons/{}", app.name, addon.name);
    done(&cx, &back, ("flash-addon-rotated", ""), web.addons.rotate(addon.id, &by).await)
}

#[derive(Deserialize)]
pub struct Attach {
    to: String,
    name: String,
}

pub async fn attach(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, by }: Deployer,
    Path((_, named)): Path<(String, String)>,
    sent: Sent<Attach>,
) -> Page {
    let Attach { to, name } = fields(sent)?;
    let addon = owned(&web, &app, &named).await?;
    let found = web.reader.accessible_app(by.id, to.trim()).await?;
    let Some((other, _)) = found.filter(|(_, role)| *role >= Role::Deploy) else {
        let form = Form::default().filled("to", to).filled("name", name).wrong("to", cx.t("addon-no-app"));
        return show(&web, cx, &app, &addon, (StatusCode::UNPROCESSABLE_ENTITY, form, false)).await;
    };
    let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
    let back = format!("/apps/{}/addons/{}", app.name, addon.name);
    let made = web.addons.attach(addon.id, other.id, name, &by).await;
    done(&cx, &back, ("flash-addon-attached", other.name.as_str()), made.map(drop))
}

#[derive(Deserialize)]
pub struct Detach {
    attachment: String,
}

pub async fn detach(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, by }: Deployer,
    Path((_, named)): Path<(String, String)>,
    sent: Sent<Detach>,
) -> Page {
    let addon = owned(&web, &app, &named).await?;
    let missing = || Fault::not_found("add_on attachment");
    let id: AttachmentId = fields(sent)?.attachment.parse().map_err(|_| missing())?;
    let attachment = web.reader.attachment(id).await?.filter(|one| one.addon_id == addon.id).ok_or_else(missing)?;
    let back = format!("/apps/{}/addons/{}", app.name, addon.name);
    let key = attachment.name.key();
    done(&cx, &back, ("flash-addon-detached", key.as_str()), web.addons.detach(&attachment, &by).await)
}

#[derive(Deserialize)]
pub struct Destroy {
    confirm: String,
}

pub async fn destroy(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, by }: Owning,
    Path((_, named)): Path<(String, String)>,
    sent: Sent<Destroy>,
) -> Page {
    let addon = owned(&web, &app, &named).await?;
    if fields(sent)?.confirm.trim() != app.name.as_str() {
        let form = Form::default().wrong("confirm", cx.t1("delete-mismatch", "name", &app.name));
        return show(&web, cx, &app, &addon, (StatusCode::UNPROCESSABLE_ENTITY, form, false)).await;
    }
    let back = format!("/apps/{}/resources#addons", app.name);
    let name = addon.name.clone();
    done(&cx, &back, ("flash-addon-destroyed", &name), web.addons.destroy(addon.id, &by).await.map(drop))
}
