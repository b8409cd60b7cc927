//! Keys and encryption at rest: XChaCha20-Poly1305 with a random 24-byte nonce, the row's identity
//! as associated data, a key id in the header, a key file 0600 (security.md SR20).

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Generate as _, Payload},
};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// First byte of everything sealed: the format that follows (key id, nonce, ciphertext and tag).
const FORMAT: u8 = 1;
const NONCE: usize = 24;
const HEADER: usize = 1 + 4 + NONCE;

/// First byte of what a passphrase seals: the format that follows (salt, nonce, ciphertext and tag).
const PASSPHRASE_FORMAT: u8 = 1;
const SALT: usize = 16;
/// argon2id for passphrases: memory in KiB, passes, lanes. Once in a backup's life, so it may be slow.
const STRETCH: (u32, u32, u32) = (64 * 1024, 3, 1);

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
    #[error("The passphrase is wrong, or what it protects was changed.")]
    Passphrase,
    #[error("The key file failed: {0}")]
    Io(#[from] std::io::Error),
}

/// The keys of the server; the newest one seals.
///
/// The file holds one key a line: its id, a space, 64 hexadecimal digits. The highest id is the
/// newest. A key is retired by adding a line, never by changing one.
pub struct KeyRing {
    /// Sorted by id, never empty, no id twice.
    keys: Vec<(u32, Zeroizing<[u8; 32]>)>,
}

impl KeyRing {
    /// Reads the key file, or makes it with one random key. The folder must exist.
    pub fn open_or_create(path: &Path) -> Result<KeyRing, SecretError> {
        match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create_key_file(path)?;
                KeyRing::read(File::open(path)?, path)
            }
            file => KeyRing::read(file?, path),
        }
    }

    fn read(mut file: File, path: &Path) -> Result<KeyRing, SecretError> {
        let shown = || path.display().to_string();
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            return Err(SecretError::KeyFileOpen(shown()));
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.read_to_end(&mut bytes)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::KeyFileDamaged(shown()))?;
        let mut keys = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| key_of(line).ok_or_else(|| SecretError::KeyFileDamaged(shown())))
            .collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|(id, _)| *id);
        if keys.is_empty() || keys.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(SecretError::KeyFileDamaged(shown()));
        }
        Ok(KeyRing { keys })
    }

    /// The ids of its keys.
    pub fn ids(&self) -> BTreeSet<u32> {
        self.keys.iter().map(|(id, _)| *id).collect()
    }

    /// Seals `plain` for the place named by `aad` (`config_sets|<app id>|<row id>`).
    pub fn seal(&self, aad: &str, plain: &SecretString) -> Vec<u8> {
        let (id, key) = self.keys.last().expect("a key ring is never empty");
        let nonce = XNonce::generate();
        let mut sealed = Vec::with_capacity(HEADER + plain.expose_secret().len() + 16);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&id.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        let place = place(*id, aad);
        let payload = Payload { msg: plain.expose_secret().as_bytes(), aad: &place };
        sealed.extend(cipher(key).encrypt(&nonce, payload).expect("a text in memory is far below the cipher's limit of 256 GiB"));
        sealed
    }

    /// Opens what `seal` made for the same place.
    pub fn open(&self, aad: &str, sealed: &[u8]) -> Result<SecretString, SecretError> {
        let (header, body) = sealed.split_at_checked(HEADER).ok_or(SecretError::Forged)?;
        let (format, id, nonce) = (header[0], &header[1..5], &header[5..]);
        if format != FORMAT {
            return Err(SecretError::Forged);
        }
        let id = u32::from_be_bytes(id.try_into().expect("four bytes were cut"));
        let at = self.keys.binary_search_by_key(&id, |(known, _)| *known).map_err(|_| SecretError::UnknownKey)?;
        let nonce = XNonce::try_from(nonce).expect("24 bytes were cut");
        let place = place(id, aad);
        let payload = Payload { msg: body, aad: &place };
        let plain = Zeroizing::new(cipher(&self.keys[at].1).decrypt(&nonce, payload).map_err(|_| SecretError::Forged)?);
        let text = std::str::from_utf8(&plain).map_err(|_| SecretError::Forged)?;
        Ok(SecretString::from(text))
    }
}

