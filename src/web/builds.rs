//! Deploying: the methods, the upload, the log of a build that survives a reload.

use std::{convert::Infallible, io, time::Duration};

use askama::Template;
use axum::{
    extract::{FromRequestParts, Multipart, Path, Query, State, multipart::MultipartError},
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode, request::Parts};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    apps::App,
    builder::{BuildError, BuildSource, OutputItem},
    domain::{
        AppId, BuildId, BuildStatus, SourceId, Timestamp,
        build::{Build, Phase},
        release::short_commit,
        user::Actor,
    },
    http::{AppAccess, CurrentUser, Deployer, Fault, Viewer},
    web::{
        Page, Web, ansi,
        app::{Head, Seen, Tab},
        cx::Cx,
        hint::HintView,
        lang,
        log::last_event_id,
        page,
        repository::{GithubView, Wanted},
        say, see_other,
        state::Pill,
        steps::GitView,
    },
};

/// Output that stands in the page itself, in bytes; the rest comes by the stream.
const SHOWN_BYTES: usize = 1024 * 1024;
/// A pause in the output this long means: that is all for now.
const PAUSE: Duration = Duration::from_millis(60);

#[derive(Template)]
#[template(path = "deploy.html")]
struct DeployPage {
    cx: Cx,
    head: Head,
    github: GithubView,
    wrong: Option<String>,
    script: String,
    builds: Vec<BuildView>,
}

#[derive(Template)]
#[template(path = "build.html")]
struct BuildPage {
    cx: Cx,
    head: Head,
    build: BuildView,
    /// Some for a build of a commit.
    git: Option<GitView>,
    hint: Option<HintView>,
    lines: Vec<ansi::Markup>,
    /// The byte behind the last line shown.
    next: u64,
}

#[derive(Template)]
#[template(path = "_output_line.html")]
struct OutputLine {
    html: ansi::Markup,
}

/// A build as it is shown.
pub struct BuildView {
    pub id: BuildId,
    pub label: String,
    pub state: Pill,
    pub finished: bool,
    /// It became a release.
    pub live: bool,
    pub error: Option<String>,
    pub phases: Vec<PhaseView>,
    pub by: String,
    pub at: Timestamp,
    pub took: String,
}

/// One timed part.
pub struct PhaseView {
    pub name: String,
    pub class: &'static str,
    pub took: String,
}

impl BuildView {
    pub fn of(cx: &Cx, build: &Build) -> BuildView {
        let (class, word) = match build.status {
            BuildStatus::Queued => ("warn", cx.t("build-queued")),
            BuildStatus::Running => ("warn live", cx.t("state-building")),
            BuildStatus::Succeeded => ("ok", cx.t("build-done")),
            BuildStatus::Failed => ("bad", cx.t("build-failed")),
            BuildStatus::Cancelled => ("off", cx.t("build-cancelled")),
        };
        let span = build.started_at.zip(build.finished_at).map(|(from, to)| to.since(from));
        BuildView {
            id: build.id,
            label: build.source_version.as_deref().map_or_else(|| cx.t("an-upload"), |version| short_commit(version).to_owned()),
            state: Pill { class, word },
            finished: build.status.is_finished(),
            live: build.release_id.is_some(),
            error: build.error.clone(),
            phases: build.phases.iter().map(|phase| phase_view(cx, phase, build.status)).collect(),
            by: build.user_email.clone(),
            at: build.created_at,
            took: span.map(lang::took).unwrap_or_default(),
        }
    }
}

