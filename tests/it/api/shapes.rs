//! What each resource looks like, field by field.

use http::Method;
use serde_json::json;

use super::server::{Server, redacted};

macro_rules! assert_shape {
    ($name:literal, $answer:expr) => {
        insta::assert_json_snapshot!($name, redacted($answer.json()))
    };
}

#[tokio::test]
async fn resources_have_herokus_fields() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    let call = async |method, path: &str, body| {
        let answer = server.call(Some(&ana.token), method, path, body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
        answer
    };
    assert_shape!("account", server.get(&ana, "/account").await);
    assert_shape!(
        "app",
        call(Method::POST, "/apps", Some(json!({ "name": "tienda", "stack": "cedar", "region": { "name": "us" } }))).await
    );
    assert_shape!("source", call(Method::POST, "/apps/tienda/sources", None).await);
    assert_shape!("log-session", call(Method::POST, "/apps/tienda/log-sessions", Some(json!({ "tail": true }))).await);
    assert_shape!("config-vars", call(Method::PATCH, "/apps/tienda/config-vars", Some(json!({ "FOO": "bar", "GONE": "x", "N": 7 }))).await);
    assert_shape!("config-vars-changed", call(Method::PATCH, "/apps/tienda/config-vars", Some(json!({ "GONE": null }))).await);
    for (name, path) in [
        ("releases", "/apps/tienda/releases"),
        ("config-vars-of-release", "/apps/tienda/releases/3/config-vars"),
        ("collaborators", "/apps/tienda/collaborators"),
        ("domains", "/apps/tienda/domains"),
        ("stacks", "/stacks"),
        ("regions", "/regions"),
        ("dyno-sizes", "/dyno-sizes"),
        ("quota-of-account", "/accounts/~/actions/get-quota"),
        ("authorizations", "/oauth/authorizations"),
    ] {
        insta::assert_json_snapshot!(name, redacted(call(Method::GET, path, None).await.json()));
    }
    let new = json!({ "description": "laptop", "expires_in": 3600, "scope": ["global"] });
    assert_shape!("authorization", call(Method::POST, "/oauth/authorizations", Some(new)).await);
    server.stop().await;
}

#[tokio::test]
async fn a_deployed_app_has_a_formation_dynos_and_a_slug() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    let patch = async |path: &str, body| server.call(Some(&ana.token), Method::PATCH, path, Some(body)).await;
    assert_shape!("formation", server.get(&ana, "/apps/tienda/formation").await);
    assert_shape!("dynos", server.get(&ana, "/apps/tienda/dynos").await);
    let release = server.get(&ana, "/apps/tienda/releases/v3").await;
    assert_shape!("release", release);
    let slug = release.json()["slug"]["id"].as_str().unwrap().to_owned();
    assert_shape!("slug", server.get(&ana, &format!("/apps/tienda/slugs/{slug}")).await);
    assert_shape!("app-deployed", server.get(&ana, "/apps/tienda").await);
    assert_shape!("quota-of-app", server.call(Some(&ana.token), Method::POST, "/apps/tienda/actions/get-quota", None).await);

    let quantity = |answer: &super::server::Answer| answer.json()[0]["quantity"].clone();
    for (wanted, expected) in [(json!("+1"), 1), (json!("-1"), 0), (json!(1), 1), (json!("0"), 0)] {
        let answer = patch("/apps/tienda/formation", json!({ "updates": [{ "type": "worker", "quantity": wanted }] })).await;
        assert_eq!((answer.status.as_u16(), quantity(&answer)), (200, json!(expected)), "{wanted}");
    }
    let one = patch("/apps/tienda/formation/worker", json!({ "quantity": 1, "size": "FREE" })).await;
    assert_eq!((one.status.as_u16(), one.json()["quantity"].clone()), (200, json!(1)));
    let too_many = patch("/apps/tienda/formation/web", json!({ "quantity": 2 })).await;
    assert_eq!(too_many.json()["message"], "Cannot update to more than 1 Free size dynos per process type.");
    for (body, status) in [
        (json!({ "updates": [{ "type": "web", "size": "Performance-L" }] }), 422),
        (json!({ "updates": [{ "type": "web", "quantity": "many" }] }), 422),
        (json!({ "updates": [{ "type": "clock", "quantity": 1 }] }), 404),
        (json!({ "updates": [{ "quantity": 1 }] }), 422),
        (json!({}), 422),
    ] {
        assert_eq!(patch("/apps/tienda/formation", body.clone()).await.status, status, "{body}");
    }

    patch("/apps/tienda/config-vars", json!({ "FOO": "bar" })).await;
    let back = server.call(Some(&ana.token), Method::POST, "/apps/tienda/releases", Some(json!({ "release": "v3" }))).await;
    assert_eq!((back.status.as_u16(), &back.json()["description"]), (201, &json!("Rollback to v3")), "{}", back.text);
    assert_eq!(server.get(&ana, "/apps/tienda/config-vars").await.json(), json!({}));
    for (method, path) in [
        (Method::DELETE, "/apps/tienda/dynos"),
        (Method::DELETE, "/apps/tienda/dynos/web.1"),
        (Method::DELETE, "/apps/tienda/formations/web"),
        (Method::POST, "/apps/tienda/dynos/web.1/actions/stop"),
        (Method::POST, "/apps/tienda/formations/worker/actions/stop"),
    ] {
        assert_eq!(server.call(Some(&ana.token), method.clone(), path, None).await.status, 202, "{method} {path}");
    }
    server.stop().await;
}
