//! What a log says is wrong, in the reader's language, with the line that tells it.

use crate::{
    apps::App,
    builder::Build,
    domain::{
        BuildStatus, LogLine,
        hint::{self, Hint},
        log_line::Source,
    },
    dynos::AppPhase,
    http::Fault,
    logs::Filter,
    web::{Web, ansi, cx::Cx},
};

/// Lines of an app's log that are looked at.
const LOOKED_AT: usize = 300;

/// A hint as it is shown.
pub struct HintView {
    pub text: String,
    pub line: ansi::Markup,
}

impl HintView {
    fn of(cx: &Cx, lines: &[String]) -> Option<HintView> {
        let Hint { key, what, fix, line } = hint::find(lines)?;
        let text = cx.lang.with(key, &[("what", &what), ("fix", &fix)]);
        Some(HintView { text, line: ansi::to_html(lines[line].trim_start_matches([' ', '!'])) })
    }

    /// Of a build: its output, and what the app's dynos said of a release that did not boot.
    pub async fn of_build(web: &Web, cx: &Cx, build: &Build, output: &[u8]) -> Result<Option<HintView>, Fault> {
        let mut lines: Vec<String> = String::from_utf8_lossy(output).lines().map(ansi::to_text).collect();
        let launched = build.phases.iter().any(|phase| phase.name == "Release");
        if let (BuildStatus::Failed, true, Some(from), Some(to)) = (build.status, launched, build.started_at, build.finished_at) {
            let log = web.logs.recent(build.app_id, &Filter::default(), LOOKED_AT).await?;
            // Lines of the same millisecond as the end belong to it.
            let during = log.iter().filter(|(_, line)| (from.millis()..=to.millis()).contains(&(line.at_micros / 1000)));
            lines.extend(during.filter_map(|(_, line)| telling(line)));
        }
        Ok(HintView::of(cx, &lines))
    }

    /// Of an app that crashed, or that is awake and says what it lacks.
    pub async fn of_app(web: &Web, cx: &Cx, app: &App, phase: Option<AppPhase>) -> Result<Option<HintView>, Fault> {
        let crashed = phase == Some(AppPhase::Crashed);
        if !crashed && !matches!(phase, Some(AppPhase::Awake | AppPhase::Napping)) {
            return Ok(None);
        }
        let log = web.logs.recent(app.id, &Filter::default(), LOOKED_AT).await?;
        // What an earlier release or an earlier life said is over.
        let begins = |line: &LogLine| match crashed {
            true => line.source == Source::App && line.ps == "api" && line.message.starts_with("Release v"),
            false => line.source == Source::Heroku && line.message == "State changed from starting to up",
        };
        let first = log.iter().rposition(|(_, line)| begins(line)).unwrap_or(0);
        let lines: Vec<String> = log[first..].iter().filter_map(|(_, line)| telling(line)).collect();
        Ok(HintView::of(cx, &lines))
    }
}

/// What to do about a sentence with which a build refuses a source.
pub fn of_objection(cx: &Cx, why: &str) -> Option<String> {
    let Hint { key, what, fix, .. } = hint::find(&[format!(" !     {why}")])?;
    Some(cx.lang.with(key, &[("what", &what), ("fix", &fix)]))
}

/// A line that may tell; what visitors asked for does not.
fn telling(line: &LogLine) -> Option<String> {
    (line.ps != "router").then(|| ansi::to_text(&line.message))
}
