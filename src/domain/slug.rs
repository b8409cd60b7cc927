//! Slugs: what a build leaves, and what a release runs.

use sha2::{Digest as _, Sha256};

use crate::domain::{AppId, Procfile, SlugId, Timestamp};

/// One slug as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Slug {
    pub id: SlugId,
    pub app_id: AppId,
    pub commit: Option<String>,
    /// SHA-256 of the zstd-compressed code tar (paths below `app/`), hex.
    pub code_file: String,
    /// SHA-256 of the zstd-compressed dependency tar (paths below `python/`, unpacked in `/opt`), hex; None: no dependencies.
    pub deps_file: Option<String>,
    /// What the dependency image is keyed by, hex.
    pub deps_key: String,
    /// The run image it was built for: `siesta/run:<digest of the stack recipe>`.
    pub stack: String,
    pub language: String,
    pub runtime: String,
    pub process_types: Procfile,
    /// Compressed bytes, code and dependencies.
    pub size: u64,
    pub created_at: Timestamp,
}

impl Slug {
    /// The same code for another app. Its dependencies get a key of their own: images are never
    /// shared between apps, whose users differ.
    pub fn for_app(&self, app: AppId, now: Timestamp) -> Slug {
        let deps_key = hex::encode(Sha256::digest(format!("{}|{app}", self.deps_key)));
        Slug { id: SlugId::new(), app_id: app, deps_key, created_at: now, ..self.clone() }
    }
}
