//! The awake quota, in the two forms clients know: of an app and of an account (heroku.md 1.2, 1.3).

use axum::extract::{Path, State};
use http::Method;
use serde_json::{Value, json};

use crate::{
    api::{Api, Route, account::require_self},
    domain::{QuotaKind, quota},
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
    if api.plans.of(&access.app).quota_time().is_none() {
        return Err(Fault::not_found("quota"));
    }
    let quota = status.borrow().quota;
    Ok(Json(json!({ "allow_until": quota.allow_until, "deny_until": quota.deny_until })))
}

/// With a monthly pool that is the account's; with daily quotas each app has its own, and the
/// account's is their sum. Seconds.
async fn of_account(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    require_self(&user, &named)?;
    let mut used = Vec::new();
    for app in api.reader.apps_of(user.id).await? {
        let seconds = api.dynos.status(app.id).map_or(0, |status| status.borrow().quota.used.as_secs());
        used.push((app.id, seconds));
    }
    let plan = api.plans.of_account(user.id);
    let whole = plan.quota_time().ok_or_else(|| Fault::not_found("quota"))?.as_secs();
    let (pooled, now) = (plan.quota == QuotaKind::Monthly, api.clock.now());
    let (month, next_month) = quota::month_of(now);
    if pooled {
        for (app, seconds) in &mut used {
            *seconds = api.reader.dyno_time(*app, month, now).await?.as_secs();
        }
    }
    let quota_used = match pooled {
        true => api.reader.pool(user.id, month, now).await?.used.as_secs(),
        false => used.iter().map(|(_, seconds)| seconds).sum::<u64>(),
    };
    let of_apps: Vec<Value> = used.iter().map(|(app, seconds)| json!({ "app_uuid": app, "quota_used": seconds })).collect();
    Ok(Json(json!({
        "account_quota": if pooled { whole } else { whole * used.len() as u64 },
        "account_uuid": user.id,
        "apps": of_apps,
        "force_idle_until": Some(next_month).filter(|_| pooled && quota_used >= whole),
        "quota_used": quota_used,
    })))
}
