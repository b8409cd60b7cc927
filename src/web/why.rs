//! Why an app is as it is, answered from its event log: awake, asleep, resting, crashed, off, not
//! deployed.

use serde_json::Value;

use crate::{
    domain::{
        BuildStatus, Timestamp,
        build::Build,
        event::{Event, EventKind},
        release::short_commit,
    },
    dynos::{AppPhase, AppStatus},
    web::{cx::Cx, lang},
};

/// A question somebody has, with its answer.
pub struct Answer {
    pub question: String,
    pub text: String,
    /// When what the answer tells of happened.
    pub at: Option<Timestamp>,
}

/// The answers of an app; `events` and `builds` are the newest first.
pub fn answers(cx: &Cx, status: Option<&AppStatus>, events: &[Event], builds: &[Build]) -> Vec<Answer> {
    let phase = status.map_or(AppPhase::Blank, |status| status.phase);
    let state = match phase {
        AppPhase::Awake | AppPhase::Napping | AppPhase::Waking => awake(cx, status, events),
        AppPhase::Asleep => asleep(cx, events),
        AppPhase::Resting { until } => {
            let text = cx.t1("why-resting-text", "time", lang::hours(until.since(cx.now)));
            Some(Answer { question: cx.t("why-resting"), text, at: last(events, EventKind::Rest).map(|event| event.at) })
        }
        AppPhase::Crashed => crashed(cx, events),
        AppPhase::Off => {
            let scaled = last(events, EventKind::Scale);
            let text = scaled.map_or_else(|| cx.t("why-off-text"), |event| cx.t1("why-off-by", "who", &event.actor));
            Some(Answer { question: cx.t("why-off"), text, at: scaled.map(|event| event.at) })
        }
        AppPhase::Blank => None,
    };
    state.into_iter().chain(not_deployed(cx, phase, builds)).collect()
}

fn last(events: &[Event], kind: EventKind) -> Option<&Event> {
    events.iter().find(|event| event.kind == kind)
}

fn awake(cx: &Cx, status: Option<&AppStatus>, events: &[Event]) -> Option<Answer> {
    let event = events.iter().find(|event| matches!(event.kind, EventKind::Wake | EventKind::Deploy | EventKind::Rollback))?;
    let why = if event.kind == EventKind::Wake { event.detail["why"].as_str()? } else { "release" };
    let because = match why {
        "request" => caller(&event.detail["by"]).map_or_else(|| cx.t("why-awake-visitor"), |who| cx.t1("why-awake-request", "who", who)),
        "hand" => cx.t("why-awake-hand"),
        "release" => cx.t("why-awake-release"),
        "rested" => cx.t("why-awake-rested"),
        _ => return None,
    };
    let sleeps = status.and_then(|status| status.sleeps_at);
    let then = sleeps.map(|at| cx.t1("why-awake-until", "time", lang::rough(at.since(cx.now)))).unwrap_or_default();
    Some(Answer { question: cx.t("why-awake"), text: format!("{because} {then}").trim().to_owned(), at: Some(event.at) })
}

fn asleep(cx: &Cx, events: &[Event]) -> Option<Answer> {
    let event = last(events, EventKind::Sleep)?;
    let text = match (event.detail["why"].as_str()?, caller(&event.detail["last"])) {
        ("idle", Some(who)) => cx.t1("why-asleep-since", "who", who),
        ("idle", None) => cx.t("why-asleep-idle"),
        _ => cx.t("why-asleep-hand"),
    };
    Some(Answer { question: cx.t("why-asleep"), text, at: Some(event.at) })
}

fn crashed(cx: &Cx, events: &[Event]) -> Option<Answer> {
    let event = last(events, EventKind::Crash)?;
    let text = format!("{}: {}", event.detail["dyno"].as_str()?, event.detail["why"].as_str()?);
    Some(Answer { question: cx.t("why-crashed"), text, at: Some(event.at) })
}

/// What stands between the newest code and its visitors.
fn not_deployed(cx: &Cx, phase: AppPhase, builds: &[Build]) -> Option<Answer> {
    let question = cx.t("why-not-deployed");
    let Some(build) = builds.first() else {
        return (phase == AppPhase::Blank).then(|| Answer { question, text: cx.t("why-no-code"), at: None });
    };
    let label = build.source_version.as_deref().map_or_else(|| cx.t("an-upload"), |version| short_commit(version).to_owned());
    let key = match build.status {
        BuildStatus::Failed => "why-build-failed",
        BuildStatus::Cancelled => "why-build-cancelled",
        BuildStatus::Queued => "why-build-queued",
        BuildStatus::Running | BuildStatus::Succeeded => return None,
    };
    let error = build.error.clone().unwrap_or_default();
    Some(Answer {
        question,
        text: cx.lang.with(key, &[("label", &label), ("error", &error)]).trim().to_owned(),
        at: Some(build.created_at),
    })
}

/// `GET /carrito from 203.0.113.x`, of a caller as an event holds it.
fn caller(detail: &Value) -> Option<String> {
    let (method, path, address) = (detail["method"].as_str()?, detail["path"].as_str()?, detail["address"].as_str()?);
    Some(format!("{method} {path} ({address})"))
}
