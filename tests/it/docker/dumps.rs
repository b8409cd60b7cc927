//! Dumps of one database on real Docker: everything a tenant can make goes out and comes back, the
//! tenant's own limits do not stand in the way, and a damaged dump changes nothing.

use siesta::domain::addon::AddonState;
use tokio_postgres::Client;

use super::cellar::{Cellar, with_cellar};

/// Of everything something: keys and sequences, row level security, a large object, an extension, code.
const EVERYTHING: &str = "
    create extension citext;
    create table juegos (id serial primary key, nombre citext unique, precio numeric(8, 2) check (precio >= 0));
    insert into juegos (nombre, precio) select 'Juego ' || n, n from generate_series(1, 500) n;
    create table pedidos (id bigint generated always as identity primary key, juego int references juegos, dueño text default current_user);
    insert into pedidos (juego) select id from juegos where id % 5 = 0;
    alter table pedidos enable row level security;
    alter table pedidos force row level security;
    create policy todos on pedidos using (true);
    create view caros as select * from juegos where precio > 400;
    create materialized view resumen as select count(*) as n from juegos;
    create function doble(n int) returns int language plpgsql as 'begin return n * 2; end';
    create schema tienda; create table tienda.vacia (id int);
    select lo_from_bytea(4711, 'una carátula');
    create table uno (id int); create table otro (id int);";

/// What is in it, as one text.
async fn told(client: &Client) -> String {
    let sql = "select concat_ws(' ', (select count(*) from juegos), (select sum(precio) from juegos), (select count(*) from pedidos),
                      (select count(*) from caros), (select n from resumen), doble(21), nextval('juegos_id_seq'),
                      (select count(*) from pg_class where relname = 'vacia'), convert_from(lo_get(4711), 'utf8'),
                      (select nombre from juegos where nombre = 'JUEGO 7'))";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

const TOLD: &str = "500 125250.00 100 100 500 42 501 1 una carátula Juego 7";

/// Roles and containers of tasks that are still there.
async fn left(cellar: &Cellar) -> Vec<String> {
    let url = cellar.url(&cellar.owners.reader.apps().await.unwrap()[0]).await;
    let me = cellar.session(&url).await.unwrap();
    let roles = me.query("select rolname::text from pg_roles where rolname like 'siesta\\_task%'", &[]).await.unwrap();
    let containers = siesta::engine::Engine::list(cellar.engine.as_ref()).await.unwrap();
    let labels = containers.iter().filter_map(|container| container.labels.get(siesta::engine::spec::LABEL_ADDON).cloned());
    let mut left: Vec<String> = labels.filter(|label| label.contains("task")).collect();
    left.extend(roles.iter().map(|row| row.get::<_, String>(0)));
    left
}

#[tokio::test]
async fn everything_in_a_database_comes_back_from_its_dump_and_a_damaged_one_changes_nothing() {
    with_cellar(&[], async |cellar| {
        let shop = cellar.app("tienda").await;
        let addon = cellar.database(&shop).await;
        let url = cellar.url(&shop).await;
        cellar.session(&url).await.unwrap().batch_execute(EVERYTHING).await.unwrap();
        let mut sessions = Vec::new();
        for _ in 0..20 {
            sessions.push(cellar.session(&url).await.unwrap());
        }
        let mut dump = Vec::new();
        let bytes =
            cellar.owners.addons.dump((&addon.role, &addon.database), &mut dump).await.expect("dumped beside 20 sessions of its own");
        assert_eq!((bytes as usize, &dump[..5]), (dump.len(), &b"PGDMP"[..]));
        drop(sessions);
        cellar.owners.addons.put_out(&addon).await.unwrap();

        let folder = cellar.data.path().join(siesta::addons::RESTORE_FOLDER);
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join(format!("{}.dump", addon.database));
        for damaged in [&dump[..dump.len() / 2], b"no dump at all", &dump[..3]] {
            std::fs::write(&path, damaged).unwrap();
            cellar.owners.addons.bring_back().await.unwrap();
            assert!(path.exists(), "it waits on");
            let error = cellar.addon(&addon).await.error.expect("a reason");
            assert!(error.starts_with("The dump could not be restored"), "{error}");
            let inside = cellar.session(&url).await.unwrap();
            let tables: i64 = inside.query_one("select count(*) from pg_stat_user_tables", &[]).await.unwrap().get(0);
            assert_eq!(tables, 0, "all of a dump or nothing");
        }
        std::fs::write(&path, &dump).unwrap();
        cellar.owners.addons.bring_back().await.unwrap();
        assert_eq!(cellar.addon(&addon).await.state, AddonState::Provisioned);
        assert!(!path.exists(), "{:?}", cellar.addon(&addon).await.error);
        assert_eq!(told(&cellar.session(&url).await.unwrap()).await, TOLD);
        assert_eq!(left(cellar).await, Vec::<String>::new());
        // A server that was killed before the file was gone.
        std::fs::write(&path, &dump).unwrap();
        cellar.owners.addons.work().await;
        assert!(!path.exists(), "{:?}", cellar.addon(&addon).await.error);
        assert_eq!(told(&cellar.session(&url).await.unwrap()).await, TOLD);
    })
    .await;
}
