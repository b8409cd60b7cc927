//! Apps, builds, releases and dynos over one engine, without the edges: what tests of builds need.

use std::{path::Path, sync::Arc, time::Duration};

use clap::Parser;
use futures_util::StreamExt;
use siesta::{
    accounts::Accounts,
    apps::{Apps, AppsParts},
    builder::{Build, BuildSource, Builder, BuilderParts, OutputItem},
    clock::{Clock, SystemClock},
    config::{Config, ServeOptions},
    domain::{AppId, BuildId, BuildStatus, Plan, SourceId, app::App, user::Actor},
    dynos::{Dynos, DynosParts, Entry},
    engine::Engine,
    logs::Logs,
    releases::{Releases, ReleasesParts},
    scheduler::Tasks,
    secrets::KeyRing,
    slugs::Slugs,
    store::{self, Reader},
};

use crate::engine_contract::bytes;

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    serve: ServeOptions,
}

/// The parts of one server over an engine of the test's.
pub struct Yard {
    pub apps: Apps,
    pub builder: Builder,
    pub dynos: Dynos,
    pub releases: Releases,
    pub reader: Reader,
    pub slugs: Slugs,
    pub by: Actor,
    tasks: Tasks,
}

impl Yard {
    /// Opens the data folder as a server does at its start. `flags` are those of `siesta serve`.
    pub async fn open(engine: Arc<dyn Engine>, instance: &str, data: &Path, flags: &[&str], plan: Plan) -> Yard {
        let serve = Options::parse_from(["siesta", "--data-dir", &data.display().to_string()].iter().chain(flags)).serve;
        let config = Arc::new(Config::new(serve).expect("a valid configuration"));
        let (clock, tasks): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), Tasks::new());
        let (reader, writer) = store::open(&data.join("siesta.db")).await.expect("a database");
        let logs = Logs::open(&data.join("logs.db"), clock.clone(), &tasks).await.expect("a log");
        let keys = Arc::new(KeyRing::open_or_create(&data.join("keys")).expect("keys"));
        let slugs = Slugs::new(data.to_owned(), engine.clone(), instance);
        let dynos = Dynos::new(DynosParts {
            config: config.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            engine: engine.clone(),
            logs: logs.clone(),
            slugs: slugs.clone(),
            keys: keys.clone(),
            plan: plan.clone(),
            instance: instance.into(),
        });
        let releases = Releases::new(ReleasesParts {
            reader: reader.clone(),
            writer: writer.clone(),
            dynos: dynos.clone(),
            logs: logs.clone(),
            keys,
            clock: clock.clone(),
            tasks: tasks.clone(),
        });
        let builder = Builder::new(BuilderParts {
            config,
            clock: clock.clone(),
            tasks: tasks.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            engine,
            logs: logs.clone(),
            slugs: slugs.clone(),
            releases: releases.clone(),
            plan: plan.clone(),
            root: data.to_owned(),
        });
        let apps = Apps::new(AppsParts {
            reader: reader.clone(),
            writer: writer.clone(),
            releases: releases.clone(),
            dynos: dynos.clone(),
            builder: builder.clone(),
            logs: logs.clone(),
            clock: clock.clone(),
            plan,
            stack: "siesta-12".to_owned(),
        });
        let user = Accounts::new(reader.clone(), writer, clock).system_user().await.expect("a user");
        dynos.start().await.expect("dynos start");
        releases.start().await.expect("releases start");
        builder.start().await.expect("builds start");
        Yard { apps, builder, dynos, releases, reader, slugs, by: Actor { id: user.id, email: user.email }, tasks }
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
