//! Databases on a PostgreSQL server of the operator's: here the one of another Siesta, behind a port.

use std::path::PathBuf;

use secrecy::ExposeSecret as _;
use siesta::{
    engine::{Engine as _, spec::LABEL_ADDON},
    secrets::KeyRing,
    store::database_servers::superuser_place,
};
use tokio::net::{TcpListener, UnixStream};

use super::cellar::with_cellar;

/// A port that leads to a socket.
#[expect(clippy::disallowed_methods, reason = "connections are copied by tasks of the test's own")]
async fn port_to(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut there = UnixStream::connect(socket).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
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
        let keys = KeyRing::open_or_create(&theirs.data.path().join("key")).unwrap();
        let sealed = theirs.owners.reader.superuser_password("postgres").await.unwrap().unwrap();
        let password = keys.open(&superuser_place("postgres"), &sealed).unwrap();
        let port = port_to(theirs.data.path().join("postgres/run/.s.PGSQL.5432")).await;
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
