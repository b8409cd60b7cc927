//! The server side: a few JSON calls for scripts and subcommands, and the upload of an example.

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use super::{PlanCommand, backup, doctor};
use crate::{
    accounts::{Accounts, User},
    apps::Apps,
    audit::{Audit, Change},
    backup::Backup,
    builder::{BuildSource, Builder, OutputItem},
    config::Config,
    doctor::Doctor,
    domain::{AppName, BuildStatus, Plan, user::Actor},
    dynos::Dynos,
    host::{Capacity, Host},
    logs::drains::Drains,
    plans::Plans,
    scheduler::Tasks,
    store::Reader,
};

/// What the door opens to.
#[derive(Clone)]
pub struct Door {
    pub config: Arc<Config>,
    pub reader: Reader,
    pub accounts: Accounts,
    pub apps: Apps,
    pub backup: Backup,
    pub builder: Builder,
    pub doctor: Doctor,
    pub drains: Drains,
    pub dynos: Dynos,
    pub plans: Plans,
    pub host: Host,
    pub audit: Audit,
    pub instance: String,
}

/// `siesta user create`.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewUser {
    pub email: String,
    pub password: String,
    #[serde(default)]
    pub admin: bool,
}

/// `siesta user reset`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reset {
    pub email: String,
    #[serde(default)]
    pub second_factor: bool,
}

/// `siesta token create`.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewToken {
    pub email: String,
    #[serde(default)]
    pub description: String,
}

/// `siesta deploy`: the archive is the body.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeployRequest {
    pub app: String,
    pub version: Option<String>,
}

/// The answer of every call: a sentence, or the thing asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Said {
    pub said: String,
}

type Answer = Result<Json<Said>, (StatusCode, Json<Said>)>;

fn say(said: impl Into<String>) -> Answer {
    Ok(Json(Said { said: said.into() }))
}

pub(super) fn refuse(why: impl std::fmt::Display) -> (StatusCode, Json<Said>) {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(Said { said: why.to_string() }))
}

/// Binds the socket and answers on it until the server stops.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(door: Door, path: &Path, tasks: &Tasks) -> std::io::Result<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let router = Router::new()
        .route("/status", get(status))
        .route("/users", post(create_user))
        .route("/users/reset", post(reset))
        .route("/invites", post(invite))
        .route("/tokens", post(create_token))
        .route("/claim-token", post(claim_token))
        .route("/plans", post(plans))
        .route("/doctor", get(doctor::findings))
        .route("/backup", post(backup::make))
        .route("/deploy", post(deploy).layer(DefaultBodyLimit::disable()))
        .with_state(door);
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the admin socket ended");
        }
    });
    Ok(())
}

/// What a script wants to know: is it claimed, has it apps.
#[derive(Debug, Serialize, Deserialize)]
struct Status {
    claimed: bool,
    /// The id that containers, networks and images of this server are labelled with.
    instance: String,
    apps: i64,
    dashboard: String,
    /// How many more dynos fit.
    capacity: Option<Capacity>,
    /// Whether idle apps can be paged out here: the machine has swap.
    nap: bool,
}

async fn status(State(door): State<Door>) -> Result<Json<Status>, (StatusCode, Json<Said>)> {
    Ok(Json(Status {
        claimed: door.accounts.is_claimed().await.map_err(refuse)?,
        instance: door.instance.clone(),
        apps: door.reader.count_apps().await.map_err(refuse)?,
        dashboard: door.config.dashboard_url(),
        capacity: door.host.capacity(door.plans.named(Plan::FREE).map_err(refuse)?.memory_bytes),
        nap: door.dynos.can_nap(),
    }))
}

impl Door {
    /// Writes down what the operator did.
    pub(super) async fn note(&self, action: &str, subject: &str) {
        self.audit.note(Change { via: "server", action: action.to_owned(), subject: subject.to_owned(), ..Change::default() }).await;
    }
}

