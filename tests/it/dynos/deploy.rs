//! Creation, releases, config, rollback, scale, rename, destruction.

use std::time::Duration;

use secrecy::ExposeSecret;
use siesta::{
    apps::AppError,
    domain::{DynoState, Plan, ReleaseStatus, Version, event::EventKind, feature::Feature},
    dynos::{AppPhase, DynoError, Refusal, Which},
    engine::fake::{Call, Latch, Script},
    releases::ReleaseError,
};

use super::world::Machine;

const WEB: &str = "web: gunicorn app:app";

#[tokio::test]
async fn a_new_app_has_two_releases_and_a_page_that_says_it_is_blank() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    assert_eq!(app.number, 1);
    assert!(matches!(world.request("tienda").await, Err(Refusal::Blank)));
    let words = [
        "app[api]: Initial release by user ana@example.org",
        "app[api]: Release v1 created by user ana@example.org",
        "app[api]: Enable Logplex by user ana@example.org",
        "app[api]: Release v2 created by user ana@example.org",
    ];
    assert_eq!(world.lines(app.id).await, words);
    let same = world.apps.create(Some(app.name.clone()), &world.by).await;
    assert!(matches!(same, Err(AppError::NameTaken)));
    assert_eq!(world.apps.create(None, &world.by).await.expect("a generated name").number, 2, "a refused name uses no number up");
}

#[tokio::test]
async fn an_account_has_as_many_apps_as_its_plan_allows_and_numbers_are_never_used_again() {
    let machine = Machine { plan: Plan { apps_per_account: 2, ..Plan::free() }, ..Machine::new() };
    let world = machine.serve().await;
    world.app("one").await;
    let second = world.app("two").await;
    assert!(matches!(world.apps.create(None, &world.by).await, Err(AppError::TooMany(2))));
    world.apps.destroy(second.id, &world.by).await.expect("destroyed");
    assert!(world.dynos.routes().find("two.localhost").is_none());
    assert_eq!(world.app("two").await.number, 3, "the name is free, the number is not");
}

#[tokio::test]
async fn a_first_deploy_is_v3_and_boots() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    let release = world.deploy(&app, "web: gunicorn app:app\nworker: python worker.py").await.expect("a release");
    assert_eq!((release.version, release.description.as_str()), (Version(3), "Deploy 1a2b3c4d"));
    let lease = world.request("tienda").await.expect("it serves");
    assert_eq!(lease.target().dyno.to_string(), "web.1");
    let formation = world.dynos.formation(app.id).await.expect("a formation");
    assert_eq!(formation.iter().map(|row| (row.process_type.as_str(), row.quantity)).collect::<Vec<_>>(), [("web", 1), ("worker", 0)]);
    let lines = world.lines(app.id).await;
    let words = [
        "app[api]: Deploy 1a2b3c4d by user ana@example.org",
        "app[api]: Release v3 created by user ana@example.org",
        "app[api]: Scaled to web@1:Free by user ana@example.org",
        "heroku[web.1]: State changed from down to starting",
        "heroku[web.1]: Starting process with command `gunicorn app:app`",
        "heroku[web.1]: State changed from starting to up",
    ];
    assert_eq!(lines[4..], words);
    let stored = world.reader.release(release.id).await.expect("a store").expect("a release");
    assert_eq!((stored.status, stored.current), (ReleaseStatus::Succeeded, true));
    let spec = &world.engine.running()[0].1;
    assert_eq!(spec.env_value("DYNO"), Some("web.1"));
    assert!(spec.env_value("PORT").is_some());
}

#[tokio::test]
async fn config_vars_are_sealed_reach_the_dyno_and_release_only_when_they_change() {
    let machine = Machine::new();
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    let set = world.set(app.id, "SECRET_KEY", Some("canary-8c1f")).await.expect("a release");
    assert_eq!((set.version, set.description.as_str(), set.status), (Version(3), "Set SECRET_KEY config vars", ReleaseStatus::Succeeded));
    assert!(world.set(app.id, "SECRET_KEY", Some("canary-8c1f")).await.is_none());
    assert!(world.set(app.id, "OTHER", None).await.is_none());
    world.deploy(&app, WEB).await.expect("a release");
    assert_eq!(world.engine.running()[0].1.env_value("SECRET_KEY"), Some("canary-8c1f"));
    let vars = world.releases.config(app.id).await.expect("vars");
    assert_eq!(vars.get("SECRET_KEY").map(|value| value.expose_secret()), Some("canary-8c1f"));
    let removed = world.set(app.id, "SECRET_KEY", None).await.expect("a release");
    assert_eq!(removed.description, "Remove SECRET_KEY config vars");
    world.stop().await;
    for file in ["siesta.db", "siesta.db-wal", "logs.db"] {
        let bytes = std::fs::read(machine.folder.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(11).any(|window| window == b"canary-8c1f"), "{file} holds the value");
    }
}

