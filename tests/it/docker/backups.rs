//! Backups on real Docker: a dump is good only when it was restored with every row; a restore takes
//! a database's place at once or not at all, whoever is killed in between.

use std::{io::Write as _, os::unix::fs::PermissionsExt as _, time::Duration};

use siesta::{
    addons::{Addon, BackupError},
    domain::backup::{Backup, BackupState},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};
use tokio_postgres::Client;

use super::cellar::{Cellar, with_cellar};
use crate::support::postbox::Postbox;

/// Everything a dump must hold that a plain list of rows would miss.
const SHOP: &str = "create extension pgcrypto; create schema otro; create table otro.\"Raro nombre\" (id int);
    insert into otro.\"Raro nombre\" select generate_series(1, 7);
    create table juegos (id serial primary key, nombre text not null); insert into juegos (nombre) values ('Tetris'), ('Faro');
    create table secreto (id int); insert into secreto values (1), (2), (3); alter table secreto enable row level security;
    create table cerrado (id int); insert into cerrado values (1), (2); alter table cerrado enable row level security;
    alter table cerrado force row level security; create policy nadie on cerrado using (false);
    create table partes (id int) partition by range (id); create table partes_1 partition of partes for values from (0) to (100);
    insert into partes values (5); create view vista as select * from juegos; create materialized view fija as select * from juegos;
    create function doble(int) returns int immutable language sql as 'select 2 * $1'; create index on juegos (doble(id));
    select lo_from_bytea(0, 'objeto')";

async fn one<T: for<'a> tokio_postgres::types::FromSql<'a>>(client: &Client, sql: &str) -> T {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

/// The order as it is now, after everything that waits was worked off.
async fn worked_off(cellar: &Cellar, order: &Backup) -> Backup {
    cellar.owners.addons.back_up().await;
    cellar.owners.reader.backup(order.id).await.expect("read").expect("a backup")
}

async fn captured(cellar: &Cellar, addon: &Addon) -> Backup {
    let order = cellar.owners.addons.capture(addon, Some(&cellar.by)).await.expect("an order");
    let done = worked_off(cellar, &order).await;
    assert_eq!((done.state, &done.error), (BackupState::Completed, &None));
    done
}

async fn restored(cellar: &Cellar, addon: &Addon, source: &Backup) -> Backup {
    let order = cellar.owners.addons.restore_backup(addon, source, &cellar.by).await.expect("an order");
    worked_off(cellar, &order).await
}

fn file(cellar: &Cellar, backup: &Backup) -> std::path::PathBuf {
    cellar.data.path().join("dumps").join(format!("{}.dump", backup.id))
}

/// Databases and roles in the server that belong to no add-on.
pub const ORPHANS: &str = "select (select count(*) from pg_database where datname ~ '^[so][0-9a-f]{15}$')
    + (select count(*) from pg_roles where rolname ~ '^siesta_task')";

#[tokio::test]
async fn a_dump_is_proved_and_restored_and_one_that_was_corrupted_turns_red() {
    let postbox = Postbox::open().await;
    with_cellar(&postbox.flags().each_ref().map(String::as_str), async |cellar| {
        let app = cellar.app_of("tienda", &cellar.person("ana@example.org").await).await;
        let addon = cellar.database(&app).await;
        let url = cellar.url(&app).await;
        let me = cellar.session(&url).await.unwrap();
        me.batch_execute(SHOP).await.unwrap();
        let dump = captured(cellar, &addon).await;
        assert_eq!((dump.name().as_str(), dump.rows, dump.verified_at.is_some()), ("b001", Some(15), true));
        let path = file(cellar, &dump);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), dump.bytes);
        assert!(std::fs::read(&path).unwrap().starts_with(b"PGDMP"), "PostgreSQL's own format");

        me.batch_execute("drop table juegos cascade; create table nueva (id int); delete from secreto").await.unwrap();
        let done = restored(cellar, &addon, &dump).await;
        assert_eq!((done.name().as_str(), done.state, &done.error), ("r002", BackupState::Completed, &None));
        assert!(me.batch_execute("select 1").await.is_err(), "nobody was inside");
        let me = cellar.session(&url).await.expect("the same address");
        assert_eq!(one::<i64>(&me, "select count(*) from juegos").await, 2);
        assert_eq!(one::<i64>(&me, "select count(*) from secreto").await, 3);
        assert_eq!(one::<i64>(&me, "select count(*) from pg_tables where tablename = 'nueva'").await, 0);
        assert_eq!(one::<i64>(&me, "select count(*) from pg_largeobject_metadata").await, 1);
        me.batch_execute("alter table cerrado no force row level security").await.expect("its owner");
        assert_eq!(one::<i64>(&me, "select count(*) from cerrado").await, 2, "rows a policy hides from everybody are in a dump");
        me.batch_execute("insert into juegos (nombre) values ('Nuevo'); drop table secreto; create table mia (id int)")
            .await
            .expect("its owner");
        assert_eq!(one::<i64>(&me, ORPHANS).await, 0);

        let whole = std::fs::read(&path).unwrap();
        let mut wrong = whole.clone();
        let middle = wrong.len() / 2;
        wrong[middle..middle + 16].iter_mut().for_each(|byte| *byte = !*byte);
        std::fs::File::create(&path).unwrap().write_all(&wrong).unwrap();
        let error = cellar.owners.addons.verify_backup(&dump).await.expect_err("corrupted");
        assert!(matches!(error, BackupError::Corrupt | BackupError::Restore(_)), "{error:?}");
        let red = cellar.owners.reader.backup(dump.id).await.unwrap().unwrap();
        assert_eq!((red.state, red.verified_at), (BackupState::Failed, None));
        assert!(cellar.owners.addons.open_backup(&red).await.is_err(), "not given out");
        assert!(matches!(cellar.owners.addons.restore_backup(&addon, &red, &cellar.by).await, Err(BackupError::NotGood(_))));
        let log = cellar.log(&app).await;
        assert!(
            log.iter().any(|line| line.starts_with("heroku-postgres: ") && line.contains("Backup b001") && line.contains("FAILED")),
            "{log:#?}"
        );
        cellar.owners.mail.deliver().await;
        assert!(
            matches!(&postbox.subjects()[..], [one] if one.contains("Backup b001") && one.contains("FAILED")),
            "{:?}",
            postbox.subjects()
        );
        assert_eq!(one::<i64>(&me, "select count(*) from juegos").await, 3, "the database itself is as it was");
        assert_eq!(one::<i64>(&me, ORPHANS).await, 0);
    })
    .await;
}

