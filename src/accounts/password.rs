//! Passwords: which ones are taken, and argon2id with a bound on how many hashes run at once.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::domain::Email;

const MIN_CHARS: usize = 8;
const MAX_CHARS: usize = 128;
/// Memory in KiB, passes and lanes of one hash (security.md 11.x).
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes at once: more would only take memory from dynos.
const AT_ONCE: usize = 2;
/// What a hash with today's parameters begins with; others are made anew at the next login.
const CURRENT: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
/// A hash of no password: unknown accounts cost as much time as known ones.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2llc3RhLW5vLWFjY291bnQ$RdescudvJCsgt3ub+b4dWRWJTmaasTRpO0QOfIIVdDQ";

/// The most used passwords of at least 8 characters, lower case, one a line.
static COMMON: &str = include_str!("common_passwords.txt");

/// Why a password is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("The password is too short: use at least 8 characters, better 15.")]
    TooShort,
    #[error("The password is longer than 128 characters.")]
    TooLong,
    #[error("That password is among the most used ones and easy to guess. Choose another.")]
    TooCommon,
}

/// Whether `password` may protect the account of `email`: its own address is as easy to guess as
/// a common password.
pub(super) fn check(password: &SecretString, email: &Email) -> Result<(), PasswordError> {
    let text = password.expose_secret();
    match text.chars().take(MAX_CHARS + 1).count() {
        count if count < MIN_CHARS => return Err(PasswordError::TooShort),
        count if count > MAX_CHARS => return Err(PasswordError::TooLong),
        _ => {}
    }
    let lower = text.trim().to_lowercase();
    let address = email.as_str().to_lowercase();
    let own = lower == address || address.split_once('@').is_some_and(|(local, _)| local == lower);
    if own || COMMON.lines().any(|common| common == lower) { Err(PasswordError::TooCommon) } else { Ok(()) }
}

/// Hashes and verifies away from the runtime's threads, two at a time.
#[derive(Clone, Debug)]
pub(super) struct Hasher {
    slots: Arc<Semaphore>,
}

/// What verifying a password says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verified {
    Right,
    /// Right, but hashed with older parameters: hash it again.
    Outdated,
    Wrong,
}

impl Hasher {
    pub(super) fn new() -> Hasher {
        Hasher { slots: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The argon2id hash of a password with a random salt, as a PHC string.
    pub(super) async fn hash(&self, password: &SecretString) -> String {
        let password = password.clone();
        self.run(move || argon2().hash_password(password.expose_secret().as_bytes()).expect("the system gives random bytes").to_string())
            .await
    }

    /// Compares a password with a stored hash. Without one it takes the same time and is wrong.
    pub(super) async fn verify(&self, password: &SecretString, stored: Option<String>) -> Verified {
        let password = password.clone();
        self.run(move || {
            let hash = stored.as_deref().unwrap_or(DUMMY);
            let right = argon2().verify_password(password.expose_secret().as_bytes(), hash).is_ok() && stored.is_some();
            match (right, hash.starts_with(CURRENT)) {
                (false, _) => Verified::Wrong,
                (true, true) => Verified::Right,
                (true, false) => Verified::Outdated,
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let slot = self.slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            work()
        });
        done.await.expect("hashing does not panic, and blocking work is not cancelled")
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY, PASSES, LANES, None).expect("the parameters are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(password: &str) -> Result<(), PasswordError> {
        check(&password.into(), &"ana.maria@example.org".parse().unwrap())
    }

    #[test]
    fn length_counts_in_characters_and_common_ones_are_refused() {
        assert_eq!(checked("ñandúes"), Err(PasswordError::TooShort));
        assert_eq!(checked("ñandúes8"), Ok(()));
        assert_eq!(checked(&"ñ".repeat(128)), Ok(()));
        assert_eq!(checked(&"ñ".repeat(129)), Err(PasswordError::TooLong));
        for common in ["password", "PassWord123", " 12345678 ", "contraseña", "Ana.Maria", "ana.maria@EXAMPLE.org"] {
            assert_eq!(checked(common), Err(PasswordError::TooCommon), "{common}");
        }
        assert_eq!(checked("correct horse battery staple"), Ok(()));
    }

    #[test]
    fn the_list_of_common_passwords_is_one_that_can_match() {
        assert!(COMMON.lines().count() >= 300);
        for line in COMMON.lines() {
            assert!(line == line.trim().to_lowercase() && line.chars().count() >= MIN_CHARS, "{line:?}");
        }
    }

    #[tokio::test]
    async fn a_hash_names_our_parameters_and_knows_only_its_password() {
        let hasher = Hasher::new();
        let hash = hasher.hash(&"siesta at noon".into()).await;
        assert!(hash.starts_with(CURRENT), "{hash}");
        assert_ne!(hash, hasher.hash(&"siesta at noon".into()).await);
        assert_eq!(hasher.verify(&"siesta at noon".into(), Some(hash.clone())).await, Verified::Right);
        assert_eq!(hasher.verify(&"siesta at Noon".into(), Some(hash)).await, Verified::Wrong);
    }

    #[tokio::test]
    async fn without_a_hash_every_password_is_wrong_after_a_whole_hash() {
        assert!(DUMMY.starts_with(CURRENT));
        assert!(argon2::password_hash::phc::PasswordHash::new(DUMMY).is_ok(), "else it would cost no time");
        assert_eq!(Hasher::new().verify(&"".into(), None).await, Verified::Wrong);
    }

    #[tokio::test]
    async fn a_hash_with_older_parameters_is_found_out() {
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let stored = weak.hash_password(b"siesta at noon").unwrap().to_string();
        assert_eq!(Hasher::new().verify(&"siesta at noon".into(), Some(stored)).await, Verified::Outdated);
    }
}
