//! GitHub: connecting, automatic deploys, over the host in memory.

mod app;
mod automatic;
mod connecting;
pub mod contract;
pub mod examples;
mod storm;

use http::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use siesta::{
    apps::App,
    domain::{BuildStatus, CommitSha, RepoName, git::Verdict},
    engine::fake::{Latch, Script},
    github::webhook,
    repositories::Wish,
};

use crate::web::server::{Answer, Server, Visitor};

/// A server that is registered at the host.
const REGISTERED: [&str; 4] = ["--github-client-id", "Iv1.test", "--github-client-secret", "s3cret"];
const PUSH: &str = "push";

/// One app linked to one repository of the host, which tells of pushes.
struct Scene {
    server: Server,
    ana: Visitor,
    app: App,
    repo: RepoName,
    /// Build containers wait here.
    latch: Latch,
    deliveries: std::cell::Cell<u64>,
}

fn files(text: &str) -> [(&str, &str); 3] {
    [("Procfile", "web: gunicorn app:app\n"), ("requirements.txt", "gunicorn\n"), ("app.py", text)]
}

/// A claimed server whose administrator is `ana` there and at the host.
async fn connected() -> (Server, Visitor) {
    let (server, ana) = Server::claimed_with(&REGISTERED).await;
    server.house.github.person("ana", Some("ana@example.org"));
    let back = connect(&server, &ana, "ana").await;
    assert_eq!((back.status, back.header("location")), (StatusCode::SEE_OTHER, "/apps/tienda/deploy"), "{}", back.text);
    (server, ana)
}

/// The web flow of somebody, who allows it at the host as `login`.
async fn connect(server: &Server, who: &Visitor, login: &str) -> Answer {
    let (path, visitor) = begin(server, who, "/github/connect?next=/apps/tienda/deploy", login).await;
    server.get(&visitor, &path).await
}

/// Begins a web flow: where the host sends the browser back to, and the browser with its cookies.
async fn begin(server: &Server, who: &Visitor, path: &str, login: &str) -> (String, Visitor) {
    let there = server.get(who, path).await;
    assert_eq!(there.status, StatusCode::SEE_OTHER, "{}", there.text);
    let address = there.header("location").to_owned();
    assert!(address.starts_with("https://github.test/login/oauth/authorize?client_id=Iv1.test&"), "{address}");
    let flow = there.set_cookie("siesta_github").expect("a cookie of the flow");
    assert!(flow.contains("HttpOnly") && flow.contains("SameSite=Lax"), "{flow}");
    let cookie = format!("{}; {}", who.cookie, flow.split(';').next().unwrap()).trim_start_matches("; ").to_owned();
    let state = address.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let code = server.house.github.allow(login, &address);
    let visitor = Visitor { actor: who.actor.clone(), cookie, language: who.language };
    (format!("/github/callback?code={code}&state={state}"), visitor)
}

impl Scene {
    async fn set() -> Scene {
        Scene::following(|wish| wish).await
    }

    /// Follows `main`; what is pushed from now on is deployed.
    async fn following(how: impl FnOnce(Wish) -> Wish) -> Scene {
        let (server, ana) = connected().await;
        let app = server.app(&ana, "tienda").await;
        let github = &server.house.github;
        let repo = github.repository_of("ana/tienda", true, &["ana"]);
        github.push(&repo, "main", "First", &files("1"));
        let by = ana.actor.clone().unwrap();
        let repositories = &server.house.owners.repositories;
        repositories.connect(app.id, &repo, &by).await.unwrap();
        let wish = Wish { branch: "main".parse().unwrap(), wait_for_ci: false, supersede: false };
        repositories.follow(app.id, how(wish), &by).await.unwrap();
        let latch = Latch::new();
        let script = Script::exits(0).exits_when(&latch, 0).writes("/opt/python/bin/python", "x");
        server.house.engine.on("/opt/siesta/build", script);
        Scene { server, ana, app, repo, latch, deliveries: std::cell::Cell::new(0) }
    }

    fn push(&self, message: &str) -> CommitSha {
        self.server.house.github.push(&self.repo, "main", message, &files(message))
    }

    /// The path of the hook we made and the secret the host knows.
    fn hook(&self) -> (String, secrecy::SecretString) {
        let hook = self.server.house.github.hooks(&self.repo).pop().expect("a hook");
        let path = hook.url.strip_prefix("http://localhost:8080").expect("our own address").to_owned();
        (path, hook.secret)
    }

    /// A genuine delivery.
    async fn deliver(&self, event: &str, body: &str) -> Answer {
        self.deliveries.set(self.deliveries.get() + 1);
        self.deliver_as(&format!("0000-{}", self.deliveries.get()), event, body).await
    }

    async fn deliver_as(&self, guid: &str, event: &str, body: &str) -> Answer {
        let (path, secret) = self.hook();
        let signature = webhook::signature(&secret, body.as_bytes()).unwrap();
        self.send(&path, guid, event, (Some(&signature), body)).await
    }

    /// A delivery as anybody could send it.
    async fn send(&self, path: &str, guid: &str, event: &str, (signature, body): (Option<&str>, &str)) -> Answer {
        let mut request = http::Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", "localhost:8080")
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-github-delivery", guid);
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        self.server.send(request.body(axum::body::Body::from(body.to_owned())).unwrap()).await
    }

    /// Pushes, tells of it and looks.
    async fn pushed(&self, message: &str) -> CommitSha {
        let sha = self.push(message);
        let body = self.server.house.github.push_payload(&self.repo, "main");
        assert_eq!(self.deliver(PUSH, &body).await.status, StatusCode::ACCEPTED);
        self.look().await;
        sha
    }

    async fn look(&self) {
        self.server.house.owners.repositories.look().await;
    }

    /// The verdicts, newest first.
    async fn verdicts(&self) -> Vec<Verdict> {
        let all = self.server.house.owners.repositories.deliveries(self.app.id).await.unwrap();
        all.into_iter().map(|delivery| delivery.verdict).collect()
    }

    /// What was built, newest first: commit and status.
    async fn builds(&self) -> Vec<(String, BuildStatus)> {
        let all = self.server.house.owners.reader.builds(self.app.id, 100).await.unwrap();
        all.into_iter().map(|build| (build.source_version.unwrap_or_default(), build.status)).collect()
    }

    async fn stop(self) {
        self.latch.open();
        self.server.stop().await;
    }
}

/// Whether a text stands anywhere in the files of a server.
fn is_written(server: &Server, text: &str) -> bool {
    fn below(folder: &std::path::Path, text: &str) -> bool {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
            if path.is_dir() {
                below(&path, text)
            } else {
                std::fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
            }
        })
    }
    below(&server.house.owners.config.options.data_dir, text)
}

/// The token of a link's hook, as it stands in the address at the host.
fn exposed(secret: &secrecy::SecretString) -> &str {
    secret.expose_secret()
}
