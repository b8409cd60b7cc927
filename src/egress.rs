//! Where the server connects on behalf of users: https to public hosts, and what the operator named in
//! `SIESTA_EGRESS_ALLOW` (security.md SR7).
//!
//! A name is resolved once, every answer is judged, and the connection goes to a judged address: a
//! second answer of the name server changes nothing. Redirects are not followed, proxies of the
//! environment are not used.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{Url, dns};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::domain::network::{Network, is_public};

/// Patience with a name server, and with each address.
const RESOLVE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(10);

/// Why a connection is not made.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    #[error("`{0}` is not a host, an address or a network, with or without a port. Correct SIESTA_EGRESS_ALLOW.")]
    BadEntry(String),
    #[error("{0} holds no certificate in PEM form. Correct SIESTA_EGRESS_CA.")]
    BadCa(PathBuf),
    #[error("{0} is not an address of the web.")]
    NotWeb(String),
    #[error("Only https is allowed to {0}.")]
    NotSecure(String),
    #[error("{0} is not a public host. An administrator can allow it with SIESTA_EGRESS_ALLOW.")]
    NotPublic(String),
    #[error("The host {0} cannot be found.")]
    Unknown(String),
    #[error("{host} cannot be reached: {source}")]
    Unreachable { host: String, source: io::Error },
}

/// The rule. Cheap to clone.
#[derive(Clone)]
pub struct Egress {
    inner: Arc<Inner>,
}

struct Inner {
    allowed: Vec<Allowed>,
    extra_roots: Vec<CertificateDer<'static>>,
    tls: OnceLock<Trust>,
}

/// What outgoing TLS is spoken with.
struct Trust {
    config: Arc<ClientConfig>,
    authorities: usize,
}

/// One entry of `SIESTA_EGRESS_ALLOW`; without a port it stands for all of them.
struct Allowed {
    whom: Whom,
    port: Option<u16>,
}

enum Whom {
    Name(String),
    Network(Network),
}

impl FromStr for Allowed {
    type Err = ();

    fn from_str(text: &str) -> Result<Allowed, ()> {
        if let Ok(network) = bare(text).parse() {
            return Ok(Allowed { whom: Whom::Network(network), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| ())?)),
            None => (text, None),
        };
        let host = bare(host);
        if let Ok(network) = host.parse() {
            return Ok(Allowed { whom: Whom::Network(network), port });
        }
        let sound = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        if sound { Ok(Allowed { whom: Whom::Name(host), port }) } else { Err(()) }
    }
}

