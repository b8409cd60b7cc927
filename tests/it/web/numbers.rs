//! What the pages say in numbers: the Metrics page, the figures and answers of the Overview, and the
//! config vars of a file.

use std::time::Duration;

use http::StatusCode;
use siesta::{domain::event::EventKind, dynos::AppPhase, metrics::Range};

use super::server::{Server, Visitor};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn metrics_show_what_the_router_counted_and_keep_it_for_a_week() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    let empty = server.get(&ana, "/apps/tienda/metrics").await;
    assert!(empty.status == StatusCode::OK && empty.text.contains("No numbers yet"), "{}", empty.text);

    let history = &server.house.owners.history;
    for (status, millis, times) in [(200, 10, 90), (404, 20, 9), (503, 900, 1)] {
        for _ in 0..times {
            history.traffic().record(app.id, status, Some(Duration::from_millis(millis)));
        }
    }
    for range in ["2h", "24h", "72h", "7d", "nonsense"] {
        let page = server.get(&ana, &format!("/apps/tienda/metrics?range={range}")).await.text;
        for part in ["<td>100</td>", "<td>90</td>", "<td>9</td>", "Response time", "p99", "class=\"marker\""] {
            assert!(page.contains(part), "{range}: {part}: {page}");
        }
    }
    let overview = server.get(&ana, "/apps/tienda").await.text;
    assert!(overview.contains("last 24 hours, 1 5xx"), "{overview}");

    // Minutes are forgotten, slots are not, and neither outlives its week.
    server.house.clock.advance(10 * MINUTE);
    history.keep().await.unwrap();
    server.house.clock.advance(24 * 60 * MINUTE);
    history.keep().await.unwrap();
    let seen = async |range| history.of(app.id, range).await.unwrap().values().map(siesta::metrics::Usage::requests).sum::<u64>();
    assert_eq!((seen(Range::TwoHours).await, seen(Range::Day).await), (0, 0));
    assert_eq!((seen(Range::ThreeDays).await, seen(Range::Week).await), (100, 100));
    server.house.clock.advance(7 * 24 * 60 * MINUTE);
    history.traffic().record(app.id, 200, None);
    server.house.clock.advance(10 * MINUTE);
    history.keep().await.unwrap();
    assert_eq!(seen(Range::Week).await, 1);
    let kept = server.house.owners.reader.usage_slots(app.id, 0).await.unwrap();
    assert_eq!(kept.len(), 1, "older slots are dropped");
    server.stop().await;
}

#[tokio::test]
async fn a_crash_is_marked_in_the_charts_beside_the_releases() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    server.house.owners.history.traffic().record(app.id, 200, None);
    let before = server.get(&ana, "/apps/tienda/metrics").await.text;
    assert!(before.contains("class=\"marker\"") && !before.contains("marker bad") && !before.contains("Crashes"), "{before}");
    let (container, _) = server.house.engine.running()[0].clone();
    server.house.engine.crash(&container, 1);
    let crashed = async || {
        let events = server.house.owners.reader.events(app.id, 10).await.unwrap();
        events.iter().any(|event| event.kind == EventKind::Crash)
    };
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    while !crashed().await {
        pace.tick().await;
    }
    let after = server.get(&ana, "/apps/tienda/metrics").await.text;
    assert!(after.contains("marker bad") && after.contains("<title>web.1 crashed</title>") && after.contains("Crashes"), "{after}");
    server.stop().await;
}

#[tokio::test]
async fn the_overview_answers_why() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    let blank = server.get(&ana, "/apps/tienda").await.text;
    assert!(blank.contains("Why is it not deployed?") && blank.contains("No code was sent to it yet."), "{blank}");
    server.deploy(&ana, &app).await;
    let mut status = server.house.owners.dynos.status(app.id).unwrap();
    status.wait_for(|status| status.phase == AppPhase::Awake).await.unwrap();
    let awake = server.get(&ana, "/apps/tienda").await.text;
    assert!(awake.contains("Why is it awake?") && awake.contains("A new release started it."), "{awake}");
    server.post(&ana, "/apps/tienda/scale", &[("process", "web"), ("quantity", "0")]).await;
    status.wait_for(|status| status.phase == AppPhase::Off).await.unwrap();
    let off = Visitor { language: "es", ..ana };
    let page = server.get(&off, "/apps/tienda").await.text;
    assert!(page.contains("¿Por qué está apagada?") && page.contains("ana@example.org puso sus tipos de proceso a 0"), "{page}");
    server.stop().await;
}

