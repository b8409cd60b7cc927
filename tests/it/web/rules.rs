//! What holds on every page: the claim, the login, tenancy, the origin check, headers, cookies.

use axum::body::Body;
use http::{Method, StatusCode};

use super::server::{PASSWORD, Server, Visitor, form};

/// Every page of an app that answers to GET, and every address that changes one.
const READS: [&str; 11] = [
    "/metrics",
    "",
    "/resources",
    "/deploy",
    "/github/deliveries",
    "/activity",
    "/logs",
    "/logs/download",
    "/access",
    "/settings",
    "/settings?reveal=1",
];
const CHANGES: [(&str, &[(&str, &str)]); 35] = [
    ("/addons", &[("plan", "heroku-postgresql:mini")]),
    ("/addons/restore", &[("addon", "0198c0de-0000-7000-8000-000000000000")]),
    ("/addons/postgresql-x-1/rotate", &[]),
    ("/addons/postgresql-x-1/attach", &[("to", "tienda"), ("name", "")]),
    ("/addons/postgresql-x-1/detach", &[("attachment", "x")]),
    ("/addons/postgresql-x-1/destroy", &[("confirm", "tienda")]),
    ("/addons/postgresql-x-1/jobs", &[("command", "ls"), ("every", "ten")]),
    ("/addons/postgresql-x-1/jobs/delete", &[("job", "0198c0de-0000-7000-8000-000000000000")]),
    ("/addons/postgresql-x-1/policy", &[("policy", "allkeys-lru")]),
    ("/addons/postgresql-x-1/data", &[("sql", "select 1")]),
    ("/addons/postgresql-x-1/backups", &[]),
    ("/addons/postgresql-x-1/backups/b001/cancel", &[]),
    ("/addons/postgresql-x-1/backups/b001/delete", &[]),
    ("/addons/postgresql-x-1/restore-backup", &[("backup", "b001"), ("confirm", "tienda")]),
    ("/addons/postgresql-x-1/schedule", &[("hour", "3"), ("time_zone", "UTC")]),
    ("/config/file", &[("text", "A=b"), ("confirm", "1")]),
    ("/scale", &[("process", "web"), ("quantity", "0")]),
    ("/restart", &[]),
    ("/wake", &[]),
    ("/rename", &[("name", "robada")]),
    ("/config", &[("key", "A"), ("value", "b")]),
    ("/config/remove", &[("key", "A")]),
    ("/drains", &[("url", "https://logs.example.org")]),
    ("/drains/remove", &[("drain", "d.x")]),
    ("/maintenance", &[("on", "true")]),
    ("/access/give", &[("email", "eve@example.org"), ("role", "view")]),
    ("/access/remove", &[("user", "0198c0de-0000-7000-8000-000000000000")]),
    ("/delete", &[("confirm", "tienda")]),
    ("/github/connect", &[("repository", "ana/tienda")]),
    ("/github/connect-public", &[("repository", "ana/tienda")]),
    ("/github/disconnect", &[]),
    ("/github/deploy", &[("branch", "main")]),
    ("/github/automatic", &[("branch", "main")]),
    ("/github/automatic/disable", &[]),
    ("/github/redeliver", &[("guid", "0")]),
];

#[tokio::test]
async fn until_claimed_every_page_leads_to_the_claim() {
    let server = Server::start(&[]).await;
    let nobody = Visitor::stranger();
    for path in ["/", "/apps", "/login", "/signup", "/apps/tienda", "/nothing"] {
        let answer = server.get(&nobody, path).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/claim"), "{path}");
    }
    let token = server.accounts.new_claim_token().await.unwrap().unwrap();
    let token = secrecy::ExposeSecret::expose_secret(&token).to_owned();
    let claim = |token: &str| {
        [("token", token.to_owned()), ("email", "ana@example.org".into()), ("password", PASSWORD.into()), ("sign_up", "closed".into())]
    };
    let sent = claim("wrong");
    let fields: Vec<(&str, &str)> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let wrong = server.post(&nobody, "/claim", &fields).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("id=\"e-token\"") && wrong.text.contains("value=\"ana@example.org\""), "{}", wrong.text);
    assert!(!wrong.text.contains(PASSWORD));

    let sent = claim(&token);
    let fields: Vec<(&str, &str)> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let claimed = server.post(&nobody, "/claim", &fields).await;
    assert_eq!((claimed.status, claimed.header("location")), (StatusCode::SEE_OTHER, "/apps"));
    let cookie = claimed.set_cookie("siesta").expect("a session");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/"), "{cookie}");
    let ana = Visitor { cookie: cookie.split(';').next().unwrap().to_owned(), ..Visitor::stranger() };
    assert_eq!(server.get(&ana, "/apps").await.status, StatusCode::OK);
    assert_eq!(server.get(&nobody, "/claim").await.header("location"), "/login");
    let closed = server.get(&nobody, "/signup").await;
    assert!(closed.text.contains("Sign-up is closed"), "{}", closed.text);
    server.stop().await;
}

