//! The formation: how many dynos of each process type.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Method};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, json};

use crate::{
    api::{
        Api, Route,
        paging::list,
        reference::{Reference, app_reference},
    },
    apps::App,
    domain::{ProcessType, formation::Quantity},
    dynos::FormationRow,
    http::{Deployer, Fault, Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/apps/{app}/formation", all),
        Route::new(Method::PATCH, "/apps/{app}/formation", update),
        Route::new(Method::GET, "/apps/{app}/formation/{formation}", show),
        Route::new(Method::PATCH, "/apps/{app}/formation/{formation}", update_one),
    ]
}

fn shape(api: &Api, app: &App, row: &FormationRow) -> Value {
    json!({
        "app": app_reference(app),
        "command": row.command,
        "created_at": row.created_at,
        "id": row.id,
        "quantity": row.quantity,
        "size": api.plans.of(app).size_word(),
        "type": row.process_type,
        "updated_at": row.updated_at,
    })
}

async fn all(State(api): State<Api>, access: Viewer, headers: HeaderMap) -> Result<Response, Fault> {
    let rows = api.dynos.formation(access.app.id).await?;
    list(&headers, &["type", "id", "created_at", "updated_at"], rows.iter().map(|row| shape(&api, &access.app, row)).collect())
}

/// The row a path or an update names, by type or id.
fn find<'a>(rows: &'a [FormationRow], named: &str) -> Result<&'a FormationRow, Fault> {
    let is = |row: &&FormationRow| row.process_type.as_str() == named || named.parse() == Ok(row.id);
    rows.iter().find(is).ok_or_else(|| Fault {
        message: format!("Couldn't find that process type ({}).", named.chars().take(80).collect::<String>()),
        ..Fault::not_found("formation")
    })
}

async fn show(State(api): State<Api>, access: Viewer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let rows = api.dynos.formation(access.app.id).await?;
    Ok(Json(shape(&api, &access.app, find(&rows, &named)?)))
}

/// `1`, `"1"`, `"+1"`, `"-1"`.
#[derive(Clone, Copy)]
struct Wanted(Quantity);

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => return Err(D::Error::custom("quantity must be a number such as 1, or a text such as \"+1\"")),
        };
        text.parse().map(Wanted).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
struct Change {
    quantity: Option<Wanted>,
    size: Option<Reference>,
    docker_image: Option<String>,
}

#[derive(Deserialize)]
struct TypedChange {
    #[serde(rename = "type")]
    process_type: Reference,
    #[serde(flatten)]
    change: Change,
}

#[derive(Deserialize)]
struct Changes {
    updates: Vec<TypedChange>,
}

async fn update(State(api): State<Api>, access: Deployer, Json(changes): Json<Changes>) -> Result<Json<Value>, Fault> {
    apply(&api, &access, changes.updates).await.map(|rows| Json(Value::Array(rows)))
}

async fn update_one(
    State(api): State<Api>,
    access: Deployer,
    Path((_, named)): Path<(String, String)>,
    Json(change): Json<Change>,
) -> Result<Json<Value>, Fault> {
    let mut rows = apply(&api, &access, vec![TypedChange { process_type: Reference(named), change }]).await?;
    rows.pop().map(Json).ok_or_else(|| Fault::not_found("formation"))
}

/// All changes or none; answers with the rows that were named.
async fn apply(api: &Api, access: &Deployer, updates: Vec<TypedChange>) -> Result<Vec<Value>, Fault> {
    let plan = api.plans.of(&access.app);
    let rows = api.dynos.formation(access.app.id).await?;
    let mut named: Vec<ProcessType> = Vec::new();
    let mut changes: Vec<(ProcessType, Quantity)> = Vec::new();
    for TypedChange { process_type: Reference(process_type), change } in updates {
        let row = find(&rows, &process_type)?;
        if change.docker_image.is_some() {
            return Err(Fault::invalid("Images of your own cannot be released on this server. Deploy the source instead."));
        }
        if let Some(Reference(size)) = change.size
            && !size.eq_ignore_ascii_case(&plan.size_word())
        {
            let sentence =
                format!("The plan of this app has one dyno size: {}. An administrator can give it another plan.", plan.size_word());
            return Err(Fault::invalid(sentence));
        }
        named.push(row.process_type.clone());
        changes.extend(change.quantity.map(|Wanted(quantity)| (row.process_type.clone(), quantity)));
    }
    if !changes.is_empty() {
        api.dynos.scale(access.app.id, &changes, &access.by).await?;
    }
    let rows = api.dynos.formation(access.app.id).await?;
    Ok(rows.iter().filter(|row| named.contains(&row.process_type)).map(|row| shape(api, &access.app, row)).collect())
}
