//! Every page of an app against every role: a route without a line here fails the test.

use std::collections::BTreeSet;

use axum::body::Body;
use http::{Method, StatusCode};
use siesta::domain::Role;

use super::server::{Server, Visitor, form};

const NOBODY: &str = "0198c0de-0000-7000-8000-000000000000";

/// The least role that a route of an app takes.
fn least(route: &str) -> Option<Role> {
    Some(match route {
        "GET /"
        | "GET /events"
        | "GET /checklist"
        | "GET /resources"
        | "GET /builds/{build}"
        | "GET /builds/{build}/output"
        | "GET /metrics"
        | "GET /activity"
        | "GET /releases/{version}"
        | "GET /logs"
        | "GET /logs/tail"
        | "GET /logs/download"
        | "GET /access"
        // Its owner, or a collaborator that leaves.
        | "POST /access/remove" => Role::View,
        "POST /addons"
        | "GET /addons/{addon}"
        | "POST /addons/restore"
        | "POST /addons/{addon}/rotate"
        | "POST /addons/{addon}/attach"
        | "POST /addons/{addon}/detach"
        | "GET /addons/{addon}/data"
        | "POST /addons/{addon}/data"
        | "POST /addons/{addon}/backups"
        | "POST /addons/{addon}/backups/{backup}/cancel"
        | "GET /addons/{addon}/backups/{backup}/download"
        | "POST /addons/{addon}/schedule"
        | "POST /addons/{addon}/jobs"
        | "POST /addons/{addon}/jobs/delete"
        | "POST /addons/{addon}/policy"
        | "POST /scale"
        | "POST /restart"
        | "POST /restart-dyno"
        | "POST /wake"
        | "GET /deploy"
        | "POST /deploy"
        | "POST /builds/{build}/cancel"
        | "GET /github/head"
        | "POST /github/connect"
        | "POST /github/connect-public"
        | "POST /github/disconnect"
        | "POST /github/deploy"
        | "POST /github/automatic"
        | "POST /github/automatic/disable"
        | "GET /github/deliveries"
        | "POST /github/redeliver"
        | "POST /rollback"
        | "GET /console"
        | "POST /console"
        | "POST /console/open"
        | "GET /console/socket"
        | "GET /settings"
        | "POST /config"
        | "POST /config/file"
        | "POST /config/remove"
        | "POST /build-cache/clear"
        | "POST /domains"
        | "POST /domains/remove"
        | "POST /drains"
        | "POST /drains/remove"
        | "POST /maintenance" => Role::Deploy,
        "POST /access/give"
        | "POST /addons/{addon}/destroy"
        | "POST /addons/{addon}/restore-backup"
        | "POST /addons/{addon}/backups/{backup}/delete"
        | "POST /rename" | "POST /delete" => Role::Owner,
        _ => return None,
    })
}

