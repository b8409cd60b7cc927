//! Add-ons: services and plans, create, list, show, destroy, and what a name may mean.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    accounts::User,
    addons::{Addon, Wanted},
    api::{
        Api, Route,
        account::require_self,
        paging::list,
        reference::{Reference, id_of},
    },
    apps::App,
    domain::{
        AddonId, Role, Timestamp,
        addon::{AddonPlan, AddonState, SERVICES, Service, plan_named, service},
    },
    http::{CurrentUser, Deployer, Fault, Json, Owning, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/addon-services", services),
        Route::new(Method::GET, "/addon-services/{service}", one_service),
        Route::new(Method::GET, "/addon-services/{service}/plans", plans),
        Route::new(Method::GET, "/addon-services/{service}/plans/{plan}", one_plan),
        Route::new(Method::GET, "/plans/{plan}", plan),
        Route::new(Method::GET, "/addons", all),
        Route::new(Method::GET, "/users/{account}/addons", all_of),
        Route::new(Method::GET, "/addons/{addon}", show),
        Route::new(Method::GET, "/addons/{addon}/config", config),
        Route::new(Method::GET, "/apps/{app}/addons", of_app),
        Route::new(Method::POST, "/apps/{app}/addons", create),
        Route::new(Method::GET, "/apps/{app}/addons/{addon}", show_in),
        Route::new(Method::PATCH, "/apps/{app}/addons/{addon}", change_plan),
        Route::new(Method::DELETE, "/apps/{app}/addons/{addon}", destroy),
        Route::new(Method::POST, "/actions/addons/resolve", resolve),
    ]
}

/// What is offered has no history: its times are the epoch.
const ALWAYS: Timestamp = Timestamp(0);

fn service_shape(service: &Service) -> Value {
    json!({
        "cli_plugin_name": null,
        "created_at": ALWAYS,
        "human_name": service.human_name,
        "id": id_of("addon-service", service.name),
        "name": service.name,
        "state": "ga",
        "supports_multiple_installations": true,
        "supports_sharing": true,
        "updated_at": ALWAYS,
    })
}

/// Databases here cost nothing.
fn price() -> Value {
    json!({ "cents": 0, "contract": false, "unit": "month" })
}

fn plan_shape(service: &Service, plan: &AddonPlan) -> Value {
    let name = format!("{}:{}", service.name, plan.name);
    json!({
        "addon_service": { "id": id_of("addon-service", service.name), "name": service.name },
        "compliance": null,
        "created_at": ALWAYS,
        "default": service.plans.first().is_some_and(|first| first.name == plan.name),
        "description": format!("{}: {}", service.human_name, plan.description),
        "human_name": plan.human_name,
        "id": id_of("addon-plan", &name),
        "installable_inside_private_network": false,
        "installable_outside_private_network": true,
        "name": name,
        "price": price(),
        "space_default": false,
        "state": "ga",
        "updated_at": ALWAYS,
        "visible": true,
    })
}

/// The word clients wait for: there is no rotating at Heroku.
fn state_word(state: AddonState) -> &'static str {
    match state {
        AddonState::Provisioning => "provisioning",
        AddonState::Provisioned | AddonState::Rotating => "provisioned",
        AddonState::Deprovisioning => "deprovisioned",
    }
}

/// An add-on with its plan and service in full, as clients ask for it with `Accept-Expansion`.
pub async fn shape(api: &Api, addon: &Addon) -> Result<Value, Fault> {
    let attachments = api.reader.attachments_of_addon(addon.id).await?;
    let own = attachments.iter().filter(|attachment| attachment.app_id == addon.app_id);
    let vars: Vec<String> = own.map(|attachment| attachment.name.key().to_string()).collect();
    let (service, plan) = (addon.service(), addon.plan());
    let message = (addon.state == AddonState::Provisioning).then(|| match &addon.error {
        Some(error) => format!("It could not be made yet and is tried again: {error}"),
        None => "The database is being created. It will be available in a few seconds.".to_owned(),
    });
    Ok(json!({
        "actions": [],
        "addon_service": service_shape(service),
        "app": { "id": addon.app_id, "name": addon.app_name },
        "billed_price": price(),
        "billing_entity": { "id": addon.app_id, "name": addon.app_name, "type": "app" },
        "config_vars": vars,
        "created_at": addon.created_at,
        "id": addon.id,
        "name": addon.name,
        "plan": plan_shape(service, plan),
        "provider_id": addon.id,
        "provision_message": message,
        "state": state_word(addon.state),
        "updated_at": addon.updated_at,
        "web_url": format!("{}/apps/{}/addons/{}", api.config.dashboard_url(), addon.app_name, addon.name),
    }))
}

async fn shapes(api: &Api, addons: &[Addon]) -> Result<Vec<Value>, Fault> {
    let mut shapes = Vec::new();
    for addon in addons {
        shapes.push(shape(api, addon).await?);
    }
    Ok(shapes)
}

