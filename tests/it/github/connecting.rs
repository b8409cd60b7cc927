//! The web flow: connecting, signing in and up, and everything that must be refused.

use std::time::Duration;

use http::{Method, StatusCode};
use siesta::{
    accounts::SignUp,
    github::{Access, GitHost as _, GitHostError, Search},
    repositories::Wish,
};

use super::{REGISTERED, begin, connect, connected, files, is_written};
use crate::web::server::{Server, Visitor};

#[tokio::test]
async fn connecting_leads_to_the_search_and_the_token_is_nowhere_in_clear() {
    let (server, ana) = connected().await;
    let app = server.app(&ana, "tienda").await;
    let github = &server.house.github;
    github.organisation("ies-gonzalo-nazareno", &["ana"]);
    for number in 0..40 {
        github.repository_of(&format!("ana/tienda-{number}"), number % 2 == 0, &["ana"]);
    }
    github.repository_of("eve/secreta", true, &["eve"]);
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("Search for a repository to connect to") && page.text.contains("ies-gonzalo-nazareno"), "{}", page.text);
    let found = server.get(&ana, "/apps/tienda/deploy?owner=ana&q=tienda").await;
    assert_eq!(found.text.matches("aria-label=\"Connect ana/tienda-").count(), 30);
    assert!(found.text.contains("q=tienda&#38;page=2") || found.text.contains("page=2"), "{}", found.text);
    let more = server.get(&ana, "/apps/tienda/deploy?owner=ana&q=tienda&page=2").await;
    assert_eq!(more.text.matches("aria-label=\"Connect ana/tienda-").count(), 10);
    assert!(!server.get(&ana, "/apps/tienda/deploy?owner=eve&q=secreta").await.text.contains("eve/secreta"));

    let repo = github.repository_of("ana/tienda", true, &["ana"]);
    github.push(&repo, "main", "Add the cart\n\nbody", &files("1"));
    let done = server.post(&ana, "/apps/tienda/github/connect", &[("repository", "ana/tienda")]).await;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, "/apps/tienda/deploy"));
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    for text in ["Connected to", "ana/tienda", "by ana", "Disconnect", "Enable Automatic Deploys", "Deploy Branch", "Add the cart"] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    assert!(!is_written(&server, "gho_ana"), "tokens are sealed");
    let hook = github.hooks(&repo).pop().unwrap();
    assert!(!is_written(&server, super::exposed(&hook.secret)), "the hook's secret is sealed");
    assert!(!is_written(&server, hook.url.rsplit('/').next().unwrap()), "of the hook's token the hash is kept");

    let gone = server.post(&ana, "/apps/tienda/github/disconnect", &[]).await;
    assert_eq!(gone.status, StatusCode::SEE_OTHER);
    assert!(github.hooks(&repo).is_empty(), "the hook goes with the link");
    assert!(server.house.owners.repositories.link_of(app.id).await.unwrap().is_none());
    server.stop().await;
}

#[tokio::test]
async fn a_hook_that_cannot_be_made_leaves_everything_as_it_was() {
    let (server, ana) = connected().await;
    let app = server.app(&ana, "tienda").await;
    let (github, repositories) = (&server.house.github, &server.house.owners.repositories);
    let by = ana.actor.clone().unwrap();
    let (first, second) = (github.repository_of("ana/tienda", true, &["ana"]), github.repository_of("ana/blog", true, &["ana"]));
    github.push(&first, "main", "First", &files("1"));

    github.fail_hooks_with(Some(GitHostError::Unreachable("no route".to_owned())));
    repositories.connect(app.id, &first, &by).await.unwrap_err();
    assert!(repositories.link_of(app.id).await.unwrap().is_none(), "not connected by half");

    github.fail_hooks_with(None);
    repositories.connect(app.id, &first, &by).await.unwrap();
    let wish = Wish { branch: "main".parse().unwrap(), wait_for_ci: true, supersede: false };
    repositories.follow(app.id, wish, &by).await.unwrap();
    let before = repositories.link_of(app.id).await.unwrap();

    github.fail_hooks_with(Some(GitHostError::Unreachable("no route".to_owned())));
    repositories.connect(app.id, &second, &by).await.unwrap_err();
    assert_eq!(repositories.link_of(app.id).await.unwrap(), before, "still connected, and still followed");
    assert_eq!((github.hooks(&first).len(), github.hooks(&second).len()), (1, 0));

    github.fail_hooks_with(None);
    repositories.connect(app.id, &second, &by).await.unwrap();
    assert_eq!((github.hooks(&first).len(), github.hooks(&second).len()), (0, 1), "the old hook goes with its link");
    server.stop().await;
}

