//! One-off dynos: attached, detached, and everything that ends one.

use std::time::Duration;

use futures_util::TryStreamExt;
use siesta::{
    domain::{ProcessType, app::App, one_off::Fault},
    dynos::{DynoError, OneOff, RunOrder, Streams, TerminalSize},
    engine::fake::{Call, Script},
};
use tokio::io::AsyncWriteExt;

use super::world::{Machine, World};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn run() -> ProcessType {
    "run".parse().expect("a type")
}

fn order(world: &World, command: &str) -> RunOrder {
    let env = vec![("TERM".to_owned(), "xterm".to_owned())];
    RunOrder { command: command.to_owned(), process_type: run(), env, time_to_live: None, by: world.by.clone() }
}

/// An app that sleeps, with code.
async fn sleeper(world: &World, name: &str) -> App {
    let app = world.app(name).await;
    world.deploy(&app, "web: gunicorn app:app\ntask: python task.py").await.expect("a release");
    world.dynos.scale(app.id, &[("web".parse().expect("a type"), "0".parse().expect("none"))], &world.by).await.expect("scaled");
    world.until_running(0).await;
    app
}

async fn attached(world: &World, app: &App, command: &str) -> OneOff {
    let (_, secret) = world.dynos.reserve(app.id, order(world, command), Streams::Terminal).await.expect("room");
    world.dynos.attach(&secret).await.expect("its streams")
}

