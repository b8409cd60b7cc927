//! `siesta proxy`: the doors on loopback, and the lines a shell needs to go through them.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use secrecy::ExposeSecret as _;
use tokio::net::{TcpListener, TcpStream};

use super::{Keyring, Login, RemoteError, door, postgres};
use crate::scheduler::Tasks;

/// Where databases are: their addresses name this port.
const POSTGRES_PORT: u16 = 5432;
/// Addresses of loopback tried for it: another PostgreSQL may have the first.
const POSTGRES_ADDRESSES: std::ops::RangeInclusive<u8> = 1..=8;

/// Where the doors are opened.
#[derive(clap::Args)]
pub struct ProxyOptions {
    /// Port of the API on 127.0.0.1.
    #[arg(long, default_value_t = 5080)]
    port: u16,
}

/// Opens the doors, tells the shell's lines by `print`, and serves until the program ends.
///
/// # Errors
/// When nobody is logged in or the port is taken.
pub async fn proxy(options: ProxyOptions, keyring: &Keyring, print: impl Fn(&str)) -> Result<(), RemoteError> {
    let login = keyring.read()?;
    let client = login.client()?;
    let api = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await.map_err(|error| RemoteError::Port(options.port, error))?;
    let port = api.local_addr().map_err(|error| RemoteError::Port(options.port, error))?.port();
    let databases = databases().await;
    let at = databases.as_ref().and_then(|listener| listener.local_addr().ok()).map(|at| at.ip());
    print(&exports(&login, keyring, port, at)?);
    let tasks = Tasks::new();
    let (for_api, for_databases) = ((login.clone(), client.clone()), (login, client));
    tokio::join!(
        accept(Some(api), &tasks, move |stream| door::serve(for_api.0.clone(), for_api.1.clone(), stream)),
        accept(databases, &tasks, move |stream| postgres::serve(for_databases.0.clone(), for_databases.1.clone(), stream)),
    );
    Ok(())
}

/// The lines that point clients at the doors. Without the last ones their key would go elsewhere, too.
fn exports(login: &Login, keyring: &Keyring, port: u16, databases: Option<IpAddr>) -> Result<String, RemoteError> {
    let here = format!("http://localhost:{port}");
    let mut set = vec![
        ("HEROKU_HOST", here.clone()),
        ("HEROKU_API_KEY", login.key().expose_secret().to_owned()),
        ("HEROKU_GIT_HOST", login.authority()?),
        ("HEROKU_DATA_HOST", "localhost".to_owned()),
        ("HEROKU_PARTICLEBOARD_URL", here),
        ("DISABLE_TELEMETRY", "true".to_owned()),
        ("HEROKU_SKIP_ANALYTICS", "1".to_owned()),
        ("HEROKU_DISABLE_AUTOUPDATE", "1".to_owned()),
    ];
    if login.ca.is_some() {
        let file = keyring.ca_file().display().to_string();
        set.extend([("NODE_EXTRA_CA_CERTS", file.clone()), ("GIT_SSL_CAINFO", file)]);
    }
    if let Some(address) = databases {
        set.extend([("PGHOSTADDR", address.to_string()), ("PGSSLMODE", "disable".to_owned())]);
    }
    let mut lines = vec![format!(
        "# {} on {}. Paste these lines where you use heroku; the doors are open until this program ends.",
        login.email, login.server
    )];
    lines.extend(set.into_iter().map(|(name, value)| format!("export {name}={}", quoted(&value))));
    if databases.is_none() {
        lines.push(format!("# Port {POSTGRES_PORT} is taken on this machine: pg:psql cannot be used."));
    }
    Ok(lines.join("\n"))
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
