//! 500 deliveries at once: every answer is quick, and what runs in the end is the last head.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use siesta::{domain::BuildStatus, github::webhook};

use super::{PUSH, Scene, files};

const DELIVERIES: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_five_hundred_deliveries_the_last_head_is_deployed_and_nothing_twice() {
    let scene = Scene::set().await;
    let github = scene.server.house.github.clone();
    let (path, secret) = scene.hook();
    github.push(&scene.repo, "other", "Elsewhere", &files("x"));
    let elsewhere = github.push_payload(&scene.repo, "other");
    let mut storm: Vec<(String, String, Option<String>, StatusCode)> = Vec::new();
    for number in 0..DELIVERIES {
        let body = if number % 7 == 0 {
            elsewhere.clone()
        } else {
            scene.push(&format!("Commit {number}"));
            github.push_payload(&scene.repo, "main")
        };
        let signature = webhook::signature(&secret, body.as_bytes());
        let (signature, status) = if number % 11 == 0 {
            (Some(format!("sha256={}", "ab".repeat(32))), StatusCode::UNAUTHORIZED)
        } else {
            (signature, StatusCode::ACCEPTED)
        };
        // One in five comes twice.
        for _ in 0..=usize::from(number % 5 == 0) {
            storm.push((format!("{number:04x}"), body.clone(), signature.clone(), status));
        }
    }
    let last = scene.push("The last");
    storm.push(("ffff".to_owned(), github.push_payload(&scene.repo, "main"), None, StatusCode::ACCEPTED));
    let end = storm.len() - 1;
    storm[end].2 = webhook::signature(&secret, storm[end].1.as_bytes());
    storm.rotate_right(100);

    let looking = async {
        loop {
            scene.look().await;
            assert!(unfinished(&scene).await <= 2, "one runs and one waits at most");
            tokio::task::yield_now().await;
        }
    };
    let sending = stream::iter(&storm).map(|(guid, body, signature, status)| {
        let (scene, path) = (&scene, &path);
        async move {
            let begun = Instant::now();
            let answer = scene.send(path, guid, PUSH, (signature.as_deref(), body)).await;
            assert_eq!(answer.status, *status);
            begun.elapsed()
        }
    });
    let mut times: Vec<Duration> = tokio::select! {
        times = sending.buffer_unordered(8).collect::<Vec<_>>() => times,
        () = looking => unreachable!("it looks for ever"),
    };
    times.sort();
    // For reading, not for judging: how long it took says as much of the machine as of us.
    println!("an answer to a delivery took {:?} at the 99th percentile", times[times.len() * 99 / 100]);
    scene.latch.open();
    let mut changes = scene.server.house.owners.builder.changes();
    scene.look().await;
    while unfinished(&scene).await > 0 {
        changes.changed().await.unwrap();
    }
    let builds = scene.builds().await;
    assert_eq!(builds[0], (last.to_string(), BuildStatus::Succeeded), "{builds:?}");
    let mut commits: Vec<_> = builds.iter().map(|(sha, _)| sha).collect();
    commits.sort();
    let before = commits.len();
    commits.dedup();
    assert_eq!(commits.len(), before, "no commit was built twice");
    scene.stop().await;
}

async fn unfinished(scene: &Scene) -> usize {
    scene.builds().await.iter().filter(|(_, status)| !status.is_finished()).count()
}
