//! Certificates of single apps: there are none, https is the operator's.

use http::Method;
use serde_json::{Value, json};

use crate::{
    api::Route,
    http::{Deployer, Fault, Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![Route::new(Method::GET, "/apps/{app}/sni-endpoints", all), Route::new(Method::POST, "/apps/{app}/sni-endpoints", create)]
}

async fn all(_: Viewer) -> Json<Value> {
    Json(json!([]))
}

async fn create(_: Deployer) -> Fault {
    Fault::invalid(
        "Certificates of single apps are not offered. The server's administrator sets one for all hosts: SIESTA_TLS_CERT and SIESTA_TLS_KEY.",
    )
}