const SORTED_BY: &[&str] = &["id", "name", "created_at", "updated_at"];

async fn services(_: CurrentUser, headers: HeaderMap) -> Result<Response, Fault> {
    list(&headers, &["id", "name"], SERVICES.iter().map(service_shape).collect())
}

/// A service by its name or id.
fn found_service(named: &str) -> Result<&'static Service, Fault> {
    let by_id = |service: &&'static Service| id_of("addon-service", service.name).to_string() == named;
    service(named).or_else(|| SERVICES.iter().find(by_id)).ok_or_else(|| Fault::not_found("add_on service"))
}

async fn one_service(_: CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    Ok(Json(service_shape(found_service(&named)?)))
}

async fn plans(_: CurrentUser, Path(named): Path<String>, headers: HeaderMap) -> Result<Response, Fault> {
    let service = found_service(&named)?;
    list(&headers, &["id", "name"], service.plans.iter().map(|plan| plan_shape(service, plan)).collect())
}

async fn one_plan(_: CurrentUser, Path((service, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let service = found_service(&service)?;
    let name = named.rsplit(':').next().unwrap_or(&named);
    let plan = service.plan(name).ok_or_else(|| Fault::not_found("plan"))?;
    Ok(Json(plan_shape(service, plan)))
}

async fn plan(_: CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let (service, plan) = plan_named(&named).ok_or_else(|| Fault::not_found("plan"))?;
    Ok(Json(plan_shape(service, plan)))
}

/// Every add-on an account may see: those of its apps, and those attached to them.
async fn visible(api: &Api, user: &User) -> Result<Vec<Addon>, Fault> {
    let mut addons: Vec<Addon> = Vec::new();
    for app in api.reader.apps_open_to(user.id).await? {
        for addon in api.reader.addons_of_app(app.id).await? {
            if addons.iter().all(|known| known.id != addon.id) {
                addons.push(addon);
            }
        }
        for attachment in api.reader.attachments_of_app(app.id).await? {
            if addons.iter().all(|addon| addon.id != attachment.addon_id) {
                addons.extend(api.reader.addon(attachment.addon_id).await?);
            }
        }
    }
    Ok(addons)
}

/// A visible add-on by its name or id.
pub async fn visible_by_name(api: &Api, user: &User, named: &str) -> Result<Addon, Fault> {
    let id: Option<AddonId> = named.parse().ok();
    let mut addons = visible(api, user).await?.into_iter();
    addons.find(|addon| addon.name == named || Some(addon.id) == id).ok_or_else(|| Fault::not_found("add_on"))
}

/// A visible add-on of an app on which the account has this role at least: only there it is
/// looked into and changed.
pub async fn within(api: &Api, user: &User, named: &str, needed: Role) -> Result<Addon, Fault> {
    let addon = visible_by_name(api, user, named).await?;
    match api.reader.accessible_app(user.id, &addon.app_id.to_string()).await? {
        Some((_, role)) if role >= needed => Ok(addon),
        Some(_) => Err(Fault::forbidden(format!("Your role on the app {} is too small for that.", addon.app_name))),
        None => Err(Fault::not_found("add_on")),
    }
}

async fn all(State(api): State<Api>, CurrentUser(user): CurrentUser, headers: HeaderMap) -> Result<Response, Fault> {
    list(&headers, SORTED_BY, shapes(&api, &visible(&api, &user).await?).await?)
}

async fn all_of(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(named): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    require_self(&user, &named)?;
    all(State(api), CurrentUser(user), headers).await
}

async fn show(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    Ok(Json(shape(&api, &visible_by_name(&api, &user, &named).await?).await?))
}

async fn config(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let addon = within(&api, &user, &named, Role::Deploy).await?;
    let vars = shape(&api, &addon).await?["config_vars"].take();
    let names = vars.as_array().into_iter().flatten().filter_map(Value::as_str);
    let config = api.releases.config(addon.app_id).await?;
    let value = |name: &str| config.get(name).map(|value| secrecy::ExposeSecret::expose_secret(value).to_owned());
    Ok(Json(names.map(|name| json!({ "name": name, "value": value(name) })).collect()))
}

async fn of_app(State(api): State<Api>, access: Viewer, headers: HeaderMap) -> Result<Response, Fault> {
    let mut addons = api.reader.addons_of_app(access.app.id).await?;
    for attachment in api.reader.attachments_of_app(access.app.id).await? {
        if addons.iter().all(|addon| addon.id != attachment.addon_id) {
            addons.extend(api.reader.addon(attachment.addon_id).await?);
        }
    }
    list(&headers, SORTED_BY, shapes(&api, &addons).await?)
}

#[derive(Deserialize, Default)]
struct Under {
    name: Option<String>,
}

#[derive(Deserialize)]
struct New {
    plan: Option<Reference>,
    name: Option<String>,
    attachment: Option<Under>,
}

async fn create(State(api): State<Api>, access: Deployer, Json(new): Json<New>) -> Result<(StatusCode, Json<Value>), Fault> {
    let Some(Reference(plan)) = new.plan else { return Err(Fault::invalid("Name the plan: {\"plan\": \"heroku-postgresql:mini\"}.")) };
    let name = new.name.filter(|name| !name.is_empty());
    let attachment = new.attachment.unwrap_or_default().name.filter(|name| !name.is_empty());
    let addon = api.addons.create(access.app.id, Wanted { plan, name, attachment }, &access.by).await?;
    Ok((StatusCode::CREATED, Json(shape(&api, &addon).await?)))
}

/// An add-on the app owns, by its name, its id or the name of an attachment.
async fn in_app(api: &Api, app: &App, named: &str) -> Result<Addon, Fault> {
    let addons = api.reader.addons_of_app(app.id).await?;
    matching(api, addons, Some(app.id), named).await?.into_iter().next().ok_or_else(|| Fault::not_found("add_on"))
}

async fn show_in(State(api): State<Api>, access: Viewer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    Ok(Json(shape(&api, &in_app(&api, &access.app, &named).await?).await?))
}

#[derive(Deserialize)]
struct Plan {
    plan: Reference,
}

/// There is one plan: asking for it is fine.
async fn change_plan(
    State(api): State<Api>,
    access: Deployer,
    Path((_, named)): Path<(String, String)>,
    Json(wanted): Json<Plan>,
) -> Result<Json<Value>, Fault> {
    let addon = in_app(&api, &access.app, &named).await?;
    match plan_named(&wanted.plan.0) {
        Some((service, plan)) if service.name == addon.service && plan.name == addon.plan => Ok(Json(shape(&api, &addon).await?)),
        Some(_) => Err(Fault::invalid(format!("{} cannot be changed to that plan.", addon.name))),
        None => Err(Fault { message: format!("Couldn't find the plan \"{}\".", wanted.plan.0), ..Fault::not_found("plan") }),
    }
}

/// Answers with the add-on as it was, deprovisioned.
async fn destroy(State(api): State<Api>, access: Owning, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let addon = in_app(&api, &access.app, &named).await?;
    let mut last = shape(&api, &addon).await?;
    api.addons.destroy(addon.id, &access.by).await?;
    last["state"] = "deprovisioned".into();
    Ok(Json(last))
}

#[derive(Deserialize)]
struct Question {
    addon: String,
    app: Option<Reference>,
    addon_service: Option<Reference>,
}

/// Add-ons a text may mean: a name, an id, an attachment's name, its config var, or a service.
async fn matching(api: &Api, addons: Vec<Addon>, app: Option<crate::domain::AppId>, named: &str) -> Result<Vec<Addon>, Fault> {
    let id: Option<AddonId> = named.parse().ok();
    let exact: Vec<Addon> = addons.iter().filter(|addon| addon.name == named || Some(addon.id) == id).cloned().collect();
    if !exact.is_empty() {
        return Ok(exact);
    }
    let mut found = Vec::new();
    for addon in addons {
        let attachments = api.reader.attachments_of_addon(addon.id).await?;
        let here = attachments.iter().filter(|attachment| app.is_none_or(|app| attachment.app_id == app));
        let is = |name: &str| name.eq_ignore_ascii_case(named);
        let mut names = here.map(|attachment| (attachment.name.to_string(), attachment.name.key().to_string()));
        if names.any(|(name, key)| is(&name) || is(&key)) || is(&addon.service) {
            found.push(addon);
        }
    }
    Ok(found)
}

async fn resolve(State(api): State<Api>, CurrentUser(user): CurrentUser, Json(question): Json<Question>) -> Result<Json<Value>, Fault> {
    let mut addons = visible(&api, &user).await?;
    let mut in_app = None;
    if let Some(Reference(app)) = question.app {
        let (app, _) = api.reader.accessible_app(user.id, &app).await?.ok_or_else(|| Fault::not_found("app"))?;
        let attached: Vec<_> = api.reader.attachments_of_app(app.id).await?.into_iter().map(|attachment| attachment.addon_id).collect();
        addons.retain(|addon| addon.app_id == app.id || attached.contains(&addon.id));
        in_app = Some(app.id);
    }
    if let Some(Reference(service)) = question.addon_service {
        addons.retain(|addon| addon.service == service);
    }
    // `app::DATABASE` names an app and an attachment in it.
    let named = question.addon.rsplit("::").next().unwrap_or(&question.addon);
    let found = matching(&api, addons, in_app, named).await?;
    if found.is_empty() {
        return Err(Fault::not_found("add_on"));
    }
    Ok(Json(shapes(&api, &found).await?.into()))
}
