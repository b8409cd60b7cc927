//! Key-value stores on real Docker: open to their own user through their own app's network, kept through a
//! sleep and a kill, capped, gone for good a week after they were destroyed, and back with every key from a
//! backup of everything. The console that only reads.

use std::{
    io::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use siesta::{
    addons::{self, Addon, AskError},
    backup::{Piece, Wanted, restore},
    domain::{addon::AddonState, app::App},
    engine::{
        Container, Engine,
        spec::{self, LABEL_ADDON, NetworkRange},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::cellar::{Cellar, with_cellar, with_cellar_on};

/// What stands in a `REDIS_URL`.
struct Address {
    user: String,
    password: String,
}

async fn address(cellar: &Cellar, app: &App) -> Address {
    let url = cellar.var(app.id, "REDIS_URL").await.expect("a REDIS_URL");
    let (user, rest) = url.strip_prefix("redis://").and_then(|rest| rest.split_once(':')).expect("a user");
    let (password, place) = rest.split_once('@').expect("a password");
    assert_eq!(place, "postgres.siesta:6379");
    Address { user: user.into(), password: password.into() }
}

async fn store(cellar: &Cellar, app: &App) -> Addon {
    let wanted = addons::Wanted { plan: "heroku-redis:mini".to_owned(), ..addons::Wanted::default() };
    let addon = cellar.owners.addons.create(app.id, wanted, &cellar.by).await.expect("an add-on");
    cellar.owners.addons.work().await;
    let addon = cellar.addon(&addon).await;
    assert_eq!((addon.state, &addon.error), (AddonState::Provisioned, &None));
    addon
}

async fn part(cellar: &Cellar, name: &str) -> Option<Container> {
    let found = cellar.engine.list().await.expect("a list");
    found.into_iter().find(|container| container.labels.get(LABEL_ADDON).is_some_and(|label| label == name))
}

/// Where the relay stands in an app's network.
pub async fn relay(cellar: &Cellar, app: &App) -> IpAddr {
    let range: NetworkRange = cellar.owners.config.options.network_range.parse().expect("a range");
    let network = spec::network_spec(&cellar.owners.instance, app.id, app.number, range).expect("a network").name;
    part(cellar, "relay").await.expect("the relay").addresses[&network]
}

/// Says these commands through the relay of an app's network; what was answered.
async fn say(cellar: &Cellar, app: &App, address: &Address, commands: &[&[&str]]) -> String {
    let mut stream = TcpStream::connect((relay(cellar, app).await, 6379)).await.expect("the relay listens");
    let login: &[&str] = &["AUTH", &address.user, &address.password];
    let mut said = Vec::new();
    for command in [login].iter().chain(commands).chain([&["QUIT"] as &[&str]].iter()) {
        said.extend(format!("*{}\r\n", command.len()).into_bytes());
        command.iter().for_each(|word| said.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes()));
    }
    stream.write_all(&said).await.expect("sent");
    let mut heard = Vec::new();
    let listen = stream.read_to_end(&mut heard);
    let _ = tokio::time::timeout(Duration::from_secs(90), listen).await.expect("an end");
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn a_store_is_its_apps_own_and_keeps_its_keys_through_sleep_kill_rotation_and_bin() {
    with_cellar(&["--postgres-idle-after", "60"], async |cellar| {
        let (shop, other) = (cellar.app("tienda").await, cellar.app("otra").await);
        let addon = store(cellar, &shop).await;
        store(cellar, &other).await;
        let (mine, theirs) = (address(cellar, &shop).await, address(cellar, &other).await);
        assert_eq!(
            say(cellar, &shop, &mine, &[&["SET", "juego", "Tetris"], &["GET", "juego"]]).await,
            "+OK\r\n+OK\r\n$6\r\nTetris\r\n+OK\r\n"
        );
        let refused = async |app: &App, address: &Address, commands: &[&[&str]], word: &str| {
            let said = say(cellar, app, address, commands).await;
            assert!(said.contains(word), "{word}: {said}");
        };
        refused(&shop, &theirs, &[], "WRONGPASS").await;
        refused(&other, &mine, &[], "WRONGPASS").await;
        refused(&shop, &Address { password: "x".into(), user: mine.user.clone() }, &[&["GET", "juego"]], "WRONGPASS").await;
        refused(&shop, &Address { user: "default".into(), password: "x".into() }, &[], "WRONGPASS").await;
        for command in [&["CONFIG", "GET", "dir"] as &[&str], &["SHUTDOWN"], &["ACL", "LIST"], &["MODULE", "LIST"]] {
            refused(&shop, &mine, &[command], "NOPERM").await;
        }
        let info = say(cellar, &shop, &mine, &[&["INFO"]]).await;
        assert!(info.contains("maxmemory:26214400") && info.contains("maxmemory_policy:allkeys-lru"), "{info}");

        // The relay tells a moment later that its visitor has gone.
        let asleep = async {
            let mut pace = tokio::time::interval(Duration::from_millis(100));
            while part(cellar, &addon.role).await.expect("a store").running {
                pace.tick().await;
                cellar.clock.advance(Duration::from_secs(120));
                cellar.owners.addons.sweep().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(90), asleep).await.expect("nobody was there");
        let woken = say(cellar, &shop, &mine, &[&["GET", "juego"]]).await;
        assert!(woken.contains("Tetris"), "woken by a visitor: {woken}");
        cellar.engine.kill(part(cellar, &addon.role).await.expect("a store").id).await.expect("killed");
        assert!(say(cellar, &shop, &mine, &[&["GET", "juego"]]).await.contains("Tetris"), "after a kill");

        cellar.owners.addons.set_eviction_policy(&addon, "noeviction").await.expect("set");
        assert!(say(cellar, &shop, &mine, &[&["INFO"]]).await.contains("maxmemory_policy:noeviction"));
        cellar.owners.addons.rotate(addon.id, &cellar.by).await.expect("rotated");
        let new = address(cellar, &shop).await;
        assert_ne!(new.password, mine.password);
        refused(&shop, &mine, &[], "WRONGPASS").await;
        assert!(say(cellar, &shop, &new, &[&["GET", "juego"]]).await.contains("Tetris"), "the same keys");

        let folder = cellar.data.path().join("keyvalue").join(&addon.role);
        cellar.owners.addons.destroy(addon.id, &cellar.by).await.expect("destroyed");
        assert_eq!(cellar.var(shop.id, "REDIS_URL").await, None);
        assert!(folder.exists(), "in the bin");
        cellar.owners.addons.restore(addon.id, shop.id, &cellar.by).await.expect("brought back");
        cellar.owners.addons.work().await;
        assert!(say(cellar, &shop, &new, &[&["GET", "juego"]]).await.contains("Tetris"));
        cellar.owners.addons.destroy(addon.id, &cellar.by).await.expect("destroyed");
        cellar.clock.advance(Duration::from_secs(8 * 86_400));
        cellar.owners.addons.work().await;
        assert!(!folder.exists() && part(cellar, &addon.role).await.is_none(), "gone for good");
    })
    .await;
}

/// Waits until the log of a store on the disk holds this.
async fn written(cellar: &Cellar, addon: &Addon, what: &str) {
    let log = cellar.data.path().join("keyvalue").join(&addon.role).join("appendonlydir");
    let holds = || {
        let files = std::fs::read_dir(&log).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read(file.path()).ok()).any(|bytes| String::from_utf8_lossy(&bytes).contains(what))
    };
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let waiting = async {
        while !holds() {
            pace.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), waiting).await.expect("written");
}

/// A backup of everything.
async fn backed_up(cellar: &Cellar) -> Vec<u8> {
    let wanted = Wanted { logs: false, passphrase: Some(PASSPHRASE.into()) };
    let mut pieces = cellar.owners.backup.begin(wanted).expect("begun");
    let mut bytes = Vec::new();
    loop {
        match pieces.recv().await.expect("an end") {
            Piece::Bytes(more) => bytes.extend_from_slice(&more),
            Piece::Progress(_) => {}
            Piece::End(end) => return end.map(|()| bytes).expect("a backup"),
        }
    }
}

const PASSPHRASE: &str = "una frase bastante larga";
/// Something of every kind, in two of the sixteen databases.
const KEYS: [&[&str]; 8] = [
    &["SET", "juego", "Tetris"],
    &["RPUSH", "cola", "a", "b", "c"],
    &["HSET", "ficha", "precio", "19.99", "titulo", "Faro"],
    &["ZADD", "puntos", "3", "ana", "1", "luis"],
    &["SADD", "visitas", "7"],
    &["SET", "oferta", "hoy", "EX", "86400"],
    &["SELECT", "1"],
    &["SET", "otra", "marca-final"],
];
const ASK: [&[&str]; 9] = [
    &["DBSIZE"],
    &["GET", "juego"],
    &["LRANGE", "cola", "0", "-1"],
    &["HGET", "ficha", "precio"],
    &["ZRANGE", "puntos", "0", "-1", "WITHSCORES"],
    &["SISMEMBER", "visitas", "7"],
    &["PEXPIRETIME", "oferta"],
    &["SELECT", "1"],
    &["GET", "otra"],
];

#[tokio::test]
async fn every_key_of_a_store_comes_back_on_another_machine_from_a_backup_made_while_it_is_written_to() {
    let (mut told, mut file, mut counted) = (String::new(), tempfile::tempfile().expect("a file"), 0);
    with_cellar(&[], async |cellar| {
        let (shop, other) = (cellar.app("tienda").await, cellar.app("otra").await);
        let (busy, asleep) = (store(cellar, &shop).await, store(cellar, &other).await);
        let (mine, theirs) = (address(cellar, &shop).await, address(cellar, &other).await);
        say(cellar, &shop, &mine, &KEYS).await;
        say(cellar, &other, &theirs, &[&["SET", "duerme", "sí"]]).await;
        told = say(cellar, &shop, &mine, &ASK).await;
        assert!(told.contains("Tetris") && told.contains("marca-final"), "{told}");
        written(cellar, &busy, "marca-final").await;
        written(cellar, &asleep, "duerme").await;
        let server = part(cellar, &asleep.role).await.expect("a store");
        cellar.engine.stop(server.id, Duration::from_secs(20)).await.expect("asleep");
        // The bin is in a backup too.
        let gone = store(cellar, &other).await;
        cellar.owners.addons.destroy(gone.id, &cellar.by).await.expect("destroyed");

        let mut backup = std::pin::pin!(backed_up(cellar));
        let bytes = loop {
            tokio::select! {
                bytes = &mut backup => break bytes,
                said = say(cellar, &shop, &mine, &[&["INCR", "veces"]]) => counted += usize::from(said.contains(':')),
            }
        };
        file.write_all(&bytes).expect("written");
        assert!(!part(cellar, &asleep.role).await.expect("a store").running, "a copy wakes nobody");
    })
    .await;

    let data = tempfile::tempdir().expect("a folder");
    let restored = restore(&file, data.path(), None, || Ok(PASSPHRASE.into())).await.expect("brought back");
    assert_eq!((restored.manifest.apps, restored.manifest.databases, restored.manifest.stores), (2, 0, 3));
    let waiting = |data: &Path| std::fs::read_dir(data.join("restore")).into_iter().flatten().flatten().map(|file| file.path()).collect();
    let copies: Vec<PathBuf> = waiting(data.path());
    assert_eq!(copies.len(), 3);
    let kept: Vec<Vec<u8>> = copies.iter().map(|path| std::fs::read(path).expect("a copy")).collect();
    with_cellar_on(data, &[], async |cellar| {
        let apps = cellar.owners.reader.apps().await.expect("apps");
        let app = |name: &str| apps.iter().find(|app| app.name.as_str() == name).expect("an app").clone();
        let (shop, other) = (app("tienda"), app("otra"));
        assert_eq!(waiting(cellar.data.path()), Vec::<PathBuf>::new(), "read in at the start");
        // A server that was killed before the copies were gone.
        copies.iter().zip(&kept).for_each(|(path, bytes)| std::fs::write(path, bytes).expect("a copy"));
        cellar.owners.addons.work().await;
        let (mine, theirs) = (address(cellar, &shop).await, address(cellar, &other).await);
        let again = say(cellar, &shop, &mine, &ASK).await;
        let without_size = |told: &str| told.split_once("\r\n:").map(|(_, rest)| rest.split_once("\r\n").map(|(_, rest)| rest.to_owned()));
        assert_eq!(without_size(&again), without_size(&told), "one key more at most, of those written meanwhile");
        assert!(say(cellar, &other, &theirs, &[&["GET", "duerme"]]).await.contains("sí"));
        let times = say(cellar, &shop, &mine, &[&["INCR", "veces"]]).await;
        let times: usize = times.split(':').nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok()).expect("a number");
        assert!((1..=counted + 2).contains(&times), "{times} of {counted}: a beginning of what was written meanwhile");
    })
    .await;
}

#[tokio::test]
async fn the_console_answers_questions_and_writes_nothing_whatever_it_is_told() {
    with_cellar(&[], async |cellar| {
        let app = cellar.app("tienda").await;
        let addon = cellar.database(&app).await;
        let me = cellar.session(&cellar.url(&app).await).await.unwrap();
        me.batch_execute(
            "create table juegos (id int, nombre text); insert into juegos values (1, 'Tetris'), (2, null);
             create function sube() returns int language sql security definer as 'insert into juegos values (9, ''x'') returning id';
             create sequence cuenta",
        )
        .await
        .unwrap();
        let addons = &cellar.owners.addons;
        let ask = async |sql: &str| addons.ask(&addon, sql, &cellar.by).await;
        let answer = ask("select id, nombre from juegos order by id;").await.expect("an answer");
        assert_eq!(answer.columns, ["id", "nombre"]);
        assert_eq!(answer.rows, [vec![Some("1".to_owned()), Some("Tetris".to_owned())], vec![Some("2".to_owned()), None]]);
        let many = ask("select repeat('ñ', 1000) from generate_series(1, 1000)").await.expect("an answer");
        assert!(many.more && many.rows.len() == siesta::addons::ANSWER_ROWS);
        assert!(many.rows[0][0].as_deref().is_some_and(|value| value.ends_with('…') && value.chars().count() == 301));
        for sql in [
            "insert into juegos values (3, 'x')",
            "delete from juegos",
            "select sube()",
            "select nextval('cuenta')",
            "with nuevo as (insert into juegos values (3, 'x') returning id) select * from nuevo",
            "select 1; insert into juegos values (3, 'x')",
            "select 1; commit; insert into juegos values (3, 'x')",
            "select pg_read_file('/etc/passwd')",
            "select * from pg_authid",
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'siesta'",
            "copy juegos to stdout",
            "select set_config('transaction_read_only', 'off', true), sube()",
        ] {
            let refused = ask(sql).await;
            assert!(matches!(refused, Err(AskError::Refused(_))), "{sql}: {refused:?}");
        }
        // PostgreSQL 15 lets a transaction that only reads make large objects; none is ever committed.
        ask("select lo_from_bytea(0, 'x')").await.expect("an answer");
        let large: i64 = me.query_one("select count(*) from pg_largeobject_metadata", &[]).await.unwrap().get(0);
        assert_eq!(large, 0, "no large object stays");
        let huge = ask("select repeat('x', 30000000)").await;
        assert!(matches!(huge, Err(AskError::TooLarge)), "{huge:?}");
        assert!(matches!(ask(" ; ").await, Err(AskError::Length)));
        let count: i64 = me.query_one("select count(*) from juegos", &[]).await.unwrap().get(0);
        assert_eq!(count, 2, "nothing was written");
        let left: i64 = me.query_one("select count(*) from pg_roles where rolname ~ '^r[0-9a-f]{15}$'", &[]).await.unwrap().get(0);
        assert_eq!(left, 0, "no role is left");
        let events = cellar.owners.reader.events(app.id, 50).await.unwrap();
        assert!(events.iter().any(|event| event.detail["did"] == "console" && event.actor == cellar.by.email.as_str()), "noted");

        let seen = addons.inspect(&addon).await.expect("an inspection");
        assert_eq!(seen.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["juegos"]);
        assert_eq!(seen.sessions.len(), 1);
        assert!(seen.slow.iter().any(|slow| slow.query.contains("juegos")), "{:?}", seen.slow);
    })
    .await;
}
