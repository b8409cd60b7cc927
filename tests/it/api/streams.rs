//! Addresses that are the key: log sessions, sources, build output.

use axum::body::Body;
use futures_util::StreamExt as _;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use siesta::domain::{LogLine, log_line::Source};

use super::server::{Answer, Server, request};

fn path_of(url: &Value) -> String {
    url.as_str().unwrap().strip_prefix("http://localhost:8080").expect("an address under the host that was called").to_owned()
}

fn events(path: &str) -> Request<Body> {
    request(Method::GET, path).header("accept", "text/event-stream").body(Body::empty()).unwrap()
}

struct Logged {
    server: Server,
    ana: super::server::Person,
    app: siesta::apps::App,
}

impl Logged {
    async fn start() -> Logged {
        let server = Server::start().await;
        let ana = server.person("ana@example.org").await;
        let app = server.app(&ana, "tienda").await;
        server.logs.forget(app.id).await.unwrap();
        let logged = Logged { server, ana, app };
        for n in 1..=3 {
            logged.print("web.1", &format!("line {n}"));
        }
        logged.print("worker.1", "other\rline");
        logged
    }

    fn print(&self, ps: &str, message: &str) {
        let at_micros = 1_430_000_000_000_000;
        self.server.logs.append(self.app.id, LogLine { at_micros, source: Source::App, ps: ps.to_owned(), message: message.to_owned() });
    }

    async fn session(&self, wanted: Value) -> String {
        let made = self.server.call(Some(&self.ana.token), Method::POST, "/apps/tienda/log-sessions", Some(wanted)).await;
        assert_eq!(made.status, 201);
        path_of(&made.json()["logplex_url"])
    }

    async fn text(&self, wanted: Value) -> Answer {
        let path = self.session(wanted).await;
        self.server.call(None, Method::GET, &path, None).await
    }
}

#[tokio::test]
async fn a_log_session_is_text_for_whoever_asks_for_no_events() {
    let logged = Logged::start().await;
    let answer = logged.text(json!({ "lines": 2, "dyno": "web" })).await;
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.text, "2015-04-25T22:13:20.000000+00:00 app[web.1]: line 2\n2015-04-25T22:13:20.000000+00:00 app[web.1]: line 3\n");
    assert_eq!(logged.text(json!({ "source": "heroku" })).await.text, "");
    let wrong =
        logged.server.call(Some(&logged.ana.token), Method::POST, "/apps/tienda/log-sessions", Some(json!({ "source": "x" }))).await;
    assert_eq!(wrong.status, 422);
    logged.server.stop().await;
}

