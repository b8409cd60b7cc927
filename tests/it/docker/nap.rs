//! The nap on real Docker, over a zram device of its own: `script/test` runs it by itself, because
//! swap is the whole machine's, and counts it as skipped where there can be none.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use siesta::engine::{ContainerId, Engine, Usage};

use crate::support::served::{Served, program};

const LONG: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;

/// Swap from `script/swap`, until it is dropped.
struct Zram(tempfile::TempDir);

impl Zram {
    fn on() -> Zram {
        let zram = Zram(tempfile::tempdir().unwrap());
        let done = zram.script().args(["zram", "512"]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        zram
    }

    fn script(&self) -> Command {
        let mut command = program(Path::new(env!("CARGO_MANIFEST_DIR")).join("script/swap"));
        command.env("SIESTA_RUN_DIR", self.0.path()).env("SIESTA_DATA_DIR", self.0.path());
        command
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        let _ = self.script().arg("off").output();
    }
}

#[tokio::test]
async fn a_napping_app_gives_its_memory_back_and_its_sync_worker_answers_long_after() {
    let _zram = Zram::on();
    let served = Served::start(&[("SIESTA_NAP_AFTER", "2"), ("SIESTA_IDLE_AFTER", "600")]);
    let token = served.claim();
    served.deploy("tiendavideojuegos", "tienda-videojuegos").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
    // Its master gives up on a worker that does not move for three seconds.
    let vars = serde_json::json!({ "GUNICORN_CMD_ARGS": "--worker-class sync --timeout 3" });
    let set = served.api("PATCH", "/apps/tiendavideojuegos/config-vars", &token).json(&vars).send().await.unwrap();
    assert_eq!(set.status(), 200);
    // The dynos of the release before are on their way out until this one is up.
    let releases = async || served.get("/apps/tiendavideojuegos/releases", &token).await;
    let all_up =
        |all: &serde_json::Value| all.as_array().is_some_and(|all| all.len() == 4 && all.iter().all(|one| one["status"] == "succeeded"));
    served.until(LONG, releases, all_up).await;
    assert_eq!(served.app("tiendavideojuegos", "/salud").send().await.unwrap().status(), 200);

    let engine = served.engine(&served.instance());
    let dyno = served.until(LONG, async || engine.list().await.unwrap(), |list| list.len() == 1).await.remove(0);
    let usage = async || engine.usage(vec![dyno.id.clone()]).await.unwrap().remove(&dyno.id).unwrap();
    let before = usage().await;
    assert!(before.memory_rss_bytes > 15 * MIB, "{before:?}");
    let napping = served.until(LONG, usage, |usage: &Usage| usage.memory_rss_bytes < 6 * MIB).await;
    assert!(napping.swap_bytes > 10 * MIB, "{napping:?}");
    println!(
        "anonymous memory {} -> {} KiB, {} KiB swapped",
        before.memory_rss_bytes / 1024,
        napping.memory_rss_bytes / 1024,
        napping.swap_bytes / 1024
    );

    // Several of the worker's time-outs pass; nothing but their passing is to be waited for.
    let begun = Instant::now();
    let quiet = served.until(LONG, usage, |_| begun.elapsed() > Duration::from_secs(12)).await;
    assert!(quiet.memory_rss_bytes < 8 * MIB && quiet.pids == napping.pids, "{quiet:?}");
    assert_eq!(served.app("tiendavideojuegos", "/salud").send().await.unwrap().status(), 200);
    let alive: Vec<(ContainerId, String)> = engine.list().await.unwrap().into_iter().map(|one| (one.id, one.generation)).collect();
    assert_eq!(alive, [(dyno.id.clone(), dyno.generation.clone())], "the same life of the same container");
    let log = served.cli(&["status"], "").unwrap();
    assert!(log.contains("\"nap\": true") || log.contains("\"nap\":true"), "{log}");
    let lines = served.get("/apps/tiendavideojuegos/dynos", &token).await;
    assert_eq!(lines[0]["state"], "up");
}
