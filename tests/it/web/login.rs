//! The password and the second factor, as a person changes them.

use http::StatusCode;

use super::server::{PASSWORD, Server, Visitor};

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
