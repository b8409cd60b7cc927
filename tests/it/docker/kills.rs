//! The server is killed at random moments of deploys, releases, wakes and scales: six times, with
//! `SIESTA_TEST_SOAK` two hundred. Beside it an app counts: its dyno is not touched, and no line is lost.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use siesta::engine::{Container, ContainerId, Engine, spec};

use super::kill::versions;
use crate::support::served::Served;

/// Patience with a loaded machine.
const LONG: Duration = Duration::from_secs(120);
/// Tells how far it has come ten times a second.
const COUNTER: &str = "import time\nn = 0\nwhile True:\n    n += 1\n    print(n, flush=True)\n    time.sleep(0.1)\n";

/// An app that only counts.
struct Counter {
    dyno: (ContainerId, String),
    /// The last number its log held.
    seen: u64,
}

/// Two apps: one that is deployed, woken and scaled, and one that counts.
struct Stand {
    served: Served,
    token: String,
}

impl Stand {
    fn start() -> Stand {
        let served = Served::start(&[("SIESTA_IDLE_AFTER", "2")]);
        let token = served.claim();
        served.deploy("sobrevive", "tienda-videojuegos").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
        Stand { served, token }
    }

    async fn deploy_counter(&self) -> Counter {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in [("Procfile", "worker: python count.py\n"), ("requirements.txt", ""), ("count.py", COUNTER)] {
            std::fs::write(folder.path().join(name), content).expect("a file");
        }
        let path = folder.path().to_str().expect("a path in UTF-8");
        let served = &self.served;
        served.cli(&["deploy", "--app", "cuenta", path], "").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
        self.scale("cuenta", "worker", 1).await;
        let own = async || self.containers("cuenta").await;
        let one = served.until(LONG, own, |own| own.len() == 1 && own[0].running).await.remove(0);
        Counter { dyno: (one.id, one.generation), seen: 0 }
    }

    async fn patch(&self, path: &str, body: Value) -> reqwest::Result<reqwest::Response> {
        self.served.api("PATCH", path, &self.token).json(&body).send().await
    }

    async fn scale(&self, app: &str, process_type: &str, quantity: u32) {
        let answer = self.patch(&format!("/apps/{app}/formation/{process_type}"), json!({ "quantity": quantity })).await;
        assert_eq!(answer.expect("an answer").status(), 200);
    }

    /// The containers of an app's dynos.
    async fn containers(&self, app: &str) -> Vec<Container> {
        let id = self.served.get(&format!("/apps/{app}"), &self.token).await["id"].as_str().expect("an id").to_owned();
        let mut all = self.served.engine(&self.served.instance()).list().await.unwrap_or_default();
        all.retain(|container| container.labels.get(spec::LABEL_APP) == Some(&id));
        all
    }

    /// Begins what the server is killed in the middle of; each call may be cut off.
    async fn disturb(&self, round: usize) {
        match round % 4 {
            0 => drop(self.patch("/apps/sobrevive/config-vars", json!({ "ROUND": round.to_string() })).await),
            1 => drop(self.served.app("sobrevive", "/").send().await),
            2 => {
                for quantity in [0, 1] {
                    drop(self.patch("/apps/sobrevive/formation/web", json!({ "quantity": quantity })).await);
                }
            }
            _ => drop(self.deploy(round).await),
        }
    }

    /// Code alone, so that its dependencies are there already.
    async fn deploy(&self, round: usize) -> reqwest::Result<()> {
        let served = &self.served;
        let source: Value = served.api("POST", "/apps/sobrevive/sources", &self.token).send().await?.json().await?;
        let url = |name: &str| source["source_blob"][name].as_str().unwrap_or_default().to_owned();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tienda-videojuegos");
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_dir_all("source", folder).expect("an example");
        let mut header = tar::Header::new_gnu();
        let note = format!("round {round}");
        header.set_size(note.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "source/round.txt", note.as_bytes()).expect("a tar");
        served.client.put(url("put_url")).body(tar.into_inner().expect("a tar")).send().await?;
        let body = json!({ "source_blob": { "url": url("get_url"), "version": note } });
        served.api("POST", "/apps/sobrevive/builds", &self.token).json(&body).send().await?;
        Ok(())
    }

    async fn pending(&self, list: &str) -> usize {
        let rows = self.served.get(&format!("/apps/sobrevive/{list}"), &self.token).await;
        rows.as_array().into_iter().flatten().filter(|row| row["status"] == "pending").count()
    }

