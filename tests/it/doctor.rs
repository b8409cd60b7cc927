//! `siesta doctor`: every check finds what is wrong, names it and says what to do; a sound server is well.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use siesta::{
    addons::Wanted,
    clock::ManualClock,
    doctor::{Doctor, Finding, Running, Verdict, is_sick, told},
    domain::{AppId, DynoId, Plan, ReleaseId, Timestamp, app::App, user::Actor},
    engine::{
        Engine as _, EngineError,
        fake::{Call, FakeEngine},
        spec::{DynoInput, dyno_spec},
    },
};

use crate::support::house::{self, House};

/// A port nothing listens at, and a GitHub that does not answer at once.
const QUIET: [&str; 8] =
    ["--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0", "--github-api-url", "http://127.0.0.1:9", "--disk-floor-mb", "0"];

/// A server with a deployed app whose files are there.
async fn well() -> (House, App) {
    let house = House::start(&QUIET).await;
    let owners = &house.owners;
    let user = owners.accounts.system_user().await.unwrap();
    let by = Actor { id: user.id, email: user.email };
    let app = owners.apps.create(Some("tienda".parse().unwrap()), &by).await.unwrap();
    let slug = house.slug(app.id);
    let files = owners.config.options.data_dir.join("files");
    fs::create_dir_all(&files).unwrap();
    fs::write(files.join(&slug.code_file), b"the code").unwrap();
    owners.releases.deploy(app.id, slug, "1a2b", &by).await.unwrap();
    (house, app)
}

/// What a doctor says who comes while the server is down.
async fn examined(house: &House) -> Vec<Finding> {
    let owners = &house.owners;
    Doctor::of_folder(owners.config.clone(), owners.clock.clone(), owners.engine.clone()).await.examine().await
}

/// The one bad finding, which says both.
fn bad(found: &[Finding], what: &str, says: &str) {
    let hit = found.iter().find(|finding| finding.what == what && finding.says.contains(says));
    let hit = hit.unwrap_or_else(|| panic!("nothing bad of {what} with `{says}`:\n{}", told(found)));
    assert!(hit.verdict == Verdict::Bad && !hit.remedy.is_empty(), "{hit:?}");
    assert!(is_sick(found));
}

#[tokio::test]
async fn a_sound_server_is_well_and_each_finding_is_told() {
    let (house, _) = well().await;
    let found = examined(&house).await;
    assert!(!is_sick(&found), "{}", told(&found));
    for what in ["docker", "images", "disk", "memory", "ports", "state", "slugs", "containers", "keys"] {
        assert!(found.iter().any(|finding| finding.what == what && finding.verdict == Verdict::Fine), "{what}:\n{}", told(&found));
    }
    let note = |what: &str| found.iter().any(|finding| finding.what == what && finding.verdict == Verdict::Note);
    assert!(note("swap") && note("github") && note("server"), "{}", told(&found));
    house.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_state_keys_and_slugs_is_named() {
    let (house, app) = well().await;
    let data = house.owners.config.options.data_dir.clone();
    let slug = data.join("files").join("c0de".repeat(16));
    fs::rename(&slug, data.join("elsewhere")).unwrap();
    bad(&examined(&house).await, "slugs", "tienda cannot wake");
    fs::rename(data.join("elsewhere"), &slug).unwrap();

    let key = data.join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    bad(&examined(&house).await, "keys", "can be read by others");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let own = fs::read_to_string(&key).unwrap();
    fs::write(&key, own.replacen("1 ", "2 ", 1)).unwrap();
    bad(&examined(&house).await, "keys", "sealed with key 1, which the key file lacks");
    fs::remove_file(&key).unwrap();
    bad(&examined(&house).await, "keys", "is gone");
    fs::write(&key, own).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    let slow = Arc::new(ManualClock::at(Timestamp::from_secs(1_420_000_000)));
    bad(&Doctor { clock: slow, ..house.owners.doctor() }.examine().await, "clock", "The newest entry of the state");

    fs::create_dir(data.join("restore")).unwrap();
    fs::write(data.join("restore/d1.dump"), b"").unwrap();
    fs::write(data.join("restore/k1.store"), b"").unwrap();
    bad(&examined(&house).await, "restore", "2 databases and stores of a backup are still to be read in");
    fs::remove_dir_all(data.join("restore")).unwrap();

    let stray = AppId::new();
    let spec = dyno_spec(&DynoInput {
        instance: house::INSTANCE,
        app: stray,
        app_number: 77,
        dyno_id: DynoId::new(),
        dyno: &"web.1".parse().unwrap(),
        release: ReleaseId::new(),
        image: siesta::engine::ImageRef("siesta/run:1".to_owned()),
        command: "x",
        env: Vec::new(),
        plan: &Plan::free(),
        host_has_swap: false,
        network: "none".to_owned(),
    });
    let id = house.engine.create(spec).await.unwrap();
    bad(&examined(&house).await, "containers", "1 containers belong to no app");
    house.engine.remove(id).await.unwrap();
    assert!(!is_sick(&examined(&house).await), "{}", app.name);
    house.stop().await;
}

#[tokio::test]
async fn a_damaged_state_is_named_and_not_touched() {
    let (house, _) = well().await;
    let path = house.owners.config.options.data_dir.join("siesta.db");
    let folder = tempfile::tempdir().unwrap();
    house.owners.reader.copy_to(&folder.path().join("siesta.db")).await.unwrap();
    let mut bytes = fs::read(folder.path().join("siesta.db")).unwrap();
    let end = bytes.len();
    bytes[4096..end].fill(0xff);
    fs::write(folder.path().join("siesta.db"), &bytes).unwrap();
    let config = house::config(folder.path(), &QUIET);
    let doctor = Doctor::of_folder(Arc::new(config), house.owners.clock.clone(), house.owners.engine.clone()).await;
    bad(&doctor.examine().await, "state", "not as it should be");
    assert_eq!(fs::read(folder.path().join("siesta.db")).unwrap(), bytes);
    assert!(path.exists());
    house.stop().await;
}

/// A doctor for a server that was never started, with these flags.
async fn before(engine: &FakeEngine, flags: &[&str]) -> Vec<Finding> {
    let folder = tempfile::tempdir().unwrap();
    let config = house::config(folder.path(), &[&QUIET[..], flags].concat());
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_430_000_000)));
    Doctor::of_folder(Arc::new(config), clock, Arc::new(engine.clone())).await.examine().await
}

