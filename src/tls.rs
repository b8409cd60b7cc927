//! Certificates: the operator's, or ones signed by a local CA as names are asked for.
//!
//! The CA lies in `<data>/tls/`: `ca.pem` for people to trust, `ca-key.pem` (0600) for us. Leaves
//! live in memory only: they are signed when a name is first asked for, and again before they end.

mod loopback;

use std::{
    collections::HashMap,
    fmt, fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, SigningKey},
};

use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    domain::Timestamp,
};
pub use loopback::loopback;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clients whose clocks are behind accept a certificate that is younger than this difference.
const BACKDATED: Duration = DAY;
const CA_LIFE: Duration = Duration::from_secs(3652 * DAY.as_secs());
const LEAF_LIFE: Duration = Duration::from_secs(90 * DAY.as_secs());
/// A leaf is signed anew this long before it ends.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * DAY.as_secs());
/// Leaves kept at once; beyond it all are forgotten and signed again when asked for.
const MAX_LEAVES: usize = 1_000;

/// Why https cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path} could not be read or written: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{0} holds no certificate or key in PEM form.")]
    NotPem(PathBuf),
    #[error("The key {0} can be read by others. Run chmod 600 on it.")]
    KeyOpen(PathBuf),
    #[error("{0} lies there without its other half. Restore it, or remove the folder to have a new local CA made.")]
    HalfACa(PathBuf),
    #[error("The certificate and the key given do not belong together: {0}")]
    Mismatch(rustls::Error),
    #[error("The local CA could not sign: {0}")]
    Signing(#[from] rcgen::Error),
    #[error("The key of the local CA is of a kind that is not known: {0}")]
    Key(rustls::Error),
}

/// What the https listener needs: the operator's certificate, or a resolver over the local CA
/// (made when missing). HTTP/1.1 only.
pub fn server_config(config: &Config) -> Result<Arc<ServerConfig>, TlsError> {
    server_config_at(config, Arc::new(SystemClock))
}

fn server_config_at(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<ServerConfig>, TlsError> {
    // An error only says that a provider was installed before.
    let _ = aws_lc_rs::default_provider().install_default();
    let builder = ServerConfig::builder().with_no_client_auth();
    let mut tls = match (&config.options.tls_cert, &config.options.tls_key) {
        (Some(certificate), Some(key)) => {
            let (chain, key) = (read_chain(certificate)?, read_key(key)?);
            builder.with_single_cert(chain, key).map_err(TlsError::Mismatch)?
        }
        _ => builder.with_cert_resolver(Arc::new(LocalCa::open_or_create(config, clock)?)),
    };
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

/// The certificate of the local CA, for people to trust; None while there is none.
pub fn ca_pem(data_dir: &Path) -> Option<String> {
    fs::read_to_string(data_dir.join("tls/ca.pem")).ok()
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> TlsError {
    move |source| TlsError::Io { path: path.to_owned(), source }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = fs::read(path).map_err(io(path))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| TlsError::NotPem(path.to_owned()))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = fs::read(path).map_err(io(path))?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| TlsError::NotPem(path.to_owned()))
}

/// Signs a leaf for each of our names when it is first asked for.
struct LocalCa {
    issuer: Issuer<'static, KeyPair>,
    /// One key for all leaves, made at each start.
    leaf_key: KeyPair,
    signing_key: Arc<dyn SigningKey>,
    dashboard_host: String,
    apps_domain: String,
    clock: Arc<dyn Clock>,
    leaves: Mutex<HashMap<String, Leaf>>,
}

struct Leaf {
    certified: Arc<CertifiedKey>,
    renew_at: Timestamp,
}

impl LocalCa {
    fn open_or_create(config: &Config, clock: Arc<dyn Clock>) -> Result<LocalCa, TlsError> {
        let key = ca_key(&config.options.data_dir.join("tls"), clock.now())?;
        let leaf_key = KeyPair::generate()?;
        let der = PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into());
        Ok(LocalCa {
            issuer: Issuer::new(ca_params(&key), key),
            signing_key: aws_lc_rs::sign::any_supported_type(&der).map_err(TlsError::Key)?,
            leaf_key,
            dashboard_host: config.dashboard_host().to_ascii_lowercase(),
            apps_domain: config.options.apps_domain.clone(),
            clock,
            leaves: Mutex::default(),
        })
    }

    /// Whether a name is ours: the dashboard's, the apps domain, or one label below it.
    fn is_ours(&self, name: &str) -> bool {
        let below = |label: &str| label.strip_suffix('.').is_some_and(|label| !label.is_empty() && !label.contains('.'));
        name == self.dashboard_host || name.strip_suffix(&self.apps_domain).is_some_and(|label| label.is_empty() || below(label))
    }

    /// For clients that name no host, or one that is not ours.
    fn default_names(&self) -> Vec<String> {
        let domain = &self.apps_domain;
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), self.dashboard_host.clone()];
        names.extend(["api.", "git.", "*.", ""].map(|label| format!("{label}{domain}")));
        names.sort();
        names.dedup();
        names
    }

    /// The leaf of a name, or the default one under the empty name.
    fn leaf(&self, name: &str) -> Result<Arc<CertifiedKey>, TlsError> {
        let now = self.clock.now();
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = leaves.get(name).filter(|leaf| now < leaf.renew_at) {
            return Ok(leaf.certified.clone());
        }
        let names = if name.is_empty() { self.default_names() } else { vec![name.to_owned()] };
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, if name.is_empty() { "Siesta" } else { "Siesta app" });
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        hold(&mut params, now - BACKDATED, now + LEAF_LIFE);
        let certificate = params.signed_by(&self.leaf_key, &self.issuer)?;
        let certified = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], self.signing_key.clone()));
        if leaves.len() >= MAX_LEAVES {
            leaves.clear();
        }
        leaves.insert(name.to_owned(), Leaf { certified: certified.clone(), renew_at: now + (LEAF_LIFE - RENEW_BEFORE) });
        Ok(certified)
    }
}

