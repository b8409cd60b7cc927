//! Every answer against its description: `resources.txt` has the fields of each resource with their
//! types as Heroku's hyper-schema of 2025 names them. A field more is fine, one less is not. Each
//! answer of every test of the API goes through `hold`.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use siesta::api::openapi::{Call, Content, Kind, RESOURCES, SECTIONS};

use super::server::{Person, Server};

/// What does not fit, as `path: why`.
fn faults_of(kind: &Kind, value: &Value, path: &str, faults: &mut Vec<String>) {
    let fits = match (kind, value) {
        (Kind::Any, _) | (Kind::Null, Value::Null) | (Kind::Bool, Value::Bool(_)) | (Kind::Text, Value::String(_)) => true,
        (Kind::Uuid, Value::String(text)) => uuid::Uuid::try_parse(text).is_ok(),
        (Kind::Time, Value::String(text)) => text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z'),
        (Kind::Number, Value::Number(_)) => true,
        (Kind::Integer, Value::Number(number)) => number.is_i64() || number.is_u64(),
        (Kind::Words(words), Value::String(text)) => words.contains(text),
        (Kind::Named(name), value) => {
            let resource = RESOURCES.get(name.as_str()).unwrap_or_else(|| panic!("{name} is in resources.txt"));
            faults_of(resource, value, path, faults);
            true
        }
        (Kind::List(kind), Value::Array(items)) => {
            items.iter().enumerate().for_each(|(index, item)| faults_of(kind, item, &format!("{path}[{index}]"), faults));
            true
        }
        (Kind::Object(fields), Value::Object(found)) => {
            for (name, (kind, needed)) in fields {
                match found.get(name) {
                    Some(value) => faults_of(kind, value, &format!("{path}.{name}"), faults),
                    None if *needed => faults.push(format!("{path}.{name} is missing")),
                    None => {}
                }
            }
            true
        }
        (Kind::OneOf(kinds), value) => kinds.iter().any(|kind| {
            let mut inner = Vec::new();
            faults_of(kind, value, path, &mut inner);
            inner.is_empty()
        }),
        _ => false,
    };
    if !fits {
        faults.push(format!("{path} is {value}, not {kind:?}"));
    }
}

/// The call that a method and a path with its values mean; what is written out wins.
pub fn call_of(method: &Method, path: &str) -> Option<&'static Call> {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |call: &&Call| {
        let wanted: Vec<&str> = call.path.split('/').collect();
        call.method == *method
            && wanted.len() == parts.len()
            && wanted.iter().zip(&parts).all(|(want, part)| want.starts_with('{') || want == part)
    };
    SECTIONS.iter().flat_map(|section| &section.calls).filter(fits).min_by_key(|call| call.parameters().len())
}

/// Holds an answer to the description of its call: status and every field.
pub fn hold(method: &Method, path: &str, status: u16, text: &str) {
    let Some(call) = call_of(method, path).filter(|_| (200..300).contains(&status)) else { return };
    assert!(status == call.status || status == 206, "{method} {path}: {status}, described as {}", call.status);
    if let Content::Json(kind) = &call.answer {
        let mut faults = Vec::new();
        let json = serde_json::from_str(text).unwrap_or_else(|error| panic!("{method} {path}: {error}: {text}"));
        faults_of(kind, &json, &format!("{method} {path}"), &mut faults);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

struct Check<'a> {
    server: &'a Server,
    ana: &'a Person,
    seen: BTreeSet<String>,
}

impl Check<'_> {
    /// Calls, which holds the answer to its description; a list must have something in it to look at.
    async fn of(&mut self, method: Method, path: &str, body: Option<Value>) -> Value {
        let answer = self.server.call(Some(&self.ana.token), method.clone(), path, body).await;
        assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.text);
        let call = call_of(&method, path).unwrap_or_else(|| panic!("{method} {path} is described"));
        self.seen.insert(format!("{method} {}", call.path));
        let Content::Json(kind) = &call.answer else { return Value::Null };
        let json = answer.json();
        let empty = matches!(kind, Kind::List(of) if **of != Kind::Any) && json.as_array().is_some_and(Vec::is_empty);
        assert!(!empty, "{method} {path} has something to look at");
        json
    }

    async fn get(&mut self, path: &str) -> Value {
        self.of(Method::GET, path, None).await
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        self.of(Method::POST, path, Some(body)).await
    }
}

