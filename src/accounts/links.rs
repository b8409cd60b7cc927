//! Signing up, and the links that work once: invitations and password resets.

use std::time::Duration;

use secrecy::SecretString;

use crate::{
    accounts::{AccountError, Accounts, Origin, SignUp, User, checked, insert, password},
    domain::Email,
    secrets::{random_token, token_hash},
    store::{
        StoreError,
        one_time_links::{self, Purpose},
        sessions, users,
    },
};

const INVITE_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
const RESET_LIFE: Duration = Duration::from_secs(3600);
/// Stands where an account would in the count of tries to sign up from one address.
const SIGN_UP: &str = "sign-up";

impl Accounts {
    /// Who may make an account; closed until the claim says otherwise.
    pub async fn sign_up_mode(&self) -> Result<SignUp, AccountError> {
        Ok(self.reader.sign_up_mode().await?)
    }

    pub async fn set_sign_up_mode(&self, mode: SignUp) -> Result<(), AccountError> {
        Ok(self.writer.set_sign_up_mode(mode).await?)
    }

    /// Makes an account and logs it in. `invite` is needed in invite mode; an invitation that was
    /// made for an address is good for that address only. Where sign-up is closed no invitation opens it.
    pub async fn sign_up(
        &self,
        email: &str,
        password: &SecretString,
        invite: Option<&SecretString>,
        origin: &Origin,
    ) -> Result<(User, SecretString), AccountError> {
        let invite = match self.sign_up_mode().await? {
            SignUp::Closed => return Err(AccountError::SignUpClosed),
            SignUp::Invite => Some(token_hash(invite.ok_or(AccountError::InviteNeeded)?)),
            SignUp::Open => None,
        };
        let email = checked(email, password)?;
        if let Some(link) = &invite {
            let purpose = self.reader.one_time_link(link, self.clock.now()).await?;
            check_invite(purpose, &email)?;
        }
        self.attempts.note(SIGN_UP, &origin.ip, self.clock.now()).map_err(AccountError::RateLimited)?;
        let hash = self.hasher.hash(password).await;
        let user = users::NewUser { password_hash: Some(&hash), ..self.new_user(&email) };
        let mut tx = self.writer.begin().await?;
        if let Some(link) = &invite {
            check_invite(one_time_links::redeem(&mut tx, link, user.now).await?, &email)?;
        }
        insert(&mut tx, &user).await?;
        let session = self.begin_session(&mut tx, user.id, origin).await?;
        let user = users::load(&mut tx, user.id).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok((user, session))
    }

    /// Makes an account for an address that somebody else has verified, and logs it in. It has no
    /// password. Sign-up modes and invitations hold as in `sign_up`.
    pub async fn sign_up_verified(
        &self,
        email: &str,
        invite: Option<&SecretString>,
        origin: &Origin,
    ) -> Result<(User, SecretString), AccountError> {
        let email: Email = email.parse().map_err(AccountError::BadEmail)?;
        let invite = match self.sign_up_mode().await? {
            // Whom the address belongs to may know that there is an account.
            _ if self.reader.user_by_email(&email).await?.is_some() => return Err(AccountError::EmailTaken),
            SignUp::Closed => return Err(AccountError::SignUpClosed),
            SignUp::Invite => Some(token_hash(invite.ok_or(AccountError::InviteNeeded)?)),
            SignUp::Open => None,
        };
        self.attempts.note(SIGN_UP, &origin.ip, self.clock.now()).map_err(AccountError::RateLimited)?;
        let user = users::NewUser { password_hash: None, ..self.new_user(&email) };
        let mut tx = self.writer.begin().await?;
        if let Some(link) = &invite {
            check_invite(one_time_links::redeem(&mut tx, link, user.now).await?, &email)?;
        }
        insert(&mut tx, &user).await?;
        let session = self.begin_session(&mut tx, user.id, origin).await?;
        let user = users::load(&mut tx, user.id).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok((user, session))
    }

    /// A token for a seven-day invitation link.
    pub async fn invite_link(&self, email: Option<&str>) -> Result<SecretString, AccountError> {
        let email = email.map(str::parse).transpose().map_err(AccountError::BadEmail)?;
        self.new_link(&Purpose::Invite { email }, INVITE_LIFE).await
    }

    /// `siesta user reset`: a token for a one-hour link that sets a new password.
    pub async fn reset_link(&self, email: &str) -> Result<SecretString, AccountError> {
        let user = self.by_email(email).await?.filter(|user| !user.system).ok_or(AccountError::NoSuchUser)?;
        self.new_link(&Purpose::Reset { user: user.id }, RESET_LIFE).await
    }

    /// Uses a reset link: sets the password and ends all sessions and other reset links of the
    /// account. A password that is refused does not use the link up.
    pub async fn reset_password(&self, link: &SecretString, password: &SecretString) -> Result<User, AccountError> {
        let link = token_hash(link);
        let Some(Purpose::Reset { user }) = self.reader.one_time_link(&link, self.clock.now()).await? else {
            return Err(AccountError::BadLink);
        };
        let email = self.reader.user(user).await?.ok_or(AccountError::BadLink)?.email;
        password::check(password, &email)?;
        let hash = self.hasher.hash(password).await;
        let now = self.clock.now();
        let mut tx = self.writer.begin().await?;
        if one_time_links::redeem(&mut tx, &link, now).await? != Some(Purpose::Reset { user }) {
            return Err(AccountError::BadLink);
        }
        users::set_password_hash(&mut tx, user, &hash, now).await?;
        one_time_links::withdraw_resets(&mut tx, user, now).await?;
        sessions::delete_all(&mut tx, user).await?;
        let user = users::load(&mut tx, user).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(user)
    }

    async fn new_link(&self, purpose: &Purpose, life: Duration) -> Result<SecretString, AccountError> {
        let (token, now) = (random_token(), self.clock.now());
        self.writer.insert_one_time_link(&token_hash(&token), purpose, now, now + life).await?;
        Ok(token)
    }
}

fn check_invite(purpose: Option<Purpose>, email: &Email) -> Result<(), AccountError> {
    match purpose {
        Some(Purpose::Invite { email: None }) => Ok(()),
        Some(Purpose::Invite { email: Some(named) }) if named.as_str().eq_ignore_ascii_case(email.as_str()) => Ok(()),
        _ => Err(AccountError::BadLink),
    }
}