/// A host as it is compared: lower case, without the brackets of IPv6 and the dot at the end.
fn bare(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

impl Egress {
    /// The rule with the operator's exceptions, and certificates trusted beside the system's.
    ///
    /// # Errors
    /// When an entry is none, or the file holds no certificate.
    pub fn new(allow: &[String], ca: Option<&Path>) -> Result<Egress, EgressError> {
        let entries = allow.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty());
        let allowed = entries.map(|entry| entry.parse().map_err(|()| EgressError::BadEntry(entry.to_owned()))).collect::<Result<_, _>>()?;
        let extra_roots = match ca {
            None => Vec::new(),
            Some(path) => CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .ok()
                .filter(|roots| !roots.is_empty())
                .ok_or_else(|| EgressError::BadCa(path.to_owned()))?,
        };
        Ok(Egress { inner: Arc::new(Inner { allowed, extra_roots, tls: OnceLock::new() }) })
    }

    /// Whether a web address may be asked at all, before its name is resolved: https, or an exempt host.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn check(&self, url: &Url) -> Result<(), EgressError> {
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https"));
        let (host, port) = host.zip(url.port_or_known_default()).ok_or_else(|| EgressError::NotWeb(url.scheme().to_owned()))?;
        let exempt = self.check_host(host, port)?;
        if exempt || url.scheme() == "https" { Ok(()) } else { Err(EgressError::NotSecure(host.to_owned())) }
    }

    /// The same for other protocols. True: the operator named this host.
    ///
    /// # Errors
    /// When the host is an address that is not public, or is exempt on other ports only.
    pub fn check_host(&self, host: &str, port: u16) -> Result<bool, EgressError> {
        let bare = bare(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            let exempt = self.exempts(ip, Some(port));
            return if exempt || is_public(ip) { Ok(exempt) } else { Err(EgressError::NotPublic(host.to_owned())) };
        }
        let mut named = self.inner.allowed.iter().filter(|entry| matches!(&entry.whom, Whom::Name(name) if *name == bare)).peekable();
        let known = named.peek().is_some();
        let exempt = named.any(|entry| entry.port.is_none_or(|only| only == port));
        if known && !exempt { Err(EgressError::NotPublic(format!("{host}:{port}"))) } else { Ok(exempt) }
    }

    /// Resolves a host and returns where to connect.
    ///
    /// # Errors
    /// When the name is unknown, or any of its addresses is neither public nor exempt.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError> {
        let exempt = self.check_host(host, port)?;
        self.judge(host, Some(port), exempt, resolve(host, port).await?)
    }

    /// A connection to a host that may be reached.
    ///
    /// # Errors
    /// As `addresses`, and when nothing answers.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, EgressError> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in self.addresses(host, port).await? {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(EgressError::Unreachable { host: host.to_owned(), source: last })
    }

    /// A client for web addresses that `check` lets pass: it connects to judged addresses only.
    pub fn http(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .dns_resolver(Resolver(self.clone()))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .tls_backend_preconfigured(ClientConfig::clone(&self.tls()))
    }

    /// What outgoing TLS trusts: the system's certificates and `SIESTA_EGRESS_CA`.
    pub fn tls(&self) -> Arc<ClientConfig> {
        self.trust().config.clone()
    }

    /// False on a machine without a single certificate authority: every https fails there.
    pub fn trusts_anybody(&self) -> bool {
        self.trust().authorities > 0
    }

    fn trust(&self) -> &Trust {
        self.inner.tls.get_or_init(|| {
            let (config, authorities) = trusting(self.inner.extra_roots.iter().cloned());
            Trust { config: Arc::new(config), authorities }
        })
    }

    /// All addresses of a host, or none: a name with one good and one bad answer is refused.
    fn judge(&self, host: &str, port: Option<u16>, exempt: bool, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, EgressError> {
        let may = |address: &SocketAddr| exempt || is_public(address.ip()) || self.exempts(address.ip(), port);
        match found.iter().all(may) {
            _ if found.is_empty() => Err(EgressError::Unknown(host.to_owned())),
            true => Ok(found),
            false => Err(EgressError::NotPublic(host.to_owned())),
        }
    }

    /// Whether the operator named this address; without a known port only where all ports are meant.
    fn exempts(&self, ip: IpAddr, port: Option<u16>) -> bool {
        self.inner.allowed.iter().any(|entry| {
            let here = matches!(&entry.whom, Whom::Network(network) if network.holds(ip));
            here && entry.port.is_none_or(|only| port == Some(only))
        })
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError> {
    match timeout(RESOLVE, lookup_host((bare(host), port))).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(_)) | Err(_) => Err(EgressError::Unknown(host.to_owned())),
    }
}

/// The rule where an HTTP client resolves names. It is not told the port, which `check` has seen.
struct Resolver(Egress);

impl dns::Resolve for Resolver {
    fn resolve(&self, name: dns::Name) -> dns::Resolving {
        let egress = self.0.clone();
        Box::pin(async move {
            let host = bare(name.as_str());
            let exempt = egress.inner.allowed.iter().any(|entry| matches!(&entry.whom, Whom::Name(name) if *name == host));
            let found = egress.judge(&host, None, exempt, resolve(&host, 0).await?)?;
            Ok(Box::new(found.into_iter()) as dns::Addrs)
        })
    }
}

