//! What an app is doing, as pages show it: the pill and the 24-hour strip.

use std::time::Duration;

use crate::{
    apps::App,
    domain::{AppId, Plan, Timestamp, quota::Span},
    dynos::{AppPhase, AppStatus},
    http::Fault,
    web::{Web, cx::Cx, lang},
};

/// How much time the strip shows.
pub const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// The pill: a word, and a class that adds colour and shape to it.
pub struct Pill {
    pub class: &'static str,
    pub word: String,
}

impl Pill {
    /// Of an app. A build that runs is said before everything else.
    pub fn of(cx: &Cx, status: Option<&AppStatus>, building: bool) -> Pill {
        let pill = |class, word: String| Pill { class, word };
        if building {
            return pill("warn live", cx.t("state-building"));
        }
        match status.map_or(AppPhase::Blank, |status| status.phase) {
            AppPhase::Blank => pill("off", cx.t("state-blank")),
            AppPhase::Awake => pill("ok live", cx.t("state-awake")),
            AppPhase::Napping => pill("ok", cx.t("state-napping")),
            AppPhase::Asleep => pill("sleep", cx.t("state-asleep")),
            AppPhase::Waking => pill("warn live", cx.t("state-waking")),
            AppPhase::Crashed => pill("bad", cx.t("state-crashed")),
            AppPhase::Off => pill("off", cx.t("state-off")),
            AppPhase::Resting { .. } => pill("sleep", cx.t("state-resting")),
        }
    }
}

/// One stretch of time awake, in percent of the strip.
pub struct Bar {
    pub x: String,
    pub width: String,
}

/// The strip of the last 24 hours and the quota's account.
pub struct Awake {
    pub bars: Vec<Bar>,
    /// Said instead of the picture.
    pub label: String,
    /// Awake time that counts, `13 h 12 m`.
    pub used: String,
    /// False: the plan has no quota, so there is nothing to say of a limit.
    pub has_quota: bool,
    pub limit: String,
    /// What is left, as a sentence; empty in a list.
    pub left: String,
    pub percent: String,
    /// Moments below the strip, the last of which is now; none in a list.
    pub ticks: Vec<Tick>,
}

/// A moment below the strip.
pub struct Tick {
    pub at: Timestamp,
    pub text: String,
}

impl Awake {
    /// The picture in words.
    pub fn spoken(cx: &Cx, awake: Duration, whole: Duration) -> String {
        let values =
            [("awake", &*lang::hours(awake)), ("asleep", &*lang::hours(whole.saturating_sub(awake))), ("whole", &*lang::hours(whole))];
        cx.lang.with("strip-label", &values)
    }

    fn of(cx: &Cx, plan: &Plan, spans: &[Span], used: Duration) -> Awake {
        let whole_quota = plan.quota_time().unwrap_or(plan.quota_window);
        let (bars, awake) = bars(spans, cx.now - WINDOW, WINDOW, cx.now);
        Awake {
            bars,
            label: Awake::spoken(cx, awake, WINDOW),
            used: lang::hours(used),
            has_quota: plan.quota_time().is_some(),
            limit: lang::hours(whole_quota),
            left: String::new(),
            percent: format!("{:.1}", (used.as_secs_f64() / whole_quota.as_secs_f64() * 100.0).min(100.0)),
            ticks: Vec::new(),
        }
    }

    /// With what stands below a strip that is alone on its card.
    fn told(self, cx: &Cx, plan: &Plan, used: Duration) -> Awake {
        let left = plan.quota_time().unwrap_or(plan.quota_window).saturating_sub(used);
        let tick = |hours: u32| cx.now - WINDOW + Duration::from_secs(3600) * hours;
        Awake {
            left: cx.lang.with("quota-left", &[("left", &lang::hours(left)), ("rest", &lang::hours(plan.rest))]),
            ticks: (0..24).step_by(4).map(|hours| Tick { at: tick(hours), text: lang::clock_time(tick(hours)) }).collect(),
            ..self
        }
    }
}

/// The stretches awake of a window, in percent of it, and how long they are together.
pub fn bars(spans: &[Span], from: Timestamp, whole: Duration, now: Timestamp) -> (Vec<Bar>, Duration) {
    let share = |span: Duration| span.as_secs_f64() / whole.as_secs_f64() * 100.0;
    let shown = spans.iter().map(|span| (span.from.max(from), span.to.unwrap_or(now).min(now))).filter(|(a, b)| b > a);
    let bar = |(a, b): (Timestamp, Timestamp)| Bar {
        x: format!("{:.2}", share(a.since(from))),
        width: format!("{:.2}", share(b.since(a)).max(0.25)),
    };
    (shown.clone().map(bar).collect(), shown.map(|(a, b)| b.since(a)).sum())
}

/// The present state of an app, if it has a supervisor.
pub fn status(web: &Web, app: AppId) -> Option<AppStatus> {
    web.dynos.status(app).map(|status| status.borrow().clone())
}

/// The strip of an app with what stands below it.
pub async fn awake(web: &Web, cx: &Cx, app: &App, status: Option<&AppStatus>) -> Result<Awake, Fault> {
    let spans = web.dynos.awake_spans(app.id, WINDOW).await?;
    Ok(awake_in(web, cx, (app, status), &spans).told(cx, &web.plans.of(app), used(status)))
}

/// The strip of an app that was awake in these stretches, for a list.
pub fn awake_in(web: &Web, cx: &Cx, (app, status): (&App, Option<&AppStatus>), spans: &[Span]) -> Awake {
    Awake::of(cx, &web.plans.of(app), spans, used(status))
}

fn used(status: Option<&AppStatus>) -> Duration {
    status.map_or(Duration::ZERO, |status| status.quota.used)
}
