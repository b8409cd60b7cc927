//! The run console: a terminal in the browser over a real one-off dyno. A ticket that works once
//! opens the socket; one that breaks has half a minute to come back. Without script a form runs one
//! command and shows what it printed.

mod places;
mod socket;

use std::time::Duration;

use askama::Template;
use axum::{
    Form, Json,
    extract::{Query, State, WebSocketUpgrade},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::{
    apps::App,
    domain::{ProcessType, user::Actor},
    dynos::{DynoError, OneOff, RunOrder, Streams, TerminalSize},
    http::{Deployer, Fault, has_own_origin},
    secrets,
    web::{
        Page, Web, ansi,
        app::{Head, Seen, Tab},
        cx::Cx,
        lang, page, say,
    },
};
pub use places::Consoles;

/// How long the page without script waits for a command, and what it shows of it at most.
const PATIENCE: Duration = Duration::from_secs(60);
const SHOWN: usize = 64 * 1024;
/// The largest frame a browser may send.
const FRAME: usize = 64 * 1024;

#[derive(Template)]
#[template(path = "console.html")]
struct ConsolePage {
    cx: Cx,
    head: Head,
    nonce: String,
    command: String,
    memory: String,
    ran: Option<Ran>,
    error: Option<String>,
}

/// What a command without a terminal printed.
struct Ran {
    output: String,
    /// None: it was stopped.
    code: Option<i64>,
}

/// The page, under a policy that lets the terminal's own style elements in, by their nonce.
async fn show(web: &Web, cx: Cx, app: &App, command: String, done: Result<Option<Ran>, String>) -> Page {
    let Seen { head, .. } = Head::see(web, &cx, app, Tab::Console).await?;
    let nonce = secrets::random_token().expose_secret().to_owned();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
    );
    let memory = lang::mebibytes(web.plans.of(app).memory_bytes);
    let (ran, error) = match done {
        Ok(ran) => (ran, None),
        Err(text) => (None, Some(text)),
    };
    let status = if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let mut response = page(status, &ConsolePage { cx, head, nonce, command, memory, ran, error });
    let policy = HeaderValue::try_from(policy).expect("a token is a header value");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

#[derive(Deserialize)]
pub struct Shown {
    #[serde(default)]
    command: String,
}

pub async fn console(State(web): State<Web>, cx: Cx, Deployer { app, .. }: Deployer, Query(shown): Query<Shown>) -> Page {
    show(&web, cx, &app, shown.command, Ok(None)).await
}

fn order(command: &str, env: Vec<(String, String)>, by: Actor) -> RunOrder {
    let process_type: ProcessType = "run".parse().expect("a process type");
    RunOrder { command: command.to_owned(), process_type, env, time_to_live: None, by }
}

/// Runs one command without a terminal and shows what it printed.
pub async fn run(State(web): State<Web>, cx: Cx, Deployer { app, by }: Deployer, Form(wanted): Form<Shown>) -> Page {
    match run_once(&web, &app, &wanted.command, by).await {
        Ok(ran) => show(&web, cx, &app, wanted.command, Ok(Some(ran))).await,
        Err(error) => match say::dyno(cx.lang, &error) {
            Some(text) => show(&web, cx, &app, wanted.command, Err(text)).await,
            None => Err(error.into()),
        },
    }
}

async fn run_once(web: &Web, app: &App, command: &str, by: Actor) -> Result<Ran, DynoError> {
    let (_, secret) = web.dynos.reserve(app.id, order(command, Vec::new(), by), Streams::Pipes).await?;
    let OneOff { mut input, mut output, leash, .. } = web.dynos.attach(&secret).await?;
    // It ends by itself when it reads: there is nobody to type.
    let _ = input.shutdown().await;
    let mut printed = Vec::new();
    let read = async {
        while let Some(Ok(bytes)) = output.next().await {
            printed.extend_from_slice(&bytes);
            if printed.len() > SHOWN {
                return None;
            }
        }
        leash.exit().await
    };
    let code = tokio::time::timeout(PATIENCE, read).await.ok().flatten();
    printed.truncate(SHOWN);
    Ok(Ran { output: ansi::to_text(&String::from_utf8_lossy(&printed)), code })
}

#[derive(Deserialize)]
pub struct Opening {
    command: String,
    columns: u16,
    rows: u16,
}

/// `POST /apps/{app}/console/open`: makes room and hands out the ticket of the socket.
pub async fn open(State(web): State<Web>, cx: Cx, Deployer { app, by }: Deployer, Form(wanted): Form<Opening>) -> Page {
    let env = [("TERM", "xterm-256color".to_owned()), ("COLUMNS", wanted.columns.to_string()), ("LINES", wanted.rows.to_string())];
    let env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let user = by.id;
    match web.dynos.reserve(app.id, order(&wanted.command, env, by), Streams::Terminal).await {
        Ok((_, ticket)) => {
            web.consoles.hand_out(&ticket, (user, app.id));
            Ok(Json(json!({ "ticket": ticket.expose_secret() })).into_response())
        }
        Err(error) => match say::dyno(cx.lang, &error) {
            Some(text) => Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "error": text }))).into_response()),
            None => Err(error.into()),
        },
    }
}

#[derive(Deserialize)]
pub struct Joining {
    /// Of a new console.
    ticket: Option<String>,
    /// Of one whose socket was lost.
    session: Option<String>,
    columns: u16,
    rows: u16,
}

/// `GET /apps/{app}/console/socket`: bytes both ways; sizes and the end as JSON.
pub async fn socket(
    State(web): State<Web>,
    Deployer { app, by }: Deployer,
    Query(joining): Query<Joining>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Page {
    if !has_own_origin(&headers) {
        return Err(Fault::forbidden("A console is opened from its own page."));
    }
    let owner = (by.id, app.id);
    let one_off = match (joining.ticket, joining.session) {
        (Some(ticket), _) => {
            let ticket = SecretString::from(ticket);
            if !web.consoles.redeem(&ticket, owner) {
                return Err(Fault::not_found("dyno"));
            }
            web.dynos.attach(&ticket).await?
        }
        (None, Some(session)) => web.consoles.take_back(&session.into(), owner).await.ok_or_else(|| Fault::not_found("dyno"))?,
        (None, None) => return Err(Fault::not_found("dyno")),
    };
    // Of no consequence when it fails: the browser says its size again.
    let _ = one_off.leash.resize(size(joining.columns, joining.rows)).await;
    let upgrade = upgrade.max_message_size(FRAME).max_frame_size(FRAME);
    let response: Response = upgrade.on_upgrade(move |socket| socket::talk(web, owner, one_off, socket));
    Ok(response)
}

/// A size a terminal can have.
fn size(columns: u16, rows: u16) -> TerminalSize {
    TerminalSize { columns: columns.clamp(2, 1_000), rows: rows.clamp(1, 1_000) }
}
