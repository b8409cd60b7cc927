//! Sleep, wake, crashes, the quota, and the server's own restart.

use std::time::Duration;

use siesta::{
    clock::Clock,
    domain::{DynoState, event::EventKind},
    dynos::{AppPhase, Refusal, Which},
    engine::{
        EngineError,
        fake::{Call, Latch, Script},
    },
    scheduler::Tasks,
};
use tokio::task::JoinSet;

use super::world::{Machine, World, request};

const WEB: &str = "web: gunicorn app:app";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn fall_asleep(world: &World, app: siesta::domain::AppId) {
    world.pass(30 * MINUTE);
    world.until_phase(app, AppPhase::Asleep).await;
    world.until_running(0).await;
}

#[tokio::test]
async fn an_app_without_traffic_sleeps_with_its_worker_and_wakes_with_it() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, "web: gunicorn app:app\nworker: python worker.py").await.expect("a release");
    world.dynos.scale(app.id, &[("worker".parse().expect("a type"), "1".parse().expect("one"))], &world.by).await.expect("scaled");
    world.until_running(2).await;
    world.pass(29 * MINUTE);
    drop(world.request("tienda").await.expect("it serves"));
    world.pass(29 * MINUTE);
    assert!(world.request("tienda").await.is_ok(), "a request keeps it awake");
    let from = world.lines(app.id).await.len();
    fall_asleep(&world, app.id).await;
    let asleep = world.until(app.id, |status| status.dynos.iter().all(|dyno| dyno.state == DynoState::Idle)).await;
    assert_eq!(asleep.dynos.len(), 2);
    assert!(world.request("tienda").await.is_ok());
    world.until_running(2).await;
    world.until_up(app.id).await;
    let lines = world.lines(app.id).await;
    let web: Vec<&str> = lines[from..].iter().filter_map(|line| line.strip_prefix("heroku[web.1]: ")).collect();
    let words = [
        "Idling",
        "State changed from up to down",
        "Stopping all processes with SIGTERM",
        "Process exited with status 143",
        "Unidling",
        "State changed from down to starting",
        "Starting process with command `gunicorn app:app`",
        "State changed from starting to up",
    ];
    assert_eq!(web, words);
    let why: Vec<&str> = lines[from..].iter().filter_map(|line| line.strip_prefix("heroku[web]: ")).collect();
    assert!(why[0].starts_with("No request for ") && why[1..] == ["Woken by a request"], "{why:?}");
    let spans = world.dynos.awake_spans(app.id, 24 * HOUR).await.expect("spans");
    assert_eq!(spans.len(), 2);
    assert!(spans[0].to.is_some() && spans[1].to.is_none());
    let kinds: Vec<EventKind> = world.reader.events(app.id, 2).await.expect("events").iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Wake, EventKind::Sleep]);
}

#[tokio::test]
async fn a_thousand_requests_to_a_sleeping_app_cause_one_start() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    fall_asleep(&world, app.id).await;
    let starts = world.engine.calls(Call::Start);
    let booted = Latch::new();
    world.engine.on("gunicorn", Script::default().boots_when(&booted));
    let gate = world.gate("tienda");
    let mut visits = JoinSet::new();
    for _ in 0..1_000 {
        let gate = gate.clone();
        visits.spawn(async move { request(&gate).await.is_ok() });
    }
    world.engine.until(|engine| engine.running().len() == 1).await;
    while gate.waiting() < 1_000 {
        tokio::task::yield_now().await;
    }
    booted.open();
    assert!(visits.join_all().await.into_iter().all(|served| served));
    assert_eq!(world.engine.calls(Call::Start), starts + 1);
    assert_eq!(gate.waiting(), 0);
}

#[tokio::test]
async fn a_wake_that_fails_answers_at_once_and_is_tried_again_after_a_pause() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    fall_asleep(&world, app.id).await;
    world.engine.on("gunicorn", Script::exits(1).says("boom"));
    let starts = world.engine.calls(Call::Start);
    assert!(matches!(world.request("tienda").await, Err(Refusal::Crashed)));
    assert!(matches!(world.request("tienda").await, Err(Refusal::Crashed)), "no second start within the pause");
    assert_eq!(world.engine.calls(Call::Start), starts + 1);
    world.until_phase(app.id, AppPhase::Crashed).await;
    world.engine.on("gunicorn", Script::default());
    let mut status = world.status(app.id);
    status.mark_unchanged();
    world.pass(Duration::from_secs(1));
    let gate = world.gate("tienda");
    while matches!(gate.enter(), siesta::dynos::Entry::Refused(_)) {
        tokio::task::yield_now().await;
    }
    assert!(world.request("tienda").await.is_ok());
}

