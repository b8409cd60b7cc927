//! Flags and environment, validated into one `Config`. Every limit of the server is named here, once.

mod servers;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;

use crate::domain::one_off;

pub use servers::{MailServer, MailTls, PostgresServer, PostgresTls};

/// How `siesta serve` runs. Every flag has an environment variable of the same name.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeOptions {
    /// Address of the http listener.
    #[arg(long, env = "SIESTA_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address of the https listener.
    #[arg(long, env = "SIESTA_LISTEN_TLS", default_value = "127.0.0.1:8443")]
    pub listen_tls: SocketAddr,
    /// Certificate chain for --listen-tls (PEM); without it a local CA signs.
    #[arg(long, env = "SIESTA_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key for --tls-cert (PEM).
    #[arg(long, env = "SIESTA_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Where everything is kept.
    #[arg(long, env = "SIESTA_DATA_DIR", default_value = "/var/lib/siesta")]
    pub data_dir: PathBuf,
    /// Apps answer at NAME.<this domain>.
    #[arg(long, env = "SIESTA_APPS_DOMAIN", default_value = "localhost")]
    pub apps_domain: String,
    /// Host name of the dashboard; by default the apps domain itself.
    #[arg(long, env = "SIESTA_DASHBOARD_HOST")]
    pub dashboard_host: Option<String>,
    /// A reverse proxy whose X-Forwarded-* headers are believed (address or network, repeatable).
    #[arg(long, env = "SIESTA_TRUSTED_PROXY", value_delimiter = ',')]
    pub trusted_proxy: Vec<String>,
    /// The public address is https though a proxy in front speaks it.
    #[arg(long, env = "SIESTA_PUBLIC_HTTPS", default_value_t = false)]
    pub public_https: bool,
    /// Public port when it differs from the listener's (behind a proxy).
    #[arg(long, env = "SIESTA_PUBLIC_PORT")]
    pub public_port: Option<u16>,
    /// Seconds without web traffic until an app sleeps (the free plan's 1800 by default).
    #[arg(long, env = "SIESTA_IDLE_AFTER")]
    pub idle_after: Option<f64>,
    /// Memory all dynos together may be promised, in MB; by default four times the machine's, less the reserve.
    #[arg(long, env = "SIESTA_APP_MEMORY_MB")]
    pub app_memory_mb: Option<u32>,
    /// Memory in MB that must be available on the machine for a dyno to start.
    #[arg(long, env = "SIESTA_HOST_RESERVE_MB", default_value_t = 512)]
    pub host_reserve_mb: u32,
    /// The largest upload and the largest push, in MB.
    #[arg(long, env = "SIESTA_MAX_UPLOAD_MB", default_value_t = 512)]
    pub max_upload_mb: u32,
    /// Disk space in MB that stays free; with less nothing is deployed and no dyno starts.
    #[arg(long, env = "SIESTA_DISK_FLOOR_MB", default_value_t = 1024)]
    pub disk_floor_mb: u32,
    /// Seconds without web traffic until an awake app naps, where the host has swap (60 by default).
    #[arg(long, env = "SIESTA_NAP_AFTER")]
    pub nap_after: Option<f64>,
    /// Apps that fell asleep last and have their next dyno's container stand by, so that they wake in little
    /// more than their own boot. Each takes 5 to 13 MB of memory; 0 turns it off.
    #[arg(long, env = "SIESTA_STANDBYS", default_value_t = 10)]
    pub standbys: usize,
    /// The Docker socket.
    #[arg(long, env = "SIESTA_DOCKER_SOCKET", default_value = "/var/run/docker.sock")]
    pub docker_socket: PathBuf,
    /// The run image of the stack; script/server prepares it.
    #[arg(long, env = "SIESTA_STACK_RUN", default_value = "")]
    pub stack_run: String,
    /// The build image of the stack.
    #[arg(long, env = "SIESTA_STACK_BUILD", default_value = "")]
    pub stack_build: String,
    /// The image of the PostgreSQL add-on; without it there is no such add-on.
    #[arg(long, env = "SIESTA_STACK_POSTGRES", default_value = "")]
    pub stack_postgres: String,
    /// A PostgreSQL server of your own for the databases of add-ons, instead of the container this server
    /// starts: postgres://siesta:PASSWORD@HOST:PORT?sslmode=verify-full, where `siesta` is a superuser. With
    /// sslmode=require any certificate will do; without sslmode nothing is encrypted, on a private network only.
    #[arg(long, env = "SIESTA_POSTGRES_SERVER", hide_env_values = true)]
    pub postgres_server: Option<SecretString>,
    /// Seconds without a connection until the database server sleeps.
    #[arg(long, env = "SIESTA_POSTGRES_IDLE_AFTER", default_value_t = 300.0)]
    pub postgres_idle_after: f64,
    /// Memory of the database server, in MiB.
    #[arg(long, env = "SIESTA_POSTGRES_MEMORY", default_value_t = 512)]
    pub postgres_memory: u32,
    /// Subnets for app networks are cut from this range (a /16).
    #[arg(long, env = "SIESTA_NETWORK_RANGE", default_value = "10.213.0.0/16")]
    pub network_range: String,
    /// A CA bundle for build containers (a company's or a proxy's), PEM.
    #[arg(long, env = "SIESTA_BUILD_CA")]
    pub build_ca: Option<PathBuf>,
    /// Hand the usual *_PROXY and index variables of this process to build containers.
    #[arg(long, env = "SIESTA_BUILD_PROXY", default_value_t = false)]
    pub build_proxy: bool,
    /// Where uv finds other Python versions (UV_PYTHON_INSTALL_MIRROR).
    #[arg(long, env = "SIESTA_PYTHON_MIRROR")]
    pub python_mirror: Option<String>,
    /// Hosts the server may connect to for users though they are not public, or without https: a name, an
    /// address or a network, with `:port` or without (repeatable).
    #[arg(long, env = "SIESTA_EGRESS_ALLOW", value_delimiter = ',')]
    pub egress_allow: Vec<String>,
    /// Certificates outgoing connections trust beside the system's (PEM): the CA of a private log collector or git host.
    #[arg(long, env = "SIESTA_EGRESS_CA")]
    pub egress_ca: Option<PathBuf>,
    /// A mail server for what people should hear of: smtps://USER:PASSWORD@HOST:465, smtp://USER:PASSWORD@HOST:587
    /// (TLS by STARTTLS), or smtp://HOST:25?tls=none on a private network. Without it there is no mail.
    #[arg(long, env = "SIESTA_SMTP", hide_env_values = true, requires = "mail_from")]
    pub smtp: Option<SecretString>,
    /// Who writes the letters: siesta@example.org.
    #[arg(long, env = "SIESTA_MAIL_FROM", requires = "smtp")]
    pub mail_from: Option<String>,
    /// Builds at the same time.
    #[arg(long, env = "SIESTA_BUILD_SLOTS", default_value_t = 1)]
    pub build_slots: usize,
    /// Router threads; 0: one a core.
    #[arg(long, env = "SIESTA_ROUTER_THREADS", default_value_t = 0)]
    pub router_threads: usize,
    /// Seconds a browser waits for a waking app before it gets a page that shows how far it is.
    #[arg(long, env = "SIESTA_WAKING_PAGE_AFTER", default_value_t = 5.0)]
    pub waking_page_after: f64,
    /// Web address of the git host: GitHub, or a GitHub Enterprise Server.
    #[arg(long, env = "SIESTA_GITHUB_URL", default_value = "https://github.com")]
    pub github_url: String,
    /// Address of its API; by default GitHub's, or /api/v3 below --github-url.
    #[arg(long, env = "SIESTA_GITHUB_API_URL")]
    pub github_api_url: Option<String>,
    /// Client id of the OAuth app or GitHub App; without it an administrator sets it on a page.
    #[arg(long, env = "SIESTA_GITHUB_CLIENT_ID", requires = "github_client_secret")]
    pub github_client_id: Option<String>,
    /// Its client secret.
    #[arg(long, env = "SIESTA_GITHUB_CLIENT_SECRET", hide_env_values = true)]
    pub github_client_secret: Option<SecretString>,
    /// The GitHub App's name in its address; without it the client is an OAuth app.
    #[arg(long, env = "SIESTA_GITHUB_APP")]
    pub github_app: Option<String>,
    /// Secret of the GitHub App's webhook.
    #[arg(long, env = "SIESTA_GITHUB_WEBHOOK_SECRET", hide_env_values = true)]
    pub github_webhook_secret: Option<SecretString>,
    /// Start dynos though the isolation probe failed.
    #[arg(long, env = "SIESTA_ACCEPT_OPEN_NETWORK", default_value_t = false)]
    pub accept_open_network: bool,
    /// Log as JSON lines.
    #[arg(long, env = "SIESTA_LOG_JSON", default_value_t = false)]
    pub log_json: bool,
}

