//! Who changed what when, for those who look after the host.

use crate::domain::Timestamp;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at: Timestamp,
    /// An e-mail address; empty before somebody is known.
    pub actor: String,
    pub ip: String,
    /// `dashboard`, `api` or `server` (the operator's socket).
    pub via: String,
    /// Method and address pattern: `POST /apps/{app}/scale`.
    pub action: String,
    /// What it was done to; never a secret.
    pub subject: String,
}
