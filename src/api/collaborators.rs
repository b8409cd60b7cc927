//! Who may touch an app: for now its owner alone.

use axum::response::Response;
use http::{HeaderMap, Method};
use serde_json::json;

use crate::{
    api::{
        Route,
        paging::list,
        reference::{app_reference, id_of},
    },
    http::{AppAccess, Fault},
};

pub fn routes() -> Vec<Route> {
    vec![Route::new(Method::GET, "/apps/{app}/collaborators", all)]
}

async fn all(access: AppAccess, headers: HeaderMap) -> Result<Response, Fault> {
    let app = access.app;
    let owner = json!({
        "app": app_reference(&app),
        "created_at": app.created_at,
        "id": id_of("collaborator", &format!("{}|{}", app.id, app.owner_id)),
        "permissions": [],
        "role": "owner",
        "updated_at": app.created_at,
        "user": { "email": app.owner_email, "federated": false, "id": app.owner_id },
    });
    list(&headers, &["id", "created_at"], vec![owner])
}
