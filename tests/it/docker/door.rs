//! The way from a dyno to its database, asked from inside of dynos: open to the app's own role and
//! to nobody else; a server that sleeps wakes for it, and one that was killed comes back.

use std::time::{Duration, Instant};

use siesta::engine::{Container, Engine, spec::LABEL_ADDON};

use super::{
    cellar::{Cellar, with_cellar},
    isolation::firewall,
};
use crate::{
    engine_contract::tar_of,
    support::yard::{Yard, succeeded},
};

/// Answers `/host:port/role/database` with what the database says to that visitor at first.
const KNOCKER: &[u8] = br#"
import http.server, os, socket, struct

def knock(where, role, database):
    host, port = where.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), 5) as door:
            door.settimeout(30)
            body = struct.pack("!I", 196608) + b"".join(part.encode() + b"\0" for part in ("user", role, "database", database, ""))
            door.sendall(struct.pack("!I", len(body) + 4) + body)
            said = door.recv(1000)
    except OSError as error:
        return "closed: %s" % error
    if said[:1] == b"R":
        return "come in"
    return "refused: " + said.decode("utf-8", "replace").replace("\0", " ")

class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        parts = self.path.strip("/").split("/")
        self.send_response(200)
        self.end_headers()
        self.wfile.write((knock(*parts) if len(parts) == 3 else "up").encode())

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Door).serve_forever()
"#;

/// The container of that part of the add-on.
async fn part(cellar: &Cellar, name: &str) -> Option<Container> {
    let found = cellar.engine.list().await.expect("a list");
    found.into_iter().find(|container| container.labels.get(LABEL_ADDON).is_some_and(|label| label == name))
}

#[tokio::test]
async fn a_dyno_reaches_its_own_database_and_a_sleeping_or_killed_server_wakes_for_it() {
    firewall();
    with_cellar(&["--postgres-idle-after", "60"], async |cellar| {
        let yard = Yard::of(&cellar.owners, cellar.by.clone(), cellar.data.path());
        let archive = || tar_of(&[("Procfile", b"web: python app.py\n"), ("requirements.txt", b""), ("app.py", KNOCKER)]);
        let (shop, other, bare) = (cellar.app("tienda").await, cellar.app("otra").await, cellar.app("pelada").await);
        cellar.database(&shop).await;
        cellar.database(&other).await;
        for app in [&shop, &other, &bare] {
            succeeded(yard.deploy(app.id, archive()).await);
        }
        let (mine, theirs) = (cellar.url(&shop).await, cellar.url(&other).await);
        let knock = async |app: &str, host: &str, role: &str, database: &str| yard.answer(app, &format!("/{host}/{role}/{database}")).await;
        assert_eq!(knock("tienda", &mine.host, &mine.role, &mine.database).await, "come in");
        assert_eq!(knock("otra", &theirs.host, &theirs.role, &theirs.database).await, "come in");
        for (role, database) in [
            (&theirs.role, &theirs.database),
            (&mine.role, &theirs.database),
            (&mine.role, &"postgres".to_owned()),
            (&"siesta".to_owned(), &"postgres".to_owned()),
            (&"siesta".to_owned(), &mine.database),
            (&"siesta_watch".to_owned(), &mine.database),
        ] {
            let said = knock("tienda", &mine.host, role, database).await;
            assert!(said.starts_with("refused: ") && said.contains("attached to this app"), "{role} {database}: {said}");
        }
        assert!(knock("pelada", &mine.host, &mine.role, &mine.database).await.starts_with("closed: "), "no relay in its network");
        let relay = part(cellar, "relay").await.expect("a relay");
        assert_eq!(relay.addresses.len(), 2, "{relay:?}");
        for address in relay.addresses.values() {
            let said = knock("pelada", &format!("{address}:5432"), &mine.role, &mine.database).await;
            assert!(said.starts_with("closed: "), "another app's network: {said}");
        }
        let server = part(cellar, "postgres").await.expect("a server");
        assert!(server.addresses.values().all(|address| address.is_unspecified()) || server.addresses.is_empty(), "{server:?}");

        // Long after the last visitor it sleeps; a visitor wakes it.
        yard_until(async || {
            cellar.clock.advance(Duration::from_secs(120));
            cellar.owners.addons.sweep().await;
            part(cellar, "postgres").await.is_some_and(|server| !server.running)
        })
        .await;
        let begun = Instant::now();
        assert_eq!(knock("tienda", &mine.host, &mine.role, &mine.database).await, "come in");
        eprintln!("woken in {:?}", begun.elapsed());

        let server = part(cellar, "postgres").await.expect("a server");
        cellar.engine.kill(server.id).await.expect("killed");
        assert_eq!(knock("tienda", &mine.host, &mine.role, &mine.database).await, "come in", "a killed server comes back");

        let relay = part(cellar, "relay").await.expect("a relay");
        cellar.engine.kill(relay.id).await.expect("killed");
        cellar.owners.addons.work().await;
        assert_eq!(knock("otra", &theirs.host, &theirs.role, &theirs.database).await, "come in", "a killed relay comes back");

        // Without a database its app has no relay in its network any more, and can be destroyed.
        cellar.owners.apps.destroy(other.id, &cellar.by).await.expect("destroyed");
        assert_eq!(part(cellar, "relay").await.expect("a relay").addresses.len(), 1);
        assert_eq!(knock("tienda", &mine.host, &mine.role, &mine.database).await, "come in");
    })
    .await;
}

/// Asks again until it is so.
async fn yard_until(mut ask: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    loop {
        pace.tick().await;
        if ask().await {
            return;
        }
        assert!(Instant::now() < end, "it never came");
    }
}