impl ResolvesServerCert for LocalCa {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase).filter(|name| self.is_ours(name)).unwrap_or_default();
        self.leaf(&name).inspect_err(|error| tracing::warn!(%name, %error, "no certificate")).ok()
    }
}

impl fmt::Debug for LocalCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalCa").field("apps_domain", &self.apps_domain).finish_non_exhaustive()
    }
}

/// The key of the CA. Makes key and certificate when neither is there.
fn ca_key(folder: &Path, now: Timestamp) -> Result<KeyPair, TlsError> {
    let (certificate, key_file) = (folder.join("ca.pem"), folder.join("ca-key.pem"));
    match (certificate.exists(), key_file.exists()) {
        (false, false) => {
            fs::create_dir_all(folder).map_err(io(folder))?;
            let key = KeyPair::generate()?;
            let mut params = ca_params(&key);
            hold(&mut params, now - BACKDATED, now + CA_LIFE);
            write(&key_file, &key.serialize_pem(), 0o600)?;
            write(&certificate, &params.self_signed(&key)?.pem(), 0o644)?;
            Ok(key)
        }
        (true, true) => {
            if fs::metadata(&key_file).map_err(io(&key_file))?.permissions().mode() & 0o077 != 0 {
                return Err(TlsError::KeyOpen(key_file));
            }
            let pem = fs::read_to_string(&key_file).map_err(io(&key_file))?;
            KeyPair::from_pem(&pem).map_err(|_| TlsError::NotPem(key_file))
        }
        (true, false) => Err(TlsError::HalfACa(certificate)),
        (false, true) => Err(TlsError::HalfACa(key_file)),
    }
}

/// What the CA's certificate says. It follows from the key alone, so that the issuer can be made
/// again without reading the certificate.
fn ca_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let id = hex::encode(&params.key_identifier(key)[..4]);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Siesta local CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(io(path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io(path))
}