/// The validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub options: ServeOptions,
    pub limits: Limits,
    /// What `--postgres-server` names.
    pub postgres: Option<PostgresServer>,
    /// What `--smtp` names.
    pub mail: Option<MailServer>,
}

/// Limits that are not part of a plan.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A starting web dyno must bind $PORT in this time (R10; heroku.md 2.3).
    pub boot_timeout: Duration,
    /// A request waits this long for a starting dyno (H20).
    pub wake_patience: Duration,
    /// What a dyno may write outside /tmp; beyond it the dyno is stopped.
    pub dyno_disk_bytes: u64,
    /// A dyno that has printed much and is silent for so long may have a log that the engine lost track of.
    pub log_silence: Duration,
    /// Between SIGTERM and SIGKILL (R12).
    pub stop_grace: Duration,
    /// Old dynos finish their requests in this time at a release.
    pub drain: Duration,
    /// First byte of a response (H12).
    pub first_byte: Duration,
    /// Silence on an open response or tunnel (H15, H28).
    pub idle_stream: Duration,
    /// Head of a request must be complete in this time.
    pub header_timeout: Duration,
    /// Idle keep-alive client connection.
    pub keep_alive: Duration,
    /// Silence in the middle of a request body.
    pub body_stall: Duration,
    /// TCP connect to a dyno (H19).
    pub connect: Duration,
    /// An unused connection to a dyno is kept this long.
    pub pool_idle: Duration,
    /// Unused connections kept to one dyno by one router thread.
    pub pool_size: usize,
    /// A browser that waits longer for a starting dyno gets a page that asks again by itself.
    pub waking_page_after: Duration,
    /// Client connections of all router threads together.
    pub max_connections: usize,
    /// Client connections of one address; loopback and trusted proxies are exempt.
    pub max_connections_per_address: usize,
    /// One header line, and the request target (heroku.md 4.2).
    pub header_line_bytes: usize,
    /// The whole head of a request.
    pub head_bytes: usize,
    /// Headers of one request (heroku.md 4.2).
    pub headers: usize,
    /// Requests of one app that wait at once (H11).
    pub max_waiting: usize,
    /// Requests and tunnels of one app that are open at once (H22).
    pub max_open: usize,
    /// Of a storm that waited: requests sent to a dyno before it has begun to answer one.
    pub max_unanswered: usize,
    /// Uploaded archive, compressed.
    pub upload_bytes: u64,
    /// Archive, unpacked (SR6).
    pub unpacked_bytes: u64,
    /// Entries of an archive (SR6).
    pub archive_entries: u64,
    /// Slug, compressed (heroku.md 6.2).
    pub slug_bytes: u64,
    /// A build that prints nothing for so long is stopped.
    pub build_silence: Duration,
    /// CPU of a build container.
    pub build_nano_cpus: i64,
    /// One-off dynos at once.
    pub one_offs: one_off::Limits,
    /// A client must come for its one-off in this time (R13).
    pub attach_timeout: Duration,
    /// An attached one-off without a byte for this long is closed.
    pub console_idle: Duration,
    /// Between the three SIGHUPs a one-off gets when its client is gone (R16).
    pub hang_up_pause: Duration,
    /// Networks of apps that are kept while nothing runs in them; others are made again on wake.
    pub kept_networks: usize,
    /// Apps whose next dyno stands by while they sleep.
    pub standbys: usize,
    /// API calls of an account in an hour (heroku.md 9.1).
    pub api_calls_per_hour: u32,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Limits {
            boot_timeout: Duration::from_secs(60),
            wake_patience: Duration::from_secs(75),
            dyno_disk_bytes: 1024 * MIB,
            log_silence: Duration::from_secs(5),
            stop_grace: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            first_byte: Duration::from_secs(30),
            idle_stream: Duration::from_secs(55),
            header_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(60),
            body_stall: Duration::from_secs(30),
            connect: Duration::from_secs(5),
            pool_idle: Duration::from_secs(90),
            pool_size: 256,
            waking_page_after: Duration::from_secs(5),
            max_connections: 10_000,
            max_connections_per_address: 1_000,
            header_line_bytes: 8 * 1024,
            head_bytes: 96 * 1024,
            headers: 1_000,
            max_waiting: 2_000,
            max_open: 4_000,
            max_unanswered: 64,
            upload_bytes: 512 * MIB,
            unpacked_bytes: 1024 * MIB,
            archive_entries: 100_000,
            slug_bytes: 500 * MIB,
            build_silence: Duration::from_secs(10 * 60),
            build_nano_cpus: 1_000_000_000,
            one_offs: one_off::Limits { of_user: 3, of_server: 50 },
            attach_timeout: Duration::from_secs(30),
            console_idle: Duration::from_secs(3600),
            hang_up_pause: Duration::from_secs(5),
            kept_networks: 200,
            standbys: 0,
            api_calls_per_hour: 4_500,
        }
    }
}

