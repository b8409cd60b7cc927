//! The server is killed at every fail point in turn: no release is lost or doubled, no container is
//! orphaned, a running dyno is not touched, and the next deploy works.

use std::time::Duration;

use serde_json::json;
use siesta::{
    engine::{Container, Engine, spec},
    fail_point,
};

use super::cellar::{Url, session};
use crate::support::served::{ADMIN, PASSWORD, Served};

#[tokio::test]
async fn killed_at_any_point_of_a_deploy_nothing_is_lost_doubled_or_orphaned() {
    let mut served = Served::start(&[]);
    let token = served.claim();
    served.deploy("sobrevive", "tienda-videojuegos").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
    for place in fail_point::PLACES {
        let before = versions(&served, &token).await;
        served.kill();
        served.set("SIESTA_FAIL_POINT", Some(place));
        served.run();
        // Only a build with something to run besides installing has a container every time.
        let example = if *place == "build.container_started" { "django-notas" } else { "tienda-videojuegos" };
        let cut = served.deploy("sobrevive", example);
        assert!(cut.is_err(), "{place}: the deploy was cut off: {cut:?}");
        served.wait_for_end().await;
        assert!(
            served.server_log().contains(&format!("fail point {place} reached")),
            "{place} was never reached:\n{}",
            served.server_log()
        );
        served.set("SIESTA_FAIL_POINT", None);
        served.run();
        settled(&served, &token, place).await;
        let after = versions(&served, &token).await;
        let expected: Vec<i64> = (1..=after.len() as i64).collect();
        assert_eq!(after, expected, "{place}: release numbers have no gap and no double");
        assert!(after.len() <= before.len() + 1, "{place}: {before:?} became {after:?}");
        let answer = served.app("sobrevive", "/").send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{place}\n{}", served.server_log());
        let engine = served.engine(&served.instance());
        let left = engine.list().await.expect("a list");
        assert!(
            left.iter().all(|container| !container.labels.contains_key(spec::LABEL_BUILD)),
            "{place}: a build container is left: {left:?}"
        );
        assert!(left.len() <= 1, "{place}: one web dyno and no other container: {left:?}");
    }
    served.deploy("sobrevive", "tienda-videojuegos").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
}

#[tokio::test]
async fn killed_in_the_middle_of_a_wake_the_next_request_is_served_by_one_dyno() {
    let mut served = Served::start(&[("SIESTA_IDLE_AFTER", "2")]);
    let token = served.claim();
    served.deploy("sobrevive", "tienda-videojuegos").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
    for place in ["dyno.created", "dyno.started"] {
        let asleep = async || served.get("/apps/sobrevive/dynos", &token).await[0]["state"].as_str().map(str::to_owned);
        served.until(Duration::from_secs(60), asleep, |state| state.as_deref() == Some("idle")).await;
        served.kill();
        served.set("SIESTA_FAIL_POINT", Some(place));
        served.run();
        assert!(served.app("sobrevive", "/").send().await.is_err(), "{place}: the server was gone before the answer");
        served.wait_for_end().await;
        served.set("SIESTA_FAIL_POINT", None);
        served.run();
        let answer = served.app("sobrevive", "/").send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{place}\n{}", served.server_log());
        let left = served.engine(&served.instance()).list().await.expect("a list");
        assert_eq!(left.len(), 1, "{place}: one dyno, and no orphan: {left:?}");
    }
}

