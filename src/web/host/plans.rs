//! Plans: made, changed, given to apps and accounts.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;

use super::{Admin, Tab, TabLink, tabs};
use crate::{
    domain::{Plan, QuotaKind, SleepBy},
    http::Fault,
    plans::PlanChange,
    web::{
        Page, Web,
        cx::Cx,
        form::Form,
        front::{Sent, fields},
        lang, page, say, see_other,
    },
};

#[derive(Template)]
#[template(path = "host_plans.html")]
struct PlansPage {
    cx: Cx,
    tabs: Vec<TabLink>,
    form: Form,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    memory: String,
    quota: String,
    apps: usize,
    accounts: usize,
}

#[derive(Template)]
#[template(path = "host_plan.html")]
struct PlanPage {
    cx: Cx,
    tabs: Vec<TabLink>,
    name: String,
    form: Form,
    numbers: Vec<Number>,
    sleep: &'static str,
    quota: &'static str,
    free: bool,
}

/// A field that takes a number.
struct Number {
    name: &'static str,
    word: String,
    hint: String,
    value: String,
}

pub async fn list(State(web): State<Web>, cx: Cx, _: Admin) -> Page {
    Ok(show(&web, cx, StatusCode::OK, Form::default()))
}

fn show(web: &Web, cx: Cx, status: StatusCode, form: Form) -> Response {
    let row = |plan: &Plan| {
        let (apps, accounts) = web.plans.holders(&plan.name);
        Row { name: plan.name.clone(), memory: lang::mebibytes(plan.memory_bytes), quota: quota_text(&cx, plan), apps, accounts }
    };
    let rows = web.plans.all().iter().map(|plan| row(plan)).collect();
    page(status, &PlansPage { rows, form, tabs: tabs(&cx, Tab::Plans), cx })
}

fn quota_text(cx: &Cx, plan: &Plan) -> String {
    match plan.quota {
        QuotaKind::Daily => {
            cx.lang.with("plan-daily", &[("awake", &lang::hours(plan.awake_limit)), ("window", &lang::hours(plan.quota_window))])
        }
        QuotaKind::Monthly => cx.t1("plan-monthly", "pool", lang::hours(plan.monthly_pool)),
        QuotaKind::None => cx.t("plan-no-quota"),
    }
}

#[derive(Deserialize)]
pub struct NewPlan {
    name: String,
}

/// Makes a plan with the limits of `free`, which are changed on its own page.
pub async fn create(State(web): State<Web>, cx: Cx, _: Admin, sent: Sent<NewPlan>) -> Page {
    let NewPlan { name } = fields(sent)?;
    let name = name.trim();
    if web.plans.named(name).is_ok() {
        let form = Form::default().filled("name", name).wrong("name", cx.t("plan-there"));
        return Ok(show(&web, cx, StatusCode::UNPROCESSABLE_ENTITY, form));
    }
    match web.plans.set(name, &PlanChange::default()).await {
        Ok(plan) => Ok(see_other(&format!("/host/plans/{}", plan.name), [cx.flash(true, "flash-saved", "")])),
        Err(error) => match say::plan(cx.lang, &error) {
            Some(text) => Ok(show(&web, cx, StatusCode::UNPROCESSABLE_ENTITY, Form::default().filled("name", name).wrong("name", text))),
            None => Err(error.into()),
        },
    }
}

#[derive(Deserialize)]
pub struct Given {
    app: String,
    /// Empty: the app has no plan of its own any more.
    plan: String,
}

/// Gives an app a plan of its own.
pub async fn assign(State(web): State<Web>, cx: Cx, _: Admin, sent: Sent<Given>) -> Page {
    let Given { app, plan } = fields(sent)?;
    let done = async {
        let holder = web.plans.holder(Some(app.trim()), None).await?;
        web.plans.assign(holder, Some(plan.as_str()).filter(|plan| !plan.is_empty())).await
    };
    match done.await {
        Ok(()) => Ok(see_other("/host/plans", [cx.flash(true, "flash-plan-given", app.trim())])),
        Err(error) => match say::plan(cx.lang, &error) {
            Some(text) => Ok(show(&web, cx, StatusCode::UNPROCESSABLE_ENTITY, Form::default().filled("app", app).wrong("app", text))),
            None => Err(error.into()),
        },
    }
}

pub async fn plan(State(web): State<Web>, cx: Cx, _: Admin, Path(name): Path<String>) -> Page {
    let plan = web.plans.named(&name)?;
    Ok(show_plan(cx, &plan, StatusCode::OK, Form::default()))
}

