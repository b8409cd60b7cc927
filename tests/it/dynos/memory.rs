//! What dynos use: samples in the log and for graphs, the memory rule, the nap.

use std::time::Duration;

use siesta::{
    domain::{AppId, DynoState, Plan, SleepBy, feature::Feature},
    dynos::AppPhase,
    engine::{Usage, fake::Call},
};

use super::world::{Machine, World, serving};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const MIB: u64 = 1 << 20;

fn using(rss: u64, swap: u64, cpu: Duration) -> Usage {
    Usage {
        memory_bytes: (rss + 2) * MIB,
        memory_rss_bytes: rss * MIB,
        memory_cache_bytes: 2 * MIB,
        memory_idle_cache_bytes: 2 * MIB,
        swap_bytes: swap * MIB,
        pages_in: 7,
        pages_out: 5,
        cpu_nanos: u64::try_from(cpu.as_nanos()).unwrap(),
        pids: 2,
        ..Usage::default()
    }
}

/// The server looks 20 seconds later at dynos that use this; the lines it adds to the log.
async fn look(world: &World, app: AppId, usage: Usage) -> Vec<String> {
    let from = world.lines(app).await.len();
    for (id, _) in world.engine.running() {
        world.engine.set_usage(&id, usage);
    }
    world.clock.advance(20 * SECOND);
    world.dynos.sample().await.expect("a look");
    world.lines(app).await.split_off(from)
}

fn with_swap() -> Machine {
    let machine = Machine::new();
    machine.engine.set_swap(true);
    machine
}

#[tokio::test]
async fn samples_go_into_the_log_of_an_app_that_asked_for_them() {
    let (world, app) = serving(&Machine::new()).await;
    assert_eq!(look(&world, app, using(30, 0, SECOND)).await, Vec::<String>::new(), "not asked for");
    world.apps.set_feature(app, Feature::LogRuntimeMetrics, true).await.expect("a feature");
    let lines = look(&world, app, using(32, 4, 11 * SECOND)).await;
    let dyno = world.status(app).borrow().dynos[0].id;
    let source = format!("heroku[web.1]: source=web.1 dyno=heroku.{app}.{dyno}");
    assert_eq!(
        lines,
        [
            format!("{source} sample#load_avg_1m=0.14 sample#load_avg_5m=0.03 sample#load_avg_15m=0.01"),
            format!(
                "{source} sample#memory_total=38.00MB sample#memory_rss=32.00MB sample#memory_cache=2.00MB sample#memory_swap=4.00MB \
                 sample#memory_pgpgin=7pages sample#memory_pgpgout=5pages sample#memory_quota=512.00MB"
            ),
        ]
    );
    world.apps.set_feature(app, Feature::LogRuntimeMetrics, false).await.expect("a feature");
    assert_eq!(look(&world, app, using(30, 0, 12 * SECOND)).await, Vec::<String>::new());
    let points: Vec<_> = world.dynos.metrics(app, HOUR).into_values().flatten().collect();
    assert_eq!(points.iter().map(siesta::metrics::Point::used_bytes).max(), Some(36 * MIB));
    assert_eq!(points.iter().map(siesta::metrics::Point::cpu).sum::<Duration>(), 11 * SECOND);
}

#[tokio::test]
async fn with_swap_a_dyno_over_its_quota_is_named_and_one_at_twice_its_quota_killed() {
    let (world, app) = serving(&with_swap()).await;
    assert_eq!(look(&world, app, using(500, 12, SECOND)).await, Vec::<String>::new());
    let over = ["heroku[web.1]: Process running mem=529MB(103.3%)", "heroku[web.1]: Error R14 (Memory quota exceeded)"];
    assert_eq!(look(&world, app, using(500, 29, SECOND)).await, over);
    assert_eq!(look(&world, app, using(500, 29, SECOND)).await, over, "as long as it lasts");
    let from = world.lines(app).await.len();
    look(&world, app, using(512, 512, SECOND)).await;
    // A first crash restarts at once.
    world.engine.until(|engine| engine.calls(Call::Start) == 2).await;
    world.until_up(app).await;
    let lines = world.lines(app).await.split_off(from);
    let words = [
        "heroku[web.1]: Process running mem=1024MB(200.0%)",
        "heroku[web.1]: Error R15 (Memory quota vastly exceeded)",
        "heroku[web.1]: Stopping process with SIGKILL",
        "heroku[web.1]: Process exited with status 137",
        "heroku[web.1]: State changed from up to crashed",
    ];
    assert_eq!(lines[..words.len()], words);
}

