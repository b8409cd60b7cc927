//! Rules that hold for all routes: authorization, errors, ETags, ranges, the allowance, dispatch.

use axum::body::Body;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{Method, Request};
use secrecy::ExposeSecret;
use serde_json::json;
use siesta::{
    api::{absent::why, is_api_request, routes},
    config::{Config, ServeOptions},
};

use super::server::{Person, Server, request};

#[tokio::test]
async fn a_token_works_as_bearer_and_as_the_password_of_basic() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    let token = ana.token.expose_secret();
    for user in ["", "heroku", "ana@example.org"] {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{token}")));
        let answer = server.send(request(Method::GET, "/account").header("authorization", basic).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.json()["email"], "ana@example.org");
    }
    let cookie = request(Method::GET, "/account").header("cookie", format!("siesta={token}; __Host-siesta={token}"));
    let answer = server.send(cookie.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 401, "the API reads no cookies");
    let in_query = server.call(None, Method::GET, &format!("/account?access_token={token}"), None).await;
    assert_eq!(in_query.status, 401);
    server.stop().await;
}

#[tokio::test]
async fn a_password_logs_in_through_basic_and_only_there() {
    let server = Server::start().await;
    server.person("ana@example.org").await;
    let login = |password: &str| {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("ana@example.org:{password}")));
        request(Method::POST, "/oauth/authorizations")
            .header("authorization", basic)
            .header("content-type", "application/json")
            .body(Body::from(json!({ "description": "CLI login", "expires_in": 2_592_000, "scope": ["global"] }).to_string()))
            .unwrap()
    };
    let refused = server.send(login("wrong horse battery")).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["id"]), (401, &json!("unauthorized")));
    let made = server.send(login("correct horse battery")).await;
    assert_eq!(made.status, 201);
    let token = made.json()["access_token"]["token"].as_str().unwrap().to_owned();
    assert_eq!(server.call(Some(&token.into()), Method::GET, "/account", None).await.status, 200);
    let basic = format!("Basic {}", BASE64_STANDARD.encode("ana@example.org:correct horse battery"));
    let elsewhere = request(Method::GET, "/account").header("authorization", basic).body(Body::empty()).unwrap();
    assert_eq!(server.send(elsewhere).await.status, 401, "a password opens nothing else");
    server.stop().await;
}

#[tokio::test]
async fn unknown_addresses_wrong_methods_and_other_versions_say_so_in_json() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    for (method, path) in [(Method::GET, "/nothing/here"), (Method::PUT, "/apps"), (Method::DELETE, "/account")] {
        for token in [None, Some(&ana.token)] {
            let answer = server.call(token, method.clone(), path, None).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["id"]), (404, &json!("not_found")), "{method} {path}");
        }
    }
    for (accept, status) in [
        ("application/vnd.heroku+json; version=3.sdk", 200),
        ("application/vnd.heroku+json; version=3.process-tier", 200),
        ("*/*", 200),
        ("application/json", 200),
        ("application/vnd.heroku+json; version=2", 406),
    ] {
        let request = request(Method::GET, "/account")
            .header("accept", accept)
            .header("authorization", format!("Bearer {}", ana.token.expose_secret()));
        assert_eq!(server.send(request.body(Body::empty()).unwrap()).await.status, status, "{accept}");
    }
    server.stop().await;
}

#[tokio::test]
async fn malformed_bodies_get_a_clear_answer_and_change_nothing() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    server.app(&ana, "tienda").await;
    let deep = "[".repeat(10_000);
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(2_000_000));
    for (content_type, body, status) in [
        ("application/json", "{", 400),
        ("application/json", "\u{0}", 400),
        ("application/json", deep.as_str(), 422),
        ("application/json", "[]", 422),
        ("application/json", "{\"name\": 7}", 422),
        ("application/json", "{\"name\": \"UPPER\"}", 422),
        ("application/json", large.as_str(), 413),
        ("text/plain", "{\"name\": \"other-name\"}", 400),
        ("application/x-www-form-urlencoded", "name=other-name", 400),
    ] {
        let request = request(Method::PATCH, "/apps/tienda")
            .header("authorization", format!("Bearer {}", ana.token.expose_secret()))
            .header("content-type", content_type);
        let answer = server.send(request.body(Body::from(body.to_owned())).unwrap()).await;
        let shown = &body[..body.len().min(40)];
        assert_eq!(answer.status, status, "{shown}: {}", answer.text);
        assert!(answer.json()["message"].as_str().is_some_and(|message| !message.is_empty()), "{shown}");
    }
    for (body, says) in [
        (json!({ "PORT": "1" }), "`PORT` is set by the platform"),
        (json!({ "a-b": "1" }), "is not a config var name"),
        (json!({ "A": ["x"] }), "must be a text"),
        (json!({ "A": "x".repeat(40_000) }), "larger than 32 KiB"),
    ] {
        let answer = server.call(Some(&ana.token), Method::PATCH, "/apps/tienda/config-vars", Some(body)).await;
        assert_eq!(answer.status, 422);
        assert!(answer.json()["message"].as_str().unwrap().contains(says), "{}", answer.text);
    }
    assert_eq!(server.get(&ana, "/apps/tienda/releases").await.json().as_array().unwrap().len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_release_is_eligible_for_rollback_while_its_code_is_kept() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    let eligible = async || {
        let shown = server.get(&ana, "/apps/tienda/releases/v3").await.json()["eligible_for_rollback"].clone();
        let listed = server.get(&ana, "/apps/tienda/releases").await.json();
        let listed = listed.as_array().unwrap().iter().find(|one| one["version"] == 3).unwrap()["eligible_for_rollback"].clone();
        (shown, listed)
    };
    assert_eq!(eligible().await, (json!(true), json!(true)));
    let owners = &server.house.owners;
    let release = owners.reader.current_release(app.id).await.unwrap().unwrap();
    let slug = owners.reader.slug(release.slug_id.unwrap()).await.unwrap().unwrap();
    std::fs::remove_file(owners.slugs.folder().unwrap().join(slug.code_file)).unwrap();
    assert_eq!(eligible().await, (json!(false), json!(false)));
    server.stop().await;
}

