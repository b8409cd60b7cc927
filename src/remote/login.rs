//! Address, account and key of a server, in a file that only its owner can read.

use std::{
    env, fmt, fs,
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{StatusCode, Url};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::RemoteError;
use crate::egress;

const CONNECT: Duration = Duration::from_secs(15);
/// What the server may need for one answer of a login.
const PATIENCE: Duration = Duration::from_secs(60);
const ACCEPT: &str = "application/vnd.heroku+json; version=3";

/// Who logs in where.
#[derive(clap::Args)]
pub struct LoginOptions {
    /// The server's https address, such as https://siesta.example.org:8443.
    server: String,
    /// The account; with it the password is read from standard input, without it an API key is.
    #[arg(long)]
    email: Option<String>,
    /// The code of the second factor, where the account has one.
    #[arg(long, requires = "email")]
    code: Option<String>,
    /// The certificate of the server's own CA (PEM), as `siesta ca` prints it there.
    #[arg(long)]
    ca: Option<PathBuf>,
}

/// A server and a key of an account on it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// `https://HOST[:PORT]`, without a slash at the end.
    pub server: String,
    pub email: String,
    key: String,
    /// The certificate of the server's own CA, PEM.
    pub ca: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("server", &self.server).field("email", &self.email).finish_non_exhaustive()
    }
}

impl Login {
    pub fn key(&self) -> SecretString {
        self.key.clone().into()
    }

    /// Host and port of the server; the host without the brackets of IPv6.
    pub fn place(&self) -> Result<(String, u16), RemoteError> {
        let url = address(&self.server)?;
        let host = url.host_str().ok_or_else(|| RemoteError::BadAddress(self.server.clone()))?;
        Ok((host.trim_matches(['[', ']']).to_owned(), url.port_or_known_default().unwrap_or(443)))
    }

    /// TLS that trusts the system's certificates and the server's own CA.
    pub fn tls(&self) -> ClientConfig {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.ca.as_deref().unwrap_or_default().as_bytes()).collect();
        egress::trusting(certificates.unwrap_or_default()).0
    }

    /// A client of the web that trusts the same.
    pub fn client(&self) -> Result<reqwest::Client, RemoteError> {
        let client = reqwest::Client::builder()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .tls_backend_preconfigured(self.tls())
            .build();
        client.map_err(|error| self.unreachable(&error))
    }

    /// What an error of the client means.
    pub fn unreachable(&self, error: &reqwest::Error) -> RemoteError {
        let mut why = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            why = inner.to_string();
            cause = inner.source();
        }
        if why.contains("certificate") {
            RemoteError::Untrusted(self.server.clone())
        } else {
            RemoteError::Unreachable { server: self.server.clone(), why }
        }
    }
}

/// Where logins are kept: one server at a time.
pub struct Keyring {
    path: PathBuf,
}

impl Keyring {
    /// `SIESTA_LOGIN`, or `siesta/login.json` in the folder of the user's settings.
    ///
    /// # Errors
    /// `NoHome` when there is no such folder.
    pub fn of_user() -> Result<Keyring, RemoteError> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let settings = || set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
        let path = set("SIESTA_LOGIN").or_else(|| Some(settings()?.join("siesta/login.json")));
        Ok(Keyring { path: path.ok_or(RemoteError::NoHome)? })
    }

    /// The certificate of the door at a port lies beside it, for programs that want a file.
    pub fn door_file(&self, port: u16) -> PathBuf {
        self.path.with_file_name(format!("door-{port}.pem"))
    }

    /// Writes the certificate that clients of the door at this port trust.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_door(&self, port: u16, certificate: &str) -> Result<(), RemoteError> {
        write(&self.door_file(port), certificate.as_bytes())
    }

    /// # Errors
    /// `NotLoggedIn`, or when the file is unreadable or damaged.
    pub fn read(&self) -> Result<Login, RemoteError> {
        let text = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(RemoteError::NotLoggedIn),
            read => read.map_err(|error| RemoteError::File(self.path.clone(), error))?,
        };
        serde_json::from_slice(&text).map_err(|_| RemoteError::Damaged(self.path.clone()))
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, login: &Login) -> Result<(), RemoteError> {
        let text = serde_json::to_vec_pretty(login).expect("plain fields are JSON");
        write(&self.path, &text)
    }
}

/// A whole file or none, readable by its owner alone.
fn write(path: &Path, content: &[u8]) -> Result<(), RemoteError> {
    let failed = |error| RemoteError::File(path.to_owned(), error);
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let part = path.with_extension("part");
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&part, path).map_err(failed)
}

/// An https address without a path.
fn address(text: &str) -> Result<Url, RemoteError> {
    let url: Option<Url> = text.parse().ok();
    url.filter(|url| url.scheme() == "https" && url.host_str().is_some() && url.path() == "/" && url.query().is_none())
        .filter(|url| url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| RemoteError::BadAddress(text.to_owned()))
}

