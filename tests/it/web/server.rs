//! A server of real parts around the pages: temporary SQLite, the fake engine, a clock moved by hand.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body};
use clap::Parser;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::ExposeSecret;
use siesta::{
    accounts::{Accounts, Origin, SignUp},
    apps::{App, Apps, AppsParts},
    builder::{Builder, BuilderParts},
    clock::{Clock, ManualClock},
    config::{Config, ServeOptions},
    domain::{Plan, Procfile, SlugId, Timestamp, user::Actor},
    dynos::{Dynos, DynosParts},
    engine::{Engine, fake::FakeEngine},
    logs::Logs,
    releases::{Releases, ReleasesParts},
    scheduler::Tasks,
    secrets::KeyRing,
    slugs::{Slug, Slugs, app_image},
    store,
    web::{self, Web},
};
use tower::ServiceExt as _;

pub const PASSWORD: &str = "correct horse battery";

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
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The `Set-Cookie` that begins with this name.
    pub fn set_cookie(&self, name: &str) -> Option<String> {
        let mut all = self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        all.find(|cookie| cookie.starts_with(&format!("{name}="))).map(str::to_owned)
    }
}

/// Somebody with a browser: keeps the session cookie, speaks a language.
pub struct Visitor {
    pub actor: Option<Actor>,
    pub cookie: String,
    pub language: &'static str,
}

impl Visitor {
    pub fn stranger() -> Visitor {
        Visitor { actor: None, cookie: String::new(), language: "en" }
    }
}

pub struct Server {
    pub clock: ManualClock,
    pub accounts: Accounts,
    pub apps: Apps,
    pub releases: Releases,
    pub logs: Logs,
    engine: FakeEngine,
    router: Router,
    tasks: Tasks,
    _folder: tempfile::TempDir,
}

impl Server {
    /// A server that was claimed by `ana@example.org`.
    pub async fn claimed() -> (Server, Visitor) {
        let server = Server::start(&[]).await;
        let token = server.accounts.new_claim_token().await.unwrap().unwrap();
        let (user, session) =
            server.accounts.claim(&token, "ana@example.org", &PASSWORD.into(), SignUp::Open, &Origin::default()).await.unwrap();
        let cookie = format!("siesta={}", session.expose_secret());
        (server, Visitor { actor: Some(Actor { id: user.id, email: user.email }), cookie, language: "en" })
    }

    pub async fn start(flags: &[&str]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let base = ["siesta", "--data-dir", root.to_str().unwrap(), "--stack-run", "siesta/run:1", "--stack-build", "siesta/build:1"];
        let options = Cli::parse_from(base.iter().chain(flags)).options;
        let config = Arc::new(Config::new(options).unwrap());
        let manual = ManualClock::at(Timestamp::from_secs(1_430_000_000));
        let clock: Arc<dyn Clock> = Arc::new(manual.clone());
        let tasks = Tasks::new();
        let (reader, writer) = store::open(&root.join("siesta.db")).await.unwrap();
        let fake = FakeEngine::new("test");
        for image in ["siesta/run:1", "siesta/build:1"] {
            fake.add_image(image);
        }
        let engine: Arc<dyn Engine> = Arc::new(fake.clone());
        let logs = Logs::open(&root.join("logs.db"), clock.clone(), &tasks).await.unwrap();
        let slugs = Slugs::new(root.clone(), engine.clone(), "test");
        let keys = Arc::new(KeyRing::open_or_create(&root.join("keys")).unwrap());
        let plan = Plan::free();
        let accounts = Accounts::new(reader.clone(), writer.clone(), clock.clone());
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
            engine,
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
        let parts = Web {
            config,
            clock,
            reader,
            accounts: accounts.clone(),
            apps: apps.clone(),
            builder,
            releases: releases.clone(),
            dynos,
            logs: logs.clone(),
            plan,
        };
        Server { clock: manual, accounts, apps, releases, logs, engine: fake, router: web::router(parts), tasks, _folder: folder }
    }

    pub async fn stop(self) {
        assert!(self.tasks.stop(Duration::from_secs(20)).await, "all tasks end");
    }

    /// Somebody else with an account.
    pub async fn person(&self, email: &str) -> Visitor {
        let (user, session) = self.accounts.sign_up(email, &PASSWORD.into(), None, &Origin::default()).await.unwrap();
        let cookie = format!("siesta={}", session.expose_secret());
        Visitor { actor: Some(Actor { id: user.id, email: user.email }), cookie, language: "en" }
    }

    pub async fn app(&self, owner: &Visitor, name: &str) -> App {
        self.apps.create(Some(name.parse().unwrap()), owner.actor.as_ref().unwrap()).await.unwrap()
    }

    /// Deploys a slug with a web and a worker process whose image is in the engine already.
    pub async fn deploy(&self, owner: &Visitor, app: &App) {
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
        let actor = owner.actor.as_ref().unwrap();
        self.releases.deploy(app.id, slug, "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d", actor).await.unwrap();
    }

    /// A request as this visitor's browser sends it, before its body.
    pub fn request(&self, visitor: &Visitor, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost:8080")
            .header("accept", "text/html")
            .header("accept-language", visitor.language)
            .header("cookie", &visitor.cookie)
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    pub async fn get(&self, visitor: &Visitor, path: &str) -> Answer {
        self.send(self.request(visitor, Method::GET, path).body(Body::empty()).unwrap()).await
    }

    /// Sends a form from a page of ours.
    pub async fn post(&self, visitor: &Visitor, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.request(visitor, Method::POST, path).header("sec-fetch-site", "same-origin");
        self.send(form(request, fields)).await
    }
}

/// A form's body.
pub fn form(request: http::request::Builder, fields: &[(&str, &str)]) -> Request<Body> {
    let encoded = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    request.header("content-type", "application/x-www-form-urlencoded").body(Body::from(body.join("&"))).unwrap()
}