fn phase_view(cx: &Cx, phase: &Phase, status: BuildStatus) -> PhaseView {
    let name = match phase.name.as_str() {
        "Receive" => cx.t("phase-receive"),
        "Detect" => cx.t("phase-detect"),
        "Install" => cx.t("phase-install"),
        "Image" => cx.t("phase-image"),
        "Release" => cx.t("phase-release"),
        "Start" => cx.t("phase-start"),
        other => other.to_owned(),
    };
    let class = match (phase.finished_at, status) {
        (None, BuildStatus::Queued | BuildStatus::Running) => "live",
        (None, _) => "bad",
        (Some(_), _) => "",
    };
    let end = phase.finished_at.map_or(cx.now, Timestamp);
    PhaseView { name, class, took: lang::took(end.since(Timestamp(phase.started_at))) }
}

pub async fn deploy_page(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, .. }: Deployer,
    CurrentUser(user): CurrentUser,
    Query(wanted): Query<Wanted>,
) -> Page {
    let github = GithubView::see(&web, &cx, (&app, &user), &wanted).await?;
    show_deploy(&web, cx, &app, github, (StatusCode::OK, None)).await
}

async fn show_deploy(web: &Web, cx: Cx, app: &App, github: GithubView, (status, wrong): (StatusCode, Option<String>)) -> Page {
    let Seen { head, .. } = Head::see(web, &cx, app, Tab::Deploy).await?;
    let builds = web.reader.builds(app.id, 10).await?.iter().map(|build| BuildView::of(&cx, build)).collect();
    let script = script(&web.config.dashboard_url(), app.name.as_str());
    Ok(page(status, &DeployPage { cx, head, github, wrong, script, builds }))
}

/// The same deploy from a terminal: an archive of the last commit through the API.
fn script(url: &str, name: &str) -> String {
    format!(
        "api() {{ curl -fsS -H \"Authorization: Bearer $SIESTA_TOKEN\" -H 'Content-Type: application/json' \"$@\"; }}\n\
         git archive --format=tar.gz -o /tmp/{name}.tgz HEAD\n\
         source=$(api -X POST {url}/apps/{name}/sources)\n\
         curl -fsST /tmp/{name}.tgz \"$(echo \"$source\" | jq -r .source_blob.put_url)\"\n\
         api -X POST {url}/apps/{name}/builds -d \"$(echo \"$source\" | jq '{{source_blob: {{url: .source_blob.get_url}}}}')\""
    )
}

/// Takes the archive as it comes and queues a build of it. Nothing is held in memory.
pub async fn upload(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, by }: Deployer,
    CurrentUser(user): CurrentUser,
    form: Multipart,
) -> Page {
    let sent = async {
        let (source, version) = receive(&web, app.id, &by, form).await?;
        web.builder.enqueue(app.id, BuildSource::Stored { source, version }, &by).await
    };
    match sent.await {
        Ok((build, _)) => Ok(see_other(&format!("/apps/{}/builds/{}", app.name, build.id), [])),
        Err(error) => match say::build(cx.lang, &error) {
            Some(text) => {
                let github = GithubView::see(&web, &cx, (&app, &user), &Wanted::default()).await?;
                show_deploy(&web, cx, &app, github, (StatusCode::UNPROCESSABLE_ENTITY, Some(text))).await
            }
            None => Err(error.into()),
        },
    }
}

/// Reads the form field by field: the version, then the archive, which goes straight to the builder.
async fn receive(web: &Web, app: AppId, by: &Actor, mut form: Multipart) -> Result<(SourceId, Option<String>), BuildError> {
    let mut version = None;
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        if field.name() == Some("version") {
            let text = field.text().await.map_err(broken)?;
            version = Some(text.trim().chars().take(100).collect::<String>()).filter(|text| !text.is_empty());
            continue;
        }
        let place = web.builder.create_source(Some(app), by).await?;
        let (pieces, body) = mpsc::channel::<io::Result<Bytes>>(8);
        let read = async move {
            loop {
                let piece = match field.chunk().await {
                    Ok(Some(bytes)) => Ok(bytes),
                    Ok(None) => break,
                    Err(error) => Err(io::Error::other(error)),
                };
                let failed = piece.is_err();
                if pieces.send(piece).await.is_err() || failed {
                    break;
                }
            }
        };
        let write = web.builder.receive(&place.put_token, ReceiverStream::new(body).boxed());
        let ((), source) = tokio::join!(read, write);
        return Ok((source?, version));
    }
    Err(BuildError::NotUploaded)
}