/// Calls that are looked at elsewhere, and why.
fn elsewhere(call: &str) -> bool {
    let never = [
        // Waits for its user, whom the tests of log-ins have.
        "GET /auth/{token}",
        "GET /account/features/{feature}",
        "GET /account/keys",
        "POST /account/keys",
        "DELETE /account/keys/{key}",
        "DELETE /oauth/sessions/{session}",
        "PATCH /apps/{app}/domains/{domain}",
        "POST /apps/{app}/sni-endpoints",
        "POST /apps/{app}/dynos/{dyno}",
        "GET /pipelines/{pipeline}/review-app-config",
    ];
    // Never a success; streams and files; databases, which the tests of add-ons and of clients ask for.
    never.contains(&call)
        || ["/streams/", "/tunnel", "/sources/{token}", " /metrics", "/databases/", " /client/"].iter().any(|part| call.contains(part))
        || (["/addons", "/addon-attachments"].iter().any(|part| call.contains(part)))
}

#[tokio::test]
async fn every_answer_has_the_fields_heroku_describes() {
    let server = Server::start_with(&["--egress-allow", "127.0.0.1:9"]).await;
    let (ana, bob) = (server.person("ana@example.org").await, server.person("bob@example.org").await);
    let app = server.app(&ana, "tienda").await;
    server.app(&ana, "tienda-dos").await;
    server.deploy(&ana, &app).await;
    let (patch, put, delete) = (Method::PATCH, Method::PUT, Method::DELETE);
    let mut check = Check { server: &server, ana: &ana, seen: BTreeSet::new() };
    of_the_account(&mut check).await;
    of_the_catalog(&mut check).await;

    check.get("/apps").await;
    check.get("/users/~/apps").await;
    check.post("/filters/apps", json!({ "in": { "id": [app.id] } })).await;
    check.get("/apps/tienda").await;
    check.of(patch.clone(), "/apps/tienda", Some(json!({ "maintenance": false }))).await;
    check.post("/apps/tienda/actions/get-quota", json!({})).await;
    check.get("/apps/tienda/usage").await;
    check.get("/apps/tienda/features").await;
    check.get("/apps/tienda/features/preboot").await;
    check.of(patch.clone(), "/apps/tienda/features/preboot", Some(json!({ "enabled": 1 }))).await;
    check.post("/apps/tienda/collaborators", json!({ "user": "bob@example.org" })).await;
    check.get("/apps/tienda/collaborators").await;
    check.get("/apps/tienda/collaborators/bob@example.org").await;
    check.of(patch.clone(), "/apps/tienda/collaborators/bob@example.org", Some(json!({ "role": "view" }))).await;
    check.of(delete.clone(), "/apps/tienda/collaborators/bob@example.org", None).await;
    check.of(patch.clone(), "/apps/tienda/config-vars", Some(json!({ "COLOR": "rojo" }))).await;
    check.get("/apps/tienda/config-vars").await;
    let releases = check.get("/apps/tienda/releases").await;
    let slug = releases.as_array().unwrap().iter().find_map(|release| release["slug"]["id"].as_str()).unwrap().to_owned();
    check.get("/apps/tienda/releases/v3").await;
    check.get("/apps/tienda/releases/v3/config-vars").await;
    check.post("/apps/tienda/releases", json!({ "release": "v3" })).await;
    check.get(&format!("/apps/tienda/slugs/{slug}")).await;
    of_builds(&mut check).await;
    of_dynos(&mut check).await;

    check.post("/apps/tienda/domains", json!({ "hostname": "www.example.org" })).await;
    check.get("/apps/tienda/domains").await;
    check.get("/apps/tienda/domains/www.example.org").await;
    check.of(delete.clone(), "/apps/tienda/domains/www.example.org", None).await;
    check.get("/apps/tienda/sni-endpoints").await;
    check.post("/apps/tienda/log-sessions", json!({})).await;
    let drain = check.post("/apps/tienda/log-drains", json!({ "url": "https://127.0.0.1:9/in" })).await["id"].as_str().unwrap().to_owned();
    check.get("/apps/tienda/log-drains").await;
    check.get(&format!("/apps/tienda/log-drains/{drain}")).await;
    check.of(delete.clone(), &format!("/apps/tienda/log-drains/{drain}"), None).await;
    of_webhooks(&mut check).await;
    let buildpacks = json!({ "updates": [{ "buildpack": "heroku/python" }] });
    check.of(put, "/apps/tienda/buildpack-installations", Some(buildpacks)).await;
    check.get("/apps/tienda/buildpack-installations").await;
    of_pipelines(&mut check).await;

    check.post("/account/app-transfers", json!({ "app": "tienda", "recipient": bob.user.email })).await;
    let offer = check.get("/account/app-transfers").await[0]["id"].as_str().unwrap().to_owned();
    check.get(&format!("/account/app-transfers/{offer}")).await;
    check.of(delete.clone(), &format!("/account/app-transfers/{offer}"), None).await;
    check.post("/account/app-transfers", json!({ "app": "tienda", "recipient": bob.user.email })).await;
    let mut of_bob = Check { server: &server, ana: &bob, seen: BTreeSet::new() };
    of_bob.of(patch, "/account/app-transfers/tienda", Some(json!({ "state": "accepted" }))).await;
    check.seen.append(&mut of_bob.seen);
    check.of(delete, "/apps/tienda-dos", None).await;

    let described = SECTIONS.iter().flat_map(|section| &section.calls).map(|call| format!("{} {}", call.method, call.path));
    let missed: Vec<String> = described.filter(|call| !check.seen.contains(call) && !elsewhere(call)).collect();
    assert!(missed.is_empty(), "nobody looks at the answers of {missed:#?}");
    server.stop().await;
}