#[tokio::test]
async fn every_night_one_dump_is_made_and_old_ones_are_let_go() {
    with_cellar(&[], async |cellar| {
        let app = cellar.app("tienda").await;
        let addon = cellar.database(&app).await;
        let me = cellar.session(&cellar.url(&app).await).await.unwrap();
        me.batch_execute("create table t (id int); insert into t select generate_series(1, 10001)").await.unwrap();
        let dumps = async || cellar.owners.reader.backups_of_addon(addon.id).await.unwrap();
        cellar.owners.addons.back_up().await;
        assert_eq!(dumps().await, [], "its hour has not come");
        let count = async || {
            cellar.owners.addons.count(&cellar.addon(&addon).await).await.unwrap();
            cellar.addon(&addon).await.account
        };
        assert!(count().await.over_since.is_some());
        cellar.clock.advance(Duration::from_secs(8 * 86_400));
        assert!(count().await.locked_at.is_some());
        cellar.owners.addons.back_up().await;
        cellar.owners.addons.back_up().await;
        let made = dumps().await;
        assert_eq!(made.iter().map(Backup::name).collect::<Vec<_>>(), ["a001"], "one for eight missed nights");
        assert_eq!((made[0].state, made[0].rows), (BackupState::Completed, Some(10_001)));

        // A database that refuses INSERT is dumped and restored, and refuses it again.
        let done = restored(cellar, &addon, &made[0]).await;
        assert_eq!((done.state, &done.error), (BackupState::Completed, &None));
        let me = cellar.session(&cellar.url(&app).await).await.unwrap();
        assert!(me.batch_execute("insert into t values (1)").await.is_err());
        assert_eq!(one::<i64>(&me, "select count(*) from t").await, 10_001);

        for _ in 0..2 {
            captured(cellar, &addon).await;
        }
        let third = captured(cellar, &addon).await;
        let manual: Vec<String> = dumps().await.iter().map(Backup::name).filter(|name| name.starts_with('b')).collect();
        assert_eq!(manual, [third.name(), "b004".to_owned()], "two by hand are kept");
        let files = std::fs::read_dir(cellar.data.path().join("dumps")).unwrap().count();
        assert_eq!(files, 3, "the nightly one and two by hand");

        assert!(cellar.owners.addons.unschedule_backups(addon.id).await.unwrap());
        cellar.clock.advance(Duration::from_secs(86_400));
        cellar.owners.addons.back_up().await;
        assert_eq!(dumps().await.len(), 4);
    })
    .await;
}

#[tokio::test]
async fn postgres_killed_in_the_middle_of_a_dump_or_restore_costs_no_row_and_leaves_nothing() {
    with_cellar(&[], async |cellar| {
        let app = cellar.app("tienda").await;
        let addon = cellar.database(&app).await;
        let (url, addons) = (cellar.url(&app).await, &cellar.owners.addons);
        let me = cellar.session(&url).await.unwrap();
        me.batch_execute("create table t (id int); insert into t select generate_series(1, 500)").await.unwrap();
        let dump = captured(cellar, &addon).await;

        // Whoever counts or dumps waits for this lock.
        let holder = cellar.session(&url).await.unwrap();
        holder.batch_execute("begin; lock table t in access exclusive mode").await.unwrap();
        let order = addons.capture(&addon, Some(&cellar.by)).await.unwrap();
        let waits = async {
            let waiting = "select count(*) from pg_locks where not granted";
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            while one::<i64>(&me, waiting).await == 0 {
                pace.tick().await;
            }
            cellar.kill_postgres().await;
        };
        tokio::join!(addons.back_up(), waits);
        let again = worked_off(cellar, &order).await;
        assert_eq!((again.state, again.rows), (BackupState::Completed, Some(500)), "{:?}", again.error);

        let me = cellar.session(&url).await.unwrap();
        me.batch_execute("insert into t values (501)").await.unwrap();
        let order = addons.restore_backup(&addon, &dump, &cellar.by).await.unwrap();
        let kill = async {
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            let scratch = "select count(*) from pg_database where datname ~ '^s[0-9a-f]{15}$'";
            // Gone already: it was quicker than we are, which is fine as well.
            while me.query_one(scratch, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == 0) {
                pace.tick().await;
            }
            cellar.kill_postgres().await;
        };
        tokio::join!(addons.back_up(), kill);
        let done = worked_off(cellar, &order).await;
        assert_eq!((done.state, &done.error), (BackupState::Completed, &None));
        let me = cellar.session(&url).await.unwrap();
        assert_eq!(one::<i64>(&me, "select count(*) from t").await, 500);
        assert_eq!(one::<i64>(&me, ORPHANS).await, 0);
    })
    .await;
}

