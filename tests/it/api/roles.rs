//! Every route of an app against every role: a route without a line here fails the test.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;
use siesta::{
    api::{self, Access},
    domain::Role,
};

use super::{
    server::Server,
    tenancy::{filled, matrix},
};

/// The least role that a route of an app takes.
fn least(route: &str) -> Option<Role> {
    let role = match route {
        "GET /apps/{app}"
        | "POST /apps/{app}/actions/get-quota"
        | "GET /apps/{app}/addon-attachments"
        | "GET /apps/{app}/addon-attachments/{attachment}"
        | "GET /apps/{app}/addons"
        | "GET /apps/{app}/buildpack-installations"
        | "GET /apps/{app}/addons/{addon}"
        | "GET /apps/{app}/builds"
        | "GET /apps/{app}/builds/{build}"
        | "GET /apps/{app}/collaborators"
        | "GET /apps/{app}/collaborators/{collaborator}"
        // Its owner, or a collaborator that leaves; see below.
        | "DELETE /apps/{app}/collaborators/{collaborator}"
        | "GET /apps/{app}/domains"
        | "GET /apps/{app}/domains/{domain}"
        | "GET /apps/{app}/dynos"
        | "GET /apps/{app}/dynos/{dyno}"
        | "GET /apps/{app}/features"
        | "GET /apps/{app}/features/{feature}"
        | "GET /apps/{app}/formation"
        | "GET /apps/{app}/formation/{formation}"
        | "POST /apps/{app}/log-sessions"
        | "GET /apps/{app}/pipeline-couplings"
        | "GET /apps/{app}/releases"
        | "GET /apps/{app}/releases/{release}"
        | "GET /apps/{app}/slugs/{slug}"
        | "GET /apps/{app}/sni-endpoints"
        | "GET /apps/{app}/usage" => Role::View,
        "PATCH /apps/{app}"
        | "PUT /apps/{app}/buildpack-installations"
        | "POST /apps/{app}/addons"
        | "PATCH /apps/{app}/addons/{addon}"
        | "POST /apps/{app}/builds"
        | "DELETE /apps/{app}/builds/{build}"
        | "GET /apps/{app}/config-vars"
        | "GET /apps/{app}/log-drains"
        | "POST /apps/{app}/log-drains"
        | "GET /apps/{app}/log-drains/{drain}"
        | "DELETE /apps/{app}/log-drains/{drain}"
        | "PATCH /apps/{app}/config-vars"
        | "GET /apps/{app}/releases/{release}/config-vars"
        | "POST /apps/{app}/domains"
        | "PATCH /apps/{app}/domains/{domain}"
        | "DELETE /apps/{app}/domains/{domain}"
        | "POST /apps/{app}/dynos"
        | "POST /apps/{app}/dynos/{dyno}"
        | "DELETE /apps/{app}/dynos"
        | "DELETE /apps/{app}/dynos/{dyno}"
        | "POST /apps/{app}/dynos/{dyno}/actions/restart"
        | "POST /apps/{app}/dynos/{dyno}/actions/stop"
        | "PATCH /apps/{app}/features/{feature}"
        | "PATCH /apps/{app}/formation"
        | "PATCH /apps/{app}/formation/{formation}"
        | "DELETE /apps/{app}/formations/{type}"
        | "POST /apps/{app}/formations/{type}/actions/stop"
        | "POST /apps/{app}/releases"
        | "POST /apps/{app}/sni-endpoints"
        | "POST /apps/{app}/sources"
        | "GET /apps/{app}/webhooks"
        | "POST /apps/{app}/webhooks"
        | "GET /apps/{app}/webhooks/{webhook}"
        | "PATCH /apps/{app}/webhooks/{webhook}"
        | "DELETE /apps/{app}/webhooks/{webhook}"
        | "GET /apps/{app}/webhook-events"
        | "GET /apps/{app}/webhook-events/{event}"
        | "GET /apps/{app}/webhook-deliveries"
        | "GET /apps/{app}/webhook-deliveries/{delivery}"
        | "GET /client/v11/apps/{app}/transfers"
        | "GET /client/v11/apps/{app}/transfers/{transfer}"
        | "POST /client/v11/apps/{app}/transfers/{transfer}/actions/public-url"
        | "POST /client/v11/apps/{app}/transfers/{transfer}/actions/cancel" => Role::Deploy,
        "DELETE /client/v11/apps/{app}/transfers/{transfer}" | "DELETE /apps/{app}" | "DELETE /apps/{app}/addons/{addon}" | "POST /apps/{app}/collaborators" | "PATCH /apps/{app}/collaborators/{collaborator}" => Role::Owner,
        _ => return None,
    };
    Some(role)
}

