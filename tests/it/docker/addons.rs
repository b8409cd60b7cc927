//! PostgreSQL on real Docker: one role and database an add-on, shut to everybody else; the row limit
//! and every way around it, tried as the very role of `DATABASE_URL`.

use std::time::Duration;

use siesta::{
    addons::Wanted,
    domain::addon::{AddonState, AttachmentState},
};
use tokio_postgres::{Client, error::SqlState};

use super::cellar::{Url, with_cellar};
use crate::support::postbox::Postbox;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// That a statement is refused for want of a right.
async fn is_refused(client: &Client, statement: &str) {
    let error = client.batch_execute(statement).await.expect_err(statement);
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
}

async fn one<T: for<'a> tokio_postgres::types::FromSql<'a>>(client: &Client, sql: &str) -> T {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

#[tokio::test]
async fn a_database_is_its_apps_own_and_its_role_has_no_power_over_the_server() {
    with_cellar(&[], async |cellar| {
        let (shop, other) = (cellar.app("tienda").await, cellar.app("otra").await);
        let addon = cellar.database(&shop).await;
        cellar.database(&other).await;
        let (url, theirs) = (cellar.url(&shop).await, cellar.url(&other).await);
        assert_eq!(url.host, "postgres.siesta:5432");
        assert!(url.role != theirs.role && url.database != theirs.database && url.password != theirs.password);
        let releases = cellar.owners.reader.releases(shop.id).await.unwrap();
        assert_eq!(releases[0].description, format!("Attach DATABASE (@ref:{})", addon.name));

        let me = cellar.session(&url).await.unwrap();
        me.batch_execute("create table juegos (id serial primary key, nombre text); insert into juegos (nombre) values ('Tetris')")
            .await
            .unwrap();
        assert_eq!(one::<i64>(&me, "select count(*) from juegos").await, 1);
        let powers =
            "select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls from pg_roles where rolname = current_user";
        assert!(!one::<bool>(&me, powers).await);
        for statement in [
            "copy juegos from program 'id'",
            "copy juegos to '/tmp/x'",
            "select pg_read_file('/etc/passwd')",
            "select * from pg_authid",
            "create role otro",
            "set role siesta",
            "set session authorization siesta",
            "set session_replication_role = replica",
            "alter system set fsync = off",
            "alter role current_user superuser",
            "alter role current_user connection limit 100",
            "grant pg_read_all_data to current_user",
            &format!("drop database {}", theirs.database),
            "create database mia",
            "create event trigger t on ddl_command_start execute function siesta()",
        ] {
            let error = me.batch_execute(statement).await.expect_err(statement);
            let code = error.code().unwrap().code();
            assert!(["42501", "42883"].contains(&code), "{statement}: {error:?}");
        }
        me.batch_execute("create extension pgcrypto; create extension \"uuid-ossp\"").await.unwrap();
        for missing in ["dblink", "postgres_fdw", "file_fdw", "adminpack", "plpython3u"] {
            assert!(me.batch_execute(&format!("create extension {missing}")).await.is_err(), "{missing}");
        }
        for wrong in [
            Url { database: theirs.database.clone(), ..url.clone() },
            Url { database: "postgres".into(), ..url.clone() },
            Url { database: "template1".into(), ..url.clone() },
            Url { password: theirs.password.clone(), ..url.clone() },
        ] {
            assert!(cellar.session(&wrong).await.is_err(), "{wrong:?}");
        }
        let mut sessions = Vec::new();
        for _ in 0..19 {
            sessions.push(cellar.session(&url).await.unwrap());
        }
        let error = cellar.session(&url).await.expect_err("the 21st");
        assert_eq!(error.code(), Some(&SqlState::TOO_MANY_CONNECTIONS));
        assert!(cellar.session(&theirs).await.is_ok(), "others have their own");
    })
    .await;
}

/// Ways around the refusal, tried as the role that owns every table.
const ESCAPES: &[&str] = &[
    "insert into t values (1)",
    "insert into empty values (1)",
    "insert into mine.more values (1)",
    "insert into parts values (5)",
    "insert into parts_1 values (5)",
    "insert into seen values (1)",
    "copy t from stdin",
    "with new as (insert into t values (1) returning 1) select * from new",
    "select grow()",
    "update moved set id = 2",
    "merge into t using (values (1)) v(id) on false when not matched then insert values (v.id)",
    "do $$ begin insert into t values (1); end $$",
    "do $$ begin execute 'grant insert on t to ' || quote_ident(current_user); end $$",
    "grant insert on t to current_user",
    "grant all on all tables in schema public to public",
    "alter default privileges grant insert on tables to public",
    "create table fresh (id int)",
    "create table fresh as select generate_series(1, 10)",
    "select 1 as id into fresh",
    "create temporary table fresh (id int)",
    "create unlogged table fresh (id int)",
    "create table fresh partition of parts for values from (1000000) to (2000000)",
    "create materialized view fresh as select 1",
    "refresh materialized view many",
    "create schema fresh create table fresh.t (id int)",
    "create function fresh() returns void language sql as 'insert into t values (1)'",
    "create extension citext",
    "alter table t owner to current_user",
    "alter table t add column more int",
    "alter event trigger siesta_row_limit disable",
    "drop event trigger siesta_row_limit",
    "drop function pg_catalog.siesta_row_limit() cascade",
    "create or replace function pg_catalog.siesta_row_limit() returns event_trigger language plpgsql as 'begin end'",
    "set role siesta",
    "set session authorization siesta",
    "set session_replication_role = replica",
    "reassign owned by current_user to siesta",
];

/// Everything a row could get into, or in by, with 6,990 rows in it.
const TABLES: &str = "create table t (id int); create table empty (id int); create table parts (id int) partition by range (id);
    create table parts_1 partition of parts for values from (0) to (1000000);
    create view seen as select * from t; create schema mine; create table mine.more (id int);
    create materialized view many as select g from generate_series(1, 3) g;
    create function grow() returns void language sql security definer as 'insert into t values (1)';
    create table moved (id int); create rule on_update as on update to moved do also insert into t values (2);
    insert into moved values (1); insert into t select generate_series(1, 6990)";

#[tokio::test]
async fn over_the_limit_insert_is_refused_after_the_grace_and_nothing_the_owner_does_undoes_it() {
    let postbox = Postbox::open().await;
    with_cellar(&postbox.flags().each_ref().map(String::as_str), async |cellar| {
        let app = cellar.app_of("tienda", &cellar.person("ana@example.org").await).await;
        let addon = cellar.database(&app).await;
        let url = cellar.url(&app).await;
        let count = async || {
            let addon = cellar.addon(&addon).await;
            cellar.owners.addons.count(&addon).await.unwrap();
            cellar.addon(&addon).await.account
        };
        let me = cellar.session(&url).await.unwrap();
        me.batch_execute(TABLES).await.unwrap();
        assert_eq!(count().await.warned, 0);
        me.batch_execute("insert into t select generate_series(1, 100)").await.unwrap();
        assert_eq!(count().await.warned, 70);
        me.batch_execute("insert into t select generate_series(1, 2000)").await.unwrap();
        assert_eq!(count().await.warned, 90);
        me.batch_execute("insert into t select generate_series(1, 2000)").await.unwrap();
        let over = count().await;
        assert!(over.rows > 10_000 && over.over_since.is_some() && over.locked_at.is_none(), "{over:?}");
        me.batch_execute("insert into t values (1)").await.expect("a week of grace");

        // Begun before the lock and not committed: it must not become a table nobody took the right from.
        let sly = cellar.session(&url).await.unwrap();
        sly.batch_execute("begin; create table sly (id int); insert into sly values (1)").await.unwrap();
        cellar.clock.advance(7 * DAY);
        assert!(count().await.locked_at.is_some());
        assert!(sly.batch_execute("insert into sly values (2); commit").await.is_err(), "its session ended");

        let me = cellar.session(&url).await.unwrap();
        for escape in ESCAPES {
            is_refused(&me, escape).await;
        }
        assert!(me.batch_execute("drop schema pg_catalog cascade").await.is_err());
        let refusal = me.batch_execute("create table fresh (id int)").await.unwrap_err();
        assert!(refusal.as_db_error().unwrap().message().contains("more than 10000 rows"), "{refusal:?}");

        me.batch_execute("update t set id = 7 where id = 1; select * from t limit 1; delete from moved").await.unwrap();
        me.batch_execute("drop table empty; truncate parts; delete from t where id > 3000").await.unwrap();
        let free = count().await;
        assert!(free.locked_at.is_none() && free.over_since.is_none() && free.rows < 10_000, "{free:?}");
        me.batch_execute(
            "insert into t values (1); insert into seen values (1); create table fresh (id int); insert into fresh values (1)",
        )
        .await
        .unwrap();
        assert_eq!(one::<i64>(&me, "select count(*) from pg_event_trigger").await, 0);

        let log = cellar.log(&app).await;
        for text in
            ["(70% of its plan)", "(90% of its plan)", "INSERT will be refused from", "INSERT is refused until", "INSERT is allowed again"]
        {
            assert_eq!(
                log.iter().filter(|line| line.contains(text) && line.starts_with("heroku-postgres: ")).count(),
                1,
                "{text}: {log:#?}"
            );
        }
        cellar.owners.mail.deliver().await;
        let subjects = postbox.subjects();
        assert_eq!(subjects.len(), 5, "{subjects:#?}");
        for (subject, text) in subjects.iter().zip(["(70%", "(90%", "will be refused from", "is refused until", "is allowed again"]) {
            assert!(subject.starts_with("[tienda] ") && subject.contains(text), "{text}: {subjects:#?}");
        }
        let letter = &postbox.letters()[0];
        assert!(letter.to.contains("ana@example.org") && letter.text.contains("/apps/tienda/addons/"), "{letter:?}");
    })
    .await;
}

#[tokio::test]
async fn credentials_are_rotated_everywhere_and_a_destroyed_database_comes_back_from_the_bin() {
    with_cellar(&[], async |cellar| {
        let (shop, copy) = (cellar.app("tienda").await, cellar.app("copia").await);
        let addons = &cellar.owners.addons;
        let addon = cellar.database(&shop).await;
        let shared = addons.attach(addon.id, copy.id, Some("tienda".into()), &cellar.by).await.unwrap();
        assert_eq!((shared.name.as_str(), shared.state), ("TIENDA", AttachmentState::Attached));
        let old = cellar.url(&shop).await;
        assert_eq!(Url::parse(&cellar.var(copy.id, "TIENDA_URL").await.unwrap()), old);
        let before = cellar.session(&old).await.unwrap();
        before.batch_execute("create table t (id int); insert into t values (42)").await.unwrap();

        addons.rotate(addon.id, &cellar.by).await.unwrap();
        let new = cellar.url(&shop).await;
        assert!(new.password != old.password && new.role == old.role);
        assert_eq!(Url::parse(&cellar.var(copy.id, "TIENDA_URL").await.unwrap()), new);
        assert!(cellar.session(&old).await.is_err(), "the old password opens nothing");
        assert!(before.batch_execute("select 1").await.is_err(), "sessions it opened have ended");
        assert_eq!(cellar.addon(&addon).await.state, AddonState::Provisioned);

        addons.destroy(addon.id, &cellar.by).await.unwrap();
        assert_eq!((cellar.var(shop.id, "DATABASE_URL").await, cellar.var(copy.id, "TIENDA_URL").await), (None, None));
        assert!(cellar.session(&new).await.is_err(), "shut");
        assert!(addons.found(addon.id).await.is_err());
        let back = addons.restore(addon.id, shop.id, &cellar.by).await.unwrap();
        addons.work().await;
        assert_eq!(back.name, addon.name);
        let again = cellar.session(&cellar.url(&shop).await).await.unwrap();
        assert_eq!(one::<i32>(&again, "select id from t").await, 42);

        drop(again);
        let name = cellar.url(&shop).await;
        addons.destroy(addon.id, &cellar.by).await.unwrap();
        cellar.clock.advance(7 * DAY);
        addons.work().await;
        assert!(addons.restore(addon.id, shop.id, &cellar.by).await.is_err(), "gone for good");
        let other = cellar.database(&copy).await;
        let watch = cellar.session(&cellar.url(&copy).await).await.unwrap();
        let left =
            format!("select count(*) from pg_database d, pg_roles r where d.datname = '{}' or r.rolname = '{}'", name.database, name.role);
        assert_eq!(one::<i64>(&watch, &left).await, 0, "{}", other.name);
    })
    .await;
}

/// Databases and roles of add-ons in the server.
const MADE: &str = "select (select count(*) from pg_database where datname ~ '^d[0-9a-f]{15}$'),
                           (select count(*) from pg_roles where rolname ~ '^u[0-9a-f]{15}$')";

#[tokio::test]
async fn postgres_killed_while_a_database_is_made_or_rotated_leaves_one_database_and_the_right_address() {
    with_cellar(&[], async |cellar| {
        let app = cellar.app("tienda").await;
        let first = cellar.database(&app).await;
        let (addons, mut made) = (&cellar.owners.addons, 1);
        let me = cellar.session(&cellar.url(&app).await).await.unwrap();
        me.batch_execute("create table t as select generate_series(1, 300) as id").await.unwrap();
        for sign in ["pg_roles where rolname", "pg_database where datname"] {
            let witness = cellar.session(&cellar.url(&app).await).await.unwrap();
            let wanted = Wanted { plan: "heroku-postgresql:mini".to_owned(), ..Wanted::default() };
            let addon = addons.create(app.id, wanted, &cellar.by).await.unwrap();
            let name = if sign.starts_with("pg_roles") { &addon.role } else { &addon.database };
            let kill = async {
                let mut pace = tokio::time::interval(Duration::from_millis(1));
                while one::<i64>(&witness, &format!("select count(*) from {sign} = '{name}'")).await == 0 {
                    pace.tick().await;
                }
                cellar.kill_postgres().await;
            };
            tokio::join!(addons.work(), kill);
            addons.work().await;
            made += 1;
            let addon = cellar.addon(&addon).await;
            assert_eq!((addon.state, &addon.error), (AddonState::Provisioned, &None), "{sign}");
            // Killed after its last step it sleeps until somebody comes.
            addons.count(&addon).await.expect("the server is there again");
            let attached = cellar.owners.reader.attachments_of_addon(addon.id).await.unwrap();
            let url = Url::parse(&cellar.var(app.id, attached[0].name.key().as_str()).await.expect("an address"));
            assert_eq!((&url.role, &url.database), (&addon.role, &addon.database));
            cellar.session(&url).await.expect("its address opens it");
        }
        for when_set in [false, true] {
            let old = cellar.url(&app).await;
            let kill = async {
                let mut pace = tokio::time::interval(Duration::from_millis(1));
                let begun = async || cellar.addon(&first).await.state == AddonState::Rotating;
                while !(if when_set { cellar.url(&app).await != old } else { begun().await || cellar.url(&app).await != old }) {
                    pace.tick().await;
                }
                cellar.kill_postgres().await;
            };
            let (rotated, ()) = tokio::join!(addons.rotate(first.id, &cellar.by), kill);
            rotated.expect("it is ordered");
            addons.work().await;
            let (now, new) = (cellar.addon(&first).await, cellar.url(&app).await);
            assert_eq!((now.state, &now.error), (AddonState::Provisioned, &None));
            addons.count(&now).await.expect("the server is there again");
            assert!(new.password != old.password && cellar.session(&old).await.is_err(), "the old one opens nothing");
            let me = cellar.session(&new).await.expect("the new one does");
            assert_eq!(one::<i64>(&me, "select count(*) from t").await, 300);
            let row = me.query_one(MADE, &[]).await.unwrap();
            assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (made, made), "no orphan");
        }
    })
    .await;
}
