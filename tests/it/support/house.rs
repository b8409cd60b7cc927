//! The owners of a real server over the fake engine and a clock moved by hand: what the tests of
//! the edges and of dynos share.

use std::{path::Path, sync::Arc, time::Duration};

use clap::Parser;
use siesta::{
    clock::ManualClock,
    config::{Config, ServeOptions},
    domain::{AppId, Procfile, SlugId, Timestamp, slug::Slug},
    engine::{Engine, fake::FakeEngine},
    github::fake::FakeGitHub,
    scheduler::Tasks,
    server::{Ground, Owners},
    slugs::app_image,
};

/// The id under which the fake engine labels what it makes.
pub const INSTANCE: &str = "test";
/// The commit of every slug made here.
pub const COMMIT: &str = "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d";

#[derive(Parser)]
#[command(args_override_self = true)]
struct Cli {
    #[command(flatten)]
    options: ServeOptions,
}

/// What `siesta serve` makes of these flags.
pub fn config(data: &Path, flags: &[&str]) -> Config {
    let data = data.to_str().expect("a path in UTF-8");
    let base = [
        "siesta",
        "--data-dir",
        data,
        "--stack-run",
        "siesta/run:1",
        "--stack-build",
        "siesta/build:1",
        "--stack-postgres",
        "",
        "--host-reserve-mb",
        "0",
        // What wakes without one wakes with one too; what they add has tests of its own.
        "--standbys",
        "0",
    ];
    Config::new(Cli::parse_from(base.iter().chain(flags)).options).expect("a config")
}

/// Opens the data folder as a server does, over an engine of the test's.
pub async fn ground(config: Config, clock: Arc<dyn siesta::clock::Clock>, engine: Arc<dyn Engine>, instance: &str) -> Ground {
    let mut ground = Ground::open(config, clock, &Tasks::new(), |_| Ok(engine)).await.expect("a data folder");
    instance.clone_into(&mut ground.instance);
    ground
}

/// A started server without edges, gone with its folder.
pub struct House {
    pub owners: Owners,
    pub engine: FakeEngine,
    pub github: FakeGitHub,
    pub clock: ManualClock,
    _folder: Arc<tempfile::TempDir>,
}

impl House {
    pub async fn start(flags: &[&str]) -> House {
        House::over(Arc::new(tempfile::tempdir().expect("a folder")), flags).await
    }

    /// The same over the data folder of one before.
    pub async fn over(folder: Arc<tempfile::TempDir>, flags: &[&str]) -> House {
        let (engine, clock) = (FakeEngine::new(INSTANCE), ManualClock::at(Timestamp::from_secs(1_430_000_000)));
        for image in ["siesta/run:1", "siesta/build:1"] {
            engine.add_image(image);
        }
        let github = FakeGitHub::new();
        let mut ground = ground(config(folder.path(), flags), Arc::new(clock.clone()), Arc::new(engine.clone()), INSTANCE).await;
        ground.github = Arc::new(github.clone());
        let owners = Owners::new(ground);
        owners.start().await.expect("a start");
        House { owners, engine, github, clock, _folder: folder }
    }

    /// Stops as a server does.
    pub async fn stop(self) {
        assert!(self.owners.tasks.stop(Duration::from_secs(20)).await, "all tasks end");
    }

    /// A slug with a web and a worker process whose image is in the engine already.
    pub fn slug(&self, app: AppId) -> Slug {
        let slug = slug(&self.engine, app, "web: gunicorn app:app\nworker: python worker.py\n", self.owners.clock.now());
        let file = self.owners.slugs.folder().expect("a folder").join(&slug.code_file);
        std::fs::write(file, "").expect("the code that is kept");
        slug
    }
}

/// A slug with these processes whose image is in the engine already.
pub fn slug(engine: &FakeEngine, app_id: AppId, procfile: &str, now: Timestamp) -> Slug {
    let slug = plain_slug(app_id, procfile, now);
    engine.add_image(&app_image(slug.id).0);
    slug
}

/// A slug with these processes and files that are not there.
pub fn plain_slug(app_id: AppId, procfile: &str, now: Timestamp) -> Slug {
    Slug {
        id: SlugId::new(),
        app_id,
        commit: Some(COMMIT.to_owned()),
        code_file: "c0de".repeat(16),
        deps_file: None,
        deps_key: "0".repeat(64),
        stack: "siesta/run:1".to_owned(),
        language: "Python".to_owned(),
        runtime: "Python 3.11.2".to_owned(),
        process_types: Procfile::parse(procfile.as_bytes()).expect("a Procfile"),
        size: 1_234_567,
        created_at: now,
    }
}
