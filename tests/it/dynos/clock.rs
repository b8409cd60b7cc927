//! Clocks that jump: a machine that was suspended, a clock set back.

use std::time::Duration;

use siesta::{
    clock::Clock,
    domain::AppId,
    dynos::{AppPhase, Which},
};

use super::world::{Machine, World};

const WEB: &str = "web: gunicorn app:app";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Lets the sweep look, and waits until the app's supervisor has done so too.
async fn seen(world: &World, app: AppId) {
    world.dynos.sweep();
    // The turn that follows the first comes before the answer to the second.
    for _ in 0..2 {
        world.dynos.app_changed(app).await.expect("a supervisor");
    }
}

async fn used(world: &World, app: AppId, hours: u32) {
    world.until(app, |status| status.quota.used == hours * HOUR).await;
}

#[tokio::test]
async fn a_machine_that_was_suspended_counts_no_time_against_the_quota() {
    let machine = Machine::new();
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    let tunnel = world.request("tienda").await.expect("a long one");
    world.pass(2 * HOUR);
    used(&world, app.id, 2).await;
    machine.clock.set_forward(20 * HOUR);
    seen(&world, app.id).await;
    world.pass(HOUR);
    used(&world, app.id, 3).await;
    world.until_phase(app.id, AppPhase::Awake).await;
    world.stop().await;
    drop(tunnel);
    let world = machine.serve().await;
    used(&world, app.id, 3).await;
}

#[tokio::test]
async fn a_clock_set_back_gives_no_time_for_nothing_and_keeps_nobody_out_for_longer_than_a_rest() {
    let machine = Machine::new();
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    let tunnel = world.request("tienda").await.expect("a long one");
    world.pass(HOUR);
    used(&world, app.id, 1).await;
    machine.clock.set_back(240 * HOUR);
    seen(&world, app.id).await;
    world.pass(17 * HOUR);
    used(&world, app.id, 17).await;
    world.pass(HOUR);
    let rests = |world: &World| AppPhase::Resting { until: world.clock.now() + 6 * HOUR };
    world.until_phase(app.id, rests(&world)).await;
    drop(tunnel);

    machine.clock.set_back(240 * HOUR);
    seen(&world, app.id).await;
    world.until_phase(app.id, rests(&world)).await;
    world.stop().await;
    machine.clock.set_back(240 * HOUR);
    let world = machine.serve().await;
    world.until_phase(app.id, rests(&world)).await;
    world.pass(6 * HOUR);
    world.until_phase(app.id, AppPhase::Asleep).await;

    let tunnel = world.request("tienda").await.expect("the rest is over");
    world.until_phase(app.id, AppPhase::Awake).await;
    machine.clock.set_back(240 * HOUR);
    seen(&world, app.id).await;
    world.pass(5 * HOUR);
    used(&world, app.id, 5).await;
    drop(tunnel);
}

#[tokio::test]
async fn a_clock_set_back_does_not_keep_an_idle_app_awake() {
    let machine = Machine::new();
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    drop(world.request("tienda").await.expect("it serves"));
    world.pass(MINUTE);
    machine.clock.set_back(240 * HOUR);
    seen(&world, app.id).await;
    world.pass(29 * MINUTE);
    seen(&world, app.id).await;
    world.until_phase(app.id, AppPhase::Awake).await;
    world.pass(MINUTE);
    world.until_phase(app.id, AppPhase::Asleep).await;
}

#[tokio::test]
async fn a_clock_set_back_leaves_no_crashed_dyno_down_for_longer_than_its_pause() {
    let machine = Machine::new();
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.expect("a release");
    let crash = async || {
        let lease = world.request("tienda").await.expect("it serves");
        world.engine.crash(&lease.target().container, 1);
        lease.target().container.clone()
    };
    let first = crash().await;
    world.engine.until(|engine| engine.running().iter().any(|(id, _)| *id != first)).await;
    world.until_up(app.id).await;
    crash().await;
    world.until_phase(app.id, AppPhase::Crashed).await;
    machine.clock.set_back(240 * HOUR);
    seen(&world, app.id).await;
    world.pass(20 * MINUTE);
    world.until_up(app.id).await;
    world.dynos.restart(app.id, Which::All).await.expect("it can be restarted");
}