/// Seals `plain` for whoever knows the passphrase, for the place named by `aad`.
pub fn seal_with_passphrase(passphrase: &SecretString, aad: &str, plain: &[u8]) -> Vec<u8> {
    let (salt, nonce) = (<[u8; SALT]>::generate(), XNonce::generate());
    let key = stretched(passphrase, &salt);
    let sealed = cipher(&key).encrypt(&nonce, Payload { msg: plain, aad: aad.as_bytes() });
    let sealed = sealed.expect("what is in memory is far below the cipher's limit of 256 GiB");
    [&[PASSPHRASE_FORMAT], &salt[..], &nonce[..], &sealed].concat()
}

/// Opens what `seal_with_passphrase` made.
///
/// # Errors
/// When the passphrase is another one, or a byte was changed.
pub fn open_with_passphrase(passphrase: &SecretString, aad: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let (header, body) = sealed.split_at_checked(1 + SALT + NONCE).ok_or(SecretError::Passphrase)?;
    if header[0] != PASSPHRASE_FORMAT {
        return Err(SecretError::Passphrase);
    }
    let (salt, nonce) = header[1..].split_at(SALT);
    let nonce = XNonce::try_from(nonce).expect("24 bytes were cut");
    let opened = cipher(&stretched(passphrase, salt)).decrypt(&nonce, Payload { msg: body, aad: aad.as_bytes() });
    opened.map(Zeroizing::new).map_err(|_| SecretError::Passphrase)
}

fn stretched(passphrase: &SecretString, salt: &[u8]) -> Zeroizing<[u8; 32]> {
    let (memory, passes, lanes) = STRETCH;
    let params = Params::new(memory, passes, lanes, None).expect("valid parameters");
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose_secret().as_bytes(), salt, key.as_mut_slice())
        .expect("a salt of 16 bytes and a key of 32 are in the bounds");
    key
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.into())
}

/// The associated data: the place, and the header fields that are not the nonce.
fn place(id: u32, aad: &str) -> Vec<u8> {
    [&[FORMAT], &id.to_be_bytes()[..], aad.as_bytes()].concat()
}

fn key_of(line: &str) -> Option<(u32, Zeroizing<[u8; 32]>)> {
    let (id, digits) = line.trim_end().split_once(' ')?;
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, key.as_mut_slice()).ok()?;
    Some((id.parse().ok()?, key))
}

/// Writes a whole file or none: made beside its place, synced, then linked there. When another
/// process was faster its file stays.
fn create_key_file(path: &Path) -> Result<(), SecretError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let mut file = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o600)).tempfile_in(&folder)?;
    let key = Zeroizing::new(<[u8; 32]>::generate());
    let line = Zeroizing::new(format!("1 {}\n", *Zeroizing::new(hex::encode(key.as_slice()))));
    file.write_all(line.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(failed) if failed.error.kind() != ErrorKind::AlreadyExists => return Err(failed.error.into()),
        _ => {}
    }
    File::open(&folder)?.sync_all()?;
    Ok(())
}

/// Characters of a random token.
pub const TOKEN_CHARS: usize = 43;

/// 256 random bits as 43 characters (base64url): cookies, capabilities, link tokens.
pub fn random_token() -> SecretString {
    let bits = Zeroizing::new(<[u8; 32]>::generate());
    URL_SAFE_NO_PAD.encode(bits.as_slice()).into()
}

