//! The owners of all state, made in order over one ground: what `siesta serve` runs, and what
//! tests run over the fake engine and a clock moved by hand.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use axum::body::Body;
use http::{Request, Response};
use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::{
    accounts::Accounts,
    addons::{Addons, AddonsParts},
    admin::{self, Door},
    api::{self, Announcer, Api, ApiParts},
    apps::{Apps, AppsParts},
    audit::Audit,
    backup::{Backup, BackupParts},
    builder::{Builder, BuilderParts},
    clock::Clock,
    config::Config,
    connections::{Connections, ConnectionsParts},
    doctor::{Doctor, Running},
    domains::{Domains, DomainsParts},
    dynos::{Dynos, DynosParts},
    egress::Egress,
    engine::Engine,
    git_http::{self, Git},
    github::{GitHost, client::GithubClient},
    hooks_out::{Webhooks, WebhooksParts},
    host::Host,
    http::ClientAddress,
    logs::{
        Logs,
        drains::{Drains, DrainsParts},
    },
    mail::Mail,
    metrics::{History, Traffic},
    pipelines::{Pipelines, PipelinesParts},
    plans::{Overrides, Plans},
    releases::{Releases, ReleasesParts},
    repositories::{self, Repositories, RepositoriesParts},
    router::{Peer, Platform},
    scheduler::{Activator, Tasks, every},
    secrets::KeyRing,
    slugs::Slugs,
    store::{self, Reader, Writer},
    web::{self, Web},
};

/// What the owners are made of.
pub struct Ground {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub tasks: Tasks,
    pub reader: Reader,
    pub writer: Writer,
    pub engine: Arc<dyn Engine>,
    pub keys: Arc<KeyRing>,
    pub egress: Egress,
    pub github: Arc<dyn GitHost>,
    pub logs: Logs,
    /// The id under which this server labels what it makes.
    pub instance: String,
}

/// Everything below the edges.
pub struct Owners {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub tasks: Tasks,
    pub reader: Reader,
    pub accounts: Accounts,
    pub connections: Connections,
    pub repositories: Repositories,
    pub addons: Addons,
    pub apps: Apps,
    pub backup: Backup,
    pub domains: Domains,
    pub pipelines: Pipelines,
    pub builder: Builder,
    pub releases: Releases,
    pub dynos: Dynos,
    pub egress: Egress,
    pub engine: Arc<dyn Engine>,
    pub logs: Logs,
    pub mail: Mail,
    pub drains: Drains,
    pub webhooks: Webhooks,
    pub slugs: Slugs,
    pub plans: Plans,
    pub host: Host,
    pub history: History,
    pub audit: Audit,
    pub instance: String,
    pushes: git_http::Pushes,
    /// Made once: it alone knows the addresses it hands out.
    edge: OnceLock<Api>,
}

impl Ground {
    /// Opens the data folder of `config`; `engine` is given the instance's id.
    ///
    /// # Errors
    /// When a database or the key file is unusable, or `engine` fails.
    pub async fn open(
        config: Config,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
        engine: impl FnOnce(&str) -> anyhow::Result<Arc<dyn Engine>>,
    ) -> anyhow::Result<Ground> {
        let data = &config.options.data_dir;
        let (reader, writer) = store::open(&data.join("siesta.db")).await?;
        let instance = writer.instance_id().await?;
        std::fs::write(data.join("instance"), &instance)?;
        let keys = Arc::new(KeyRing::open_or_create(&data.join("key"))?);
        let egress = Egress::new(&config.options.egress_allow, config.options.egress_ca.as_deref())?;
        let github = Arc::new(git_host(&config)?);
        let logs = Logs::open(&data.join("logs.db"), clock.clone(), tasks).await?;
        let engine = engine(&instance)?;
        Ok(Ground { config: Arc::new(config), clock, tasks: tasks.clone(), reader, writer, engine, keys, egress, github, logs, instance })
    }
}

