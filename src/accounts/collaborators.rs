//! Who besides its owner may touch an app.

use crate::{
    accounts::{AccountError, Accounts},
    domain::{
        Role, UserId,
        app::App,
        user::{Collaborator, Email, User},
    },
};

impl Accounts {
    /// Gives somebody a role, or another one than they have. They are named by their address, or by
    /// the name of the GitHub account that is connected to their account here.
    pub async fn collaborate(&self, app: &App, whom: &str, role: Role) -> Result<Collaborator, AccountError> {
        let user = self.meant(whom.trim()).await?;
        if user.id == app.owner_id {
            return Err(AccountError::IsOwner);
        }
        self.writer.put_collaborator(app.id, user.id, role, self.clock.now()).await?;
        let all = self.reader.collaborators(app.id).await?;
        all.into_iter().find(|one| one.user_id == user.id).ok_or(AccountError::NoSuchCollaborator)
    }

    async fn meant(&self, whom: &str) -> Result<User, AccountError> {
        let login = whom.strip_prefix('@').unwrap_or(whom);
        let found = if login.contains('@') {
            let email: Email = whom.parse().map_err(AccountError::BadEmail)?;
            self.reader.user_by_email(&email).await?
        } else {
            let plain = !login.is_empty() && login.len() <= 100 && login.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            let account = if plain { self.reader.github_account_by_login(login).await? } else { None };
            match account {
                Some(account) => self.reader.user(account.user_id).await?,
                None => None,
            }
        };
        found.filter(|user| !user.system).ok_or_else(|| AccountError::NotAnAccount(whom.to_owned()))
    }

    /// Takes the role away, at once.
    pub async fn stop_collaborating(&self, app: &App, user: UserId) -> Result<(), AccountError> {
        if self.writer.delete_collaborator(app.id, user).await? { Ok(()) } else { Err(AccountError::NoSuchCollaborator) }
    }
}