#[tokio::test]
async fn a_log_session_without_tail_ends_and_lets_its_client_go_at_once() {
    let logged = Logged::start().await;
    let path = logged.session(json!({ "lines": 2 })).await;
    assert!(!path.contains("tail"), "older clients read the mode from the address");
    let answer = logged.server.send(events(&path)).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    insta::assert_snapshot!(answer.text, @r"
    retry: 10

    id: 3
    data: 2015-04-25T22:13:20.000000+00:00 app[web.1]: line 3

    id: 4
    data: 2015-04-25T22:13:20.000000+00:00 app[worker.1]: other line
    ");
    logged.server.stop().await;
}

#[tokio::test]
async fn a_tail_goes_on_and_resumes_behind_the_last_event() {
    let logged = Logged::start().await;
    let path = logged.session(json!({ "lines": 1, "tail": true, "dyno": "web" })).await;
    assert!(path.ends_with("?tail=true"));
    let mut body = logged.server.open(events(&path)).await.into_body().into_data_stream();
    let mut next = async || String::from_utf8(body.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(next().await.starts_with("id: 3\n"));
    logged.print("web.1", "line 5");
    assert!(next().await.contains("line 5"));
    let mut resumed = events(&path);
    resumed.headers_mut().insert("last-event-id", "2".parse().unwrap());
    let mut body = logged.server.open(resumed).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.starts_with(b"id: 3\n"), "what the client has is not sent again");
    logged.server.clock.advance(std::time::Duration::from_secs(3_600));
    assert_eq!(logged.server.send(events(&path)).await.status, 404);
    drop(body);
    logged.server.stop().await;
}

#[tokio::test]
async fn a_source_is_uploaded_and_built_by_the_addresses_alone() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    server.app(&ana, "tienda").await;
    let made = server.call(Some(&ana.token), Method::POST, "/apps/tienda/sources", None).await;
    let (put, get) = (path_of(&made.json()["source_blob"]["put_url"]), path_of(&made.json()["source_blob"]["get_url"]));
    let build = json!({ "source_blob": { "url": format!("http://localhost:8080{get}"), "version": "1a2b3c4d" } });
    let early = server.call(Some(&ana.token), Method::POST, "/apps/tienda/builds", Some(build.clone())).await;
    assert_eq!(early.status, 422, "nothing was uploaded yet: {}", early.text);

    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    tar.append_data(&mut header, "requirements.txt", &b"\n\n"[..]).unwrap();
    let archive = tar.into_inner().unwrap().finish().unwrap();
    let upload = |path: &str| request(Method::PUT, path).header("content-type", "").body(Body::from(archive.clone())).unwrap();
    assert_eq!(server.send(upload(&get)).await.status, 404, "the reading capability does not write");
    assert_eq!(server.send(upload(&put)).await.status, 200);
    assert_eq!(server.send(upload(&put)).await.status, 409, "an address takes one upload");
    let back = server.open(request(Method::GET, &get).body(Body::empty()).unwrap()).await.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(back, archive);

    let made = server.call(Some(&ana.token), Method::POST, "/apps/tienda/builds", Some(build)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json()["status"], "pending");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let shown = server.get(&ana, &format!("/apps/tienda/builds/{id}")).await;
    assert_ne!(shown.json()["output_stream_url"], Value::Null);
    let cancelled = server.call(Some(&ana.token), Method::DELETE, &format!("/apps/tienda/builds/{id}"), None).await;
    assert_eq!((cancelled.status.as_u16(), &cancelled.json()["status"]), (200, &json!("failed")), "{}", cancelled.text);
    for url in [&made.json()["output_stream_url"], &shown.json()["output_stream_url"]] {
        let text = server.call(None, Method::GET, &path_of(url), None).await;
        assert_eq!((text.status.as_u16(), text.header("content-type")), (200, Some("text/plain; charset=utf-8")));
        let events = server.send(events(&path_of(url))).await;
        assert!(events.text.ends_with("event: end\ndata: failed\n\n"), "{}", events.text);
    }
    server.stop().await;
}

#[tokio::test]
async fn through_the_door_of_a_machine_all_addresses_are_that_doors() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    let ask = async |door: &str, path: &str, body: Value| {
        let request = request(Method::POST, path)
            .header("authorization", format!("Bearer {}", ana.token.expose_secret()))
            .header("content-type", "application/json")
            .header("siesta-door", door);
        server.send(request.body(Body::from(body.to_string())).unwrap()).await.json()
    };
    let run = json!({ "command": "ls", "attach": true });
    let (session, dyno) = (ask("5080", "/apps/tienda/log-sessions", json!({})).await, ask("5080", "/apps/tienda/dynos", run).await);
    assert!(session["logplex_url"].as_str().unwrap().starts_with("http://localhost:5080/streams/log/"), "{session}");
    assert!(dyno["attach_url"].as_str().unwrap().starts_with("rendezvous://localhost:5080/"), "{dyno}");
    for other in ["evil.example:5080", "99999", "", "5080/@evil.example"] {
        let session = ask(other, "/apps/tienda/log-sessions", json!({})).await;
        path_of(&session["logplex_url"]);
    }
    server.stop().await;
}
