//! A GitHub App: chosen repositories, one hook for all of them, an installation that goes away.

use http::{Method, StatusCode};
use siesta::{
    apps::App,
    domain::{RepoName, git::Verdict},
    github::webhook,
    repositories::Wish,
};

use super::{PUSH, REGISTERED, connect, files};
use crate::web::server::{Answer, Server, Visitor};

const HOOK_SECRET: &str = "the-one-hook-s-secret";

/// A server that is a GitHub App at the host, and `ana`, who has connected.
async fn house() -> (Server, Visitor) {
    let flags = [&REGISTERED[..], &["--github-app", "siesta-test", "--github-webhook-secret", HOOK_SECRET]].concat();
    let (server, ana) = Server::claimed_with(&flags).await;
    server.house.github.be_an_app();
    server.house.github.person("ana", Some("ana@example.org"));
    let back = connect(&server, &ana, "ana").await;
    assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.text);
    (server, ana)
}

/// An app that follows a repository's `main`.
async fn following(server: &Server, ana: &Visitor, name: &str, repo: &RepoName) -> App {
    let app = server.app(ana, name).await;
    let (repositories, by) = (&server.house.owners.repositories, ana.actor.as_ref().unwrap());
    let link = repositories.connect(app.id, repo, by).await.unwrap();
    assert_eq!((link.hook_id, link.hook_hash), (None, None), "the one hook is the app's");
    let wish = Wish { branch: "main".parse().unwrap(), wait_for_ci: false, supersede: false };
    repositories.follow(app.id, wish, by).await.unwrap();
    app
}

async fn deliver(server: &Server, guid: &str, event: &str, body: &str) -> Answer {
    let signature = webhook::signature(&HOOK_SECRET.into(), body.as_bytes()).unwrap();
    let request = http::Request::builder().method(Method::POST).uri("/github/webhook").header("host", "localhost:8080");
    let request = request.header("x-github-event", event).header("x-github-delivery", guid).header("x-hub-signature-256", signature);
    server.send(request.body(axum::body::Body::from(body.to_owned())).unwrap()).await
}

async fn verdicts(server: &Server, app: &App) -> Vec<Verdict> {
    let all = server.house.owners.repositories.deliveries(app.id).await.unwrap();
    all.into_iter().map(|delivery| delivery.verdict).collect()
}

#[tokio::test]
async fn only_the_repositories_it_is_installed_on_are_offered_with_the_way_to_choose_others() {
    let (server, ana) = house().await;
    server.app(&ana, "tienda").await;
    let github = &server.house.github;
    let chosen = github.repository_of("ana/tienda", true, &["ana"]);
    github.repository_of("ana/diario", true, &["ana"]);
    github.push(&chosen, "main", "First", &files("1"));
    let configure = "https://github.test/github-apps/siesta-test/installations/new";
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("not installed on an account of yours yet") && page.text.contains(configure), "{}", page.text);
    github.install("ana", &[&chosen]);
    let page = server.get(&ana, "/apps/tienda/deploy?owner=ana&q=").await;
    assert!(page.text.contains("ana/tienda") && !page.text.contains("ana/diario"), "{}", page.text);
    assert!(page.text.contains(configure) && !page.text.contains("not installed"), "{}", page.text);
    let done = server.post(&ana, "/apps/tienda/github/connect", &[("repository", "ana/diario")]).await;
    let page =
        server.get(&Visitor { cookie: format!("{}; {}", ana.cookie, flash(&done)), ..Visitor::stranger() }, "/apps/tienda/deploy").await;
    assert!(page.text.contains("has no such repository"), "{}", page.text);
    server.post(&ana, "/apps/tienda/github/connect", &[("repository", "ana/tienda")]).await;
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("Connected to") && page.text.contains("GitHub has not told us anything yet"), "{}", page.text);
    server.stop().await;
}

