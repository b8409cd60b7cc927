//! Who changed what when: one line a change, the newest ten thousand, for the host's administrators.

use std::sync::Arc;

use crate::{
    clock::Clock,
    domain::audit::Entry,
    store::{Reader, StoreError, Writer},
};

/// Characters of a subject that are kept.
const SUBJECT_CHARACTERS: usize = 100;

/// The action of a backup of everything that was handed out whole.
pub const BACKUP: &str = "backup everything";

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    reader: Reader,
    writer: Writer,
    clock: Arc<dyn Clock>,
}

/// A change, before it has a time.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// An e-mail address; empty before somebody is known.
    pub actor: String,
    pub ip: String,
    /// `dashboard`, `api` or `server` (the operator's socket).
    pub via: &'static str,
    /// Method and address pattern: `POST /apps/{app}/scale`.
    pub action: String,
    /// What it was done to; never a secret.
    pub subject: String,
}

impl Audit {
    pub fn new(reader: Reader, writer: Writer, clock: Arc<dyn Clock>) -> Audit {
        Audit { reader, writer, clock }
    }

    /// Writes a change down. What was done is done: a failure is logged, with the change.
    pub async fn note(&self, change: Change) {
        let Change { actor, ip, via, action, subject } = change;
        let subject = subject.chars().take(SUBJECT_CHARACTERS).collect();
        let entry = Entry { at: self.clock.now(), actor, ip, via: via.to_owned(), action, subject };
        if let Err(error) = self.writer.add_audit(&entry).await {
            tracing::error!(?entry, %error, "a change could not be written into the audit log");
        }
    }

    /// The newest changes; `about` keeps those whose actor, action, subject or address holds it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn recent(&self, about: &str, count: u32) -> Result<Vec<Entry>, StoreError> {
        self.reader.audit(about, count).await
    }
}
