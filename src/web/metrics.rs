//! The Metrics page: what an app did and used, as charts drawn by the server.

use std::{collections::BTreeMap, time::Duration};

use askama::Template;
use axum::extract::{Query, State};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    apps::App,
    domain::{Timestamp, event::EventKind, quota::Span},
    http::{AppAccess, Fault, Viewer},
    metrics::{Range, Usage, first_point},
    web::{
        Page, Web, activity,
        app::{Head, Seen, Tab},
        chart::{Chart, Ground, Marker, stacked},
        cx::Cx,
        lang, page,
        state::{Awake, Bar, Tick, bars},
    },
};

#[derive(Template)]
#[template(path = "metrics.html")]
struct MetricsPage {
    cx: Cx,
    head: Head,
    ranges: Vec<RangeLink>,
    charts: Vec<Chart>,
    ground: Ground,
    awake: Vec<Bar>,
    awake_label: String,
    ticks: Vec<Tick>,
    /// Newest first.
    rows: Vec<Row>,
    points: usize,
    short: bool,
}

struct RangeLink {
    code: &'static str,
    word: String,
    here: bool,
}

/// The numbers behind one point of the charts.
struct Row {
    index: usize,
    at: Timestamp,
    requests: u64,
    statuses: [u32; 4],
    times: [String; 3],
    memory: String,
    cpu: String,
}

impl Row {
    /// In UTC.
    fn time(&self) -> String {
        self.at.to_jiff().strftime("%Y-%m-%d %H:%M").to_string()
    }
}

#[derive(Deserialize)]
pub struct Wanted {
    #[serde(default)]
    range: String,
}

pub async fn metrics(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Viewer, Query(wanted): Query<Wanted>) -> Page {
    let Seen { head, .. } = Head::see(&web, &cx, &app, Tab::Metrics).await?;
    let range = Range::parse(&wanted.range).unwrap_or(Range::Day);
    let points = in_order(&cx, range, &web.history.of(app.id, range).await?);
    let whole = range.step() * u32::try_from(range.points()).unwrap_or(u32::MAX);
    let spans = web.dynos.awake_spans(app.id, whole).await?;
    let from = first_point(range, cx.now);
    let (awake, label) = strip(&cx, &spans, (from, whole));
    let metrics = MetricsPage {
        ranges: Range::ALL.into_iter().map(|each| link(&cx, each, range)).collect(),
        charts: charts(&cx, &points, range, web.plans.of(&app).memory_bytes),
        ground: Ground { asleep: asleep(&spans, from, whole), markers: markers(&web, &cx, &app, (from, whole)).await? },
        awake,
        awake_label: label,
        ticks: ticks(from, whole, range),
        rows: rows(&points, from, range),
        points: range.points(),
        short: matches!(range, Range::TwoHours | Range::Day),
        head,
        cx,
    };
    Ok(page(StatusCode::OK, &metrics))
}

fn link(cx: &Cx, range: Range, here: Range) -> RangeLink {
    let word = match range {
        Range::TwoHours => cx.t("range-2h"),
        Range::Day => cx.t("range-24h"),
        Range::ThreeDays => cx.t("range-72h"),
        Range::Week => cx.t("range-7d"),
    };
    RangeLink { code: range.as_str(), word, here: range == here }
}

/// One place a point of the range, oldest first; None where the app did nothing.
fn in_order(cx: &Cx, range: Range, points: &BTreeMap<Timestamp, Usage>) -> Vec<Option<Usage>> {
    let from = first_point(range, cx.now);
    (0..range.points()).map(|index| points.get(&moment(from, range, index)).copied()).collect()
}

fn moment(from: Timestamp, range: Range, index: usize) -> Timestamp {
    from + range.step() * u32::try_from(index).unwrap_or(u32::MAX)
}

