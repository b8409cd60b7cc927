//! `siesta proxy`: the doors on loopback, and the lines a shell needs to go through them.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use secrecy::ExposeSecret as _;
use tokio::net::{TcpListener, TcpStream};

use super::{Keyring, Login, RemoteError, door::Door, postgres};
use crate::{clock::SystemClock, scheduler::Tasks, tls};

/// Where databases are: their addresses name this port.
const POSTGRES_PORT: u16 = 5432;
/// Addresses of loopback tried for it: another PostgreSQL may have the first.
const POSTGRES_ADDRESSES: std::ops::RangeInclusive<u8> = 1..=8;

/// Where the doors are opened.
#[derive(clap::Args)]
pub struct ProxyOptions {
    /// Port on 127.0.0.1 for the API, git and one-off dynos.
    #[arg(long, default_value_t = 5080)]
    port: u16,
}

/// Opens the doors, tells the shell's lines by `print`, and serves until the program ends.
///
/// # Errors
/// When nobody is logged in or the port is taken.
pub async fn proxy(options: ProxyOptions, keyring: &Keyring, print: impl Fn(&str)) -> Result<(), RemoteError> {
    let login = keyring.read()?;
    let taken = |error| RemoteError::Port(options.port, error);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await.map_err(taken)?;
    let port = listener.local_addr().map_err(taken)?.port();
    let (inside, certificate) = tls::loopback(&SystemClock)?;
    keyring.keep_door(port, &certificate)?;
    let databases = databases().await;
    let at = databases.as_ref().and_then(|listener| listener.local_addr().ok()).map(|at| at.ip());
    print(&exports(&login, &keyring.door_file(port).display().to_string(), port, at));
    let tasks = Tasks::new();
    let door = Door::new(login.clone(), port, inside)?;
    let client = login.client()?;
    tokio::join!(
        accept(Some(listener), &tasks, move |stream| door.clone().serve(stream)),
        accept(databases, &tasks, move |stream| postgres::serve(login.clone(), client.clone(), stream)),
    );
    Ok(())
}

/// What git asks for a password at the door: the key that the shell has.
const HELPER: &str = r#"!f() { test "$1" = get && printf 'username=siesta\npassword=%s\n' "$HEROKU_API_KEY"; }; f"#;

/// The lines that point clients at the doors. Without the last ones their key would go elsewhere, too.
fn exports(login: &Login, certificate: &str, port: u16, databases: Option<IpAddr>) -> String {
    let (here, git) = (format!("http://localhost:{port}"), format!("https://localhost:{port}"));
    let mut set = vec![
        ("HEROKU_HOST", here.clone()),
        ("HEROKU_API_KEY", login.key().expose_secret().to_owned()),
        ("HEROKU_GIT_HOST", format!("localhost:{port}")),
        ("HEROKU_DATA_HOST", "localhost".to_owned()),
        ("HEROKU_REDIS_HOST", "localhost".to_owned()),
        ("HEROKU_PARTICLEBOARD_URL", here.clone()),
        ("HEROKU_LOGIN_HOST", here.clone()),
        ("HEROKU_BUILDPACK_REGISTRY_URL", here),
        ("DISABLE_TELEMETRY", "true".to_owned()),
        ("HEROKU_SKIP_ANALYTICS", "1".to_owned()),
        ("HEROKU_DISABLE_AUTOUPDATE", "1".to_owned()),
        ("NODE_EXTRA_CA_CERTS", certificate.to_owned()),
        // For this address alone: other places are trusted as before.
        ("GIT_CONFIG_COUNT", "2".to_owned()),
        ("GIT_CONFIG_KEY_0", format!("http.{git}/.sslCAInfo")),
        ("GIT_CONFIG_VALUE_0", certificate.to_owned()),
        ("GIT_CONFIG_KEY_1", format!("credential.{git}.helper")),
        ("GIT_CONFIG_VALUE_1", HELPER.to_owned()),
    ];
    if let Some(address) = databases {
        set.extend([("PGHOSTADDR", address.to_string()), ("PGSSLMODE", "disable".to_owned())]);
    }
    let mut lines = vec![format!(
        "# {} on {}. Paste these lines where you use heroku and git; the doors are open until this program ends.",
        login.email, login.server
    )];
    lines.extend(set.into_iter().map(|(name, value)| format!("export {name}={}", quoted(&value))));
    if databases.is_none() {
        lines.push(format!("# Port {POSTGRES_PORT} is taken on this machine: pg:psql cannot be used."));
    }
    lines.join("\n")
}

/// As a shell reads it back, whatever is in it.
fn quoted(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:@".contains(&b);
    if value.bytes().all(plain) { value.to_owned() } else { format!("'{}'", value.replace('\'', "'\\''")) }
}

/// The first address of loopback that has the port free.
async fn databases() -> Option<TcpListener> {
    for last in POSTGRES_ADDRESSES {
        if let Ok(listener) = TcpListener::bind(SocketAddr::from(([127, 0, 0, last], POSTGRES_PORT))).await {
            return Some(listener);
        }
    }
    None
}

async fn accept<F>(listener: Option<TcpListener>, tasks: &Tasks, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let Some(listener) = listener else { return };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => tasks.spawn(serve(stream)),
            // Out of file descriptors, mostly.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_reads_every_value_back_as_it_was() {
        assert_eq!(quoted("http://localhost:5080"), "http://localhost:5080");
        assert_eq!(quoted("/home/ana maria/ca.pem"), "'/home/ana maria/ca.pem'");
        assert_eq!(quoted("a'b$(c)"), r"'a'\''b$(c)'");
    }
}