/// What the log says of one-offs, the number of their names left out.
async fn story(world: &World, app: &App) -> Vec<String> {
    let lines = world.lines(app.id).await;
    let of_one_off = lines.iter().filter_map(|line| {
        let (source, rest) = line.split_once("[run.")?;
        Some(format!("{source}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(']')))
    });
    of_one_off.collect()
}

async fn until_gone(world: &World, app: &App) {
    until_left(world, app, 0).await;
}

async fn until_left(world: &World, app: &App, count: usize) {
    world.until_running(count).await;
    while world.dynos.one_offs(app.id).len() != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_its_dyno_starts_takes_it_along() {
    let world = Machine::new().serve().await;
    let app = sleeper(&world, "tienda").await;
    let (_, secret) = world.dynos.reserve(app.id, order(&world, "bash"), Streams::Terminal).await.expect("room");
    let starts = world.engine.calls(Call::Start);
    {
        let attach = std::pin::pin!(world.dynos.attach(&secret));
        assert!(futures_util::poll!(attach).is_pending(), "it has begun");
    }
    world.engine.until(|engine| engine.calls(Call::Start) > starts).await;
    until_gone(&world, &app).await;
    assert!(story(&world, &app).await.contains(&"heroku: Process exited with status 129".to_owned()));
}

#[tokio::test]
async fn a_detached_command_runs_with_its_output_in_the_log() {
    let world = Machine::new().serve().await;
    let app = sleeper(&world, "tienda").await;
    world.engine.on("python task.py --all", Script::exits(3).says("half done"));
    let dyno = world.dynos.run_detached(app.id, order(&world, "task --all")).await.expect("it runs");
    assert_eq!((dyno.name.process_type.as_str(), dyno.command.as_str()), ("run", "python task.py --all"));
    assert!((1..10_000).contains(&dyno.name.number));
    until_gone(&world, &app).await;
    let expected = [
        "heroku: Starting process with command `python task.py --all` by user ana@example.org",
        "heroku: State changed from starting to up",
        "app: half done",
        "heroku: Process exited with status 3",
        "heroku: State changed from up to complete",
    ];
    let mut story = story(&world, &app).await;
    story.sort_by_key(|line| expected.iter().position(|known| known == line));
    assert_eq!(story, expected);
}

#[tokio::test]
async fn an_attached_command_talks_with_its_client_and_leaves_its_exit_code() {
    let world = Machine::new().serve().await;
    let app = sleeper(&world, "tienda").await;
    world.engine.on("bash", Script::default().says("$").echoes());
    let mut one_off = attached(&world, &app, "bash").await;
    let (container, spec) = world.engine.running().pop().expect("it runs");
    assert_eq!(spec.env_value("TERM"), Some("xterm"));
    assert_eq!(spec.env_value("DYNO"), Some(&*one_off.view.name.to_string()));
    one_off.leash.resize(TerminalSize { columns: 120, rows: 33 }).await.expect("resized");
    assert_eq!(world.engine.terminal_size(&container), Some(TerminalSize { columns: 120, rows: 33 }));
    one_off.input.write_all(b"ls\n").await.expect("written");
    one_off.input.shutdown().await.expect("the end");
    let heard: Vec<bytes::Bytes> = one_off.output.try_collect().await.expect("bytes");
    assert_eq!(heard.concat(), b"$\nls\n");
    assert_eq!(one_off.leash.exit().await, Some(0));
    until_gone(&world, &app).await;
    let expected = [
        "heroku: State changed from starting to up",
        "heroku: Awaiting client",
        "heroku: Starting process with command `bash` by user ana@example.org",
        "heroku: Process exited with status 0",
        "heroku: State changed from up to complete",
    ];
    assert_eq!(story(&world, &app).await, expected);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_process_along() {
    let machine = Machine { hang_up_pause: Duration::from_millis(5), ..Machine::new() };
    let world = machine.serve().await;
    let app = sleeper(&world, "tienda").await;
    drop(attached(&world, &app, "bash").await);
    until_gone(&world, &app).await;
    assert!(story(&world, &app).await.contains(&"heroku: Process exited with status 129".to_owned()));
    world.engine.on("deaf", Script::default().ignores_sigterm());
    drop(attached(&world, &app, "deaf").await);
    until_gone(&world, &app).await;
    let r16 = "heroku: Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed.";
    assert!(story(&world, &app).await.contains(&r16.to_owned()));
    assert_eq!(world.engine.calls(Call::HangUp), 1 + 3);
}

#[tokio::test]
async fn nobody_comes_nothing_is_said_and_time_is_over() {
    let world = Machine::new().serve().await;
    let app = sleeper(&world, "tienda").await;
    let (_, secret) = world.dynos.reserve(app.id, order(&world, "bash"), Streams::Terminal).await.expect("room");
    world.pass(31 * SECOND);
    until_gone(&world, &app).await;
    assert!(story(&world, &app).await.contains(&"heroku: Error R13 (Attach error) -> Failed to attach to process".to_owned()));
    assert!(matches!(world.dynos.attach(&secret).await, Err(DynoError::NoSuchDyno)), "too late");

    let mut silent = attached(&world, &app, "bash").await;
    world.pass(59 * 60 * SECOND);
    silent.input.write_all(b"x").await.expect("written");
    world.pass(59 * 60 * SECOND);
    assert_eq!(world.engine.running().len(), 1, "a byte an hour is enough");
    world.pass(60 * SECOND);
    assert_eq!(silent.leash.exit().await, Some(129));
    until_gone(&world, &app).await;

    let short = RunOrder { time_to_live: Some(60 * SECOND), ..order(&world, "sleep 1000") };
    world.dynos.run_detached(app.id, short).await.expect("it runs");
    world.until_running(1).await;
    world.pass(60 * SECOND);
    until_gone(&world, &app).await;
    assert!(story(&world, &app).await.contains(&"heroku: Process exited with status 143".to_owned()));
}

#[tokio::test]
async fn a_secret_works_once_and_one_client_has_the_slot() {
    let world = Machine::new().serve().await;
    let app = sleeper(&world, "tienda").await;
    let (dyno, secret) = world.dynos.reserve(app.id, order(&world, "bash"), Streams::Terminal).await.expect("room");
    let second = world.dynos.reserve(app.id, order(&world, "bash"), Streams::Terminal).await;
    assert!(matches!(second, Err(DynoError::OneOff(Fault::SlotTaken))));
    let _one_off = world.dynos.attach(&secret).await.expect("its streams");
    assert!(matches!(world.dynos.attach(&secret).await, Err(DynoError::NoSuchDyno)));
    world.dynos.run_detached(app.id, order(&world, "sleep 1")).await.expect("beside it");
    world.dynos.run_detached(app.id, order(&world, "sleep 2")).await.expect("beside it");
    let third = world.dynos.run_detached(app.id, order(&world, "sleep 3")).await;
    assert!(matches!(third, Err(DynoError::OneOff(Fault::TooManyDetached { limit: 2, .. }))));
    world.dynos.stop_one_off(app.id, &dyno.name).await.expect("stopped");
    until_left(&world, &app, 2).await;
}

#[tokio::test]
async fn the_time_of_a_one_off_counts_and_a_rest_ends_it() {
    let world = Machine::new().serve().await;
    let app = sleeper(&world, "tienda").await;
    let blank = world.app("vacia").await;
    assert!(matches!(world.dynos.run_detached(blank.id, order(&world, "ls")).await, Err(DynoError::NoCode)));
    world.dynos.run_detached(app.id, order(&world, "sleep 100000")).await.expect("it runs");
    let counted = async || world.dynos.awake_spans(app.id, 24 * HOUR).await.expect("spans").last().is_some_and(|span| span.to.is_none());
    while !counted().await {
        tokio::task::yield_now().await;
    }
    world.pass(18 * HOUR);
    until_gone(&world, &app).await;
    let refused = world.dynos.run_detached(app.id, order(&world, "ls")).await;
    assert!(matches!(refused, Err(DynoError::Resting { .. })), "{refused:?}");
    world.pass(6 * HOUR);
    world.engine.on("ls", Script::exits(0));
    world.dynos.run_detached(app.id, order(&world, "ls")).await.expect("the rest is over");
}

#[tokio::test]
async fn after_a_restart_of_the_server_detached_ones_go_on_and_attached_ones_end() {
    let machine = Machine::new();
    let world = machine.serve().await;
    let app = sleeper(&world, "tienda").await;
    let dyno = world.dynos.run_detached(app.id, order(&world, "sleep 1000")).await.expect("it runs");
    let one_off = attached(&world, &app, "bash").await;
    world.until_running(2).await;
    world.stop().await;
    let world = machine.serve().await;
    world.until_running(1).await;
    let left = world.dynos.one_offs(app.id);
    assert!(left.iter().any(|view| view.id == dyno.id && view.command == "sleep 1000"), "{left:?}");
    world.dynos.stop_one_off(app.id, &dyno.name).await.expect("stopped");
    until_gone(&world, &app).await;
    drop(one_off);
    let lines = story(&world, &app).await;
    assert_eq!(lines.iter().filter(|line| line.ends_with("State changed from up to complete")).count(), 2, "{lines:?}");
    world.apps.destroy(app.id, &world.by).await.expect("destroyed");
}

#[tokio::test]
async fn an_app_that_is_destroyed_takes_its_one_offs_along() {
    let world = Machine::new().serve().await;
    let app = sleeper(&world, "tienda").await;
    world.dynos.run_detached(app.id, order(&world, "sleep 1000")).await.expect("it runs");
    let _one_off = attached(&world, &app, "bash").await;
    world.apps.destroy(app.id, &world.by).await.expect("destroyed");
    assert!(world.engine.containers().is_empty());
}
