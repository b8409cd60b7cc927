//! Pipelines, the apps in them, promotions.

use std::collections::HashMap;

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{Api, Route, account::require_self, apps::shape as app_shape, paging::list, reference::Reference},
    domain::{
        Role, UserId,
        pipeline::{Coupling, Pipeline, Promotion, PromotionTarget, Stage},
        user::Actor,
    },
    http::{CurrentUser, Fault, Json, Viewer, app_for},
};

pub fn routes() -> Vec<Route> {
    let (get, post, patch, delete) = (Method::GET, Method::POST, Method::PATCH, Method::DELETE);
    vec![
        Route::new(get.clone(), "/pipelines", all),
        Route::new(post.clone(), "/pipelines", create),
        Route::new(get.clone(), "/pipelines/{pipeline}", show),
        Route::new(patch.clone(), "/pipelines/{pipeline}", rename),
        Route::new(delete.clone(), "/pipelines/{pipeline}", destroy),
        Route::new(get.clone(), "/pipelines/{pipeline}/pipeline-couplings", couplings_of),
        Route::new(get.clone(), "/pipelines/{pipeline}/review-app-config", no_review_apps),
        Route::new(get.clone(), "/pipelines/{pipeline}/review-apps", review_apps),
        Route::new(get.clone(), "/pipeline-couplings", all_couplings),
        Route::new(get.clone(), "/users/{account}/pipeline-couplings", couplings_of_account),
        Route::new(post.clone(), "/pipeline-couplings", couple),
        Route::new(get.clone(), "/pipeline-couplings/{coupling}", show_coupling),
        Route::new(patch, "/pipeline-couplings/{coupling}", move_coupling),
        Route::new(delete, "/pipeline-couplings/{coupling}", uncouple),
        Route::new(get.clone(), "/apps/{app}/pipeline-couplings", coupling_of_app),
        Route::new(post.clone(), "/pipeline-promotions", promote),
        Route::new(get.clone(), "/pipeline-promotions/{promotion}", show_promotion),
        Route::new(get, "/pipeline-promotions/{promotion}/promotion-targets", targets),
        Route::new(post, "/filters/apps", filter_apps),
    ]
}

fn shape(pipeline: &Pipeline) -> Value {
    json!({
        "created_at": pipeline.created_at,
        "generation": { "name": "cedar" },
        "id": pipeline.id,
        "name": pipeline.name,
        "owner": { "id": pipeline.owner_id, "type": "user" },
        "updated_at": pipeline.updated_at,
    })
}

fn coupling_shape(coupling: &Coupling) -> Value {
    json!({
        "app": { "id": coupling.app_id },
        "created_at": coupling.created_at,
        "id": coupling.id,
        "pipeline": { "id": coupling.pipeline_id },
        "stage": coupling.stage,
        "updated_at": coupling.updated_at,
    })
}

fn promotion_shape(promotion: &Promotion) -> Value {
    json!({
        "created_at": promotion.created_at,
        "id": promotion.id,
        "pipeline": { "id": promotion.pipeline_id },
        "source": { "app": { "id": promotion.app_id }, "release": { "id": promotion.release_id } },
        "status": promotion.status,
        "updated_at": promotion.updated_at,
    })
}

fn target_shape(target: &PromotionTarget) -> Value {
    json!({
        "app": { "id": target.app_id },
        "error_message": target.error,
        "id": target.id,
        "pipeline_promotion": { "id": target.promotion_id },
        "release": target.release_id.map(|id| json!({ "id": id })),
        "status": target.status,
    })
}

/// A pipeline of the account by name or id; others' are not there.
async fn named(api: &Api, user: UserId, named: &str) -> Result<Pipeline, Fault> {
    let is = |pipeline: &Pipeline| pipeline.name == named || named.parse() == Ok(pipeline.id);
    api.reader.pipelines(user).await?.into_iter().find(is).ok_or_else(|| Fault::not_found("pipeline"))
}

