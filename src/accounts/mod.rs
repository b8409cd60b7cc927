//! Owns accounts: the claim, sign-up, sessions, second factors, API tokens, password links.
//!
//! Secrets pass through here once: of passwords an argon2id hash is kept, of every token and link
//! its SHA-256. All expiries are judged with `now` from the clock.

mod attempts;
mod claim;
mod collaborators;
mod links;
mod password;
mod second_factor;
mod sessions;
mod terminals;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::{Arc, Mutex, atomic::AtomicBool};

use secrecy::SecretString;

use crate::{
    clock::Clock,
    domain::{Email, UserId},
    secrets::{KeyRing, SecretError},
    store::{Reader, StoreError, Writer, sessions as session_rows, users},
};

use attempts::Attempts;
use password::Hasher;
use terminals::Terminals;

pub use crate::domain::user::{Collaborator, Session, SignUp, Token, User};
pub use password::PasswordError;
pub use second_factor::{Enrolment, LogIn};
pub use terminals::{Asker, TerminalKey, TerminalLogin};

/// What can go wrong with accounts.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The same for an unknown address and a wrong password.
    #[error("There was a problem with your login.")]
    WrongCredentials,
    /// Of somebody who is logged in and is asked again.
    #[error("That is not your password.")]
    WrongPassword,
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
    /// The address or the GitHub name that was typed.
    #[error("Nobody on this server has the address or the GitHub name {0}. Invite them first.")]
    NotAnAccount(String),
    #[error("The owner of an app has every right already.")]
    IsOwner,
    #[error("Couldn't find that collaborator.")]
    NoSuchCollaborator,
    #[error("This account is suspended.")]
    Suspended,
    #[error("A code of your second factor is needed as well.")]
    CodeNeeded,
    #[error("That code is not right. A code counts once; wait for the next one.")]
    WrongCode,
    #[error("This account has a second factor already.")]
    SecondFactorThere,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("{0}")]
    BadEmail(String),
    #[error(transparent)]
    Secret(#[from] SecretError),
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
    reader: Reader,
    writer: Writer,
    clock: Arc<dyn Clock>,
    keys: Arc<KeyRing>,
    hasher: Hasher,
    attempts: Arc<Attempts>,
    /// SHA-256 of the claim token that is good now.
    claim_token: Arc<Mutex<Option<Vec<u8>>>>,
    /// Once claimed always claimed: spares the question to the database.
    claimed: Arc<AtomicBool>,
    /// Those that wait in `heroku login`.
    terminals: Arc<Terminals>,
}

impl Accounts {
    pub fn new(reader: Reader, writer: Writer, clock: Arc<dyn Clock>, keys: Arc<KeyRing>) -> Accounts {
        Accounts {
            reader,
            writer,
            clock,
            keys,
            hasher: Hasher::new(),
            attempts: Arc::default(),
            claim_token: Arc::default(),
            claimed: Arc::default(),
            terminals: Arc::default(),
        }
    }

    /// The account of an address, whatever its case.
    pub async fn by_email(&self, email: &str) -> Result<Option<User>, AccountError> {
        match email.parse() {
            Ok(email) => Ok(self.reader.user_by_email(&email).await?),
            Err(_) => Ok(None),
        }
    }

    /// All accounts of people, by address.
    pub async fn users(&self) -> Result<Vec<User>, AccountError> {
        Ok(self.reader.users().await?)
    }

    /// The account that owns the example until the claim; made when it is not there.
    pub async fn system_user(&self) -> Result<User, AccountError> {
        if let Some(user) = self.reader.system_user().await? {
            return Ok(user);
        }
        let email = "system@siesta.localhost".parse().expect("a valid address");
        let user = users::NewUser { password_hash: None, system: true, ..self.new_user(&email) };
        let mut tx = self.writer.begin().await?;
        insert(&mut tx, &user).await?;
        let user = users::load(&mut tx, user.id).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(user)
    }

    /// The name of the person, at most 100 characters; empty: none.
    pub async fn set_name(&self, user: UserId, name: &str) -> Result<User, AccountError> {
        let name: String = name.trim().chars().filter(|c| !c.is_control()).take(100).collect();
        self.writer.set_name(user, &name, self.clock.now()).await?;
        self.reader.user(user).await?.ok_or(AccountError::NoSuchUser)
    }

    /// `en`, `es` or None: follow the browser. Anything else counts as None.
    pub async fn set_language(&self, user: UserId, language: Option<&str>) -> Result<(), AccountError> {
        let language = language.filter(|known| ["en", "es"].contains(known));
        Ok(self.writer.set_language(user, language, self.clock.now()).await?)
    }

    /// `light`, `dark` or None: follow the system. Anything else counts as None.
    pub async fn set_theme(&self, user: UserId, theme: Option<&str>) -> Result<(), AccountError> {
        let theme = theme.filter(|known| ["light", "dark"].contains(known));
        Ok(self.writer.set_theme(user, theme, self.clock.now()).await?)
    }

    /// Suspends an account, which ends its sessions and stops its tokens, or lets it in again.
    pub async fn set_suspended(&self, user: UserId, suspended: bool) -> Result<(), AccountError> {
        let now = self.clock.now();
        let mut tx = self.writer.begin().await?;
        if !users::set_suspended(&mut tx, user, suspended.then_some(now), now).await? {
            return Err(AccountError::NoSuchUser);
        }
        if suspended {
            session_rows::delete_all(&mut tx, user).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        Ok(())
    }

    /// Removes sessions and links that are over; call it now and then.
    pub async fn sweep(&self) -> Result<(), AccountError> {
        let now = self.clock.now();
        self.writer.delete_old_sessions(now, now - sessions::IDLE).await?;
        Ok(self.writer.delete_old_links(now).await?)
    }

    fn new_user<'a>(&self, email: &'a Email) -> users::NewUser<'a> {
        users::NewUser { id: UserId::new(), email, password_hash: None, admin: false, system: false, now: self.clock.now() }
    }
}

/// Inserts an account; a taken address is said in our words.
async fn insert(tx: &mut sqlx::SqliteConnection, user: &users::NewUser<'_>) -> Result<(), AccountError> {
    users::insert(tx, user).await.map_err(|error| match error.unique_violation().as_deref() {
        Some("users.email") => AccountError::EmailTaken,
        _ => error.into(),
    })
}

/// An address and a password that may make an account.
fn checked(email: &str, password: &SecretString) -> Result<Email, AccountError> {
    let email: Email = email.parse().map_err(AccountError::BadEmail)?;
    password::check(password, &email)?;
    Ok(email)
}