#[tokio::test]
async fn a_dyno_knows_its_name_and_with_the_feature_its_app_and_release_too() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("v3");
    assert_eq!(world.engine.running()[0].1.env_value("HEROKU_APP_NAME"), None, "only who asked for it");
    world.apps.set_feature(app.id, Feature::RuntimeDynoMetadata, true).await.expect("a feature");
    let release = world.deploy(&app, "web: second").await.expect("v4");
    world.until_running(1).await;
    let (_, spec) = &world.engine.running()[0];
    for (name, value) in [
        ("DYNO", "web.1".to_owned()),
        ("HEROKU_APP_ID", app.id.to_string()),
        ("HEROKU_APP_NAME", "tienda".to_owned()),
        ("HEROKU_APP_DEFAULT_DOMAIN_NAME", "tienda.localhost".to_owned()),
        ("HEROKU_RELEASE_CREATED_AT", release.created_at.to_string()),
        ("HEROKU_RELEASE_VERSION", "v4".to_owned()),
        ("HEROKU_SLUG_DESCRIPTION", "Deploy 1a2b3c4d".to_owned()),
    ] {
        assert_eq!(spec.env_value(name), Some(value.as_str()), "{name}");
    }
    assert!(spec.env_value("HEROKU_DYNO_ID").is_some() && spec.env_value("HEROKU_SLUG_COMMIT").is_some());
}

#[tokio::test]
async fn a_rollback_brings_back_code_and_config_together_as_a_new_release() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    let first = world.deploy(&app, "web: first").await.expect("v3");
    world.set(app.id, "COLOR", Some("red")).await.expect("v4");
    world.deploy(&app, "web: second").await.expect("v5");
    let blank = world.reader.release_by_version(app.id, Version(1)).await.expect("a store").expect("v1");
    assert!(matches!(world.releases.rollback(app.id, blank.id, &world.by).await, Err(ReleaseError::NotEligible(Version(1)))));
    let back = world.releases.rollback(app.id, first.id, &world.by).await.expect("v6");
    assert_eq!((back.version, back.description.as_str(), back.slug_id), (Version(6), "Rollback to v3", first.slug_id));
    world.until(app.id, |status| status.dynos.iter().any(|dyno| dyno.version == Version(6) && dyno.state == DynoState::Up)).await;
    world.until_running(1).await;
    let spec = &world.engine.running()[0].1;
    assert_eq!(spec.command.last().map(String::as_str), Some("first"));
    assert_eq!(spec.env_value("COLOR"), None);
    assert!(world.lines(app.id).await.contains(&"app[api]: Rollback to v3 by user ana@example.org".to_owned()));
}

#[tokio::test]
async fn a_release_serves_before_the_old_one_stops_and_an_open_request_is_let_finish() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, "web: first").await.expect("v3");
    let old = world.request("tienda").await.expect("it serves");
    let booted = Latch::new();
    world.engine.on("second", Script::default().boots_when(&booted));
    let deploy = world.deploy(&app, "web: second");
    tokio::pin!(deploy);
    tokio::select! {
        _ = &mut deploy => panic!("it cannot be up"),
        () = world.engine.until(|engine| engine.running().len() == 2) => {}
    }
    let meanwhile = world.request("tienda").await.expect("the old one serves on");
    assert_eq!(meanwhile.target().key, old.target().key);
    drop(meanwhile);
    booted.open();
    deploy.await.expect("v4");
    let new = world.request("tienda").await.expect("the new one serves");
    assert_ne!(new.target().key, old.target().key);
    assert_eq!(world.engine.running().len(), 2, "the old one has a request to finish");
    drop(old);
    world.until_running(1).await;
    assert_eq!(world.engine.calls(Call::Kill), 0);
}

