//! Webhooks from end to end: what a receiver gets, signed, and what becomes of one that fails.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use siesta::api::Announcer;
use tokio::sync::mpsc;

use super::server::{Answer, Person, Server};

type Got = (HeaderMap, Bytes);

/// A receiver on this machine that answers as it is told.
struct Receiver {
    port: u16,
    answers: Arc<AtomicU16>,
    got: mpsc::UnboundedReceiver<Got>,
}

impl Receiver {
    #[expect(clippy::disallowed_methods, reason = "a receiver is driven by a task of the test's own")]
    async fn start() -> Receiver {
        let (sender, got) = mpsc::unbounded_channel();
        let answers = Arc::new(AtomicU16::new(200));
        let take =
            async |State((sender, answers)): State<(mpsc::UnboundedSender<Got>, Arc<AtomicU16>)>, headers: HeaderMap, body: Bytes| {
                sender.send((headers, body)).unwrap();
                StatusCode::from_u16(answers.load(Ordering::SeqCst)).unwrap()
            };
        let router = Router::new().route("/in", post(take)).with_state((sender, answers.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver { port, answers, got }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/in?key=s3cret", self.port)
    }

    /// What came, none being under way.
    fn take(&mut self) -> Vec<(HeaderMap, Value)> {
        let mut all = Vec::new();
        while let Ok((headers, body)) = self.got.try_recv() {
            all.push((headers, serde_json::from_slice(&body).unwrap()));
        }
        all
    }
}

struct Scene {
    server: Server,
    receiver: Receiver,
    announcer: Announcer,
    ana: Person,
}

impl Scene {
    async fn start() -> Scene {
        let receiver = Receiver::start().await;
        let server = Server::start_with(&["--egress-allow", &format!("127.0.0.1:{}", receiver.port)]).await;
        let ana = server.person("ana@example.org").await;
        let announcer = server.house.owners.announcer();
        Scene { server, receiver, announcer, ana }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.server.call(Some(&self.ana.token), method, path, body).await
    }

    async fn hook(&self, app: &str, include: &[&str], level: &str) -> Answer {
        let body = json!({ "url": self.receiver.url(), "include": include, "level": level });
        let answer = self.call(Method::POST, &format!("/apps/{app}/webhooks"), Some(body)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer
    }

    /// Telling and sending until nothing more is due; what the receiver got.
    async fn told(&mut self) -> Vec<(HeaderMap, Value)> {
        self.announcer.announce().await.unwrap();
        let mut all = Vec::new();
        loop {
            self.server.house.owners.webhooks.deliver().await.unwrap();
            let got = self.receiver.take();
            if got.is_empty() {
                return all;
            }
            all.extend(got);
        }
    }
}

#[tokio::test]
async fn a_receiver_gets_what_changed_signed_and_in_the_shape_of_the_api() {
    let mut scene = Scene::start().await;
    let app = scene.server.app(&scene.ana, "tienda").await;
    let made = scene.hook("tienda", &["api:release", "api:domain", "api:formation", "api:app", "api:build"], "notify").await;
    let secret = made.header("heroku-webhook-secret").unwrap().to_owned();
    let hook = made.json();
    assert_eq!((&hook["url"], &hook["level"], &hook["app"]["name"]), (&json!(scene.receiver.url()), &json!("notify"), &json!("tienda")));
    assert_eq!(scene.told().await.len(), 0, "nothing happened yet");

    scene.server.deploy(&scene.ana, &app).await;
    let told = scene.told().await;
    let of = |resource: &str| told.iter().filter(|(_, body)| body["resource"] == resource).map(|(_, body)| body).collect::<Vec<_>>();
    // Deliveries are made at once, so they may come in any order.
    let mut releases = of("release");
    releases.sort_by_key(|body| body["action"].to_string());
    assert_eq!(releases.iter().map(|body| body["action"].as_str().unwrap()).collect::<Vec<_>>(), ["create", "update"]);
    assert_eq!(releases[1]["previous_data"], json!({ "status": "pending" }));
    let known = scene.call(Method::GET, "/apps/tienda/releases/v3", None).await.json();
    assert_eq!(releases[1]["data"], known);
    assert_eq!(releases[1]["actor"], json!({ "email": "ana@example.org", "id": scene.ana.user.id }));
    assert_eq!(releases[1]["webhook_metadata"]["webhook"]["id"], hook["id"]);
    assert_eq!(of("formation").len(), 2);
    for (headers, _) in &told {
        assert_eq!(headers["content-type"], "application/json");
        assert!(headers.get("authorization").is_none());
    }

    scene.call(Method::POST, "/apps/tienda/domains", Some(json!({ "hostname": "www.example.org" }))).await;
    scene.call(Method::DELETE, "/apps/tienda/domains/www.example.org", None).await;
    scene.call(Method::PATCH, "/apps/tienda", Some(json!({ "maintenance": true }))).await;
    scene.call(Method::PATCH, "/apps/tienda/formation", Some(json!({ "updates": [{ "type": "worker", "quantity": 1 }] }))).await;
    let told: Vec<Value> = scene.told().await.into_iter().map(|(_, body)| body).collect();
    let found =
        |resource: &str, action: &str| told.iter().find(|body| body["resource"] == resource && body["action"] == action).unwrap().clone();
    assert_eq!(found("domain", "destroy")["data"]["hostname"], "www.example.org");
    let (app, worker) = (found("app", "update"), found("formation", "update"));
    assert_eq!((&app["data"]["maintenance"], &app["previous_data"]["maintenance"]), (&json!(true), &json!(false)));
    assert_eq!((&worker["data"]["quantity"], &worker["previous_data"]["quantity"]), (&json!(1), &json!(0)));

    scene.call(Method::PATCH, "/apps/tienda", Some(json!({ "name": "almacen" }))).await;
    scene.announcer.announce().await.unwrap();
    scene.server.house.owners.webhooks.deliver().await.unwrap();
    let (headers, raw) = scene.receiver.got.recv().await.unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(&raw);
    assert_eq!(headers["heroku-webhook-hmac-sha256"], BASE64_STANDARD.encode(mac.finalize().into_bytes()).as_str());

    let deliveries = scene.call(Method::GET, "/apps/almacen/webhook-deliveries", None).await.json();
    assert!(deliveries.as_array().unwrap().iter().all(|one| one["status"] == "succeeded" && one["last_attempt"]["code"] == 200));
    let event = deliveries[0]["event"]["id"].as_str().unwrap().to_owned();
    let event = scene.call(Method::GET, &format!("/apps/almacen/webhook-events/{event}"), None).await.json();
    assert_eq!(event["payload"]["version"], "application/vnd.heroku+json; version=3");
    scene.server.stop().await;
}

#[tokio::test]
async fn sync_is_tried_again_with_longer_pauses_and_notify_is_not() {
    let mut scene = Scene::start().await;
    scene.server.app(&scene.ana, "tienda").await;
    scene.hook("tienda", &["api:app"], "sync").await;
    scene.hook("tienda", &["api:app"], "notify").await;
    scene.receiver.answers.store(503, Ordering::SeqCst);
    scene.call(Method::PATCH, "/apps/tienda", Some(json!({ "maintenance": true }))).await;
    assert_eq!(scene.told().await.len(), 2);
    let of = async |scene: &Scene, level: &str| {
        let all = scene.call(Method::GET, "/apps/tienda/webhook-deliveries", None).await.json();
        all.as_array().unwrap().iter().find(|one| one["webhook"]["level"] == level).unwrap().clone()
    };
    let (sync, notify) = (of(&scene, "sync").await, of(&scene, "notify").await);
    assert_eq!((&notify["status"], &notify["next_attempt_at"], &notify["num_attempts"]), (&json!("failed"), &Value::Null, &json!(1)));
    assert_eq!((&sync["status"], &sync["last_attempt"]["code"]), (&json!("retrying"), &json!(503)));
    let failed = scene.call(Method::GET, "/apps/tienda/webhook-deliveries?eq[status]=failed", None).await.json();
    assert_eq!(failed.as_array().unwrap().len(), 1);

    assert_eq!(scene.told().await.len(), 0, "not before its time");
    scene.server.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(scene.told().await.len(), 1);
    scene.server.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(scene.told().await.len(), 0, "the second pause is longer");
    scene.receiver.answers.store(204, Ordering::SeqCst);
    scene.server.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(scene.told().await.len(), 1);
    let sync = of(&scene, "sync").await;
    assert_eq!((&sync["status"], &sync["num_attempts"]), (&json!("succeeded"), &json!(3)));
    scene.server.stop().await;
}

#[tokio::test]
async fn a_dyno_that_starts_and_stops_is_told() {
    let mut scene = Scene::start().await;
    let app = scene.server.app(&scene.ana, "tienda").await;
    scene.hook("tienda", &["dyno"], "notify").await;
    assert_eq!(scene.told().await.len(), 0);
    scene.server.deploy(&scene.ana, &app).await;
    let told = scene.told().await;
    assert_eq!((told[0].1["action"].as_str(), told[0].1["data"]["name"].as_str()), (Some("create"), Some("web.1")), "{told:?}");
    scene.call(Method::POST, "/apps/tienda/dynos/web.1/actions/stop", None).await;
    let stopped = async {
        while !scene.told().await.iter().any(|(_, body)| body["resource"] == "dyno" && body["data"]["state"] == "idle") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), stopped).await.expect("it is told");
    scene.server.stop().await;
}

#[tokio::test]
async fn webhooks_are_checked_changed_limited_and_go_with_their_app() {
    let mut scene = Scene::start().await;
    let app = scene.server.app(&scene.ana, "tienda").await;
    let post = async |scene: &Scene, body: Value| scene.call(Method::POST, "/apps/tienda/webhooks", Some(body)).await;
    let url = scene.receiver.url();
    for (body, word) in [
        (json!({ "url": "https://169.254.169.254/x", "include": ["api:app"], "level": "notify" }), "not a public host"),
        (json!({ "url": "http://example.org/x", "include": ["api:app"], "level": "notify" }), "Only https"),
        (json!({ "url": "ftp://example.org/x", "include": ["api:app"], "level": "notify" }), "https://example.org/hooks"),
        (json!({ "url": url, "include": ["api:all"], "level": "notify" }), "api:release"),
        (json!({ "url": url, "include": [], "level": "notify" }), "at least one"),
        (json!({ "url": url, "include": ["api:app"], "level": "often" }), "`sync`"),
        (json!({ "url": url, "include": ["api:app"], "level": "sync", "secret": "" }), "characters"),
        (json!({ "url": url, "include": ["api:app"], "level": "sync", "authorization": "a\nb" }), "control characters"),
    ] {
        let answer = post(&scene, body).await;
        assert!(answer.status == 422 && answer.text.contains(word), "{} {}", answer.status, answer.text);
    }
    let own = json!({ "url": url, "include": ["api:app"], "level": "sync", "secret": "abc", "authorization": "Bearer x" });
    let made = post(&scene, own).await;
    assert_eq!(made.header("heroku-webhook-secret"), Some("abc"));
    let path = format!("/apps/tienda/webhooks/{}", made.json()["id"].as_str().unwrap());
    let changed = scene.call(Method::PATCH, &path, Some(json!({ "include": ["api:domain"], "level": "notify" }))).await;
    assert_eq!((&changed.json()["include"], changed.header("heroku-webhook-secret")), (&json!(["api:domain"]), None));
    scene.call(Method::POST, "/apps/tienda/domains", Some(json!({ "hostname": "www.example.org" }))).await;
    let told = scene.told().await;
    assert_eq!((told.len(), &told[0].0["authorization"]), (1, &"Bearer x".parse().unwrap()));
    for _ in 1..10 {
        scene.hook("tienda", &["api:app"], "notify").await;
    }
    let eleventh = post(&scene, json!({ "url": url, "include": ["api:app"], "level": "notify" })).await;
    assert!(eleventh.status == 422 && eleventh.text.contains("limit of 10"), "{}", eleventh.text);
    assert_eq!(scene.call(Method::DELETE, &path, None).await.status, 200);
    assert_eq!(scene.call(Method::GET, &path, None).await.status, 404);
    let logs = scene.server.house.owners.config.options.data_dir.join("siesta.db-wal");
    let bytes = std::fs::read(logs).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"s3cret"), "addresses are sealed");

    scene.call(Method::PATCH, "/apps/tienda", Some(json!({ "maintenance": true }))).await;
    scene.server.apps.destroy(app.id, &scene.ana.actor()).await.unwrap();
    assert_eq!(scene.told().await.len(), 0, "gone with its app");
    scene.server.stop().await;
}