#[tokio::test]
async fn what_is_wrong_with_the_machine_is_named() {
    let engine = FakeEngine::new(house::INSTANCE);
    bad(&before(&engine, &[]).await, "images", "siesta/run:1 is not here");
    bad(&before(&engine, &["--stack-run", ""]).await, "images", "No run image of the stack is named");
    engine.add_image("siesta/run:1");
    engine.add_image("siesta/build:1");
    assert!(!is_sick(&before(&engine, &[]).await), "{}", told(&before(&engine, &[]).await));

    engine.fail_next(Call::Info, EngineError::Unreachable("no such file".to_owned()));
    bad(&before(&engine, &[]).await, "docker", "does not answer");
    bad(&before(&engine, &["--disk-floor-mb", "4294967295"]).await, "disk", "nearly full");
    bad(&before(&engine, &["--app-memory-mb", "1"]).await, "memory", "no memory for another dyno");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    bad(&before(&engine, &["--listen", &address]).await, "ports", "cannot be listened on");
    drop(taken);

    let folder = tempfile::tempdir().unwrap();
    let (missing, empty) = (folder.path().join("missing.pem"), folder.path().join("empty.pem"));
    fs::write(&empty, "nothing").unwrap();
    bad(&before(&engine, &["--build-ca", missing.to_str().unwrap()]).await, "ca", "cannot be read");
    bad(&before(&engine, &["--build-ca", empty.to_str().unwrap()]).await, "ca", "holds no certificate");
    bad(&before(&engine, &["--egress-ca", empty.to_str().unwrap()]).await, "egress", "empty.pem");
    bad(&before(&engine, &["--egress-allow", "not a host!"]).await, "egress", "not a host!");
}

#[tokio::test]
async fn a_running_server_is_asked_what_it_alone_knows() {
    let (house, _) = well().await;
    let drains = vec![("tienda".to_owned(), "Connection refused".to_owned())];
    let doctor = Doctor { running: Some(Running { drains }), ..house.owners.doctor() };
    let found = doctor.examine().await;
    bad(&found, "drains", "A log drain of tienda does not deliver: Connection refused");
    bad(&found, "ports", "is not answered");
    house.stop().await;
}

#[tokio::test]
async fn a_database_without_a_proved_dump_is_named_after_two_days() {
    let house = House::start(&[&QUIET[..], &["--stack-postgres", "siesta/postgres:1"]].concat()).await;
    house.engine.add_image("siesta/postgres:1");
    let owners = &house.owners;
    let user = owners.accounts.system_user().await.unwrap();
    let by = Actor { id: user.id, email: user.email };
    let app = owners.apps.create(Some("tienda".parse().unwrap()), &by).await.unwrap();
    let wanted = Wanted { plan: "heroku-postgresql:mini".to_owned(), ..Wanted::default() };
    let addon = owners.addons.create(app.id, wanted, &by).await.unwrap();
    assert!(!is_sick(&examined(&house).await), "it is new");
    house.clock.advance(Duration::from_secs(3 * 24 * 3600));
    bad(&examined(&house).await, "backups", &format!("{} of tienda: no dump was proved", addon.name));
    house.stop().await;
}
