//! For administrators: how the machine is, what lies on its disk, who is on it and what they did.

mod accounts;
mod audit;
mod backups;
mod plans;

use std::time::Duration;

use askama::Template;
use axum::{
    Router,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use http::{StatusCode, request::Parts};

use crate::{
    accounts::User,
    apps::App,
    builder::Waste,
    domain::{BuildStatus, Plan, Timestamp},
    dynos::AppPhase,
    host::{Capacity, DiskKind},
    http::{CurrentUser, Fault},
    metrics::Range,
    store::builds::QueuedBuild,
    web::{
        Page, Web,
        cx::Cx,
        lang, page, repository, see_other,
        state::{self, Awake, Pill},
    },
};
use backups::Backups;

/// Apps shown, those that use most.
const BUSIEST: usize = 10;
/// Deliveries shown.
const DELIVERIES: i64 = 8;

/// The pages below `/host`.
pub fn pages() -> Router<Web> {
    Router::new()
        .route("/", get(overview))
        .route("/clean", post(clean))
        .route("/accounts", get(accounts::list))
        .route("/accounts/{account}/plan", post(accounts::assign))
        .route("/accounts/{account}/suspend", post(accounts::suspend))
        .route("/accounts/{account}/reset", post(accounts::reset))
        .route("/plans", get(plans::list).post(plans::create))
        .route("/plans/assign", get(async || Redirect::to("/host/plans").into_response()).post(plans::assign))
        .route("/plans/{plan}", get(plans::plan).post(plans::save))
        .route("/plans/{plan}/delete", post(plans::delete))
        .route("/audit", get(audit::audit))
}

/// An administrator; for everybody else the page is not there.
pub struct Admin(pub User);

impl FromRequestParts<Web> for Admin {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Admin, Fault> {
        let CurrentUser(user) = CurrentUser::from_request_parts(parts, web).await?;
        if user.admin { Ok(Admin(user)) } else { Err(Fault::not_found("page")) }
    }
}

/// The pages of the host, as tabs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tab {
    Overview,
    Accounts,
    Plans,
    Audit,
}

struct TabLink {
    href: &'static str,
    word: String,
    here: bool,
}

fn tabs(cx: &Cx, here: Tab) -> Vec<TabLink> {
    let all = [
        (Tab::Overview, "/host", cx.t("overview")),
        (Tab::Accounts, "/host/accounts", cx.t("host-accounts")),
        (Tab::Plans, "/host/plans", cx.t("host-plans")),
        (Tab::Audit, "/host/audit", cx.t("host-audit")),
    ];
    all.into_iter().map(|(tab, href, word)| TabLink { href, word, here: tab == here }).collect()
}

#[derive(Template)]
#[template(path = "host.html")]
struct HostPage {
    cx: Cx,
    tabs: Vec<TabLink>,
    capacity: Option<Capacity>,
    /// The sentence about how many more fit.
    room: String,
    promised: Share,
    /// What dynos use of the machine's memory.
    used: Share,
    engine: Engine,
    disk: Vec<DiskRow>,
    disk_free: String,
    available: String,
    waste: Option<Waste>,
    waste_bytes: String,
    binned: usize,
    queue: Vec<QueueRow>,
    slots: usize,
    busiest: Vec<Busy>,
    running: usize,
    apps: usize,
    deliveries: Vec<DeliveryRow>,
    backups: Backups,
    limits: Vec<Limit>,
    facts: Vec<(String, String)>,
}

/// A part of a whole, for a bar.
struct Share {
    text: String,
    percent: u64,
    class: &'static str,
}

impl Share {
    fn of(text: String, part: i64, whole: i64) -> Share {
        let percent = u64::try_from(part.max(0) * 100 / whole.max(1)).unwrap_or(0).min(100);
        let class = match percent {
            0..70 => "accent",
            70..90 => "mid",
            _ => "bad",
        };
        Share { text, percent, class }
    }
}

/// The engine, or why it does not answer.
struct Engine {
    version: String,
    warnings: Vec<String>,
    trouble: Option<String>,
}

struct DiskRow {
    word: String,
    size: String,
    /// What becomes of it by itself.
    note: String,
}

struct QueueRow {
    build: QueuedBuild,
    state: Pill,
}

struct Busy {
    app: App,
    state: Pill,
    awake: bool,
    memory: i64,
    used: Duration,
    requests: u64,
    strip: Option<Awake>,
}

impl Busy {
    fn memory_text(&self) -> String {
        if self.memory == 0 { "–".to_owned() } else { lang::mebibytes(self.memory) }
    }

    fn awake_text(&self) -> String {
        lang::hours(self.used)
    }
}

struct DeliveryRow {
    app: String,
    what: String,
    verdict: Pill,
    at: Timestamp,
}

struct Limit {
    word: String,
    value: String,
    setting: &'static str,
}