#[tokio::test]
async fn without_preboot_the_old_dyno_stops_first_and_requests_wait_for_the_new_one() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.apps.set_feature(app.id, Feature::Preboot, false).await.expect("a feature");
    world.deploy(&app, "web: first").await.expect("v3");
    let booted = Latch::new();
    world.engine.on("second", Script::default().boots_when(&booted));
    let deploy = world.deploy(&app, "web: second");
    tokio::pin!(deploy);
    let only_the_new = |engine: &siesta::engine::fake::FakeEngine| {
        let running = engine.running();
        running.len() == 1 && running[0].1.command.last().is_some_and(|command| command == "second")
    };
    tokio::select! {
        _ = &mut deploy => panic!("it cannot be up"),
        () = world.engine.until(only_the_new) => {}
    }
    let request = world.request("tienda");
    tokio::pin!(request);
    assert!(futures_util::poll!(&mut request).is_pending(), "nothing serves");
    booted.open();
    deploy.await.expect("v4");
    assert_eq!(request.await.expect("held, then served").target().dyno.to_string(), "web.1");
    world.apps.set_feature(app.id, Feature::Preboot, true).await.expect("a feature");
}

#[tokio::test]
async fn a_release_that_does_not_boot_leaves_the_old_one_serving() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    let good = world.deploy(&app, "web: good").await.expect("v3");
    world.engine.on("broken", Script::exits(3).says_err("ModuleNotFoundError: No module named 'flask'"));
    let Err(ReleaseError::Dynos(DynoError::DidNotBoot(why))) = world.deploy(&app, "web: broken").await else { panic!("it cannot boot") };
    assert!(why.contains("exited with status 3") && why.contains("No module named 'flask'"), "{why}");
    let lease = world.request("tienda").await.expect("the old one serves");
    drop(lease);
    let releases = world.reader.releases(app.id).await.expect("releases");
    assert_eq!((releases[0].status, releases[0].current), (ReleaseStatus::Failed, false));
    assert_eq!((releases[1].id, releases[1].current), (good.id, true));
    let lines = world.lines(app.id).await;
    for line in [
        "app[web.1]: ModuleNotFoundError: No module named 'flask'",
        "heroku[web.1]: Process exited with status 3",
        "heroku[web.1]: State changed from starting to crashed",
        "heroku[web.1]: Release v4 did not boot, v3 goes on serving",
    ] {
        assert!(lines.iter().any(|known| known == line), "{line} is not in {lines:#?}");
    }
    world.until_running(1).await;
}

#[tokio::test]
async fn a_release_that_a_newer_one_overtakes_has_failed() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    let first = world.deploy(&app, "web: first").await.expect("v3");
    let never = Latch::new();
    world.engine.on("second", Script::default().boots_when(&never));
    let second = world.deploy(&app, "web: second");
    tokio::pin!(second);
    tokio::select! {
        _ = &mut second => panic!("it cannot be up"),
        () = world.engine.until(|engine| engine.running().len() == 2) => {}
    }
    let back = world.releases.rollback(app.id, first.id, &world.by).await.expect("v5");
    assert_eq!(back.status, ReleaseStatus::Pending, "it answers before the dynos follow");
    assert_eq!(second.await.expect("v4").status, ReleaseStatus::Failed);
    world.until(app.id, |status| status.dynos.iter().any(|dyno| dyno.version == Version(5) && dyno.state == DynoState::Up)).await;
    world.until_running(1).await;
    let releases = world.reader.releases(app.id).await.expect("releases");
    assert_eq!((releases[0].id, releases[0].current, releases[1].status), (back.id, true, ReleaseStatus::Failed));
}

#[tokio::test]
async fn the_release_command_of_a_procfile_is_no_dyno() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.engine.on("migrate.py", Script::exits(0));
    world.deploy(&app, "release: python migrate.py\nweb: gunicorn app:app").await.expect("a release");
    let formation = world.dynos.formation(app.id).await.expect("a formation");
    assert_eq!(formation.iter().map(|row| (row.process_type.as_str(), row.quantity)).collect::<Vec<_>>(), [("web", 1)]);
    let change = [("release".parse().expect("a type"), "1".parse().expect("one"))];
    assert!(matches!(world.dynos.scale(app.id, &change, &world.by).await, Err(DynoError::NoSuchProcessType(_))));
    assert_eq!(world.engine.running().len(), 1);
}

#[tokio::test]
async fn an_app_whose_first_release_never_listens_is_crashed_and_comes_up_with_the_next() {
    // Long enough for the second release on a machine that is busy.
    let machine = Machine { boot_timeout: Duration::from_secs(2), ..Machine::new() };
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    world.engine.on("deaf", Script::default().never_listens());
    assert!(world.deploy(&app, "web: deaf").await.is_err());
    world.until_phase(app.id, AppPhase::Crashed).await;
    assert!(matches!(world.request("tienda").await, Err(Refusal::Crashed)));
    let lines = world.lines(app.id).await;
    assert!(lines.iter().any(|line| line.starts_with("heroku[web.1]: Error R10 (Boot timeout) -> Web process failed to bind to $PORT")));
    world.deploy(&app, WEB).await.expect("a release");
    assert!(world.request("tienda").await.is_ok());
}