#[tokio::test]
async fn an_answer_is_good_once_in_time_and_in_its_own_browser() {
    let (server, ana) = connected().await;
    let eve = server.person("eve@example.org").await;
    server.house.github.person("eve", Some("eve@example.org"));
    let refused = async |path: &str, visitor: &Visitor, why: &str| {
        let answer = server.get(visitor, path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{why}: {}", answer.text);
    };

    let (path, browser) = begin(&server, &ana, "/github/connect", "ana").await;
    let (code, _) = path.split_once("&state=").unwrap();
    refused(&format!("{code}&state=xxxxxxxx"), &browser, "a state nobody made").await;
    refused(code, &browser, "no state").await;
    refused(&path, &ana, "the flow's cookie is missing").await;
    refused(&path, &browser, "a state that was tried is spent").await;

    let (path, browser) = begin(&server, &ana, "/github/connect", "ana").await;
    let stolen = Visitor { actor: None, cookie: browser.cookie.replace(&ana.cookie, &eve.cookie), language: "en" };
    refused(&path, &stolen, "another person's session").await;

    let (path, browser) = begin(&server, &ana, "/github/connect", "ana").await;
    server.house.clock.advance(Duration::from_secs(601));
    refused(&path, &browser, "too late").await;

    let (path, browser) = begin(&server, &ana, "/github/connect", "ana").await;
    assert_eq!(server.get(&browser, &path).await.status, StatusCode::SEE_OTHER);
    refused(&path, &browser, "used before").await;

    let (first, browser) = begin(&server, &ana, "/github/connect", "ana").await;
    let (second, _) = begin(&server, &browser, "/github/connect", "ana").await;
    let used = first.split('&').next().unwrap();
    assert_eq!(server.get(&browser, &first).await.status, StatusCode::SEE_OTHER);
    let again = format!("{used}&state={}", second.split("&state=").nth(1).unwrap());
    let answer = server.get(&browser, &again).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "a code works once: {}", answer.text);

    let (path, browser) = begin(&server, &ana, "/github/connect?next=//evil.example", "ana").await;
    assert_eq!(server.get(&browser, &path).await.header("location"), "/apps", "no open redirect");

    let foreign = server.request(&ana, Method::GET, "/github/connect").header("sec-fetch-site", "cross-site");
    let answer = server.send(foreign.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "not begun from another site");
    server.stop().await;
}

#[tokio::test]
async fn no_more_is_asked_for_than_is_needed() {
    let asked = async |flags: &[&str], path: &str| {
        let (server, ana) = Server::claimed_with(&[&REGISTERED[..], flags].concat()).await;
        let who = if path.starts_with("/login") { Visitor::stranger() } else { ana };
        let address = server.get(&who, path).await.header("location").to_owned();
        server.stop().await;
        let scope = address.split('&').find_map(|pair| pair.strip_prefix("scope=")).map(str::to_owned);
        assert!(address.contains("&code_challenge_method=S256") && address.contains("&state="), "{address}");
        scope
    };
    assert_eq!(asked(&[], "/login/github").await.as_deref(), Some("read%3Auser%20user%3Aemail"));
    assert_eq!(asked(&[], "/github/connect").await.as_deref(), Some("repo%20read%3Auser%20user%3Aemail"));
    let app = ["--github-app", "siesta-test"];
    assert_eq!((asked(&app, "/login/github").await, asked(&app, "/github/connect").await), (None, None), "its permissions are its own");
}