async fn of_the_account(check: &mut Check<'_>) {
    for path in ["/account", "/account/rate-limits", "/account/features", "/users/~", "/accounts/~/actions/get-quota", "/openapi.json"] {
        check.get(path).await;
    }
    for path in ["/oauth/sessions", "/oauth/clients", "/teams", "/spaces"] {
        check.get(path).await;
    }
    check.of(Method::PATCH, "/account", Some(json!({ "name": "Ana" }))).await;
    check.of(Method::PATCH, "/users/~", Some(json!({ "name": "Ana" }))).await;
    let made = check.post("/oauth/authorizations", json!({ "scope": ["global"] })).await["id"].as_str().unwrap().to_owned();
    check.get("/oauth/authorizations").await;
    check.get(&format!("/oauth/authorizations/{made}")).await;
    check.of(Method::PATCH, &format!("/oauth/authorizations/{made}"), Some(json!({ "description": "robot" }))).await;
    check.of(Method::POST, &format!("/oauth/authorizations/{made}/actions/regenerate-tokens"), None).await;
    check.of(Method::DELETE, &format!("/oauth/authorizations/{made}"), None).await;
    check.post("/auth", json!({ "description": "Heroku CLI" })).await;
}

async fn of_the_catalog(check: &mut Check<'_>) {
    for path in ["/regions", "/regions/us", "/stacks", "/dyno-sizes", "/dyno-sizes/free", "/addon-services", "/buildpacks/heroku%2Fpython"]
    {
        check.get(path).await;
    }
    let stack = check.get("/stacks").await[0]["name"].as_str().unwrap().to_owned();
    check.get(&format!("/stacks/{stack}")).await;
    check.get("/addon-services/heroku-postgresql").await;
    check.get("/addon-services/heroku-postgresql/plans").await;
    check.get("/addon-services/heroku-postgresql/plans/mini").await;
    check.get("/plans/heroku-postgresql:mini").await;
    check.post("/apps", json!({})).await;
}

async fn of_builds(check: &mut Check<'_>) {
    check.post("/sources", json!({})).await;
    let source = check.post("/apps/tienda/sources", json!({})).await;
    let (put, get) = (source["source_blob"]["put_url"].as_str().unwrap(), source["source_blob"]["get_url"].as_str().unwrap());
    let path = put.split_once("/sources/").map(|(_, token)| format!("/sources/{token}")).unwrap();
    let upload =
        super::server::request(Method::PUT, &path).body(axum::body::Body::from(crate::engine_contract::tar_of(&[("x", b"y")]))).unwrap();
    assert_eq!(check.server.send(upload).await.status, 200);
    let build = check.post("/apps/tienda/builds", json!({ "source_blob": { "url": get } })).await["id"].as_str().unwrap().to_owned();
    check.get("/apps/tienda/builds").await;
    check.get(&format!("/apps/tienda/builds/{build}")).await;
    check.of(Method::DELETE, &format!("/apps/tienda/builds/{build}"), None).await;
}

