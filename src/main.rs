//! The siesta program: subcommands, logging, exit code.

use std::{io::Read, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use secrecy::ExposeSecret as _;
use siesta::{
    admin::{self, AdminClient, BackupRequest, DeployRequest, NewToken, NewUser, PlanCommand, Reset},
    config::{Config, ServeOptions},
    doctor,
    remote::{self, Keyring, LoginOptions, ProxyOptions},
    server::{self, Server},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A self-hosted mini-PaaS: Heroku's free tier on your own machine.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(Box<ServeOptions>),
    /// Accounts: create one, or make a link that sets a new password.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// API tokens for scripts.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Plans: what apps may use, and who has which.
    Plan {
        #[command(subcommand)]
        command: PlanCommand,
        /// Where the server keeps everything.
        #[arg(long, env = "SIESTA_DATA_DIR", default_value = "/var/lib/siesta", global = true)]
        data_dir: PathBuf,
    },
    /// Print an invitation link.
    Invite {
        /// Whom it is for.
        #[arg(default_value = "")]
        email: String,
        #[command(flatten)]
        place: Place,
    },
    /// Print a fresh one-time claim token.
    ClaimToken {
        #[command(flatten)]
        place: Place,
    },
    /// Say what the running server says of itself, as JSON.
    Status {
        #[command(flatten)]
        place: Place,
    },
    /// Deploy a folder of this machine as an app, creating the app if needed.
    Deploy {
        /// The app's name.
        #[arg(long)]
        app: String,
        /// What to call this version in the release.
        #[arg(long)]
        version: Option<String>,
        folder: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Write a backup of everything to a file, while the server runs.
    Backup {
        file: PathBuf,
        /// Also the keys that open secrets, sealed under a passphrase read from standard input.
        #[arg(long)]
        with_keys: bool,
        /// Also log lines and the output of builds.
        #[arg(long)]
        with_logs: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Bring a backup back into an empty data folder; a passphrase is read from standard input.
    Restore {
        file: PathBuf,
        /// The old server's key file, for a backup without keys.
        #[arg(long)]
        key: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Look at everything the server stands on: what is wrong and what to do. Exit code 1 when something is.
    Doctor(Box<ServeOptions>),
    /// Log in to a server from this machine and keep the key, for siesta proxy.
    Login(LoginOptions),
    /// Open a door on this machine to the server of siesta login, for the official CLI and psql.
    Proxy(ProxyOptions),
    /// What git runs when somebody pushes; not for people.
    #[command(hide = true)]
    GitHook,
    /// Print the certificate of the local CA that signs for --listen-tls.
    Ca {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Subcommand)]
enum UserCommand {
    /// Make an account; the password is read from standard input.
    Create {
        email: String,
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Print a one-hour link that sets a new password.
    Reset {
        email: String,
        /// Take the second factor away too, for somebody who lost the telephone.
        #[arg(long)]
        second_factor: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Print a new token of an account.
    Create {
        email: String,
        #[arg(long, default_value = "made on the server")]
        description: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Which server is meant.
#[derive(Args)]
struct Place {
    /// Where the server keeps everything.
    #[arg(long, env = "SIESTA_DATA_DIR", default_value = "/var/lib/siesta")]
    data_dir: PathBuf,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    if matches!(command, Command::GitHook) {
        return siesta::git_http::hook::run();
    }
    if let Command::Doctor(options) = command {
        return examine(*options);
    }
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("siesta: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(command: Command) -> anyhow::Result<()> {
    let nothing = serde_json::json!({});
    match command {
        Command::Serve(options) => {
            // The allocator asks for huge pages, which would double what an idle server holds.
            let _ = rustix::thread::disable_transparent_huge_pages(true);
            serve(*options).await
        }
        Command::User { command: UserCommand::Create { email, admin, place } } => {
            let mut password = String::new();
            std::io::stdin().take(1024).read_to_string(&mut password)?;
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
            println!("{}", AdminClient::new(&place.data_dir).create_user(NewUser { email, password, admin }).await?);
            Ok(())
        }
        Command::User { command: UserCommand::Reset { email, second_factor, place } } => {
            println!("{}", AdminClient::new(&place.data_dir).ask("POST", "/users/reset", &Reset { email, second_factor }).await?);
            Ok(())
        }
        Command::Token { command: TokenCommand::Create { email, description, place } } => {
            println!("{}", AdminClient::new(&place.data_dir).create_token(NewToken { email, description }).await?);
            Ok(())
        }
        Command::Plan { command, data_dir } => {
            println!("{}", AdminClient::new(&data_dir).plan(command).await?.trim_end());
            Ok(())
        }
        Command::Invite { email, place } => {
            let new = NewToken { email, description: String::new() };
            println!("{}", AdminClient::new(&place.data_dir).ask("POST", "/invites", &new).await?);
            Ok(())
        }
        Command::ClaimToken { place } => {
            println!("{}", AdminClient::new(&place.data_dir).ask("POST", "/claim-token", &nothing).await?);
            Ok(())
        }
        Command::Status { place } => {
            println!("{}", AdminClient::new(&place.data_dir).ask("GET", "/status", &nothing).await?);
            Ok(())
        }
        Command::Deploy { app, version, folder, place } => {
            Ok(AdminClient::new(&place.data_dir).deploy(&folder, DeployRequest { app, version }).await?)
        }
        Command::Backup { file, with_keys, with_logs, place } => {
            let passphrase = if with_keys { Some(admin::passphrase()?.expose_secret().to_owned()) } else { None };
            let request = BackupRequest { logs: with_logs, passphrase };
            let made = AdminClient::new(&place.data_dir).backup(&file, &request).await?;
            println!("{}: {made}, read back and found sound.", file.display());
            Ok(())
        }
        Command::Restore { file, key, place } => {
            println!("{}", admin::restore(&file, &place.data_dir, key.as_deref()).await?);
            Ok(())
        }
        // Ran already.
        Command::GitHook | Command::Doctor(_) => Ok(()),
        Command::Login(options) => {
            let login = remote::log_in(options, &Keyring::of_user()?).await?;
            println!("Logged in to {} as {}.", login.server, login.email);
            Ok(())
        }
        Command::Proxy(options) => Ok(remote::proxy(options, &Keyring::of_user()?, |lines| println!("{lines}")).await?),
        Command::Ca { place } => {
            print!(
                "{}",
                siesta::tls::ca_pem(&place.data_dir).context("There is no local CA yet; the server makes it at its first start.")?
            );
            Ok(())
        }
    }
}

/// `siesta doctor`: a failure to look is something wrong too.
#[tokio::main]
async fn examine(options: ServeOptions) -> ExitCode {
    let found = match Config::new(options) {
        Ok(config) => admin::examine(config).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    match found {
        Ok(found) => {
            print!("{}", doctor::told(&found));
            ExitCode::from(u8::from(doctor::is_sick(&found)))
        }
        Err(error) => {
            eprintln!("siesta: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the server until SIGINT or SIGTERM; dynos go on running.
async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    log_to_stderr(options.log_json);
    if let Err(error) = server::lift_open_files() {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
    let config = Config::new(options).map_err(anyhow::Error::msg)?;
    let server = Server::start(config).await?;
    for line in server.greeting() {
        println!("{line}");
    }
    stop_signal().await?;
    println!("Stopping; dynos go on running.");
    server.stop().await;
    Ok(())
}

/// Waits for SIGINT or SIGTERM.
async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

/// The server's own log: RUST_LOG chooses, `info` by default; no ANSI, so that hostile text stays text.
fn log_to_stderr(json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,sqlx=warn,hyper=warn".into());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    if json {
        subscriber.json().init();
    } else {
        subscriber.init();
    }
}