impl Config {
    /// Checks what flags alone cannot.
    pub fn new(mut options: ServeOptions) -> Result<Config, String> {
        options.apps_domain = options.apps_domain.trim_end_matches('.').to_ascii_lowercase();
        if options.apps_domain.is_empty() || options.apps_domain.contains([' ', '/', ':']) {
            return Err("--apps-domain must be a bare domain such as apps.example.org.".to_owned());
        }
        for address in [Some(&mut options.github_url), options.github_api_url.as_mut()].into_iter().flatten() {
            *address = address.trim_end_matches('/').to_owned();
            if !address.starts_with("https://") && !address.starts_with("http://") {
                return Err("--github-url and --github-api-url must be addresses such as https://github.example.org.".to_owned());
            }
        }
        let waking_page_after = Duration::try_from_secs_f64(options.waking_page_after)
            .map_err(|_| "--waking-page-after is a number of seconds such as 5.".to_owned())?;
        let upload_bytes = u64::from(options.max_upload_mb) * 1024 * 1024;
        let postgres = options.postgres_server.as_ref().map(PostgresServer::parse).transpose()?;
        let mail = match (&options.smtp, &options.mail_from) {
            (Some(address), Some(from)) => Some(MailServer::parse(address, from)?),
            _ => None,
        };
        let limits = Limits { waking_page_after, upload_bytes, standbys: options.standbys, ..Limits::default() };
        Ok(Config { options, postgres, mail, limits })
    }