#[tokio::test]
async fn scaling_keeps_to_the_plan_and_says_what_it_did() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, "web: gunicorn app:app\nworker: w\nclock: c").await.expect("a release");
    let scale = |text: &str| {
        let changes: Vec<_> = text
            .split(' ')
            .map(|change| {
                let (process_type, quantity) = change.split_once('=').expect("type=quantity");
                (process_type.parse().expect("a type"), quantity.parse().expect("a quantity"))
            })
            .collect();
        let (dynos, by) = (world.dynos.clone(), world.by.clone());
        async move { dynos.scale(app.id, &changes, &by).await }
    };
    let error = scale("web=2").await.expect_err("one a type").to_string();
    assert_eq!(error, "Cannot update to more than 1 Free size dynos per process type.");
    assert!(matches!(scale("worker=1 clock=1").await, Err(DynoError::TooManyTypes { limit: 2, .. })));
    assert!(matches!(scale("nothing=1").await, Err(DynoError::NoSuchProcessType(_))));
    scale("worker=+1").await.expect("two types");
    world.until_running(2).await;
    scale("web=0").await.expect("less");
    world.until_running(1).await;
    assert!(matches!(world.request("tienda").await, Err(Refusal::NoWeb)));
    scale("worker=0").await.expect("nothing");
    world.until_phase(app.id, AppPhase::Off).await;
    let lines = world.lines(app.id).await;
    assert!(lines.contains(&"app[api]: Scaled to worker@1:Free by user ana@example.org".to_owned()), "{lines:#?}");
    let kinds: Vec<EventKind> = world.reader.events(app.id, 10).await.expect("events").iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Scale, EventKind::Scale, EventKind::Scale, EventKind::Deploy]);
}

#[tokio::test]
async fn whoever_scaled_finds_the_gate_as_it_should_be() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    for (count, served) in [("0", false), ("1", true), ("0", false)] {
        let change = [("web".parse().expect("a type"), count.parse().expect("a count"))];
        world.dynos.scale(app.id, &change, &world.by).await.expect("scaled");
        assert_eq!(!matches!(world.gate("tienda").enter(), siesta::dynos::Entry::Refused(Refusal::NoWeb)), served, "{count}");
    }
}

#[tokio::test]
async fn a_restart_holds_requests_until_the_new_dyno_is_up() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    let before = world.engine.running()[0].0.clone();
    let from = world.lines(app.id).await.len();
    assert!(matches!(world.dynos.restart(app.id, Which::One("web.7".parse().expect("a dyno"))).await, Err(DynoError::NoSuchDyno)));
    world.dynos.restart(app.id, Which::All).await.expect("restarted");
    let lease = world.request("tienda").await.expect("held, then served");
    assert_ne!(lease.target().container, before);
    world.until_running(1).await;
    let lines = world.lines(app.id).await;
    assert_eq!(lines[from..from + 2], ["heroku[web.1]: Restarting", "heroku[web.1]: State changed from up to starting"]);
    assert!(lines[from..].contains(&"heroku[web.1]: Process exited with status 143".to_owned()));
}

#[tokio::test]
async fn a_rename_moves_the_route_at_once_and_frees_the_old_name() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    world.apps.rename(app.id, "almacen".parse().expect("a name"), &world.by).await.expect("renamed");
    assert!(world.dynos.routes().find("tienda.localhost").is_none());
    assert!(world.request("almacen").await.is_ok());
    let other = world.app("tienda").await;
    let taken = world.apps.rename(other.id, "almacen".parse().expect("a name"), &world.by).await;
    assert!(matches!(taken, Err(AppError::NameTaken)));
    world.apps.set_maintenance(app.id, true, &world.by).await.expect("set");
    assert!(world.dynos.routes().find("almacen.localhost").expect("a route").maintenance);
}

#[tokio::test]
async fn a_destroyed_app_leaves_nothing_behind() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    world.apps.destroy(app.id, &world.by).await.expect("destroyed");
    assert!(world.engine.containers().is_empty());
    assert!(world.engine.networks().is_empty());
    assert!(world.dynos.status(app.id).is_none());
    assert!(world.reader.app(app.id).await.expect("a store").is_none());
    assert!(matches!(world.apps.destroy(app.id, &world.by).await, Err(AppError::NoSuchApp)));
}
