//! The awake quota, in the two forms clients know: of an app and of an account (heroku.md 1.2, 1.3).

use axum::extract::{Path, State};
use http::Method;
use serde_json::{Value, json};

use crate::{
    api::{Api, Route, account::require_self},
    http::{CurrentUser, Fault, Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/apps/{app}/actions/get-quota", of_app),
        Route::new(Method::GET, "/accounts/{account}/actions/get-quota", of_account),
    ]
}

async fn of_app(State(api): State<Api>, access: Viewer) -> Result<Json<Value>, Fault> {
    let status = api.dynos.status(access.app.id).ok_or_else(|| Fault::not_found("app"))?;
    let quota = status.borrow().quota;
    Ok(Json(json!({ "allow_until": quota.allow_until, "deny_until": quota.deny_until })))
}

/// Each app has a quota of its own here; the account's is their sum. Seconds.
async fn of_account(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    require_self(&user, &named)?;
    let mut used = Vec::new();
    for app in api.reader.apps_of(user.id).await? {
        let seconds = api.dynos.status(app.id).map_or(0, |status| status.borrow().quota.used.as_secs());
        used.push((app.id, seconds));
    }
    let of_apps: Vec<Value> = used.iter().map(|(app, seconds)| json!({ "app_uuid": app, "quota_used": seconds })).collect();
    Ok(Json(json!({
        "account_quota": api.plans.of_account(user.id).awake_limit.as_secs() * used.len() as u64,
        "account_uuid": user.id,
        "apps": of_apps,
        "force_idle_until": null,
        "quota_used": used.iter().map(|(_, seconds)| seconds).sum::<u64>(),
    })))
}