#[tokio::test]
async fn names_are_unique_and_the_message_is_herokus() {
    let server = Server::start().await;
    let (ana, eve) = (server.person("ana@example.org").await, server.person("eve@example.org").await);
    server.app(&ana, "tienda").await;
    let taken = server.call(Some(&eve.token), Method::POST, "/apps", Some(json!({ "name": "tienda" }))).await;
    assert_eq!((taken.status.as_u16(), taken.json()), (422, json!({ "id": "invalid_params", "message": "Name is already taken" })));
    let wrong = server.call(Some(&ana.token), Method::DELETE, "/apps/tienda", Some(json!({ "confirm": "tienda2" }))).await;
    assert_eq!((wrong.status.as_u16(), &wrong.json()["id"]), (423, &json!("confirmation_required")));
    server.stop().await;
}

#[tokio::test]
async fn an_etag_saves_the_second_answer() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    server.app(&ana, "tienda").await;
    let first = server.get(&ana, "/apps/tienda").await;
    let etag = first.header("etag").unwrap().to_owned();
    let again = |etag: &str| {
        request(Method::GET, "/apps/tienda")
            .header("authorization", format!("Bearer {}", ana.token.expose_secret()))
            .header("if-none-match", etag)
            .body(Body::empty())
            .unwrap()
    };
    let second = server.send(again(&etag)).await;
    assert_eq!((second.status.as_u16(), second.text.as_str()), (304, ""));
    assert_eq!(server.send(again(&format!("\"x\", W/{etag}"))).await.status, 304);
    server.call(Some(&ana.token), Method::PATCH, "/apps/tienda", Some(json!({ "maintenance": true }))).await;
    assert_eq!(server.send(again(&etag)).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn lists_come_in_pieces() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    server.app(&ana, "tienda").await;
    for n in 0..4 {
        server.call(Some(&ana.token), Method::PATCH, "/apps/tienda/config-vars", Some(json!({ "N": n.to_string() }))).await;
    }
    let piece = async |range: &str| {
        let request = request(Method::GET, "/apps/tienda/releases")
            .header("authorization", format!("Bearer {}", ana.token.expose_secret()))
            .header("range", range);
        server.send(request.body(Body::empty()).unwrap()).await
    };
    let first = piece("version ..; max=2, order=desc").await;
    let versions = |answer: &super::server::Answer| {
        answer.json().as_array().unwrap().iter().map(|r| r["version"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((first.status.as_u16(), versions(&first)), (206, vec![6, 5]));
    assert_eq!(first.header("content-range"), Some("version 6..5"));
    assert_eq!(first.header("accept-ranges"), Some("version, id, created_at, updated_at"));
    let next = first.header("next-range").unwrap();
    assert_eq!(next, "version ]5..; max=2, order=desc");
    let second = piece(next).await;
    let third = piece(second.header("next-range").unwrap()).await;
    assert_eq!((versions(&second), versions(&third)), (vec![4, 3], vec![2, 1]));
    assert_eq!((third.status.as_u16(), third.header("next-range")), (200, None));
    assert_eq!(piece("colour ..").await.status, 416);
    server.stop().await;
}

#[tokio::test]
async fn an_account_has_4500_calls_an_hour() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    for left in (0..4_500).rev().take(3) {
        assert_eq!(server.get(&ana, "/stacks").await.header("ratelimit-remaining"), Some(left.to_string().as_str()));
    }
    assert_eq!(server.get(&ana, "/account/rate-limits").await.json(), json!({ "remaining": 4_497 }), "asking is free");
    for _ in 0..4_497 {
        server.get(&ana, "/teams").await;
    }
    let refused = server.get(&ana, "/account").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["id"]), (429, &json!("rate_limit")));
    assert_eq!((refused.header("ratelimit-remaining"), refused.header("retry-after")), (Some("0"), Some("1")));
    server.stop().await;
}

