//! The main job, end to end: the example shop is built, answers, sleeps and wakes; `isolation` proves its cap.

use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use siesta::engine::{Engine, spec::LABEL_ADDON};

use crate::support::served::{Served, remove_all, remove_leftovers};

const LONG: Duration = Duration::from_secs(120);

/// Puts a game into the cart and orders it, as a browser would; the address of the order.
async fn order(served: &Served, name: &str) -> String {
    let address = |path: &str| format!("http://127.0.0.1:{}{path}", served.port);
    let host = format!("tiendavideojuegos.localhost:{}", served.port);
    let send = async |path: &str, cookie: &str, fields: &[(&str, &str)]| {
        let body = fields.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&");
        let request = served.client.post(address(path)).header("host", &host).header("cookie", cookie);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 302, "{path}: {}", served.server_log());
        let cookie = answer.headers().get("set-cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let location = answer.headers()["location"].to_str().expect("text").to_owned();
        (cookie.split(';').next().unwrap_or_default().to_owned(), location)
    };
    let (cookie, _) = send("/carrito", "", &[("clave", "faro-de-invierno"), ("cantidad", "2")]).await;
    let (_, location) = send("/pedidos", &cookie, &[("nombre", name), ("correo", "ana%40example.org")]).await;
    assert!(location.starts_with("/pedidos/"), "{location}");
    location
}

/// Whose orders these are.
async fn names(served: &Served, orders: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    for order in orders {
        let page = served.app("tiendavideojuegos", order).send().await.expect("an answer");
        let text = page.text().await.expect("text");
        names.push(text.split("Gracias, ").nth(1).and_then(|rest| rest.split('.').next()).unwrap_or("nobody").to_owned());
    }
    names
}

#[tokio::test]
async fn the_shop_takes_orders_and_with_postgres_keeps_them_through_everything() {
    let mut served = Served::start(&[]);
    let token = served.claim();
    served.deploy("tiendavideojuegos", "tienda-videojuegos").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
    assert_eq!(order(&served, "Eva").await, "/pedidos/1", "in a file of the dyno's own");
    assert_eq!(names(&served, &["/pedidos/1"]).await, ["Eva"]);

    let wanted = serde_json::json!({ "plan": "heroku-postgresql:hobby-dev" });
    let made = served.api("POST", "/apps/tiendavideojuegos/addons", &token).json(&wanted).send().await.expect("an answer");
    assert_eq!(made.status(), 201, "{}", served.server_log());
    let addon = async || served.get("/apps/tiendavideojuegos/addons", &token).await[0].clone();
    let ready = served.until(LONG, addon, |addon| addon["state"] == "provisioned").await;
    assert_eq!(ready["config_vars"], serde_json::json!(["DATABASE_URL"]));
    let releases = async || {
        let releases = served.get("/apps/tiendavideojuegos/releases", &token).await;
        let count = releases.as_array().map_or(0, Vec::len);
        (count, releases.as_array().into_iter().flatten().all(|release| release["status"] == "succeeded"))
    };
    let attached = served.until(LONG, releases, |(_, settled)| *settled).await.0;

    assert_eq!(order(&served, "Ana").await, "/pedidos/1", "a new database begins anew");
    assert_eq!(names(&served, &["/pedidos/1", "/pedidos/2"]).await, ["Ana", "nobody"]);

    let var = serde_json::json!({ "SALUDO": "hola" });
    served.api("PATCH", "/apps/tiendavideojuegos/config-vars", &token).json(&var).send().await.expect("an answer");
    served.until(LONG, releases, |(count, settled)| *count > attached && *settled).await;
    assert_eq!(order(&served, "Luis").await, "/pedidos/2");

    let before = serde_json::json!({ "release": "v3" });
    served.api("POST", "/apps/tiendavideojuegos/releases", &token).json(&before).send().await.expect("an answer");
    served.until(LONG, releases, |(count, settled)| *count > attached + 1 && *settled).await;
    assert_eq!(names(&served, &["/pedidos/1", "/pedidos/2"]).await, ["Ana", "Luis"], "a rollback to before the database keeps its address");

    served.cli(&["plan", "set", "free", "--idle-minutes", "0.05"], "").expect("a plan");
    served.until(LONG, async || states(&served, &token).await, |states| states.iter().any(|state| state == "idle")).await;
    served.cli(&["plan", "set", "free", "--idle-minutes", "30"], "").expect("a plan");
    assert_eq!(names(&served, &["/pedidos/1", "/pedidos/2"]).await, ["Ana", "Luis"], "after a sleep");

    served.kill();
    served.run();
    assert_eq!(names(&served, &["/pedidos/1", "/pedidos/2"]).await, ["Ana", "Luis"], "after a kill of the server");
    let engine = served.engine(&served.instance());
    let is_database = |container: &siesta::engine::Container| {
        container.running && container.labels.get(siesta::engine::spec::LABEL_ADDON).is_some_and(|name| name == "postgres")
    };
    let found = engine.list().await.expect("a list").into_iter().find(is_database).expect("the database server");
    engine.kill(found.id).await.expect("killed");
    // Its number may be a higher one: after a crash sequences go on behind a gap.
    let third = order(&served, "Marta").await;
    assert_eq!(
        names(&served, &["/pedidos/1", "/pedidos/2", &third]).await,
        ["Ana", "Luis", "Marta"],
        "after a kill of the database server"
    );
    on_another_machine(&mut served, &token).await;
    assert_eq!(names(&served, &["/pedidos/1", "/pedidos/2", &third]).await, ["Ana", "Luis", "Marta"], "on another machine");
    let fourth = order(&served, "Julia").await;
    assert_eq!(names(&served, &[&fourth]).await, ["Julia"]);
}

