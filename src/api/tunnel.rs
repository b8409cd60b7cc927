//! A way to one's own databases from far away: a connection that is switched to raw bytes and ends
//! where the dynos of an app reach them. `siesta proxy` opens it, one for each session.

use std::{collections::HashMap, time::Duration};

use axum::{
    body::Body,
    extract::{Query, Request, State},
    response::Response,
};
use http::{HeaderValue, Method, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{io::copy_bidirectional, net::TcpStream, time::timeout};

use crate::{
    accounts::User,
    addons::AddonError,
    api::{Api, Route},
    apps::App,
    domain::{Role, addon::AttachmentState},
    http::{CurrentUser, Fault},
};

pub fn routes() -> Vec<Route> {
    vec![Route::new(Method::GET, "/postgres/v0/tunnel", tunnel)]
}

/// What the connection is switched to.
const PROTOCOL: HeaderValue = HeaderValue::from_static("postgres");
const CONNECT: Duration = Duration::from_secs(5);
/// How often the account's right to the database is looked at again.
const RECHECK: Duration = Duration::from_secs(60);

/// As a client of PostgreSQL names them in its first packet.
struct Wanted {
    role: String,
    database: String,
}

async fn tunnel(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Query(mut named): Query<HashMap<String, String>>,
    mut request: Request,
) -> Result<Response, Fault> {
    let (Some(role), Some(database)) = (named.remove("role"), named.remove("database")) else {
        return Err(Fault::bad_request("Name a role and a database."));
    };
    let wanted = Wanted { role, database };
    let app = app_with(&api, &user, &wanted).await?;
    let asked = request.headers().get(header::UPGRADE).is_some_and(|protocol| protocol == PROTOCOL);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().filter(|_| asked);
    let upgrade = upgrade.ok_or_else(|| Fault::bad_request("This address is for `siesta proxy`: ask with `Upgrade: postgres`."))?;
    let address = api.addons.entrance(&app).await?;
    let Ok(Ok(mut relay)) = timeout(CONNECT, TcpStream::connect(address)).await else { return Err(AddonError::ServerDown.into()) };
    let stay = api.clone();
    api.tasks.spawn(async move {
        // A client that is gone needs nothing more.
        let Ok(client) = upgrade.await else { return };
        let mut client = TokioIo::new(client);
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut relay) => {}
            () = may_not_stay(&stay, &user, &wanted) => {}
        }
    });
    let switched = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    let switched = switched.header(header::CONNECTION, "upgrade").header(header::UPGRADE, PROTOCOL);
    Ok(switched.body(Body::empty()).expect("a valid answer"))
}

/// An app to which this database is attached and whose variables the account may read.
async fn app_with(api: &Api, user: &User, wanted: &Wanted) -> Result<App, Fault> {
    for app in api.reader.apps_open_to(user.id).await? {
        if api.reader.role_on(&app, user.id).await?.is_none_or(|role| role < Role::Deploy) {
            continue;
        }
        for attachment in api.reader.attachments_of_app(app.id).await? {
            let addon = api.reader.addon(attachment.addon_id).await?;
            let is = addon.is_some_and(|addon| addon.role == wanted.role && addon.database == wanted.database);
            if is && attachment.state == AttachmentState::Attached {
                return Ok(app);
            }
        }
    }
    Err(Fault::not_found("database"))
}

/// Ends when the account has no right to the database any more.
async fn may_not_stay(api: &Api, user: &User, wanted: &Wanted) {
    loop {
        tokio::time::sleep(RECHECK).await;
        let account = api.reader.user(user.id).await;
        let gone = matches!(&account, Ok(account) if account.as_ref().is_none_or(|account| account.suspended_at.is_some()));
        if gone || app_with(api, user, wanted).await.is_err_and(|fault| fault.status == StatusCode::NOT_FOUND) {
            return;
        }
    }
}
