//! What an app has used of add-ons that cost something: there are none.

use http::Method;
use serde_json::{Value, json};

use crate::{
    api::Route,
    http::{Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![Route::new(Method::GET, "/apps/{app}/usage", usage)]
}

async fn usage(_: Viewer) -> Json<Value> {
    Json(json!({ "addons": [] }))
}