#[tokio::test]
async fn killed_with_standbys_none_is_left_and_one_half_woken_serves_nobody() {
    let mut served = Served::start(&[("SIESTA_IDLE_AFTER", "2"), ("SIESTA_FAIL_POINT", fail_point::STANDBY_PLACE)]);
    let token = served.claim();
    served.deploy("sobrevive", "tienda-videojuegos").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
    let instance = served.instance();
    let all = async || served.engine(&instance).list().await.expect("a list");
    let standby = |all: &Vec<Container>| all.len() == 1 && all[0].running && spec::is_standby(&all[0].name);
    let held = served.until(Duration::from_secs(60), all, standby).await.remove(0);
    assert!(served.app("sobrevive", "/").send().await.is_err(), "the server was gone before the answer");
    served.wait_for_end().await;
    served.set("SIESTA_FAIL_POINT", None);
    served.run();
    let answer = served.app("sobrevive", "/").send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{}", served.server_log());
    let left = served.engine(&instance).list().await.expect("a list");
    assert!(left.len() == 1 && left[0].id != held.id, "one dyno, and nothing of the one half woken: {left:?}");
    let woken = async || served.engine(&instance).list().await.expect("a list");
    let held = served.until(Duration::from_secs(60), woken, standby).await.remove(0);
    assert_eq!(served.app("sobrevive", "/").send().await.expect("an answer").status(), 200);
    let up = served.engine(&instance).list().await.expect("a list");
    assert!(up.len() == 1 && up[0].id == held.id && !spec::is_standby(&up[0].name), "the standby is the dyno now: {up:?}");
    served.kill();
    served.run();
    let adopted = async || served.get("/apps/sobrevive/dynos", &token).await[0]["state"].as_str().map(str::to_owned);
    served.until(Duration::from_secs(60), adopted, |state| state.as_deref() == Some("up")).await;
    let kept = served.engine(&instance).list().await.expect("a list");
    assert_eq!(kept, up, "a dyno that runs is not touched");
    let slept = async || served.engine(&instance).list().await.expect("a list");
    let held = served.until(Duration::from_secs(60), slept, standby).await.remove(0);
    served.kill();
    let gone = async || served.engine(&instance).inspect(held.id.clone()).await.expect("an answer").is_some_and(|one| one.running);
    served.until(Duration::from_secs(30), gone, |runs| !runs).await;
}

#[tokio::test]
async fn killed_while_a_database_is_made_rotated_or_destroyed_everything_ends_as_it_was_asked_for() {
    let patience = Duration::from_secs(120);
    let mut served = Served::start(&[]);
    let token = served.claim();
    served.api("POST", "/apps", &token).json(&json!({ "name": "sobrevive" })).send().await.expect("an answer");
    let mut made = 0;
    for place in fail_point::ADDON_PLACES {
        served.kill();
        served.set("SIESTA_FAIL_POINT", Some(place));
        served.run();
        let addons = served.get("/apps/sobrevive/addons", &token).await;
        let name = addons[0]["name"].as_str().unwrap_or_default().to_owned();
        // Cut off: with or without an answer.
        let _ = match *place {
            "addon.rotated" => served.api("POST", &format!("/client/v11/databases/{name}/credentials_rotation"), &token).send().await,
            "addon.detached" => served.api("DELETE", &format!("/apps/sobrevive/addons/{name}"), &token).send().await,
            _ => {
                made += 1;
                let wanted = json!({ "plan": "heroku-postgresql:mini" });
                served.api("POST", "/apps/sobrevive/addons", &token).json(&wanted).send().await
            }
        };
        served.wait_for_end().await;
        assert!(served.server_log().contains(&format!("fail point {place} reached")), "{place}\n{}", served.server_log());
        served.set("SIESTA_FAIL_POINT", None);
        served.run();
        let expected = if *place == "addon.detached" { made - 1 } else { made };
        let settled = async || {
            let addons = served.get("/apps/sobrevive/addons", &token).await;
            let states = addons.as_array().into_iter().flatten().map(|addon| addon["state"].as_str().unwrap_or_default().to_owned());
            let vars = served.get("/apps/sobrevive/config-vars", &token).await;
            let urls: Vec<Url> = vars.as_object().into_iter().flatten().filter_map(|(_, url)| url.as_str().map(Url::parse)).collect();
            let mut open = 0;
            for url in &urls {
                open += usize::from(session(served.data.path(), url).await.is_ok());
            }
            (states.collect::<Vec<_>>(), urls.len(), open)
        };
        let is = |(states, urls, open): &(Vec<String>, usize, usize)| {
            states.len() == expected && states.iter().all(|state| state == "provisioned") && (*urls, *open) == (expected, expected)
        };
        served.until(patience, settled, is).await;
    }
    // Every role and database there is belongs to an add-on, or lies in the bin.
    let vars = served.get("/apps/sobrevive/config-vars", &token).await;
    let url = vars.as_object().and_then(|vars| vars.values().next()?.as_str()).map(Url::parse).expect("a database is left");
    let inside = session(served.data.path(), &url).await.expect("a session");
    for (sql, expected) in [
        ("select count(*) from pg_database where datname ~ '^d[0-9a-f]{15}$'", made),
        ("select count(*) from pg_roles where rolname ~ '^u[0-9a-f]{15}$'", made),
    ] {
        let count: i64 = inside.query_one(sql, &[]).await.expect(sql).get(0);
        assert_eq!(count, expected as i64, "{sql}");
    }
}

