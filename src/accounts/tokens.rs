//! API tokens: `HRKU-`, 256 random bits and a checksum. Shown once, stored as SHA-256.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::{
    accounts::{AccountError, Accounts, Token, User, sessions::SEEN_EVERY},
    domain::{Timestamp, TokenId, UserId},
    secrets::{random_token, token_hash},
};

const SCHEME: &str = "HRKU-";
/// Characters of the random part and of the checksum behind it.
const RANDOM: usize = 43;
const CHECKSUM: usize = 6;
/// Characters shown in lists, to tell tokens apart: `HRKU-1a2b3c`.
const SHOWN: usize = SCHEME.len() + 6;
/// What is kept of a description, in characters.
const MAX_DESCRIPTION: usize = 200;

impl Accounts {
    /// The account behind an API token; None when it is not valid. Text that never was a token of
    /// ours is told by its checksum, without the database.
    pub async fn by_token(&self, token: &SecretString) -> Result<Option<(User, TokenId)>, AccountError> {
        if !is_well_formed(token.expose_secret()) {
            return Ok(None);
        }
        let now = self.clock.now();
        let Some((token, user)) = self.reader.token(&token_hash(token)).await? else { return Ok(None) };
        if token.expires_at.is_some_and(|end| now >= end) || user.suspended_at.is_some() {
            return Ok(None);
        }
        if token.last_used_at.is_none_or(|last| now.since(last) >= SEEN_EVERY) {
            self.writer.touch_token(token.id, now).await?;
        }
        Ok(Some((user, token.id)))
    }

    /// Makes an API token (`HRKU-` and 256 bits and a checksum); the secret is returned once.
    pub async fn create_token(
        &self,
        user: UserId,
        description: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<(Token, SecretString), AccountError> {
        if self.reader.user(user).await?.is_none() {
            return Err(AccountError::NoSuchUser);
        }
        let secret = new_secret();
        let token = Token {
            id: TokenId::new(),
            user_id: user,
            description: plain(description),
            prefix: secret.expose_secret()[..SHOWN].to_owned(),
            created_at: self.clock.now(),
            expires_at,
            last_used_at: None,
        };
        self.writer.insert_token(&token, &token_hash(&secret)).await?;
        Ok((token, secret))
    }

    /// All tokens of an account, newest first.
    pub async fn tokens(&self, user: UserId) -> Result<Vec<Token>, AccountError> {
        Ok(self.reader.tokens(user).await?)
    }

    /// Changes what a token is called.
    pub async fn describe_token(&self, user: UserId, token: TokenId, description: &str) -> Result<Token, AccountError> {
        self.writer.describe_token(user, token, &plain(description)).await?;
        self.token_of(user, token).await
    }

    /// Gives a token another secret, returned once; the old one is worthless from then on.
    pub async fn regenerate_token(&self, user: UserId, token: TokenId) -> Result<(Token, SecretString), AccountError> {
        let secret = new_secret();
        self.writer.replace_token(user, token, &token_hash(&secret), &secret.expose_secret()[..SHOWN]).await?;
        Ok((self.token_of(user, token).await?, secret))
    }

    async fn token_of(&self, user: UserId, token: TokenId) -> Result<Token, AccountError> {
        self.reader.tokens(user).await?.into_iter().find(|found| found.id == token).ok_or(AccountError::NoSuchToken)
    }

    pub async fn revoke_token(&self, user: UserId, token: TokenId) -> Result<(), AccountError> {
        if self.writer.delete_token(user, token).await? { Ok(()) } else { Err(AccountError::NoSuchToken) }
    }
}

/// What is kept of a description.
fn plain(description: &str) -> String {
    description.chars().filter(|c| !c.is_control()).take(MAX_DESCRIPTION).collect()
}

fn new_secret() -> SecretString {
    let random = random_token();
    let random = random.expose_secret();
    format!("{SCHEME}{random}{}", checksum(random)).into()
}

/// The first characters of a SHA-256: tells typing errors and foreign tokens, protects nothing.
fn checksum(random: &str) -> String {
    let mut text = URL_SAFE_NO_PAD.encode(Sha256::digest(random));
    text.truncate(CHECKSUM);
    text
}

fn is_well_formed(token: &str) -> bool {
    let body = token.strip_prefix(SCHEME).filter(|body| body.len() == RANDOM + CHECKSUM && body.is_ascii());
    body.map(|body| body.split_at(RANDOM)).is_some_and(|(random, sum)| checksum(random) == sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_told_from_other_text_by_its_checksum() {
        let token = new_secret();
        let text = token.expose_secret();
        assert_eq!(text.len(), 54);
        assert!(is_well_formed(text));
        for at in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(!is_well_formed(std::str::from_utf8(&bytes).unwrap()), "character {at}");
        }
        for other in ["", "HRKU-", &text[5..], &text[..53], &format!("{text}A"), &format!("HRKU-{}", "ñ".repeat(24))] {
            assert!(!is_well_formed(other), "{other}");
        }
    }
}
