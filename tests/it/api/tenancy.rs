//! Every route against everybody: a route without a line here fails the test.

use std::{collections::BTreeSet, time::Duration};

use http::Method;
use serde_json::{Value, json};
use siesta::{
    api::{self, Access},
    clock::Clock as _,
};

use super::server::{Answer, Person, Server};

/// Method, path, body, and the status the owner of a fresh app gets.
pub fn matrix() -> Vec<(Method, &'static str, Option<Value>, u16)> {
    use Method as M;
    let (delete, get, patch, post, put) = (M::DELETE, M::GET, M::PATCH, M::POST, M::PUT);
    vec![
        (get.clone(), "/account", None, 200),
        (patch.clone(), "/account", Some(json!({ "name": "Ana" })), 200),
        (get.clone(), "/account/app-transfers", None, 200),
        (post.clone(), "/account/app-transfers", Some(json!({ "app": "no-such-app", "recipient": "x@example.org" })), 404),
        (get.clone(), "/account/app-transfers/{transfer}", None, 404),
        (patch.clone(), "/account/app-transfers/{transfer}", Some(json!({ "state": "accepted" })), 404),
        (delete.clone(), "/account/app-transfers/{transfer}", None, 404),
        (get.clone(), "/account/features", None, 200),
        (get.clone(), "/account/features/{feature}", None, 404),
        (post.clone(), "/account/keys", Some(json!({ "public_key": "ssh-ed25519 AAAA" })), 422),
        (delete.clone(), "/account/keys/{key}", None, 404),
        (get.clone(), "/account/keys", None, 200),
        (get.clone(), "/account/rate-limits", None, 200),
        (get.clone(), "/accounts/{account}/actions/get-quota", None, 200),
        (post.clone(), "/actions/addon-attachments/resolve", Some(json!({ "addon_attachment": "DATABASE_URL" })), 404),
        (post.clone(), "/actions/addons/resolve", Some(json!({ "addon": "DATABASE" })), 404),
        (get.clone(), "/addon-attachments", None, 200),
        (post.clone(), "/addon-attachments", Some(json!({ "addon": "postgresql-x-1", "app": "tienda" })), 404),
        (get.clone(), "/addon-attachments/{attachment}", None, 404),
        (delete.clone(), "/addon-attachments/{attachment}", None, 404),
        (post.clone(), "/auth", Some(json!({ "description": "CLI" })), 201),
        (get.clone(), "/auth/{token}", None, 404),
        (get.clone(), "/addon-services", None, 200),
        (get.clone(), "/addon-services/{service}", None, 200),
        (get.clone(), "/addon-services/{service}/plans", None, 200),
        (get.clone(), "/addon-services/{service}/plans/{plan}", None, 200),
        (get.clone(), "/metrics", None, 403),
        (get.clone(), "/addons", None, 200),
        (get.clone(), "/addons/{addon}", None, 404),
        (get.clone(), "/addons/{addon}/addon-attachments", None, 404),
        (get.clone(), "/addons/{addon}/config", None, 404),
        (get.clone(), "/apps", None, 200),
        (post.clone(), "/apps", Some(json!({})), 201),
        (get.clone(), "/apps/{app}", None, 200),
        (patch.clone(), "/apps/{app}", Some(json!({ "maintenance": true })), 200),
        (post.clone(), "/apps/{app}/actions/get-quota", None, 200),
        (get.clone(), "/apps/{app}/addon-attachments", None, 200),
        (get.clone(), "/apps/{app}/addon-attachments/{attachment}", None, 404),
        (get.clone(), "/apps/{app}/addons", None, 200),
        (get.clone(), "/apps/{app}/buildpack-installations", None, 200),
        (put.clone(), "/apps/{app}/buildpack-installations", Some(json!({ "updates": [{ "buildpack": "heroku/python" }] })), 200),
        (post.clone(), "/apps/{app}/addons", Some(json!({ "plan": "heroku-postgresql:mini" })), 503),
        (get.clone(), "/apps/{app}/addons/{addon}", None, 404),
        (patch.clone(), "/apps/{app}/addons/{addon}", Some(json!({ "plan": "heroku-postgresql:mini" })), 404),
        (delete.clone(), "/apps/{app}/addons/{addon}", None, 404),
        (get.clone(), "/apps/{app}/builds", None, 200),
        (post.clone(), "/apps/{app}/builds", Some(json!({ "source_blob": { "url": "https://example.org/a.tgz" } })), 422),
        (get.clone(), "/apps/{app}/builds/{build}", None, 404),
        (delete.clone(), "/apps/{app}/builds/{build}", None, 404),
        (get.clone(), "/apps/{app}/collaborators", None, 200),
        (post.clone(), "/apps/{app}/collaborators", Some(json!({ "user": "eve@example.org" })), 422),
        (get.clone(), "/apps/{app}/collaborators/{collaborator}", None, 404),
        (patch.clone(), "/apps/{app}/collaborators/{collaborator}", Some(json!({ "role": "view" })), 404),
        (delete.clone(), "/apps/{app}/collaborators/{collaborator}", None, 404),
        (get.clone(), "/apps/{app}/config-vars", None, 200),
        (patch.clone(), "/apps/{app}/config-vars", Some(json!({ "A": "b" })), 200),
        (get.clone(), "/apps/{app}/domains", None, 200),
        (post.clone(), "/apps/{app}/domains", Some(json!({ "hostname": "www.example.org" })), 201),
        (get.clone(), "/apps/{app}/domains/{domain}", None, 404),
        (patch.clone(), "/apps/{app}/domains/{domain}", Some(json!({ "sni_endpoint": null })), 422),
        (delete.clone(), "/apps/{app}/domains/{domain}", None, 404),
        (get.clone(), "/apps/{app}/dynos", None, 200),
        (post.clone(), "/apps/{app}/dynos", Some(json!({ "command": "bash" })), 422),
        (delete.clone(), "/apps/{app}/dynos", None, 202),
        (get.clone(), "/apps/{app}/dynos/{dyno}", None, 404),
        (post.clone(), "/apps/{app}/dynos/{dyno}", Some(json!({ "command": "bash" })), 422),
        (delete.clone(), "/apps/{app}/dynos/{dyno}", None, 404),
        (post.clone(), "/apps/{app}/dynos/{dyno}/actions/restart", None, 404),
        (post.clone(), "/apps/{app}/dynos/{dyno}/actions/stop", None, 404),
        (get.clone(), "/apps/{app}/features", None, 200),
        (get.clone(), "/apps/{app}/features/{feature}", None, 404),
        (patch.clone(), "/apps/{app}/features/{feature}", Some(json!({ "enabled": true })), 404),
        (get.clone(), "/apps/{app}/formation", None, 200),
        (patch.clone(), "/apps/{app}/formation", Some(json!({ "updates": [{ "type": "web", "quantity": "1" }] })), 404),
        (get.clone(), "/apps/{app}/formation/{formation}", None, 404),
        (patch.clone(), "/apps/{app}/formation/{formation}", Some(json!({ "quantity": 1 })), 404),
        (delete.clone(), "/apps/{app}/formations/{type}", None, 404),
        (post.clone(), "/apps/{app}/formations/{type}/actions/stop", None, 404),
        (get.clone(), "/apps/{app}/log-drains", None, 200),
        (post.clone(), "/apps/{app}/log-drains", Some(json!({ "url": "https://10.0.0.1/in" })), 422),
        (get.clone(), "/apps/{app}/log-drains/{drain}", None, 404),
        (delete.clone(), "/apps/{app}/log-drains/{drain}", None, 404),
        (post.clone(), "/apps/{app}/log-sessions", Some(json!({ "lines": 10 })), 201),
        (get.clone(), "/apps/{app}/pipeline-couplings", None, 404),
        (get.clone(), "/apps/{app}/releases", None, 200),
        (post.clone(), "/apps/{app}/releases", Some(json!({ "release": "v1" })), 422),
        (get.clone(), "/apps/{app}/releases/{release}", None, 200),
        (get.clone(), "/apps/{app}/releases/{release}/config-vars", None, 200),
        (get.clone(), "/apps/{app}/slugs/{slug}", None, 404),
        (get.clone(), "/apps/{app}/sni-endpoints", None, 200),
        (post.clone(), "/apps/{app}/sni-endpoints", Some(json!({ "certificate_chain": "", "private_key": "" })), 422),
        (post.clone(), "/apps/{app}/sources", None, 201),
        (get.clone(), "/apps/{app}/usage", None, 200),
        (get.clone(), "/apps/{app}/webhook-deliveries", None, 200),
        (get.clone(), "/apps/{app}/webhook-deliveries/{delivery}", None, 404),
        (get.clone(), "/apps/{app}/webhook-events", None, 200),
        (get.clone(), "/apps/{app}/webhook-events/{event}", None, 404),
        (get.clone(), "/apps/{app}/webhooks", None, 200),
        (
            post.clone(),
            "/apps/{app}/webhooks",
            Some(json!({ "url": "https://10.0.0.1/in", "include": ["api:app"], "level": "notify" })),
            422,
        ),
        (get.clone(), "/apps/{app}/webhooks/{webhook}", None, 404),
        (patch.clone(), "/apps/{app}/webhooks/{webhook}", Some(json!({ "level": "sync" })), 404),
        (delete.clone(), "/apps/{app}/webhooks/{webhook}", None, 404),
        (get.clone(), "/buildpacks/{buildpack}", None, 404),
        (get.clone(), "/client/v11/apps/{app}/transfers", None, 200),
        (get.clone(), "/client/v11/apps/{app}/transfers/{transfer}", None, 404),
        (delete.clone(), "/client/v11/apps/{app}/transfers/{transfer}", None, 404),
        (post.clone(), "/client/v11/apps/{app}/transfers/{transfer}/actions/public-url", None, 404),
        (post.clone(), "/client/v11/apps/{app}/transfers/{transfer}/actions/cancel", None, 404),
        (get.clone(), "/client/v11/databases/{addon}", None, 404),
        (post.clone(), "/client/v11/databases/{addon}/backups", None, 404),
        (post.clone(), "/client/v11/databases/{addon}/restores", Some(json!({ "backup_url": "siesta-backup:x" })), 404),
        (get.clone(), "/client/v11/databases/{addon}/transfer-schedules", None, 404),
        (post.clone(), "/client/v11/databases/{addon}/transfer-schedules", Some(json!({ "hour": "2", "timezone": "UTC" })), 404),
        (delete.clone(), "/client/v11/databases/{addon}/transfer-schedules/{schedule}", None, 404),
        (post.clone(), "/client/v11/databases/{addon}/connection_reset", None, 404),
        (post.clone(), "/client/v11/databases/{addon}/credentials_rotation", None, 404),
        (put.clone(), "/client/v11/databases/{addon}/reset", None, 404),
        (get.clone(), "/client/v11/databases/{addon}/wait_status", None, 404),
        (get.clone(), "/dyno-sizes", None, 200),
        (get.clone(), "/dyno-sizes/{size}", None, 200),
        (get.clone(), "/oauth/authorizations", None, 200),
        (post.clone(), "/oauth/authorizations", Some(json!({ "description": "x", "scope": ["global"] })), 201),
        (get.clone(), "/oauth/authorizations/{authorization}", None, 200),
        (post.clone(), "/filters/apps", Some(json!({ "in": { "id": [] } })), 200),
        (get.clone(), "/oauth/clients", None, 200),
        (get.clone(), "/oauth/sessions", None, 200),
        (get.clone(), "/openapi.json", None, 200),
        (get.clone(), "/postgres/v0/tunnel", None, 400),
        (get.clone(), "/pipelines", None, 200),
        (post.clone(), "/pipelines", Some(json!({ "name": "tiendas" })), 201),
        (get.clone(), "/pipelines/{pipeline}", None, 404),
        (patch.clone(), "/pipelines/{pipeline}", Some(json!({ "name": "otras" })), 404),
        (delete.clone(), "/pipelines/{pipeline}", None, 404),
        (get.clone(), "/pipelines/{pipeline}/pipeline-couplings", None, 404),
        (get.clone(), "/pipelines/{pipeline}/review-app-config", None, 404),
        (get.clone(), "/pipelines/{pipeline}/review-apps", None, 404),
        (get.clone(), "/pipeline-couplings", None, 200),
        (post.clone(), "/pipeline-couplings", Some(json!({ "app": "no-such-app", "pipeline": "none", "stage": "staging" })), 404),
        (get.clone(), "/pipeline-couplings/{coupling}", None, 404),
        (patch.clone(), "/pipeline-couplings/{coupling}", Some(json!({ "stage": "staging" })), 404),
        (delete.clone(), "/pipeline-couplings/{coupling}", None, 404),
        (
            post.clone(),
            "/pipeline-promotions",
            Some(json!({ "pipeline": { "id": "none" }, "source": { "app": { "id": "x" } }, "targets": [] })),
            404,
        ),
        (get.clone(), "/pipeline-promotions/{promotion}", None, 404),
        (get.clone(), "/pipeline-promotions/{promotion}/promotion-targets", None, 404),
        (delete.clone(), "/oauth/sessions/{session}", None, 404),
        (get.clone(), "/plans/{plan}", None, 200),
        (get.clone(), "/postgres/v0/databases/{addon}/credentials", None, 404),
        (get.clone(), "/postgres/v0/databases/{addon}/credentials/{credential}", None, 404),
        (post.clone(), "/postgres/v0/databases/{addon}/credentials/{credential}/credentials_rotation", None, 404),
        (post.clone(), "/postgres/v0/databases/{addon}/credentials_rotation", None, 404),
        (get.clone(), "/redis/v0/databases/{addon}", None, 404),
        (get.clone(), "/redis/v0/databases/{addon}/wait", None, 404),
        (get.clone(), "/redis/v0/databases/{addon}/config", None, 404),
        (patch.clone(), "/redis/v0/databases/{addon}/config", Some(json!({ "maxmemory_policy": "allkeys-lru" })), 404),
        (post.clone(), "/redis/v0/databases/{addon}/credentials_rotation", None, 404),
        (get.clone(), "/regions", None, 200),
        (get.clone(), "/regions/{region}", None, 200),
        (get.clone(), "/sources/{token}", None, 404),
        (put.clone(), "/sources/{token}", None, 404),
        (post.clone(), "/sources", None, 201),
        (get.clone(), "/spaces", None, 200),
        (get.clone(), "/stacks", None, 200),
        (get.clone(), "/stacks/{stack}", None, 200),
        (get.clone(), "/streams/backups/{token}", None, 404),
        (get.clone(), "/streams/build/{token}", None, 404),
        (get.clone(), "/streams/log/{token}", None, 404),
        (get.clone(), "/teams", None, 200),
        (get.clone(), "/users/{account}", None, 200),
        (patch.clone(), "/users/{account}", Some(json!({ "name": "Ana" })), 200),
        (get.clone(), "/users/{account}/pipeline-couplings", None, 200),
        (get.clone(), "/users/{account}/addons", None, 200),
        (get, "/users/{account}/apps", None, 200),
        // Last: what takes away what the others need.
        (delete.clone(), "/apps/{app}", None, 200),
        (patch.clone(), "/oauth/authorizations/{authorization}", Some(json!({ "description": "robot" })), 200),
        (post.clone(), "/oauth/authorizations/{authorization}/actions/regenerate-tokens", None, 200),
        (delete, "/oauth/authorizations/{authorization}", None, 200),
    ]
}