#[tokio::test]
async fn killed_in_the_middle_of_a_backup_or_restore_no_row_is_lost_and_nothing_is_left_in_the_server() {
    let soak = std::env::var_os("SIESTA_TEST_SOAK").is_some();
    let patience = Duration::from_secs(120);
    let mut served = Served::start(&[]);
    let token = served.claim();
    served.api("POST", "/apps", &token).json(&json!({ "name": "sobrevive" })).send().await.expect("an answer");
    let wanted = json!({ "plan": "heroku-postgresql:mini" });
    served.api("POST", "/apps/sobrevive/addons", &token).json(&wanted).send().await.expect("an answer");
    let ready = async || served.get("/apps/sobrevive/addons", &token).await[0].clone();
    let name = served.until(patience, ready, |addon| addon["state"] == "provisioned").await["name"].as_str().expect("a name").to_owned();
    let vars = served.get("/apps/sobrevive/config-vars", &token).await;
    let url = Url::parse(vars["DATABASE_URL"].as_str().expect("an address"));
    let inside = session(served.data.path(), &url).await.expect("a session");
    inside.batch_execute("create table t (id int); insert into t select generate_series(1, 300)").await.expect("rows");
    let transfers = async |served: &Served| {
        let all = served.get("/client/v11/apps/sobrevive/transfers", &token).await;
        all.as_array().cloned().unwrap_or_default()
    };
    let first = served.api("POST", &format!("/client/v11/databases/{name}/backups"), &token).send().await.expect("an answer");
    assert_eq!(first.status(), 201);
    let done = async || transfers(&served).await.iter().filter(|one| one["succeeded"] == true).count();
    served.until(patience, done, |count| *count == 1).await;

    let mut expected = 1;
    for place in fail_point::BACKUP_PLACES.iter().chain(fail_point::RESTORE_PLACES) {
        if !soak && !["backup.begun", "backup.scratch", "restore.swapped"].contains(place) {
            continue;
        }
        let source = transfers(&served).await.into_iter().find(|one| one["from_type"] == "pg_dump").expect("a dump");
        served.kill();
        served.set("SIESTA_FAIL_POINT", Some(place));
        served.run();
        let is_restore = place.starts_with("restore");
        let path = format!("/client/v11/databases/{name}/{}", if is_restore { "restores" } else { "backups" });
        // Cut off: with or without an answer.
        let _ = served.api("POST", &path, &token).json(&json!({ "backup_url": source["to_url"] })).send().await;
        served.wait_for_end().await;
        assert!(served.server_log().contains(&format!("fail point {place} reached")), "{place}\n{}", served.server_log());
        if *place == "restore.swapped" {
            let inside = session(served.data.path(), &url).await.expect("the database is in its place");
            inside.batch_execute("insert into t values (301)").await.expect("a row after the restore");
        }
        served.set("SIESTA_FAIL_POINT", None);
        served.run();
        expected += 1;
        let settled = async || transfers(&served).await.iter().map(|one| one["succeeded"] == true).collect::<Vec<_>>();
        // Of dumps by hand two are kept: what counts is that none waits and none failed.
        served.until(patience, settled, |all| all.iter().all(|good| *good)).await;
        let newest = transfers(&served).await[0].clone();
        assert_eq!(newest["num"], expected, "{place}: {newest}");
        let inside = session(served.data.path(), &url).await.expect("a session");
        let count = async |sql: &str| inside.query_one(sql, &[]).await.expect("a count").get::<_, i64>(0);
        let rows = if *place == "restore.swapped" { 301 } else { 300 };
        assert_eq!(count("select count(*) from t").await, rows, "{place}");
        assert_eq!(count(super::backups::ORPHANS).await, 0, "{place}");
    }
}

/// The numbers of its releases, in order.
pub(super) async fn versions(served: &Served, token: &str) -> Vec<i64> {
    let releases = served.get("/apps/sobrevive/releases", token).await;
    let mut versions: Vec<i64> = releases.as_array().into_iter().flatten().filter_map(|release| release["version"].as_i64()).collect();
    versions.sort_unstable();
    versions
}

/// No build and no release is pending, and the one container left runs the current release: until
/// then an old and a new dyno may stand side by side.
async fn settled(served: &Served, token: &str, place: &str) {
    let patience = Duration::from_secs(90);
    let pending = async || {
        let mut pending = 0;
        let mut current = String::new();
        for list in ["builds", "releases"] {
            let rows = served.get(&format!("/apps/sobrevive/{list}"), token).await;
            pending += rows.as_array().into_iter().flatten().filter(|row| row["status"] == "pending").count();
            let now = rows.as_array().into_iter().flatten().find(|row| row["current"] == true);
            current = now.and_then(|row| row["id"].as_str()).unwrap_or_default().to_owned();
        }
        let containers = served.engine(&served.instance()).list().await.unwrap_or_default();
        let released: Vec<_> = containers.iter().filter_map(|container| container.labels.get(spec::LABEL_RELEASE).cloned()).collect();
        (place.to_owned(), pending, released == [current], containers.len())
    };
    served.until(patience, pending, |(_, pending, released, containers)| *pending == 0 && *released && *containers == 1).await;
}

