//! Backups of a server without databases: made while it runs, refused when anything is wrong with
//! them, and back again in an empty folder (`docker::restore` has the rest).

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use secrecy::SecretString;
use siesta::{
    backup::{BackupError, Piece, Restored, Wanted, restore},
    domain::{app::App, user::Actor},
    secrets::KeyRing,
    store,
};

use crate::support::house::House;

const PASSPHRASE: &str = "una frase bastante larga";

/// A server with an app, a config var and a stored file.
async fn lived_in() -> (House, App) {
    let house = House::start(&[]).await;
    let owners = &house.owners;
    let user = owners.accounts.system_user().await.unwrap();
    let by = Actor { id: user.id, email: user.email };
    let app = owners.apps.create(Some("tienda".parse().unwrap()), &by).await.unwrap();
    let vars = BTreeMap::from([("SALUDO".parse().unwrap(), Some("hola".into()))]);
    owners.releases.set_config(app.id, vars, &by).await.unwrap();
    let slug = house.slug(app.id);
    fs::create_dir_all(owners.config.options.data_dir.join("files")).unwrap();
    fs::write(owners.config.options.data_dir.join("files").join(&slug.code_file), b"the code").unwrap();
    fs::write(owners.config.options.data_dir.join("files").join("0".repeat(64)), b"of no slug").unwrap();
    owners.releases.deploy(app.id, slug, "1a2b", &by).await.unwrap();
    (house, app)
}

async fn made(house: &House, passphrase: Option<&str>) -> Result<Vec<u8>, BackupError> {
    let mut pieces = house.owners.backup.begin(Wanted { logs: true, passphrase: passphrase.map(SecretString::from) })?;
    let mut bytes = Vec::new();
    loop {
        match pieces.recv().await.expect("an end") {
            Piece::Bytes(more) => bytes.extend_from_slice(&more),
            Piece::Progress(_) => {}
            Piece::End(end) => return end.map(|()| bytes),
        }
    }
}

fn as_file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

async fn brought_back(bytes: &[u8], data: &Path, passphrase: &str) -> Result<Restored, BackupError> {
    restore(&as_file(bytes), data, None, || Ok(passphrase.into())).await
}

/// What lies in a folder, the lock left out.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "lock").collect()
}

#[tokio::test]
async fn everything_is_back_in_an_empty_folder_under_a_new_instance() {
    let (house, app) = lived_in().await;
    let root = house.owners.config.options.data_dir.clone();
    let bytes = made(&house, Some(PASSPHRASE)).await.unwrap();
    assert!(names(&root).iter().all(|name| !name.starts_with("backup-")), "nothing is left of its making");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new");
    let restored = brought_back(&bytes, &data, PASSPHRASE).await.unwrap();
    assert_eq!((restored.manifest.apps, restored.manifest.databases), (1, 0));
    let (reader, writer) = store::open(&data.join("siesta.db")).await.unwrap();
    assert_ne!(writer.instance_id().await.unwrap(), fs::read_to_string(root.join("instance")).unwrap(), "the old one may live on");
    let releases = reader.releases(app.id).await.unwrap();
    let told: Vec<_> = releases.iter().map(|release| (release.version, release.description.as_str())).collect();
    assert_eq!((told.len(), told[0].1), (4, "Deploy 1a2b"), "{told:?}");
    assert_eq!(reader.app(app.id).await.unwrap().map(|back| (back.name, back.number)), Some((app.name, app.number)));
    assert_eq!(fs::read(data.join("key")).unwrap(), fs::read(root.join("key")).unwrap());
    KeyRing::open_or_create(&data.join("key")).expect("readable by its owner only");
    assert_eq!(names(&data.join("files")), ["c0de".repeat(16)], "files of slugs, and no other");
    assert!(data.join("logs.db").exists());
    house.stop().await;
}

#[tokio::test]
async fn a_backup_that_is_cut_changed_foreign_or_without_its_keys_writes_nothing() {
    let (house, _) = lived_in().await;
    let (sealed, bare) = (made(&house, Some(PASSPHRASE)).await.unwrap(), made(&house, None).await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new");
    let mut changed = sealed.clone();
    changed[sealed.len() / 3] ^= 1;
    let cases: [(&[u8], &str, &str); 7] = [
        (&sealed[..sealed.len() / 2], PASSPHRASE, "The backup is cut off."),
        (&sealed[..sealed.len() - 1], PASSPHRASE, "The backup is cut off."),
        (&changed, PASSPHRASE, "The backup is damaged"),
        (b"SQLite format 3\0 and so on", PASSPHRASE, "This is no backup of a Siesta."),
        (&sealed, "another long passphrase", "The passphrase is not that of this backup."),
        (&sealed, "", "The keys are in this backup, sealed"),
        (&bare, PASSPHRASE, "This backup holds no keys"),
    ];
    for (bytes, passphrase, expected) in cases {
        let error = brought_back(bytes, &data, passphrase).await.expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(names(&data), Vec::<String>::new(), "{expected}");
    }
    let strange = folder.path().join("strange-key");
    KeyRing::open_or_create(&strange).unwrap();
    let error = restore(&as_file(&bare), &data, Some(&strange), || unreachable!()).await.expect_err("another key");
    assert!(matches!(error, BackupError::OtherKey), "{error}");
    assert_eq!(names(&data), Vec::<String>::new());
    let own = house.owners.config.options.data_dir.join("key");
    restore(&as_file(&bare), &data, Some(&own), || unreachable!()).await.expect("with its own key file");
    house.stop().await;
}

#[tokio::test]
async fn a_folder_that_is_used_is_not_touched() {
    let (house, _) = lived_in().await;
    let bytes = made(&house, Some(PASSPHRASE)).await.unwrap();
    let root = house.owners.config.options.data_dir.clone();
    let before = fs::read(root.join("key")).unwrap();
    let error = brought_back(&bytes, &root, PASSPHRASE).await.expect_err("in use");
    assert!(matches!(error, BackupError::NotEmpty(_)), "{error}");
    assert_eq!(fs::read(root.join("key")).unwrap(), before);
    assert!(matches!(made(&house, Some("short")).await, Err(BackupError::ShortPassphrase)));
    let first = house.owners.backup.begin(Wanted::default()).unwrap();
    assert!(matches!(house.owners.backup.begin(Wanted::default()), Err(BackupError::Busy)), "one at a time");
    drop(first);
    house.stop().await;
}