#[test]
fn the_shared_listener_knows_what_is_for_the_api() {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: ServeOptions,
    }
    let options =
        <Cli as clap::Parser>::parse_from(["siesta", "--apps-domain", "apps.example.org", "--dashboard-host", "siesta.example.org"])
            .options;
    let config = Config::new(options).unwrap();
    let is = |path: &str, headers: &[(&str, &str)]| {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        is_api_request(&request.body(()).unwrap().into_parts().0, &config)
    };
    let host = ("host", "siesta.example.org:8080");
    assert!(is("/apps", &[host, ("authorization", "Bearer x")]));
    assert!(is("/apps", &[host, ("authorization", "basic eDp5")]));
    assert!(is("/apps", &[host, ("accept", "application/vnd.heroku+json; version=3.sdk")]));
    assert!(is("/apps", &[("host", "API.siesta.example.org:8080")]));
    assert!(is("/apps", &[("host", "api.apps.example.org")]));
    assert!(is("/streams/log/x", &[host]) && is("/sources/x", &[host]) && is("/auth", &[host]) && is("/auth/x", &[host]));
    assert!(!is("/apps", &[host, ("cookie", "siesta=x"), ("accept", "text/html")]));
    assert!(!is("/sources", &[host]) && !is("/streams", &[host]));
}

#[tokio::test]
async fn an_administrator_reads_the_numbers_of_all_apps_as_prometheus_does() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    server.house.owners.history.traffic().record(app.id, 503, None);
    assert_eq!(server.get(&ana, "/metrics").await.status, 403);
    let root = server.accounts.create_user("root@example.org", &"correct horse battery".into(), true).await.unwrap();
    let (_, token) = server.accounts.create_token(root.id, "prometheus", None).await.unwrap();
    let answer = server.get(&Person { user: root, token }, "/metrics").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4")), (200, true));
    for line in ["siesta_apps 1", "siesta_app_awake{app=\"tienda\"} 1", "siesta_app_requests_total{app=\"tienda\",class=\"5xx\"} 1"] {
        assert!(answer.text.lines().any(|found| found == line), "{line}: {}", answer.text);
    }
    server.stop().await;
}

#[test]
fn whatever_herokus_schema_names_is_a_route_or_says_what_to_use_instead() {
    let bare =
        |path: &str| path.split('/').map(|part| if part.starts_with(['{', '~']) { "{}" } else { part }).collect::<Vec<_>>().join("/");
    let routed: Vec<String> = routes().iter().map(|route| format!("{} {}", route.method, bare(route.path))).collect();
    let named = include_str!("heroku_endpoints.txt").lines();
    let silent: Vec<&str> = named
        .filter(|line| {
            let (method, path) = line.split_once(' ').expect("a method and a path");
            let wanted: Method = method.parse().expect("a method");
            !routed.contains(&format!("{method} {}", bare(path))) && why(&wanted, path).is_none()
        })
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[tokio::test]
async fn what_is_not_offered_says_what_to_use_instead() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    let answer = server.call(Some(&ana.token), Method::POST, "/oauth/clients", Some(json!({ "name": "x" }))).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["id"]), (404, &json!("not_found")), "{}", answer.text);
    assert!(answer.text.contains("use an API key"), "{}", answer.text);
    assert!(server.get(&ana, "/teams/acme/apps").await.text.contains("There are no teams here"));
    assert!(server.get(&ana, "/no-such-thing").await.text.contains("The requested API endpoint was not found"));
    server.stop().await;
}

#[tokio::test]
async fn a_key_gets_another_name_and_another_secret_from_its_owner() {
    let server = Server::start().await;
    let (ana, eve) = (server.person("ana@example.org").await, server.person("eve@example.org").await);
    let (spare, old) = server.accounts.create_token(ana.user.id, "spare", None).await.unwrap();
    let here = format!("/oauth/authorizations/{}", spare.id);
    let named = server.call(Some(&ana.token), Method::PATCH, &here, Some(json!({ "description": "robot" }))).await;
    assert_eq!(named.json()["description"], "robot", "{}", named.text);
    let again = format!("{here}/actions/regenerate-tokens");
    assert_eq!(server.call(Some(&eve.token), Method::POST, &again, None).await.status, 404);
    assert_eq!(server.call(Some(&old), Method::GET, "/account", None).await.status, 200, "hers alone to change");
    let made = server.call(Some(&ana.token), Method::POST, &again, None).await.json();
    let new = made["access_token"]["token"].as_str().unwrap().into();
    assert_eq!((&made["id"], &made["description"]), (&json!(spare.id), &json!("robot")));
    assert_eq!(server.call(Some(&new), Method::GET, "/account", None).await.status, 200);
    assert_eq!(server.call(Some(&old), Method::GET, "/account", None).await.status, 401);
    server.stop().await;
}
