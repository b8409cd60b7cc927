//! Who is asking: found out once a request by the edge, read by the extractors.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, header, request::Parts};
use secrecy::SecretString;

use crate::{
    accounts::{AccountError, Accounts, Origin, User},
    config::Config,
    domain::TokenId,
    http::{Fault, session_token},
};

/// The account behind a request, and the token it came with if it came with one.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user: User,
    pub token: Option<TokenId>,
}

/// The visitor's address as the listener believes it (behind a trusted proxy: the forwarded one).
/// `server` puts it into every request.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// Where a request comes from, for login limits and the list of sessions.
pub fn origin_of(parts: &Parts) -> Origin {
    let ip = parts.extensions.get::<ClientAddress>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.0);
    let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Origin { ip: ip.to_string(), user_agent: user_agent.chars().take(200).collect() }
}

/// What an `Authorization` header carries: the user part of Basic (empty with Bearer), and the secret.
pub fn credentials(headers: &HeaderMap) -> Option<(String, SecretString)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some((String::new(), rest.trim().into()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.into()))
}

/// Layer of the API: a token as Bearer, or as the password of Basic under any user name. Never
/// reads cookies; a wrong token is no caller.
pub async fn authenticate_token(State(accounts): State<Accounts>, mut request: Request, next: Next) -> Result<Response, Fault> {
    if let Some((_, token)) = credentials(request.headers()) {
        match accounts.by_token(&token).await {
            Ok(Some((user, token))) => _ = request.extensions_mut().insert(Caller { user, token: Some(token) }),
            Ok(None) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(next.run(request).await)
}

/// Layer of the pages: the session cookie. Never reads `Authorization`.
pub async fn authenticate_session(
    State(accounts): State<Accounts>,
    State(config): State<Arc<Config>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Fault> {
    if let Some(token) = session_token(request.headers(), &config)
        && let Some(user) = accounts.by_session(&token).await.map_err(|error: AccountError| Fault::from(error))?
    {
        request.extensions_mut().insert(Caller { user, token: None });
    }
    Ok(next.run(request).await)
}

/// The account that asks; 401 without one, 403 for a suspended one.
#[derive(Clone, Debug)]
pub struct CurrentUser(pub User);

impl<S: Sync> FromRequestParts<S> for CurrentUser {
    type Rejection = Fault;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let caller = parts.extensions.get::<Caller>().ok_or_else(Fault::unauthorized)?;
        if caller.user.suspended_at.is_some() {
            return Err(AccountError::Suspended.into());
        }
        Ok(CurrentUser(caller.user.clone()))
    }
}

/// The account that asks, if any: for pages that everybody may see.
#[derive(Clone, Debug)]
pub struct MaybeUser(pub Option<User>);

impl<S: Sync> FromRequestParts<S> for MaybeUser {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(MaybeUser(CurrentUser::from_request_parts(parts, state).await.ok().map(|CurrentUser(user)| user)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn bearer_and_basic_carry_the_same_secret() {
        let read = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            credentials(&headers).map(|(user, secret)| (user, secret.expose_secret().to_owned()))
        };
        let found = |user: &str, secret: &str| Some((user.to_owned(), secret.to_owned()));
        assert_eq!(read("Bearer HRKU-1"), found("", "HRKU-1"));
        assert_eq!(read("bearer  HRKU-1 "), found("", "HRKU-1"));
        assert_eq!(read("Basic OkhSS1UtMQ=="), found("", "HRKU-1"));
        assert_eq!(read("Basic bWVAeDphOmI="), found("me@x", "a:b"));
        for wrong in ["Basic", "Basic ???", "Basic bm9jb2xvbg==", "Digest x", ""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
