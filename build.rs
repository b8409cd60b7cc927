//! Makes a throw-away SQLite file with our migrations applied, so that `sqlx::query!` is checked
//! in a fresh clone with plain `cargo build`: no sqlx-cli, no `.sqlx` folder.

use std::path::PathBuf;

use sqlx::{
    ConnectOptions, Connection,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("schema.db");
    let _ = std::fs::remove_file(&out);
    let mut connection =
        SqliteConnectOptions::new().filename(&out).create_if_missing(true).journal_mode(SqliteJournalMode::Delete).connect().await?;
    Migrator::new(PathBuf::from("migrations")).await?.run(&mut connection).await?;
    // The log database has a schema of its own; its tables stand beside the others here.
    Migrator::new(PathBuf::from("migrations/logs")).await?.set_ignore_missing(true).run(&mut connection).await?;
    connection.close().await?;
    println!("cargo::rustc-env=DATABASE_URL=sqlite://{}", out.display());
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=templates");
    println!("cargo::rerun-if-changed=locales");
    println!("cargo::rerun-if-changed=static");
    Ok(())
}
