//! A server of real parts around the API: temporary SQLite, the fake engine, a clock moved by hand.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body};
use clap::Parser;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use siesta::{
    accounts::{Accounts, User},
    api::{self, Api, ApiParts},
    apps::{App, Apps, AppsParts},
    builder::{Builder, BuilderParts},
    clock::{Clock, ManualClock},
    config::{Config, ServeOptions},
    domain::{Plan, Procfile, SlugId, Timestamp, user::Actor},
    dynos::{Dynos, DynosParts},
    engine::fake::FakeEngine,
    logs::Logs,
    releases::{Releases, ReleasesParts},
    scheduler::Tasks,
    secrets::KeyRing,
    slugs::{Slug, Slugs, app_image},
    store,
};
use tower::ServiceExt as _;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: ServeOptions,
}

/// One answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// An account and a token of it.
pub struct Person {
    pub user: User,
    pub token: SecretString,
}

impl Person {
    pub fn actor(&self) -> Actor {
        Actor { id: self.user.id, email: self.user.email.clone() }
    }
}

pub struct Server {
    pub clock: ManualClock,
    pub engine: FakeEngine,
    pub accounts: Accounts,
    pub apps: Apps,
    pub releases: Releases,
    pub logs: Logs,
    router: Router,
    tasks: Tasks,
    _folder: tempfile::TempDir,
}

impl Server {
    pub async fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let options = Cli::parse_from([
            "siesta",
            "--data-dir",
            root.to_str().unwrap(),
            "--stack-run",
            "siesta/run:1",
            "--stack-build",
            "siesta/build:1",
        ])
        .options;
        let config = Arc::new(Config::new(options).unwrap());
        let manual = ManualClock::at(Timestamp::from_secs(1_430_000_000));
        let clock: Arc<dyn Clock> = Arc::new(manual.clone());
        let tasks = Tasks::new();
        let (reader, writer) = store::open(&root.join("siesta.db")).await.unwrap();
        let engine = FakeEngine::new("test");
        for image in ["siesta/run:1", "siesta/build:1"] {
            engine.add_image(image);
        }
        let seam: Arc<dyn siesta::engine::Engine> = Arc::new(engine.clone());
        let logs = Logs::open(&root.join("logs.db"), clock.clone(), &tasks).await.unwrap();
        let slugs = Slugs::new(root.clone(), seam.clone(), "test");
        let keys = Arc::new(KeyRing::open_or_create(&root.join("keys")).unwrap());
        let plan = Plan::free();
        let accounts = Accounts::new(reader.clone(), writer.clone(), clock.clone());
        let dynos = Dynos::new(DynosParts {
            config: config.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            engine: seam.clone(),
            logs: logs.clone(),
            slugs: slugs.clone(),
            keys: keys.clone(),
            plan: plan.clone(),
            instance: "test".into(),
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
            config: config.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            engine: seam,
            logs: logs.clone(),
            slugs,
            releases: releases.clone(),
            plan: plan.clone(),
            root,
        });
        let apps = Apps::new(AppsParts {
            reader: reader.clone(),
            writer,
            releases: releases.clone(),
            dynos: dynos.clone(),
            builder: builder.clone(),
            logs: logs.clone(),
            clock: clock.clone(),
            plan: plan.clone(),
            stack: "siesta-12".to_owned(),
        });
        dynos.start().await.unwrap();
        builder.start().await.unwrap();
        let router = api::router(Api::new(ApiParts {
            config,
            clock,
            reader,
            accounts: accounts.clone(),
            apps: apps.clone(),
            builder,
            releases: releases.clone(),
            dynos: dynos.clone(),
            logs: logs.clone(),
            plan,
            stack: "siesta-12".to_owned(),
        }));
        Server { clock: manual, engine, accounts, apps, releases, logs, router, tasks, _folder: folder }
    }

    pub async fn stop(self) {
        assert!(self.tasks.stop(Duration::from_secs(20)).await, "all tasks end");
    }

    pub async fn person(&self, email: &str) -> Person {
        let user = self.accounts.create_user(email, &"correct horse battery".into(), false).await.unwrap();
        let (_, token) = self.accounts.create_token(user.id, "test", None).await.unwrap();
        Person { user, token }
    }

    pub async fn app(&self, owner: &Person, name: &str) -> App {
        self.apps.create(Some(name.parse().unwrap()), &owner.actor()).await.unwrap()
    }

    /// Deploys a slug with a web and a worker process whose image is in the engine already.
    pub async fn deploy(&self, owner: &Person, app: &App) {
        let id = SlugId::new();
        self.engine.add_image(&app_image(id).0);
        let slug = Slug {
            id,
            app_id: app.id,
            commit: Some("1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d".to_owned()),
            code_file: "c0de".repeat(16),
            deps_file: None,
            deps_key: "0".repeat(64),
            stack: "siesta/run:1".to_owned(),
            language: "Python".to_owned(),
            runtime: "Python 3.11.2".to_owned(),
            process_types: Procfile::parse(b"web: gunicorn app:app\nworker: python worker.py\n").unwrap(),
            size: 1_234_567,
            created_at: self.clock.now(),
        };
        self.releases.deploy(app.id, slug, "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d", &owner.actor()).await.unwrap();
    }

    /// Sends a request without waiting for the end of its body.
    pub async fn open(&self, request: Request<Body>) -> http::Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.open(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// A call with a token, if any, and a JSON body, if any.
    pub async fn call(&self, token: Option<&SecretString>, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = request(method, path).header("accept", "application/vnd.heroku+json; version=3");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {}", token.expose_secret()));
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).unwrap()).await
    }

    pub async fn get(&self, person: &Person, path: &str) -> Answer {
        self.call(Some(&person.token), Method::GET, path, None).await
    }
}

pub fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "localhost:8080")
}

/// Ids and secrets as words, for snapshots; times come from the clock moved by hand.
pub fn redacted(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::String(text) if uuid::Uuid::try_parse(text).is_ok() => "[id]".clone_into(text),
            Value::String(text) if text.starts_with("HRKU-") => "[token]".clone_into(text),
            Value::String(text) => {
                for prefix in ["/streams/log/", "/streams/build/", "/sources/"] {
                    if let Some(at) = text.find(prefix) {
                        let from = at + prefix.len();
                        let to = text[from..].find('?').map_or(text.len(), |query| from + query);
                        text.replace_range(from..to, "[secret]");
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            Value::Object(fields) => fields.values_mut().for_each(walk),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    walk(&mut value);
    value
}