/// A browser's session, and forms sent with it.
struct Browser {
    cookie: String,
}

impl Browser {
    async fn log_in(served: &Served) -> Browser {
        let nobody = Browser { cookie: String::new() };
        let answer = nobody.post(served, "/login", &[("email", ADMIN), ("password", PASSWORD)]).await.expect("an answer");
        let cookie = answer.headers().get("set-cookie").expect("a session").to_str().expect("text");
        Browser { cookie: cookie.split(';').next().expect("a cookie").to_owned() }
    }

    async fn post(&self, served: &Served, path: &str, fields: &[(&str, &str)]) -> reqwest::Result<reqwest::Response> {
        let body = fields.iter().map(|(name, value)| format!("{name}={}", value.replace('@', "%40").replace(' ', "+")));
        let request = served.client.post(format!("http://localhost:{}{path}", served.port)).header("sec-fetch-site", "same-origin");
        let request = request.header("cookie", &self.cookie).header("content-type", "application/x-www-form-urlencoded");
        request.body(body.collect::<Vec<_>>().join("&")).send().await
    }

    async fn bin(&self, served: &Served) -> String {
        let request = served.client.get(format!("http://localhost:{}/bin", served.port)).header("accept-language", "en");
        let answer = request.header("accept", "text/html").header("cookie", &self.cookie).send().await.expect("an answer");
        answer.text().await.expect("a page")
    }
}

#[tokio::test]
async fn killed_on_its_way_into_the_bin_or_out_of_it_an_app_is_whole_in_one_place() {
    let mut served = Served::start(&[]);
    let token = served.claim();
    served.deploy("sobrevive", "tienda-videojuegos").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
    let ana = Browser::log_in(&served).await;
    let id = served.get("/apps/sobrevive", &token).await["id"].as_str().expect("an id").to_owned();
    let (restore, purge) = (format!("/bin/{id}/restore"), format!("/bin/{id}/purge"));
    let destroy = async |served: &Served| served.api("DELETE", "/apps/sobrevive", &token).send().await;
    let there = async |served: &Served| served.get("/apps/sobrevive", &token).await["id"] == id.as_str();
    for place in fail_point::BIN_PLACES {
        let in_bin = ["app.restored", "app.purging"].contains(place);
        if in_bin {
            destroy(&served).await.expect("an answer");
        }
        served.kill();
        served.set("SIESTA_FAIL_POINT", Some(place));
        served.run();
        // Cut off: with or without an answer.
        let _ = match *place {
            "app.restored" => ana.post(&served, &restore, &[("name", "sobrevive")]).await,
            "app.purging" => ana.post(&served, &purge, &[("confirm", "sobrevive")]).await,
            _ => destroy(&served).await,
        };
        served.wait_for_end().await;
        served.set("SIESTA_FAIL_POINT", None);
        served.run();
        if *place == "app.restored" {
            assert!(there(&served).await, "{place}\n{}", served.server_log());
        } else {
            let put_away = async || ana.bin(&served).await;
            served.until(Duration::from_secs(120), put_away, |bin| bin.contains("sobrevive") && !bin.contains("Being put away")).await;
            assert!(!there(&served).await, "{place}");
            assert_eq!(served.engine(&served.instance()).list().await.expect("a list"), [], "{place}: nothing of it runs");
        }
        if *place != "app.purging" {
            let back = ana.post(&served, &restore, &[("name", "sobrevive")]).await.expect("an answer");
            assert_eq!(back.status(), if *place == "app.restored" { 404 } else { 303 }, "{place}");
            let answer = served.app("sobrevive", "/").send().await.expect("an answer");
            assert_eq!(answer.status(), 200, "{place}\n{}", served.server_log());
        }
    }
    let gone = ana.post(&served, &purge, &[("confirm", "sobrevive")]).await.expect("an answer");
    assert_eq!(gone.status(), 303);
    assert!(ana.bin(&served).await.contains("The bin is empty"));
    assert_eq!(served.engine(&served.instance()).list_images().await.expect("a list"), [], "its images are gone");
    let files = std::fs::read_dir(served.data.path().join("files")).expect("a folder").count();
    assert_eq!(files, 0, "its files are gone");
}
