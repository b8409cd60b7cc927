//! The schema with rows in it: every migration runs over the sample rows of the ones before.

use std::{fs, path::Path};

use siesta::{
    accounts::Accounts,
    clock::SystemClock,
    domain::{Email, Timestamp, UserId},
    store::{self, StoreError, users},
};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

/// Text of the `.sql` files of a folder below the checkout, by name.
fn scripts(folder: &str) -> Vec<(String, String)> {
    let mut scripts: Vec<(String, String)> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    scripts.sort();
    scripts
}

#[tokio::test]
async fn migrations_run_over_sample_rows_in_every_table() {
    let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    sqlx::query("pragma foreign_keys = on").execute(&mut database).await.unwrap();
    let samples = scripts("tests/it/samples");
    for (name, migration) in scripts("migrations") {
        sqlx::raw_sql(AssertSqlSafe(migration)).execute(&mut database).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        for (_, rows) in samples.iter().filter(|(sample, _)| *sample == name) {
            sqlx::raw_sql(AssertSqlSafe(rows.clone()))
                .execute(&mut database)
                .await
                .unwrap_or_else(|error| panic!("sample {name}: {error}"));
        }
    }
    let tables: Vec<String> = sqlx::query_scalar("select name from sqlite_master where type = 'table' and name not like 'sqlite_%'")
        .fetch_all(&mut database)
        .await
        .unwrap();
    assert!(tables.len() >= 15, "{tables:?}");
    for table in tables {
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}"))).fetch_one(&mut database).await.unwrap();
        assert!(rows > 0, "`{table}` has no sample row in tests/it/samples/");
    }
    assert!(sqlx::query("pragma foreign_key_check").fetch_all(&mut database).await.unwrap().is_empty());
    sqlx::query("delete from apps").execute(&mut database).await.expect("an app goes with all that belongs to it");
}

#[tokio::test]
async fn a_taken_address_is_told_by_its_column() {
    let folder = tempfile::tempdir().unwrap();
    let (_, writer) = store::open(&folder.path().join("siesta.db")).await.unwrap();
    let mut tx = writer.begin().await.unwrap();
    let mut insert = async |email: &str| {
        let email: Email = email.parse().unwrap();
        let now = Timestamp::from_secs(1_700_000_000);
        let user = users::NewUser { id: UserId::new(), email: &email, password_hash: None, admin: false, system: false, now };
        users::insert(&mut tx, &user).await
    };
    insert("ana@example.org").await.unwrap();
    let error: StoreError = insert("ANA@EXAMPLE.ORG").await.unwrap_err();
    assert_eq!(error.unique_violation().as_deref(), Some("users.email"));
}

#[tokio::test]
async fn accounts_and_settings_are_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("siesta.db");
    let id = {
        let (reader, writer) = store::open(&path).await.unwrap();
        let keys = std::sync::Arc::new(siesta::secrets::KeyRing::open_or_create(&folder.path().join("key")).unwrap());
        let accounts = Accounts::new(reader, writer, std::sync::Arc::new(SystemClock), keys);
        accounts.create_user("ana@example.org", &"duerme la siesta".into(), true).await.unwrap().id
    };
    let (reader, _writer) = store::open(&path).await.unwrap();
    assert!(reader.is_claimed().await.unwrap());
    assert_eq!(reader.user(id).await.unwrap().unwrap().email.as_str(), "ana@example.org");
}
