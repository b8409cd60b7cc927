//! The layer that writes the audit log: every request that changed something, by whom and to what.

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{Method, StatusCode};

use crate::{
    audit::{Audit, Change},
    http::{Caller, ClientAddress},
};

/// Parts of an address that may be written down. Others hold secrets (`{token}`) or say nothing.
const NAMED: [&str; 8] = ["app", "addon", "plan", "account", "pipeline", "collaborator", "domain", "dyno"];
/// Logins that were refused are written down too.
const LOGIN: &str = "/login";
/// What changes nothing but the look of one's own pages is not.
const PREFERENCES: &str = "/preferences";

/// Who a handler found out to have acted, where nobody was known before: a login, a claim.
#[derive(Clone, Debug)]
pub struct ActedBy(pub String);

/// Layer, inside the one that finds out who asks: `via` is the edge's name.
pub async fn keep_trail(State((audit, via)): State<(Audit, &'static str)>, request: Request, next: Next) -> Response {
    let Some(pattern) =
        request.extensions().get::<MatchedPath>().filter(|path| changes(request.method()) && path.as_str() != PREFERENCES).cloned()
    else {
        return next.run(request).await;
    };
    let mut change = Change {
        actor: request.extensions().get::<Caller>().map(|caller| caller.user.email.to_string()).unwrap_or_default(),
        ip: request.extensions().get::<ClientAddress>().map(|address| address.0.to_string()).unwrap_or_default(),
        via,
        action: format!("{} {}", request.method(), pattern.as_str()),
        subject: subject(pattern.as_str(), request.uri().path()),
    };
    let response = next.run(request).await;
    if let Some(ActedBy(email)) = response.extensions().get() {
        change.actor.clone_from(email);
    }
    let refused_login = pattern.as_str() == LOGIN && response.status() == StatusCode::UNPROCESSABLE_ENTITY;
    if refused_login {
        change.subject = response.status().as_u16().to_string();
    }
    if refused_login || response.status().is_success() || response.status().is_redirection() {
        audit.note(change).await;
    }
    response
}

fn changes(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE)
}

/// The named parts of an address, as they stand in it.
fn subject(pattern: &str, path: &str) -> String {
    let pairs = pattern.split('/').zip(path.split('/'));
    let named =
        pairs.filter(|(part, _)| part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(|name| NAMED.contains(&name)));
    named.map(|(_, value)| value.replace("%40", "@")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_an_address_is_not_written_down() {
        assert_eq!(subject("/apps/{app}/addons/{addon}/rotate", "/apps/tienda/addons/postgresql-x/rotate"), "tienda postgresql-x");
        assert_eq!(subject("/host/accounts/{account}/plan", "/host/accounts/ana%40example.org/plan"), "ana@example.org");
        assert_eq!(subject("/reset/{token}", "/reset/secret"), "");
    }
}