async fn overview(State(web): State<Web>, cx: Cx, _: Admin) -> Page {
    // The engine takes its time to answer; the database is asked meanwhile.
    let asked = async { tokio::try_join!(busy(&web, &cx), queue(&web, &cx), deliveries(&web, &cx), Backups::load(&web, &cx)) };
    let (waste, engine, disk, asked) = tokio::join!(web.builder.waste(), engine(&web), disk(&web, &cx), asked);
    let (busiest, queue, deliveries, backups) = asked?;
    let memory: i64 = busiest.iter().map(|app| app.memory).sum();
    let running = busiest.iter().filter(|app| app.awake).count();
    let capacity = web.host.capacity(web.plans.named(Plan::FREE)?.memory_bytes);
    let (promised, used) = shares(&cx, capacity.as_ref(), memory);
    let waste = waste.inspect_err(|error| tracing::warn!(%error, "what could be removed is not known")).ok();
    let host = HostPage {
        room: capacity.as_ref().map_or_else(|| cx.t("host-unreadable"), |found| room(&cx, found)),
        disk_free: capacity.as_ref().map(|found| megabytes(found.disk_free_mb)).unwrap_or_default(),
        available: capacity.as_ref().map(|found| megabytes(found.memory_available_mb)).unwrap_or_default(),
        capacity,
        promised,
        used,
        engine,
        disk,
        waste_bytes: lang::bytes(waste.map_or(0, |waste| waste.bytes)),
        waste,
        binned: web.reader.binned_apps().await?.len(),
        queue,
        slots: web.config.options.build_slots.max(1),
        running,
        apps: busiest.len(),
        busiest: busiest.into_iter().take(BUSIEST).collect(),
        deliveries,
        backups,
        limits: limits(&web, &cx),
        facts: facts(&web, &cx),
        tabs: tabs(&cx, Tab::Overview),
        cx,
    };
    Ok(page(StatusCode::OK, &host))
}

fn room(cx: &Cx, capacity: &Capacity) -> String {
    if capacity.more_dynos > 0 { cx.tn("host-room", capacity.more_dynos) } else { capacity.text.clone() }
}

fn shares(cx: &Cx, capacity: Option<&Capacity>, memory: i64) -> (Share, Share) {
    let (promised, promisable, whole) = capacity.map_or((0, 1, 1), |found| (found.promised_mb, found.promisable_mb, found.memory_mb));
    let memory = memory / (1024 * 1024);
    let of = |part: i64, whole: i64| cx.lang.with("host-of", &[("part", &megabytes(part)), ("whole", &megabytes(whole))]);
    (Share::of(of(promised, promisable), promised, promisable), Share::of(of(memory, whole), memory, whole))
}

/// `512 MB`, `92.2 GB`.
fn megabytes(count: i64) -> String {
    if count < 10_000 { format!("{count} MB") } else { format!("{:.1} GB", count as f64 / 1024.0) }
}

async fn engine(web: &Web) -> Engine {
    match web.dynos.engine_info().await {
        Ok(info) => {
            Engine { version: format!("{} {} (API {})", info.name, info.version, info.api_version), warnings: info.warnings, trouble: None }
        }
        Err(error) => Engine { version: String::new(), warnings: Vec::new(), trouble: Some(error.to_string()) },
    }
}

async fn disk(web: &Web, cx: &Cx) -> Vec<DiskRow> {
    let row = |(kind, bytes): (DiskKind, u64)| {
        let (word, note) = match kind {
            DiskKind::State => (cx.t("disk-state"), cx.t("disk-state-note")),
            DiskKind::Logs => (cx.t("disk-logs"), cx.t("disk-logs-note")),
            DiskKind::Code => (cx.t("disk-code"), cx.t("disk-code-note")),
            DiskKind::Builds => (cx.t("disk-builds"), cx.t("disk-builds-note")),
            DiskKind::Git => (cx.t("disk-git"), cx.t("disk-git-note")),
            DiskKind::Databases => (cx.t("disk-databases"), cx.t("disk-databases-note")),
            DiskKind::Backups => (cx.t("disk-backups"), cx.t("disk-backups-note")),
            DiskKind::Stack => (cx.t("disk-stack"), cx.t("disk-stack-note")),
            DiskKind::Other => (cx.t("disk-other"), String::new()),
        };
        DiskRow { word, note, size: lang::bytes(bytes) }
    };
    web.host.disk().await.into_iter().map(row).collect()
}

async fn queue(web: &Web, cx: &Cx) -> Result<Vec<QueueRow>, Fault> {
    let row = |build: QueuedBuild| {
        let (class, word) = match build.status {
            BuildStatus::Running => ("warn live", cx.t("state-building")),
            _ => ("off", cx.t("build-queued")),
        };
        QueueRow { build, state: Pill { class, word } }
    };
    Ok(web.reader.build_queue().await?.into_iter().map(row).collect())
}

