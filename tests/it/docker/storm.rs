//! Many sleeping apps on real Docker that are visited at the same moment, and a machine that takes as
//! many of them as it said. Five apps; with `SIESTA_TEST_SOAK` the storm is of a hundred.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::join_all, stream};
use siesta::{
    config::Config,
    domain::{Plan, app::App, slug::Slug},
    dynos::{AppPhase, Which},
    router::RunningRouter,
    scheduler::Tasks,
    slugs::files,
};

use super::{builds::with_config, codes::router};
use crate::{
    engine_contract::{bytes, tar_of},
    support::{
        house,
        wait::{LONG, in_time, until},
        yard::Yard,
    },
};

/// Answers with its own name.
const PROGRAM: &str = r#"
import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"NAME")
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), H).serve_forever()
"#;

/// Room for so many networks, and for so many dynos of 512 MB.
fn settings(config: &mut Config, memory_mb: u32) {
    config.options.network_range = format!("10.{}.0.0/16", 200 + rand::random::<u8>() % 10);
    config.options.app_memory_mb = Some(memory_mb);
}

fn plan() -> Plan {
    Plan { apps_per_account: 200, ..Plan::free() }
}

/// An app that has been up once and sleeps.
async fn sleeper(yard: &Yard, number: usize) -> App {
    let app = yard.app(&format!("duerme-{number}")).await;
    let code = tar_of(&[("app/app.py", PROGRAM.replace("NAME", app.name.as_str()).as_bytes())]);
    let stored = files::store(yard.slugs.folder().unwrap(), bytes(code), 1 << 20).await.unwrap();
    let slug = Slug {
        code_file: stored.sha256,
        // The image below the app holds its user, who is another one for each.
        deps_key: format!("{:012x}{}", rand::random::<u64>() >> 16, "0".repeat(52)),
        stack: yard.config.options.stack_run.clone(),
        ..house::plain_slug(app.id, "web: python3 app.py", app.created_at)
    };
    yard.releases.deploy(app.id, slug, "1a2b3c4d5e6f", &yard.by).await.unwrap_or_else(|error| panic!("{error}"));
    put_to_sleep(yard, &app).await;
    app
}

async fn put_to_sleep(yard: &Yard, app: &App) {
    yard.dynos.stop(app.id, Which::All).await.unwrap();
    let mut status = yard.dynos.status(app.id).unwrap();
    in_time("its sleep", status.wait_for(|status| status.phase == AppPhase::Asleep)).await.unwrap();
    // Until its dyno has ended its memory is not there for others.
    until("room for another dyno", async || yard.host.would_fit(Plan::free().memory_bytes).is_ok()).await;
}

/// Sleeping apps, and the street in front of them.
struct Town {
    apps: Vec<App>,
    address: SocketAddr,
    client: reqwest::Client,
    router: RunningRouter,
    tasks: Tasks,
}

impl Town {
    async fn of(yard: &Yard, count: usize) -> Town {
        // A few at once, as many as boot at once.
        let mut apps: Vec<App> = stream::iter(0..count).map(|number| sleeper(yard, number)).buffer_unordered(3).collect().await;
        apps.sort_by_key(|app| app.number);
        let tasks = Tasks::new();
        let (address, router) = router(yard, &tasks);
        Town { apps, address, client: reqwest::Client::builder().no_proxy().build().unwrap(), router, tasks }
    }

    /// What a visitor of an app gets, and after how long.
    async fn visit(&self, app: &App) -> (u16, String, Duration) {
        let begun = Instant::now();
        let request = self.client.get(format!("http://{}/", self.address)).header("host", format!("{}.localhost", app.name));
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("text"), begun.elapsed())
    }

    async fn close(self) {
        self.router.stop().await;
        self.tasks.stop(LONG).await;
    }
}

#[tokio::test]
async fn apps_that_are_all_woken_at_once_are_all_served() {
    let count = if std::env::var_os("SIESTA_TEST_SOAK").is_some() { 100 } else { 5 };
    with_config(
        plan(),
        |config| settings(config, 100_000),
        async |yard, _| {
            let town = Town::of(yard, count).await;
            let visits = join_all(town.apps.iter().map(|app| town.visit(app))).await;
            for (app, (status, text, _)) in town.apps.iter().zip(&visits) {
                assert_eq!((*status, text.as_str()), (200, app.name.as_str()));
            }
            let mut took: Vec<u128> = visits.iter().map(|(_, _, took)| took.as_millis()).collect();
            took.sort_unstable();
            println!(
                "{count} apps woken at once: the first served after {} ms, the middle {}, the last {}",
                took[0],
                took[count / 2],
                took[count - 1]
            );
            town.close().await;
        },
    )
    .await;
}

#[tokio::test]
async fn as_many_apps_wake_as_the_server_says_and_the_next_is_told_why_not() {
    with_config(
        plan(),
        |config| settings(config, 1_600),
        async |yard, _| {
            let town = Town::of(yard, 4).await;
            let free = Plan::free().memory_bytes;
            let figure = || yard.host.capacity(free).unwrap();
            until("the end of all dynos", async || figure().promised_mb == 0).await;
            assert_eq!((figure().more_dynos, figure().text.as_str()), (3, "about 3 more fit"));
            let visits = join_all(town.apps.iter().map(|app| town.visit(app))).await;
            let served = |at: &usize| visits[*at].0 == 200;
            let (served, refused): (Vec<usize>, Vec<usize>) = (0..4).partition(served);
            assert_eq!((served.len(), refused.len()), (3, 1), "{visits:?}");
            assert_eq!(visits[refused[0]].0, 503);
            assert!(figure().text.starts_with("This server has no memory for another dyno: 1536 of 1600 MB"), "{}", figure().text);

            put_to_sleep(yard, &town.apps[served[0]]).await;
            // A start that failed is tried again after a pause.
            let fits = async || {
                yard.dynos.sweep();
                town.visit(&town.apps[refused[0]]).await.0 == 200
            };
            until("room for the one that was refused", fits).await;
            assert_eq!(figure().more_dynos, 0);
            town.close().await;
        },
    )
    .await;
}