async fn create_user(State(door): State<Door>, Json(new): Json<NewUser>) -> Answer {
    let user = door.accounts.create_user(&new.email, &SecretString::from(new.password), new.admin).await.map_err(refuse)?;
    door.note("user create", user.email.as_str()).await;
    say(format!("Created {} {}.", if user.admin { "administrator" } else { "account" }, user.email))
}

async fn reset(State(door): State<Door>, Json(wanted): Json<Reset>) -> Answer {
    let link = door.accounts.reset_link(&wanted.email).await.map_err(refuse)?;
    if wanted.second_factor
        && let Some(user) = door.accounts.by_email(&wanted.email).await.map_err(refuse)?
    {
        door.accounts.drop_second_factor(user.id).await.map_err(refuse)?;
    }
    door.note("user reset", &wanted.email).await;
    say(format!("{}/reset/{}", door.config.dashboard_url(), link.expose_secret()))
}

async fn invite(State(door): State<Door>, Json(new): Json<NewToken>) -> Answer {
    let email = Some(new.email.as_str()).filter(|email| !email.is_empty());
    let link = door.accounts.invite_link(email).await.map_err(refuse)?;
    door.note("user invite", &new.email).await;
    say(format!("{}/invite/{}", door.config.dashboard_url(), link.expose_secret()))
}

async fn create_token(State(door): State<Door>, Json(new): Json<NewToken>) -> Answer {
    let user = door.accounts.by_email(&new.email).await.map_err(refuse)?.ok_or_else(|| refuse("Couldn't find that account."))?;
    let description = if new.description.is_empty() { "made on the server" } else { &new.description };
    let (_, secret) = door.accounts.create_token(user.id, description, None).await.map_err(refuse)?;
    door.note("token create", user.email.as_str()).await;
    say(secret.expose_secret())
}

async fn claim_token(State(door): State<Door>) -> Answer {
    match door.accounts.new_claim_token().await.map_err(refuse)? {
        Some(token) => say(token.expose_secret()),
        None => Err(refuse("This server has been claimed already.")),
    }
}

async fn plans(State(door): State<Door>, Json(command): Json<PlanCommand>) -> Answer {
    let (change, subject) = command.change();
    let said = command.run(&door.plans).await.map_err(refuse)?;
    if let Some(change) = change {
        door.note(change, &subject).await;
    }
    say(said)
}

/// The account that deploys from the machine itself: the app's owner, else the first
/// administrator, else the system account until the claim.
async fn deployer(door: &Door) -> Result<User, (StatusCode, Json<Said>)> {
    if let Some(admin) = door.reader.users().await.map_err(refuse)?.into_iter().find(|user| user.admin) {
        return Ok(admin);
    }
    door.accounts.system_user().await.map_err(refuse)
}

async fn deploy(State(door): State<Door>, Query(request): Query<DeployRequest>, body: Body) -> Result<Response, (StatusCode, Json<Said>)> {
    let name: AppName = request.app.parse().map_err(refuse)?;
    let user = deployer(&door).await?;
    let by = Actor { id: user.id, email: user.email };
    let app = match door.reader.app_by_name(&name).await.map_err(refuse)? {
        Some(app) => app,
        None => door.apps.create(Some(name), &by).await.map_err(refuse)?,
    };
    let source = door.builder.create_source(Some(app.id), &by).await.map_err(refuse)?;
    let stream = body.into_data_stream().map(|chunk| chunk.map_err(std::io::Error::other)).boxed();
    let stored = door.builder.receive(&source.put_token, stream).await.map_err(refuse)?;
    let (build, _) =
        door.builder.enqueue(app.id, BuildSource::Stored { source: stored, version: request.version }, &by).await.map_err(refuse)?;
    let output = door.builder.output(build.id, 0).await.map_err(refuse)?;
    let url = door.config.web_url(app.name.as_str());
    let lines = output.map(move |item| {
        Ok::<_, std::convert::Infallible>(match item {
            OutputItem::Bytes { bytes, .. } => bytes,
            OutputItem::End(BuildStatus::Succeeded) => format!("siesta: deployed {url}\n").into(),
            OutputItem::End(_) => "siesta: failed\n".into(),
        })
    });
    Ok(Body::from_stream(lines).into_response())
}