/// All apps, those that use most memory first, then those that were awake longest.
async fn busy(web: &Web, cx: &Cx) -> Result<Vec<Busy>, Fault> {
    let row = |app: App| {
        let status = state::status(web, app.id);
        let memory: u64 = web.history.newest(app.id).iter().map(|(_, point)| point.used_bytes()).sum();
        Busy {
            state: Pill::of(cx, status.as_ref(), false),
            memory: i64::try_from(memory).unwrap_or(0),
            used: status.as_ref().map_or(Duration::ZERO, |status| status.quota.used),
            awake: status.as_ref().is_some_and(|status| matches!(status.phase, AppPhase::Awake | AppPhase::Napping)),
            requests: 0,
            strip: None,
            app,
        }
    };
    let mut all: Vec<Busy> = web.reader.apps().await?.into_iter().map(row).collect();
    all.sort_by(|a, b| (b.memory, b.used, &a.app.name).cmp(&(a.memory, a.used, &b.app.name)));
    // What has to be asked for is asked for those that are shown.
    for one in all.iter_mut().take(BUSIEST) {
        one.requests = if one.awake { requests(web, &one.app).await? } else { 0 };
        let status = state::status(web, one.app.id);
        one.strip = Some(state::awake(web, cx, &one.app, status.as_ref()).await?);
    }
    Ok(all)
}

/// Of the last two hours, which memory knows.
async fn requests(web: &Web, app: &App) -> Result<u64, Fault> {
    Ok(web.history.of(app.id, Range::TwoHours).await?.values().map(crate::metrics::Usage::requests).sum())
}

async fn deliveries(web: &Web, cx: &Cx) -> Result<Vec<DeliveryRow>, Fault> {
    let row = |(app, one): (crate::domain::AppName, crate::store::deliveries::Delivery)| DeliveryRow {
        app: app.to_string(),
        what: if one.branch.is_empty() { one.event } else { format!("{} {}", one.event, one.branch) },
        verdict: repository::verdict(cx, one.verdict),
        at: one.received_at,
    };
    Ok(web.reader.all_deliveries(DELIVERIES).await?.into_iter().map(row).collect())
}

/// What the operator has set, and how.
fn limits(web: &Web, cx: &Cx) -> Vec<Limit> {
    let (options, limits) = (&web.config.options, &web.config.limits);
    let limit = |key: &str, value: String, setting| Limit { word: cx.t(key), value, setting };
    let app_memory = options.app_memory_mb.map_or_else(|| cx.t("limit-by-machine"), |memory| format!("{memory} MB"));
    vec![
        limit("limit-app-memory", app_memory, "SIESTA_APP_MEMORY_MB"),
        limit("limit-reserve", format!("{} MB", options.host_reserve_mb), "SIESTA_HOST_RESERVE_MB"),
        limit("limit-disk", format!("{} MB", options.disk_floor_mb), "SIESTA_DISK_FLOOR_MB"),
        limit("limit-slots", options.build_slots.to_string(), "SIESTA_BUILD_SLOTS"),
        limit("limit-standbys", format!("{} / {}", web.dynos.standbys(), limits.standbys), "SIESTA_STANDBYS"),
        limit("limit-postgres", format!("{} MB", options.postgres_memory), "SIESTA_POSTGRES_MEMORY"),
        limit("limit-dyno-disk", lang::bytes(limits.dyno_disk_bytes), ""),
        limit("limit-upload", lang::bytes(limits.upload_bytes), ""),
        limit("limit-waiting", limits.max_waiting.to_string(), ""),
        limit("limit-api", limits.api_calls_per_hour.to_string(), ""),
        limit("limit-one-offs", format!("{} / {}", limits.one_offs.of_user, limits.one_offs.of_server), ""),
    ]
}

fn facts(web: &Web, cx: &Cx) -> Vec<(String, String)> {
    let options = &web.config.options;
    let certificate = if options.tls_cert.is_some() { cx.t("host-cert-own") } else { cx.t("host-cert-local") };
    vec![
        (cx.t("host-version"), env!("CARGO_PKG_VERSION").to_owned()),
        (cx.t("host-dashboard"), web.config.dashboard_url()),
        (cx.t("host-domain"), options.apps_domain.clone()),
        (cx.t("host-cert"), certificate),
        (cx.t("host-data"), options.data_dir.display().to_string()),
    ]
}

async fn clean(State(web): State<Web>, cx: Cx, _: Admin) -> Page {
    let waste = web.builder.clean().await?;
    let said = format!("{} / {}", waste.images, lang::bytes(waste.bytes));
    Ok(see_other("/host#disk", [cx.flash(true, "flash-cleaned", &said)]))
}