/// Moves everything by a backup: killed while it is made and while it is read in, and whole in the end.
async fn on_another_machine(served: &mut Served, token: &str) {
    const PASSPHRASE: &str = "una frase bastante larga\n";
    let place = tempfile::tempdir().expect("a folder");
    let (file, cut) = (place.path().join("siesta.backup"), place.path().join("cut.backup"));
    let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let path = text(&file);
    let backup = ["backup", &path, "--with-keys"];
    let state = async |served: &Served| {
        let mut state = Vec::new();
        for part in ["", "/releases", "/config-vars", "/formation", "/domains", "/addons"] {
            state.push(served.get(&format!("/apps/tiendavideojuegos{part}"), token).await);
        }
        state
    };
    served.kill();
    served.set("SIESTA_FAIL_POINT", Some("addon.dump_began"));
    served.run();
    served.cli(&backup, PASSPHRASE).expect_err("the server was killed in the middle");
    served.wait_for_end().await;
    assert_eq!(std::fs::read_dir(place.path()).expect("a folder").count(), 0, "no half a backup");
    served.set("SIESTA_FAIL_POINT", None);
    served.run();
    let said = served.cli(&backup, PASSPHRASE).unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
    assert!(said.ends_with("1 apps, 1 databases and 0 key-value stores, read back and found sound.\n"), "{said}");
    let bytes = std::fs::read(&file).expect("the backup");
    assert_eq!(std::fs::metadata(&file).expect("the backup").permissions().mode() & 0o777, 0o600);
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).expect("a file");
    let (before, old) = (state(served).await, served.instance());
    let tasks =
        served.engine(&old).list().await.expect("a list").into_iter().filter_map(|container| container.labels.get(LABEL_ADDON).cloned());
    assert_eq!(tasks.filter(|name| name.contains("task")).count(), 0, "nothing is left of the dump that was killed");

    served.kill();
    remove_all(&old).await;
    served.data = tempfile::tempdir().expect("a data folder");
    let refused = served.cli(&["restore", &text(&cut)], PASSPHRASE).expect_err("cut off");
    assert!(refused.contains("The backup is cut off. Nothing was written"), "{refused}");
    served.cli(&["restore", &path], PASSPHRASE).expect("brought back");
    served.set("SIESTA_FAIL_POINT", Some("addon.brought_back"));
    served.run_to_its_end();
    assert!(served.server_log().contains("fail point addon.brought_back reached"), "{}", served.server_log());
    served.set("SIESTA_FAIL_POINT", None);
    served.run();
    assert_ne!(served.instance(), old);
    assert_eq!(state(served).await, before, "{}", served.server_log());
}

