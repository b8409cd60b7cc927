//! The quota as people meet it: the warning, the header, the refusals, the monthly pool.

use std::time::Duration;

use siesta::{
    clock::Clock,
    domain::{Plan, QuotaKind, Timestamp, event::EventKind},
    dynos::{AppPhase, DynoError, Refusal, RunOrder},
    plans::PlanChange,
};

use crate::{
    api::server::Server,
    dynos::world::{Machine, World},
};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const WEB: &str = "web: gunicorn app:app";

async fn events(world: &World, app: siesta::domain::AppId, kind: EventKind) -> usize {
    world.reader.events(app, 100).await.unwrap().iter().filter(|event| event.kind == kind).count()
}

#[tokio::test]
async fn four_fifths_of_the_quota_are_told_once() {
    let machine = Machine::new();
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.unwrap();
    let tunnel = world.request("tienda").await.unwrap();
    let awake = async |time: Duration| {
        world.pass(time);
        world.until(app.id, |status| status.quota.used >= time).await
    };
    assert!(!awake(14 * HOUR).await.quota_warning);
    assert!(awake(24 * MINUTE).await.quota_warning || world.until(app.id, |status| status.quota_warning).await.quota_warning);
    let until = world.clock.now() + 18 * HOUR - (14 * HOUR + 24 * MINUTE);
    let said = format!("app[api]: Quota warning: 14h 24m awake are used; the app rests from {until} if it stays awake");
    assert!(world.lines(app.id).await.contains(&said), "{:#?}", world.lines(app.id).await);
    awake(MINUTE).await;
    assert_eq!(events(&world, app.id, EventKind::QuotaWarning).await, 1);
    drop(tunnel);
    world.stop().await;
    let world = machine.serve().await;
    world.until(app.id, |status| status.quota_warning).await;
    assert_eq!(events(&world, app.id, EventKind::QuotaWarning).await, 1, "the next server does not say it again");
}

#[tokio::test]
async fn nothing_starts_while_an_app_rests() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.unwrap();
    let tunnel = world.request("tienda").await.unwrap();
    world.pass(18 * HOUR);
    let until = world.clock.now() + 6 * HOUR;
    world.until_phase(app.id, AppPhase::Resting { until }).await;
    drop(tunnel);
    let order = RunOrder {
        command: "ls".to_owned(),
        process_type: "run".parse().unwrap(),
        env: Vec::new(),
        time_to_live: None,
        by: world.by.clone(),
    };
    let refused = world.dynos.run_detached(app.id, order).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("The app has used up its quota and rests until {until}. No dyno starts before."));
    assert!(matches!(world.dynos.wake(app.id).await, Err(DynoError::Resting { .. })));
    assert!(matches!(world.request("tienda").await, Err(Refusal::Resting { .. })));
    world.until_running(0).await;
    world.pass(6 * HOUR);
    world.until_phase(app.id, AppPhase::Asleep).await;
    world.dynos.wake(app.id).await.unwrap();
    world.until_up(app.id).await;
}

#[tokio::test]
async fn clients_are_warned_and_told_how_long_it_lasts() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    let dynos = &server.house.owners.dynos;
    let mut status = dynos.status(app.id).unwrap();
    status.wait_for(|status| status.phase == AppPhase::Awake).await.unwrap();
    assert_eq!(server.get(&ana, "/apps/tienda").await.header("x-heroku-warning"), None);
    server.clock.advance(15 * HOUR);
    dynos.sweep();
    status.wait_for(|status| status.quota_warning).await.unwrap();
    let header = server.get(&ana, "/apps/tienda/dynos").await.header("x-heroku-warning").map(str::to_owned);
    assert_eq!(header.as_deref(), Some("This app has 3h 0m of its quota left; then it rests."));
    assert_eq!(server.get(&ana, "/apps").await.header("x-heroku-warning"), None);
    let asked = server.call(Some(&ana.token), http::Method::POST, "/apps/tienda/actions/get-quota", None).await.json();
    assert!(asked["deny_until"].is_null() && asked["allow_until"].is_string(), "{asked}");
    let none = PlanChange { quota: Some(QuotaKind::None), ..PlanChange::default() };
    server.house.owners.plans.set("free", &none).await.unwrap();
    let asked = server.call(Some(&ana.token), http::Method::POST, "/apps/tienda/actions/get-quota", None).await;
    assert_eq!(asked.status, 404, "no quota, nothing to tell");
    server.stop().await;
}

#[tokio::test]
async fn apps_of_an_account_use_up_one_monthly_pool_and_rest_until_the_next_month() {
    let plan = Plan { quota: QuotaKind::Monthly, monthly_pool: 20 * HOUR, ..Plan::free() };
    let world = Machine { plan, ..Machine::new() }.serve().await;
    let october = Timestamp::from_secs(1_790_812_800);
    let (one, two) = (world.app("one").await, world.app("two").await);
    for app in [&one, &two] {
        world.deploy(app, WEB).await.unwrap();
    }
    let open = [world.request("one").await.unwrap(), world.request("two").await.unwrap()];
    world.pass(5 * HOUR);
    let status = world.until(one.id, |status| status.quota.used >= 10 * HOUR).await;
    assert_eq!(status.quota.allow_until, Some(world.clock.now() + 5 * HOUR), "both use it up");
    world.pass(5 * HOUR);
    for app in [&one, &two] {
        world.until_phase(app.id, AppPhase::Resting { until: october }).await;
    }
    drop(open);
    world.until_running(0).await;
    world.apps.destroy(two.id, &world.by).await.unwrap();
    let three = world.app("three").await;
    world.deploy(&three, WEB).await.unwrap();
    world.until_phase(three.id, AppPhase::Resting { until: october }).await;
    let left = october.since(world.clock.now());
    world.pass(left);
    world.until_phase(one.id, AppPhase::Asleep).await;
    assert!(world.request("one").await.is_ok(), "a new month, a new pool");
}

#[tokio::test]
async fn each_dyno_of_an_app_uses_up_the_monthly_pool() {
    let plan = Plan { quota: QuotaKind::Monthly, monthly_pool: 20 * HOUR, ..Plan::free() };
    let machine = Machine { plan, ..Machine::new() };
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    let workers = async |world: &World, count: &str| {
        let change = [("worker".parse().unwrap(), count.parse().unwrap())];
        world.dynos.scale(app.id, &change, &world.by).await.unwrap();
    };
    let used = async |world: &World, hours: u32| world.until(app.id, |status| status.quota.used == hours * HOUR).await.quota;
    world.deploy(&app, "web: gunicorn app:app\nworker: python worker.py").await.unwrap();
    let open = world.request("tienda").await.unwrap();
    world.pass(3 * HOUR);
    used(&world, 3).await;
    workers(&world, "1").await;
    world.until_running(2).await;
    world.pass(2 * HOUR);
    assert_eq!(used(&world, 3 + 4).await.allow_until, Some(world.clock.now() + 13 * HOUR / 2), "web and worker use it up together");
    drop(open);
    world.stop().await;
    let world = machine.serve().await;
    world.until_up(app.id).await;
    let open = world.request("tienda").await.unwrap();
    world.pass(HOUR);
    used(&world, 3 + 6).await;
    workers(&world, "0").await;
    world.until_running(1).await;
    world.pass(HOUR);
    assert_eq!(used(&world, 3 + 6 + 1).await.allow_until, Some(world.clock.now() + 10 * HOUR));
    let spans = world.dynos.awake_spans(app.id, 24 * HOUR).await.unwrap();
    assert_eq!(spans.len(), 1, "awake all the while: {spans:?}");
    drop(open);
}