pub fn filled(path: &str, app: &str, owner: &Person, authorization: &str) -> String {
    let values = [
        ("{addon}", "postgresql-x-1"),
        ("{app}", app),
        ("{attachment}", "0198c0de-0000-7000-8000-000000000000"),
        ("{credential}", "default"),
        ("{plan}", "heroku-postgresql:mini"),
        ("{service}", "heroku-postgresql"),
        ("{account}", owner.user.email.as_str()),
        ("{authorization}", authorization),
        ("{build}", "0198c0de-0000-7000-8000-000000000000"),
        ("{buildpack}", "heroku%2Fnodejs"),
        ("{coupling}", "0198c0de-0000-7000-8000-000000000000"),
        ("{key}", "none"),
        ("{pipeline}", "0198c0de-0000-7000-8000-000000000000"),
        ("{promotion}", "0198c0de-0000-7000-8000-000000000000"),
        ("{transfer}", "0198c0de-0000-7000-8000-000000000000"),
        ("{domain}", "example.org"),
        ("{collaborator}", "nobody@example.org"),
        ("{drain}", "https%3A%2F%2Flogs.example.org%2Fin"),
        ("{dyno}", "web.1"),
        ("{formation}", "web"),
        ("{region}", "us"),
        ("{release}", "v1"),
        ("{schedule}", "none"),
        ("{session}", "~"),
        ("{size}", "free"),
        ("{slug}", "0198c0de-0000-7000-8000-000000000000"),
        ("{stack}", "siesta-12"),
        ("{token}", "bm90LWEtdG9rZW4tb2YtYW55Ym9keS1vbi10aGlzLXNlcnZlcg"),
        ("{type}", "web"),
        ("{delivery}", "0198c0de-0000-7000-8000-000000000000"),
        ("{event}", "0198c0de-0000-7000-8000-000000000000"),
        ("{webhook}", "0198c0de-0000-7000-8000-000000000000"),
    ];
    values.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value))
}

