//! The main job, end to end: the example shop is built, answers, sleeps and wakes; `isolation` proves its cap.

use std::time::Duration;

use siesta::engine::Engine;

use crate::support::served::{Served, remove_leftovers};

const LONG: Duration = Duration::from_secs(120);

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
