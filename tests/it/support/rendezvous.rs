//! A client of one-off dynos as `heroku run` is one: TLS, its secret, raw bytes.

use std::{net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub struct Client(pub TlsStream<TcpStream>);

impl Client {
    /// Connects as clients do: the server's own CA is trusted, no name is sent.
    pub async fn connect(address: SocketAddr, ca: &str) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("a certificate")).expect("a root");
        let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        tls.enable_sni = false;
        let stream = TcpStream::connect(address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        Client(TlsConnector::from(Arc::new(tls)).connect(name, stream).await.expect("a trusted certificate"))
    }

    /// Says the secret in an `attach_url` and waits until the dyno is up.
    pub async fn attach(attach_url: &str, ca: &str) -> Client {
        let rest = attach_url.strip_prefix("rendezvous://localhost:").expect("an address on loopback");
        let (port, secret) = rest.split_once('/').expect("a secret");
        let mut client = Client::connect(([127, 0, 0, 1], port.parse().expect("a port")).into(), ca).await;
        client.say(format!("{secret}\r\n").as_bytes()).await;
        client.until("rendezvous\r\n").await;
        client
    }

    pub async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("written");
        self.0.flush().await.expect("written");
    }

    /// One chunk as a client's library hands it over; empty at the end.
    pub async fn chunk(&mut self) -> Vec<u8> {
        let mut chunk = vec![0; 16 * 1024];
        let count = self.0.read(&mut chunk).await.unwrap_or(0);
        chunk.truncate(count);
        chunk
    }

    /// Reads on until `text` has come; all that came.
    pub async fn until(&mut self, text: &str) -> String {
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains(text) {
            let chunk = self.chunk().await;
            assert!(!chunk.is_empty(), "the end came before {text:?}: {:?}", String::from_utf8_lossy(&heard));
            heard.extend(chunk);
        }
        String::from_utf8(heard).expect("text")
    }

    /// All there is until the server closes.
    pub async fn rest(&mut self) -> String {
        let mut heard = Vec::new();
        self.0.read_to_end(&mut heard).await.expect("a proper end");
        String::from_utf8(heard).expect("text")
    }
}
