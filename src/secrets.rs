//! Keys and encryption at rest: XChaCha20-Poly1305 with a random 24-byte nonce, the row's identity
//! as associated data, a key id in the header, a key file 0600 (security.md SR20).

use std::path::Path;

use secrecy::SecretString;
use zeroize::Zeroizing;

/// Why something sealed cannot be opened, or the key file not used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("The key file {0} can be read by others. Run chmod 600 on it.")]
    KeyFileOpen(String),
    #[error("The key file {0} is damaged.")]
    KeyFileDamaged(String),
    #[error("This was sealed with a key that is not in the key file.")]
    UnknownKey,
    #[error("This was not sealed for this place, or it was changed.")]
    Forged,
    #[error("The key file failed: {0}")]
    Io(#[from] std::io::Error),
}

/// The keys of the server; the newest one seals.
pub struct KeyRing {
    #[expect(dead_code, reason = "filled in with secrets")]
    keys: Vec<(u32, Zeroizing<[u8; 32]>)>,
}

impl KeyRing {
    /// Reads the key file, or makes it with one random key.
    pub fn open_or_create(path: &Path) -> Result<KeyRing, SecretError> {
        let _ = path;
        todo!()
    }

    /// Seals `plain` for the place named by `aad` (`config_sets|<app id>|<row id>`).
    pub fn seal(&self, aad: &str, plain: &SecretString) -> Vec<u8> {
        let _ = (aad, plain);
        todo!()
    }

    /// Opens what `seal` made for the same place.
    pub fn open(&self, aad: &str, sealed: &[u8]) -> Result<SecretString, SecretError> {
        let _ = (aad, sealed);
        todo!()
    }
}

/// 256 random bits as 43 characters (base64url): cookies, capabilities, link tokens.
pub fn random_token() -> SecretString {
    todo!()
}

/// SHA-256 of a token: what is stored of it.
pub fn token_hash(token: &SecretString) -> Vec<u8> {
    let _ = token;
    todo!()
}