#[tokio::test]
async fn without_swap_a_full_working_set_is_named() {
    let (world, app) = serving(&Machine::new()).await;
    assert_eq!(look(&world, app, using(505, 0, SECOND)).await, Vec::<String>::new());
    let full = ["heroku[web.1]: Process running mem=511MB(99.8%)", "heroku[web.1]: Error R14 (Memory quota exceeded)"];
    assert_eq!(look(&world, app, using(511, 0, SECOND)).await, full);
}

#[tokio::test]
async fn a_process_the_kernel_kills_inside_a_dyno_that_goes_on_is_named_once() {
    let (world, app) = serving(&Machine::new()).await;
    let killed = Usage { oom_kills: 1, ..using(30, 0, SECOND) };
    let words = ["heroku[web.1]: Process running mem=512MB(100.0%)", "heroku[web.1]: Error R15 (Memory quota vastly exceeded)"];
    assert_eq!(look(&world, app, killed).await, words);
    assert_eq!(look(&world, app, killed).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_idle_app_naps_serves_at_once_and_is_stopped_when_its_idle_time_is_over() {
    let (world, app) = serving(&with_swap()).await;
    let (container, _) = world.engine.running().remove(0);
    world.pass(59 * SECOND);
    world.until_phase(app, AppPhase::Awake).await;
    assert_eq!(world.engine.calls(Call::Reclaim), 0);
    world.pass(SECOND);
    let napping = world.until_phase(app, AppPhase::Napping).await;
    assert!(napping.sleeps_at.is_some());
    world.engine.until(|engine| engine.calls(Call::Reclaim) == 1).await;
    let lease = world.request("tienda").await.expect("it serves");
    assert_eq!(lease.target().container, container, "the same dyno, running on");
    world.until_phase(app, AppPhase::Awake).await;
    world.pass(10 * MINUTE);
    assert_eq!(world.until(app, |_| true).await.phase, AppPhase::Awake, "an open request keeps it from napping");
    drop(lease);
    world.pass(MINUTE);
    world.until_phase(app, AppPhase::Napping).await;
    world.engine.until(|engine| engine.calls(Call::Reclaim) == 2).await;
    world.pass(29 * MINUTE);
    world.until_phase(app, AppPhase::Asleep).await;
    world.until_running(0).await;
}

#[tokio::test]
async fn workers_nap_with_web_and_run_on() {
    let world = with_swap().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, "web: gunicorn app:app\nworker: python worker.py").await.expect("a release");
    world.dynos.scale(app.id, &[("worker".parse().expect("a type"), "1".parse().expect("one"))], &world.by).await.expect("scaled");
    world.until(app.id, |status| status.dynos.len() == 2 && status.dynos.iter().all(|dyno| dyno.state == DynoState::Up)).await;
    world.pass(MINUTE);
    world.until_phase(app.id, AppPhase::Napping).await;
    world.engine.until(|engine| engine.calls(Call::Reclaim) == 2).await;
    assert_eq!(world.engine.running().len(), 2);
}

#[tokio::test]
async fn a_plan_may_nap_instead_of_stop_and_the_nap_counts_as_awake() {
    let machine = Machine { plan: Plan { sleep_by: SleepBy::Nap, ..Plan::free() }, ..with_swap() };
    let (world, app) = serving(&machine).await;
    world.pass(MINUTE);
    world.until_phase(app, AppPhase::Napping).await;
    world.pass(10 * HOUR);
    let status = world.until(app, |status| status.quota.used >= 10 * HOUR).await;
    assert_eq!((status.phase, status.sleeps_at), (AppPhase::Napping, None));
    world.pass(8 * HOUR);
    world.until(app, |status| matches!(status.phase, AppPhase::Resting { .. })).await;
    world.until_running(0).await;
}

#[tokio::test]
async fn without_swap_nobody_naps_and_a_plan_that_wants_to_stops() {
    let machine = Machine { plan: Plan { sleep_by: SleepBy::Nap, ..Plan::free() }, ..Machine::new() };
    let (world, app) = serving(&machine).await;
    assert!(!world.dynos.can_nap());
    world.pass(5 * MINUTE);
    world.until(app, |status| status.phase == AppPhase::Awake && status.sleeps_at.is_some()).await;
    world.pass(30 * MINUTE);
    world.until_phase(app, AppPhase::Asleep).await;
    assert_eq!(world.engine.calls(Call::Reclaim), 0);
}
