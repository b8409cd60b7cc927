//! Apps, builds, releases and dynos over one engine, without the edges: what tests of builds need.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;
use siesta::{
    apps::Apps,
    builder::{Build, BuildSource, Builder, OutputItem},
    clock::SystemClock,
    config::Config,
    domain::{AppId, BuildId, BuildStatus, Plan, SourceId, app::App, user::Actor},
    dynos::{Dynos, Entry},
    engine::Engine,
    host::Host,
    logs::Logs,
    plans::Plans,
    releases::Releases,
    scheduler::Tasks,
    server::Owners,
    slugs::Slugs,
    store::Reader,
};

use super::house;
use crate::engine_contract::bytes;

/// The parts of one server over an engine of the test's.
pub struct Yard {
    pub config: Arc<Config>,
    pub apps: Apps,
    pub builder: Builder,
    pub dynos: Dynos,
    pub host: Host,
    pub releases: Releases,
    pub reader: Reader,
    pub slugs: Slugs,
    pub logs: Logs,
    pub plans: Plans,
    pub data: PathBuf,
    pub by: Actor,
    tasks: Tasks,
}

impl Yard {
    /// Opens the data folder as a server does at its start. `flags` are those of `siesta serve`.
    pub async fn open(engine: Arc<dyn Engine>, instance: &str, data: &Path, flags: &[&str], plan: Plan) -> Yard {
        Yard::over(engine, instance, house::config(data, flags), plan).await
    }

    /// The same with settings that are no flags.
    pub async fn over(engine: Arc<dyn Engine>, instance: &str, config: Config, plan: Plan) -> Yard {
        let data = config.options.data_dir.clone();
        let ground = house::ground(config, Arc::new(SystemClock), engine, instance).await;
        ground.writer.save_plan(&plan, ground.clock.now()).await.expect("a plan");
        let owners = Owners::new(ground);
        let user = owners.accounts.system_user().await.expect("a user");
        owners.start().await.expect("a start");
        Yard::of(&owners, Actor { id: user.id, email: user.email }, &data)
    }

    /// The yard of owners that were started already.
    pub fn of(owners: &Owners, by: Actor, data: &Path) -> Yard {
        let Owners { config, apps, builder, dynos, host, releases, reader, slugs, logs, plans, tasks, .. } = owners;
        Yard {
            config: config.clone(),
            plans: plans.clone(),
            apps: apps.clone(),
            builder: builder.clone(),
            dynos: dynos.clone(),
            host: host.clone(),
            releases: releases.clone(),
            reader: reader.clone(),
            slugs: slugs.clone(),
            tasks: tasks.clone(),
            logs: logs.clone(),
            data: data.to_owned(),
            by,
        }
    }

    /// Stops as a server does.
    pub async fn stop(self) {
        self.tasks.stop(Duration::from_secs(20)).await;
    }

    pub async fn app(&self, name: &str) -> App {
        self.apps.create(Some(name.parse().expect("a name")), &self.by).await.expect("an app")
    }

    pub async fn upload(&self, app: AppId, archive: Vec<u8>) -> SourceId {
        let source = self.builder.create_source(Some(app), &self.by).await.expect("a source");
        self.builder.receive(&source.put_token, bytes(archive)).await.expect("an upload")
    }

    pub async fn enqueue(&self, app: AppId, archive: Vec<u8>) -> BuildId {
        let source = BuildSource::Stored { source: self.upload(app, archive).await, version: None };
        self.builder.enqueue(app, source, &self.by).await.expect("a build").0.id
    }

    /// Builds and waits for the end: the build and its whole output.
    pub async fn deploy(&self, app: AppId, archive: Vec<u8>) -> (Build, String) {
        let build = self.enqueue(app, archive).await;
        self.finished(build).await
    }

    /// Waits for the end of a build.
    pub async fn finished(&self, build: BuildId) -> (Build, String) {
        let items: Vec<_> = self.builder.output(build, 0).await.expect("output").collect().await;
        let text = items.iter().map(|item| match item {
            OutputItem::Bytes { bytes, .. } => String::from_utf8_lossy(bytes).into_owned(),
            OutputItem::End(_) => String::new(),
        });
        let text = text.collect();
        (self.reader.build(build).await.expect("a build").expect("a build"), text)
    }

    /// Waits until the build's output holds `text`.
    pub async fn says(&self, build: BuildId, text: &str) {
        let mut output = self.builder.output(build, 0).await.expect("output");
        let mut seen = String::new();
        while let Some(OutputItem::Bytes { bytes, .. }) = output.next().await {
            seen.push_str(&String::from_utf8_lossy(&bytes));
            if seen.contains(text) {
                return;
            }
        }
        panic!("the build ended without saying `{text}`:\n{seen}");
    }

    /// What the app's web dyno answers on `path`.
    pub async fn answer(&self, name: &str, path: &str) -> String {
        let route = self.dynos.routes().find(&format!("{name}.localhost")).expect("a route");
        let lease = match route.gate.enter() {
            Entry::Admitted(lease) => lease,
            Entry::Held(waiting) => waiting.admitted(Duration::from_secs(60)).await.expect("a dyno"),
            Entry::Refused(refusal) => panic!("refused: {refusal:?}"),
        };
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = format!("http://{}{path}", lease.target().address);
        client.get(url).header("host", format!("{name}.localhost")).send().await.expect("an answer").text().await.expect("text")
    }
}

/// That the build succeeded; its whole output where not.
pub fn succeeded((build, output): (Build, String)) -> (Build, String) {
    assert_eq!(build.status, BuildStatus::Succeeded, "{:?}\n{output}", build.error);
    (build, output)
}