fn charts(cx: &Cx, points: &[Option<Usage>], range: Range, memory_limit: i64) -> Vec<Chart> {
    let of = |value: &dyn Fn(&Usage) -> Option<f64>| -> Vec<Option<f64>> { points.iter().map(|p| p.as_ref().and_then(value)).collect() };
    let statuses: Vec<[f64; 4]> = points.iter().map(|point| point.map_or([0.0; 4], |usage| usage.statuses.map(f64::from))).collect();
    let percentile = |share: f64| of(&move |usage| usage.times.percentile(share).map(|time| time.as_secs_f64() * 1000.0));
    let memory = of(&|usage| (usage.used_bytes > 0).then_some(usage.used_bytes as f64 / MIB));
    let cpu = of(&|usage| (usage.used_bytes > 0 || !usage.cpu.is_zero()).then_some(share(usage.cpu, range.step())));
    let limit = memory_limit as f64 / MIB;
    let classes = ["2xx", "3xx", "4xx", "5xx"].map(str::to_owned);
    vec![
        stacked(cx.t("chart-requests"), classes, &statuses),
        Chart::lines(cx.t("chart-times"), "ms", &[("p50", percentile(0.5)), ("p95", percentile(0.95)), ("p99", percentile(0.99))]),
        Chart::lines(cx.t("chart-memory"), "MB", &[("", memory)])
            .limited(limit, cx.t1("chart-limit", "limit", lang::mebibytes(memory_limit))),
        Chart::lines(cx.t("chart-cpu"), "%", &[("", cpu)]),
    ]
}

/// The newest events that are looked through for crashes.
const EVENTS: u32 = 500;

const MIB: f64 = 1024.0 * 1024.0;

/// CPU time of a stretch in percent of one core.
fn share(cpu: Duration, step: Duration) -> f64 {
    cpu.as_secs_f64() / step.as_secs_f64() * 100.0
}

fn strip(cx: &Cx, spans: &[Span], (from, whole): (Timestamp, Duration)) -> (Vec<Bar>, String) {
    let (bars, awake) = bars(spans, from, whole, cx.now);
    (bars, Awake::spoken(cx, awake, whole))
}

/// The stretches of the charts in which nothing could have been measured.
fn asleep(spans: &[Span], from: Timestamp, whole: Duration) -> Vec<Bar> {
    let end = from + whole;
    let mut gaps = Vec::new();
    let mut at = from;
    for span in spans {
        if span.from > at {
            gaps.push(Span { from: at, to: Some(span.from) });
        }
        at = at.max(span.to.unwrap_or(end));
    }
    gaps.push(Span { from: at, to: Some(end) });
    bars(&gaps, from, whole, end).0
}

/// Releases and crashes.
async fn markers(web: &Web, cx: &Cx, app: &App, (from, whole): (Timestamp, Duration)) -> Result<Vec<Marker>, Fault> {
    let x = |at: Timestamp| format!("{:.2}", at.since(from).as_secs_f64() / whole.as_secs_f64() * 100.0);
    let releases = web.reader.releases(app.id).await?.into_iter().filter(|release| release.created_at >= from);
    let mut markers: Vec<Marker> = releases
        .map(|release| Marker { x: x(release.created_at), word: format!("{} {}", release.version, release.description), bad: false })
        .collect();
    let events = web.reader.events(app.id, EVENTS).await?;
    let crashes = events.into_iter().filter(|event| event.kind == EventKind::Crash && event.at >= from);
    markers.extend(crashes.map(|event| Marker { x: x(event.at), word: activity::entry(cx, event).text, bad: true }));
    Ok(markers)
}

fn ticks(from: Timestamp, whole: Duration, range: Range) -> Vec<Tick> {
    let text = |at: Timestamp| match range {
        Range::TwoHours | Range::Day => lang::clock_time(at),
        Range::ThreeDays | Range::Week => at.to_jiff().strftime("%d.%m. %H:%M").to_string(),
    };
    let moments = (0..6).map(|part| from + whole / 6 * part);
    moments.map(|at| Tick { at, text: text(at) }).collect()
}

fn rows(points: &[Option<Usage>], from: Timestamp, range: Range) -> Vec<Row> {
    let time =
        |usage: &Usage, share: f64| usage.times.percentile(share).map_or_else(|| "–".to_owned(), |time| format!("{} ms", time.as_millis()));
    let row = |(index, usage): (usize, &Usage)| Row {
        index,
        at: moment(from, range, index),
        requests: usage.requests(),
        statuses: usage.statuses,
        times: [0.5, 0.95, 0.99].map(|share| time(usage, share)),
        memory: if usage.used_bytes == 0 { "–".to_owned() } else { format!("{:.0} MB", usage.used_bytes as f64 / MIB) },
        cpu: format!("{:.1} %", share(usage.cpu, range.step())),
    };
    points.iter().enumerate().rev().filter_map(|(index, usage)| usage.as_ref().map(|usage| row((index, usage)))).collect()
}