/// SHA-256 of a token: what is stored of it.
pub fn token_hash(token: &SecretString) -> Vec<u8> {
    Sha256::digest(token.expose_secret().as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fs};

    use super::*;

    const PLACE: &str = "config_sets|app|row";

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn key_file(folder: &tempfile::TempDir, text: &str, mode: u32) -> PathBuf {
        let path = folder.path().join("key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn line(id: u32, digit: char) -> String {
        format!("{id} {}\n", digit.to_string().repeat(64))
    }

    #[test]
    fn what_was_sealed_opens_after_a_restart_and_only_at_its_place() {
        let folder = folder();
        let path = folder.path().join("key");
        let sealed = KeyRing::open_or_create(&path).unwrap().seal(PLACE, &"s3cret ñ".into());
        assert!(!sealed.windows(6).any(|part| part == b"s3cret"));
        let ring = KeyRing::open_or_create(&path).unwrap();
        assert_eq!(ring.open(PLACE, &sealed).unwrap().expose_secret(), "s3cret ñ");
        assert!(matches!(ring.open("config_sets|app|other row", &sealed), Err(SecretError::Forged)));
    }

    #[test]
    fn a_new_key_file_is_readable_by_its_owner_only() {
        let folder = folder();
        let path = folder.path().join("key");
        KeyRing::open_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        for mode in [0o640, 0o604, 0o660, 0o644, 0o601] {
            let folder = folder();
            let path = key_file(&folder, &line(1, 'a'), mode);
            let error = KeyRing::open_or_create(&path).unwrap_err();
            assert!(matches!(&error, SecretError::KeyFileOpen(_)), "{mode:o}");
            assert!(error.to_string().contains("chmod 600"));
        }
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_refused() {
        let folder = folder();
        let ring = KeyRing::open_or_create(&folder.path().join("key")).unwrap();
        let sealed = ring.seal(PLACE, &"postgres://u:p@h/db".into());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ring.open(PLACE, &changed).is_err(), "byte {at}");
            assert!(ring.open(PLACE, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_newest_key_seals_and_older_ones_still_open() {
        let folder = folder();
        let old = KeyRing::open_or_create(&key_file(&folder, &line(1, 'a'), 0o600)).unwrap();
        let by_old = old.seal(PLACE, &"before".into());
        let both = KeyRing::open_or_create(&key_file(&folder, &(line(2, 'b') + &line(1, 'a')), 0o600)).unwrap();
        assert_eq!(both.open(PLACE, &by_old).unwrap().expose_secret(), "before");
        let by_new = both.seal(PLACE, &"after".into());
        assert!(matches!(old.open(PLACE, &by_new), Err(SecretError::UnknownKey)));
        assert_eq!(format!("{both:?}"), "[1, 2]", "ids only, never keys");
    }

    #[test]
    fn a_damaged_key_file_is_never_replaced() {
        let doubled = line(1, 'a') + &line(1, 'b');
        for text in ["", "\n", "1", "1 abc\n", "x aa", &doubled, &line(1, 'g'), &line(1, 'a')[..40]] {
            let folder = folder();
            let path = key_file(&folder, text, 0o600);
            assert!(matches!(KeyRing::open_or_create(&path), Err(SecretError::KeyFileDamaged(_))), "{text:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_passphrase_opens_what_it_sealed_and_nothing_that_was_changed() {
        let (right, wrong) = (SecretString::from("correct horse battery"), SecretString::from("correct horse batterx"));
        let sealed = seal_with_passphrase(&right, "backup|keys", b"1 aaaa");
        assert_eq!(open_with_passphrase(&right, "backup|keys", &sealed).unwrap().as_slice(), b"1 aaaa");
        assert!(open_with_passphrase(&wrong, "backup|keys", &sealed).is_err());
        assert!(open_with_passphrase(&right, "backup|other", &sealed).is_err());
        for at in [0, 1, SALT + 1, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open_with_passphrase(&right, "backup|keys", &changed).is_err(), "byte {at}");
            assert!(open_with_passphrase(&right, "backup|keys", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_same_text_never_looks_the_same_sealed() {
        let folder = folder();
        let ring = KeyRing::open_or_create(&folder.path().join("key")).unwrap();
        let sealed: HashSet<_> = (0..1_000).map(|_| ring.seal(PLACE, &"same".into())).collect();
        assert_eq!(sealed.len(), 1_000);
    }

    #[test]
    fn tokens_are_long_and_stored_as_a_hash() {
        let (one, other) = (random_token(), random_token());
        assert_eq!(one.expose_secret().len(), 43);
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_eq!(hex::encode(token_hash(&"abc".into())), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
