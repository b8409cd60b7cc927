//! Slugs: what a build left.

use axum::extract::{Path, State};
use http::Method;
use serde_json::{Map, Value, json};

use crate::{
    api::{Api, Route, apps::stack_reference},
    domain::SlugId,
    http::{Fault, Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![Route::new(Method::GET, "/apps/{app}/slugs/{slug}", show)]
}

async fn show(State(api): State<Api>, access: Viewer, Path((_, id)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let id: SlugId = id.parse().map_err(|_| Fault::not_found("slug"))?;
    let slug = api.reader.slug(id).await?.filter(|slug| slug.app_id == access.app.id).ok_or_else(|| Fault::not_found("slug"))?;
    let types: Map<String, Value> = slug.process_types.iter().map(|(name, command)| (name.to_string(), command.into())).collect();
    Ok(Json(json!({
        "blob": { "method": "get", "url": null },
        "buildpack_provided_description": slug.language,
        "checksum": format!("SHA256:{}", slug.code_file),
        "commit": slug.commit,
        "commit_description": null,
        "created_at": slug.created_at,
        "id": slug.id,
        "process_types": types,
        "size": slug.size,
        "stack": stack_reference(&access.app.stack),
        "updated_at": slug.created_at,
    })))
}