#[tokio::test]
async fn a_platform_that_cannot_start_a_dyno_says_so() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    fall_asleep(&world, app.id).await;
    world.engine.fail_next(Call::Create, EngineError::Refused("no space left".to_owned()));
    assert!(matches!(world.request("tienda").await, Err(Refusal::Platform)));
    let lines = world.lines(app.id).await;
    assert!(lines.iter().any(|line| line.contains("Error R99 (Platform error) -> ") && line.contains("no space left")), "{lines:#?}");
}

#[tokio::test]
async fn a_crashed_dyno_restarts_at_once_and_then_cools_off() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    let first = world.engine.running()[0].0.clone();
    world.engine.crash(&first, 1);
    world.engine.until(|engine| engine.running().iter().any(|(id, _)| *id != first)).await;
    let lease = world.request("tienda").await.expect("restarted at once");
    let second = lease.target().container.clone();
    drop(lease);
    world.engine.crash(&second, 1);
    world.until_phase(app.id, AppPhase::Crashed).await;
    assert!(matches!(world.request("tienda").await, Err(Refusal::Crashed)));
    world.until_running(0).await;
    world.pass(20 * MINUTE);
    world.until_up(app.id).await;
    world.dynos.restart(app.id, Which::All).await.expect("restarted");
    let lines = world.lines(app.id).await;
    assert!(lines.contains(&"heroku[web.1]: State changed from up to crashed".to_owned()));
    assert!(lines.contains(&"heroku[web.1]: State changed from crashed to starting".to_owned()));
}

#[tokio::test]
async fn an_app_stopped_by_hand_sleeps_and_one_woken_by_hand_is_awake() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    world.dynos.stop(app.id, Which::All).await.expect("stopped");
    world.until_phase(app.id, AppPhase::Asleep).await;
    world.until_running(0).await;
    world.dynos.wake(app.id).await.expect("woken");
    world.until_up(app.id).await;
}

#[tokio::test]
async fn the_idle_time_of_a_slow_wake_begins_when_the_app_is_up() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    fall_asleep(&world, app.id).await;
    let booted = Latch::new();
    world.engine.on("gunicorn", Script::default().boots_when(&booted));
    world.dynos.wake(app.id).await.expect("woken");
    world.until_running(1).await;
    world.pass(40 * MINUTE);
    booted.open();
    world.until_up(app.id).await;
    let sleeps_at = world.clock.now() + 30 * MINUTE;
    world.until(app.id, |status| status.phase == AppPhase::Awake && status.sleeps_at == Some(sleeps_at)).await;
}

#[tokio::test]
async fn a_release_of_a_sleeping_app_waits_for_the_next_request() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, "web: first").await.expect("a release");
    fall_asleep(&world, app.id).await;
    world.deploy(&app, "web: second").await.expect("a release");
    assert!(world.engine.running().is_empty());
    assert!(world.request("tienda").await.is_ok());
    assert_eq!(world.engine.running()[0].1.command.last().map(String::as_str), Some("second"));
}

#[tokio::test]
async fn eighteen_hours_awake_are_followed_by_six_hours_of_rest() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, "web: gunicorn app:app").await.expect("a release");
    let tunnel = world.request("tienda").await.expect("a long one");
    world.pass(18 * HOUR - MINUTE);
    world.until(app.id, |status| status.quota.used == 18 * HOUR - MINUTE).await;
    world.pass(MINUTE);
    let until = world.clock.now() + 6 * HOUR;
    world.until_phase(app.id, AppPhase::Resting { until }).await;
    drop(tunnel);
    world.until_running(0).await;
    assert!(matches!(world.request("tienda").await, Err(Refusal::Resting { until: said }) if said == until));
    world.deploy(&app, "web: later").await.expect("a deploy goes through, its dynos wait");
    assert!(world.engine.running().is_empty());
    world.pass(6 * HOUR);
    world.until_phase(app.id, AppPhase::Asleep).await;
    assert!(world.request("tienda").await.is_ok());
    world.until(app.id, |status| status.quota.used == Duration::ZERO && status.phase == AppPhase::Awake).await;
}

