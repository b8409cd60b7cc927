//! The page of a scheduler: its jobs with their last and next runs, a new one, one less; and what a
//! key-value store does when it is full.

use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    addons::{Addon, JobError},
    apps::App,
    domain::{
        JobId, Timestamp,
        addon::ServiceKind,
        backup::time_zone,
        job::{Job, JobFault},
    },
    http::{AppAccess, Deployer, Fault},
    web::{
        Page, Web,
        addons::{done, owned, show},
        cx::Cx,
        form::Form,
        front::{Sent, fields},
        see_other,
        state::Pill,
    },
};

/// What the page shows of jobs.
pub struct Jobs {
    pub rows: Vec<Row>,
    /// Offered for a new job: the app's own `TZ`, or UTC.
    pub time_zone: String,
}

/// One job.
pub struct Row {
    pub id: String,
    pub command: String,
    /// In words where it is a usual one.
    pub frequency: String,
    pub time_zone: String,
    pub next_at: Timestamp,
    pub last: Option<Last>,
    pub missed: Option<String>,
}

/// The last run of a job.
pub struct Last {
    pub at: Timestamp,
    pub state: Pill,
    pub dyno: String,
    pub error: Option<String>,
}

impl Jobs {
    /// The jobs of a scheduler; None for other add-ons.
    pub async fn load(web: &Web, cx: &Cx, addon: &Addon) -> Result<Option<Jobs>, Fault> {
        if addon.kind() != ServiceKind::Scheduler {
            return Ok(None);
        }
        let config = web.releases.config(addon.app_id).await?;
        let own = config.get("TZ").map(|value| secrecy::ExposeSecret::expose_secret(value).to_owned());
        let rows = web.reader.jobs_of_addon(addon.id).await?.into_iter().map(|job| row(cx, job)).collect();
        Ok(Some(Jobs { rows, time_zone: own.filter(|zone| time_zone(zone).is_ok()).unwrap_or_else(|| "UTC".to_owned()) }))
    }
}

fn row(cx: &Cx, job: Job) -> Row {
    let last = job.started_at.map(|at| Last {
        at,
        state: pill(cx, &job),
        dyno: job.dyno_name.clone().unwrap_or_default(),
        error: job.error.clone(),
    });
    Row {
        id: job.id.to_string(),
        frequency: frequency(cx, &job.cron),
        command: job.command,
        time_zone: job.time_zone,
        next_at: job.next_at,
        last,
        missed: (job.missed > 0).then(|| cx.tn("job-missed", job.missed)),
    }
}

fn pill(cx: &Cx, job: &Job) -> Pill {
    match job.exit_code {
        _ if job.runs() => Pill { class: "warn live", word: cx.t("job-runs") },
        Some(0) => Pill { class: "ok", word: cx.t("job-ok") },
        Some(code) => Pill { class: "bad", word: cx.t1("job-exit", "code", code) },
        None => Pill { class: "bad", word: cx.t("job-not-run") },
    }
}

/// `Every 10 minutes`, `Every hour at :30`, `Every day at 09:00`, or the expression itself.
fn frequency(cx: &Cx, cron: &str) -> String {
    let parts: Vec<&str> = cron.split(' ').collect();
    let number = |text: &str| text.parse::<u32>().ok();
    match parts[..] {
        ["*/10", "*", "*", "*", "*"] => cx.t("job-ten-minutes"),
        [minute, "*", "*", "*", "*"] if number(minute).is_some() => cx.t1("job-every-hour", "minute", format!("{minute:0>2}")),
        [minute, hour, "*", "*", "*"] if number(minute).is_some() && number(hour).is_some() => {
            cx.t1("job-every-day", "time", format!("{hour:0>2}:{minute:0>2}"))
        }
        _ => cron.to_owned(),
    }
}

