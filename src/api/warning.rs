//! `X-Heroku-Warning`: clients print it once; here it tells of a quota that is nearly or wholly used.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::HeaderValue;

use crate::{api::Api, domain::Timestamp, dynos::AppStatus};

/// Adds the header to answers about an app whose quota is four fifths used. Only those who may see
/// the app get an answer that succeeds.
pub async fn of_quota(State(api): State<Api>, request: Request, next: Next) -> Response {
    let named = request.uri().path().strip_prefix("/apps/").and_then(|rest| rest.split('/').next()).map(str::to_owned);
    let mut response = next.run(request).await;
    let Some(named) = named.filter(|_| response.status().is_success()) else { return response };
    let app = named.parse().ok().or_else(|| api.dynos.app_named(&named));
    let text = app.and_then(|app| api.dynos.status(app)).and_then(|status| text(&status.borrow(), api.clock.now()));
    if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert("x-heroku-warning", value);
    }
    response
}

fn text(status: &AppStatus, now: Timestamp) -> Option<String> {
    if let Some(until) = status.quota.deny_until {
        return Some(format!("This app has used up its quota and rests until {until}."));
    }
    let until = status.quota.allow_until.filter(|_| status.quota_warning)?;
    let minutes = until.since(now).as_secs() / 60;
    Some(format!("This app has {}h {}m of its quota left; then it rests.", minutes / 60, minutes % 60))
}
