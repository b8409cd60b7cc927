//! An app that goes into the bin while a release of its boots: what it comes back with.

use siesta::{
    domain::{DynoState, ReleaseStatus, Version, app::App},
    dynos::{DynoError, Refusal},
    engine::fake::{Latch, Script},
    releases::{Release, ReleaseError},
    slugs::app_image,
};

use super::world::{Machine, World};

/// An app whose v3 serves, and which is destroyed while the dyno of v4 still boots.
async fn destroyed_while_v4_boots(world: &World, second: Script) -> App {
    let app = world.app("tienda").await;
    world.deploy(&app, "web: first").await.expect("v3");
    world.until_up(app.id).await;
    world.engine.on("second", second);
    let mut deploy = Box::pin(world.deploy(&app, "web: second"));
    tokio::select! {
        _ = &mut deploy => panic!("it cannot be up"),
        () = world.engine.until(|engine| engine.running().len() == 2) => {}
    }
    world.apps.destroy(app.id, &world.by).await.expect("destroyed");
    let told = deploy.await;
    assert!(matches!(told, Err(ReleaseError::Dynos(DynoError::NoSuchApp))), "{told:?}");
    assert!(world.engine.containers().is_empty());
    app
}

async fn newest(world: &World, app: &App) -> Release {
    world.reader.releases(app.id).await.expect("releases").remove(0)
}

async fn brought_back(world: &World, app: &App) {
    for slug in world.reader.releases(app.id).await.expect("releases").iter().filter_map(|release| release.slug_id) {
        world.engine.add_image(&app_image(slug).0);
    }
    world.apps.restore(app.id, &app.name, &world.by).await.expect("it is in the bin");
}

async fn until_settled(world: &World, app: &App) -> Release {
    loop {
        let release = newest(world, app).await;
        if release.status != ReleaseStatus::Pending {
            return release;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_app_destroyed_while_its_release_boots_comes_back_with_that_release() {
    let machine = Machine::new();
    let world = machine.serve().await;
    let booted = Latch::new();
    let app = destroyed_while_v4_boots(&world, Script::default().boots_when(&booted)).await;
    let left = newest(&world, &app).await;
    assert_eq!((left.version, left.status, left.current), (Version(4), ReleaseStatus::Pending, true), "nobody knows whether it boots");
    world.stop().await;

    let world = machine.serve().await;
    assert_eq!(newest(&world, &app).await.status, ReleaseStatus::Pending, "what lies in the bin is left alone");
    brought_back(&world, &app).await;
    booted.open();
    world.until(app.id, |status| status.dynos.iter().any(|dyno| dyno.version == Version(4) && dyno.state == DynoState::Up)).await;
    let taken_up = until_settled(&world, &app).await;
    assert_eq!((taken_up.version, taken_up.status, taken_up.current), (Version(4), ReleaseStatus::Succeeded, true));
    world.until_running(1).await;
    assert_eq!(world.engine.running()[0].1.command.last().map(String::as_str), Some("second"));
}

#[tokio::test]
async fn a_release_that_does_not_boot_when_its_app_comes_back_has_failed_and_the_one_before_serves() {
    let world = Machine::new().serve().await;
    let app = destroyed_while_v4_boots(&world, Script::default().never_listens()).await;
    world.engine.on("second", Script::exits(3));
    brought_back(&world, &app).await;
    let judged = until_settled(&world, &app).await;
    assert_eq!((judged.version, judged.status, judged.current), (Version(4), ReleaseStatus::Failed, false));
    let lease = loop {
        match world.request("tienda").await {
            Ok(lease) => break lease,
            // Until the pause after the failed start is over.
            Err(Refusal::Crashed) => {
                world.pass(std::time::Duration::from_secs(1));
                tokio::task::yield_now().await;
            }
            Err(other) => panic!("{other:?}"),
        }
    };
    let serving = world.engine.running().into_iter().find(|(id, _)| *id == lease.target().container).expect("it runs").1;
    assert_eq!(serving.command.last().map(String::as_str), Some("first"));
}