async fn all(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let wanted = query.get("eq[name]");
    let pipelines = api.reader.pipelines(user.id).await?;
    let shapes = pipelines.iter().filter(|pipeline| wanted.is_none_or(|name| *name == pipeline.name)).map(shape).collect();
    list(&headers, &["id", "name", "created_at", "updated_at"], shapes)
}

#[derive(Deserialize)]
struct New {
    name: String,
}

async fn create(State(api): State<Api>, CurrentUser(user): CurrentUser, Json(new): Json<New>) -> Result<(StatusCode, Json<Value>), Fault> {
    let pipeline = api.pipelines.create(&new.name, user.id).await?;
    Ok((StatusCode::CREATED, Json(shape(&pipeline))))
}

async fn show(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(pipeline): Path<String>) -> Result<Json<Value>, Fault> {
    Ok(Json(shape(&named(&api, user.id, &pipeline).await?)))
}

async fn rename(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(pipeline): Path<String>,
    Json(new): Json<New>,
) -> Result<Json<Value>, Fault> {
    let pipeline = named(&api, user.id, &pipeline).await?;
    Ok(Json(shape(&api.pipelines.rename(&pipeline, &new.name).await?)))
}

async fn destroy(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(pipeline): Path<String>) -> Result<Json<Value>, Fault> {
    let pipeline = named(&api, user.id, &pipeline).await?;
    api.pipelines.destroy(pipeline.id).await?;
    Ok(Json(shape(&pipeline)))
}

async fn couplings_of(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(pipeline): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let pipeline = named(&api, user.id, &pipeline).await?;
    let couplings = api.reader.couplings_of(pipeline.id).await?;
    list(&headers, &["id", "created_at"], couplings.iter().map(coupling_shape).collect())
}

async fn no_review_apps(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(pipeline): Path<String>,
) -> Result<Json<Value>, Fault> {
    named(&api, user.id, &pipeline).await?;
    let message = "Review apps are not enabled for this pipeline: this server does not offer them.".to_owned();
    Err(Fault { message, ..Fault::not_found("review_app_config") })
}

async fn review_apps(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(pipeline): Path<String>) -> Result<Json<Value>, Fault> {
    named(&api, user.id, &pipeline).await?;
    Ok(Json(json!([])))
}

async fn all_couplings(State(api): State<Api>, CurrentUser(user): CurrentUser, headers: HeaderMap) -> Result<Response, Fault> {
    let mut shapes = Vec::new();
    for pipeline in api.reader.pipelines(user.id).await? {
        shapes.extend(api.reader.couplings_of(pipeline.id).await?.iter().map(coupling_shape));
    }
    list(&headers, &["id", "created_at"], shapes)
}

async fn couplings_of_account(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(account): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    require_self(&user, &account)?;
    all_couplings(State(api), CurrentUser(user), headers).await
}

#[derive(Deserialize)]
struct NewCoupling {
    app: Reference,
    pipeline: Reference,
    stage: String,
}

async fn couple(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Json(new): Json<NewCoupling>,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let stage: Stage = new.stage.parse().map_err(Fault::invalid)?;
    let pipeline = named(&api, user.id, &new.pipeline.0).await?;
    let app = app_for(&api.reader, user.id, &new.app.0, Role::Deploy).await?;
    let coupling = api.pipelines.couple(pipeline.id, app.id, stage).await?;
    Ok((StatusCode::CREATED, Json(coupling_shape(&coupling))))
}

/// A coupling in a pipeline of the account.
async fn coupling(api: &Api, user: UserId, id: &str) -> Result<Coupling, Fault> {
    let missing = || Fault::not_found("pipeline_coupling");
    let coupling = api.reader.coupling(id.parse().map_err(|_| missing())?).await?.ok_or_else(missing)?;
    named(api, user, &coupling.pipeline_id.to_string()).await.map_err(|_| missing())?;
    Ok(coupling)
}

