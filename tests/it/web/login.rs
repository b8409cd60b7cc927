//! The password and the second factor, as a person changes them.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::server::{PASSWORD, Server, Visitor, form};

/// A call of the API as `heroku login` makes it.
async fn call(server: &Server, request: http::request::Builder, body: &'static str) -> (StatusCode, Value) {
    let request: Request<Body> = request.header("content-type", "application/json").body(Body::from(body)).unwrap();
    let answer = server.house.owners.api().oneshot(request).await.unwrap();
    let (status, bytes) = (answer.status(), answer.into_body().collect().await.unwrap().to_bytes());
    (status, serde_json::from_slice(&bytes).unwrap())
}

/// A terminal begins: where the browser goes, and what the terminal asks with.
async fn begin(server: &Server) -> (String, http::request::Builder) {
    let (status, urls) = call(server, Request::post("/auth"), r#"{"description":"Heroku CLI login from <portátil>"}"#).await;
    assert_eq!(status, StatusCode::CREATED, "{urls}");
    let text = |name: &str| urls[name].as_str().unwrap().to_owned();
    (text("browser_url"), Request::get(text("cli_url")).header("authorization", format!("Bearer {}", text("token"))))
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it() {
    let (server, ana) = Server::claimed().await;
    let page = server.get(&ana, "/account/password").await;
    assert_eq!(page.status, StatusCode::OK);
    let change =
        async |current: &str| server.post(&ana, "/account/password", &[("current", current), ("password", "otra siesta larga")]).await;
    let refused = change("guess").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("That is not your current password."), "{}", refused.text);
    assert_eq!(change(PASSWORD).await.status, StatusCode::SEE_OTHER);
    assert_eq!(server.get(&ana, "/apps").await.status, StatusCode::OK, "this browser stays logged in");
    let login =
        async |password: &str| server.post(&Visitor::stranger(), "/login", &[("email", "ana@example.org"), ("password", password)]).await;
    assert_eq!(login(PASSWORD).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(login("otra siesta larga").await.set_cookie("siesta").is_some());
    server.stop().await;
}

#[tokio::test]
async fn the_second_factor_is_scanned_confirmed_and_asked_for() {
    let (server, mut ana) = Server::claimed().await;
    ana.language = "es";
    assert_eq!(server.get(&ana, "/account/second-factor").await.header("location"), "/account#login", "nothing to show yet");
    assert_eq!(server.post(&ana, "/account/second-factor", &[]).await.header("location"), "/account/second-factor");
    let page = server.get(&ana, "/account/second-factor").await;
    assert!(page.text.contains("<svg") && !page.text.contains("<?xml") && !page.text.contains(" style="), "{}", page.text);
    let wrong = server.post(&ana, "/account/second-factor/confirm", &[("code", "000000")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("Ese código no es correcto"), "{}", wrong.text);

    let user = server.accounts.by_email("ana@example.org").await.unwrap().unwrap();
    let secret = server.accounts.pending_second_factor(&user).await.unwrap().unwrap().secret;
    let on = server.post(&ana, "/account/second-factor/confirm", &[("code", &server.code(&secret))]).await;
    assert_eq!(on.status, StatusCode::OK, "{}", on.text);
    let recovery = on.text.split("<code>").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(server.get(&ana, "/account/second-factor").await.text.contains("Quedan 10 códigos"));

    let first =
        server.post(&Visitor::stranger(), "/login", &[("email", "ana@example.org"), ("password", PASSWORD), ("next", "/new")]).await;
    assert!(first.set_cookie("siesta").is_none(), "a password alone opens nothing");
    let ticket = first.text.split("name=\"ticket\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let step =
        async |code: &str| server.post(&Visitor::stranger(), "/login/code", &[("ticket", &ticket), ("code", code), ("next", "/new")]).await;
    assert_eq!(step("123456").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let inside = step(&recovery).await;
    assert_eq!(inside.header("location"), "/new");
    assert!(inside.set_cookie("siesta").is_some());
    assert_eq!(step(&recovery).await.header("location"), "/login", "a ticket is good once");

    assert_eq!(server.post(&ana, "/account/second-factor/remove", &[("current", "guess")]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    server.post(&ana, "/account/second-factor/remove", &[("current", PASSWORD)]).await;
    assert!(!server.accounts.has_second_factor(user.id).await.unwrap());
    server.stop().await;
}

#[tokio::test]
async fn a_terminal_is_let_in_from_its_page_and_from_no_other() {
    let (server, ana) = Server::claimed().await;
    let (page, asking) = begin(&server).await;
    let stranger = server.get(&Visitor::stranger(), &page).await;
    assert_eq!((stranger.status, stranger.header("location")), (StatusCode::SEE_OTHER, format!("/login?next={page}").as_str()));
    let shown = server.get(&ana, &page).await;
    for told in ["Heroku CLI login from &#60;portátil&#62;", "0.0.0.0", "ana@example.org", "Say yes only if"] {
        assert!(shown.text.contains(told), "{told}: {}", shown.text);
    }
    let foreign = server.request(&ana, Method::POST, &page).header("sec-fetch-site", "cross-site");
    assert_eq!(server.send(form(foreign, &[("yes", "true")])).await.status, StatusCode::FORBIDDEN, "a form on another site");
    let (key, answer) = tokio::join!(call(&server, asking, ""), server.post(&ana, &page, &[("yes", "true")]));
    assert!(answer.text.contains("The terminal is in"), "{}", answer.text);
    let key = key.1["access_token"].as_str().unwrap().into();
    assert_eq!(server.accounts.by_token(&key).await.unwrap().unwrap().0.email.as_str(), "ana@example.org");
    assert_eq!(server.get(&ana, &page).await.status, StatusCode::NOT_FOUND, "once");
    assert_eq!(server.post(&ana, &page, &[("yes", "true")]).await.status, StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn a_terminal_that_is_sent_away_gets_a_sentence() {
    let (server, mut ana) = Server::claimed().await;
    ana.language = "es";
    let (page, asking) = begin(&server).await;
    assert!(server.get(&ana, &page).await.text.contains("Una terminal pide entrar"));
    let (told, answer) = tokio::join!(call(&server, asking, ""), server.post(&ana, &page, &[("yes", "false")]));
    assert!(answer.text.contains("La terminal se ha ido con un no"), "{}", answer.text);
    assert_eq!(told.1["error"], "The login was refused in the browser.");
    server.stop().await;
}