fn show_plan(cx: Cx, plan: &Plan, status: StatusCode, form: Form) -> Response {
    let number = |value: f64| format!("{}", (value * 1000.0).round() / 1000.0);
    let hours = |time: Duration| number(time.as_secs_f64() / 3600.0);
    let minutes = |time: Duration| number(time.as_secs_f64() / 60.0);
    let megabytes = |bytes: i64| number(bytes as f64 / (1024.0 * 1024.0));
    let field = |name: &'static str, word: &str, hint: &str, now: String| Number {
        name,
        word: cx.t(word),
        hint: if hint.is_empty() { String::new() } else { cx.t(hint) },
        value: if form.value(name).is_empty() { now } else { form.value(name).to_owned() },
    };
    let numbers = vec![
        field("memory_mb", "plan-memory", "", megabytes(plan.memory_bytes)),
        field("dynos_per_type", "plan-dynos", "", plan.dynos_per_type.to_string()),
        field("process_types", "plan-types", "", plan.process_types.to_string()),
        field("idle_minutes", "plan-idle", "", minutes(plan.idle_after)),
        field("nap_seconds", "plan-nap", "plan-nap-hint", plan.nap_after.map_or_else(|| "0".to_owned(), |nap| number(nap.as_secs_f64()))),
        field("awake_hours", "plan-awake", "plan-awake-hint", hours(plan.awake_limit)),
        field("window_hours", "plan-window", "", hours(plan.quota_window)),
        field("rest_hours", "plan-rest", "plan-rest-hint", hours(plan.rest)),
        field("pool_hours", "plan-pool", "plan-pool-hint", hours(plan.monthly_pool)),
        field("rows", "plan-rows", "", plan.rows.to_string()),
        field("apps", "plan-apps", "", plan.apps_per_account.to_string()),
        field("build_minutes", "plan-build", "", minutes(plan.build_timeout)),
        field("build_memory_mb", "plan-build-memory", "", megabytes(plan.build_memory_bytes)),
    ];
    let quota = match plan.quota {
        QuotaKind::Daily => "daily",
        QuotaKind::Monthly => "monthly",
        QuotaKind::None => "none",
    };
    let free = plan.name == Plan::FREE;
    let shown =
        PlanPage { numbers, quota, sleep: plan.sleep_by.as_str(), free, name: plan.name.clone(), form, tabs: tabs(&cx, Tab::Plans), cx };
    page(status, &shown)
}

/// The form of a plan as it is sent: numbers as they are typed.
#[derive(Deserialize)]
pub struct Limits {
    memory_mb: String,
    dynos_per_type: String,
    process_types: String,
    idle_minutes: String,
    nap_seconds: String,
    sleep: String,
    quota: String,
    awake_hours: String,
    window_hours: String,
    rest_hours: String,
    pool_hours: String,
    rows: String,
    apps: String,
    build_minutes: String,
    build_memory_mb: String,
}

impl Limits {
    /// What it asks for, or the name of the field that is no number.
    fn change(&self) -> Result<PlanChange, &'static str> {
        fn read<T: std::str::FromStr>(name: &'static str, text: &str) -> Result<Option<T>, &'static str> {
            text.trim().replace(',', ".").parse().map(Some).map_err(|_| name)
        }
        Ok(PlanChange {
            memory_mb: read("memory_mb", &self.memory_mb)?,
            dynos_per_type: read("dynos_per_type", &self.dynos_per_type)?,
            process_types: read("process_types", &self.process_types)?,
            idle_minutes: read("idle_minutes", &self.idle_minutes)?,
            nap_seconds: read("nap_seconds", &self.nap_seconds)?,
            sleep: read::<SleepBy>("sleep", &self.sleep)?,
            quota: read::<QuotaKind>("quota", &self.quota)?,
            awake_hours: read("awake_hours", &self.awake_hours)?,
            window_hours: read("window_hours", &self.window_hours)?,
            rest_hours: read("rest_hours", &self.rest_hours)?,
            pool_hours: read("pool_hours", &self.pool_hours)?,
            rows: read("rows", &self.rows)?,
            apps: read("apps", &self.apps)?,
            build_minutes: read("build_minutes", &self.build_minutes)?,
            build_memory_mb: read("build_memory_mb", &self.build_memory_mb)?,
        })
    }

    /// The numbers to show again.
    fn form(&self) -> Form {
        Form::default()
            .filled("memory_mb", &self.memory_mb)
            .filled("dynos_per_type", &self.dynos_per_type)
            .filled("process_types", &self.process_types)
            .filled("idle_minutes", &self.idle_minutes)
            .filled("nap_seconds", &self.nap_seconds)
            .filled("awake_hours", &self.awake_hours)
            .filled("window_hours", &self.window_hours)
            .filled("rest_hours", &self.rest_hours)
            .filled("pool_hours", &self.pool_hours)
            .filled("rows", &self.rows)
            .filled("apps", &self.apps)
            .filled("build_minutes", &self.build_minutes)
            .filled("build_memory_mb", &self.build_memory_mb)
    }
}

/// It counts for running apps at once.
pub async fn save(State(web): State<Web>, cx: Cx, _: Admin, Path(name): Path<String>, sent: Sent<Limits>) -> Page {
    let (limits, plan) = (fields(sent)?, web.plans.named(&name)?);
    let refuse = |cx: Cx, form: Form| Ok(show_plan(cx, &plan, StatusCode::UNPROCESSABLE_ENTITY, form));
    let change = match limits.change() {
        Ok(change) => change,
        Err(field) => {
            let text = cx.t("plan-no-number");
            return refuse(cx, limits.form().wrong(field, text));
        }
    };
    match web.plans.set(&name, &change).await {
        Ok(plan) => Ok(see_other(&format!("/host/plans/{}", plan.name), [cx.flash(true, "flash-saved", "")])),
        Err(error) => match say::plan(cx.lang, &error) {
            Some(text) => refuse(cx, limits.form().wrong("form", text)),
            None => Err(error.into()),
        },
    }
}

pub async fn delete(State(web): State<Web>, cx: Cx, _: Admin, Path(name): Path<String>) -> Page {
    let plan = web.plans.named(&name)?;
    match web.plans.delete(&name).await {
        Ok(()) => Ok(see_other("/host/plans", [cx.flash(true, "flash-plan-deleted", &name)])),
        Err(error) => match say::plan(cx.lang, &error) {
            Some(text) => Ok(show_plan(cx, &plan, StatusCode::UNPROCESSABLE_ENTITY, Form::default().wrong("form", text))),
            None => Err(Fault::from(error)),
        },
    }
}