/// Answers GET by the path: a good dump, a redirect to it, a page, and one that says it is large.
#[expect(clippy::disallowed_methods, reason = "visitors are served by tasks of the test's own")]
async fn shelf(listener: TcpListener, dump: Vec<u8>) {
    let dump = std::sync::Arc::new(dump);
    while let Ok((stream, _)) = listener.accept().await {
        let dump = dump.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let (mut first, mut line) = (String::new(), String::new());
            let _ = stream.read_line(&mut first).await;
            while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
                line.clear();
            }
            let (head, body): (String, &[u8]) = match first.split(' ').nth(1) {
                Some("/good?key=secreto") => (format!("200 OK\r\ncontent-length: {}", dump.len()), &dump),
                Some("/moved") => ("302 Found\r\nlocation: /good?key=secreto\r\ncontent-length: 0".to_owned(), b""),
                Some("/large") => ("200 OK\r\ncontent-length: 90000000000".to_owned(), b"PGDMP"),
                _ => ("200 OK\r\ncontent-length: 6".to_owned(), b"<html>"),
            };
            let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").as_bytes()).await;
            let _ = stream.write_all(body).await;
            let _ = stream.shutdown().await;
        });
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a server of the test's own")]
async fn a_dump_at_an_address_is_restored_and_no_internal_address_is_asked_for_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    with_cellar(&["--egress-allow", &place.to_string()], async |cellar| {
        let app = cellar.app("tienda").await;
        let addon = cellar.database(&app).await;
        let (url, addons) = (cellar.url(&app).await, &cellar.owners.addons);
        let me = cellar.session(&url).await.unwrap();
        me.batch_execute("create table t as select generate_series(1, 300) as id").await.unwrap();
        let mut dump = Vec::new();
        addons.dump((&addon.role, &addon.database), &mut dump).await.unwrap();
        tokio::spawn(shelf(listener, dump));
        me.batch_execute("delete from t where id > 7; create table otra (id int)").await.unwrap();

        for inside in
            ["https://127.0.0.1/x", "https://169.254.169.254/latest", "http://example.org/x.dump", "file:///etc/passwd", "", "b001"]
        {
            let refused = addons.restore_from(&addon, inside, &cellar.by).await;
            assert!(matches!(refused, Err(BackupError::Address(_))), "{inside}: {refused:?}");
        }
        for (path, why) in [("moved", "302"), ("large", "larger than"), ("page", "no dump in PostgreSQL's custom format")] {
            let order = addons.restore_from(&addon, &format!("http://{place}/{path}"), &cellar.by).await.expect("an order");
            let ended = async {
                loop {
                    let now = worked_off(cellar, &order).await;
                    if now.finished_at.is_some() {
                        break now;
                    }
                }
            };
            let ended = tokio::time::timeout(Duration::from_secs(120), ended).await.expect("an end");
            assert_eq!(ended.state, BackupState::Failed, "{path}");
            assert!(ended.error.as_ref().is_some_and(|error| error.contains(why)), "{path}: {:?}", ended.error);
            assert_eq!(one::<i64>(&me, "select count(*) from t").await, 7, "the database is as it was");
        }
        let order = addons.restore_from(&addon, &format!("http://{place}/good?key=secreto"), &cellar.by).await.expect("an order");
        assert_eq!(order.source_name.as_deref(), Some("127.0.0.1"), "of the address only the host is shown");
        let done = worked_off(cellar, &order).await;
        assert_eq!((done.state, &done.error, done.rows), (BackupState::Completed, &None, Some(300)));
        let me = cellar.session(&url).await.expect("the same address");
        assert_eq!(one::<i64>(&me, "select count(*) from t").await, 300);
        assert_eq!(one::<i64>(&me, "select count(*) from pg_tables where tablename = 'otra'").await, 0);
        assert_eq!(one::<i64>(&me, ORPHANS).await, 0);
        assert_eq!(std::fs::read_dir(cellar.data.path().join("dumps")).unwrap().count(), 0, "what was fetched is gone");
        assert_eq!(cellar.owners.reader.backup_address(order.id).await.unwrap(), None, "and its address");
    })
    .await;
}
