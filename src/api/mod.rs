//! The Heroku Platform API, one file a resource. Every route stands in one list (`routes`), from
//! which the router is made and which the tests go through.
//!
//! Around the routes, from the outside in: request id, faults as JSON, ETags, who asks (a token,
//! never a cookie), the hourly allowance.

pub mod absent;
mod account;
mod addon_attachments;
mod addons;
mod announce;
mod app_features;
mod apps;
mod authorizations;
mod backups;
mod buildpacks;
mod builds;
mod capability;
mod catalog;
mod collaborators;
mod config_vars;
mod databases;
mod domains;
mod dynos;
mod features;
mod formation;
mod keyvalue;
mod limit;
mod log_drains;
mod log_sessions;
pub mod openapi;
mod paging;
mod pipelines;
mod prometheus;
mod quota;
mod reference;
mod releases;
mod render;
mod slugs;
mod sni_endpoints;
mod sources;
mod terminals;
mod transfers;
mod tunnel;
mod warning;
mod webhooks;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef},
    handler::Handler,
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodFilter, MethodRouter, on},
};
use http::{Method, header, request::Parts};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    accounts::Accounts,
    addons::Addons,
    apps::Apps,
    audit::Audit,
    builder::Builder,
    clock::Clock,
    config::Config,
    domains::Domains,
    dynos::Dynos,
    hooks_out::Webhooks,
    http::{authenticate_token, keep_trail, request_id},
    logs::{Logs, drains::Drains},
    metrics::History,
    pipelines::Pipelines,
    plans::Plans,
    releases::Releases,
    scheduler::Tasks,
    store::Reader,
};
pub use announce::Announcer;
use capability::Capabilities;
use limit::Allowance;

/// The largest JSON body.
const BODY_BYTES: usize = 1024 * 1024;

/// Everything the API stands on.
#[derive(Clone)]
pub struct ApiParts {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub reader: Reader,
    pub accounts: Accounts,
    pub addons: Addons,
    pub apps: Apps,
    pub builder: Builder,
    pub domains: Domains,
    pub pipelines: Pipelines,
    pub releases: Releases,
    pub dynos: Dynos,
    pub logs: Logs,
    pub plans: Plans,
    pub history: History,
    pub audit: Audit,
    pub drains: Drains,
    pub webhooks: Webhooks,
    pub tasks: Tasks,
    /// The stack apps are built on, as clients see it.
    pub stack: String,
}

/// The state of the edge. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    parts: Arc<ApiParts>,
    capabilities: Arc<Capabilities>,
    allowance: Arc<Allowance>,
}

impl Api {
    pub fn new(parts: ApiParts) -> Api {
        let allowance = Allowance::new(parts.config.limits.api_calls_per_hour);
        Api { capabilities: Arc::new(Capabilities::new()), allowance: Arc::new(allowance), parts: Arc::new(parts) }
    }
}

impl std::ops::Deref for Api {
    type Target = ApiParts;
    fn deref(&self) -> &ApiParts {
        &self.parts
    }
}

impl FromRef<Api> for Accounts {
    fn from_ref(api: &Api) -> Accounts {
        api.accounts.clone()
    }
}

impl FromRef<Api> for Reader {
    fn from_ref(api: &Api) -> Reader {
        api.reader.clone()
    }
}

impl FromRef<Api> for Arc<Config> {
    fn from_ref(api: &Api) -> Arc<Config> {
        api.config.clone()
    }
}

/// Addresses that need no token: they hold a secret themselves, lead to one, or tell what everybody may know.
const OPEN: [&str; 5] = ["/auth", "/streams/", "/sources/", "/buildpacks/", "/openapi.json"];

/// Who may call a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Whoever knows the address: it holds 256 random bits.
    Capability,
    /// Any account.
    Account,
    /// Those who may touch the app in the path.
    App,
}

/// One endpoint.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    handler: MethodRouter<Api>,
}

impl Route {
    fn new<H, T>(method: Method, path: &'static str, handler: H) -> Route
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("routes use the usual methods");
        Route { method, path, handler: on(filter, handler) }
    }

    pub fn access(&self) -> Access {
        match self.path {
            path if OPEN.iter().any(|prefix| path.starts_with(prefix)) => Access::Capability,
            path if path.starts_with("/apps/{app}") || path.starts_with("/client/v11/apps/{app}") => Access::App,
            _ => Access::Account,
        }
    }
}

/// Every endpoint there is.
pub fn routes() -> Vec<Route> {
    [
        account::routes(),
        addon_attachments::routes(),
        addons::routes(),
        app_features::routes(),
        features::routes(),
        apps::routes(),
        authorizations::routes(),
        backups::routes(),
        buildpacks::routes(),
        builds::routes(),
        catalog::routes(),
        collaborators::routes(),
        config_vars::routes(),
        databases::routes(),
        domains::routes(),
        dynos::routes(),
        formation::routes(),
        keyvalue::routes(),
        log_drains::routes(),
        log_sessions::routes(),
        openapi::routes(),
        pipelines::routes(),
        prometheus::routes(),
        quota::routes(),
        releases::routes(),
        slugs::routes(),
        sni_endpoints::routes(),
        sources::routes(),
        terminals::routes(),
        transfers::routes(),
        webhooks::routes(),
        tunnel::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The API as a service. Unknown addresses and wrong methods are the same 404, for everybody; what Heroku has
/// and we have not says so.
pub fn router(api: Api) -> Router {
    let router = routes().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
    router
        .layer(from_fn_with_state(api.clone(), warning::of_quota))
        .layer(from_fn_with_state((api.audit.clone(), "api"), keep_trail))
        .layer(from_fn_with_state(api.clone(), limit::count))
        .layer(from_fn_with_state(api.clone(), authenticate_token))
        .fallback(absent::no_route)
        .method_not_allowed_fallback(absent::no_route)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(CatchPanicLayer::new())
        .layer(from_fn(render::etags))
        .layer(from_fn(render::faults))
        .layer(from_fn(request_id))
        .with_state(api)
}

/// Whether a request on the shared listener is for the API (design: a token, Heroku's media type,
/// the host `api.<domain>`, or a capability address). Cookies say nothing here.
pub fn is_api_request(parts: &Parts, config: &Config) -> bool {
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let authorization = text(header::AUTHORIZATION);
    let host = parts.uri.host().map_or_else(|| text(header::HOST), str::to_ascii_lowercase);
    let host = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name).trim_end_matches('.');
    let of_api = |domain: &str| host.strip_prefix("api.").is_some_and(|rest| rest == domain);
    authorization.starts_with("basic ")
        || authorization.starts_with("bearer ")
        || text(header::ACCEPT).starts_with("application/vnd.heroku+json")
        || of_api(config.dashboard_host())
        || of_api(&config.options.apps_domain)
        || OPEN.iter().any(|prefix| parts.uri.path().starts_with(prefix))
}
