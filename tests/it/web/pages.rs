//! What the pages say, in both languages, and what their forms do.

use http::{Method, StatusCode};
use siesta::{
    domain::{LogLine, log_line::Source},
    engine::fake::Script,
};

use super::server::{Answer, Server, Visitor, form};
use crate::{engine_contract::tar_of, support::yard::Yard};

/// The text a reader sees: tags, scripts and the icons left out, one line a piece.
fn seen(answer: &Answer) -> String {
    let html = answer.text.split_once("<a class=\"skip\"").expect("a page").1;
    let mut text = String::new();
    for piece in html.split('<').skip(1) {
        let (tag, words) = piece.split_once('>').unwrap_or((piece, ""));
        if tag.starts_with("title") || words.trim().is_empty() {
            continue;
        }
        text += words.trim();
        text.push('\n');
    }
    text
}

#[tokio::test]
async fn pages_speak_both_languages() {
    let (server, mut ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    for language in ["en", "es"] {
        ana.language = language;
        let nobody = Visitor { language, ..Visitor::stranger() };
        for (name, visitor, path) in [
            ("login", &nobody, "/login"),
            ("apps", &ana, "/apps"),
            ("new", &ana, "/new"),
            ("blank", &ana, "/apps/tienda"),
            ("deploy", &ana, "/apps/tienda/deploy"),
            ("settings", &ana, "/apps/tienda/settings"),
            ("missing", &ana, "/apps/niente"),
        ] {
            let answer = server.get(visitor, path).await;
            assert!(answer.text.contains(&format!("<html lang=\"{language}\"")), "{path}");
            insta::assert_snapshot!(format!("{name}_{language}"), seen(&answer));
        }
    }
    assert_eq!(app.name.as_str(), "tienda");
    server.stop().await;
}

/// The class hand-out is in Spanish, and names the buttons in Heroku's words.
#[tokio::test]
async fn the_words_of_the_class_hand_out_are_there_in_both_languages() {
    let (server, mut ana) = Server::claimed_with(&["--github-client-id", "Iv1.test", "--github-client-secret", "s3cret"]).await;
    server.app(&ana, "tiendavideojuegos").await;
    for language in ["en", "es"] {
        ana.language = language;
        let page = seen(&server.get(&ana, "/apps/tiendavideojuegos/deploy").await);
        for words in ["Deploy", "Connect to GitHub", "More", "Run console"] {
            assert!(page.lines().any(|line| line == words), "{language}: {words}: {page}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_language_is_the_accounts_then_the_cookies_then_the_browsers() {
    let (server, ana) = Server::claimed().await;
    let language = |answer: &Answer| answer.text.split("<html lang=\"").nth(1).unwrap()[..2].to_owned();
    let nobody = Visitor::stranger();
    let chosen = server.post(&nobody, "/preferences", &[("language", "es"), ("back", "/login")]).await;
    assert_eq!(chosen.header("location"), "/login");
    let cookie = chosen.set_cookie("siesta_language").unwrap();
    let with_cookie = Visitor { cookie: cookie.split(';').next().unwrap().to_owned(), ..Visitor::stranger() };
    assert_eq!(language(&server.get(&with_cookie, "/login").await), "es");
    assert_eq!(language(&server.get(&nobody, "/login").await), "en");
    server.post(&ana, "/preferences", &[("language", "es"), ("back", "/apps")]).await;
    assert_eq!(language(&server.get(&ana, "/apps").await), "es", "kept in the account");
    let dark = server.post(&ana, "/preferences", &[("theme", "dark"), ("back", "https://evil.example/")]).await;
    assert_eq!(dark.header("location"), "/apps");
    assert!(server.get(&ana, "/apps").await.text.contains("data-theme=\"dark\""));
    server.stop().await;
}

#[tokio::test]
async fn the_reference_shows_every_call_to_everybody_in_both_languages() {
    let (server, _) = Server::claimed().await;
    for (language, at) in [("en", 0), ("es", 1)] {
        let page = server.get(&Visitor { language, ..Visitor::stranger() }, "/docs/api").await;
        assert_eq!(page.status, StatusCode::OK);
        for call in siesta::api::openapi::SECTIONS.iter().flat_map(|section| &section.calls) {
            let name = format!("<code>{} {}</code>", call.method, call.path);
            let id = format!("id=\"{}\"", call.operation_id());
            assert!(page.text.contains(&name) && page.text.contains(&id), "{name}");
            let words: String = call.summary[at].chars().take_while(|c| c.is_alphanumeric() || *c == ' ').collect();
            assert!(page.text.contains(words.trim()), "{words}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_name_is_checked_while_typed_and_taken_by_creating() {
    let (server, ana) = Server::claimed().await;
    server.app(&ana, "tienda").await;
    let check = async |name: &str| server.get(&ana, &format!("/new/check?name={name}")).await.text;
    assert!(check("libros").await.contains("http://libros.localhost:8080/"));
    assert!(check("tienda").await.contains("not available"));
    assert!(check("ab").await.contains("too short"));
    assert!(check("Mal").await.contains("lowercase"));
    assert!(check("www").await.contains("reserved"));
    let taken = server.post(&ana, "/new", &[("name", "tienda")]).await;
    assert_eq!(taken.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(taken.text.contains("aria-invalid=\"true\"") && taken.text.contains("value=\"tienda\""));
    let made = server.post(&ana, "/new", &[("name", "libros")]).await;
    assert_eq!((made.status, made.header("location")), (StatusCode::SEE_OTHER, "/apps/libros/deploy"));
    let suggested = server.post(&ana, "/new", &[("name", ""), ("suggest", "1")]).await;
    assert_eq!(suggested.status, StatusCode::OK);
    let unnamed = server.post(&ana, "/new", &[("name", "")]).await;
    assert!(unnamed.header("location").ends_with("/deploy"));
    server.stop().await;
}

#[tokio::test]
async fn an_app_with_code_shows_its_release_dynos_and_log() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    let hostile = "\u{1b}[31mred\u{1b}[0m <img src=x onerror=alert(1)> \u{1b}]0;title\u{7}".to_owned();
    server.logs.append(app.id, LogLine { at_micros: 1_430_000_000_000_000, source: Source::App, ps: "web.1".into(), message: hostile });
    let overview = server.get(&ana, "/apps/tienda").await;
    assert_eq!(overview.status, StatusCode::OK);
    for part in [
        "Deploy 1a2b3c4d",
        "gunicorn app:app",
        "Python 3.11.2",
        "of 18 h",
        "<span class=\"f1\">red</span> &lt;img src=x onerror=alert(1)&gt;",
    ] {
        assert!(overview.text.contains(part), "{part}: {}", overview.text);
    }
    assert!(!overview.text.contains("<img") && !overview.text.contains('\u{1b}'));
    let logs = server.get(&ana, "/apps/tienda/logs?q=onerror&ps=web").await;
    assert!(logs.text.contains("&lt;img") && !logs.text.contains("Deploy 1a2b3c4d by"));
    let activity = server.get(&ana, "/apps/tienda/activity").await;
    assert!(activity.text.contains("Deployed 1a2b3c4d") && activity.text.contains("Initial release"));
    let resources = server.get(&ana, "/apps/tienda/resources").await;
    assert!(resources.text.contains("One more worker dyno"));
    server.stop().await;
}

#[tokio::test]
async fn config_vars_are_masked_until_asked_for() {
    let (server, ana) = Server::claimed().await;
    server.app(&ana, "tienda").await;
    let set = server.post(&ana, "/apps/tienda/config", &[("key", "SECRET_KEY"), ("value", "topo\r\nsecreto")]).await;
    assert_eq!((set.status, set.header("location")), (StatusCode::SEE_OTHER, "/apps/tienda/settings#vars"));
    let masked = server.get(&ana, "/apps/tienda/settings").await.text;
    assert!(masked.contains("SECRET_KEY") && !masked.contains("topo"));
    let shown = server.get(&ana, "/apps/tienda/settings?reveal=1").await;
    assert!(shown.text.contains("topo\nsecreto"));
    assert_eq!(shown.header("cache-control"), "no-store");
    for (key, told) in [("PORT", "set by the platform"), ("1A", "not a config var name"), ("a b", "not a config var name")] {
        let refused = server.post(&ana, "/apps/tienda/config", &[("key", key), ("value", "x")]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{key}");
        assert!(refused.text.contains(told), "{key}: {}", refused.text);
    }
    server.post(&ana, "/apps/tienda/config/remove", &[("key", "SECRET_KEY")]).await;
    assert!(!server.get(&ana, "/apps/tienda/settings").await.text.contains("SECRET_KEY"));
    server.stop().await;
}

#[tokio::test]
async fn an_app_is_renamed_and_deleted_by_typing_its_name() {
    let (server, ana) = Server::claimed().await;
    server.app(&ana, "tienda").await;
    server.app(&ana, "libros").await;
    let taken = server.post(&ana, "/apps/tienda/rename", &[("name", "libros")]).await;
    assert_eq!(taken.status, StatusCode::UNPROCESSABLE_ENTITY);
    let renamed = server.post(&ana, "/apps/tienda/rename", &[("name", "juegos")]).await;
    assert_eq!(renamed.header("location"), "/apps/juegos/settings");
    let flash = renamed.set_cookie("siesta_flash").unwrap();
    let next = Visitor { cookie: format!("{}; {}", ana.cookie, flash.split(';').next().unwrap()), ..Visitor::stranger() };
    let page = server.get(&next, "/apps/juegos/settings").await;
    assert!(page.text.contains("The app is now called juegos."));
    assert!(page.set_cookie("siesta_flash").unwrap().contains("Max-Age=0"), "shown once");
    let wrong = server.post(&ana, "/apps/juegos/delete", &[("confirm", "tienda")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let gone = server.post(&ana, "/apps/juegos/delete", &[("confirm", "juegos")]).await;
    assert_eq!(gone.header("location"), "/apps");
    assert_eq!(server.get(&ana, "/apps/juegos").await.status, StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_shown_once() {
    let (server, ana) = Server::claimed().await;
    let made = server.post(&ana, "/account/tokens", &[("description", "clase <b>")]).await;
    let secret = made.text.split("<code>").find_map(|part| part.strip_prefix("HRKU-")).unwrap().split('<').next().unwrap().to_owned();
    assert!(secret.len() > 30);
    let later = server.get(&ana, "/account").await.text;
    assert!(later.contains("clase &#60;b&#62;") && !later.contains(&secret), "{later}");
    let id = later.split("/account/tokens/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let revoked = server.post(&ana, &format!("/account/tokens/{id}/revoke"), &[]).await;
    assert_eq!(revoked.status, StatusCode::SEE_OTHER);
    assert!(!server.get(&ana, "/account").await.text.contains("clase"));
    let invited = server.post(&ana, "/account/invite", &[]).await.text;
    let link = invited.split("http://localhost:8080").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(server.get(&Visitor::stranger(), &link).await.status, StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn an_upload_without_an_archive_is_refused_in_place() {
    let (server, ana) = Server::claimed().await;
    server.app(&ana, "tienda").await;
    let request = server.request(&ana, Method::POST, "/apps/tienda/deploy").header("sec-fetch-site", "same-origin");
    let body = "--x\r\ncontent-disposition: form-data; name=\"version\"\r\n\r\nv1\r\n--x--\r\n";
    let answer = server.send(request.header("content-type", "multipart/form-data; boundary=x").body(body.into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.text.contains("No archive was chosen"));
    let foreign = server.request(&ana, Method::POST, "/apps/tienda/deploy").header("sec-fetch-site", "cross-site");
    assert_eq!(server.send(form(foreign, &[])).await.status, StatusCode::FORBIDDEN);
    server.stop().await;
}

#[tokio::test]
async fn a_failed_build_says_in_the_reader_s_language_what_to_do() {
    let (server, mut ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    let line = "Because flaskk was not found in the package registry and you require flaskk";
    server.house.engine.on("/opt/siesta/build", Script::exits(1).says(&format!("       {line}")));
    let yard = Yard::of(&server.house.owners, ana.actor.clone().unwrap(), std::path::Path::new(""));
    let (build, _) = yard.deploy(app.id, tar_of(&[("requirements.txt", b"flaskk")])).await;
    for (language, words) in [("en", "There is no package named"), ("es", "No existe ningún paquete llamado")] {
        ana.language = language;
        let answer = server.get(&ana, &format!("/apps/tienda/builds/{}", build.id)).await;
        assert!(answer.text.contains(words), "{}", answer.text);
        assert!(answer.text.contains(&format!("<code>{line}</code>")), "the line is quoted below");
    }
    server.stop().await;
}