async fn show_coupling(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(id): Path<String>) -> Result<Json<Value>, Fault> {
    Ok(Json(coupling_shape(&coupling(&api, user.id, &id).await?)))
}

#[derive(Deserialize)]
struct Move {
    stage: String,
}

async fn move_coupling(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(id): Path<String>,
    Json(to): Json<Move>,
) -> Result<Json<Value>, Fault> {
    let stage: Stage = to.stage.parse().map_err(Fault::invalid)?;
    let coupling = coupling(&api, user.id, &id).await?;
    Ok(Json(coupling_shape(&api.pipelines.set_stage(&coupling, stage).await?)))
}

async fn uncouple(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(id): Path<String>) -> Result<Json<Value>, Fault> {
    let coupling = coupling(&api, user.id, &id).await?;
    api.pipelines.uncouple(coupling.id).await?;
    Ok(Json(coupling_shape(&coupling)))
}

/// With the pipeline's name, which the command line shows.
async fn coupling_of_app(State(api): State<Api>, access: Viewer) -> Result<Json<Value>, Fault> {
    let missing = || Fault::not_found("pipeline_coupling");
    let coupling = api.reader.coupling_of_app(access.app.id).await?.ok_or_else(missing)?;
    let pipeline = named(&api, access.by.id, &coupling.pipeline_id.to_string()).await.map_err(|_| missing())?;
    let mut shape = coupling_shape(&coupling);
    shape["pipeline"]["name"] = pipeline.name.into();
    Ok(Json(shape))
}

#[derive(Deserialize)]
struct OfApp {
    app: Reference,
}

#[derive(Deserialize)]
struct NewPromotion {
    pipeline: Reference,
    source: OfApp,
    targets: Vec<OfApp>,
}

async fn promote(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Json(new): Json<NewPromotion>,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let pipeline = named(&api, user.id, &new.pipeline.0).await?;
    let source = app_for(&api.reader, user.id, &new.source.app.0, Role::Deploy).await?;
    let mut targets = Vec::with_capacity(new.targets.len());
    for target in &new.targets {
        targets.push(app_for(&api.reader, user.id, &target.app.0, Role::Deploy).await?.id);
    }
    let by = Actor { id: user.id, email: user.email };
    let (promotion, _) = api.pipelines.promote(&pipeline, source.id, &targets, &by).await?;
    Ok((StatusCode::CREATED, Json(promotion_shape(&promotion))))
}

async fn promotion(api: &Api, user: UserId, id: &str) -> Result<Promotion, Fault> {
    let missing = || Fault::not_found("pipeline_promotion");
    let promotion = api.reader.promotion(id.parse().map_err(|_| missing())?).await?.ok_or_else(missing)?;
    named(api, user, &promotion.pipeline_id.to_string()).await.map_err(|_| missing())?;
    Ok(promotion)
}

async fn show_promotion(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(id): Path<String>) -> Result<Json<Value>, Fault> {
    Ok(Json(promotion_shape(&promotion(&api, user.id, &id).await?)))
}

async fn targets(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let promotion = promotion(&api, user.id, &id).await?;
    let targets = api.reader.promotion_targets(promotion.id).await?;
    list(&headers, &["id"], targets.iter().map(target_shape).collect())
}

#[derive(Deserialize, Default)]
struct In {
    #[serde(default)]
    id: Vec<String>,
}

#[derive(Deserialize)]
struct Filter {
    #[serde(default, rename = "in")]
    within: In,
}

/// The apps with these ids that the account may see.
async fn filter_apps(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    headers: HeaderMap,
    Json(filter): Json<Filter>,
) -> Result<Response, Fault> {
    let mut shapes = Vec::new();
    for app in api.reader.apps_open_to(user.id).await? {
        if filter.within.id.iter().any(|id| id.parse() == Ok(app.id)) {
            shapes.push(app_shape(&api, &app).await?);
        }
    }
    list(&headers, &["name", "id"], shapes)
}