#[tokio::test]
async fn another_github_is_named_by_its_address() {
    for (flags, api, web) in [
        (&[][..], "https://api.github.com", "https://github.com"),
        (&["--github-url", "https://git.ies.example/"], "https://git.ies.example/api/v3", "https://git.ies.example"),
        (&["--github-api-url", "https://api.ies.example"], "https://api.ies.example", "https://github.com"),
    ] {
        let (server, ana) = Server::claimed_with(flags).await;
        assert_eq!(server.house.owners.config.github_api_url(), api);
        let page = server.get(&ana, "/admin/github").await;
        for place in ["settings/applications/new", "settings/apps/new"] {
            assert!(page.text.contains(&format!("{web}/{place}")), "{web}/{place}: {}", page.text);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_collaborator_can_be_named_by_their_github_account() {
    let (server, ana) = connected().await;
    server.app(&ana, "tienda").await;
    let luis = server.person("luis@example.org").await;
    server.house.github.person("luis-gh", Some("luis@example.org"));
    let give = async |name: &str| server.post(&ana, "/apps/tienda/access/give", &[("email", name), ("role", "view")]).await;
    let unknown = give("luis-gh").await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY, "not connected yet");
    assert!(unknown.text.contains("has the address or the GitHub name luis-gh"), "{}", unknown.text);
    connect(&server, &luis, "luis-gh").await;
    for wrong in ["luis", "luis-g%", "", "@"] {
        assert_eq!(give(wrong).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    assert_eq!(server.get(&luis, "/apps/tienda").await.status, StatusCode::NOT_FOUND);
    for name in ["Luis-GH", "@luis-gh"] {
        assert_eq!(give(name).await.status, StatusCode::SEE_OTHER, "{name}");
    }
    assert_eq!(server.get(&luis, "/apps/tienda").await.status, StatusCode::OK);
    let page = server.get(&ana, "/apps/tienda/access").await;
    assert_eq!(page.text.matches("<b>luis@example.org</b>").count(), 1, "{}", page.text);
    assert_eq!(give("ana").await.status, StatusCode::UNPROCESSABLE_ENTITY, "the owner is no collaborator");
    server.stop().await;
}

#[tokio::test]
async fn a_machine_without_authorities_says_so_in_the_deploy_tab_and_runs_on() {
    let (server, ana) = connected().await;
    server.app(&ana, "tienda").await;
    server.house.github.be_out_of_reach(Some(GitHostError::NoAuthorities));
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("knows no certificate authorities") && page.text.contains("ca-certificates"), "{}", page.text);
    let spanish = Visitor { actor: None, cookie: ana.cookie.clone(), language: "es" };
    assert!(server.get(&spanish, "/apps/tienda/deploy").await.text.contains("ninguna autoridad de certificación"));
    server.house.github.be_out_of_reach(None);
    assert!(!server.get(&ana, "/apps/tienda/deploy").await.text.contains("certificate authorities"));
    server.stop().await;
}

#[tokio::test]
async fn who_says_no_at_github_comes_back_with_nothing_changed() {
    let (server, ana) = Server::claimed_with(&REGISTERED).await;
    server.app(&ana, "tienda").await;
    server.house.github.person("ana", None);
    let (path, browser) = begin(&server, &ana, "/github/connect?next=/apps/tienda/deploy", "ana").await;
    let state = path.split("&state=").nth(1).unwrap();
    let back = server.get(&browser, &format!("/github/callback?error=access_denied&state={state}")).await;
    assert_eq!(back.header("location"), "/apps/tienda/deploy");
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("/github/connect?next=/apps/tienda/deploy") && page.text.contains("Connect to GitHub"), "{}", page.text);
    server.stop().await;
}

#[tokio::test]
async fn a_github_account_signs_up_and_in_but_takes_over_nobody() {
    let (server, _) = Server::claimed_with(&REGISTERED).await;
    let github = &server.house.github;
    for (login, email) in [("luis", Some("luis@example.org")), ("ana-evil", Some("ana@example.org")), ("shy", None)] {
        github.person(login, email);
    }
    let nobody = Visitor::stranger();
    assert!(server.get(&nobody, "/login").await.text.contains("Continue with GitHub"));
    let enter = async |login: &str| {
        let (path, browser) = begin(&server, &nobody, "/login/github?next=/new", login).await;
        server.get(&browser, &path).await
    };
    let first = enter("luis").await;
    assert_eq!((first.status, first.header("location")), (StatusCode::SEE_OTHER, "/new"), "{}", first.text);
    let cookie = first.set_cookie("siesta").expect("a session").split(';').next().unwrap().to_owned();
    let luis = Visitor { cookie, ..Visitor::stranger() };
    let account = server.get(&luis, "/account").await;
    assert!(account.text.contains("luis@example.org") && account.text.contains("to sign in only"), "{}", account.text);
    let again = enter("luis").await;
    assert!(again.set_cookie("siesta").is_some());
    assert_eq!(server.accounts.users().await.unwrap().len(), 2, "no second account");

    for (login, why) in [("ana-evil", "her address has an account"), ("shy", "no verified address")] {
        let answer = enter(login).await;
        assert_eq!((answer.header("location"), answer.set_cookie("siesta")), ("/login", None), "{why}");
    }
    server.accounts.set_sign_up_mode(SignUp::Closed).await.unwrap();
    github.person("late", Some("late@example.org"));
    assert_eq!(enter("late").await.set_cookie("siesta"), None, "sign-up is closed");
    assert!(enter("luis").await.set_cookie("siesta").is_some(), "who has an account comes in");

    server.app(&luis_with_actor(&server, &luis).await, "tienda").await;
    connect(&server, &luis, "luis").await;
    assert!(enter("luis").await.set_cookie("siesta").is_some());
    let page = server.get(&luis, "/apps/tienda/deploy").await;
    assert!(page.text.contains("Search for a repository"), "a later sign-in does not weaken the connection: {}", page.text);
    let taken = connect(&server, &server.person("eve@example.org").await, "luis").await;
    assert_eq!(taken.status, StatusCode::SEE_OTHER);
    assert!(taken.set_cookie("siesta_flash").is_some(), "one GitHub account, one account here");
    server.stop().await;
}

async fn luis_with_actor(server: &Server, luis: &Visitor) -> Visitor {
    let user = server.accounts.by_email("luis@example.org").await.unwrap().unwrap();
    let actor = siesta::domain::user::Actor { id: user.id, email: user.email };
    server.accounts.set_sign_up_mode(SignUp::Open).await.unwrap();
    Visitor { actor: Some(actor), cookie: luis.cookie.clone(), language: "en" }
}

#[tokio::test]
async fn short_lived_tokens_are_refreshed_once_and_an_ended_connection_is_said() {
    let (server, ana) = Server::claimed_with(&[&REGISTERED[..], &["--github-app", "siesta-test"]].concat()).await;
    let github = &server.house.github;
    github.person("ana", Some("ana@example.org"));
    github.give_short_lived_tokens();
    connect(&server, &ana, "ana").await;
    server.app(&ana, "tienda").await;
    let (connections, user) = (&server.house.owners.connections, ana.actor.as_ref().unwrap().id);
    let token = async || match connections.access_of(Some(user)).await.unwrap() {
        Access::Token(token) => super::exposed(&token).to_owned(),
        Access::Anonymous => panic!("no token"),
    };
    let first = token().await;
    assert_eq!(token().await, first);
    server.house.clock.advance(Duration::from_secs(8 * 3600 - 200));
    let (one, two) = tokio::join!(token(), token());
    assert_eq!(one, two, "a refresh token works once");
    assert_ne!(one, first);

    github.revoke_all("ana");
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("does not accept the connection any more"), "{}", page.text);
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("Connect to GitHub") && page.text.contains("does not accept"), "{}", page.text);
    server.stop().await;
}

