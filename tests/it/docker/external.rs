//! Databases on a PostgreSQL server of the operator's: the one of another Siesta, behind a port; and one that
//! speaks TLS alone, whose certificate is looked at.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use secrecy::ExposeSecret as _;
use siesta::{
    addons::Wanted,
    domain::addon::AddonState,
    engine::{
        Engine as _, ImageRef,
        spec::{self, AddonInput, FolderMount, LABEL_ADDON, NetworkRange},
    },
    secrets::KeyRing,
    store::database_servers::superuser_place,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use super::{
    cellar::{Cellar, Url, with_cellar},
    stores::relay,
};

/// Where a server listens.
#[derive(Clone)]
enum Place {
    Socket(PathBuf),
    Address(SocketAddr),
}

/// A port of loopback that leads there.
#[expect(clippy::disallowed_methods, reason = "connections are copied by tasks of the test's own")]
async fn port_to(place: Place) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let place = place.clone();
            tokio::spawn(async move {
                let _ = match place {
                    Place::Socket(path) => copy_bidirectional(&mut here, &mut UnixStream::connect(path).await.unwrap()).await,
                    Place::Address(address) => copy_bidirectional(&mut here, &mut TcpStream::connect(address).await.unwrap()).await,
                };
            });
        }
    });
    port
}

#[tokio::test]
async fn a_database_is_made_rotated_counted_and_dumped_on_a_server_of_the_operator_s() {
    with_cellar(&[], async |theirs| {
        let other = theirs.app("otra").await;
        theirs.database(&other).await;
        assert_eq!(through_tls(theirs, &other, &theirs.url(&other).await).await, b'R', "an app that asks for TLS gets it");
        let keys = KeyRing::open_or_create(&theirs.data.path().join("key")).unwrap();
        let sealed = theirs.owners.reader.superuser_password("postgres").await.unwrap().unwrap();
        let password = keys.open(&superuser_place("postgres"), &sealed).unwrap();
        let port = port_to(Place::Socket(theirs.data.path().join("postgres/run/.s.PGSQL.5432"))).await;
        let address = format!("postgres://siesta:{}@127.0.0.1:{port}", password.expose_secret());
        with_cellar(&["--postgres-server", &address], async |ours| {
            let shop = ours.app("tienda").await;
            let addon = ours.database(&shop).await;
            let url = ours.url(&shop).await;
            let me = ours.session(&url).await.unwrap();
            me.batch_execute("create table juegos as select generate_series(1, 70) as id").await.unwrap();
            let there = theirs.session(&url).await.expect("it lives over there");
            let rows: i64 = there.query_one("select count(*) from juegos", &[]).await.unwrap().get(0);
            assert_eq!(rows, 70);
            drop((me, there));
            let mut dump = Vec::new();
            ours.owners.addons.dump((&addon.role, &addon.database), &mut dump).await.unwrap();
            assert!(dump.starts_with(b"PGDMP"));
            assert_eq!(ours.owners.addons.count(&ours.addon(&addon).await).await.unwrap().tables, 1);
            ours.owners.addons.rotate(addon.id, &ours.by).await.unwrap();
            assert!(ours.session(&url).await.is_err(), "the old password opens nothing");
            assert!(ours.session(&ours.url(&shop).await).await.is_ok());
            let containers = ours.engine.list().await.unwrap();
            let servers = containers.iter().filter(|container| container.labels.get(LABEL_ADDON).is_some_and(|name| name == "postgres"));
            assert_eq!(servers.count(), 0, "no server of ours");
        })
        .await;
    })
    .await;
}

/// A PostgreSQL server as an operator has one: on the network, and for TLS alone.
const SERVER: &str = r#"
    set -e
    bin=/usr/lib/postgresql/15/bin
    umask 0077
    "$bin/initdb" --pgdata=/given/files --username=siesta --encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256 \
        --pwfile=<(echo "$PASSWORD") --no-instructions --no-sync
    cp /given/cert.pem /given/key.pem /given/files/
    echo 'hostssl all all all scram-sha-256' >/given/files/pg_hba.conf
    "$bin/pg_ctl" --pgdata=/given/files --log=/given/log --wait --timeout=90 start -o "-c listen_addresses='*' \
        -c unix_socket_directories= -c ssl=on -c ssl_cert_file=cert.pem -c ssl_key_file=key.pem -c dynamic_shared_memory_type=mmap \
        -c fsync=off -c password_encryption=scram-sha-256"
    touch /given/ready
    exec sleep infinity
"#;
const PASSWORD: &str = "una-clave-larga";

