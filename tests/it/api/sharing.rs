//! What joins apps, names and people: own domains, pipelines, app transfers, buildpacks.

use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::server::{Answer, Person, Server};

async fn call(server: &Server, who: &Person, method: Method, path: &str, body: Value) -> Answer {
    server.call(Some(&who.token), method, path, Some(body)).await
}

#[tokio::test]
async fn an_app_answers_under_its_own_names() {
    let server = Server::start().await;
    let (ana, eve) = (server.person("ana@example.org").await, server.person("eve@example.org").await);
    let app = server.app(&ana, "tienda").await;
    server.app(&eve, "robada").await;
    let routes = server.house.owners.dynos.routes();
    let added =
        call(&server, &ana, Method::POST, "/apps/tienda/domains", json!({ "hostname": "WWW.Example.org", "sni_endpoint": null })).await;
    assert_eq!((added.status.as_u16(), &added.json()["hostname"]), (201, &json!("www.example.org")), "{}", added.text);
    assert_eq!(added.json()["cname"], "tienda.localhost");
    assert_eq!(routes.find("www.example.org").map(|route| route.app), Some(app.id));
    let taken = call(&server, &eve, Method::POST, "/apps/robada/domains", json!({ "hostname": "www.example.org" })).await;
    assert_eq!(
        (taken.status.as_u16(), taken.json()["message"].clone()),
        (422, json!("www.example.org is currently in use by another app."))
    );
    for hostname in ["robada.localhost", "localhost", "*.example.org", "10.0.0.1", "a b", ""] {
        let refused = call(&server, &ana, Method::POST, "/apps/tienda/domains", json!({ "hostname": hostname })).await;
        assert_eq!(refused.status, 422, "{hostname}: {}", refused.text);
    }
    call(&server, &ana, Method::PATCH, "/apps/tienda", json!({ "name": "tienda-dos" })).await;
    assert!(
        routes.find("www.example.org").is_some()
            && routes.find("tienda-dos.localhost").is_some()
            && routes.find("tienda.localhost").is_none()
    );
    let id = added.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(call(&server, &ana, Method::DELETE, "/apps/tienda-dos/domains/tienda-dos.localhost", json!({})).await.status, 422);
    assert_eq!(call(&server, &ana, Method::DELETE, &format!("/apps/tienda-dos/domains/{id}"), json!({})).await.status, 200);
    assert!(routes.find("www.example.org").is_none(), "free at once");
    assert_eq!(call(&server, &eve, Method::POST, "/apps/robada/domains", json!({ "hostname": "www.example.org" })).await.status, 201);
    server
        .apps
        .destroy(server.house.owners.reader.app_by_name(&"robada".parse().unwrap()).await.unwrap().unwrap().id, &eve.actor())
        .await
        .unwrap();
    assert!(routes.find("www.example.org").is_none(), "gone with its app");
    server.stop().await;
}

#[tokio::test]
async fn a_promotion_gives_the_slug_and_leaves_the_config() {
    let server = Server::start().await;
    let (ana, eve) = (server.person("ana@example.org").await, server.person("eve@example.org").await);
    let app = server.app(&ana, "tienda-staging").await;
    for name in ["tienda-prod", "tienda-otra"] {
        server.app(&ana, name).await;
    }
    call(&server, &ana, Method::PATCH, "/apps/tienda-prod/config-vars", json!({ "DONDE": "prod" })).await;
    let pipeline =
        call(&server, &ana, Method::POST, "/pipelines", json!({ "name": "tiendas", "owner": { "id": ana.user.id, "type": "user" } })).await;
    assert_eq!(pipeline.status, 201, "{}", pipeline.text);
    let pipeline = pipeline.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        call(&server, &ana, Method::POST, "/pipelines", json!({ "name": "tiendas" })).await.json()["message"],
        "Name is already taken"
    );
    assert_eq!(server.get(&ana, "/pipelines?eq[name]=tiendas").await.json()[0]["id"], pipeline.as_str());
    assert_eq!(server.get(&ana, "/pipelines?eq[name]=otras").await.json(), json!([]));
    assert_eq!(server.get(&eve, &format!("/pipelines/{pipeline}")).await.status, 404);
    for (name, stage) in [("tienda-staging", "staging"), ("tienda-prod", "production")] {
        let body = json!({ "app": name, "pipeline": pipeline, "stage": stage });
        assert_eq!(call(&server, &ana, Method::POST, "/pipeline-couplings", body.clone()).await.status, 201, "{name}");
        assert_eq!(call(&server, &ana, Method::POST, "/pipeline-couplings", body.clone()).await.status, 422, "{name} twice");
        assert_eq!(call(&server, &eve, Method::POST, "/pipeline-couplings", body).await.status, 404, "{name} as another");
    }
    let id = async |name: &str| server.get(&ana, &format!("/apps/{name}")).await.json()["id"].clone();
    let (from, to, out) = (id("tienda-staging").await, id("tienda-prod").await, id("tienda-otra").await);
    let body = |target: &Value| json!({ "pipeline": { "id": pipeline }, "source": { "app": { "id": from } }, "targets": [{ "app": { "id": target } }] });
    assert_eq!(call(&server, &ana, Method::POST, "/pipeline-promotions", body(&to)).await.status, 422, "nothing was deployed");
    server.deploy(&ana, &app).await;
    assert_eq!(call(&server, &ana, Method::POST, "/pipeline-promotions", body(&out)).await.status, 422, "not in the pipeline");
    assert_eq!(call(&server, &ana, Method::POST, "/pipeline-promotions", body(&from)).await.status, 422, "onto itself");
    let slug = server.get(&ana, "/apps/tienda-staging/slugs/none").await;
    assert_eq!(slug.status, 404);
    let promotion = call(&server, &ana, Method::POST, "/pipeline-promotions", body(&to)).await;
    assert_eq!(promotion.status, 201, "{}", promotion.text);
    let path = format!("/pipeline-promotions/{}", promotion.json()["id"].as_str().unwrap());
    // The copy has no image in the fake engine and no files: it fails, and says so.
    server.until(async || server.get(&ana, &path).await.json()["status"] == "completed").await;
    let target = server.get(&ana, &format!("{path}/promotion-targets")).await.json()[0].clone();
    assert_eq!(target["app"]["id"], to);
    assert!(["succeeded", "failed"].contains(&target["status"].as_str().unwrap()), "{target}");
    let release = server.get(&ana, "/apps/tienda-prod/releases").await.json().as_array().unwrap().last().unwrap().clone();
    assert!(release["description"].as_str().unwrap().starts_with("Promote tienda-staging v3 1a2b3c4d"), "{release}");
    assert_eq!(server.get(&ana, "/apps/tienda-prod/config-vars").await.json(), json!({ "DONDE": "prod" }));
    assert_eq!(server.get(&eve, &path).await.status, 404);
    let coupling = server.get(&ana, "/apps/tienda-prod/pipeline-couplings").await.json();
    assert_eq!((&coupling["stage"], &coupling["pipeline"]["name"]), (&json!("production"), &json!("tiendas")));
    let filtered = call(&server, &ana, Method::POST, "/filters/apps", json!({ "in": { "id": [to, from] } })).await.json();
    assert_eq!(filtered.as_array().unwrap().len(), 2);
    assert_eq!(call(&server, &eve, Method::POST, "/filters/apps", json!({ "in": { "id": [to] } })).await.json(), json!([]));
    assert_eq!(call(&server, &ana, Method::DELETE, &format!("/pipelines/{pipeline}"), json!({})).await.status, 200);
    assert_eq!(server.get(&ana, "/apps/tienda-prod/pipeline-couplings").await.status, 404);
    assert_eq!(server.get(&ana, "/apps/tienda-prod").await.status, 200, "its apps stay");
    server.stop().await;
}