#[tokio::test]
async fn an_app_of_workers_never_sleeps_and_starts_again_after_its_rest() {
    let world = Machine::new().serve().await;
    let app = world.app("bot").await;
    world.deploy(&app, "worker: python bot.py").await.expect("a release");
    world.dynos.scale(app.id, &[("worker".parse().expect("a type"), "1".parse().expect("one"))], &world.by).await.expect("scaled");
    world.until_phase(app.id, AppPhase::Awake).await;
    world.pass(17 * HOUR);
    world.until(app.id, |status| status.quota.used == 17 * HOUR && status.phase == AppPhase::Awake).await;
    world.pass(HOUR);
    world.until(app.id, |status| matches!(status.phase, AppPhase::Resting { .. })).await;
    world.until_running(0).await;
    world.pass(6 * HOUR);
    world.until_phase(app.id, AppPhase::Awake).await;
    world.until_running(1).await;
}

#[tokio::test]
async fn running_dynos_are_adopted_by_the_next_server() {
    let machine = Machine::new();
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    let before = world.engine.running()[0].0.clone();
    world.engine.print(&before, false, "one");
    world.stop().await;
    machine.engine.print(&before, false, "two");
    let world = machine.serve().await;
    let lease = world.request("tienda").await.expect("it serves on");
    assert_eq!(lease.target().container, before);
    drop(lease);
    assert_eq!(world.engine.calls(Call::Start), 1, "nothing was restarted");
    fall_asleep(&world, app.id).await;
    world.stop().await;

    let world = machine.serve().await;
    world.until_phase(app.id, AppPhase::Asleep).await;
    assert!(world.engine.running().is_empty(), "a sleeping app stays asleep");
    let lines = world.lines(app.id).await;
    assert_eq!(lines.iter().filter(|line| *line == "app[web.1]: one").count(), 1, "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| *line == "app[web.1]: two").count(), 1, "{lines:#?}");
}

#[tokio::test]
async fn an_empty_database_removes_no_container() {
    let machine = Machine::new();
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    world.stop().await;
    let other = Machine { engine: machine.engine.clone(), ..Machine::new() };
    let world = other.serve().await;
    assert_eq!(world.engine.running().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn an_engine_that_is_away_at_the_start_is_waited_for() {
    let machine = Machine::new();
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    world.stop().await;
    machine.engine.set_unreachable(true);
    let world = machine.serve().await;
    let gate = world.gate("tienda");
    let tasks = Tasks::new();
    let (tell, told) = tokio::sync::oneshot::channel();
    tasks.spawn(async move {
        let _ = tell.send(request(&gate).await.is_ok());
    });
    machine.engine.set_unreachable(false);
    assert!(told.await.expect("an answer"), "the request was held, not lost");
    assert_eq!(world.engine.calls(Call::Start), 1);
}

#[tokio::test]
async fn pages_of_its_own_come_and_go_with_the_config_vars() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, "web: gunicorn app:app").await.expect("a release");
    world.set(app.id, "MAINTENANCE_PAGE_URL", Some("https://obras.example/page.html")).await;
    world.set(app.id, "ERROR_PAGE_URL", Some("not a page")).await;
    // The release that a change makes reaches the gate in its own time.
    let gate = world.gate("tienda");
    while gate.pages().maintenance.as_ref().is_none_or(|page| page.origin != "https://obras.example") {
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.pages().error, None);
    world.set(app.id, "MAINTENANCE_PAGE_URL", None).await;
    while gate.pages().maintenance.is_some() {
        tokio::task::yield_now().await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_dyno_of_a_day_is_cycled_and_requests_wait_for_the_new_one() {
    let mut machine = Machine::new();
    machine.plan.awake_limit = 1_000 * HOUR;
    machine.plan.quota_window = 1_000 * HOUR;
    machine.plan.idle_after = 1_000 * HOUR;
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    world.until_up(app.id).await;
    let (first, _) = world.engine.running().pop().expect("it runs");
    world.pass(24 * HOUR - MINUTE);
    drop(world.request("tienda").await.expect("it serves"));
    assert_eq!(world.engine.running()[0].0, first, "not a day old");
    let from = world.lines(app.id).await.len();
    world.pass(217 * MINUTE);
    world.engine.until(|engine| engine.running().iter().all(|(id, _)| *id != first) && engine.containers().len() == 1).await;
    drop(world.request("tienda").await.expect("it serves"));
    world.until_up(app.id).await;
    let lines = world.lines(app.id).await;
    let web: Vec<&str> = lines[from..].iter().filter_map(|line| line.strip_prefix("heroku[web.1]: ")).collect();
    assert_eq!(web[..2], ["Cycling", "State changed from up to starting"], "{web:?}");
}