impl Owners {
    /// Puts them together; nothing runs yet.
    #[expect(clippy::too_many_lines, reason = "one list in the order of what needs what; nothing is decided in it")]
    pub fn new(ground: Ground) -> Owners {
        let Ground { config, clock, tasks, reader, writer, engine, keys, egress, github, logs, instance } = ground;
        let seconds = |given: Option<f64>| given.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.1, 31_536_000.0)));
        let free = Overrides { idle_after: seconds(config.options.idle_after), nap_after: seconds(config.options.nap_after) };
        let plans = Plans::new(reader.clone(), writer.clone(), clock.clone(), free);
        let host = Host::new(&config);
        let audit = Audit::new(reader.clone(), writer.clone(), clock.clone());
        let slugs = Slugs::new(config.options.data_dir.clone(), engine.clone(), &instance);
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
            host: host.clone(),
            plans: plans.clone(),
            instance: instance.as_str().into(),
        });
        let history = History::new(Traffic::new(clock.clone()), dynos.meters(), reader.clone(), writer.clone(), clock.clone());
        let releases = Releases::new(ReleasesParts {
            reader: reader.clone(),
            writer: writer.clone(),
            dynos: dynos.clone(),
            slugs: slugs.clone(),
            logs: logs.clone(),
            keys: keys.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
        });
        let drains = Drains::new(DrainsParts {
            reader: reader.clone(),
            writer: writer.clone(),
            keys: keys.clone(),
            egress: egress.clone(),
            logs: logs.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
        });
        let webhooks = Webhooks::new(WebhooksParts {
            reader: reader.clone(),
            writer: writer.clone(),
            keys: keys.clone(),
            egress: egress.clone(),
            logs: logs.clone(),
            clock: clock.clone(),
        });
        let connections = Connections::new(ConnectionsParts {
            config: config.clone(),
            clock: clock.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            keys: keys.clone(),
            github: github.clone(),
        });
        let mail = Mail::new(config.clone(), clock.clone(), reader.clone(), writer.clone());
        let addons = Addons::new(AddonsParts {
            config: config.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            engine: engine.clone(),
            releases: releases.clone(),
            dynos: dynos.clone(),
            logs: logs.clone(),
            mail: mail.clone(),
            keys: keys.clone(),
            egress: egress.clone(),
            host: host.clone(),
            instance: instance.as_str().into(),
        });
        let builder = Builder::new(BuilderParts {
            config: config.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            engine: engine.clone(),
            logs: logs.clone(),
            slugs: slugs.clone(),
            releases: releases.clone(),
            github: github.clone(),
            connections: connections.clone(),
            plans: plans.clone(),
            host: host.clone(),
            root: config.options.data_dir.clone(),
        });
        let accounts = Accounts::new(reader.clone(), writer.clone(), clock.clone(), keys.clone());
        let backup = Backup::new(BackupParts {
            clock: clock.clone(),
            tasks: tasks.clone(),
            reader: reader.clone(),
            addons: addons.clone(),
            logs: logs.clone(),
            keys: keys.clone(),
            host: host.clone(),
            root: config.options.data_dir.clone(),
        });
        let domains = Domains::new(DomainsParts {
            config: config.clone(),
            clock: clock.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            dynos: dynos.clone(),
            logs: logs.clone(),
        });
        let pipelines = Pipelines::new(PipelinesParts {
            clock: clock.clone(),
            tasks: tasks.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            releases: releases.clone(),
        });
        let repositories = Repositories::new(RepositoriesParts {
            config: config.clone(),
            clock: clock.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            keys,
            github,
            connections: connections.clone(),
            builder: builder.clone(),
            logs: logs.clone(),
        });
        let apps = Apps::new(AppsParts {
            reader: reader.clone(),
            writer,
            addons: addons.clone(),
            releases: releases.clone(),
            dynos: dynos.clone(),
            builder: builder.clone(),
            repositories: repositories.clone(),
            logs: logs.clone(),
            clock: clock.clone(),
            plans: plans.clone(),
            stack: config.stack_name(),
        });
        Owners {
            config,
            clock,
            tasks,
            reader,
            accounts,
            connections,
            repositories,
            addons,
            apps,
            backup,
            domains,
            pipelines,
            builder,
            releases,
            dynos,
            egress,
            engine,
            logs,
            mail,
            drains,
            slugs,
            plans,
            host,
            history,
            audit,
            instance,
            webhooks,
            pushes: git_http::Pushes::default(),
            edge: OnceLock::new(),
        }
    }

    /// In this order: drains miss no line of what follows, plans are known before a dyno is judged by
    /// one, databases of a backup are whole before an app could look into them, dynos are adopted before anything could start one, releases that were cut off
    /// are brought to an end before builds could make new ones.
    ///
    /// # Errors
    /// When the database or the engine fails.
    pub async fn start(&self) -> anyhow::Result<()> {
        self.drains.start().await?;
        self.webhooks.start().await?;
        self.plans.load().await?;
        self.addons.bring_back().await?;
        self.dynos.start().await?;
        self.releases.start().await?;
        self.builder.start().await?;
        self.pipelines.start().await?;
        self.addons.start().await?;
        Ok(())
    }

    /// The one list of periodic tasks. Work that belongs to one app's supervisor or one build is not here.
    pub fn tick(&self) {
        let (seconds, nobody) = (Duration::from_secs, Activator::new);
        self.repeat(repositories::EVERY, self.repositories.wake(), &self.repositories, |all| async move { all.look().await });
        self.tasks.spawn(self.repositories.clone().report_on());
        self.repeat(seconds(1), nobody(), &self.dynos, |dynos| async move { dynos.sweep() });
        self.repeat(seconds(20), nobody(), &self.dynos, |dynos| async move {
            if let Err(error) = dynos.sample().await {
                tracing::warn!(%error, "what dynos use is not known this time");
            }
        });
        self.repeat(seconds(60), nobody(), &self.history, |history| async move {
            if let Err(error) = history.keep().await {
                tracing::warn!(%error, "what apps did is not written down this time");
            }
        });
        self.repeat(seconds(60), nobody(), &self.dynos, |dynos| async move {
            if let Err(error) = dynos.tidy_networks().await {
                tracing::warn!(%error, "networks of apps that sleep stay for now");
            }
        });
        self.repeat(seconds(300), nobody(), &self.dynos, |dynos| async move { dynos.check_disks().await });
        self.repeat(seconds(15), self.addons.activator(), &self.addons, |addons| async move { addons.work().await });
        self.repeat(seconds(60), nobody(), &self.addons, |addons| async move { addons.sweep().await });
        self.repeat(seconds(10), nobody(), &self.addons, |addons| async move { addons.run_jobs().await });
        self.repeat(seconds(10), self.addons.backups_activator(), &self.addons, |addons| async move { addons.back_up().await });
        self.repeat(seconds(60), nobody(), &self.apps, |apps| async move { apps.sweep_bin().await });
        self.repeat(seconds(1), nobody(), &self.announcer(), |announcer| async move {
            if let Err(error) = announcer.announce().await {
                tracing::error!(%error, "webhooks are not told this time");
            }
        });
        self.repeat(seconds(5), self.webhooks.activator(), &self.webhooks, |webhooks| async move {
            if let Err(error) = webhooks.deliver().await {
                tracing::error!(%error, "webhooks are not delivered this time");
            }
        });
        self.repeat(seconds(15), self.mail.activator(), &self.mail, |mail| async move { mail.deliver().await });
        self.repeat(seconds(3600), nobody(), &self.accounts, |accounts| async move {
            if let Err(error) = accounts.sweep().await {
                tracing::error!(%error, "old sessions and links stay for now");
            }
        });
        self.repeat(seconds(3600), nobody(), &self.git(), |git| async move { git_http::sweep(&git).await });
    }

    /// Does this with the owner at once, after every period, and whenever `wake` says so.
    fn repeat<T, F>(&self, period: Duration, wake: Activator, owner: &T, work: impl Fn(T) -> F + Send + 'static)
    where
        T: Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let owner = owner.clone();
        self.tasks.spawn(every(period, wake, move || work(owner.clone())));
    }

    /// The dashboard's pages.
    pub fn web(&self) -> axum::Router {
        web::router(Web {
            consoles: web::Consoles::default(),
            config: self.config.clone(),
            clock: self.clock.clone(),
            reader: self.reader.clone(),
            accounts: self.accounts.clone(),
            connections: self.connections.clone(),
            repositories: self.repositories.clone(),
            addons: self.addons.clone(),
            apps: self.apps.clone(),
            builder: self.builder.clone(),
            releases: self.releases.clone(),
            domains: self.domains.clone(),
            dynos: self.dynos.clone(),
            logs: self.logs.clone(),
            drains: self.drains.clone(),
            history: self.history.clone(),
            plans: self.plans.clone(),
            audit: self.audit.clone(),
            host: self.host.clone(),
        })
    }

    /// The Platform API.
    pub fn api(&self) -> axum::Router {
        api::router(self.edge())
    }

    /// Who tells webhooks what changed.
    pub fn announcer(&self) -> Announcer {
        Announcer::new(self.edge())
    }

    fn edge(&self) -> Api {
        let make = || {
            Api::new(ApiParts {
                domains: self.domains.clone(),
                pipelines: self.pipelines.clone(),
                config: self.config.clone(),
                clock: self.clock.clone(),
                reader: self.reader.clone(),
                accounts: self.accounts.clone(),
                addons: self.addons.clone(),
                apps: self.apps.clone(),
                builder: self.builder.clone(),
                releases: self.releases.clone(),
                dynos: self.dynos.clone(),
                logs: self.logs.clone(),
                drains: self.drains.clone(),
                history: self.history.clone(),
                plans: self.plans.clone(),
                audit: self.audit.clone(),
                tasks: self.tasks.clone(),
                stack: self.config.stack_name(),
                webhooks: self.webhooks.clone(),
            })
        };
        self.edge.get_or_init(make).clone()
    }

    fn git(&self) -> Git {
        Git {
            config: self.config.clone(),
            reader: self.reader.clone(),
            accounts: self.accounts.clone(),
            builder: self.builder.clone(),
            tasks: self.tasks.clone(),
            pushes: self.pushes.clone(),
        }
    }

    /// Dashboard, API and git as one service, told apart by what asks.
    pub fn platform(&self) -> Platform {
        let (web, api, git) = (self.web(), self.api(), git_http::router(self.git()));
        let config = self.config.clone();
        let service = tower::service_fn(move |mut request: Request<Body>| {
            if let Some(peer) = request.extensions().get::<Peer>().copied() {
                request.extensions_mut().insert(ClientAddress(peer.ip));
            }
            let (parts, body) = request.into_parts();
            let chosen = match &parts {
                parts if git_http::is_git_request(parts) => git.clone(),
                parts if api::is_api_request(parts, &config) => api.clone(),
                _ => web.clone(),
            };
            chosen.oneshot(Request::from_parts(parts, body))
        });
        let service: BoxCloneSyncService<Request<Body>, Response<Body>, std::convert::Infallible> = BoxCloneSyncService::new(service);
        Platform::new(service, &self.tasks)
    }

    /// Looks at what this server stands on.
    pub fn doctor(&self) -> Doctor {
        Doctor {
            config: self.config.clone(),
            clock: self.clock.clone(),
            engine: self.engine.clone(),
            state: Some(Ok(self.reader.clone())),
            running: Some(Running::default()),
        }
    }

    /// Serves the operator's socket in the data folder.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn open_the_door(&self, data: &Path) -> anyhow::Result<()> {
        let door = Door {
            config: self.config.clone(),
            reader: self.reader.clone(),
            accounts: self.accounts.clone(),
            apps: self.apps.clone(),
            backup: self.backup.clone(),
            dynos: self.dynos.clone(),
            builder: self.builder.clone(),
            doctor: self.doctor(),
            drains: self.drains.clone(),
            plans: self.plans.clone(),
            host: self.host.clone(),
            audit: self.audit.clone(),
            instance: self.instance.clone(),
        };
        admin::serve(door, &data.join(admin::SOCKET), &self.tasks).context("The admin socket cannot be made")
    }
}

/// The configured git host; its own addresses need no further permission.
fn git_host(config: &Config) -> anyhow::Result<GithubClient> {
    let (web, api) = (config.options.github_url.as_str(), config.github_api_url());
    let mut allow = config.options.egress_allow.clone();
    for address in [web, &api] {
        let url: reqwest::Url = address.parse().with_context(|| format!("{address} is not an address"))?;
        let port = url.port_or_known_default().unwrap_or(443);
        allow.extend(url.host_str().map(|host| format!("{host}:{port}")));
    }
    let egress = Egress::new(&allow, config.options.egress_ca.as_deref())?;
    let host = GithubClient::new(web, &api, egress)?;
    // Everything else works without.
    if let Err(error) = host.can_be_asked() {
        tracing::warn!(%error, "GitHub is not asked");
    }
    Ok(host)
}
