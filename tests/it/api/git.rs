//! Who may push and fetch. What a push does is shown with a real server in tests/clients.

use axum::body::Body;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::ExposeSecret as _;
use serde_json::json;
use siesta::git_http::{self, Git};
use tower::ServiceExt as _;

use super::server::{Person, Server, request};

fn git(server: &Server) -> Git {
    let owners = &server.house.owners;
    Git {
        config: owners.config.clone(),
        reader: owners.reader.clone(),
        accounts: owners.accounts.clone(),
        builder: owners.builder.clone(),
        tasks: owners.tasks.clone(),
        pushes: siesta::git_http::Pushes::default(),
    }
}

/// What `git` hears when it begins to push (`receive`) or to fetch (`upload`).
async fn refs(server: &Server, who: Option<&Person>, app: &str, service: &str) -> (StatusCode, http::HeaderMap, String) {
    let mut asked = request(Method::GET, &format!("/{app}.git/info/refs?service=git-{service}-pack"));
    if let Some(person) = who {
        let word = BASE64_STANDARD.encode(format!("heroku:{}", person.token.expose_secret()));
        asked = asked.header("authorization", format!("Basic {word}"));
    }
    let answer = git_http::router(git(server)).oneshot(asked.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn git_is_for_those_who_have_a_role() {
    let server = Server::start().await;
    let (ana, vera, eve) =
        (server.person("ana@example.org").await, server.person("vera@example.org").await, server.person("eve@example.org").await);
    let app = server.app(&ana, "tienda").await;
    let viewer = json!({ "user": "vera@example.org", "role": "view" });
    server.call(Some(&ana.token), Method::POST, "/apps/tienda/collaborators", Some(viewer)).await;

    let (status, headers, _) = refs(&server, None, "tienda", "receive").await;
    assert_eq!(status, 401);
    assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Basic "), "{headers:?}");
    for service in ["receive", "upload"] {
        assert_eq!(refs(&server, Some(&eve), "tienda", service).await.0, 404, "{service}");
        assert_eq!(refs(&server, Some(&eve), "niente", service).await.0, 404, "{service}");
        let (status, headers, text) = refs(&server, Some(&ana), "tienda", service).await;
        assert_eq!(
            (status.as_u16(), headers["content-type"].to_str().unwrap()),
            (200, &*format!("application/x-git-{service}-pack-advertisement"))
        );
        assert!(text.contains(&format!("# service=git-{service}-pack")), "{text}");
    }
    assert_eq!(refs(&server, Some(&vera), "tienda", "upload").await.0, 200);
    assert_eq!(refs(&server, Some(&vera), "tienda", "receive").await.0, 403);

    let repository = server.house.owners.config.options.data_dir.join(format!("git/{}.git", app.id));
    assert!(repository.join("HEAD").exists());
    server.apps.destroy(app.id, &ana.actor()).await.unwrap();
    git_http::sweep(&git(&server)).await;
    assert!(repository.exists(), "it can come back with its app");
    server.apps.purge(app.id, &ana.actor()).await.unwrap();
    git_http::sweep(&git(&server)).await;
    assert!(!repository.exists(), "gone with its app");
    server.stop().await;
}