#[derive(Deserialize)]
pub struct New {
    command: String,
    /// `ten`, `hour`, `day` or `cron`.
    every: String,
    /// `HH:MM`, of `hour` the minutes alone count.
    #[serde(default)]
    at: String,
    #[serde(default)]
    cron: String,
    #[serde(default)]
    time_zone: String,
}

impl New {
    /// The cron expression that is meant.
    fn expression(&self) -> String {
        let (hour, minute) = self.at.split_once(':').unwrap_or(("0", "0"));
        let plain = |text: &str| text.trim().trim_start_matches('0').to_owned();
        let number = |text: &str| Some(plain(text)).filter(|text| !text.is_empty()).unwrap_or_else(|| "0".to_owned());
        match self.every.as_str() {
            "ten" => "*/10 * * * *".to_owned(),
            "hour" => format!("{} * * * *", number(minute)),
            "day" => format!("{} {} * * *", number(minute), number(hour)),
            _ => self.cron.clone(),
        }
    }
}

/// A scheduler the app owns, by its name.
async fn scheduler(web: &Web, app: &App, named: &str) -> Result<Addon, Fault> {
    let addon = owned(web, app, named).await?;
    if addon.kind() == ServiceKind::Scheduler { Ok(addon) } else { Err(Fault::not_found("add_on")) }
}

pub async fn add(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, .. }: Deployer,
    Path((_, named)): Path<(String, String)>,
    sent: Sent<New>,
) -> Page {
    let new = fields(sent)?;
    let addon = scheduler(&web, &app, &named).await?;
    let zone = Some(new.time_zone.trim()).filter(|zone| !zone.is_empty()).unwrap_or("UTC");
    let (field, text) = match web.addons.add_job(&addon, &new.command, &new.expression(), zone).await {
        Ok(_) => {
            let back = format!("/apps/{}/addons/{}", app.name, addon.name);
            return Ok(see_other(&back, [cx.flash(true, "flash-job-added", "")]));
        }
        Err(JobError::Fault(JobFault::Command)) => ("command", cx.t("job-bad-command")),
        Err(JobError::Fault(JobFault::Cron(_))) => ("cron", cx.t("job-bad-cron")),
        Err(JobError::Fault(JobFault::TooOften)) => ("cron", cx.t("job-too-often")),
        Err(JobError::Fault(JobFault::TimeZone(_))) => ("time_zone", cx.t("job-bad-zone")),
        Err(JobError::TooMany(most)) => ("command", cx.tn("job-too-many", most)),
        Err(error) => return Err(error.into()),
    };
    let form = Form::default().filled("command", new.command).filled("cron", new.cron).filled("every", new.every).filled("at", new.at);
    let form = form.filled("time_zone", new.time_zone).wrong(field, text);
    show(&web, cx, &app, &addon, (StatusCode::UNPROCESSABLE_ENTITY, form, false)).await
}

#[derive(Deserialize)]
pub struct Delete {
    job: String,
}

pub async fn delete(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, .. }: Deployer,
    Path((_, named)): Path<(String, String)>,
    sent: Sent<Delete>,
) -> Page {
    let addon = scheduler(&web, &app, &named).await?;
    let id: JobId = fields(sent)?.job.parse().map_err(|_| Fault::not_found("job"))?;
    web.addons.delete_job(&addon, id).await?;
    let back = format!("/apps/{}/addons/{}", app.name, addon.name);
    Ok(see_other(&back, [cx.flash(true, "flash-job-deleted", "")]))
}

#[derive(Deserialize)]
pub struct Policy {
    policy: String,
}

/// What a key-value store does when it is full.
pub async fn set_policy(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, .. }: Deployer,
    Path((_, named)): Path<(String, String)>,
    sent: Sent<Policy>,
) -> Page {
    let policy = fields(sent)?.policy;
    let addon = owned(&web, &app, &named).await?;
    let back = format!("/apps/{}/addons/{}", app.name, addon.name);
    done(&cx, &back, ("flash-policy-set", &policy), web.addons.set_eviction_policy(&addon, &policy).await)
}
