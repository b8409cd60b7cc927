//! The pages of the host: for administrators alone, and what their forms do.

use std::time::Duration;

use http::StatusCode;
use siesta::{
    domain::{
        AddonId, BackupId,
        addon::AddonState,
        backup::{BackupKind, BackupState},
    },
    store::{self, addons::NewAddon, backups::NewBackup},
};

use super::server::{PASSWORD, Server};

const PAGES: [&str; 6] = ["/host", "/host/accounts", "/host/plans", "/host/plans/free", "/host/audit", "/admin/github"];

#[tokio::test]
async fn only_administrators_have_a_host_page() {
    let (server, ana) = Server::claimed().await;
    let eve = server.person("eve@example.org").await;
    for path in PAGES {
        assert_eq!(server.get(&ana, path).await.status, StatusCode::OK, "{path}");
        assert_eq!(server.get(&eve, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in [
        "/host/clean",
        "/host/plans",
        "/host/plans/assign",
        "/host/plans/free",
        "/host/plans/free/delete",
        "/host/accounts/ana%40example.org/plan",
        "/host/accounts/ana%40example.org/suspend",
        "/host/accounts/ana%40example.org/reset",
    ] {
        assert_eq!(server.post(&eve, path, &[("plan", "free"), ("on", "true")]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(
        server.get(&ana, "/apps").await.text.contains("href=\"/host\"") && !server.get(&eve, "/apps").await.text.contains("href=\"/host\"")
    );
    server.stop().await;
}

#[tokio::test]
async fn the_host_page_tells_capacity_engine_apps_and_limits_in_both_languages() {
    let (server, mut ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    for (language, words) in [
        ("en", ["Room for more", "Memory promised", "Build queue", "No build waits or runs.", "SIESTA_DISK_FLOOR_MB", "tienda"]),
        (
            "es",
            [
                "Sitio para más",
                "Memoria prometida",
                "Cola de construcciones",
                "Ninguna construcción espera",
                "SIESTA_DISK_FLOOR_MB",
                "tienda",
            ],
        ),
    ] {
        ana.language = language;
        let page = server.get(&ana, "/host").await.text;
        for word in words {
            assert!(page.contains(word), "{word}: {page}");
        }
        assert!(page.contains("512 MB"), "one dyno is promised its memory: {page}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_a_red_banner() {
    let (server, ana) = Server::claimed().await;
    server.house.engine.set_unreachable(true);
    let page = server.get(&ana, "/host").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("The container engine does not answer"), "{}", page.text);
    server.house.engine.set_unreachable(false);
    server.stop().await;
}

#[tokio::test]
async fn cleaning_up_removes_what_nobody_needs_and_disturbs_nobody() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    let orphan = server.house.owners.config.options.data_dir.join("files").join("0".repeat(64));
    std::fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    std::fs::write(&orphan, vec![7; 2_000_000]).unwrap();
    std::fs::File::open(&orphan).unwrap().set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_400_000_000)).unwrap();
    let page = server.get(&ana, "/host").await.text;
    assert!(page.contains("Files that no release names: 2.0 MB"), "{page}");
    let cleaned = server.post(&ana, "/host/clean", &[]).await;
    assert_eq!(cleaned.header("location"), "/host#disk");
    assert!(!orphan.exists());
    assert_eq!(server.house.engine.running().len(), 1, "what runs runs on");
    server.stop().await;
}

#[tokio::test]
async fn plans_are_made_changed_given_and_deleted() {
    let (server, ana) = Server::claimed().await;
    let dora = server.person("dora@example.org").await;
    let app = server.app(&dora, "tienda").await;
    assert_eq!(server.post(&ana, "/host/plans", &[("name", "No!")]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(server.post(&ana, "/host/plans", &[("name", "clase")]).await.header("location"), "/host/plans/clase");
    assert_eq!(server.post(&ana, "/host/plans", &[("name", "clase")]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let limits = |memory: &'static str, rest: &'static str| {
        [
            ("memory_mb", memory),
            ("dynos_per_type", "2"),
            ("process_types", "3"),
            ("idle_minutes", "10,5"),
            ("nap_seconds", "0"),
            ("sleep", "never"),
            ("quota", "daily"),
            ("awake_hours", "20"),
            ("window_hours", "24"),
            ("rest_hours", rest),
            ("pool_hours", "550"),
            ("rows", "500"),
            ("apps", "9"),
            ("build_minutes", "5"),
            ("build_memory_mb", "1024"),
        ]
    };
    let set = async |memory, rest| server.post(&ana, "/host/plans/clase", &limits(memory, rest)).await;
    let no_number = set("much", "4").await;
    assert_eq!(no_number.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(no_number.text.contains("value=\"much\"") && no_number.text.contains("Write a number."), "{}", no_number.text);
    assert!(set("1024", "1").await.text.contains("The rest must be at least the window minus the awake time"));
    assert_eq!(set("1024", "4").await.status, StatusCode::SEE_OTHER);
    let plan = server.house.owners.plans.named("clase").unwrap();
    assert_eq!((plan.megabytes(), plan.dynos_per_type, plan.idle_after.as_secs(), plan.nap_after), (1024, 2, 630, None));

    let give = async |plan| server.post(&ana, "/host/accounts/dora%40example.org/plan", &[("plan", plan)]).await;
    assert_eq!(give("clase").await.status, StatusCode::SEE_OTHER);
    assert_eq!(server.house.owners.plans.of(&app).name, "clase");
    let assign = async |app, plan| server.post(&ana, "/host/plans/assign", &[("app", app), ("plan", plan)]).await;
    assert_eq!(assign("tienda", "free").await.status, StatusCode::SEE_OTHER);
    assert_eq!(server.house.owners.plans.of(&app).name, "free", "an app's own counts over its account's");
    assert_eq!(assign("tienda", "").await.status, StatusCode::SEE_OTHER);
    assert!(assign("niente", "free").await.text.contains("There is no app of that name"));

    let in_use = server.post(&ana, "/host/plans/clase/delete", &[]).await;
    assert!(in_use.text.contains("Apps that have it: 0, accounts: 1"), "{}", in_use.text);
    give("free").await;
    assert_eq!(server.post(&ana, "/host/plans/clase/delete", &[]).await.header("location"), "/host/plans");
    assert_eq!(server.post(&ana, "/host/plans/free/delete", &[]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    server.stop().await;
}

#[tokio::test]
async fn accounts_are_suspended_let_in_and_given_a_way_back() {
    let (server, ana) = Server::claimed().await;
    let dora = server.person("dora@example.org").await;
    let suspend = async |who: &str, on| server.post(&ana, &format!("/host/accounts/{who}/suspend"), &[("on", on)]).await;
    assert_eq!(suspend("ana%40example.org", "true").await.status, StatusCode::FORBIDDEN, "nobody locks themselves out");
    assert_eq!(suspend("dora%40example.org", "true").await.status, StatusCode::SEE_OTHER);
    assert_eq!(server.get(&dora, "/apps").await.status, StatusCode::SEE_OTHER, "her sessions have ended");
    assert!(server.get(&ana, "/host/accounts").await.text.contains("Suspended"));
    assert_eq!(suspend("dora%40example.org", "false").await.status, StatusCode::SEE_OTHER);
    let fresh = server.post(&ana, "/host/accounts/dora%40example.org/reset", &[]).await.text;
    let link = fresh.split("http://localhost:8080").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(link.starts_with("/reset/"), "{link}");
    let set = server.post(&super::server::Visitor::stranger(), &link, &[("password", "another horse battery")]).await;
    assert_eq!(set.header("location"), "/login");
    server.stop().await;
}

#[tokio::test]
async fn the_audit_log_tells_who_changed_what_and_no_secret() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    server.post(&ana, "/apps/tienda/config", &[("key", "TOPSECRET"), ("value", "hush")]).await;
    server.post(&ana, "/apps/tienda/scale", &[("process", "web"), ("quantity", "0")]).await;
    server.post(&ana, "/apps/niente/scale", &[("process", "web"), ("quantity", "0")]).await;
    let nobody = super::server::Visitor::stranger();
    server.post(&nobody, "/login", &[("email", "ana@example.org"), ("password", "wrong password")]).await;
    server.post(&nobody, "/login", &[("email", "ana@example.org"), ("password", PASSWORD)]).await;
    let invited = server.post(&ana, "/account/invite", &[]).await.text;
    let secret = invited.split("/invite/").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let page = server.get(&ana, "/host/audit").await.text;
    for told in
        ["POST /apps/{app}/config", "POST /apps/{app}/scale", "POST /account/invite", "POST /login", "<td>tienda</td>", "ana@example.org"]
    {
        assert!(page.contains(told), "{told}: {page}");
    }
    for untold in ["hush", "niente", secret.as_str(), "wrong password"] {
        assert!(!page.contains(untold), "{untold}");
    }
    let entries = server.house.owners.audit.recent("/login", 10).await.unwrap();
    let (actors, subjects): (Vec<_>, Vec<_>) = entries.iter().map(|entry| (entry.actor.as_str(), entry.subject.as_str())).unzip();
    assert_eq!((actors, subjects), (vec!["ana@example.org", ""], vec!["", "422"]), "{entries:?}");
    let found = server.get(&ana, "/host/audit?q=SCALE").await.text;
    assert!(found.contains("/scale") && !found.contains("/config"), "{found}");
    server.stop().await;
}

#[tokio::test]
async fn the_host_page_shows_the_newest_backup_of_each_database_and_of_the_server() {
    let (server, mut ana) = Server::claimed().await;
    let by = ana.actor.clone().unwrap();
    let app = server.app(&ana, "tienda").await;
    let owners = &server.house.owners;
    let (reader, writer) = store::open(&owners.config.options.data_dir.join("siesta.db")).await.unwrap();
    for name in ["postgresql-good-1", "postgresql-new-2", "postgresql-torn-3"] {
        let (id, now) = (AddonId::new(), owners.clock.now());
        let new = NewAddon {
            id,
            app: app.id,
            name,
            service: "heroku-postgresql",
            plan: "hobby-dev",
            role: name,
            database: name,
            sealed_password: Vec::new(),
            backups: None,
            by: &by,
            now,
        };
        assert!(writer.add_addon(&new, None, 9).await.unwrap());
        writer.set_addon_state(id, AddonState::Provisioned, now).await.unwrap();
    }
    let addons = reader.addons().await.unwrap();
    let dump = async |name: &str, error: Option<&str>| {
        let addon = addons.iter().find(|addon| addon.name == name).unwrap();
        let (id, now) = (BackupId::new(), owners.clock.now());
        let new = NewBackup { id, addon, kind: BackupKind::Scheduled, source: None, address: None, by_email: "", now };
        assert!(writer.add_backup(&new, 9).await.unwrap());
        match error {
            None => writer.complete_backup(id, 3, now).await.unwrap(),
            Some(error) => writer.end_backup(id, BackupState::Failed, error, now).await.unwrap(),
        }
    };
    dump("postgresql-good-1", None).await;
    dump("postgresql-torn-3", None).await;
    server.house.clock.advance(Duration::from_secs(2 * 3600));
    dump("postgresql-torn-3", Some("The disk is full.")).await;

    let page = server.get(&ana, "/host").await.text;
    for part in
        ["a001", "Verified", "None yet", "a003", "Failed", "The disk is full. The last good one is a002, 2 h ago.", "never backed up"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let place = |name: &str| page.find(name).unwrap();
    assert!(
        place("postgresql-torn-3") < place("postgresql-new-2") && place("postgresql-new-2") < place("postgresql-good-1"),
        "the worst first"
    );

    let note = siesta::audit::Change { via: "server", action: siesta::audit::BACKUP.to_owned(), ..Default::default() };
    owners.audit.note(note).await;
    server.house.clock.advance(Duration::from_secs(3600));
    ana.language = "es";
    let page = server.get(&ana, "/host").await.text;
    assert!(page.contains("La última copia del servidor entero se hizo") && page.contains("hace 1 h"), "{page}");
    writer.close().await;
    server.stop().await;
}