/// The state of the app's dynos, as `ps` would show them.
async fn states(served: &Served, token: &str) -> Vec<String> {
    let dynos = served.get("/apps/tiendavideojuegos/dynos", token).await;
    dynos.as_array().into_iter().flatten().filter_map(|dyno| dyno["state"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn the_shop_is_deployed_sleeps_and_wakes_once_for_a_storm() {
    let served = Served::start(&[("SIESTA_IDLE_AFTER", "3")]);
    let token = served.claim();
    let output =
        served.deploy("tiendavideojuegos", "tienda-videojuegos").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
    assert!(output.contains("-----> "), "Heroku's form: {output}");

    let page = served.app("tiendavideojuegos", "/").send().await.expect("an answer");
    assert_eq!(page.status(), 200);
    assert!(page.text().await.expect("text").to_lowercase().contains("videojuegos"));

    let engine = served.engine(&served.instance());
    let running: Vec<_> = engine.list().await.expect("a list").into_iter().filter(|container| container.running).collect();
    assert_eq!(running.len(), 1, "one web dyno: {running:?}");

    served.until(LONG, async || states(&served, &token).await, |states| states.iter().any(|state| state == "idle")).await;
    served.until(LONG, async || engine.list().await.expect("a list"), Vec::is_empty).await;

    let answers = futures_util::future::join_all((0..1_000).map(|_| served.app("tiendavideojuegos", "/salud").send())).await;
    for answer in answers {
        assert_eq!(answer.expect("an answer").status(), 200, "every held request is served");
    }
    let running = engine.list().await.expect("a list").into_iter().filter(|container| container.running).count();
    assert_eq!(running, 1, "a storm causes one start");
}

#[tokio::test]
async fn a_sleeping_app_wakes_after_every_image_and_network_is_gone() {
    let served = Served::start(&[("SIESTA_IDLE_AFTER", "2")]);
    let token = served.claim();
    served.deploy("tiendavideojuegos", "tienda-videojuegos").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
    served.until(LONG, async || states(&served, &token).await, |states| states.iter().any(|state| state == "idle")).await;
    let engine = served.engine(&served.instance());
    for container in engine.list().await.expect("a list") {
        engine.remove(container.id).await.expect("removed");
    }
    for image in engine.list_images().await.expect("a list") {
        engine.remove_image(image).await.expect("removed");
    }
    remove_leftovers(&served.instance()).await;
    let page = served.app("tiendavideojuegos", "/").send().await.expect("an answer");
    assert_eq!(page.status(), 200, "{}", served.server_log());
}

#[tokio::test]
async fn dynos_go_on_while_the_server_is_killed_and_are_adopted() {
    let mut served = Served::start(&[]);
    let _token = served.claim();
    served.deploy("tiendavideojuegos", "tienda-videojuegos").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
    let engine = served.engine(&served.instance());
    let before: Vec<_> = engine.list().await.expect("a list").into_iter().map(|container| (container.id, container.generation)).collect();
    served.kill();
    served.run();
    assert_eq!(served.app("tiendavideojuegos", "/").send().await.expect("an answer").status(), 200);
    let after: Vec<_> = engine.list().await.expect("a list").into_iter().map(|container| (container.id, container.generation)).collect();
    assert_eq!(before, after, "the same container in the same life");
}
