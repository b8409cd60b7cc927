//! Addresses that are the key: 256 bits nobody can guess, short-lived, never logged.
//!
//! Log sessions and downloads are remembered by the hash of their token. The address of a build's output is made
//! of the build's id and a code over it and the day, so listing builds leaves nothing behind. Both
//! end with the process at the latest; clients ask for new ones.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    domain::{AppId, BackupId, BuildId, Timestamp},
    logs::Filter,
    secrets::{random_token, token_hash},
};

/// A log session may be joined, and joined again, for this long.
pub const SESSION_LIFE: Duration = Duration::from_secs(3_600);
/// A dump may be fetched for this long, once.
pub const DOWNLOAD_LIFE: Duration = Duration::from_secs(600);
/// Sessions at once; the oldest go first.
const MAX_SESSIONS: usize = 10_000;
const DAY_MILLIS: i64 = 86_400_000;

/// What a log session shows.
#[derive(Clone, Debug)]
pub struct LogSession {
    pub app: AppId,
    pub filter: Filter,
    pub lines: usize,
    pub tail: bool,
    pub created_at: Timestamp,
}

pub struct Capabilities {
    key: SecretString,
    sessions: Mutex<HashMap<Vec<u8>, LogSession>>,
    downloads: Mutex<HashMap<Vec<u8>, (BackupId, Timestamp)>>,
}

impl Capabilities {
    pub fn new() -> Capabilities {
        Capabilities { key: random_token(), sessions: Mutex::default(), downloads: Mutex::default() }
    }

    /// Remembers a session and returns its token.
    pub fn open_session(&self, session: LogSession) -> SecretString {
        let token = random_token();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let now = session.created_at;
        if sessions.len() >= MAX_SESSIONS {
            sessions.retain(|_, session| now.since(session.created_at) < SESSION_LIFE);
        }
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.created_at).map(|(hash, _)| hash.clone());
            oldest.map(|hash| sessions.remove(&hash));
        }
        sessions.insert(token_hash(&token), session);
        token
    }

    /// The session of a token, while it lives.
    pub fn session(&self, token: &SecretString, now: Timestamp) -> Option<LogSession> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&token_hash(token)).filter(|session| now.since(session.created_at) < SESSION_LIFE).cloned()
    }

    /// A token that fetches a dump once.
    pub fn open_download(&self, backup: BackupId, now: Timestamp) -> SecretString {
        let token = random_token();
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        downloads.retain(|_, (_, made)| now.since(*made) < DOWNLOAD_LIFE);
        downloads.insert(token_hash(&token), (backup, now));
        token
    }

    /// The dump a token fetches; the token is used up.
    pub fn take_download(&self, token: &SecretString, now: Timestamp) -> Option<BackupId> {
        let taken = self.downloads.lock().unwrap_or_else(PoisonError::into_inner).remove(&token_hash(token));
        taken.filter(|(_, made)| now.since(*made) < DOWNLOAD_LIFE).map(|(backup, _)| backup)
    }

    /// The token of a build's output: the same all day, good until the end of the next.
    pub fn build_token(&self, build: BuildId, now: Timestamp) -> SecretString {
        self.build_token_of(build, now.millis().div_euclid(DAY_MILLIS))
    }

    /// The build whose output `token` opens.
    pub fn build(&self, token: &SecretString, now: Timestamp) -> Option<BuildId> {
        let (id, _) = token.expose_secret().split_once('.')?;
        let build = BuildId(Uuid::try_parse(id).ok()?);
        let day = now.millis().div_euclid(DAY_MILLIS);
        // Hashes are compared, so the time it takes tells nothing of the token.
        let matches = |day| token_hash(&self.build_token_of(build, day)) == token_hash(token);
        (matches(day) || matches(day - 1)).then_some(build)
    }

    fn build_token_of(&self, build: BuildId, day: i64) -> SecretString {
        let key = self.key.expose_secret().as_bytes();
        let inner = Sha256::new().chain_update(key).chain_update(build.0.as_bytes()).chain_update(day.to_be_bytes()).finalize();
        let code = Sha256::new().chain_update(key).chain_update(inner).finalize();
        format!("{}.{}", build.0.simple(), BASE64_URL_SAFE_NO_PAD.encode(code)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builds_token_lasts_a_day_and_fits_no_other_build_or_process() {
        let ours = Capabilities::new();
        let (build, now) = (BuildId::new(), Timestamp::from_secs(1_400_000_000));
        let token = ours.build_token(build, now);
        assert_eq!(ours.build(&token, now), Some(build));
        assert_eq!(ours.build(&token, now + Duration::from_secs(86_400)), Some(build));
        assert_eq!(ours.build(&token, now + Duration::from_secs(2 * 86_400)), None);
        assert_eq!(Capabilities::new().build(&token, now), None);
        let (_, code) = token.expose_secret().split_once('.').unwrap();
        let forged = format!("{}.{code}", BuildId::new().0.simple()).into();
        assert_eq!(ours.build(&forged, now), None);
        assert_eq!(ours.build(&"x".into(), now), None);
    }

    #[test]
    fn a_dump_is_fetched_once_and_soon() {
        let ours = Capabilities::new();
        let (backup, now) = (BackupId::new(), Timestamp::from_secs(1_400_000_000));
        let token = ours.open_download(backup, now);
        assert_eq!(ours.take_download(&"guess".into(), now), None);
        assert_eq!(ours.take_download(&token, now), Some(backup));
        assert_eq!(ours.take_download(&token, now), None, "used up");
        let late = ours.open_download(backup, now);
        assert_eq!(ours.take_download(&late, now + DOWNLOAD_LIFE), None);
    }

    #[test]
    fn a_log_session_ends_after_an_hour() {
        let ours = Capabilities::new();
        let now = Timestamp::from_secs(1_400_000_000);
        let session = LogSession { app: AppId::new(), filter: Filter::default(), lines: 100, tail: true, created_at: now };
        let token = ours.open_session(session);
        assert!(ours.session(&token, now + Duration::from_secs(3_599)).is_some());
        assert!(ours.session(&token, now + SESSION_LIFE).is_none());
        assert!(ours.session(&"guess".into(), now).is_none());
    }
}
