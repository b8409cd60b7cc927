//! What clients ask of an app that this server has none of: add-ons, buildpacks.

use http::Method;
use serde_json::{Value, json};

use crate::{
    api::Route,
    http::{Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/apps/{app}/addons", empty),
        Route::new(Method::GET, "/apps/{app}/addon-attachments", empty),
        Route::new(Method::GET, "/apps/{app}/usage", usage),
    ]
}

async fn empty(_: Viewer) -> Json<Value> {
    Json(json!([]))
}

async fn usage(_: Viewer) -> Json<Value> {
    Json(json!({ "addons": [] }))
}