#[tokio::test]
async fn disconnecting_revokes_at_github_too() {
    let (server, ana) = connected().await;
    let user = ana.actor.as_ref().unwrap().id;
    let access = server.house.owners.connections.access_of(Some(user)).await.unwrap();
    let answer = server.post(&ana, "/account/github/disconnect", &[]).await;
    assert_eq!(answer.header("location"), "/account#github");
    assert_eq!(server.house.github.account(access).await, Err(GitHostError::Unauthorized));
    assert!(server.get(&ana, "/account").await.text.contains("Not connected."));
    server.stop().await;
}

#[tokio::test]
async fn only_who_administers_a_repository_connects_it() {
    let (server, ana) = connected().await;
    let app = server.app(&ana, "tienda").await;
    let by = ana.actor.as_ref().unwrap();
    let github = &server.house.github;
    let theirs = github.repository_of("eve/publica", false, &["eve"]);
    github.push(&theirs, "main", "x", &files("1"));
    let repositories = &server.house.owners.repositories;
    let error = repositories.connect(app.id, &theirs, by).await.unwrap_err().to_string();
    assert_eq!(error, "You need admin rights on eve/publica to connect it. Ask its owner for them, or to connect it.");
    let secret = github.repository_of("eve/secreta", true, &["eve"]);
    assert!(repositories.connect(app.id, &secret, by).await.is_err());
    assert!(repositories.connect_public(app.id, "https://github.test/eve/secreta", by).await.is_err());
    for typed in ["https://evil.example/eve/publica", "http://github.test/eve/publica", "file:///etc/passwd", "eve", "../x", "a b/c"] {
        assert!(repositories.connect_public(app.id, typed, by).await.is_err(), "{typed}");
    }
    for typed in ["eve/publica", " https://github.test/eve/publica.git ", "https://github.test/eve/publica/tree/main"] {
        let link = repositories.connect_public(app.id, typed, by).await.unwrap();
        assert_eq!((link.name, link.user_id, link.hook_id), (theirs.clone(), None, None), "{typed}");
    }
    let search = Search { owner: repositories.owners(by.id).await.unwrap().remove(0), text: String::new(), page: 1 };
    assert_eq!(repositories.search(by.id, search).await.unwrap().items, []);
    server.stop().await;
}

