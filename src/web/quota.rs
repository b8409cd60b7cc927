//! Plans and quota: what the plans of somebody's apps allow, and what was used of it in the last 24 hours.

use std::{collections::BTreeMap, time::Duration};

use askama::Template;
use axum::extract::State;
use http::StatusCode;

use crate::{
    apps::App,
    domain::{AppName, Plan, plan::QuotaKind},
    dynos::AppPhase,
    http::CurrentUser,
    web::{
        Page, Web,
        cx::Cx,
        lang, page,
        state::{self, Awake, Pill},
    },
};

#[derive(Template)]
#[template(path = "quota.html")]
struct QuotaPage {
    cx: Cx,
    plans: Vec<PlanCard>,
    rows: Vec<Row>,
    /// Awake time of all of them that counts, together.
    total: String,
}

/// A plan in force.
struct PlanCard {
    name: String,
    /// Whose it is: the account's, or of single apps.
    of: String,
    limits: Vec<(String, String)>,
}

/// An app of the reader's own.
struct Row {
    name: AppName,
    state: Pill,
    awake: Awake,
    /// When it has to rest, or may wake again.
    rest: String,
}

pub async fn quota(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser) -> Page {
    let apps = web.reader.apps_open_to(user.id).await?.into_iter().filter(|app| app.owner_id == user.id);
    let spans = web.reader.awake_spans_open_to(user.id, cx.now - state::WINDOW).await?;
    let account = web.plans.of_account(user.id);
    let mut others: BTreeMap<String, (Plan, Vec<String>)> = BTreeMap::new();
    let (mut rows, mut total) = (Vec::new(), Duration::ZERO);
    for app in apps {
        let plan = web.plans.of(&app);
        if plan.name != account.name {
            others.entry(plan.name.clone()).or_insert_with(|| ((*plan).clone(), Vec::new())).1.push(app.name.to_string());
        }
        let status = state::status(&web, app.id);
        total += status.as_ref().map_or(Duration::ZERO, |status| status.quota.used);
        let awake = state::awake_in(&web, &cx, (&app, status.as_ref()), spans.get(&app.id).map_or(&[], Vec::as_slice));
        rows.push(Row { state: Pill::of(&cx, status.as_ref(), false), rest: rest(&web, &cx, &app), awake, name: app.name });
    }
    let mut plans = vec![card(&cx, &account, cx.t("quota-of-account"))];
    plans.extend(others.into_values().map(|(plan, apps)| card(&cx, &plan, cx.t1("quota-of-apps", "apps", apps.join(", ")))));
    Ok(page(StatusCode::OK, &QuotaPage { plans, rows, total: lang::hours(total), cx }))
}

fn card(cx: &Cx, plan: &Plan, of: String) -> PlanCard {
    let quota = match plan.quota {
        QuotaKind::Daily => {
            cx.lang.with("plan-daily", &[("awake", &lang::hours(plan.awake_limit)), ("window", &lang::hours(plan.quota_window))])
        }
        QuotaKind::Monthly => cx.t1("plan-monthly", "pool", lang::hours(plan.monthly_pool)),
        QuotaKind::None => cx.t("plan-no-quota"),
    };
    let limits = vec![
        (cx.t("quota-memory"), lang::mebibytes(plan.memory_bytes)),
        (cx.t("plan-dynos"), plan.dynos_per_type.to_string()),
        (cx.t("plan-types"), plan.process_types.to_string()),
        (cx.t("quota-idle"), lang::rough(plan.idle_after)),
        (cx.t("awake-time"), quota),
        (cx.t("plan-rows"), lang::grouped(cx.lang, plan.rows.into())),
        (cx.t("plan-apps"), plan.apps_per_account.to_string()),
    ];
    PlanCard { name: plan.name.clone(), of, limits }
}

fn rest(web: &Web, cx: &Cx, app: &App) -> String {
    let Some(status) = state::status(web, app.id) else { return String::new() };
    match (status.phase, status.quota.allow_until) {
        (AppPhase::Resting { until }, _) => cx.t1("rests-for", "time", lang::hours(until.since(cx.now))),
        (AppPhase::Awake | AppPhase::Napping | AppPhase::Waking, Some(until)) => {
            cx.t1("quota-rests-in", "time", lang::hours(until.since(cx.now)))
        }
        _ => String::new(),
    }
}