/// Starts it in the network of an app, with what lies in `given`; where it listens.
async fn server_with_tls(theirs: &Cellar, given: &Path) -> SocketAddr {
    let app = theirs.app("anfitriona").await;
    let range: NetworkRange = theirs.owners.config.options.network_range.parse().unwrap();
    let network = spec::network_spec(&theirs.owners.instance, app.id, app.number, range).unwrap();
    let spec = spec::addon_spec(&AddonInput {
        instance: &theirs.owners.instance,
        name: "given",
        image: ImageRef(theirs.owners.config.options.stack_postgres.clone()),
        command: ["/bin/bash", "-c", SERVER].map(str::to_owned).to_vec(),
        env: vec![("PASSWORD".to_owned(), PASSWORD.to_owned())],
        uid: spec::DATABASE_UID,
        network: Some(network.name.clone()),
        folders: vec![FolderMount { source: given.to_owned(), target: "/given".to_owned(), read_only: false }],
        memory_bytes: 256 * 1024 * 1024,
        pids: 128,
        stop_signal: "SIGINT",
        stop_seconds: 10,
    });
    theirs.engine.ensure_network(network.clone()).await.unwrap();
    let id = theirs.engine.create(spec).await.unwrap();
    let started = theirs.engine.start(id).await.unwrap();
    let address = SocketAddr::new(started.addresses[&network.name], 5432);
    let ready = async {
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        while !given.join("ready").exists() {
            pace.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), ready).await.expect("the server comes up");
    address
}

/// Asks the relay for TLS as `sslmode=require` does, and then for a database; the first byte of its answer.
async fn through_tls(cellar: &Cellar, app: &siesta::domain::app::App, url: &Url) -> u8 {
    let mut stream = TcpStream::connect((relay(cellar, app).await, 5432)).await.expect("the relay listens");
    stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'S', "the relay speaks TLS");
    let mut roots = RootCertStore::empty();
    let shown = CertificateDer::pem_file_iter(cellar.data.path().join("postgres/run/relay.pem")).unwrap();
    roots.add_parsable_certificates(shown.map(Result::unwrap));
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("postgres.siesta").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
    let parameters = format!("\0\x03\0\0user\0{}\0database\0{}\0\0", url.role, url.database);
    let length = u32::try_from(parameters.len() + 4).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], parameters.as_bytes()].concat()).await.unwrap();
    stream.read_u8().await.expect("an answer")
}

#[tokio::test]
async fn a_server_of_the_operator_s_is_reached_through_tls_and_only_with_the_certificate_that_was_asked_for() {
    let given = tempfile::tempdir().unwrap();
    std::fs::set_permissions(given.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, other) = (given.path().join("cert.pem"), given.path().join("other.pem"));
    std::fs::write(&cert, own.cert.pem()).unwrap();
    std::fs::write(given.path().join("key.pem"), own.signing_key.serialize_pem()).unwrap();
    std::fs::write(&other, rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem()).unwrap();
    for file in ["cert.pem", "key.pem"] {
        std::fs::set_permissions(given.path().join(file), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    with_cellar(&[], async |theirs| {
        let port = port_to(Place::Address(server_with_tls(theirs, given.path()).await)).await;
        let server = |host: &str, options: &str| format!("postgres://siesta:{PASSWORD}@{host}:{port}?{options}");
        let verified = server("localhost", &format!("sslmode=verify-full&sslrootcert={}", cert.display()));
        with_cellar(&["--postgres-server", &verified], async |ours| {
            let shop = ours.app("tienda").await;
            let addon = ours.database(&shop).await;
            assert!(ours.var(shop.id, "DATABASE_URL").await.unwrap().ends_with("?sslmode=disable"));
            let url = ours.url(&shop).await;
            let me = ours.session(&url).await.unwrap();
            let encrypted: bool = me.query_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[]).await.unwrap().get(0);
            assert!(encrypted, "nothing of the way is plain text");
            me.batch_execute("create table juegos as select generate_series(1, 70) as id").await.unwrap();
            let mut dump = Vec::new();
            ours.owners.addons.dump((&addon.role, &addon.database), &mut dump).await.expect("dumped through TLS");
            assert!(dump.starts_with(b"PGDMP"));
            ours.owners.addons.rotate(addon.id, &ours.by).await.unwrap();
            assert!(ours.var(shop.id, "DATABASE_URL").await.unwrap().ends_with("?sslmode=disable"));
        })
        .await;
        with_cellar(&["--postgres-server", &server("127.0.0.1", "sslmode=require")], async |ours| {
            let shop = ours.app("tienda").await;
            ours.database(&shop).await;
        })
        .await;
        let foreign = server("localhost", &format!("sslmode=verify-full&sslrootcert={}", other.display()));
        let misnamed = server("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={}", cert.display()));
        for refused in [foreign, misnamed, server("localhost", "sslmode=verify-full"), server("localhost", "sslmode=disable")] {
            with_cellar(&["--postgres-server", &refused], async |ours| {
                let shop = ours.app("tienda").await;
                let wanted = Wanted { plan: "heroku-postgresql:mini".to_owned(), ..Wanted::default() };
                let addon = ours.owners.addons.create(shop.id, wanted, &ours.by).await.unwrap();
                ours.owners.addons.work().await;
                let addon = ours.addon(&addon).await;
                assert_eq!(addon.state, AddonState::Provisioning, "{refused}");
                assert!(addon.error.is_some_and(|error| error.contains("does not start just now")), "{refused}");
                assert_eq!(ours.var(shop.id, "DATABASE_URL").await, None);
            })
            .await;
        }
    })
    .await;
}
