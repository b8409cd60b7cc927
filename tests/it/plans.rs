//! Plans: who has which, what a change does to running apps, and each limit at its door.

use std::{path::Path, time::Duration};

use http::{Method, StatusCode};
use serde_json::json;
use siesta::{
    admin::{AdminClient, PlanCommand},
    domain::{DynoState, Holder, Plan, QuotaKind, SleepBy},
    dynos::{AppPhase, AppStatus, DynoError},
    plans::{PlanChange, PlanError},
};

use crate::{
    api::server::Server,
    dynos::world::{Machine, World},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const BOTH: &str = "web: gunicorn app:app\nworker: python worker.py";

fn change() -> PlanChange {
    PlanChange::default()
}

async fn scale(world: &World, app: siesta::domain::AppId, process_type: &str, count: &str) -> Result<(), DynoError> {
    let changes = [(process_type.parse().unwrap(), count.parse().unwrap())];
    world.dynos.scale(app, &changes, &world.by).await.map(drop)
}

#[tokio::test]
async fn an_app_has_its_own_plan_else_its_accounts_else_free() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    assert_eq!(*world.plans.of(&app), Plan::free());
    world.plans.set("class", &PlanChange { memory_mb: Some(256.0), ..change() }).await.unwrap();
    world.plans.set("lab", &change()).await.unwrap();
    world.plans.assign(Holder::Account(world.by.id), Some("class")).await.unwrap();
    assert_eq!(world.plans.of(&app).memory_bytes, 256 * 1024 * 1024);
    world.plans.assign(Holder::App(app.id), Some("lab")).await.unwrap();
    assert_eq!(world.plans.of(&app).name, "lab");
    assert_eq!(world.plans.holders("class"), (0, 1));
    let refused = world.plans.delete("lab").await.unwrap_err();
    assert_eq!(refused.to_string(), "1 apps and 0 accounts have the plan lab. Give them another one first.");
    assert!(matches!(world.plans.delete("free").await, Err(PlanError::Free)));
    assert!(matches!(world.plans.assign(Holder::App(app.id), Some("gold")).await, Err(PlanError::NoSuchPlan(name)) if name == "gold"));
    assert_eq!(world.plans.of(&app).name, "lab", "a plan that is not there takes nothing away");
    world.plans.assign(Holder::App(app.id), None).await.unwrap();
    world.plans.delete("lab").await.unwrap();
    assert_eq!(world.plans.of(&app).name, "class");
}

#[tokio::test]
async fn a_changed_idle_time_counts_for_a_running_app_at_once() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, "web: gunicorn app:app").await.unwrap();
    world.until_up(app.id).await;
    world.pass(MINUTE);
    world.plans.set("free", &PlanChange { idle_minutes: Some(0.5), ..change() }).await.unwrap();
    world.until_phase(app.id, AppPhase::Asleep).await;
}

#[tokio::test]
async fn another_memory_limit_starts_the_dynos_again_with_it() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, "web: gunicorn app:app").await.unwrap();
    world.until_up(app.id).await;
    world.plans.set("class", &PlanChange { memory_mb: Some(128.0), ..change() }).await.unwrap();
    world.plans.assign(Holder::App(app.id), Some("class")).await.unwrap();
    let with_it = |engine: &siesta::engine::fake::FakeEngine| {
        let running = engine.running();
        running.len() == 1 && running[0].1.memory_bytes == 128 * 1024 * 1024
    };
    world.engine.until(with_it).await;
    assert!(world.request("tienda").await.is_ok());
    let lines = world.lines(app.id).await;
    for said in ["app[api]: Plan changed to class", "app[api]: Dynos restart with 128 MB of memory each"] {
        assert!(lines.iter().any(|line| line == said), "{said}: {lines:#?}");
    }
}

#[tokio::test]
async fn a_smaller_plan_scales_away_what_is_too_much() {
    let machine = Machine { plan: Plan { dynos_per_type: 3, ..Plan::free() }, ..Machine::new() };
    let world = machine.serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, BOTH).await.unwrap();
    scale(&world, app.id, "web", "2").await.unwrap();
    scale(&world, app.id, "worker", "3").await.unwrap();
    world.until_running(5).await;
    world.plans.set("free", &PlanChange { dynos_per_type: Some(1), process_types: Some(1), ..change() }).await.unwrap();
    world.until_running(1).await;
    let counts: Vec<u32> = world.dynos.formation(app.id).await.unwrap().iter().map(|row| row.quantity).collect();
    assert_eq!(counts, [1, 0]);
    assert!(world.lines(app.id).await.contains(&"app[api]: Scaled to web@1:Free worker@0:Free by plan free".to_owned()));
    let refused = scale(&world, app.id, "worker", "1").await.unwrap_err().to_string();
    assert_eq!(refused, "Cannot run more than 1 Free size process types at once. Scale another one to 0 first.");
}

