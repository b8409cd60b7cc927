//! What goes wrong below the dynos: containers removed by somebody else, an engine that stops, a log
//! the engine loses track of, a machine that is full.

use std::time::Duration;

use siesta::{
    domain::{AppId, DynoState, Plan, ReleaseStatus},
    dynos::{AppPhase, DynoError, Refusal, Which},
    engine::{
        Engine,
        fake::{Call, Script},
    },
    releases::ReleaseError,
};

use super::world::{Machine, World, serving};

const SECOND: Duration = Duration::from_secs(1);

/// Looks at the log until it holds the text.
async fn until_said(world: &World, app: AppId, text: &str) {
    while !world.lines(app).await.iter().any(|line| line.contains(text)) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn dynos_that_somebody_removes_come_back_and_never_cool_off() {
    let (world, app) = serving(&Machine::new()).await;
    for round in 1..=5 {
        let (container, _) = world.engine.running()[0].clone();
        world.engine.remove(container.clone()).await.expect("removed");
        // At once the first time, and after at most a minute ever after.
        if round > 1 {
            world.until(app, |status| status.dynos[0].state == DynoState::Crashed).await;
            world.pass(60 * SECOND);
        }
        world.engine.until(|engine| engine.running().iter().any(|(id, _)| *id != container)).await;
        let lease = world.request("tienda").await.expect("a request waits for the new one");
        assert_ne!(lease.target().container, container, "round {round}");
        world.until_running(1).await;
    }
    let lines = world.lines(app).await;
    let said = "heroku[web.1]: Error R99 (Platform error) -> The container was removed, or ended together with the container engine.";
    assert_eq!(lines.iter().filter(|line| *line == said).count(), 5, "{lines:#?}");
}

#[tokio::test]
async fn an_engine_that_stops_takes_dynos_along_and_they_come_back_with_it() {
    let (world, app) = serving(&Machine::new()).await;
    for (round, code) in [(1, 137), (2, 0)] {
        let (container, _) = world.engine.running()[0].clone();
        world.engine.set_unreachable(true);
        world.engine.crash(&container, code);
        // Its end is noticed, and nothing can be done about it.
        let removals = world.engine.calls(Call::Remove);
        world.engine.until(|engine| engine.calls(Call::Remove) > removals).await;
        world.engine.set_unreachable(false);
        if round > 1 {
            world.until(app, |status| status.dynos[0].state == DynoState::Crashed).await;
            world.pass(60 * SECOND);
        }
        world.engine.until(|engine| engine.running().iter().any(|(id, _)| *id != container)).await;
        drop(world.request("tienda").await.expect("it serves again"));
        world.until_running(1).await;
    }
    world.until_phase(app, AppPhase::Awake).await;
}

#[tokio::test]
async fn lines_of_a_log_the_engine_has_lost_track_of_are_read_anew() {
    let (world, app) = serving(&Machine::new()).await;
    let (container, _) = world.engine.running()[0].clone();
    world.clock.advance(SECOND);
    // More than a stream is trusted with.
    for _ in 0..120 {
        world.engine.print(&container, false, &"x".repeat(9_000));
    }
    world.engine.print(&container, false, "before the rotation");
    until_said(&world, app, "before the rotation").await;
    for word in ["lost once", "lost twice"] {
        world.engine.stall_logs(&container);
        world.engine.print(&container, false, word);
        until_said(&world, app, word).await;
    }
    let lines = world.lines(app).await;
    for word in ["before the rotation", "lost once", "lost twice"] {
        assert_eq!(lines.iter().filter(|line| line.ends_with(word)).count(), 1, "{word}");
    }
}

fn full_with_one() -> Machine {
    Machine { flags: vec!["--app-memory-mb", "600", "--disk-floor-mb", "0"], ..Machine::new() }
}

const SAID: &str = "heroku[web]: This server has no memory for two releases at once: the old dynos stop before the new ones start";

#[tokio::test]
async fn a_release_on_a_full_machine_stops_the_old_dyno_first_and_requests_wait() {
    let (world, app) = serving(&full_with_one()).await;
    let row = world.reader.app(app).await.expect("a row").expect("an app");
    let open = world.request("tienda").await.expect("it serves");
    let deploy = world.deploy(&row, "web: second");
    let visit = async {
        until_said(&world, app, SAID).await;
        assert_eq!(world.engine.running().len(), 1, "the old one has a request to finish, the new one must wait");
        let waits = world.request("tienda");
        drop(open);
        waits.await
    };
    let (deployed, served) = tokio::join!(deploy, visit);
    deployed.expect("v4");
    assert_eq!(world.engine.running()[0].0, served.expect("held, not refused").target().container);
    assert_eq!(world.engine.running()[0].1.command.last().map(String::as_str), Some("second"));
    world.dynos.restart(app, Which::All).await.expect("restarted");
    assert!(world.request("tienda").await.is_ok(), "a restart waits for its own memory too");
    assert_eq!(world.engine.calls(Call::Start), 3);
    let lines = world.lines(app).await;
    assert_eq!(lines.iter().filter(|line| *line == SAID).count(), 1);
    assert!(!lines.iter().any(|line| line.contains("R99")), "{lines:#?}");
}

#[tokio::test]
async fn a_release_that_does_not_boot_on_a_full_machine_gives_the_next_request_the_old_one() {
    let (world, app) = serving(&full_with_one()).await;
    let row = world.reader.app(app).await.expect("a row").expect("an app");
    world.engine.on("broken", Script::exits(1).says("boom"));
    let failed = world.deploy(&row, "web: broken").await;
    assert!(matches!(failed, Err(ReleaseError::Dynos(DynoError::DidNotBoot(_)))), "{failed:?}");
    let releases = world.reader.releases(app).await.expect("releases");
    assert!(releases.iter().any(|release| release.version.0 == 4 && release.status == ReleaseStatus::Failed));
    let served = loop {
        world.pass(SECOND);
        match world.request("tienda").await {
            Err(Refusal::Crashed) => tokio::task::yield_now().await,
            served => break served,
        }
    };
    served.expect("it serves");
    assert_eq!(world.engine.running()[0].1.command.last().map(String::as_str), Some("gunicorn app:app"));
}

#[tokio::test]
async fn a_release_with_room_for_both_stops_nothing_first() {
    let machine = Machine { flags: vec!["--app-memory-mb", "1100", "--disk-floor-mb", "0"], plan: Plan::free(), ..Machine::new() };
    let (world, app) = serving(&machine).await;
    let row = world.reader.app(app).await.expect("a row").expect("an app");
    world.deploy(&row, "web: second").await.expect("v4");
    world.until_running(1).await;
    assert!(!world.lines(app).await.contains(&SAID.to_owned()));
}
