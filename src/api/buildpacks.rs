//! Buildpacks as clients name them. Builds here detect by themselves and build Python: naming its
//! buildpack is understood and kept, any other is refused.

use axum::extract::{Path, State};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{Api, Route},
    http::{Deployer, Fault, Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/apps/{app}/buildpack-installations", all),
        Route::new(Method::PUT, "/apps/{app}/buildpack-installations", set),
        Route::new(Method::GET, "/buildpacks/{buildpack}", lookup),
    ]
}

const NAME: &str = "heroku/python";
const URN: &str = "urn:buildpack:heroku/python";
/// The ways people and clients write it.
const SPELLINGS: [&str; 5] =
    [NAME, URN, "python", "https://github.com/heroku/heroku-buildpack-python", "https://github.com/heroku/heroku-buildpack-python.git"];

fn shapes(buildpacks: &[String]) -> Json<Value> {
    let shape = |(ordinal, name): (usize, &String)| json!({ "buildpack": { "name": name, "url": URN }, "ordinal": ordinal });
    Json(buildpacks.iter().enumerate().map(shape).collect())
}

async fn all(State(api): State<Api>, access: Viewer) -> Result<Json<Value>, Fault> {
    Ok(shapes(&api.reader.buildpacks(access.app.id).await?))
}

#[derive(Deserialize)]
struct Named {
    buildpack: String,
}

#[derive(Deserialize)]
struct Update {
    updates: Vec<Named>,
}

async fn set(State(api): State<Api>, access: Deployer, Json(update): Json<Update>) -> Result<Json<Value>, Fault> {
    if let Some(other) = update.updates.iter().find(|named| !SPELLINGS.contains(&named.buildpack.trim_end_matches('/'))) {
        let named: String = other.buildpack.chars().take(80).collect();
        return Err(Fault::invalid(format!("`{named}` is not a buildpack of this server. It builds Python apps: {NAME}.")));
    }
    if update.updates.len() > 1 {
        return Err(Fault::invalid("An app has one buildpack on this server."));
    }
    let names = vec![NAME.to_owned(); update.updates.len()];
    api.apps.set_buildpacks(access.app.id, &names).await?;
    Ok(shapes(&names))
}

/// What the command line asks the buildpack registry, when it is pointed here.
async fn lookup(Path(name): Path<String>) -> Result<Json<Value>, Fault> {
    if name == NAME { Ok(Json(json!({ "blob_url": URN, "name": NAME }))) } else { Err(Fault::not_found("buildpack")) }
}
