//! GitHub's own examples of what it delivers, through the door that GitHub knocks at.

use http::{Method, StatusCode};
use serde_json::Value;
use siesta::{
    domain::{CommitSha, git::Verdict},
    github::webhook::{self, What},
    repositories::Wish,
};

use super::{REGISTERED, Scene, connect, files};
use crate::web::server::Server;

/// One example.
#[derive(Debug, serde::Deserialize)]
pub struct Example {
    pub event: String,
    pub body: String,
    /// By the official package.
    pub signature: String,
}

impl Example {
    fn payload(&self) -> Value {
        serde_json::from_str(&self.body).expect("an example is JSON")
    }

    fn repository(&self) -> i64 {
        self.payload()["repository"]["id"].as_i64().unwrap_or_default()
    }
}

/// The repository that most examples are of.
const HELLO_WORLD: i64 = 186_853_002;

/// Every example is read as what it says, and taken at both of our doors: the one of a GitHub App
/// and the one of a repository's own hook.
pub async fn every_example_is_taken(secret: &str, examples: &[Example]) {
    assert!(examples.len() > 300, "{} examples", examples.len());
    for event in ["push", "ping", "status", "check_run", "check_suite", "repository", "delete", "create", "installation"] {
        assert!(examples.iter().any(|example| example.event == event), "{event}");
    }
    for example in examples {
        is_understood(example);
    }
    at_the_app_s_door(secret, examples).await;
    at_a_repository_s_door(examples).await;
}

fn is_understood(example: &Example) {
    let (payload, event) = (example.payload(), example.event.as_str());
    let said = webhook::parse(event, example.body.as_bytes()).unwrap_or_else(|error| panic!("{event}: {error}"));
    assert_eq!(said.repository, example.repository(), "{event}");
    let reference = payload["ref"].as_str().unwrap_or_default();
    let expected = match (event, reference.strip_prefix("refs/heads/")) {
        ("push", Some(branch)) if payload["deleted"] == true => What::BranchDeleted(branch.parse().unwrap()),
        ("push", Some(branch)) => What::Push(branch.parse().unwrap()),
        ("push", None) => What::Tag,
        ("ping", _) => What::Ping,
        ("status" | "check_run" | "check_suite", _) => What::Checks,
        ("repository", _) => What::Repository,
        ("installation" | "installation_repositories", _) => {
            What::Installation(payload["installation"]["account"]["login"].as_str().unwrap().to_owned())
        }
        ("github_app_authorization", _) => What::Revoked(payload["sender"]["id"].as_i64().unwrap()),
        _ => What::Other,
    };
    assert_eq!(said.what, expected, "{event}");
    if event == "push" {
        assert_eq!(said.who, payload["pusher"]["name"].as_str().unwrap());
    }
    let sha = match event {
        "push" => &payload["after"],
        "status" => &payload["sha"],
        "check_run" | "check_suite" => &payload[event]["head_sha"],
        _ => return,
    };
    assert_eq!(said.sha, sha.as_str().unwrap(), "{event}");
    assert!(said.sha.parse::<CommitSha>().is_ok(), "{event}");
}

async fn at_the_app_s_door(secret: &str, examples: &[Example]) {
    let flags = [&REGISTERED[..], &["--github-app", "siesta-test", "--github-webhook-secret", secret]].concat();
    let (server, ana) = Server::claimed_with(&flags).await;
    let (github, repositories) = (&server.house.github, &server.house.owners.repositories);
    github.person("ana", Some("ana@example.org"));
    connect(&server, &ana, "ana").await;
    let app = server.app(&ana, "tienda").await;
    let repo = github.repository_of("Codertocat/Hello-World", false, &["ana"]);
    github.renumber(&repo, HELLO_WORLD);
    github.push(&repo, "master", "First", &files("1"));
    let by = ana.actor.as_ref().unwrap();
    repositories.connect(app.id, &repo, by).await.unwrap();
    let wish = Wish { branch: "master".parse().unwrap(), wait_for_ci: false, supersede: false };
    repositories.follow(app.id, wish, by).await.unwrap();
    for (number, example) in examples.iter().enumerate() {
        let mut request = http::Request::builder().method(Method::POST).uri("/github/webhook").header("host", "localhost:8080");
        for (name, value) in [
            ("x-github-event", example.event.as_str()),
            ("x-github-delivery", &format!("{number:08x}")),
            ("x-hub-signature-256", &example.signature),
        ] {
            request = request.header(name, value);
        }
        let answer = server.send(request.body(axum::body::Body::from(example.body.clone())).unwrap()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}: {}", example.event, answer.text);
    }
    let rows = server.house.owners.reader.deliveries(app.id, 10_000).await.unwrap();
    let ours = |example: &&Example| example.event == "push" && example.repository() == HELLO_WORLD;
    let tags = examples.iter().filter(ours).filter(|example| example.payload()["ref"].as_str().unwrap().starts_with("refs/tags/")).count();
    let pushes = examples.iter().filter(ours).count();
    let with = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
    assert_eq!((with(Verdict::Tag), with(Verdict::Received)), (tags, pushes - tags), "each push says what it was");
    assert!(tags > 0 && pushes > tags);
    repositories.look().await;
    let open = server.house.owners.reader.open_deliveries(app.id).await.unwrap();
    assert!(open.is_empty(), "all of them are judged: {open:?}");
    server.stop().await;
}

async fn at_a_repository_s_door(examples: &[Example]) {
    let scene = Scene::set().await;
    for (number, example) in examples.iter().enumerate() {
        let answer = scene.deliver_as(&format!("{number:08x}"), &example.event, &example.body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}: {}", example.event, answer.text);
    }
    scene.stop().await;
}