#[tokio::test]
async fn without_a_registration_the_tab_says_what_is_missing_and_public_repositories_work() {
    let (server, ana) = Server::claimed().await;
    server.app(&ana, "tienda").await;
    let github = &server.house.github;
    let repo = github.repository_of("ana/tienda", false, &["ana"]);
    github.push(&repo, "main", "First", &files("1"));
    let page = server.get(&ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("not registered at GitHub yet") && page.text.contains("/admin/github"), "{}", page.text);
    assert!(!server.get(&Visitor::stranger(), "/login").await.text.contains("Continue with GitHub"));
    assert_eq!(server.get(&ana, "/github/connect").await.status, StatusCode::CONFLICT);
    let done = server.post(&ana, "/apps/tienda/github/connect-public", &[("repository", "https://github.test/ana/tienda")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    let built = server.post(&ana, "/apps/tienda/github/deploy", &[("branch", "main")]).await;
    assert!(built.header("location").starts_with("/apps/tienda/builds/"), "{}", built.text);
    server.stop().await;
}

#[tokio::test]
async fn an_administrator_registers_the_server_and_nobody_else_sees_that() {
    let (server, ana) = Server::claimed().await;
    let eve = server.person("eve@example.org").await;
    for path in ["/admin/github", "/admin/github/test", "/admin/github/remove"] {
        assert_eq!(server.post(&eve, path, &[("kind", "oauth"), ("client_id", "x")]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(server.get(&eve, "/admin/github").await.status, StatusCode::NOT_FOUND);
    let page = server.get(&ana, "/admin/github").await;
    assert!(
        page.text.contains("http://localhost:8080/github/callback") && page.text.contains("settings/applications/new"),
        "{}",
        page.text
    );
    let fields = |secret: &'static str| [("kind", "app"), ("client_id", "Iv1.abc"), ("client_secret", secret), ("app_slug", "siesta-ies")];
    assert_eq!(server.post(&ana, "/admin/github", &fields("")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(server.post(&ana, "/admin/github", &fields("topsecret-1234")).await.status, StatusCode::SEE_OTHER);
    let page = server.get(&ana, "/admin/github").await;
    assert!(page.text.contains("Webhook secret") && !page.text.contains("topsecret-1234"), "{}", page.text);
    assert!(!is_written(&server, "topsecret-1234"));
    assert!(server.post(&ana, "/admin/github/test", &[]).await.text.contains("GitHub knows this registration"));
    assert_eq!(server.post(&ana, "/admin/github", &fields("wrong")).await.status, StatusCode::SEE_OTHER);
    assert!(server.post(&ana, "/admin/github/test", &[]).await.text.contains("does not know this client id"));
    assert_eq!(server.post(&ana, "/admin/github/remove", &[]).await.status, StatusCode::SEE_OTHER);
    assert!(!server.get(&ana, "/admin/github").await.text.contains("Iv1.abc"));
    server.stop().await;
}

#[tokio::test]
async fn an_app_without_code_is_told_what_its_repository_lacks() {
    let (server, ana) = connected().await;
    server.app(&ana, "tienda").await;
    let look = async || server.get(&ana, "/apps/tienda/checklist").await.text;
    let asks = |page: &str| page.contains("hx-get=\"/apps/tienda/checklist\"");
    let overview = async || server.get(&ana, "/apps/tienda").await.text;
    let blank = overview().await;
    assert!(blank.contains("Connect a repository") && blank.contains("web: gunicorn app:app") && !asks(&blank), "{blank}");

    let github = &server.house.github;
    let repo = github.repository_of("ana/tienda", true, &["ana"]);
    github.push(&repo, "main", "First", &[("app.py", "import flask"), ("README.md", "")]);
    server.post(&ana, "/apps/tienda/github/connect", &[("repository", "ana/tienda")]).await;
    let linked = overview().await;
    assert!(asks(&linked) && linked.contains("action=\"/apps/tienda/github/deploy\""), "{linked}");
    let nothing = look().await;
    for part in [
        "There is none in the top folder",
        "web: gunicorn app:app",
        "Nothing says which packages the app needs.",
        "Couldn&#39;t find any supported Python package manager files",
    ] {
        assert!(nothing.contains(part), "{part}: {nothing}");
    }
    assert!(!asks(&nothing), "asked once");

    github.push(&repo, "main", "Second", &[("Procfile", "worker: python w.py\n"), ("requirements.txt", "flask\n"), ("main.py", "")]);
    let no_web = look().await;
    for part in ["It has no web line", "web: gunicorn main:app", "requirements.txt is there."] {
        assert!(no_web.contains(part), "{part}: {no_web}");
    }
    github.push(&repo, "main", "Third", &[("Procfile", "web: gunicorn app:app\n"), ("requirements.txt", "flask\n"), ("app.py", "")]);
    let no_server = look().await;
    for part in ["It says: web: gunicorn app:app", "Add gunicorn to requirements.txt."] {
        assert!(no_server.contains(part), "{part}: {no_server}");
    }
    github.push(&repo, "main", "Fourth", &[("Procfile", "web gunicorn\n"), ("requirements.txt", "gunicorn\n"), ("app.py", "")]);
    let malformed = look().await;
    assert!(
        malformed.contains("Line 1 of the Procfile is not written as it must be.") && malformed.contains("Procfile, line 1:"),
        "{malformed}"
    );
    github.push(
        &repo,
        "main",
        "Five",
        &[("Procfile", "web: gunicorn app:app\n"), ("requirements.txt", &"#".repeat(70_000)), ("app.py", "")],
    );
    let large = look().await;
    for part in ["A deploy would be refused as it is.", "requirements.txt is too large to be read."] {
        assert!(large.contains(part), "{part}: {large}");
    }
    let head = github.push(&repo, "main", "Fifth", &files("1"));
    let ready = look().await;
    for part in ["It says: web: gunicorn app:app", "requirements.txt is there.", head.short()] {
        assert!(ready.contains(part), "{part}: {ready}");
    }
    github.fail_with(Some(GitHostError::Unreachable("no route".to_owned())));
    let deaf = look().await;
    assert!(deaf.contains("no route") && deaf.contains("One line in a file named Procfile"), "{deaf}");
    server.stop().await;
}

#[tokio::test]
async fn a_repository_with_more_than_can_be_read_is_not_judged() {
    let (server, ana) = connected().await;
    server.app(&ana, "tienda").await;
    let github = &server.house.github;
    let repo = github.repository_of("ana/tienda", true, &["ana"]);
    let names: Vec<String> = (0..30).map(|number| format!("requirements-{number}.txt")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    github.push(&repo, "main", "Many", &many);
    server.post(&ana, "/apps/tienda/github/connect", &[("repository", "ana/tienda")]).await;
    let unjudged = async || {
        let page = server.get(&ana, "/apps/tienda/checklist").await.text;
        assert!(page.contains("One line in a file named Procfile") && !page.contains("class=\"bad\""), "{page}");
    };
    unjudged().await;
    github.cut_trees(true);
    github.push(&repo, "main", "Huge", &files("1"));
    unjudged().await;
    github.cut_trees(false);
    github.push(&repo, "main", "Small", &files("2"));
    assert!(server.get(&ana, "/apps/tienda/checklist").await.text.contains("It says: web: gunicorn app:app"));
    server.stop().await;
}
