//! The table `audit`: who changed what when.

use crate::{
    domain::{Timestamp, audit::Entry},
    store::{Reader, StoreError, Writer},
};

/// Entries that are kept, the newest.
pub const KEPT: i64 = 10_000;

impl Reader {
    /// The newest entries; `about` keeps those whose actor, action or subject holds it.
    pub async fn audit(&self, about: &str, count: u32) -> Result<Vec<Entry>, StoreError> {
        let rows = sqlx::query_as!(
            Entry,
            r#"select at as "at: Timestamp", actor, ip, via, action, subject from audit
               where ?1 = '' or instr(lower(actor || ' ' || action || ' ' || subject || ' ' || ip), lower(?1)) > 0
               order by id desc limit ?2"#,
            about,
            count
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }
}

impl Writer {
    /// Writes an entry down and drops those that are too old to keep.
    pub async fn add_audit(&self, entry: &Entry) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let Entry { at, actor, ip, via, action, subject } = entry;
        let added = sqlx::query!(
            "insert into audit (at, actor, ip, via, action, subject) values (?, ?, ?, ?, ?, ?)",
            at,
            actor,
            ip,
            via,
            action,
            subject
        )
        .execute(&mut *tx)
        .await?;
        let oldest = added.last_insert_rowid() - KEPT;
        sqlx::query!("delete from audit where id <= ?", oldest).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }
}