fn same(a: &Answer, b: &Answer) -> bool {
    let plain = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.remove("request-id");
        headers.remove("ratelimit-remaining");
        (answer.status, headers, answer.text.clone())
    };
    plain(a) == plain(b)
}

#[tokio::test]
async fn every_route_has_its_line_in_the_matrix() {
    let listed: BTreeSet<_> = matrix().into_iter().map(|(method, path, ..)| format!("{method} {path}")).collect();
    let routed: BTreeSet<_> = api::routes().into_iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(listed.symmetric_difference(&routed).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(matrix().len(), listed.len(), "no line twice");
}

#[tokio::test]
async fn nobody_gets_at_what_is_not_theirs() {
    let server = Server::start().await;
    let (ana, eve) = (server.person("ana@example.org").await, server.person("eve@example.org").await);
    server.app(&ana, "tienda").await;
    let soon = server.clock.now() + Duration::from_secs(60);
    let (_, expired) = server.accounts.create_token(ana.user.id, "old", Some(soon)).await.unwrap();
    server.clock.advance(Duration::from_secs(61));
    let authorization = server.accounts.tokens(ana.user.id).await.unwrap().iter().find(|t| t.description == "old").unwrap().id.to_string();

    let access = |method: &Method, path: &str| {
        let route = api::routes().into_iter().find(|route| route.method == *method && route.path == path);
        route.unwrap_or_else(|| panic!("{method} {path} is a route")).access()
    };
    for (method, path, body, _) in matrix() {
        let named = format!("{method} {path}");
        let here = filled(path, "tienda", &ana, &authorization);
        let nowhere = filled(path, "no-such-app", &ana, &authorization);
        let anonymous = server.call(None, method.clone(), &here, body.clone()).await;
        let stale = server.call(Some(&expired), method.clone(), &here, body.clone()).await;
        let guessed = server.call(Some(&"HRKU-guess".into()), method.clone(), &here, body.clone()).await;
        // What a login begins with is another each time.
        assert!(path == "/auth" || (same(&anonymous, &stale) && same(&anonymous, &guessed)), "{named}");
        let access = access(&method, path);
        let open = match path {
            "/openapi.json" => 200,
            "/auth" => 201,
            _ => 404,
        };
        assert_eq!(anonymous.status, if access == Access::Capability { open } else { 401 }, "{named}");
        let other = server.call(Some(&eve.token), method.clone(), &here, body.clone()).await;
        match access {
            Access::App => {
                let missing = server.call(Some(&eve.token), method.clone(), &nowhere, body.clone()).await;
                assert_eq!(other.status, 404, "{named}");
                assert_eq!(other.json()["resource"], "app", "{named}");
                assert!(same(&other, &missing), "{named}");
            }
            Access::Account if path.contains("{account}") || path.contains("{authorization}") => assert_eq!(other.status, 404, "{named}"),
            Access::Account | Access::Capability => {}
        }
    }
    assert_eq!(server.get(&ana, "/apps/tienda").await.json()["maintenance"], false, "nothing was changed");
    server.stop().await;
}

#[tokio::test]
async fn the_owner_gets_an_answer_from_every_route() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    server.app(&ana, "tienda").await;
    let (spare, _) = server.accounts.create_token(ana.user.id, "spare", None).await.unwrap();
    for (method, path, body, expected) in matrix() {
        let here = filled(path, "tienda", &ana, &spare.id.to_string());
        let answer = server.call(Some(&ana.token), method.clone(), &here, body).await;
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text);
        assert!(answer.headers.contains_key("request-id") && answer.headers.contains_key("ratelimit-remaining"), "{method} {path}");
        assert!(answer.text.is_empty() || answer.json() != Value::Null, "{method} {path}");
    }
    server.stop().await;
}
