//! Standbys: a sleeping app's next dyno, ready and held.

use std::time::Duration;

use siesta::{
    domain::AppId,
    dynos::AppPhase,
    engine::{
        Container, Engine, EngineError,
        fake::{Call, FakeEngine, Script},
        spec::is_standby,
    },
};

use super::world::{Machine, World};

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// A machine with so many standbys at most.
fn machine(flags: &[&'static str]) -> Machine {
    Machine { flags: flags.to_vec(), ..Machine::new() }
}

async fn containers(engine: &FakeEngine) -> Vec<Container> {
    engine.list().await.expect("a list")
}

/// Waits for so many containers, all of them running standbys.
async fn until_standbys(world: &World, count: usize) -> Vec<Container> {
    loop {
        let found = containers(&world.engine).await;
        if found.len() == count && found.iter().all(|one| one.running && is_standby(&one.name)) {
            // What is there is known to the server a moment later.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            return found;
        }
        tokio::task::yield_now().await;
    }
}

async fn fall_asleep(world: &World, app: AppId) {
    world.pass(HALF_AN_HOUR);
    world.until_phase(app, AppPhase::Asleep).await;
}

/// A server with one app that is asleep and has a standby.
async fn asleep(machine: &Machine) -> (World, AppId, Container) {
    let (world, app) = super::world::serving(machine).await;
    fall_asleep(&world, app).await;
    let standby = until_standbys(&world, 1).await.remove(0);
    (world, app, standby)
}

#[tokio::test]
async fn a_wake_lets_the_standby_go_and_makes_nothing() {
    let machine = machine(&["--standbys", "1"]);
    machine.engine.on("gunicorn", Script::default().says("Listening"));
    let (world, app, standby) = asleep(&machine).await;
    let (made, said) = (world.engine.calls(Call::Create), world.lines(app).await.len());
    assert_eq!(world.status(app).borrow().phase, AppPhase::Asleep, "it counts as no dyno");
    drop(world.request("tienda").await.expect("it serves"));
    world.until_up(app).await;
    assert_eq!(world.engine.calls(Call::Create), made);
    let now = containers(&world.engine).await;
    assert_eq!((now.len(), &now[0].id, is_standby(&now[0].name)), (1, &standby.id, false));
    assert!(now[0].name.ends_with(&world.status(app).borrow().dynos[0].id.to_string()), "{}", now[0].name);
    world.logs.flush().await;
    let lines = world.lines(app).await;
    let own: Vec<&str> = lines[said..].iter().map(String::as_str).filter(|line| line.contains("[web.1]")).collect();
    let words = [
        "heroku[web.1]: Unidling",
        "heroku[web.1]: State changed from down to starting",
        "heroku[web.1]: Starting process with command `gunicorn app:app`",
        "app[web.1]: Listening",
        "heroku[web.1]: State changed from starting to up",
    ];
    assert!(words.iter().all(|word| own.iter().filter(|line| *line == word).count() == 1) && own.len() == words.len(), "{own:?}");
    fall_asleep(&world, app).await;
    let next = until_standbys(&world, 1).await;
    assert_ne!(next[0].id, standby.id, "each sleep has a fresh one");
}

#[tokio::test]
async fn a_standby_of_other_config_vars_or_another_release_never_serves() {
    let (world, app, standby) = asleep(&machine(&["--standbys", "1"])).await;
    world.set(app, "COLOUR", Some("red")).await;
    drop(world.request("tienda").await.expect("it serves"));
    world.engine.until(|engine| engine.containers().len() == 1).await;
    let (id, spec) = world.engine.containers().remove(0);
    assert_ne!(id, standby.id);
    assert_eq!((spec.env_value("COLOUR"), spec.held), (Some("red"), false));
    assert_eq!(world.engine.answered(&standby.id), 0);
}

#[tokio::test]
async fn a_standby_that_is_lost_is_done_without() {
    for lose in [
        (|world, standby| world.engine.crash(&standby.id, 1)) as fn(&World, &Container),
        |world, _| world.engine.fail_next(Call::Rename, EngineError::TimedOut("rename")),
        |world, _| world.engine.fail_next(Call::Inspect, EngineError::TimedOut("inspect")),
    ] {
        let (world, app, standby) = asleep(&machine(&["--standbys", "1"])).await;
        lose(&world, &standby);
        drop(world.request("tienda").await.expect("it serves"));
        world.until_up(app).await;
        world.engine.until(|engine| engine.containers().len() == 1).await;
        assert_ne!(containers(&world.engine).await[0].id, standby.id);
    }
}

#[tokio::test]
async fn one_that_ends_by_itself_is_removed_at_once() {
    let (world, _, standby) = asleep(&machine(&["--standbys", "1"])).await;
    assert_eq!(world.dynos.standbys(), 1);
    world.engine.crash(&standby.id, 137);
    world.until_running(0).await;
    assert_eq!(world.dynos.standbys(), 0);
    assert!(world.request("tienda").await.is_ok());
}

#[tokio::test]
async fn one_that_cannot_be_made_is_no_trouble_for_the_app() {
    for call in [Call::Create, Call::Attach, Call::Start] {
        let (world, app) = super::world::serving(&machine(&["--standbys", "1"])).await;
        world.engine.fail_next(call, EngineError::Refused("no".to_owned()));
        let (before, removed) = (world.engine.calls(call), world.engine.calls(Call::Remove));
        fall_asleep(&world, app).await;
        let cleared = removed + if call == Call::Create { 1 } else { 2 };
        world.engine.until(|engine| engine.calls(call) > before && engine.calls(Call::Remove) >= cleared).await;
        world.until_running(0).await;
        assert!(world.request("tienda").await.is_ok(), "{call:?}");
    }
}

#[tokio::test]
async fn only_the_apps_that_fell_asleep_last_have_one() {
    let world = machine(&["--standbys", "2"]).serve().await;
    let mut apps = Vec::new();
    for name in ["uno", "dos", "tres"] {
        let app = world.app(name).await;
        world.deploy(&app, "web: gunicorn app:app").await.expect("a release");
        world.until_up(app.id).await;
        fall_asleep(&world, app.id).await;
        apps.push(app.id.to_string());
        until_standbys(&world, apps.len().min(2)).await;
    }
    world.engine.until(|engine| engine.containers().len() == 2).await;
    let mut of: Vec<String> = until_standbys(&world, 2).await.iter().map(|one| one.labels["siesta.app"].clone()).collect();
    of.sort();
    apps.remove(0);
    apps.sort();
    assert_eq!(of, apps);
}

#[tokio::test]
async fn where_none_is_wanted_there_is_none() {
    let (world, app) = super::world::serving(&machine(&["--standbys", "0"])).await;
    fall_asleep(&world, app).await;
    world.until_running(0).await;
    assert!(world.request("tienda").await.is_ok());
}

#[tokio::test]
async fn a_standby_takes_no_room_from_other_apps() {
    let (world, _, standby) = asleep(&machine(&["--standbys", "1", "--app-memory-mb", "512"])).await;
    let other = world.app("otra").await;
    world.deploy(&other, "web: gunicorn app:app").await.expect("a release");
    world.until_up(other.id).await;
    assert!(world.request("tienda").await.is_err(), "the machine is full now");
    assert!(world.engine.running().iter().any(|(id, _)| *id == standby.id), "it stands by for when there is room");
    fall_asleep(&world, other.id).await;
    let next = until_standbys(&world, 1).await.remove(0);
    assert_ne!(next.id, standby.id);
    assert!(world.request("tienda").await.is_ok());
}

#[tokio::test]
async fn an_app_that_goes_takes_its_standby_along() {
    let (world, app, _) = asleep(&machine(&["--standbys", "1"])).await;
    world.apps.destroy(app, &world.by).await.expect("destroyed");
    world.until_running(0).await;
    assert_eq!(world.engine.networks(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_comes_back_knows_a_woken_one_and_clears_the_others() {
    let machine = machine(&["--standbys", "2"]);
    let (world, app, standby) = asleep(&machine).await;
    drop(world.request("tienda").await.expect("it serves"));
    world.until_up(app).await;
    let other = world.app("otra").await;
    world.deploy(&other, "web: gunicorn app:app").await.expect("a release");
    world.until_up(other.id).await;
    drop(world.request("tienda").await.expect("it serves"));
    world.dynos.stop(other.id, siesta::dynos::Which::All).await.expect("stopped");
    world.engine.until(|engine| engine.containers().len() == 2 && engine.running().iter().any(|(_, spec)| spec.held)).await;
    world.stop().await;
    // It ends with the server's end of its input.
    machine.engine.until(|engine| engine.running().len() == 1).await;
    let world = machine.serve().await;
    world.until_up(app).await;
    world.until_running(1).await;
    let left = containers(&world.engine).await;
    assert_eq!((&left[0].id, left[0].running), (&standby.id, true), "a dyno that runs is not touched");
    assert!(world.request("tienda").await.is_ok() && world.request("otra").await.is_ok());
}