/// A client's side of TLS that trusts the system's certificates and these; how many they are.
pub fn trusting(extra: impl IntoIterator<Item = CertificateDer<'static>>) -> (ClientConfig, usize) {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "some of the system's certificates cannot be read");
    }
    roots.add_parsable_certificates(system.certs);
    roots.add_parsable_certificates(extra);
    let authorities = roots.len();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("the provider knows TLS 1.2 and 1.3");
    (builder.with_root_certificates(roots).with_no_client_auth(), authorities)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn allowing(entries: &[&str]) -> Egress {
        Egress::new(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>(), None).unwrap()
    }

    fn passes(egress: &Egress, url: &str) -> bool {
        egress.check(&url.parse().unwrap()).is_ok()
    }

    #[test]
    fn only_https_to_what_could_be_public_passes() {
        let egress = allowing(&[]);
        for url in ["https://example.org", "https://8.8.8.8/", "https://user:pass@logs.example.org:8088/in?x=1", "https://example.org./"] {
            assert!(passes(&egress, url), "{url}");
        }
        for url in [
            "http://example.org",
            "ftp://example.org",
            "file:///etc/passwd",
            "https://127.0.0.1",
            "https://2130706433",
            "https://0x7f.1",
            "https://0177.0.0.1",
            "https://127.1",
            "https://0",
            "https://0.0.0.0",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "https://[::ffff:7f00:1]",
            "https://[::]",
            "https://[64:ff9b::7f00:1]",
            "https://[fe80::1]",
            "https://[fd00::1]",
            "https://169.254.169.254/latest/meta-data",
            "https://example.org@10.0.0.1/",
            "https://10.0.0.1.:443/",
            "https://192.168.0.1:8443",
            "https://100.64.0.1",
            "https://224.0.0.1",
            "https://①②⑦.0.0.1",
        ] {
            assert!(!passes(&egress, url), "{url}");
        }
    }

    #[test]
    fn what_the_operator_named_is_exempt_on_its_ports() {
        let egress = allowing(&["127.0.0.1:9000", "10.0.0.0/8", "git.lan", "[fd00::5]:514", "logs.lan:514", "[::1]"]);
        for url in [
            "http://127.0.0.1:9000",
            "http://10.3.2.1:1",
            "http://git.lan:3000",
            "http://GIT.lan.",
            "http://[fd00::5]:514",
            "https://[::1]",
        ] {
            assert!(passes(&egress, url), "{url}");
        }
        for url in ["https://127.0.0.1:9001", "https://127.0.0.2:9000", "https://[fd00::5]", "https://logs.lan"] {
            assert!(!passes(&egress, url), "{url}");
        }
        assert!(egress.check_host("logs.lan", 514).unwrap());
        for bad in ["a b", "http://x", ":", "host:port", "10.0.0.0/40", "x/y"] {
            assert!(Egress::new(&[bad.to_owned()], None).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_bad_answer_of_a_name_server_spoils_the_name() {
        let egress = allowing(&["127.0.0.1:9000", "10.0.0.1"]);
        let judge = |addresses: &[&str], port: Option<u16>| {
            let found = addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), port.unwrap_or(0))).collect();
            egress.judge("x.example.org", port, false, found).is_ok()
        };
        assert!(judge(&["8.8.8.8", "2606:4700::1111"], Some(443)));
        assert!(!judge(&["8.8.8.8", "127.0.0.1"], Some(443)));
        assert!(!judge(&["::ffff:192.168.0.1"], Some(443)));
        assert!(judge(&["127.0.0.1"], Some(9000)), "named by the operator");
        assert!(!judge(&["127.0.0.1"], None), "an exemption of one port needs the port");
        assert!(judge(&["10.0.0.1"], None));
        assert!(!judge(&[], Some(443)));
    }

    #[tokio::test]
    async fn nothing_reaches_a_listener_that_was_not_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let closed = allowing(&[]);
        for host in ["127.0.0.1", "localhost", "2130706433", "127.1"] {
            assert!(matches!(closed.connect(host, port).await, Err(EgressError::NotPublic(_) | EgressError::Unknown(_))), "{host}");
        }
        let asked = closed.http().build().unwrap().get(format!("http://localhost:{port}")).send().await.unwrap_err();
        assert!(format!("{asked:?}").contains("NotPublic"), "{asked:?}");
        let open = allowing(&[&format!("127.0.0.1:{port}")]);
        open.connect("127.0.0.1", port).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert!(peer.ip().is_loopback(), "the first that came is the one that was allowed");
    }
}
