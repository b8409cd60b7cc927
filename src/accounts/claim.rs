//! The claim: how a fresh server gets its first administrator; and accounts made from the command line.

use std::sync::{PoisonError, atomic::Ordering};

use secrecy::SecretString;

use crate::{
    accounts::{AccountError, Accounts, Origin, SignUp, User, checked, insert},
    secrets::{random_token, token_hash},
    store::{StoreError, settings, users},
};

impl Accounts {
    /// Whether an administrator exists. Until then only the claim page answers.
    pub async fn is_claimed(&self) -> Result<bool, AccountError> {
        if self.claimed.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let claimed = self.reader.is_claimed().await?;
        self.claimed.fetch_or(claimed, Ordering::Relaxed);
        Ok(claimed)
    }

    /// A fresh one-time claim token, valid until the next call or the claim; None when claimed.
    /// Held in memory only, as its hash.
    pub async fn new_claim_token(&self) -> Result<Option<SecretString>, AccountError> {
        if self.is_claimed().await? {
            return Ok(None);
        }
        let token = random_token();
        *self.claim_token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token_hash(&token));
        Ok(Some(token))
    }

    /// Makes the first administrator, hands them the system account's apps, sets who may sign up,
    /// and logs them in. Of 50 at once exactly one succeeds.
    #[expect(clippy::too_many_arguments, reason = "what the claim page asks for, and where from")]
    pub async fn claim(
        &self,
        token: &SecretString,
        email: &str,
        password: &SecretString,
        sign_up: SignUp,
        origin: &Origin,
    ) -> Result<(User, SecretString), AccountError> {
        if self.is_claimed().await? {
            return Err(AccountError::AlreadyClaimed);
        }
        if *self.claim_token.lock().unwrap_or_else(PoisonError::into_inner) != Some(token_hash(token)) {
            return Err(AccountError::BadClaim);
        }
        let email = checked(email, password)?;
        let hash = self.hasher.hash(password).await;
        let user = users::NewUser { password_hash: Some(&hash), admin: true, ..self.new_user(&email) };
        let mut tx = self.writer.begin().await?;
        if !settings::claim(&mut tx, user.now).await? {
            return Err(AccountError::AlreadyClaimed);
        }
        insert(&mut tx, &user).await?;
        users::hand_over_system_apps(&mut tx, user.id, user.now).await?;
        settings::set_sign_up_mode(&mut tx, sign_up).await?;
        let session = self.begin_session(&mut tx, user.id, origin).await?;
        let user = users::load(&mut tx, user.id).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.claim_token.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok((user, session))
    }

    /// `siesta user create`: an administrator made this way counts as the claim.
    pub async fn create_user(&self, email: &str, password: &SecretString, admin: bool) -> Result<User, AccountError> {
        let email = checked(email, password)?;
        let hash = self.hasher.hash(password).await;
        let user = users::NewUser { password_hash: Some(&hash), admin, ..self.new_user(&email) };
        let mut tx = self.writer.begin().await?;
        insert(&mut tx, &user).await?;
        if admin {
            settings::claim(&mut tx, user.now).await?;
            users::hand_over_system_apps(&mut tx, user.id, user.now).await?;
        }
        let user = users::load(&mut tx, user.id).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(user)
    }
}