    /// The same with the ports that were really bound (port 0 lets the kernel choose).
    pub fn bound_to(mut self, http_port: u16, tls_port: u16) -> Config {
        self.options.listen.set_port(http_port);
        self.options.listen_tls.set_port(tls_port);
        self
    }

    /// The stack as clients see it: Debian 12.
    pub fn stack_name(&self) -> String {
        "siesta-12".to_owned()
    }

    /// Address of the git host's API, without a trailing slash.
    pub fn github_api_url(&self) -> String {
        match (&self.options.github_api_url, self.options.github_url.as_str()) {
            (Some(url), _) => url.clone(),
            (None, "https://github.com") => "https://api.github.com".to_owned(),
            (None, own) => format!("{own}/api/v3"),
        }
    }

    /// The host name of the dashboard, lower case, without port.
    pub fn dashboard_host(&self) -> &str {
        self.options.dashboard_host.as_deref().unwrap_or(&self.options.apps_domain)
    }

    /// `http` or `https` as the public sees it.
    pub fn scheme(&self) -> &'static str {
        if self.options.public_https { "https" } else { "http" }
    }

    /// `:8080`, or empty for the scheme's own port.
    pub fn port_suffix(&self) -> String {
        let port = self.options.public_port.unwrap_or(self.options.listen.port());
        match (self.scheme(), port) {
            ("http", 80) | ("https", 443) => String::new(),
            (_, port) => format!(":{port}"),
        }
    }

    /// Address of an app, with a trailing slash.
    pub fn web_url(&self, name: &str) -> String {
        format!("{}://{name}.{}{}/", self.scheme(), self.options.apps_domain, self.port_suffix())
    }

    /// Address of the dashboard, without a trailing slash.
    pub fn dashboard_url(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.dashboard_host(), self.port_suffix())
    }
}