#[tokio::test]
async fn a_plan_without_quota_ends_a_rest_and_one_without_sleep_wakes_the_app() {
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, "web: gunicorn app:app").await.unwrap();
    let tunnel = world.request("tienda").await.unwrap();
    world.pass(18 * HOUR);
    world.until(app.id, |status| matches!(status.phase, AppPhase::Resting { .. })).await;
    drop(tunnel);
    let always = PlanChange { quota: Some(QuotaKind::None), sleep: Some(SleepBy::Never), nap_seconds: Some(0.0), ..change() };
    world.plans.set("always-on", &always).await.unwrap();
    world.plans.assign(Holder::App(app.id), Some("always-on")).await.unwrap();
    world.until_up(app.id).await;
    world.pass(100 * HOUR);
    // The daily restart comes in between.
    let up = |status: &AppStatus| status.phase == AppPhase::Awake && status.dynos.iter().all(|dyno| dyno.state == DynoState::Up);
    let status = world.until(app.id, |status| status.quota.used > 23 * HOUR && up(status)).await;
    assert_eq!((status.sleeps_at, status.quota.allow_until), (None, None));
}

#[tokio::test]
async fn a_plan_that_cannot_be_kept_is_refused_and_changes_nothing() {
    let world = Machine::new().serve().await;
    let refused = world.plans.set("free", &PlanChange { rest_hours: Some(1.0), ..change() }).await.unwrap_err().to_string();
    assert_eq!(refused, "The rest must be at least the window minus the awake time: with less, old hours would still count when it ends.");
    let refused = world.plans.set("Big One", &change()).await.unwrap_err().to_string();
    assert!(refused.starts_with("A plan's name is"), "{refused}");
    assert_eq!(*world.plans.named("free").unwrap(), Plan::free());
    assert_eq!(world.plans.all().len(), 1);
}

#[tokio::test]
async fn every_limit_of_a_plan_is_a_422_with_a_sentence() {
    let server = Server::start().await;
    let ana = server.person("ana@example.org").await;
    let plans = &server.house.owners.plans;
    plans.set("class", &PlanChange { apps: Some(1), process_types: Some(1), memory_mb: Some(256.0), ..change() }).await.unwrap();
    plans.assign(Holder::Account(ana.user.id), Some("class")).await.unwrap();
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    let said = async |method: Method, path: &str, body: serde_json::Value| {
        let answer = server.call(Some(&ana.token), method, path, Some(body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        answer.json()["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        said(Method::POST, "/apps", json!({})).await,
        "You've reached the limit of 1 apps of your plan. Delete an app to make room."
    );
    let formation = |process_type: &str, count: u32| json!({ "updates": [{ "type": process_type, "quantity": count }] });
    assert_eq!(
        said(Method::PATCH, "/apps/tienda/formation", formation("web", 2)).await,
        "Cannot update to more than 1 Class size dynos per process type."
    );
    assert_eq!(
        said(Method::PATCH, "/apps/tienda/formation", formation("worker", 1)).await,
        "Cannot run more than 1 Class size process types at once. Scale another one to 0 first."
    );
    let sized = json!({ "updates": [{ "type": "web", "quantity": 1, "size": "Performance-L" }] });
    assert!(said(Method::PATCH, "/apps/tienda/formation", sized).await.starts_with("The plan of this app has one dyno size: Class."));
    let sizes = server.get(&ana, "/dyno-sizes").await.json();
    let names: Vec<_> = sizes.as_array().unwrap().iter().map(|size| size["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["Class", "Free"]);
    assert_eq!(server.get(&ana, "/apps/tienda/formation/web").await.json()["size"], "Class");
    server.stop().await;
}

#[tokio::test]
async fn the_command_line_changes_plans_without_a_server_under_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let client = AdminClient::new(folder.path());
    let run = async |line: &str| client.plan(parsed(line)).await.map_err(|error| error.to_string());
    let told = run("set class --memory-mb 64 --awake-hours 0.01 --window-hours 0.02 --rest-hours 0.01 --sleep nap").await.unwrap();
    assert!(told.contains("64 MB") && told.contains("0.01 h awake in any 0.02 h, then 0.01 h of rest") && told.contains("naps"), "{told}");
    assert!(run("list").await.unwrap().contains("class"));
    assert_eq!(run("assign class --app nada").await.unwrap_err(), "Couldn't find that app.");
    assert_eq!(run("assign class --account nobody@example.org").await.unwrap_err(), "Couldn't find that account.");
    assert!(run("show gold").await.unwrap_err().starts_with("There is no plan called gold."));
    assert!(run("set class --rest-hours 0").await.unwrap_err().starts_with("The rest must be"));
    run("delete class").await.unwrap();
    assert!(run("show class").await.is_err());
    let _held = lock(folder.path());
    assert!(run("list").await.unwrap_err().contains("no server answers"));
}

fn lock(folder: &Path) -> std::fs::File {
    let file = std::fs::File::create(folder.join("lock")).unwrap();
    file.try_lock().unwrap();
    file
}

#[derive(clap::Parser)]
struct Cli {
    #[command(subcommand)]
    command: PlanCommand,
}

fn parsed(line: &str) -> PlanCommand {
    <Cli as clap::Parser>::parse_from(std::iter::once("plan").chain(line.split(' '))).command
}
