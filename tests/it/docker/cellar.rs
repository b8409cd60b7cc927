//! The owners of a server over real Docker with databases, and a clock moved by hand.

use std::{panic::AssertUnwindSafe, path::Path, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use secrecy::ExposeSecret as _;
use siesta::{
    accounts::{LogIn, Origin, SignUp},
    addons::{Addon, Wanted},
    clock::ManualClock,
    domain::{AppId, Timestamp, addon::AddonState, app::App, user::Actor},
    engine::{Engine, docker::Docker, spec::LABEL_ADDON},
    server::Owners,
};
use tokio_postgres::{Client, NoTls};

use super::tiny::socket;
use crate::support::{house, served::remove_leftovers};

const PASSWORD: &str = "correct horse battery staple";

pub struct Cellar {
    pub owners: Owners,
    pub engine: Arc<Docker>,
    pub clock: ManualClock,
    pub by: Actor,
    pub data: tempfile::TempDir,
}

/// What stands in a `DATABASE_URL`.
#[derive(Clone, Debug, PartialEq)]
pub struct Url {
    pub role: String,
    pub password: String,
    pub host: String,
    pub database: String,
}

impl Url {
    pub fn parse(text: &str) -> Url {
        let rest = text.strip_prefix("postgres://").expect("it begins with postgres://");
        let (who, place) = rest.split_once('@').expect("a role");
        let (role, password) = who.split_once(':').expect("a password");
        let (host, database) = place.split_once('/').expect("a database");
        let database = database.split_once('?').map_or(database, |(database, _)| database);
        Url { role: role.into(), password: password.into(), host: host.into(), database: database.into() }
    }
}

/// Runs a test over real Docker and removes what it made, even when it fails.
pub async fn with_cellar(flags: &[&str], test: impl AsyncFnOnce(&Cellar)) {
    with_cellar_on(tempfile::tempdir().expect("a folder"), flags, test).await;
}

/// The same on a data folder in which something may lie.
pub async fn with_cellar_on(data: tempfile::TempDir, flags: &[&str], test: impl AsyncFnOnce(&Cellar)) {
    let instance = format!("t{:08x}", rand::random::<u32>());
    let engine = Arc::new(Docker::connect(Path::new(&socket()), &instance).expect("a Docker socket"));
    let range = format!("10.{}.{}.0/24", 246 + rand::random::<u8>() % 8, rand::random::<u8>());
    let image = std::env::var("SIESTA_STACK_POSTGRES").expect("SIESTA_STACK_POSTGRES (script/test sets it)");
    let (run, build) = (std::env::var("SIESTA_STACK_RUN").expect("a stack"), std::env::var("SIESTA_STACK_BUILD").expect("a stack"));
    let clock = ManualClock::at(Timestamp::from_secs(1_430_000_000));
    let base = ["--network-range", &range, "--stack-postgres", &image, "--stack-run", &run, "--stack-build", &build];
    let config = house::config(data.path(), &[&base[..], flags].concat());
    let ground = house::ground(config, Arc::new(clock.clone()), engine.clone(), &instance).await;
    let owners = Owners::new(ground);
    let user = owners.accounts.system_user().await.expect("a user");
    owners.start().await.expect("a start");
    let by = Actor { id: user.id, email: user.email };
    let cellar = Cellar { owners, engine: engine.clone(), clock, by, data };
    let outcome = AssertUnwindSafe(test(&cellar)).catch_unwind().await;
    cellar.owners.tasks.stop(Duration::from_secs(20)).await;
    for container in engine.list().await.expect("a list") {
        engine.remove(container.id).await.expect("removed");
    }
    for image in engine.list_images().await.expect("a list") {
        engine.remove_image(image).await.expect("removed");
    }
    remove_leftovers(&instance).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Cellar {
    pub async fn app(&self, name: &str) -> App {
        self.owners.apps.create(Some(name.parse().expect("a name")), &self.by).await.expect("an app")
    }

    /// Somebody with an account.
    pub async fn person(&self, email: &str) -> Actor {
        let accounts = &self.owners.accounts;
        let signed = match accounts.new_claim_token().await.expect("read") {
            Some(token) => accounts.claim(&token, email, &PASSWORD.into(), SignUp::Open, &Origin::default()).await,
            None => accounts.sign_up(email, &PASSWORD.into(), None, &Origin::default()).await,
        };
        let (user, _) = signed.expect("an account");
        Actor { id: user.id, email: user.email }
    }

    /// The cookie of somebody who has just logged in.
    pub async fn cookie(&self, who: &Actor) -> String {
        match self.owners.accounts.log_in_verified(who.id, &Origin::default()).await.expect("logged in") {
            LogIn::Session(_, session) => format!("siesta={}", session.expose_secret()),
            LogIn::Code { .. } => panic!("no second factor was set"),
        }
    }

    /// SIGKILL for the database server.
    pub async fn kill_postgres(&self) {
        let found = self.engine.list().await.expect("a list");
        let server = found.into_iter().find(|one| one.running && one.labels.get(LABEL_ADDON).is_some_and(|name| name == "postgres"));
        self.engine.kill(server.expect("the database server").id).await.expect("killed");
    }

    /// An app of somebody's.
    pub async fn app_of(&self, name: &str, by: &Actor) -> App {
        self.owners.apps.create(Some(name.parse().expect("a name")), by).await.expect("an app")
    }

    /// A database for an app, ready for use.
    pub async fn database(&self, app: &App) -> Addon {
        let wanted = Wanted { plan: "heroku-postgresql:mini".to_owned(), ..Wanted::default() };
        let addon = self.owners.addons.create(app.id, wanted, &self.by).await.expect("an add-on");
        self.owners.addons.work().await;
        let addon = self.owners.reader.addon(addon.id).await.expect("read").expect("an add-on");
        assert_eq!((addon.state, &addon.error), (AddonState::Provisioned, &None));
        addon
    }

    pub async fn addon(&self, addon: &Addon) -> Addon {
        self.owners.addons.found(addon.id).await.expect("an add-on")
    }

    /// A config var of an app.
    pub async fn var(&self, app: AppId, key: &str) -> Option<String> {
        let config = self.owners.releases.config(app).await.expect("config");
        config.get(key).map(|value| value.expose_secret().to_owned())
    }

    pub async fn url(&self, app: &App) -> Url {
        Url::parse(&self.var(app.id, "DATABASE_URL").await.expect("a DATABASE_URL"))
    }

    /// A session as the very role of a `DATABASE_URL`, past the relay.
    pub async fn session(&self, url: &Url) -> Result<Client, tokio_postgres::Error> {
        session(self.data.path(), url).await
    }

    /// The texts of an app's log.
    pub async fn log(&self, app: &App) -> Vec<String> {
        let lines = self.owners.logs.recent(app.id, &siesta::logs::Filter::default(), 200).await.expect("lines");
        lines.into_iter().map(|(_, line)| format!("{}: {}", line.ps, line.message)).collect()
    }
}

/// A session as the very role of a `DATABASE_URL`, past the relay, on the server of this data folder.
#[expect(clippy::disallowed_methods, reason = "a connection is driven by a task of the test's own")]
pub async fn session(data: &Path, url: &Url) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(data.join("postgres/run")).user(&url.role).password(&url.password).dbname(&url.database);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}