#[tokio::test]
async fn every_route_of_an_app_says_which_role_it_takes() {
    let of_apps: BTreeSet<String> = api::routes()
        .into_iter()
        .filter(|route| route.access() == Access::App)
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    let silent: Vec<_> = of_apps.iter().filter(|route| least(route).is_none()).collect();
    assert!(silent.is_empty(), "no role in this file: {silent:?}");
}

#[tokio::test]
async fn a_role_that_is_too_small_is_refused_everywhere() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    server.app(&ana, "tienda").await;
    let (vera, dora) = (server.person("vera@example.org").await, server.person("dora@example.org").await);
    for (who, role, word) in [(&vera, "view", "member"), (&dora, "deploy", "collaborator")] {
        let body = json!({ "user": who.user.email, "role": role });
        let answer = server.call(Some(&ana.token), Method::POST, "/apps/tienda/collaborators", Some(body)).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["role"]), (201, &json!(word)), "{}", answer.text);
    }
    for (method, path, body, _) in matrix() {
        let named = format!("{method} {path}");
        let Some(least) = least(&named) else { continue };
        let here = filled(path, "tienda", &ana, "");
        for (who, role) in [(&vera, Role::View), (&dora, Role::Deploy)] {
            if named == "DELETE /apps/{app}/collaborators/{collaborator}" {
                continue;
            }
            let answer = server.call(Some(&who.token), method.clone(), &here, body.clone()).await;
            assert_eq!(answer.status == 403, role < least, "{named} as {role:?}: {} {}", answer.status, answer.text);
        }
    }
    let rename = server.call(Some(&dora.token), Method::PATCH, "/apps/tienda", Some(json!({ "name": "otra-tienda" }))).await;
    assert_eq!(rename.status, 403, "{}", rename.text);
    server.stop().await;
}

#[tokio::test]
async fn access_is_given_changed_and_taken_by_the_owner_alone() {
    let server = Server::start().await;
    let (ana, bob, eve) =
        (server.person("ana@example.org").await, server.person("bob@example.org").await, server.person("eve@example.org").await);
    server.app(&ana, "tienda").await;
    let call = async |who: &super::server::Person, method, path: &str, body| server.call(Some(&who.token), method, path, body).await;
    let all = "/apps/tienda/collaborators";
    let (bobs, eves) = (format!("{all}/bob@example.org"), format!("{all}/eve@example.org"));

    let nobody = call(&ana, Method::POST, all, Some(json!({ "user": "nobody@example.org" }))).await;
    assert_eq!((nobody.status.as_u16(), nobody.json()["message"].as_str().unwrap().contains("Invite")), (422, true), "{}", nobody.text);
    let herself = call(&ana, Method::POST, all, Some(json!({ "user": "ana@example.org" }))).await;
    assert_eq!(herself.status, 422, "{}", herself.text);
    assert_eq!(call(&ana, Method::POST, all, Some(json!({ "user": "bob@example.org", "role": "owner" }))).await.status, 422);

    let given = call(&ana, Method::POST, all, Some(json!({ "user": { "email": "BOB@example.org" } }))).await;
    assert_eq!((given.status.as_u16(), &given.json()["role"]), (201, &json!("collaborator")), "{}", given.text);
    assert_eq!(server.get(&bob, "/apps").await.json()[0]["owner"]["email"], "ana@example.org");
    assert_eq!(server.get(&bob, "/apps/tienda").await.status, 200);
    assert_eq!(server.get(&eve, "/apps/tienda").await.status, 404);

    assert_eq!(call(&bob, Method::POST, all, Some(json!({ "user": "eve@example.org" }))).await.status, 403);
    let narrower = call(&ana, Method::PATCH, &bobs, Some(json!({ "role": "view" }))).await;
    assert_eq!((narrower.status.as_u16(), &narrower.json()["role"]), (200, &json!("member")), "{}", narrower.text);
    let change = call(&bob, Method::PATCH, "/apps/tienda/config-vars", Some(json!({ "A": "b" }))).await;
    assert_eq!((change.status.as_u16(), &change.json()["id"]), (403, &json!("forbidden")), "{}", change.text);

    call(&ana, Method::POST, all, Some(json!({ "user": "eve@example.org", "role": "view" }))).await;
    assert_eq!(call(&bob, Method::DELETE, &eves, None).await.status, 403, "nobody removes another");
    assert_eq!(call(&ana, Method::DELETE, &eves, None).await.status, 200);
    assert_eq!(server.get(&eve, "/apps/tienda").await.status, 404, "at once");
    assert_eq!(call(&ana, Method::DELETE, &eves, None).await.status, 404);
    assert_eq!(call(&bob, Method::DELETE, &bobs, None).await.status, 200, "who wants to leaves");
    assert_eq!(server.get(&bob, "/apps/tienda").await.status, 404);
    server.stop().await;
}
