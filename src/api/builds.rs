//! Builds: create from an uploaded source, list, show, cancel, and the output as it comes.

use axum::{
    body::Body,
    extract::{Path, State},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        Api, Route,
        log_sessions::{STREAM_HEADERS, last_event_id, wants_events},
        paging::list,
        reference::BaseUrl,
    },
    apps::App,
    builder::{Build, BuildSource, OutputItem},
    http::{Deployer, Fault, Json, Viewer},
};

/// Builds a list goes back to.
const LISTED: u32 = 1_000;

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/apps/{app}/builds", create),
        Route::new(Method::GET, "/apps/{app}/builds", all),
        Route::new(Method::GET, "/apps/{app}/builds/{build}", show),
        Route::new(Method::DELETE, "/apps/{app}/builds/{build}", cancel),
        Route::new(Method::GET, "/streams/build/{token}", output),
    ]
}

fn shape(api: &Api, base: &BaseUrl, build: &Build, token: &SecretString) -> Value {
    json!({
        "app": { "id": build.app_id },
        "buildpacks": null,
        "created_at": build.created_at,
        "id": build.id,
        "output_stream_url": format!("{}/streams/build/{}", base.0, token.expose_secret()),
        "release": build.release_id.map(|id| json!({ "id": id })),
        "slug": build.slug_id.map(|id| json!({ "id": id })),
        "source_blob": { "checksum": null, "url": build.source_url, "version": build.source_version },
        "stack": api.stack,
        "status": build.status.api_word(),
        "updated_at": build.finished_at.or(build.started_at).unwrap_or(build.created_at),
        "user": { "email": build.user_email, "id": build.user_id },
    })
}

fn listed(api: &Api, base: &BaseUrl, build: &Build) -> Value {
    shape(api, base, build, &api.capabilities.build_token(build.id, api.clock.now()))
}

#[derive(Deserialize)]
struct Blob {
    url: String,
    version: Option<String>,
}

#[derive(Deserialize)]
struct New {
    source_blob: Blob,
}

async fn create(State(api): State<Api>, access: Deployer, base: BaseUrl, Json(new): Json<New>) -> Result<(StatusCode, Json<Value>), Fault> {
    let Blob { url, version } = new.source_blob;
    // Only what was uploaded here is built: the last part of the address is the capability.
    let token = url.split(['?', '#']).next().and_then(|path| path.split_once("/sources/")).map(|(_, token)| token);
    let Some(get_token) = token.filter(|token| !token.is_empty() && !token.contains('/')) else {
        return Err(Fault::invalid(
            "source_blob.url must be the get_url of a source: POST /sources first, then PUT the archive to its put_url.",
        ));
    };
    let source = BuildSource::Uploaded { get_token: get_token.into(), version };
    let (build, token) = api.builder.enqueue(access.app.id, source, &access.by).await?;
    Ok((StatusCode::CREATED, Json(shape(&api, &base, &build, &token))))
}

async fn all(State(api): State<Api>, access: Viewer, base: BaseUrl, headers: HeaderMap) -> Result<Response, Fault> {
    let builds = api.reader.builds(access.app.id, LISTED).await?;
    list(&headers, &["id", "created_at", "updated_at"], builds.iter().map(|build| listed(&api, &base, build)).collect())
}

async fn named(api: &Api, app: &App, id: &str) -> Result<Build, Fault> {
    let id = id.parse().map_err(|_| Fault::not_found("build"))?;
    api.reader.build(id).await?.filter(|build| build.app_id == app.id).ok_or_else(|| Fault::not_found("build"))
}

async fn show(State(api): State<Api>, access: Viewer, base: BaseUrl, Path((_, id)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let build = named(&api, &access.app, &id).await?;
    Ok(Json(listed(&api, &base, &build)))
}

async fn cancel(
    State(api): State<Api>,
    access: Deployer,
    base: BaseUrl,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    let build = named(&api, &access.app, &id).await?;
    let build = api.builder.cancel(build.id, &access.by).await?;
    Ok(Json(listed(&api, &base, &build)))
}

/// The output from its first byte, or from where a `Range: bytes=N-` or `Last-Event-ID` resumes.
async fn output(State(api): State<Api>, Path(token): Path<String>, headers: HeaderMap) -> Result<Response, Fault> {
    let token = SecretString::from(token);
    let build = match api.capabilities.build(&token, api.clock.now()) {
        Some(build) => build,
        None => api.builder.by_output_token(&token).await?,
    };
    if wants_events(&headers) {
        let items = api.builder.output(build, last_event_id(&headers).unwrap_or(0)).await?;
        let events = items.map(|item| Ok::<_, std::convert::Infallible>(event(item)));
        return Ok((STREAM_HEADERS, Sse::new(events).keep_alive(KeepAlive::default())).into_response());
    }
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let from = range.and_then(|text| text.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    let items = api.builder.output(build, from).await?;
    let bytes = items.flat_map(|item| match item {
        OutputItem::Bytes { bytes, .. } => stream::iter(Some(Ok::<_, std::convert::Infallible>(bytes))),
        OutputItem::End(_) => stream::iter(None),
    });
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((STREAM_HEADERS, headers, Body::from_stream(bytes)).into_response())
}

/// The id of an event is the offset behind it: what a client that comes back asks for.
fn event(item: OutputItem) -> Event {
    match item {
        OutputItem::Bytes { offset, bytes } => {
            let end = offset + bytes.len() as u64;
            Event::default().id(end.to_string()).data(String::from_utf8_lossy(&bytes).replace('\r', "\n"))
        }
        OutputItem::End(status) => Event::default().event("end").data(status.api_word()),
    }
}
