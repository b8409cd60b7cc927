//! Add-ons over the fake engine: what is written down and answered before a database server is there.

use http::Method;
use serde_json::{Value, json};
use siesta::domain::addon::AttachmentState;

use super::server::Server;

#[tokio::test]
async fn an_addon_is_provisioned_in_the_background_and_found_by_every_name_it_has() {
    let server = Server::start_with(&["--stack-postgres", "siesta/postgres:1"]).await;
    let (ana, eve) = (server.person("ana@example.org").await, server.person("eve@example.org").await);
    server.app(&ana, "tienda").await;
    let call = async |method, path: &str, body| server.call(Some(&ana.token), method, path, body).await;
    let wanted = json!({ "plan": { "name": "heroku-postgresql:mini" }, "config": {}, "attachment": {} });
    let made = call(Method::POST, "/apps/tienda/addons", Some(wanted)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    assert_eq!((&made["state"], &made["config_vars"]), (&json!("provisioning"), &json!(["DATABASE_URL"])));
    assert_eq!((&made["plan"]["name"], &made["plan"]["price"]["cents"]), (&json!("heroku-postgresql:hobby-dev"), &json!(0)));
    assert!(made["provision_message"].as_str().unwrap().contains("being created"));
    let (name, id) = (made["name"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert!(name.starts_with("postgresql-"), "{name}");

    for text in [name, id, "DATABASE", "DATABASE_URL", "heroku-postgresql", "tienda::DATABASE"] {
        let found = call(Method::POST, "/actions/addons/resolve", Some(json!({ "addon": text, "app": "tienda" }))).await;
        assert_eq!(found.json()[0]["id"], id, "{text}: {}", found.text);
        let theirs = server.call(Some(&eve.token), Method::POST, "/actions/addons/resolve", Some(json!({ "addon": text }))).await;
        assert_eq!((theirs.status.as_u16(), &theirs.json()["resource"]), (404, &json!("add_on")), "{text}");
    }
    let found =
        call(Method::POST, "/actions/addon-attachments/resolve", Some(json!({ "addon_attachment": "DATABASE_URL", "app": "tienda" })));
    assert_eq!(found.await.json()[0]["addon"]["name"], name);
    for path in ["/addons", "/apps/tienda/addons", "/addon-attachments", "/apps/tienda/addon-attachments"] {
        assert_eq!(call(Method::GET, path, None).await.json().as_array().map(Vec::len), Some(1), "{path}");
    }
    for path in ["/addons", "/addon-attachments"] {
        let theirs = server.call(Some(&eve.token), Method::GET, path, None).await;
        assert_eq!(theirs.json(), json!([]), "{path}");
    }
    let waits = call(Method::GET, &format!("/client/v11/databases/{id}/wait_status"), None).await;
    assert_eq!(waits.json()["waiting?"], true);

    let owned = call(Method::PATCH, "/apps/tienda/config-vars", Some(json!({ "DATABASE_URL": "postgres://mine" }))).await;
    assert_eq!((owned.status.as_u16(), owned.json()["message"].as_str()), (422, Some("Cannot overwrite attachment values DATABASE_URL.")));
    let second = call(Method::POST, "/apps/tienda/addons", Some(json!({ "plan": "heroku-postgresql" }))).await.json();
    assert!(second["config_vars"][0].as_str().unwrap().starts_with("HEROKU_POSTGRESQL_"), "{second}");
    let taken = json!({ "plan": "heroku-postgresql", "attachment": { "name": "database" } });
    assert_eq!(call(Method::POST, "/apps/tienda/addons", Some(taken)).await.status, 422);
    let unknown = call(Method::POST, "/apps/tienda/addons", Some(json!({ "plan": "heroku-mysql:free" }))).await;
    assert_eq!((unknown.status.as_u16(), &unknown.json()["resource"]), (404, &json!("plan")));

    let gone = call(Method::DELETE, &format!("/apps/tienda/addons/{id}"), Some(json!({ "force": null }))).await;
    assert_eq!(gone.json()["state"], "deprovisioned", "{}", gone.text);
    assert_eq!(call(Method::GET, "/apps/tienda/addons", None).await.json().as_array().map(Vec::len), Some(1));
    assert_eq!(call(Method::GET, &format!("/addons/{id}"), None).await.status, 404);
    let binned = server.house.owners.reader.binned_of(ana.user.id).await.unwrap();
    assert_eq!(binned.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), [name]);
    server.stop().await;
}

#[tokio::test]
async fn an_app_has_five_addons_at_most_and_takes_them_with_it_into_the_bin() {
    let server = Server::start_with(&["--stack-postgres", "siesta/postgres:1"]).await;
    let ana = server.person("ana@example.org").await;
    let app = server.app(&ana, "tienda").await;
    let create =
        async || server.call(Some(&ana.token), Method::POST, "/apps/tienda/addons", Some(json!({ "plan": "heroku-postgresql" }))).await;
    for _ in 0..5 {
        assert_eq!(create().await.status, 201);
    }
    let sixth = create().await;
    assert_eq!(sixth.status, 422, "{}", sixth.text);
    let attachments = server.house.owners.reader.attachments_of_app(app.id).await.unwrap();
    assert!(attachments.iter().all(|one| one.state == AttachmentState::Attaching) && attachments.len() == 5);
    server.apps.destroy(app.id, &ana.actor()).await.unwrap();
    assert_eq!(server.house.owners.reader.binned_of(ana.user.id).await.unwrap().len(), 5);
    let none: Value = server.get(&ana, "/addons").await.json();
    assert_eq!(none, json!([]));
    server.stop().await;
}