#[tokio::test]
async fn the_figures_of_an_app_whose_dynos_do_not_run_say_of_when_they_are() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    let dynos = &server.house.owners.dynos;
    let mut status = dynos.status(app.id).unwrap();
    status.wait_for(|status| status.phase == AppPhase::Awake).await.unwrap();
    server.house.clock.advance(Duration::from_secs(20));
    dynos.sample().await.unwrap();
    let awake = server.get(&ana, "/apps/tienda").await.text;
    assert!(awake.contains("card stats\"") && !awake.contains("as of"), "{awake}");
    server.post(&ana, "/apps/tienda/scale", &[("process", "web"), ("quantity", "0")]).await;
    status.wait_for(|status| status.phase == AppPhase::Off).await.unwrap();
    server.house.clock.advance(30 * MINUTE);
    let off = server.get(&ana, "/apps/tienda").await.text;
    assert!(off.contains("card stats past\"") && off.contains("32 MB <small>/ 512 MB, as of <time"), "{off}");
    server.stop().await;
}

#[tokio::test]
async fn a_full_server_says_which_app_makes_room() {
    let (server, ana) = Server::claimed_with(&["--app-memory-mb", "600", "--disk-floor-mb", "0"]).await;
    let app = server.app(&ana, "tienda").await;
    assert!(!server.get(&ana, "/apps").await.text.contains("no room for one more"), "it is empty");
    server.deploy(&ana, &app).await;
    let mut status = server.house.owners.dynos.status(app.id).unwrap();
    status.wait_for(|status| status.sleeps_at.is_some()).await.unwrap();
    let full = server.get(&ana, "/apps").await.text;
    assert!(full.contains("512 of 600 MB are promised") && full.contains("tienda falls asleep next, in "), "{full}");
    let eve = Visitor { language: "es", ..server.person("eve@example.org").await };
    let hers = server.get(&eve, "/apps").await.text;
    assert!(hers.contains("512 de 600 MB") && hers.contains("La próxima aplicación se dormirá en") && !hers.contains("tienda"), "{hers}");
    server.post(&ana, "/apps/tienda/scale", &[("process", "web"), ("quantity", "0")]).await;
    status.wait_for(|status| status.phase == AppPhase::Off).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn config_vars_of_a_file_are_shown_by_name_before_they_are_saved() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.post(&ana, "/apps/tienda/config", &[("key", "OLD"), ("value", "1")]).await;
    server.post(&ana, "/apps/tienda/config", &[("key", "SAME"), ("value", "s")]).await;
    let file = "# mine\nSAME=s\nOLD=2\nNEW='geheim'\n";
    let paste = async |fields: &[(&str, &str)]| server.post(&ana, "/apps/tienda/config/file", fields).await;
    let wrong = paste(&[("text", "PORT=1\nnonsense")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        wrong.text.contains("Line 1: PORT is set by the platform") && wrong.text.contains("Line 2: write KEY=value."),
        "{}",
        wrong.text
    );

    let diff = paste(&[("text", file)]).await;
    assert_eq!((diff.status, diff.header("cache-control")), (StatusCode::OK, "no-store"));
    for part in ["<code>+ NEW</code>", "<code>~ OLD</code>", "<code>= SAME</code>", "Save and restart"] {
        assert!(diff.text.contains(part), "{part}: {}", diff.text);
    }
    let version = async || server.house.owners.reader.current_release(app.id).await.unwrap().unwrap().version.to_string();
    assert_eq!(version().await, "v4", "nothing is saved yet");
    let saved = paste(&[("text", file), ("confirm", "1")]).await;
    assert_eq!((saved.status, saved.header("location")), (StatusCode::SEE_OTHER, "/apps/tienda/settings#vars"));
    assert_eq!(version().await, "v5", "one release for all of them");
    let shown = server.get(&ana, "/apps/tienda/settings?reveal=1").await.text;
    assert!(shown.contains("geheim") && shown.contains(">2</textarea>"), "{shown}");

    let removing = paste(&[("text", "SAME=s"), ("replace", "1")]).await;
    assert!(removing.text.contains("<code>− NEW</code>") && removing.text.contains("name=\"replace\""), "{}", removing.text);
    paste(&[("text", "SAME=s"), ("replace", "1"), ("confirm", "1")]).await;
    assert_eq!(server.releases.config(app.id).await.unwrap().len(), 1);
    assert!(paste(&[("text", "SAME=s")]).await.text.contains("Nothing would change"));
    server.stop().await;
}