#[tokio::test]
async fn the_cookie_is_bound_to_the_host_where_the_address_is_https() {
    let server = Server::start(&["--public-https"]).await;
    let token = server.accounts.new_claim_token().await.unwrap().unwrap();
    let fields = [
        ("token", secrecy::ExposeSecret::expose_secret(&token)),
        ("email", "ana@example.org"),
        ("password", PASSWORD),
        ("sign_up", "open"),
    ];
    let claimed = server.post(&Visitor::stranger(), "/claim", &fields).await;
    let cookie = claimed.set_cookie("__Host-siesta").expect("a session");
    assert!(cookie.contains("Secure") && !cookie.contains("Domain"), "{cookie}");
    server.stop().await;
}

#[tokio::test]
async fn who_is_not_logged_in_is_led_to_the_login_and_back() {
    let (server, ana) = Server::claimed().await;
    server.app(&ana, "tienda").await;
    let nobody = Visitor::stranger();
    for path in READS {
        let answer = server.get(&nobody, &format!("/apps/tienda{path}")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert!(answer.header("location").starts_with("/login?next=/apps/tienda"), "{path}: {}", answer.header("location"));
    }
    for (path, fields) in CHANGES {
        let answer = server.post(&nobody, &format!("/apps/tienda{path}"), fields).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/login"), "{path}");
    }
    let fields = [("email", "ana@example.org"), ("password", PASSWORD), ("next", "//evil.example/x")];
    let answer = server.post(&nobody, "/login", &fields).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/apps"), "no open redirect");
    let fields = [("email", "ana@example.org"), ("password", "wrong password"), ("next", "/apps/tienda")];
    let wrong = server.post(&nobody, "/login", &fields).await;
    let fields = [("email", "nobody@example.org"), ("password", "wrong password"), ("next", "/apps/tienda")];
    let unknown = server.post(&nobody, "/login", &fields).await;
    assert_eq!((wrong.status, unknown.status), (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::UNPROCESSABLE_ENTITY));
    assert_eq!(wrong.text.replace("ana@", "nobody@"), unknown.text, "an unknown address looks like a wrong password");
    server.stop().await;
}

#[tokio::test]
async fn somebody_elses_app_is_not_there() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    let eve = server.person("eve@example.org").await;
    for path in READS {
        let theirs = server.get(&eve, &format!("/apps/tienda{path}")).await;
        let nothing = server.get(&eve, &format!("/apps/niente{path}")).await;
        assert_eq!((theirs.status, nothing.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND), "{path}");
        assert_eq!(theirs.text.replace("tienda", "niente"), nothing.text, "{path}");
    }
    for (path, fields) in CHANGES {
        let answer = server.post(&eve, &format!("/apps/tienda{path}"), fields).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let still = server.get(&ana, "/apps/tienda").await;
    assert_eq!(still.status, StatusCode::OK, "{}", app.name);
    assert!(!server.get(&eve, "/apps").await.text.contains("tienda"));
    for path in ["/account/sign-up", "/account/invite"] {
        assert_eq!(server.post(&eve, path, &[("sign_up", "open")]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let (server, ana) = Server::claimed().await;
    server.app(&ana, "tienda").await;
    for (path, fields) in CHANGES {
        for (header, value) in
            [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "http://tienda.localhost:8080"), ("x-none", "")]
        {
            let request = server.request(&ana, Method::POST, &format!("/apps/tienda{path}")).header(header, value);
            let answer = server.send(form(request, fields)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {header}: {value}");
        }
        let image = server.get(&ana, &format!("/apps/tienda{path}")).await;
        // Where the same address is a page, it is one of something that is not there.
        assert!(matches!(image.status, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND), "{path}: {}", image.status);
    }
    assert_eq!(server.get(&ana, "/apps/tienda").await.status, StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let (server, ana) = Server::claimed().await;
    for path in ["/apps", "/login", "/nothing", "/account", "/new"] {
        let answer = server.get(&ana, path).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        if answer.status != StatusCode::SEE_OTHER {
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
            for inline in ["<script>", " style=\"", " onclick=", "<style"] {
                assert!(!answer.text.contains(inline), "{path}: {inline}");
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn assets_are_cached_for_ever_under_their_hash() {
    let (server, ana) = Server::claimed().await;
    let page = server.get(&ana, "/apps").await.text;
    let addresses: Vec<&str> = page.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(addresses.len() >= 5, "{addresses:?}");
    for address in addresses {
        let asset = server.get(&Visitor::stranger(), address).await;
        assert_eq!(asset.status, StatusCode::OK, "{address}");
        assert!(asset.header("cache-control").contains("immutable"), "{address}");
    }
    assert_eq!(server.get(&ana, "/assets/app.000000000000.css").await.status, StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn logging_out_ends_the_session_on_the_server() {
    let (server, ana) = Server::claimed().await;
    let out = server.post(&ana, "/logout", &[]).await;
    assert_eq!((out.status, out.header("location")), (StatusCode::SEE_OTHER, "/login"));
    assert!(out.set_cookie("siesta").unwrap().contains("Max-Age=0"));
    let again = server.get(&ana, "/apps").await;
    assert_eq!(again.header("location"), "/login");
    server.stop().await;
}

#[tokio::test]
async fn an_oversized_or_broken_form_is_the_senders_mistake() {
    let (server, ana) = Server::claimed().await;
    let request = server.request(&ana, Method::POST, "/new").header("sec-fetch-site", "same-origin");
    let huge =
        request.header("content-type", "application/x-www-form-urlencoded").body(Body::from("name=".to_owned() + &"a".repeat(3_000_000)));
    assert_eq!(server.send(huge.unwrap()).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let missing = server.post(&ana, "/login", &[("email", "x")]).await;
    assert!(missing.status.is_client_error(), "{}", missing.status);
    server.stop().await;
}

#[tokio::test]
async fn a_collaborator_does_what_the_role_allows_and_no_more() {
    let (server, ana) = Server::claimed().await;
    server.app(&ana, "tienda").await;
    let (vera, dora) = (server.person("vera@example.org").await, server.person("dora@example.org").await);
    let give = async |email: &str, role: &str| server.post(&ana, "/apps/tienda/access/give", &[("email", email), ("role", role)]).await;
    for (email, role) in [("vera@example.org", "view"), ("dora@example.org", "deploy")] {
        assert_eq!(give(email, role).await.status, StatusCode::SEE_OTHER, "{email}");
    }
    let unknown = give("nobody@example.org", "view").await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(unknown.text.contains("id=\"e-email\"") && unknown.text.contains("value=\"nobody@example.org\""), "{}", unknown.text);
    for path in READS {
        let viewed = server.get(&vera, &format!("/apps/tienda{path}")).await;
        let closed = path.starts_with("/settings") || path.starts_with("/github") || path == "/deploy";
        assert_eq!(viewed.status, if closed { StatusCode::FORBIDDEN } else { StatusCode::OK }, "{path}");
        assert_eq!(server.get(&dora, &format!("/apps/tienda{path}")).await.status, StatusCode::OK, "{path}");
    }
    for (path, fields) in CHANGES {
        let answer = server.post(&vera, &format!("/apps/tienda{path}"), fields).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    for (path, fields) in CHANGES {
        let answer = server.post(&dora, &format!("/apps/tienda{path}"), fields).await;
        let of_addon = ["destroy", "restore-backup", "backups/b001/delete"]
            .iter()
            .any(|end| path.strip_prefix("/addons/postgresql-x-1/") == Some(end));
        let owners = of_addon || ["/rename", "/delete", "/access/give", "/access/remove"].contains(&path);
        assert_eq!(answer.status == StatusCode::FORBIDDEN, owners, "{path}: {}", answer.status);
    }
    assert!(server.get(&dora, "/apps").await.text.contains("tienda"));
    let id = dora.actor.as_ref().unwrap().id.to_string();
    let left = server.post(&dora, "/apps/tienda/access/remove", &[("user", &id)]).await;
    assert_eq!((left.status, left.header("location")), (StatusCode::SEE_OTHER, "/apps"));
    assert_eq!(server.get(&dora, "/apps/tienda").await.status, StatusCode::NOT_FOUND);
    server.stop().await;
}

/// The addresses of the forms a page offers that change something.
fn forms(page: &str) -> Vec<String> {
    let forms = page.split("<form").skip(1).map(|form| form.split("</form>").next().unwrap_or(""));
    let action = |form: &str| form.split_once("action=\"").map(|(_, rest)| rest.split('"').next().unwrap_or("").to_owned());
    forms.filter(|form| form.contains("method=\"post\"")).filter_map(action).collect()
}

#[tokio::test]
async fn nobody_is_offered_a_button_that_would_be_refused() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    server.deploy(&ana, &app).await;
    let (vera, dora) = (server.person("vera@example.org").await, server.person("dora@example.org").await);
    for (email, role) in [("vera@example.org", "view"), ("dora@example.org", "deploy")] {
        server.post(&ana, "/apps/tienda/access/give", &[("email", email), ("role", role)]).await;
    }
    let elsewhere = ["/logout", "/preferences"];
    let (mut seen_by, paths) = ([0, 0, 0], READS.iter().chain(&["/console", "/settings?reveal=1"]));
    for path in paths {
        for (who, visitor) in [&vera, &dora, &ana].into_iter().enumerate() {
            let page = server.get(visitor, &format!("/apps/tienda{path}")).await;
            if page.status != StatusCode::OK {
                continue;
            }
            for action in forms(&page.text).into_iter().filter(|action| !elsewhere.contains(&action.as_str())) {
                seen_by[who] += 1;
                // The role is looked at before the fields, which are missing here.
                let answer = server.post(visitor, &action, &[]).await;
                assert_ne!(answer.status, StatusCode::FORBIDDEN, "{path} offers {action}");
            }
        }
    }
    let [viewer, deployer, owner] = seen_by;
    assert!(viewer < deployer && deployer < owner, "{seen_by:?}");
    let told = server.get(&vera, "/apps/tienda").await.text;
    assert!(told.contains("You may look at this app.") && !told.contains("/scale"), "{told}");
    server.stop().await;
}
