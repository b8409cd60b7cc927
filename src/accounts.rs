//! Owns accounts: the claim, sign-up, sessions, API tokens, password links.

use std::sync::Arc;

use secrecy::SecretString;

use crate::{
    clock::Clock,
    domain::{Timestamp, TokenId, UserId},
    store::{Reader, StoreError, Writer},
};

pub use crate::domain::user::{SignUp, Token, User};

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

#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The same for an unknown address and a wrong password.
    #[error("There was a problem with your login.")]
    WrongCredentials,
    #[error("Too many attempts. Try again in {0} seconds.")]
    RateLimited(u64),
    #[error("An account with that e-mail address exists already.")]
    EmailTaken,
    #[error("Sign-up is closed on this server. Ask its administrator for an account.")]
    SignUpClosed,
    #[error("This server takes new accounts by invitation only. Ask its administrator for a link.")]
    InviteNeeded,
    #[error("That link is not valid any more. Ask for a new one.")]
    BadLink,
    #[error("That claim token is not right. It is printed where the server was started; a restart prints a fresh one.")]
    BadClaim,
    #[error("This server has been claimed already. Log in instead.")]
    AlreadyClaimed,
    #[error("Couldn't find that account.")]
    NoSuchUser,
    #[error("Couldn't find that token.")]
    NoSuchToken,
    #[error("This account is suspended.")]
    Suspended,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("{0}")]
    BadEmail(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a login comes from, for limits and the list of sessions.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub ip: String,
    pub user_agent: String,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    #[expect(dead_code, reason = "filled in with accounts")]
    reader: Reader,
    #[expect(dead_code, reason = "filled in with accounts")]
    writer: Writer,
    #[expect(dead_code, reason = "filled in with accounts")]
    clock: Arc<dyn Clock>,
}

impl Accounts {
    pub fn new(reader: Reader, writer: Writer, clock: Arc<dyn Clock>) -> Accounts {
        Accounts { reader, writer, clock }
    }

    /// Whether an administrator exists. Until then only the claim page answers.
    pub async fn is_claimed(&self) -> Result<bool, AccountError> {
        todo!()
    }

    /// A fresh one-time claim token, valid until the next call or the claim; None when claimed.
    /// Held in memory only, as its hash.
    pub async fn new_claim_token(&self) -> Result<Option<SecretString>, AccountError> {
        todo!()
    }

    /// Makes the first administrator, hands them the system account's apps, sets who may sign up,
    /// and logs them in. Of 50 at once exactly one succeeds.
    pub async fn claim(
        &self,
        token: &SecretString,
        email: &str,
        password: &SecretString,
        sign_up: SignUp,
        origin: &Origin,
    ) -> Result<(User, SecretString), AccountError> {
        let _ = (token, email, password, sign_up, origin);
        todo!()
    }

    pub async fn sign_up_mode(&self) -> Result<SignUp, AccountError> {
        todo!()
    }

    pub async fn set_sign_up_mode(&self, mode: SignUp) -> Result<(), AccountError> {
        let _ = mode;
        todo!()
    }

    /// Makes an account and logs it in. `invite` is needed in invite mode.
    pub async fn sign_up(
        &self,
        email: &str,
        password: &SecretString,
        invite: Option<&SecretString>,
        origin: &Origin,
    ) -> Result<(User, SecretString), AccountError> {
        let _ = (email, password, invite, origin);
        todo!()
    }

    /// Checks a password (10 tries in 15 minutes per account and address; at most 2 hashes at once;
    /// a dummy hash for unknown accounts) and makes a session. Returns the cookie's token.
    pub async fn log_in(&self, email: &str, password: &SecretString, origin: &Origin) -> Result<(User, SecretString), AccountError> {
        let _ = (email, password, origin);
        todo!()
    }

    /// Checks a password without making a session (Basic auth of `heroku login -i`).
    pub async fn check_password(&self, email: &str, password: &SecretString, origin: &Origin) -> Result<User, AccountError> {
        let _ = (email, password, origin);
        todo!()
    }

    pub async fn log_out(&self, session: &SecretString) -> Result<(), AccountError> {
        let _ = session;
        todo!()
    }

    /// The account behind a session cookie; None when it is not valid (idle 12 h, absolute 7 d).
    pub async fn by_session(&self, session: &SecretString) -> Result<Option<User>, AccountError> {
        let _ = session;
        todo!()
    }

    /// The account behind an API token; None when it is not valid.
    pub async fn by_token(&self, token: &SecretString) -> Result<Option<(User, TokenId)>, AccountError> {
        let _ = token;
        todo!()
    }

    /// Makes an API token (`HRKU-` and 256 bits and a checksum); the secret is returned once.
    pub async fn create_token(
        &self,
        user: UserId,
        description: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<(Token, SecretString), AccountError> {
        let _ = (user, description, expires_at);
        todo!()
    }

    pub async fn tokens(&self, user: UserId) -> Result<Vec<Token>, AccountError> {
        let _ = user;
        todo!()
    }

    pub async fn revoke_token(&self, user: UserId, token: TokenId) -> Result<(), AccountError> {
        let _ = (user, token);
        todo!()
    }

    /// `siesta user create`: an administrator made this way counts as the claim.
    pub async fn create_user(&self, email: &str, password: &SecretString, admin: bool) -> Result<User, AccountError> {
        let _ = (email, password, admin);
        todo!()
    }

    /// The account that owns the example until the claim; made when it is not there.
    pub async fn system_user(&self) -> Result<User, AccountError> {
        todo!()
    }

    /// `siesta user reset`: a token for a one-hour link that sets a new password.
    pub async fn reset_link(&self, email: &str) -> Result<SecretString, AccountError> {
        let _ = email;
        todo!()
    }

    /// A token for a seven-day invitation link.
    pub async fn invite_link(&self, email: Option<&str>) -> Result<SecretString, AccountError> {
        let _ = email;
        todo!()
    }

    /// Uses a reset link: sets the password and ends all sessions.
    pub async fn reset_password(&self, link: &SecretString, password: &SecretString) -> Result<User, AccountError> {
        let _ = (link, password);
        todo!()
    }

    pub async fn by_email(&self, email: &str) -> Result<Option<User>, AccountError> {
        let _ = email;
        todo!()
    }

    pub async fn set_language(&self, user: UserId, language: Option<&str>) -> Result<(), AccountError> {
        let _ = (user, language);
        todo!()
    }

    pub async fn set_theme(&self, user: UserId, theme: Option<&str>) -> Result<(), AccountError> {
        let _ = (user, theme);
        todo!()
    }
}