fn flash(answer: &Answer) -> String {
    answer.set_cookie("siesta_flash").expect("a word to the visitor").split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_one_hook_tells_every_app_that_follows_the_repository() {
    let (server, ana) = house().await;
    let github = &server.house.github;
    let (shop, other) = (github.repository_of("ana/tienda", true, &["ana"]), github.repository_of("ana/diario", true, &["ana"]));
    github.install("ana", &[&shop, &other]);
    for repo in [&shop, &other] {
        github.push(repo, "main", "First", &files("1"));
    }
    let first = following(&server, &ana, "tienda", &shop).await;
    let second = following(&server, &ana, "tienda-dos", &shop).await;
    let third = following(&server, &ana, "diario", &other).await;
    let sha = github.push(&shop, "main", "Add the cart", &files("2"));
    let body = github.push_payload(&shop, "main");
    for _ in 0..2 {
        assert_eq!(deliver(&server, "0a-1", PUSH, &body).await.status, StatusCode::ACCEPTED);
    }
    server.house.owners.repositories.look().await;
    for (app, expected) in [(&first, vec![Verdict::Deployed]), (&second, vec![Verdict::Deployed]), (&third, vec![])] {
        assert_eq!(verdicts(&server, app).await, expected, "{}", app.name);
    }
    let build = server.house.owners.reader.builds(second.id, 1).await.unwrap().remove(0);
    assert_eq!(build.source_version.as_deref(), Some(sha.as_str()));
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("GitHub told us of this repository"), "{}", page.text);
    server.stop().await;
}

#[tokio::test]
async fn an_installation_that_is_removed_is_said_and_one_that_is_back_deploys_again() {
    let (server, ana) = house().await;
    let github = &server.house.github;
    let repo = github.repository_of("ana/tienda", true, &["ana"]);
    github.install("ana", &[&repo]);
    github.push(&repo, "main", "First", &files("1"));
    let app = following(&server, &ana, "tienda", &repo).await;
    let event = |action: &str| format!(r#"{{"action":"{action}","installation":{{"id":7,"account":{{"id":1,"login":"ANA"}}}}}}"#);
    github.uninstall("ana");
    assert_eq!(deliver(&server, "0b-1", "installation", &event("deleted")).await.status, StatusCode::ACCEPTED);
    server.house.owners.repositories.look().await;
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("the GitHub App is not installed on it any more"), "{}", page.text);
    assert!(page.text.contains("/github-apps/siesta-test/installations/new"), "{}", page.text);
    github.install("ana", &[&repo]);
    github.push(&repo, "main", "Back again", &files("2"));
    assert_eq!(deliver(&server, "0b-2", "installation_repositories", &event("added")).await.status, StatusCode::ACCEPTED);
    server.house.owners.repositories.look().await;
    assert_eq!(verdicts(&server, &app).await, [Verdict::Deployed], "what was pushed meanwhile is found");
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    assert!(!page.text.contains("not installed on it any more"), "{}", page.text);
    server.stop().await;
}

#[tokio::test]
async fn who_takes_back_the_permission_at_github_is_not_connected_here_any_more() {
    let (server, ana) = house().await;
    server.app(&ana, "tienda").await;
    let user = ana.actor.as_ref().unwrap().id;
    let connections = &server.house.owners.connections;
    let account = connections.of(user).await.unwrap().unwrap().host_id;
    let body = |id: i64| format!(r#"{{"action":"revoked","sender":{{"id":{id},"login":"ana"}}}}"#);
    deliver(&server, "0c-1", "github_app_authorization", &body(account + 1000)).await;
    assert!(!connections.of(user).await.unwrap().unwrap().revoked, "somebody else's");
    deliver(&server, "0c-2", "github_app_authorization", &body(account)).await;
    assert!(connections.of(user).await.unwrap().unwrap().revoked);
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("does not accept the connection any more") && page.text.contains("Connect to GitHub"), "{}", page.text);
    server.stop().await;
}
