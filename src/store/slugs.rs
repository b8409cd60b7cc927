//! The table `slugs`.

use sqlx::{Sqlite, Transaction};

use crate::{
    domain::{AppId, Procfile, SlugId, Timestamp, slug::Slug},
    store::{Reader, StoreError},
};

struct Row {
    id: SlugId,
    app_id: AppId,
    commit_sha: Option<String>,
    code_file: String,
    deps_file: Option<String>,
    deps_key: String,
    stack: String,
    language: String,
    runtime: String,
    process_types: String,
    size: i64,
    created_at: Timestamp,
}

impl From<Row> for Slug {
    fn from(row: Row) -> Slug {
        Slug {
            id: row.id,
            app_id: row.app_id,
            commit: row.commit_sha,
            code_file: row.code_file,
            deps_file: row.deps_file,
            deps_key: row.deps_key,
            stack: row.stack,
            language: row.language,
            runtime: row.runtime,
            process_types: Procfile::from_json(&row.process_types),
            size: row.size.unsigned_abs(),
            created_at: row.created_at,
        }
    }
}

impl Reader {
    pub async fn slug(&self, id: SlugId) -> Result<Option<Slug>, StoreError> {
        let row = sqlx::query_as!(
            Row,
            r#"select id as "id: SlugId", app_id as "app_id: AppId", commit_sha, code_file, deps_file, deps_key, stack, language,
                      runtime, process_types, size, created_at as "created_at: Timestamp"
               from slugs where id = ?"#,
            id
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(Slug::from))
    }
}

/// Part of the transaction that writes a release.
pub(super) async fn insert(tx: &mut Transaction<'static, Sqlite>, slug: &Slug) -> Result<(), StoreError> {
    let process_types = slug.process_types.to_json();
    let size = i64::try_from(slug.size).unwrap_or(i64::MAX);
    sqlx::query!(
        "insert into slugs (id, app_id, commit_sha, code_file, deps_file, deps_key, stack, language, runtime, process_types, size,
                            created_at)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        slug.id,
        slug.app_id,
        slug.commit,
        slug.code_file,
        slug.deps_file,
        slug.deps_key,
        slug.stack,
        slug.language,
        slug.runtime,
        process_types,
        size,
        slug.created_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