async fn of_dynos(check: &mut Check<'_>) {
    check.get("/apps/tienda/dynos").await;
    check.get("/apps/tienda/dynos/web.1").await;
    check.post("/apps/tienda/dynos", json!({ "command": "true" })).await;
    check.post("/apps/tienda/dynos/web.1/actions/restart", json!({})).await;
    check.of(Method::DELETE, "/apps/tienda/dynos/web.1", None).await;
    check.of(Method::DELETE, "/apps/tienda/dynos", None).await;
    check.of(Method::DELETE, "/apps/tienda/formations/web", None).await;
    check.post("/apps/tienda/formations/web/actions/stop", json!({})).await;
    check.post("/apps/tienda/dynos/web.1/actions/stop", json!({})).await;
    check.get("/apps/tienda/formation").await;
    check.get("/apps/tienda/formation/web").await;
    check.of(Method::PATCH, "/apps/tienda/formation", Some(json!({ "updates": [{ "type": "worker", "quantity": 0 }] }))).await;
    check.of(Method::PATCH, "/apps/tienda/formation/worker", Some(json!({ "quantity": "+0" }))).await;
}

async fn of_webhooks(check: &mut Check<'_>) {
    let hook = json!({ "url": "https://127.0.0.1:9/in", "include": ["api:app"], "level": "sync" });
    let hook = check.post("/apps/tienda/webhooks", hook).await["id"].as_str().unwrap().to_owned();
    check.get("/apps/tienda/webhooks").await;
    check.get(&format!("/apps/tienda/webhooks/{hook}")).await;
    check.of(Method::PATCH, "/apps/tienda", Some(json!({ "maintenance": true }))).await;
    check.server.house.owners.announcer().announce().await.unwrap();
    check.server.house.owners.webhooks.deliver().await.unwrap();
    let event = check.get("/apps/tienda/webhook-events").await[0]["id"].as_str().unwrap().to_owned();
    check.get(&format!("/apps/tienda/webhook-events/{event}")).await;
    let delivery = check.get("/apps/tienda/webhook-deliveries").await[0]["id"].as_str().unwrap().to_owned();
    check.get(&format!("/apps/tienda/webhook-deliveries/{delivery}")).await;
    check.of(Method::PATCH, &format!("/apps/tienda/webhooks/{hook}"), Some(json!({ "level": "notify" }))).await;
    check.of(Method::DELETE, &format!("/apps/tienda/webhooks/{hook}"), None).await;
}

async fn of_pipelines(check: &mut Check<'_>) {
    check.post("/pipelines", json!({ "name": "tiendas" })).await;
    check.get("/pipelines").await;
    let pipeline = check.get("/pipelines/tiendas").await["id"].clone();
    check.of(Method::PATCH, "/pipelines/tiendas", Some(json!({ "name": "otras" }))).await;
    let mut coupling = String::new();
    for (app, stage) in [("tienda", "staging"), ("tienda-dos", "production")] {
        let body = json!({ "app": app, "pipeline": pipeline, "stage": stage });
        check.post("/pipeline-couplings", body).await["id"].as_str().unwrap().clone_into(&mut coupling);
    }
    for path in
        ["/pipeline-couplings", "/users/~/pipeline-couplings", "/pipelines/otras/pipeline-couplings", "/apps/tienda/pipeline-couplings"]
    {
        check.get(path).await;
    }
    check.get("/pipelines/otras/review-apps").await;
    check.get(&format!("/pipeline-couplings/{coupling}")).await;
    let (one, two) = (check.get("/apps/tienda").await["id"].clone(), check.get("/apps/tienda-dos").await["id"].clone());
    let body = json!({ "pipeline": { "id": pipeline }, "source": { "app": { "id": one } }, "targets": [{ "app": { "id": two } }] });
    let promotion = check.post("/pipeline-promotions", body).await["id"].as_str().unwrap().to_owned();
    check.get(&format!("/pipeline-promotions/{promotion}")).await;
    check.get(&format!("/pipeline-promotions/{promotion}/promotion-targets")).await;
    let moved = Some(json!({ "stage": "development" }));
    check.of(Method::PATCH, &format!("/pipeline-couplings/{coupling}"), moved).await;
    check.of(Method::DELETE, &format!("/pipeline-couplings/{coupling}"), None).await;
    check.of(Method::DELETE, "/pipelines/otras", None).await;
}
