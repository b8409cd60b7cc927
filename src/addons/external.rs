//! A PostgreSQL server of the operator's instead of our container: our socket stays where relay, dumps
//! and we ourselves look for the server, and every connection to it is copied to that address, through
//! TLS where `sslmode` says so. Without TLS only loopback and private networks are reached.
//!
//! TLS ends here, so a client cannot bind its login to it (SCRAM-SHA-256-PLUS): that offer of the server's
//! is left out, else clients would take it for an attack.

use std::{io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpStream, UnixListener, UnixStream},
};
use tokio_rustls::TlsConnector;

use crate::{
    config::{PostgresServer, PostgresTls},
    domain::network::is_public,
    egress,
    scheduler::Tasks,
};

/// The socket of a PostgreSQL server on port 5432.
const SOCKET: &str = ".s.PGSQL.5432";
const CONNECT: Duration = Duration::from_secs(10);
/// What a client sends first that wants TLS; `S` is yes.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// What begins the body of the first packet of clients that want to encrypt, or to cancel a statement.
const WANTS: [u32; 2] = [80_877_103, 80_877_104];
const CANCEL: u32 = 80_877_102;
/// The server's offer of ways to log in, and the one that is left out.
const SASL: u32 = 10;
const BOUND: &str = "SCRAM-SHA-256-PLUS";
const FIRST_BYTES: u32 = 10_000;

/// The way to the operator's server.
struct Way {
    address: String,
    /// None: as it is.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// A connection, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Way {
    fn to(server: &PostgresServer) -> io::Result<Way> {
        let config = match &server.tls {
            PostgresTls::Off => None,
            PostgresTls::Encrypted => Some(trusting_all()),
            PostgresTls::Verified { authority } => Some(egress::trusting(read_authority(authority.as_deref())?).0),
        };
        let host = server.address.rsplit_once(':').map_or(server.address.as_str(), |(host, _)| host).to_owned();
        let tls = match config {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        Ok(Way { address: server.address.clone(), tls })
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let mut there = TcpStream::connect(&*self.address).await?;
        let _ = there.set_nodelay(true);
        let Some((connector, name)) = &self.tls else {
            return if is_public(there.peer_addr()?.ip()) {
                Err(io::Error::other("it is not on a private network: add ?sslmode=verify-full to SIESTA_POSTGRES_SERVER"))
            } else {
                Ok(Box::new(there))
            };
        };
        there.write_all(&SSL_REQUEST).await?;
        match there.read_u8().await? {
            b'S' => Ok(Box::new(connector.connect(name.clone(), there).await?)),
            _ => Err(io::Error::other("it does not speak TLS (ssl = off), which sslmode asks for")),
        }
    }

    async fn copy(&self, mut here: UnixStream) {
        let address = &self.address;
        let reach = async {
            let mut there = self.connect().await?;
            if self.tls.is_some() {
                introduce(&mut here, &mut there).await?;
            }
            Ok::<_, io::Error>(there)
        };
        match tokio::time::timeout(CONNECT, reach).await {
            // Either side may end whenever it likes.
            Ok(Ok(mut there)) => drop(copy_bidirectional(&mut here, &mut there).await),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Ok(Err(error)) => tracing::warn!(%address, %error, "the PostgreSQL server cannot be reached"),
            Err(_) => tracing::warn!(%address, "the PostgreSQL server does not answer in time"),
        }
    }
}

/// Hands over the first packet of a client and the first answers of the server, the offer of logins among them.
async fn introduce(here: &mut UnixStream, there: &mut Box<dyn Stream>) -> io::Result<()> {
    loop {
        let packet = packet(here).await?;
        let code = u32::from_be_bytes([packet[0], packet[1], packet[2], packet[3]]);
        if WANTS.contains(&code) {
            here.write_all(b"N").await?;
            continue;
        }
        send(there, &[], &packet).await?;
        if code == CANCEL {
            return Ok(());
        }
        break;
    }
    loop {
        let kind = there.read_u8().await?;
        let answer = packet(there).await?;
        send(here, &[kind], &without_binding(kind, answer)).await?;
        // The version of the protocol may be told before.
        if kind != b'v' {
            return Ok(());
        }
    }
}

/// A length and what it counts, at least a number.
async fn packet(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    if !(8..=FIRST_BYTES).contains(&length) {
        return Err(io::Error::other("what was said first is not PostgreSQL's protocol"));
    }
    let mut body = vec![0; length as usize - 4];
    from.read_exact(&mut body).await?;
    Ok(body)
}

async fn send(to: &mut (impl AsyncWrite + Unpin), kind: &[u8], body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
    to.write_all(&[kind, &length.to_be_bytes(), body].concat()).await?;
    to.flush().await
}

/// An answer of the server, without the login that is bound to TLS when it is the offer of logins.
fn without_binding(kind: u8, body: Vec<u8>) -> Vec<u8> {
    let Some(offer) = body.strip_prefix(&SASL.to_be_bytes()).filter(|_| kind == b'R') else { return body };
    let kept = offer.split(|byte| *byte == 0).filter(|name| !name.is_empty() && *name != BOUND.as_bytes());
    let names = kept.flat_map(|name| [name, b"\0"]);
    [&SASL.to_be_bytes()[..]].into_iter().chain(names).chain([&b"\0"[..]]).collect::<Vec<_>>().concat()
}

fn read_authority(path: Option<&Path>) -> io::Result<Vec<CertificateDer<'static>>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.ok().filter(|found: &Vec<_>| !found.is_empty());
    found.ok_or_else(|| io::Error::other(format!("sslrootcert={} holds no certificate in PEM form", path.display())))
}

/// Binds the socket in this folder and copies for ever.
///
/// # Errors
/// When the socket cannot be made, or the certificates of `sslrootcert` cannot be read.
pub fn lead_out(server: &PostgresServer, folder: &Path, tasks: &Tasks) -> io::Result<()> {
    let (way, path) = (Arc::new(Way::to(server)?), folder.join(SOCKET));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
    let copies = tasks.clone();
    tasks.spawn(async move {
        while let Ok((here, _)) = listener.accept().await {
            let way = way.clone();
            copies.spawn(async move { way.copy(here).await });
        }
    });
    Ok(())
}

/// TLS with whoever answers: what `sslmode=require` means.
fn trusting_all() -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().expect("the provider knows TLS 1.2 and 1.3");
    builder.dangerous().with_custom_certificate_verifier(Arc::new(Whoever(provider))).with_no_client_auth()
}

/// Takes any certificate; whoever shows it must have its key.
#[derive(Debug)]
struct Whoever(Arc<CryptoProvider>);

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_that_is_bound_to_tls_is_left_out_of_the_offer_and_nothing_else_changes() {
        let offer = |names: &str| [&SASL.to_be_bytes()[..], names.as_bytes()].concat();
        let both = offer("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
        assert_eq!(without_binding(b'R', both.clone()), offer("SCRAM-SHA-256\0\0"));
        assert_eq!(without_binding(b'R', offer("SCRAM-SHA-256\0\0")), offer("SCRAM-SHA-256\0\0"));
        assert_eq!(without_binding(b'E', both.clone()), both);
        assert_eq!(without_binding(b'R', vec![0, 0, 0, 5, 1, 2, 3, 4]), [0, 0, 0, 5, 1, 2, 3, 4]);
    }
}
