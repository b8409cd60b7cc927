//! Log drains over the API, as `heroku drains` uses it.

use http::Method;
use serde_json::{Value, json};

use super::server::Server;

#[tokio::test]
async fn a_drain_is_added_listed_and_removed_by_its_address() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    server.app(&ana, "tienda").await;
    let call = async |method: Method, path: &str, body: Option<Value>| server.call(Some(&ana.token), method, path, body).await;
    let url = "https://ana:s3cret@logs.invalid/in?key=x";
    let made = call(Method::POST, "/apps/tienda/log-drains", Some(json!({ "url": url }))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let drain = made.json();
    assert_eq!((&drain["url"], &drain["addon"]), (&json!(url), &Value::Null));
    assert!(drain["token"].as_str().unwrap().starts_with("d."));
    assert_eq!(server.get(&ana, "/apps/tienda/log-drains").await.json(), json!([drain.clone()]));
    for named in [drain["id"].as_str().unwrap(), drain["token"].as_str().unwrap()] {
        assert_eq!(server.get(&ana, &format!("/apps/tienda/log-drains/{named}")).await.json(), drain);
    }
    let again = call(Method::POST, "/apps/tienda/log-drains", Some(json!({ "url": url }))).await;
    assert_eq!((again.status.as_u16(), &again.json()["message"]), (422, &json!("Url has already been taken")));
    let inside = call(Method::POST, "/apps/tienda/log-drains", Some(json!({ "url": "https://10.0.0.1/x" }))).await;
    assert_eq!(inside.json()["message"], "10.0.0.1 is not a public host. An administrator can allow it with SIESTA_EGRESS_ALLOW.");
    let path = "/apps/tienda/log-drains/https%3A%2F%2Fana%3As3cret%40logs.invalid%2Fin%3Fkey%3Dx";
    assert_eq!(call(Method::DELETE, path, None).await.status, 200);
    let gone = call(Method::DELETE, path, None).await;
    assert_eq!((gone.status.as_u16(), &gone.json()["resource"]), (404, &json!("log_drain")));
    server.stop().await;
}