fn broken(error: MultipartError) -> BuildError {
    BuildError::Io(io::Error::other(error))
}

/// A build of the app in the path; another app's build is not there.
pub struct BuildAccess {
    app: App,
    build: Build,
}

impl FromRequestParts<Web> for BuildAccess {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<BuildAccess, Fault> {
        let AppAccess { app, .. } = Viewer::from_request_parts(parts, web).await?;
        let missing = || Fault::not_found("build");
        let Path((_, id)) = Path::<(String, BuildId)>::from_request_parts(parts, web).await.map_err(|_| missing())?;
        let build = web.reader.build(id).await?.filter(|build| build.app_id == app.id).ok_or_else(missing)?;
        Ok(BuildAccess { app, build })
    }
}

pub async fn build_page(State(web): State<Web>, cx: Cx, BuildAccess { app, build, .. }: BuildAccess) -> Page {
    let Seen { head, .. } = Head::see(&web, &cx, &app, Tab::Deploy).await?;
    let (output, next) = so_far(&web, build.id).await?;
    // The log may have ended while it was read.
    let build = web.reader.build(build.id).await?.unwrap_or(build);
    let git = web.reader.git_build(build.id).await?.map(|git| GitView::of(&cx, &build, &git));
    let hint = if build.status.is_finished() { HintView::of_build(&web, &cx, &build, &output).await? } else { None };
    let build = BuildView::of(&cx, &build);
    Ok(page(StatusCode::OK, &BuildPage { cx, head, build, git, hint, lines: lines(&output), next }))
}

/// What a build has written until now, and the offset behind it.
async fn so_far(web: &Web, build: BuildId) -> Result<(Vec<u8>, u64), Fault> {
    let mut items = web.builder.output(build, 0).await?;
    let (mut output, mut next) = (Vec::new(), 0);
    while let Ok(Some(OutputItem::Bytes { offset, bytes })) = tokio::time::timeout(PAUSE, items.next()).await {
        next = offset + bytes.len() as u64;
        output.extend_from_slice(&bytes);
        if output.len() > SHOWN_BYTES {
            break;
        }
    }
    Ok((output, next))
}

fn lines(output: &[u8]) -> Vec<ansi::Markup> {
    String::from_utf8_lossy(output).lines().map(ansi::to_html).collect()
}

#[derive(Deserialize)]
pub struct From {
    #[serde(default)]
    from: u64,
}

/// `GET …/output`: the lines behind an offset as they come; the event's id is the offset behind them.
pub async fn output(
    State(web): State<Web>,
    BuildAccess { build, .. }: BuildAccess,
    Query(From { from }): Query<From>,
    headers: HeaderMap,
) -> Page {
    let items = web.builder.output(build.id, last_event_id(&headers).unwrap_or(from)).await?;
    let events = items.map(|item| Ok::<_, Infallible>(output_event(item)));
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

fn output_event(item: OutputItem) -> Event {
    match item {
        OutputItem::Bytes { offset, bytes } => {
            let item = |html| OutputLine { html }.render().unwrap_or_default().trim().to_owned();
            let html: String = lines(&bytes).into_iter().map(item).collect();
            Event::default().id((offset + bytes.len() as u64).to_string()).data(html)
        }
        OutputItem::End(_) => Event::default().event("end").data("end"),
    }
}

pub async fn cancel(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, BuildAccess { build, .. }: BuildAccess) -> Page {
    web.builder.cancel(build.id, &by).await?;
    Ok(see_other(&format!("/apps/{}/builds/{}", app.name, build.id), [cx.flash(true, "flash-cancelled", "")]))
}