/// Sets from when to when a certificate holds, in whole days of UTC.
fn hold(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    let day = |at: Timestamp| {
        let date = at.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date();
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    (params.not_before, params.not_after) = (day(from), day(until));
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::config::ServeOptions;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        options: ServeOptions,
    }

    fn config(folder: &tempfile::TempDir, flags: &[&str]) -> Config {
        let data_dir = folder.path().display().to_string();
        let all = ["siesta", "--data-dir", &data_dir, "--apps-domain", "localhost"].into_iter().chain(flags.iter().copied());
        Config::new(Flags::try_parse_from(all).unwrap().options).unwrap()
    }

    /// A handshake by a client that trusts the local CA and wants `name`. Gives the certificate.
    pub async fn connect(tls: &Arc<ServerConfig>, ca: &str, name: &str) -> Result<CertificateDer<'static>, std::io::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let (server, client) = tokio::join!(TlsAcceptor::from(tls.clone()).accept(ours), connector.connect(name, theirs));
        let client = client?;
        server?;
        let (_, session) = client.get_ref();
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        Ok(session.peer_certificates().unwrap()[0].clone().into_owned())
    }

    #[tokio::test]
    async fn a_client_that_trusts_the_ca_reaches_our_names_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ca_pem(folder.path()), None);
        let tls = server_config(&config(&folder, &["--dashboard-host", "siesta.example.org"])).unwrap();
        let ca = ca_pem(folder.path()).unwrap();
        for name in
            ["tienda.localhost", "TIENDA.localhost", "localhost", "127.0.0.1", "api.localhost", "git.localhost", "siesta.example.org"]
        {
            connect(&tls, &ca, name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        for name in ["example.org", "a.tienda.localhost", "tiendalocalhost", "192.0.2.7"] {
            assert!(connect(&tls, &ca, name).await.is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn the_ca_outlives_a_restart_and_its_key_is_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder, &[]);
        server_config(&config).unwrap();
        let ca = ca_pem(folder.path()).unwrap();
        let key = folder.path().join("tls/ca-key.pem");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let tls = server_config(&config).unwrap();
        assert_eq!(ca_pem(folder.path()).unwrap(), ca);
        connect(&tls, &ca, "tienda.localhost").await.unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(server_config(&config), Err(TlsError::KeyOpen(_))));
        fs::remove_file(&key).unwrap();
        assert!(matches!(server_config(&config), Err(TlsError::HalfACa(_))));
        assert_eq!(ca_pem(folder.path()).unwrap(), ca, "what people trust is never replaced");
    }

    #[test]
    fn leaves_are_kept_renewed_before_they_end_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let clock = crate::clock::ManualClock::at(Timestamp::from_secs(1_700_000_000));
        let ca = LocalCa::open_or_create(&config(&folder, &[]), Arc::new(clock.clone())).unwrap();
        let first = ca.leaf("tienda.localhost").unwrap();
        clock.advance(LEAF_LIFE - RENEW_BEFORE - Duration::from_secs(1));
        assert_eq!(ca.leaf("tienda.localhost").unwrap().cert, first.cert);
        clock.advance(Duration::from_secs(1));
        assert_ne!(ca.leaf("tienda.localhost").unwrap().cert, first.cert);
        for n in 0..MAX_LEAVES + 10 {
            ca.leaf(&format!("app-{n}.localhost")).unwrap();
        }
        assert!(ca.leaves.lock().unwrap().len() <= MAX_LEAVES);
    }

    #[tokio::test]
    async fn the_operators_certificate_is_used_for_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let own = rcgen::generate_simple_self_signed(vec!["*.apps.example.org".to_owned()]).unwrap();
        fs::write(&chain, own.cert.pem()).unwrap();
        fs::write(&key, own.signing_key.serialize_pem()).unwrap();
        let flags = ["--tls-cert", &chain.display().to_string(), "--tls-key", &key.display().to_string()];
        let tls = server_config(&config(&folder, &flags)).unwrap();
        let seen = connect(&tls, &own.cert.pem(), "tienda.apps.example.org").await.unwrap();
        assert_eq!(&seen, own.cert.der());
        assert_eq!(ca_pem(folder.path()), None, "no local CA is made");
        fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(matches!(server_config(&config(&folder, &flags)), Err(TlsError::Mismatch(_))));
        fs::write(&key, "no key").unwrap();
        assert!(matches!(server_config(&config(&folder, &flags)), Err(TlsError::NotPem(_))));
        fs::remove_file(&chain).unwrap();
        assert!(matches!(server_config(&config(&folder, &flags)), Err(TlsError::Io { .. })));
    }
}
