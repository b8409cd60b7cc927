//! `git push` over https: git's own smart protocol through `git http-backend`, with an API key as
//! the password. A push of `main` is built before it is taken; a build that fails refuses it.
//!
//! The repository of an app is ours: its configuration and its one hook are written here, nothing a
//! pusher sends is ever run on this machine.

mod backend;
pub mod hook;
mod push;
mod repository;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{FromRef, Request, State},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};

use crate::{
    accounts::Accounts,
    builder::Builder,
    config::Config,
    domain::{AppId, Role, user::Actor},
    http::{Caller, Fault, app_for, authenticate_token},
    scheduler::Tasks,
    store::Reader,
};
pub use push::Pushes;

/// What pushes stand on.
#[derive(Clone)]
pub struct Git {
    pub config: Arc<Config>,
    pub reader: Reader,
    pub accounts: Accounts,
    pub builder: Builder,
    pub tasks: Tasks,
    pub pushes: Pushes,
}

impl FromRef<Git> for Accounts {
    fn from_ref(git: &Git) -> Accounts {
        git.accounts.clone()
    }
}

/// What git asks for: `/NAME.git/` and one of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Service {
    Upload,
    Receive,
}

/// One request of a git client.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    app: &'a str,
    service: Service,
    /// Behind `NAME.git`.
    rest: &'a str,
}

impl<'a> Asked<'a> {
    fn read(method: &Method, path: &'a str, query: &str) -> Option<Asked<'a>> {
        let (app, rest) = path.strip_prefix('/')?.split_once(".git/")?;
        let service = match (method, rest) {
            (&Method::GET, "info/refs") => match query {
                "service=git-upload-pack" => Service::Upload,
                "service=git-receive-pack" => Service::Receive,
                _ => return None,
            },
            (&Method::POST, "git-upload-pack") => Service::Upload,
            (&Method::POST, "git-receive-pack") => Service::Receive,
            _ => return None,
        };
        (!app.is_empty() && !app.contains('/')).then_some(Asked { app, service, rest })
    }
}

/// Whether a request on the shared listener is one of git.
pub fn is_git_request(parts: &Parts) -> bool {
    Asked::read(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default()).is_some()
}

/// The service behind `is_git_request`.
pub fn router(git: Git) -> Router {
    Router::new().fallback(answer).layer(from_fn_with_state(git.clone(), authenticate_token)).with_state(git)
}

async fn answer(State(git): State<Git>, request: Request) -> Response {
    match serve(&git, request).await {
        Ok(response) => response,
        Err(fault) => {
            let mut response = fault.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                let challenge = HeaderValue::from_static("Basic realm=\"Siesta: any user name, an API key as the password\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

async fn serve(git: &Git, request: Request) -> Result<Response, Fault> {
    let (parts, body): (Parts, Body) = request.into_parts();
    let asked = Asked::read(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default()).ok_or_else(Fault::no_route)?;
    let caller = parts.extensions.get::<Caller>().filter(|caller| caller.user.suspended_at.is_none()).ok_or_else(Fault::unauthorized)?;
    let needed = if asked.service == Service::Receive { Role::Deploy } else { Role::View };
    let app = app_for(&git.reader, caller.user.id, asked.app, needed).await?;
    let by = Actor { id: caller.user.id, email: caller.user.email.clone() };
    let root = git.config.options.data_dir.join("git");
    repository::prepare(&root, app.id, git.config.limits.upload_bytes).await.map_err(|error| Fault::internal(&error))?;
    let door = match (asked.service, &parts.method) {
        (Service::Receive, &Method::POST) => Some(push::open(git, &root, app.id, by).map_err(|error| Fault::internal(&error))?),
        _ => None,
    };
    let path = format!("/{}/{}", repository::folder(app.id), asked.rest);
    backend::run(&root, &path, &parts, body, door).await.map_err(|error| Fault::internal(&error))
}

/// Removes the repositories of apps that are gone; call it now and then.
pub async fn sweep(git: &Git) {
    let root = git.config.options.data_dir.join("git");
    let Ok(mut entries) = tokio::fs::read_dir(&root).await else { return };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(app) = name.strip_suffix(".git").and_then(|id| id.parse::<AppId>().ok()) else { continue };
        if matches!((git.reader.app(app).await, git.reader.app_in_bin(app).await), (Ok(None), Ok(None)))
            && let Err(error) = tokio::fs::remove_dir_all(entry.path()).await
        {
            tracing::warn!(%app, %error, "the repository of an app that is gone could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_requests_of_git_are_its_own() {
        let read = |method: Method, path: &'static str, query| Asked::read(&method, path, query).map(|asked| (asked.app, asked.service));
        assert_eq!(read(Method::GET, "/tienda.git/info/refs", "service=git-receive-pack"), Some(("tienda", Service::Receive)));
        assert_eq!(read(Method::GET, "/tienda.git/info/refs", "service=git-upload-pack"), Some(("tienda", Service::Upload)));
        assert_eq!(read(Method::POST, "/tienda.git/git-receive-pack", ""), Some(("tienda", Service::Receive)));
        for (method, path, query) in [
            (Method::GET, "/tienda.git/info/refs", ""),
            (Method::GET, "/tienda.git/HEAD", ""),
            (Method::GET, "/tienda.git/objects/info/packs", ""),
            (Method::GET, "/tienda.git/git-receive-pack", ""),
            (Method::POST, "/apps/x.git/git-receive-pack", ""),
            (Method::POST, "/.git/git-receive-pack", ""),
            (Method::GET, "/apps", ""),
        ] {
            assert_eq!(read(method, path, query), None, "{path}");
        }
    }
}
