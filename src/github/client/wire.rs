//! One call of GitHub: how it is sent, and what its answer means.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use octocrab::{
    AuthState, OctoBody, Octocrab, OctocrabBuilder,
    service::middleware::{base_uri::BaseUriLayer, extra_headers::ExtraHeadersLayer},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::github::GitHostError;

/// The largest answer that is read.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// A call that takes longer has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// One call: method, path below the base address, what is sent.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub method: Method,
    pub path: String,
    pub body: Option<Value>,
    pub headers: HeaderMap,
    /// Goes where a renamed repository is now.
    pub follows: bool,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Call {
        Call { method: Method::GET, path: path.into(), body: None, headers: HeaderMap::new(), follows: true }
    }

    pub fn send(method: Method, path: impl Into<String>, body: Value) -> Call {
        Call { method, body: Some(body), ..Call::get(path) }
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Call {
        self.headers.insert(name, value);
        self
    }
}

impl Answer {
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether `Link` names a next page.
    pub fn has_more(&self) -> bool {
        self.header(header::LINK).is_some_and(|link| link.contains("rel=\"next\""))
    }

    /// Where what was asked for is now.
    pub fn moved_to(&self) -> Option<&str> {
        let moved = self.status.is_redirection() && self.status != StatusCode::NOT_MODIFIED;
        if moved { self.header(header::LOCATION) } else { None }
    }

    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, GitHostError> {
        serde_json::from_slice(&self.body).map_err(|error| GitHostError::Unreachable(format!("its answer is not understood: {error}")))
    }
}

/// octocrab over a client of ours, which connects where the rule of outgoing addresses lets it and
/// follows no redirect by itself.
pub(super) fn crab(http: &reqwest::Client, base: &str, accept: &'static str) -> Result<Octocrab, GitHostError> {
    let base: Uri = base.parse().map_err(|_| GitHostError::Unreachable(format!("{base} is no address")))?;
    let http = http.clone();
    let service = tower::service_fn(move |request: http::Request<OctoBody>| {
        let http = http.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))?;
            // An address may hold a secret: it is never part of a message.
            let answer = http.execute(request).await.map_err(reqwest::Error::without_url)?;
            Ok::<http::Response<reqwest::Body>, Box<dyn std::error::Error + Send + Sync>>(answer.into())
        }
    });
    let headers = vec![
        (header::USER_AGENT, HeaderValue::from_static("siesta")),
        (header::ACCEPT, HeaderValue::from_static(accept)),
        (HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28")),
    ];
    let builder = OctocrabBuilder::new_empty()
        .with_service(service)
        .with_layer(&BaseUriLayer::new(base))
        .with_layer(&ExtraHeadersLayer::new(headers.into()))
        .with_auth(AuthState::None);
    builder.build().map_err(|never| match never {})
}

pub(super) async fn exchange(crab: &Octocrab, call: Call) -> Result<Answer, GitHostError> {
    let failed = |error: octocrab::Error| {
        tracing::debug!(?error, "a call of GitHub failed");
        GitHostError::Unreachable(cause(&error))
    };
    let mut builder = http::request::Builder::new().method(call.method).uri(call.path);
    if let Some(headers) = builder.headers_mut() {
        headers.extend(call.headers);
    }
    let request = crab.build_request(builder, call.body.as_ref()).map_err(failed)?;
    let whole = async {
        let (parts, body) = crab.execute(request).await.map_err(failed)?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|_| GitHostError::Unreachable("its answer broke off or is too large".to_owned()))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    };
    tokio::time::timeout(PATIENCE, whole).await.unwrap_or_else(|_| Err(GitHostError::Unreachable("it did not answer in time".to_owned())))
}

/// The innermost reason, in a few words.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string().chars().take(200).collect()
}

pub(super) fn judged(answer: Answer) -> Result<Answer, GitHostError> {
    let fine = answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED;
    if fine { Ok(answer) } else { Err(meaning(answer.status, &answer.headers, &answer.body)) }
}

/// What a refusal means.
pub(super) fn meaning(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> GitHostError {
    let limited = status == StatusCode::TOO_MANY_REQUESTS || is_spent(headers) || number(headers, "retry-after").is_some();
    match status {
        StatusCode::UNAUTHORIZED => GitHostError::Unauthorized,
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS if limited => {
            GitHostError::RateLimited(number(headers, "retry-after").or_else(|| until_reset(headers)).unwrap_or(60).clamp(1, 3600))
        }
        StatusCode::FORBIDDEN => GitHostError::Forbidden(words(body)),
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => GitHostError::NotFound,
        // Not here any more, and nobody asked to go where it is now.
        status if status.is_redirection() => GitHostError::NotFound,
        status if status.is_client_error() => GitHostError::Refused(words(body)),
        status => GitHostError::Unreachable(format!("it answered {status}")),
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Whether nothing is left of the hour's allowance.
pub(super) fn is_spent(headers: &HeaderMap) -> bool {
    number(headers, "x-ratelimit-remaining") == Some(0)
}

/// Seconds from the answer's own date to the reset of the allowance.
pub(super) fn until_reset(headers: &HeaderMap) -> Option<u64> {
    let reset = number(headers, "x-ratelimit-reset")?;
    let date = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    let date = date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(reset.saturating_sub(date))
}

/// GitHub's message, with the first of its details.
fn words(body: &[u8]) -> String {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = said["message"].as_str().unwrap_or("no reason given");
    let detail = said["errors"][0]["message"].as_str().or_else(|| said["errors"][0].as_str());
    let text = detail.map_or_else(|| message.to_owned(), |detail| format!("{message}: {detail}"));
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let said = |status: u16, pairs: &[(&'static str, &'static str)], body: &str| {
            let headers = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            meaning(StatusCode::from_u16(status).unwrap(), &headers.collect(), body.as_bytes())
        };
        assert_eq!(said(401, &[], ""), GitHostError::Unauthorized);
        assert_eq!(said(404, &[], ""), GitHostError::NotFound);
        assert_eq!(said(301, &[("location", "https://api.github.com/repositories/1")], ""), GitHostError::NotFound);
        assert_eq!(said(403, &[("retry-after", "30")], ""), GitHostError::RateLimited(30));
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "784111837"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")];
        assert_eq!(said(403, &spent, ""), GitHostError::RateLimited(60));
        assert_eq!(said(403, &[], r#"{"message":"Must have admin rights"}"#), GitHostError::Forbidden("Must have admin rights".into()));
        let invalid = r#"{"message":"Validation Failed","errors":[{"message":"Hook already exists"}]}"#;
        assert_eq!(said(422, &[], invalid), GitHostError::Refused("Validation Failed: Hook already exists".into()));
        assert!(matches!(said(502, &[], ""), GitHostError::Unreachable(_)));
    }
}
