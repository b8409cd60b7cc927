//! Logging in and out, and who a session cookie stands for.

use std::time::Duration;

use secrecy::SecretString;
use sqlx::SqliteConnection;

use crate::{
    accounts::{
        AccountError, Accounts, LogIn, Origin, Session, User,
        password::{self, Verified},
    },
    domain::{Email, SessionId, UserId},
    secrets::{random_token, token_hash},
    store::{StoreError, one_time_links, sessions, users},
};

/// A session ends after this long without a request.
pub(super) const IDLE: Duration = Duration::from_secs(12 * 3600);
/// A session ends this long after its login, whatever happens.
const ABSOLUTE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How old a written "last seen" or "last used" may grow before it is written again.
pub(super) const SEEN_EVERY: Duration = Duration::from_secs(60);
/// What is kept of a browser's name, in characters.
const MAX_AGENT: usize = 256;

impl Accounts {
    /// Checks a password (10 tries in 15 minutes per account and address; at most 2 hashes at once;
    /// a dummy hash for unknown accounts) and makes a session, or asks for a code.
    pub async fn log_in(&self, email: &str, password: &SecretString, origin: &Origin) -> Result<LogIn, AccountError> {
        let user = self.check_password(email, password, origin).await?;
        self.let_in(user, origin).await
    }

    async fn let_in(&self, user: User, origin: &Origin) -> Result<LogIn, AccountError> {
        if self.has_second_factor(user.id).await? {
            return Ok(LogIn::Code { ticket: self.second_step(user.id).await? });
        }
        let mut tx = self.writer.begin().await?;
        let session = self.begin_session(&mut tx, user.id, origin).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(LogIn::Session(user, session))
    }

    /// Makes a session for somebody whose identity was proven elsewhere, or asks for a code.
    pub async fn log_in_verified(&self, user: UserId, origin: &Origin) -> Result<LogIn, AccountError> {
        let user = self.reader.user(user).await?.filter(|user| !user.system).ok_or(AccountError::NoSuchUser)?;
        if user.suspended_at.is_some() {
            return Err(AccountError::Suspended);
        }
        self.let_in(user, origin).await
    }

    /// Checks a password, and the code where one is wanted, without making a session (`heroku login -i`).
    pub async fn check_login(
        &self,
        email: &str,
        password: &SecretString,
        code: Option<&SecretString>,
        origin: &Origin,
    ) -> Result<User, AccountError> {
        let user = self.check_password(email, password, origin).await?;
        if self.has_second_factor(user.id).await? {
            self.check_code(&user, code.ok_or(AccountError::CodeNeeded)?).await?;
        }
        Ok(user)
    }

    /// Asks somebody who is logged in for the password again.
    pub(super) async fn check_own_password(&self, user: &User, password: &SecretString, origin: &Origin) -> Result<(), AccountError> {
        match self.check_password(user.email.as_str(), password, origin).await {
            Err(AccountError::WrongCredentials) => Err(AccountError::WrongPassword),
            checked => checked.map(drop),
        }
    }

    /// Sets a new password for somebody who knows the old one; every other session of the account ends.
    pub async fn change_password(
        &self,
        user: &User,
        (old, new): (&SecretString, &SecretString),
        session: &SecretString,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        password::check(new, &user.email)?;
        self.check_own_password(user, old, origin).await?;
        let (hash, now) = (self.hasher.hash(new).await, self.clock.now());
        let mut tx = self.writer.begin().await?;
        users::set_password_hash(&mut tx, user.id, &hash, now).await?;
        one_time_links::withdraw_resets(&mut tx, user.id, now).await?;
        sessions::delete_others(&mut tx, user.id, &token_hash(session)).await?;
        Ok(tx.commit().await.map_err(StoreError::from)?)
    }

    /// Checks a password and nothing else.
    async fn check_password(&self, email: &str, password: &SecretString, origin: &Origin) -> Result<User, AccountError> {
        self.attempts.note(email, &origin.ip, self.clock.now()).map_err(AccountError::RateLimited)?;
        let user = match email.parse::<Email>() {
            Ok(email) => self.reader.user_by_email(&email).await?,
            Err(_) => None,
        };
        let stored = match &user {
            Some(user) => self.reader.password_hash(user.id).await?,
            None => None,
        };
        let verified = self.hasher.verify(password, stored).await;
        let Some(user) = user.filter(|_| verified != Verified::Wrong) else {
            return Err(AccountError::WrongCredentials);
        };
        if user.suspended_at.is_some() {
            return Err(AccountError::Suspended);
        }
        self.attempts.clear(email, &origin.ip);
        if verified == Verified::Outdated {
            let hash = self.hasher.hash(password).await;
            let mut tx = self.writer.begin().await?;
            users::set_password_hash(&mut tx, user.id, &hash, self.clock.now()).await?;
            tx.commit().await.map_err(StoreError::from)?;
        }
        Ok(user)
    }

    /// Ends the session of a cookie; one that is not there is ended already.
    pub async fn log_out(&self, session: &SecretString) -> Result<(), AccountError> {
        Ok(self.writer.delete_session(&token_hash(session)).await?)
    }

    /// The account behind a session cookie; None when it is not valid (idle 12 h, absolute 7 d).
    pub async fn by_session(&self, session: &SecretString) -> Result<Option<User>, AccountError> {
        let now = self.clock.now();
        let Some((session, user)) = self.reader.session(&token_hash(session)).await? else { return Ok(None) };
        if now >= session.expires_at || now.since(session.last_seen_at) >= IDLE || user.suspended_at.is_some() {
            return Ok(None);
        }
        if now.since(session.last_seen_at) >= SEEN_EVERY {
            self.writer.touch_session(session.id, now).await?;
        }
        Ok(Some(user))
    }

    /// The living sessions of an account, latest seen first.
    pub async fn sessions(&self, user: UserId) -> Result<Vec<Session>, AccountError> {
        let now = self.clock.now();
        let mut sessions = self.reader.sessions(user).await?;
        sessions.retain(|session| now < session.expires_at && now.since(session.last_seen_at) < IDLE);
        Ok(sessions)
    }

    /// Which of an account's sessions a cookie belongs to.
    pub async fn session_id(&self, session: &SecretString) -> Result<Option<SessionId>, AccountError> {
        Ok(self.reader.session(&token_hash(session)).await?.map(|(session, _)| session.id))
    }

    /// Ends one session of an account; one that is not there is ended already.
    pub async fn revoke_session(&self, user: UserId, session: SessionId) -> Result<(), AccountError> {
        Ok(self.writer.delete_session_of(user, session).await?)
    }

    /// Part of the transaction that lets somebody in. The token is always a new one: whatever
    /// cookie the browser had before is worth nothing.
    pub(super) async fn begin_session(
        &self,
        tx: &mut SqliteConnection,
        user: UserId,
        origin: &Origin,
    ) -> Result<SecretString, AccountError> {
        let (token, now) = (random_token(), self.clock.now());
        let user_agent: String = origin.user_agent.chars().filter(|c| !c.is_control()).take(MAX_AGENT).collect();
        let session = sessions::NewSession {
            token_hash: &token_hash(&token),
            user,
            now,
            expires_at: now + ABSOLUTE,
            user_agent: &user_agent,
            ip: &origin.ip,
        };
        sessions::insert(tx, &session).await?;
        Ok(token)
    }
}