    /// Every dyno is as it is wanted: the app answers with its current release, and no other of it runs.
    async fn reconciled(&self) {
        // A dyno that the killed server had told to stop may still close its port to a visitor.
        let status = async || self.served.app("sobrevive", "/").send().await.map_or(0, |answer| answer.status().as_u16());
        self.served.until(LONG, status, |status| *status == 200).await;
        self.served.until(LONG, async || self.pending("releases").await, |pending| *pending == 0).await;
        // It may be asleep again by now.
        self.served.until(LONG, async || self.containers("sobrevive").await, |own| own.len() <= 1).await;
    }
}

impl Counter {
    /// Its dyno lives on, and its log holds every number once.
    async fn goes_on(&mut self, stand: &Stand, round: &str) {
        let own = stand.containers("cuenta").await;
        assert!(own.len() == 1 && own[0].running, "{round}: {own:?}");
        assert_eq!((&own[0].id, &own[0].generation), (&self.dyno.0, &self.dyno.1), "{round}: a dyno that runs is not touched");
        let before = self.seen;
        let numbers = stand.served.until(LONG, async || counted(stand).await, |numbers| numbers.last() > Some(&before)).await;
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{round}: no line is lost and none is doubled: {numbers:?}");
        assert!(numbers[0] <= before + 1, "{round}: the log goes on behind {before}: {numbers:?}");
        self.seen = numbers[numbers.len() - 1];
    }
}

/// The numbers in the log of the app that counts.
async fn counted(stand: &Stand) -> Vec<u64> {
    let wanted = json!({ "lines": 1500, "source": "app", "dyno": "worker.1" });
    let session = stand.served.api("POST", "/apps/cuenta/log-sessions", &stand.token).json(&wanted).send().await.expect("an answer");
    let session: Value = session.json().await.expect("JSON");
    let address = session["logplex_url"].as_str().expect("an address");
    let text = stand.served.client.get(address).send().await.expect("an answer").text().await.expect("text");
    text.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

#[tokio::test]
async fn killed_at_random_moments_nothing_is_lost_or_doubled_and_a_running_dyno_is_not_touched() {
    let seed: u64 = std::env::var("SIESTA_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("SIESTA_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut stand = Stand::start();
    let mut counter = stand.deploy_counter().await;
    let mut took = Vec::new();
    for number in 0..kills() {
        let round = format!("round {number}, seed {seed}");
        let before = versions(&stand.served, &stand.token).await;
        let moment = Duration::from_millis(random.random_range(0..2_500));
        let work = async {
            stand.disturb(number).await;
            // What it set off is cut off somewhere.
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(moment, work).await;
        stand.served.kill();
        let begun = Instant::now();
        stand.served.run();
        stand.scale("sobrevive", "web", 1).await;
        stand.reconciled().await;
        took.push(begun.elapsed());
        // A build that was cut off is done once more, and makes its release now.
        stand.served.until(LONG, async || stand.pending("builds").await, |pending| *pending == 0).await;
        stand.reconciled().await;
        let after = versions(&stand.served, &stand.token).await;
        assert_eq!(after, (1..=after.len() as i64).collect::<Vec<_>>(), "{round}: no gap and no double");
        assert!(after.len() <= before.len() + 1 && after.len() >= before.len(), "{round}: {before:?} became {after:?}");
        let all = stand.served.engine(&stand.served.instance()).list().await.expect("a list");
        assert!(all.len() <= 2 && all.iter().all(|container| !container.labels.contains_key(spec::LABEL_BUILD)), "{round}: {all:?}");
        counter.goes_on(&stand, &round).await;
    }
    println!("{}", distribution(took));
    assert!(counter.seen > 0);
}

/// How long it took from the start of the next server until every dyno was as wanted.
fn distribution(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |part: usize| took[((took.len() - 1) * part).div_ceil(100)].as_millis();
    let in_time = took.iter().filter(|took| **took <= Duration::from_secs(5)).count();
    format!(
        "{} kills; from the start of the next server to every dyno as wanted: {} ms at least, {} in the middle, {} (90 %), {} (99 %), {} at most; {in_time} within 5 s",
        took.len(),
        at(0),
        at(50),
        at(90),
        at(99),
        at(100)
    )
}

/// `SIESTA_TEST_KILLS` says how many, where the time does not allow all.
fn kills() -> usize {
    let wanted = std::env::var("SIESTA_TEST_KILLS").ok().and_then(|count| count.parse().ok());
    wanted.unwrap_or(if std::env::var_os("SIESTA_TEST_SOAK").is_some() { 200 } else { 6 })
}