#[tokio::test]
async fn an_app_changes_hands_when_the_other_says_yes() {
    let server = Server::start().await;
    let (ana, bob, eve) =
        (server.person("ana@example.org").await, server.person("bob@example.org").await, server.person("eve@example.org").await);
    server.app(&ana, "tienda").await;
    let offer = json!({ "app": "tienda", "recipient": "bob@example.org" });
    assert_eq!(call(&server, &eve, Method::POST, "/account/app-transfers", offer.clone()).await.status, 404);
    let made = call(&server, &ana, Method::POST, "/account/app-transfers", offer.clone()).await;
    assert_eq!((made.status.as_u16(), &made.json()["state"]), (201, &json!("pending")), "{}", made.text);
    assert_eq!(call(&server, &ana, Method::POST, "/account/app-transfers", offer).await.status, 422, "one at a time");
    let path = format!("/account/app-transfers/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(server.get(&eve, &path).await.status, 404);
    assert_eq!(call(&server, &ana, Method::PATCH, &path, json!({ "state": "accepted" })).await.status, 404, "not by the sender");
    assert_eq!(server.get(&bob, "/apps/tienda").await.status, 404, "not before");
    let taken = call(&server, &bob, Method::PATCH, &path, json!({ "state": "accepted" })).await;
    assert_eq!((taken.status.as_u16(), &taken.json()["state"]), (200, &json!("accepted")), "{}", taken.text);
    assert_eq!(server.get(&bob, "/apps/tienda").await.json()["owner"]["email"], "bob@example.org");
    assert_eq!(call(&server, &ana, Method::DELETE, "/apps/tienda", json!({})).await.status, 403, "a collaborator now");
    assert_eq!(call(&server, &bob, Method::PATCH, &path, json!({ "state": "declined" })).await.status, 404, "once");
    let back = call(&server, &bob, Method::POST, "/account/app-transfers", json!({ "app": "tienda", "recipient": ana.user.id })).await;
    let path = format!("/account/app-transfers/{}", back.json()["id"].as_str().unwrap());
    assert_eq!(call(&server, &bob, Method::DELETE, &path, json!({})).await.status, 200, "taken back");
    assert_eq!(call(&server, &ana, Method::PATCH, &path, json!({ "state": "accepted" })).await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn only_the_buildpack_there_is_can_be_named() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    server.app(&ana, "tienda").await;
    let path = "/apps/tienda/buildpack-installations";
    let set = async |name: &str| call(&server, &ana, Method::PUT, path, json!({ "updates": [{ "buildpack": name }] })).await;
    for name in ["heroku/python", "https://github.com/heroku/heroku-buildpack-python", "urn:buildpack:heroku/python"] {
        assert_eq!(set(name).await.json()[0]["buildpack"]["name"], "heroku/python", "{name}");
    }
    let other = set("heroku/nodejs").await;
    assert_eq!((other.status, other.text.contains("heroku/nodejs")), (StatusCode::UNPROCESSABLE_ENTITY, true), "{}", other.text);
    assert_eq!(server.get(&ana, path).await.json().as_array().unwrap().len(), 1, "unchanged");
    assert_eq!(call(&server, &ana, Method::PUT, path, json!({ "updates": [] })).await.json(), json!([]));
    let lookup = Request::builder().uri("/buildpacks/heroku%2Fpython").header("host", "localhost:8080");
    let found = server.send(lookup.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(found.status, 200, "without a token: {}", found.text);
    server.stop().await;
}
