//! Log sessions: `POST` makes an address, `GET` of it reads the log as server-sent events or text.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    api::{
        Api, Route,
        capability::{LogSession, SESSION_LIFE},
        reference::BaseUrl,
    },
    domain::{LogLine, Timestamp, log_line::Source},
    http::{Fault, Json, Viewer},
    logs::{Filter, KEPT_LINES, TailItem, tail_overflow},
};

/// Lines a session begins with when the client names no number.
const DEFAULT_LINES: usize = 100;
/// Clients wait this long before they come back to a stream that ended by itself.
const AT_ONCE: Duration = Duration::from_millis(10);

/// Streams are not kept by anybody and are what they say they are.
pub const STREAM_HEADERS: [(HeaderName, &str); 2] = [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];

pub fn routes() -> Vec<Route> {
    vec![Route::new(Method::POST, "/apps/{app}/log-sessions", create), Route::new(Method::GET, "/streams/log/{token}", read)]
}

#[derive(Deserialize)]
struct New {
    dyno: Option<String>,
    lines: Option<usize>,
    source: Option<String>,
    tail: Option<bool>,
}

async fn create(State(api): State<Api>, access: Viewer, base: BaseUrl, Json(new): Json<New>) -> Result<(StatusCode, Json<Value>), Fault> {
    let source = match new.source.as_deref() {
        None | Some("") => None,
        Some("app") => Some(Source::App),
        Some("heroku") => Some(Source::Heroku),
        Some(_) => return Err(Fault::invalid("source must be `app` or `heroku`.")),
    };
    let tail = new.tail.unwrap_or(false);
    let now = api.clock.now();
    let token = api.capabilities.open_session(LogSession {
        app: access.app.id,
        filter: Filter { source, ps: new.dyno.filter(|dyno| !dyno.is_empty()), text: None },
        lines: new.lines.unwrap_or(DEFAULT_LINES).min(KEPT_LINES),
        tail,
        created_at: now,
    });
    // Older clients read from the address whether it is a tail.
    let query = if tail { "?tail=true" } else { "" };
    Ok((
        StatusCode::CREATED,
        Json(json!({
            "created_at": now,
            "id": Uuid::new_v4(),
            "logplex_url": format!("{}/streams/log/{}{query}", base.0, token.expose_secret()),
            "updated_at": now,
        })),
    ))
}

/// Whether a client asks for server-sent events; everybody else gets plain lines.
pub fn wants_events(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept.to_str().is_ok_and(|list| list.contains("text/event-stream")))
}

/// Where a client that lost its stream was.
pub fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

async fn read(State(api): State<Api>, Path(token): Path<String>, headers: HeaderMap) -> Result<Response, Fault> {
    let session = api.capabilities.session(&token.into(), api.clock.now()).ok_or_else(|| Fault::not_found("log_session"))?;
    let after = last_event_id(&headers);
    let lines = if session.tail {
        let tail = api.logs.tail(session.app, session.filter, session.lines, after).await?;
        with_drops(tail, session.created_at).take_until(tokio::time::sleep(SESSION_LIFE)).left_stream()
    } else {
        let lines = api.logs.recent(session.app, &session.filter, session.lines).await?;
        let lines = lines.into_iter().filter(move |(number, _)| after.is_none_or(|after| *number > after));
        stream::iter(lines.map(|(number, line)| (number, line.to_string()))).right_stream()
    };
    if !wants_events(&headers) {
        let text = lines.map(|(_, line)| Ok::<_, Infallible>(line + "\n"));
        return Ok((STREAM_HEADERS, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(text)).into_response());
    }
    let begin = (!session.tail).then(|| Event::default().retry(AT_ONCE));
    let events = lines.map(|(number, line)| Event::default().id(number.to_string()).data(line.replace('\r', " ")));
    let events = stream::iter(begin).chain(events).map(Ok::<_, Infallible>);
    Ok((STREAM_HEADERS, Sse::new(events).keep_alive(KeepAlive::default())).into_response())
}

/// What a slow reader missed, as a line of the platform after the last line it got.
fn with_drops(tail: impl Stream<Item = TailItem>, begun: Timestamp) -> impl Stream<Item = (u64, String)> {
    tail.scan((0, begun.millis() * 1000), |(number, at_micros), item| {
        let line = match item {
            TailItem::Line(next, line) => {
                (*number, *at_micros) = (next, line.at_micros);
                line.to_string()
            }
            TailItem::Dropped(count) => {
                *number += count;
                let message = tail_overflow(count, *at_micros);
                LogLine { at_micros: *at_micros, source: Source::Heroku, ps: "logplex".to_owned(), message }.to_string()
            }
        };
        std::future::ready(Some((*number, line)))
    })
}
