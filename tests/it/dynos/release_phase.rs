//! The release phase: a `release` command decides whether a release becomes the current one.

use siesta::{
    domain::{ReleaseStatus, Version},
    engine::fake::{Latch, Script},
};

use super::world::{Machine, World};

const PROCFILE: &str = "release: python migrate.py\nweb: gunicorn app:app";

async fn states(world: &World, app: siesta::domain::AppId) -> Vec<(i64, ReleaseStatus, bool)> {
    let releases = world.reader.releases(app).await.expect("releases");
    releases.iter().map(|release| (release.version.0, release.status, release.current)).collect()
}

#[tokio::test]
async fn dynos_of_a_release_start_only_when_its_command_has_succeeded() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    let migrated = Latch::new();
    world.engine.on("migrate.py", Script::default().says("migrating").exits_when(&migrated, 0));
    let deploy = world.deploy(&app, PROCFILE);
    tokio::pin!(deploy);
    tokio::select! {
        done = &mut deploy => panic!("the command still runs: {done:?}"),
        () = world.engine.until(|engine| engine.running().len() == 1) => {}
    }
    assert_eq!(states(&world, app.id).await[0], (3, ReleaseStatus::Pending, false));
    migrated.open();
    assert_eq!(deploy.await.expect("v3").version, Version(3));
    world.until_up(app.id).await;
    assert_eq!(states(&world, app.id).await[0], (3, ReleaseStatus::Succeeded, true));
    let lines = world.lines(app.id).await;
    let at = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text} is not in {lines:#?}"));
    at("app[api]: Running release v3 commands by user ana@example.org");
    assert!(lines.iter().any(|line| line.starts_with("app[release.") && line.ends_with("migrating")), "{lines:#?}");
    assert!(
        at("Starting process with command `python migrate.py` by user ana@example.org")
            < at("Starting process with command `gunicorn app:app`")
    );
}

#[tokio::test]
async fn a_command_that_fails_leaves_the_old_release_and_its_config_running() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, "web: gunicorn app:app").await.expect("v3");
    world.until_up(app.id).await;
    world.engine.on("migrate.py", Script::exits(1).says_err("no such table"));
    let error = world.deploy(&app, PROCFILE).await.expect_err("it fails").to_string();
    assert_eq!(error, "The release command exited with status 1. Its last words: no such table. v3 goes on running.");
    assert_eq!(states(&world, app.id).await[..2], [(4, ReleaseStatus::Failed, false), (3, ReleaseStatus::Succeeded, true)]);
    assert_eq!(world.engine.running().len(), 1, "the old dyno was not touched");

    world.engine.on("migrate.py", Script::exits(0));
    world.deploy(&app, PROCFILE).await.expect("v5");
    world.engine.on("migrate.py", Script::exits(2));
    world.set(app.id, "COLOR", Some("red")).await.expect("v6 is written");
    while states(&world, app.id).await[0].1 == ReleaseStatus::Pending {
        tokio::task::yield_now().await;
    }
    assert_eq!(states(&world, app.id).await[..2], [(6, ReleaseStatus::Failed, false), (5, ReleaseStatus::Succeeded, true)]);
    assert!(world.releases.config(app.id).await.expect("config").get("COLOR").is_none());
}

#[tokio::test]
async fn what_comes_while_a_command_runs_builds_on_its_release() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    let migrated = Latch::new();
    world.engine.on("migrate.py", Script::default().exits_when(&migrated, 0));
    let deploy = world.deploy(&app, PROCFILE);
    tokio::pin!(deploy);
    tokio::select! {
        done = &mut deploy => panic!("the command still runs: {done:?}"),
        () = world.engine.until(|engine| engine.running().len() == 1) => {}
    }
    let config = world.set(app.id, "COLOR", Some("red")).await.expect("v4");
    assert!(config.slug_id.is_some(), "it has the code that is on its way");
    assert_eq!(world.releases.config(app.id).await.expect("config").iter().count(), 1);
    migrated.open();
    let _ = deploy.await;
    world.until(app.id, |status| status.dynos.iter().any(|dyno| dyno.version == Version(4))).await;
    while states(&world, app.id).await[0].1 == ReleaseStatus::Pending {
        tokio::task::yield_now().await;
    }
    assert_eq!(states(&world, app.id).await[0], (4, ReleaseStatus::Succeeded, true));
}

#[tokio::test]
async fn a_command_cut_off_by_a_restart_of_the_server_runs_again() {
    let machine = Machine::new();
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    let never = Latch::new();
    world.engine.on("migrate.py", Script::default().exits_when(&never, 0));
    {
        let deploy = world.deploy(&app, PROCFILE);
        tokio::pin!(deploy);
        tokio::select! {
            done = &mut deploy => panic!("the command still runs: {done:?}"),
            () = world.engine.until(|engine| engine.running().len() == 1) => {}
        }
    }
    world.stop().await;
    machine.engine.on("migrate.py", Script::exits(0));
    let world = machine.serve().await;
    world.until_up(app.id).await;
    while states(&world, app.id).await[0].1 == ReleaseStatus::Pending {
        tokio::task::yield_now().await;
    }
    assert_eq!(states(&world, app.id).await[0], (3, ReleaseStatus::Succeeded, true));
    world.until_running(1).await;
}
