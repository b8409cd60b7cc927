//! What changed: the feed by day, kind and person, releases against each other, the way back; own host
//! names; plans and quota.

use http::StatusCode;

use super::server::{Server, Visitor};

#[tokio::test]
async fn a_release_tells_by_name_what_is_other_and_what_going_back_changes() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    let set = async |key, value| server.post(&ana, "/apps/tienda/config", &[("key", key), ("value", value)]).await;
    set("KEPT", "same").await;
    set("CHANGED", "before-secret").await;
    server.deploy(&ana, &app).await;
    set("CHANGED", "after-secret").await;
    set("ADDED", "new-secret").await;

    let newest = server.get(&ana, "/apps/tienda/releases/v7").await;
    assert_eq!(newest.status, StatusCode::OK);
    for part in ["What is other than in v6", "<code>+ ADDED</code>", "The code is the same."] {
        assert!(newest.text.contains(part), "{part}: {}", newest.text);
    }
    assert!(!newest.text.contains("Roll back to v7"), "it runs already");
    let wider = server.get(&ana, "/apps/tienda/releases/v7?from=v4").await.text;
    for part in ["<code>+ ADDED</code>", "<code>~ CHANGED</code>", "The code is different."] {
        assert!(wider.contains(part), "{part}: {wider}");
    }
    assert!(!wider.contains("KEPT") && !wider.contains("-secret"), "names alone, of what differs: {wider}");

    let past = server.get(&ana, "/apps/tienda/releases/v5").await.text;
    for part in ["Roll back to v5", "It runs the same code as v7", "<code>− ADDED</code>", "<code>~ CHANGED</code>"] {
        assert!(past.contains(part), "{part}: {past}");
    }
    let done = server.post(&ana, "/apps/tienda/rollback", &[("version", "v5")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert_eq!(server.releases.config(app.id).await.unwrap().len(), 2);
    for wrong in ["v99", "nonsense", "v0"] {
        assert_eq!(server.get(&ana, &format!("/apps/tienda/releases/{wrong}")).await.status, StatusCode::NOT_FOUND, "{wrong}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_release_whose_code_is_not_kept_offers_no_way_back() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    server.post(&ana, "/apps/tienda/config", &[("key", "A"), ("value", "b")]).await;
    let pages = async || [server.get(&ana, "/apps/tienda/releases/v3").await.text, server.get(&ana, "/apps/tienda/activity").await.text];
    let [release, feed] = pages().await;
    assert!(release.contains("Roll back to v3") && feed.contains("Roll back to here"), "{release}{feed}");
    let slugs = &server.house.owners.slugs;
    let current = server.house.owners.reader.current_release(app.id).await.unwrap().unwrap();
    let slug = server.house.owners.reader.slug(current.slug_id.unwrap()).await.unwrap().unwrap();
    std::fs::remove_file(slugs.folder().unwrap().join(slug.code_file)).unwrap();
    let [release, feed] = pages().await;
    assert!(!release.contains("Roll back to v3") && !feed.contains("Roll back to here"), "{release}{feed}");
    server.stop().await;
}

#[tokio::test]
async fn who_may_only_look_sees_no_way_back() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    server.post(&ana, "/apps/tienda/config", &[("key", "A"), ("value", "b")]).await;
    let vera = server.person("vera@example.org").await;
    server.post(&ana, "/apps/tienda/access/give", &[("email", "vera@example.org"), ("role", "view")]).await;
    let page = server.get(&vera, "/apps/tienda/releases/v3").await;
    assert!(page.status == StatusCode::OK && !page.text.contains("Roll back to v3"), "{}", page.text);
    assert!(!server.get(&vera, "/apps/tienda/activity").await.text.contains("Roll back to here"));
    server.stop().await;
}

#[tokio::test]
async fn the_feed_is_narrowed_to_a_kind_and_a_person() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    server.post(&ana, "/apps/tienda/config", &[("key", "A"), ("value", "b")]).await;
    let feed = async |query: &str| {
        let page = server.get(&ana, &format!("/apps/tienda/activity{query}")).await.text;
        page.split("id=\"releases\"").next().unwrap().to_owned()
    };
    let all = feed("").await;
    assert!(all.contains("Set A") && all.contains("Deployed") && all.contains("<time datetime=\"2015-04-25\">"), "{all}");
    let config = feed("?kind=config").await;
    assert!(config.contains("Set A") && !config.contains("Deployed"), "{config}");
    let hers = feed("?kind=&who=ana%40example.org").await;
    assert!(hers.contains("Set A") && hers.contains("<option value=\"ana@example.org\" selected>"), "{hers}");
    assert!(feed("?who=nobody%40example.org").await.contains("Nothing has happened yet."));
    server.stop().await;
}

#[tokio::test]
async fn own_host_names_are_added_and_removed_in_the_settings() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.app(&ana, "libros").await;
    let add = async |app: &str, name| server.post(&ana, &format!("/apps/{app}/domains"), &[("hostname", name)]).await;
    let added = add("tienda", "WWW.Pixel.example").await;
    assert_eq!((added.status, added.header("location")), (StatusCode::SEE_OTHER, "/apps/tienda/settings#domains"));
    let page = server.get(&ana, "/apps/tienda/settings").await.text;
    for part in ["tienda.localhost", "href=\"http://www.pixel.example:8080/\"", "CNAME → tienda.localhost"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for (app, name, told) in [
        ("libros", "www.pixel.example", "in use by another app"),
        ("libros", "*.pixel.example", "Wildcard domains are not offered"),
        ("libros", "http://x.example", "That is not a host name"),
        ("libros", "tienda.localhost", "belongs to the platform"),
    ] {
        let refused = add(app, name).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(refused.text.contains(told) && refused.text.contains(&format!("value=\"{name}\"")), "{name}: {}", refused.text);
    }
    let removed = server.post(&ana, "/apps/tienda/domains/remove", &[("hostname", "www.pixel.example")]).await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER);
    assert!(server.house.owners.reader.domains(app.id).await.unwrap().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn plans_and_quota_tell_limits_and_use() {
    let (server, ana) = Server::claimed().await;
    let nothing = server.get(&ana, "/quota").await;
    assert!(nothing.status == StatusCode::OK && nothing.text.contains("You have no apps yet."), "{}", nothing.text);
    let app = server.app(&ana, "tienda").await;
    server.app(&ana, "libros").await;
    server.deploy(&ana, &app).await;
    server.post(&ana, "/host/plans", &[("name", "clase")]).await;
    server.post(&ana, "/host/plans/assign", &[("app", "libros"), ("plan", "clase")]).await;
    let page = server.get(&Visitor { language: "es", ..ana }, "/quota").await.text;
    for part in ["Plan free", "Plan clase", "de libros", "512 MB", "18 h despierta en cada 24 h", "/ 18 h", "href=\"/apps/tienda\""] {
        assert!(page.contains(part), "{part}: {page}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_list_of_apps_is_filtered_and_sorted_by_a_plain_form() {
    let (server, ana) = Server::claimed().await;
    for name in ["libros", "tienda", "tienda-dos"] {
        server.app(&ana, name).await;
    }
    let names = async |query: &str| {
        let page = server.get(&ana, &format!("/apps{query}")).await.text;
        page.split("class=\"name\" href=\"/apps/").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["libros", "tienda", "tienda-dos"]);
    assert_eq!(names("?q=TIENDA&sort=nonsense").await, ["tienda", "tienda-dos"]);
    server.house.clock.advance(std::time::Duration::from_secs(60));
    let app = server.house.owners.reader.app_by_name(&"tienda-dos".parse().unwrap()).await.unwrap().unwrap();
    server.deploy(&ana, &app).await;
    assert_eq!(names("?sort=deploy").await[0], "tienda-dos");
    let none = server.get(&ana, "/apps?q=%3Cb%3E").await.text;
    assert!(none.contains("name contains “&#60;b&#62;”") && !none.contains("<b>"), "{none}");
    server.stop().await;
}
