//! The log of an app: its last lines in the page, new ones as they come.

use std::{convert::Infallible, sync::Arc};

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::{
    apps::App,
    domain::{LogLine, Timestamp, log_line::Source},
    http::{AppAccess, Fault, Viewer},
    logs::{Filter, KEPT_LINES, TailItem},
    web::{
        Page, Web, ansi,
        app::{Head, Seen, Tab},
        cx::Cx,
        hint::HintView,
        oops::encode,
        page,
    },
};

/// Lines a page shows before new ones come.
const SHOWN: usize = 500;

#[derive(Template)]
#[template(path = "logs.html")]
struct LogsPage {
    cx: Cx,
    head: Head,
    hint: Option<HintView>,
    tail: Tail,
    choices: Vec<String>,
    wanted: Wanted,
    /// The same lines as a file.
    file: String,
}

/// The last lines and where the stream goes on.
pub struct Tail {
    pub lines: Vec<Line>,
    pub stream: String,
    /// The number of the last line shown; empty when there is none.
    pub last: String,
}

/// One line as it is shown.
pub struct Line {
    pub number: u64,
    pub at: Timestamp,
    /// `16:29:41` in UTC.
    pub time: String,
    pub source: String,
    pub source_class: &'static str,
    pub class: &'static str,
    pub html: ansi::Markup,
}

#[derive(Template)]
#[template(path = "_line.html")]
struct LineItem<'a> {
    line: &'a Line,
}

impl Line {
    fn of(number: u64, line: &LogLine) -> Line {
        let at = Timestamp(line.at_micros / 1000);
        let source_class = match (line.source, line.ps.as_str()) {
            (_, "router") => "rt",
            (Source::Heroku, _) | (Source::App, "api") => "sys",
            (Source::App, _) => "",
        };
        Line {
            number,
            at,
            time: at.to_jiff().strftime("%H:%M:%S").to_string(),
            source: ansi::to_text(&format!("{}[{}]", line.source.as_str(), line.ps)),
            source_class,
            class: severity(line),
            html: ansi::to_html(&line.message),
        }
    }
}

/// What the platform calls an error gets a red edge, what anybody calls a warning an amber one.
fn severity(line: &LogLine) -> &'static str {
    let platform = line.source == Source::Heroku;
    if platform && (line.message.starts_with("Error ") || line.message.starts_with("at=error")) {
        "bad"
    } else if line.message.contains("WARNING") || (platform && line.message.starts_with("at=warning")) {
        "warn"
    } else {
        ""
    }
}

impl Tail {
    /// The last `count` lines that match.
    pub async fn load(web: &Web, app: &App, filter: &Filter, count: usize) -> Result<Tail, Fault> {
        let lines: Vec<Line> = web.logs.recent(app.id, filter, count).await?.iter().map(|(number, line)| Line::of(*number, line)).collect();
        Ok(Tail {
            last: lines.last().map(|line| line.number.to_string()).unwrap_or_default(),
            stream: format!("/apps/{}/logs/tail{}", app.name, query(filter)),
            lines,
        })
    }
}

fn query(filter: &Filter) -> String {
    let (ps, text) = (filter.ps.as_deref().unwrap_or_default(), filter.text.as_deref().unwrap_or_default());
    format!("?source={}&ps={}&q={}", filter.source.map_or("", Source::as_str), encode(ps), encode(text))
}

#[derive(Deserialize)]
pub struct Wanted {
    #[serde(default)]
    source: String,
    #[serde(default)]
    ps: String,
    #[serde(default)]
    q: String,
    /// The number of the last line the page shows.
    after: Option<u64>,
}

impl Wanted {
    fn filter(&self) -> Filter {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let source = match self.source.as_str() {
            "app" => Some(Source::App),
            "heroku" => Some(Source::Heroku),
            _ => None,
        };
        Filter { source, ps: given(&self.ps), text: given(&self.q) }
    }
}

pub async fn logs(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Viewer, Query(wanted): Query<Wanted>) -> Page {
    let Seen { head, status, .. } = Head::see(&web, &cx, &app, Tab::Logs).await?;
    let hint = HintView::of_app(&web, &cx, &app, status.map(|status| status.phase)).await?;
    let mut choices: Vec<String> = web.dynos.formation(app.id).await?.into_iter().map(|row| row.process_type.to_string()).collect();
    choices.extend(["router".to_owned(), "api".to_owned()]);
    let filter = wanted.filter();
    // A search goes through all that is kept.
    let count = if filter.text.is_some() { KEPT_LINES } else { SHOWN };
    let tail = Tail::load(&web, &app, &filter, count).await?;
    let file = format!("/apps/{}/logs/download{}", app.name, query(&filter));
    Ok(page(StatusCode::OK, &LogsPage { cx, head, hint, tail, choices, wanted, file }))
}

/// `GET /apps/{app}/logs/download`: all that is kept and matches, as the command line shows it.
pub async fn download(State(web): State<Web>, AppAccess { app, .. }: Viewer, Query(wanted): Query<Wanted>) -> Page {
    let lines = web.logs.recent(app.id, &wanted.filter(), KEPT_LINES).await?;
    let text: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
    let name = format!("attachment; filename=\"{}.log\"", app.name);
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, name.as_str()),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}

/// `GET /apps/{app}/logs/tail`: lines as HTML, numbered, so that a lost connection resumes.
pub async fn tail(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Viewer, Query(wanted): Query<Wanted>, headers: HeaderMap) -> Page {
    let after = last_event_id(&headers).or(wanted.after);
    let items = web.logs.tail(app.id, wanted.filter(), SHOWN, after).await?;
    let events = items.map(move |item| Ok::<_, Infallible>(event(&cx, item)));
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

fn event(cx: &Cx, item: TailItem) -> Event {
    match item {
        TailItem::Line(number, line) => Event::default().id(number.to_string()).data(line_html(number, &line)),
        TailItem::Dropped(count) => Event::default().event("dropped").data(cx.tn("log-dropped", count)),
    }
}

fn line_html(number: u64, line: &Arc<LogLine>) -> String {
    LineItem { line: &Line::of(number, line) }.render().unwrap_or_default().trim().to_owned()
}

/// Where a browser's event stream broke off.
pub fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}