/// The routes of an app as `src/web/mod.rs` has them: method and path below `/apps/{app}`.
fn routes() -> BTreeSet<String> {
    let source = include_str!("../../../src/web/mod.rs");
    let list = source.split("fn app_pages()").nth(1).and_then(|rest| rest.split("\n}\n").next()).expect("the list of an app's pages");
    let mut found = BTreeSet::new();
    for entry in list.split(".route(\"").skip(1) {
        let (path, handlers) = entry.split_once('"').expect("a path");
        let methods: Vec<&str> = ["get", "post", "put", "patch", "delete", "any"]
            .into_iter()
            .filter(|method| handlers.contains(&format!(" {method}(")) || handlers.contains(&format!(".{method}(")))
            .collect();
        assert!(!methods.is_empty(), "{path} has no method this test knows");
        found.extend(methods.into_iter().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    found
}

/// What a form must hold to get past its parsing.
fn fields(path: &str) -> &'static [(&'static str, &'static str)] {
    match path {
        "/addons" => &[("plan", "no-such:plan")],
        "/addons/restore" => &[("addon", NOBODY)],
        "/addons/{addon}/attach" => &[("to", "tienda"), ("name", "")],
        "/addons/{addon}/detach" => &[("attachment", "x")],
        "/addons/{addon}/data" => &[("sql", "select 1")],
        "/addons/{addon}/restore-backup" => &[("backup", "b001"), ("confirm", "something else")],
        "/addons/{addon}/schedule" => &[("hour", "3"), ("time_zone", "UTC")],
        "/addons/{addon}/jobs" => &[("command", "ls"), ("every", "ten")],
        "/addons/{addon}/jobs/delete" => &[("job", NOBODY)],
        "/addons/{addon}/policy" => &[("policy", "allkeys-lru")],
        "/addons/{addon}/destroy" | "/delete" => &[("confirm", "something else")],
        "/scale" => &[("process", "web"), ("quantity", "0")],
        "/github/connect" | "/github/connect-public" => &[("repository", "ana/tienda")],
        "/github/deploy" | "/github/automatic" => &[("branch", "main")],
        "/github/redeliver" => &[("guid", "0")],
        "/rollback" => &[("release", NOBODY)],
        "/console" => &[("command", "")],
        "/console/open" => &[("command", ""), ("columns", "80"), ("rows", "24")],
        "/rename" => &[("name", "-")],
        "/config" => &[("key", "A"), ("value", "b")],
        "/config/file" => &[("text", "A=b"), ("confirm", "1")],
        "/config/remove" => &[("key", "A")],
        "/restart-dyno" => &[("dyno", "web.1")],
        "/domains" => &[("hostname", "nothing")],
        "/domains/remove" => &[("hostname", "www.example.org")],
        "/drains" => &[("url", "https://logs.example.org")],
        "/drains/remove" => &[("drain", "d.x")],
        "/maintenance" => &[("on", "false")],
        "/access/give" => &[("email", "nobody@example.org"), ("role", "view")],
        "/access/remove" => &[("user", NOBODY)],
        _ => &[],
    }
}

#[test]
fn every_page_of_an_app_says_which_role_it_takes() {
    let routes = routes();
    assert!(routes.len() > 40, "{} routes were found", routes.len());
    let silent: Vec<_> = routes.iter().filter(|route| least(route).is_none()).collect();
    assert!(silent.is_empty(), "no role in this file: {silent:?}");
}

#[tokio::test]
async fn a_page_is_for_its_role_and_those_above() {
    let (server, ana) = Server::claimed().await;
    server.app(&ana, "tienda").await;
    let people = [("vera@example.org", "view"), ("dora@example.org", "deploy")];
    let (vera, dora) = (server.person(people[0].0).await, server.person(people[1].0).await);
    let eve = server.person("eve@example.org").await;
    for (email, role) in people {
        server.post(&ana, "/apps/tienda/access/give", &[("email", email), ("role", role)]).await;
    }
    let cast: [(&Visitor, Option<Role>); 5] =
        [(&Visitor::stranger(), None), (&eve, None), (&vera, Some(Role::View)), (&dora, Some(Role::Deploy)), (&ana, Some(Role::Owner))];
    let mut wrong = Vec::new();
    for route in routes() {
        let Some(least) = least(&route) else { continue };
        let (method, path) = route.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a method");
        let here =
            path.replace("{addon}", "postgresql-x-1").replace("{build}", NOBODY).replace("{backup}", "b001").replace("{version}", "v1");
        for (who, role) in cast {
            let request = server.request(who, method.clone(), &format!("/apps/tienda{}", here.trim_end_matches('/')));
            let request = request.header("sec-fetch-site", "same-origin");
            let request = if method == Method::GET { request.body(Body::empty()).unwrap() } else { form(request, fields(path)) };
            let status = server.status(request).await;
            let fits = match role {
                None if who.cookie.is_empty() => status == StatusCode::SEE_OTHER,
                None => status == StatusCode::NOT_FOUND,
                // Nobody but the owner takes another's role away.
                Some(role) if path == "/access/remove" => (status == StatusCode::FORBIDDEN) == (role < Role::Owner),
                Some(role) => (status == StatusCode::FORBIDDEN) == (role < least),
            };
            if !fits {
                wrong.push(format!("{route} as {role:?}: {status}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    server.stop().await;
}
