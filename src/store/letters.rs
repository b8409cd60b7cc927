//! The table `letters`: mail that is still to be sent.

use crate::{
    domain::Timestamp,
    store::{Reader, StoreError, Writer},
};

/// A letter on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterRow {
    pub id: i64,
    pub recipient: String,
    pub subject: String,
    pub body: String,
    /// How often it was tried.
    pub attempts: u32,
    pub error: Option<String>,
    pub created_at: Timestamp,
}

impl Reader {
    /// The one that has been due for longest.
    pub async fn due_letter(&self, now: Timestamp) -> Result<Option<LetterRow>, StoreError> {
        let row = sqlx::query_as!(
            LetterRow,
            r#"select id, recipient, subject, body, attempts as "attempts: u32", error, created_at as "created_at: Timestamp"
               from letters where next_at <= ? order by next_at, id limit 1"#,
            now
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }
}

impl Writer {
    /// Puts a letter into the queue. False: `most` are in it.
    pub async fn add_letter(&self, (recipient, subject, body): (&str, &str, &str), most: u32, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "insert into letters (recipient, subject, body, next_at, created_at)
             select ?1, ?2, ?3, ?4, ?4 where (select count(*) from letters) < ?5",
            recipient,
            subject,
            body,
            now,
            most
        );
        Ok(done.execute(self.pool()).await?.rows_affected() > 0)
    }

    /// It did not work; once more then.
    pub async fn put_off_letter(&self, id: i64, error: &str, next_at: Timestamp) -> Result<(), StoreError> {
        let done = sqlx::query!("update letters set attempts = attempts + 1, error = ?, next_at = ? where id = ?", error, next_at, id);
        done.execute(self.pool()).await?;
        Ok(())
    }

    /// It was sent, or will not be.
    pub async fn drop_letter(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query!("delete from letters where id = ?", id).execute(self.pool()).await?;
        Ok(())
    }
}