/// Makes a key with a password, or takes one, tries it, and keeps it: who is logged in where.
///
/// # Errors
/// When the server is not reached or not trusted, says no, or the key cannot be kept.
pub async fn log_in(options: LoginOptions, keyring: &Keyring) -> Result<Login, RemoteError> {
    let server = address(&options.server)?.as_str().trim_end_matches('/').to_owned();
    let ca = options.ca.map(|path| read_ca(&path)).transpose()?;
    let mut login = Login { server, email: options.email.unwrap_or_default(), key: String::new(), ca };
    let client = login.client()?;
    if login.email.is_empty() {
        login.key = said("API key (dashboard: Account): ")?.expose_secret().to_owned();
    } else {
        login.key = new_key(&client, &login, &said("Password: ")?, options.code.as_deref()).await?;
    }
    let account = client.get(format!("{}/account", login.server)).bearer_auth(&login.key);
    let (_, account) = ask(&login, account).await?;
    login.email = account["email"].as_str().unwrap_or_default().to_owned();
    keyring.keep(&login)?;
    Ok(login)
}

async fn new_key(client: &reqwest::Client, login: &Login, password: &SecretString, code: Option<&str>) -> Result<String, RemoteError> {
    let mut request = client
        .post(format!("{}/oauth/authorizations", login.server))
        .basic_auth(&login.email, Some(password.expose_secret()))
        .json(&json!({ "description": "siesta login", "scope": ["global"] }));
    if let Some(code) = code {
        request = request.header("heroku-two-factor-code", code);
    }
    let (_, made) = ask(login, request).await?;
    let key = made["access_token"]["token"].as_str();
    key.map(str::to_owned).ok_or_else(|| RemoteError::Refused(format!("{} is no Siesta server.", login.server)))
}

/// An answer of the API that is no refusal.
async fn ask(login: &Login, request: reqwest::RequestBuilder) -> Result<(StatusCode, Value), RemoteError> {
    let answer = request.header("accept", ACCEPT).timeout(PATIENCE).send().await.map_err(|error| login.unreachable(&error))?;
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_default();
    if status.is_success() {
        return Ok((status, body));
    }
    match (body["id"].as_str(), body["message"].as_str()) {
        (Some("two_factor"), _) => Err(RemoteError::SecondFactor),
        (_, Some(message)) => Err(RemoteError::Refused(message.to_owned())),
        _ => Err(RemoteError::Refused(format!("{} answers with {status}.", login.server))),
    }
}

fn read_ca(path: &Path) -> Result<String, RemoteError> {
    let text = fs::read_to_string(path).map_err(|error| RemoteError::File(path.to_owned(), error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    if found.is_ok_and(|found| !found.is_empty()) { Ok(text) } else { Err(RemoteError::NoCertificate(path.to_owned())) }
}

/// One line from standard input; on a terminal it is asked for and not shown.
fn said(question: &str) -> Result<SecretString, RemoteError> {
    let failed = |error| RemoteError::File("standard input".into(), error);
    let input = io::stdin();
    let hidden = input.is_terminal().then(|| Hidden::begin(question)).transpose().map_err(failed)?;
    let mut line = String::new();
    input.read_line(&mut line).map_err(failed)?;
    drop(hidden);
    Ok(line.trim_end_matches(['\r', '\n']).into())
}

/// While this lives, the terminal does not show what is typed.
struct Hidden(rustix::termios::Termios);

impl Hidden {
    fn begin(question: &str) -> io::Result<Hidden> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        eprint!("{question}");
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &self.0);
        eprintln!();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_kept_for_its_owner_alone_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring { path: folder.path().join("siesta/login.json") };
        assert!(matches!(keyring.read(), Err(RemoteError::NotLoggedIn)));
        let login = Login {
            server: "https://localhost:8443".into(),
            email: "ana@example.org".into(),
            key: "HRKU-x".into(),
            ca: Some("pem".into()),
        };
        keyring.keep(&login).unwrap();
        keyring.keep_door(5080, "pem").unwrap();
        for file in [&keyring.path, &keyring.door_file(5080)] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
        }
        assert_eq!(keyring.read().unwrap().key().expose_secret(), "HRKU-x");
        assert!(!format!("{login:?}").contains("HRKU"));
        fs::write(&keyring.path, "{").unwrap();
        assert!(matches!(keyring.read(), Err(RemoteError::Damaged(_))));
    }

    #[test]
    fn a_server_is_an_https_address() {
        for good in ["https://siesta.example.org", "https://localhost:8443/", "https://192.0.2.1:8443"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["http://siesta.example.org", "siesta.example.org", "https://x/apps", "https://ana:x@localhost", "https://x/?a=b", ""] {
            assert!(address(bad).is_err(), "{bad}");
        }
        let login = Login { server: "https://siesta.example.org".into(), email: String::new(), key: String::new(), ca: None };
        assert_eq!(login.place().unwrap(), ("siesta.example.org".to_owned(), 443));
        let login = Login { server: "https://[::1]:8443".into(), ..login };
        assert_eq!(login.place().unwrap(), ("::1".to_owned(), 8443));
    }
}
